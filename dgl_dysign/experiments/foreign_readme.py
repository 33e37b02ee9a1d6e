"""The ``README.md`` of an exported task."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from textwrap import fill
from typing import Any

_TEXT = """# Task {id}: {table} of {dataset}

Written by `dysign-train export-task` ({asked}).

- `edges.csv`: an event a line, by snapshots from 0: `snapshot`, `src`, `dst` (nodes from 0 to {last_node}), `time`, \
and `weight` where the data has one. {directed}{edges} \
Row n of `nodes.parquet` in the prepared folder has the name of node n in the raw data (`raw_id`).
- `questions.csv`: {questions}
- `features.npy`, where the data has features: float32, {features}
{more}
## What is to be written back

A text file: first the line `# task {id}`, then for each of the {lines} rows of `questions.csv`, in any order, a line \
of numbers with commas between: {answer}. With NumPy:

    np.savetxt("mine.csv", rows, delimiter=",", header="task {id}")

`dysign-train score THIS_FOLDER mine.csv --run-dir runs/mine` scores it, as the row `mine (not verified)`."""
_DIRECTED = {True: "Edges have a direction.", False: "Edges have no direction: each event stands there once."}
_OF_NODES = "of the nodes as of each snapshot (or of the last one that may be read), from the edges up to it"
_PARTS: dict[str, dict[str, str]] = {
    "nodes": {
        "edges": "",
        "questions": "the nodes to be classified: `node`, `part` (`val` or `test`).",
        "features": f"{_OF_NODES}.",
        "more": "- `labels.csv`: the labels that may be known: `node`, `part` (`train` to learn from, `val` to choose "
        "by), `class` (from 0). Those of test nodes are in no file.\n",
        "answer": "`node`, then a score of each of the {scores} classes (its probability, say), in order: {classes}",
    },
    "links": {
        "edges": " The last snapshot is left out: nobody need observe it.",
        "questions": "a true link of a snapshot among others that are none: `query`, `part` (`val` or `test`), "
        "`snapshot`, `src`, `candidate0`, ... Which candidate is the true one, no file says: they are shuffled, and so "
        "are the questions of a snapshot. A candidate may stand there twice.",
        "features": f"{_OF_NODES}: for questions of snapshot t read those of t - 1.",
        "more": "\nScore the questions of snapshot t from the edges of the snapshots before t, then observe t. Train "
        "on the snapshots before {first_asked}, choose on those of `val`. `edges.csv` has the test snapshots because "
        "they must be observed, one after the other: whoever reads them earlier has seen the answers.\n",
        "answer": "`query`, then a score of each of its {scores} candidates, in the order of `questions.csv`",
    },
    "events": {
        "edges": " Before them stands `event`, a number from 0, and behind them `label`, 0 or 1; it is -1 where there "
        "is none, and in all of the test, whose labels are in no file.",
        "questions": "the events to be scored: `event`, `part` (`val` or `test`).",
        "features": "of the events, in the order of `edges.csv`.",
        "more": "\nScore an event of snapshot t from the snapshots before t, and its own ends, time and features.\n",
        "answer": "`event`, then a score, higher where 1 is likelier",
    },
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
    >>> about |= {"num_nodes": 3, "directed": True, "answers": {"lines": 9, "scores": 1}}
    >>> print(readme(about).splitlines()[0])
    # Task 0f: events of wikipedia
    """
    words = {"first_asked": None, **about, **about["answers"], "classes": ", ".join(about["classes"])}
    words |= {name: text.format(**words) for name, text in _PARTS[about["table"]].items()}
    words |= {"last_node": about["num_nodes"] - 1, "directed": _DIRECTED[about["directed"]]}
    words["asked"] = ", ".join(f"{name} {value}" for name, value in about["asked"].items())
    lines = _TEXT.format(**words).splitlines()
    wrap = partial(fill, width=120, break_on_hyphens=False)
    return "\n".join(wrap(line, subsequent_indent="  " * line.startswith("- ")) for line in lines) + "\n"
