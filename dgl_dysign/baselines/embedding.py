"""What embeddings of nodes that are trained on edges alone share: edges in time order, earlier partners, negatives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.errors import DataError, check_least


class Partners(NamedTuple):
    """The latest partners of some nodes, ``(B, H)`` each: who, how long ago, and whether there is one."""

    node: Tensor
    age: Tensor
    known: Tensor


class TemporalEdges:
    """Edges without direction in the order of their snapshots, once a pair and snapshot, without self-loops.

    Time runs from 0 to 1 over the snapshots. Edges of one snapshot happen together: none is in the past of another, and
    which of them count as later is drawn; without direction so is the end that is ``src``. No edge is a ``DataError``.

    Parameters
    ----------
    snapshots : sequence of SnapshotEdges
        All that may be read, from the first on.

    Attributes
    ----------
    src, dst, snapshot : Tensor
        int64 ``(E,)``.
    degree : Tensor
        Edges of each node, float32 ``(N,)``.

    Examples
    --------
    >>> from dgl_dysign.data import distinct_edges
    >>> pairs = [([0], [1]), ([2], [0]), ([0, 1], [3, 2])]
    >>> edges = TemporalEdges([distinct_edges(t, *ends, num_nodes=4) for t, ends in enumerate(pairs)])
    >>> edges.partners(torch.tensor([0]), torch.tensor([2]), length=3)
    Partners(node=tensor([[2, 1, 1]]), age=tensor([[0.5000, 1.0000, 1.0000]]), known=tensor([[ True,  True, False]]))
    """

    def __init__(self, snapshots: Sequence[SnapshotEdges]) -> None:
        proper = proper_edges(snapshots)
        self.num_nodes, self.num_snapshots = snapshots[0].num_nodes, len(snapshots)
        self.src = torch.cat([edges.src[kept] for edges, kept in zip(snapshots, proper, strict=True)])
        self.dst = torch.cat([edges.dst[kept] for edges, kept in zip(snapshots, proper, strict=True)])
        if not snapshots[0].directed:
            turned = torch.rand(len(self.src)) < 0.5
            self.src, self.dst = self.dst.where(turned, self.src), self.src.where(turned, self.dst)
        self.snapshot = torch.cat([torch.full((int(kept.sum()),), t) for t, kept in enumerate(proper)])
        ends, partners, when = torch.cat([self.src, self.dst]), torch.cat([self.dst, self.src]), self.snapshot.repeat(2)
        self.degree = torch.bincount(ends, minlength=self.num_nodes).float()
        shuffled = torch.randperm(len(ends))
        order = shuffled[self._key(ends, when)[shuffled].argsort(stable=True)]
        self._keys, self._partner, self._when = self._key(ends, when)[order], partners[order], when[order]

    def __len__(self) -> int:
        return len(self.src)

    def columns(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return both ends and the snapshots of some edges."""
        return self.src[rows], self.dst[rows], self.snapshot[rows]

    def _key(self, nodes: Tensor, snapshot: Tensor) -> Tensor:
        return nodes * self.num_snapshots + snapshot

    def partners(self, nodes: Tensor, snapshot: Tensor, length: int) -> Partners:
        """Return the latest partners of nodes ``(B,)`` before snapshots ``(B,)``, the newest first."""
        first, stop = (torch.searchsorted(self._keys, self._key(nodes, t)) for t in (0 * snapshot, snapshot))
        place = stop[:, None] - 1 - torch.arange(length)
        known, place = place >= first[:, None], place.clamp(min=0)
        age = (snapshot[:, None] - self._when[place]).clamp(min=0) / max(self.num_snapshots - 1, 1)
        return Partners(self._partner[place], age, known)

    def negatives(self, rows: int, count: int) -> Tensor:
        """Draw nodes ``(rows, count)`` in proportion to their degree to the power 3/4."""
        return torch.multinomial(self.degree**0.75, rows * count, replacement=True).view(rows, count)


def proper_edges(snapshots: Sequence[SnapshotEdges]) -> list[Tensor]:
    """Return which edges of each snapshot are no self-loops; ``DataError`` if there is none at all."""
    proper = [edges.src != edges.dst for edges in snapshots]
    if not any(bool(kept.any()) for kept in proper):
        raise DataError(
            f"found no edge between two nodes in {len(snapshots)} snapshots, but vectors are made of edges: give data "
            f"that has some"
        )
    return proper


class EdgeEmbedding(nn.Module):
    """Vectors of nodes that a loss of edges trains, see `dgl_dysign.training.fit_embedding`.

    ``vectors`` ``(N, out_feats)``, of one column at least, begin uniform between plus and minus one over the root of N.
    """

    def __init__(self, num_nodes: int, out_feats: int) -> None:
        super().__init__()
        check_least(1, out_feats=out_feats)
        spread = num_nodes**-0.5
        self.vectors = nn.Parameter(torch.empty(num_nodes, out_feats).uniform_(-spread, spread))

    def rows(self, nodes: Tensor) -> Tensor:
        """Return the vectors of nodes of any shape, with one more dimension at the end."""
        return _selected(self.vectors, nodes)

    def distances(self, some: Tensor, others: Tensor) -> Tensor:
        """Return the squared distances ``(B, P, Q)`` between nodes ``(B, P)`` and ``(B, Q)``."""
        squares = self.vectors.square().sum(1)
        both = _selected(squares, some)[:, :, None] + _selected(squares, others)[:, None]
        return (both - 2 * self.rows(some) @ self.rows(others).mT).clamp(min=0)

    def parts(self) -> Iterator[int]:
        """Yield the numbers of edges that are trained on in turn, each until it is done."""
        raise NotImplementedError

    def loss(self, rows: Tensor) -> Tensor:
        """Return the mean loss of some edges of the part ``(B,)``."""
        raise NotImplementedError


def _selected(table: Tensor, nodes: Tensor) -> Tensor:
    return table.index_select(0, nodes.flatten()).view(*nodes.shape, *table.shape[1:])  # several times as fast as [ ]


def softmax_of_known(score: Tensor, known: Tensor) -> Tensor:
    """Return the softmax over the partners that there are, ``(B, H)``; zero for others, and where there is none."""
    return score.masked_fill(~known, -1e9).softmax(1) * known
