"""The ``dysign-prep`` command: raw files to prepared folders, and a look at them."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

# pyarrow, numpy and matplotlib are imported inside the commands, so that --help answers at once.
from dgl_dysign.errors import DGLDySignError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Turn raw files of events into Parquet snapshots for dgl_dysign.",
    rich_markup_mode="rich",
)
synth_app = typer.Typer(no_args_is_help=True, help="Write generated raw files in the format of a real data set.")
app.add_typer(synth_app, name="synth")


class Features(str, Enum):
    """Node features of a snapshot, made from its past alone."""

    deepwalk = "deepwalk"
    node2vec = "node2vec"
    spectral = "spectral"
    degree = "degree"
    none = "none"


Out = Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; it must not exist.", show_default=False)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUT if this tool made it.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


@app.command(epilog="Example: [bold]dysign-prep dblp raw/dblp prepared/dblp --features spectral[/bold]")
def dblp(
    raw: Annotated[
        Path, typer.Argument(metavar="RAW", help="Folder with dblp.txt and node2label.txt.", show_default=False)
    ],
    out: Out,
    features: Annotated[Features, typer.Option(help="Node features a snapshot.")] = Features.spectral,
    dim: Annotated[int | None, typer.Option(min=1, help="Width: of walks 128, of spectral 256 for each decay.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the features.")] = 0,
    decay: Annotated[
        list[float] | None,
        typer.Option(min=0.0, max=1.0, help="Weight of an event after one snapshot; repeat it for several (spectral)."),
    ] = None,
    allow_unknown_labels: Annotated[
        bool, typer.Option("--allow-unknown-labels", help="Keep labels of nodes that no edge names.")
    ] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Prepare the DBLP co-author graph, or any folder of `src dst time` lines with node2label.txt."""
    from data_prep import writer
    from data_prep.snapshots import arrange
    from data_prep.sources import dblp as source

    start = time.perf_counter()
    writer.check_target(out, overwrite)
    with _progress(quiet) as progress:
        on_bytes = progress("reading", sum(path.stat().st_size for path in raw.glob("*.txt")))
        data = source.read(raw, allow_unknown_labels=allow_unknown_labels, on_bytes=on_bytes)
        events = arrange(data.src, data.dst, data.time)
        given = {"dim": dim, "seed": seed, "decay": decay[0] if decay and len(decay) == 1 else decay or None}
        made = {} if features is Features.none else _features(features.value, data, events, given, progress)
        with writer.new_folder(out, overwrite) as folder:
            manifest = writer.write_prepared(folder, data, events, **made)
    _report(out, manifest, time.perf_counter() - start, quiet, as_json)


def _features(kind: str, data: Any, events: Any, given: dict[str, Any], progress: Any) -> dict[str, Any]:
    """Start the computation of features; it runs while they are written."""
    from data_prep.features import features, options

    chosen = options(kind, **given)
    shape = data.num_nodes, events.num_snapshots
    return {
        "features": features(kind, events.snapshot, events.src, events.dst, *shape, **chosen),
        "feature_params": {"kind": kind, **chosen},
        "on_snapshot": progress(f"{kind} features", events.num_snapshots),
    }


def _report(out: Path, manifest: dict[str, Any], seconds: float, quiet: bool, as_json: bool) -> None:
    keys = ("dataset", "num_nodes", "num_edges", "num_snapshots", "num_classes", "duplicate_rows", "features")
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    summary = {**{key: manifest[key] for key in keys}, "bytes": size, "seconds": round(seconds, 3), "path": str(out)}
    if as_json:
        print(json.dumps(summary))
    elif not quiet:
        from data_prep.tables import show_counts

        made = manifest["features"]
        summary["features"] = f"{made['kind']}, {made['dim']} wide" if made else "none"
        show_counts(manifest["dataset"], summary)


@app.command(epilog="Example: [bold]dysign-prep describe prepared/dblp --png dblp.png[/bold]")
def describe(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A prepared folder.", show_default=False)],
    png: Annotated[Path | None, typer.Option(help="Picture to write; default OUT/describe.png.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Print counts beside the published ones, and draw events, nodes and classes over time."""
    from data_prep import describe as look

    description = look.describe(out)
    png = png or out / "describe.png"
    look.draw(description, png)
    if as_json:
        print(json.dumps({**description.to_json(), "png": str(png)}))
    elif not quiet:
        from data_prep.tables import show_description

        show_description(description, png)


@synth_app.command("dblp", epilog="Example: [bold]dysign-prep synth dblp raw/generated --nodes 2000[/bold]")
def synth_dblp(
    out: Out,
    nodes: Annotated[int, typer.Option(help="Number of nodes.")] = 2000,
    steps: Annotated[int, typer.Option(help="Number of time steps.")] = 12,
    classes: Annotated[int, typer.Option(help="Number of classes.")] = 6,
    events_per_step: Annotated[
        int | None, typer.Option(help="Mean number of events a step; default as in DBLP.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write dblp.txt and node2label.txt for a growing network of drifting communities."""
    from data_prep.synth import DblpLike
    from data_prep.writer import new_folder

    generator = DblpLike(nodes, steps, classes, seed, events_per_step)
    with new_folder(out, overwrite, marker="synth.json") as folder:
        made = generator.write(folder)
    if as_json:
        print(json.dumps({**made, "path": str(out)}))
    elif not quiet:
        from data_prep.tables import show_counts

        show_counts("generated", {**made, "path": str(out)})


@contextmanager
def _progress(quiet: bool) -> Iterator[Any]:
    """Give a function (text, total) -> advance that adds a bar; without a terminal nothing is drawn."""
    if quiet or not sys.stderr.isatty():
        yield lambda text, total: lambda amount=1: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(show_speed=True), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:

        def add(text: str, total: int) -> Any:
            task = bars.add_task(text, total=total)
            return lambda amount=1: bars.advance(task, amount)

        yield add


def main() -> None:
    """Run the command; bad input ends with one line on stderr and status 2."""
    try:
        app()
    except (DGLDySignError, OSError) as error:
        print(f"dysign-prep: {error}", file=sys.stderr)
        sys.exit(2)
    except MemoryError as error:
        print(f"dysign-prep: out of memory ({error}); give a smaller --dim, or --features none", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
