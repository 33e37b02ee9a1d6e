"""Degree features: seven numbers a node that say how busy and how old it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from data_prep.features._past import Events

#: What the event counts are multiplied by with each snapshot that passes: since ever, recently, and just now.
DECAYS = (1.0, 0.9, 0.7, 0.3)


def degree(
    events: Events,
    dim: int = len(DECAYS) + 3,
    seed: int = 0,
    *,
    progress: Callable[[float], None] | None = None,
    start: int = 0,
    pairs_at_once: int = 1 << 22,
) -> Iterator[np.ndarray]:
    r"""Yield for each snapshot seven counts and ages of each node.

    Source: this project. Columns 0 to 3 are :math:`\log(1 + \sum_e \gamma^{t - t_e})` over the node's events up to t
    for :math:`\gamma` = 1, 0.9, 0.7 and 0.3; column 4 is the logarithm of 1 + the number of distinct neighbours;
    columns 5 and 6 are the logarithms of 2 + the snapshots that have passed since the node's first and last event, so
    that no seen node's row is zero. A self-loop is one event, and makes a node its own neighbour.

    Parameters
    ----------
    events, progress, start
        As of every kind, see :func:`data_prep.features.features`; those before the start take next to no time.
    dim, seed : int
        Not used: the width is 7 and nothing is random.
    pairs_at_once : int
        Events whose pairs are sorted together: bounds the memory, changes nothing.

    Yields
    ------
    numpy.ndarray, shape (N, 7), float32
        Rows of nodes not seen yet are zero.

    Examples
    --------
    >>> from data_prep.features import features
    >>> import numpy as np
    >>> x = next(features("degree", [0, 0], [0, 0], [1, 1], num_nodes=3, num_snapshots=1))
    >>> np.expm1(x[:, 0]).round(3).tolist()
    [2.0, 2.0, 0.0]
    """
    counts = np.zeros((events.num_nodes, len(DECAYS)))
    neighbours = np.zeros(events.num_nodes, dtype=np.int64)
    first = np.full(events.num_nodes, -1)
    last = np.full(events.num_nodes, -1)
    novel = _first_of_pair(events, pairs_at_once)
    for snapshot in range(events.num_snapshots):
        src, dst = events.of(snapshot)
        ends = _ends(src, dst)
        counts *= DECAYS
        counts += np.bincount(ends, minlength=events.num_nodes)[:, None]
        new = novel[events.first_of(snapshot) : events.first_of(snapshot + 1)]
        neighbours += np.bincount(_ends(src[new], dst[new]), minlength=events.num_nodes)
        last[ends] = snapshot
        first[ends] = np.where(first[ends] < 0, snapshot, first[ends])
        if snapshot >= start:
            if progress is not None:
                progress((snapshot + 1) / events.num_snapshots)
            yield _rows(snapshot, counts, neighbours, first, last)


def _ends(src: np.ndarray, dst: np.ndarray) -> np.ndarray:
    return np.concatenate([src, dst[src != dst]])


def _rows(snapshot: int, counts: np.ndarray, neighbours: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    features = np.zeros((len(counts), len(DECAYS) + 3), dtype=np.float32)
    nodes = np.flatnonzero(last >= 0)
    for column in range(len(DECAYS)):
        features[nodes, column] = np.log1p(counts[nodes, column])
    features[nodes, -3] = np.log1p(neighbours[nodes].astype(np.int32))
    features[nodes, -2] = np.log(2 + snapshot - first[nodes])
    features[nodes, -1] = np.log(2 + snapshot - last[nodes])
    return features


def _first_of_pair(events: Events, at_once: int) -> np.ndarray:
    """Mark the first event of each pair of nodes, whichever way round; later events do not move the marks."""
    is_first = np.zeros(len(events.src), dtype=bool)
    pieces = [slice(begin, begin + at_once) for begin in range(0, len(is_first), at_once)]
    for group in range(len(pieces)):
        members = [(events.src[piece] ^ events.dst[piece]) % len(pieces) == group for piece in pieces]  # u ^ v == v ^ u
        rows = np.flatnonzero(np.concatenate(members))
        src, dst = events.src[rows], events.dst[rows]
        pair = np.minimum(src, dst).astype(np.int64) * events.num_nodes + np.maximum(src, dst)
        is_first[rows[np.unique(pair, return_index=True)[1]]] = True
    return is_first
