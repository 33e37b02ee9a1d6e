"""Random walks: every step an edge, with the probabilities of the definition."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.sparse import csr_array

from data_prep.features.walks import Walker

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
    walks = draw(ADJACENCY, np.arange(60_000) % 6, 9, p=p, q=q)
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
