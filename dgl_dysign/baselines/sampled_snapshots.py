"""Nodes and a sample of their neighbours, snapshot by snapshot: what spiking networks of nodes read in mini-batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dgl_dysign._dgl import dgl
from dgl_dysign.baselines.sampled_layers import Hops
from dgl_dysign.errors import check_least
from dgl_dysign.models.inputs import scaled_features
from dgl_dysign.ops.csr import EdgeIndex

if TYPE_CHECKING:
    from dgl_dysign.data import TemporalGraph


class SampledSnapshots:
    """Features of nodes and of drawn neighbours at each of several snapshots, as SpikeNet (AAAI 2023) samples them.

    Of the ``k`` neighbours of a node in a snapshot a half (rounded down, but one at least) is drawn from all edges so
    far, the rest from those since the snapshot that is read before (before the first: of as many snapshots as between
    the first two). Edges count once whatever their direction, and a node is one of its own neighbours. Those of a part
    are different ones, where there are as many; where there are fewer, all are among them, and the rest are repeated
    ones. PyTorch's generator draws.

    What differs from the public code: a neighbour is as likely as any other, where that code seldom or never draws the
    last one of more than k; features have mean 0 and deviation 1 by column over the nodes seen so far, and are zero for
    others, where that code scales all numbers of a snapshot together.

    Features of all snapshots are kept in memory, ``4 * T * N * d`` bytes. A size below 1 raises ``ConfigError``, a
    folder without features ``DataError``.

    Parameters
    ----------
    data : TemporalGraph
        A prepared folder with features.
    snapshots : sequence of int
        Which ones, ascending.
    sizes : sequence of int, default (5, 2)
        Neighbours of a node, neighbours of each of these, and so on.
    device : device, default "cpu"
        Where to sample.

    Attributes
    ----------
    in_feats : int
        Width d of the features.

    Examples
    --------
    >>> from dgl_dysign.baselines import SampledSnapshots
    >>> from dgl_dysign.data import TemporalGraph
    >>> samples = SampledSnapshots(TemporalGraph.load(prepared), [3, 7, 11])
    >>> [tuple(hop.shape) for hop in list(samples(torch.tensor([4, 9])))[-1]]
    [(2, 7), (2, 5, 7), (2, 5, 2, 7)]
    """

    def __init__(
        self, data: TemporalGraph, snapshots: Sequence[int], sizes: Sequence[int] = (5, 2),
        device: torch.device | str = "cpu",
    ) -> None:  # fmt: skip
        check_least(1, size=min(sizes, default=0))
        self.sizes = tuple(sizes)
        self._feats = [scaled_features(data, t).to(device) for t in snapshots]
        self.in_feats = self._feats[0].shape[1]
        gap = snapshots[1] - snapshots[0] if len(snapshots) > 1 else snapshots[0] + 1
        self._graphs = [
            (_Neighbours(data.graph(t, symmetric=True), device), _Neighbours(_new_edges(data, last + 1, t), device))
            for last, t in pairwise([max(snapshots[0] - gap, -1), *snapshots])
        ]

    def __call__(self, nodes: Tensor) -> Iterator[Hops]:
        """Draw neighbours of nodes ``(n,)`` anew in each snapshot, and yield the features of a snapshot at a time."""
        for feat, graphs in zip(self._feats, self._graphs, strict=True):
            hops = [nodes]
            for size in self.sizes:
                old = max(size // 2, 1)
                drawn = [graph.draw(hops[-1], k) for graph, k in zip(graphs, (old, size - old), strict=True)]
                hops.append(torch.cat(drawn, -1))
            yield [feat[hop] for hop in hops]


class _Neighbours:
    """The neighbours of each node in a graph, and the node itself."""

    def __init__(self, graph: Any, device: torch.device | str) -> None:
        layout = EdgeIndex(dgl.remove_self_loop(graph), torch.device(device)).by_dst
        self.begin, self.degree = layout.indptr[:-1].long(), layout.indptr.diff().long()
        self.ids = torch.cat([layout.indices.long(), layout.indices.new_zeros(1).long()])  # the last is never taken

    def draw(self, nodes: Tensor, size: int) -> Tensor:
        """Draw so many of each node, ``(*, size)``: different ones, as far as there are."""
        degree = self.degree[nodes][..., None]
        # Floyd's algorithm: a place up to `last`, and `last` itself if that place was drawn before. Where there are
        # fewer neighbours than draws, `last` is below zero at first: those draws are of any place, and count for none.
        last = degree + 1 - size + torch.arange(size, device=nodes.device)
        limit = torch.where(last < 0, degree, last)
        place = (torch.rand(limit.shape, device=nodes.device) * (limit + 1)).long().minimum(limit)
        for k in range(1, size):
            again = (last[..., :k] >= 0) & (place[..., :k] == place[..., k : k + 1])
            place[..., k] = torch.where(again.any(-1), last[..., k], place[..., k])
        return torch.where(place < degree, self.ids[self.begin[nodes][..., None] + place], nodes[..., None])


def _new_edges(data: TemporalGraph, first: int, last: int) -> Any:
    """Return the graph of the events of some snapshots alone, each pair of nodes once in both directions."""
    ends = [data.graph(t, cumulative=False, symmetric=True).edges() for t in range(first, last + 1)]
    src, dst = (torch.cat(part) for part in zip(*ends, strict=True))
    return dgl.to_simple(dgl.graph((src, dst), num_nodes=data.num_nodes))
