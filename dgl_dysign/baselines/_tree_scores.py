"""Scores of many rows by scikit-learn's boosted trees, compiled: a tree is asked by all rows of a block at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit

_LEAVES = 8  # of a tree at most: a bit of a byte for each
_ROWS = 512  # of a block, whose columns lie in the cache
_PARTS = (
    "column",
    "passing",
    "right",
    "first",
    "value",
)  # tests of all trees, each tree's first test, its leaves' values
_LOWEST = np.array([next((bit for bit in range(_LEAVES) if byte >> bit & 1), 0) for byte in range(1 << _LEAVES)])


class TreeScores:
    """What ``decision_function`` returns of a classifier that was fitted to numbers of bins, asked by the values.

    To the last bit, and some hundred times as fast, which is what scoring 100 negatives an edge asks for. A row bears
    all leaves of a tree that it may end in (QuickScorer of Lucchese et al., SIGIR 2015): a test that it fails takes
    those on the left away, and of what is left the first is the one.

    Parameters
    ----------
    classifier : HistGradientBoostingClassifier
        Of two classes, of trees of at most 8 leaves, fitted to the numbers of bins.
    edges : sequence of numpy.ndarray
        The largest value of each bin of a column but the last.
    """

    def __init__(self, classifier: Any, edges: list[np.ndarray]) -> None:
        self._tests: list[tuple[int, np.float32, int]] = []  # column, largest value that passes, leaves on the right
        first, values = [0], []
        for (predictor,) in classifier._predictors:
            leaves: list[float] = []
            self._read(predictor.nodes, 0, edges, leaves)
            first.append(len(self._tests))
            values.append([*leaves, *[0.0] * (_LEAVES - len(leaves))])
        columns, passing, right = zip(*self._tests, strict=True) if self._tests else ((), (), ())
        tests = np.array(columns, np.int64), np.array(passing, np.float32), np.array(right, np.uint8)
        self._trees: tuple[np.ndarray, ...] = *tests, np.array(first), np.array(values)
        self._start = float(classifier._baseline_prediction.item())

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all that scores are made of, as `restored` takes it."""
        return {**dict(zip(_PARTS, self._trees, strict=True)), "start": np.array([self._start])}

    @classmethod
    def restored(cls, arrays: Mapping[str, np.ndarray]) -> TreeScores:
        """Return the scores that `arrays` are of, or raise ``ValueError``: compiled code would read beyond them."""
        scores = cls.__new__(cls)
        column, passing, right, first, value = scores._trees = tuple(arrays[name] for name in _PARTS)
        scores._start = float(arrays["start"].item())
        sizes = len({len(column), len(passing), len(right)}), value.shape[1:], first[0], first[-1], len(first)
        ascending = column.min(initial=0) >= 0 and (np.diff(first) >= 0).all()
        if not ascending or sizes != (1, (_LEAVES,), 0, len(column), len(value) + 1):
            raise ValueError(f"expected trees of {_LEAVES} leaves, with tests that follow each other")
        return scores

    @property
    def columns(self) -> int:
        """How many must be there."""
        return int(self._trees[0].max(initial=-1)) + 1

    def _read(self, nodes: np.ndarray, at: int, edges: list[np.ndarray], leaves: list[float]) -> None:
        """Note the tests and leaves below a node, from the left to the right."""
        node = nodes[at]
        if node["is_leaf"]:
            leaves.append(node["value"])
            return
        before = len(leaves)
        self._read(nodes, node["left"], edges, leaves)
        on_left, column = (1 << len(leaves)) - (1 << before), int(node["feature_idx"])
        self._tests.append((column, edges[column][int(node["num_threshold"])], 0xFF ^ on_left))
        self._read(nodes, node["right"], edges, leaves)

    def __call__(self, feat: np.ndarray) -> np.ndarray:
        """Return float64 scores ``(n,)`` of float32 values ``(n, F)``."""
        total = np.full(len(feat), self._start)
        _add(feat, *self._trees, _LOWEST, total)
        return total


@njit(cache=True, nogil=True)
def _add(
    feat: np.ndarray, column: np.ndarray, passing: np.ndarray, right: np.ndarray, first: np.ndarray, value: np.ndarray,
    lowest: np.ndarray, total: np.ndarray,
) -> None:  # fmt: skip
    for begin in range(0, len(feat), _ROWS):
        columns = np.ascontiguousarray(feat[begin : begin + _ROWS].T)
        size = columns.shape[1]
        leaves = np.empty(size, np.uint8)
        for tree in range(len(value)):
            leaves[:] = 0xFF
            for test in range(first[tree], first[tree + 1]):
                of_column, most, on_right = columns[column[test]], passing[test], right[test]
                for i in range(size):
                    leaves[i] &= np.uint8(0xFF) if of_column[i] <= most else on_right
            for i in range(size):
                total[begin + i] += value[tree, lowest[leaves[i]]]
