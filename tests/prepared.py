"""Prepared folders made from arrays, for tests."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_prep.snapshots import Events, RawData
from data_prep.writer import write_prepared


def prepare(
    folder: Path,
    events: Sequence[tuple[int, int, int]],
    num_snapshots: int,
    labels: Sequence[int],
    features: np.ndarray | None = None,
    directed: bool = False,
) -> Path:
    """Write a prepared folder from (snapshot, src, dst) rows; ``labels`` has one entry a node, -1 for none.

    The last node must have a label or an event: the number of nodes is taken from both.
    """
    folder.mkdir(parents=True)
    snapshot, src, dst = np.array(sorted(events, key=lambda row: row[0]), np.int64).reshape(-1, 3).T
    edge_id = np.arange(len(src))
    times = np.arange(num_snapshots) / 2
    rows = Events(snapshot.astype(np.int32), src, dst, times[snapshot], edge_id, times, {"kind": "rank"})
    classes = np.array(labels, np.int64)
    labelled = np.flatnonzero(classes >= 0)
    raw = RawData("test", src, dst, rows.time, labelled, classes[labelled], directed=directed)
    assert raw.num_nodes == len(labels), "give the last node a label or an event"
    write_prepared(folder, raw, rows, features, None if features is None else {"kind": "test"})
    return folder
