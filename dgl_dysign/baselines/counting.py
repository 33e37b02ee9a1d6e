"""Counting models of links: the rows that every table of link figures shows, because a learned model must beat them.

Each fulfils :class:`dgl_dysign.evaluation.LinkModel`, whose methods say what `reset`, `observe` and `score` do; it
learns nothing, is deterministic, and costs O(edges of the snapshot) to observe. Scores are float64 ``(E, C)``. One file
has all, long as it is: most are one another with another score.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dgl_dysign.data.hashing import STEP, mix64
from dgl_dysign.data.pair_log import PairLog
from dgl_dysign.data.snapshot_edges import SnapshotEdges, check_room
from dgl_dysign.errors import ConfigError

if TYPE_CHECKING:
    from dgl_dysign.evaluation.links import LinkModel

_ENDS = ("both", "dst")
_ANEW = "make the model anew for the larger graph, and let it observe the snapshots from the first on"


class RandomLinks:
    """Score each (snapshot, source, candidate) by a number in 0 .. 1 that looks random but is always the same.

    Examples
    --------
    >>> model = RandomLinks(4, seed=1)
    >>> model.score(7, torch.tensor([0]), torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3])
    """

    def __init__(self, num_nodes: int, seed: int = 0) -> None:
        self.num_nodes, self.seed = num_nodes, seed

    def reset(self) -> None:
        """Do nothing: there is no state."""

    def observe(self, edges: SnapshotEdges) -> None:
        """Do nothing: the past is of no account."""

    def score(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return float64 scores ``(E, C)``."""
        begin, end = _arrays(src, dst)
        salt = _scrambled(np.array([snapshot], np.uint64) + _scrambled(np.array([self.seed], np.uint64)))
        mixed = _scrambled(_scrambled(begin.astype(np.uint64) + salt)[:, None] + end.astype(np.uint64))
        return torch.from_numpy((mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53)


class EdgeBank:
    """Score 1 for pairs that were met before, 0 for others (Poursafaei et al., 2022).

    If ``directed`` only the same direction counts; data without a direction has none to tell apart. With a ``window``
    only meetings of the last so many snapshots count; below 1 it raises ``ConfigError``.

    Examples
    --------
    >>> from dgl_dysign.data import distinct_edges
    >>> model = EdgeBank(3)
    >>> model.observe(distinct_edges(0, [0], [1], num_nodes=3))
    >>> model.score(1, torch.tensor([0, 1]), torch.tensor([[1, 2], [0, 2]]))
    tensor([[1., 0.],
            [0., 0.]], dtype=torch.float64)
    """

    def __init__(self, num_nodes: int, directed: bool = True, window: int | None = None) -> None:
        if window is not None and window < 1:
            raise ConfigError(f"window={window}: expected at least 1 snapshot, or None for all")
        self.directed, self.window, self._log = directed, window, PairLog(num_nodes)
        self.reset()

    def reset(self) -> None:
        """Forget all pairs."""
        self._log.reset()
        self._ordered = self.directed

    def observe(self, edges: SnapshotEdges) -> None:
        """Remember the pairs of a snapshot."""
        check_room(edges, self._log.num_nodes, _ANEW)
        self._ordered = self.directed and edges.directed
        self._log.add(edges.snapshot, *self._pair(*_arrays(edges.src, edges.dst)))

    def score(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return float64 scores ``(E, C)``, each 0 or 1."""
        begin, end = _arrays(src, dst)
        number = self._log.find(*self._pair(np.broadcast_to(begin[:, None], end.shape), end))
        met = number >= 0
        if self.window is not None:
            met &= self._log.last[number] >= snapshot - self.window
        return torch.from_numpy(met.astype(np.float64))

    def _pair(self, src: np.ndarray, dst: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (src, dst) if self._ordered else (np.minimum(src, dst), np.maximum(src, dst))


class RecentDegree:
    r"""Score a candidate by its edges, each weighted by the decay to the power of its age.

    .. math:: s(d) = \sum_{e \ni d} \gamma^{t - t_e}

    Parameters
    ----------
    num_nodes, decay : int, and float, default 0.9
        Number of nodes; the decay :math:`\gamma` a snapshot, in (0, 1], or ``ConfigError``.
    ends : {"both", "dst"}
        Whether all edges of the candidate count, or only those of which it is the destination. Edges without a
        direction always count at both ends.

    Examples
    --------
    >>> from dgl_dysign.data import distinct_edges
    >>> model = RecentDegree(3, decay=0.5)
    >>> model.observe(distinct_edges(0, [0, 0], [1, 2], num_nodes=3))
    >>> model.score(1, torch.tensor([0]), torch.tensor([[0, 1]]))
    tensor([[1.0000, 0.5000]], dtype=torch.float64)
    """

    def __init__(self, num_nodes: int, decay: float = 0.9, ends: str = "both") -> None:
        if not 0 < decay <= 1 or ends not in _ENDS:
            raise ConfigError(f"decay={decay}, ends={ends!r}: expected a decay in (0, 1], ends one of {_ENDS}")
        self.num_nodes, self.decay, self.ends = num_nodes, decay, ends
        self.reset()

    def reset(self) -> None:
        """Forget all edges."""
        self._value = np.zeros(self.num_nodes)
        self._at = np.zeros(self.num_nodes, np.int64)  # the snapshot for which the value holds

    def observe(self, edges: SnapshotEdges) -> None:
        """Count the edges of a snapshot."""
        check_room(edges, self.num_nodes, _ANEW)
        src, dst = _arrays(edges.src, edges.dst)
        touched = dst if self.ends == "dst" and edges.directed else np.concatenate([src, dst])
        nodes, counts = np.unique(touched, return_counts=True)
        self._value[nodes] = self._degree(edges.snapshot, nodes) + counts
        self._at[nodes] = edges.snapshot

    def score(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return float64 scores ``(E, C)``."""
        return torch.from_numpy(self._degree(snapshot, _arrays(src, dst)[1]))

    def _degree(self, snapshot: int, nodes: np.ndarray) -> np.ndarray:
        return self._value[nodes] * self.decay ** (snapshot - self._at[nodes])


class LastDegree(RecentDegree):
    """Score a candidate by its edges in the last snapshot that was observed.

    Examples
    --------
    >>> from dgl_dysign.data import distinct_edges
    >>> model = LastDegree(3)
    >>> model.observe(distinct_edges(0, [0, 0], [1, 2], num_nodes=3))
    >>> model.observe(distinct_edges(1, [0], [1], num_nodes=3))
    >>> model.score(2, torch.tensor([0]), torch.tensor([[0, 1, 2]]))
    tensor([[1., 1., 0.]], dtype=torch.float64)
    """

    def __init__(self, num_nodes: int) -> None:
        super().__init__(num_nodes, decay=1.0)

    def observe(self, edges: SnapshotEdges) -> None:
        """Count the edges of a snapshot, and forget those of others."""
        self.reset()
        super().observe(edges)


class PreferentialAttachment(RecentDegree):
    """Score a pair by the product of both ends' numbers of past edges.

    Examples
    --------
    >>> from dgl_dysign.data import distinct_edges
    >>> model = PreferentialAttachment(3)
    >>> model.observe(distinct_edges(0, [0, 0], [1, 2], num_nodes=3))
    >>> model.score(1, torch.tensor([0]), torch.tensor([[0, 1]]))
    tensor([[4., 2.]], dtype=torch.float64)
    """

    def __init__(self, num_nodes: int) -> None:
        super().__init__(num_nodes, decay=1.0)

    def score(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return float64 scores ``(E, C)``."""
        return super().score(snapshot, src, dst) * super().score(snapshot, src, src[:, None])


class DestinationRecency(RecentDegree):
    """Score a candidate by the snapshot in which it was last seen, the later, the higher; see :class:`RecentDegree`.

    Examples
    --------
    >>> from dgl_dysign.data import distinct_edges
    >>> model = DestinationRecency(3)
    >>> model.observe(distinct_edges(3, [0], [1], num_nodes=3))
    >>> model.score(5, torch.tensor([0]), torch.tensor([[1, 2]]))
    tensor([[0.5000, 0.0000]], dtype=torch.float64)
    """

    def __init__(self, num_nodes: int, ends: str = "both") -> None:
        super().__init__(num_nodes, decay=1.0, ends=ends)

    def score(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return float64 scores ``(E, C)``: 1 / snapshots since, 0 for a node never seen."""
        nodes = _arrays(src, dst)[1]
        # A leaking protocol asks about a snapshot that was observed already: that counts as age 1/2.
        recency = 1 / np.maximum(snapshot - self._at[nodes], 0.5)
        return torch.from_numpy(np.where(self._value[nodes] > 0, recency, 0.0))


class CommonNeighbours:
    """Score a pair by the number of nodes that both met before, in either direction.

    Examples
    --------
    >>> from dgl_dysign.data import distinct_edges
    >>> model = CommonNeighbours(4)
    >>> model.observe(distinct_edges(0, [0, 2, 3], [1, 1, 0], num_nodes=4))
    >>> model.score(1, torch.tensor([0]), torch.tensor([[2, 3]]))
    tensor([[1., 0.]], dtype=torch.float64)
    """

    def __init__(self, num_nodes: int) -> None:
        self._log = PairLog(num_nodes)

    def reset(self) -> None:
        """Forget all pairs."""
        self._log.reset()

    def observe(self, edges: SnapshotEdges) -> None:
        """Remember the pairs of a snapshot."""
        check_room(edges, self._log.num_nodes, _ANEW)
        src, dst = _arrays(edges.src, edges.dst)
        src, dst = src[src != dst], dst[src != dst]
        self._log.add(edges.snapshot, np.concatenate([src, dst]), np.concatenate([dst, src]))

    def score(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return float64 scores ``(E, C)``."""
        return torch.from_numpy(self._log.common(*_arrays(src, dst)).astype(np.float64))


def link_reference_models(num_nodes: int, seed: int = 0) -> dict[str, LinkModel]:
    """Return every counting model, fresh, by the name of its row, for :func:`dgl_dysign.evaluation.evaluate_links`.

    ``seed`` is that of the random row; the windowed EdgeBank remembers 8 snapshots.

    Examples
    --------
    >>> list(link_reference_models(4))[-3:]
    ['common-neighbours', 'destination-recency', 'recent-degree']
    """
    return {
        "random": RandomLinks(num_nodes, seed),
        "edgebank": EdgeBank(num_nodes),
        "edgebank-undirected": EdgeBank(num_nodes, directed=False),
        "edgebank-window": EdgeBank(num_nodes, directed=False, window=8),
        "preferential-attachment": PreferentialAttachment(num_nodes),
        "common-neighbours": CommonNeighbours(num_nodes),
        "destination-recency": DestinationRecency(num_nodes),
        "recent-degree": RecentDegree(num_nodes),
    }


def roland_reference_models(num_nodes: int, seed: int = 0) -> dict[str, LinkModel]:
    """Return what else stands in tables under ROLAND's protocols: the edges, and the degrees, of the snapshot before.

    There is nothing to draw with ``seed``.

    Examples
    --------
    >>> list(roland_reference_models(4))
    ['persistence', 'last-degree']
    """
    return {"persistence": EdgeBank(num_nodes, window=1), "last-degree": LastDegree(num_nodes)}


def _arrays(src: Tensor, dst: Tensor) -> tuple[np.ndarray, np.ndarray]:
    return src.cpu().numpy(), dst.cpu().numpy()


def _scrambled(values: np.ndarray) -> np.ndarray:
    """Scramble 64-bit numbers one by one (SplitMix64)."""
    return mix64(values + STEP)
