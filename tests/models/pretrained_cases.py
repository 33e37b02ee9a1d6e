"""Prepared folders that grow: the same history up to some snapshot, with more nodes, other numbers, another shape."""

import numpy as np

from dgl_dysign.data import TemporalGraph
from tests.folders import write_folder

NODES, CLASSES, WIDTH, SNAPSHOTS = 30, 3, 4, 6


def events(snapshots=SNAPSHOTS, nodes=NODES, seed=0):
    """Return rows (snapshot, src, dst, time, edge id); those of a snapshot do not depend on how many there are."""
    rows = []
    for t in range(snapshots):
        rng = np.random.default_rng([seed, t])
        src, dst = rng.integers(nodes, size=(2, 40))
        keep = src != dst
        times = np.sort(rng.random(40)) * 10 + 10 * t
        rows += [(t, int(u), int(v), float(w)) for u, v, w in zip(src[keep], dst[keep], times[keep], strict=True)]
    return [(*row, number) for number, row in enumerate(rows)]


def folder(
    path, snapshots=SNAPSHOTS, nodes=NODES, *, order=None, seed=0, width=WIDTH, rows=None, ranges=None, **changes
):
    """Write a folder; nodes beyond ``NODES`` have no events, `order` says which number each of them has."""
    rows = events(snapshots, seed=seed) if rows is None else rows
    order = np.arange(nodes) if order is None else np.asarray(order)
    names = np.empty(nodes, object)
    names[order] = [str(1000 + node) for node in range(nodes)]
    moved = [(t, int(order[u]), int(order[v]), time, number) for t, u, v, time, number in rows]
    features = []
    for t in range(snapshots):
        values = np.zeros((nodes, width), np.float32)
        values[order[:NODES]] = np.random.default_rng([1, t]).normal(size=(NODES, width))
        features.append(values)
    labels = {int(order[node]): node % CLASSES for node in range(NODES)}
    options = {
        "node_features": features,
        "node_labels": dict(sorted(labels.items())),
        "raw_ids": list(names),
        "directed": False,
        "features": None,
        **changes,
    }
    ranges = ranges or [(10.0 * t, 10.0 * t + 10) for t in range(snapshots)]
    return TemporalGraph.load(write_folder(path, moved, ranges, nodes, row_group=64, **options))
