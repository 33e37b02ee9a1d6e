"""Random walks over a weighted graph, and skip-gram trained on them; the same bits on any number of cores."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from data_prep.features._checkpoint import State, of_generator, set_generator
from dgl_dysign.data.hashing import STEP, mix64

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Walks that one task draws (they do not depend on it), or whose pairs it collects (the order of training does).
_BLOCK = 2048

# Parts that the nodes are dealt into, which is also the largest number of cores at work; small graphs get fewer, so
# that there is something to draw negatives from.
_PARTS = 16
_NODES_A_PART = 64

_mix64 = njit(cache=True, nogil=True)(mix64)


@njit(cache=True, nogil=True)
def _next_random(state: np.ndarray) -> np.uint64:
    """Return the next 64 random bits of a stream (SplitMix64: every state is a good seed)."""
    state[0] += STEP
    return _mix64(state[0])


@njit(cache=True, nogil=True)
def _stream(seed: np.uint64, index: int) -> np.ndarray:
    """Return the state of the stream number ``index`` of a seed."""
    state = np.empty(1, np.uint64)
    state[0] = seed
    state[0] = _next_random(state) ^ (np.uint64(index) * np.uint64(0xD1342543DE82EF95))
    state[0] = _next_random(state)
    return state


@njit(cache=True, nogil=True)
def _uniform(state: np.ndarray) -> float:
    return np.float64(_next_random(state) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit(cache=True, nogil=True)
def _running_sums(indptr: np.ndarray, weight: np.ndarray) -> np.ndarray:
    sums = np.empty(len(weight))
    for row in range(len(indptr) - 1):
        total = 0.0
        for place in range(indptr[row], indptr[row + 1]):
            total += weight[place]
            sums[place] = total
    return sums


@njit(cache=True, nogil=True)
def _neighbor(indptr: np.ndarray, indices: np.ndarray, sums: np.ndarray, node: int, state: np.ndarray) -> int:
    first, last = indptr[node], indptr[node + 1]
    if first == last:
        return node
    wanted = _uniform(state) * sums[last - 1]
    return indices[first + np.searchsorted(sums[first : last - 1], wanted, side="right")]


@njit(cache=True, nogil=True)
def _has_edge(indptr: np.ndarray, indices: np.ndarray, node: int, other: int) -> bool:
    row = indices[indptr[node] : indptr[node + 1]]
    place = np.searchsorted(row, other)
    return bool(place < len(row) and row[place] == other)


@njit(cache=True, nogil=True)
def _biased_neighbor(
    indptr: np.ndarray,
    indices: np.ndarray,
    sums: np.ndarray,
    before: int,
    here: int,
    p: float,
    q: float,
    state: np.ndarray,
) -> int:
    # By rejection: exact, and without a table for each pair of neighbouring edges.
    largest = max(1.0 / p, 1.0, 1.0 / q)
    while True:
        there = _neighbor(indptr, indices, sums, here, state)
        wanted = _uniform(state) * largest
        if there == before:
            accepted = wanted < 1.0 / p
        elif wanted < min(1.0, 1.0 / q) or wanted >= max(1.0, 1.0 / q):
            accepted = wanted < min(1.0, 1.0 / q)
        else:
            accepted = _has_edge(indptr, indices, before, there) == (q > 1)
        if accepted:
            return there


@njit(cache=True, nogil=True)
def _fill(
    indptr: np.ndarray, indices: np.ndarray, sums: np.ndarray, p: float, q: float, seed: np.uint64, first: int,
    walks: np.ndarray,
) -> None:  # fmt: skip
    for row in range(len(walks)):
        state = _stream(seed, first + row)
        walk = walks[row]
        for step in range(1, len(walk)):
            if step == 1 or p == q == 1:
                walk[step] = _neighbor(indptr, indices, sums, walk[step - 1], state)
            else:
                walk[step] = _biased_neighbor(indptr, indices, sums, walk[step - 2], walk[step - 1], p, q, state)


class Walker:
    r"""Draws random walks: from v, having come from t, on to x with probability :math:`\propto \alpha(t, x) w_{vx}`.

    Source: Grover and Leskovec (KDD 2016). :math:`\alpha` is 1/p if x = t, 1 if t and x are neighbours, and 1/q
    otherwise; p = q = 1 is first order (DeepWalk, Perozzi et al., KDD 2014), and so is every first step. Weights are
    the non-negative entries of `adjacency`, shape (n, n); from a node without neighbours the walk stays where it is.

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from scipy.sparse import csr_array
    >>> with ThreadPoolExecutor() as pool:
    ...     Walker(csr_array([[0, 1.0], [1.0, 0]])).walks(np.array([0, 1]), 4, seed=0, pool=pool)
    array([[0, 1, 0, 1],
           [1, 0, 1, 0]], dtype=int32)
    """

    def __init__(self, adjacency: csr_array, p: float = 1.0, q: float = 1.0) -> None:
        self.p, self.q = float(p), float(q)
        adjacency = adjacency.sorted_indices()
        self.indptr, self.indices = adjacency.indptr.astype(np.int64), adjacency.indices.astype(np.int32)
        self.sums = _running_sums(self.indptr, adjacency.data.astype(np.float64))

    def walks(self, starts: np.ndarray, length: int, seed: int, pool: Executor) -> np.ndarray:
        """Return one walk a start, as an int32 array of shape (number of starts, length); column 0 holds the starts."""
        walks = np.empty((len(starts), length), dtype=np.int32)
        walks[:, 0] = starts

        def fill(first: int) -> None:
            part = walks[first : first + _BLOCK]
            _fill(self.indptr, self.indices, self.sums, self.p, self.q, np.uint64(seed), first, part)

        list(pool.map(fill, range(0, len(starts), _BLOCK)))
        return walks


@njit(cache=True, nogil=True)
def _window(place: int, length: int, window: int, state: np.ndarray) -> tuple[int, int]:
    # Word2vec's weighting: the reach is drawn anew at each place, so that near pairs are seen more often than far ones.
    reach = 1 + int(np.int64(_next_random(state) % np.uint64(window)))
    return max(0, place - reach), min(length, place + reach + 1)


@njit(cache=True, nogil=True)
def _collect_pairs(
    walks: np.ndarray, part: np.ndarray, parts: int, window: int, seed: np.uint64, first: int, place: np.ndarray,
    pairs: np.ndarray,
) -> None:  # fmt: skip
    # Writes each pair at the place of its bucket, and moves that on; without room for pairs it only counts.
    for row in range(len(walks)):
        state = _stream(seed, first + row)
        walk = walks[row]
        for i in range(len(walk)):
            first_place, last_place = _window(i, len(walk), window, state)
            for j in range(first_place, last_place):
                if j != i:
                    bucket = part[walk[i]] * parts + part[walk[j]]
                    if len(pairs):
                        pairs[place[bucket], 0] = walk[i]
                        pairs[place[bucket], 1] = walk[j]
                    place[bucket] += 1


@njit(cache=True, nogil=True, fastmath=True)
def _train(
    pairs: np.ndarray, center: np.ndarray, context: np.ndarray, noise: np.ndarray, negative: int, rate: np.float32,
    seed: np.uint64, index: int,
) -> None:  # fmt: skip
    state = _stream(seed, index)
    dim = center.shape[1]
    change = np.empty(dim, np.float32)
    for pair in range(len(pairs)):
        inner = center[pairs[pair, 0]]
        change[:] = 0
        for draw in range(negative + 1):
            node = pairs[pair, 1]
            if draw > 0:
                node = noise[np.int64(_next_random(state) % np.uint64(len(noise)))]
                if node == pairs[pair, 1]:
                    continue
            outer = context[node]
            score = np.float32(0)
            for f in range(dim):
                score += inner[f] * outer[f]
            step = rate * (np.float32(draw == 0) - np.float32(1) / (np.float32(1) + np.exp(-score)))
            for f in range(dim):
                change[f] += step * outer[f]
                outer[f] += step * inner[f]
        for f in range(dim):
            inner[f] += change[f]


def _first_vectors(rng: np.random.Generator, num_nodes: int, dim: int) -> np.ndarray:
    return (rng.random((num_nodes, dim), dtype=np.float32) - np.float32(0.5)) / np.float32(dim)


class SkipGram:
    r"""Embeds nodes so that those close to each other on walks get similar vectors.

    Source: Mikolov et al. (NeurIPS 2013); the order of training is that of GraphVite (Zhu et al., WWW 2019). For each
    pair (u, v) at most ``window`` steps apart, one step of gradient descent on

    .. math:: -\log \sigma(x_u \cdot y_v) - \sum_{k=1}^{K} \log \sigma(-x_u \cdot y_{n_k}),
              \quad n_k \sim \mathrm{weight}^{3/4}

    The nodes are dealt at random into parts. Pairs are put in buckets by the parts of u and v, and negatives are drawn
    from the part of v; buckets without a part in common are trained at the same time, each by one thread in a fixed
    order. So no two threads touch one vector, and the result is the same with any number of cores.

    Shapes
    ------
    ``center`` : (N, dim) float32, the vectors x; ``context`` : (N, dim) float32, the vectors y, zero at first.
    """

    def __init__(self, num_nodes: int, dim: int, seed: int) -> None:
        self._seed, self._rng = seed, np.random.default_rng(seed)
        self.center = _first_vectors(self._rng, num_nodes, dim)
        self.context = np.zeros((num_nodes, dim), dtype=np.float32)

    def grow(self, num_nodes: int) -> None:
        """Have so many nodes, if they are more: new ones get vectors that depend on the seed and the number before."""
        before, dim = self.center.shape
        if num_nodes > before:
            new = _first_vectors(np.random.default_rng([self._seed, before]), num_nodes - before, dim)
            self.center = np.concatenate([self.center, new])
            self.context = np.concatenate([self.context, np.zeros_like(new)])

    def state(self) -> State:
        """Return all that decides about further training, by name."""
        return {"center": self.center, "context": self.context, "model_rng": of_generator(self._rng)}

    def restore(self, state: State) -> None:
        """Take over what :meth:`state` returned."""
        self.center, self.context = state["center"], state["context"]
        set_generator(self._rng, state["model_rng"])

    def train(
        self, walks: np.ndarray, weight: np.ndarray, window: int, negative: int, rate: float, pool: Executor
    ) -> None:
        """Go once over the pairs of some walks, int32 of shape (W, L), by the threads of `pool`.

        A node is drawn as one of the `negative` ones of a pair in proportion to `weight`, shape (N,), to the power 3/4
        (0: never); each position draws its own largest distance of a pair from 1 to `window`. `rate` is the learning
        rate.
        """
        parts = min(_PARTS, max(1, int(np.count_nonzero(weight)) // _NODES_A_PART))
        part = self._deal(weight, parts)
        noise = [self._noise(weight, np.flatnonzero(part == one)) for one in range(parts)]
        pairs, bounds = self._pairs(walks, part, parts, window, pool)
        seed = self._rng.integers(2**63, dtype=np.uint64)
        for turn in range(parts):

            def train(row: int, turn: int = turn) -> None:
                column = (row + turn) % parts
                bucket = row * parts + column
                batch = pairs[bounds[bucket] : bounds[bucket + 1]]
                _train(batch, self.center, self.context, noise[column], negative, np.float32(rate), seed, bucket)

            list(pool.map(train, range(parts)))

    def _deal(self, weight: np.ndarray, parts: int) -> np.ndarray:
        used = np.flatnonzero(weight)
        part = np.zeros(len(weight), dtype=np.int32)
        part[self._rng.permutation(used)] = np.arange(len(used)) % parts
        return part

    def _noise(self, weight: np.ndarray, nodes: np.ndarray) -> np.ndarray:
        """Return a table of nodes, each as often as it is to be drawn; the random offset evens out the rounding."""
        sums = np.cumsum(weight[nodes] ** 0.75)
        size = max(8192, 4 * len(nodes))
        wanted = (np.arange(size) + self._rng.random()) / size * sums[-1]
        return nodes[np.minimum(np.searchsorted(sums, wanted, side="right"), len(nodes) - 1)].astype(np.int32)

    def _pairs(
        self, walks: np.ndarray, part: np.ndarray, parts: int, window: int, pool: Executor
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs ordered by bucket, then as on the walks, and the bounds of the buckets."""
        seed = self._rng.integers(2**63, dtype=np.uint64)
        starts = range(0, len(walks), _BLOCK)

        def collect(first: int, place: np.ndarray) -> None:
            _collect_pairs(walks[first : first + _BLOCK], part, parts, window, seed, first, place, pairs)

        counts = np.zeros((len(starts), parts * parts), dtype=np.int64)
        pairs = np.empty((0, 2), dtype=np.int32)
        list(pool.map(collect, starts, counts))
        bounds = np.concatenate([[0], np.cumsum(counts.sum(axis=0))])
        pairs = np.empty((bounds[-1], 2), dtype=np.int32)
        list(pool.map(collect, starts, bounds[:-1] + np.cumsum(counts, axis=0) - counts))
        return pairs, bounds
