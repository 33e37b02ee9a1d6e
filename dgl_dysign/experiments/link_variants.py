"""UnderGS for links with something left out: what ablations are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.models.undergs import UnderGS
from dgl_dysign.pairs.cached_features import CachedFeatures
from dgl_dysign.store import NeighborStore


class RecentStore(NeighborStore):
    """A store that is made of the last snapshots alone, anew whenever one comes.

    UnderGS (technical report), figure 7. Hiding what is old when the full store is read would be another thing: the
    slots of hidden entries stay empty, though newer ones had to make room for them. ``history`` is the number of
    snapshots to keep, empty ones among them; 0: no neighbour at all.

    Examples
    --------
    >>> from dgl_dysign.data import distinct_edges
    >>> store = RecentStore(4, history=1, num_neighbors=2)
    >>> for snapshot, dst in enumerate([1, 2, 3]):
    ...     store.insert(distinct_edges(snapshot, [0], [dst], num_nodes=4))
    >>> store.neighbors([0], now=3).node
    tensor([[ 3, -1]])
    """

    def __init__(self, num_nodes: int, history: int, **options: Any) -> None:
        super().__init__(num_nodes, **options)
        self.history = history
        self._kept: list[SnapshotEdges] = []

    def reset(self) -> None:
        """Empty the store."""
        super().reset()
        self._kept = []

    def insert(self, edges: SnapshotEdges) -> None:  # type: ignore[override]
        """Insert a snapshot, and forget the one that is now too old."""
        kept = [e for e in [*self._kept, edges] if e.snapshot > edges.snapshot - self.history]
        self.reset()
        for old in kept:
            super().insert(old)
        self._kept = kept


class CountsOnly(UnderGS):
    """UnderGS whose vectors are zero, so that nothing but the features of pairs tells candidates apart."""

    def embed(self, store: NeighborStore, nodes: Tensor, now: int, *_: Any, **__: Any) -> Tensor:
        """Return zeros."""
        return self.inputs.table.weight.new_zeros(*nodes.shape, self.out_feats)


class SomeFeatures:
    """Some families of features that are shared with other models."""

    def __init__(self, shared: CachedFeatures, families: Sequence[str]) -> None:
        self._shared = shared
        self._columns = [i for i, name in enumerate(shared.names) if name.split("/")[0] in families]
        self.names = tuple(shared.names[i] for i in self._columns)

    @property
    def neighbors_cut(self) -> int:
        """What was forgotten, for all who share."""
        return self._shared.neighbors_cut

    def reset(self) -> None:
        """Forget the past, for all who share."""
        self._shared.reset()

    def observe(self, edges: SnapshotEdges) -> None:
        """Take in the next snapshot."""
        self._shared.observe(edges)

    def features(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return the chosen columns."""
        return self._shared.of_columns(self._columns, snapshot, src, dst)
