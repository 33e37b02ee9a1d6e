"""Spectral features: a truncated SVD of the log-smoothed, time-decayed proximity of each snapshot."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from data_prep.features._checkpoint import Checkpoints, State, of_generator, set_generator
from data_prep.features._past import Events, Grown, Past, accumulate, check_decay
from dgl_dysign.errors import ConfigError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Rows worked on at a time. Fixed, so that sums are taken in one order whatever the number of cores.
_BLOCK = 512

# Paths that one thread follows at a time: bounds its memory. All blocks of DBLP have fewer.
_PATHS = 1 << 23

# log1p(x) is close to this times x on [0, 1]: largest error 0.06, mean square error 0.0007.
_SLOPE = 0.75

# Random numbers that are drawn together only to get past them.
_DRAWN = 1 << 22

# Rows that are rotated together in float64. Fixed: the last bits of the rotation depend on it.
_ROWS = 1 << 16


def spectral(
    events: Events,
    dim: int = 256,
    seed: int = 0,
    *,
    decay: float | Sequence[float] = (0.7, 0.3),
    iterations: int = 2,
    oversample: int = 32,
    threshold: float = 1.0,
    max_paths: int = 1 << 28,
    progress: Callable[[float], None] | None = None,
    start: int = 0,
    checkpoints: Checkpoints | None = None,
    grown: Grown | None = None,
) -> Iterator[np.ndarray]:
    r"""Yield for each snapshot the leading singular vectors of its log-smoothed proximity.

    Source: the reference rows of this project; the matrix is in the family of NetMF (Qiu et al., WSDM 2018), the
    randomised range finder that of Halko, Martinsson and Tropp (SIAM Review 2011).

    .. math:: S_t = \log(1 + (P + P^2 + P^3)\, n / 50),\quad P = D^{-1/2} A D^{-1/2},\quad
              A_{uv} = \sum_{e = (u, v),\, t_e \le t} \mathrm{decay}^{\,t - t_e}

    with n the number of nodes seen so far. S is symmetric, so that its singular vectors are its eigenvectors ordered by
    :math:`|\lambda|`; row i of the features is :math:`|\lambda|^{1/2}` times row i of the eigenvectors, at length 1.
    The subspace iteration of a snapshot starts from the features of the one before, with random rows for new nodes;
    orthogonal Procrustes rotates its result onto them, so that snapshots share one space. A snapshot without events
    repeats the one before: S does not depend on the scale of A.

    Parameters
    ----------
    dim : int, default 256
        Number of columns for each decay. Columns beyond the rank of S are zero.
    seed : int, default 0
        Seed of the random start.
    decay : float or sequence of float in (0, 1], default (0.7, 0.3)
        What an event's weight is multiplied by with each snapshot that passes; the features of several decays stand
        side by side. A slow and a fast one together classify DBLP better than either.
    iterations : int >= 1, default 2
        Orthonormalised products with S a snapshot; three times as many for the first. On DBLP more of them do not
        classify better.
    oversample : int >= 0, default 32
        Random directions beside those of the snapshot before, for what is new.
    threshold : float >= 0, default 1.0
        Entries of :math:`x = (P + P^2 + P^3) n / 50` up to it are taken as 0.75 x in place of log(1 + x), and not
        stored. 0 is exact, and takes the memory of the full matrix.
    max_paths : int >= 0, default 2^28
        Paths of two and three steps that are followed to find the larger entries, at most; in a graph with more they
        avoid the busiest nodes (see :class:`LogProximity`). DBLP has 195 million. With limits of 30 and 3 million, a
        logistic regression and nearest neighbours classified it within 0.7 points of Macro-F1, with 0 within 1.3
        (spread over splits: 0.5), and 12,214 patents within 0.4 with any limit.
    events, progress, start, checkpoints, grown
        As of every kind, see :func:`data_prep.features.features`: without checkpoints a late start computes all
        snapshots before, too.

    Yields
    ------
    numpy.ndarray, shape (N, number of decays * dim), float32
        Rows of nodes not seen yet are zero.

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
    _check(iterations, oversample, threshold, max_paths)
    settings = _Settings(dim, iterations, oversample, threshold, max_paths)
    tracks = [_Track(events.num_nodes, seed, settings) for _ in decays]
    first, saved = checkpoints.load(start) if checkpoints else (0, {})
    if grown and first < grown.snapshot:
        first, saved = grown.snapshot, _state_of(grown, events, seed, settings)
    for index, track in enumerate(tracks if saved else ()):
        track.restore(saved, index)
    # All decays of a snapshot, then the next snapshot: each has its own accumulated graph.
    for pasts in zip(*(accumulate(events, one, first) for one in decays), strict=True):
        for track, past in zip(tracks, pasts, strict=True):
            track.advance(past)
        done = pasts[0].snapshot + 1
        if progress is not None:
            progress(done / events.num_snapshots)
        if done > start:
            yield np.concatenate([track.features for track in tracks], axis=1)
        # Here the snapshot has been taken over: a checkpoint is never ahead of what was written.
        if checkpoints and done < events.num_snapshots:
            checkpoints.save_if_due(done, lambda: _state(tracks))


def _check(iterations: int, oversample: int, threshold: float, max_paths: int) -> None:
    if iterations < 1:
        raise ConfigError(f"iterations: got {iterations}, expected at least 1")
    if oversample < 0:
        raise ConfigError(f"oversample: got {oversample}, expected at least 0")
    if not 0 <= threshold < np.inf:
        raise ConfigError(f"threshold: got {threshold}, expected a finite number of at least 0")
    if max_paths < 0:
        raise ConfigError(f"max_paths: got {max_paths}, expected at least 0")


class _Settings(NamedTuple):
    dim: int
    iterations: int
    oversample: int
    threshold: float
    max_paths: int


class _Track:
    """The features of one decay, and what the next snapshot starts from."""

    def __init__(self, num_nodes: int, seed: int, settings: _Settings) -> None:
        self.settings = settings
        self.features = np.zeros((num_nodes, settings.dim), dtype=np.float32)
        self._rng = np.random.default_rng(seed)
        self._rounds = 3 * settings.iterations

    def state(self, index: int) -> State:
        state = {"features": self.features, "rng": of_generator(self._rng), "rounds": np.array(self._rounds)}
        return {f"{name}{index}": array for name, array in state.items()}

    def restore(self, state: State, index: int) -> None:
        self.features, self._rounds = state[f"features{index}"], int(state[f"rounds{index}"])
        set_generator(self._rng, state[f"rng{index}"])

    def advance(self, past: Past) -> None:
        if not past.changed.any():
            return
        dim, iterations, oversample, threshold, max_paths = self.settings
        previous = self.features[past.nodes]
        with Workers() as workers:
            proximity = LogProximity(past.adjacency, threshold, max_paths, workers)
            rows = _leading(proximity, _start(previous, oversample, self._rng), dim, self._rounds)
            _align(rows, previous)
        self.features[past.nodes] = rows
        self._rounds = iterations


def _state(tracks: Sequence[_Track]) -> State:
    return {name: array for index, track in enumerate(tracks) for name, array in track.state(index).items()}


def _state_of(grown: Grown, events: Events, seed: int, settings: _Settings) -> State:
    """Return the state after some snapshots: their last features, and a generator that has drawn what they took."""
    rows, taken = grown.rows(), 0
    state: dict[str, np.ndarray] = {}
    rng, seen = np.random.default_rng(seed), np.zeros(events.num_nodes, bool)
    for snapshot in range(grown.snapshot):
        ends = events.of(snapshot)
        if len(ends[0]):
            seen[ends[0]] = seen[ends[1]] = True
            taken += int(np.count_nonzero(seen)) * (settings.dim + settings.oversample)
    rounds = settings.iterations if taken else 3 * settings.iterations
    for first in range(0, taken, _DRAWN):
        rng.standard_normal(min(_DRAWN, taken - first), dtype=np.float32)
    for index in range(rows.shape[1] // settings.dim):
        features = np.zeros((events.num_nodes, settings.dim), np.float32)
        features[: len(rows)] = rows[:, index * settings.dim : (index + 1) * settings.dim]
        state |= {f"features{index}": features, f"rng{index}": of_generator(rng), f"rounds{index}": np.array(rounds)}
    return state


def _orthonormal(workers: Workers, basis: np.ndarray) -> np.ndarray:
    # By the Gram matrix: ten times cheaper than QR for tall matrices. Directions lost to rounding are dropped.
    values, vectors = np.linalg.eigh(workers.gram(basis, basis))
    kept = values > values[-1] * 1e-6
    return basis @ (vectors[:, kept] / np.sqrt(values[kept])).astype(np.float32)


def _start(previous: np.ndarray, oversample: int, rng: np.random.Generator) -> np.ndarray:
    """Return the rows of the snapshot before, random rows of length about 1 for new nodes, and random columns."""
    rows, dim = previous.shape
    start = rng.standard_normal((rows, dim + oversample), dtype=np.float32)
    start /= np.float32(np.sqrt(dim))
    known = previous.any(axis=1)
    start[known, :dim] = previous[known]
    return start


def _leading(proximity: LogProximity, basis: np.ndarray, dim: int, iterations: int) -> np.ndarray:
    """Return |lambda|^(1/2) times the leading eigenvectors, rows scaled to length 1, by subspace iteration."""
    workers = proximity.workers
    basis = _orthonormal(workers, basis)
    for _ in range(iterations - 1):
        basis = _orthonormal(workers, proximity @ basis)
    projected = workers.gram(basis, proximity @ basis)
    values, vectors = np.linalg.eigh((projected + projected.T) / 2)
    order = np.argsort(-np.abs(values), kind="stable")[:dim]
    rows = basis @ (vectors[:, order] * np.sqrt(np.abs(values[order]))).astype(np.float32)
    workers.map(lambda block: _to_length_one(rows[block]), len(rows))
    return rows if len(order) == dim else np.pad(rows, [(0, 0), (0, dim - len(order))])


def _to_length_one(rows: np.ndarray) -> None:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    rows[:] = np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)


def _align(features: np.ndarray, previous: np.ndarray) -> None:
    """Rotate features onto the previous ones, in place; rows of new nodes are zero there and do not pull."""
    blocks = [slice(first, first + _ROWS) for first in range(0, len(features), _ROWS)]
    left, _, right = np.linalg.svd(sum(features[rows].T.astype(np.float64) @ previous[rows] for rows in blocks))
    for rows in blocks:
        features[rows] = features[rows] @ (left @ right).astype(np.float32)


class Workers:
    """Threads over fixed blocks of rows, with single-threaded BLAS inside, so that every sum has one order."""

    def __enter__(self) -> Workers:
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        self._blas = threadpool_limits(limits=1, user_api="blas")
        self._pool = ThreadPoolExecutor(os.cpu_count())
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._blas.restore_original_limits()

    def map(self, function: Callable[[slice], object], num_rows: int) -> list:
        """Return the results of a function of a block of rows, in order."""
        return list(self._pool.map(function, (slice(i, i + _BLOCK) for i in range(0, num_rows, _BLOCK))))

    def gram(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return ``left.T @ right`` summed in float64 over the blocks."""
        parts = self.map(lambda rows: (left[rows].T @ right[rows]).astype(np.float64), len(left))
        return np.sum(parts, axis=0)


class LogProximity:
    r"""The symmetric matrix S of :func:`spectral` as an operator: its large entries are stored, the others act by P.

    .. math:: S \approx 0.75\, c\, (P + P^2 + P^3) + C, \quad
              C_{uv} = [x_{uv} > \mathrm{threshold}]\,(\log(1 + x_{uv}) - 0.75\, x_{uv}), \quad c = n / 50, \quad x =
              c\,(P + P M P + P M P M P)

    M is the identity where all paths of two and three steps are at most ``max_paths``. Else it leaves out the nodes
    with the most neighbours, as many as it takes: paths through those are most of the work, and few of them make a
    large entry, since each has the hub's degree in its denominator. They keep their part in the linear term.
    `adjacency`, shape (n, n), is symmetric and not negative; `paths_a_thread`, what one thread follows at a time,
    bounds the memory, changes nothing.
    """

    def __init__(
        self, adjacency: csr_array, threshold: float, max_paths: int, workers: Workers, paths_a_thread: int = _PATHS
    ) -> None:
        self.workers, self._paths_a_thread = workers, paths_a_thread
        degree = adjacency.sum(axis=1)
        scale = np.divide(1, np.sqrt(degree), out=np.zeros_like(degree), where=degree > 0)
        walk = adjacency.tocoo()
        walk.data = walk.data * scale[walk.row] * scale[walk.col]
        self.walk = walk.tocsr().astype(np.float32)
        self.size = np.float32(adjacency.shape[0] / 50)
        self.correction = workers.map(self._correct(threshold, max_paths), adjacency.shape[0])

    def _correct(self, threshold: float, max_paths: int) -> Callable[[slice], csr_array]:
        from scipy.sparse import vstack

        onward, paths = _onward(self.walk, max_paths)

        def rows(block: slice) -> csr_array:
            one = self.walk[block]
            two = one @ onward
            entries = (one + two + two @ onward) * self.size
            x = entries.data
            entries.data = np.where(x > threshold, np.log1p(x) - np.float32(_SLOPE) * x, np.float32(0))
            entries.eliminate_zeros()
            return entries

        def in_pieces(block: slice) -> csr_array:
            pieces = [rows(piece) for piece in _pieces(paths[block], block.start, self._paths_a_thread)]
            return pieces[0] if len(pieces) == 1 else vstack(pieces, format="csr")

        return in_pieces

    def __matmul__(self, basis: np.ndarray) -> np.ndarray:
        """Return S times a dense (n, k) matrix."""
        powers = basis
        for _ in range(2):
            powers = self._times_walk(powers, plus=basis)
        powers = self._times_walk(powers)
        powers *= np.float32(_SLOPE) * self.size

        def add(block: slice) -> None:
            powers[block] += self.correction[block.start // _BLOCK] @ basis

        self.workers.map(add, len(basis))
        return powers

    def _times_walk(self, basis: np.ndarray, plus: np.ndarray | None = None) -> np.ndarray:
        product = np.empty_like(basis)

        def multiply(block: slice) -> None:
            product[block] = self.walk[block] @ basis
            if plus is not None:
                product[block] += plus[block]

        self.workers.map(multiply, len(basis))
        return product


def _onward(walk: csr_array, max_paths: int) -> tuple[csr_array, np.ndarray]:
    """Return the steps on from the nodes that paths may lead through, and the number of paths from each node."""
    links = walk.astype(bool).astype(np.float64)
    links.data[:] = 1
    neighbours = np.diff(links.indptr)

    def paths(most: int) -> np.ndarray:
        steps = np.where(neighbours <= most, neighbours, 0).astype(np.float64)
        two = links @ steps
        return two + links @ np.where(neighbours <= most, two, 0)

    low, high = 0, int(neighbours.max(initial=0))
    if paths(high).sum() <= max_paths:
        return walk, paths(high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if paths(middle).sum() <= max_paths else (low, middle)
    kept = walk.copy()
    kept.data[np.repeat(neighbours > low, neighbours)] = 0
    kept.eliminate_zeros()
    return kept, paths(low)


def _pieces(paths: np.ndarray, start: int, most: int) -> Iterator[slice]:
    """Cut a block of rows so that at most so many paths lead from each piece, unless it is one row."""
    first, total = 0, 0.0
    for row, more in enumerate(paths):
        if row > first and total + more > most:
            yield slice(start + first, start + row)
            first, total = row, 0.0
        total += more
    yield slice(start + first, start + len(paths))
