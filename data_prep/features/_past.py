"""The graph of the events up to each snapshot: the one place that keeps features from seeing the future."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dgl_dysign.errors import ConfigError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Events looked at together where a temporary array of the length of all of them is to be avoided.
_EVENTS = 1 << 20


class Events(NamedTuple):
    """The events of a data set, sorted by snapshot; made by :func:`checked_events`."""

    snapshot: np.ndarray
    src: np.ndarray
    dst: np.ndarray
    num_nodes: int
    num_snapshots: int

    def first_of(self, snapshot: int) -> int:
        """Return the row of the first event of a snapshot, or of a later one if it has none."""
        # A needle of another type would make NumPy convert all of the haystack.
        return int(np.searchsorted(self.snapshot, self.snapshot.dtype.type(snapshot)))

    def of(self, snapshot: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the end points of the events of one snapshot alone."""
        rows = slice(self.first_of(snapshot), self.first_of(snapshot + 1))
        return self.src[rows], self.dst[rows]

    def digest(self) -> str:
        """Return a hash of all events, the same for every integer type that holds them."""
        digest = hashlib.sha256()
        for column in (self.snapshot, self.src, self.dst):
            for first in range(0, len(column), _EVENTS):
                digest.update(column[first : first + _EVENTS].astype(np.int64).data)
        return digest.hexdigest()


class Grown(NamedTuple):
    """What the features of a data set that has grown go on from.

    ``sizes`` has, in order, the snapshots from which on there were more nodes, and how many: the first entry is that of
    snapshot 0. ``rows`` reads the features of the last snapshot before the newest entry, as they are on the disk.
    """

    sizes: Sequence[tuple[int, int]]
    rows: Callable[[], np.ndarray]

    @property
    def snapshot(self) -> int:
        """The first snapshot whose features are not there yet."""
        return self.sizes[-1][0]


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
    """Return the events sorted by snapshot; raise ConfigError if an argument of :func:`features` is wrong.

    Arrays of int32 or int64 that are sorted by snapshot already are not copied, so that they may be memory-mapped.
    """
    snapshots = _integers("snapshot", snapshot, num_snapshots)
    sources, destinations = _integers("src", src, num_nodes), _integers("dst", dst, num_nodes)
    if not len(snapshots) == len(sources) == len(destinations):
        lengths = f"{len(snapshots)}, {len(sources)} and {len(destinations)}"
        raise ConfigError(f"snapshot, src and dst: got lengths {lengths}, expected one length")
    if (snapshots[1:] < snapshots[:-1]).any():
        order = np.argsort(snapshots, kind="stable")
        snapshots, sources, destinations = snapshots[order], sources[order], destinations[order]
    return Events(snapshots, sources, destinations, num_nodes, num_snapshots)


def _integers(name: str, values: ArrayLike, limit: int) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ConfigError(f"{name}: got {array.dtype} of shape {array.shape}, expected integers of shape (E,)")
    if array.size and (array.min() < 0 or array.max() >= limit):
        raise ConfigError(f"{name}: got values from {array.min()} to {array.max()}, expected 0 to {limit - 1}")
    return array if array.dtype in (np.int32, np.int64) else array.astype(np.int64)


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


def accumulate(events: Events, decay: float, start: int = 0) -> Iterator[Past]:
    """Yield the graph accumulated up to each snapshot from ``start`` on, one after the other.

    The weight of a pair is the sum of ``decay ** (t - t_event)`` over its events up to t, in float64. A pair whose
    weight has sunk below the smallest float (with decay 0.7 after about 2,000 snapshots) is forgotten.
    """
    nobody = np.empty(0, dtype=np.int64)
    adjacency = adjacency_of(nobody, nobody, events.num_nodes)
    seen = np.zeros(events.num_nodes, dtype=bool)
    for snapshot in range(events.num_snapshots):
        src, dst = events.of(snapshot)
        # From the first event on even where the start is late: the order of the sums decides about their last bits.
        adjacency.data *= decay
        adjacency = adjacency + adjacency_of(src, dst, events.num_nodes)
        changed = np.zeros(events.num_nodes, dtype=bool)
        changed[src] = changed[dst] = True
        seen |= changed
        if snapshot >= start:
            nodes = np.flatnonzero(seen)
            yield Past(snapshot, nodes, adjacency[nodes][:, nodes], changed[nodes])
