"""Parquet files with fixed settings, so that equal tables give equal bytes, and fast ones."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from queue import Queue
from threading import Thread
from types import TracebackType
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dgl_dysign.errors import DataError

ROW_GROUP = 1 << 16
_VALUES_A_GROUP = 1 << 20

T = TypeVar("T")


def arrow(values: np.ndarray) -> pa.Array:
    """Share a NumPy array's memory with Arrow, a matrix as lists; ``pa.array`` would import pandas (0.3 s, 60 MB)."""
    buffer = pa.py_buffer(np.ascontiguousarray(values))
    flat = pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), values.size, [None, buffer])
    if values.ndim == 1:
        return flat
    kind = pa.list_(pa.field("item", flat.type, nullable=False), values.shape[1])
    return pa.FixedSizeListArray.from_arrays(flat, type=kind)


def strings(values: Iterable[str]) -> pa.Array:
    """Make an Arrow column of text without importing pandas."""
    texts = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, texts)])
    if ends[-1] >= 2**31:
        raise DataError(f"found names of {ends[-1]} bytes together, expected less than 2 GiB; number the nodes first")
    buffers = pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(b"".join(texts))
    return pa.StringArray.from_buffers(len(texts), *buffers)


def rows_a_group(width: int) -> int:
    """Rows of a row group, so that a group of vectors stays near 4 MB: a power of two."""
    return max(1 << 8, min(ROW_GROUP, 1 << (_VALUES_A_GROUP // width).bit_length() - 1)) if width > 1 else ROW_GROUP


class TableWriter:
    """Write one Parquet file piece by piece; row groups do not depend on the pieces.

    Parameters
    ----------
    path : path
        The file.
    kind : pyarrow.Schema
        Its columns.
    group : int, optional
        Rows of a row group; default: as many as stay near 4 MB.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as home:
    ...     path = Path(home) / "a.parquet"
    ...     with TableWriter(path, pa.schema([pa.field("x", pa.int64(), nullable=False)])) as file:
    ...         file.write({"x": np.arange(3)})
    ...         file.write({"x": np.arange(2)})
    ...     pq.read_table(path)["x"].to_pylist()
    [0, 1, 2, 0, 1]
    """

    def __init__(self, path: Path, kind: pa.Schema, group: int | None = None) -> None:
        width = max((field.type.list_size for field in kind if pa.types.is_fixed_size_list(field.type)), default=1)
        self._group = group or rows_a_group(width)
        self._schema = kind
        self._rest = pa.Table.from_batches([], kind)
        self._file = pq.ParquetWriter(
            path,
            kind,
            version="2.6",
            # Packed differences of ids are noise to a compressor.
            compression={name: "none" if name in ("src", "dst") else "zstd" for name in _leaves(kind)},
            compression_level={name: 1 for name in _leaves(kind) if name not in ("src", "dst")},
            use_dictionary=[field.name for field in kind if field.name in ("type", "file", "reason")],
            column_encoding=_encodings(kind),
            write_page_checksum=True,
            # One page a group: where pages end would depend on the pieces.
            data_page_size=1 << 26,
            # Readers find a snapshot by its rows; the least and greatest values of other columns help none.
            write_statistics=[name for name in _leaves(kind) if name in ("snapshot", "time")],
        )

    def write(self, columns: Mapping[str, np.ndarray | pa.Array]) -> None:
        """Write the columns of the schema; others are left out."""
        arrays = [columns[name] for name in self._schema.names]
        arrays = [arrow(values) if isinstance(values, np.ndarray) else values for values in arrays]
        table = pa.concat_tables([self._rest, pa.Table.from_arrays(arrays, schema=self._schema)])
        whole = len(table) - len(table) % self._group
        if whole:
            self._file.write_table(table.slice(0, whole), row_group_size=self._group)
        # A slice would keep all of the table's memory.
        self._rest = table.slice(whole).combine_chunks() if whole else table

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None and len(self._rest):
            self._file.write_table(self._rest, row_group_size=self._group)
        self._file.close()


def _leaves(kind: pa.Schema) -> dict[str, pa.DataType]:
    """Names of the columns as Parquet has them, with the types of their values."""
    return {
        f"{field.name}.list.element" if pa.types.is_fixed_size_list(field.type) else field.name: (
            field.type.value_type if pa.types.is_fixed_size_list(field.type) else field.type
        )
        for field in kind
    }


def _encodings(kind: pa.Schema) -> dict[str, str]:
    encodings = {}
    for name, value in _leaves(kind).items():
        if pa.types.is_integer(value):
            encodings[name] = "DELTA_BINARY_PACKED"
        elif pa.types.is_floating(value):
            encodings[name] = "BYTE_STREAM_SPLIT"
    return encodings


def write_table(
    path: Path, kind: pa.Schema, columns: Mapping[str, np.ndarray | pa.Array], group: int | None = None
) -> None:
    """Write a whole table."""
    with TableWriter(path, kind, group) as file:
        file.write(columns)


def ahead(items: Iterator[T], depth: int = 2) -> Iterator[T]:
    """Compute some items ahead in a thread, while the caller works on the one before."""
    done = object()
    queue: Queue[object] = Queue(depth)
    stopped = False

    def run() -> None:
        last: object = done
        try:
            for item in items:
                if stopped:
                    return
                queue.put(item)
        except BaseException as error:
            last = _Raised(error)
        queue.put(last)

    thread = Thread(target=run, daemon=True)
    thread.start()
    try:
        while (item := queue.get()) is not done:
            if isinstance(item, _Raised):
                raise item.error
            yield item  # type: ignore[misc]
    finally:
        stopped = True
        while thread.is_alive():
            if not queue.empty():
                queue.get()
            thread.join(0.01)


class _Raised:
    def __init__(self, error: BaseException) -> None:
        self.error = error
