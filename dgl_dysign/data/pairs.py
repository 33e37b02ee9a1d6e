"""Numbering the node pairs of a stream of events, so that any snapshot's weights are one count without a sort."""

from threading import Lock

import numpy as np


class PairIndex:
    r"""Numbers node pairs in the order in which they first occur, snapshot by snapshot.

    Pairs known at snapshot t are then numbers ``0 .. P_t - 1``, whatever was asked before, and the weight of each pair
    at t for any decay :math:`\gamma` is :math:`\sum_{e} \gamma^{t - t_e}` over its events: one weighted count over
    their numbers.

    Parameters
    ----------
    num_nodes : int
        Number of nodes; a pair's key is ``src * num_nodes + dst`` in int64.
    unordered : bool
        Whether (u, v) and (v, u) are one pair, kept as (min, max).

    Examples
    --------
    >>> pairs = PairIndex(num_nodes=3, unordered=True)
    >>> pairs.append(np.array([0, 1, 1]), np.array([1, 0, 2]))
    >>> pairs.append(np.array([2]), np.array([1]))
    >>> src, dst, weight = pairs.weights(1, decay=0.5)
    >>> src, dst, weight
    (array([0, 1]), array([1, 2]), array([1. , 1.5]))
    """

    def __init__(self, num_nodes: int, unordered: bool) -> None:
        self.num_nodes = num_nodes
        self.unordered = unordered
        self.lock = Lock()
        self._keys: list[np.ndarray] = []  # of the pairs that are new in each snapshot, in the order of their numbers
        self._numbers: list[np.ndarray] = []  # of each snapshot's events
        self._sorted = np.empty(0, np.int64)  # all keys, to look numbers up
        self._rank = np.empty(0, np.int64)  # number of each key of _sorted

    def __len__(self) -> int:
        return len(self._keys)

    def append(self, src: np.ndarray, dst: np.ndarray) -> None:
        """Take in the events of the next snapshot."""
        keys, inverse = np.unique(self._key(src, dst), return_inverse=True)
        place = np.searchsorted(self._sorted, keys)
        known = np.zeros(len(keys), bool)
        inside = place < len(self._sorted)
        known[inside] = self._sorted[place[inside]] == keys[inside]
        numbers = np.empty(len(keys), np.int64)
        numbers[known] = self._rank[place[known]]
        numbers[~known] = np.arange(len(self._sorted), len(self._sorted) + np.count_nonzero(~known))
        self._sorted = np.insert(self._sorted, place[~known], keys[~known])
        self._rank = np.insert(self._rank, place[~known], numbers[~known])
        self._keys.append(keys[~known])
        self._numbers.append(numbers[inverse])

    def _key(self, src: np.ndarray, dst: np.ndarray) -> np.ndarray:
        if self.unordered:
            src, dst = np.minimum(src, dst), np.maximum(src, dst)
        return src.astype(np.int64) * self.num_nodes + dst

    def weights(self, snapshot: int, decay: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return source, destination and float64 weight of the pairs that are known at a snapshot."""
        keys = np.concatenate(self._keys[: snapshot + 1])
        parts = self._numbers[: snapshot + 1]
        age = np.arange(snapshot, -1, -1)
        aged = np.repeat(np.power(float(decay), age), [len(part) for part in parts])
        weight = np.bincount(np.concatenate(parts), weights=aged, minlength=len(keys))
        return keys // self.num_nodes, keys % self.num_nodes, weight
