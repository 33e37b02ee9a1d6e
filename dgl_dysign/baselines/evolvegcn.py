"""EvolveGCN: a graph convolutional network whose weights are the state of a recurrent network.

Two systems, -O and -H, are in one file: the second is the first, with another input of the recurrence.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from dgl_dysign.baselines.snapshot_graph import WeightedEdges, normalised_edges, propagated
from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.errors import check_least
from dgl_dysign.models.snapshot_encoder import SnapshotEncoder, State


class _EvolvingWeight(nn.Module):
    """The recurrence of one layer's weights; biases have an entry for each weight, so that columns stay different."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        spread = (6 / (rows + columns)) ** 0.5
        self.register_buffer("first", torch.empty(rows, columns).uniform_(-spread, spread))
        self.update, self.reset, self.candidate, self.again = (_square(rows) for _ in range(4))
        self.biases = nn.Parameter(torch.zeros(3, rows, columns))
        nn.init.uniform_(self.biases[2], -spread, spread)

    def forward(self, weight: Tensor, entering: Tensor, fed: Tensor | None = None) -> Tensor:
        gates = torch.stack([self.update @ weight, self.reset @ weight])
        update, reset = torch.sigmoid((gates if fed is None else gates + fed) + self.biases[:2])
        candidate = torch.tanh(self.candidate @ entering + self.again @ (reset * weight) + self.biases[2])
        return (1 - update) * weight + update * candidate


class _FedWeight(_EvolvingWeight):
    """The recurrence that a summary of the nodes enters."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__(rows, columns)
        self.columns = columns
        self.fed_update, self.fed_reset = _square(rows), _square(rows)
        self.direction = nn.Parameter(torch.empty(rows).uniform_(-1, 1))

    def forward(self, weight: Tensor, feat: Tensor, _: Tensor | None = None) -> Tensor:
        """Move on by the features of some nodes ``(n, rows)``, of which those that score best make a column each."""
        score = feat @ self.direction / self.direction.norm()
        score, best = score.topk(min(self.columns, len(feat)))
        chosen = (nn.functional.normalize(feat[best]) * score.tanh()[:, None]).t()
        entering = nn.functional.pad(chosen, (0, self.columns - len(best)))
        return super().forward(weight, entering, torch.stack([self.fed_update @ entering, self.fed_reset @ entering]))


def _square(rows: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(rows, rows).uniform_(-(rows**-0.5), rows**-0.5))


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
    scores random; and the Q before the first snapshot are drawn and stay, since a gradient over a window does not reach
    them. The paper runs an LSTM in this variant, the public code a GRU. Arguments out of range raise ``ConfigError``.

    Parameters
    ----------
    num_nodes, in_feats, hidden_feats, out_feats : int, the last two by default 64
        Nodes N, and widths of the inputs and of the two layers.
    window : int, default 1
        Snapshots that the gradient goes back.

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

    recurrence: type[_EvolvingWeight] = _EvolvingWeight

    def __init__(
        self, num_nodes: int, in_feats: int, hidden_feats: int = 64, out_feats: int = 64, window: int = 1
    ) -> None:
        super().__init__()
        widths = (in_feats, hidden_feats, out_feats)
        check_least(1, width=min(widths), window=window)
        self.num_nodes, self.out_feats, self.window = num_nodes, out_feats, window
        self.layers = nn.ModuleList([self.recurrence(*pair) for pair in pairwise(widths)])

    def initial(self) -> State:
        """Return the first weights, and no graph."""
        return [layer.first for layer in self.layers], None

    def step(self, state: State, edges: SnapshotEdges, inputs: Tensor) -> State:
        """Return the next weights, beside what `embed` applies them to: edges and inputs of the snapshot."""
        weights = [layer(weight, weight) for layer, weight in zip(self.layers, state[0], strict=True)]
        return weights, (normalised_edges(edges, inputs.dtype), inputs)

    def embed(self, state: State, inputs: Tensor) -> Tensor:
        """Return the vectors of all nodes; before the first snapshot there are no edges."""
        weights, snapshot = state
        graph, feat = snapshot or (None, inputs)
        for weight in weights:
            feat = _convolved(graph, feat, weight)
        return feat


class EvolveGCNH(EvolveGCNO):
    r"""EvolveGCN-H of Pareja et al. (AAAI 2020): the weights of the convolutions move on by what the nodes show.

    .. math::
        Q_t &= \mathrm{GRU}(S_t, Q_{t-1}) = (1 - Z) \circ Q_{t-1} + Z \circ C \\
        C &= \tanh(W_H S_t + U_H (R \circ Q_{t-1}) + B_H) \\
        Z &= \sigma(W_Z S_t + U_Z Q_{t-1} + B_Z), \quad R = \sigma(W_R S_t + U_R Q_{t-1} + B_R) \\
        y &= X_t p / \lVert p \rVert, \quad i = \mathrm{top}_k(y), \quad S_t = (\hat X_t[i] \circ \tanh(y[i]))^\top

    in each of two layers, where k is the number of columns of Q and X the layer's input; the convolutions are those of
    `EvolveGCNO`. The k best are among the nodes with an edge in the snapshot, as in the public code. Where there are
    fewer, the last columns of S are zero; the public code repeats the last node instead. :math:`\hat X` has the rows
    of X at unit length: with features as they are, of deviation 1, the candidate weights are all near 1 and -1, and
    DBLP's classes are not learned. All else that differs from the paper and from the public code is as in
    `EvolveGCNO`, and so are parameters and errors.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.baselines import EvolveGCNH
    >>> from dgl_dysign.data import distinct_edges
    >>> encoder, inputs = EvolveGCNH(3, 2, out_feats=4), torch.ones(3, 2)
    >>> state = encoder.step(encoder.initial(), distinct_edges(0, [0], [1], num_nodes=3), inputs)
    >>> encoder.embed(state, inputs).shape
    torch.Size([3, 4])
    """

    recurrence = _FedWeight

    def step(self, state: State, edges: SnapshotEdges, inputs: Tensor) -> State:
        """Return the next weights, each moved on by the nodes as its layer sees them, beside edges and inputs."""
        graph, feat, weights = normalised_edges(edges, inputs.dtype), inputs, []
        active = torch.unique(torch.cat([edges.src, edges.dst]))
        for layer, weight in zip(self.layers, state[0], strict=True):
            weights.append(layer(weight, feat[active]))
            feat = _convolved(graph, feat, weights[-1])
        return weights, (graph, inputs)


def _convolved(graph: WeightedEdges | None, feat: Tensor, weight: Tensor) -> Tensor:
    feat = feat @ weight
    return (feat if graph is None else propagated(graph, feat)).relu()
