"""Edges, and a store that holds some: what the tests of UnderGS share."""

import torch

from dgl_dysign.models import preset_store

N, K = 12, 4


def edges(snapshot, num_edges=8, num_nodes=N):
    """Return sources, destinations and ids of a snapshot; the last node is never met, node 0 at once."""
    generator = torch.Generator().manual_seed(snapshot)
    src = torch.randint(num_nodes - 1, (num_edges,), generator=generator)
    dst = (src + torch.randint(1, num_nodes - 1, (num_edges,), generator=generator)) % (num_nodes - 1)
    src[0], dst[0] = 0, 1 + snapshot
    return src, dst, torch.arange(num_edges) + snapshot * num_edges


def filled(snapshots=3, **options):
    """Return a store that holds some snapshots."""
    store = preset_store(N, **{"num_neighbors": K, "num_hops": 1, **options})
    for t in range(snapshots):
        store.insert(t, *edges(t))
    return store
