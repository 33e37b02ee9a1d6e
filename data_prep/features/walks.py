"""Random walks over a weighted graph, each with its own stream of random numbers."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Walks that one task makes. The walks do not depend on it.
_BLOCK = 2048


@njit(cache=True, nogil=True)
def next_random(state: np.ndarray) -> np.uint64:
    """Return the next 64 random bits of a stream (SplitMix64: every state is a good seed)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True, nogil=True)
def stream(seed: np.uint64, index: int) -> np.ndarray:
    """Return the state of the stream number ``index`` of a seed."""
    state = np.empty(1, np.uint64)
    state[0] = seed
    state[0] = next_random(state) ^ (np.uint64(index) * np.uint64(0xD1342543DE82EF95))
    state[0] = next_random(state)
    return state


@njit(cache=True, nogil=True)
def _uniform(state: np.ndarray) -> float:
    return np.float64(next_random(state) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit(cache=True, nogil=True)
def _running_sums(indptr: np.ndarray, weight: np.ndarray) -> np.ndarray:
    sums = np.empty(len(weight))
    for row in range(len(indptr) - 1):
        total = 0.0
        for place in range(indptr[row], indptr[row + 1]):
            total += weight[place]
            sums[place] = total
    return sums


@njit(cache=True, nogil=True)
def _neighbor(indptr: np.ndarray, indices: np.ndarray, sums: np.ndarray, node: int, state: np.ndarray) -> int:
    first, last = indptr[node], indptr[node + 1]
    if first == last:
        return node
    wanted = _uniform(state) * sums[last - 1]
    return indices[first + np.searchsorted(sums[first : last - 1], wanted, side="right")]


@njit(cache=True, nogil=True)
def _has_edge(indptr: np.ndarray, indices: np.ndarray, node: int, other: int) -> bool:
    row = indices[indptr[node] : indptr[node + 1]]
    place = np.searchsorted(row, other)
    return bool(place < len(row) and row[place] == other)


@njit(cache=True, nogil=True)
def _biased_neighbor(
    indptr: np.ndarray,
    indices: np.ndarray,
    sums: np.ndarray,
    before: int,
    here: int,
    p: float,
    q: float,
    state: np.ndarray,
) -> int:
    # By rejection: exact, and without a table for each pair of neighbouring edges.
    largest = max(1.0 / p, 1.0, 1.0 / q)
    while True:
        there = _neighbor(indptr, indices, sums, here, state)
        wanted = _uniform(state) * largest
        if there == before:
            accepted = wanted < 1.0 / p
        elif wanted < min(1.0, 1.0 / q) or wanted >= max(1.0, 1.0 / q):
            accepted = wanted < min(1.0, 1.0 / q)
        else:
            accepted = _has_edge(indptr, indices, before, there) == (q > 1)
        if accepted:
            return there


@njit(cache=True, nogil=True)
def _fill(
    indptr: np.ndarray, indices: np.ndarray, sums: np.ndarray, p: float, q: float, seed: np.uint64, first: int,
    walks: np.ndarray,
) -> None:  # fmt: skip
    for row in range(len(walks)):
        state = stream(seed, first + row)
        walk = walks[row]
        for step in range(1, len(walk)):
            if step == 1 or p == q == 1:
                walk[step] = _neighbor(indptr, indices, sums, walk[step - 1], state)
            else:
                walk[step] = _biased_neighbor(indptr, indices, sums, walk[step - 2], walk[step - 1], p, q, state)


class Walker:
    r"""Draws random walks of first order (DeepWalk) or second order (node2vec).

    Source: Perozzi et al. (KDD 2014); Grover and Leskovec (KDD 2016). From v, having come from t, the walk goes on to x
    with probability proportional to :math:`\alpha(t, x) w_{vx}`, where :math:`\alpha` is 1/p if x = t, 1 if t and x are
    neighbours, and 1/q otherwise; p = q = 1 is first order, and so is every first step.

    Parameters
    ----------
    adjacency : csr_array, shape (n, n)
        Non-negative weights. From a node without neighbours the walk stays where it is.
    p : float > 0, default 1.0
        Return parameter: large values keep the walk from turning back.
    q : float > 0, default 1.0
        In-out parameter: large values keep the walk near the node it came from.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> with ThreadPoolExecutor() as pool:
    ...     Walker(csr_array([[0, 1.0], [1.0, 0]])).walks(np.array([0, 1]), 4, seed=0, pool=pool)
    array([[0, 1, 0, 1],
           [1, 0, 1, 0]], dtype=int32)
    """

    def __init__(self, adjacency: csr_array, p: float = 1.0, q: float = 1.0) -> None:
        self.p, self.q = float(p), float(q)
        adjacency = adjacency.sorted_indices()
        self.indptr, self.indices = adjacency.indptr.astype(np.int64), adjacency.indices.astype(np.int32)
        self.sums = _running_sums(self.indptr, adjacency.data.astype(np.float64))

    def walks(self, starts: np.ndarray, length: int, seed: int, pool: Executor) -> np.ndarray:
        """Return one walk a start, as an int32 array of shape (number of starts, length); column 0 holds the starts."""
        walks = np.empty((len(starts), length), dtype=np.int32)
        walks[:, 0] = starts

        def fill(first: int) -> None:
            part = walks[first : first + _BLOCK]
            _fill(self.indptr, self.indices, self.sums, self.p, self.q, np.uint64(seed), first, part)

        list(pool.map(fill, range(0, len(starts), _BLOCK)))
        return walks
