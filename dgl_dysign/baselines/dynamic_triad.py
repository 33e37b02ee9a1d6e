"""DynamicTriad: vectors of each snapshot that are near for linked nodes, close triads, and move little."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.nn import functional

from dgl_dysign.baselines.embedding import EdgeEmbedding, proper_edges
from dgl_dysign.baselines.triads import Triads, adjacency
from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.errors import check_least


class DynamicTriad(EdgeEmbedding):
    r"""The three losses of DynamicTriad, Zhou et al. (AAAI 2018), for the vectors :math:`u^t` of each snapshot in turn.

    .. math::
        L_{sh} &= \mathrm{mean}_{(i, j)}\, w_{ij} \max(0, \xi + d_{ij} - d_{ij'}), \quad
            d_{ij} = \lVert u_i - u_j \rVert^2 \\
        P_{ijk} &= \sigma(\theta \cdot x_{ijk} + b), \quad x_{ijk} = w_{ik} (u_k - u_i) + w_{jk} (u_k - u_j) \\
        L_{tr} &= -\mathrm{mean}_{(i, j)\ \mathrm{closes}} \log(1 - \textstyle\prod_k (1 - P_{ijk}))
            - \mathrm{mean}_{(i, j, k)\ \mathrm{stays\ open}} \log(1 - P_{ijk}) \\
        L &= L_{sh} + \beta_0 L_{tr} + \beta_1 \mathrm{mean}_i \lVert u_i^t - u_i^{t-1} \rVert^2

    over edges of weight w (their number of events) and negatives j' drawn by degree to the power 3/4; a triad is an
    open one, of i and j that are not linked but both to k, and it closes if they are linked in the next snapshot.

    What differs from the paper: it minimises the sum over all snapshots at once; here each snapshot begins with the
    vectors of the one before, to which it is held by the last term, and those stay as they are. So a node without edges
    keeps its vector, and time and memory do not grow with the number of snapshots at once. The product over k is
    differentiated as it is, where the paper maximises a bound by expectation and maximisation. As many triads that stay
    open are drawn as pairs close. b is in the public code, not in the paper. Sums are means, so that the weights do
    not depend on the size of the data. The graph of a snapshot has the edges of the last four, as in its demo. The
    vectors are as wide as those of the other embeddings here; in the public code they have 48 columns by default.
    Arguments out of range raise ``ConfigError``, snapshots without any edge ``DataError``.

    Parameters
    ----------
    snapshots : sequence of SnapshotEdges
        What it is trained on.
    out_feats, span : int, default 128 and 4
        Width of the vectors, and snapshots that make up a graph.
    margin, triad, smooth : float, default 1, 0.1 and 0.1
        The margin :math:`\xi`, and the weights :math:`\beta_0` and :math:`\beta_1`.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.baselines import DynamicTriad
    >>> from dgl_dysign.data import distinct_edges
    >>> pairs = [([0, 1], [1, 2]), ([0], [2])]
    >>> model = DynamicTriad([distinct_edges(t, *ends, num_nodes=4) for t, ends in enumerate(pairs)], out_feats=8)
    >>> for number_of_edges in model.parts():
    ...     print(model.loss(torch.arange(number_of_edges)).shape, len(model.triads.closing))
    torch.Size([]) 1
    torch.Size([]) 0
    """

    def __init__(
        self, snapshots: Sequence[SnapshotEdges], out_feats: int = 128, margin: float = 1.0, triad: float = 0.1,
        smooth: float = 0.1, span: int = 4,
    ) -> None:  # fmt: skip
        proper_edges(snapshots)
        super().__init__(snapshots[0].num_nodes, out_feats)
        check_least(0, margin=margin, triad=triad, smooth=smooth)
        check_least(1, span=span)
        self.snapshots, self.margin, self.triad, self.smooth, self.span = snapshots, margin, triad, smooth, span
        self.theta, self.bias = nn.Parameter(torch.randn(out_feats) * out_feats**-0.5), nn.Parameter(torch.zeros(()))
        self.register_buffer("before", self.vectors.detach().clone())

    def parts(self) -> Iterator[int]:
        """Yield the number of edges of each snapshot's graph that has some, and go on from what it was trained to."""
        for t in range(len(self.snapshots)):
            graph = adjacency(self.snapshots[max(0, t + 1 - self.span) : t + 1])
            edges = sp.triu(graph).tocoo()
            if edges.nnz:
                self.before = self.vectors.detach().clone()
                following = self.snapshots[t + 1 : t + 2]
                self.triads = Triads.of(graph, adjacency(following) if following else None)
                self.edges = torch.from_numpy(np.stack([edges.row, edges.col]).astype(np.int64))
                self.weight = torch.from_numpy(edges.data).float()
                self.noise = torch.from_numpy(np.asarray((graph > 0).sum(1)).ravel() ** 0.75)
                yield edges.nnz

    def loss(self, rows: Tensor) -> Tensor:
        """Return the loss of some edges of the snapshot that `parts` is at, of its triads, and of the movement."""
        loss = self._homophily(rows) + self.smooth * (self.vectors - self.before).square().sum(1).mean()
        return loss + self.triad * self._closure() if len(self.triads.closing) else loss

    def _homophily(self, rows: Tensor) -> Tensor:
        src, dst = torch.cat([self.edges[:, rows], self.edges[:, rows].flip(0)], 1)
        negative = torch.multinomial(self.noise, len(src), replacement=True)
        near, far = ((self.rows(src) - self.rows(other)).square().sum(1) for other in (dst, negative))
        return (self.weight[rows].repeat(2) * (self.margin + near - far).clamp(min=0)).mean()

    def _closure(self) -> Tensor:
        triads = self.triads
        closing = functional.logsigmoid(-self._strength(triads.of_closing, triads.closing_weight))  # log(1 - P)
        never = closing.new_zeros(len(triads.closing)).index_add(0, triads.pair, closing)
        loss = -torch.log(-torch.expm1(never.clamp(max=-1e-6))).mean()
        if len(triads.open):
            loss = loss + functional.softplus(self._strength(triads.open, triads.open_weight)).mean()
        return loss

    def _strength(self, triads: Tensor, weight: Tensor) -> Tensor:
        """Return the log odds of P for triads (i, j, k) and the weights of k's edges with i and with j."""
        i, j, k = self.rows(triads).unbind(1)
        return (weight[:, :1] * (k - i) + weight[:, 1:] * (k - j)) @ self.theta + self.bias
