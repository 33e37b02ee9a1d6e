"""EvolveGCN-O: the paper's equations in dense float64, gradients, and what must not matter."""

from dataclasses import replace

import pytest
import torch

from dgl_dysign.baselines import EvolveGCNO
from dgl_dysign.data import distinct_edges
from dgl_dysign.errors import ConfigError
from tests.evaluation.link_cases import snapshots

NODES, WIDTH = 7, 3
EDGES = snapshots([[(0, 1), (1, 0), (2, 2), (3, 4)], [], [(5, 1), (0, 1), (6, 5)]], num_nodes=NODES)


def encoder(**options):
    torch.manual_seed(0)
    return EvolveGCNO(NODES, WIDTH, 5, 4, **options).double()


def inputs():
    return torch.randn(len(EDGES), NODES, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def run(model, edges=EDGES, tables=None):
    tables = inputs() if tables is None else tables
    state = model.initial()
    for one, table in zip(edges, tables, strict=True):
        state = model.step(state, one, table)
    return model.embed(state, tables[-1])


def dense(model):
    """The equations, with whole matrices."""
    layers = [dict(layer.named_parameters()) for layer in model.layers]
    weights = [layer.first for layer in model.layers]
    for edges, feat in zip(EDGES, inputs(), strict=True):
        adjacency = torch.eye(NODES, dtype=torch.float64)
        for u, v in zip(edges.src.tolist(), edges.dst.tolist(), strict=True):
            adjacency[u, v] = adjacency[v, u] = 1.0
        root = torch.diag(adjacency.sum(0) ** -0.5)
        for k, p in enumerate(layers):
            q, (b_z, b_r, b_h) = weights[k], p["biases"]
            z, r = torch.sigmoid(p["update"] @ q + b_z), torch.sigmoid(p["reset"] @ q + b_r)
            weights[k] = (1 - z) * q + z * torch.tanh(p["candidate"] @ q + p["again"] @ (r * q) + b_h)
            feat = (root @ adjacency @ root @ feat @ weights[k]).clamp(min=0)
    return feat


def test_values_and_gradients_are_those_of_the_equations():
    model = encoder()
    torch.testing.assert_close(run(model), dense(model), rtol=0, atol=1e-12)
    slope = torch.randn(NODES, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    parameters = list(model.parameters())
    grads = [torch.autograd.grad(value, parameters, slope) for value in (run(model), dense(model))]
    for actual, expected in zip(*grads, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)
        assert actual.abs().max() > 0


def test_direction_repetition_and_names_of_nodes_do_not_matter():
    model, expected = encoder(), run(encoder())
    turned = [replace(e, src=e.dst, dst=e.src) for e in EDGES]
    torch.testing.assert_close(run(model, turned), expected, rtol=0, atol=1e-14)
    undirected = [distinct_edges(e.snapshot, e.src, e.dst, num_nodes=NODES, directed=False) for e in EDGES]
    assert torch.equal(run(model, undirected), expected)
    names = torch.randperm(NODES, generator=torch.Generator().manual_seed(3))
    renamed = [distinct_edges(e.snapshot, names[e.src], names[e.dst], num_nodes=NODES) for e in EDGES]
    tables = torch.empty_like(inputs())
    tables[:, names] = inputs()
    torch.testing.assert_close(run(model, renamed, tables)[names], expected, rtol=0, atol=1e-13)


def test_the_weights_go_on_through_the_past_and_columns_stay_different():
    """A recurrence without input that shrinks everything would make all hidden units one."""
    model = encoder()
    state, empty = model.initial(), distinct_edges(0, [], [], num_nodes=NODES)
    for _ in range(300):
        before = state[0]
        state = model.step(state, empty, inputs()[0])
    assert (state[0][0] - before[0]).abs().max() < 1e-6  # it has settled
    assert torch.linalg.svdvals(state[0][0])[-1] > 1e-3


def test_bad_input():
    for options in ({"hidden_feats": 0}, {"window": 0}):
        with pytest.raises(ConfigError, match="expected 1 or more"):
            EvolveGCNO(NODES, WIDTH, **options)
