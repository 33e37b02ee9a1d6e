"""JODIE: the equations node by node in float64, the projection, and nodes that never had an edge."""

import math

import pytest
import torch

from dgl_dysign.baselines import JODIE
from dgl_dysign.errors import ConfigError
from tests.baselines.encoder_cases import EDGES, NODES, WIDTH, after, assert_same, encoder, inputs, renamed, run

SIZES = {"hidden_feats": 5, "out_feats": 4, "id_feats": 2}


def by_node(model):
    memory, last = [model.first] * NODES, [None] * NODES
    for edges, table in zip(EDGES, inputs(), strict=True):
        pairs = list(zip(edges.src.tolist(), edges.dst.tolist(), edges.count.tolist(), strict=True))
        new, now = list(memory), list(last)
        for node in range(NODES):
            as_source = [(v, count) for u, v, count in pairs if u == node]
            as_destination = [(u, count) for u, v, count in pairs if v == node]
            sides = [as_source, as_destination]
            if not model.two_sided:
                sides = [as_source + [(u, count) for u, count in as_destination if u != node]]
            answers = []
            for cell, met in zip(model.cells, sides, strict=True):
                if met:
                    rows = [
                        torch.cat([memory[other], table[other], torch.tensor([math.log(c)], dtype=torch.float64)])
                        for other, c in met
                    ]
                    age = 0.0 if last[node] is None else math.log(1 + edges.snapshot - last[node])
                    feat = torch.cat([torch.stack(rows).mean(0), torch.tensor([age], dtype=torch.float64)])
                    hidden = cell.weight_ih @ feat + cell.bias_ih + cell.weight_hh @ memory[node] + cell.bias_hh
                    answers.append(torch.tanh(hidden))
            if answers:
                new[node], now[node] = torch.stack(answers).mean(0), edges.snapshot
        memory, last = new, now
    ages = [0.0 if t is None else math.log(1 + EDGES[-1].snapshot + 1 - t) for t in last]
    projected = torch.stack([(1 + age * model.drift) * row for age, row in zip(ages, memory, strict=True)])
    return torch.cat([projected, inputs()[-1], model.ids], 1) @ model.out.weight.t() + model.out.bias


@pytest.mark.parametrize("two_sided", [False, True])
def test_values_and_gradients_are_those_of_the_equations(two_sided):
    model = encoder(JODIE, two_sided=two_sided, **SIZES)
    assert len(model.cells) == 1 + two_sided
    assert_same(model, run(model), by_node(model))


def test_one_sided_graphs_have_no_direction_and_two_sided_ones_have():
    turned = [type(e)(**{**vars(e), "src": e.dst, "dst": e.src}) for e in EDGES]
    for two_sided in (False, True):
        model = encoder(JODIE, two_sided=two_sided, **SIZES)
        same = torch.allclose(run(model, turned), run(model), rtol=0, atol=1e-12)
        assert same is not two_sided


def test_vectors_move_on_with_time_where_nothing_happens():
    model = encoder(JODIE, hidden_feats=5, out_feats=4)
    state = after(model)
    later = state[0], state[1], state[2] + 9
    moved = (model.embed(later, inputs()[-1]) - model.embed(state, inputs()[-1])).abs().amax(1) > 0
    assert torch.equal(moved, state[1] >= 0)


def test_without_vectors_of_single_nodes_names_do_not_matter():
    model = encoder(JODIE, hidden_feats=5, out_feats=4)
    number, edges, tables = renamed()
    torch.testing.assert_close(run(model, edges, tables)[number], run(model), rtol=0, atol=1e-13)


def test_bad_input():
    for options, text in (({"hidden_feats": 0}, "expected 1 or more"), ({"id_feats": -1}, "expected 0 or more")):
        with pytest.raises(ConfigError, match=text):
            JODIE(NODES, WIDTH, **options)
