"""Events in formats of others: CSV tables, the files of TGL, and those of DyGLib and TGN."""

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from data_prep.spool import write_array
from data_prep.terminal import Add, silent
from data_prep.writer import arrow, new_folder, strings
from dgl_dysign.data import schema
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.events import EventTable, exact
from dgl_dysign.files import system_errors, write_json

FORMATS = ("csv", "tgl", "dyglib")
MARKER = "export.json"
"""Written beside the files, so that a later export may replace them; says how they were written."""

DYGLIB_WIDTH = 172
"""Most features of an event or node that DyGLib takes; narrower ones it fills with zeros."""
_VALUES_AT_ONCE = 1 << 22
_SHARES = (0.70, 0.85)


def export(
    folder: Path,
    dest: Path,
    form: str,
    *,
    shift_time: bool = False,
    overwrite: bool = False,
    progress: Add = silent,
    rows_at_once: int = 1 << 16,
) -> dict[str, Any]:
    """Write a prepared folder in another format.

    ``csv``: ``edges.csv`` (dense and raw ids, time, snapshot, weight, one column a feature), ``nodes.csv``,
    ``labels.csv`` and ``targets.csv``, in the order of the prepared folder; memory does not grow with the events.

    ``tgl``: ``edges.csv`` by time, ``ext_full.npz``, ``int_full.npz`` and ``int_train.npz`` (neighbours of each node by
    time; both ends know each other where the data is undirected), ``edge_features.pt`` (``.npy`` without PyTorch) and
    ``labels.csv``. The first 70 % of time are for training, the next 15 % for validation, the rest for testing, in
    ``int_roll`` as in ``ext_roll``. A label of a node, which has no time, is asked for at the node's last event. TGL's
    sampler keeps times in float32: Unix seconds are then told apart only every 128 s; see `shift_time`.

    ``dyglib``: ``ml_NAME.csv`` by time, ``ml_NAME.npy`` and ``ml_NAME_node.npy``, counted from 1. An event without a
    label has 0 where no event has one, else -1; labels of nodes have no place in it.

    For the two latter the weight of an event, where there is one, is its first feature, and memory for about 115 bytes
    an event is needed.

    Parameters
    ----------
    folder, dest : path
        A prepared folder, and the one to write, which is there whole or not at all.
    form : str
        One of :data:`FORMATS`.
    shift_time : bool, default False
        Write times from 0 at the first event.
    overwrite : bool, default False
        Replace `dest` if it was exported before.
    progress : callable, optional
        Called with (text, total), returns a function that is told of each advance.
    rows_at_once : int, default 65536
        Events that are read and written at once; has no influence on the files.

    Returns
    -------
    dict
        What stands in ``export.json``, beside the files: among others ``rows``, the number of rows of each file, and
        for ``tgl`` ``rounded_times``, the number of events whose time float32 cannot hold.

    Raises
    ------
    DataError, ConfigError
        If the folder cannot be read, or `dest` may not be written; if the format is unknown, or cannot hold so many
        features.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as home:
    ...     facts = export(prepared, Path(home) / "csv", "csv")
    >>> facts["rows"]["nodes.csv"], facts["rows"]["labels.csv"]
    (100, 100)
    """
    if form not in FORMATS:
        raise ConfigError(f"found format {form!r}, expected one of {', '.join(FORMATS)}")
    manifest = schema.read_manifest(folder)
    data = _Prepared(Path(folder), manifest, manifest["time_range"][0] if shift_time else 0.0, rows_at_once)
    facts = {"format": form, "dataset": manifest["dataset"], "time_shift": data.shift}

    def write(new: Path) -> dict[str, Any]:
        if form == "csv":
            return _write_csv(data, new, progress)
        return _WRITERS[form](*data.by_time(), new, progress, rows_at_once)

    return _write_marked(dest, write, facts, overwrite)


@dataclass(frozen=True)
class Features:
    """Features of events, weights first: `copy` writes them into an array of shape (events, `width`)."""

    width: int
    copy: Callable[[np.ndarray], object]

    @classmethod
    def of(cls, table: EventTable) -> "Features":
        """Take those of a table."""
        weight = None if table.edge_weight is None else table.edge_weight[:, None]
        parts = [part for part in (weight, table.edge_feat) if part is not None]

        def copy(into: np.ndarray) -> None:
            start = 0
            for part in parts:
                into[:, start : start + part.shape[1]] = exact("edge_weight or edge_feat", part, into.dtype)
                start += part.shape[1]

        return cls(sum(part.shape[1] for part in parts), copy)


def export_table(
    table: EventTable, dest: Path, form: str, *, time_shift: float = 0.0, overwrite: bool = False
) -> dict[str, Any]:
    """Write a table of events in another format; weights, where there are any, are the first feature.

    Parameters
    ----------
    table, dest, form, overwrite
        The events; the rest as for :func:`export`, of ``"tgl"`` and ``"dyglib"``.
    time_shift : float, default 0
        What was taken from the times; for ``export.json``.

    Returns
    -------
    dict
        What stands in ``export.json``.

    Raises
    ------
    DataError, ConfigError
        As :func:`export`.
    """
    facts = {"format": form, "dataset": table.name, "time_shift": time_shift}
    return _write_marked(dest, lambda new: _WRITERS[form](table, Features.of(table), new), facts, overwrite)


def _write_marked(
    dest: Path, write: Callable[[Path], dict[str, Any]], facts: dict[str, Any], overwrite: bool
) -> dict[str, Any]:
    """Write a folder, whole or not at all, with :data:`MARKER` in it, whose facts are returned."""
    with new_folder(dest, overwrite, marker=MARKER) as new:
        facts = {"schema_version": schema.SCHEMA_VERSION, **facts, **write(new)}
        write_json(new / MARKER, facts)
    return facts


class _CsvFile:
    """A CSV file written batch by batch; only what needs quotes has them, and floats come back as they were."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self._stream = open(path, "wb")  # noqa: SIM115 (closed in `__exit__`)
        self._stream.write((",".join(names) + "\n").encode())
        self._options = pa.csv.WriteOptions(include_header=False, quoting_style="needed")
        self.rows = 0

    def write(self, *columns: np.ndarray | pa.Array) -> None:
        """Append rows."""
        arrays = [arrow(column) if isinstance(column, np.ndarray) else column for column in columns]
        batch = pa.record_batch(arrays, names=[str(number) for number in range(len(arrays))])
        pa.csv.write_csv(batch, self._stream, self._options)
        self.rows += len(batch)

    def __enter__(self) -> "_CsvFile":
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()


class _Prepared:
    """The tables of a prepared folder, times shifted."""

    def __init__(self, folder: Path, manifest: dict[str, Any], shift: float, rows_at_once: int) -> None:
        self.folder, self.manifest, self.shift, self.rows_at_once = folder, manifest, shift, rows_at_once
        self.num_nodes, self.num_edges = int(manifest["num_nodes"]), int(manifest["num_edges"])
        self.weighted = manifest.get("edge_weight") is not None
        self._edges = self._reader("edges", schema.edge_schema(manifest))
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
        rows = self.rows_at_once
        if "feat" in names:
            rows = min(rows, max(1, _VALUES_AT_ONCE // max(self.dim, 1)))
        stored = [name for name in names if name != "feat"]
        for first in range(0, self.num_edges, rows):
            count = min(rows, self.num_edges - first)
            table = self._edges.read(first, count, stored or ["edge_id"])
            columns = {name: schema.to_numpy(table[name]) for name in stored}
            for name in {"src", "dst"}.intersection(stored):
                schema.check_range(self._edges.path, name, columns[name], self.num_nodes)
            if "time" in columns:
                columns["time"] = columns["time"] - self.shift
            if "feat" in names and self._features is not None:
                columns["feat"] = schema.to_numpy(self._features.read(first, count, ["feat"])["feat"])
            yield first, columns

    def by_time(self) -> tuple[EventTable, Features]:
        """Read the events ascending by time; their features are read when they are copied."""
        table = EventTable.of(self.folder, "drop", edge_features=False).without("snapshot")
        if self.shift:
            table = EventTable.from_rows(**{**vars(table), "time": table.time - self.shift})
        edge_id = np.concatenate([columns["edge_id"] for _, columns in self.chunks("edge_id")])
        place = np.empty(self.num_edges, np.int64)  # of each event of `edges.parquet` among those of the table
        place[table.edge_id] = np.arange(self.num_edges)
        place = place[edge_id]
        return table, Features(self.dim + self.weighted, lambda into: self.copy_features(into, place))

    def copy_features(self, into: np.ndarray, place: np.ndarray) -> None:
        """Write weights and features of the events to the rows that `place` says."""
        for first, columns in self.chunks(*["weight"] * self.weighted, *["feat"] * bool(self.dim)):
            rows = place[first : first + len(next(iter(columns.values())))]
            if self.weighted:
                into[rows, 0] = columns["weight"]
            if self.dim:
                into[rows, int(self.weighted) :] = columns["feat"]


def _write_csv(data: _Prepared, new: Path, progress: Add) -> dict[str, Any]:
    nodes = schema.table(data.folder, "nodes")
    raw, rows = nodes["raw_id"].combine_chunks(), {}
    with _CsvFile(new / "nodes.csv", schema.NODES.names) as file:
        for batch in nodes.to_batches(data.rows_at_once):
            file.write(*(batch[name] for name in schema.NODES.names))
        rows["nodes.csv"] = file.rows
    names = ["edge_id", "snapshot", "time", "src", "dst", *["weight"] * data.weighted]
    header = [*names[:5], "src_raw", "dst_raw", *names[5:], *(f"feat_{column}" for column in range(data.dim))]
    advance = progress("writing events", data.num_edges)
    with _CsvFile(new / "edges.csv", header) as file:
        for _, chunk in data.chunks(*names, "feat"):
            columns: list[Any] = [chunk[name] for name in names[:5]]
            columns += [raw.take(arrow(chunk[end])) for end in ("src", "dst")]
            columns += [chunk[name] for name in names[5:]]
            columns += list(np.ascontiguousarray(chunk["feat"].T)) if data.dim else []
            file.write(*columns)
            advance(len(chunk["time"]))
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
    if "targets" in data.manifest:
        with _CsvFile(new / "targets.csv", schema.TARGETS.names) as file:
            for batch in schema.RowReader(data.folder, "targets").batches():
                file.write(*batch.columns)
            rows["targets.csv"] = file.rows
    return {"rows": rows}


def _about(table: EventTable, features: Features) -> dict[str, Any]:
    """Say what the files cannot tell a later reader."""
    weighted = table.edge_weight is not None
    return {
        "directed": table.directed,
        "time_unit": table.time_unit,
        "node_offset": table.node_offset,
        "weight_is_first_feature": weighted,
        "edge_features": features.width > weighted,
        "node_features": table.node_feat is not None,
        "labels": "event" if table.event_label is not None else "node" if table.node_label is not None else None,
    }


def _pieces(table: EventTable, rows_at_once: int) -> Iterator[slice]:
    """Cut the events into rows to write at once."""
    for first in range(0, len(table), rows_at_once):
        yield slice(first, min(first + rows_at_once, len(table)))


def _write_tgl(
    table: EventTable, features: Features, new: Path, progress: Add = silent, rows_at_once: int = 1 << 16
) -> dict[str, Any]:
    """Write the files of TGL; return rows of each, number of times that float32 rounds, what the files do not tell."""
    # 0 for training, 1 for validation, 2 for testing.
    ends = np.quantile(table.time, _SHARES) if len(table) else np.zeros(2)
    roll, rows = np.searchsorted(ends, table.time, side="left").astype(np.int64), {}
    advance = progress("writing events", len(table))
    with _CsvFile(new / "edges.csv", ["", "src", "dst", "time", "int_roll", "ext_roll"]) as file:
        for piece in _pieces(table, rows_at_once):
            number = np.arange(piece.start, piece.stop)
            pair = table.src[piece], table.dst[piece]
            file.write(number, *pair, table.time[piece], roll[piece], roll[piece])
            advance(len(number))
        rows["edges.csv"] = file.rows
    for name, keep in (("ext_full", slice(None)), ("int_train", roll == 0)):
        rows[f"{name}.npz"] = _write_neighbours(new / f"{name}.npz", table, keep)
    # No event is left to the extrapolation alone (int_roll 3), so that both full graphs are the same.
    shutil.copyfile(new / "ext_full.npz", new / "int_full.npz")
    rows["int_full.npz"] = rows["ext_full.npz"]
    if features.width and len(table):
        path = new / "edge_features.npy"
        values = _mapped(path, np.float32, (len(table), features.width))
        features.copy(values)
        rows[_as_tensor(path, values)] = len(table)
    if table.node_feat is not None:
        path = new / "node_features.npy"
        write_array(path, table.node_feat)
        rows[_as_tensor(path, table.node_feat)] = len(table.node_feat)
    if table.event_label is not None or table.node_label is not None:
        rows["labels.csv"] = _write_tgl_labels(new / "labels.csv", table, roll)
    rounded = int(np.count_nonzero(table.time.astype(np.float32) != table.time))
    return {"rows": rows, "rounded_times": rounded, "about": _about(table, features)}


def _write_neighbours(path: Path, table: EventTable, keep: Any) -> int:
    """Write the neighbours of each node by time, with the number of the event, as TGL's T-CSR."""
    src, dst, time = table.src[keep], table.dst[keep], table.time[keep]
    number = np.arange(len(table))[keep]
    if not table.directed:
        src, dst = np.stack([src, dst], 1).ravel(), np.stack([dst, src], 1).ravel()
        time, number = time.repeat(2), number.repeat(2)
    order = np.argsort(src, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(src, minlength=table.num_nodes))])
    np.savez(path, indptr=indptr, indices=dst[order], ts=time[order], eid=number[order])
    return len(order)


def _mapped(path: Path, kind: Any, shape: tuple[int, ...], filled: bool = True) -> np.memmap:
    """Map a new ``.npy`` file of zeros; to be filled, it takes its room at once: a full disk would kill the process."""
    values = np.lib.format.open_memmap(path, "w+", kind, shape)
    if filled:
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, values.offset + values.nbytes)
    return values


def _as_tensor(path: Path, values: np.ndarray) -> str:
    """Put a tensor in the place of an array's file, where there is PyTorch; return the name of what is there."""
    try:
        import torch
    except ImportError:
        if isinstance(values, np.memmap):
            values.flush()
        return path.name
    tensor = path.with_suffix(".pt")
    with open(tensor, "wb") as file, system_errors():
        torch.save(torch.from_numpy(np.require(values, requirements="W")), file)
    path.unlink()
    return tensor.name


def _write_tgl_labels(path: Path, table: EventTable, roll: np.ndarray) -> int:
    """Write labels of events, or those of nodes at their last events."""
    if table.event_label is not None:
        at = np.flatnonzero(table.event_label >= 0)
        node, label = table.src[at], table.event_label[at]
    else:
        assert table.node_label is not None
        last = np.full(table.num_nodes, -1)
        for ends in (table.src, table.dst):
            np.maximum.at(last, ends, np.arange(len(ends)))
        node = np.flatnonzero((table.node_label >= 0) & (last >= 0))
        node = node[np.argsort(last[node], kind="stable")]
        at, label = last[node], table.node_label[node]
    with _CsvFile(path, ["", "node", "time", "label", "ext_roll"]) as file:
        file.write(np.arange(len(node)), node, table.time[at], label, roll[at])
    return len(node)


def _write_dyglib(
    table: EventTable, features: Features, new: Path, progress: Add = silent, rows_at_once: int = 1 << 16
) -> dict[str, Any]:
    """Write the files of DyGLib (and TGN); return rows of each, and what the files do not tell."""
    widths = {"an event": features.width, "a node": 0 if table.node_feat is None else table.node_feat.shape[1]}
    for what, width in widths.items():
        if width > DYGLIB_WIDTH:
            raise ConfigError(
                f"{table.name}: found {width} features {what}, expected at most {DYGLIB_WIDTH}, which is all that "
                "DyGLib takes; export --to tgl or csv"
            )
    name = "ml_" + re.sub(r"[^\w.-]+", "_", table.name)
    label = np.zeros(len(table)) if table.event_label is None else table.event_label.astype(np.float64)
    rows = {}
    advance = progress("writing events", len(table))
    with _CsvFile(new / f"{name}.csv", ["", "u", "i", "ts", "label", "idx"]) as file:
        for piece in _pieces(table, rows_at_once):
            number = np.arange(piece.start, piece.stop)
            pair = table.src[piece] + 1, table.dst[piece] + 1
            file.write(number, *pair, table.time[piece], label[piece], number + 1)
            advance(len(number))
        rows[f"{name}.csv"] = file.rows
    for path, shape in (
        (new / f"{name}.npy", (len(table) + 1, features.width or 1)),
        (new / f"{name}_node.npy", (table.num_nodes + 1, widths["a node"] or DYGLIB_WIDTH)),
    ):
        # Mapped, zeros cost neither memory nor, on most disks, space.
        filled = table.node_feat is not None if path.name.endswith("_node.npy") else bool(features.width)
        values = _mapped(path, np.float64, shape, filled)
        if not path.name.endswith("_node.npy") and features.width:
            features.copy(values[1:])
        elif path.name.endswith("_node.npy") and table.node_feat is not None:
            values[1:] = table.node_feat
        values.flush()
        rows[path.name] = shape[0]
    return {"rows": rows, "about": _about(table, features)}


_WRITERS = {"tgl": _write_tgl, "dyglib": _write_dyglib}
