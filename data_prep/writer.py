"""What is written: folders that are there whole or not at all, and Parquet files with fixed settings, and fast ones.

Equal tables give equal bytes.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Queue
from threading import Thread
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dgl_dysign import files
from dgl_dysign.data import schema
from dgl_dysign.errors import DataError, DGLDySignError

PLAN = "plan.json"


def check_target(out: Path, overwrite: bool, marker: str = schema.MANIFEST) -> None:
    """Raise :class:`DataError` if `out` may not be written: it exists, or is a folder that this tool did not make."""
    if not is_utf8(out):
        raise DataError(f"{str(out)!a}: found a name that is not UTF-8; choose another OUT")
    if not out.exists():
        return
    if not overwrite:
        raise DataError(f"{out}: found an existing path, expected a new one; choose another OUT or add --overwrite")
    if out.is_dir() and (_is_ours(out / marker) or not any(out.iterdir())):
        return
    raise DataError(f"{out}: found no {marker} of ours in it, so it is not overwritten; choose another OUT")


def is_utf8(path: Path) -> bool:
    """Tell whether the name of a file can be written to a manifest."""
    return str(path) == str(path).encode("utf-8", "replace").decode()


def _is_ours(marker: Path) -> bool:
    try:
        about = files.read_json(marker)
    except (OSError, ValueError):
        return False
    return isinstance(about, dict) and "schema_version" in about


@contextmanager
def new_folder(out: Path, overwrite: bool = False, marker: str = schema.MANIFEST) -> Iterator[Path]:
    """Give a temporary folder beside `out` that takes its place when the block ends well, and vanishes when not.

    What a killed run left behind is removed first. Temporary folders are locked while in use, so that a second run into
    the same `out` is refused instead of losing the first one's work. An existing folder is replaced with `overwrite`,
    if `marker`, a JSON file with a ``schema_version``, shows that this tool made it. Raises DataError if `out` may not
    be written, or another run is writing it.
    """
    out = files.real_path(out)
    with _locked(out, "new", BaseException, marker) as folder:
        _restore(out, marker)
        check_target(out, overwrite, marker)
        _empty(folder)
        yield folder
        files.replace_folder(folder, out, _beside(out, "old"), marker)


@contextmanager
def scratch_folder(out: Path) -> Iterator[Path]:
    """Give a locked folder beside `out` for what is read once; it vanishes however the block ends."""
    with _locked(files.real_path(out), "read", BaseException, PLAN) as folder:
        _empty(folder)
        yield folder
        shutil.rmtree(folder)


@contextmanager
def work_folder(out: Path, plan: dict[str, Any], overwrite: bool = False) -> Iterator[Path]:
    """Give a folder to work in, beside `out`, in which a run that was cut off goes on; its ``new`` becomes `out`.

    It survives an interrupt, a full disk, a kill: the same plan finds it again. Another plan, and a restart of the
    machine (after which files may lack what was written last), start afresh. Wrong input or options remove it. Raises
    DataError as :func:`new_folder` does; `overwrite` replaces an existing prepared folder.
    """
    out = files.real_path(out)
    check_prepared(out, overwrite)
    with _locked(out, "work", DGLDySignError, PLAN) as folder:
        _begin(folder, {**plan, "boot": _boot()})
        yield folder
        files.replace_folder(folder / "new", out, _beside(out, "old"), schema.MANIFEST)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(out: Path, suffix: str, errors: type[BaseException], marker: str) -> Iterator[Path]:
    """Make and lock a folder beside `out`; some errors remove it, and the parents that were made for it."""
    folder = _beside(out, suffix)
    new_parents = [parent for parent in out.parents if not parent.exists()]
    lock = _lock(folder, out)
    try:
        yield folder
    except errors:
        files.remove_folder(folder, marker)
        with suppress(OSError):
            for parent in new_parents:
                parent.rmdir()
        raise
    finally:
        os.close(lock)


def check_prepared(out: Path, overwrite: bool) -> None:
    """Put back a prepared folder that a killed run moved aside, then do as :func:`check_target`."""
    out = files.real_path(out)
    if is_utf8(out) and _beside(out, "old").exists():
        # Only a killed run's: one that is alive may be about to put its own folder there.
        lock = _lock(_beside(out, "work"), out)
        _restore(out, schema.MANIFEST)
        with suppress(OSError):
            _beside(out, "work").rmdir()  # it stays if there is something to go on with
        os.close(lock)
    check_target(out, overwrite)


def _beside(out: Path, suffix: str) -> Path:
    return out.parent / f".{out.name}.{suffix}"


def _lock(folder: Path, out: Path) -> int:
    """Make a folder and lock it."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = files.lock(folder)
            # The run before may have removed the folder between the two steps.
            if os.fstat(lock).st_ino == folder.stat().st_ino:
                return lock
            os.close(lock)
        except BlockingIOError:
            raise DataError(f"{out}: found another run writing it; wait for that one to end") from None
        except FileNotFoundError:
            continue


def _begin(folder: Path, plan: dict[str, Any]) -> None:
    """Leave what a run with the same plan has done, or else remove all and note the plan."""
    with suppress(OSError, ValueError):
        # Without `new`, which is the first to go, the run before was killed while it cleaned up.
        before = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        if before == json.loads(json.dumps(plan)) and (folder / "new").is_dir():
            return
    (folder / PLAN).unlink(missing_ok=True)
    _empty(folder)
    (folder / "new").mkdir()
    files.write_json(folder / PLAN, plan)


def _boot() -> str:
    """Return what changes with every start of the machine, where the system tells."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    return ""


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _restore(out: Path, marker: str) -> None:
    """Put back an `out` that was moved aside and never replaced."""
    aside = _beside(out, "old")
    if (aside / marker).exists() and not out.exists():
        aside.rename(out)
    files.remove_folder(aside, marker)


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
    """Write one Parquet file piece by piece; row groups, of `group` rows or near 4 MB, do not depend on the pieces.

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
        path.unlink(missing_ok=True)  # never into a file that another folder may share
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
