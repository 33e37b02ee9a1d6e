"""Prepared folders written by hand, after the format's description and with none of ``data_prep``'s code."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dgl_dysign.data import schema

# (snapshot, src, dst, time, edge_id): snapshot 1 is empty, the last one unsorted in time; edge 4 repeats edge 3.
EVENTS = [(0, 0, 3, 0.0, 0), (0, 1, 3, 9.5, 2), (2, 0, 4, 25.0, 1), (2, 2, 3, 21.0, 3), (2, 2, 3, 21.0, 4)]
RANGES = [(0.0, 10.0), (10.0, 20.0), (20.0, 30.0)]
FEATURES = np.arange(10, dtype=np.float32).reshape(5, 2) / 3
WEIGHTS = [1.0, -10.0, 0.1, 2.5, 2.5]
EVENT_LABELS = [(0, 0, 0, 0), (2, 1, 0, 1), (1, 0, 2, 0), (3, 2, 2, 0), (4, 2, 2, 1)]
REJECTED = [("raw.csv", 4, "0,x,3", "found dst 'x', expected an integer")]
SOURCE = {"name": "raw.csv", "sha256": "0" * 64, "lines": 7, "header": 1, "rows": 5, "rejected": 1}


def write_folder(
    folder: Path,
    events: Sequence[tuple[int, int, int, float, int]] = EVENTS,
    ranges: Sequence[tuple[float, float]] = RANGES,
    num_nodes: int = 5,
    *,
    users: int | None = None,
    weights: Sequence[float] | None = None,
    features: np.ndarray | None = None,
    node_labels: Mapping[int, int] | None = None,
    event_labels: Sequence[tuple[int, int, int, int]] | None = None,
    targets: Mapping[int, float] | None = None,
    rejected: Sequence[tuple[str, int, str, str]] | None = None,
    raw_ids: Sequence[str] | None = None,
    node_features: Sequence[np.ndarray] | None = None,
    row_group: int = 2,
    **manifest: Any,
) -> Path:
    """Write the tables and the manifest; the first `users` nodes are of another type than the rest."""
    folder.mkdir(parents=True)
    edges = dict(zip(schema.EDGES.names, zip(*events, strict=True) if events else [[]] * 5, strict=True))
    kind = schema.EDGES if weights is None else schema.WEIGHTED_EDGES
    _write(folder, "edges", kind, {**edges, "weight": weights}, row_group)
    count = np.bincount(np.array(edges["snapshot"], dtype=np.int64), minlength=len(ranges))
    begin, end = zip(*ranges, strict=True)
    parts = [np.arange(len(ranges)), np.cumsum(count) - count, count, begin, end]
    _write(folder, "snapshots", schema.SNAPSHOTS, dict(zip(schema.SNAPSHOTS.names, parts, strict=True)), row_group)
    types = [None] * num_nodes if users is None else ["user"] * users + ["item"] * (num_nodes - users)
    first = [min((e[0] for e in events if node in e[1:3]), default=-1) for node in range(num_nodes)]
    ids = raw_ids or [str(node - (users or 0) if node >= (users or 0) else node) for node in range(num_nodes)]
    nodes = {"node": range(num_nodes), "raw_id": ids, "type": types, "first_snapshot": first}
    _write(folder, "nodes", schema.NODES, nodes, row_group)
    labels: list[int] = []
    if node_labels is not None:
        labels = list(node_labels.values())
        _write(folder, "labels", schema.LABELS, {"node": list(node_labels), "label": labels}, row_group)
    if targets is not None:
        columns = {"node": list(targets), "target": list(targets.values())}
        _write(folder, "targets", schema.TARGETS, columns, row_group)
        manifest.setdefault("targets", {"count": len(targets)})
    if event_labels is not None:
        columns = list(zip(*event_labels, strict=True)) or [[]] * 4
        labels = list(columns[3])
        _write(
            folder, "labels", schema.EVENT_LABELS, dict(zip(schema.EVENT_LABELS.names, columns, strict=True)), row_group
        )
    if features is not None:
        _write(folder, "edge_features", schema.feature_schema(features.shape[1]), {"feat": list(features)}, row_group)
    if rejected is not None:
        columns = list(zip(*rejected, strict=True))
        _write(folder, "rejected", schema.REJECTED, dict(zip(schema.REJECTED.names, columns, strict=True)), row_group)
    for t, rows in enumerate(node_features or ()):
        (folder / "features").mkdir(exist_ok=True)
        _write(folder, schema.feature_name(t), schema.feature_schema(rows.shape[1]), {"feat": list(rows)}, row_group)
    times = list(edges["time"]) or [0.0]
    values = {
        "schema_version": 1,
        "dataset": "test",
        "num_nodes": num_nodes,
        "num_edges": len(events),
        "num_snapshots": len(ranges),
        "num_classes": max(labels, default=-1) + 1,
        "class_names": [str(label) for label in range(max(labels, default=-1) + 1)],
        "labels": "node" if node_labels is not None else "event" if event_labels is not None else None,
        "directed": True,
        "snapshot_rule": {"kind": "every", "width": 10.0, "origin": 0.0},
        "time_unit": "seconds",
        "time_range": [min(times), max(times)],
        "id_offsets": {"node": 0} if users is None else {"user": 0, "item": users},
        "duplicate_rows": len(events) - len({event[1:4] for event in events}),
        "rejected_rows": len(rejected or ()),
        "sources": [
            {
                **SOURCE,
                "lines": len(events) + 1 + len(rejected or ()),
                "rows": len(events),
                "rejected": len(rejected or ()),
            }
        ],
        "features": None if node_features is None else {"kind": "made", "dim": node_features[0].shape[1]},
        "edge_features": None if features is None else {"dim": features.shape[1]},
        "edge_weight": None if weights is None else "rating",
        "id_order": "ascending",
        "files": hashes(folder),
        "tool_version": "0",
    }
    schema.write_manifest(folder, {**values, **manifest})
    return folder


def _write(folder: Path, name: str, kind: pa.Schema, columns: Mapping[str, Any], row_group: int) -> None:
    arrays = [pa.array(list(columns[field.name]), field.type) for field in kind]
    pq.write_table(
        pa.table(arrays, schema=kind), folder / f"{name}.parquet", row_group_size=row_group, write_page_checksum=True
    )


def full_folder(folder: Path, **changes: Any) -> Path:
    """Write a folder with all that a folder may have: two types of nodes, weights, features, event labels, rejects."""
    given = {
        "users": 3,
        "weights": WEIGHTS,
        "features": FEATURES,
        "event_labels": EVENT_LABELS,
        "rejected": REJECTED,
    }
    return write_folder(folder, **{**given, **changes})


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of the tables of a folder."""
    return {str(path.relative_to(folder)): schema.sha256(path) for path in sorted(folder.rglob("*.parquet"))}


def change_manifest(folder: Path, **changes: Any) -> None:
    """Replace entries of the manifest, unchecked."""
    path = folder / schema.MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_table(
    folder: Path, name: str, change: Callable[[dict[str, list]], object], kind: pa.Schema | None = None
) -> None:
    """Let `change` edit the columns of a table, and put the new hash in the manifest."""
    path = folder / f"{name}.parquet"
    table = pq.read_table(path)
    columns = table.to_pydict()
    change(columns)
    kind = table.schema if kind is None else kind
    pq.write_table(pa.table([pa.array(columns[f.name], f.type) for f in kind], schema=kind), path, row_group_size=2)
    change_manifest(folder, files=hashes(folder))
