"""Spectral features: a truncated SVD of the log-smoothed, time-decayed proximity of each snapshot."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from data_prep.features._past import Events, accumulate, check_decay
from dgl_dysign.errors import ConfigError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

#: Rows worked on at a time. Fixed, so that sums are taken in one order whatever the number of cores.
_BLOCK = 512

#: log1p(x) is close to this times x on [0, 1]: largest error 0.06, mean square error 0.0007.
_SLOPE = 0.75


def spectral(
    events: Events,
    dim: int = 256,
    seed: int = 0,
    *,
    decay: float | Sequence[float] = (0.7, 0.3),
    iterations: int = 2,
    oversample: int = 32,
    threshold: float = 1.0,
    progress: Callable[[float], None] | None = None,
) -> Iterator[np.ndarray]:
    r"""Yield for each snapshot the leading singular vectors of its log-smoothed proximity.

    Source: the reference rows of this project; the matrix is in the family of NetMF (Qiu et al., WSDM 2018), the
    randomised range finder that of Halko, Martinsson and Tropp (SIAM Review 2011).

    .. math:: S_t = \log(1 + (P + P^2 + P^3)\, n / 50),\quad P = D^{-1/2} A D^{-1/2},\quad
              A_{uv} = \sum_{e = (u, v),\, t_e \le t} \mathrm{decay}^{\,t - t_e}

    with n the number of nodes seen so far. S is symmetric, so that its singular vectors are its eigenvectors ordered by
    :math:`|\lambda|`; row i of the features is :math:`|\lambda|^{1/2}` times row i of the eigenvectors, at length 1.
    The subspace iteration of a snapshot starts from the features of the one before, with random rows for new nodes, and
    its result is rotated onto them by orthogonal Procrustes, so that consecutive snapshots share one space. A snapshot
    without events repeats the one before: S does not depend on the scale of A.

    Parameters
    ----------
    events : Events
        Events sorted by snapshot.
    dim : int, default 256
        Number of columns for each decay. Columns beyond the rank of S are zero.
    seed : int, default 0
        Seed of the random start.
    decay : float or sequence of float in (0, 1], default (0.7, 0.3)
        What an event's weight is multiplied by with each snapshot that passes; the features of several decays stand
        side by side. A slow and a fast one together classify DBLP better than either.
    iterations : int >= 1, default 2
        Orthonormalised products with S a snapshot; three times as many for the first. More bring the features closer to
        the exact singular vectors, and cost time; on DBLP they do not classify better.
    oversample : int >= 0, default 32
        Random directions beside those of the snapshot before: they find what is new.
    threshold : float >= 0, default 1.0
        Entries of :math:`x = (P + P^2 + P^3) n / 50` up to it are taken as 0.75 x in place of log(1 + x), so that they
        need not be stored. 0 is exact, and takes the memory of the full matrix.
    progress : callable, optional
        Called with the fraction done after each snapshot.

    Yields
    ------
    numpy.ndarray, shape (N, number of decays * dim), float32
        Rows of nodes not seen yet are zero.

    Raises
    ------
    ConfigError
        If a parameter is outside its range.

    Examples
    --------
    >>> from data_prep.features import features
    >>> [x.shape for x in features("spectral", [0, 1], [0, 1], [1, 2], num_nodes=4, num_snapshots=2, dim=2)]
    [(4, 4), (4, 4)]
    """
    decays = [float(x) for x in np.atleast_1d(decay)]
    if not decays:
        raise ConfigError("decay: got none, expected one at least")
    for one in decays:
        check_decay(one)
    _check(iterations, oversample, threshold)
    parts = [_one_decay(events, dim, seed, one, iterations, oversample, threshold) for one in decays]
    for snapshot, blocks in enumerate(zip(*parts, strict=True)):
        if progress is not None:
            progress((snapshot + 1) / events.num_snapshots)
        yield np.concatenate(blocks, axis=1)


def _one_decay(
    events: Events, dim: int, seed: int, decay: float, iterations: int, oversample: int, threshold: float
) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(seed)
    previous = np.zeros((events.num_nodes, dim), dtype=np.float32)
    rounds = 3 * iterations
    for past in accumulate(events, decay):
        if past.changed.any():
            start = _start(previous[past.nodes], oversample, rng)
            features = np.zeros_like(previous)
            with _Workers() as workers:
                found = _leading(LogProximity(past.adjacency, threshold, workers), start, dim, rounds)
                features[past.nodes] = _align(found, previous[past.nodes])
            previous, rounds = features, iterations
        yield previous


def _check(iterations: int, oversample: int, threshold: float) -> None:
    if iterations < 1:
        raise ConfigError(f"iterations: got {iterations}, expected at least 1")
    if oversample < 0:
        raise ConfigError(f"oversample: got {oversample}, expected at least 0")
    if not 0 <= threshold < np.inf:
        raise ConfigError(f"threshold: got {threshold}, expected a finite number of at least 0")


class _Workers:
    """Threads over fixed blocks of rows, with single-threaded BLAS inside, so that every sum has one order."""

    def __enter__(self) -> _Workers:
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        self._blas = threadpool_limits(limits=1, user_api="blas")
        self._pool = ThreadPoolExecutor(os.cpu_count())
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.shutdown()
        self._blas.restore_original_limits()

    def map(self, function: Callable[[slice], object], num_rows: int) -> list:
        """Return the results of a function of a block of rows, in order."""
        return list(self._pool.map(function, (slice(i, i + _BLOCK) for i in range(0, num_rows, _BLOCK))))


class LogProximity:
    r"""The symmetric matrix S of :func:`spectral`, without its small entries, which act through P alone.

    .. math:: S \approx 0.75\, c\, (P + P^2 + P^3) + C, \quad
              C_{uv} = [x_{uv} > \mathrm{threshold}]\,(\log(1 + x_{uv}) - 0.75\, x_{uv}), \quad c = n / 50

    Parameters
    ----------
    adjacency : csr_array, shape (n, n)
        Symmetric, non-negative.
    threshold : float
        Largest entry that is taken as linear; 0: none, S is exact.
    workers : _Workers
        What runs the blocks of rows.
    """

    def __init__(self, adjacency: csr_array, threshold: float, workers: _Workers) -> None:
        self.workers = workers
        degree = adjacency.sum(axis=1)
        scale = np.divide(1, np.sqrt(degree), out=np.zeros_like(degree), where=degree > 0)
        walk = adjacency.tocoo()
        walk.data = walk.data * scale[walk.row] * scale[walk.col]
        self.walk = walk.tocsr().astype(np.float32)
        self.size = np.float32(adjacency.shape[0] / 50)
        self.correction = workers.map(self._correct(threshold), adjacency.shape[0])

    def _correct(self, threshold: float) -> Callable[[slice], csr_array]:
        def rows(block: slice) -> csr_array:
            one = self.walk[block]
            two = one @ self.walk
            entries = (one + two + two @ self.walk) * self.size
            x = entries.data
            entries.data = np.where(x > threshold, np.log1p(x) - np.float32(_SLOPE) * x, np.float32(0))
            entries.eliminate_zeros()
            return entries

        return rows

    def __matmul__(self, basis: np.ndarray) -> np.ndarray:
        """Return S times a dense (n, k) matrix."""
        powers = basis
        for step in range(3):
            powers = self._times(lambda block: self.walk[block], powers)
            if step < 2:
                powers += basis
        powers *= np.float32(_SLOPE) * self.size
        powers += self._times(lambda block: self.correction[block.start // _BLOCK], basis)
        return powers

    def _times(self, rows: Callable[[slice], csr_array], basis: np.ndarray) -> np.ndarray:
        return np.concatenate(self.workers.map(lambda block: rows(block) @ basis, len(basis)))

    def gram(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return ``left.T @ right`` summed in float64 over the blocks."""
        parts = self.workers.map(lambda rows: (left[rows].T @ right[rows]).astype(np.float64), len(left))
        return np.sum(parts, axis=0)


def _orthonormal(proximity: LogProximity, basis: np.ndarray) -> np.ndarray:
    # By the Gram matrix: ten times cheaper than QR for tall matrices. Directions lost to rounding are dropped.
    values, vectors = np.linalg.eigh(proximity.gram(basis, basis))
    kept = values > values[-1] * 1e-6
    return basis @ (vectors[:, kept] / np.sqrt(values[kept])).astype(np.float32)


def _start(previous: np.ndarray, oversample: int, rng: np.random.Generator) -> np.ndarray:
    """Return the rows of the snapshot before, random rows of length about 1 for new nodes, and random columns."""
    rows, dim = previous.shape
    start = rng.standard_normal((rows, dim + oversample), dtype=np.float32) / np.float32(np.sqrt(dim))
    known = previous.any(axis=1)
    start[known, :dim] = previous[known]
    return start


def _leading(proximity: LogProximity, start: np.ndarray, dim: int, iterations: int) -> np.ndarray:
    """Return |lambda|^(1/2) times the leading eigenvectors, rows scaled to length 1, by subspace iteration."""
    basis = _orthonormal(proximity, start)
    for _ in range(iterations - 1):
        basis = _orthonormal(proximity, proximity @ basis)
    projected = proximity.gram(basis, proximity @ basis)
    values, vectors = np.linalg.eigh((projected + projected.T) / 2)
    order = np.argsort(-np.abs(values), kind="stable")[:dim]
    rows = basis @ (vectors[:, order] * np.sqrt(np.abs(values[order]))).astype(np.float32)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
    return np.pad(rows, [(0, 0), (0, dim - rows.shape[1])])


def _align(features: np.ndarray, previous: np.ndarray) -> np.ndarray:
    """Rotate features onto the previous ones; rows of new nodes are zero there and do not pull."""
    left, _, right = np.linalg.svd(features.T.astype(np.float64) @ previous)
    return features @ (left @ right).astype(np.float32)
