"""``dysign-report``: run folders in, one page that opens offline out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dgl_dysign.cli import App, Config, Quiet, Version, examples
from dgl_dysign.errors import ConfigError
from dgl_dysign.files import write_file


def write_report(runs: Sequence[Path], output: Path, title: str, overwrite: bool = False, quiet: bool = True) -> None:
    """Write the report of some run folders to a file, which appears whole, or not at all.

    Unless ``quiet`` it says what is being read. Raises ``ConfigError`` if the file is there and not to be overwritten,
    its folder is not, or a run is none; ``DataError`` if a file of a run is damaged; ``BackendError`` if plotly or
    jinja2 is missing.
    """
    from dgl_dysign.report.page import page, require_extra
    from dgl_dysign.report.runs import read_runs

    require_extra()
    _check(output, overwrite)
    read = []
    for run in read_runs(list(runs)):
        read.append(run)
        if not quiet:
            print(f"read {run.path}: {len({r.key for r in run.results})} finished units", file=sys.stderr)
    text = page(read, title)
    with write_file(output) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _check(output: Path, overwrite: bool) -> None:
    if output.is_dir():
        raise ConfigError(f"{output} is a folder; name a file, such as {output / 'report.html'}")
    if output.exists() and not overwrite:
        raise ConfigError(f"{output} is there; pass --overwrite to replace it, or name another file")
    if not output.parent.is_dir():
        raise ConfigError(f"the folder {output.parent} does not exist; make it first")


app = App("dysign-report", "Write a page about runs.")


@app.command(
    epilog=examples(
        "dysign-report runs/dblp -o dblp.html",
        'dysign-report runs/otc runs/alpha -o links.html --title "Links of Bitcoin"',
        "dysign-report runs/* -o report.html --overwrite",
    )
)
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run folders.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file.")] = Path("report.html"),
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "Dy-SIGN report",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
    quiet: Quiet = False,
    config: Config = None,
    version: Version = False,
) -> None:
    """Write a page about runs: figures, curves, what neurons did, settings; several side by side.

    A run is the --run-dir of a training, finished or not. The page needs no network, and can be sent by mail.
    """
    try:
        write_report(runs, output, title, overwrite, quiet)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("nothing was written") from None
    if not quiet:
        print(f"{output} ({output.stat().st_size / 2**20:.1f} MiB)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    return app.run(argv)


if __name__ == "__main__":
    sys.exit(main())
