"""Degree features: the counts of the definition, by hand."""

import numpy as np

from data_prep.features import features
from data_prep.features._past import checked_events
from data_prep.features.degree import degree


def test_counts_and_ages_by_hand():
    # Node 1: two events at 0 (a repeated pair), a self-loop at 2. Node 0: only at 0. Node 3 is never seen.
    snapshot, src, dst = np.array([0, 0, 2]), np.array([0, 1, 1]), np.array([1, 0, 1])
    x = list(features("degree", snapshot, src, dst, num_nodes=4, num_snapshots=3))[2]
    counts = [[2.0 * gamma**2 for gamma in (1, 0.9, 0.7, 0.3)], [2.0 * gamma**2 + 1 for gamma in (1, 0.9, 0.7, 0.3)]]
    np.testing.assert_allclose(x[:2, :4], np.log1p(counts), rtol=1e-6)
    np.testing.assert_allclose(x[:2, 4], np.log1p([1, 2]), rtol=1e-6)
    np.testing.assert_allclose(x[:2, 5], np.log([4, 4]), rtol=1e-6)
    np.testing.assert_allclose(x[:2, 6], np.log([4, 2]), rtol=1e-6)
    assert not x[2:].any()


def test_new_names_of_nodes_permute_the_rows():
    rng = np.random.default_rng(0)
    snapshot, (src, dst), names = np.sort(rng.integers(0, 4, 90)), rng.integers(0, 30, (2, 90)), rng.permutation(30)
    x = list(features("degree", snapshot, src, dst, 30, 4))
    y = list(features("degree", snapshot, names[src], names[dst], 30, 4))
    assert all(np.array_equal(a, b[names]) for a, b in zip(x, y, strict=True))


def test_neighbours_are_counted_once_in_groups_of_any_size():
    rng = np.random.default_rng(0)
    snapshot, (src, dst) = np.sort(rng.integers(0, 5, 400)), rng.integers(0, 25, (2, 400))
    expected = []
    for t in range(5):
        known = [set() for _ in range(25)]
        for u, v in zip(src[snapshot <= t], dst[snapshot <= t], strict=True):
            known[u].add(v)
            known[v].add(u)
        expected.append([len(one) for one in known])
    for size in (1 << 22, 64, 7):
        arrays = degree(checked_events(snapshot, src, dst, 25, 5), pairs_at_once=size)
        np.testing.assert_allclose([np.expm1(x[:, 4]) for x in arrays], expected, rtol=1e-5)
