"""WinGNN: the steps of the weights written out, when they are taken, and how the outer gradient passes them."""

import copy

import pytest
import torch

from dgl_dysign.baselines import WinGNN
from dgl_dysign.errors import ConfigError
from dgl_dysign.models import EncoderLinks, EncoderScorer
from dgl_dysign.models.encoder_inputs import EncoderInputs
from dgl_dysign.training.live_update import LiveLinkScorer
from tests.baselines.encoder_cases import NODES, WIDTH, after, encoder, inputs, normalised
from tests.evaluation.link_cases import snapshots

EDGES = snapshots([[(0, 1), (2, 2), (3, 4)], [(1, 4)], [], [(5, 1), (0, 1), (6, 5)], [(2, 3), (1, 0)]], num_nodes=NODES)
TABLES = inputs(len(EDGES))
SIZES = {"out_feats": 4, "steps": 3, "step_size": 0.02, "beta": 0.8}


def vectors(network, edges, feat):
    first, second = zip(network.messages, network.skips, strict=True)
    matrix = normalised(edges)
    hidden = (matrix @ feat @ first[0].weight.t() + first[1](feat)).clamp(min=0)
    z = matrix @ hidden @ second[0].weight.t() + second[1](hidden)
    return z / z.square().sum(1, keepdim=True).sqrt()


def moved(model, last):
    """Return the network after steps on the window that ends with a snapshot."""
    network = copy.deepcopy(model.network)
    squares = [torch.zeros_like(parameter) for parameter in network.parameters()]
    for t in range(last - model.steps + 1, last + 1):
        if not len(EDGES[t]):
            continue
        z, pairs = vectors(network, EDGES[t - 1], TABLES[t - 1]), len(EDGES[t])
        drawn = torch.randint(NODES, (2, pairs), generator=torch.Generator().manual_seed(t))
        true = torch.sigmoid((z[EDGES[t].src] * z[EDGES[t].dst]).sum(1))
        false = torch.sigmoid((z[drawn[0]] * z[drawn[1]]).sum(1))
        loss = -(true.log().sum() + (1 - false).log().sum()) / (2 * pairs)
        for k, (parameter, g) in enumerate(
            zip(network.parameters(), torch.autograd.grad(loss, list(network.parameters())), strict=True)
        ):
            squares[k] = model.beta * squares[k] + (1 - model.beta) * g**2
            parameter.data -= model.step_size * g / (squares[k].sqrt() + 1e-8)
    return network


def test_a_test_without_live_update_knows_the_last_snapshot_alone():
    model = encoder(WinGNN, **SIZES)
    expected = vectors(model.network, EDGES[-1], TABLES[-1])
    torch.testing.assert_close(model.embed(after(model, EDGES, TABLES), TABLES[-1]), expected, rtol=0, atol=1e-12)


def test_under_live_update_the_weights_take_the_steps_of_the_equations():
    model = encoder(WinGNN, **SIZES)
    model.live = True
    state, weights = after(model, EDGES, TABLES), [p.clone() for p in model.parameters()]
    with torch.no_grad():  # as scores are asked for
        actual = model.embed(state, TABLES[-1])
    expected = vectors(moved(model, len(EDGES) - 1), EDGES[-1], TABLES[-1])
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-8)
    assert (expected - vectors(model.network, EDGES[-1], TABLES[-1])).abs().max() > 1e-2
    assert all(map(torch.equal, weights, model.parameters()))


def test_the_outer_gradient_passes_the_steps_as_constants():
    model = encoder(WinGNN, **SIZES)
    model.live = True
    network, slope = moved(model, len(EDGES) - 1), torch.randn(NODES, 4, dtype=torch.float64)
    actual = torch.autograd.grad(model.embed(after(model, EDGES, TABLES), TABLES[-1]), list(model.parameters()), slope)
    expected = torch.autograd.grad(vectors(network, EDGES[-1], TABLES[-1]), list(network.parameters()), slope)
    for one, two in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-7)
        assert one.abs().max() > 0


def test_in_training_the_length_of_the_window_is_drawn():
    model = encoder(WinGNN, **SIZES).train()
    state = after(model, EDGES, TABLES)
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(0)
        drawn = {round(float(model.embed(state, TABLES[-1]).sum()), 9) for _ in range(30)}
    assert len(drawn) == 2  # of 1 to 3 snapshots, the third from the end without edges


def test_live_update_lets_its_own_copy_take_steps():
    scorer = EncoderScorer(EncoderLinks(WinGNN(NODES, WIDTH), EncoderInputs("constant", NODES)))
    assert LiveLinkScorer(scorer).model.encoder.live
    assert not scorer.model.encoder.live


def test_bad_input():
    with pytest.raises(ConfigError, match="beta=1"):
        WinGNN(NODES, WIDTH, beta=1)
