"""The importances of nodes and the score of a neighbour: facts of the method, formulas written down, invariances."""

import math

import networkx
import pytest
import torch
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from dgl_dysign.errors import ConfigError
from dgl_dysign.store import IMPORTANCES, NeighborStore, cohesion, core, degree, temporal_influence, uniform
from dgl_dysign.store.importance import log2_cohesion
from tests.store import dictionary_store

graphs = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=30, unique=True)


def star(leaves):
    return torch.zeros(leaves, dtype=torch.int64), torch.arange(1, leaves + 1)


def tensors(pairs):
    src, dst = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).unbind(1)
    return src, dst


def test_equal_degrees_give_e():
    assert cohesion(*tensors([(0, 1)]), 3).tolist() == pytest.approx([math.e, math.e, 0])
    assert cohesion(*tensors([(0, 1), (1, 2), (2, 0)]), 3).tolist() == pytest.approx([2 * math.e] * 3)


def test_a_jump_beside_equal_degrees():
    """Two hubs of 5 ends each are worth e to each other; one leaf more, and the larger gives only exp(-6/5)."""
    pairs = [(0, 1)] + [(0, leaf) for leaf in range(2, 6)] + [(1, leaf) for leaf in range(6, 10)]
    leaves = 4 * math.exp(-5)
    assert cohesion(*tensors(pairs), 11)[0].item() == pytest.approx(math.e + leaves)
    larger = cohesion(*tensors([*pairs, (0, 10)]), 11)
    assert larger[0].item() == pytest.approx(math.exp(-6 / 5) + 5 * math.exp(-6))
    assert larger[1].item() == pytest.approx(math.exp(5 / 6) + leaves)


def test_a_loop_is_two_ends_of_one_edge():
    assert cohesion(*tensors([(0, 0)]), 1).item() == pytest.approx(math.e)
    assert degree(*tensors([(0, 0)]), 1).item() == 2
    both = cohesion(*tensors([(0, 0), (0, 1)]), 2)
    assert both.tolist() == pytest.approx([math.e + math.exp(-3), math.exp(1 / 3)])


@pytest.mark.parametrize("leaves", [2, 5, 30])
def test_hubs_are_the_least_important(leaves):
    value = cohesion(*star(leaves), leaves + 1)
    assert value[0].item() == pytest.approx(leaves * math.exp(-leaves))
    assert value[1:].tolist() == pytest.approx([math.exp(1 / leaves)] * leaves)


def test_the_logarithm_of_a_large_hub_does_not_underflow():
    leaves = 5000
    assert cohesion(*star(leaves), leaves + 1)[0] == 0
    found = log2_cohesion(*star(leaves), leaves + 1)[0].item()
    assert found == pytest.approx(math.log2(leaves) - leaves * math.log2(math.e), rel=1e-12)


def test_a_reciprocal_pair_is_two_edges_with_direction_and_one_without():
    pair = {"src": [0, 1, 1], "dst": [1, 0, 2]}
    two = cohesion(*tensors([(0, 1), (1, 0), (1, 2)]), 3)
    assert two.tolist() == pytest.approx([2 * math.exp(2 / 3), 2 * math.exp(-3 / 2) + math.exp(-3), math.exp(1 / 3)])
    for directed, expected in ((True, two), (False, cohesion(*tensors([(0, 1), (1, 2)]), 3))):
        store = NeighborStore(3, directed=directed)
        store.insert(0, **pair)
        found = store.neighbors([1], now=0)
        ahead = found.influence[found.node == 0]
        assert ahead.tolist() == pytest.approx([expected[0].item()] * (2 if directed else 1))


@limits(max_examples=60, deadline=None)
@given(pairs=graphs, data=st.data())
def test_cohesion_is_its_formula(pairs, data):
    weight = data.draw(st.lists(st.sampled_from([0.5, 1.0, 3.0]), min_size=len(pairs), max_size=len(pairs)))
    expected = dictionary_store.cohesion([(*pair, w) for pair, w in zip(pairs, weight, strict=True)])
    found = cohesion(*tensors(pairs), 8, torch.tensor(weight))
    assert found.tolist() == pytest.approx([2 ** expected[v] if v in expected else 0 for v in range(8)], rel=1e-11)


@limits(max_examples=60, deadline=None)
@given(pairs=graphs, data=st.data())
def test_order_and_names_play_no_part(pairs, data):
    names = torch.tensor(data.draw(st.permutations(range(8))))
    src, dst = tensors(data.draw(st.permutations(pairs)))
    for importance in (*IMPORTANCES.values(), log2_cohesion):
        assert torch.equal(importance(names[src], names[dst], 8)[names], importance(*tensors(pairs), 8))


@limits(max_examples=60, deadline=None)
@given(pairs=graphs)
def test_core_is_that_of_networkx(pairs):
    graph = networkx.Graph(pair for pair in pairs if pair[0] != pair[1])
    expected = networkx.core_number(graph)
    assert core(*tensors(pairs), 8).tolist() == [expected.get(node, 0) for node in range(8)]


def test_degree_and_uniform():
    src, dst = tensors([(0, 1), (1, 0), (2, 2)])
    assert degree(src, dst, 4).tolist() == [2, 2, 2, 0]
    assert degree(src, dst, 4, torch.tensor([1.0, 2.0, 0.5])).tolist() == [3, 3, 1, 0]
    assert uniform(src, dst, 4).tolist() == [1, 1, 1, 1]


def test_an_unknown_name_is_refused():
    with pytest.raises(ConfigError, match=r"importance='pagerank': expected 'cohesion', 'degree', 'core', 'uniform'"):
        NeighborStore(3, importance="pagerank")


def test_the_formula():
    importance = torch.tensor([4.0, 4.0, 4.0], dtype=torch.float64)
    found = temporal_influence(importance, torch.tensor([1, 2, 3]), torch.tensor([2, 0, 1]), 0.1, 0.5)
    assert found.tolist() == pytest.approx([1.0, 0.4, 0.02])
    assert found.dtype == torch.float64


@pytest.mark.parametrize("decays", [(0.0, 0.5), (1.0, 0.5), (0.5, 0.0), (0.5, 1.0), (0.5, float("nan")), (-0.1, 0.5)])
def test_decays_outside_are_refused(decays):
    for make in (lambda: temporal_influence(torch.ones(1), 1, 0, *decays), lambda: NeighborStore(2, 4, 2, *decays)):
        with pytest.raises(ConfigError, match="expected a number above 0 and below 1"):
            make()


@pytest.mark.parametrize("backend", ["compiled", "torch"])
@pytest.mark.parametrize(("ratio", "first"), [(0.99, 2), (1.01, 1)])
@pytest.mark.parametrize("gap", [1, 3])
def test_an_older_entry_stays_ahead_only_if_it_was_that_much_more_important(backend, ratio, first, gap):
    """Theorem 4.6: by more than snapshot_decay^-(difference of ages)."""
    decay = 0.5
    strength = {1: ratio * decay**-gap, 2: 1.0}
    store = NeighborStore(
        3, num_hops=1, snapshot_decay=decay, backend=backend,
        importance=lambda src, dst, n: torch.tensor([1.0, strength[1], strength[2]]),
    )  # fmt: skip
    store.insert(4, [0], [1])
    store.insert(4 + gap, [0], [2])
    assert store.neighbors([0], now=20).node[0, 0] == first


@pytest.mark.parametrize("backend", ["compiled", "torch"])
def test_a_longer_path_scores_lower(backend):
    """Theorem 4.8: of one node met in one snapshot; by exactly hop_decay a hop."""
    store = NeighborStore(4, num_hops=3, hop_decay=0.3, importance="uniform", backend=backend)
    store.insert(0, [2], [3])
    store.insert(1, [1], [2])
    store.insert(2, [0], [1])
    found = store.neighbors([2, 1, 0], now=2)
    three = found.node == 3
    of_three = dict(zip(found.hop[three].tolist(), found.influence[three].tolist(), strict=True))
    assert of_three == pytest.approx({hop: 0.05**2 * 0.3 ** (hop - 1) for hop in (1, 2, 3)}, rel=1e-6)
