"""Link features: values against plain loops, nothing from the future, no dependence on numbers or order of nodes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dgl_dysign.data import distinct_edges
from dgl_dysign.errors import ConfigError
from dgl_dysign.pairs import LinkFeatures
from dgl_dysign.pairs.families import FAMILIES
from dgl_dysign.pairs.link_features import usual_families

N, T = 9, 5


def random_past(seed, directed=True, num=12):
    rng = np.random.default_rng(seed)
    return [
        distinct_edges(
            t,
            *rng.integers(0, N, (2, num)),
            time=10.0 * t + 10 * rng.random(num),
            weight=rng.integers(1, 10, num) * rng.choice([-1.0, 1.0], num),
            num_nodes=N,
            directed=directed,
        )
        for t in range(T)
    ]


def observed(past, **options):
    features = LinkFeatures(N, [10.0 * t for t in range(T + 1)], **options)
    for edges in past:
        features.observe(edges)
    return features


def all_pairs():
    return torch.arange(N), torch.arange(N).expand(N, N)


def column(features, name, t=T):
    return features.features(t, *all_pairs())[..., features.names.index(name)].numpy().astype(np.float64)


@pytest.fixture
def past():
    return random_past(0)


def adjacency(past, decay, sign=0):
    found = np.zeros((N, N))
    for edges in past:
        for s, d, w in zip(edges.src, edges.dst, edges.weight, strict=True):
            if sign == 0 or (w > 0) == (sign > 0):
                found[s, d] += decay ** (T - 1 - edges.snapshot)
    return found


def test_degrees_and_recency(past):
    features, matrix = observed(past), adjacency(past, 0.7)
    np.testing.assert_allclose(column(features, "activity/src_out_0.7")[:, 0], np.log1p(matrix.sum(1)), rtol=1e-6)
    np.testing.assert_allclose(column(features, "activity/dst_in_0.7")[0], np.log1p(matrix.sum(0)), rtol=1e-6)
    for node in range(N):
        times = [float(x) for e in past for x in e.time[e.src == node]]
        since = (10.0 * T - max(times)) / 10 if times else 400.0
        assert column(features, "activity/dst_recency_out")[0, node] == pytest.approx(np.log1p(8 * since), rel=1e-5)


def test_pairs_remember_their_last_meeting(past):
    features = observed(past)
    forth, weight, unanswered = (
        column(features, name) for name in ("pair/recency_forth", "ratings/forth", "pair/unanswered")
    )
    last = {}
    for e in past:
        for s, d, time, w in zip(e.src.tolist(), e.dst.tolist(), e.time.tolist(), e.weight.tolist(), strict=True):
            last[s, d] = (time, w)
    for s in range(N):
        for d in range(N):
            time, w = last.get((s, d), (None, 0.0))
            since = 400.0 if time is None else (10.0 * T - time) / 10
            assert forth[s, d] == pytest.approx(np.log1p(8 * since), rel=1e-5)
            assert weight[s, d] == pytest.approx(w)
            assert unanswered[s, d] == ((d, s) in last and (s, d) not in last)


def test_ratings_of_the_destination(past):
    found = column(observed(past), "ratings/dst_in_weight_0.9")[0]
    for node in range(N):
        parts = [
            (0.9 ** (T - 1 - e.snapshot), w) for e in past for w in e.weight[e.dst == node].tolist()
        ]  # fmt: skip
        total = sum(aged for aged, _ in parts)
        assert found[node] == pytest.approx(sum(a * w for a, w in parts) / total if parts else 0.0, rel=1e-5, abs=1e-6)


def test_two_steps(past):
    features, a = observed(past), adjacency(past, 0.98)
    u = a + a.T
    for name, want in {"out_in": a @ a.T, "in_in": a.T @ a.T, "either": u @ u}.items():
        np.testing.assert_allclose(column(features, f"shared/{name}_0.98"), np.log1p(5 * want), rtol=1e-5, atol=1e-6)
    rare = u @ np.diag(1 / np.log(2 + u.sum(1))) @ u
    np.testing.assert_allclose(column(features, "shared/adamic_adar_0.98"), np.log1p(5 * rare), rtol=1e-5)


def test_walks(past):
    features, a = observed(past), adjacency(past, 0.98)
    for name, matrix in {"pagerank_0.98": a + a.T, "pagerank_forth_0.98": a}.items():
        step = matrix / np.maximum(matrix.sum(1, keepdims=True), 1e-12)
        want = sum(0.2 * 0.8**k * np.linalg.matrix_power(step, k) for k in range(7))
        np.testing.assert_allclose(column(features, f"walks/{name}"), np.log(want + 1e-6), rtol=1e-4, atol=1e-4)
    b = adjacency(past, 0.97)
    out = b / np.maximum(b.sum(1, keepdims=True), 1e-12)
    back = b.T / np.maximum(b.T.sum(1, keepdims=True), 1e-12)
    np.testing.assert_allclose(
        column(features, "walks/out_in_out_0.97"), np.log(out @ back @ out + 1e-6), rtol=1e-4, atol=1e-4
    )


def test_ranks_count_the_nodes_that_are_ahead(past):
    features = observed(past)
    rank = np.exp(column(features, "walks/pagerank_ahead_0.98")) - 1
    value = column(features, "walks/pagerank_0.98")
    np.testing.assert_allclose(rank, (value[:, None, :] > value[:, :, None] + 1e-6).sum(2), atol=1e-4)


@pytest.mark.parametrize("directed", [True, False])
def test_names_and_numbers_of_nodes_have_no_part(directed):
    past, rename = random_past(3, directed), torch.from_numpy(np.random.default_rng(1).permutation(N))
    renamed = [
        distinct_edges(
            e.snapshot, rename[e.src], rename[e.dst], time=e.time, weight=e.weight, num_nodes=N, directed=directed
        )
        for e in past
    ]
    src, dst = all_pairs()
    one = observed(past).features(T, src, dst)
    other = observed(renamed).features(T, rename[src], rename[dst])
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_asking_changes_nothing_and_pairs_are_apart(seed):
    past = random_past(seed)
    features, fresh = observed(past[:3]), observed(past[:3])
    src, dst = all_pairs()
    whole = features.features(3, src, dst)
    row, some = torch.tensor([seed % N]), torch.tensor([[4, 1]])
    torch.testing.assert_close(fresh.features(3, row, some), whole[row[:, None], some], rtol=1e-5, atol=1e-5)
    features.features(4, src, dst)
    features.observe(past[3])
    fresh.observe(past[3])
    assert torch.equal(features.features(4, src, dst), fresh.features(4, src, dst))


def test_everything_is_finite_with_no_past_and_silent_nodes():
    features = LinkFeatures(N)
    assert features.features(0, *all_pairs()).isfinite().all()
    features.observe(distinct_edges(0, [0, 1], [0, 2], num_nodes=N))
    assert features.features(300, *all_pairs()).isfinite().all()
    assert features.features(1, torch.zeros(0, dtype=torch.int64), torch.zeros(0, 3, dtype=torch.int64)).shape[0] == 0


def test_reset_forgets(past):
    features = observed(past)
    features.reset()
    assert torch.equal(features.features(0, *all_pairs()), LinkFeatures(N).features(0, *all_pairs()))


def test_families_and_names():
    features = LinkFeatures(N, families=["pair", "activity"])
    assert features.families == ("activity", "pair")
    assert [features.names[i].split("/")[0] for i in features.columns(["pair"])] == ["pair"] * 15
    assert len(set(LinkFeatures(N).names)) == len(LinkFeatures(N).names)
    assert set(FAMILIES) - set(LinkFeatures(50_000).families) == {"projections"}
    assert set(FAMILIES) - set(LinkFeatures(50_001).families) == {"walks", "ratings"}
    assert usual_families(N, "projected") == usual_families(50_001)
    with pytest.raises(ConfigError, match="walks"):
        usual_families(N, "none")


@pytest.mark.parametrize("families", [["pairs"], []])
def test_unknown_families_are_refused(families):
    with pytest.raises(ConfigError, match="families: expected some of 'activity'"):
        LinkFeatures(N, families=families)


def test_time_goes_on(past):
    features = observed(past)
    with pytest.raises(ConfigError, match="snapshot 2 comes after snapshot 4"):
        features.observe(past[2])
    with pytest.raises(ConfigError, match="ask before you observe"):
        features.features(4, *all_pairs())


def test_what_comes_after_the_last_snapshot_can_be_asked(past):
    last = column(observed(past), "activity/dst_recency_any", T)
    later = column(observed(past), "activity/dst_recency_any", T + 2)
    known = last < np.log1p(8 * 300)
    np.testing.assert_allclose(np.expm1(later[known]), np.expm1(last[known]) + 16, rtol=1e-5)


def test_times_are_counted_in_the_unit_that_is_given(past):
    assert observed(past).unit == 10.0  # the mean of what the snapshots last
    given, mean = observed(past, unit=10.0), observed(past)
    for features in (given, mean):
        features.reset()
        for edges in past:
            features.observe(edges)
    assert torch.equal(given.features(T, *all_pairs()), mean.features(T, *all_pairs()))
    halves = column(observed(past, unit=5.0), "activity/dst_recency_out")[0]
    whole = np.expm1(column(given, "activity/dst_recency_out")[0])
    met = whole < 8 * 400 - 1  # nodes that never met anybody have the same bound in either unit
    np.testing.assert_allclose(np.expm1(halves)[met], 2 * whole[met], rtol=1e-5)
    for unit in (0.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="unit must be positive, but got"):
            LinkFeatures(N, unit=unit)
