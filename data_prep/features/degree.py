"""Degree features: seven numbers a node that say how busy and how old it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from data_prep.features._past import Events, accumulate

#: What the event counts are multiplied by with each snapshot that passes: since ever, recently, and just now.
DECAYS = (1.0, 0.9, 0.7, 0.3)


def degree(
    events: Events, dim: int = len(DECAYS) + 3, seed: int = 0, *, progress: Callable[[float], None] | None = None
) -> Iterator[np.ndarray]:
    r"""Yield for each snapshot seven counts and ages of each node.

    Source: this project. Columns 0 to 3 are :math:`\log(1 + \sum_e \gamma^{t - t_e})` over the node's events up to t
    for :math:`\gamma` = 1, 0.9, 0.7 and 0.3; column 4 is the logarithm of 1 + the number of distinct neighbours;
    columns 5 and 6 are the logarithms of 2 + the snapshots that have passed since the node's first and last event, so
    that no seen node's row is zero. A self-loop is one event, and makes a node its own neighbour.

    Parameters
    ----------
    events : Events
        Events sorted by snapshot.
    dim, seed : int
        Not used: the width is 7 and nothing is random.
    progress : callable, optional
        Called with the fraction done after each snapshot.

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
    first = np.full(events.num_nodes, -1)
    last = np.full(events.num_nodes, -1)
    for past in accumulate(events, 1.0):
        src, dst = events.of(past.snapshot)
        ends = np.concatenate([src, dst[src != dst]])
        counts = counts * DECAYS + np.bincount(ends, minlength=events.num_nodes)[:, None]
        last[ends] = past.snapshot
        first[ends] = np.where(first[ends] < 0, past.snapshot, first[ends])
        features = np.zeros((events.num_nodes, len(DECAYS) + 3), dtype=np.float32)
        nodes = past.nodes
        features[nodes, : len(DECAYS)] = np.log1p(counts[nodes])
        features[nodes, -3] = np.log1p(np.diff(past.adjacency.indptr))
        features[nodes, -2] = np.log(2 + past.snapshot - first[nodes])
        features[nodes, -1] = np.log(2 + past.snapshot - last[nodes])
        if progress is not None:
            progress((past.snapshot + 1) / events.num_snapshots)
        yield features
