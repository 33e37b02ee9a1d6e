"""JODIE: recurrent networks that update both ends of an interaction, projected to the time of a question."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.errors import check_least
from dgl_dysign.models.snapshot_encoder import SnapshotEncoder, State


class JODIE(SnapshotEncoder):
    r"""JODIE of Kumar, Zhang and Leskovec (KDD 2019).

    .. math::
        u_t &= \tanh(W_1 u_{t-} + W_2 i_{t-} + W_3 f + W_4 \Delta_u + b), \qquad
        i_t = \tanh(V_1 i_{t-} + V_2 u_{t-} + V_3 f + V_4 \Delta_i + c) \\
        \hat u &= (1 + \Delta w) \circ u_t, \qquad z_u = O [\hat u \| x_u \| s_u] + o

    for a source u and a destination i. Delta is the time since a node's edges before, or up to the question; s is a
    vector learned for each node: what a linear map makes of the paper's one-hot numbers of nodes. Before its first edge
    a node remembers a vector that is learned, one for all.

    What differs: all edges of a snapshot happen together, so that a node meets the mean of its partners and of f, and
    is updated once; the paper orders them in batches in which each node is there once. f are the inputs x of the
    partner, and the logarithm of the number of an edge's events. A graph whose nodes are both sources and destinations
    has one network in place of two (``two_sided=False``), which does not see the direction. Times are numbers of
    snapshots, under log(1 + Delta); the paper standardises them by the whole data. Vectors are not scaled to length
    one. The loss is that of the table, not the distance to a predicted vector of the next item. Arguments out of range
    raise ``ConfigError``.

    Parameters
    ----------
    num_nodes, in_feats, hidden_feats, out_feats : int, the last two by default 128 and 64
        Nodes N, and widths of the inputs, of what a node remembers, and of the vectors.
    id_feats : int, default 0
        Width of s; 0: none. They begin at zero.
    two_sided : bool, default False
        Whether sources and destinations are different nodes, each kind with a network of its own. A node that is both
        in a snapshot takes the mean of what the two say.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.baselines import JODIE
    >>> from dgl_dysign.data import distinct_edges
    >>> encoder, inputs = JODIE(3, 2, out_feats=4), torch.ones(3, 2)
    >>> state = encoder.step(encoder.initial(), distinct_edges(0, [0], [1], num_nodes=3), inputs)
    >>> encoder.embed(state, inputs).shape
    torch.Size([3, 4])
    """

    def __init__(
        self, num_nodes: int, in_feats: int, hidden_feats: int = 128, out_feats: int = 64, id_feats: int = 0,
        two_sided: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        check_least(1, hidden_feats=hidden_feats, out_feats=out_feats)
        check_least(0, id_feats=id_feats)
        self.num_nodes, self.out_feats, self.two_sided = num_nodes, out_feats, two_sided
        self.first = nn.Parameter(nn.functional.normalize(torch.randn(hidden_feats), dim=0))
        self.cells = nn.ModuleList(nn.RNNCell(hidden_feats + in_feats + 2, hidden_feats) for _ in range(1 + two_sided))
        self.drift = nn.Parameter(torch.randn(hidden_feats) * hidden_feats**-0.5)
        self.ids = nn.Parameter(torch.zeros(num_nodes, id_feats)) if id_feats else None
        self.out = nn.Linear(hidden_feats + in_feats + id_feats, out_feats)

    def initial(self) -> State:
        """Return what nodes remember, when they last had an edge (never: -1), and which snapshot was the last."""
        return self.drift.new_zeros(self.num_nodes, len(self.drift)), self.drift.new_full((self.num_nodes,), -1.0), -1

    def step(self, state: State, edges: SnapshotEdges, inputs: Tensor) -> State:
        """Return the state after a snapshot: nodes with an edge are updated from what was before it."""
        memory, last = self._memory(state), state[1]
        src, dst, count = edges.src, edges.dst, edges.count.to(inputs.dtype).log()
        ways = [(src, dst, count), (dst, src, count)]
        if not self.two_sided:  # a node that meets itself does so once
            other = src != dst
            ways = [(torch.cat([src, dst[other]]), torch.cat([dst, src[other]]), torch.cat([count, count[other]]))]
        total, times = torch.zeros_like(memory), memory.new_zeros(self.num_nodes, 1)
        for cell, (own, partner, events) in zip(self.cells, ways, strict=True):
            nodes, place, number = own.unique(return_inverse=True, return_counts=True)
            met = torch.cat([memory[partner], inputs[partner], events[:, None]], 1)
            mean = met.new_zeros(len(nodes), met.shape[1]).index_add(0, place, met) / number[:, None]
            age = self._age(last[nodes], edges.snapshot)
            total = total.index_add(0, nodes, cell(torch.cat([mean, age], 1), memory[nodes]))
            times = times.index_add(0, nodes, torch.ones_like(age))
        now = torch.where(times[:, 0] > 0, float(edges.snapshot), last)
        return torch.where(times > 0, total / times.clamp(min=1), memory), now, edges.snapshot

    def embed(self, state: State, inputs: Tensor) -> Tensor:
        """Return the vectors of all nodes, projected to the snapshot after the last one."""
        _, last, snapshot = state
        projected = (1 + self._age(last, snapshot + 1) * self.drift) * self._memory(state)
        return self.out(torch.cat([projected, inputs] + ([] if self.ids is None else [self.ids]), 1))

    def _memory(self, state: State) -> Tensor:
        """Return what nodes remember; those without an edge so far what is learned for all of them."""
        return torch.where(state[1][:, None] < 0, self.first, state[0])

    @staticmethod
    def _age(last: Tensor, snapshot: int) -> Tensor:
        """Return log(1 + snapshots since) ``(n, 1)``; nodes without an edge so far are as old as if they were new."""
        return torch.where(last < 0, 0.0, snapshot - last).log1p()[:, None]
