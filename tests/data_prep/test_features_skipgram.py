"""Skip-gram: the pairs, one step of training against float64, and no trace of the number of threads."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from data_prep.features.skipgram import SkipGram, _train


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
    walks = np.stack([np.random.default_rng(i).permutation(300)[:12] for i in range(6000)]).astype(np.int32)
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
    expected = 6000 * sum(2 * (12 - k) * (5 - k) / 4 for k in range(1, 5))
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
