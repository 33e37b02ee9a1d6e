"""Settings of a store, and the checks of what it is made with."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.store._rank import NODE_MASK, RankScale
from dgl_dysign.store.importance import Importance


class Plan(NamedTuple):
    """Settings of a store; its numbers of nodes and slots are those of the tensor itself."""

    importance: str | Importance
    scale: RankScale
    num_hops: int
    num_neighbors: int
    types: int
    sections: int
    direction: str
    directed: bool


def whole(value: Any, name: str) -> int:
    """Return a whole number; raise ``ConfigError`` for anything else."""
    try:
        return operator.index(value)
    except TypeError:
        raise ConfigError(f"{name}={value!r}: expected a whole number") from None


def check_sizes(
    num_nodes: int, num_neighbors: int, num_hops: int, num_edge_types: int | None, slots_per_type: bool
) -> None:
    """Raise ``ConfigError`` that names the first size out of range."""
    if not 0 <= whole(num_nodes, "num_nodes") <= NODE_MASK:
        raise ConfigError(f"num_nodes={num_nodes}: expected 0 to {NODE_MASK}")
    if whole(num_neighbors, "num_neighbors") < 1:
        raise ConfigError(f"num_neighbors={num_neighbors}: expected 1 or more slots a node, such as 16")
    if not 1 <= whole(num_hops, "num_hops") <= 3:
        raise ConfigError(f"num_hops={num_hops}: expected 1, 2 or 3")
    if num_edge_types is None:
        if slots_per_type:
            raise ConfigError("slots_per_type=True needs num_edge_types: say how many types of edges there are")
    elif whole(num_edge_types, "num_edge_types") < 1:
        raise ConfigError(f"num_edge_types={num_edge_types}: expected 1 or more, or None for edges without types")


def check_node_type(node_type: Tensor | None, num_nodes: int, device: torch.device) -> Tensor | None:
    """Return the types of nodes as int64; raise ``DataError`` unless each node has a number of 0 or more."""
    if node_type is None:
        return None
    kinds = torch.as_tensor(node_type)
    if kinds.shape != (num_nodes,) or kinds.is_floating_point() or (num_nodes and int(kinds.min()) < 0):
        raise DataError(
            f"found node_type of shape {tuple(kinds.shape)} and type {kinds.dtype}, expected one whole number of 0 or "
            f"more for each of the {num_nodes} nodes"
        )
    return kinds.to(device, torch.int64)
