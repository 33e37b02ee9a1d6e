"""ROLAND: a graph network each of whose layers remembers its nodes from snapshot to snapshot."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dgl_dysign.baselines.snapshot_graph import EDGE_FEATS, WeightedEdges, edge_features
from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.errors import check_least
from dgl_dysign.models.snapshot_encoder import SnapshotEncoder, State


class ROLAND(SnapshotEncoder):
    r"""ROLAND of You, Du and Leskovec (KDD 2022), with the update of node states by a GRU.

    .. math::
        M_{uv}^l &= W^l [h_v \| h_u \| e_{uv}], \qquad
        \tilde h_v^l = \mathrm{prelu}\Big(\mathrm{BN}\Big(\sum_{u \to v} M_{uv}^l + S^l h_v + b^l\Big)\Big) \\
        h_{v,t}^l &= \mathrm{GRU}^l(\tilde h_v^l, \; h_{v,t-1}^l)

    where h on the right is the layer below at t, and below the first layer :math:`\mathrm{prelu}(W x_v)` of the inputs.
    The edges are those of snapshot t alone, as they are directed; without direction they go both ways. e are two
    numbers, the logarithm of the number of an edge's events, and :math:`\mathrm{sign}(w) \log(1 + |w|)` of their mean
    weight. The vectors are the states of the last layer.

    What differs from the public code: times within a snapshot, which it scales by the range of the whole data, are no
    feature of edges; batch normalisation is over the nodes of the snapshot, without running means; layers before the
    messages are one, not two, and those after them are the head; there are two layers of messages as in the paper, of
    which configurations have up to four; vectors are not scaled to length one. There each state is cut off from the one
    before; here a loss goes back through the last `window` snapshots. Its figures are of the best edge of a source
    among 1,000: see the protocol of that name. Arguments out of range raise ``ConfigError``.

    Parameters
    ----------
    num_nodes, in_feats, out_feats, layers : int, the last two by default 128 and 2
        Nodes N, widths of the inputs and of all layers, and number of layers of messages.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.baselines import ROLAND
    >>> from dgl_dysign.data import distinct_edges
    >>> encoder, inputs = ROLAND(3, 2, out_feats=4), torch.ones(3, 2)
    >>> state = encoder.step(encoder.initial(), distinct_edges(0, [0], [1], num_nodes=3), inputs)
    >>> encoder.embed(state, inputs).shape
    torch.Size([3, 4])
    """

    def __init__(self, num_nodes: int, in_feats: int, out_feats: int = 128, layers: int = 2) -> None:
        super().__init__()
        check_least(1, out_feats=out_feats, layers=layers)
        self.num_nodes, self.out_feats = num_nodes, out_feats
        self.before = nn.Sequential(nn.Linear(in_feats, out_feats), nn.PReLU())
        self.layers = nn.ModuleList([_Layer(out_feats) for _ in range(layers)])

    def initial(self) -> State:
        """Return states of zero, one a layer."""
        zero = next(self.parameters()).new_zeros(self.num_nodes, self.out_feats)
        return [zero for _ in self.layers]

    def step(self, state: State, edges: SnapshotEdges, inputs: Tensor) -> State:
        """Return the states after a snapshot, each layer's from that of the layer below and its own before."""
        graph, feat, states = _messages_of(edges, inputs.dtype), self.before(inputs), []
        for layer, before in zip(self.layers, state, strict=True):
            feat = layer(graph, feat, before)
            states.append(feat)
        return states

    def embed(self, state: State, inputs: Tensor) -> Tensor:
        """Return the state of the last layer."""
        return state[-1]


class _Layer(nn.Module):
    """Messages along edges, a skip, and the update of the nodes' states."""

    def __init__(self, feats: int) -> None:
        super().__init__()
        self.message, self.skip = nn.Linear(2 * feats + EDGE_FEATS, feats, bias=False), nn.Linear(feats, feats)
        self.after = nn.Sequential(nn.BatchNorm1d(feats, track_running_stats=False), nn.PReLU())
        self.update = nn.GRUCell(feats, feats)

    def forward(self, graph: WeightedEdges, feat: Tensor, state: Tensor) -> Tensor:
        src, dst, edge_feat = graph
        message = self.message(torch.cat([feat[dst], feat[src], edge_feat], 1))
        return self.update(self.after(self.skip(feat).index_add(0, dst, message)), state)


def _messages_of(edges: SnapshotEdges, dtype: torch.dtype) -> WeightedEdges:
    """Return sources, destinations and features of the messages of a snapshot."""
    feat = edge_features(edges, dtype)
    if edges.directed:
        return edges.src, edges.dst, feat
    loop = edges.src == edges.dst
    ends = torch.cat([edges.src, edges.dst[~loop]]), torch.cat([edges.dst, edges.src[~loop]])
    return *ends, torch.cat([feat, feat[~loop]])
