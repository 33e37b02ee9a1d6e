"""Triads of a snapshot that are open, and which of their pairs close in the next one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from dgl_dysign.data.snapshot_edges import SnapshotEdges


class Triads(NamedTuple):
    """Open triads of a snapshot, whose pairs close in the next one or do not.

    ``closing`` ``(P, 2)`` are the pairs that close, ``of_closing`` ``(M, 3)`` their triads (i, j, k), ``pair`` ``(M,)``
    to which of them each belongs; ``open`` ``(Q, 3)`` are triads that stay open. Weights ``(., 2)`` are those of (i, k)
    and (j, k).
    """

    closing: Tensor
    of_closing: Tensor
    pair: Tensor
    closing_weight: Tensor
    open: Tensor
    open_weight: Tensor

    @classmethod
    def of(cls, graph: sp.csr_matrix, following: sp.csr_matrix | None) -> Triads:
        """Return those of a graph, all that close and as many of the others; none without the graph that follows."""
        new = sp.triu(following).tocoo() if following is not None else sp.coo_matrix(graph.shape)
        linked = _entries(graph, new.row, new.col) > 0
        ends = np.stack([new.row[~linked], new.col[~linked]])
        common = (graph[ends[0]].multiply(graph[ends[1]]) > 0).tocoo()
        pairs, pair = np.unique(common.row, return_inverse=True)
        closing = np.stack([*ends[:, common.row], common.col], 1)
        open_ = _staying_open(graph, following, len(pairs))
        columns = ends[:, pairs].T, closing, pair, _weights(graph, closing), open_, _weights(graph, open_)
        kinds = {"f": np.float32, "i": np.int64}
        return cls(*(torch.from_numpy(np.ascontiguousarray(c, kinds[c.dtype.kind])) for c in columns))


def _staying_open(graph: sp.csr_matrix, following: sp.csr_matrix | None, count: int) -> np.ndarray:
    """Draw up to so many triads ``(., 3)`` whose pair is linked neither now nor in the graph that follows."""
    degree = np.diff(graph.indptr)
    place = torch.randint(graph.nnz, (count,)).numpy()
    k = np.repeat(np.arange(len(degree)), degree)[place]
    other = graph.indptr[k] + (torch.rand(count, dtype=torch.float64).numpy() * degree[k]).astype(np.int64)
    i, j = graph.indices[place], graph.indices[other]
    both = graph if following is None else graph + following
    return np.stack([i, j, k], 1)[(i != j) & (_entries(both, i, j) == 0)]


def _weights(graph: sp.csr_matrix, triads: np.ndarray) -> np.ndarray:
    """Return the weights of (i, k) and (j, k) of triads (i, j, k)."""
    i, j, k = triads.T
    return np.stack([_entries(graph, i, k), _entries(graph, j, k)], 1)


def _entries(graph: sp.csr_matrix, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return np.asarray(graph[rows, columns]).ravel() if len(rows) else np.zeros(0)  # SciPy's of no entry are no numbers


def adjacency(snapshots: Sequence[SnapshotEdges]) -> sp.csr_matrix:
    """Return the numbers of events of each pair of different nodes, without direction."""
    src, dst, count = (torch.cat([getattr(e, name) for e in snapshots]).numpy() for name in ("src", "dst", "count"))
    proper, nodes = src != dst, snapshots[0].num_nodes
    forth = sp.csr_matrix((count[proper].astype(np.float64), (src[proper], dst[proper])), shape=(nodes, nodes))
    return (forth + forth.T).tocsr()
