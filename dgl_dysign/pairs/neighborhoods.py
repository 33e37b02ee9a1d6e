"""Neighbours of each node with the decayed weight of the edges between the two: the heaviest of each node."""

from __future__ import annotations

import numpy as np
from numba import njit

from dgl_dysign.data.pair_log import with_room
from dgl_dysign.pairs.decaying import Decaying

DECAYS = (0.9, 0.98, 1.0)
_HEAVIEST = DECAYS.index(0.98)  # the weight, out and in, by which neighbours are kept
SUMS = ("out_out", "out_in", "in_out", "in_in", "adamic_adar", "allocation")


class Neighborhoods:
    r"""Neighbours of each node, by number, with the decayed weights of the edges to them and from them.

    Each edge of snapshot t' counts :math:`\gamma^{t - t'}`. Rows lie in one pool; a full one moves to twice the room,
    which another row has left, or to the pool's end. An edge costs the logarithm of a row, its first one a move within
    the row, whatever the past. Weights are kept once for both ends, as long as both keep each other: 48 bytes for two
    nodes with edges, and about 12 for each of them.

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
        self._begin: np.ndarray = np.zeros(num_nodes, np.int64)
        self._size: np.ndarray = np.zeros(num_nodes, np.int32)
        self._room: np.ndarray = np.zeros(num_nodes, np.int32)
        self._used = np.zeros(2, np.int64)  # of the pool and of the weights
        self._neighbor, self._number = (np.zeros(64, np.int32) for _ in range(2))  # nodes; numbers of their weights
        self._left = np.full(64, -1)  # of each power of two, the first place left; there stands where the next one is
        self._weight = Decaying((32, 2, len(DECAYS)), DECAYS)  # of edges to the larger of two nodes, and to the other
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
        while done < len(src):
            rows = self._begin, self._size, self._room, self._neighbor, self._number, self._left, self._used
            units = self._weight.unit, self.degree.unit
            done, pool = _insert(*rows, self._weight.values, self.degree.values, src, dst, *units, done)
            self._neighbor, self._number = with_room(self._neighbor, pool), with_room(self._number, pool)
            self._weight.reserve(self._used[1] + 1)
        if self.most is not None:
            ends = np.unique(np.concatenate([src, dst]))
            full = ends[self._size[ends] > self.most]
            self.cut += int((self._size[full] - self.most).sum())
            for node in full:
                self._cut(node, self.most)

    def _cut(self, node: int, most: int) -> None:
        first = self._begin[node]
        of_both = self._number[first : first + self._size[node]]
        heavy = np.argsort(-self._weight.values[of_both, :, _HEAVIEST].sum(1), kind="stable")
        kept = first + np.sort(heavy[:most])
        for pool in (self._neighbor, self._number):
            pool[first : first + most] = pool[kept]
        self._size[node] = most

    def shared(self, t: int, src: np.ndarray, dst: np.ndarray) -> np.ndarray:
        r"""Return sums over common neighbours of sources ``(E,)`` and candidates ``(E, C)``, ``(E, C, decays, 6)``.

        Weights count as at t, those of the snapshot before fully. The sums are of paths of two steps by the direction
        of either step, seen from its end, and of those without direction over :math:`\log(2 + d)` and :math:`1 + d`,
        for the degree d of the node between.
        """
        rows = self._begin, self._size, self._neighbor, self._number, self._weight.values, self.degree.values
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
    begin: np.ndarray, size: np.ndarray, room: np.ndarray, neighbor: np.ndarray, number: np.ndarray, left: np.ndarray,
    used: np.ndarray, weight: np.ndarray, degree: np.ndarray, src: np.ndarray, dst: np.ndarray, unit: np.ndarray,
    degree_unit: np.ndarray, first: int,
) -> tuple[int, int]:  # fmt: skip
    """Add edges from the first on, as long as there is room; return the next one, and how much the pool needs."""
    for i in range(first, len(src)):
        s, d = src[i], dst[i]
        needed = used[0]
        for node in (s, d):
            needed += max(4, 2 * room[node]) * (size[node] == room[node])
        if needed > len(neighbor) or used[1] == len(weight):
            return i, needed
        of_src, of_dst = _find(begin, size, neighbor, number, s, d), _find(begin, size, neighbor, number, d, s)
        if of_src < 0 or of_dst < 0:  # of one alone where the other has forgotten it: what it weighed is gone there
            new, used[1] = used[1], used[1] + 1
            if of_src < 0:
                of_src = _enter(s, d, new, begin, size, room, neighbor, number, left, used)
            if of_dst < 0:
                of_dst = new if s == d else _enter(d, s, new, begin, size, room, neighbor, number, left, used)
        for n in range(len(unit)):  # assigning arrays takes seconds to be compiled
            weight[of_src, int(s > d), n] += unit[n]
            if s == d:
                weight[of_src, 1, n] += unit[n]
            elif of_dst != of_src:
                weight[of_dst, int(s > d), n] += unit[n]
            degree[s, n] += degree_unit[n]
            degree[d, n] += degree_unit[n]
    return len(src), used[0]


@njit(cache=True, nogil=True)
def _find(begin: np.ndarray, size: np.ndarray, neighbor: np.ndarray, number: np.ndarray, node: int, other: int) -> int:
    """Return the number of the weights of a neighbour, or -1."""
    end = begin[node] + size[node]
    at = _search(neighbor, begin[node], end, other)
    return number[at] if at < end and neighbor[at] == other else -1


@njit(cache=True, nogil=True)
def _enter(
    node: int, other: int, of_both: int, begin: np.ndarray, size: np.ndarray, room: np.ndarray, neighbor: np.ndarray,
    number: np.ndarray, left: np.ndarray, used: np.ndarray,
) -> int:  # fmt: skip
    """Put a neighbour with the number of its weights into a row; return the number."""
    if size[node] == room[node]:
        _move(node, begin, size, room, neighbor, number, left, used)
    end = begin[node] + size[node]
    at = _search(neighbor, begin[node], end, other)
    for k in range(end, at, -1):
        neighbor[k], number[k] = neighbor[k - 1], number[k - 1]
    neighbor[at], number[at] = other, of_both
    size[node] += 1
    return of_both


@njit(cache=True, nogil=True)
def _move(
    node: int, begin: np.ndarray, size: np.ndarray, room: np.ndarray, neighbor: np.ndarray, number: np.ndarray,
    left: np.ndarray, used: np.ndarray,
) -> None:  # fmt: skip
    """Move a full row to twice the room."""
    old, old_room = begin[node], room[node]
    room[node] = max(4, 2 * old_room)
    kind = int(np.log2(room[node]))
    if left[kind] >= 0:
        begin[node], left[kind] = left[kind], neighbor[left[kind]]
    else:
        begin[node], used[0] = used[0], used[0] + room[node]
    new = begin[node]
    for k in range(size[node]):
        neighbor[new + k], number[new + k] = neighbor[old + k], number[old + k]
    if old_room:
        neighbor[old], left[kind - 1] = left[kind - 1], old


@njit(cache=True, nogil=True)
def _shared(
    begin: np.ndarray, size: np.ndarray, neighbor: np.ndarray, number: np.ndarray, weight: np.ndarray,
    degree: np.ndarray, scale: np.ndarray, degree_scale: np.ndarray, src: np.ndarray, dst: np.ndarray,
) -> np.ndarray:  # fmt: skip
    total = np.zeros((*dst.shape, len(scale), 6))
    for i in range(dst.shape[0]):
        for j in range(dst.shape[1]):
            s, d = src[i], dst[i, j]
            few, many = (s, d) if size[s] <= size[d] else (d, s)
            at, end = begin[many], begin[many] + size[many]
            for k in range(begin[few], begin[few] + size[few]):
                node = neighbor[k]
                at = _search(neighbor, at, end, node)
                if at < end and neighbor[at] == node:
                    of_src, of_dst = (number[k], number[at]) if few == s else (number[at], number[k])
                    ways = int(s > node), int(d > node)  # of the weights from each end
                    for n in range(len(scale)):
                        ends = weight[of_src, :, n], weight[of_dst, :, n]
                        degree_then = degree[node, n] * degree_scale[n]
                        _add_paths(total[i, j, n], *ends, *ways, scale[n] * scale[n], degree_then)
    return total


@njit(cache=True, nogil=True)
def _add_paths(
    total: np.ndarray, of_src: np.ndarray, of_dst: np.ndarray, src_out: int, dst_out: int, scale: float, degree: float
) -> None:
    for a in range(2):
        for b in range(2):  # s -> c -> d: an edge out of s, and one into d
            total[2 * a + b] += of_src[a ^ src_out] * of_dst[1 ^ b ^ dst_out] * scale
    both = (of_src[0] + of_src[1]) * (of_dst[0] + of_dst[1]) * scale
    total[4] += both / np.log(2 + degree)
    total[5] += both / (1 + degree)
