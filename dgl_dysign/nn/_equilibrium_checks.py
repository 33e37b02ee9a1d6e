"""The checks of `EquilibriumSpikingConv`'s arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dgl_dysign.errors import ConfigError
from dgl_dysign.nn.equilibrium_state import EquilibriumState
from dgl_dysign.ops._checks import DGLGraphError, check_one_edge_type, check_rows

if TYPE_CHECKING:
    from dgl_dysign.nn.equilibrium_spiking_conv import EquilibriumSpikingConv


def check_counts(least: int = 1, **counts: int) -> None:
    """Raise ``ConfigError`` for a count below the least.

    Raises
    ------
    ConfigError
        Naming it and its value.
    """
    for name, count in counts.items():
        if count < least:
            raise ConfigError(f"{name} must be at least {least}, but got {count}")


def check_call(
    conv: EquilibriumSpikingConv,
    graph: Any,
    feat: Tensor | None,
    injected: Tensor | None,
    state: EquilibriumState | None,
    active: Tensor | None,
) -> Tensor:
    """Raise unless all arguments of a call fit each other; return the features.

    Raises
    ------
    GraphError
        For a block or another bipartite graph, several types of edges, and shapes that do not fit the graph.
    ConfigError
        If there are no features.
    """
    check_one_edge_type(graph)
    if graph.is_block or not graph.is_homogeneous:
        raise DGLGraphError(
            "an equilibrium needs the rates of every node, but this graph is a block or bipartite: its source "
            "nodes are not its destination nodes. Use the subgraph that the nodes induce (dgl.node_subgraph), or "
            "cache the equilibrium of the whole graph (dgl_dysign.training.EquilibriumCache) and call respond() on "
            "rows of it"
        )
    given = feat if injected is None else injected
    if given is None:
        raise ConfigError("one of feat and injected must be given, but both are None")
    check_rows(graph, given)
    if given.dim() != 2 or given.shape[1] != conv.in_feats:
        raise DGLGraphError(f"feat must have shape (N, {conv.in_feats}), but has {tuple(given.shape)}")
    size = (graph.num_nodes(), conv.out_feats)
    _check_state(state, conv.num_layers, size)
    if active is not None and (active.dtype != torch.bool or active.shape != size[:1]):
        raise DGLGraphError(
            f"active must be a bool mask of shape {size[:1]}, but is {active.dtype} of {tuple(active.shape)}"
        )
    return given


def _check_state(state: EquilibriumState | None, num_layers: int, size: tuple[int, int]) -> None:
    if state is None:
        return
    if not isinstance(state, EquilibriumState):  # SAGEConv and GATConv have edge weights in this place
        raise ConfigError(
            f"state must be an EquilibriumState, as the last call returned it, but got {type(state).__name__}; "
            f"edge weights are passed by name, edge_weight=..."
        )
    found = [tuple(x.shape) for x in (*state.membrane, state.rate)]
    if found != [size] * (num_layers + 1):
        raise DGLGraphError(
            f"state must have {num_layers} membranes and a rate of shape {size}, but has {found}; "
            f"gather the rows of a subgraph with state.rows(nodes)"
        )
