"""The proximity with a limit on paths, against dense matrices: what is left out, and what is not."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from data_prep.features import _proximity, features
from data_prep.features._proximity import LogProximity, Workers, _onward, _pieces

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


def correction_of(a: np.ndarray, max_paths: int, threshold: float = 0.3) -> np.ndarray:
    with Workers() as workers:
        blocks = LogProximity(csr_array(a), threshold, max_paths, workers).correction
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


def test_a_block_in_pieces_has_the_same_entries(monkeypatch):
    a = hub_graph()
    whole = correction_of(a, ALL)
    monkeypatch.setattr(_proximity, "PATHS", 2000)
    np.testing.assert_array_equal(correction_of(a, ALL), whole)


def test_pieces_cover_a_block_and_are_as_long_as_they_may_be(monkeypatch):
    monkeypatch.setattr(_proximity, "PATHS", 10)
    found = [(piece.start, piece.stop) for piece in _pieces(np.array([4.0, 6, 1, 20, 3, 3]), 512)]
    assert found == [(512, 514), (514, 515), (515, 516), (516, 518)]
    assert [(p.start, p.stop) for p in _pieces(np.array([99.0]), 0)] == [(0, 1)]


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
