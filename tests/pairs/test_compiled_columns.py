"""Compiled columns of paths and walks against sparse matrices, on random histories; columns read alone."""

import numpy as np
import pytest
import torch

from dgl_dysign.data import distinct_edges
from dgl_dysign.pairs import LinkFeatures
from tests.pairs import scipy_families

N, T = 14, 6


def histories(directed, seed):
    """Yield snapshots with loops, repeated edges, a gap, and nodes that come late."""
    rng = np.random.default_rng(seed)
    for t in (0, 1, 2, 4, 5):
        nodes, edges = (9, 8) if t < 3 else (N, 12)
        src, dst = rng.integers(0, nodes, (2, edges))
        src, dst = np.append(src, src[:3]), np.append(dst, [*dst[:2], src[2]])  # two edges again, and a loop
        weight = rng.choice([-3.0, -1.0, 1.0, 5.0], len(src))
        yield distinct_edges(
            t, src, dst, weight=weight, time=t + rng.random(len(src)), num_nodes=nodes, directed=directed
        )


def observed(directed, seed):
    features = LinkFeatures(9, [float(t) for t in range(T + 1)])
    for edges in histories(directed, seed):
        features.grow(edges.num_nodes)
        features.observe(edges)
    return features


@pytest.mark.parametrize("directed", [True, False])
@pytest.mark.parametrize("candidates", [N, 50])
def test_columns_are_those_of_sparse_matrices(directed, candidates):
    for seed in range(4):
        features, rng = observed(directed, seed), np.random.default_rng(seed)
        src, dst = rng.integers(0, N, 110), rng.integers(0, N, (110, candidates))  # sources again; two blocks of them
        feat = features.features(T + seed % 2, torch.from_numpy(src), torch.from_numpy(dst)).numpy()
        past = scipy_families.Past(features._past)
        for family, columns in scipy_families.FAMILIES.items():
            for name, column in columns(past, T + seed % 2, src, dst):
                expected = np.broadcast_to(column, dst.shape).astype(np.float32)
                actual = feat[..., features.names.index(f"{family}/{name}")]
                close = {"rtol": 0, "atol": 0} if "ahead" in name else {"rtol": 1e-6, "atol": 1e-6}
                np.testing.assert_allclose(actual, expected, **close, err_msg=name)


def test_columns_that_are_read_alone_are_the_same():
    features = observed(True, 0)
    ends = torch.arange(3), torch.arange(12).reshape(3, 4)
    whole = features.features(T, *ends)
    for number, name in enumerate(features.names):
        assert torch.equal(features.of_columns([number], T, *ends)[..., 0], whole[..., number]), name
    some = torch.randperm(len(features.names), generator=torch.Generator().manual_seed(0))[:20].tolist()
    assert torch.equal(features.of_columns(some, T, *ends), whole[..., some])


def test_walks_cost_nothing_where_they_are_not_read(monkeypatch):
    features = observed(True, 0)
    monkeypatch.setattr(features._past, "graph", None)
    counts = features.columns(["activity", "pair", "ranks"])
    assert features.of_columns(counts, T, torch.arange(2), torch.arange(4).reshape(2, 2)).shape[-1] == len(counts)
