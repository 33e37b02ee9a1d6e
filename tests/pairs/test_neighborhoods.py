"""Neighbourhoods, rankings and ageing sums against loops over everything that was observed."""

import numpy as np
import pytest
import torch

from dgl_dysign.data import distinct_edges
from dgl_dysign.errors import ConfigError
from dgl_dysign.pairs import LinkFeatures, decaying
from dgl_dysign.pairs import ranking as ranking_module
from dgl_dysign.pairs.decaying import Decaying
from dgl_dysign.pairs.neighborhoods import DECAYS, Neighborhoods
from dgl_dysign.pairs.ranking import Ranking

N = 30


def snapshots(seed, num=10):
    """Yield snapshots, one left out, whose edges meet few nodes often; loops and repeated edges among them."""
    rng = np.random.default_rng(seed)
    for t in (number for number in range(num) if number != 3):
        src, dst = (N * rng.random((2, 25)) ** 3).astype(np.int64)
        yield t, np.append(src, 5), np.append(dst, 5)


def counted(past, most, now):
    """Return weights ``weight[node][neighbour] = (out, in)`` for each decay, degrees, and how many were cut."""
    weight, degree, cut = [{} for _ in range(N)], np.zeros((N, len(DECAYS))), 0
    for t, src, dst in past:
        aged = np.array(DECAYS) ** (now - 1 - t)
        for s, d in zip(src.tolist(), dst.tolist(), strict=True):
            for node, other, side in ((s, d, 0), (d, s, 1)):
                weight[node].setdefault(other, np.zeros((2, len(DECAYS))))[side] += aged
                degree[node] += aged
        for node in range(N):  # of the heaviest by 0.98; all age alike, so that now is as good as then
            order = sorted(weight[node], key=lambda other: (-weight[node][other][:, 1].sum().round(9), other))
            cut += len(order[most:])
            for other in order[most:]:
                del weight[node][other]
    return weight, degree, cut


@pytest.mark.parametrize("most", [4, None])
def test_sums_over_common_neighbours_are_those_of_a_loop(most):
    kept, now = Neighborhoods(N, most), 12
    for t, src, dst in snapshots(0):
        kept.add(t, src, dst)
    weight, degree, cut = counted(snapshots(0), most or N, now)
    assert kept.cut == cut
    assert (cut > 20) is (most is not None)
    ends = np.arange(N), np.tile(np.arange(N), (N, 1))
    shared = kept.shared(now, *ends)
    for column, decay in enumerate(DECAYS):
        expected = np.zeros((N, N, 6))
        for s, d in np.ndindex(N, N):
            for node in weight[s].keys() & weight[d].keys():
                (out, into), (d_out, d_into) = weight[s][node][:, column], weight[d][node][:, column]
                both, ends_there = (out + into) * (d_out + d_into), degree[node, column]
                paths = [out * d_into, out * d_out, into * d_into, into * d_out]
                expected[s, d] += [*paths, both / np.log(2 + ends_there), both / (1 + ends_there)]
        np.testing.assert_allclose(shared[:, :, column], expected, rtol=1e-9)
        np.testing.assert_allclose(kept.degrees(decay, now, ends[0]), degree[:, column], rtol=1e-9)


def test_shared_neighbours_of_a_large_graph_are_cut_and_counted():
    edges = [distinct_edges(t, src, dst, num_nodes=60_000) for t, src, dst in snapshots(1)]
    ends = torch.arange(N), torch.arange(N).expand(N, N)
    feat = {}
    for most in (3, N, None):
        features = LinkFeatures(60_000, families=["shared"], most_neighbors=most)
        for one in edges:
            features.observe(one)
        feat[most] = features.features(10, *ends)
        assert (features.neighbors_cut > 0) is (most == 3)
    assert torch.equal(feat[N], feat[None])
    assert float((feat[N] - feat[3]).min()) >= 0
    assert not torch.equal(feat[N], feat[3])
    with pytest.raises(ConfigError, match="most_neighbors must be at least 1"):
        LinkFeatures(N, most_neighbors=0)


def test_weights_are_kept_once_for_both_ends_and_edges_until_they_were_read():
    kept, pairs = Neighborhoods(N, None), set()
    for t, src, dst in snapshots(0):
        kept.add(t, src, dst)
        pairs |= {(min(ends), max(ends)) for ends in zip(src.tolist(), dst.tolist(), strict=True)}
    assert kept._used[1] == len(pairs)
    ends = torch.arange(2), torch.arange(4).reshape(2, 2)
    features = LinkFeatures(N, families=["shared", "habits"])
    for t, src, dst in snapshots(0):
        features.observe(distinct_edges(t, src, dst, num_nodes=N))
    assert len(features._past._parts) == 9
    features.of_columns(features.columns(["habits"]), 10, *ends)
    assert len(features._past._parts) == 9
    features.features(10, *ends)
    assert features._past._parts == []
    with pytest.raises(ConfigError, match="projections were asked for, but no family reads them"):
        features._past.projections()


@pytest.mark.parametrize("at_once", [1, 1 << 20])
def test_a_long_past_fades_without_a_trace(monkeypatch, at_once):
    monkeypatch.setattr(decaying, "_AT_ONCE", at_once)
    sums, expected = Decaying((2, 3), (0.3, 0.9), axis=0), np.zeros((2, 3))
    for t in range(0, 900, 7):
        sums.age_to(t)
        sums.values[:, t % 3] += sums.unit
        expected *= np.array([[0.3], [0.9]]) ** 7
        expected[:, t % 3] += 1
        np.testing.assert_allclose(sums.values * sums.scale(t)[:, None], expected, rtol=1e-9, atol=1e-90)
    assert sums.renewals > 2


def test_rankings_follow_changes(monkeypatch):
    monkeypatch.setattr(ranking_module, "_FEW", 0)
    rng = np.random.default_rng(0)
    values, ranking, anew = rng.integers(0, 9, 80).astype(float), Ranking(), 0
    for number in range(60):
        nodes = rng.choice(80, 3, replace=False)
        ranking.leave(values[nodes])
        values[nodes] = rng.integers(0, 9, 3)
        ranking.enter(values[nodes])
        if number % 4:  # not asked each time
            anew += not ranking.known
            assert (ranking.below(values, values.copy) == (values[:, None] > values).sum(1)).all()
    assert 10 < anew < 30


def test_ranks_after_each_snapshot_are_those_of_all_at_once():
    edges = [distinct_edges(t, src, dst, num_nodes=N) for t, src, dst in snapshots(2, num=30)]
    ends = torch.arange(N), torch.arange(N).expand(N, N)
    step_by_step = LinkFeatures(N, families=["ranks", "habits"])
    for number, one in enumerate(edges):
        step_by_step.features(one.snapshot, *ends)
        step_by_step.observe(one)
        if number % 10 == 9:
            at_once = LinkFeatures(N, families=["ranks", "habits"])
            for past in edges[: number + 1]:
                at_once.observe(past)
            now = one.snapshot + 1
            torch.testing.assert_close(step_by_step.features(now, *ends), at_once.features(now, *ends))
