"""The graph of one snapshot, as graph convolutions read it."""

from __future__ import annotations

import torch
from torch import Tensor

from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.ops._listeners import tell_messages, uncounted

EDGE_FEATS = 2  # of `edge_features`
#: Sources, destinations and weights of edges, ``(E,)`` each.
WeightedEdges = tuple[Tensor, Tensor, Tensor]


def normalised_edges(edges: SnapshotEdges, dtype: torch.dtype) -> WeightedEdges:
    r"""Return the edges of :math:`\hat A = D^{-1/2} (A + I) D^{-1/2}`, where A has each pair once, without direction.

    Examples
    --------
    >>> from dgl_dysign.data import distinct_edges
    >>> src, dst, weight = normalised_edges(distinct_edges(0, [0, 1], [1, 0], num_nodes=3), torch.float32)
    >>> src.tolist(), dst.tolist(), [round(value, 2) for value in weight.tolist()]
    ([0, 1, 0, 1, 2], [1, 0, 0, 1, 2], [0.5, 0.5, 0.5, 0.5, 1.0])
    """
    loop, nodes = edges.src == edges.dst, torch.arange(edges.num_nodes, device=edges.src.device)
    src, dst = edges.src[~loop], edges.dst[~loop]
    key = torch.unique(torch.cat([src * edges.num_nodes + dst, dst * edges.num_nodes + src]))
    src, dst = torch.cat([key // edges.num_nodes, nodes]), torch.cat([key % edges.num_nodes, nodes])
    root = torch.bincount(dst, minlength=edges.num_nodes).to(dtype).rsqrt()
    return src, dst, root[src] * root[dst]


def edge_features(edges: SnapshotEdges, dtype: torch.dtype) -> Tensor:
    r"""Return of each edge the logarithm of its number of events, and :math:`\mathrm{sign}(w) \log(1 + |w|)`, (E, 2).

    w is the mean weight of its events, 0 without weights.

    Examples
    --------
    >>> from dgl_dysign.data import distinct_edges
    >>> edge_features(distinct_edges(0, [0, 0], [1, 1], weight=[-1.0, -1.0], num_nodes=2), torch.float32)
    tensor([[ 0.6931, -0.6931]])
    """
    weight = torch.zeros_like(edges.count, dtype=dtype) if edges.weight is None else edges.weight.to(dtype)
    return torch.stack([edges.count.to(dtype).log(), weight.sign() * weight.abs().log1p()], 1)


def propagated(graph: WeightedEdges, feat: Tensor) -> Tensor:
    """Return for each node the weighted sum of the features ``(N, D)`` at the other ends of its incoming edges."""
    src, dst, weight = graph
    tell_messages(src, feat, weight)
    with uncounted():
        return torch.zeros_like(feat).index_add(0, dst, weight[:, None] * feat[src])
