"""ROLAND: the equations node by node in float64, direction, and that states remember."""

from dataclasses import replace

import pytest
import torch

from dgl_dysign.baselines import ROLAND
from dgl_dysign.errors import ConfigError
from tests.baselines.encoder_cases import EDGES, NODES, WIDTH, assert_same, encoder, gru, inputs, run

WAYS = ("directed", "undirected")


def prelu(x, layer):
    return torch.where(x > 0, x, layer.weight * x)


def by_node(model, edges, directed):
    states = [torch.zeros(NODES, model.out_feats, dtype=torch.float64) for _ in model.layers]
    for one, table in zip(edges, inputs(), strict=True):
        feat = prelu(model.before[0](table), model.before[1])
        for k, layer in enumerate(model.layers):
            rows = [layer.skip(feat[v]) for v in range(NODES)]
            for u, v, count, weight in zip(one.src, one.dst, one.count, one.weight, strict=True):
                e = torch.stack([count.double().log(), weight.sign() * torch.log(1 + weight.abs())])
                ways = [(u, v)] if directed or u == v else [(u, v), (v, u)]
                for source, target in ways:
                    rows[target] = rows[target] + layer.message.weight @ torch.cat([feat[target], feat[source], e])
            rows = torch.stack(rows)
            norm = layer.after[0]
            deviation = torch.sqrt(rows.var(0, correction=0) + norm.eps)
            rows = (rows - rows.mean(0)) / deviation * norm.weight + norm.bias
            feat = states[k] = gru(layer.update, prelu(rows, layer.after[1]), states[k])
    return feat


@pytest.mark.parametrize("way", WAYS)
def test_values_and_gradients_are_those_of_the_equations(way):
    model, directed = encoder(ROLAND, out_feats=4), way == "directed"
    edges = [replace(e, directed=directed, weight=3 - e.weight, count=e.count + 1) for e in EDGES]
    assert_same(model, run(model, edges), by_node(model, edges, directed))


def test_direction_matters_and_states_remember_the_first_snapshot():
    model = encoder(ROLAND, out_feats=4)
    vectors, other = run(model), [replace(EDGES[0], src=EDGES[0].dst, dst=EDGES[0].src), *EDGES[1:]]
    assert (run(model, other) - vectors).abs().max() > 1e-4


def test_edges_without_weights_are_taken_as_of_weight_zero():
    model = encoder(ROLAND, out_feats=4)
    zero = [replace(e, weight=torch.zeros_like(e.weight)) for e in EDGES]
    assert torch.equal(run(model, [replace(e, weight=None) for e in EDGES]), run(model, zero))


def test_bad_input():
    with pytest.raises(ConfigError, match="layers=0"):
        ROLAND(NODES, WIDTH, layers=0)
