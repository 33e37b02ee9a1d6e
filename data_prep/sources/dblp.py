"""DBLP as MMDNE, SpikeNet and Dy-SIGN share it: ``src dst time`` lines and ``node2label.txt``."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from data_prep.snapshots import RawData
from data_prep.sources._text import Column, TextFile
from dgl_dysign.data.schema import sha256
from dgl_dysign.errors import DataError

EDGES = "dblp.txt"
LABELS = "node2label.txt"
GENERATED = "synth.json"
"""Written beside generated raw files, so that they are never taken for the real ones."""


def find_edges(folder: Path) -> Path:
    """Return the edge file of `folder`: ``dblp.txt``, or the only other text file beside ``node2label.txt``.

    Raises
    ------
    DataError
        If there is none, or several.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: found no such folder, expected one with {EDGES} and {LABELS}; check RAW")
    if (folder / EDGES).exists():
        return folder / EDGES
    found = sorted(path for path in folder.glob("*.txt") if path.name != LABELS)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "no edge file"
        raise DataError(f"{folder}: found {names}, expected {EDGES} or one other .txt file beside {LABELS}; check RAW")
    return found[0]


def read(
    folder: Path, *, allow_unknown_labels: bool = False, on_bytes: Callable[[int], object] | None = None
) -> RawData:
    """Read an edge file and its labels.

    Parameters
    ----------
    folder : path
        Holds the edge file (see :func:`find_edges`) and ``node2label.txt``.
    allow_unknown_labels : bool, default False
        Keep labels of nodes that no edge names (they become nodes without events) instead of refusing them.
    on_bytes : callable, optional
        Called with the size of each block read.

    Returns
    -------
    RawData
        Events and labels in file order; ids are the file's own.

    Raises
    ------
    DataError
        At the first bad line, naming file and line.
    """
    path = find_edges(folder)
    edges = TextFile(path, (Column("src"), Column("dst"), Column("time", integer=False)), on_bytes)
    labels = TextFile(folder / LABELS, (Column("node"), Column("label")), on_bytes)
    src, dst, time = _columns(edges)
    node, label = _columns(labels)
    for file, ids in ((edges, src), (edges, dst), (labels, node)):
        _refuse_far(file, ids, events=len(src))
    if not allow_unknown_labels:
        _refuse_unknown(labels, node, np.concatenate([src, dst]), path.name)
    labelled, classes = _one_each(labels, node, label)
    sources, dataset = [edges.source, labels.source], path.stem
    if (folder / GENERATED).exists():
        sources.append({"name": GENERATED, "sha256": sha256(folder / GENERATED), "rows": 0})
        dataset += "-generated"
    return RawData(dataset, src, dst, time, labelled, classes, sources)


def _columns(file: TextFile) -> list[np.ndarray]:
    # Not `to_numpy`, which imports pandas: 0.3 s and 60 MB for nothing.
    batches = [[np.from_dlpack(column) for column in batch.columns] for batch in file]
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def _refuse_far(file: TextFile, ids: np.ndarray, events: int) -> None:
    """Refuse ids so far apart that a table of all nodes would be almost empty; a pair of ids must fit in int64."""
    limit = min(2**31, max(10_000_000, 200 * events))
    row = int(ids.argmax())
    if ids[row] >= limit:
        raise DataError(
            f"{file.path}, line {file.line_of(row)}: found node id {ids[row]} in a file of {events} events, expected "
            f"ids below {limit}; number the nodes 0, 1, 2, … first"
        )


def _refuse_unknown(file: TextFile, node: np.ndarray, known: np.ndarray, edges: str) -> None:
    unknown = np.flatnonzero(~np.isin(node, known))
    if len(unknown):
        row = int(unknown[0])
        raise DataError(
            f"{file.path}, line {file.line_of(row)}: found a label for unknown node {node[row]}, expected a node of "
            f"{edges} ({len(unknown)} such lines); correct the file, or keep these nodes with --allow-unknown-labels"
        )


def _one_each(file: TextFile, node: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort labels by node; a node may be listed twice, but not with two labels."""
    order = np.argsort(node, kind="stable")
    node, label = node[order], label[order]
    again = np.concatenate([[False], node[1:] == node[:-1]])
    clash = np.flatnonzero(again & (label != np.roll(label, 1)))
    if len(clash):
        at = clash[np.argmin(order[clash])]
        first, second = (file.line_of(int(order[i])) for i in (at - 1, at))
        raise DataError(
            f"{file.path}, line {second}: found label {label[at]} for node {node[at]}, expected label {label[at - 1]} "
            f"as on line {first}; keep one of the two"
        )
    return node[~again], label[~again]
