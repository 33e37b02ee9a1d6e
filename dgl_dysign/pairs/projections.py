"""Random projections of decayed temporal walks: what TPNet keeps of the past instead of matrices of all pairs."""

from __future__ import annotations

import math
import warnings

import numpy as np
from numba import njit

from dgl_dysign.pairs.decaying import Decaying

WIDTH = 128  # of the projections: an inner product is off by about 1 / sqrt(128) of the two lengths
LARGE, LARGE_WIDTH = 500_000, 64  # nodes above which they are narrower by default, for the sake of memory
STEPS = 3  # of the longest walks
_ROWS = 1 << 12  # drawn at once
MOST_NOISE = 0.5  # of a product, in lengths, above which projections are warned of
DECAY = 0.94  # of a step with each snapshot that passes: 1e-7 a second, the public code's, where snapshots are weeks


class WalkProjections:
    r"""Projections :math:`H_k = A_k P` of the walks of k steps back in time from each node, k = 0 .. 3.

    TPNet of Lu et al. (NeurIPS 2024): of :math:`A_0 = I` and, with each snapshot of adjacency E (without direction),

    .. math:: A_k \leftarrow \gamma^k A_k + E \, (\gamma^{k-1} A_{k-1})

    where both A on the right are those before the snapshot: each step of a walk is in an earlier snapshot than the one
    before, and counts :math:`\gamma` for each snapshot that has passed since. P has entries of a normal distribution
    of variance 1 / width, so that :math:`H_k H_l^T \approx A_k A_l^T`. Time is O(edges) a snapshot, for what ages is
    a number for each k; memory is 4 x width bytes a node, and three times as much more for one that has edges.

    Parameters
    ----------
    num_nodes : int
        Number of nodes N.
    width : int, optional
        Of the projections; default: 128, of more than 500,000 nodes 64.

    Warns
    -----
    UserWarning
        If the width d is too small for so many nodes: :math:`\sqrt{2 \ln N / d} > 1/2`. Of N nodes whose walks never
        meet one with a source's, the largest product is about this share of the lengths.

    Attributes
    ----------
    drawn : numpy.ndarray
        P, float32, of the nodes up to the last that was met or asked about.
    walks : Decaying
        The other projections, float32 ``(rows, 3, width)``: one row of zeros, and then one for each node with edges.
    row : numpy.ndarray
        Which one belongs to each node, int32 ``(N,)``.
    """

    def __init__(self, num_nodes: int, width: int | None = None) -> None:
        width = width or (WIDTH if num_nodes <= LARGE else LARGE_WIDTH)
        self.walks = Decaying((1, STEPS, width), [DECAY**k for k in range(1, STEPS + 1)], axis=1, dtype=np.float32)
        self.row, self._rows, self._rng = np.zeros(num_nodes, np.int32), 1, np.random.default_rng(0)
        self.drawn = np.zeros((0, width), np.float32)
        self._warn_of_noise()

    def grow(self, num_nodes: int) -> None:
        """Have more nodes, whose walks are empty; projections of the old ones stay."""
        self.row = np.pad(self.row, (0, num_nodes - len(self.row)))
        self._warn_of_noise()

    def _warn_of_noise(self) -> None:
        num_nodes, width = len(self.row), self.drawn.shape[1]
        noise = math.sqrt(2 * math.log(max(num_nodes, 1)) / width)
        if noise > MOST_NOISE:
            warnings.warn(
                f"projections of {num_nodes:,} nodes are {width} wide: among so many, walks that never meet can have a "
                f"product of {noise:.2f} of their lengths; what this family says of weak ties is noise: widen them "
                f"(projection_width), leave 'projections' out of the families, or compare with a run without it",
                stacklevel=4,
            )

    def add(self, snapshot: int, src: np.ndarray, dst: np.ndarray) -> None:
        """Take in the edges of the next snapshot, each in the directions in which it can be walked."""
        self._draw(src, dst)
        new = np.unique(src[self.row[src] == 0])
        self.row[new] = np.arange(self._rows, self._rows + len(new))
        self._rows += len(new)
        self.walks.reserve(self._rows)
        self.walks.age_to(snapshot)
        unit = np.append(1.0, self.walks.unit)
        for k in range(STEPS, 0, -1):  # the longest first: shorter ones are still those before the snapshot
            _step(self.drawn, self.walks.values, self.row, k, np.float32(unit[k] / unit[k - 1]), src, dst)

    def _draw(self, *nodes: np.ndarray) -> None:
        """Draw the rows of P up to some nodes that are missing: the same whenever they are drawn."""
        last = max((int(part.max()) for part in nodes if part.size), default=-1)
        while len(self.drawn) <= last:
            first, width = self.drawn.shape
            self.drawn.resize((first + _ROWS, width), refcheck=False)
            self.drawn[first:] = self._rng.normal(0.0, width**-0.5, (_ROWS, width))

    def products(self, t: int, src: np.ndarray, dst: np.ndarray) -> np.ndarray:
        """Return the inner products at t of sources ``(E,)`` and candidates ``(E, C)``.

        Shape ``(E, C, 4, 4)``: by the steps of the candidate's walks, and then by those of the source's.
        """
        self._draw(src, dst)
        scale = np.append(1.0, self.walks.scale(t)).astype(np.float32)
        ends = src, np.ascontiguousarray(dst)
        return _products(self.drawn, self.walks.values, self.row, *ends) * (scale[:, None] * scale)


@njit(cache=True, nogil=True)
def _walks(drawn: np.ndarray, walks: np.ndarray, row: np.ndarray, k: int, node: int) -> np.ndarray:
    """Return the projection of the walks of k steps of a node."""
    return drawn[node] if k == 0 else walks[row[node], k - 1]


@njit(cache=True, nogil=True)
def _step(
    drawn: np.ndarray, walks: np.ndarray, row: np.ndarray, k: int, factor: np.float32, src: np.ndarray, dst: np.ndarray
) -> None:
    for i in range(len(src)):
        to, of = _walks(drawn, walks, row, k, src[i]), _walks(drawn, walks, row, k - 1, dst[i])
        for j in range(len(to)):
            to[j] += factor * of[j]


@njit(cache=True, nogil=True, fastmath={"reassoc", "nsz"})
def _products(drawn: np.ndarray, walks: np.ndarray, row: np.ndarray, src: np.ndarray, dst: np.ndarray) -> np.ndarray:
    steps, width = walks.shape[1] + 1, drawn.shape[1]
    product, of_src = np.empty((*dst.shape, steps, steps), np.float32), np.empty((steps, width), np.float32)
    for i in range(dst.shape[0]):
        for m in range(steps):
            of_src[m] = _walks(drawn, walks, row, m, src[i])
        for j in range(dst.shape[1]):
            for k in range(steps):
                of_dst = _walks(drawn, walks, row, k, dst[i, j])
                sums = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
                for n in range(width):  # all four at once: each number of the candidate is read once
                    value = of_dst[n]
                    sums = (
                        sums[0] + value * of_src[0, n], sums[1] + value * of_src[1, n],
                        sums[2] + value * of_src[2, n], sums[3] + value * of_src[3, n],
                    )  # fmt: skip
                product[i, j, k, 0], product[i, j, k, 1], product[i, j, k, 2], product[i, j, k, 3] = sums
    return product
