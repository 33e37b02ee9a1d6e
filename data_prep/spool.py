"""First stage: one raw edge file to column files on disk, with what the later stages must know of it.

A part can be spooled by any process on any host that sees the files; the next stage reads parts in order, chunk by
chunk, so that memory does not grow with the data.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
import pyarrow as pa

from data_prep.ids import Names, NumberSet, distinct
from data_prep.sources._raw_file import RawFile, Rejected
from data_prep.sources._source import ReadOptions, Source, most_ids
from data_prep.writer import write_array
from dgl_dysign.errors import ConfigError

DONE = "part.json"
REJECTED = "rejected.jsonl"
CHUNK = 1 << 17
"""Rows at once: columns of this length stay in a core's cache."""
_MOST_DISTINCT = 5_000_000


@dataclass(frozen=True)
class Part:
    """What is known of a spooled part: `facts` as :func:`spool` wrote them to ``part.json``."""

    folder: Path
    facts: dict[str, Any]

    @property
    def rows(self) -> int:
        """Number of accepted rows."""
        return int(self.facts["rows"])

    @property
    def rejected(self) -> Iterator[tuple[str, Rejected]]:
        """File name and row of all that was refused."""
        with open(self.folder / REJECTED, encoding="utf-8") as lines:
            for line in lines:
                yield self.facts["source"]["name"], Rejected(*json.loads(line))

    def ids(self, space: str) -> np.ndarray:
        """Distinct raw ids of a space: int64 ascending, or strings in the order of their codes."""
        if self.facts["text"]:
            return np.array(json.loads((self.folder / f"ids-{space}.json").read_text(encoding="utf-8")), dtype=object)
        return np.load(self.folder / f"ids-{space}.npy")

    def distinct_times(self) -> np.ndarray:
        """Distinct times, ascending; only where they were asked for."""
        return np.load(self.folder / "times.npy")

    def column(self, name: str) -> np.ndarray:
        """Map one column into memory."""
        kind, width = self.facts["columns"][name]
        shape = (self.rows, width) if width > 1 or name == "feat" else (self.rows,)
        return np.memmap(self.folder / name, kind, "r", shape=shape)

    def forget(self) -> None:
        """Remove the columns, which no later stage reads: what is not on the disk yet need not go there."""
        for name in self.facts["columns"]:
            (self.folder / name).unlink(missing_ok=True)

    def chunks(self, names: list[str]) -> Iterator[dict[str, np.ndarray]]:
        """Read some columns chunk by chunk."""
        with ExitStack() as stack:
            files = {name: stack.enter_context(open(self.folder / name, "rb")) for name in names}
            for first in range(0, self.rows, CHUNK):
                count = min(CHUNK, self.rows - first)
                yield {name: self._read(files[name], name, count) for name in names}

    def _read(self, file: BinaryIO, name: str, count: int) -> np.ndarray:
        kind, width = self.facts["columns"][name]
        values = np.fromfile(file, kind, count * width)
        return values.reshape(count, width) if width > 1 or name == "feat" else values


def load(folder: Path) -> Part | None:
    """Return a part that is there whole, or None."""
    try:
        return Part(folder, json.loads((folder / DONE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def spool(source: Source, number: int, folder: Path, options: ReadOptions) -> Part:
    """Read one edge file of a source into `folder`.

    Parameters
    ----------
    source : Source
        The data set.
    number : int
        Which of its parts.
    folder : path
        Where the columns go, in a folder that exists; what an interrupted run left there is overwritten.
    options : ReadOptions
        How to read.

    Returns
    -------
    Part
        What was read.

    Raises
    ------
    DataError
        At the first bad row, unless rows are quarantined; or if no row is good.
    """
    folder.mkdir(exist_ok=True)  # not its parents: a late worker makes no folder anew that was cleared away
    file = options.open(source.parts[number], source.layout)
    with closing(_Spool(folder, source)) as writer, open(folder / REJECTED, "w", encoding="utf-8") as rejected:
        for batch in file:
            writer.add(batch)
            _set_aside(file, rejected)
        _set_aside(file, rejected)
    facts = {**writer.facts(file), "source": file.source}
    partial = folder / f"{DONE}.partial"
    partial.write_text(json.dumps(facts), encoding="utf-8")
    partial.rename(folder / DONE)
    return Part(folder, facts)


def _set_aside(file: RawFile, rejected: TextIO) -> None:
    """Move bad rows to the disk: there may be nearly as many as good ones."""
    rejected.writelines(f"{json.dumps(row)}\n" for row in file.rejected)
    file.rejected.clear()


class _Spool:
    """Column files in the making."""

    def __init__(self, folder: Path, source: Source) -> None:
        self._folder = folder
        self._spaces = dict(zip(("src", "dst"), source.spaces, strict=True))
        self._numbers = {space: NumberSet() for space in source.spaces}
        self._names = {space: Names() for space in source.spaces}
        self._keep_ids = source.keep_ids
        self._largest, self._largest_row = -1, 0
        self._text = False
        self._files: dict[str, BinaryIO] = {}
        self._columns: dict[str, list[Any]] = {}
        self._rows = 0
        self._low, self._high, self._last, self._ascending = np.inf, -np.inf, -np.inf, True
        self._distinct = [np.empty(0)] if source.rule.needs_distinct else None
        self._labels: set[int] = set()

    def add(self, batch: pa.RecordBatch) -> None:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            values = self._values(name, column)
            if name not in self._files:
                self._files[name] = open(self._folder / name, "wb", buffering=0)  # noqa: SIM115 (closed in `close`)
                # A list: as it is when it comes back from JSON, since parts of two runs are compared.
                self._columns[name] = [values.dtype.str, values.shape[1] if values.ndim > 1 else 1]
            _write(self._files[name], values)
        self._rows += batch.num_rows

    def _values(self, name: str, column: pa.Array) -> np.ndarray:
        if pa.types.is_string(column.type):
            self._text = True
            return self._names[self._spaces[name]].encode(column)
        if pa.types.is_fixed_size_list(column.type):
            return np.from_dlpack(column.flatten()).reshape(-1, column.type.list_size)
        values = np.from_dlpack(column)
        if name in self._spaces and self._keep_ids:
            self._see_largest(values)
        elif name in self._spaces:
            self._numbers[self._spaces[name]].add(values)
        elif name == "time":
            self._see_times(values)
        elif name == "label":
            self._labels.update(np.unique(values).tolist())
        return values

    def _see_largest(self, ids: np.ndarray) -> None:
        largest = int(ids.max(initial=-1))
        if largest > self._largest:
            self._largest, self._largest_row = largest, self._rows + int(ids.argmax())

    def _see_times(self, time: np.ndarray) -> None:
        if not len(time):
            return
        # Plus zero: which of 0.0 and -0.0 is the least depends on the chunks.
        low, high = float(time.min()) + 0.0, float(time.max()) + 0.0
        inside = not (time[1:] < time[:-1]).any()
        self._ascending &= inside and time[0] >= self._last
        self._low, self._high, self._last = min(self._low, low), max(self._high, high), float(time[-1])
        if self._distinct is not None:
            # Sorted input, the usual case, needs no sort.
            new = time[np.concatenate([[True], time[1:] != time[:-1]])] if inside else distinct(time)
            self._distinct.append(new + 0.0)
            if sum(map(len, self._distinct)) > 2 * max(len(self._distinct[0]), 1 << 16):
                self._distinct = [distinct(np.concatenate(self._distinct))]
                if len(self._distinct[0]) > _MOST_DISTINCT:
                    raise ConfigError(
                        f"one snapshot a time: found more than {_MOST_DISTINCT} distinct times; give a rule such as "
                        "--every day"
                    )

    def close(self) -> None:
        for file in self._files.values():
            file.close()

    def _far(self, file: RawFile) -> str | None:
        """Say where the largest id stands if it may be too large."""
        if self._largest < most_ids(self._rows):
            return None
        return f"{file.path}, line {file.line_of(self._largest_row)}"

    def facts(self, file: RawFile) -> dict[str, Any]:
        """Write the small tables, and return what goes to ``part.json``."""
        for space in self._numbers:
            if self._text:
                names = json.dumps(self._names[space].list)
                (self._folder / f"ids-{space}.json").write_text(names, encoding="utf-8")
            elif not self._keep_ids:
                write_array(self._folder / f"ids-{space}.npy", self._numbers[space].ascending())
        if self._distinct is not None:
            write_array(self._folder / "times.npy", distinct(np.concatenate(self._distinct)))
        ends = {} if not self._rows else {"low": self._low, "high": self._high}
        return {
            "rows": self._rows,
            "columns": self._columns,
            "text": self._text,
            "largest_id": self._largest,
            "largest_at": self._far(file),
            "ascending": bool(self._ascending),
            "labels": sorted(self._labels),
            **ends,
        }


def _write(file: BinaryIO, values: np.ndarray) -> None:
    view = np.ascontiguousarray(values).view(np.uint8).reshape(-1).data
    while len(view):  # an unbuffered file may take a part at a time
        view = view[file.write(view) :]
