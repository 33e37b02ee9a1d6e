"""DeepWalk and node2vec features: skip-gram on random walks, continued from snapshot to snapshot."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from data_prep.features._checkpoint import Checkpoints, of_generator, set_generator
from data_prep.features._past import Events, Grown, Past, accumulate, check_decay, checked_events
from dgl_dysign.errors import ConfigError, DataError

if TYPE_CHECKING:
    from data_prep.features.walks import SkipGram

# Walks that are drawn, split into pairs and trained on together: bounds the memory.
_CHUNK = 16384


class _Options(NamedTuple):
    p: float
    q: float
    walk_length: int
    num_walks: int
    refresh_walks: int
    window: int
    negative: int
    rate: float

    def check(self) -> None:
        least = {"walk_length": 2, "num_walks": 1, "refresh_walks": 0, "window": 1, "negative": 1}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise ConfigError(f"{name}: got {getattr(self, name)}, expected at least {smallest}")
        for name in ("p", "q", "rate"):
            if not 0 < getattr(self, name) < np.inf:
                raise ConfigError(f"{name}: got {getattr(self, name)}, expected a finite number above 0")


def node2vec(
    events: Events,
    dim: int = 128,
    seed: int = 0,
    *,
    p: float = 1.0,
    q: float = 1.0,
    decay: float = 1.0,
    walk_length: int = 40,
    num_walks: int = 5,
    refresh_walks: int = 1,
    window: int = 5,
    negative: int = 5,
    rate: float = 0.025,
    progress: Callable[[float], None] | None = None,
    start: int = 0,
    checkpoints: Checkpoints | None = None,
    grown: Grown | None = None,
) -> Iterator[np.ndarray]:
    r"""Yield for each snapshot the skip-gram vectors of its nodes, trained on walks over the graph accumulated so far.

    Source: node2vec (Grover and Leskovec, KDD 2016); with p = q = 1, which is the kind ``"deepwalk"``, DeepWalk
    (Perozzi et al., KDD 2014) with negative sampling in place of the hierarchical softmax. A walk that came from t goes
    on to x with probability proportional to :math:`\alpha(t, x)` times the pair's weight, the sum of
    ``decay ** (t - t_event)`` over its events, where :math:`\alpha` is 1/p if x = t, 1 if t and x are neighbours, and
    1/q otherwise. Each snapshot goes on from the vectors of the one before, with most walks from the nodes that have an
    event in it, so that consecutive spaces stay aligned; a snapshot without events repeats the one before.

    Parameters
    ----------
    dim : int, default 128
        Width of the features.
    seed : int, default 0
        Seed of all that is drawn; the result is the same with any number of cores.
    p : float > 0, default 1.0
        Large values keep the walk from turning back.
    q : float > 0, default 1.0
        Large values keep the walk near the node it came from.
    decay : float in (0, 1], default 1.0
        What an event's weight is multiplied by with each snapshot that passes; 1: repeated events are counted.
    walk_length : int >= 2, default 40
        Nodes on a walk.
    num_walks : int >= 1, default 5
        Walks a snapshot from each node with an event in it.
    refresh_walks : int >= 0, default 1
        Walks a snapshot from each other node seen so far.
    window : int >= 1, default 5
        Largest distance on a walk of two nodes that are made similar.
    negative : int >= 1, default 5
        Negatives a pair.
    rate : float > 0, default 0.025
        Learning rate; it falls linearly to a hundredth within each snapshot.
    events, progress, start, checkpoints, grown
        As of every kind, see :func:`data_prep.features.features`: without checkpoints a late start computes all
        snapshots before, too.

    Yields
    ------
    numpy.ndarray, shape (N, dim), float32
        Rows of nodes not seen yet are zero.

    Examples
    --------
    >>> from data_prep.features import features
    >>> [x.shape for x in features("node2vec", [0], [0], [1], num_nodes=2, num_snapshots=1, dim=8, p=4.0, q=0.5)]
    [(2, 8)]
    """
    options = _Options(p, q, walk_length, num_walks, refresh_walks, window, negative, rate)
    options.check()
    check_decay(decay)
    rng = np.random.default_rng(seed)
    sizes = dict(grown.sizes if grown else [(0, events.num_nodes)])
    first, model = _begin(sizes[0], dim, rng, start, checkpoints)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for past in accumulate(events, decay, first):
            model.grow(sizes.get(past.snapshot, 0))
            for done in _learn(model, past, options, rng, pool):
                if progress is not None:
                    progress((past.snapshot + done) / events.num_snapshots)
            if grown and past.snapshot + 1 == grown.snapshot:
                _check_same(grown.rows(), _only(model.center, past.nodes))
            if past.snapshot >= start:
                yield _only(model.center, past.nodes)
            # Here the snapshot has been taken over: a checkpoint is never ahead of what was written.
            if checkpoints and past.snapshot + 1 < events.num_snapshots:
                checkpoints.save_if_due(past.snapshot + 1, lambda: {**model.state(), "rng": of_generator(rng)})


def walk_vectors(
    src: ArrayLike, dst: ArrayLike, num_nodes: int, dim: int = 128, seed: int = 0, **options: Any
) -> np.ndarray:
    """Return the vectors ``(N, dim)``, float32, of one graph of events without snapshots; options as of `node2vec`.

    Examples
    --------
    >>> walk_vectors([0, 1], [1, 2], num_nodes=4, dim=8).any(axis=1)
    array([ True,  True,  True, False])
    """
    events = checked_events(np.zeros(len(np.asarray(src)), np.int64), src, dst, num_nodes, 1)
    return next(node2vec(events, dim, seed, **options))


def _begin(
    num_nodes: int, dim: int, rng: np.random.Generator, start: int, checkpoints: Checkpoints | None
) -> tuple[int, SkipGram]:
    """Return the snapshot to go on from, and the model as it was then; put the generator into its state of then."""
    from data_prep.features.walks import SkipGram

    model = SkipGram(num_nodes, dim, int(rng.integers(2**63)))
    first, saved = checkpoints.load(start) if checkpoints else (0, {})
    if saved:
        model.restore(saved)
        set_generator(rng, saved["rng"])
    return first, model


def _check_same(rows: np.ndarray, vectors: np.ndarray) -> None:
    """Raise DataError if the vectors of a snapshot are not those on the disk: others would not go on from them."""
    if not np.array_equal(rows, vectors):
        raise DataError(
            "node features: found others for the same events than the folder's, which another version or machine has "
            "made, so that they cannot be gone on with; prepare all events together, or with --features degree"
        )


def _only(vectors: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Return a copy of the vectors in which the rows of all but some nodes are zero."""
    features = np.zeros_like(vectors)
    features[nodes] = vectors[nodes]
    return features


def _learn(model: SkipGram, past: Past, options: _Options, rng: np.random.Generator, pool: Executor) -> Iterator[float]:
    """Train on the walks of one snapshot and yield the fraction done after each chunk; without events, on none."""
    from data_prep.features.walks import Walker

    if past.changed.any():
        walker = Walker(past.adjacency, options.p, options.q)
        weight = np.zeros(len(model.center))
        weight[past.nodes] = past.adjacency.sum(axis=1)
        repeats = np.where(past.changed, options.num_walks, options.refresh_walks)
        starts = rng.permutation(np.repeat(np.arange(len(past.nodes)), repeats))
        names = past.nodes.astype(np.int32)
        for first in range(0, len(starts), _CHUNK):
            seed = int(rng.integers(2**63))
            walks = names[walker.walks(starts[first : first + _CHUNK], options.walk_length, seed, pool)]
            rate = options.rate * max(1 - first / len(starts), 0.01)
            model.train(walks, weight, options.window, options.negative, rate, pool)
            yield min(1.0, (first + _CHUNK) / len(starts))
    yield 1.0
