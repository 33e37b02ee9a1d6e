"""What the events up to each snapshot have left behind: the one place that keeps features from seeing the future."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dgl_dysign.errors import ConfigError

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class Events(NamedTuple):
    """The events of a data set, sorted by snapshot; made by :func:`checked_events`."""

    snapshot: np.ndarray
    src: np.ndarray
    dst: np.ndarray
    num_nodes: int
    num_snapshots: int

    def of(self, snapshot: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the end points of the events of one snapshot alone."""
        first, last = np.searchsorted(self.snapshot, [snapshot, snapshot + 1])
        return self.src[first:last], self.dst[first:last]


class Past(NamedTuple):
    """The undirected graph that the events up to a snapshot make, over the nodes seen so far.

    ``adjacency[i, j]`` belongs to the nodes ``nodes[i]`` and ``nodes[j]``; ``changed`` marks, in the same order, the
    end points of the snapshot's own events.
    """

    snapshot: int
    nodes: np.ndarray
    adjacency: csr_array
    changed: np.ndarray


def checked_events(snapshot: ArrayLike, src: ArrayLike, dst: ArrayLike, num_nodes: int, num_snapshots: int) -> Events:
    """Return the events sorted by snapshot, or say which argument is wrong.

    Parameters
    ----------
    snapshot, src, dst : array_like of int, shape (E,)
        Snapshot and end points of each event.
    num_nodes, num_snapshots : int
        Node ids lie in ``0..num_nodes-1``, snapshots in ``0..num_snapshots-1``.

    Raises
    ------
    ConfigError
        If the arrays are not integers of one length, or a value lies outside its range.
    """
    snapshots = _integers("snapshot", snapshot, num_snapshots)
    sources, destinations = _integers("src", src, num_nodes), _integers("dst", dst, num_nodes)
    if not len(snapshots) == len(sources) == len(destinations):
        found = f"{len(snapshots)}, {len(sources)} and {len(destinations)}"
        raise ConfigError(f"snapshot, src and dst: got lengths {found}, expected one length")
    order = np.argsort(snapshots, kind="stable")
    return Events(snapshots[order], sources[order], destinations[order], num_nodes, num_snapshots)


def _integers(name: str, values: ArrayLike, limit: int) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ConfigError(f"{name}: got {array.dtype} of shape {array.shape}, expected integers of shape (E,)")
    if array.size and (array.min() < 0 or array.max() >= limit):
        raise ConfigError(f"{name}: got values from {array.min()} to {array.max()}, expected 0 to {limit - 1}")
    return array.astype(np.int64, copy=False)


def check_decay(decay: float) -> None:
    """Raise ConfigError unless a decay is above 0 and at most 1."""
    if not 0 < decay <= 1:
        raise ConfigError(f"decay: got {decay}, expected a number above 0 and up to 1")


def adjacency_of(src: np.ndarray, dst: np.ndarray, num_nodes: int) -> csr_array:
    """Return the symmetric count matrix of some events; a self-loop counts once, a repeated event each time."""
    from scipy.sparse import coo_array

    back = src != dst
    rows = np.concatenate([src, dst[back]]).astype(np.int32)  # half the index memory of every product that follows
    columns = np.concatenate([dst, src[back]]).astype(np.int32)
    return coo_array((np.ones(len(rows)), (rows, columns)), shape=(num_nodes, num_nodes)).tocsr()


def accumulate(events: Events, decay: float) -> Iterator[Past]:
    """Yield the graph accumulated up to each snapshot, one after the other.

    The weight of a pair is the sum of ``decay ** (t - t_event)`` over its events up to t, in float64. A pair whose
    weight has sunk below the smallest float (with decay 0.7 after about 2,000 snapshots) is forgotten.
    """
    adjacency = adjacency_of(*events.of(-1), events.num_nodes)
    seen = np.zeros(events.num_nodes, dtype=bool)
    for snapshot in range(events.num_snapshots):
        src, dst = events.of(snapshot)
        adjacency = adjacency * decay + adjacency_of(src, dst, events.num_nodes)
        changed = np.zeros(events.num_nodes, dtype=bool)
        changed[src] = changed[dst] = True
        seen |= changed
        nodes = np.flatnonzero(seen)
        yield Past(snapshot, nodes, adjacency[nodes][:, nodes], changed[nodes])
