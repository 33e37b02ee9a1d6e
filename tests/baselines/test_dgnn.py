"""DGNN: the spread features by powers of a dense matrix, and each sequence model over what changed."""

import pytest
import torch

from dgl_dysign.baselines import DGNN
from dgl_dysign.errors import ConfigError
from tests.baselines.encoder_cases import (
    EDGES,
    NODES,
    WIDTH,
    after,
    assert_same,
    assert_some,
    encoder,
    gru,
    inputs,
    renamed,
    run,
)

SIZES = {"out_feats": 4, "layers": 1, "length": 4, "random_feats": 2, "hops": 5}


def spread(model):
    """Return the features after each snapshot, by powers of the matrix."""
    adjacency, tables = torch.zeros(NODES, NODES, dtype=torch.float64), []
    for edges, table in zip(EDGES, inputs(), strict=True):
        for u, v, count in zip(edges.src, edges.dst, edges.count, strict=True):
            adjacency[u, v] += count
            adjacency[v, u] += count
        root = adjacency.sum(1).clamp(min=1) ** -0.5
        matrix, feat = root[:, None] * adjacency * root, torch.cat([table, model.features], 1)
        powers = [torch.linalg.matrix_power(matrix, k) for k in range(model.hops + 1)]
        tables.append(sum(model.alpha * (1 - model.alpha) ** k * power @ feat for k, power in enumerate(powers)))
    return torch.stack(tables)


def changes(model):
    """Return the sequence that is read; before the first snapshot there was nothing."""
    tables = torch.cat([torch.zeros(2, NODES, WIDTH + 2, dtype=torch.float64), spread(model)])
    return model.project(tables.diff(dim=0))


def test_values_and_gradients_are_those_of_the_equations():
    model = encoder(DGNN, **SIZES)
    state, cell = torch.zeros(NODES, 4, dtype=torch.float64), model.sequence
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    one = torch.nn.Module()
    for name in names:
        setattr(one, name, getattr(cell, f"{name}_l0"))
    for feat in changes(model):
        state = gru(one, feat, state)
    assert_same(model, run(model), state)


@pytest.mark.parametrize(("sequence", "layers"), [("lstm", 1), ("tf", 1), ("tf", 2)])
def test_other_sequence_models_read_the_same(sequence, layers):
    model = encoder(DGNN, sequence=sequence, **{**SIZES, "layers": layers})
    feat = changes(model)
    if sequence == "lstm":
        expected = model.sequence(feat)[0][-1]
    else:
        network = model.sequence.network
        expected = network(feat + model.sequence.position)[-1]
        backwards = network(feat.flip(0) + model.sequence.position)[-1]
        assert not torch.allclose(backwards, expected)  # the order is seen
    assert_same(model, run(model), expected)


@pytest.mark.parametrize("sequence", ["gru", "lstm"])
def test_some_vectors_are_those_among_all(sequence):
    assert_some(encoder(DGNN, sequence=sequence, **{**SIZES, "out_feats": 8}))


def test_some_vectors_of_a_transformer_are_those_among_all():
    model, nodes = encoder(DGNN, sequence="tf", **SIZES), torch.tensor([0, 2, 3, 6])
    assert_same(model, model.embed(after(model), None, nodes), run(model)[nodes])


def test_all_edges_so_far_spread_and_what_leaves_the_window_is_forgotten():
    model = encoder(DGNN, **SIZES)
    torch.testing.assert_close(after(model)[1], spread(model)[-1], rtol=0, atol=1e-13)
    short = encoder(DGNN, **{**SIZES, "length": 2})
    state = after(short)
    torch.testing.assert_close(state[2], spread(short).diff(dim=0), rtol=0, atol=1e-13)


def test_nodes_that_nothing_changed_have_the_zero_vector():
    model = encoder(DGNN, **{**SIZES, "length": 1, "random_feats": 0})
    table = torch.ones(len(EDGES), NODES, WIDTH, dtype=torch.float64)
    assert not model.embed(model.initial(), table[0]).any()
    changed = run(model, tables=table).any(1)
    assert changed.tolist() == [True, True, False, False, False, True, True]  # the component of the last edges


def test_names_of_nodes_do_not_matter_where_random_features_go_with_them():
    model = encoder(DGNN, **SIZES)
    expected = run(model)
    number, edges, tables = renamed()
    model.features = model.features[number.argsort()]
    torch.testing.assert_close(run(model, edges, tables)[number], expected, rtol=0, atol=1e-12)


def test_bad_input():
    with pytest.raises(ConfigError, match="found 4 heads"):
        DGNN(NODES, WIDTH, sequence="tf", out_feats=6)


def test_a_change_that_is_no_number_stays_visible():
    model = encoder(DGNN, **SIZES)
    state = after(model)
    state[2][0, 3, 0] = torch.nan
    assert model.embed(state, None).isnan().any(1).nonzero().tolist() == [[3]]
