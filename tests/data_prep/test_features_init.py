"""What holds for every kind of features: the past alone, no rows for unseen nodes, one seed one array, clear errors."""

import subprocess
import sys

import numpy as np
import pytest

from data_prep.features import KINDS, features
from dgl_dysign.errors import ConfigError

REAL_KINDS = [kind for kind in KINDS if kind != "none"]
WALKS = {"walk_length": 10, "num_walks": 2}
PARAMS = {"spectral": {"oversample": 8}, "degree": {}, "deepwalk": WALKS, "node2vec": WALKS}


def made_events(seed: int = 0, num_nodes: int = 60, num_events: int = 200, num_snapshots: int = 5):
    """Return random events among three communities, with repeated events and self-loops, node 0 never seen."""
    rng = np.random.default_rng(seed)
    src = rng.integers(1, num_nodes, num_events)
    near = src + 3 * rng.integers(-6, 7, num_events)
    dst = np.where((near >= 1) & (near < num_nodes), near, src)
    return np.sort(rng.integers(0, num_snapshots, num_events)), src, dst, num_nodes, num_snapshots


def made(kind: str, events, **params):
    return list(features(kind, *events, dim=8, seed=1, **PARAMS[kind], **params))


@pytest.mark.parametrize("kind", REAL_KINDS)
def test_one_float32_array_a_snapshot_finite_and_zero_for_unseen_nodes(kind):
    snapshot, src, dst, num_nodes, num_snapshots = events = made_events()
    arrays = made(kind, events)
    assert len(arrays) == num_snapshots
    for t, x in enumerate(arrays):
        seen = np.zeros(num_nodes, bool)
        seen[src[snapshot <= t]] = seen[dst[snapshot <= t]] = True
        assert x.dtype == np.float32
        assert x.shape == arrays[0].shape
        assert np.isfinite(x).all()
        assert np.array_equal(x.any(axis=1), seen)


@pytest.mark.parametrize("kind", REAL_KINDS)
@pytest.mark.parametrize("t", [0, 3])
def test_nothing_after_t_moves_the_features_of_t(kind, t):
    snapshot, src, dst, num_nodes, num_snapshots = made_events()
    before = made(kind, (snapshot, src, dst, num_nodes, num_snapshots))
    late = snapshot > t
    rng = np.random.default_rng(9)
    changed = made(kind, (snapshot, np.where(late, rng.permutation(src), src), dst, num_nodes, num_snapshots))
    deleted = made(kind, (snapshot[~late], src[~late], dst[~late], num_nodes, num_snapshots))
    assert not np.array_equal(before[-1], changed[-1])
    for s in range(t + 1):
        assert np.array_equal(before[s], changed[s])
        assert np.array_equal(before[s], deleted[s])


@pytest.mark.parametrize("kind", REAL_KINDS)
def test_the_same_seed_gives_the_same_array_and_the_order_of_events_in_a_snapshot_does_not_matter(kind):
    snapshot, src, dst, *sizes = events = made_events()
    order = np.random.default_rng(2).permutation(len(src))
    for a, b, c in zip(
        made(kind, events),
        made(kind, events),
        made(kind, (snapshot[order], dst[order], src[order], *sizes)),
        strict=True,
    ):
        assert np.array_equal(a, b)
        np.testing.assert_allclose(a, c, atol=1e-5)


@pytest.mark.parametrize("kind", REAL_KINDS)
def test_empty_snapshots_and_no_events_at_all(kind):
    x = made(kind, (np.array([1, 1, 3]), np.array([0, 1, 2]), np.array([1, 2, 3]), 5, 5))
    assert not x[0].any()
    assert x[1].any()
    assert x[4].any()
    assert [a.any() for a in made(kind, (np.array([], int), np.array([], int), np.array([], int), 3, 2))] == [
        False,
        False,
    ]


@pytest.mark.parametrize("kind", REAL_KINDS)
def test_only_self_loops(kind):
    x = made(kind, (np.array([0, 1]), np.array([1, 1]), np.array([1, 1]), 3, 2))
    assert np.array_equal(x[1].any(axis=1), [False, True, False])


@pytest.mark.parametrize("kind", REAL_KINDS)
def test_a_yielded_array_can_be_written_to(kind):
    whole = made(kind, made_events())
    for x, expected in zip(features(kind, *made_events(), dim=8, seed=1, **PARAMS[kind]), whole, strict=True):
        assert np.array_equal(x, expected)
        x[:] = np.nan


@pytest.mark.parametrize("kind", REAL_KINDS)
def test_progress_rises_to_one(kind):
    seen: list[float] = []
    made(kind, made_events(), progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1


def test_none_yields_nothing():
    assert list(features("none", *made_events())) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "pagerank"}, "kind: got 'pagerank', expected one of"),
        ({"dim": 0}, "dim: got 0"),
        ({"decays": 0.3}, "unknown option 'decays', expected one of dim, seed, decay"),
        ({"decay": 0.0}, "decay: got 0.0"),
        ({"iterations": 0}, "iterations: got 0"),
        ({"oversample": -1}, "oversample: got -1"),
        ({"threshold": float("nan")}, "threshold: got nan"),
        ({"src": np.array([0, 7])}, "src: got values from 0 to 7, expected 0 to 2"),
        ({"src": np.array([0, -1])}, "src: got values from -1 to 0"),
        ({"dst": np.array([0.0, 1.0])}, "dst: got float64"),
        ({"dst": np.array([0])}, "got lengths 2, 2 and 1"),
        ({"snapshot": np.array([0, 1])}, "snapshot: got values from 0 to 1, expected 0 to 0"),
    ],
)
def test_bad_arguments(change, message):
    good = {
        "kind": "spectral", "snapshot": np.array([0, 0]), "src": np.array([0, 1]), "dst": np.array([1, 2]),
        "num_nodes": 3, "num_snapshots": 1,
    }  # fmt: skip
    with pytest.raises(ConfigError, match=message):
        list(features(**(good | change)))


def test_import_is_light():
    heavy = ("scipy", "numba", "sklearn", "torch", "dgl")
    code = f"import sys, data_prep.features; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
