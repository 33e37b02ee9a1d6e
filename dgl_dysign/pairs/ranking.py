"""Where nodes stand among all by a value that changes for a few of them at a time."""

from __future__ import annotations

import numpy as np

_CHANGED = 8  # a part of the values, after whose change all are sorted anew
_FEW = 1 << 14  # values that are sorted anew at once, which is faster


class Ranking:
    """Values of all nodes in ascending order; what changes lies beside until it is an eighth of them.

    Examples
    --------
    >>> ranking = Ranking(np.array([3.0, 1.0, 2.0]))
    >>> ranking.update(np.array([1]), np.array([5.0]))
    >>> ranking.below(np.array([3.0, 5.0]))
    array([1, 2])
    """

    def __init__(self, values: np.ndarray) -> None:
        self._values = values.copy()
        self._sort()

    def _sort(self) -> None:
        self._ascending = np.sort(self._values)
        self._gone = self._new = np.zeros(0)

    def update(self, nodes: np.ndarray, values: np.ndarray) -> None:
        """Take over the values of some nodes, each once."""
        gone, self._values[nodes] = self._values[nodes], values
        if len(self._values) < _FEW or _CHANGED * (len(self._new) + len(nodes)) > len(self._values):
            self._sort()
        else:
            self._gone = np.sort(np.concatenate([self._gone, gone]))
            self._new = np.sort(np.concatenate([self._new, values]))

    def below(self, values: np.ndarray) -> np.ndarray:
        """Return how many nodes have less than each value."""
        less: np.ndarray = self._ascending.searchsorted(values)
        if len(self._new):
            less = less - self._gone.searchsorted(values) + self._new.searchsorted(values)
        return less
