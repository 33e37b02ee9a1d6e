"""``dysign-check``: one entry in; a table of verdicts, and an exit status, out. The import is light."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from dgl_dysign.cli import App, Config, Version, examples, show

app = App("dysign-check", "Check whether a model is honest and alive.")


@app.command(
    epilog=examples(
        "dysign-check mypkg.mod:MyModel",
        "dysign-check mypkg.mod:MyModel --data prepared/otc --row-args mine.toml --json",
        "dysign-check mypkg.mod:score --kind links --check future state",
        "dysign-check undergs --kind events",
        "dysign-check dysign --kind nodes --split time",
    )
)
def check(
    entry: Annotated[
        str,
        typer.Argument(
            metavar="ROW", show_default=False, help="A row of ours, or module:Name of a class, an object or a function."
        ),
    ],
    data: Annotated[
        Path | None, typer.Option(metavar="PREPARED", help="A prepared folder; default: a generated network.")
    ] = None,
    kind: Annotated[
        Literal["nodes", "links", "events"] | None,
        typer.Option(help="The table; default: of what there are labels, links without any."),
    ] = None,
    row_args: Annotated[Path | None, typer.Option(metavar="FILE.toml", help="Arguments of a class of yours.")] = None,
    seed: Annotated[int, typer.Option(help="Of everything drawn.")] = 0,
    split: Annotated[Literal["random", "time"], typer.Option(help="Of nodes: how they are split.")] = "random",
    only: Annotated[list[str] | None, typer.Option("--check", help="Names of checks; default: all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
    config: Config = None,
    version: Version = False,
) -> None:
    """Check whether a model is honest and alive: the exit status is 1 where there is a fault.

    It is fitted about ten times, to a small part of the data and to folders that differ where it may not look: no
    prediction may move. Gradients, orders, names, direction, state, time and memory are watched.
    """
    from dgl_dysign.experiments.check import check_entry

    report = check_entry(entry, data, kind[:-1] if kind else None, seed, only, row_args, split)
    if as_json:
        print(report.to_json())
    else:
        show(report.table())
    raise typer.Exit(0 if report.ok else 1)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    return app.run(argv)


if __name__ == "__main__":
    sys.exit(main())
