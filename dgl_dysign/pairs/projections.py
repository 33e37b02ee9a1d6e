"""Random projections of decayed temporal walks: what TPNet keeps of the past instead of matrices of all pairs."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

WIDTH = 128  # of the projections: an inner product is off by about 1 / sqrt(128) of the two lengths
STEPS = 3  # of the longest walks
DECAY = 0.94  # of a step with each snapshot that passes: 1e-7 a second, the public code's, where snapshots are weeks


class WalkProjections:
    r"""Projections :math:`H_k = A_k P` of the walks of k steps back in time from each node, k = 0 .. 3.

    TPNet of Lu et al. (NeurIPS 2024): of :math:`A_0 = I` and, with each snapshot of adjacency E (without direction),

    .. math:: A_k \leftarrow \gamma^k A_k + E \, (\gamma^{k-1} A_{k-1})

    where both A on the right are those before the snapshot: each step of a walk is in an earlier snapshot than the one
    before, and counts :math:`\gamma` for each snapshot that has passed since. P has entries of a normal distribution
    of variance 1 / 128, so that :math:`H_k H_l^T \approx A_k A_l^T`. Time is O(edges) a snapshot, memory O(N).

    Parameters
    ----------
    num_nodes : int
        Number of nodes N.

    Attributes
    ----------
    walks : numpy.ndarray
        The projections after the snapshot ``snapshot``, float32 ``(4, N, 128)``.
    """

    def __init__(self, num_nodes: int) -> None:
        self.snapshot = -1
        self.walks = np.zeros((STEPS + 1, num_nodes, WIDTH), np.float32)
        self.walks[0] = _drawn(num_nodes)

    def grow(self, num_nodes: int) -> None:
        """Have more nodes, whose walks are empty; projections of the old ones stay."""
        more = num_nodes - self.walks.shape[1]
        self.walks = np.pad(self.walks, ((0, 0), (0, more), (0, 0)))
        self.walks[0] = _drawn(num_nodes)

    def add(self, snapshot: int, src: np.ndarray, dst: np.ndarray) -> None:
        """Take in the edges of the next snapshot, each in the directions in which it can be walked."""
        self.walks = self.at(snapshot)
        nodes = self.walks.shape[1]
        edges = sp.csr_matrix((np.ones(len(src), np.float32), (src, dst)), shape=(nodes, nodes))
        self.walks[1:] += np.stack([edges @ walks for walks in self.walks[:-1]])  # the right side is summed up first
        self.snapshot = snapshot

    def at(self, snapshot: int) -> np.ndarray:
        """Return the projections at the beginning of a later snapshot, aged up to it."""
        age = DECAY ** ((snapshot - self.snapshot) * np.arange(STEPS + 1))
        return self.walks * age.astype(np.float32)[:, None, None]


def _drawn(num_nodes: int) -> np.ndarray:
    """Return P; of more nodes its first rows are the same."""
    return np.random.default_rng(0).normal(0.0, WIDTH**-0.5, (num_nodes, WIDTH)).astype(np.float32)
