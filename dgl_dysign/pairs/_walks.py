"""Decayed walks from some sources: dense columns over all nodes, sparse steps."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numba import njit


def sources(src: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct sources, and for each of `src` where it stands among them, as a column."""
    distinct, place = np.unique(src, return_inverse=True)
    return distinct, place[:, None]


def both(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Return the matrix of edges without direction."""
    return (matrix + matrix.T).tocsr()


def degrees(matrix: sp.csr_matrix) -> np.ndarray:
    """Return the sums of the rows."""
    return np.asarray(matrix.sum(1)).ravel()


def stochastic(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Return the transposed transition matrix: column v holds where a walker at v goes next."""
    degree = degrees(matrix)
    return (sp.diags(1 / np.where(degree > 0, degree, 1)).astype(np.float32) @ matrix).T.tocsr()


def start(nodes: np.ndarray, num_nodes: int) -> np.ndarray:
    """Return one column for each source, with one walker in it."""
    begin = np.zeros((num_nodes, len(nodes)), np.float32)
    begin[nodes, np.arange(len(nodes))] = 1
    return begin


def pagerank(step: sp.csr_matrix, nodes: np.ndarray, steps: int = 6, restart: float = 0.2) -> np.ndarray:
    r"""Return personalised PageRank cut after some steps, :math:`r \sum_k (1 - r)^k P^k e_s`, ``(N, sources)``."""
    walkers = start(nodes, step.shape[0])
    found = restart * walkers
    for _ in range(steps):
        walkers = (1 - restart) * (step @ walkers)
        found += restart * walkers
    return found


def ahead(found: np.ndarray, row: np.ndarray, dst: np.ndarray) -> np.ndarray:
    """Return log(1 + the number of nodes that score higher than the candidate), for each pair."""
    sorted_ = np.sort(np.ascontiguousarray(found.T, np.float32), axis=1)
    return np.log1p(_above(sorted_, row[:, 0], found[dst, row].astype(np.float32)))


@njit(cache=True, nogil=True)
def _above(sorted_: np.ndarray, row: np.ndarray, values: np.ndarray) -> np.ndarray:
    count = np.empty(values.shape, np.int64)
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            count[i, j] = sorted_.shape[1] - np.searchsorted(sorted_[row[i]], values[i, j], side="right")
    return count
