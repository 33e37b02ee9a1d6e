"""Projected walks back in time, against matrices of all pairs."""

import numpy as np
import pytest
import torch

from dgl_dysign.data import distinct_edges
from dgl_dysign.errors import ConfigError
from dgl_dysign.pairs import LinkFeatures, projections
from dgl_dysign.pairs.projections import DECAY, STEPS, WalkProjections
from tests.evaluation.link_cases import snapshots

N = 7
HISTORY = [[(0, 1), (2, 3)], [(1, 2), (1, 4)], [], [(4, 0), (1, 2), (5, 5)]]


def walk_matrices(edges, now):
    """Return the matrices of decayed walks of 0 to 3 steps, each step in an earlier snapshot than the one before."""
    walks = [np.eye(N), *(np.zeros((N, N)) for _ in range(STEPS))]
    last = -1
    for one in edges:
        adjacency = np.zeros((N, N))
        for u, v in zip(one.src.tolist(), one.dst.tolist(), strict=True):
            adjacency[u, v] += 1
            adjacency[v, u] += 1
        aged = [DECAY ** (k * (one.snapshot - last)) * walk for k, walk in enumerate(walks)]
        walks = [aged[0], *(aged[k] + adjacency @ aged[k - 1] for k in range(1, STEPS + 1))]
        last = one.snapshot
    return [DECAY ** (k * (now - last)) * walk for k, walk in enumerate(walks)]


def walks_at(features, now):
    kept = features._past.projections()
    aged = kept.walks.values * kept.walks.scale(now)[:, None]
    return np.concatenate([kept.drawn[None, : len(kept.row)], aged[kept.row].transpose(1, 0, 2)])


def observed(edges, nodes=N):
    features = LinkFeatures(nodes, families=["projections"])
    for one in edges:
        features.observe(one)
    return features


@pytest.mark.parametrize("directed", [True, False])
def test_columns_are_the_products_of_the_matrices_projected(directed):
    edges = snapshots(HISTORY, directed, N)
    if not directed:
        edges = edges[:3] + snapshots([*HISTORY[:3], [(4, 0), (1, 2)]], False, N)[3:]  # a loop would count twice
    ends = torch.arange(N), torch.arange(N).expand(N, N)
    features = observed(edges)
    feat = dict(zip(features.names, features.features(6, *ends).unbind(2), strict=True))
    drawn = features._past.projections().drawn[:N].astype(np.float64)
    projected = [walk @ drawn for walk in walk_matrices(edges, 6)]
    assert len(feat) == (2 * STEPS + 2) * (2 * STEPS + 3) / 2
    for k, first in enumerate(projected):
        for j, second in enumerate(projected):
            product = np.log1p(np.maximum(first @ second.T, 0))
            np.testing.assert_allclose(feat[f"projections/src_{k}_dst_{j}"], product, rtol=1e-4, atol=1e-5)
            if j >= k:
                own = np.tile(np.diag(product), (N, 1))
                np.testing.assert_allclose(feat[f"projections/dst_{k}_dst_{j}"], own, rtol=1e-4, atol=1e-5)
                np.testing.assert_allclose(feat[f"projections/src_{k}_src_{j}"], own.T, rtol=1e-4, atol=1e-5)


def test_products_of_projections_are_close_to_those_of_walks():
    generator = torch.Generator().manual_seed(0)
    nodes = 300
    edges = [distinct_edges(t, *torch.randint(nodes, (2, 60), generator=generator), num_nodes=nodes) for t in range(5)]
    features = observed(edges, nodes)
    walks = walks_at(features, 5)
    exact = np.zeros((nodes, nodes))
    for one in edges:
        aged = DECAY ** (5 - one.snapshot)
        np.add.at(exact, (one.src.numpy(), one.dst.numpy()), aged)
        np.add.at(exact, (one.dst.numpy(), one.src.numpy()), aged)
    length = np.linalg.norm(exact, axis=1)
    error = walks[1] @ walks[0].T - exact
    assert np.abs(error).mean() < 1.5 * length.mean() / 128**0.5
    assert np.corrcoef((walks[1] @ walks[0].T)[exact > 0], exact[exact > 0])[0, 1] > 0.5


def test_a_walk_goes_back_in_time_alone():
    features = observed(snapshots([[(0, 1)], [(1, 2)]], num_nodes=N))
    walks = walks_at(features, 2)
    drawn = walks[0]
    np.testing.assert_allclose(walks[2][2], DECAY**3 * drawn[0], rtol=1e-5)  # 2 -> 1 now, 1 -> 0 before
    assert np.abs(walks[2][0]).max() == 0  # 0 -> 1 was first
    together = observed(snapshots([[(0, 1), (1, 2)]], num_nodes=N))
    assert np.abs(walks_at(together, 1)[2]).max() == 0


def test_many_nodes_have_narrower_projections(monkeypatch):
    ends = np.arange(N), np.arange(N)[:, None]
    whole = WalkProjections(N).products(0, *ends)
    assert WalkProjections(N).drawn.shape[1] == 128
    monkeypatch.setattr(projections, "_ROWS", 3)
    in_parts = WalkProjections(N)
    in_parts.products(0, np.array([2]), np.array([[1]]))
    assert len(in_parts.drawn) == 3
    assert np.array_equal(in_parts.products(0, *ends), whole)
    monkeypatch.setattr(projections, "LARGE", N - 1)
    assert WalkProjections(N).drawn.shape[1] == 64
    assert WalkProjections(N, width=256).drawn.shape[1] == 256


def test_wider_projections_are_nearer_to_exact_walks(monkeypatch):
    monkeypatch.setattr(projections, "_ROWS", N)
    edges = snapshots(HISTORY, num_nodes=N)
    exact = np.stack(walk_matrices(edges, 5))
    wanted = np.einsum("kdx,lsx->sdkl", exact, exact)
    error = []
    for width in (16, 256, 4096):
        walks = WalkProjections(N, width)
        for one in edges:
            walks.add(one.snapshot, *(np.concatenate(ends) for ends in ((one.src, one.dst), (one.dst, one.src))))
        error.append(np.square(walks.products(5, np.arange(N), np.tile(np.arange(N), (N, 1))) - wanted).mean())
    assert error[0] > 4 * error[1] > 16 * error[2]  # the variance falls as one over the width
    with pytest.raises(ConfigError, match="projection_width=0: expected 1 or more"):
        LinkFeatures(N, projection_width=0)


def test_the_family_is_there_where_it_is_named_and_grows():
    assert not any(name.startswith("projections") for name in LinkFeatures(N).names)
    edges = snapshots(HISTORY, num_nodes=N)
    features, late = observed(edges[:2]), observed([], N + 3)
    ends = torch.tensor([0, 4]), torch.tensor([[1, 2], [0, 6]])
    features.features(2, *ends)
    features.grow(N + 3)
    for one in edges[2:]:
        features.observe(one)
    for one in edges:
        late.observe(one)
    assert torch.equal(features.features(5, *ends), late.features(5, *ends))
    assert features.features(5, torch.tensor([N]), torch.tensor([[0]])).isfinite().all()
    features.reset()
    assert float(features.features(0, *ends)[..., features.names.index("projections/src_1_dst_0")].sum()) == 0


def test_projections_too_narrow_for_their_graph_are_warned_of(monkeypatch, recwarn):
    WalkProjections(N)
    assert not recwarn
    noise = (2 * np.log(N) / 128) ** 0.5
    monkeypatch.setattr(projections, "MOST_NOISE", noise - 0.01)
    with pytest.warns(UserWarning, match=f"projections of {N} nodes are 128 wide: .* {noise:.2f} of their lengths"):
        WalkProjections(N)
