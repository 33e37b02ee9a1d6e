"""WinGNN: a graph network without memory, whose weights take a step on each snapshot of a window."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call

from dgl_dysign.baselines.snapshot_graph import WeightedEdges, normalised_edges, propagated
from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.errors import ConfigError, check_least
from dgl_dysign.models.snapshot_encoder import SnapshotEncoder, State


class WinGNN(SnapshotEncoder):
    r"""WinGNN of Zhu et al. (KDD 2023): two graph convolutions, trained to be good after some steps on a window.

    .. math::
        H^{l+1} &= \hat A_t H^l W^l + H^l V^l + b^l, \text{ relu in between}, \quad z = H^2 / \lVert H^2 \rVert \\
        \theta_{i+1} &= \theta_i - \eta \, g_i / \sqrt{S_i}, \quad g_i = \nabla \ell_{i+1}(\theta_i), \quad
        S_i = \beta S_{i-1} + (1 - \beta) g_i^2

    The vectors before snapshot i pass messages over the edges of i - 1 alone, and :math:`\ell_i` is the cross entropy
    of :math:`\sigma(z_u^\top z_v)` for the edges of i and as many random pairs. The outer loss, that of the table, is
    taken after the steps on a window, and goes back to :math:`\theta_0` past the steps, as in the public code: there
    are no second derivatives. In training the number of steps is drawn, from 1 to `steps`. **While it is tested** it
    takes those of the latest window under live update alone, where a test may train on what it has scored (`live`).

    What differs: the public code passes messages over the edges that it predicts, has no relu in between, and drops
    units in tests, too. It scores a pair by a number of each end; here the head does. Its outer loss sums up those
    after each step, some left out at random; here it is the last one's. S begins at zero in each window. Arguments out
    of range raise ``ConfigError``.

    Parameters
    ----------
    num_nodes, in_feats, out_feats, steps : int, the last two by default 64 and 8
        Nodes N, widths of the inputs and of both layers, and snapshots of a window, each with a step of the weights.
    step_size, beta : float, default 0.008 and 0.89
        :math:`\eta`, above 0, and the share of S that is kept, in [0, 1).

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.baselines import WinGNN
    >>> from dgl_dysign.data import distinct_edges
    >>> encoder, inputs = WinGNN(3, 2, out_feats=4), torch.ones(3, 2)
    >>> state = encoder.step(encoder.initial(), distinct_edges(0, [0], [1], num_nodes=3), inputs)
    >>> encoder.embed(state, inputs).shape
    torch.Size([3, 4])
    """

    def __init__(
        self, num_nodes: int, in_feats: int, out_feats: int = 64, steps: int = 8, step_size: float = 0.008,
        beta: float = 0.89,
    ) -> None:  # fmt: skip
        super().__init__()
        check_least(1, out_feats=out_feats, steps=steps)
        if step_size <= 0 or not 0 <= beta < 1:
            raise ConfigError(f"step_size={step_size}, beta={beta}: expected above 0, and from 0 to below 1")
        self.num_nodes, self.out_feats = num_nodes, out_feats
        self.steps, self.step_size, self.beta = steps, step_size, beta
        self.network = _Convolutions(in_feats, out_feats)

    def initial(self) -> State:
        """Return no snapshots."""
        return ()

    def step(self, state: State, edges: SnapshotEdges, inputs: Tensor) -> State:
        """Return the latest snapshots, one more than there are steps: what each step begins with."""
        return (*state, (normalised_edges(edges, inputs.dtype), inputs, edges))[-self.steps - 1 :]

    def embed(self, state: State, inputs: Tensor) -> Tensor:
        """Return the vectors of all nodes; before the first snapshot there are no messages."""
        weights: dict[str, Tensor] = dict(self.network.named_parameters())
        if len(state) > 1 and (self.training or self.live):
            number = int(torch.randint(1, len(state), ())) if self.training else len(state) - 1
            moves = self._moves(state[-number - 1 :])
            weights = {name: weight + moves[name] for name, weight in weights.items()}
        graph, feat = state[-1][:2] if state else (None, inputs)
        return functional_call(self.network, weights, (graph, feat))

    def _moves(self, window: State) -> dict[str, Tensor]:
        """Return by how much the weights move, by steps on each snapshot of a window but the first."""
        first = {name: weight.detach() for name, weight in self.network.named_parameters()}
        weights, squares = first, {name: torch.zeros_like(weight) for name, weight in first.items()}
        for (graph, feat, _), (_, _, edges) in pairwise(window):
            if not len(edges):
                continue
            with torch.enable_grad():  # scores are asked for without
                leaves = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
                loss = self._loss(functional_call(self.network, leaves, (graph, feat)), edges)
            slopes = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
            squares = {name: self.beta * squares[name] + (1 - self.beta) * g**2 for name, g in slopes.items()}
            steps = {name: self.step_size * g / (squares[name].sqrt() + 1e-8) for name, g in slopes.items()}
            weights = {name: weight - steps[name] for name, weight in weights.items()}
        return {name: weight - first[name] for name, weight in weights.items()}

    def _loss(self, z: Tensor, edges: SnapshotEdges) -> Tensor:
        """Return the cross entropy of a snapshot's edges and as many pairs, drawn anew for each snapshot."""
        seeded = torch.Generator().manual_seed(edges.snapshot)
        pairs = torch.randint(self.num_nodes, (2, len(edges)), generator=seeded).to(edges.src.device)
        src, dst = torch.cat([torch.stack([edges.src, edges.dst]), pairs], 1)
        is_edge = torch.arange(2 * len(edges), device=z.device) < len(edges)
        return nn.functional.binary_cross_entropy_with_logits((z[src] * z[dst]).sum(1), is_edge.to(z))


class _Convolutions(nn.Module):
    """Two graph convolutions with a skip each; vectors of length one."""

    def __init__(self, in_feats: int, out_feats: int) -> None:
        super().__init__()
        widths = (in_feats, out_feats)
        self.messages = nn.ModuleList([nn.Linear(width, out_feats, bias=False) for width in widths])
        self.skips = nn.ModuleList([nn.Linear(width, out_feats) for width in widths])

    def forward(self, graph: WeightedEdges | None, feat: Tensor) -> Tensor:
        for message, skip in zip(self.messages, self.skips, strict=True):
            around = torch.zeros_like(feat) if graph is None else propagated(graph, feat)
            feat = message(around) + skip(feat)
            feat = feat.relu() if skip is self.skips[0] else feat
        return nn.functional.normalize(feat)
