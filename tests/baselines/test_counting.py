"""Counting models of links, each against a brute-force version on plain lists of events."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dgl_dysign.baselines import (
    CommonNeighbours,
    DestinationRecency,
    EdgeBank,
    PreferentialAttachment,
    RandomLinks,
    RecentDegree,
    link_reference_models,
)
from dgl_dysign.data import distinct_edges
from dgl_dysign.errors import ConfigError
from tests.evaluation.link_cases import HISTORIES, NUM_NODES, snapshots

_SRC = torch.arange(NUM_NODES)
_DST = torch.arange(NUM_NODES).expand(NUM_NODES, -1).contiguous()


def _table(history, directed):
    """All distinct edges as (snapshot, source, destination)."""
    return [
        (edges.snapshot, u, v)
        for edges in snapshots(history, directed)
        for u, v in zip(edges.src.tolist(), edges.dst.tolist(), strict=True)
    ]


def _all_pairs(model, history, directed):
    for edges in snapshots(history, directed):
        model.observe(edges)
    return model.score(len(history), _SRC, _DST)


def _expected(rule):
    return torch.tensor([[float(rule(u, v)) for v in range(NUM_NODES)] for u in range(NUM_NODES)], dtype=torch.float64)


@settings(max_examples=60, deadline=None)
@given(
    history=HISTORIES,
    directed=st.booleans(),
    same_way=st.booleans(),
    window=st.one_of(st.none(), st.integers(1, 4)),
)
def test_edgebank(history, directed, same_way, window):
    found = _all_pairs(EdgeBank(NUM_NODES, directed=same_way, window=window), history, directed)
    late = [(u, v) for t, u, v in _table(history, directed) if window is None or t >= len(history) - window]
    either = not (directed and same_way)
    assert torch.equal(found, _expected(lambda u, v: (u, v) in late or (either and (v, u) in late)))


def _degree(table, node, now, decay, both):
    return sum(decay ** (now - t) * ((v == node) + (both and u == node)) for t, u, v in table)


@settings(max_examples=60, deadline=None)
@given(
    history=HISTORIES, directed=st.booleans(), ends=st.sampled_from(["both", "dst"]), decay=st.sampled_from([0.9, 0.4])
)
def test_recent_degree_and_preferential_attachment(history, directed, ends, decay):
    table, now, both = _table(history, directed), len(history), ends == "both" or not directed
    recent = _all_pairs(RecentDegree(NUM_NODES, decay, ends), history, directed)
    torch.testing.assert_close(recent, _expected(lambda u, v: _degree(table, v, now, decay, both)))
    attached = _all_pairs(PreferentialAttachment(NUM_NODES), history, directed)
    product = _expected(lambda u, v: _degree(table, u, now, 1, True) * _degree(table, v, now, 1, True))
    torch.testing.assert_close(attached, product)


@settings(max_examples=60, deadline=None)
@given(history=HISTORIES, directed=st.booleans(), ends=st.sampled_from(["both", "dst"]))
def test_destination_recency(history, directed, ends):
    table, both = _table(history, directed), ends == "both" or not directed

    def rule(_, node):
        at = [t for t, u, v in table if v == node or (both and u == node)]
        return 1 / (len(history) - max(at)) if at else 0

    torch.testing.assert_close(_all_pairs(DestinationRecency(NUM_NODES, ends), history, directed), _expected(rule))


@settings(max_examples=60, deadline=None)
@given(history=HISTORIES, directed=st.booleans())
def test_common_neighbours(history, directed):
    near = {v: set() for v in range(NUM_NODES)}
    for _, u, v in _table(history, directed):
        if u != v:
            near[u].add(v)
            near[v].add(u)
    found = _all_pairs(CommonNeighbours(NUM_NODES), history, directed)
    assert torch.equal(found, _expected(lambda u, v: len(near[u] & near[v])))


def test_random_scores_look_random_and_are_always_the_same():
    model, other = RandomLinks(500, seed=1), RandomLinks(500, seed=2)
    src, dst = torch.arange(500), torch.arange(500).repeat(500, 1)
    scores = model.score(3, src, dst)
    assert torch.equal(scores, RandomLinks(500, seed=1).score(3, src, dst))
    assert torch.equal(scores[7:9, 4:6], model.score(3, src[7:9], dst[7:9, 4:6]))
    for changed in (other.score(3, src, dst), model.score(4, src, dst), scores.T):
        assert abs(torch.corrcoef(torch.stack([scores.flatten(), changed.flatten()]))[0, 1]) < 0.02
    assert 0 <= scores.min() <= scores.max() < 1
    assert (torch.histc(scores, 10, 0, 1) / 25_000 - 1).abs().max() < 0.05


def test_all_rows_take_empty_snapshots_and_no_queries():
    for model in link_reference_models(5).values():
        model.observe(distinct_edges(0, [], [], num_nodes=5))
        scores = model.score(1, torch.tensor([2]), torch.tensor([[1, 3]]))
        assert scores.shape == (1, 2)
        assert scores.dtype == torch.float64
        assert model.score(1, torch.empty(0, dtype=torch.int64), torch.empty(0, 4, dtype=torch.int64)).shape == (0, 4)


def test_what_was_observed_in_the_scored_snapshot_counts_most_under_a_leaking_protocol():
    model = DestinationRecency(3)
    model.observe(distinct_edges(4, [0], [1], num_nodes=3))
    assert model.score(4, torch.tensor([0]), torch.tensor([[1, 2]])).tolist() == [[2.0, 0.0]]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: EdgeBank(3, window=0), "window=0"),
        (lambda: RecentDegree(3, decay=0.0), "decay=0.0"),
        (lambda: RecentDegree(3, ends="src"), "ends='src'"),
        (lambda: DestinationRecency(3, ends="src"), "ends='src'"),
    ],
)
def test_bad_arguments(make, words):
    with pytest.raises(ConfigError, match=words):
        make()
