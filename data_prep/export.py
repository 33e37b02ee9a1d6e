"""Prepared folders in formats of others: CSV tables, the files of TGL, and those of DyGLib and TGN."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_prep import export_files as files
from data_prep.export_files import CsvFile, Progress, SortedEvents
from data_prep.parquet import arrow, strings
from dgl_dysign.data import schema
from dgl_dysign.errors import ConfigError, DataError

FORMATS = ("csv", "tgl", "dyglib")
_VALUES_AT_ONCE = 1 << 22


def export(
    folder: Path,
    dest: Path,
    form: str,
    *,
    shift_time: bool = False,
    overwrite: bool = False,
    progress: Progress = files.silent,
) -> dict[str, Any]:
    """Write a prepared folder in another format.

    ``csv``: ``edges.csv`` (dense and raw ids, time, snapshot, weight, one column a feature), ``nodes.csv`` and
    ``labels.csv``, in the order of the prepared folder; memory does not grow with the events.

    ``tgl``: ``edges.csv`` by time, ``ext_full.npz``, ``int_full.npz`` and ``int_train.npz`` (neighbours of each node by
    time; both ends know each other where the data is undirected), ``edge_features.pt`` (``.npy`` without PyTorch) and
    ``labels.csv``. The first 70 % of time are for training, the next 15 % for validation, the rest for testing, in
    ``int_roll`` as in ``ext_roll``. A label of a node, which has no time, is asked for at the node's last event. TGL's
    sampler keeps times in float32: Unix seconds are then told apart only every 128 s; see `shift_time`.

    ``dyglib``: ``ml_NAME.csv`` by time, ``ml_NAME.npy`` and ``ml_NAME_node.npy``, counted from 1. An event without a
    label has 0 where no event has one, else -1; labels of nodes have no place in it.

    For the two latter the weight of an event, where there is one, is its first feature, and memory for about 90 bytes
    an event is needed.

    Parameters
    ----------
    folder : path
        A prepared folder.
    dest : path
        The folder to write; it is there whole or not at all.
    form : str
        One of :data:`FORMATS`.
    shift_time : bool, default False
        Write times from 0 at the first event.
    overwrite : bool, default False
        Replace `dest` if it was exported before.
    progress : callable, optional
        Given (text, total), returns a function that is told of each advance.

    Returns
    -------
    dict
        What stands in ``export.json``, beside the files: among others ``rows``, the number of rows of each file, and
        for ``tgl`` ``rounded_times``, the number of events whose time float32 cannot hold.

    Raises
    ------
    DataError
        If the folder cannot be read, or `dest` may not be written.
    ConfigError
        If the format is unknown, or cannot hold so many features.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as home:
    ...     made = export(prepared, Path(home) / "csv", "csv")
    >>> made["rows"]["nodes.csv"], made["rows"]["labels.csv"]
    (100, 100)
    """
    if form not in FORMATS:
        raise ConfigError(f"found format {form!r}, expected one of {', '.join(FORMATS)}")
    manifest = schema.read_manifest(folder)
    data = _Prepared(Path(folder), manifest, manifest["time_range"][0] if shift_time else 0.0)
    facts = {"format": form, "dataset": manifest["dataset"], "time_shift": data.shift}
    if form == "csv":
        return files.write_marked(dest, lambda new: _write_csv(data, new, progress), facts, overwrite)
    write = {"tgl": files.write_tgl, "dyglib": files.write_dyglib}[form]
    return files.write_marked(dest, lambda new: write(data.by_time(), new, progress), facts, overwrite)


class _Prepared:
    """The tables of a prepared folder, times shifted."""

    def __init__(self, folder: Path, manifest: dict[str, Any], shift: float) -> None:
        self.folder, self.manifest, self.shift = folder, manifest, shift
        self.num_nodes, self.num_edges = int(manifest["num_nodes"]), int(manifest["num_edges"])
        self.weighted = manifest.get("edge_weight") is not None
        kind = schema.WEIGHTED_EDGES if self.weighted else schema.EDGES
        self._edges = self._reader("edges", kind)
        features = manifest.get("edge_features")
        self.dim = int(features["dim"]) if features else 0
        self._features = self._reader("edge_features", schema.feature_schema(self.dim)) if features else None

    def _reader(self, name: str, expected: pa.Schema) -> schema.RowReader:
        reader = schema.RowReader(self.folder, name, expected)
        if len(reader) != self.num_edges:
            raise DataError(
                f"{reader.path}: found {len(reader)} rows, expected {self.num_edges}; prepare the folder again"
            )
        return reader

    def chunks(self, *names: str) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Yield the first row and the columns of some events at a time; ``feat`` is one of them."""
        rows = (
            min(files.ROWS_AT_ONCE, max(1, _VALUES_AT_ONCE // max(self.dim, 1)))
            if "feat" in names
            else files.ROWS_AT_ONCE
        )
        columns = [name for name in names if name != "feat"]
        for first in range(0, self.num_edges, rows):
            count = min(rows, self.num_edges - first)
            table = self._edges.read(first, count, columns or ["edge_id"])
            found = {name: schema.to_numpy(table[name]) for name in columns}
            for name in {"src", "dst"}.intersection(columns):
                schema.check_range(self._edges.path, name, found[name], self.num_nodes)
            if "time" in found:
                found["time"] = found["time"] - self.shift
            if "feat" in names and self._features is not None:
                found["feat"] = schema.to_numpy(self._features.read(first, count, ["feat"])["feat"])
            yield first, found

    def column(self, name: str) -> np.ndarray:
        """Read one column of all events."""
        kind = schema.WEIGHTED_EDGES.field(name).type.to_pandas_dtype()
        values = np.empty(self.num_edges, kind)
        for first, found in self.chunks(name):
            values[first : first + len(found[name])] = found[name]
        return values

    @property
    def width(self) -> int:
        """Number of features of an event, its weight included."""
        return self.dim + self.weighted

    def copy_features(self, into: np.ndarray, place: np.ndarray) -> None:
        """Write weights and features of the events to the rows that `place` says."""
        for first, found in self.chunks(*["weight"] * self.weighted, *["feat"] * bool(self.dim)):
            rows = place[first : first + len(next(iter(found.values())))]
            if self.weighted:
                into[rows, 0] = found["weight"]
            if self.dim:
                into[rows, int(self.weighted) :] = found["feat"]

    def node_labels(self) -> tuple[np.ndarray, np.ndarray]:
        """Nodes and their classes."""
        table, path = schema.table(self.folder, "labels"), self.folder / "labels.parquet"
        node, label = (schema.to_numpy(table[name]) for name in ("node", "label"))
        schema.check_range(path, "node", node, self.num_nodes)
        schema.check_range(path, "label", label, self.manifest["num_classes"])
        return node, label

    def event_labels(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row in ``edges.parquet``, node and class of each labelled event."""
        path, table = self.folder / "labels.parquet", schema.table(self.folder, "labels", expected=schema.EVENT_LABELS)
        edge_id, node, label = (schema.to_numpy(table[name]) for name in ("edge_id", "node", "label"))
        numbers = self.column("edge_id")
        schema.check_range(path, "edge_id", edge_id, self.num_edges)
        schema.check_range(self._edges.path, "edge_id", numbers, self.num_edges)
        schema.check_range(path, "node", node, self.num_nodes)
        schema.check_range(path, "label", label, self.manifest["num_classes"])
        return _inverse(numbers)[edge_id], node, label

    def by_time(self) -> SortedEvents:
        """Sort the events by time, in file order where times are equal."""
        time, labels = self.column("time"), self.manifest["labels"]
        order = np.argsort(time, kind="stable")
        place = _inverse(order)  # where each event of `edges.parquet` is among the sorted ones
        event_labels = None
        if labels == "event":
            row, node, label = self.event_labels()
            event_labels = place[row], node, label
        offsets = list(self.manifest["id_offsets"].values())
        return SortedEvents(
            self.manifest["dataset"],
            self.column("src")[order],
            self.column("dst")[order],
            time[order],
            self.num_nodes,
            self.manifest["directed"],
            self.width,
            lambda into: self.copy_features(into, place),
            self.weighted,
            event_labels,
            self.node_labels() if labels == "node" else None,
            time_unit=self.manifest["time_unit"],
            node_offset=offsets[1] if len(offsets) == 2 else None,
        )


def _inverse(order: np.ndarray) -> np.ndarray:
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return place


def _write_csv(data: _Prepared, new: Path, progress: Progress) -> dict[str, Any]:
    nodes = schema.table(data.folder, "nodes")
    raw, rows = nodes["raw_id"].combine_chunks(), {}
    with CsvFile(new / "nodes.csv", schema.NODES.names) as file:
        for batch in nodes.to_batches(files.ROWS_AT_ONCE):
            file.write(*(batch[name] for name in schema.NODES.names))
        rows["nodes.csv"] = file.rows
    names = ["edge_id", "snapshot", "time", "src", "dst", *["weight"] * data.weighted]
    header = [*names[:5], "src_raw", "dst_raw", *names[5:], *(f"feat_{column}" for column in range(data.dim))]
    advance = progress("writing events", data.num_edges)
    with CsvFile(new / "edges.csv", header) as file:
        for _, found in data.chunks(*names, "feat"):
            columns: list[Any] = [found[name] for name in names[:5]]
            columns += [raw.take(arrow(found[end])) for end in ("src", "dst")]
            columns += [found[name] for name in names[5:]]
            columns += list(np.ascontiguousarray(found["feat"].T)) if data.dim else []
            file.write(*columns)
            advance(len(found["time"]))
        rows["edges.csv"] = file.rows
    if data.manifest["labels"]:
        kind = schema.EVENT_LABELS if data.manifest["labels"] == "event" else schema.LABELS
        classes = strings([str(name) for name in data.manifest["class_names"]])
        with CsvFile(new / "labels.csv", [*kind.names, "class"]) as file:
            for batch in schema.RowReader(data.folder, "labels", kind).batches(kind.names):
                label = schema.to_numpy(batch["label"])
                schema.check_range(data.folder / "labels.parquet", "label", label, len(classes))
                file.write(*batch.columns, classes.take(batch["label"]))
            rows["labels.csv"] = file.rows
    return {"rows": rows}
