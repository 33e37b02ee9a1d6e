"""The ``README.md`` of an exported task."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import Any

_EDGES = (
    "- `edges.csv`: an event a line, by snapshots from 0: `snapshot`, `src`, `dst` (nodes from 0 to {last_node}), "
    "`time`, and `weight` where the data has one. {directed}"
)
_DIRECTED = {True: "Edges have a direction.", False: "Edges have no direction: each event stands there once."}
_FILES = {
    "nodes": (
        _EDGES,
        "- `labels.csv`: the labels that may be known: `node`, `part` (`train` to learn from, `val` to choose by), "
        "`class` (0 to {last_class}). Those of test nodes are in no file.",
        "- `questions.csv`: the nodes to be classified: `node`, `part` (`val` or `test`).",
        "- `features.npy`: {features}of the nodes as of {when}, from the edges up to it.",
    ),
    "links": (
        f"{_EDGES} The last snapshot is left out: nobody need observe it.",
        "- `questions.csv`: a true link of a snapshot among others that are none: `query`, `part` (`val` or `test`), "
        "`snapshot`, `src`, `candidate0`, ..., `candidate{last_score}`. Which candidate is the true one, no file "
        "says: they are shuffled, and so are the questions of a snapshot.",
        "- `features.npy`: {features}of the nodes as of {when}, from the edges up to it: for questions of "
        "snapshot t read those of t - 1.",
        "",
        "Score the questions of snapshot t from the edges of the snapshots before t, then observe t. Train on the "
        "snapshots before {first_asked}, choose on those of `val`. `edges.csv` has the test snapshots because they "
        "must be observed, one after the other: whoever reads them earlier has seen the answers. A candidate may "
        "stand there twice.",
    ),
    "events": (
        f"{_EDGES} Before them stands `event`, a number from 0, and behind them `label`, 0 or 1; it is -1 where there"
        " is none, and in all of the test, whose labels are in no file.",
        "- `questions.csv`: the events to be scored: `event`, `part` (`val` or `test`).",
        "- `features.npy`: {features}of the events, in the order of `edges.csv`.",
        "",
        "Score an event of snapshot t from the snapshots before t and from its own ends, time and features.",
    ),
}
_LINE = {
    "nodes": "`node`, then a score of each of the {scores} classes (its probability, say), in order: {classes}",
    "links": "`query`, then a score of each of its {scores} candidates, in the order of `questions.csv`",
    "events": "`event`, then a score, higher where 1 is likelier",
}


def readme(about: Mapping[str, Any]) -> str:
    """Return what the files of an exported task are, and what is to be written back.

    Parameters
    ----------
    about : mapping
        What ``task.json`` holds.

    Examples
    --------
    >>> about = {"table": "events", "id": "0f", "dataset": "wikipedia", "asked": {"seed": 0}, "classes": ["0", "1"]}
    >>> about |= {"num_nodes": 3, "directed": True, "features": None, "answers": {"lines": 9, "scores": 1}}
    >>> print(readme(about).splitlines()[0])
    # Task 0f: events of wikipedia
    """
    table, shape, answers = about["table"], about["features"], about["answers"]
    words = {
        "last_node": about["num_nodes"] - 1,
        "directed": _DIRECTED[about["directed"]],
        "last_class": len(about["classes"]) - 1,
        "last_score": answers["scores"] - 1,
        "first_asked": about.get("first_asked"),
        "features": f"float32, shape {shape}, ",
        "when": "each snapshot" if shape is None or len(shape) == 3 else "the last snapshot that may be read",
        "scores": answers["scores"],
        "classes": ", ".join(about["classes"]),
    }
    files = [line for line in _FILES[table] if shape is not None or not line.startswith("- `features")]
    head = f"# task {about['id']}"
    back = (
        f"A text file: first the line `{head}`, then for each of the {answers['lines']} rows of `questions.csv`, in "
        f"any order, a line of numbers with commas between: {_LINE[table]}. With NumPy:"
    )
    asked = ", ".join(f"{name} {value}" for name, value in about["asked"].items())
    lines = [
        f"# Task {about['id']}: {table} of {about['dataset']}", "",
        f"Written by `dysign-train export-task` ({asked}).", "",
        *files, "", "## What is to be written back", "", back, "",
        f'    np.savetxt("mine.csv", rows, delimiter=",", header="{head[2:]}")', "",
        "`dysign-train score THIS_FOLDER mine.csv --run-dir runs/mine` scores it, as the row `mine (not verified)`.",
    ]  # fmt: skip
    wrapped = [line if line.startswith(" ") else _wrapped(line.format(**words)) for line in lines]
    return "\n".join(wrapped) + "\n"


def _wrapped(line: str) -> str:
    return fill(line, 120, subsequent_indent="  " * line.startswith("- "), break_on_hyphens=False)
