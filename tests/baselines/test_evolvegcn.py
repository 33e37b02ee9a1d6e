"""EvolveGCN: the paper's equations in dense float64, gradients, and what must not matter."""

from dataclasses import replace

import pytest
import torch

from dgl_dysign.baselines import EvolveGCNH, EvolveGCNO
from dgl_dysign.data import distinct_edges
from dgl_dysign.errors import ConfigError
from tests.baselines.encoder_cases import EDGES, NODES, WIDTH, assert_same, encoder, inputs, normalised, renamed, run

SIZES = {"hidden_feats": 5, "out_feats": 4}


def best(layer, feat, edges):
    """The nodes with an edge that score best, a column each; no column where there are too few."""
    score = feat @ layer["direction"] / layer["direction"].square().sum().sqrt()
    active = sorted({*edges.src.tolist(), *edges.dst.tolist()}, key=lambda node: -float(score[node].detach()))
    columns = [
        feat[node] / feat[node].square().sum().sqrt() * torch.tanh(score[node])
        for node in active[: layer["biases"].shape[2]]
    ]
    missing = layer["biases"].shape[2] - len(columns)
    return torch.stack(columns + missing * [torch.zeros(feat.shape[1], dtype=torch.float64)], 1)


def dense(model):
    """The equations, with whole matrices."""
    layers = [dict(layer.named_parameters()) for layer in model.layers]
    weights = [layer.first for layer in model.layers]
    for edges, feat in zip(EDGES, inputs(), strict=True):
        adjacency = normalised(edges)
        for k, p in enumerate(layers):
            q, (b_z, b_r, b_h) = weights[k], p["biases"]
            entering, z, r = q, p["update"] @ q + b_z, p["reset"] @ q + b_r
            if "direction" in p:
                entering = best(p, feat, edges)
                z, r = z + p["fed_update"] @ entering, r + p["fed_reset"] @ entering
            z, r = torch.sigmoid(z), torch.sigmoid(r)
            weights[k] = (1 - z) * q + z * torch.tanh(p["candidate"] @ entering + p["again"] @ (r * q) + b_h)
            feat = (adjacency @ feat @ weights[k]).clamp(min=0)
    return feat


@pytest.mark.parametrize("cls", [EvolveGCNO, EvolveGCNH])
def test_values_and_gradients_are_those_of_the_equations(cls):
    model = encoder(cls, **SIZES)
    assert_same(model, run(model), dense(model))


@pytest.mark.parametrize("cls", [EvolveGCNO, EvolveGCNH])
def test_direction_repetition_and_names_of_nodes_do_not_matter(cls):
    model = encoder(cls, **SIZES)
    expected = run(model)
    turned = [replace(e, src=e.dst, dst=e.src) for e in EDGES]
    torch.testing.assert_close(run(model, turned), expected, rtol=0, atol=1e-14)
    undirected = [distinct_edges(e.snapshot, e.src, e.dst, num_nodes=NODES, directed=False) for e in EDGES]
    assert torch.equal(run(model, undirected), expected)
    number, edges, tables = renamed()
    torch.testing.assert_close(run(model, edges, tables)[number], expected, rtol=0, atol=1e-13)


def test_the_weights_go_on_through_the_past_and_columns_stay_different():
    """A recurrence without input that shrinks everything would make all hidden units one."""
    model = encoder(EvolveGCNO, **SIZES)
    state, empty = model.initial(), distinct_edges(0, [], [], num_nodes=NODES)
    for _ in range(300):
        before = state[0]
        state = model.step(state, empty, inputs()[0])
    assert (state[0][0] - before[0]).abs().max() < 1e-6  # it has settled
    assert torch.linalg.svdvals(state[0][0])[-1] > 1e-3


def test_weights_of_h_see_the_data_and_those_of_o_do_not():
    for cls, sees in ((EvolveGCNO, False), (EvolveGCNH, True)):
        model = encoder(cls, **SIZES)
        weights = [model.step(model.initial(), EDGES[0], table)[0][0] for table in inputs()[:2]]
        assert torch.equal(*weights) is not sees


def test_bad_input():
    for options in ({"hidden_feats": 0}, {"window": 0}):
        with pytest.raises(ConfigError, match="expected 1 or more"):
            EvolveGCNO(NODES, WIDTH, **options)
