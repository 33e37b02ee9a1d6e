"""``dysign-report``: run folders in, one page that opens offline out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dgl_dysign.errors import ConfigError, DGLDySignError
from dgl_dysign.files import write_file

_EXAMPLES = """
examples:
  dysign-report runs/dblp -o dblp.html
  dysign-report runs/otc runs/alpha -o links.html --title "Links of Bitcoin"
  dysign-report runs/* -o report.html --overwrite

A run is the --run-dir of one of the examples, finished or not. The page holds all that it needs: it opens without a
network, and can be sent by mail.
"""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    found = argparse.ArgumentParser(
        prog="dysign-report",
        description="Write a page about runs: figures, curves, what neurons did, settings; several side by side.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folder")
    found.add_argument("-o", "--output", type=Path, default=Path("report.html"), help="file (default report.html)")
    found.add_argument("--title", default="Dy-SIGN report", help="heading of the page")
    found.add_argument("--overwrite", action="store_true", help="replace the file if it is there")
    found.add_argument("--quiet", action="store_true", help="say nothing but errors")
    return found


def write_report(runs: Sequence[Path], output: Path, title: str, overwrite: bool = False, quiet: bool = True) -> None:
    """Write the report of some run folders.

    Parameters
    ----------
    runs : sequence of Path
        The folders.
    output : Path
        The file; it appears whole, or not at all.
    title : str
        Heading of the page.
    overwrite : bool, default False
        Whether a file that is there is replaced.
    quiet : bool, default True
        Whether to be silent about what is being read.

    Raises
    ------
    ConfigError
        If the file is there, its folder is not, or a run is none.
    DataError
        If a file of a run is damaged.
    BackendError
        If plotly or jinja2 is missing.
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    args = parser().parse_args(argv)
    try:
        write_report(args.runs, args.output, args.title, args.overwrite, args.quiet)
    except (DGLDySignError, OSError) as error:
        print(f"dysign-report: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        return 130
    if not args.quiet:
        print(f"{args.output} ({args.output.stat().st_size / 2**20:.1f} MiB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
