"""DySAT: attention over neighbours in each snapshot, and over the snapshots of a node."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgl_dysign._dgl import dgl
from dgl_dysign.data.snapshot_edges import SnapshotEdges, distinct_edges
from dgl_dysign.errors import check_choice, check_heads, check_least
from dgl_dysign.models.snapshot_encoder import SnapshotEncoder, State


class DySAT(SnapshotEncoder):
    r"""DySAT of Sankar et al. (WSDM 2020), with attention over time as published, or joined by an RNN as TGL runs it.

    .. math::
        h_i^t &= \Vert_m \, \mathrm{elu}\Big(c + \sum_{j \in \mathcal N_i^t \cup i}
        \mathrm{softmax}_j(\mathrm{leaky}(a \cdot W x_i^t + b \cdot W x_j^t))\, W x_j^t\Big), \quad
        u_i^k = h_i^{t-k} + p_k \\
        z_i &= \mathrm{MultiHead}(u_i^0; u_i^0, \dots, u_i^{L-1}), \quad
        e_i = \mathrm{relu}(F z_i + f) + z_i + u_i^0

    with the edges of each snapshot alone, without direction and once each, over the last L snapshots, and a dropout of
    0.1 of inputs and attention within a snapshot. Of the RNN
    :math:`e_i = \mathrm{RNN}(h_i^{t-L+1}, \dots, h_i^t)`, and each of its L inputs has attention weights of its own, as
    in TGL (Zhou et al., VLDB 2022). Gradients reach all of the history: ``window`` is of no use here.

    What differs from paper and public code: vectors are learned by the losses of this package's tables, not by random
    walks; an edge does not weigh more where it repeats; PyTorch's attention over time has a linear map of all heads
    behind it. What differs from TGL: attention within a snapshot is the paper's sum, not its dot product with a
    residual; all neighbours count, not ten that are drawn.

    Attention within a snapshot is DGL's ``GATConv``: on a GPU it needs a DGL with CUDA. Sizes below 1, heads that do
    not divide the width, and another join raise ``ConfigError``.

    Parameters
    ----------
    num_nodes, in_feats, out_feats, num_heads : int, the last two by default 128 and 16
        Nodes N, widths of the inputs and within a snapshot and over time, and the heads that share the latter.
    num_layers, history : int, default 1 and 8
        Layers of attention within a snapshot, and snapshots L that are looked back on; TGL has 2 and 3.
    join : {"attention", "rnn"}, default "attention"
        Over time.
    identities : bool, default False
        Learn a vector of each node beside its inputs, ``(N, out_feats)``: what the paper's one-hot inputs amount to.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.baselines import DySAT
    >>> from dgl_dysign.data import distinct_edges
    >>> encoder, inputs = DySAT(3, 2, out_feats=4, num_heads=2), torch.ones(3, 2)
    >>> state = encoder.step(encoder.initial(), distinct_edges(0, [0], [1], num_nodes=3), inputs)
    >>> encoder.embed(state, inputs).shape
    torch.Size([3, 4])
    """

    window = 0

    def __init__(
        self, num_nodes: int, in_feats: int, out_feats: int = 128, num_heads: int = 16, num_layers: int = 1,
        history: int = 8, join: str = "attention", identities: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        check_least(1, in_feats=in_feats, num_layers=num_layers, history=history)
        check_heads(out_feats, num_heads)
        check_choice("join", join, ("attention", "rnn"))
        self.num_nodes, self.out_feats, self.history = num_nodes, out_feats, history
        self.identity = nn.Embedding(num_nodes, out_feats) if identities else None
        widths = [in_feats + identities * out_feats, *[out_feats] * (num_layers - 1)]
        shared = {"feat_drop": 0.1, "attn_drop": 0.1, "activation": functional.elu}
        self.structural = nn.ModuleList(
            nn.ModuleList(dgl.nn.GATConv(width, out_feats // num_heads, num_heads, **shared) for width in widths)
            for _ in range(history if join == "rnn" else 1)
        )
        self.rnn = nn.RNN(out_feats, out_feats, batch_first=True) if join == "rnn" else None
        if join == "attention":
            self.position = nn.Parameter(0.1 * torch.randn(history, out_feats))
            self.temporal = nn.MultiheadAttention(out_feats, num_heads, batch_first=True)
            self.forth = nn.Linear(out_feats, out_feats)

    def initial(self) -> State:
        """Return an empty history."""
        return ()

    def step(self, state: State, edges: SnapshotEdges, inputs: Tensor) -> State:
        """Return the history with graph and inputs of one more snapshot, the newest last."""
        graph = dgl.to_bidirected(dgl.graph((edges.src, edges.dst), num_nodes=edges.num_nodes))
        graph = dgl.add_self_loop(dgl.remove_self_loop(graph))
        return (*state, (graph, inputs))[-self.history :]

    def embed(self, state: State, inputs: Tensor, nodes: Tensor | None = None) -> Tensor:
        """Return the vectors of nodes, by default all; before the first snapshot there are no edges."""
        past = state or self.step((), distinct_edges(0, [], [], num_nodes=self.num_nodes).to(inputs.device), inputs)
        parts = [self._within(graph, table, len(past) - 1 - k) for k, (graph, table) in enumerate(past)]
        h = torch.stack(parts if nodes is None else [part.index_select(0, nodes) for part in parts], 1)
        if self.rnn is not None:
            return self.rnn(h)[0][:, -1]
        u = h + self.position[: len(past)].flip(0)
        z = self.temporal(u[:, -1:], u, u, need_weights=False)[0][:, 0]
        return functional.relu(self.forth(z)) + z + u[:, -1]

    def _within(self, graph: Any, inputs: Tensor, age: int) -> Tensor:
        """Return attention within the graph of a snapshot, which ended so many snapshots ago."""
        feat = inputs if self.identity is None else torch.cat([inputs, self.identity.weight], 1)
        layers: Any = self.structural[age % len(self.structural)]
        for layer in layers:
            feat = layer(graph, feat).flatten(1)
        return feat
