"""What a reader tells the preparation about a raw data set: its files, how they are written, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np
import pyarrow as pa

from data_prep.rules import Rule
from data_prep.sources._layout import Layout
from data_prep.sources._raw_file import RawFile, Rejected
from data_prep.synth.published import MARKER
from data_prep.writer import is_utf8
from dgl_dysign.data.schema import sha256
from dgl_dysign.errors import DataError

if TYPE_CHECKING:  # known formats do without
    from data_prep.sources.look import Look

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
    """Labels of nodes, or numbers to be learnt of them, and other facts about them.

    Parameters
    ----------
    node : numpy.ndarray
        Raw ids as int64 or strings, ascending, each once.
    value : numpy.ndarray
        Class of each, int64, -1 where it has none; or its number, float64, NaN where it has none.
    classes : sequence of str, optional
        Names of the classes; without it a class is its number as written in the file.
    raw_id : numpy.ndarray, optional
        Another id of each.
    complete : bool
        Whether nodes without an event count as nodes of the graph.
    numbered : bool
        Whether `node` are nodes already, not raw ids.
    at : str or float, optional
        ``"last"``, ``"first"`` or the time of which the values are, where a file has times.
    sources, rejected : list
        The files' entries for the manifest; file name and row of all that was refused.
    rows_of : callable, optional
        Entry, line number and text of all rows of some entries, in the order of the lines; with it nodes that no event
        names are refused unless they are allowed.
    file : path, optional
        The file, for messages.
    look : Look, optional
        What was seen in its first rows.
    """

    node: np.ndarray
    value: np.ndarray
    classes: Sequence[str] | None = None
    raw_id: np.ndarray | None = None
    complete: bool = True
    numbered: bool = False
    at: str | float | None = None
    sources: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[tuple[str, Rejected]] = field(default_factory=list)
    rows_of: Callable[[np.ndarray], list[tuple[int, int, str]]] | None = None
    file: Path | None = None
    look: Look | None = None


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
        event), ``src_label`` and ``dst_label`` (of its nodes) and ``feat``.
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
    nodes, targets : NodeTable, optional
        Labels of nodes and the like; numbers to be learnt of nodes.
    beside : tuple of path
        Other files that the batches are made of.
    look : Look, optional
        What was seen in the first file where its format is not known.
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
    targets: NodeTable | None = None
    beside: tuple[Path, ...] = ()
    look: Look | None = None

    @property
    def has_node_classes(self) -> bool:
        """Whether columns of the events name the classes of nodes."""
        return any(column.name in ("src_label", "dst_label") for column in self.layout.columns)

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
    return [np.delete(column, again) for column in columns], *refused_too(file, refused)


def refused_too(file: RawFile, refused: list[Rejected]) -> tuple[dict[str, Any], list[tuple[str, Rejected]]]:
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
