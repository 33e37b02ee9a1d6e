"""Features of one snapshot as memory-mapped Arrow IPC, made beside the Parquet file on first use.

Parquet is compressed and has to be decoded whole; the cache is mapped, so that only the pages that are touched are
read and the operating system may drop them again.
"""

import os
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import torch

from dgl_dysign.data import schema
from dgl_dysign.data.row_store import RowFiles
from dgl_dysign.errors import DataError
from dgl_dysign.files import regular, write_file

_HASH = b"parquet_sha256"
_DECODED = 1 << 22  # values that are decoded together, 16 MiB


def load_features(
    folder: Path, snapshot: int, shape: tuple[int, int], digest: str, rows: int | None = None
) -> np.ndarray:
    """Map the features of one snapshot as float32 of a shape, and make the cache first where it is missing or stale.

    The file may have fewer ``rows`` than the shape: those of nodes that came later are zero. ``digest`` is
    the SHA-256 of the Parquet file according to the manifest; a cache of other bytes is replaced. Writes
    to the array stay private to this process. Raises ``DataError`` if the Parquet file is missing, truncated, of
    another shape, or holds NaN or infinity.
    """
    cache = folder / f"{schema.feature_name(snapshot)}.arrow"
    mapped = _map(cache, shape, digest)
    if mapped is not None:
        return mapped
    values = _read_parquet(folder, snapshot, shape, shape[0] if rows is None else rows)
    pa.default_memory_pool().release_unused()  # Arrow would keep what it decoded from
    try:
        _write(cache, values, digest)
    except OSError:  # a read-only or full disk: the features are still there, only not mapped
        return values
    mapped = _map(cache, shape, digest)
    return values if mapped is None else mapped


def _read_parquet(folder: Path, snapshot: int, shape: tuple[int, int], rows: int) -> np.ndarray:
    """Decode some rows at a time, onto the disk where there is room: all of them may not fit into memory."""
    name = schema.feature_name(snapshot)
    reader = schema.RowReader(folder, name)
    actual = (len(reader), reader.schema.field("feat").type.list_size)
    if actual != (rows, shape[1]):
        expected = rows, shape[1]
        raise DataError(f"{folder / name}.parquet: found shape {actual}, expected {expected}; prepare the folder again")
    files, done = RowFiles((folder / name).parent), 0
    try:
        values = files.zeros(*shape).numpy()
    except OSError:  # a read-only or full disk
        values = np.zeros(shape, np.float32)
    for batch in reader.batches(["feat"], max(_DECODED // shape[1], 1)):
        values[done : done + len(batch)] = schema.to_numpy(batch["feat"])
        wrong = np.flatnonzero(~np.isfinite(values[done : done + len(batch)]).all(axis=1))
        if len(wrong):
            raise DataError(
                f"{folder / name}.parquet: found NaN or infinite features of node {done + wrong[0]}, expected finite "
                f"numbers: mend what they were made of, and prepare the folder again"
            )
        done += len(batch)
        files.release()
    return values


def _write(cache: Path, values: np.ndarray, digest: str) -> None:
    flat = pa.Array.from_buffers(pa.float32(), values.size, [None, pa.py_buffer(values)])  # pa.array imports pandas
    feat = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    table = pa.schema([pa.field("feat", feat.type)], metadata={_HASH: digest.encode()})
    # Not through a Python file: pyarrow would hand it all values as one copy.
    with (
        write_file(cache) as temporary,
        pa.OSFile(os.fspath(temporary), "wb") as stream,
        pa.ipc.new_file(stream, table) as writer,
    ):
        writer.write_batch(pa.record_batch([feat], schema=table))


def _map(cache: Path, shape: tuple[int, int], digest: str) -> np.ndarray | None:
    """Map a cache; None where there is none or it is stale or damaged."""
    try:
        with open(regular(cache), "rb") as file:
            kept = np.memmap(file, np.uint8, mode="r")
            whole = pa.py_buffer(kept)
            reader = pa.ipc.open_file(whole)
            if (reader.schema.metadata or {}).get(_HASH) != digest.encode():
                return None
            column = reader.get_batch(0).column("feat")
            if (len(column), column.type.list_size) != shape or column.type.value_type != pa.float32():
                return None
            start = column.flatten().buffers()[1].address - whole.address
            values = slice(start, start + 4 * shape[0] * shape[1])
            return _writable(file, kept, values).view(np.float32).reshape(shape)
    except (OSError, ValueError, KeyError, IndexError, AttributeError, pa.ArrowException):  # or of another kind
        return None


def _writable(file: IO[bytes], kept: np.ndarray, values_at: slice) -> np.ndarray:
    """Map a part of a file so that writes stay private, or copy it: PyTorch has no read-only tensors."""
    try:
        return np.memmap(file, np.uint8, mode="c")[values_at]
    except OSError:  # all of it counts as memory of the process, which may have been given less
        files, values = RowFiles(Path(file.name).parent), kept[values_at, None]
        target = files.zeros(len(values), 1, torch.uint8).numpy()
        for rows in files.row_blocks(*values.shape):
            target[rows] = values[rows]
        return target[:, 0]
