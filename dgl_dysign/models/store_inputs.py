"""What models of nodes read where a neighbour store stands in for the graph of all events."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dgl_dysign.data import TemporalGraph
from dgl_dysign.data.snapshot_edges import snapshot_edges
from dgl_dysign.models import Snapshot, store_graph
from dgl_dysign.ops import aggregate, symmetric_norm
from dgl_dysign.store import NeighborStore


def fill_store(store: NeighborStore, data: TemporalGraph, last: int) -> NeighborStore:
    """Insert the snapshots that the store does not hold yet, up to the last one; return the store."""
    for t in range(store.snapshot + 1, last + 1):
        store.insert(snapshot_edges(data, t))
    return store


def scaled_features(data: TemporalGraph, snapshot: int) -> Tensor:
    """Return the features of a snapshot, each column with mean 0 and deviation 1 over the nodes seen so far."""
    return _scale(data.features(snapshot), data.active(snapshot))


def store_snapshots(
    data: TemporalGraph,
    store: NeighborStore,
    indices: Sequence[int],
    symmetric: bool = True,
    hops: Sequence[int] = (0, 1),
    device: torch.device | str = "cpu",
) -> list[Snapshot]:
    r"""Read snapshots as `dgl_dysign.models.load_snapshots` does, from the store's entries instead of all events.

    Parameters
    ----------
    data : TemporalGraph
        A prepared folder with features.
    store : NeighborStore
        Emptied, then given the snapshots up to each index in turn.
    indices : sequence of int
        Which snapshots, in order of time.
    symmetric : bool, default True
        Whether messages also go back from a node to the neighbours that it keeps.
    hops : sequence of int, default (0, 1)
        How often the features are aggregated over the store's graph, for each block of columns.
    device : device, default "cpu"
        Where the tensors go; a graph stays on the CPU.

    Returns
    -------
    list of Snapshot
        ``feat`` is ``(N, len(hops) * feature_dim)``; graphs have at most N K edges, twice that where symmetric.
    """
    store.reset()
    found = []
    for index in indices:
        graph = store_graph(fill_store(store, data, index), index, symmetric=symmetric)
        weight, active = graph.edata.pop("weight"), data.active(index)
        norm, feat = symmetric_norm(graph, weight), data.features(index)
        blocks = feat.new_empty(len(feat), len(hops), feat.shape[1])
        for hop in range(max(hops) + 1):
            if hop:
                feat = aggregate(graph, feat, norm, norm="none")
            for place in (k for k, wanted in enumerate(hops) if wanted == hop):
                blocks[:, place] = feat
        read = _scale(blocks.flatten(1), active).to(device)
        found.append(Snapshot(graph, weight.to(device), read, active.to(device)))
    return found


def _scale(feat: Tensor, active: Tensor) -> Tensor:
    for block in feat.split(64, dim=1):  # in place: a copy of wide features would be the largest thing in memory
        seen = block[active]
        if len(seen):
            # A constant column becomes zero: the rounding of its mean would be divided by next to nothing.
            size = seen.std(0, correction=0).masked_fill(seen.amax(0) == seen.amin(0), torch.inf)
            block.sub_(seen.mean(0)).div_(size.clamp(min=1e-6)).mul_(active[:, None])
    return feat
