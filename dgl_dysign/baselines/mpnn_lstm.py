"""MPNN-LSTM: graph convolutions within each snapshot, and two LSTMs over the snapshots."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dgl_dysign.baselines.snapshot_graph import normalised_edges, propagated
from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.errors import check_least
from dgl_dysign.models.snapshot_encoder import SnapshotEncoder, State


class MPNNLSTM(SnapshotEncoder):
    r"""MPNN-LSTM of Panagopoulos, Nikolentzos and Vazirgiannis (AAAI 2021), for classes of nodes as for links.

    .. math::
        H^1 &= \mathrm{drop}(\mathrm{BN}(\mathrm{relu}(\hat A_t X_t W^1))), \quad
        H^2 = \mathrm{drop}(\mathrm{BN}(\mathrm{relu}(\hat A_t H^1 W^2))) \\
        r_t^1 &= \mathrm{LSTM}^1([H^1 \| H^2], r_{t-1}^1), \quad r_t^2 = \mathrm{LSTM}^2(r_t^1, r_{t-1}^2) \\
        z &= \mathrm{relu}(W [r_t^1 \| r_t^2 \| X_t] + b)

    with :math:`\hat A_t` of snapshot t alone, without direction, with loops; of H a half is dropped in training.

    What differs: the paper weighs edges by the number of people who travel, here each counts once. Its skip takes the
    inputs of all snapshots of a window of seven, here those of the last one with all their columns, of which PyTorch
    Geometric Temporal keeps one. Batch normalisation is over the nodes of the snapshot, without running means. LSTMs
    are not begun anew in each window: gradients go back 7 snapshots (`window`). Arguments out of range raise
    ``ConfigError``.

    Parameters
    ----------
    num_nodes, in_feats, hidden_feats, out_feats : int, the last two by default 64
        Nodes N, and widths of the inputs, of convolutions and LSTMs, and of the vectors.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.baselines import MPNNLSTM
    >>> from dgl_dysign.data import distinct_edges
    >>> encoder, inputs = MPNNLSTM(3, 2, out_feats=4), torch.ones(3, 2)
    >>> state = encoder.step(encoder.initial(), distinct_edges(0, [0], [1], num_nodes=3), inputs)
    >>> encoder.embed(state, inputs).shape
    torch.Size([3, 4])
    """

    window = 7

    def __init__(self, num_nodes: int, in_feats: int, hidden_feats: int = 64, out_feats: int = 64) -> None:
        super().__init__()
        check_least(1, hidden_feats=hidden_feats, out_feats=out_feats)
        self.num_nodes, self.hidden_feats, self.out_feats = num_nodes, hidden_feats, out_feats
        self.convs = nn.ModuleList([nn.Linear(width, hidden_feats, bias=False) for width in (in_feats, hidden_feats)])
        self.after = nn.ModuleList(
            nn.Sequential(nn.ReLU(), nn.BatchNorm1d(hidden_feats, track_running_stats=False), nn.Dropout(0.5))
            for _ in self.convs
        )
        self.cells = nn.ModuleList([nn.LSTMCell(width, hidden_feats) for width in (2 * hidden_feats, hidden_feats)])
        self.out = nn.Sequential(nn.Linear(2 * hidden_feats + in_feats, out_feats), nn.ReLU())

    def initial(self) -> State:
        """Return what both LSTMs hold before the first snapshot: zeros."""
        zero = next(self.parameters()).new_zeros(self.num_nodes, self.hidden_feats)
        return [(zero, zero), (zero, zero)]

    def step(self, state: State, edges: SnapshotEdges, inputs: Tensor) -> State:
        """Return what both LSTMs hold after a snapshot."""
        graph, feat, layers = normalised_edges(edges, inputs.dtype), inputs, []
        for conv, after in zip(self.convs, self.after, strict=True):
            feat = after(propagated(graph, conv(feat)))
            layers.append(feat)
        first = self.cells[0](torch.cat(layers, 1), state[0])
        return [first, self.cells[1](first[0], state[1])]

    def embed(self, state: State, inputs: Tensor) -> Tensor:
        """Return the vectors, of both LSTMs and of the inputs."""
        return self.out(torch.cat([state[0][0], state[1][0], inputs], 1))
