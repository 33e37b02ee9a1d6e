"""The ``dysign-prep`` command: raw files to prepared folders, and what can be done with those."""

import errno
import json
import sys
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

# pyarrow, numpy and matplotlib are imported inside the commands, so that --help answers at once.
from data_prep import cli_read
from data_prep.cli_synth import synth_app
from data_prep.progress import progress
from dgl_dysign.errors import DGLDySignError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Turn raw files of events into Parquet snapshots for dgl_dysign.",
    rich_markup_mode="rich",
)


class Features(str, Enum):
    """Node features of a snapshot, made from its past alone."""

    deepwalk = "deepwalk"
    node2vec = "node2vec"
    spectral = "spectral"
    degree = "degree"
    none = "none"


class OnError(str, Enum):
    """What happens at a bad row."""

    stop = "stop"
    quarantine = "quarantine"


class EngineName(str, Enum):
    """What reads the parts of the raw data."""

    local = "local"
    dask = "dask"


class Ids(str, Enum):
    """What the ids of an edge list are."""

    auto = "auto"
    integer = "integer"
    text = "text"


class TimeUnit(str, Enum):
    """What the times of an edge list count, from 1970; none: steps."""

    s = "s"
    ms = "ms"
    us = "us"
    ns = "ns"
    none = "none"


Raw = Annotated[Path, typer.Argument(metavar="RAW", help="Folder with the raw files.", show_default=False)]
Out = Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; it must not exist.", show_default=False)]
Every = Annotated[
    str | None,
    typer.Option(
        help="Snapshots of equal width from the first event (15s, 30m, 1h, 7d, 2w, or seconds), of the calendar (hour, "
        "day, week, month, year, roland-week: weeks cut at New Year), or one a distinct time (step).",
        rich_help_panel="Snapshots",
    ),
]
Count = Annotated[
    int | None,
    typer.Option("--snapshots", min=1, help="So many snapshots of equally many events.", rich_help_panel="Snapshots"),
]
Merge = Annotated[
    int, typer.Option(min=1, help="Make one snapshot of so many neighbouring ones.", rich_help_panel="Snapshots")
]
Kind = Annotated[Features, typer.Option(help="Node features a snapshot.", rich_help_panel="Node features")]
Dim = Annotated[
    int | None,
    typer.Option(min=1, help="Width: of walks 128, of spectral 256 for each decay.", rich_help_panel="Node features"),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the features.", rich_help_panel="Node features")]
Decay = Annotated[
    list[float] | None,
    typer.Option(
        min=0.0,
        max=1.0,
        help="Weight of an event after one snapshot; repeat it for several (spectral).",
        rich_help_panel="Node features",
    ),
]
Errors = Annotated[
    OnError,
    typer.Option(
        help="At a bad row: stop and name it, or quarantine it in rejected.parquet.", rich_help_panel="Reading"
    ),
]
MaxBytes = Annotated[
    int | None,
    typer.Option(min=1, help="Most bytes that a compressed file may grow to.", rich_help_panel="Reading"),
]
UnknownLabels = Annotated[
    bool,
    typer.Option("--allow-unknown-labels", help="Keep labels of nodes that no event names.", rich_help_panel="Reading"),
]
EngineOption = Annotated[
    EngineName, typer.Option(help="What reads the parts; dask needs its extra.", rich_help_panel="Engine")
]
Workers = Annotated[int, typer.Option(min=1, help="Processes that read parts; 1: this one.", rich_help_panel="Engine")]
Scheduler = Annotated[str | None, typer.Option(help="Address of a running Dask scheduler.", rich_help_panel="Engine")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUT if this tool made it.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def _add(name: str, about: str, example: str, features: Features = Features.none) -> None:
    """Add the command that prepares one data set; all have the same options."""

    def command(
        raw: Raw,
        out: Out,
        every: Every = None,
        snapshots: Count = None,
        merge: Merge = 1,
        features: Kind = features,
        dim: Dim = None,
        seed: Seed = 0,
        decay: Decay = None,
        on_error: Errors = OnError.stop,
        max_bytes: MaxBytes = None,
        allow_unknown_labels: UnknownLabels = False,
        engine: EngineOption = EngineName.local,
        workers: Workers = 1,
        scheduler: Scheduler = None,
        overwrite: Overwrite = False,
        quiet: Quiet = False,
        as_json: Json = False,
    ) -> None:
        def open_source(read: Any) -> Any:
            from data_prep.sources import open_source

            return open_source(name, raw, read)

        _prepare(
            open_source, out, every, snapshots, merge, features, dim, seed, decay, on_error, max_bytes,
            allow_unknown_labels, engine, workers, scheduler, overwrite, quiet, as_json,
        )  # fmt: skip

    app.command(name, help=about, epilog=f"Example: [bold]dysign-prep {name} {example}[/bold]")(command)


_add(
    "dblp",
    "Prepare the DBLP co-author graph, or any folder of `src dst time` lines with node2label.txt.",
    "raw/dblp prepared/dblp --features spectral",
    Features.spectral,
)
_add(
    "tmall",
    "Prepare Tmall: tmall.txt (`src dst time` lines) and node2label.txt.",
    "raw/tmall prepared/tmall --merge 10 --features degree",
)
_add(
    "patent",
    "Prepare US patents: SpikeNet's JSON lines, NBER's cite75_99 or SNAP's cit-Patents with apat63_99.",
    "raw/patent prepared/patent --merge 2",
)
_add(
    "wikipedia",
    "Prepare Wikipedia edits: JODIE's csv, TGN's and DyGLib's ml_wikipedia, or TGL's edges.csv.",
    "raw/wikipedia prepared/wikipedia --every 1h",
)
_add(
    "reddit",
    "Prepare Reddit posts: JODIE's csv, TGN's and DyGLib's ml_reddit, or TGL's edges.csv.",
    "raw/reddit prepared/reddit --every 1h",
)


@app.command(
    epilog="Example: [bold]dysign-prep edges soc-sign-bitcoinotc.csv prepared/otc --every week[/bold]  or  "
    "[bold]dysign-prep edges mine.csv prepared/mine --src from --dst to --time when --weight 4[/bold]"
)
def edges(
    raw: Annotated[
        Path, typer.Argument(metavar="RAW", help="An edge list, or a folder of its parts.", show_default=False)
    ],
    out: Out,
    src: Annotated[str | None, typer.Option(help="Column of sources: name or number from 1.")] = None,
    dst: Annotated[str | None, typer.Option(help="Column of destinations.")] = None,
    time_column: Annotated[str | None, typer.Option("--time", help="Column of times.")] = None,
    weight: Annotated[str | None, typer.Option(help="Column of weights (a rating, an amount).")] = None,
    label: Annotated[str | None, typer.Option(help="Column of classes of the events.")] = None,
    edge_features: Annotated[str | None, typer.Option(help="First column of features; they go on to the last.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="Character between columns; default: as line 1.")] = None,
    header: Annotated[
        bool | None,
        typer.Option("--header/--no-header", help="Whether line 1 is a header; default: if names are used."),
    ] = None,
    ids: Annotated[Ids | None, typer.Option(help="What ids are; default: as the first row.")] = None,
    time_format: Annotated[str | None, typer.Option(help="How times are written, as in strptime; else ISO.")] = None,
    time_unit: Annotated[TimeUnit | None, typer.Option(help="What times count; none: steps.")] = None,
    undirected: Annotated[bool, typer.Option("--undirected", help="Edges have no direction.")] = False,
    labels: Annotated[Path | None, typer.Option(help="File of `node label` lines.")] = None,
    every: Every = None,
    snapshots: Count = None,
    merge: Merge = 1,
    features: Kind = Features.none,
    dim: Dim = None,
    seed: Seed = 0,
    decay: Decay = None,
    on_error: Errors = OnError.stop,
    max_bytes: MaxBytes = None,
    allow_unknown_labels: UnknownLabels = False,
    engine: EngineOption = EngineName.local,
    workers: Workers = 1,
    scheduler: Scheduler = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Prepare any delimited list of timed edges; Bitcoin, CollegeMsg, Wiki-Talk, Stack-Overflow and Reddit's are known.

    By default columns 1, 2 and 3 are source, destination and time (Unix seconds), and a snapshot is a calendar week.
    """
    given = {
        "src": src, "dst": dst, "time": time_column, "weight": weight, "label": label, "edge_features": edge_features,
        "delimiter": {"\\t": "\t", "tab": "\t"}.get(delimiter or "", delimiter), "header": header,
        "ids": ids and ids.value, "time_format": time_format, "time_unit": time_unit and time_unit.value,
        "directed": False if undirected else None,
    }  # fmt: skip

    def open_source(read: Any) -> Any:
        from data_prep.sources.edges import open_source

        return open_source(raw, read, {key: value for key, value in given.items() if value is not None}, labels)

    _prepare(
        open_source, out, every, snapshots, merge, features, dim, seed, decay, on_error, max_bytes,
        allow_unknown_labels, engine, workers, scheduler, overwrite, quiet, as_json,
    )  # fmt: skip


def _prepare(
    open_source: Callable[[Any], Any],
    out: Path,
    every: str | None,
    snapshots: int | None,
    merge: int,
    features: Features,
    dim: int | None,
    seed: int,
    decay: list[float] | None,
    on_error: OnError,
    max_bytes: int | None,
    allow_unknown_labels: bool,
    engine: EngineName,
    workers: int,
    scheduler: str | None,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    from data_prep import pipeline, writer
    from data_prep.engines import Engine
    from data_prep.rules import Rule, parse_rule
    from data_prep.sources._source import ReadOptions

    start = time.perf_counter()
    writer.check_target(out, overwrite)
    parse_rule(every, snapshots, merge, Rule("step"))  # a wrong rule is told before anything is read
    chosen: dict[str, Any] = {}
    if features is not Features.none:
        from data_prep.features import options

        given = {"dim": dim, "seed": seed, "decay": decay[0] if decay and len(decay) == 1 else decay or None}
        chosen = options(features.value, **given)
    read = ReadOptions(on_error.value, max_bytes)
    try:
        with progress(quiet or as_json) as add:
            source = open_source(read)
            rule = parse_rule(every, snapshots, merge, source.rule)
            engines = Engine(engine.value, workers, scheduler)
            made = pipeline.Options(rule, read, engines, features.value, chosen, allow_unknown_labels, overwrite)
            manifest = pipeline.prepare(source, out, made, add)
    except KeyboardInterrupt:
        print("dysign-prep: interrupted; the same command goes on where this one stopped", file=sys.stderr)
        raise SystemExit(130) from None
    _report(out, manifest, time.perf_counter() - start, quiet, as_json)


def _report(out: Path, manifest: dict[str, Any], seconds: float, quiet: bool, as_json: bool) -> None:
    keys = (
        "dataset", "num_nodes", "num_edges", "num_snapshots", "num_classes", "duplicate_rows", "rejected_rows",
        "features",
    )  # fmt: skip
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    lines = sum(source["lines"] for source in manifest["sources"])
    counts = {**{key: manifest[key] for key in keys}, "lines": lines, "bytes": size, "seconds": round(seconds, 3)}
    summary = {**counts, "path": str(out)}
    if as_json:
        print(json.dumps(summary))
    elif not quiet:
        from data_prep.tables import show_counts

        made = manifest["features"]
        summary["features"] = f"{made['kind']}, {made['dim']} wide" if made else "none"
        show_counts(manifest["dataset"], summary)


app.command(epilog=cli_read.EXAMPLES["describe"])(cli_read.describe)
app.command(epilog=cli_read.EXAMPLES["verify"])(cli_read.verify)
app.command(epilog=cli_read.EXAMPLES["export"])(cli_read.export)
app.add_typer(synth_app, name="synth")


def main() -> None:
    """Run the command; bad input ends with one line on stderr and status 2."""
    try:
        app()
    except (DGLDySignError, OSError) as error:
        full = getattr(error, "errno", None) == errno.ENOSPC
        remedy = "; free some space and run the same command again, which goes on where this one stopped" * full
        said = " ".join(str(error).splitlines())  # a name may hold a line end
        print(f"dysign-prep: {said}{remedy}", file=sys.stderr)
        sys.exit(2)
    except MemoryError as error:
        print(f"dysign-prep: out of memory ({error}); give a smaller --dim, or --features none", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
