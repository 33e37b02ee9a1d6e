"""Writing a prepared folder so that it is there whole or not at all, with the same bytes for the same input."""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_prep.snapshots import Events, RawData, count_repeats, first_snapshots
from dgl_dysign import __version__
from dgl_dysign.data import schema
from dgl_dysign.errors import DataError

_ROW_GROUP = 1 << 16


def check_target(out: Path, overwrite: bool, marker: str = schema.MANIFEST) -> None:
    """Raise :class:`DataError` if `out` may not be written: it exists, or is a folder that this tool did not make."""
    if not out.exists():
        return
    if not overwrite:
        raise DataError(f"{out}: found an existing path, expected a new one; choose another OUT or add --overwrite")
    if out.is_dir() and (_is_ours(out / marker) or not any(out.iterdir())):
        return
    raise DataError(f"{out}: found no {marker} of ours in it, so it is not overwritten; choose another OUT")


def _is_ours(marker: Path) -> bool:
    try:
        return "schema_version" in json.loads(marker.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


@contextmanager
def new_folder(out: Path, overwrite: bool = False, marker: str = schema.MANIFEST) -> Iterator[Path]:
    """Give a temporary folder beside `out` that takes its place when the block ends well, and vanishes when not.

    What a killed run left behind is removed first. Temporary folders are locked while in use, so that a second run
    into the same `out` is refused instead of losing the first one's work.

    Parameters
    ----------
    out : path
        Where the folder shall be.
    overwrite : bool, default False
        Replace an existing folder, if `marker` shows that this tool made it.
    marker : str
        Name of a JSON file with a ``schema_version`` in folders that this tool made.

    Yields
    ------
    path
        The temporary folder.

    Raises
    ------
    DataError
        If `out` may not be written, or another run is writing it.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as home:
    ...     with new_folder(Path(home) / "out") as folder:
    ...         _ = (folder / "a.txt").write_text("a")
    ...     [path.name for path in Path(home).rglob("*")]
    ['out', 'a.txt']
    """
    out = out.resolve()
    _clean_up(out, marker)
    check_target(out, overwrite, marker)
    made = [parent for parent in out.parents if not parent.exists()]
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = out.parent / f".{out.name}.new-{os.getpid()}"
    folder.mkdir()
    lock = _lock(folder)
    try:
        yield folder
        _sync(folder)
        _replace(folder, out, marker)
    except BaseException:
        _remove(folder, marker)
        with suppress(OSError):
            for parent in made:
                parent.rmdir()
        raise
    finally:
        os.close(lock)


def _lock(folder: Path) -> int:
    """Lock a folder until the descriptor is closed or the process dies, however it dies."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


def _clean_up(out: Path, marker: str) -> None:
    """Remove what killed runs left beside `out`; put back an `out` that was moved aside and never replaced."""
    aside = _aside(out)
    if (aside / marker).exists() and not out.exists():
        aside.rename(out)
    _remove(aside, marker)
    beside = out.parent.iterdir() if out.parent.is_dir() else ()
    for stale in [path for path in beside if path.name.startswith(f".{out.name}.new-")]:
        try:
            lock = _lock(stale)
        except FileNotFoundError:
            continue
        except BlockingIOError:
            raise DataError(f"{out}: found another run writing it; wait for that one to end") from None
        _remove(stale, marker)
        os.close(lock)


def _aside(out: Path) -> Path:
    return out.parent / f".{out.name}.old"


def _replace(folder: Path, out: Path, marker: str) -> None:
    if out.exists():
        out.rename(_aside(out))
    folder.rename(out)
    _sync_one(out.parent)
    _remove(_aside(out), marker)


def _remove(folder: Path, marker: str) -> None:
    """Remove a folder, its manifest first: killed in between, what is left does not load."""
    (folder / marker).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _sync(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        _sync_one(path)


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_prepared(
    folder: Path,
    raw: RawData,
    events: Events,
    features: Iterable[np.ndarray] | None = None,
    feature_params: dict[str, Any] | None = None,
    on_snapshot: Callable[[], object] | None = None,
) -> dict[str, Any]:
    """Write all files of a prepared folder, the manifest last.

    Parameters
    ----------
    folder : path
        An empty folder.
    raw : RawData
        What was read; gives names, labels and sources.
    events : Events
        The same events in snapshots.
    features : iterable of numpy.ndarray, optional
        One float32 array of shape (num_nodes, dim) a snapshot.
    feature_params : dict, optional
        How the features were made, for the manifest.
    on_snapshot : callable, optional
        Called after each feature file, for a progress bar.

    Returns
    -------
    dict
        The manifest.
    """
    names, codes = np.unique(raw.classes, return_inverse=True)
    tables = {
        "edges": _edges(events),
        "snapshots": _snapshots(events),
        "nodes": _nodes(events, raw.num_nodes),
        "labels": _table(schema.LABELS, raw.labelled, codes.astype(np.int32)),
    }
    files = {f"{name}.parquet": _write(folder, name, table) for name, table in tables.items()}
    described = None
    if features is not None:
        dim = _write_features(folder, features, files, on_snapshot)
        described = {**(feature_params or {}), "dim": dim}
    manifest = _manifest(raw, events, [str(name) for name in names], described, files)
    # The manifest is what makes the folder load: it must not reach the disk before the rest.
    _sync(folder)
    schema.write_manifest(folder, manifest)
    return manifest


def _manifest(
    raw: RawData, events: Events, class_names: list[str], features: dict[str, Any] | None, files: dict[str, str]
) -> dict[str, Any]:
    return {
        "schema_version": schema.SCHEMA_VERSION,
        "dataset": raw.dataset,
        "num_nodes": raw.num_nodes,
        "num_edges": len(events.src),
        "num_snapshots": events.num_snapshots,
        "num_classes": len(class_names),
        "class_names": class_names,
        "labels": "node",
        "directed": raw.directed,
        "snapshot_rule": events.rule,
        "time_unit": raw.time_unit,
        "time_range": [float(events.time[0]), float(events.time[-1])],
        "id_offsets": {"node": 0},
        "duplicate_rows": count_repeats(events, raw.num_nodes),
        "rejected_rows": 0,
        "sources": raw.sources,
        "features": features,
        "files": files,
        "tool_version": __version__,
    }


def _table(kind: pa.Schema, *columns: np.ndarray | pa.Array) -> pa.Table:
    arrays = [_arrow(column) if isinstance(column, np.ndarray) else column for column in columns]
    return pa.Table.from_arrays(arrays, schema=kind)


def _arrow(values: np.ndarray) -> pa.Array:
    """Share a NumPy array's memory with Arrow; ``pa.array`` would import pandas first, which takes 0.3 s and 60 MB."""
    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, buffer])


def _edges(events: Events) -> pa.Table:
    return _table(schema.EDGES, events.snapshot, events.src, events.dst, events.time, events.edge_id)


def _snapshots(events: Events) -> pa.Table:
    bounds, number = events.bounds, np.arange(events.num_snapshots, dtype=np.int32)
    return _table(schema.SNAPSHOTS, number, bounds[:-1], np.diff(bounds), events.times, events.times)


def _nodes(events: Events, num_nodes: int) -> pa.Table:
    node = _arrow(np.arange(num_nodes))
    kind = pa.nulls(num_nodes, pa.string())
    return _table(schema.NODES, node, node.cast(pa.string()), kind, first_snapshots(events, num_nodes))


def _write(folder: Path, name: str, table: pa.Table) -> str:
    """Write one Parquet file and return its SHA-256; the settings are fixed, so that equal tables give equal bytes."""
    path = folder / f"{name}.parquet"
    repeating = [column for column in table.column_names if column in ("snapshot", "time", "label", "first_snapshot")]
    pq.write_table(
        table,
        path,
        row_group_size=_ROW_GROUP,
        version="2.6",
        compression="zstd",
        compression_level=3,
        use_dictionary=repeating,
        write_page_checksum=True,
    )
    return schema.sha256(path)


def _write_features(
    folder: Path,
    features: Iterable[np.ndarray],
    files: dict[str, str],
    on_snapshot: Callable[[], object] | None,
) -> int:
    """Write one file a snapshot, add their hashes to `files`, and return the width of a row."""
    (folder / "features").mkdir()
    dim = 0
    for snapshot, values in enumerate(features):
        dim = values.shape[1]
        flat = _arrow(values.astype(np.float32, copy=False).reshape(-1))
        kind = schema.feature_schema(dim)
        column = pa.FixedSizeListArray.from_arrays(flat, type=kind.field("feat").type)
        name = schema.feature_name(snapshot)
        files[f"{name}.parquet"] = _write(folder, name, pa.Table.from_arrays([column], schema=kind))
        if on_snapshot:
            on_snapshot()
    return dim
