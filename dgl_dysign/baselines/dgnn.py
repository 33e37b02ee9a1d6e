"""Decoupled dynamic graph networks: features are spread without weights, a sequence model reads what changed.

Three systems are in one file, which differ in the sequence model alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.errors import check_choice, check_heads, check_least
from dgl_dysign.models.snapshot_encoder import SnapshotEncoder, State
from dgl_dysign.ops.csr import hush_beta

_HEADS = 4


class DGNN(SnapshotEncoder):
    r"""DGNN-GRU, -LSTM and -TF, taken for the decoupled networks of Zheng, Wei and Liu (VLDB 2023).

    .. math::
        Z_t &= \sum_{l=0}^{L} \alpha (1 - \alpha)^l P_t^l X_t, \qquad P_t = D_t^{-1/2} A_t D_t^{-1/2} \\
        z_v &= \mathrm{seq}(\tanh(W \delta_{v,t-T+1} + b), \dots, \tanh(W \delta_{v,t} + b)), \qquad
        \delta_{v,t} = Z_{v,t} - Z_{v,t-1}, \; Z_{-1} = 0

    A counts all events up to t, without direction, and seq is a GRU, an LSTM or a transformer that begins anew in each
    window of T snapshots; the vector is its last output.

    Known from the public code of that paper: :math:`\alpha = 0.2`, random features of nodes, changes of Z as the
    sequence, tanh before it, dropout of 0.1, two layers of recurrence, a window of 20, width 128. **Guessed**: that the
    report on UnderGS, which names DGNN-GRU, -LSTM and -TF without a reference, means these.

    What differs: the sum ends after L terms, there it goes on until what is left is small; edges have no direction,
    there a source alone hears from its destinations, but in bipartite graphs; every snapshot is a place in the
    sequence, where there a node's has the last T snapshots that changed it. There the transformer reads both ends of a
    pair in one sequence, so that it cannot classify nodes, and is told no order; here it reads one node's, with learned
    positions. Nodes that nothing changed within the window have the zero vector. Arguments out of range raise
    ``ConfigError``.

    Parameters
    ----------
    num_nodes, in_feats : int
        Nodes N, and width of the inputs.
    sequence : {"gru", "lstm", "tf"}, default "gru"
        What reads the changes: a GRU, an LSTM or a transformer.
    out_feats, layers : int, default 128 and 2
        Of the sequence model; a transformer's width is a multiple of 4, its number of heads.
    length : int, default 20
        Snapshots T that it reads, all of which the gradient reaches.
    random_feats : int, default 128
        Width of random numbers in [0, 1) beside the inputs, drawn once for each node; 0: none.
    hops : int, default 10
        Number L of steps.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.baselines import DGNN
    >>> from dgl_dysign.data import distinct_edges
    >>> encoder, inputs = DGNN(3, 2, out_feats=4), torch.ones(3, 2)
    >>> state = encoder.step(encoder.initial(), distinct_edges(0, [0], [1], num_nodes=3), inputs)
    >>> encoder.embed(state, inputs).shape
    torch.Size([3, 4])
    """

    features: Tensor
    alpha = 0.2  # share that stays at a node
    window = 0

    def __init__(
        self, num_nodes: int, in_feats: int, sequence: str = "gru", out_feats: int = 128, layers: int = 2,
        length: int = 20, random_feats: int = 128, hops: int = 10,
    ) -> None:  # fmt: skip
        super().__init__()
        check_choice("sequence", sequence, _SEQUENCES)
        check_least(1, out_feats=out_feats, layers=layers, length=length, hops=hops)
        check_least(0, random_feats=random_feats)
        if sequence == "tf":
            check_heads(out_feats, _HEADS)
        self.num_nodes, self.out_feats, self.length, self.hops = num_nodes, out_feats, length, hops
        self.register_buffer("features", torch.rand(num_nodes, random_feats))
        self.width = in_feats + random_feats
        self.project = nn.Sequential(nn.Linear(self.width, out_feats), nn.Tanh())
        self.dropout = nn.Dropout(0.1)
        self.sequence = _SEQUENCES[sequence](out_feats, layers, length)

    def initial(self) -> State:
        """Return no edges, spread features of zero, and changes of zero."""
        nothing = self.features.new_zeros(self.length, self.num_nodes, self.width)
        places = torch.empty(2, 0, dtype=torch.int64, device=nothing.device)
        return self._matrix(places, nothing.new_empty(0)), nothing[0], nothing

    def step(self, state: State, edges: SnapshotEdges, inputs: Tensor) -> State:
        """Return all edges up to a snapshot, the features spread over them, and the latest changes of these."""
        adjacency, before, changes = state
        ways = torch.stack([torch.cat([edges.src, edges.dst]), torch.cat([edges.dst, edges.src])])
        count = edges.count.to(inputs.dtype).repeat(2)
        adjacency = (adjacency + self._matrix(ways, count)).coalesce()
        after = self._spread(adjacency, torch.cat([inputs, self.features], 1))
        return adjacency, after, torch.cat([changes[1:], (after - before)[None]])

    def _spread(self, adjacency: Tensor, feat: Tensor) -> Tensor:
        places, count = adjacency.indices(), adjacency.values()
        degree = count.new_zeros(self.num_nodes).index_add(0, places[0], count)
        root = degree.rsqrt()  # that of a node without an edge is not read
        hush_beta()
        share = self._matrix(places, count * root[places[0]] * root[places[1]]).to_sparse_csr()
        spread = self.alpha * feat
        for _ in range(self.hops):
            spread = self.alpha * feat + (1 - self.alpha) * (share @ spread)
        return spread

    def _matrix(self, places: Tensor, values: Tensor) -> Tensor:
        return torch.sparse_coo_tensor(places, values, (self.num_nodes, self.num_nodes), check_invariants=False)

    def embed(self, state: State, inputs: Tensor, nodes: Tensor | None = None) -> Tensor:
        """Return the vectors of nodes, by default all; those that nothing changed within the window have zeros."""
        changes = state[2]
        changed = changes.abs().amax((0, 2)) != 0
        nodes = torch.arange(self.num_nodes, device=changes.device) if nodes is None else nodes
        asked = changed[nodes].nonzero()[:, 0]
        # Dropout is drawn for all that changed, whoever is asked about.
        kept = self.dropout(changes.new_ones(self.length, int(changed.sum()), self.out_feats))
        vectors = changes.new_zeros(len(nodes), self.out_feats)
        if not len(asked):
            return vectors
        some = nodes[asked]
        feat = self.project(changes[:, some]) * kept[:, changed.cumsum(0)[some] - 1]
        return vectors.index_add(0, asked, self.sequence(feat)[0][-1])


class _Transformer(nn.Module):
    """A transformer that is called as a GRU: with a sequence ``(T, n, D)``, for its last output and no state."""

    def __init__(self, feats: int, layers: int, length: int) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(length, 1, feats) * feats**-0.5)
        layer = nn.TransformerEncoderLayer(feats, _HEADS, 4 * feats)
        self.network = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, feat: Tensor) -> tuple[Tensor, None]:
        feat, layers = feat + self.position, list[Any](self.network.layers)
        for layer in layers[:-1]:
            feat = layer(feat)
        # Of the last layer only the last place is read: its query alone asks, and is all that the network behind sees.
        layer = layers[-1]
        heard = layer.self_attn(feat[-1:], feat, feat, need_weights=False)[0]
        feat = layer.norm1(feat[-1:] + layer.dropout1(heard))
        hidden = layer.dropout(layer.activation(layer.linear1(feat)))
        return layer.norm2(feat + layer.dropout2(layer.linear2(hidden))), None


_SEQUENCES: dict[str, Callable[[int, int, int], nn.Module]] = {
    "gru": lambda feats, layers, _: nn.GRU(feats, feats, layers),
    "lstm": lambda feats, layers, _: nn.LSTM(feats, feats, layers),
    "tf": _Transformer,
}
