"""Checks of a prepared folder: nothing is taken on trust, the first thing wrong is named, memory stays bounded.

Needs numpy, pyarrow and the standard library only, as :mod:`dgl_dysign.data.schema`.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dgl_dysign.data import schema
from dgl_dysign.data._verify_edges import EdgeChecks, Snapshots, fail, refuse

Progress = Callable[[str, int], Callable[[int], object]]
_VALUES_AT_ONCE = 1 << 22


def verify(
    folder: str | os.PathLike[str],
    on_check: Callable[[str, int], object] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Check everything that a prepared folder promises.

    Hashes of all files; columns and numbers of rows; row ranges and times of snapshots; events sorted by snapshot, in
    file order inside, each inside its snapshot's time, each ``edge_id`` there once; the number of repeated events;
    ends, labels and types in range; first snapshots; features finite, one row an event or node; labels of events
    beside their events; rejected rows and source files adding up.

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

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    DataError
        At the first thing that does not fit, naming the file.

    Examples
    --------
    >>> checks = {}
    >>> manifest = verify(prepared, on_check=checks.__setitem__)
    >>> manifest["num_nodes"], checks["nodes"], checks["snapshot ranges"]
    (100, 100, 12)
    """
    checks = _Checks(Path(folder), on_check or (lambda what, count: None), progress or (lambda *_: lambda amount: None))
    return checks.run()


class _Checks:
    """The checks of one folder, one table after the other."""

    def __init__(self, folder: Path, passed: Callable[[str, int], object], progress: Progress) -> None:
        self.folder, self.passed, self.progress = folder, passed, progress
        self.manifest = schema.read_manifest(folder)

    def run(self) -> dict[str, Any]:
        self._values()
        self._hashes()
        snapshots = self._snapshots()
        first = self._edges(snapshots)
        self._nodes(first)
        if self.manifest["labels"] == "node":
            self._node_labels()
        if self.manifest.get("edge_features"):
            self._features(["edge_features"], self.manifest["edge_features"]["dim"], self.manifest["num_edges"])
            self.passed("edge features", self.manifest["num_edges"])
        if self.manifest["features"]:
            names = [schema.feature_name(t) for t in range(self.manifest["num_snapshots"])]
            self._features(names, self.manifest["features"]["dim"], self.manifest["num_nodes"])
            self.passed("feature files", len(names))
        self._rejected()
        return self.manifest

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.parquet"

    def _values(self) -> None:
        """Check what the manifest says against itself."""
        path, manifest = self.folder / schema.MANIFEST, self.manifest
        span = manifest["time_range"]
        if len(span) != 2 or not all(isinstance(value, (int, float)) for value in span):
            fail(path, f"time_range {span}", "the first and the last time")
        needed = ["edges", "snapshots", "nodes", *(["labels"] if manifest["labels"] else [])]
        needed += ["edge_features"] if manifest.get("edge_features") else []
        needed += ["rejected"] if manifest["rejected_rows"] else []
        for name in needed:
            if f"{name}.parquet" not in manifest["files"]:
                fail(path, f"no {name}.parquet among files", "its SHA-256")
        for source in manifest["sources"]:
            _check_source(path, source)
        self._rows_of_sources(path)
        self.passed("manifest entries", len(manifest))

    def _rows_of_sources(self, path: Path) -> None:
        """Event files come first among the sources: the rows of the first few add up to the events."""
        rows = np.cumsum([source["rows"] for source in self.manifest["sources"]])
        if len(rows) and self.manifest["num_edges"] not in rows:
            found = [source["rows"] for source in self.manifest["sources"]]
            fail(
                path, f"sources of {found} rows", f"event files first, with {self.manifest['num_edges']} rows together"
            )
        known = [source["rejected"] for source in self.manifest["sources"] if "rejected" in source]
        if known and sum(known) != self.manifest["rejected_rows"]:
            fail(path, f"rejected_rows {self.manifest['rejected_rows']}", f"{sum(known)}, the sum over the sources")

    def _hashes(self) -> None:
        files = self.manifest["files"]
        for name in files:
            if not re.fullmatch(r"(features/)?\w+\.parquet", name):
                fail(self.folder / schema.MANIFEST, f"a file {name!r}", "tables of the folder")
        sizes = {name: _size(self.folder / name) for name in files}
        advance = self.progress("hashing", sum(sizes.values()))
        for name, expected in files.items():
            try:
                found = schema.sha256(self.folder / name, advance)
            except OSError as error:
                fail(self.folder / name, f"no readable file ({error.strerror})", f"one beside {schema.MANIFEST}")
            if found != expected:
                fail(self.folder / name, f"SHA-256 {found}", expected)
        self.passed("file hashes", len(files))

    def _snapshots(self) -> Snapshots:
        path, number = self._path("snapshots"), self.manifest["num_snapshots"]
        table = schema.table(self.folder, "snapshots", expected=schema.SNAPSHOTS)
        if len(table) != number:
            fail(path, f"{len(table)} rows", number)
        columns = {name: schema.to_numpy(table[name]) for name in schema.SNAPSHOTS.names}
        rows = columns["num_rows"]
        bounds = np.concatenate([[0], np.cumsum(rows)])
        refuse(path, columns["snapshot"] != np.arange(number), columns["snapshot"], "snapshot", "its row number")
        if (rows < 0).any() or not np.array_equal(columns["first_row"], bounds[:-1]):
            fail(path, "row ranges with gaps", "one range after the other")
        if bounds[-1] != self.manifest["num_edges"]:
            fail(path, f"row ranges that end at {bounds[-1]}", f"{self.manifest['num_edges']}, the number of events")
        found = Snapshots(bounds, columns["time_begin"], columns["time_end"], self.manifest["snapshot_rule"])
        found.check(path)
        self.passed("snapshot ranges", number)
        return found

    def _edges(self, snapshots: Snapshots) -> np.ndarray:
        """Check the events, and return the first snapshot of each node."""
        checks = EdgeChecks(self.folder, self.manifest, snapshots)
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
            fail(path, f"{len(reader)} rows", number)
        for batch in reader.batches(["node", "first_snapshot"]):
            rows = np.arange(at, at + batch.num_rows)
            node, snapshot = schema.to_numpy(batch["node"]), schema.to_numpy(batch["first_snapshot"])
            refuse(path, node != rows, node, "node", "its row number", at)
            expected = first[at : at + len(rows)]
            refuse(path, snapshot != expected, snapshot, "first_snapshot", "the first one with an event of it", at)
            at += len(rows)
        self._types(path, reader)
        self.passed("nodes", number)
        self.passed("first snapshots", number)

    def _types(self, path: Path, reader: schema.RowReader) -> None:
        """Check that types cut the nodes where the offsets say, and that raw ids are in the stated order."""
        offsets = self.manifest["id_offsets"]
        names, starts = list(offsets), [*offsets.values(), self.manifest["num_nodes"]]
        for name, start, end in zip(names, starts, starts[1:], strict=False):
            rows = reader.read(start, end - start, ["type", "raw_id"])
            found = pc.unique(rows["type"]).to_pylist()
            if end > start and found not in ([[name], [None]] if len(names) == 1 else [[name]]):
                fail(path, f"types {found} in rows {start} to {end - 1}", repr(name))
            self._raw_ids(path, rows["raw_id"].combine_chunks(), start)

    def _raw_ids(self, path: Path, ids: pa.Array, first: int) -> None:
        order = self.manifest.get("id_order")
        if order not in ("ascending", "lexicographic"):
            return
        try:
            values = ids.cast(pa.int64()) if order == "ascending" else ids
        except pa.ArrowInvalid as error:
            fail(path, f"raw ids that are no numbers ({error})", "numbers, as id_order is ascending")
        back = pc.less_equal(values[1:], values[:-1])
        if pc.any(back).as_py():
            at = pc.index(back, True).as_py() + 1
            fail(path, f"raw_id {ids[at].as_py()} in row {first + at}", f"one after {ids[at - 1].as_py()} ({order})")

    def _node_labels(self) -> None:
        path, at = self._path("labels"), 0
        seen = np.zeros(self.manifest["num_nodes"], bool)
        for batch in schema.RowReader(self.folder, "labels").batches(["node", "label"]):
            node, label = schema.to_numpy(batch["node"]), schema.to_numpy(batch["label"])
            refuse(path, (node < 0) | (node >= len(seen)), node, "node", f"0 to {len(seen) - 1}", at)
            classes = self.manifest["num_classes"]
            refuse(path, (label < 0) | (label >= classes), label, "label", f"0 to {classes - 1}", at)
            seen[node] = True
            at += len(node)
        if (nodes := np.count_nonzero(seen)) != at:
            fail(path, f"{at} labels of {nodes} nodes", "one a node")
        self.passed("node labels", at)

    def _features(self, names: list[str], dim: int, rows: int) -> None:
        advance = self.progress("checking features", rows * len(names))
        for name in names:
            path, at = self._path(name), 0
            reader = schema.RowReader(self.folder, name)
            shape = [len(reader), reader.schema.field("feat").type.list_size]
            if shape != [rows, dim]:
                fail(path, f"shape {shape}", [rows, dim])
            for batch in reader.batches(["feat"], max(1, _VALUES_AT_ONCE // dim)):
                good = np.isfinite(schema.to_numpy(batch["feat"])).all(axis=1)
                refuse(path, ~good, np.where(good, "", "nan or inf"), "a feature of", "finite numbers", at)
                at += len(good)
                advance(len(good))

    def _rejected(self) -> None:
        if "rejected.parquet" not in self.manifest["files"]:
            return
        path = self._path("rejected")
        table = schema.table(self.folder, "rejected")
        if len(table) != self.manifest["rejected_rows"]:
            fail(path, f"{len(table)} rows", self.manifest["rejected_rows"])
        counts = {entry["values"]: entry["counts"] for entry in pc.value_counts(table["file"]).to_pylist()}
        expected: dict[str, int] = {}
        for source in self.manifest["sources"]:
            if source.get("rejected"):
                expected[source["name"]] = expected.get(source["name"], 0) + source["rejected"]
        if counts != expected:
            fail(path, f"rows of {counts}", f"{expected}, as the sources say")
        line = schema.to_numpy(table["line"])
        refuse(path, line < 1, line, "line", "1 or more")
        self.passed("rejected rows", len(table))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # hashing it says what is wrong


def _check_source(path: Path, source: Any) -> None:
    """Check the entry of one raw file: no line of it may be lost."""
    keys = ("rows", "lines", "header", "rejected")
    fits = isinstance(source, dict) and isinstance(source.get("name"), str) and "rows" in source
    if not fits or not all(type(source[key]) is int and source[key] >= 0 for key in keys if key in source):
        fail(path, f"a source {source}", "its name, SHA-256 and numbers of lines")
    if not re.fullmatch("[0-9a-f]{64}", str(source.get("sha256"))):
        fail(path, f"SHA-256 {source.get('sha256')!r} of {source['name']}", "64 hexadecimal digits")
    if "lines" in source:
        total = sum(source.get(key, 0) for key in ("rows", "header", "rejected"))
        if source["lines"] != total:
            fail(path, f"{source['lines']} lines of {source['name']}", f"{total}: rows + rejected + header")
