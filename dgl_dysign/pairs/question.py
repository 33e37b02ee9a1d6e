"""Sources and candidates that are looked up at a snapshot, and what several columns share of the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property

import numpy as np

from dgl_dysign.pairs import _compiled
from dgl_dysign.pairs.decayed_graph import DecayedGraph
from dgl_dysign.pairs.derived import Nodes
from dgl_dysign.pairs.history import History

Columns = Iterator[tuple[str, Callable[[], np.ndarray]]]
"""Names of columns, and functions that compute them."""
_BLOCK = 96  # sources whose walkers step together; memory is O(N) for them


class Question:
    """Sources ``(E,)`` and candidates ``(E, C)`` at snapshot t, after a history.

    Attributes
    ----------
    src, dst : numpy.ndarray
        Sources ``(E, 1)`` and candidates ``(E, C)``.
    forth, back : callable
        Time and weight of the last edge of each pair, and against it; computed once.
    """

    def __init__(self, past: History, t: int, src: np.ndarray, dst: np.ndarray) -> None:
        self.past, self.t, self.src, self.dst = past, t, src[:, None], dst
        self.forth = cache(lambda: past.pair(np.broadcast_to(self.src, dst.shape), dst))
        self.back = cache(lambda: past.pair(dst, np.broadcast_to(self.src, dst.shape)))

    @cached_property
    def candidates(self) -> tuple[np.ndarray, np.ndarray]:
        """Distinct candidates, and the place of each candidate among them, ``(E, C)``."""
        nodes, place = np.unique(self.dst, return_inverse=True)
        return nodes, place.reshape(self.dst.shape)

    def of_end(self, end: str, column: Callable[[Nodes], np.ndarray]) -> np.ndarray:
        """Return what depends on one end alone: of sources ``(E, 1)``, of candidates ``(E, C)``, once for each node."""
        if end == "src":
            return column(self.src)
        nodes, place = self.candidates
        return column(nodes)[place]

    @property
    def graph(self) -> DecayedGraph:
        """Adjacencies at t."""
        return self.past.graph(self.t)

    def paths(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return how many paths of two steps there are: rows of sources in one matrix times those of candidates."""
        structure = self.graph.structure
        ends = self.past.num_nodes, self.src[:, 0], np.ascontiguousarray(self.dst)
        return _compiled.paths(*structure[:2], np.float64(first), np.float64(second), *ends)

    def walk(
        self, matrices: Sequence[np.ndarray], order: Sequence[int], sums: Sequence[Sequence[float]],
        ahead: Sequence[tuple[int, np.ndarray | float]] = (), scale: float = 1.0,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """Return sums over walkers from the sources, see `_compiled.walk`, and log(1 + the nodes ahead of a candidate).

        ``ahead`` says in which sums, each times a weight of the nodes. Returns ``(Q, E, C)`` and ``(A, E, C)``.
        """
        sources, row = np.unique(self.src[:, 0], return_inverse=True)
        padded = np.array([[*part, *[0.0] * (len(order) + 1 - len(part))] for part in sums], np.float32)
        steps = *self.graph.structure[:2], np.stack(matrices), np.array(order), np.float32(scale), padded
        value = np.empty((len(sums), *self.dst.shape), np.float32)
        above = np.empty((len(ahead), *self.dst.shape), np.int64)
        for begin in range(0, len(sources), _BLOCK):
            total = _compiled.walk(*steps, sources[begin : begin + _BLOCK]).transpose(0, 2, 1)
            of_block = np.flatnonzero((row >= begin) & (row < begin + _BLOCK))
            place, dst = row[of_block] - begin, self.dst[of_block]
            value[:, of_block] = total[:, place[:, None], dst]
            for number, (part, weight) in enumerate(ahead):
                score = np.ascontiguousarray(total[part] * weight, np.float32)
                above[number, of_block] = _compiled.count_ahead(score, place, score[place[:, None], dst])
        return value, np.log1p(above)
