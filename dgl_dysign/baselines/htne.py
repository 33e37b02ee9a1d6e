"""HTNE: vectors of nodes from a Hawkes process of their edges."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgl_dysign.baselines.embedding import EdgeEmbedding, Partners, TemporalEdges, softmax_of_known
from dgl_dysign.errors import check_least


class HTNE(EdgeEmbedding):
    r"""HTNE of Zuo et al. (KDD 2018), with attention: x meets y because they are close, or because x met others.

    The intensity of x meeting y at time t, with the latest H partners h of x before t, is

    .. math::
        \lambda_{y|x}(t) = -\lVert x - y \rVert^2 -
            \sum_h w_{h|x} \lVert h - y \rVert^2 e^{-\delta_x (t - t_h)}, \quad
        w_{h|x} = \mathrm{softmax}_h(-\lVert x - h \rVert^2)

    and the loss of an edge, from each of its ends, is :math:`-\log \sigma(\lambda_{y|x}) - \sum_k \log
    \sigma(-\lambda_{n_k|x})` for negatives drawn by degree to the power 3/4.

    What differs from the paper: time runs from 0 to 1 over the snapshots (how the paper scales it is not said), an edge
    counts once a snapshot, and edges of one snapshot are not in each other's past. The rates :math:`\delta_x`, 1 at
    first, are a softplus, so that old partners count less; public code has :math:`e^{+\delta \Delta t}`, where learning
    has to find the sign. It is trained by Adam where the public code takes plain gradient descent, in the order of time
    where that shuffles. Arguments out of range raise ``ConfigError``.

    Parameters
    ----------
    edges : TemporalEdges
        What it is trained on.
    out_feats : int, default 128
        Width of the vectors.
    history, negatives : int, default 5
        Most partners H (the public code has 2), and negatives of each end of an edge.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.baselines import HTNE, TemporalEdges
    >>> from dgl_dysign.data import distinct_edges
    >>> edges = TemporalEdges([distinct_edges(t, [0, 1], [1, 2], num_nodes=4) for t in range(3)])
    >>> HTNE(edges, out_feats=8).loss(torch.arange(6)).shape
    torch.Size([])
    """

    def __init__(self, edges: TemporalEdges, out_feats: int = 128, history: int = 5, negatives: int = 5) -> None:
        super().__init__(edges.num_nodes, out_feats)
        check_least(1, history=history, negatives=negatives)
        self.edges, self.history, self.negatives = edges, history, negatives
        self.rate = self._unit_rates()

    def _unit_rates(self) -> nn.Parameter:
        """Return what gives each node a decay of rate 1 by a softplus, ``(N,)``."""
        return nn.Parameter(torch.full((self.edges.num_nodes,), 1.0).expm1().log())

    def parts(self) -> Iterator[int]:
        """Yield the number of all edges."""
        yield len(self.edges)

    def loss(self, rows: Tensor) -> Tensor:
        """Return the mean loss of some edges ``(B,)``, from both of their ends."""
        src, dst, snapshot = self.edges.columns(rows)
        nodes, others, snapshot = torch.cat([src, dst]), torch.cat([dst, src]), snapshot.repeat(2)
        past = self.edges.partners(nodes, snapshot, self.history)
        candidates = torch.cat([others[:, None], self.edges.negatives(len(nodes), self.negatives)], 1)
        return 2 * contrast(self._intensity(nodes, candidates, past))

    def _intensity(self, nodes: Tensor, candidates: Tensor, past: Partners) -> Tensor:
        """Return the intensities ``(B, Q)`` of nodes ``(B,)`` meeting candidates ``(B, Q)``."""
        own = nodes[:, None]
        weight = softmax_of_known(-self.distances(own, past.node)[:, 0], past.known)
        weight = weight * kept(self.rate[nodes], past.age)
        apart = self.distances(torch.cat([own, past.node], 1), candidates)
        return -apart[:, 0] - (weight[..., None] * apart[:, 1:]).sum(1)


def kept(rate: Tensor, age: Tensor) -> Tensor:
    """Return what is left of influences of some ages ``(B, H)`` under the rates of ``(B,)`` nodes."""
    return torch.exp(-functional.softplus(rate)[:, None] * age)


def contrast(intensity: Tensor) -> Tensor:
    """Return the mean loss of intensities ``(B, 1 + K)``: of what happened first, then of negatives."""
    return -(functional.logsigmoid(intensity[:, 0]) + functional.logsigmoid(-intensity[:, 1:]).sum(1)).mean()
