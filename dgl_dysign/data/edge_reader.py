"""Events of a prepared folder, snapshot by snapshot: ends, times, weights, features, labels."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dgl_dysign.data import schema
from dgl_dysign.errors import DataError


class EdgeReader:
    """Reads the rows of one snapshot from the tables of a prepared folder that are in the order of the events.

    A table is opened when it is first needed; no file stays open, so that workers may be forked at any time. Any method
    raises ``DataError`` if the table that it reads is missing, damaged, or does not fit the manifest.

    Examples
    --------
    >>> rows = EdgeReader(prepared, schema.read_manifest(prepared))
    >>> src, edge_id = rows.columns(0, "src", "edge_id")
    >>> len(src) == len(edge_id), edge_id[:3].tolist(), rows.time_range(0)
    (True, [0, 1, 2], (0.0, 0.0))
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self._folder, self._manifest = folder, manifest

    @cached_property
    def _edges(self) -> schema.RowReader:
        return self._row_per_event("edges", schema.edge_schema(self._manifest))

    @cached_property
    def _features(self) -> schema.RowReader:
        return self._row_per_event("edge_features", schema.feature_schema(self._manifest["edge_features"]["dim"]))

    def _row_per_event(self, name: str, expected: Any) -> schema.RowReader:
        reader = schema.RowReader(self._folder, name, expected)
        if len(reader) != self._manifest["num_edges"]:
            raise self._error(name, f"{len(reader)} rows", self._manifest["num_edges"])
        return reader

    @cached_property
    def _labels(self) -> schema.RowReader:
        return schema.RowReader(self._folder, "labels", schema.EVENT_LABELS)

    @cached_property
    def _snapshots(self) -> dict[str, np.ndarray]:
        table = schema.table(self._folder, "snapshots")
        return {name: schema.to_numpy(table[name]) for name in table.column_names}

    @cached_property
    def _bounds(self) -> np.ndarray:
        """First row of each snapshot in ``edges.parquet``, and the end of the last one."""
        table, snapshots, edges = self._snapshots, self._manifest["num_snapshots"], self._manifest["num_edges"]
        count = table["num_rows"]
        rows = np.concatenate([[0], np.cumsum(count)])
        if len(count) != snapshots or rows[-1] != edges or not np.array_equal(rows[:-1], table["first_row"]):
            ranges = f"{len(count)} row ranges that end at row {rows[-1]}, or gaps"
            raise self._error("snapshots", ranges, f"{snapshots} that end at {edges}")
        return rows

    @cached_property
    def _label_bounds(self) -> np.ndarray:
        """First row of each snapshot in ``labels.parquet``, and the end of the last one."""
        snapshots, last = self._manifest["num_snapshots"], 0
        counts = np.zeros(snapshots, np.int64)
        for batch in self._labels.batches(["snapshot"]):
            number = schema.to_numpy(batch["snapshot"])
            if (np.diff(number, prepend=last) < 0).any() or number.max(initial=0) >= snapshots:
                raise self._error("labels", "snapshots out of order", f"0 to {snapshots - 1}, ascending")
            last = number.max(initial=last)
            counts += np.bincount(number, minlength=snapshots)
        return np.concatenate([[0], np.cumsum(counts)])

    def columns(self, snapshot: int, *names: str) -> list[np.ndarray]:
        """Columns of ``edges.parquet``."""
        table = self._rows(self._edges, self._bounds, snapshot, names)
        columns = [schema.to_numpy(table[name]) for name in names]
        for name, values in zip(names, columns, strict=True):
            if name in ("src", "dst"):
                schema.check_range(self._path("edges"), name, values, self._manifest["num_nodes"])
        return columns

    def features(self, snapshot: int) -> np.ndarray:
        """Features of the events, float32, shape (events, dim)."""
        return schema.to_numpy(self._rows(self._features, self._bounds, snapshot, ["feat"])["feat"])

    def labels(self, snapshot: int) -> list[np.ndarray]:
        """``edge_id``, ``node`` and ``label`` of the labelled events."""
        names = ("edge_id", "node", "label")
        table = self._rows(self._labels, self._label_bounds, snapshot, names)
        columns = [schema.to_numpy(table[name]) for name in names]
        for name, values, limit in zip(names, columns, ("num_edges", "num_nodes", "num_classes"), strict=True):
            schema.check_range(self._path("labels"), name, values, self._manifest[limit])
        return columns

    def time_range(self, snapshot: int) -> tuple[float, float]:
        """Begin and end of the snapshot."""
        begin, end = (self._snapshots[name] for name in ("time_begin", "time_end"))
        if len(begin) != self._manifest["num_snapshots"]:
            raise self._error("snapshots", f"{len(begin)} rows", self._manifest["num_snapshots"])
        return float(begin[snapshot]), float(end[snapshot])

    def by_node(self, name: str, column: str, limit: int | None, least: int = 0) -> np.ndarray:
        """Column of a table of nodes as int64 of shape (num_nodes,), -1 for nodes that the table does not name.

        Without a `limit` of its values it is float64, and NaN for those nodes.
        """
        table = schema.table(self._folder, name, ["node", column])
        nodes, values = (schema.to_numpy(table[key]) for key in ("node", column))
        schema.check_range(self._path(name), "node", nodes, self._manifest["num_nodes"])
        if limit is not None:
            schema.check_range(self._path(name), column, values, limit, least)
        by_node = np.full(self._manifest["num_nodes"], np.nan if limit is None else np.int64(-1))
        by_node[nodes] = values
        return by_node

    def _rows(self, reader: schema.RowReader, bounds: np.ndarray, snapshot: int, names: Any) -> Any:
        first, end = int(bounds[snapshot]), int(bounds[snapshot + 1])
        return reader.read(first, end - first, list(names))

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.parquet"

    def _error(self, name: str, found: object, expected: object) -> DataError:
        return DataError(f"{self._path(name)}: found {found}, expected {expected}; prepare the folder again")
