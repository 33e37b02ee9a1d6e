"""Decayed adjacencies of the edges before a snapshot, all on one structure."""

from __future__ import annotations

from functools import cache, cached_property
from typing import NamedTuple

import numpy as np

from dgl_dysign.pairs._compiled import add_up


class Structure(NamedTuple):
    """Pairs of nodes with an edge in either direction, in both orders, by row and then by column."""

    indptr: np.ndarray
    """Where each row begins, ``(N + 1,)``."""
    indices: np.ndarray
    """Columns, ``(entries,)``."""
    row: np.ndarray
    """Rows, ``(entries,)``."""
    transpose: np.ndarray
    """Place of the same pair in the other order, ``(entries,)``."""
    place: np.ndarray
    """Of each ordered pair that it was made of."""

    @property
    def num_pairs(self) -> int:
        """How many ordered pairs it was made of."""
        return len(self.place)

    @classmethod
    def of(cls, src: np.ndarray, dst: np.ndarray, num_nodes: int) -> Structure:
        """Return that of distinct ordered pairs."""
        keys, places = np.unique(np.concatenate([src * num_nodes + dst, dst * num_nodes + src]), return_inverse=True)
        forth, back = np.split(places, 2)
        transpose = np.empty(len(keys), np.int64)
        transpose[forth], transpose[back] = back, forth
        row, indices = np.divmod(keys, num_nodes)
        return cls(np.searchsorted(row, np.arange(num_nodes + 1)), indices, row, transpose, forth)


class DecayedGraph:
    r"""Adjacencies ``out``, ``into`` (their transposes) and ``near`` (their sums) at snapshot t, as first read.

    Each edge of snapshot t' counts :math:`\gamma^{t - 1 - t'}`. Values are float32, in the order of the structure.

    Parameters
    ----------
    structure : Structure
        Of the pairs.
    number, snapshot, weight : numpy.ndarray
        Of each edge: number of its pair, snapshot, weight.
    t : int
        The snapshot in question.
    """

    def __init__(
        self, structure: Structure, number: np.ndarray, snapshot: np.ndarray, weight: np.ndarray, t: int
    ) -> None:
        self.structure, self.t = structure, t
        self._number, self._snapshot, self._weight = number, snapshot, weight
        self.edges, self.degree = cache(self._edges), cache(self._degree)

    def _edges(self, kind: str, decay: float, sign: int = 0) -> np.ndarray:
        """Return an adjacency, of the edges of one sign or of all, ``(entries,)``."""
        if kind == "near":
            return self.edges("out", decay, sign) + self.edges("into", decay, sign)
        if kind == "into":
            return self.edges("out", decay, sign)[self.structure.transpose]
        kept = (self._weight > 0) == (sign > 0) if sign else slice(None)
        aged = (decay ** (self.t - 1.0 - np.arange(self.t))).astype(np.float32)[self._snapshot[kept]]
        return add_up(self._place[kept], aged, len(self.structure.indices))

    @cached_property
    def _place(self) -> np.ndarray:
        return self.structure.place[self._number]

    def _degree(self, kind: str, decay: float, sign: int = 0) -> np.ndarray:
        """Return the sums of the rows of an adjacency, ``(N,)``."""
        values, total = self.edges(kind, decay, sign), np.zeros(len(self.structure.indptr) - 1, np.float32)
        there = np.flatnonzero(values)
        row = self.structure.row[there]
        first = np.flatnonzero(np.diff(row, prepend=-1))
        total[row[first]] = np.add.reduceat(values[there], first) if len(first) else 0
        return total

    def step(self, kind: str, decay: float, sign: int = 0) -> np.ndarray:
        """Return the transposed transition matrix: column v holds where a walker at v goes next."""
        degree = self.degree(kind, decay, sign)
        transposed = self.edges({"out": "into", "into": "out", "near": "near"}[kind], decay, sign)
        return (1 / np.where(degree > 0, degree, 1))[self.structure.indices] * transposed

    def scaled(self, decay: float) -> np.ndarray:
        """Return edges without direction, over the square root of the product of both degrees."""
        scale = np.maximum(self.degree("near", decay), 1e-9) ** -0.5
        return scale[self.structure.row] * self.edges("near", decay) * scale[self.structure.indices]
