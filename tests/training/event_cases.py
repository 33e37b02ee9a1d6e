"""Streams of labelled events as prepared folders, for tests."""

from pathlib import Path

import numpy as np

from dgl_dysign.data import TemporalGraph
from tests.folders import write_folder

USERS, ITEMS, SNAPSHOTS, WIDTH = 12, 5, 20, 10.0
# (snapshot, user, item, time, edge id, label or None, feature)
Event = tuple[int, int, int, float, int, int | None, float]


def stream(seed: int = 0, each: int = 12) -> list[Event]:
    """Draw events, of which those of rare users are often positive."""
    rng, found = np.random.default_rng(seed), []
    for t in range(SNAPSHOTS):
        users = np.append(rng.integers(0, USERS // 2, each - 2), rng.integers(0, USERS, 2))
        for user in users.tolist():
            label = int(rng.random() < (0.8 if user >= USERS // 2 else 0.05))
            time = round(WIDTH * (t + 0.99 * rng.random()), 3)
            found.append((t, user, USERS + int(rng.integers(ITEMS)), time, len(found), label, float(rng.normal())))
    return found


def write(folder: Path, events: list[Event], **manifest) -> TemporalGraph:
    """Write a prepared folder and open it."""
    return TemporalGraph.load(
        write_folder(
            folder,
            [event[:5] for event in events],
            [(WIDTH * t, WIDTH * (t + 1)) for t in range(SNAPSHOTS)],
            USERS + ITEMS,
            users=USERS,
            event_labels=[(e[4], e[1], e[0], e[5]) for e in events if e[5] is not None],
            features=np.array([[event[6], 1.0] for event in events], np.float32),
            row_group=1000,
            **{"directed": False, **manifest},
        )
    )
