"""Prepared folders made from arrays, for tests."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_prep.nodes import Unchanged
from data_prep.writer import write_table
from dgl_dysign import __version__
from dgl_dysign.data import schema


def prepare(
    folder: Path,
    events: Sequence[tuple[int, int, int]],
    num_snapshots: int,
    labels: Sequence[int],
    features: np.ndarray | None = None,
    directed: bool = False,
) -> Path:
    """Write a prepared folder from (snapshot, src, dst) rows; ``labels`` has one entry a node, -1 for none."""
    (folder / "features").mkdir(parents=True)
    snapshot, src, dst = np.array(sorted(events, key=lambda row: row[0]), np.int64).reshape(-1, 3).T
    rows, times, classes = np.arange(len(src)), np.arange(num_snapshots) / 2, np.array(labels, np.int64)
    first = np.full(len(labels), num_snapshots)
    for ends in (src, dst):
        np.minimum.at(first, ends, snapshot)
    first[first == num_snapshots] = -1
    counts = np.bincount(snapshot, minlength=num_snapshots)
    names, codes = np.unique(classes[classes >= 0], return_inverse=True)
    columns = {
        "edges": (snapshot.astype(np.int32), src, dst, times[snapshot], rows),
        "snapshots": (np.arange(num_snapshots, dtype=np.int32), np.cumsum(counts) - counts, counts, times, times),
        "nodes": (
            np.arange(len(labels)),
            Unchanged(len(labels)).raw(),
            [None] * len(labels),
            first.astype(np.int32),
        ),
        "labels": (np.flatnonzero(classes >= 0), codes.astype(np.int32)),
    }
    for name, values in columns.items():
        kind = schema.TABLES[name]
        write_table(folder / f"{name}.parquet", kind, dict(zip(kind.names, values, strict=True)))
    for t, values in enumerate(features if features is not None else ()):
        kind = schema.feature_schema(values.shape[1])
        write_table(folder / f"{schema.feature_name(t)}.parquet", kind, {"feat": values.astype(np.float32)})
    pairs = [tuple(map(int, event)) for event in events]
    manifest = {
        "schema_version": schema.SCHEMA_VERSION,
        "dataset": "test",
        "num_nodes": len(labels),
        "num_edges": len(src),
        "num_snapshots": num_snapshots,
        "num_classes": len(names),
        "class_names": [str(name) for name in names],
        "labels": "node",
        "directed": directed,
        "snapshot_rule": {"kind": "rank"},
        "time_unit": "as in the file",
        "time_range": [float(times[snapshot[0]]), float(times[snapshot[-1]])] if len(src) else [],
        "id_offsets": {"node": 0},
        "duplicate_rows": len(pairs) - len(set(pairs)),
        "rejected_rows": 0,
        "sources": [],
        "features": None if features is None else {"kind": "test", "dim": features[0].shape[1]},
        "files": {
            str(path.relative_to(folder)): schema.sha256(path) for path in sorted(folder.rglob("*.parquet"))
        },
        "tool_version": __version__,
    }  # fmt: skip
    schema.write_manifest(folder, manifest)
    return folder
