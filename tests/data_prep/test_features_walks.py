"""Walks: every step an edge, as probable as defined. Skip-gram: its pairs, and a step of training against float64."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.sparse import csr_array

from data_prep.features.walks import SkipGram, Walker, _train

# Two triangles that share node 2, and a pendant node 5 on 4; the weights differ.
ADJACENCY = np.zeros((6, 6))
for _u, _v, _w in [(0, 1, 1.0), (0, 2, 2.0), (1, 2, 3.0), (2, 3, 1.0), (2, 4, 2.0), (3, 4, 0.5), (4, 5, 4.0)]:
    ADJACENCY[_u, _v] = ADJACENCY[_v, _u] = _w


def draw(adjacency: np.ndarray, starts: np.ndarray, length: int, seed: int = 0, threads: int = 2, **bias: float):
    with ThreadPoolExecutor(threads) as pool:
        return Walker(csr_array(adjacency), **bias).walks(starts, length, seed, pool)


def brute_force(adjacency: np.ndarray, before: int, here: int, p: float, q: float) -> np.ndarray:
    """Return the probabilities of the next node, from the definition of node2vec."""
    chance = np.zeros(len(adjacency))
    for there in np.flatnonzero(adjacency[here]):
        alpha = 1 / p if there == before else 1 if adjacency[before, there] else 1 / q
        chance[there] = alpha * adjacency[here, there]
    return chance / chance.sum()


@pytest.mark.parametrize("bias", [{}, {"p": 0.25, "q": 4.0}])
def test_each_step_is_an_edge_and_walks_start_where_they_should(bias):
    rng = np.random.default_rng(0)
    adjacency = np.triu(rng.random((80, 80)) < 0.04, 1) * rng.uniform(0.5, 1, (80, 80))
    adjacency += adjacency.T
    starts = np.repeat(np.flatnonzero(adjacency.any(1)), 70)  # more than one block
    walks = draw(adjacency, starts, 20, **bias)
    assert np.array_equal(walks[:, 0], starts)
    assert (adjacency[walks[:, :-1], walks[:, 1:]] > 0).all()
    reached = np.zeros_like(adjacency, dtype=bool)
    reached[walks[:, :-1], walks[:, 1:]] = True
    assert np.array_equal(reached, adjacency > 0)


def test_first_order_probabilities_are_the_weights():
    walks = draw(ADJACENCY, np.zeros(20_000, int), 9)
    steps = np.zeros((6, 6))
    np.add.at(steps, (walks[:, :-1].ravel(), walks[:, 1:].ravel()), 1)
    expected = ADJACENCY / ADJACENCY.sum(1, keepdims=True)
    np.testing.assert_allclose(steps / steps.sum(1, keepdims=True), expected, atol=0.01)


@pytest.mark.parametrize(("p", "q"), [(4.0, 0.5), (0.25, 4.0), (0.5, 0.5), (3.0, 2.0), (1.0, 0.2)])
def test_second_order_probabilities_against_brute_force(p, q):
    walks = draw(ADJACENCY, np.arange(40_000) % 6, 9, p=p, q=q)
    triples = np.zeros((6, 6, 6))
    np.add.at(triples, (walks[:, :-2].ravel(), walks[:, 1:-1].ravel(), walks[:, 2:].ravel()), 1)
    for before, here in zip(*np.nonzero(ADJACENCY), strict=True):
        count = triples[before, here]
        expected = brute_force(ADJACENCY, before, here, p, q)
        error = np.sqrt(expected * (1 - expected) / count.sum())
        assert count.sum() > 1000
        assert (np.abs(count / count.sum() - expected) <= 4.5 * error).all()


def test_self_loops_are_edges_and_a_node_without_neighbours_stays():
    walks = draw(np.diag([0.0, 1.0]), np.array([0, 1]), 4, p=2.0, q=3.0)
    assert walks.tolist() == [[0, 0, 0, 0], [1, 1, 1, 1]]


def test_weights_of_very_different_size():
    tiny = np.zeros((5, 5))
    for u, v, w in [(0, 1, 1e9), (2, 3, 1e-30), (2, 4, 3e-30)]:
        tiny[u, v] = tiny[v, u] = w
    second = draw(tiny, np.full(20_000, 2), 2)[:, 1]
    assert np.mean(second == 4) == pytest.approx(0.75, abs=0.02)


def test_walks_depend_on_the_seed_but_not_on_the_threads():
    starts = np.arange(9_000) % 6
    one, three, other = (draw(ADJACENCY, starts, 10, *setting, p=2.0) for setting in ((5, 1), (5, 3), (6, 1)))
    assert np.array_equal(one, three)
    assert not np.array_equal(one, other)
    assert len({tuple(walk) for walk in one[starts == 0].tolist()}) > 500


def reference_step(center, context, pairs, noise, rate):
    """Return the vectors after word2vec's update for each pair, with the given negatives, in float64."""
    center, context = center.astype(np.float64), context.astype(np.float64)
    for u, v in pairs:
        change = np.zeros(center.shape[1])
        for node, label in [(v, 1.0)] + [(n, 0.0) for n in noise if n != v]:
            step = rate * (label - 1 / (1 + np.exp(-center[u] @ context[node])))
            change += step * context[node]
            context[node] += step * center[u]
        center[u] += change
    return center, context


def test_one_pass_against_float64():
    rng = np.random.default_rng(0)
    center, context = rng.standard_normal((2, 6, 16)).astype(np.float32)
    pairs = rng.integers(0, 6, (50, 2)).astype(np.int32)
    expected = reference_step(center, context, pairs, [3, 3], 0.1)
    _train(pairs, center, context, np.array([3], np.int32), 2, np.float32(0.1), np.uint64(1), 0)
    np.testing.assert_allclose(center, expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(context, expected[1], rtol=1e-4, atol=1e-5)


def test_pairs_are_within_the_window_near_ones_more_often_each_in_its_bucket():
    walks = np.stack([np.random.default_rng(i).permutation(300)[:12] for i in range(3000)]).astype(np.int32)
    part = (np.arange(300) % 3).astype(np.int32)
    with ThreadPoolExecutor(2) as pool:
        pairs, bounds = SkipGram(300, 2, 0)._pairs(walks, part, 3, 4, pool)
    for bucket in range(9):
        inside = pairs[bounds[bucket] : bounds[bucket + 1]]
        assert (part[inside] == [bucket // 3, bucket % 3]).all()
    possible = Counter()
    for i in range(12):
        for j in range(max(0, i - 4), min(12, i + 5)):
            if i != j:
                possible.update(zip(walks[:, i].tolist(), walks[:, j].tolist(), strict=True))
    found = Counter(map(tuple, pairs.tolist()))
    assert found <= possible
    # A pair k apart is kept with probability (5 - k) / 4: 12 - k places a walk, both directions.
    expected = 3000 * sum(2 * (12 - k) * (5 - k) / 4 for k in range(1, 5))
    assert abs(len(pairs) / expected - 1) < 0.01


def test_negatives_follow_the_weight_to_three_quarters_and_leave_out_weight_zero():
    weight = np.array([0.0, 1.0, 16.0, 81.0])
    noise = SkipGram(4, 2, 0)._noise(weight, np.array([1, 2, 3]))
    np.testing.assert_allclose(np.bincount(noise, minlength=4) / len(noise), np.array([0, 1, 8, 27]) / 36, atol=0.001)


def test_parts_are_even_and_cover_only_weighted_nodes():
    weight = np.repeat([0.0, 1.0], [10, 90])
    part = SkipGram(100, 2, 0)._deal(weight, 4)
    assert sorted(np.bincount(part[10:]).tolist()) == [22, 22, 23, 23]


def test_vectors_do_not_depend_on_the_threads():
    walks = np.random.default_rng(0).integers(0, 2000, (5000, 10)).astype(np.int32)
    found = []
    for threads in (1, 2, 7):
        model = SkipGram(2000, 16, seed=3)
        with ThreadPoolExecutor(threads) as pool:
            for _ in range(2):
                model.train(walks, np.ones(2000), 3, 4, 0.05, pool)
        found.append((model.center, model.context))
    assert all(np.array_equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))
