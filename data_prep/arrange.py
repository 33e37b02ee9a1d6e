"""Spooled events in the order of their snapshots, chunk by chunk."""

import os
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.rules import Binning
from data_prep.spool import CHUNK, Part

Chunk = dict[str, np.ndarray]
"""Columns of some events: ``snapshot``, ``src``, ``dst``, ``time``, ``edge_id`` and what else the raw file has."""


class Arrangement:
    """All events of a data set, sorted by snapshot, in file order inside each.

    Parts that are sorted already are passed through; others are placed by a counting sort in files, so that memory
    stays bounded by a chunk either way.

    Parameters
    ----------
    parts : list of Part
        The spooled parts, in order.
    maps : mapping
        For ``src`` and ``dst``, from raw ids (or a part's codes of strings) to nodes, given the part.
    binning : Binning
        From times to snapshots.
    folder : path
        Where a counting sort may put its files.
    """

    def __init__(
        self,
        parts: list[Part],
        maps: Mapping[str, Callable[[Part, np.ndarray], np.ndarray]],
        binning: Binning,
        folder: Path,
    ) -> None:
        self._parts = parts
        self._maps = maps
        self._binning = binning
        self._folder = folder
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
                for end in ("src", "dst"):
                    chunk[end] = self._maps[end](part, chunk[end])
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
            asked = order[first : first + rows]
            owner = np.searchsorted(starts, asked, side="right") - 1
            values = np.empty((len(asked), width), np.float32)
            for number in np.unique(owner):
                mine = owner == number
                values[mine] = self._parts[number].column("feat")[asked[mine] - starts[number]]
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
        found = []
        for end in ("src", "dst"):
            new = np.flatnonzero(self._unseen[chunk[end]])
            found.append((chunk[end][new], chunk["snapshot"][new]))
        for nodes, snapshot in found:
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
        keys.sort()
        self.count += int((keys[1:] == keys[:-1]).sum())
