"""DySAT: both forms as dense matrices in float64, gradients, and how far back it looks."""

import pytest
import torch
from torch.nn import functional

from dgl_dysign.baselines import DySAT
from dgl_dysign.errors import ConfigError
from tests.baselines.encoder_cases import NODES, WIDTH, assert_same, assert_some, encoder, inputs, run
from tests.evaluation.link_cases import snapshots

OUT, SIZES = 4, {"out_feats": 4, "num_heads": 2}
EDGES = snapshots([[(4, 6)], [(0, 1), (1, 0), (2, 2), (3, 4)], [(4, 6)], [(5, 1), (0, 1), (6, 5)]], num_nodes=NODES)
FORMS = {
    "published": {"history": 3, "identities": True},
    "tgl": {"history": 3, "num_layers": 2, "join": "rnn"},
}


def attended(layer, linked, feat):
    """Attention of two heads over the neighbours that a matrix holds."""
    heads = []
    for m in range(2):
        w = feat @ layer.fc.weight[2 * m : 2 * m + 2].T
        scores = functional.leaky_relu((w @ layer.attn_r[0, m])[:, None] + (w @ layer.attn_l[0, m])[None, :], 0.2)
        shares = scores.masked_fill(~linked, -torch.inf).softmax(1)
        heads.append(functional.elu(shares @ w + layer.bias[2 * m : 2 * m + 2]))
    return torch.cat(heads, 1)


def dense(model):
    h, last = [], list(zip(EDGES, inputs(4), strict=True))[-model.history :]
    for age, (edges, feat) in zip(range(len(last) - 1, -1, -1), last, strict=True):
        linked = torch.eye(NODES, dtype=torch.bool)
        linked[edges.src, edges.dst] = linked[edges.dst, edges.src] = True
        if model.identity is not None:
            feat = torch.cat([feat, torch.eye(NODES, dtype=torch.float64) @ model.identity.weight], 1)
        for layer in model.structural[age if model.rnn else 0]:
            feat = attended(layer, linked, feat)
        h.append(feat)
    if model.rnn:
        weight, state = dict(model.rnn.named_parameters()), torch.zeros(NODES, OUT, dtype=torch.float64)
        for one in h:
            bias = weight["bias_ih_l0"] + weight["bias_hh_l0"]
            state = torch.tanh(one @ weight["weight_ih_l0"].T + state @ weight["weight_hh_l0"].T + bias)
        return state
    u = torch.stack(h) + model.position[: len(h)].flip(0)[:, None]
    maps = zip(model.temporal.in_proj_weight.chunk(3), model.temporal.in_proj_bias.chunk(3), strict=True)
    query, key, value = (u @ weight.T + bias for weight, bias in maps)
    heads = []
    for part in (slice(0, 2), slice(2, 4)):
        scores = (query[-1, :, part] * key[:, :, part]).sum(-1) / 2**0.5
        heads.append((scores.softmax(0)[..., None] * value[:, :, part]).sum(0))
    z = model.temporal.out_proj(torch.cat(heads, 1))
    return torch.relu(model.forth(z)) + z + u[-1]


@pytest.mark.parametrize("form", FORMS)
def test_values_and_gradients_are_those_of_the_equations(form):
    model = encoder(DySAT, **SIZES, **FORMS[form])
    assert_same(model, run(model, EDGES, inputs(4)), dense(model))


@pytest.mark.parametrize("form", FORMS)
def test_a_history_that_is_not_yet_full_is_as_long_as_it_is(form):
    model = encoder(DySAT, **SIZES, **{**FORMS[form], "history": 6})
    torch.testing.assert_close(run(model, EDGES, inputs(4)), dense(model), rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_some_vectors_are_those_among_all(form):
    assert_some(encoder(DySAT, **SIZES, **FORMS[form]), EDGES, inputs(4))


def test_it_looks_back_on_the_last_snapshots_alone():
    model, tables = encoder(DySAT, **SIZES, history=2), inputs(4)
    expected = run(model, EDGES, tables)
    assert torch.equal(run(model, [EDGES[3], EDGES[0], *EDGES[2:]], tables), expected)
    assert not torch.equal(run(model, [*EDGES[:2], EDGES[1], EDGES[3]], tables), expected)


def test_bad_input():
    for options in ({"history": 0}, {"num_heads": 3}):
        with pytest.raises(ConfigError, match="expected 1 or more"):
            DySAT(NODES, WIDTH, **options)
    with pytest.raises(ConfigError, match="join"):
        DySAT(NODES, WIDTH, join="mean")
