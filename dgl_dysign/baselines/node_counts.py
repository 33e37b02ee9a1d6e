"""Counts of nodes without a graph: what an encoder that is fed counts stands beside."""

from __future__ import annotations

from torch import Tensor

from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.models.snapshot_encoder import SnapshotEncoder, State


class NodeCounts(SnapshotEncoder):
    """Counts of each node and nothing of its neighbours: what the head alone makes of them.

    Parameters
    ----------
    num_nodes, in_feats : int
        Number of nodes, and width of their counts.

    Examples
    --------
    >>> import torch
    >>> NodeCounts(3, 2).embed((), torch.ones(3, 2)).shape
    torch.Size([3, 2])
    """

    inputs = "counts"

    def __init__(self, num_nodes: int, in_feats: int) -> None:
        super().__init__()
        self.out_feats = in_feats

    def initial(self) -> State:
        """Return an empty state: the counts are all there is."""
        return ()

    def step(self, state: State, edges: SnapshotEdges, inputs: Tensor) -> State:
        """Return the empty state; a snapshot changes the counts alone, which are fed."""
        return ()

    def embed(self, state: State, inputs: Tensor) -> Tensor:
        """Return the counts."""
        return inputs
