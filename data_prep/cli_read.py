"""The commands that look at prepared folders: describe, verify and export; :mod:`data_prep.cli` registers them."""

import json
import time
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

# pyarrow, numpy and matplotlib are imported inside the commands, so that --help answers at once.
from data_prep.progress import progress

EXAMPLES = {
    "describe": "Example: [bold]dysign-prep describe prepared/dblp --png dblp.png[/bold]",
    "verify": "Example: [bold]dysign-prep verify prepared/dblp[/bold]",
    "export": "Example: [bold]dysign-prep export prepared/wikipedia tgl/WIKI --to tgl --shift-time[/bold]",
}
"""What each command shows below its options."""


class Form(str, Enum):
    """What a prepared folder can be written as."""

    csv = "csv"
    tgl = "tgl"
    dyglib = "dyglib"


Prepared = Annotated[Path, typer.Argument(metavar="OUT", help="A prepared folder.", show_default=False)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def describe(
    out: Prepared,
    png: Annotated[Path | None, typer.Option(help="Picture to write; default OUT/describe.png.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Print counts beside the published ones, and draw events, nodes, labels and degrees."""
    from data_prep import describe as look

    with progress(quiet or as_json) as add:
        description = look.describe(out, add)
    png = png or out / "describe.png"
    look.draw(description, png)
    if as_json:
        print(json.dumps({**description.to_json(), "png": str(png)}))
    elif not quiet:
        from data_prep.tables import show_description

        show_description(description, png)


def verify(out: Prepared, quiet: Quiet = False, as_json: Json = False) -> None:
    """Check hashes, columns and everything else that a prepared folder promises; exit status 2 at the first fault."""
    from dgl_dysign.data.verify import verify as check_folder

    start = time.perf_counter()
    checks: dict[str, int] = {}
    with progress(quiet or as_json) as add:
        manifest = check_folder(out, on_check=checks.__setitem__, progress=add)
    seconds = round(time.perf_counter() - start, 3)
    if as_json:
        done = [{"check": check, "count": count} for check, count in checks.items()]
        print(json.dumps({"dataset": manifest["dataset"], "checks": done, "seconds": seconds, "path": str(out)}))
    elif not quiet:
        from data_prep.tables import show_counts

        show_counts(f"{manifest['dataset']}: all good", {**checks, "seconds": seconds, "path": str(out)})


def export(
    out: Prepared,
    dest: Annotated[
        Path, typer.Argument(metavar="DEST", help="Folder to write; it must not exist.", show_default=False)
    ],
    to: Annotated[
        Form,
        typer.Option(
            help="csv: edges, nodes, labels as tables. tgl: edges.csv by time, of which 70/15/15 % are for training, "
            "validation and testing, neighbours by time, features, labels. dyglib: ml_NAME.csv and its two .npy.",
            show_default=False,
        ),
    ],
    shift_time: Annotated[
        bool,
        typer.Option(
            "--shift-time",
            help="Write times from 0 at the first event. TGL's sampler keeps times in float32, in which Unix seconds "
            "are told apart only every 128 s, and whole seconds only up to 16,777,216 (194 days).",
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace DEST if this command made it.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write a prepared folder in another format: CSV tables, the files of TGL, or those of DyGLib (and TGN)."""
    from data_prep.export import export as write

    start = time.perf_counter()
    with progress(quiet or as_json) as add:
        made = write(out, dest, to.value, shift_time=shift_time, overwrite=overwrite, progress=add)
    seconds = round(time.perf_counter() - start, 3)
    if as_json:
        keys = ("format", "dataset", "time_shift", "rows", "rounded_times")
        print(json.dumps({**{key: made[key] for key in keys if key in made}, "seconds": seconds, "path": str(dest)}))
    elif not quiet:
        from data_prep.tables import show_counts

        show_counts(f"{made['dataset']} for {to.value}: rows", {**made["rows"], "seconds": seconds, "path": str(dest)})
        if rounded := made.get("rounded_times"):
            help_ = "they begin at 0 already" if shift_time else "--shift-time lets them begin at 0"
            print(f"{rounded:,} of {made['rows']['edges.csv']:,} times are rounded by TGL's float32; {help_}.")
