"""The prepared folder on disk: table schemas, the manifest, and readers that name the file when something is wrong.

Written by ``data_prep``, read by :class:`dgl_dysign.data.TemporalGraph`; needs pyarrow and the standard library only.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dgl_dysign.errors import DataError

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"


def _required(**columns: pa.DataType) -> list[pa.Field]:
    return [pa.field(name, kind, nullable=False) for name, kind in columns.items()]


EDGES = pa.schema(_required(snapshot=pa.int32(), src=pa.int64(), dst=pa.int64(), time=pa.float64(), edge_id=pa.int64()))
SNAPSHOTS = pa.schema(
    _required(
        snapshot=pa.int32(),
        first_row=pa.int64(),
        num_rows=pa.int64(),
        time_begin=pa.float64(),
        time_end=pa.float64(),
    )
)
NODES = pa.schema(
    [
        *_required(node=pa.int64(), raw_id=pa.string()),
        pa.field("type", pa.string()),
        *_required(first_snapshot=pa.int32()),
    ]
)
LABELS = pa.schema(_required(node=pa.int64(), label=pa.int32()))
TABLES = {"edges": EDGES, "snapshots": SNAPSHOTS, "nodes": NODES, "labels": LABELS}

_KINDS: dict[str, Any] = {
    "schema_version": int,
    "dataset": str,
    "num_nodes": int,
    "num_edges": int,
    "num_snapshots": int,
    "num_classes": int,
    "class_names": list,
    "labels": (str, type(None)),
    "directed": bool,
    "snapshot_rule": dict,
    "time_unit": str,
    "time_range": list,
    "id_offsets": dict,
    "duplicate_rows": int,
    "rejected_rows": int,
    "sources": list,
    "features": (dict, type(None)),
    "files": dict,
    "tool_version": str,
}


def feature_schema(dim: int) -> pa.Schema:
    """Build the schema of one feature file: ``num_nodes`` rows of ``dim`` float32 values, in node order."""
    values = pa.list_(pa.field("item", pa.float32(), nullable=False), dim)
    return pa.schema([pa.field("feat", values, nullable=False)])


def feature_name(snapshot: int) -> str:
    """Table name of the features of one snapshot.

    >>> feature_name(3)
    'features/00003'
    """
    return f"features/{snapshot:05d}"


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def check_manifest(manifest: Any, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return `manifest` if every key is there with the right type; raise :class:`DataError` naming `path` if not."""
    if not isinstance(manifest, dict):
        raise DataError(f"{path}: found {type(manifest).__name__}, expected a JSON object; prepare the folder again")
    version = manifest.get("schema_version")
    if version != SCHEMA_VERSION:
        raise DataError(
            f"{path}: found schema_version {version!r}, expected {SCHEMA_VERSION}; "
            "prepare the folder again with this version of dysign-prep"
        )
    for key, kind in _KINDS.items():
        if key not in manifest:
            raise DataError(f"{path}: found no key {key!r}, expected it; prepare the folder again")
        value = manifest[key]
        if not isinstance(value, kind) or (kind is int and (value is True or value is False or value < 0)):
            raise DataError(f"{path}: found {key} = {value!r}, which has the wrong type; prepare the folder again")
    return manifest


def read_manifest(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Read and check ``manifest.json`` of a prepared folder.

    Parameters
    ----------
    folder : path
        A folder written by ``dysign-prep``.

    Returns
    -------
    dict
        The manifest; its keys are those of the format description.

    Raises
    ------
    DataError
        If the folder or its manifest is missing, is not JSON, or has another schema version.
    """
    path = Path(folder) / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(
            f"{folder}: found no {MANIFEST}, expected a prepared folder; make one with `dysign-prep dblp RAW OUT`"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    try:
        manifest = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path}: found broken JSON ({error}); prepare the folder again") from error
    return check_manifest(manifest, path)


def write_manifest(folder: str | os.PathLike[str], manifest: dict[str, Any]) -> None:
    """Check `manifest` and write it to `folder` in one step: a reader sees the whole file or none."""
    path = Path(folder) / MANIFEST
    check_manifest(manifest, path)
    partial = path.with_suffix(".partial")
    with open(partial, "w", encoding="utf-8", newline="\n") as stream:
        json.dump(manifest, stream, indent=2, ensure_ascii=False, allow_nan=False)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    partial.rename(path)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn pyarrow's errors into one :class:`DataError` that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path}: found no such file, expected it beside {MANIFEST}; prepare again") from None
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{path}: found a truncated or damaged file ({reason}), expected Parquet; prepare the folder again"
        ) from error


def open_table(folder: str | os.PathLike[str], name: str) -> pq.ParquetFile:
    """Open one table of a prepared folder without reading its rows.

    Parameters
    ----------
    folder : path
        A prepared folder.
    name : str
        ``edges``, ``snapshots``, ``nodes``, ``labels`` or :func:`feature_name` of a snapshot.

    Returns
    -------
    pyarrow.parquet.ParquetFile
        The open file; its columns are checked against the schema.

    Raises
    ------
    DataError
        If the file is missing, truncated, or has other columns than expected.
    """
    path = Path(folder) / f"{name}.parquet"
    with _naming(path):
        file = pq.ParquetFile(path, page_checksum_verification=True)
    try:
        _check_columns(file.schema_arrow, name, path)
    except DataError:
        file.close()
        raise
    return file


def _check_columns(found: pa.Schema, name: str, path: Path) -> None:
    if name.startswith("features/"):
        kind = found.field("feat").type if "feat" in found.names else None
        if kind is None or not pa.types.is_fixed_size_list(kind) or kind.value_type != pa.float32():
            raise DataError(f"{path}: found {found.names} ({kind}), expected a column feat of fixed_size_list<float>")
        return
    for field in TABLES[name]:
        kind = found.field(field.name).type if field.name in found.names else None
        if kind != field.type:
            raise DataError(
                f"{path}: found column {field.name} as {kind}, expected {field.type}; prepare the folder again"
            )


def table(folder: str | os.PathLike[str], name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a whole table of a prepared folder (see :func:`open_table`)."""
    with open_table(folder, name) as file, _naming(Path(folder) / f"{name}.parquet"):
        return file.read(columns=columns)


def read_rows(
    folder: str | os.PathLike[str], name: str, first: int, count: int, columns: Sequence[str] | None = None
) -> pa.Table:
    """Read rows ``first .. first + count`` of a table, touching only the row groups that hold them."""
    with open_table(folder, name) as file, _naming(Path(folder) / f"{name}.parquet"):
        groups: list[int] = []
        start = offset = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if start < first + count and start + rows > first:
                offset = offset if groups else first - start
                groups.append(group)
            start += rows
        if first < 0 or count < 0 or first + count > start:
            raise DataError(f"{folder}/{name}.parquet: found {start} rows, expected rows {first} to {first + count}")
        return file.read_row_groups(groups, columns=columns).slice(offset, count)


def verify(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Check a prepared folder against its manifest: hashes, columns, row counts, order and ranges of ids.

    Files that the manifest does not name (pictures, caches) are left out of account.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    DataError
        At the first thing that does not fit.
    """
    manifest = read_manifest(folder)
    for name, expected in manifest["files"].items():
        path = Path(folder) / name
        with _naming(path):
            found = sha256(path)
        if found != expected:
            raise DataError(f"{path}: found SHA-256 {found}, expected {expected}; prepare the folder again")
    _verify_rows(Path(folder), manifest)
    return manifest


def _verify_rows(folder: Path, manifest: dict[str, Any]) -> None:
    nodes, snapshots = manifest["num_nodes"], manifest["num_snapshots"]
    edges, parts = table(folder, "edges"), table(folder, "snapshots")
    _expect(folder / "edges.parquet", "rows", edges.num_rows, manifest["num_edges"])
    _expect(folder / "snapshots.parquet", "rows", parts.num_rows, snapshots)
    _expect(folder / "nodes.parquet", "rows", table(folder, "nodes", ["node"]).num_rows, nodes)
    for column in ("src", "dst"):
        _in_range(folder / "edges.parquet", column, edges[column], nodes)
    _verify_ranges(folder, edges, parts)
    if manifest["labels"] == "node":
        labels = table(folder, "labels")
        _in_range(folder / "labels.parquet", "node", labels["node"], nodes)
        _in_range(folder / "labels.parquet", "label", labels["label"], manifest["num_classes"])
    if manifest["features"] is not None:
        for t in range(snapshots):
            with open_table(folder, feature_name(t)) as file:
                found = [file.metadata.num_rows, file.schema_arrow.field("feat").type.list_size]
                _expect(folder / f"{feature_name(t)}.parquet", "shape", found, [nodes, manifest["features"]["dim"]])


def _verify_ranges(folder: Path, edges: pa.Table, parts: pa.Table) -> None:
    """Check that ``snapshots.parquet`` cuts ``edges.parquet`` exactly where the snapshot changes."""
    path = folder / "snapshots.parquet"
    number, first, rows = (parts[name].combine_chunks() for name in ("snapshot", "first_row", "num_rows"))
    ends = pc.cumulative_sum(rows)
    if number.to_pylist() != list(range(len(number))) or not pc.subtract(ends, rows).equals(first):
        raise DataError(f"{path}: found row ranges with gaps, expected one range after the other; prepare again")
    filled = pc.not_equal(rows, 0)
    runs = pa.RunEndEncodedArray.from_arrays(ends.filter(filled), number.filter(filled))
    if not pc.run_end_decode(runs).equals(edges["snapshot"].combine_chunks()):
        raise DataError(f"{path}: found row ranges other than those of edges.parquet; prepare the folder again")


def _expect(path: Path, what: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise DataError(f"{path}: found {what} {found}, expected {expected}; prepare the folder again")


def _in_range(path: Path, column: str, values: pa.ChunkedArray, limit: int) -> None:
    ends = pc.min_max(values)
    low, high = ends["min"].as_py(), ends["max"].as_py()
    if low is not None and (low < 0 or high >= limit):
        raise DataError(f"{path}: found {column} {low} to {high}, expected 0 to {limit - 1}; prepare the folder again")
