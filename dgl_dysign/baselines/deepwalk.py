"""DeepWalk: skip-gram on random walks over the whole graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from dgl_dysign import _preparation
from dgl_dysign.data.snapshot_edges import SnapshotEdges


@dataclass(frozen=True)
class DeepWalk:
    r"""DeepWalk of Perozzi et al. (KDD 2014): nodes that walks bring together get similar vectors; time has no part.

    Walks go from a node to a neighbour with the probability of the number of their events, over the graph of all
    snapshots. Each pair (u, v) at most a window apart is a step of gradient descent on

    .. math:: -\log \sigma(x_u \cdot y_v) - \sum_{k=1}^{5} \log \sigma(-x_u \cdot y_{n_k}), \quad
              n_k \sim \mathrm{degree}^{3/4}

    by the compiled code that prepares features of nodes (`data_prep`), the same bits on any number of cores.

    What differs from the paper: negatives in place of the hierarchical softmax; 10 walks of 80 nodes from each node,
    where it has 80 of 40: the values under which node2vec's paper compares the two. Arguments out of range raise
    ``ConfigError``.

    Parameters
    ----------
    out_feats : int, default 128
        Width of the vectors.
    num_walks, walk_length, window, negatives : int, default 10, 80, 10 and 5
        Walks from each node, nodes of each, largest distance of a pair on it, and negatives of a pair.

    Examples
    --------
    >>> from dgl_dysign.baselines import DeepWalk
    >>> from dgl_dysign.data import distinct_edges
    >>> DeepWalk(out_feats=8).vectors([distinct_edges(0, [0, 1], [1, 2], num_nodes=4)]).shape
    torch.Size([4, 8])
    """

    out_feats: int = 128
    num_walks: int = 10
    walk_length: int = 80
    window: int = 10
    negatives: int = 5

    def vectors(self, snapshots: Sequence[SnapshotEdges], seed: int = 0) -> Tensor:
        """Return the vectors of all nodes, ``(N, out_feats)``; those without an edge are zero."""
        src = torch.cat([edges.src.repeat_interleave(edges.count) for edges in snapshots]).numpy()
        dst = torch.cat([edges.dst.repeat_interleave(edges.count) for edges in snapshots]).numpy()
        options = {k: v for k, v in asdict(self).items() if k not in ("out_feats", "negatives")}
        options |= {"dim": self.out_feats, "seed": seed, "negative": self.negatives}
        return torch.from_numpy(_preparation.walk_vectors(src, dst, snapshots[0].num_nodes, **options))
