"""Baselines of nodes: dense formulas, gradients, dropout in training alone, and labels that are never read."""

import pytest
import torch

from dgl_dysign._dgl import dgl
from dgl_dysign.baselines import LogisticRegression, ReLUNetwork, SnapshotGCN, majority_class, propagate_labels
from dgl_dysign.errors import ConfigError
from tests.models.label_cases import GRAPHS, LABELS, OTHERS, TRAIN, graphs, propagated
from tests.models.label_cases import C as CLASSES
from tests.models.snapshot_cases import C, D, N, growing
from tests.nn.equilibrium_oracle import adjacency


def test_counts_training_nodes_alone():
    labels = torch.tensor([1, 1, 1, 2, 2, 0, -1])
    found = majority_class(labels, torch.tensor([0, 3, 4, 5]), 7)
    assert found.tolist() == [2] * 7
    changed = labels.clone()
    changed[[1, 2, 6]] = 0
    assert torch.equal(majority_class(changed, torch.tensor([0, 3, 4, 5]), 7), found)


@pytest.mark.parametrize("steps", [1, 2, 6])
def test_propagated_labels_are_those_of_a_dense_loop(steps):
    graph, weight = GRAPHS[0]
    found = propagate_labels(graph, weight.float(), LABELS, TRAIN, CLASSES, steps)
    expected = propagated(adjacency(graph, weight), TRAIN, steps)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-6)


def test_heavier_edges_carry_more():
    star = dgl.graph(([0, 1, 0, 2], [1, 0, 2, 0]), num_nodes=3)
    labels, train = torch.tensor([0, 0, 1]), torch.tensor([1, 2])
    for weights, winner in (([3.0, 3, 1, 1], 0), ([1.0, 1, 3, 3], 1)):
        assert propagate_labels(star, torch.tensor(weights), labels, train, 2)[0].argmax() == winner


def test_labels_outside_the_training_nodes_are_never_read():
    changed = LABELS.clone()
    changed[OTHERS] = -1
    graph, weight = graphs()[0]
    assert torch.equal(
        propagate_labels(graph, weight, changed, TRAIN, CLASSES),
        propagate_labels(graph, weight, LABELS, TRAIN, CLASSES),
    )


def test_is_linear_and_every_parameter_gets_a_gradient():
    model = LogisticRegression(4, 3).double().eval()
    feat = torch.randn(5, 4, dtype=torch.float64)
    torch.testing.assert_close(model(feat), feat @ model.linear.weight.t() + model.linear.bias, rtol=0, atol=1e-14)
    model(feat).square().sum().backward()
    assert all(p.grad.abs().max() > 0 for p in model.parameters())


def test_dropout_hides_features_in_training_alone():
    model = LogisticRegression(1, 1, feat_dropout=0.5)
    feat = torch.ones(4000, 1)
    torch.manual_seed(0)
    hidden = model(feat) == model.linear.bias
    assert 0.45 < hidden.float().mean() < 0.55
    model.eval()
    assert len(model(feat).unique()) == 1


def made(label_feats=0, **options):
    torch.manual_seed(0)
    model = ReLUNetwork(4, 6, 3, label_feats, label_hidden=5, **options).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    return model


def given(width, rows=7):
    return torch.randn(rows, width, dtype=torch.float64, generator=torch.Generator().manual_seed(width))


@pytest.mark.parametrize("label_feats", [0, 2])
def test_relu_network_is_its_formula_with_gradients(label_feats):
    model, feat = made(label_feats).eval(), given(4)
    label_feat = given(2) if label_feats else None
    hidden = (feat @ model.hidden.weight.t() + model.hidden.bias).clamp(min=0)
    expected = (hidden - 0.5) @ model.readout.weight.t() + model.readout.bias
    if label_feats:
        hidden = (label_feat @ model.label_hidden.weight.t() + model.label_hidden.bias).clamp(min=0)
        expected = expected + (hidden - 0.5) @ model.label_readout.weight.t()
    torch.testing.assert_close(model(feat, label_feat), expected, rtol=0, atol=1e-12)
    model(feat, label_feat).square().sum().backward()
    assert all(p.grad.abs().max() > 0 for p in model.parameters())


@pytest.mark.parametrize("name", ["feat_dropout", "label_dropout", "dropout"])
def test_each_dropout_acts_in_training_alone(name):
    none = {"feat_dropout": 0.0, "label_dropout": 0.0, "dropout": 0.0}
    for options, differs in ((none, False), ({**none, name: 0.5}, True)):
        model = made(2, **options)
        torch.manual_seed(0)
        assert torch.equal(model(given(4), given(2)), model(given(4), given(2))) is not differs
        model.eval()
        assert torch.equal(model(given(4), given(2)), model(given(4), given(2)))


def test_hidden_potentials_start_around_one_half_with_the_gain_as_spread():
    torch.manual_seed(0)
    model = ReLUNetwork(400, 300, 3, gain=0.3)
    potential = model.hidden(torch.randn(200, 400)).detach()
    assert abs(float(potential.mean()) - 0.5) < 0.02
    assert abs(float(potential.std()) - 0.3) < 0.02


def test_relu_network_label_features_missing_or_not_expected():
    with pytest.raises(ConfigError, match="expected width 2, got none"):
        made(2)(given(4))
    with pytest.raises(ConfigError, match="expected none, got some"):
        made()(given(4), given(2))


def gcn(num_snapshots=3):
    torch.manual_seed(0)
    return SnapshotGCN(D, 6, C, num_snapshots).double()


def dense_gcn(model, snapshots):
    total = torch.zeros(N, C, dtype=torch.float64)
    for readout, (graph, weight, feat, active) in zip(model.readouts, snapshots, strict=True):
        mix = (adjacency(graph, weight) + torch.eye(N, dtype=torch.float64)) / 2
        hidden = (mix @ (feat @ model.first.weight.t() + model.first.bias)).clamp(min=0)
        hidden = (mix @ (hidden @ model.second.weight.t() + model.second.bias)).clamp(min=0)
        total = total + active[:, None] * (hidden @ readout.weight.t() + readout.bias)
    return total


def test_gcn_is_its_dense_formula_with_its_gradients():
    snapshots, model = growing(), gcn().eval()
    torch.testing.assert_close(model(snapshots), dense_gcn(model, snapshots), rtol=0, atol=1e-12)
    slope = torch.randn(N, C, dtype=torch.float64)
    grads = [
        torch.autograd.grad(v, list(model.parameters()), slope) for v in (model(snapshots), dense_gcn(model, snapshots))
    ]
    for found, expected in zip(*grads, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
        assert found.abs().max() > 0


def test_nodes_not_seen_add_nothing_and_dropout_acts_in_training_alone():
    snapshots, model = growing(), gcn()
    assert not torch.equal(model(snapshots), model(snapshots))
    model.eval()
    assert torch.equal(model(snapshots), model(snapshots))
    assert not model(snapshots)[-1].any()


def test_gcn_needs_its_number_of_snapshots():
    with pytest.raises(ConfigError, match="reads out 3 snapshots, but got 2"):
        gcn()(growing()[:2])
