"""First stage: raw edge files to column files on disk; and from those the events in the order of their snapshots.

A part can be spooled by any process on any host that sees the files; the next stage reads parts in order, chunk by
chunk, so that memory does not grow with the data.
"""

import json
import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO, TextIO

import numpy as np
import pyarrow as pa

from data_prep.names import ClassNames, Names
from data_prep.node_classes import NodeClasses
from data_prep.rules import Binning
from data_prep.sources._raw_file import RawFile, Rejected
from data_prep.sources._source import ReadOptions, Source, most_ids
from dgl_dysign.errors import BackendError, ConfigError
from dgl_dysign.files import write_json

DONE = "part.json"
REJECTED = "rejected.jsonl"
CLASSES = "classes.json"
CHUNK = 1 << 17
"""Rows at once: columns of this length stay in a core's cache."""
_TABLE_LIMIT = 1 << 26
_MOST_DISTINCT = 5_000_000
_HASHED = 1 << 18
"""Most keys at once in a table of repeated events; that of more would not fit a core's cache."""
_ODD = np.array([0x9E3779B97F4A7C15 - 2**64, 0xC2B2AE3D27D4EB4F - 2**64], np.int64)

Chunk = dict[str, np.ndarray]
"""Columns of some events: ``snapshot``, ``src``, ``dst``, ``time``, ``edge_id`` and what else the raw file has."""


def distinct(values: np.ndarray) -> np.ndarray:
    """Return the distinct values in ascending order; by a sort, as `np.unique`'s hash table is slow where it is large.

    >>> distinct(np.array([3, 1, 3])).tolist()
    [1, 3]
    """
    values = np.sort(values)
    return values[np.concatenate([[True], values[1:] != values[:-1]])] if len(values) else values


class NumberSet:
    """The distinct numbers seen so far, in memory that grows with their range or their count, not with the rows."""

    def __init__(self, pending: int = 1 << 22) -> None:
        self._pending = pending  # so many large numbers are merged, to stay few
        self._small = np.zeros(1 << 10, dtype=bool)
        self._large: list[np.ndarray] = []

    def add(self, values: np.ndarray) -> None:
        """Add integers from 0 up."""
        if not len(values):
            return
        if values.max() >= _TABLE_LIMIT:
            self._large.append(distinct(values[values >= _TABLE_LIMIT]))
            values = values[values < _TABLE_LIMIT]
            if sum(map(len, self._large)) > self._pending and len(self._large) > 1:
                self._large = [distinct(np.concatenate(self._large))]
        most = int(values.max(initial=0))
        if most >= len(self._small):
            self._small = np.concatenate([self._small, np.zeros(max(most + 1 - len(self._small), most // 2), bool)])
        self._small[values] = True

    def ascending(self) -> np.ndarray:
        """Return the numbers in ascending order, int64."""
        # An empty list would be float64, which has no numbers of its own beyond 2^53.
        large = distinct(np.concatenate([np.empty(0, np.int64), *self._large]))
        return np.concatenate([np.flatnonzero(self._small), large])


@dataclass(frozen=True)
class Part:
    """Some rows of a data set, in memory: `columns` in the order of the raw data.

    `facts` tells number of ``rows``, dtype and width of ``columns``, whether times are ``ascending``, their ``low`` and
    ``high``, the ``labels`` of events (numbers, or names in the order of their codes in the column), and the ``source``
    entry of the manifest.
    """

    facts: dict[str, Any]
    columns: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Number of accepted rows."""
        return int(self.facts["rows"])

    @property
    def rejected(self) -> Iterator[tuple[str, Rejected]]:
        """File name and row of all that was refused."""
        return iter(())

    def distinct_times(self) -> np.ndarray:
        """Distinct times, ascending; only where the rule needs them."""
        return distinct(self.columns["time"] + 0.0)

    def column(self, name: str) -> np.ndarray:
        """One column, whole."""
        return self.columns[name]

    def chunks(self, names: list[str]) -> Iterator[Chunk]:
        """Yield some columns chunk by chunk."""
        for first in range(0, self.rows, CHUNK):
            yield {name: self.columns[name][first : first + CHUNK] for name in names}

    def forget(self) -> None:
        """Free the columns, which no later stage reads, unless they are the caller's."""


@dataclass(frozen=True)
class SpooledPart(Part):
    """A part on disk, in `folder`: `facts` as :func:`spool` wrote them to ``part.json``."""

    folder: Path = Path()

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

    @property
    def node_classes(self) -> dict[str, Any]:
        """What columns of classes say of nodes: see :class:`data_prep.node_classes.NodeClasses`."""
        return json.loads((self.folder / CLASSES).read_text(encoding="utf-8"))

    def distinct_times(self) -> np.ndarray:
        """Distinct times, ascending; only where they were asked for."""
        return np.load(self.folder / "times.npy")

    def column(self, name: str) -> np.ndarray:
        """Map one column into memory."""
        kind, width = self.facts["columns"][name]
        shape = (self.rows, width) if width > 1 or name == "feat" else (self.rows,)
        return np.memmap(self.folder / name, kind, "r", shape=shape)

    def forget(self) -> None:
        """Remove the columns: what is not on the disk yet need not go there."""
        for name in self.facts["columns"]:
            (self.folder / name).unlink(missing_ok=True)

    def chunks(self, names: list[str]) -> Iterator[Chunk]:
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


def load(folder: Path) -> SpooledPart | None:
    """Return a part that is there whole, or None."""
    try:
        return SpooledPart(json.loads((folder / DONE).read_text(encoding="utf-8")), folder=folder)
    except FileNotFoundError:
        return None


def spool(source: Source, number: int, folder: Path, options: ReadOptions) -> SpooledPart:
    """Read part `number` of a source into `folder`, over what an interrupted run left there; its parent exists.

    Raises DataError at the first bad row, unless rows are quarantined; or if no row is good.
    """
    folder.mkdir(exist_ok=True)  # not its parents: a late worker makes no folder anew that was cleared away
    file = options.open(source.parts[number], source.layout)
    classes = NodeClasses(source.spaces)
    with closing(_Spool(folder, source)) as writer, open(folder / REJECTED, "w", encoding="utf-8") as rejected:
        for batch in file:
            writer.add(classes.take(batch, file))
            _set_aside(file, rejected)
        _set_aside(file, rejected)
    if source.has_node_classes:
        write_json(folder / CLASSES, classes.to_json(), indent=None)
    facts = {**writer.facts(file), "source": file.source}
    write_json(folder / DONE, facts, indent=None)
    return SpooledPart(facts, folder=folder)


def _set_aside(file: RawFile, rejected: TextIO) -> None:
    """Move bad rows to the disk: there may be nearly as many as good ones."""
    rejected.writelines(f"{json.dumps(row)}\n" for row in file.rejected)
    file.rejected.clear()


def write_array(path: Path, values: np.ndarray) -> None:
    """Write a ``.npy`` file; `np.save` itself does not say of a full disk that it is full."""
    buffer = BytesIO()
    np.save(buffer, values)
    path.write_bytes(buffer.getbuffer())


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
        self._classes = ClassNames()

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
        if pa.types.is_string(column.type) and name == "label":
            return self._classes.encode(column)
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
            "labels": self._classes.list or sorted(self._labels),
            **ends,
        }


def _write(file: BinaryIO, values: np.ndarray) -> None:
    view = np.ascontiguousarray(values).view(np.uint8).reshape(-1).data
    while len(view):  # an unbuffered file may take a part at a time
        view = view[file.write(view) :]


class Arrangement:
    """All events of a data set, sorted by snapshot, in file order inside each.

    Parts that are sorted already are passed through; others are placed by a counting sort in files in `folder`, so that
    memory stays bounded by a chunk either way. `maps` gives, for ``src`` and ``dst``, a part's raw ids (or its codes of
    strings) their nodes, and for ``label`` its labels of events their classes.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        maps: Mapping[str, Callable[[Any, np.ndarray], np.ndarray]],
        binning: Binning,
        folder: Path,
    ) -> None:
        self._parts, self._maps, self._binning, self._folder = parts, maps, binning, folder
        self._names = [name for name in parts[0].facts["columns"] if name != "feat"]
        self.is_sorted = all(part.facts["ascending"] for part in parts) and all(
            a.facts["high"] <= b.facts["low"] for a, b in pairwise(parts)
        )

    def chunks(self) -> Iterator[Chunk]:
        """Yield all events."""
        return self._in_file_order() if self.is_sorted else self._placed()

    def _in_file_order(self) -> Iterator[Chunk]:
        first = 0
        for part in self._parts:
            for chunk in part.chunks(self._names):
                rows = len(chunk["time"])
                chunk["snapshot"] = self._binning.assign(chunk["time"])
                for name in self._maps.keys() & chunk:
                    chunk[name] = self._maps[name](part, chunk[name])
                chunk["edge_id"] = np.arange(first, first + rows)
                first += rows
                yield chunk

    def _placed(self) -> Iterator[Chunk]:
        counts = np.zeros(self._binning.num_snapshots, np.int64)
        for part in self._parts:
            for chunk in part.chunks(["time"]):
                counts += np.bincount(self._binning.assign(chunk["time"]), minlength=len(counts))
        total = int(counts.sum())
        self._folder.mkdir(parents=True, exist_ok=True)
        files: dict[str, np.ndarray] = {}
        free = np.cumsum(counts) - counts
        for chunk in self._in_file_order():
            order = np.argsort(chunk["snapshot"], kind="stable")
            snapshot = chunk["snapshot"][order]
            starts = np.flatnonzero(np.concatenate([[True], snapshot[1:] != snapshot[:-1]]))
            sizes = np.diff(np.append(starts, len(snapshot)))
            place = np.repeat(free[snapshot[starts]] - starts, sizes) + np.arange(len(snapshot))
            free[snapshot[starts]] += sizes
            for name, values in chunk.items():
                if name not in files:
                    files[name] = _new_column(self._folder / name, values.dtype, total)
                files[name][place] = values[order]
        for first in range(0, total, CHUNK):
            yield {name: np.array(values[first : first + CHUNK]) for name, values in files.items()}

    def features(self, rows: int) -> Iterator[np.ndarray]:
        """Yield the features of the events in the order of :meth:`chunks`, some rows at a time."""
        width = self._parts[0].facts["columns"]["feat"][1]
        if self.is_sorted:
            rest = np.empty((0, width), np.float32)
            for part in self._parts:
                for first in range(0, part.rows, rows):
                    rest = np.concatenate([rest, part.column("feat")[first : first + rows]])
                    while len(rest) >= rows:
                        yield rest[:rows]
                        rest = rest[rows:]
            if len(rest):
                yield rest
            return
        order: Any = np.memmap(self._folder / "edge_id", np.int64, "r")
        starts = np.cumsum([0, *(part.rows for part in self._parts)])
        for first in range(0, len(order), rows):
            edge_id = order[first : first + rows]
            owner = np.searchsorted(starts, edge_id, side="right") - 1
            values = np.empty((len(edge_id), width), np.float32)
            for number in np.unique(owner):
                mine = owner == number
                values[mine] = self._parts[number].column("feat")[edge_id[mine] - starts[number]]
            yield values


def _new_column(path: Path, kind: np.dtype, rows: int) -> np.ndarray:
    """Map a new file into memory, its room on the disk taken at once: a full disk would kill the process later."""
    with open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, rows * kind.itemsize)
    return np.memmap(path, kind, "r+", shape=(rows,))


class FirstSnapshots:
    """First snapshot of each node, from chunks in ascending order of snapshots."""

    def __init__(self, num_nodes: int) -> None:
        self.first = np.full(num_nodes, -1, dtype=np.int32)
        self._unseen = np.ones(num_nodes, dtype=bool)  # a quarter of the memory to look into at random

    def add(self, chunk: Chunk) -> None:
        """Take the next chunk."""
        fresh = []
        for end in ("src", "dst"):
            new = np.flatnonzero(self._unseen[chunk[end]])
            fresh.append((chunk[end][new], chunk["snapshot"][new]))
        for nodes, snapshot in fresh:
            if not len(nodes):
                continue
            # Of several entries the last one written stays, so the earliest goes last.
            seen = self.first[nodes]
            np.copyto(seen, snapshot, where=(seen < 0) | (snapshot < seen))
            self.first[nodes[::-1]] = seen[::-1]
            self._unseen[nodes] = False


class Repeats:
    """Count of the events that repeat an earlier one exactly: same source, same destination, same time."""

    def __init__(self, num_nodes: int, is_sorted: bool) -> None:
        self.count = 0
        self._num_nodes = max(num_nodes, 1)
        self._key = "time" if is_sorted else "snapshot"
        self._open: list[Chunk] = []
        self._slots = np.empty(0, np.int32)

    def add(self, chunk: Chunk) -> None:
        """Take the next chunk; what may go on in the one after it is kept."""
        last = chunk[self._key][-1]
        start = int(np.searchsorted(chunk[self._key], last))
        rows = {
            "pair": chunk["src"] * self._num_nodes + chunk["dst"],
            "time": chunk["time"],
            self._key: chunk[self._key],
        }
        if start:
            head = {name: values[:start] for name, values in rows.items()}
            self._close([*self._open, head])
            self._open = []
        elif self._open and self._open[-1][self._key][-1] != last:
            self._close(self._open)
            self._open = []
        self._open.append({name: values[start:] for name, values in rows.items()})

    def finish(self) -> int:
        """Return the count."""
        self._close(self._open)
        self._open = []
        return self.count

    def _close(self, chunks: list[Chunk]) -> None:
        if not chunks:
            return
        pair, time = (
            chunks[0][name] if len(chunks) == 1 else np.concatenate([chunk[name] for chunk in chunks])
            for name in ("pair", "time")
        )
        if self._key == "time":
            # Only events that share their time with a neighbour can repeat one.
            same = time[1:] == time[:-1]
            tied = np.concatenate([same, [False]])
            tied[1:] |= same
            if not tied.all():
                pair, time = pair[tied], time[tied]
            if not len(time):
                return
        group = self._groups(time)
        # Some groups at a time, so that group and pair fit in one number of 64 bits, whose sort is fast.
        pairs = self._num_nodes * self._num_nodes
        at_once = max((2**63 - 1) // pairs, 1)
        if group.max() < at_once:
            self._count(group * pairs + pair)
            return
        for low in range(0, int(group.max()) + 1, at_once):
            mine = (group >= low) & (group < low + at_once)
            self._count((group[mine] - low) * pairs + pair[mine])

    def _groups(self, time: np.ndarray) -> np.ndarray:
        if self._key == "time":
            return np.cumsum(np.concatenate([[0], time[1:] != time[:-1]]))
        return np.unique(time, return_inverse=True)[1]

    def _count(self, keys: np.ndarray) -> None:
        if len(keys) > _HASHED:
            keys.sort()
            self.count += int((keys[1:] == keys[:-1]).sum())
            return
        # Three times as fast as a sort: the last key of each slot counts those of its slot that equal it, and the rest,
        # in which no key is one of those, is counted in another table.
        bits = (4 * len(keys)).bit_length()
        if len(self._slots) < 1 << bits:
            self._slots = np.empty(1 << bits, np.int32)
        for odd in _ODD:
            slot = ((keys * odd).view(np.uint64) >> np.uint64(64 - bits)).view(np.int64)
            number = np.arange(len(keys), dtype=np.int32)
            self._slots[slot] = number
            last = self._slots[slot]
            earlier = np.flatnonzero(last != number)
            repeats = keys[earlier] == keys[last[earlier]]
            self.count += int(np.count_nonzero(repeats))
            keys = keys[earlier[~repeats]]
        self.count += len(keys) - len(distinct(keys))


ENGINES = ("local", "dask")
_DIED = "a worker process died, perhaps for want of memory; run the same command again, with fewer --workers"


@dataclass(frozen=True)
class Engine:
    """How parts are read: `name`, `workers` and `scheduler` are the options of :class:`data_prep.PrepareOptions`.

    Without an address of a scheduler, ``"dask"`` starts a cluster of `workers` processes on this machine; with one, it
    is looked for as long as `patience` says, and its workers must see raw files and OUT under the same paths.
    """

    name: str = "local"
    workers: int = 1
    scheduler: str | None = None
    patience: str = "15s"

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise ConfigError(f"--engine: found {self.name}, expected one of {', '.join(ENGINES)}")
        if self.workers < 1:
            raise ConfigError(f"--workers: found {self.workers}, expected 1 or more")
        if self.scheduler and self.name != "dask":
            raise ConfigError("--scheduler: found an address without Dask, expected --engine dask beside it")

    def read(self, source: Source, home: Path, options: ReadOptions) -> list[SpooledPart]:
        """Spool all parts of a source to folders in `home`; parts that are there whole are not read again.

        Raises DataError at the first bad row of the first bad part, BackendError if Dask is not installed, and
        ChildProcessError if a worker process dies.
        """
        home.mkdir(parents=True, exist_ok=True)
        folders = [home / f"part-{number:05d}" for number in range(len(source.parts))]
        done = [load(folder) for folder in folders]
        missing = [number for number, part in enumerate(done) if part is None]
        advance = options.on_bytes or (lambda amount: None)
        for number, part in enumerate(done):
            if part is not None:
                advance(source.parts[number].stat().st_size)
        with self._submit(len(missing)) as submit:
            if submit is None:
                for number in missing:
                    done[number] = spool(source, number, folders[number], options)
            else:
                # Nothing that a worker has no use for, nor can be sent to it.
                edges, quiet = replace(source, nodes=None, targets=None), replace(options, on_bytes=None)
                results = [submit(spool, edges, number, folders[number], quiet) for number in missing]
                for number, result in zip(missing, results, strict=True):
                    done[number] = result.result()
                    advance(source.parts[number].stat().st_size)
        return [part for part in done if part is not None]

    @contextmanager
    def _submit(self, tasks: int) -> Iterator[Callable[..., Any] | None]:
        if not tasks or (self.name == "local" and self.workers == 1):
            yield None
        elif self.name == "local":
            # Spawned, not forked: pyarrow's threads do not survive a fork.
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(min(self.workers, tasks), context, _end_with_parent) as pool:
                try:
                    yield lambda *call: _without_interrupt(pool.submit, *call)
                except BrokenExecutor as error:
                    raise ChildProcessError(_DIED) from error
                finally:
                    pool.shutdown(cancel_futures=True)
        else:
            with self._client() as client:
                from distributed.scheduler import KilledWorker

                try:
                    # Dask would otherwise take an equal call of an earlier run for this one.
                    yield lambda *call: client.submit(*call, pure=False)
                except KilledWorker as error:
                    raise ChildProcessError(_DIED) from error

    @contextmanager
    def _client(self) -> Iterator[Any]:
        try:
            from distributed import Client, LocalCluster
        except ImportError as error:
            raise BackendError("Dask is missing; install it with `pip install dgl-dysign[dask]`") from error
        if self.scheduler:
            try:
                client = Client(self.scheduler, timeout=self.patience)
            except (OSError, ValueError) as error:
                raise ConfigError(
                    f"--scheduler: found no scheduler at {self.scheduler} ({error}), expected a running one; start it "
                    "with `dask scheduler`, or leave the address out"
                ) from error
            with client:
                yield client
        else:
            local = {"dashboard_address": None, "silence_logs": logging.ERROR}
            with (
                LocalCluster(n_workers=self.workers, threads_per_worker=1, **local) as cluster,
                Client(cluster) as client,
            ):
                yield client


def _without_interrupt(submit: Callable[..., Any], *call: Any) -> Any:
    """Submit a call, which may start a worker: that inherits a mask under which an interrupt waits."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        return submit(*call)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    """Let a worker end with the process that started it, even if that is killed; otherwise it would wait for ever."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # at an interrupt one message is enough
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=watch, daemon=True).start()
