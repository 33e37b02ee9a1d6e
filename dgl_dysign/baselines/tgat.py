"""TGAT: attention over past neighbours, which sees how long ago each was met."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgl_dysign.baselines.snapshot_graph import EDGE_FEATS, edge_features
from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.errors import check_heads, check_least
from dgl_dysign.models.snapshot_encoder import SnapshotEncoder, State
from dgl_dysign.nn import TimeEncoding
from dgl_dysign.store import NeighborStore


class TGAT(SnapshotEncoder):
    r"""TGAT of Xu et al. (ICLR 2020): attention over the latest neighbours, fed from `dgl_dysign.store.NeighborStore`.

    .. math::
        q_i &= W_q [h_i \Vert \Phi(0)], \quad k_j = W_k [h_j \Vert e_{ij} \Vert \Phi(t - t_j)], \quad
        v_j = W_v [h_j \Vert e_{ij} \Vert \Phi(t - t_j)] \\
        h_i &\leftarrow F_2 \, \mathrm{relu}(F_1 [\mathrm{attention}(q_i, k, v) \Vert x_i]),
        \quad \Phi(a) = \cos(\omega a + \varphi)

    over the neighbours j that i met last, in either direction, strictly before t: the store holds the snapshots before
    the one that is scored, and no event of it. Ages are counted in snapshots, as the events of a snapshot happen
    together here; e holds the logarithms of an edge's number of events and of its weight, which keeps its sign (0
    without weights). A node without a past attends to nothing, which is 0. What attention returns has a dropout of 0.1.

    What differs from paper and public code: the second layer takes its neighbours as of now, not as of the time of the
    edge (so does TGL where it propagates the time), since the store keeps the latest neighbours alone; these are the
    latest, not drawn; the heads' outputs go into the feed-forward network at once, without the public code's linear
    map, residual and normalisation. Features of events go to the head of the table of event labels, not into e. Sizes
    below 1, and heads that do not divide the width, raise ``ConfigError``.

    Parameters
    ----------
    num_nodes, in_feats, out_feats, num_heads : int, the last two by default 64 and 2
        Nodes N, widths of the inputs x and of each layer (in the paper the former), and heads that share the latter.
    num_layers, num_neighbors : int, default 2 and 20
        Layers, and latest neighbours of a node; where a snapshot has too many, those of the smaller numbers.
    time_feats, scale : int, default 16; float, default 100
        Cosines, and largest age that matters, in snapshots: see `dgl_dysign.nn.TimeEncoding`.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.baselines import TGAT
    >>> from dgl_dysign.data import distinct_edges
    >>> encoder, inputs = TGAT(3, 2, out_feats=4), torch.ones(3, 2)
    >>> state = encoder.step(encoder.initial(), distinct_edges(0, [0], [1], num_nodes=3), inputs)
    >>> encoder.embed(state, inputs).shape
    torch.Size([3, 4])
    """

    window = 0

    def __init__(
        self, num_nodes: int, in_feats: int, out_feats: int = 64, num_heads: int = 2, num_layers: int = 2,
        num_neighbors: int = 20, time_feats: int = 16, scale: float = 100.0,
    ) -> None:  # fmt: skip
        super().__init__()
        check_least(1, in_feats=in_feats, num_layers=num_layers, num_neighbors=num_neighbors)
        check_heads(out_feats, num_heads)
        self.num_nodes, self.out_feats, self.num_neighbors = num_nodes, out_feats, num_neighbors
        self.time = TimeEncoding(time_feats, scale)
        widths = [in_feats, *[out_feats] * (num_layers - 1)]
        self.layers = nn.ModuleList(_Layer(width, in_feats, out_feats, num_heads, time_feats) for width in widths)

    def initial(self) -> State:
        """Return an empty store, and one row of features, of no edge."""
        feat = self.time.frequency.new_zeros(1, EDGE_FEATS)
        k = self.num_neighbors
        return NeighborStore(self.num_nodes, k, num_hops=1, importance="uniform", device=feat.device), feat

    def step(self, state: State, edges: SnapshotEdges, inputs: Tensor) -> State:
        """Return a store that has the snapshot too, and the features of all its edges."""
        store, feat = copy.deepcopy(state[0]), state[1]
        order = (edges.src * self.num_nodes + edges.dst).argsort()  # ids break ties: they must not depend on the file
        ids = len(feat) + torch.arange(len(edges), device=order.device)
        store.insert(edges.snapshot, edges.src[order], edges.dst[order], edge_id=ids)
        return store, torch.cat([feat, edge_features(edges, torch.float64)[order].to(feat)])

    def embed(self, state: State, inputs: Tensor, nodes: Tensor | None = None) -> Tensor:
        """Return the vectors of nodes, by default all, at the snapshot after the last one that the store holds."""
        store, edge_feat = state
        everyone = torch.arange(self.num_nodes, device=inputs.device)
        near = store.neighbors(everyone, store.snapshot + 1)
        asked = [everyone if nodes is None else nodes]  # of each layer, from the last to the first
        for _ in self.layers[1:]:
            met = near.node[asked[-1]]
            asked.append(asked[-1] if nodes is None else torch.cat([asked[-1], met[met >= 0]]).unique())
        age, edge_id = near.age[asked[-1]], near.edge_id[asked[-1]].clamp(min=0)
        over = torch.cat([edge_feat[edge_id], self.time(age)], -1)
        now = self.time(age.new_zeros(1))
        feat, place = inputs, everyone  # vectors of the layer before, and where those of each node are
        for layer, own in zip(list[Any](self.layers), reversed(asked), strict=True):
            if own is not asked[-1]:
                over = over.index_select(0, place[own])
            met = near.node[own]
            heard = layer(feat, place[own], now, place[met.clamp(min=0)], met >= 0, over)
            kept = layer.dropout(feat.new_ones(self.num_nodes, self.out_feats))[own]  # drawn for all, whoever is asked
            feat = layer.merge(torch.cat([heard * kept, inputs[own]], 1))
            place = place.new_zeros(self.num_nodes).index_copy(0, own, torch.arange(len(own), device=own.device))
        return feat


class _Layer(nn.Module):
    """Attention of nodes over lists of neighbours, and the network behind it."""

    def __init__(self, in_feats: int, raw_feats: int, out_feats: int, num_heads: int, time_feats: int) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, nn.Dropout(0.1)
        self.query = nn.Linear(in_feats + time_feats, out_feats)
        # Keys and values: the linear map of [h_j, e, time] as a sum, so that of h_j is computed once a node.
        self.node = nn.Linear(in_feats, 2 * out_feats, bias=False)
        self.edge = nn.Linear(EDGE_FEATS + time_feats, 2 * out_feats, bias=False)
        hidden = nn.Linear(out_feats + raw_feats, out_feats)
        self.merge = nn.Sequential(hidden, nn.ReLU(), nn.Linear(out_feats, out_feats))

    def forward(self, feat: Tensor, own: Tensor, now: Tensor, near: Tensor, there: Tensor, over: Tensor) -> Tensor:
        """Return what nodes at places ``(n,)`` of feat hear from those at places ``(n, K)``, as far as these exist."""
        sent = functional.embedding(near, self.node(feat)) + self.edge(over)
        key, value = (part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in sent.chunk(2, -1))
        asking = torch.cat([feat[own], now.expand(len(own), -1)], 1)
        query = self.query(asking).unflatten(-1, (self.num_heads, 1, -1))
        alone = ~there.any(1)
        mask = (there | alone[:, None])[:, None, None]  # without any key the softmax would be 0 / 0
        heard = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask).flatten(1)
        return heard.masked_fill(alone[:, None], 0.0)
