"""``dysign-train``: a prepared folder in; a table of rows, their figures and pictures out.

The import is light; under ``torchrun``, ``-m dgl_dysign.experiments.train_cli`` is the same command.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, TypeVar

import typer

from dgl_dysign.cli import App, Config, Version, examples
from dgl_dysign.experiments.options import (
    EventOptions,
    ExportOptions,
    FolderOptions,
    LinkOptions,
    NodeOptions,
    RunOptions,
    ScoreOptions,
)

T = TypeVar("T", bound=FolderOptions)
OPTIONS: dict[str, type[RunOptions]] = {"nodes": NodeOptions, "links": LinkOptions, "events": EventOptions}

_HELP = {
    "nodes": """Classify the nodes of a dynamic graph: Dy-SIGN beside a GCN, a ReLU network and other references.

Of labelled nodes, shares of --train-ratio are for training, 5 % of all for validation, and the others for testing. With
--split time, nodes that were first seen by --train-until train, those seen by --val-until validate, and later ones are
tested; training reads no snapshot after its end. A --train-ratio below 1 leaves nodes that training saw unlabelled, and
tests them, too.""",
    "links": """Predict the links of a dynamic graph: UnderGS beside what counting gives.

Snapshot t is scored from the state at the end of t - 1: each warm edge among negatives. The row undergs sees embeddings
and features of pairs, undergs-no-counts embeddings alone, undergs-paper is the method as the report has it.""",
    "events": """Predict labels of events (Wikipedia, Reddit: is the user banned?): UnderGS beside references.

Snapshots are split by time. Each event is scored from the state before its snapshot and from its own ends, time and
features; no other event of its snapshot, nothing later and no label but those of the training loss is seen.""",
}
_RESUME = """

Kill it at any moment: with --resume it goes on, and ends with the same figures. Several processes share the training of
each row: torchrun --standalone --nproc-per-node 2 -m dgl_dysign.experiments.train_cli ..."""
_EXAMPLES = {
    "nodes": (
        "dysign-train nodes prepared/dblp --run-dir runs/dblp --train-ratio 0.4 0.6 0.8 --seeds 3",
        "dysign-train nodes prepared/dblp --run-dir runs/mine --rows dysign mypkg.mod:MyModel --row-args mine.toml",
        "dysign-train nodes prepared/fraud --run-dir runs/fraud --split time --positive=-1",
    ),
    "links": (
        "dysign-train links prepared/otc --run-dir runs/otc --seeds 3",
        "dysign-train links --raw soc-sign-bitcoinalpha.csv --run-dir runs/alpha",
        "dysign-train links prepared/otc-weeks --run-dir runs/otc-live --protocol roland-live",
    ),
    "events": (
        "dysign-train events prepared/wikipedia --run-dir runs/wikipedia --seeds 3",
        "dysign-train events --raw raw/reddit --format reddit --run-dir runs/reddit --split positives",
    ),
}


def _train(table: str, options: Any) -> None:
    from dgl_dysign.experiments import train

    getattr(train, f"run_{table}")(options).show()


def _show_rows(table: str) -> None:
    from rich.table import Table

    from dgl_dysign.cli import show
    from dgl_dysign.experiments.resolve import list_rows

    rows = Table("row", "what it is", box=None, show_header=False)
    for row in list_rows(table.removesuffix("s")):
        rows.add_row(*row)
    show(rows)


def _add_study(app: App, options: type[T], work: Callable[[T], object], table: str, **settings: Any) -> None:
    """Add a command that runs a study: interrupted, it says how to go on."""

    def run(chosen: T) -> None:
        try:
            work(chosen)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"go on with: --run-dir {chosen.run_dir} --resume") from None

    more: dict[str, Any] = {"config": Config} | ({} if "name" in settings else {"version": Version})
    if table:

        def list_rows(ctx: typer.Context, wanted: bool) -> None:
            if wanted and not ctx.resilient_parsing:
                _show_rows(table)
                raise typer.Exit

        lister = typer.Option("--list-rows", is_eager=True, callback=list_rows, help="Name all rows of the package.")
        more["list_rows"] = Annotated[bool, lister]
    app.add(options, run, more=more, **settings)


def _run(app: App, argv: Sequence[str] | None) -> int:
    """Run a command line, alone or as one of the processes of ``torchrun``."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return app.run(argv)
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # else a process that is lost is pages of C++ frames
    from dgl_dysign.experiments.command import run_together

    return run_together(app, argv)


def run_study(
    name: str,
    about: str | None,
    options: type[T],
    work: Callable[[T], object],
    argv: Sequence[str] | None = None,
    table: str = "",
) -> int:
    """Run a study from a command line of its own, as the scripts in ``examples/`` do, and return the exit status.

    Parameters
    ----------
    name, about : str
        Of the command: errors begin with the first, the second is its help.
    options : type
        A dataclass derived from `RunOptions`.
    work : callable
        Runs the study of such options.
    table : {"", "nodes", "links", "events"}
        Whose rows ``--list-rows`` lists; default: there is no such option.
    argv : sequence of str, optional
        Default: the program's arguments.
    """
    study = App(name, "")
    _add_study(study, options, work, table, help=about or "")
    return _run(study, argv)


app = App(
    "dysign-train",
    "Train and score the rows of a table: [bold]nodes[/bold], [bold]links[/bold] or labels of [bold]events[/bold].",
)


@app.callback()
def _about(version: Version = False) -> None:
    pass


for _name, _options in OPTIONS.items():
    _more = {"help": _HELP[_name] + _RESUME, "epilog": examples(*_EXAMPLES[_name])}
    _add_study(app, _options, partial(_train, _name), _name, name=_name, **_more)


def _export(options: ExportOptions) -> None:
    from dgl_dysign.cli import show
    from dgl_dysign.experiments.foreign_task import export_task

    show(str(export_task(options).folder / "README.md"))


def _score(options: ScoreOptions) -> None:
    from dgl_dysign.experiments.foreign_rows import score_files

    score_files(options).show()


app.add(
    ExportOptions,
    _export,
    "export-task",
    more={"config": Config},
    help="""Write the task of one test of a table as plain files, for code that is not this package's.

    No label of the test is in them, and the candidates of a link are shuffled. README.md among them says what each file
    is, and what is to be written back for dysign-train score.""",
    epilog=examples("dysign-train export-task prepared/dblp tasks/dblp --table nodes --train-ratio 0.4"),
)
_add_study(
    app,
    ScoreOptions,
    _score,
    "",
    name="score",
    help="""Score predictions that were made elsewhere, in the table of their task: NAME.csv as NAME (not verified).

    Nobody here can tell what such a row has seen: it is marked wherever it stands. Files of the same name for several
    tasks are one row.""",
    epilog=examples(
        "dysign-train score tasks/dblp spikenet.csv --run-dir runs/dblp-spikenet --rows dysign gcn",
        "dysign-train score tasks/s42 a42/mine.csv tasks/s43 a43/mine.csv --run-dir runs/mine",
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    return _run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
