"""Random projections of decayed temporal walks: what TPNet keeps of the past instead of matrices of all pairs."""

from __future__ import annotations

import math
import warnings

import numpy as np
from numba import njit

from dgl_dysign.pairs.decaying import Decaying

WIDTH = 128  # of the projections: an inner product is off by about 1 / sqrt(128) of the two lengths
LARGE, LARGE_WIDTH = 500_000, 64  # nodes above which they are narrower, for the sake of memory
STEPS = 3  # of the longest walks
_ROWS = 1 << 16  # drawn at once
MOST_NOISE = 0.5  # of a product, in lengths, above which projections are warned of
DECAY = 0.94  # of a step with each snapshot that passes: 1e-7 a second, the public code's, where snapshots are weeks


class WalkProjections:
    r"""Projections :math:`H_k = A_k P` of the walks of k steps back in time from each node, k = 0 .. 3.

    TPNet of Lu et al. (NeurIPS 2024): of :math:`A_0 = I` and, with each snapshot of adjacency E (without direction),

    .. math:: A_k \leftarrow \gamma^k A_k + E \, (\gamma^{k-1} A_{k-1})

    where both A on the right are those before the snapshot: each step of a walk is in an earlier snapshot than the one
    before, and counts :math:`\gamma` for each snapshot that has passed since. P has entries of a normal distribution
    of variance 1 / 128, so that :math:`H_k H_l^T \approx A_k A_l^T`. Time is O(edges) a snapshot, for
    what ages is a number for each k; memory is O(N), 2 KiB a node.

    Parameters
    ----------
    num_nodes : int
        Number of nodes N; of more than 500,000 projections are 64 wide.

    Warns
    -----
    UserWarning
        If the width d is too small for so many nodes: :math:`\sqrt{2 \ln N / d} > 1/2`. Of N nodes whose walks never
        meet one with a source's, the largest product is about this share of the lengths.

    Attributes
    ----------
    walks : Decaying
        The projections, float32 ``(4, N, width)``.
    """

    def __init__(self, num_nodes: int) -> None:
        aged = [DECAY**k for k in range(STEPS + 1)]
        width = WIDTH if num_nodes <= LARGE else LARGE_WIDTH
        self.walks = Decaying((STEPS + 1, num_nodes, width), aged, axis=0, dtype=np.float32)
        _draw(self.walks.values[0])
        self._warn_of_noise()

    def grow(self, num_nodes: int) -> None:
        """Have more nodes, whose walks are empty; projections of the old ones stay."""
        self.walks.grow(num_nodes, axis=1)
        _draw(self.walks.values[0])
        self._warn_of_noise()

    def _warn_of_noise(self) -> None:
        num_nodes, width = self.walks.values.shape[1:]
        noise = math.sqrt(2 * math.log(max(num_nodes, 1)) / width)
        if noise > MOST_NOISE:
            warnings.warn(
                f"projections of {num_nodes:,} nodes are {width} wide: among so many, walks that never meet can have a "
                f"product of {noise:.2f} of their lengths; what this family says of weak ties is noise: leave "
                f"'projections' out of the families, or compare with a run without it",
                stacklevel=4,
            )

    def add(self, snapshot: int, src: np.ndarray, dst: np.ndarray) -> None:
        """Take in the edges of the next snapshot, each in the directions in which it can be walked."""
        self.walks.age_to(snapshot)
        unit = self.walks.unit
        for k in range(STEPS, 0, -1):  # the longest first: shorter ones are still those before the snapshot
            _step(self.walks.values[k], self.walks.values[k - 1], np.float32(unit[k] / unit[k - 1]), src, dst)

    def products(self, t: int, src: np.ndarray, dst: np.ndarray) -> np.ndarray:
        """Return the inner products at t of sources ``(E,)`` and candidates ``(E, C)``.

        Shape ``(E, C, 4, 4)``: by the steps of the candidate's walks, and then by those of the source's.
        """
        scale = self.walks.scale(t).astype(np.float32)
        return _products(self.walks.values, src, np.ascontiguousarray(dst)) * (scale[:, None] * scale)


@njit(cache=True, nogil=True)
def _step(longer: np.ndarray, walks: np.ndarray, factor: np.float32, src: np.ndarray, dst: np.ndarray) -> None:
    for i in range(len(src)):
        to, of = longer[src[i]], walks[dst[i]]
        for j in range(len(to)):
            to[j] += factor * of[j]


@njit(cache=True, nogil=True, fastmath={"reassoc", "nsz"})
def _products(walks: np.ndarray, src: np.ndarray, dst: np.ndarray) -> np.ndarray:
    steps = len(walks)
    product = np.empty((*dst.shape, steps, steps), np.float32)
    for i in range(dst.shape[0]):
        for j in range(dst.shape[1]):
            for k in range(steps):
                for m in range(steps):
                    of_dst, of_src, total = walks[k, dst[i, j]], walks[m, src[i]], np.float32(0)
                    for n in range(len(of_dst)):
                        total += of_dst[n] * of_src[n]
                    product[i, j, k, m] = total
    return product


def _draw(values: np.ndarray) -> None:
    """Draw P; of more nodes its first rows are the same."""
    rng, width = np.random.default_rng(0), values.shape[1]
    for first in range(0, len(values), _ROWS):
        rows = values[first : first + _ROWS]
        rows[:] = rng.normal(0.0, width**-0.5, rows.shape)
