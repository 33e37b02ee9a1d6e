"""Compiled loops over decayed adjacencies: paths of two steps, and walkers of some sources at once."""

from __future__ import annotations

import numpy as np
from numba import njit

_FEW = 40  # candidates up to which comparing all is faster than sorting


@njit(cache=True, nogil=True)
def add_up(place: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    """Return the sums of float32 values by their place, ``(size,)``, added in their order."""
    total = np.zeros(size, np.float32)
    for i in range(len(place)):
        total[place[i]] += values[i]
    return total


@njit(cache=True, nogil=True)
def paths(
    indptr: np.ndarray, indices: np.ndarray, first: np.ndarray, second: np.ndarray, width: int, src: np.ndarray,
    dst: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Return the products of the rows of sources in one float64 matrix and of candidates in another, ``(E, C)``.

    Both have the same structure, with `width` columns.
    """
    of_source, total = np.zeros(width), np.zeros(dst.shape)
    for i in range(len(src)):
        begin, end = indptr[src[i]], indptr[src[i] + 1]
        for k in range(begin, end):
            of_source[indices[k]] = first[k]
        for j in range(dst.shape[1]):
            for k in range(indptr[dst[i, j]], indptr[dst[i, j] + 1]):
                total[i, j] += of_source[indices[k]] * second[k]
        for k in range(begin, end):
            of_source[indices[k]] = 0
    return total


@njit(cache=True, nogil=True)
def walk(
    indptr: np.ndarray, indices: np.ndarray, matrices: np.ndarray, order: np.ndarray, scale: np.float32,
    sums: np.ndarray, sources: np.ndarray,
) -> np.ndarray:  # fmt: skip
    r"""Return sums over the steps of walkers, float32 ``(Q, N, S)``.

    With :math:`x_0 = e_s` and :math:`x_k = scale \cdot M_{order[k]} x_{k-1}`, sum q is
    :math:`\sum_k sums_{qk} x_k`, for float32 matrices ``(M, entries)`` and sums ``(Q, K + 1)``.
    """
    shape = len(indptr) - 1, len(sources)
    walkers, following, total = (
        np.zeros(shape, np.float32),
        np.empty(shape, np.float32),
        np.zeros((len(sums), *shape), np.float32),
    )
    reached, now_reached = np.zeros(shape[0], np.bool_), np.zeros(shape[0], np.bool_)
    for i, node in enumerate(sources):
        walkers[node, i] = reached[node] = True
    for q in range(len(sums)):
        _add(total[q], sums[q, 0], walkers)
    for k in range(len(order)):
        _step(indptr, indices, matrices[order[k]], scale, walkers, reached, following, now_reached)
        walkers, following, reached, now_reached = following, walkers, now_reached, reached
        for q in range(len(sums)):
            _add(total[q], sums[q, k + 1], walkers)
    return total


@njit(cache=True, nogil=True)
def _add(total: np.ndarray, factor: np.float32, walkers: np.ndarray) -> None:
    if factor != 0:
        for i in range(total.shape[0]):
            for j in range(total.shape[1]):
                total[i, j] += factor * walkers[i, j]


@njit(cache=True, nogil=True)
def _step(
    indptr: np.ndarray, indices: np.ndarray, matrix: np.ndarray, scale: np.float32, walkers: np.ndarray,
    reached: np.ndarray, following: np.ndarray, now_reached: np.ndarray,
) -> None:  # fmt: skip
    for i in range(len(walkers)):
        to, now_reached[i] = following[i], False
        to[:] = 0
        for k in range(indptr[i], indptr[i + 1]):
            if reached[indices[k]] and matrix[k] != 0:  # the first steps leave most nodes out
                share, here = matrix[k], walkers[indices[k]]
                now_reached[i] = True
                for j in range(len(to)):
                    to[j] += share * here[j]
        for j in range(len(to)):
            to[j] *= scale


def count_ahead(score: np.ndarray, row: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return how many nodes score more in row ``row[i]`` of float32 ``(S, N)`` than each of ``own[i]``."""
    if own.shape[1] < _FEW:
        return _count(score, row, own)
    return _search(np.sort(score, axis=1), row, own)


@njit(cache=True, nogil=True)
def _count(score: np.ndarray, row: np.ndarray, own: np.ndarray) -> np.ndarray:
    ahead = np.empty(own.shape, np.int64)
    for i in range(own.shape[0]):
        for j in range(own.shape[1]):
            count, value, of_row = np.int32(0), own[i, j], score[row[i]]
            for k in range(len(of_row)):
                count += np.int32(of_row[k] > value)
            ahead[i, j] = count
    return ahead


@njit(cache=True, nogil=True)
def _search(ascending: np.ndarray, row: np.ndarray, own: np.ndarray) -> np.ndarray:
    ahead = np.empty(own.shape, np.int64)
    for i in range(own.shape[0]):
        for j in range(own.shape[1]):
            ahead[i, j] = ascending.shape[1] - np.searchsorted(ascending[row[i]], own[i, j], side="right")
    return ahead
