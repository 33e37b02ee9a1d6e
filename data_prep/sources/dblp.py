"""DBLP as MMDNE, SpikeNet and Dy-SIGN share it: ``src dst time`` lines and ``node2label.txt``."""

from pathlib import Path

from data_prep.rules import Rule
from data_prep.sources._labels import LABELS, read_labels
from data_prep.sources._layout import Column, Layout
from data_prep.sources._source import ReadOptions, Source, name_of, parts_named
from dgl_dysign.errors import DataError

EDGES = "dblp.txt"
LAYOUT = Layout((Column("src", "integer"), Column("dst", "integer"), Column("time", "number")))


def open_source(raw: Path, read: ReadOptions) -> Source:
    """Open an edge file (``dblp.txt``, or the only other text file of the folder) and read its labels.

    Parameters
    ----------
    raw : path
        Folder with the edge file and ``node2label.txt``.
    read : ReadOptions
        How to read.

    Returns
    -------
    Source
        Undirected; ids are node numbers as they stand; one snapshot a step.

    Raises
    ------
    DataError
        If a file is missing, or at the first bad line of the labels.
    """
    parts = _find(raw)
    dataset = name_of(parts[0].name.partition(".")[0].partition("-")[0], raw)
    return open_steps(parts, raw / LABELS, dataset, read)


def open_steps(parts: tuple[Path, ...], labels: Path, dataset: str, read: ReadOptions) -> Source:
    """Open undirected ``src dst time`` lines whose times are steps, with labels of nodes."""
    return Source(
        dataset,
        parts,
        LAYOUT,
        Rule("step"),
        keep_ids=True,
        time_unit="as in the file",
        unix=False,
        nodes=read_labels(labels, read),
    )


def _find(raw: Path) -> tuple[Path, ...]:
    if not raw.is_dir():
        raise DataError(f"{raw}: found no such folder, expected one with {EDGES} and {LABELS}; check RAW")
    if parts := parts_named(raw, EDGES):
        return parts
    found = sorted(path for path in raw.glob("*.txt") if path.name != LABELS)
    if len(found) == 1:
        return tuple(found)
    names = ", ".join(path.name for path in found) or "no edge file"
    raise DataError(f"{raw}: found {names}, expected {EDGES} or one other .txt file beside {LABELS}; check RAW")
