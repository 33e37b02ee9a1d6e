"""In which snapshots each node was active, and how much."""

from __future__ import annotations

import numpy as np
from numba import njit

from dgl_dysign.data.pair_log import with_room

_NONE = -1


class ActivityLog:
    """Snapshots that each node was active in, chained from the newest on, with the number of its edge ends in it.

    As many as int32 counts: 12 bytes each.
    """

    def __init__(self, num_nodes: int) -> None:
        self._head, self._size = np.full(num_nodes, _NONE, np.int32), 0
        self._before, self._when, self._ends = (np.zeros(64, np.int32) for _ in range(3))
        self._log = np.zeros(1)  # log(1 + n) of numbers of ends
        self._active_nodes: dict[int, int] = {}

    def grow(self, num_nodes: int) -> None:
        """Have more nodes, which were never active."""
        self._head = np.pad(self._head, (0, num_nodes - len(self._head)), constant_values=_NONE)

    def add(self, snapshot: int, src: np.ndarray, dst: np.ndarray) -> None:
        """Take in the edges of a later snapshot."""
        nodes, count = np.unique(np.concatenate([src, dst]), return_counts=True)
        begin, end = self._size, self._size + len(nodes)
        self._before, self._when, self._ends = (with_room(x, end) for x in (self._before, self._when, self._ends))
        self._before[begin:end], self._when[begin:end], self._ends[begin:end] = self._head[nodes], snapshot, count
        if count.max(initial=0) >= len(self._log):
            self._log = np.log1p(np.arange(2 * int(count.max())))
        self._head[nodes], self._size = np.arange(begin, end), end
        self._active_nodes[snapshot] = len(nodes)

    def together(
        self, decay: float, t: int, src: np.ndarray, dst: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        r"""Return how much sources ``(E,)`` and candidates ``(E, C)`` were active in the same snapshots before t.

        That is the product of their rows, ``(E, C)``, and the length of either, ``(E, 1)`` and ``(E, C)``; an activity
        in t' counts :math:`\gamma^{t - 1 - t'} \log \frac{1 + N}{1 + n}` for the n nodes that were active in t'.
        """
        weight = np.zeros(max(t, 1))
        when = np.fromiter(self._active_nodes.keys(), np.int64, len(self._active_nodes))
        nodes = np.fromiter(self._active_nodes.values(), np.float64, len(when))
        weight[when] = np.log((1 + len(self._head)) / (1 + nodes)) * decay ** (t - 1.0 - when)
        chains = self._head, self._before, self._when, self._ends, self._log
        return _together(*chains, weight, src, np.ascontiguousarray(dst))


@njit(cache=True, nogil=True)
def _together(
    head: np.ndarray, before: np.ndarray, when: np.ndarray, ends: np.ndarray, log: np.ndarray, weight: np.ndarray,
    src: np.ndarray, dst: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    of_source, product = np.zeros(len(weight)), np.zeros(dst.shape)
    squares, other_squares = np.zeros((len(src), 1)), np.zeros(dst.shape)
    for i in range(len(src)):
        of_source[:] = 0
        at = head[src[i]]
        while at >= 0:
            value = log[ends[at]] * weight[when[at]]
            of_source[when[at]] = value
            squares[i, 0] += value * value
            at = before[at]
        for j in range(dst.shape[1]):
            at = head[dst[i, j]]
            while at >= 0:
                value = log[ends[at]] * weight[when[at]]
                product[i, j] += of_source[when[at]] * value
                other_squares[i, j] += value * value
                at = before[at]
    return product, np.sqrt(squares), np.sqrt(other_squares)
