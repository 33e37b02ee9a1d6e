"""M2DNE: a Hawkes process of edges seen from both ends, and the growth of the network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgl_dysign.baselines.embedding import TemporalEdges, softmax_of_known
from dgl_dysign.baselines.htne import HTNE, contrast, kept
from dgl_dysign.errors import check_least


class M2DNE(HTNE):
    r"""M2DNE of Lu et al. (CIKM 2019): edges one by one (micro), and how many there are in each snapshot (macro).

    An edge of i and j at time t depends on the latest H partners p of i, and q of j:

    .. math::
        \lambda_{ij}(t) &= -\lVert u_i - u_j \rVert^2
            - \beta_i \sum_p \alpha_{pi} \lVert u_p - u_j \rVert^2 \kappa_i(t - t_p)
            - \beta_j \sum_q \alpha_{qj} \lVert u_q - u_i \rVert^2 \kappa_j(t - t_q) \\
        \alpha_{pi} &= \mathrm{softmax}_p\, \mathrm{LeakyReLU}(\kappa_i(t - t_p)\, a^T [W u_i; W u_p]), \quad
        \kappa_i(x) = e^{-\delta_i x} \\
        (\beta_i, \beta_j) &= \mathrm{softmax}(\tanh(s(\kappa_i(\bar x_i) \textstyle\sum_p \alpha_{pi} W u_p)),
            \tanh(s(\kappa_j(\bar x_j) \sum_q \alpha_{qj} W u_q)))

    with mean ages :math:`\bar x` and a linear map s. Its loss is that of `HTNE`, with negatives at each end, where only
    the past of the other end counts. The number of new edges of a snapshot t, counted from 1, with n(t) nodes seen up
    to it, is to be

    .. math:: \Delta e'(t) = r(t)\, n(t)\, \zeta (n(t) - 1)^\gamma, \quad
              r(t) = t^{-\theta} \, \mathrm{mean}_{(i, j)} \sigma(-\lVert u_i - u_j \rVert^2)

    with the loss :math:`(\log \Delta e(t) - \log \Delta e'(t))^2`, in logarithms as in the public code. The whole is
    0.6 micro + 0.4 macro.

    What differs from the public code: there influences grow with time (:math:`e^{+\delta x}`), W, a and s are not
    trained, and the rates of the destination are those of the source; here they decay, all is learned, and each node
    has a rate as the one end of an edge and another as the other one. The mean in r(t) is that of the edges in a batch,
    where the code takes single edges. Time, training and what is past are as in `HTNE`. Arguments out of range raise
    ``ConfigError``.

    Parameters
    ----------
    edges, out_feats, history, negatives
        As of `HTNE`.
    hidden_feats : int, default 128
        Width of W.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.baselines import M2DNE, TemporalEdges
    >>> from dgl_dysign.data import distinct_edges
    >>> edges = TemporalEdges([distinct_edges(t, [0, 1], [1, 2], num_nodes=4) for t in range(3)])
    >>> M2DNE(edges, out_feats=8, hidden_feats=8).loss(torch.arange(6)).shape
    torch.Size([])
    """

    def __init__(
        self, edges: TemporalEdges, out_feats: int = 128, hidden_feats: int = 128, history: int = 5,
        negatives: int = 5,
    ) -> None:  # fmt: skip
        super().__init__(edges, out_feats, history, negatives)
        check_least(1, hidden_feats=hidden_feats)
        self.dst_rate = self._unit_rates()
        self.map = nn.Linear(out_feats, hidden_feats, bias=False)
        self.own, self.former = (nn.Linear(hidden_feats, 1, bias=False) for _ in range(2))  # the two halves of a
        self.share = nn.Linear(hidden_feats, 1)
        self.theta, self.gamma = nn.Parameter(torch.ones(())), nn.Parameter(torch.ones(()))
        self.log_zeta = nn.Parameter(torch.zeros(()))
        self.seen, self.new = _growth(edges)

    def loss(self, rows: Tensor) -> Tensor:
        """Return the mean loss of some edges ``(B,)``."""
        src, dst, snapshot = self.edges.columns(rows)
        return 0.6 * self._micro(src, dst, snapshot) + 0.4 * self._macro(src, dst, snapshot)

    def _micro(self, src: Tensor, dst: Tensor, snapshot: Tensor) -> Tensor:
        rates, drawn = (self.rate, self.dst_rate), self.edges.negatives(2 * len(src), self.negatives).chunk(2)
        sides = [
            self._side(rate, nodes, torch.cat([others[:, None], negatives], 1), snapshot)
            for rate, nodes, others, negatives in zip(rates, (src, dst), (dst, src), drawn, strict=True)
        ]
        shares = torch.cat([gate for *_, gate in sides], 1).softmax(1)
        indirect = [share[:, None] * past for share, (_, past, _) in zip(shares.unbind(1), sides, strict=True)]
        met = sides[0][0][:, :1] + indirect[0][:, :1] + indirect[1][:, :1]
        not_met = [(near + past)[:, 1:] for (near, *_), past in zip(sides, indirect, strict=True)]
        return contrast(-torch.cat([met, *not_met], 1))

    def _side(self, rate: Tensor, nodes: Tensor, candidates: Tensor, snapshot: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return distances from candidates ``(B, Q)``, those of partners by their weights, and the gate ``(B, 1)``."""
        past = self.edges.partners(nodes, snapshot, self.history)
        own = nodes[:, None]
        left, mapped = kept(rate[nodes], past.age), self.map(self.rows(past.node))
        score = functional.leaky_relu(left * (self.own(self.map(self.rows(own))) + self.former(mapped))[..., 0], 0.2)
        weight = softmax_of_known(score, past.known)
        mean_age = (past.age * past.known).sum(1, keepdim=True) / past.known.sum(1, keepdim=True).clamp(min=1)
        gate = torch.tanh(self.share(kept(rate[nodes], mean_age) * (weight[..., None] * mapped).sum(1)))
        apart = self.distances(torch.cat([own, past.node], 1), candidates)
        return apart[:, 0], ((weight * left)[..., None] * apart[:, 1:]).sum(1), gate

    def _macro(self, src: Tensor, dst: Tensor, snapshot: Tensor) -> Tensor:
        """Return the mean over the snapshots of some edges of the squared error of the logarithm of their number."""
        near = torch.sigmoid(-(self.rows(src) - self.rows(dst)).square().sum(1))
        which, place, count = snapshot.unique(return_inverse=True, return_counts=True)
        mean = torch.zeros(len(which), dtype=near.dtype).index_add(0, place, near) / count
        seen = self.seen[which]
        expected = mean.log() - self.theta * (which + 1.0).log() + seen.log()
        expected = expected + self.log_zeta + self.gamma * (seen - 1).log()
        return (self.new[which].log() - expected).square().mean()


def _growth(edges: TemporalEdges) -> tuple[Tensor, Tensor]:
    """Return the numbers of nodes seen up to each snapshot, and of edges in it, ``(T,)`` each."""
    first = torch.full((edges.num_nodes,), edges.num_snapshots)
    for ends in (edges.src, edges.dst):
        first = first.scatter_reduce(0, ends, edges.snapshot, "amin")
    seen = torch.bincount(first, minlength=edges.num_snapshots + 1)[:-1].cumsum(0)
    return seen.float(), torch.bincount(edges.snapshot, minlength=edges.num_snapshots).float()
