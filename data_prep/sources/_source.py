"""What a reader tells the preparation about a raw data set: its files, how they are written, and what they mean."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np
import pyarrow as pa

from data_prep.rules import Rule
from data_prep.sources._layout import Column, Kind, Layout
from data_prep.sources._raw_file import RawFile, Rejected
from data_prep.synth.published import MARKER
from data_prep.writer import is_utf8
from dgl_dysign.data.schema import sha256
from dgl_dysign.errors import DataError

SUFFIXES = ("", ".gz", ".bz2", ".xz", ".zst", ".zip")
"""What names of compressed files end with."""


@dataclass(frozen=True)
class ReadOptions:
    """How raw files are read: see :class:`data_prep.sources._raw_file.RawFile`, which has the same parameters."""

    on_error: Literal["stop", "quarantine"] = "stop"
    max_bytes: int | None = None
    on_bytes: Callable[[int], object] | None = None

    def open(self, path: Path, layout: Layout) -> RawFile:
        """Open one raw file."""
        return RawFile(path, layout, on_error=self.on_error, max_bytes=self.max_bytes, on_bytes=self.on_bytes)


@dataclass(frozen=True)
class NodeTable:
    """Labels of nodes, and other facts about them.

    Parameters
    ----------
    node : numpy.ndarray
        Raw ids as int64 or strings, ascending, each once.
    label : numpy.ndarray
        Class of each as written in the file, int64; -1 where it has none.
    raw_id : numpy.ndarray, optional
        Another id of each.
    complete : bool
        Whether nodes without an event count as nodes of the graph.
    sources, rejected : list
        The files' entries for the manifest; file name and row of all that was refused.
    lines_of : callable, optional
        Line numbers of some entries; with it nodes that no event names are refused unless they are allowed.
    file : path, optional
        The file, for messages.
    """

    node: np.ndarray
    label: np.ndarray
    raw_id: np.ndarray | None = None
    complete: bool = True
    sources: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[tuple[str, Rejected]] = field(default_factory=list)
    lines_of: Callable[[np.ndarray], list[int]] | None = None
    file: Path | None = None


@dataclass(frozen=True)
class Source:
    """A raw data set.

    Parameters
    ----------
    dataset : str
        Its name.
    parts : tuple of path
        The edge files, in order; each can be read alone.
    layout : Layout
        How each is written; gives the columns ``src``, ``dst``, ``time`` and perhaps ``weight``, ``label`` (of the
        event) and ``feat``.
    rule : Rule
        How times become snapshots unless the user says otherwise.
    spaces : tuple of str
        Types of sources and destinations; equal where they share one space of ids.
    keep_ids : bool
        Whether ids are node numbers as they stand, up to the largest of events and labels.
    directed : bool
        Whether ``src dst`` differs from ``dst src``.
    time_unit, unix : str and bool
        What a time of 1 means; whether times are Unix seconds.
    weight : str, optional
        Name of the column of weights.
    nodes : NodeTable, optional
        Labels of nodes and the like.
    beside : tuple of path
        Other files that the batches are made of.
    """

    dataset: str
    parts: tuple[Path, ...]
    layout: Layout
    rule: Rule
    spaces: tuple[str, str] = ("node", "node")
    keep_ids: bool = False
    directed: bool = False
    time_unit: str = "seconds since 1970-01-01 UTC"
    unix: bool = True
    weight: str | None = None
    nodes: NodeTable | None = None
    beside: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        for path in (*self.parts, *self.beside):
            if not is_utf8(path):
                raise DataError(f"{str(path)!a}: found a name that is not UTF-8; rename the file")


def find_parts(raw: Path, *names: str, command: str) -> tuple[Path, ...]:
    """Find an edge file by one of its names: alone, compressed, or in parts (``name-000.txt``, ``name-001.txt`` ...).

    `raw` is a folder or the file itself; `command` is named in messages. Parts come in the order of their numbers.
    """
    if raw.is_file():
        return (raw,)
    if not raw.is_dir():
        raise DataError(f"{raw}: found no such file or folder, expected {names[0]}; check RAW of dysign-prep {command}")
    for name in names:
        if parts := parts_named(raw, name):
            return parts
    listed = ", ".join(sorted(path.name for path in raw.iterdir())[:5]) or "an empty folder"
    raise DataError(f"{raw}: found {listed}, expected {' or '.join(names)}; check RAW of dysign-prep {command}")


def parts_named(raw: Path, name: str) -> tuple[Path, ...]:
    """Return the file of a folder that has this name, or its parts in order; none if there is no such file."""
    stem, dot, suffix = name.partition(".")
    whole = sorted(path for path in raw.glob(f"{name}*") if path.name[len(name) :] in SUFFIXES)
    parts = [path for path in raw.glob(f"{stem}-*{dot}{suffix}*") if _part_number(path, name) is not None]
    if len(whole) > 1 or (whole and parts):
        refuse_copies(raw, [*whole, *sorted(parts)][:3])
    parts.sort(key=lambda path: (_part_number(path, name), path.name))
    for one, other in pairwise(parts):
        if _part_number(one, name) == _part_number(other, name):
            refuse_copies(raw, [one, other])
    return tuple(whole or parts)


def refuse_copies(raw: Path, copies: list[Path]) -> NoReturn:
    """Raise DataError: events must not be read twice."""
    listed = ", ".join(path.name for path in copies)
    raise DataError(f"{raw}: found {listed}, expected one of them; keep one, or name the file itself as RAW")


def _part_number(path: Path, name: str) -> int | None:
    stem, _, suffix = name.partition(".")
    middle, _, rest = path.name.removeprefix(f"{stem}-").partition(".")
    fits = middle.isdecimal() and rest.startswith(suffix) and rest[len(suffix) :] in SUFFIXES
    return int(middle) if fits else None


def name_of(dataset: str, folder: Path) -> str:
    """Return the name of a data set, marked where its files were generated."""
    return f"{dataset}-generated" if (folder / MARKER).exists() else dataset


def other_sources(source: Source) -> list[dict[str, Any]]:
    """Describe the files without events, ``synth.json`` included, for the manifest."""
    markers = [path.parent / MARKER for path in source.parts[:1]]
    files = [*source.beside, *(marker for marker in markers if marker.exists())]
    counts = {"lines": 0, "header": 0, "rows": 0, "rejected": 0}
    return [{"name": path.name, "sha256": sha256(path), **counts} for path in files]


def read_columns(file: RawFile) -> list[np.ndarray]:
    """Read the columns of a small file whole: numbers, and strings as objects."""
    batches = [[_column(column) for column in batch.columns] for batch in file]
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def _column(values: pa.Array) -> np.ndarray:
    # Not `to_numpy`, which imports pandas: 0.3 s and 60 MB for nothing.
    return np.array(values.to_pylist(), object) if pa.types.is_string(values.type) else np.from_dlpack(values)


def each_once(file: RawFile, what: str) -> tuple[list[np.ndarray], dict[str, Any], list[tuple[str, Rejected]]]:
    """Read the number columns of a file whose first column names a `what` and must not repeat, sorted by it.

    Returns the columns, the file's entry for the manifest, and (file name, row) of all that was refused; raises
    DataError at the first row whose number is not new, unless rows are quarantined.
    """
    columns = read_columns(file)
    order = ascending_order(columns[0])
    columns = [column[order] for column in columns]
    again = np.flatnonzero(columns[0][1:] == columns[0][:-1]) + 1
    if len(again) and file.on_error == "stop":
        at = again[order[again].argmin()]
        line, before = file.lines_of(order[[at, at - 1]])
        raise DataError(
            f"{file.path}, line {line}: found {what} {columns[0][at]} again, expected each once (first on line "
            f"{before}); keep one of the two, or set the later one aside with --on-error quarantine"
        )
    refused = [
        Rejected(line, " ".join(str(column[at]) for column in columns), f"{what} {columns[0][at]} was given before")
        for at, line in zip(again, file.lines_of(order[again]), strict=True)
    ]
    return [np.delete(column, again) for column in columns], *_refused_too(file, refused)


def read_labels(path: Path, read: ReadOptions, kind: Kind = "integer") -> NodeTable:
    """Read ``node label`` lines in any order; a node (an id of a `kind`) may be listed twice, but not with two labels.

    Raises DataError at the first label that contradicts an earlier one, unless rows are quarantined.
    """
    file = read.open(path, Layout((Column("node", kind), Column("label", "integer"))))
    node, label = read_columns(file)
    order = ascending_order(node)
    node, label = node[order], label[order]
    again = np.concatenate([[False], node[1:] == node[:-1]])
    first = np.maximum.accumulate(np.where(again, 0, np.arange(len(node))))
    clash = np.flatnonzero(label != label[first])
    if len(clash) and read.on_error == "stop":
        at = clash[np.argmin(order[clash])]
        line, before = file.lines_of(order[[at, first[at]]])
        raise DataError(
            f"{path}, line {line}: found label {label[at]} for node {node[at]}, expected label {label[first[at]]} "
            f"as on line {before}; keep one of the two"
        )
    refused = [
        Rejected(line, f"{node[at]} {label[at]}", f"label {label[first[at]]} was given before")
        for at, line in zip(clash, file.lines_of(order[clash]), strict=True)
    ]
    source, rejected = _refused_too(file, refused)
    rows = order[~again]

    def lines_of(entries: np.ndarray) -> list[int]:
        return file.lines_of(rows[entries])

    return NodeTable(node[~again], label[~again], sources=[source], rejected=rejected, lines_of=lines_of, file=path)


def _refused_too(file: RawFile, refused: list[Rejected]) -> tuple[dict[str, Any], list[tuple[str, Rejected]]]:
    """Return a file's entry for the manifest and its rejected rows, with some good rows among the latter."""
    counts = file.source
    source = {**counts, "rows": counts["rows"] - len(refused), "rejected": counts["rejected"] + len(refused)}
    return source, sorted((file.path.name, row) for row in [*file.rejected, *refused])


def most_ids(rows: int) -> int:
    """Return the bound of ids that are node numbers: a table of all nodes must not be almost empty."""
    return min(2**31, max(10_000_000, 200 * rows))


def ascending_order(values: np.ndarray) -> np.ndarray:
    """Return the stable order that sorts some values, mostly sorted ones."""
    if (values[1:] >= values[:-1]).all():
        return np.arange(len(values))
    return np.argsort(values, kind="stable")
