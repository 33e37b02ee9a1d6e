"""Neighbours of each node with the decayed weight of the edges between the two: the heaviest of each node."""

from __future__ import annotations

import numpy as np
from numba import njit

from dgl_dysign.pairs.decaying import Decaying, longer

DECAYS = (0.9, 0.98, 1.0)
_HEAVIEST = DECAYS.index(0.98)  # the weight, out and in, by which neighbours are kept
SUMS = ("out_out", "out_in", "in_out", "in_in", "adamic_adar", "allocation")


class Neighborhoods:
    r"""Neighbours of each node, by number, with the decayed weights of the edges to them and from them.

    Each edge of snapshot t' counts :math:`\gamma^{t - t'}`. Rows lie in one pool; a full one moves to twice the room,
    which another row has left, or to the pool's end. An edge costs the logarithm of a row, its first one a move within
    the row, whatever the past.

    Parameters
    ----------
    num_nodes : int
        Number of nodes N.
    most : int or None
        Neighbours of a node that are kept after each snapshot: those of largest weight, of equal ones those of lower
        number. The others are forgotten, what they weighed with them; degrees are still of all. None: all are kept.

    Attributes
    ----------
    degree : Decaying
        Decayed numbers of edge ends, ``(N, decays)``.
    cut : int
        Neighbours that were forgotten, each time counted.
    """

    def __init__(self, num_nodes: int, most: int | None) -> None:
        self.most, self.cut = most, 0
        self._begin, self._size, self._room = (np.zeros(num_nodes, np.int64) for _ in range(3))
        self._end, self._neighbor = 0, np.zeros(64, np.int64)
        self._left = np.full(64, -1)  # of each power of two, the first place left; there stands where the next one is
        self._weight = Decaying((64, 2, len(DECAYS)), DECAYS)
        self.degree = Decaying((num_nodes, len(DECAYS)), DECAYS)

    def grow(self, num_nodes: int) -> None:
        """Have more nodes, without neighbours."""
        more = 0, num_nodes - len(self._begin)
        self._begin, self._size, self._room = (np.pad(x, more) for x in (self._begin, self._size, self._room))
        self.degree.grow(num_nodes)

    def add(self, snapshot: int, src: np.ndarray, dst: np.ndarray) -> None:
        """Take in the edges of a later snapshot."""
        self._weight.age_to(snapshot)
        self.degree.age_to(snapshot)
        done = 0
        while True:
            rows = self._begin, self._size, self._room
            units = self._weight.unit, self.degree.unit
            pool = self._neighbor, self._weight.values, self.degree.values, self._left
            done, self._end = _insert(*rows, *pool, self._end, src, dst, *units, done)
            if done == len(src):
                break
            self._neighbor = longer(self._neighbor, 2 * len(self._neighbor))
            self._weight.grow(len(self._neighbor))
        if self.most is not None:
            ends = np.unique(np.concatenate([src, dst]))
            full = ends[self._size[ends] > self.most]
            self.cut += int((self._size[full] - self.most).sum())
            for node in full:
                self._cut(node, self.most)

    def _cut(self, node: int, most: int) -> None:
        first = self._begin[node]
        row = slice(first, first + self._size[node])
        heavy = np.argsort(-self._weight.values[row, :, _HEAVIEST].sum(1), kind="stable")
        kept = first + np.sort(heavy[:most])
        for pool in (self._neighbor, self._weight.values):
            pool[first : first + most] = pool[kept]
        self._size[node] = most

    def shared(self, t: int, src: np.ndarray, dst: np.ndarray) -> np.ndarray:
        r"""Return sums over common neighbours of sources ``(E,)`` and candidates ``(E, C)``, ``(E, C, decays, 6)``.

        Weights count as at t, those of the snapshot before fully. The sums are of paths of two steps by the direction
        of either step, seen from its end, and of those without direction over :math:`\log(2 + d)` and :math:`1 + d`,
        for the degree d of the node between.
        """
        rows = self._begin, self._size, self._neighbor, self._weight.values, self.degree.values
        scale = self._weight.scale(t - 1), self.degree.scale(t - 1)
        return _shared(*rows, *scale, src, np.ascontiguousarray(dst))

    def degrees(self, decay: float, t: int, nodes: np.ndarray) -> np.ndarray:
        """Return the decayed numbers of edge ends of some nodes."""
        column = DECAYS.index(decay)
        return self.degree.values[nodes, column] * self.degree.scale(t - 1)[column]


@njit(cache=True, nogil=True)
def _search(neighbor: np.ndarray, low: int, high: int, node: int) -> int:
    """Return the first place of an ascending part where the neighbour is not below a node."""
    while low < high:
        middle = (low + high) // 2
        if neighbor[middle] < node:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def _insert(
    begin: np.ndarray, size: np.ndarray, room: np.ndarray, neighbor: np.ndarray, weight: np.ndarray,
    degree: np.ndarray, left: np.ndarray, end: int, src: np.ndarray, dst: np.ndarray, unit: np.ndarray,
    degree_unit: np.ndarray, first: int,
) -> tuple[int, int]:  # fmt: skip
    """Add edges from the first on, as long as there is room; return the next one, and where the pool's rest begins."""
    for i in range(first, len(src)):
        needed = 0
        for node in (src[i], dst[i]):
            needed += max(4, 2 * room[node]) * (size[node] == room[node])
        if end + needed > len(neighbor):
            return i, end
        for side in range(2):
            node, other = (src[i], dst[i]) if side == 0 else (dst[i], src[i])
            at = _search(neighbor, begin[node], begin[node] + size[node], other)
            if at == begin[node] + size[node] or neighbor[at] != other:
                if size[node] == room[node]:
                    old, end = begin[node], _move(node, begin, size, room, neighbor, weight, left, end)
                    at += begin[node] - old
                for k in range(begin[node] + size[node], at, -1):
                    neighbor[k] = neighbor[k - 1]
                    for n in range(len(unit)):
                        weight[k, 0, n], weight[k, 1, n] = weight[k - 1, 0, n], weight[k - 1, 1, n]
                neighbor[at], size[node] = other, size[node] + 1
                weight[at] = 0.0
            for n in range(len(unit)):  # assigning arrays takes seconds to be compiled
                weight[at, side, n] += unit[n]
                degree[node, n] += degree_unit[n]
    return len(src), end


@njit(cache=True, nogil=True)
def _move(
    node: int, begin: np.ndarray, size: np.ndarray, room: np.ndarray, neighbor: np.ndarray, weight: np.ndarray,
    left: np.ndarray, end: int,
) -> int:  # fmt: skip
    """Move a full row to twice the room; return where the pool's rest begins."""
    old, old_room = begin[node], room[node]
    room[node] = max(4, 2 * old_room)
    kind = int(np.log2(room[node]))
    if left[kind] >= 0:
        begin[node], left[kind] = left[kind], neighbor[left[kind]]
    else:
        begin[node], end = end, end + room[node]
    new = begin[node]
    for k in range(size[node]):
        neighbor[new + k] = neighbor[old + k]
        for n in range(weight.shape[2]):
            weight[new + k, 0, n], weight[new + k, 1, n] = weight[old + k, 0, n], weight[old + k, 1, n]
    if old_room:
        neighbor[old], left[kind - 1] = left[kind - 1], old
    return end


@njit(cache=True, nogil=True)
def _shared(
    begin: np.ndarray, size: np.ndarray, neighbor: np.ndarray, weight: np.ndarray, degree: np.ndarray,
    scale: np.ndarray, degree_scale: np.ndarray, src: np.ndarray, dst: np.ndarray,
) -> np.ndarray:  # fmt: skip
    total = np.zeros((*dst.shape, len(scale), 6))
    for i in range(dst.shape[0]):
        for j in range(dst.shape[1]):
            s, d = src[i], dst[i, j]
            few, many = (s, d) if size[s] <= size[d] else (d, s)
            at, end = begin[many], begin[many] + size[many]
            for k in range(begin[few], begin[few] + size[few]):
                at = _search(neighbor, at, end, neighbor[k])
                if at < end and neighbor[at] == neighbor[k]:
                    of_src, of_dst = (weight[k], weight[at]) if few == s else (weight[at], weight[k])
                    between = degree[neighbor[k]]
                    for n in range(len(scale)):
                        ends = of_src[:, n], of_dst[:, n]
                        _add_paths(total[i, j, n], *ends, scale[n] * scale[n], between[n] * degree_scale[n])
    return total


@njit(cache=True, nogil=True)
def _add_paths(total: np.ndarray, of_src: np.ndarray, of_dst: np.ndarray, scale: float, degree: float) -> None:
    for a in range(2):
        for b in range(2):  # s -> c -> d: an edge out of s, and one into d
            total[2 * a + b] += of_src[a] * of_dst[1 - b] * scale
    both = (of_src[0] + of_src[1]) * (of_dst[0] + of_dst[1]) * scale
    total[4] += both / np.log(2 + degree)
    total[5] += both / (1 + degree)
