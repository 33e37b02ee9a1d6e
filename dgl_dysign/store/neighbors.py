"""The neighbours of some nodes, as tensors of one row a node and one column a slot, and as a DGL block."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from dgl_dysign._dgl import dgl

_TABLE = 64  # rows of a table of all nodes, for each neighbour that is looked up, above which a search is faster


class Neighbors(NamedTuple):
    """Temporal neighbours of R nodes, each row in descending order of influence.

    Parameters
    ----------
    node : Tensor
        The neighbours, int64 ``(R, K)``; -1 in a slot without one.
    edge_id, snapshot, hop, type : Tensor
        Over which edge each was met, when, over a path of what length, and the edge's type, int64; in empty slots -1,
        hop 0. The type is -1 also in a store without types.
    influence, age : Tensor
        Score aged to the time in question, not normalised, and snapshots since, float32; in empty slots 0. The score is
        held at float32's smallest normal number, so that neighbours of a node that was silent for long share its
        attention.
    """

    node: Tensor
    edge_id: Tensor
    snapshot: Tensor
    hop: Tensor
    influence: Tensor
    age: Tensor
    type: Tensor

    @property
    def mask(self) -> Tensor:
        """Whether there is a neighbour, bool ``(R, K)``."""
        return self.node >= 0


@functools.cache
def _dgl_device(device: torch.device) -> torch.device:
    """Return the device if this DGL can keep a graph there, else the CPU."""
    from dgl_dysign._dgl import dgl

    try:  # moved there: a DGL without CUDA makes a graph of tensors on a GPU, and fails, or crashes, when it is used
        dgl.graph(([0], [0])).to(device)
    except dgl.DGLError:
        return torch.device("cpu")
    return device


def neighbor_block(nodes: Tensor, neighbors: Neighbors) -> dgl.DGLGraph:
    """Return `neighbors` of `nodes` ``(R,)`` as a DGL block: an edge from each neighbour to the node that keeps it.

    Destination nodes are `nodes`, repeated ones included; source nodes are these, then the neighbours that are not
    among them, ascending; ids in ``dgl.NID``. It lies beside `nodes` or, where this DGL cannot keep it there, on the
    CPU.
    """
    from dgl_dysign._dgl import dgl

    device = _dgl_device(nodes.device)
    there = neighbors.mask.flatten().nonzero()[:, 0]
    rows = there.div(neighbors.node.shape[1], rounding_mode="floor")
    src, new = _place(neighbors.node.flatten()[there], nodes)
    block = dgl.create_block(
        (src.to(device), rows.to(device)), num_src_nodes=len(nodes) + len(new), num_dst_nodes=len(nodes)
    )
    block.srcdata[dgl.NID] = torch.cat([nodes, new]).to(device)
    block.dstdata[dgl.NID] = nodes.to(device)
    values: dict[str, Any] = neighbors._asdict()
    for name in ("influence", "age", "edge_id", "hop", "type"):
        block.edata[name] = values[name].flatten()[there].to(device)
    return block


def _place(neighbor: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the neighbours' numbers (the row that asks for the same node, else from R on) and the new ids."""
    if not len(neighbor):
        return neighbor, neighbor
    size = int(torch.max(nodes.max(), neighbor.max())) + 1
    if nodes.device.type == "cpu" and size < _TABLE * len(neighbor):
        from dgl_dysign.store._numbering import number_neighbors  # Numba is slow to import

        src, new = number_neighbors(neighbor.numpy(), nodes.contiguous().numpy(), size)
        return torch.from_numpy(src), torch.from_numpy(new)
    ids, order = torch.unique(nodes, return_inverse=True)
    first = torch.full_like(ids, len(nodes)).scatter_reduce(
        0, order, torch.arange(len(nodes), device=nodes.device), "amin"
    )
    at = torch.searchsorted(ids, neighbor).clamp(max=len(ids) - 1)
    place = torch.where(ids[at] == neighbor, first[at], -1)
    unknown = place < 0
    new_ids, number = torch.unique(neighbor[unknown], return_inverse=True)
    place[unknown] = len(nodes) + number
    return place, new_ids
