"""The prepared folder on disk: table schemas, the manifest, and readers that name the file when something is wrong.

Written by ``data_prep``, read by :class:`dgl_dysign.data.TemporalGraph`; needs pyarrow and the standard library only.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dgl_dysign._moved import moved_name
from dgl_dysign.errors import DataError
from dgl_dysign.files import read_json, regular, write_json

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"


def _required(**columns: pa.DataType) -> list[pa.Field]:
    return [pa.field(name, kind, nullable=False) for name, kind in columns.items()]


EDGES = pa.schema(_required(snapshot=pa.int32(), src=pa.int64(), dst=pa.int64(), time=pa.float64(), edge_id=pa.int64()))
WEIGHTED_EDGES = EDGES.append(pa.field("weight", pa.float64(), nullable=False))
"""Edges of data whose raw file has a weight; the manifest's ``edge_weight`` names the raw column."""
_RANGES = {"time_begin": pa.float64(), "time_end": pa.float64()}
SNAPSHOTS = pa.schema(_required(snapshot=pa.int32(), first_row=pa.int64(), num_rows=pa.int64(), **_RANGES))
_NODE = _required(node=pa.int64(), raw_id=pa.string(), first_snapshot=pa.int32())
NODES = pa.schema([*_NODE[:2], pa.field("type", pa.string()), _NODE[2]])
LABELS = pa.schema(_required(node=pa.int64(), label=pa.int32()))
"""Labels of nodes: the manifest says ``"labels": "node"``."""
EVENT_LABELS = pa.schema(_required(edge_id=pa.int64(), node=pa.int64(), snapshot=pa.int32(), label=pa.int32()))
"""Labels of events, in the order of the edges: the manifest says ``"labels": "event"``."""
TARGETS = pa.schema(_required(node=pa.int64(), target=pa.float64()))
"""Numbers to be learnt of nodes, where the manifest has ``targets``."""
REJECTED = pa.schema(_required(file=pa.string(), line=pa.int64(), text=pa.string(), reason=pa.string()))
"""Rows of the raw files that are not among the edges, and why."""
TABLES = {
    "edges": EDGES, "snapshots": SNAPSHOTS, "nodes": NODES, "labels": LABELS, "targets": TARGETS, "rejected": REJECTED,
}  # fmt: skip

_KINDS: dict[str, Any] = {
    "schema_version": int, "dataset": str, "num_nodes": int, "num_edges": int, "num_snapshots": int, "num_classes": int,
    "class_names": list, "labels": (str, type(None)), "directed": bool, "snapshot_rule": dict, "time_unit": str,
    "time_range": list, "id_offsets": dict, "duplicate_rows": int, "rejected_rows": int, "sources": list,
    "features": (dict, type(None)), "files": dict, "tool_version": str,
}  # fmt: skip
_OPTIONAL: dict[str, Any] = {
    "edge_features": (dict, type(None)),
    "edge_weight": (str, type(None)),
    "id_order": (str, type(None)),
    "labels_at": (str, float, int),
    "targets": dict,
    "parent": str,
    "appended": list,
}
_APPENDED = ("first_snapshot", "first_edge", "first_node")
_LABELS = ("node", "event", None)


def edge_schema(manifest: dict[str, Any]) -> pa.Schema:
    """Return the schema of ``edges.parquet``, which has a column of weights where the manifest names one."""
    return EDGES if manifest.get("edge_weight") is None else WEIGHTED_EDGES


def feature_schema(dim: int) -> pa.Schema:
    """Build the schema of a feature file: rows of ``dim`` float32 values, in the order of the nodes or edges."""
    values = pa.list_(pa.field("item", pa.float32(), nullable=False), dim)
    return pa.schema([pa.field("feat", values, nullable=False)])


def feature_name(snapshot: int) -> str:
    """Table name of the features of one snapshot.

    >>> feature_name(3)
    'features/00003'
    """
    return f"features/{snapshot:05d}"


def sha256(path: str | os.PathLike[str], on_bytes: Callable[[int], object] | None = None) -> str:
    """SHA-256 of a file's bytes, in hexadecimal; `on_bytes` is called with the size of each block."""
    digest = hashlib.sha256()
    with open(regular(path), "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
            if on_bytes:
                on_bytes(len(block))
    return digest.hexdigest()


def check_manifest(manifest: Any, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return `manifest` if every key is there with the right type; raise :class:`DataError` naming `path` if not.

    The keys ``edge_features``, ``edge_weight`` and ``id_order`` may be absent, as in folders of earlier versions,
    ``labels_at`` and ``targets`` where there are none, and ``parent`` and ``appended`` where nothing was appended.
    """
    if not isinstance(manifest, dict):
        raise DataError(f"{path}: found {type(manifest).__name__}, expected a JSON object; prepare the folder again")
    version = manifest.get("schema_version")
    if version != SCHEMA_VERSION:
        raise DataError(
            f"{path}: found schema_version {version!r}, expected {SCHEMA_VERSION}; "
            "prepare the folder again with this version of dysign-prep"
        )
    for key, kind in {**_KINDS, **_OPTIONAL}.items():
        if key not in manifest:
            if key in _OPTIONAL:
                continue
            raise DataError(f"{path}: found no key {key!r}, expected it; prepare the folder again")
        value = manifest[key]
        if not isinstance(value, kind) or (kind is int and (value is True or value is False or value < 0)):
            raise DataError(f"{path}: found {key} = {value!r}, which has the wrong type; prepare the folder again")
    for key in ("features", "edge_features"):
        width = 1 if manifest.get(key) is None else manifest[key].get("dim")
        if type(width) is not int or not 1 <= width < 2**31:
            raise DataError(f"{path}: found {key} = {manifest[key]!r}, expected its width dim; prepare again")
    if not all(isinstance(digest, str) for digest in manifest["files"].values()):
        raise DataError(f"{path}: found files = {manifest['files']!r}, expected the SHA-256 of each; prepare again")
    if type(manifest.get("targets", {"count": 0}).get("count")) is not int:
        raise DataError(f"{path}: found targets = {manifest['targets']!r}, expected their count; prepare again")
    if manifest["labels"] not in _LABELS:
        raise DataError(f"{path}: found labels = {manifest['labels']!r}, expected one of {_LABELS}; prepare again")
    names = manifest["class_names"]
    if len(names) != manifest["num_classes"] or len({str(name) for name in names}) != len(names):
        raise DataError(
            f"{path}: found class_names {names}, expected {manifest['num_classes']} different names; prepare again"
        )
    _check_appended(manifest, path)
    begin = 0
    for block in (manifest, *manifest.get("appended", [])):
        starts = list(block["id_offsets"].values())
        whole = all(type(start) is int and begin <= start <= manifest["num_nodes"] for start in starts)
        begin = block.get("first_node", 0)
        if not starts or not whole or starts != sorted(starts) or starts[0] != begin:
            raise DataError(
                f"{path}: found id_offsets {block['id_offsets']}, expected the first node of each type, from {begin} "
                "up; prepare again"
            )
    return manifest


def _check_appended(manifest: dict[str, Any], path: str | os.PathLike[str]) -> None:
    before = dict.fromkeys(_APPENDED, 0)
    for entry in manifest.get("appended", []):
        whole = isinstance(entry, dict) and all(type(entry.get(key)) is int for key in _APPENDED)
        whole = (
            whole
            and isinstance(entry.get("parent"), str)
            and list(entry.get("id_offsets", {})) == list(manifest["id_offsets"])
        )
        totals = {key: manifest[f"num_{key[6:]}s"] for key in _APPENDED}
        if not whole or not all(before[key] <= entry[key] <= totals[key] for key in _APPENDED):
            raise DataError(
                f"{path}: found {entry} in appended, expected its parent and where it begins, after {before}; prepare "
                "again"
            )
        before = entry


def check_counts(folder: str | os.PathLike[str], manifest: dict[str, Any]) -> None:
    """Raise :class:`DataError` if a folder has fewer nodes or snapshots than its manifest says.

    Arrays are as long as these numbers, so that they may not come from a manifest alone.
    """
    for name in ("nodes", "snapshots"):
        rows, expected = len(RowReader(folder, name)), manifest[f"num_{name}"]
        if rows < expected:
            path = Path(folder) / f"{name}.parquet"
            raise DataError(f"{path}: found {rows} rows, expected {expected}; prepare the folder again")


def node_ranges(manifest: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Return type, first node and end of each run of nodes that are in the order of ``id_order``.

    There is one for each type, and as many for each append.

    >>> node_ranges({"num_nodes": 9, "id_offsets": {"user": 0, "item": 4}, "appended": [
    ...     {"id_offsets": {"user": 7, "item": 8}}]})
    [('user', 0, 4), ('item', 4, 7), ('user', 7, 8), ('item', 8, 9)]
    """
    blocks = [manifest["id_offsets"], *(entry["id_offsets"] for entry in manifest.get("appended", []))]
    runs = [item for block in blocks for item in block.items()]
    ends = [start for _, start in runs[1:]] + [manifest["num_nodes"]]
    return [(name, start, end) for (name, start), end in zip(runs, ends, strict=True)]


def is_second_type(manifest: dict[str, Any]) -> np.ndarray | None:
    """Tell which nodes, bool (num_nodes,), are of the second type; None unless there are two types.

    >>> is_second_type({"num_nodes": 3, "id_offsets": {"user": 0, "item": 1}}).tolist()
    [False, True, True]
    """
    types = list(manifest["id_offsets"])
    if len(types) != 2:
        return None
    second = np.zeros(manifest["num_nodes"], bool)
    for name, start, end in node_ranges(manifest):
        second[start:end] = name == types[1]
    return second


def num_nodes_of(manifest: dict[str, Any], snapshot: int) -> int:
    """Return the number of nodes that the folder had when the features of a snapshot were made: rows of their file.

    Nodes that were appended later had no event by then, so that their features are zero.

    >>> manifest = {"num_nodes": 9, "appended": [{"first_snapshot": 5, "first_node": 7}]}
    >>> num_nodes_of(manifest, 4), num_nodes_of(manifest, 5)
    (7, 9)
    """
    later = (entry["first_node"] for entry in manifest.get("appended", []) if entry["first_snapshot"] > snapshot)
    return next(later, manifest["num_nodes"])


def read_manifest(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Read and check ``manifest.json`` of a prepared folder; its keys are those of the format description.

    Raises ``DataError`` if the folder or its manifest is missing, is not JSON, or has another schema version.
    """
    path = Path(folder) / MANIFEST
    try:
        manifest = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(
            f"{folder}: found no {MANIFEST}, expected a prepared folder; make one with `dysign-prep edges RAW OUT`"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    except ValueError as error:
        raise DataError(f"{path}: found broken JSON ({error}); prepare the folder again") from error
    return check_manifest(manifest, path)


def write_manifest(folder: str | os.PathLike[str], manifest: dict[str, Any]) -> None:
    """Check `manifest` and write it to `folder` in one step: a reader sees the whole file or none."""
    path = Path(folder) / MANIFEST
    check_manifest(manifest, path)
    write_json(path, manifest, ensure_ascii=False, allow_nan=False)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn pyarrow's errors into one :class:`DataError` that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path}: found no such file, expected it beside {MANIFEST}; prepare again") from None
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: names that are not UTF-8
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{path}: found a truncated or damaged file ({reason}), expected Parquet; prepare the folder again"
        ) from error


def open_table(
    folder: str | os.PathLike[str],
    name: str,
    expected: pa.Schema | None = None,
    metadata: pq.FileMetaData | None = None,
) -> pq.ParquetFile:
    """Open one table of a prepared folder without reading its rows.

    `name` is one of ``TABLES``, ``edge_features``, or :func:`feature_name` of a snapshot; `expected` are columns that
    must be there, by default those of ``TABLES``, which both kinds of edges and of labels have; `metadata` is the
    file's footer as read before, which then is not parsed again. Raises ``DataError`` if the file is missing,
    truncated, or has other columns.
    """
    path = Path(folder) / f"{name}.parquet"
    with _naming(path):
        file = pq.ParquetFile(regular(path), metadata=metadata, page_checksum_verification=True)
    try:
        _check_columns(file.schema_arrow, name, path, expected)
    except DataError:
        file.close()
        raise
    return file


def _check_columns(actual: pa.Schema, name: str, path: Path, expected: pa.Schema | None) -> None:
    def kind(column: str) -> pa.DataType | None:
        place = actual.get_field_index(column)  # -1 as well where there are two of that name
        return None if place < 0 else actual.field(place).type

    if expected is None and (name.startswith("features/") or name == "edge_features"):
        feat = kind("feat")
        if feat is None or not pa.types.is_fixed_size_list(feat) or feat.value_type != pa.float32():
            raise DataError(f"{path}: found {actual.names} ({feat}), expected a column feat of fixed_size_list<float>")
        return
    for field in TABLES[name] if expected is None else expected:
        if kind(field.name) != field.type:
            raise DataError(
                f"{path}: found column {field.name} as {kind(field.name)}, expected {field.type}; "
                "prepare the folder again"
            )


def table(
    folder: str | os.PathLike[str],
    name: str,
    columns: Sequence[str] | None = None,
    expected: pa.Schema | None = None,
) -> pa.Table:
    """Read a whole table of a prepared folder (see :func:`open_table`)."""
    path = Path(folder) / f"{name}.parquet"
    with open_table(folder, name, expected) as file, _naming(path):
        return _without_nulls(file.read(columns=columns), path)


def _without_nulls(rows: Any, path: Path) -> Any:
    for name in rows.schema.names:
        if name != "type" and rows[name].null_count:
            raise DataError(f"{path}: found empty values in column {name}, expected none; prepare the folder again")
    return rows


def to_numpy(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Return a column of numbers, or of lists of one width, as an array; pandas is not imported, as pyarrow would.

    Where the column is one piece its memory is shared, and the array is read-only.

    >>> to_numpy(pa.chunked_array([[1.5], [], [2.5]]))
    array([1.5, 2.5])
    """
    chunks = (column.chunks if isinstance(column, pa.ChunkedArray) else [column]) or [pa.nulls(0, column.type)]
    if pa.types.is_fixed_size_list(column.type):
        arrays = [to_numpy(chunk.flatten()).reshape(-1, column.type.list_size) for chunk in chunks]
    else:
        arrays = [np.from_dlpack(chunk) for chunk in chunks]
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def check_range(path: Path, column: str, values: np.ndarray, limit: int, least: int = 0) -> None:
    """Raise :class:`DataError` naming file and column if a value is outside ``least .. limit - 1``."""
    if len(values) and (values.min() < least or values.max() >= limit):
        raise DataError(
            f"{path}: found {column} {values.min()} to {values.max()}, expected {least} to {limit - 1}; "
            "prepare the folder again"
        )


class RowReader:
    """Reads ranges of rows of one table, touching only the row groups that hold them.

    The footer is parsed once, here; the file is opened for each read, so that a reader may be pickled, forked, or used
    by several threads. Arguments and errors are those of :func:`open_table`.

    Examples
    --------
    >>> reader = RowReader(prepared, "edges")
    >>> reader.read(5, 3, ["edge_id"])["edge_id"].to_pylist()
    [5, 6, 7]
    >>> sum(len(batch) for batch in reader.batches()) == len(reader)
    True
    """

    def __init__(self, folder: str | os.PathLike[str], name: str, expected: pa.Schema | None = None) -> None:
        self.path, self.name, self._folder, self._expected = Path(folder) / f"{name}.parquet", name, folder, expected
        with open_table(folder, name, expected) as file:
            self.metadata, self.schema = file.metadata, file.schema_arrow
        groups = range(self.metadata.num_row_groups)
        rows = np.fromiter((self.metadata.row_group(group).num_rows for group in groups), np.int64, len(groups))
        self._ends = np.cumsum(rows)

    def __len__(self) -> int:
        return int(self.metadata.num_rows)

    def read(self, first: int, count: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Read rows ``first .. first + count``; ``DataError`` if there are no such rows, or the file is damaged."""
        if first < 0 or count < 0 or first + count > len(self):
            raise DataError(f"{self.path}: found {len(self)} rows, expected rows {first} to {first + count}")
        begin = int(np.searchsorted(self._ends, first, side="right"))
        end = begin + 1 + int(np.searchsorted(self._ends[begin:], first + count)) if count else begin
        before = int(self._ends[begin - 1]) if begin else 0
        with open_table(self._folder, self.name, self._expected, self.metadata) as file, _naming(self.path):
            rows = file.read_row_groups(list(range(begin, end)), columns=columns).slice(first - before, count)
            return _without_nulls(rows, self.path)

    def batches(self, columns: Sequence[str] | None = None, rows: int = 1 << 16) -> Iterator[pa.RecordBatch]:
        """Read all rows, in batches of at most `rows`; a row group at least is in memory at a time."""
        # Not pyarrow's iter_batches, which keeps memory of every row group that it has read until the end.
        with open_table(self._folder, self.name, self._expected, self.metadata) as file, _naming(self.path):
            begin, number = 0, len(self._ends)
            while begin < number:
                before = int(self._ends[begin - 1]) if begin else 0
                end = max(begin + 1, int(np.searchsorted(self._ends, before + rows, side="right")))
                group = file.read_row_groups(list(range(begin, end)), columns=columns).combine_chunks()
                yield from _without_nulls(group, self.path).to_batches(rows)
                begin = end


def read_rows(
    folder: str | os.PathLike[str], name: str, first: int, count: int, columns: Sequence[str] | None = None
) -> pa.Table:
    """Read rows ``first .. first + count`` of a table once; for more than one range keep a :class:`RowReader`."""
    return RowReader(folder, name).read(first, count, columns)


def __getattr__(name: str) -> Any:
    return moved_name(__name__, name)
