"""DeepWalk and node2vec features: communities, alignment, what each option does, one array with any number of cores."""

import itertools
import os

import numpy as np
import pytest

from data_prep.features import features
from dgl_dysign.errors import ConfigError


def communities(num_snapshots: int = 4):
    """Return events inside (and a few between) two groups of 60 nodes, even and odd ids; 10 nodes come last."""
    rng = np.random.default_rng(0)
    snapshot = np.sort(rng.integers(0, num_snapshots, 1600))
    src = rng.integers(0, np.where(snapshot < num_snapshots - 1, 110, 120))
    dst = (rng.integers(0, 55, 1600) * 2 + src + (rng.random(1600) < 0.05)) % 110
    return snapshot, src, dst, 120, num_snapshots


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize(("kind", "params"), [("deepwalk", {}), ("node2vec", {"p": 4.0, "q": 0.5})])
def test_a_community_lies_together_also_its_new_nodes(kind, params):
    x = unit(list(features(kind, *communities(), dim=16, num_walks=10, **params))[-1])
    similarity = x @ x.T
    same = np.equal.outer(np.arange(120) % 2, np.arange(120) % 2)
    assert similarity[same].mean() > similarity[~same].mean() + 0.3
    new = similarity[110:, :110]
    assert new[same[110:, :110]].mean() > new[~same[110:, :110]].mean() + 0.2


def test_consecutive_snapshots_are_aligned():
    arrays = list(features("deepwalk", *communities(), dim=16))
    for before, after in itertools.pairwise(arrays):
        seen = before.any(axis=1)
        assert (unit(before[seen]) * unit(after[seen])).sum(1).mean() > 0.8
    elsewhere = list(features("deepwalk", *communities(), dim=16, seed=1))[-1]
    assert abs((unit(arrays[-1]) * unit(elsewhere)).sum(1).mean()) < 0.5


def test_a_snapshot_without_events_repeats_the_one_before():
    snapshot, *rest, _ = communities()
    arrays = list(features("deepwalk", snapshot + (snapshot >= 2), *rest, 5, dim=8))
    assert np.array_equal(arrays[1], arrays[2])
    assert not np.array_equal(arrays[2], arrays[3])


def test_deepwalk_is_node2vec_without_bias_and_the_bias_and_the_seed_matter():
    def last(kind, **params):
        return list(features(kind, *communities(2), dim=8, num_walks=2, walk_length=10, **params))[-1]

    assert np.array_equal(last("deepwalk"), last("node2vec", p=1.0, q=1.0))
    assert not np.array_equal(last("deepwalk"), last("node2vec", p=4.0))
    assert not np.array_equal(last("deepwalk"), last("deepwalk", seed=1))
    assert not np.array_equal(last("deepwalk"), last("deepwalk", decay=0.5))


def test_refresh_walks_decide_whether_nodes_without_news_move():
    # Nodes 0 to 9 have events at snapshot 0 only, and no path to the rest.
    ring = np.arange(10)
    snapshot = np.repeat([0, 1], 10)
    src, dst = np.concatenate([ring, ring + 10]), np.concatenate([(ring + 1) % 10, (ring + 1) % 10 + 10])
    still, moved = (list(features("deepwalk", snapshot, src, dst, 20, 2, dim=8, refresh_walks=k)) for k in (0, 1))
    # Their context vectors can still be pushed off as negatives; their own vectors cannot.
    assert np.array_equal(still[0][:10], still[1][:10])
    assert not np.array_equal(moved[0][:10], moved[1][:10])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"walk_length": 1}, "walk_length: got 1, expected at least 2"),
        ({"num_walks": 0}, "num_walks: got 0, expected at least 1"),
        ({"refresh_walks": -1}, "refresh_walks: got -1"),
        ({"window": 0}, "window: got 0"),
        ({"negative": 0}, "negative: got 0"),
        ({"rate": 0.0}, "rate: got 0.0"),
        ({"p": -1.0}, "p: got -1.0"),
        ({"q": float("nan")}, "q: got nan"),
        ({"decay": 1.5}, "decay: got 1.5"),
    ],
)
def test_bad_options(change, message):
    with pytest.raises(ConfigError, match=message):
        list(features("node2vec", *communities(), **change))


def test_bits_do_not_depend_on_the_number_of_cores(monkeypatch):
    src, dst = np.random.default_rng(0).integers(0, 1100, (2, 3000))
    results = set()
    for cores in (1, 2, 5):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        arrays = features("node2vec", np.arange(3000) // 1500, src, dst, 1100, 2, dim=16, num_walks=2, p=2.0)
        results.add(b"".join(x.tobytes() for x in arrays))
    assert len(results) == 1
