"""Modules of PyG, of TGM and of others that follow them as encoders of snapshots: code of others in our tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.models.snapshot_encoder import SnapshotEncoder, State

Call = Callable[[nn.Module, Tensor, Tensor, Any], tuple[Tensor, Any]]


def module_encoder(
    name: str, make: Callable[[int, int, int], nn.Module], call: Call | None = None, window: int = 1
) -> type[SnapshotEncoder]:
    """Return a class of encoders that run a module of somebody else on each snapshot.

    Parameters
    ----------
    name : str
        Of its row in a table.
    make : callable
        ``make(num_nodes, in_feats, out_feats)`` returns the module.
    call : callable, optional
        ``call(module, inputs, edge_index, state)`` returns vectors ``(N, out_feats)`` and the next state, of tensors in
        tuples, lists and dicts; ``inputs`` are ``(N, in_feats)``, ``edge_index`` int64 ``(2, edges)`` of the snapshot
        alone, as PyG has it (both directions where the data has none), and ``state`` is None before the first.
        Default: ``module(inputs, edge_index)`` without a state, as of PyG's models.
    window : int, default 1
        Snapshots that the gradient goes back.

    Returns
    -------
    type of SnapshotEncoder
        With the argument ``out_feats``, default 32; for `dgl_dysign.experiments.check_entry` and ``--rows``.

    Examples
    --------
    >>> class Mean(nn.Module):
    ...     def __init__(self, in_feats, out_feats):
    ...         super().__init__()
    ...         self.linear = nn.Linear(in_feats, out_feats)
    ...
    ...     def forward(self, x, edge_index):
    ...         return self.linear(x).index_add(0, edge_index[1], self.linear(x)[edge_index[0]])
    >>> MeanEncoder = module_encoder("mean", lambda num_nodes, in_feats, out_feats: Mean(in_feats, out_feats))
    >>> MeanEncoder(num_nodes=5, in_feats=3).out_feats
    32

    TGM's recurrent modules keep their state outside, too:

    >>> def call(module, x, edge_index, state):
    ...     hidden, cell = module(x, edge_index, None, *(state or (None, None)))
    ...     return hidden, (hidden, cell)
    >>> from tgm.nn import GCLSTM  # doctest: +SKIP
    >>> Row = module_encoder("gclstm", lambda num_nodes, i, o: GCLSTM(i, o, K=2), call)  # doctest: +SKIP
    """

    class ModuleEncoder(SnapshotEncoder):
        def __init__(self, num_nodes: int, in_feats: int, out_feats: int = 32) -> None:
            super().__init__()
            self.num_nodes, self.out_feats, self.window = num_nodes, out_feats, window
            self.module = make(num_nodes, in_feats, out_feats)

        def initial(self) -> State:
            device = next(self.module.parameters()).device
            return torch.zeros(self.num_nodes, self.out_feats, device=device), None

        def step(self, state: State, edges: SnapshotEdges, inputs: Tensor) -> State:
            edge_index = torch.stack([edges.src, edges.dst])
            if not edges.directed:
                edge_index = torch.cat([edge_index, edge_index[:, edges.src != edges.dst].flip(0)], 1)
            if call is None:
                return self.module(inputs, edge_index), None
            return call(self.module, inputs, edge_index, state[1])

        def embed(self, state: State, inputs: Tensor) -> Tensor:
            vectors: Tensor = state[0]
            return vectors

    ModuleEncoder.__name__ = ModuleEncoder.__qualname__ = name
    ModuleEncoder.__module__ = getattr(make, "__module__", __name__)
    return ModuleEncoder
