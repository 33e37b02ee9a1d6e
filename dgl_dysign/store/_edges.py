"""What goes into the store, checked: its settings, and the edges of a snapshot, one for each distinct pair."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.store._rank import NODE_MASK, RankScale
from dgl_dysign.store.importance import Importance

_NODES = "map ids to 0 .. N-1, or call grow(num_nodes) where the graph has grown"


class Edges(NamedTuple):
    """Columns of one snapshot's edges, each ``(E,)``: int64, `weight` float64; None where there is no such column."""

    src: Tensor
    dst: Tensor
    edge_id: Tensor | None
    weight: Tensor | None
    edge_type: Tensor | None


def to_ids(values: Any, name: str, device: torch.device) -> Tensor:
    """Return whole numbers as an int64 vector; raise ``DataError`` for others, and for other shapes."""
    if not isinstance(values, Tensor):
        values = torch.from_numpy(np.asarray(values))
    if not values.numel():  # nothing, of whatever type
        return torch.empty(0, dtype=torch.int64, device=device)
    if values.dtype == torch.bool:  # as numbers, a mask would name the nodes 0 and 1
        raise DataError(f"found {name} as a mask, expected whole numbers: those of a mask are {name}.nonzero()[:, 0]")
    if values.is_floating_point() or values.is_complex():
        raise DataError(
            f"found {name} of type {values.dtype}, expected whole numbers: convert it with {name}.long(), or give by "
            "name what else it is, such as weight=..."
        )
    if values.dim() != 1:
        raise DataError(f"found {name} of shape {tuple(values.shape)}, expected a vector")
    return values.to(device, torch.int64).contiguous()


def to_edges(src: Any, dst: Any, edge_id: Any, weight: Any, edge_type: Any, device: torch.device) -> Edges:
    """Return the columns as tensors of equal length; raise ``DataError`` for a wrong type, shape or length."""
    columns = Edges(
        to_ids(src, "src", device),
        to_ids(dst, "dst", device),
        None if edge_id is None else to_ids(edge_id, "edge_id", device),
        None if weight is None else torch.as_tensor(weight).detach().to(device, torch.float64).contiguous(),
        None if edge_type is None else to_ids(edge_type, "edge_type", device),
    )
    shapes = {name: tuple(column.shape) for name, column in columns._asdict().items() if column is not None}
    if len(set(shapes.values())) > 1:
        raise DataError(f"found columns of shapes {shapes}, expected one value for each edge in all of them")
    return columns


def check_nodes(nodes: Tensor, name: str, num_nodes: int) -> None:
    """Raise ``DataError`` that names the first id that is no node."""
    _check(nodes, (nodes < 0) | (nodes >= num_nodes), name, f"a node from 0 to {num_nodes - 1}", _NODES)


def check_edges(edges: Edges, num_nodes: int, num_edge_types: int) -> None:
    """Raise ``DataError`` that names the first value out of range, and its row."""
    check_nodes(edges.src, "src", num_nodes)
    check_nodes(edges.dst, "dst", num_nodes)
    if edges.edge_id is not None:
        _check(edges.edge_id, edges.edge_id < 0, "edge_id", "0 or more", "number the events from 0")
    if edges.weight is not None:
        wrong = ~((edges.weight > 0) & edges.weight.isfinite())
        _check(edges.weight, wrong, "weight", "a finite number above 0", "leave such edges out, or shift the weights")
    if edges.edge_type is not None:
        types = num_edge_types or 0
        wrong = (edges.edge_type < 0) | (edges.edge_type >= types)
        _check(
            edges.edge_type, wrong, "edge_type", f"a type from 0 to {types - 1}", "give the store more num_edge_types"
        )


def _check(values: Tensor, wrong: Tensor, name: str, expected: str, remedy: str) -> None:
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        raise DataError(f"found {name} {values[row].item()} in row {row}, expected {expected}: {remedy}")


def lexsort(*columns: Tensor) -> Tensor:
    """Return the order of rows that ascends by the last column, among equals by the one before, and so on."""
    order = torch.argsort(columns[0], stable=True)
    for column in columns[1:]:
        order = order[torch.argsort(column[order], stable=True)]
    return order


def starts(*columns: Tensor) -> Tensor:
    """Return where a row differs from the row above in any column (bool); the first row always does."""
    new = torch.zeros_like(columns[0], dtype=torch.bool)
    for column in columns:
        new[1:] |= column[1:] != column[:-1]
    new[:1] = True
    return new


def distinct(edges: Edges, directed: bool, next_edge_id: int) -> Edges:
    """Keep one edge for each distinct pair (and type), ascending; its last event speaks for it.

    The last event is that of the largest edge id and, among equals, of the largest weight. Without ids the pairs are
    numbered from `next_edge_id` in ascending order, which does not depend on the order of the events.
    """
    src, dst = edges.src, edges.dst
    if not directed:
        src, dst = torch.minimum(src, dst), torch.maximum(src, dst)
    pair = [column for column in (edges.edge_type, dst, src) if column is not None]
    order = lexsort(*[column for column in (edges.weight, edges.edge_id) if column is not None], *pair)
    new = starts(*[column[order] for column in pair])
    last = order[torch.cat([new[1:], new.new_ones(min(1, len(new)))])]
    src, dst = src[last], dst[last]
    number = next_edge_id + torch.arange(len(src), device=src.device)
    edge_id = number if edges.edge_id is None else edges.edge_id[last]
    weight, kind = (None if column is None else column[last] for column in (edges.weight, edges.edge_type))
    return Edges(src, dst, edge_id, weight, kind)


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


def check_num_nodes(num_nodes: int) -> None:
    """Raise ``ConfigError`` unless a store can have so many nodes."""
    if not 0 <= whole(num_nodes, "num_nodes") <= NODE_MASK:
        raise ConfigError(f"num_nodes={num_nodes}: expected 0 to {NODE_MASK}, the store's most")


def check_sizes(
    num_nodes: int, num_neighbors: int, num_hops: int, num_edge_types: int | None, slots_per_type: bool
) -> None:
    """Raise ``ConfigError`` that names the first size out of range."""
    check_num_nodes(num_nodes)
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
    counted = num_nodes and kinds.device.type != "meta"  # where there are shapes alone
    if kinds.shape != (num_nodes,) or kinds.is_floating_point() or (counted and int(kinds.min()) < 0):
        raise DataError(
            f"found node_type of shape {tuple(kinds.shape)} and type {kinds.dtype}, expected one whole number of 0 or "
            f"more for each of the {num_nodes} nodes"
        )
    return kinds.to(device, torch.int64)
