"""The ReLU network: its formula, gradients, dropout, and label features that are missing or not expected."""

import pytest
import torch

from dgl_dysign.baselines import ReLUNetwork
from dgl_dysign.errors import ConfigError


def made(label_feats=0, **options):
    torch.manual_seed(0)
    model = ReLUNetwork(4, 6, 3, label_feats, label_hidden=5, **options).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    return model


def given(width, rows=7):
    return torch.randn(rows, width, dtype=torch.float64, generator=torch.Generator().manual_seed(width))


@pytest.mark.parametrize("label_feats", [0, 2])
def test_formula_and_gradients(label_feats):
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


def test_label_features_missing_or_not_expected():
    with pytest.raises(ConfigError, match="expected width 2, got none"):
        made(2)(given(4))
    with pytest.raises(ConfigError, match="expected none, got some"):
        made()(given(4), given(2))
