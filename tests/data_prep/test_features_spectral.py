"""Spectral features against a dense float64 reference, and what may and may not move them."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest

from data_prep.features import features

NUM_NODES = 150


def community_events(seed: int = 0, num_snapshots: int = 4):
    """Return events of a graph of 140 nodes in 5 communities, so that five singular values stand out."""
    rng = np.random.default_rng(seed)
    src = rng.integers(0, 140, 1500)
    inside = (src // 28) * 28 + rng.integers(0, 28, 1500)
    dst = np.where(rng.random(1500) < 0.95, inside, rng.integers(0, 140, 1500))
    return np.sort(rng.integers(0, num_snapshots, 1500)), src, dst, NUM_NODES, num_snapshots


def dense_proximity(events, t: int, decay: float) -> np.ndarray:
    """Return the matrix of the definition, one event after the other, in float64."""
    snapshot, src, dst, num_nodes, _ = events
    adjacency = np.zeros((num_nodes, num_nodes))
    for s, u, v in zip(snapshot, src, dst, strict=True):
        if s <= t:
            adjacency[u, v] += decay ** (t - s)
            if u != v:
                adjacency[v, u] += decay ** (t - s)
    degree = adjacency.sum(1)
    scale = np.where(degree > 0, np.maximum(degree, 1e-30) ** -0.5, 0)
    walk = scale[:, None] * adjacency * scale
    return np.log1p((walk + walk @ walk + walk @ walk @ walk) * (degree > 0).sum() / 50)


def reference(events, t: int, decay: float, dim: int) -> np.ndarray:
    left, values, _ = np.linalg.svd(dense_proximity(events, t, decay))
    rows = left[:, :dim] * np.sqrt(values[:dim])
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 1e-9, length, np.inf)


@pytest.mark.parametrize("decay", [1.0, 0.7, 0.2])
@pytest.mark.parametrize("t", [0, 3])
def test_exact_against_dense_svd(decay, t):
    events = community_events()
    x = list(features("spectral", *events, dim=5, decay=decay, threshold=0.0, iterations=30))[t]
    expected = reference(events, t, decay, 5)
    np.testing.assert_allclose(x @ x.T, expected @ expected.T, atol=2e-5)


def test_default_threshold_and_iterations_stay_close_to_the_dense_subspace():
    events = community_events()
    x = list(features("spectral", *events, dim=5))[-1]
    q, _ = np.linalg.qr(x)
    expected, _ = np.linalg.qr(reference(events, 3, 0.7, 5))
    assert np.linalg.svd(q.T @ expected, compute_uv=False).min() > 0.99


def test_large_negative_eigenvalues_count_by_their_magnitude():
    # Two copies of a bipartite graph: its proximity has eigenvalues of both signs once the log is out of the way.
    from scipy.sparse import csr_array

    from data_prep.features._proximity import LogProximity, Workers
    from data_prep.features.spectral import _leading

    a = np.zeros((24, 24))
    a[:12, 12:] = 1
    a += a.T
    with Workers() as workers:
        # Nothing is above the threshold: S = 0.75 c (P + P^2 + P^3).
        proximity = LogProximity(csr_array(a), 10.0, 1 << 28, workers)
        basis = np.random.default_rng(0).standard_normal((24, 4)).astype(np.float32)
        walk = a / 12
        dense = 0.75 * 24 / 50 * (walk + walk @ walk + walk @ walk @ walk)
        np.testing.assert_allclose(proximity @ basis, dense @ basis, rtol=1e-5, atol=1e-6)
        x = _leading(proximity, basis, 2, 5)
    values, vectors = np.linalg.eigh(dense)
    assert sorted(np.round(values / values.max(), 6))[:1] == [pytest.approx(-1 / 3)]
    expected = vectors[:, [-1, 0]] * np.sqrt(np.abs(values[[-1, 0]]))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(x @ x.T, expected @ expected.T, atol=1e-5)


def test_rows_have_length_one():
    for x in features("spectral", *community_events(), dim=8, decay=0.7):
        length = np.linalg.norm(x, axis=1)
        np.testing.assert_allclose(length[x.any(axis=1)], 1, atol=1e-5)


def test_several_decays_stand_side_by_side():
    events = community_events()
    together = list(features("spectral", *events, dim=5, decay=(0.8, 0.2)))
    alone = [list(features("spectral", *events, dim=5, decay=decay)) for decay in (0.8, 0.2)]
    for x, slow, fast in zip(together, *alone, strict=True):
        np.testing.assert_array_equal(x, np.concatenate([slow, fast], axis=1))


def test_new_names_of_nodes_rotate_the_features():
    snapshot, src, dst, *sizes = events = community_events()
    names = np.random.default_rng(5).permutation(NUM_NODES)
    options = {"dim": 5, "threshold": 0.0, "iterations": 30}
    x = list(features("spectral", *events, **options))[-1]
    y = list(features("spectral", snapshot, names[src], names[dst], *sizes, **options))[-1][names]
    np.testing.assert_allclose(x @ x.T, y @ y.T, atol=2e-5)


def test_consecutive_snapshots_are_aligned():
    arrays = list(features("spectral", *community_events(), dim=5))
    for before, after in itertools.pairwise(arrays):
        seen = before.any(axis=1)
        assert (before[seen] * after[seen]).sum(1).mean() > 0.9


def test_a_snapshot_without_events_repeats_the_one_before():
    snapshot, *rest, _ = community_events()
    arrays = list(features("spectral", snapshot + (snapshot >= 2), *rest, 5, dim=8))
    assert np.array_equal(arrays[1], arrays[2])
    assert not np.array_equal(arrays[2], arrays[3])


def test_repeated_and_recent_events_weigh_more():
    # Node 0 met node 1 ten times, or lately; node 2 once, or long ago: it lies nearer to 1.
    pairs = np.array([[0, 1], [0, 2], [1, 3], [2, 4]])
    often = np.concatenate([pairs, np.repeat(pairs[:1], 9, axis=0)])
    x = next(features("spectral", np.zeros(len(often), int), *often.T, 5, 1, dim=2))
    assert x[0] @ x[1] > x[0] @ x[2] + 0.1
    x = list(features("spectral", np.array([3, 0, 0, 0]), *pairs.T, 5, 4, dim=2, decay=0.3))[-1]
    assert x[0] @ x[1] > x[0] @ x[2] + 0.1


def test_fewer_nodes_than_columns():
    x = list(features("spectral", np.array([0, 1]), np.array([0, 1]), np.array([1, 2]), 4, 2, dim=16, decay=0.7))
    assert x[0].shape == (4, 16)
    np.testing.assert_allclose(np.linalg.norm(x[1], axis=1), [1, 1, 1, 0], atol=1e-5)


def test_bits_do_not_depend_on_the_number_of_threads():
    code = """
import hashlib, os, sys
cores = int(sys.argv[1])
os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:cores]))
os.cpu_count = lambda: cores
import numpy as np
from data_prep.features import features
rng = np.random.default_rng(0)
src, dst = rng.integers(0, 3000, (2, 9000))
arrays = features("spectral", np.arange(9000) // 4500, src, dst, 3000, 2, dim=32)
print(hashlib.sha256(b"".join(x.tobytes() for x in arrays)).hexdigest())
"""
    found = set()
    for cores in (1, 2, 4):
        environment = {**os.environ, "OMP_NUM_THREADS": str(cores), "OPENBLAS_NUM_THREADS": str(cores)}
        run = subprocess.run(
            [sys.executable, "-c", code, str(cores)], env=environment, capture_output=True, text=True, check=True
        )
        found.add(run.stdout)
    assert len(found) == 1
