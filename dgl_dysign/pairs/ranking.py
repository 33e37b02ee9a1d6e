"""Where nodes stand among all by a value that changes for a few of them at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_CHANGED = 8  # a part of the values, after whose change all are sorted anew
_FEW = 1 << 14  # values that are sorted anew after each change, which is faster


class Ranking:
    """Values of all nodes in ascending order; what changes lies beside until it is an eighth of them.

    Values are not kept twice: who changes some says what they were, and what they are. The least value, that of all
    nodes without a past, is counted alone.

    Examples
    --------
    >>> values = np.array([3.0, 1.0, 2.0])
    >>> ranking = Ranking()
    >>> ranking.below(np.array([3.0]), values.copy)
    array([2])
    >>> ranking.leave(values[[1]])
    >>> values[1] = 5.0
    >>> ranking.enter(values[[1]])
    >>> ranking.below(np.array([3.0, 5.0]), values.copy)
    array([1, 2])
    """

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget the order: all values may have changed."""
        self.known, self._ascending, self._least, self._many = False, np.zeros(0), 0.0, 0
        self._gone, self._new = [np.zeros(0)], [np.zeros(0)]

    def _sort(self, values: np.ndarray) -> None:
        ascending = np.sort(values)
        self.known, self._least = True, ascending[0]
        self._many = int(ascending.searchsorted(self._least, "right"))
        self._ascending = ascending[self._many :].copy()

    def leave(self, values: np.ndarray) -> None:
        """Take out some values."""
        changed, number = sum(map(len, self._gone)) + len(values), self._many + len(self._ascending)
        if number < _FEW or _CHANGED * changed > number:
            self.restart()
        else:
            self._gone.append(values)

    def enter(self, values: np.ndarray) -> None:
        """Put in as many as were taken out."""
        if self.known:
            self._new.append(values)

    def below(self, values: np.ndarray, of_all: Callable[[], np.ndarray]) -> np.ndarray:
        """Return how many of all values, which are asked for where the order is not known, are less than each."""
        if not self.known:
            self._sort(of_all())
        if len(self._new) > 1:
            self._gone, self._new = ([np.sort(np.concatenate(parts))] for parts in (self._gone, self._new))
        less: np.ndarray = self._ascending.searchsorted(values) + np.where(values > self._least, self._many, 0)
        if len(self._new[0]):
            less = less - self._gone[0].searchsorted(values) + self._new[0].searchsorted(values)
        return less
