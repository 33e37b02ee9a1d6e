"""PairIndex against a dictionary."""

from collections import defaultdict

import numpy as np
import pytest

from dgl_dysign.data.temporal_graph import PairIndex


@pytest.mark.parametrize("unordered", [True, False])
@pytest.mark.parametrize("decay", [1.0, 0.7])
def test_weights_are_their_definition_at_every_snapshot(unordered, decay):
    rng = np.random.default_rng(4)
    parts = [rng.integers(0, 12, (2, size)) for size in (30, 0, 50, 1, 20)]
    index = PairIndex(12, unordered)
    for src, dst in parts:
        index.append(src, dst)
    assert len(index) == len(parts)
    for t in range(len(parts)):
        weights = defaultdict(float)
        for age, part in zip(range(t, -1, -1), parts, strict=False):
            for u, v in part.T.tolist():
                weights[(min(u, v), max(u, v)) if unordered else (u, v)] += decay**age
        src, dst, weight = index.weights(t, decay)
        found = dict(zip(zip(src.tolist(), dst.tolist(), strict=True), weight.tolist(), strict=True))
        assert len(found) == len(src)
        assert found == pytest.approx(dict(weights))


def test_pairs_known_earlier_come_first_and_keep_their_place():
    rng = np.random.default_rng(5)
    index = PairIndex(40, unordered=True)
    known = []
    for _ in range(6):
        index.append(*rng.integers(0, 40, (2, 25)))
        src, dst, _ = index.weights(len(index) - 1, 1.0)
        pairs = list(zip(src.tolist(), dst.tolist(), strict=True))
        assert pairs[: len(known)] == known
        known = pairs


def test_keys_do_not_overflow_for_large_ids():
    num_nodes = 2_000_000_000
    index = PairIndex(num_nodes, unordered=False)
    index.append(np.array([num_nodes - 1, 0]), np.array([num_nodes - 2, num_nodes - 1]))
    src, dst, _ = index.weights(0, 1.0)
    assert (src.tolist(), dst.tolist()) == ([0, num_nodes - 1], [num_nodes - 1, num_nodes - 2])
