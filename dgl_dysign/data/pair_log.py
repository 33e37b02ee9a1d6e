"""Which ordered node pairs were met, when, and whom each node met: a hash table that grows with the pairs."""

from __future__ import annotations

import numpy as np
from numba import njit

from dgl_dysign.errors import DataError, check_growth

_EMPTY = -1


def check_nodes(num_nodes: int, *columns: np.ndarray) -> None:
    """Raise ``DataError`` if a node is none of those that something was made for: another would have its place."""
    ends = [int(end) for nodes in columns if nodes.size for end in (nodes.min(), nodes.max())]
    wrong = [node for node in ends if not 0 <= node < num_nodes]
    if wrong:
        raise DataError(
            f"found node {wrong[0]}, expected a node from 0 to {num_nodes - 1}: where the graph has grown, make this "
            f"anew for the larger graph, or call its grow(num_nodes)"
        )


class PairNumbers:
    """Numbers ordered node pairs as they come; adding and looking up take time in proportion to their arguments.

    Open addressing with linear probing over ``src * num_nodes + dst``. Memory is O(num_nodes + pairs), 16 to 28 bytes a
    pair. There may be as many pairs as int32 counts.

    Attributes
    ----------
    degree : numpy.ndarray
        Number of distinct destinations of each node, int64 ``(N,)``.
    """

    def __init__(self, num_nodes: int) -> None:
        self.num_nodes = num_nodes
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.size = 0
        self._table = np.full(16, _EMPTY, np.int32)  # place -> number of the pair
        self._key = np.zeros(8, np.int64)
        self.degree = np.zeros(self.num_nodes, np.int64)

    def grow(self, num_nodes: int) -> None:
        """Have more nodes from now on; pairs keep their numbers.

        Examples
        --------
        >>> log = PairLog(2)
        >>> log.add(0, np.array([1]), np.array([0]))
        array([0])
        >>> log.grow(9)
        >>> log.find(np.array([1, 1]), np.array([0, 8])), len(log.degree)
        (array([ 0, -1]), 9)
        """
        check_growth("the log", self.num_nodes, num_nodes)
        src, dst = self.ends()
        self._key[: self.size] = src * num_nodes + dst
        self._table.fill(_EMPTY)
        _place(self._table, self._key[: self.size])
        self.degree = np.pad(self.degree, (0, num_nodes - self.num_nodes))
        self.num_nodes = num_nodes

    def __len__(self) -> int:
        return self.size

    def number(self, src: np.ndarray, dst: np.ndarray) -> np.ndarray:
        """Return the number of each pair, a new one for each that is new."""
        check_nodes(self.num_nodes, src, dst)
        size = self.size + len(src)
        self._key = with_room(self._key, size)
        if 2 * size > len(self._table):
            self._table = np.full(1 << (2 * size).bit_length(), _EMPTY, np.int32)
            _place(self._table, self._key[: self.size])
        numbers, self.size = _number(self._table, self._key, self.degree, self.size, src, dst, self.num_nodes)
        return numbers

    def find(self, src: np.ndarray, dst: np.ndarray) -> np.ndarray:
        """Return the number of each pair, or -1, in the shape of `src` and `dst`, which broadcast."""
        check_nodes(self.num_nodes, src, dst)
        keys = src * self.num_nodes + dst
        return _find(self._table, self._key, keys.reshape(-1)).reshape(keys.shape)

    def ends(self, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return sources and destinations of all pairs from a number on, in the order of their numbers."""
        return np.divmod(self._key[first : self.size], self.num_nodes)


class PairLog(PairNumbers):
    """Remembers when ordered node pairs last met; the destinations of a source form a chain, from the newest on.

    Attributes
    ----------
    last : numpy.ndarray
        Last snapshot of each pair, by the number that :meth:`find` gives; int32.

    Examples
    --------
    >>> log = PairLog(3)
    >>> log.add(4, np.array([0, 0]), np.array([1, 2]))
    array([0, 1])
    >>> log.find(np.array([0, 1]), np.array([2, 0]))
    array([ 1, -1])
    >>> log.last[1], log.degree, log.destinations(np.array([0, 1]))
    (np.int32(4), array([2, 0, 0]), (array([0, 0]), array([2, 1])))
    """

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self.last, self._next = np.zeros(8, np.int32), np.zeros(8, np.int32)
        self._head = np.full(self.num_nodes, _EMPTY, np.int32)

    def grow(self, num_nodes: int) -> None:
        """Have more nodes from now on; pairs keep their numbers."""
        super().grow(num_nodes)
        self._head = np.pad(self._head, (0, num_nodes - len(self._head)), constant_values=_EMPTY)

    def add(self, snapshot: int, src: np.ndarray, dst: np.ndarray) -> np.ndarray:
        """Note the pairs of a snapshot; return their numbers."""
        first, numbers = self.size, self.number(src, dst)
        self.last, self._next = with_room(self.last, self.size), with_room(self._next, self.size)
        self.last[numbers] = snapshot
        _chain(self._head, self._next, self._key, first, self.size, self.num_nodes)
        return numbers

    def destinations(self, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return all destinations of some nodes: the row of `nodes` each belongs to, and the destination."""
        row = np.repeat(np.arange(len(nodes)), self.degree[nodes])
        return row, _chains(self._head, self._next, self._key, nodes, len(row), self.num_nodes)

    def common(self, src: np.ndarray, dst: np.ndarray) -> np.ndarray:
        """Count the destinations that source ``(E,)`` and candidate ``(E, C)`` have in common; int64 ``(E, C)``."""
        check_nodes(self.num_nodes, src, dst)
        return _common(self._head, self._next, self._key, src, dst, self.num_nodes)


def with_room(column: np.ndarray, size: int) -> np.ndarray:
    """Return a column with rows of zeros behind, if it had fewer rows, some more than asked for.

    Its memory is made longer where it lies, or moved by the system, page by page: never is it there twice. Views of
    the column from before must not be used.
    """
    if size > len(column):
        column.resize((max(size, len(column) + len(column) // 8), *column.shape[1:]), refcheck=False)
    return column


@njit(cache=True, nogil=True)
def _start(key: int, mask: int) -> int:
    # The middle bits of a wrapping product with an odd number depend on all lower bits of the key (Fibonacci hashing).
    return ((key * -7046029254386353131) >> 20) & mask


@njit(cache=True, nogil=True)
def _place(table: np.ndarray, keys: np.ndarray) -> None:
    mask = len(table) - 1
    for number in range(len(keys)):
        at = _start(keys[number], mask)
        while table[at] >= 0:
            at = (at + 1) & mask
        table[at] = number


@njit(cache=True, nogil=True)
def _number(
    table: np.ndarray, known: np.ndarray, degree: np.ndarray, size: int, src: np.ndarray, dst: np.ndarray,
    num_nodes: int,
) -> tuple[np.ndarray, int]:  # fmt: skip
    mask = len(table) - 1
    numbers = np.empty(len(src), np.int64)
    for i in range(len(src)):
        key = src[i] * num_nodes + dst[i]
        at = _start(key, mask)
        while table[at] >= 0 and known[table[at]] != key:
            at = (at + 1) & mask
        if table[at] < 0:
            table[at] = size
            known[size] = key
            degree[src[i]] += 1
            size += 1
        numbers[i] = table[at]
    return numbers, size


@njit(cache=True, nogil=True)
def _chain(head: np.ndarray, following: np.ndarray, known: np.ndarray, first: int, size: int, num_nodes: int) -> None:
    for number in range(first, size):
        node = known[number] // num_nodes
        following[number] = head[node]
        head[node] = number


@njit(cache=True, nogil=True)
def _find(table: np.ndarray, known: np.ndarray, keys: np.ndarray) -> np.ndarray:
    mask = len(table) - 1
    numbers = np.empty(len(keys), np.int64)
    for i in range(len(keys)):
        at = _start(keys[i], mask)
        while table[at] >= 0 and known[table[at]] != keys[i]:
            at = (at + 1) & mask
        numbers[i] = table[at]
    return numbers


@njit(cache=True, nogil=True)
def _chains(
    head: np.ndarray, following: np.ndarray, known: np.ndarray, nodes: np.ndarray, total: int, num_nodes: int
) -> np.ndarray:
    destinations = np.empty(total, np.int64)
    at = 0
    for i in range(len(nodes)):
        number = head[nodes[i]]
        while number >= 0:
            destinations[at] = known[number] % num_nodes
            number = following[number]
            at += 1
    return destinations


@njit(cache=True, nogil=True)
def _common(
    head: np.ndarray, following: np.ndarray, known: np.ndarray, src: np.ndarray, dst: np.ndarray, num_nodes: int
) -> np.ndarray:
    mark = np.full(num_nodes, -1, np.int64)
    shared = np.zeros(dst.shape, np.int64)
    for i in range(len(src)):
        number = head[src[i]]
        while number >= 0:
            mark[known[number] % num_nodes] = i
            number = following[number]
        for j in range(dst.shape[1]):
            number = head[dst[i, j]]
            while number >= 0:
                shared[i, j] += mark[known[number] % num_nodes] == i
                number = following[number]
    return shared
