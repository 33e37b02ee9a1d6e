"""The neighbour store as a sampler of DGL's data loaders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from dgl_dysign._dgl import dgl
from dgl_dysign.errors import ConfigError
from dgl_dysign.ops._checks import DGLGraphError
from dgl_dysign.store._edges import to_ids, whole
from dgl_dysign.store.neighbor_store import NeighborStore
from dgl_dysign.store.neighbors import neighbor_block


class InfluenceSampler(dgl.dataloading.BlockSampler):
    """Sample the most influential past neighbours of each node, for ``dgl.dataloading.DataLoader``.

    It stands where ``dgl.dataloading.NeighborSampler`` stands: layer by layer each node gets messages from the
    neighbours that a store holds for it (UnderGS): nothing is drawn at random, and nothing is read that was not yet
    inserted. Models written for DGL's blocks run on these unchanged; those that take edge weights may be given
    ``block.edata["influence"]``, which `dgl_dysign.nn.InfluenceConv` finds by itself.

    With ``num_workers`` above 0 every worker has the store as it was when the iteration began: insert between
    iterations, and without ``persistent_workers``, whose workers would stay with the old one.

    Parameters
    ----------
    store : NeighborStore
        It has the nodes of the graph that is given to the data loader. It is not changed.
    num_layers : int, default 1
        Number of blocks, one for each layer of the model.
    now : int, optional
        The snapshot to which scores and ages refer, as in ``store.block``; it may be set between batches
        (``sampler.now = 5``). None: the last snapshot that the store holds, whenever a batch is sampled.
    prefetch_node_feats, prefetch_labels, prefetch_edge_feats : list of str, optional
        As for DGL's samplers: names of the graph's data that the first block's source nodes, the last block's
        destination nodes and every block's edges get. For those of edges the store's edge ids must be the graph's.

    Shapes
    ------
    ``edata`` of each block: ``influence`` and ``age`` float32; ``edge_id``, ``hop``, ``type`` and ``dgl.EID``, which is
    ``edge_id`` again, int64; ``(edges,)`` each. ``srcdata[dgl.NID]`` and ``dstdata[dgl.NID]`` in the type of the
    graph's ids, which the block has too.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign._dgl import dgl
    >>> from dgl_dysign.store import InfluenceSampler, NeighborStore
    >>> store = NeighborStore(num_nodes=4)
    >>> store.insert(0, src=[0, 1], dst=[1, 2])
    >>> graph = dgl.graph(([], []), num_nodes=4)  # nodes and their data; its edges are not used
    >>> graph.ndata["feat"] = torch.eye(4)
    >>> sampler = InfluenceSampler(store, num_layers=2, prefetch_node_feats=["feat"])
    >>> loader = dgl.dataloading.DataLoader(graph, torch.tensor([0, 3]), sampler, batch_size=2, num_workers=0)
    >>> ((input_nodes, output_nodes, blocks),) = loader
    >>> input_nodes, output_nodes, blocks[0].srcdata["feat"].shape
    (tensor([0, 3, 1, 2]), tensor([0, 3]), torch.Size([4, 4]))
    """

    def __init__(
        self,
        store: NeighborStore,
        num_layers: int = 1,
        now: int | None = None,
        *,
        prefetch_node_feats: Sequence[str] | None = None,
        prefetch_labels: Sequence[str] | None = None,
        prefetch_edge_feats: Sequence[str] | None = None,
    ) -> None:
        super().__init__(prefetch_node_feats, prefetch_labels, prefetch_edge_feats)
        if not isinstance(store, NeighborStore):
            raise ConfigError(
                f"store must be a NeighborStore, but is of type {type(store).__name__}: there are no fan-outs, "
                f"InfluenceSampler(store, num_layers=2) takes the store's num_neighbors"
            )
        if whole(num_layers, "num_layers") < 1:
            raise ConfigError(f"num_layers={num_layers}: expected 1 or more, one block for each layer of the model")
        self.store, self.num_layers, self.now = store, num_layers, now

    def sample_blocks(
        self, g: Any, seed_nodes: Tensor, exclude_eids: Tensor | None = None
    ) -> tuple[Tensor, Tensor, list[Any]]:
        """Return input nodes, output nodes and the blocks, that of the first layer first.

        `g` is the graph of the data loader: its nodes and its type of ids. `seed_nodes` ``(B,)`` are those of the last
        layer. `exclude_eids` are edges, by the store's ids, that carry no messages and leave their slots empty, as
        ``as_edge_prediction_sampler(exclude=...)`` gives them.
        """
        self._check(g, seed_nodes, exclude_eids)
        now = max(self.store.snapshot, 0) if self.now is None else self.now
        output_nodes = seed_nodes
        blocks: list[Any] = []
        for _ in range(self.num_layers):
            block = self._block(g, seed_nodes, now, exclude_eids)
            seed_nodes = block.srcdata[dgl.NID]
            blocks.insert(0, block)
        return seed_nodes, output_nodes, blocks

    def _block(self, g: Any, nodes: Tensor, now: int, exclude: Tensor | None) -> Any:
        ids = to_ids(nodes, "nodes", self.store.slots.device)
        neighbors = self.store.neighbors(ids, now)
        if exclude is not None:
            left_out = torch.isin(neighbors.edge_id, exclude.to(neighbors.edge_id))
            neighbors = neighbors._replace(node=neighbors.node.masked_fill(left_out, -1))
        block = neighbor_block(ids, neighbors).astype(g.idtype)
        for data in (block.srcdata, block.dstdata):
            data[dgl.NID] = data[dgl.NID].to(g.idtype)
        edge_id = block.edata["edge_id"]
        if self.prefetch_edge_feats and len(edge_id) and int(edge_id.max()) >= g.num_edges():
            raise DGLGraphError(
                f"found edge {int(edge_id.max())} in the store, but the graph has {g.num_edges()} edges: to prefetch "
                f"their features, give the data loader the graph of all events, whose edge ids were inserted"
            )
        block.edata[dgl.EID] = edge_id
        return block

    def _check(self, g: Any, seed_nodes: Any, exclude: Any) -> None:
        if len(g.ntypes) != 1 or isinstance(seed_nodes, Mapping) or isinstance(exclude, Mapping):
            raise DGLGraphError(
                f"expected a graph with one type of nodes and edges, as a store has, but got {g.canonical_etypes}: "
                f"take one with graph[etype], or make it one with dgl.to_homogeneous"
            )
        if g.num_nodes() != self.store.num_nodes:
            raise DGLGraphError(
                f"the graph has {g.num_nodes()} nodes, but the store {self.store.num_nodes}: give the data loader the "
                f"graph with all nodes of the store, or call store.grow(num_nodes) where the graph has more"
            )
