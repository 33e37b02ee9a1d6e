"""Spectral features against a dense float64 reference, and what may and may not move them."""

import itertools
import os

import numpy as np
import pytest
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

from data_prep.features import features
from data_prep.features.spectral import LogProximity, Workers, _leading, _onward, _pieces

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
def test_exact_against_dense_svd(decay):
    events = community_events()
    arrays = list(features("spectral", *events, dim=5, decay=decay, threshold=0.0, iterations=30))
    for t in (0, 3):
        expected = reference(events, t, decay, 5)
        np.testing.assert_allclose(arrays[t] @ arrays[t].T, expected @ expected.T, atol=2e-5)


def test_default_threshold_and_iterations_stay_close_to_the_dense_subspace():
    events = community_events()
    x = list(features("spectral", *events, dim=5))[-1]
    q, _ = np.linalg.qr(x)
    expected, _ = np.linalg.qr(reference(events, 3, 0.7, 5))
    assert np.linalg.svd(q.T @ expected, compute_uv=False).min() > 0.99


def test_large_negative_eigenvalues_count_by_their_magnitude():
    # Two copies of a bipartite graph: its proximity has eigenvalues of both signs once the log is out of the way.
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


def test_bits_do_not_depend_on_the_number_of_threads(monkeypatch):
    src, dst = np.random.default_rng(0).integers(0, 1200, (2, 3000))
    results = set()
    for cores in (1, 2, 4):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        with threadpool_limits(limits=cores):
            arrays = list(features("spectral", np.arange(3000) // 1500, src, dst, 1200, 2, dim=16))
        results.add(b"".join(x.tobytes() for x in arrays))
    assert len(results) == 1


ALL = 1 << 40


def hub_graph(num_nodes: int = 120) -> np.ndarray:
    """Return weights of a sparse graph in which nodes 0 to 2 know almost everybody."""
    rng = np.random.default_rng(0)
    a = np.triu(rng.random((num_nodes, num_nodes)) < 0.03, 1) * rng.uniform(0.2, 2, (num_nodes, num_nodes))
    a[:3, 3:] = (rng.random((3, num_nodes - 3)) < 0.9) * rng.uniform(0.2, 2, (3, num_nodes - 3))
    return a + a.T


def normalised(a: np.ndarray) -> np.ndarray:
    scale = a.sum(1) ** -0.5
    return scale[:, None] * a * scale


def dense_correction(a: np.ndarray, keep: np.ndarray, threshold: float) -> np.ndarray:
    p, mask = normalised(a), np.diag(keep.astype(float))
    x = (p + p @ mask @ p + p @ mask @ p @ mask @ p) * len(a) / 50
    return np.where(x > threshold, np.log1p(x) - 0.75 * x, 0)


def correction_of(a: np.ndarray, max_paths: int, **limit: int) -> np.ndarray:
    with Workers() as workers:
        blocks = LogProximity(csr_array(a), 0.3, max_paths, workers, **limit).correction
    return np.concatenate([block.toarray() for block in blocks])


def count_paths(a: np.ndarray, keep: np.ndarray) -> np.ndarray:
    links, mask = (a > 0).astype(int), np.diag(keep.astype(int))
    return (links @ mask @ links).sum(1) + (links @ mask @ links @ mask @ links).sum(1)


def test_without_need_all_paths_are_followed():
    a = hub_graph()
    everybody = np.ones(len(a), bool)
    onward, paths = _onward(csr_array(a), ALL)
    assert (onward != csr_array(a)).nnz == 0
    assert np.array_equal(paths, count_paths(a, everybody))
    np.testing.assert_allclose(correction_of(a, ALL), dense_correction(a, everybody, 0.3), atol=1e-6)


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
def test_with_a_limit_the_busiest_nodes_are_not_passed_through_but_end_paths(share):
    a = hub_graph()
    neighbours = (a > 0).sum(1)
    limit = int(share * count_paths(a, neighbours > 0).sum())
    _, paths = _onward(csr_array(a), limit)
    assert 0 < paths.sum() <= limit
    # As few are left out as possible: all with the next larger number of neighbours would be too many.
    allowed = max(n for n in {0, *neighbours} if count_paths(a, neighbours <= n).sum() <= limit)
    keep = neighbours <= allowed
    assert not keep[np.argmax(neighbours)]
    found = correction_of(a, limit)
    np.testing.assert_allclose(found, dense_correction(a, keep, 0.3), atol=1e-6)
    np.testing.assert_allclose(found, found.T, atol=1e-6)
    assert found[0].any()


def test_no_paths_at_all_leave_the_edges():
    a = hub_graph()
    np.testing.assert_allclose(correction_of(a, 0), dense_correction(a, np.zeros(len(a), bool), 0.3), atol=1e-6)


def test_the_linear_part_keeps_the_hubs():
    a = hub_graph()
    p, basis = normalised(a), np.random.default_rng(1).standard_normal((len(a), 5)).astype(np.float32)
    with Workers() as workers:
        found = LogProximity(csr_array(a), 1e6, 0, workers) @ basis
    np.testing.assert_allclose(found, 0.75 * len(a) / 50 * (p + p @ p + p @ p @ p) @ basis, rtol=1e-4, atol=1e-5)


def test_a_block_in_pieces_has_the_same_entries():
    a = hub_graph()
    np.testing.assert_array_equal(correction_of(a, ALL, paths_a_thread=2000), correction_of(a, ALL))


def test_pieces_cover_a_block_and_are_as_long_as_they_may_be():
    pieces = [(piece.start, piece.stop) for piece in _pieces(np.array([4.0, 6, 1, 20, 3, 3]), 512, 10)]
    assert pieces == [(512, 514), (514, 515), (515, 516), (516, 518)]
    assert [(piece.start, piece.stop) for piece in _pieces(np.array([99.0]), 0, 10)] == [(0, 1)]


def test_a_limit_changes_features_but_little_and_lets_nothing_of_the_future_in():
    rng = np.random.default_rng(0)
    snapshot = np.sort(rng.integers(0, 3, 1500))
    src = rng.integers(0, 150, 1500)
    dst = np.where(rng.random(1500) < 0.8, src // 30 * 30 + rng.integers(0, 30, 1500), rng.integers(0, 3, 1500))
    options = {"dim": 5, "decay": 0.7, "max_paths": 100_000}
    limited = list(features("spectral", snapshot, src, dst, 150, 3, **options))
    full = list(features("spectral", snapshot, src, dst, 150, 3, dim=5, decay=0.7))
    assert not np.array_equal(limited[-1], full[-1])
    (q, _), (r, _) = np.linalg.qr(limited[-1]), np.linalg.qr(full[-1])
    assert np.linalg.svd(q.T @ r, compute_uv=False).min() > 0.9
    early = snapshot < 2
    for x, y in zip(
        limited[:2], features("spectral", snapshot[early], src[early], dst[early], 150, 2, **options), strict=True
    ):
        assert np.array_equal(x, y)
