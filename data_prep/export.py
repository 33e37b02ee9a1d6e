"""Prepared folders in formats of others: CSV tables, the files of TGL, and those of DyGLib and TGN."""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from data_prep.parquet import arrow, strings
from data_prep.writer import new_folder
from dgl_dysign.data import schema
from dgl_dysign.errors import ConfigError, DataError

FORMATS = ("csv", "tgl", "dyglib")
MARKER = "export.json"
"""Written beside the files, so that a later export may replace them; says how they were made."""

Progress = Callable[[str, int], Callable[[int], object]]
_ROWS_AT_ONCE = 1 << 16
_VALUES_AT_ONCE = 1 << 22
_DYGLIB_WIDTH = 172
_SHARES = (0.70, 0.85)


def _silent(text: str, total: int) -> Callable[[int], object]:
    return lambda amount: None


def export(
    folder: Path,
    dest: Path,
    form: str,
    *,
    shift_time: bool = False,
    overwrite: bool = False,
    progress: Progress = _silent,
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
        What stands in :data:`MARKER`: among others ``rows``, the number of rows of each file, and for ``tgl``
        ``rounded_times``, the number of events whose time float32 cannot hold.

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
    write = {"csv": _write_csv, "tgl": _write_tgl, "dyglib": _write_dyglib}[form]
    with new_folder(dest, overwrite, marker=MARKER) as new:
        made = {
            "schema_version": schema.SCHEMA_VERSION,
            "format": form,
            "dataset": manifest["dataset"],
            "time_shift": data.shift,
            **write(data, new, progress),
        }
        (new / MARKER).write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    return made


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
        rows = min(_ROWS_AT_ONCE, max(1, _VALUES_AT_ONCE // max(self.dim, 1))) if "feat" in names else _ROWS_AT_ONCE
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


def _inverse(order: np.ndarray) -> np.ndarray:
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return place


class _CsvFile:
    """A CSV file written batch by batch; only what needs quotes has them, and floats come back as they were."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self._stream = open(path, "wb")  # noqa: SIM115 (closed in `__exit__`)
        self._stream.write((",".join(names) + "\n").encode())
        self._options = pa.csv.WriteOptions(include_header=False, quoting_style="needed")
        self.rows = 0

    def write(self, *columns: np.ndarray | pa.Array) -> None:
        arrays = [arrow(column) if isinstance(column, np.ndarray) else column for column in columns]
        batch = pa.record_batch(arrays, names=[str(number) for number in range(len(arrays))])
        pa.csv.write_csv(batch, self._stream, self._options)
        self.rows += len(batch)

    def __enter__(self) -> "_CsvFile":
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()


def _write_csv(data: _Prepared, new: Path, progress: Progress) -> dict[str, Any]:
    nodes = schema.table(data.folder, "nodes")
    raw, rows = nodes["raw_id"].combine_chunks(), {}
    with _CsvFile(new / "nodes.csv", schema.NODES.names) as file:
        for batch in nodes.to_batches(_ROWS_AT_ONCE):
            file.write(*(batch[name] for name in schema.NODES.names))
        rows["nodes.csv"] = file.rows
    names = ["edge_id", "snapshot", "time", "src", "dst", *["weight"] * data.weighted]
    header = [*names[:5], "src_raw", "dst_raw", *names[5:], *(f"feat_{column}" for column in range(data.dim))]
    advance = progress("writing events", data.num_edges)
    with _CsvFile(new / "edges.csv", header) as file:
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
        with _CsvFile(new / "labels.csv", [*kind.names, "class"]) as file:
            for batch in schema.RowReader(data.folder, "labels", kind).batches(kind.names):
                label = schema.to_numpy(batch["label"])
                schema.check_range(data.folder / "labels.parquet", "label", label, len(classes))
                file.write(*batch.columns, classes.take(batch["label"]))
            rows["labels.csv"] = file.rows
    return {"rows": rows}


class _ByTime:
    """Events sorted by time, in file order where times are equal."""

    def __init__(self, data: _Prepared) -> None:
        time = data.column("time")
        order = np.argsort(time, kind="stable")
        self.src, self.dst, self.time = data.column("src")[order], data.column("dst")[order], time[order]
        self.place = _inverse(order)
        """Where each event of ``edges.parquet`` is among the sorted ones."""

    def rolls(self) -> np.ndarray:
        """0 for training, 1 for validation, 2 for testing: up to 70 % and 85 % of the times."""
        ends = np.quantile(self.time, _SHARES) if len(self.time) else np.zeros(2)
        return np.searchsorted(ends, self.time, side="left").astype(np.int64)

    def pieces(self) -> Iterator[slice]:
        """Cut the events into rows to write at once."""
        for first in range(0, len(self.time), _ROWS_AT_ONCE):
            yield slice(first, min(first + _ROWS_AT_ONCE, len(self.time)))


def _write_tgl(data: _Prepared, new: Path, progress: Progress) -> dict[str, Any]:
    events = _ByTime(data)
    roll, rows = events.rolls(), {}
    advance = progress("writing events", data.num_edges)
    with _CsvFile(new / "edges.csv", ["", "src", "dst", "time", "int_roll", "ext_roll"]) as file:
        for piece in events.pieces():
            number = np.arange(piece.start, piece.stop)
            ends = events.src[piece], events.dst[piece]
            file.write(number, *ends, events.time[piece], roll[piece], roll[piece])
            advance(len(number))
        rows["edges.csv"] = file.rows
    for name, keep in (("ext_full", slice(None)), ("int_train", roll == 0)):
        rows[f"{name}.npz"] = _write_neighbours(new / f"{name}.npz", events, keep, data)
    # No event is left to the extrapolation alone (int_roll 3), so that both full graphs are the same.
    shutil.copyfile(new / "ext_full.npz", new / "int_full.npz")
    rows["int_full.npz"] = rows["ext_full.npz"]
    if data.width and data.num_edges:
        rows[_write_tgl_features(data, new, events.place)] = data.num_edges
    if data.manifest["labels"]:
        rows["labels.csv"] = _write_tgl_labels(data, new / "labels.csv", events, roll)
    rounded = int(np.count_nonzero(events.time.astype(np.float32) != events.time))
    return {"rows": rows, "rounded_times": rounded}


def _write_neighbours(path: Path, events: _ByTime, keep: Any, data: _Prepared) -> int:
    """Write the neighbours of each node by time, with the number of the event, as TGL's T-CSR."""
    src, dst, time = events.src[keep], events.dst[keep], events.time[keep]
    number = np.arange(len(events.time))[keep]
    if not data.manifest["directed"]:
        src, dst = np.stack([src, dst], 1).ravel(), np.stack([dst, src], 1).ravel()
        time, number = time.repeat(2), number.repeat(2)
    order = np.argsort(src, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(src, minlength=data.num_nodes))])
    np.savez(path, indptr=indptr, indices=dst[order], ts=time[order], eid=number[order])
    return len(order)


def _write_tgl_features(data: _Prepared, new: Path, place: np.ndarray) -> str:
    path = new / "edge_features.npy"
    values = np.lib.format.open_memmap(path, "w+", np.float32, (data.num_edges, data.width))
    data.copy_features(values, place)
    try:
        import torch
    except ImportError:
        values.flush()
        return path.name
    torch.save(torch.from_numpy(values), new / "edge_features.pt")
    path.unlink()
    return "edge_features.pt"


def _write_tgl_labels(data: _Prepared, path: Path, events: _ByTime, roll: np.ndarray) -> int:
    if data.manifest["labels"] == "event":
        row, node, label = data.event_labels()
        at = events.place[row]
    else:
        node, label = data.node_labels()
        last = np.full(data.num_nodes, -1)
        for ends in (events.src, events.dst):
            np.maximum.at(last, ends, np.arange(len(ends)))
        at = last[node]
        node, label, at = node[at >= 0], label[at >= 0], at[at >= 0]
    order = np.argsort(at, kind="stable")
    node, label, at = node[order], label[order], at[order]
    with _CsvFile(path, ["", "node", "time", "label", "ext_roll"]) as file:
        file.write(np.arange(len(node)), node, events.time[at], label, roll[at])
    return len(node)


def _write_dyglib(data: _Prepared, new: Path, progress: Progress) -> dict[str, Any]:
    if data.width > _DYGLIB_WIDTH:
        raise ConfigError(
            f"{data.folder}: found {data.width} features an event, expected at most {_DYGLIB_WIDTH}, which is all that "
            "DyGLib takes; export --to tgl or csv"
        )
    name = "ml_" + re.sub(r"[^\w.-]+", "_", str(data.manifest["dataset"]))
    events, rows = _ByTime(data), {}
    label = np.zeros(data.num_edges)
    if data.manifest["labels"] == "event":
        row, _, classes = data.event_labels()
        label.fill(-1)
        label[events.place[row]] = classes
    advance = progress("writing events", data.num_edges)
    with _CsvFile(new / f"{name}.csv", ["", "u", "i", "ts", "label", "idx"]) as file:
        for piece in events.pieces():
            number = np.arange(piece.start, piece.stop)
            ends = events.src[piece] + 1, events.dst[piece] + 1
            file.write(number, *ends, events.time[piece], label[piece], number + 1)
            advance(len(number))
        rows[f"{name}.csv"] = file.rows
    for path, shape in (
        (new / f"{name}.npy", (data.num_edges + 1, data.width or 1)),
        (new / f"{name}_node.npy", (data.num_nodes + 1, _DYGLIB_WIDTH)),
    ):
        # Mapped, zeros cost neither memory nor, on most disks, space.
        values = np.lib.format.open_memmap(path, "w+", np.float64, shape)
        if data.width and not path.name.endswith("_node.npy"):
            data.copy_features(values[1:], events.place)
        values.flush()
        rows[path.name] = shape[0]
    return {"rows": rows}
