"""EvolveGCN-O: a graph convolutional network whose weights are the state of a recurrent network."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.errors import ConfigError
from dgl_dysign.models.snapshot_encoder import SnapshotEncoder, State


class EvolveGCNO(SnapshotEncoder):
    r"""EvolveGCN-O of Pareja et al. (AAAI 2020): two graph convolutions, whose weights move on with each snapshot.

    .. math::
        Q_t &= \mathrm{GRU}(Q_{t-1}) = (1 - Z) \circ Q_{t-1} + Z \circ C \\
        C &= \tanh(W_H Q_{t-1} + U_H (R \circ Q_{t-1}) + B_H) \\
        Z &= \sigma(W_Z Q_{t-1} + B_Z), \quad R = \sigma(W_R Q_{t-1} + B_R) \\
        X_t^{l+1} &= \mathrm{relu}(\hat A_t X_t^l Q_t^l), \quad
        \hat A_t = D^{-1/2} (A_t + I) D^{-1/2}

    where A_t has the edges of snapshot t alone, without direction and once each. Input and hidden state of the
    recurrence are both Q, so that one matrix stands for the sum of the paper's W and U in Z and R. The weights have
    seen the whole past: they are not begun anew in each window.

    What differs from the public code: ReLU where that draws the slope of each negative value (RReLU), which makes
    scores random; and the Q before the first snapshot are drawn and stay, since a gradient over a window does not
    reach them. The paper runs an LSTM in this variant, the public code a GRU.

    Parameters
    ----------
    num_nodes : int
        Number of nodes N.
    in_feats : int
        Width of the inputs.
    hidden_feats, out_feats : int, default 64
        Widths of the two layers.
    window : int, default 1
        Snapshots that the gradient goes back.

    Raises
    ------
    ConfigError
        If a width or the window is below 1.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.baselines import EvolveGCNO
    >>> from dgl_dysign.data import distinct_edges
    >>> encoder, inputs = EvolveGCNO(3, 2, out_feats=4), torch.ones(3, 2)
    >>> state = encoder.step(encoder.initial(), distinct_edges(0, [0], [1], num_nodes=3), inputs)
    >>> encoder.embed(state, inputs).shape
    torch.Size([3, 4])
    """

    def __init__(
        self, num_nodes: int, in_feats: int, hidden_feats: int = 64, out_feats: int = 64, window: int = 1
    ) -> None:
        super().__init__()
        widths = (in_feats, hidden_feats, out_feats)
        if min(*widths, window) < 1:
            raise ConfigError(f"widths {widths} and window={window}: expected 1 or more")
        self.num_nodes, self.out_feats, self.window = num_nodes, out_feats, window
        self.layers = nn.ModuleList([_EvolvingWeight(*pair) for pair in pairwise(widths)])

    def initial(self) -> State:
        """Return the first weights, and no graph."""
        return [layer.first for layer in self.layers], []

    def step(self, state: State, edges: SnapshotEdges, inputs: Tensor) -> State:
        """Return the next weights, beside what `embed` applies them to: edges and inputs of the snapshot."""
        weights = [layer(weight) for layer, weight in zip(self.layers, state[0], strict=True)]
        return weights, [*_normalised(edges, inputs), inputs]

    def embed(self, state: State, inputs: Tensor) -> Tensor:
        """Return the vectors of all nodes; before the first snapshot there are no edges."""
        weights, graph = state
        feat = graph[-1] if graph else inputs
        for weight in weights:
            feat = feat @ weight
            if graph:
                src, dst, norm, _ = graph
                feat = torch.zeros_like(feat).index_add(0, dst, norm[:, None] * feat[src])
            feat = feat.relu()
        return feat


class _EvolvingWeight(nn.Module):
    """The recurrence of one layer's weights; biases have an entry for each weight, so that columns stay different."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        spread = (6 / (rows + columns)) ** 0.5
        self.register_buffer("first", torch.empty(rows, columns).uniform_(-spread, spread))
        self.update, self.reset, self.candidate, self.again = (
            nn.Parameter(torch.empty(rows, rows).uniform_(-(rows**-0.5), rows**-0.5)) for _ in range(4)
        )
        self.biases = nn.Parameter(torch.zeros(3, rows, columns))
        nn.init.uniform_(self.biases[2], -spread, spread)

    def forward(self, weight: Tensor) -> Tensor:
        update = torch.sigmoid(self.update @ weight + self.biases[0])
        reset = torch.sigmoid(self.reset @ weight + self.biases[1])
        candidate = torch.tanh(self.candidate @ weight + self.again @ (reset * weight) + self.biases[2])
        return (1 - update) * weight + update * candidate


def _normalised(edges: SnapshotEdges, inputs: Tensor) -> list[Tensor]:
    """Return ends and weights of the snapshot's edges in both directions, each once, with a loop at every node."""
    loop, nodes = edges.src == edges.dst, torch.arange(edges.num_nodes, device=edges.src.device)
    src, dst = edges.src[~loop], edges.dst[~loop]
    key = torch.unique(torch.cat([src * edges.num_nodes + dst, dst * edges.num_nodes + src]))
    src, dst = torch.cat([key // edges.num_nodes, nodes]), torch.cat([key % edges.num_nodes, nodes])
    root = torch.bincount(dst, minlength=edges.num_nodes).to(inputs.dtype).rsqrt()
    return [src, dst, root[src] * root[dst]]
