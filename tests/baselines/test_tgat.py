"""TGAT: loops over lists of past neighbours in float64, gradients, and what it may see."""

import math
from dataclasses import replace

import pytest
import torch

from dgl_dysign.baselines import TGAT
from dgl_dysign.errors import ConfigError
from tests.baselines.encoder_cases import NODES, WIDTH, after, assert_same, assert_some, encoder, inputs
from tests.evaluation.link_cases import snapshots

OUT, X = 4, inputs(1)[0]
HISTORY = [[(0, 1), (1, 0), (2, 2), (3, 4)], [(0, 2), (5, 0)], [], [(0, 3), (0, 1), (6, 5)]]
EDGES = snapshots(HISTORY, num_nodes=NODES)


def tgat(**options):
    return encoder(TGAT, out_feats=OUT, time_feats=5, scale=4.0, **options)


def run(model, edges=EDGES):
    return model.embed(after(model, edges, [X] * len(edges)), X)


def past(edges, most):
    """Return by node the last neighbours, each as (node, age, features of the edge)."""
    lists = {i: [] for i in range(NODES)}
    for one in edges:
        for u, v, weight, count in zip(*(x.tolist() for x in (one.src, one.dst, one.weight, one.count)), strict=True):
            feat = [math.log(count), math.copysign(math.log1p(abs(weight)), weight)]
            for i, j in ((u, v), (v, u)):
                if u != v:
                    lists[i].append((j, float(len(edges) - one.snapshot), feat))
    return {i: met[-most:] for i, met in lists.items()}


def by_loops(model, edges=EDGES, most=20):
    lists, x = past(edges, most), X
    h = x
    for layer in model.layers:
        rows = []
        for i in range(NODES):
            heard = torch.zeros(OUT, dtype=torch.float64)
            if lists[i]:
                ages = torch.tensor([age for _, age, _ in lists[i]], dtype=torch.float64)
                feats = torch.tensor([feat for _, _, feat in lists[i]], dtype=torch.float64)
                phi = torch.cos(ages[:, None] * model.time.frequency + model.time.phase)
                weight = torch.cat([layer.node.weight, layer.edge.weight], 1)
                sent = torch.cat([h[[j for j, _, _ in lists[i]]], feats, phi], 1) @ weight.T
                query = layer.query(torch.cat([h[i], torch.cos(model.time.phase)]))
                parts = [slice(0, 2), slice(2, 4)]
                shares = [(sent[:, p] @ query[p] / 2**0.5).softmax(0) for p in parts]
                heard = torch.cat([s @ sent[:, OUT:][:, p] for s, p in zip(shares, parts, strict=True)])
            rows.append(layer.merge(torch.cat([heard, x[i]])))
        h = torch.stack(rows)
    return h


def test_values_and_gradients_are_those_of_loops():
    model = tgat()
    assert_same(model, run(model), by_loops(model))


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_some_vectors_are_those_among_all(num_layers):
    assert_some(tgat(num_layers=num_layers), EDGES, [X] * len(EDGES))


def test_the_latest_neighbours_count_however_many_there_were():
    edges = snapshots([[(0, 1)], [(0, 2)], [(0, 3)], [(0, 1)]], num_nodes=NODES)
    for most in (1, 2, 3):
        model = tgat(num_neighbors=most, num_layers=1)
        torch.testing.assert_close(run(model, edges), by_loops(model, edges, most), rtol=0, atol=1e-12)


def test_a_step_leaves_the_state_before_as_it_was():
    model = tgat()
    states = [model.initial()]
    for one in EDGES:
        states.append(model.step(states[-1], one, X))
    for t, state in enumerate(states):
        torch.testing.assert_close(model.embed(state, X), by_loops(model, EDGES[:t]), rtol=0, atol=1e-12)


def test_time_passes_and_edges_without_weights_are_edges():
    model = tgat()
    assert not torch.equal(run(model, snapshots([*HISTORY, []], num_nodes=NODES)), run(model))
    plain, zero = ([replace(e, weight=w and 0 * e.weight) for e in EDGES] for w in (None, True))
    assert torch.equal(run(model, plain), run(model, zero))


def test_bad_input():
    for options in ({"num_neighbors": 0}, {"num_heads": 3}):
        with pytest.raises(ConfigError, match="expected 1 or more"):
            TGAT(NODES, WIDTH, **options)
