"""Checks of a prepared folder: nothing is taken on trust, the first thing wrong is named, memory stays bounded.

Needs numpy, pyarrow and the standard library only, as :mod:`dgl_dysign.data.schema`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dgl_dysign.data import schema
from dgl_dysign.data.hashing import mix64
from dgl_dysign.errors import DataError

Progress = Callable[[str, int], Callable[[int], object]]
_VALUES_AT_ONCE = 1 << 22
_STEPS = ("grid", "rank")


def verify(
    folder: str | os.PathLike[str],
    on_check: Callable[[str, int], object] | None = None,
    progress: Progress | None = None,
    rows_at_once: int = 1 << 20,
) -> dict[str, Any]:
    """Check all that a prepared folder promises; return its manifest, or raise ``DataError`` that names the file.

    Hashes of all files; columns and numbers of rows; row ranges and times of snapshots; events sorted by snapshot, in
    file order inside, each inside its snapshot's time, each ``edge_id`` there once; the number of repeated events;
    ends, labels and types in range; first snapshots; targets and features finite, one row an event or node; labels of
    events beside their events; rejected rows and source files adding up.

    Files that the manifest does not name (pictures, caches) are left out of account. The memory needed is about 9 bytes
    an event of the largest snapshot and 1 an event of all, beside the ids of the nodes.

    Parameters
    ----------
    folder : path
        A prepared folder.
    on_check : callable, optional
        Called as ``on_check(what, count)`` after each check that went well.
    progress : callable, optional
        ``progress(text, total)`` starts a progress bar and returns the function that advances it.
    rows_at_once : int
        How many events are sorted together, where more than one snapshot of them fits.

    Examples
    --------
    >>> checks = {}
    >>> manifest = verify(prepared, on_check=checks.__setitem__)
    >>> manifest["num_nodes"], checks["nodes"], checks["snapshot ranges"]
    (100, 100, 12)
    """
    on_check, progress = on_check or (lambda what, count: None), progress or (lambda *_: lambda amount: None)
    return _Checks(Path(folder), on_check, progress, rows_at_once).run()


class _Checks:
    """The checks of one folder, one table after the other."""

    def __init__(
        self, folder: Path, passed: Callable[[str, int], object], progress: Progress, rows_at_once: int
    ) -> None:
        self.folder, self.passed, self.progress, self.rows_at_once = folder, passed, progress, rows_at_once
        self.manifest = schema.read_manifest(folder)

    def run(self) -> dict[str, Any]:
        self._values()
        self._hashes()
        snapshots = self._snapshots()
        schema.check_counts(self.folder, self.manifest)  # arrays are as long as these numbers
        first = self._edges(snapshots)
        self._nodes(first)
        if self.manifest["labels"] == "node":
            self._node_labels()
        if "targets" in self.manifest:
            self._targets(self.manifest["targets"]["count"])
        if self.manifest.get("edge_features"):
            self._features(["edge_features"], self.manifest["edge_features"]["dim"], self.manifest["num_edges"])
            self.passed("edge features", self.manifest["num_edges"])
        if self.manifest["features"]:
            number = self.manifest["num_snapshots"]
            for snapshot in range(number):
                rows = schema.num_nodes_of(self.manifest, snapshot)
                self._features([schema.feature_name(snapshot)], self.manifest["features"]["dim"], rows)
            self.passed("feature files", number)
        self._rejected()
        return self.manifest

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.parquet"

    def _values(self) -> None:
        """Check what the manifest says against itself."""
        path, manifest = self.folder / schema.MANIFEST, self.manifest
        span = manifest["time_range"]
        if len(span) != 2 or not all(isinstance(value, (int, float)) for value in span):
            _fail(path, f"time_range {span}", "the first and the last time")
        needed = ["edges", "snapshots", "nodes", *(["labels"] if manifest["labels"] else [])]
        needed += ["targets"] if "targets" in manifest else []
        needed += ["edge_features"] if manifest.get("edge_features") else []
        needed += ["rejected"] if manifest["rejected_rows"] else []
        for name in needed:
            if f"{name}.parquet" not in manifest["files"]:
                _fail(path, f"no {name}.parquet among files", "its SHA-256")
        for source in manifest["sources"]:
            _check_source(path, source)
        self._rows_of_sources(path)
        self.passed("manifest entries", len(manifest))

    def _rows_of_sources(self, path: Path) -> None:
        """Event files come first among the sources: the rows of the first few add up to the events."""
        rows = np.cumsum([source["rows"] for source in self.manifest["sources"]])
        if len(rows) and self.manifest["num_edges"] not in rows:
            counts = [source["rows"] for source in self.manifest["sources"]]
            expected = f"event files first, with {self.manifest['num_edges']} rows together"
            _fail(path, f"sources of {counts} rows", expected)
        known = [source["rejected"] for source in self.manifest["sources"] if "rejected" in source]
        if known and sum(known) != self.manifest["rejected_rows"]:
            _fail(path, f"rejected_rows {self.manifest['rejected_rows']}", f"{sum(known)}, the sum over the sources")

    def _hashes(self) -> None:
        files = self.manifest["files"]
        for name in files:
            if not re.fullmatch(r"(features/)?\w+\.parquet", name):
                _fail(self.folder / schema.MANIFEST, f"a file {name!r}", "tables of the folder")
        sizes = {name: _size(self.folder / name) for name in files}
        advance = self.progress("hashing", sum(sizes.values()))
        for name, expected in files.items():
            try:
                digest = schema.sha256(self.folder / name, advance)
            except OSError as error:
                _fail(self.folder / name, f"no readable file ({error.strerror})", f"one beside {schema.MANIFEST}")
            if digest != expected:
                _fail(self.folder / name, f"SHA-256 {digest}", expected)
        self.passed("file hashes", len(files))

    def _snapshots(self) -> _SnapshotRanges:
        path, number = self._path("snapshots"), self.manifest["num_snapshots"]
        table = schema.table(self.folder, "snapshots", expected=schema.SNAPSHOTS)
        if len(table) != number:
            _fail(path, f"{len(table)} rows", number)
        columns = {name: schema.to_numpy(table[name]) for name in schema.SNAPSHOTS.names}
        rows = columns["num_rows"]
        bounds = np.concatenate([[0], np.cumsum(rows)])
        _refuse(path, columns["snapshot"] != np.arange(number), columns["snapshot"], "snapshot", "its row number")
        if (rows < 0).any() or not np.array_equal(columns["first_row"], bounds[:-1]):
            _fail(path, "row ranges with gaps", "one range after the other")
        if bounds[-1] != self.manifest["num_edges"]:
            _fail(path, f"row ranges that end at {bounds[-1]}", f"{self.manifest['num_edges']}, the number of events")
        ranges = _SnapshotRanges(bounds, columns["time_begin"], columns["time_end"], self.manifest["snapshot_rule"])
        ranges.check(path)
        self.passed("snapshot ranges", number)
        return ranges

    def _edges(self, snapshots: _SnapshotRanges) -> np.ndarray:
        """Check the events, and return the first snapshot of each node."""
        checks = _EventChecks(self.folder, self.manifest, snapshots, self.rows_at_once)
        advance = self.progress("checking events", self.manifest["num_edges"])
        for rows in checks.run():
            advance(rows)
        for what, count in checks.passed.items():
            self.passed(what, count)
        return checks.first

    def _nodes(self, first: np.ndarray) -> None:
        path, number, at = self._path("nodes"), self.manifest["num_nodes"], 0
        reader = schema.RowReader(self.folder, "nodes")
        if len(reader) != number:
            _fail(path, f"{len(reader)} rows", number)
        for batch in reader.batches(["node", "first_snapshot"]):
            rows = np.arange(at, at + batch.num_rows)
            node, snapshot = schema.to_numpy(batch["node"]), schema.to_numpy(batch["first_snapshot"])
            _refuse(path, node != rows, node, "node", "its row number", at)
            expected = first[at : at + len(rows)]
            _refuse(path, snapshot != expected, snapshot, "first_snapshot", "the first one with an event of it", at)
            at += len(rows)
        self._appended(first)
        self._types(path, reader)
        self.passed("nodes", number)
        self.passed("first snapshots", number)

    def _appended(self, first: np.ndarray) -> None:
        """Check that no event of a node that was appended, and no other event, is older than its append."""
        counts = schema.to_numpy(schema.table(self.folder, "snapshots", ["num_rows"])["num_rows"])
        bounds, appended = np.concatenate([[0], np.cumsum(counts)]), self.manifest.get("appended", [])
        for entry in appended:
            snapshot, edge, node = (entry[f"first_{what}"] for what in ("snapshot", "edge", "node"))
            early = (first[node:] >= 0) & (first[node:] < snapshot)
            if bounds[snapshot] != edge or early.any():
                _fail(self.folder / schema.MANIFEST, f"an append {entry}", "one after all older events and nodes")
        if appended:
            self.passed("appends", len(appended))

    def _types(self, path: Path, reader: schema.RowReader) -> None:
        """Check that types cut the nodes where the offsets say, and that raw ids are in the stated order."""
        one = len(self.manifest["id_offsets"]) == 1
        for name, start, end in schema.node_ranges(self.manifest):
            rows = reader.read(start, end - start, ["type", "raw_id"])
            types = pc.unique(rows["type"]).to_pylist()
            if end > start and types not in ([[name], [None]] if one else [[name]]):
                _fail(path, f"types {types} in rows {start} to {end - 1}", repr(name))
            self._raw_ids(path, rows["raw_id"].combine_chunks(), start)

    def _raw_ids(self, path: Path, ids: pa.Array, first: int) -> None:
        order = self.manifest.get("id_order")
        if order not in ("ascending", "lexicographic"):
            return
        try:
            values = ids.cast(pa.int64()) if order == "ascending" else ids
        except pa.ArrowInvalid as error:
            _fail(path, f"raw ids that are no numbers ({error})", "numbers, as id_order is ascending")
        back = pc.less_equal(values[1:], values[:-1])
        if pc.any(back).as_py():
            at = pc.index(back, True).as_py() + 1
            _fail(path, f"raw_id {ids[at].as_py()} in row {first + at}", f"one after {ids[at - 1].as_py()} ({order})")

    def _node_labels(self) -> None:
        path, at = self._path("labels"), 0
        seen = np.zeros(self.manifest["num_nodes"], bool)
        for batch in schema.RowReader(self.folder, "labels").batches(["node", "label"]):
            node, label = schema.to_numpy(batch["node"]), schema.to_numpy(batch["label"])
            _refuse(path, (node < 0) | (node >= len(seen)), node, "node", f"0 to {len(seen) - 1}", at)
            classes = self.manifest["num_classes"]
            _refuse(path, (label < 0) | (label >= classes), label, "label", f"0 to {classes - 1}", at)
            seen[node] = True
            at += len(node)
        if (nodes := np.count_nonzero(seen)) != at:
            _fail(path, f"{at} labels of {nodes} nodes", "one a node")
        self.passed("node labels", at)

    def _targets(self, count: int) -> None:
        path = self._path("targets")
        table = schema.table(self.folder, "targets")
        node, target = schema.to_numpy(table["node"]), schema.to_numpy(table["target"])
        if len(node) != count:
            _fail(path, f"{len(node)} rows", count)
        nodes = self.manifest["num_nodes"]
        _refuse(path, (node < 0) | (node >= nodes), node, "node", f"0 to {nodes - 1}")
        again = np.ones(len(node), bool)
        again[np.unique(node, return_index=True)[1]] = False
        _refuse(path, again, node, "node", "each node once")
        _refuse(path, ~np.isfinite(target), target, "target", "a finite number")
        self.passed("targets", len(node))

    def _features(self, names: list[str], dim: int, rows: int) -> None:
        advance = self.progress("checking features", rows * len(names))
        for name in names:
            path, at = self._path(name), 0
            reader = schema.RowReader(self.folder, name)
            shape = [len(reader), reader.schema.field("feat").type.list_size]
            if shape != [rows, dim]:
                _fail(path, f"shape {shape}", [rows, dim])
            for batch in reader.batches(["feat"], max(1, _VALUES_AT_ONCE // dim)):
                good = np.isfinite(schema.to_numpy(batch["feat"])).all(axis=1)
                _refuse(path, ~good, np.where(good, "", "nan or inf"), "a feature of", "finite numbers", at)
                at += len(good)
                advance(len(good))

    def _rejected(self) -> None:
        if "rejected.parquet" not in self.manifest["files"]:
            return
        path = self._path("rejected")
        table = schema.table(self.folder, "rejected")
        if len(table) != self.manifest["rejected_rows"]:
            _fail(path, f"{len(table)} rows", self.manifest["rejected_rows"])
        counts = {entry["values"]: entry["counts"] for entry in pc.value_counts(table["file"]).to_pylist()}
        expected: dict[str, int] = {}
        for source in self.manifest["sources"]:
            if source.get("rejected"):
                expected[source["name"]] = expected.get(source["name"], 0) + source["rejected"]
        if counts != expected:
            _fail(path, f"rows of {counts}", f"{expected}, as the sources say")
        line = schema.to_numpy(table["line"])
        _refuse(path, line < 1, line, "line", "1 or more")
        self.passed("rejected rows", len(table))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # hashing it says what is wrong


def _check_source(path: Path, source: Any) -> None:
    """Check the entry of one raw file: no line of it may be lost."""
    keys = ("rows", "lines", "header", "rejected", "comments", "blank")
    fits = isinstance(source, dict) and isinstance(source.get("name"), str) and "rows" in source
    if not fits or not all(type(source[key]) is int and source[key] >= 0 for key in keys if key in source):
        _fail(path, f"a source {source}", "its name, SHA-256 and numbers of lines")
    if not re.fullmatch("[0-9a-f]{64}", str(source.get("sha256"))):
        _fail(path, f"SHA-256 {source.get('sha256')!r} of {source['name']}", "64 hexadecimal digits")
    if "lines" in source:
        total = sum(source.get(key, 0) for key in ("rows", "header", "rejected"))
        if source["lines"] != total:
            _fail(path, f"{source['lines']} lines of {source['name']}", f"{total}: rows + rejected + header")


def _fail(path: Path, found: object, expected: object) -> NoReturn:
    """Raise the one error of a folder that does not hold together."""
    raise DataError(f"{path}: found {found}, expected {expected}; prepare the folder again")


def _refuse(path: Path, bad: np.ndarray, values: np.ndarray, what: str, expected: object, first: int = 0) -> None:
    """Name the first bad value, if there is one; `first` is the row of the first."""
    if bad.any():
        at = int(bad.argmax())
        raise DataError(
            f"{path}, row {first + at}: found {what} {values[at]}, expected {expected}; prepare the folder again"
        )


@dataclass(frozen=True)
class _SnapshotRanges:
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
        _refuse(path, ~(np.isfinite(begin) & np.isfinite(end)), begin, "time_begin or time_end not finite:", "numbers")
        _refuse(path, end < begin, end, "time_end", "one not before time_begin")
        wrong = begin[1:] <= end[:-1] if self.closed else begin[1:] != end[:-1]
        rule = "after the snapshot before" if self.closed else "at the end of the snapshot before"
        _refuse(path, wrong, begin[1:], "time_begin", f"one {rule}", 1)

    def of_rows(self, first: int, count: int) -> np.ndarray:
        """Snapshot of each of some rows."""
        low, high = np.searchsorted(self.bounds, [first, first + count - 1], side="right") - 1
        cuts = np.clip(self.bounds[low : high + 2], first, first + count)
        return np.repeat(np.arange(low, high + 1), np.diff(cuts))


class _EventChecks:
    """All checks of the events; after :meth:`run`, `first` is the first snapshot of each node (-1: none)."""

    def __init__(self, folder: Path, manifest: dict[str, Any], snapshots: _SnapshotRanges, rows_at_once: int) -> None:
        self._path, self._manifest, self._snapshots = folder / "edges.parquet", manifest, snapshots
        columns = schema.edge_schema(manifest)
        self._reader, self._columns = schema.RowReader(folder, "edges", columns), columns.names
        self.first = np.full(manifest["num_nodes"], -1, np.int32)
        self.passed: dict[str, int] = {}
        self._seen = np.zeros(manifest["num_edges"], bool)
        # With two types of nodes, every event goes from the first type to the second.
        self._types = schema.is_second_type(manifest)
        self._before = (-1, -1)
        self._low, self._high = np.inf, -np.inf
        self._repeats = _Repeats(snapshots.bounds, manifest["num_nodes"], rows_at_once)
        self._labels = _EventLabels(folder, manifest) if manifest["labels"] == "event" else None

    def run(self) -> Iterator[int]:
        """Check batch by batch, yielding the numbers of rows."""
        if len(self._reader) != self._manifest["num_edges"]:
            _fail(self._path, f"{len(self._reader)} rows", self._manifest["num_edges"])
        at = 0
        for batch in self._reader.batches(self._columns):
            rows = {name: schema.to_numpy(batch[name]) for name in self._columns}
            self._check_order(rows, at)
            self._check_times(rows, at)
            self._check_ends(rows, at)
            if "weight" in rows:
                _refuse(self._path, ~np.isfinite(rows["weight"]), rows["weight"], "weight", "a finite number", at)
            self._repeats.add(rows)
            if self._labels:
                self._labels.add(rows)
            at += batch.num_rows
            yield batch.num_rows
        self._finish()

    def _check_order(self, rows: dict[str, np.ndarray], at: int) -> None:
        snapshot, edge_id = rows["snapshot"], rows["edge_id"]
        expected = self._snapshots.of_rows(at, len(snapshot))
        _refuse(
            self._path, snapshot != expected, snapshot, "snapshot", "that of its row range in snapshots.parquet", at
        )
        total = len(self._seen)
        _refuse(self._path, (edge_id < 0) | (edge_id >= total), edge_id, "edge_id", f"0 to {total - 1}", at)
        same = np.diff(snapshot, prepend=self._before[0]) == 0
        back = same & (np.diff(edge_id, prepend=self._before[1]) <= 0)
        _refuse(self._path, back, edge_id, "edge_id", "ascending numbers inside a snapshot", at)
        self._seen[edge_id] = True
        self._before = int(snapshot[-1]), int(edge_id[-1])

    def _check_times(self, rows: dict[str, np.ndarray], at: int) -> None:
        time, snapshot, parts = rows["time"], rows["snapshot"], self._snapshots
        begin, end = parts.begin[snapshot], parts.end[snapshot]
        late = time > end if parts.closed else time >= end
        range_ = "the range of its snapshot" if parts.closed else "the half-open range of its snapshot"
        _refuse(self._path, ~(time >= begin) | late, time, "time", range_, at)
        self._low, self._high = min(self._low, float(time.min())), max(self._high, float(time.max()))

    def _check_ends(self, rows: dict[str, np.ndarray], at: int) -> None:
        nodes = self._manifest["num_nodes"]
        for name in ("src", "dst"):
            ids = rows[name]
            _refuse(self._path, (ids < 0) | (ids >= nodes), ids, name, f"0 to {nodes - 1}", at)
            if self._types is not None:
                kind = list(self._manifest["id_offsets"])[name == "dst"]
                _refuse(self._path, self._types[ids] != (name == "dst"), ids, name, f"a node of the type {kind}", at)
        new = {name: self.first[rows[name]] < 0 for name in ("src", "dst")}
        ends = np.concatenate([rows[name][mask] for name, mask in new.items()])
        snapshot = np.concatenate([rows["snapshot"][mask] for mask in new.values()])
        # Of several entries for one node the last one written stays; so the earliest snapshot has to come last.
        order = np.argsort(-snapshot, kind="stable")
        self.first[ends[order]] = snapshot[order]

    def _finish(self) -> None:
        if not self._seen.all():
            _fail(self._path, f"no edge_id {self._seen.argmin()}", f"each of 0 to {len(self._seen) - 1} once")
        manifest, path = self._manifest, self._path.parent / schema.MANIFEST
        if len(self._seen) and manifest["time_range"] != [self._low, self._high]:
            _fail(path, f"time_range {manifest['time_range']}", f"{[self._low, self._high]}, as in edges.parquet")
        if self._repeats.count != manifest["duplicate_rows"]:
            _fail(path, f"duplicate_rows {manifest['duplicate_rows']}", f"{self._repeats.count}, as in edges.parquet")
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

    def __init__(self, bounds: np.ndarray, num_nodes: int, rows_at_once: int) -> None:
        self.count, self._rows_at_once = 0, rows_at_once
        self._num_nodes = np.uint64(max(num_nodes, 1))
        self._cuts = _runs(bounds, rows_at_once)
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
                self.count += self._equal_neighbours(whole)
                self._at, self._filled = self._at + 1, 0

    def _equal_neighbours(self, values: np.ndarray) -> int:
        """Count the values that equal the one before; in overlapping pieces, as all of them may be many."""
        step = self._rows_at_once
        pieces = (values[begin : begin + step + 1] for begin in range(0, len(values), step))
        return sum(int(np.count_nonzero(piece[1:] == piece[:-1])) for piece in pieces)


def _runs(bounds: np.ndarray, rows_at_once: int) -> np.ndarray:
    """Cut rows into runs of whole snapshots, of about so many rows or one snapshot."""
    cuts = [0]
    while cuts[-1] < bounds[-1]:
        end = np.searchsorted(bounds, cuts[-1] + rows_at_once, side="right") - 1
        further = bounds[end] if bounds[end] > cuts[-1] else bounds[np.searchsorted(bounds, cuts[-1], side="right")]
        cuts.append(int(further))
    return np.array(cuts)


def _hashes(src: np.ndarray, dst: np.ndarray, time: np.ndarray, num_nodes: np.uint64) -> np.ndarray:
    pair = src.view(np.uint64) * num_nodes + dst.view(np.uint64)
    return mix64(pair) + (time + 0.0).view(np.uint64)  # -0.0 is 0.0


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
            _refuse(self._path, strange, mine["edge_id"], "edge_id", "an event of the same snapshot", self._at)
            other = rows["src"][place] != mine["node"]
            _refuse(self._path, other, mine["node"], "node", "the source of the event", self._at)
            self._rest = {name: values[count:] for name, values in self._rest.items()}
            self._at += count
            if len(self._rest["key"]):
                return

    def _fill(self) -> bool:
        """Read the next labels if none are left; False at the end of the file."""
        while not len(self._rest["key"]):
            batch = next(self._batches, None)
            if batch is None:
                return False
            rows = {name: schema.to_numpy(batch[name]) for name in schema.EVENT_LABELS.names}
            label, edge_id = rows["label"], rows["edge_id"]
            bad = (label < 0) | (label >= self._classes)
            _refuse(self._path, bad, label, "label", f"0 to {self._classes - 1}", self._at)
            bad = (edge_id < 0) | (edge_id >= self._factor)
            _refuse(self._path, bad, edge_id, "edge_id", f"0 to {self._factor - 1}", self._at)
            rows["key"] = rows["snapshot"] * np.int64(self._factor) + edge_id
            back = np.diff(rows["key"], prepend=self._last) <= 0
            _refuse(self._path, back, edge_id, "edge_id", "the order of edges.parquet, each once", self._at)
            self._last = int(rows["key"][-1])
            self._rest = rows
        return True

    def finish(self) -> int:
        """Refuse labels without an event, and return the number of labels."""
        if self._fill():
            bad = np.ones(1, bool)
            _refuse(self._path, bad, self._rest["edge_id"], "edge_id", "an event of the same snapshot", self._at)
        return self._at
