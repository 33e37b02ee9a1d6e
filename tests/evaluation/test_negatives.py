"""Drawn negatives: only from the past, never a link of the snapshot, evenly, and the same whatever was drawn before."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dgl_dysign.data import distinct_edges
from dgl_dysign.errors import ConfigError
from dgl_dysign.evaluation import NegativeSampler, ReleasedSampler
from tests.evaluation.link_cases import HISTORIES, NUM_NODES, generated, snapshots


def _observed(history, **options):
    sampler = NegativeSampler(options.pop("num_nodes", NUM_NODES), **options)
    for edges in history:
        sampler.observe(edges)
    return sampler


def _pairs(edges):
    pairs = set(zip(edges.src.tolist(), edges.dst.tolist(), strict=True))
    return pairs if edges.directed else pairs | {(v, u) for u, v in pairs}


@settings(max_examples=150, deadline=None)
@given(
    history=HISTORIES,
    directed=st.booleans(),
    historical=st.sampled_from([0.0, 0.5, 1.0]),
    among=st.sampled_from(["nodes", "destinations"]),
)
def test_every_rule_against_plain_sets(history, directed, historical, among):
    *past, edges = snapshots(history, directed)
    sampler = _observed(past, num_negatives=6, historical=historical, among=among)
    queries = sampler.draw(edges)
    seen = {v for part in past for ends in _pairs(part) for v in ends}
    candidates = {v for part in past for _, v in _pairs(part)} if among == "destinations" else seen
    links = _pairs(edges)
    met = {u: {v for part in past for s, v in _pairs(part) if s == u} for u in range(NUM_NODES)}
    asked = []
    for s, row, warm in zip(queries.src.tolist(), queries.dst.tolist(), queries.warm.tolist(), strict=True):
        d, drawn = row[0], row[1:]
        asked.append((s, d) if directed else (min(s, d), max(s, d)))
        assert (s, d) in links
        assert s != d
        assert warm == (s in seen and d in seen)
        known = {v for v in met[s] if v != s and (s, v) not in links}
        assert len(drawn) == 6
        for v in drawn:
            assert v in candidates
            assert v != s
            assert (s, v) not in links
        first = drawn[: min(len(known), round(6 * historical))]
        assert set(first) <= known
        assert len(set(first)) == len(first)
    possible = {u: {v for v in candidates if v != u and (u, v) not in links} for u in range(NUM_NODES)}
    plain = set(zip(edges.src.tolist(), edges.dst.tolist(), strict=True))
    left_out = [p for p in plain if p[0] != p[1] and p not in asked]
    assert queries.skipped == len(left_out)
    assert sorted(asked) == sorted({p for p in plain if p[0] != p[1]} - set(left_out))
    for u, v in left_out:
        assert not possible[u] or (not directed and not possible[v])


@pytest.mark.parametrize("historical", [0.0, 0.5])
def test_draws_depend_on_seed_and_snapshot_not_on_draws(historical):
    history = generated()
    options = {"num_nodes": 60, "historical": historical}
    once = _observed(history[:20], seed=3, **options)
    often = NegativeSampler(60, historical=historical, seed=3)
    for edges in history[:20]:
        often.draw(edges)
        often.observe(edges)
    first = once.draw(history[20])
    for sampler in (once, often):
        assert torch.equal(sampler.draw(history[20]).dst, first.dst)
    assert not torch.equal(_observed(history[:20], seed=4, **options).draw(history[20]).dst, first.dst)
    later = distinct_edges(21, history[20].src, history[20].dst, num_nodes=60)
    assert not torch.equal(once.draw(later).dst, first.dst)
    once.reset()
    for edges in history[:20]:
        once.observe(edges)
    assert torch.equal(once.draw(history[20]).dst, first.dst)


def test_every_allowed_node_is_as_likely_as_another():
    past = distinct_edges(0, range(9), range(1, 10), num_nodes=12)
    sampler = NegativeSampler(12, num_negatives=40_000, seed=1)
    sampler.observe(past)
    counts = torch.bincount(sampler.draw(distinct_edges(1, [0, 0], [3, 4], num_nodes=12)).dst[0, 1:], minlength=12)
    allowed = [1, 2, 5, 6, 7, 8, 9]
    assert counts.sum() == counts[allowed].sum() == 40_000
    assert (counts[allowed] / (40_000 / 7) - 1).abs().max() < 0.05


def test_a_source_joined_to_nearly_all_nodes_gets_what_is_left():
    n = 400
    sampler = NegativeSampler(n, num_negatives=5)
    sampler.observe(distinct_edges(0, range(n - 1), range(1, n), num_nodes=n))
    star = distinct_edges(1, [0] * (n - 2), range(1, n - 1), num_nodes=n)
    queries = sampler.draw(star)
    assert (queries.dst[:, 1:] == n - 1).all()
    assert queries.skipped == 0
    full = sampler.draw(distinct_edges(1, [0] * (n - 1), range(1, n), num_nodes=n))
    assert len(full) == 0
    assert full.skipped == n - 1
    assert full.dst.shape == (0, 6)


def test_the_end_of_an_undirected_edge_that_is_kept_does_not_tell():
    history = generated(num_snapshots=40, directed=False)
    sampler, ordered, total = NegativeSampler(60), 0, 0
    for edges in history:
        queries = sampler.draw(edges)
        ordered, total = ordered + int((queries.src < queries.dst[:, 0]).sum()), total + len(queries)
        sampler.observe(edges)
    assert abs(ordered / total - 0.5) < 0.06


def test_every_past_destination_is_as_likely_as_another():
    sources = torch.arange(12, 52)  # each of them met 1 to 9
    past = distinct_edges(0, sources.repeat_interleave(9), torch.arange(1, 10).repeat(40), num_nodes=60)
    sampler = NegativeSampler(60, num_negatives=4, historical=0.5, seed=1)
    counts = torch.zeros(60)
    sampler.observe(past)
    for t in range(1, 101):  # nodes 9 and 11 are no candidates, 1 .. 8 are
        queries = sampler.draw(distinct_edges(t, sources.repeat(2), [9] * 40 + [11] * 40, num_nodes=60))
        rows = queries.dst[queries.dst[:, 0] == 9, 1:3]
        assert len(rows) == 40
        assert (rows[:, 0] != rows[:, 1]).all()
        counts += torch.bincount(rows.flatten(), minlength=60)
    assert counts[1:9].sum() == counts.sum() == 8000
    assert (counts[1:9] / 1000 - 1).abs().max() < 0.15


def test_released_negatives_know_the_future_and_are_flagged_by_their_name():
    history = generated()
    sampler = NegativeSampler(60, seed=2)
    released = ReleasedSampler(torch.cat([edges.dst for edges in history]), sampler)
    first = released.draw(history[0])
    assert first.dst.shape == (int((history[0].src != history[0].dst).sum()), 101)
    assert not first.warm.any()
    released.observe(history[0])
    second = released.draw(history[1])
    rows = min(len(first), len(second))
    assert torch.equal(first.dst[:rows, 1:], second.dst[:rows, 1:])
    released.reset()
    assert sampler.snapshot == -1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_negatives": 0}, "num_negatives=0"),
        ({"historical": 1.5}, "historical=1.5"),
        ({"seed": -1}, "seed=-1"),
        ({"among": "items"}, "among='items'"),
        ({"max_edges": 0}, "max_edges must be at least 1"),
    ],
)
def test_bad_arguments(options, words):
    with pytest.raises(ConfigError, match=words):
        NegativeSampler(5, **options)


def test_a_budget_draws_edges_of_the_snapshot_and_the_same_each_time():
    *past, edges = generated(12, NUM_NODES, edges=20)
    sampler = _observed(past, max_edges=7)
    queries, again = sampler.draw(edges), sampler.draw(edges)
    drawn = list(zip(queries.src.tolist(), queries.dst[:, 0].tolist(), strict=True))
    assert torch.equal(queries.dst, again.dst)
    assert len(drawn) == len(set(drawn)) == 7
    assert set(drawn) <= _pairs(edges)
    whole, unlimited = (_observed(past, max_edges=most).draw(edges) for most in (len(edges), None))
    assert torch.equal(whole.dst, unlimited.dst)


def test_bad_order_and_size():
    sampler = _observed(snapshots([[(0, 1)], [(1, 2)]]))
    for call in (sampler.draw, sampler.observe):
        with pytest.raises(ConfigError, match="snapshot 1 after snapshot 1 was observed"):
            call(snapshots([[], [(0, 1)]])[1])
        with pytest.raises(ConfigError, match="among 9 nodes: expected 8"):
            call(distinct_edges(2, [0], [1], num_nodes=9))


def test_no_edges():
    sampler = _observed(snapshots([[(0, 1)]]), historical=0.5)
    queries = sampler.draw(distinct_edges(5, [], [], num_nodes=NUM_NODES))
    assert len(queries) == 0
    assert queries.dst.shape == (0, 101)
    assert queries.warm.dtype == torch.bool
    assert np.array(queries.skipped) == 0
