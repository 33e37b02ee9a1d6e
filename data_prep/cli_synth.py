"""The ``dysign-prep synth`` commands: generated raw files, one command for each format."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from data_prep.progress import progress
from data_prep.synth.published import FORMATS, MARKER, Format, Request

synth_app = typer.Typer(
    no_args_is_help=True,
    help="Write generated raw files in the format of a real data set, up to its published size.",
    rich_markup_mode="rich",
)

Out = Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; it must not exist.", show_default=False)]
Seed = Annotated[int, typer.Option(help="Equal seeds give equal bytes.")]
Parts = Annotated[int, typer.Option(help="Split the edge file into so many files: NAME-000, NAME-001 ...")]
Compress = Annotated[
    str | None, typer.Option(metavar="[gz|bz2|xz|zst|zip]", help="Compress the edge file.", show_default=False)
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUT if this tool made it.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]


@synth_app.command("dblp", epilog="Example: [bold]dysign-prep synth dblp raw/generated --nodes 2000[/bold]")
def synth_dblp(
    out: Out,
    nodes: Annotated[int, typer.Option(help="Number of nodes.")] = 2000,
    steps: Annotated[int, typer.Option(help="Number of time steps.")] = 12,
    classes: Annotated[int, typer.Option(help="Number of classes.")] = 6,
    events_per_step: Annotated[
        int | None, typer.Option(help="Mean number of events a step; default as in DBLP.", show_default=False)
    ] = None,
    seed: Seed = 0,
    parts: Parts = 1,
    compress: Compress = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """DBLP: dblp.txt and node2label.txt for a growing network of drifting communities."""
    from data_prep.synth.dblp import DblpLike

    generator = DblpLike(nodes, steps, classes, seed, events_per_step)
    total = int(generator.events_per_step or 8.4 * nodes / steps) * steps

    def write(folder: Path, on_rows: Callable[..., None]) -> dict[str, Any]:
        return generator.write(folder, parts, compress, on_rows)

    _make(out, write, total, overwrite, quiet, as_json)


def _add(name: str, form: Format) -> None:
    """Add the command of a format."""
    size = f"default {form.default_scale:g}: {round(form.default_scale * form.events):,} of {form.events:,} events"

    @synth_app.command(name, help=form.title, epilog=f"Example: [bold]{_example(name, form)}[/bold]")
    def command(
        out: Out,
        scale: Annotated[
            float | None, typer.Option(help=f"Share of the published size ({size}).", show_default=False)
        ] = None,
        events: Annotated[
            int | None, typer.Option(help="Rows of the edge file, instead of --scale.", show_default=False)
        ] = None,
        seed: Seed = 0,
        form_: Annotated[
            str | None,
            typer.Option(
                "--form",
                metavar=f"[{'|'.join(form.forms)}]",
                help="Which of the ways in which the data set is shared; default the first.",
                show_default=False,
                hidden=not form.forms,
            ),
        ] = None,
        parts: Parts = 1,
        compress: Compress = None,
        overwrite: Overwrite = False,
        quiet: Quiet = False,
        as_json: Json = False,
    ) -> None:
        from data_prep.synth import write

        request = Request(name, scale, events, seed, form_, parts, compress)
        _make(out, lambda folder, on_rows: write(request, folder, on_rows), request.rows, overwrite, quiet, as_json)


def _example(name: str, form: Format) -> str:
    options = f"--form {form.forms[-1]}" if form.forms else "--parts 2 --compress zst"
    return f"dysign-prep synth {name} raw/{name} --scale {form.default_scale:g} {options}"


def _make(
    out: Path,
    write: Callable[[Path, Callable[..., None]], dict[str, Any]],
    rows: int,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Write a folder, with a bar while that goes on, and say what is in it."""
    from data_prep.writer import new_folder

    with progress(quiet) as add, new_folder(out, overwrite, marker=MARKER) as folder:
        made = write(folder, add("generating", rows))
    made = {**made, "path": str(out)}
    if as_json:
        print(json.dumps(made))
    elif not quiet:
        from data_prep.tables import show_counts

        show_counts("generated", made)


for _name, _format in FORMATS.items():
    _add(_name, _format)
