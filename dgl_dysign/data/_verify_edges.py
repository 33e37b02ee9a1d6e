"""Checks of the events of a prepared folder, in one pass over ``edges.parquet`` and the labels beside it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from dgl_dysign.data import schema
from dgl_dysign.errors import DataError

_STEPS = ("grid", "rank")
_ROWS_AT_ONCE = 1 << 20


def fail(path: Path, found: object, expected: object) -> NoReturn:
    """Raise the one error of a folder that does not hold together."""
    raise DataError(f"{path}: found {found}, expected {expected}; prepare the folder again")


def refuse(path: Path, bad: np.ndarray, values: np.ndarray, what: str, expected: object, first: int = 0) -> None:
    """Name the first bad value, if there is one; `first` is the row of the first."""
    if bad.any():
        at = int(bad.argmax())
        raise DataError(
            f"{path}, row {first + at}: found {what} {values[at]}, expected {expected}; prepare the folder again"
        )


@dataclass(frozen=True)
class Snapshots:
    """Row ranges (`bounds`, one more than snapshots) and time ranges of the snapshots."""

    bounds: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    rule: dict[str, Any]

    @property
    def closed(self) -> bool:
        """Whether a snapshot's end belongs to it: so it does where it is the time of a step."""
        return self.rule.get("kind") in _STEPS

    def check(self, path: Path) -> None:
        """Refuse times that are not finite, run backwards, overlap or have gaps."""
        begin, end = self.begin, self.end
        refuse(path, ~(np.isfinite(begin) & np.isfinite(end)), begin, "time_begin or time_end not finite:", "numbers")
        refuse(path, end < begin, end, "time_end", "one not before time_begin")
        wrong = begin[1:] <= end[:-1] if self.closed else begin[1:] != end[:-1]
        rule = "after the snapshot before" if self.closed else "at the end of the snapshot before"
        refuse(path, wrong, begin[1:], "time_begin", f"one {rule}", 1)

    def of_rows(self, first: int, count: int) -> np.ndarray:
        """Snapshot of each of some rows."""
        low, high = np.searchsorted(self.bounds, [first, first + count - 1], side="right") - 1
        cuts = np.clip(self.bounds[low : high + 2], first, first + count)
        return np.repeat(np.arange(low, high + 1), np.diff(cuts))


class EdgeChecks:
    """All checks of the events; after :meth:`run`, `first` is the first snapshot of each node (-1: none)."""

    def __init__(self, folder: Path, manifest: dict[str, Any], snapshots: Snapshots) -> None:
        self._path, self._manifest, self._snapshots = folder / "edges.parquet", manifest, snapshots
        weighted = manifest.get("edge_weight") is not None
        self._reader = schema.RowReader(folder, "edges", schema.WEIGHTED_EDGES if weighted else schema.EDGES)
        self._columns = (schema.WEIGHTED_EDGES if weighted else schema.EDGES).names
        self.first = np.full(manifest["num_nodes"], -1, np.int32)
        self.passed: dict[str, int] = {}
        self._seen = np.zeros(manifest["num_edges"], bool)
        self._before = (-1, -1)
        self._low, self._high = np.inf, -np.inf
        self._repeats = _Repeats(snapshots.bounds, manifest["num_nodes"])
        self._labels = _EventLabels(folder, manifest) if manifest["labels"] == "event" else None

    def run(self) -> Iterator[int]:
        """Check batch by batch, yielding the numbers of rows."""
        if len(self._reader) != self._manifest["num_edges"]:
            fail(self._path, f"{len(self._reader)} rows", self._manifest["num_edges"])
        at = 0
        for batch in self._reader.batches(self._columns):
            rows = {name: schema.to_numpy(batch[name]) for name in self._columns}
            self._check_order(rows, at)
            self._check_times(rows, at)
            self._check_ends(rows, at)
            if "weight" in rows:
                refuse(self._path, ~np.isfinite(rows["weight"]), rows["weight"], "weight", "a finite number", at)
            self._repeats.add(rows)
            if self._labels:
                self._labels.add(rows)
            at += batch.num_rows
            yield batch.num_rows
        self._finish()

    def _check_order(self, rows: dict[str, np.ndarray], at: int) -> None:
        snapshot, edge_id = rows["snapshot"], rows["edge_id"]
        expected = self._snapshots.of_rows(at, len(snapshot))
        refuse(self._path, snapshot != expected, snapshot, "snapshot", "that of its row range in snapshots.parquet", at)
        total = len(self._seen)
        refuse(self._path, (edge_id < 0) | (edge_id >= total), edge_id, "edge_id", f"0 to {total - 1}", at)
        same = np.diff(snapshot, prepend=self._before[0]) == 0
        back = same & (np.diff(edge_id, prepend=self._before[1]) <= 0)
        refuse(self._path, back, edge_id, "edge_id", "ascending numbers inside a snapshot", at)
        self._seen[edge_id] = True
        self._before = int(snapshot[-1]), int(edge_id[-1])

    def _check_times(self, rows: dict[str, np.ndarray], at: int) -> None:
        time, snapshot, parts = rows["time"], rows["snapshot"], self._snapshots
        begin, end = parts.begin[snapshot], parts.end[snapshot]
        late = time > end if parts.closed else time >= end
        range_ = "the range of its snapshot" if parts.closed else "the half-open range of its snapshot"
        refuse(self._path, ~(time >= begin) | late, time, "time", range_, at)
        self._low, self._high = min(self._low, float(time.min())), max(self._high, float(time.max()))

    def _check_ends(self, rows: dict[str, np.ndarray], at: int) -> None:
        offsets, nodes = list(self._manifest["id_offsets"].values()), self._manifest["num_nodes"]
        # With two types of nodes, every event goes from the first type to the second.
        middle = offsets[1] if len(offsets) == 2 else None
        for name, low, high in (("src", 0, middle or nodes), ("dst", middle or 0, nodes)):
            ids = rows[name]
            refuse(self._path, (ids < low) | (ids >= high), ids, name, f"{low} to {high - 1}", at)
        found = []
        for name in ("src", "dst"):
            new = self.first[rows[name]] < 0
            found.append((rows[name][new], rows["snapshot"][new]))
        # Of several entries for one node the last one written stays; so the earliest snapshot has to come last.
        ends, snapshot = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.argsort(-snapshot, kind="stable")
        self.first[ends[order]] = snapshot[order]

    def _finish(self) -> None:
        if not self._seen.all():
            fail(self._path, f"no edge_id {self._seen.argmin()}", f"each of 0 to {len(self._seen) - 1} once")
        manifest, path = self._manifest, self._path.parent / schema.MANIFEST
        if len(self._seen) and manifest["time_range"] != [self._low, self._high]:
            fail(path, f"time_range {manifest['time_range']}", f"{[self._low, self._high]}, as in edges.parquet")
        if self._repeats.count != manifest["duplicate_rows"]:
            fail(path, f"duplicate_rows {manifest['duplicate_rows']}", f"{self._repeats.count}, as in edges.parquet")
        self.passed = {"events": len(self._seen), "edge ids": len(self._seen), "repeated events": self._repeats.count}
        if "weight" in self._columns:
            self.passed["weights"] = len(self._seen)
        if self._labels:
            self.passed["event labels"] = self._labels.finish()


class _Repeats:
    """Counts events that repeat an earlier one exactly (source, destination, time), by 64-bit hashes of them.

    Equal times share a snapshot, so that some whole snapshots are sorted at a time. Two different events have the same
    hash with a chance of 2^-64: among 63 million of one snapshot, one in 10,000 that any two do.
    """

    def __init__(self, bounds: np.ndarray, num_nodes: int) -> None:
        self.count = 0
        self._num_nodes = np.uint64(max(num_nodes, 1))
        self._cuts = _runs(bounds)
        self._at = self._filled = 0
        self._hashes = np.empty(int(np.diff(self._cuts).max(initial=0)), np.uint64)

    def add(self, rows: dict[str, np.ndarray]) -> None:
        hashes = _hashes(rows["src"], rows["dst"], rows["time"], self._num_nodes)
        while len(hashes):
            size = int(self._cuts[self._at + 1] - self._cuts[self._at])
            part = hashes[: size - self._filled]
            self._hashes[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            hashes = hashes[len(part) :]
            if self._filled == size:
                whole = self._hashes[:size]
                whole.sort()
                self.count += _equal_neighbours(whole)
                self._at, self._filled = self._at + 1, 0


def _equal_neighbours(values: np.ndarray) -> int:
    """Count the values that equal the one before; in overlapping pieces, as all of them may be many."""
    pieces = (values[at : at + _ROWS_AT_ONCE + 1] for at in range(0, len(values), _ROWS_AT_ONCE))
    return sum(int(np.count_nonzero(piece[1:] == piece[:-1])) for piece in pieces)


def _runs(bounds: np.ndarray) -> np.ndarray:
    """Cut rows into runs of whole snapshots, of about a million rows or one snapshot."""
    cuts = [0]
    while cuts[-1] < bounds[-1]:
        at = np.searchsorted(bounds, cuts[-1] + _ROWS_AT_ONCE, side="right") - 1
        further = bounds[at] if bounds[at] > cuts[-1] else bounds[np.searchsorted(bounds, cuts[-1], side="right")]
        cuts.append(int(further))
    return np.array(cuts)


def _hashes(src: np.ndarray, dst: np.ndarray, time: np.ndarray, num_nodes: np.uint64) -> np.ndarray:
    pair = src.view(np.uint64) * num_nodes + dst.view(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        pair ^= pair >> np.uint64(shift)
        pair *= np.uint64(factor)
    pair ^= pair >> np.uint64(31)
    return pair + (time + 0.0).view(np.uint64)  # -0.0 is 0.0


class _EventLabels:
    """Walks through ``labels.parquet`` beside the events; both are sorted by snapshot and number of the event."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self._path, self._classes = folder / "labels.parquet", manifest["num_classes"]
        self._factor = max(manifest["num_edges"], 1)
        self._batches = schema.RowReader(folder, "labels", schema.EVENT_LABELS).batches(schema.EVENT_LABELS.names)
        self._rest: dict[str, np.ndarray] = {"key": np.empty(0, np.int64)}
        self._at = 0
        self._last = -1

    def add(self, rows: dict[str, np.ndarray]) -> None:
        """Check the labels of some events, which come in the order of ``edges.parquet``."""
        keys = rows["snapshot"] * np.int64(self._factor) + rows["edge_id"]
        while self._fill():
            count = int(np.searchsorted(self._rest["key"], keys[-1], side="right"))
            mine = {name: values[:count] for name, values in self._rest.items()}
            place = np.searchsorted(keys, mine["key"])
            strange = keys[place] != mine["key"]
            refuse(self._path, strange, mine["edge_id"], "edge_id", "an event of the same snapshot", self._at)
            other = rows["src"][place] != mine["node"]
            refuse(self._path, other, mine["node"], "node", "the source of the event", self._at)
            self._rest = {name: values[count:] for name, values in self._rest.items()}
            self._at += count
            if len(self._rest["key"]):
                return

    def _fill(self) -> bool:
        """Have some labels at hand; False where there are no more."""
        while not len(self._rest["key"]):
            batch = next(self._batches, None)
            if batch is None:
                return False
            rows = {name: schema.to_numpy(batch[name]) for name in schema.EVENT_LABELS.names}
            label, edge_id = rows["label"], rows["edge_id"]
            refuse(
                self._path,
                (label < 0) | (label >= self._classes),
                label,
                "label",
                f"0 to {self._classes - 1}",
                self._at,
            )
            bad = (edge_id < 0) | (edge_id >= self._factor)
            refuse(self._path, bad, edge_id, "edge_id", f"0 to {self._factor - 1}", self._at)
            rows["key"] = rows["snapshot"] * np.int64(self._factor) + edge_id
            back = np.diff(rows["key"], prepend=self._last) <= 0
            refuse(self._path, back, edge_id, "edge_id", "the order of edges.parquet, each once", self._at)
            self._last = int(rows["key"][-1])
            self._rest = rows
        return True

    def finish(self) -> int:
        """Refuse labels without an event, and return the number of labels."""
        if self._fill():
            bad = np.ones(1, bool)
            refuse(self._path, bad, self._rest["edge_id"], "edge_id", "an event of the same snapshot", self._at)
        return self._at
