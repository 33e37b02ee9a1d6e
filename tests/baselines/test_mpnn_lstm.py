"""MPNN-LSTM: the equations with whole matrices in float64, and a skip from all inputs."""

import pytest
import torch

from dgl_dysign.baselines import MPNNLSTM
from dgl_dysign.errors import ConfigError
from tests.baselines.encoder_cases import EDGES, NODES, WIDTH, assert_same, encoder, inputs, normalised, run

SIZES = {"hidden_feats": 5, "out_feats": 40}


def lstm(cell, feat, hidden, memory):
    gates = feat @ cell.weight_ih.t() + cell.bias_ih + hidden @ cell.weight_hh.t() + cell.bias_hh
    enter, forget, new, out = gates.chunk(4, 1)
    memory = torch.sigmoid(forget) * memory + torch.sigmoid(enter) * torch.tanh(new)
    return torch.sigmoid(out) * torch.tanh(memory), memory


def dense(model):
    zero = torch.zeros(NODES, 5, dtype=torch.float64)
    first = second = (zero, zero)
    for edges, table in zip(EDGES, inputs(), strict=True):
        feat, layers = table, []
        for conv, after in zip(model.convs, model.after, strict=True):
            feat = (normalised(edges) @ feat @ conv.weight.t()).clamp(min=0)
            deviation = torch.sqrt(feat.var(0, correction=0) + after[1].eps)
            feat = (feat - feat.mean(0)) / deviation * after[1].weight + after[1].bias
            layers.append(feat)
        first = lstm(model.cells[0], torch.cat(layers, 1), *first)
        second = lstm(model.cells[1], first[0], *second)
    return model.out[0](torch.cat([first[0], second[0], table], 1)).clamp(min=0)


def test_values_and_gradients_are_those_of_the_equations():
    model = encoder(MPNNLSTM, **SIZES)
    assert_same(model, run(model), dense(model))


def test_every_column_of_the_inputs_reaches_the_vectors_past_the_lstms():
    model = encoder(MPNNLSTM, **SIZES)
    with torch.no_grad():
        model.out[0].weight[:, :10] = 0  # both LSTMs
    table = inputs()[-1].requires_grad_()
    slope = torch.autograd.grad(model.embed(model.initial(), table).sum(), table)[0]
    assert bool((slope != 0).all())


def test_what_is_dropped_is_dropped_in_training_alone():
    model = encoder(MPNNLSTM, **SIZES)
    assert torch.equal(run(model), run(model))
    model.train()
    assert not torch.equal(run(model), run(model))


def test_bad_input():
    with pytest.raises(ConfigError, match="expected 1 or more"):
        MPNNLSTM(NODES, WIDTH, out_feats=0)
