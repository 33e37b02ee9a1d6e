"""Logistic regression: linear, with dropout of features in training alone."""

import torch

from dgl_dysign.baselines import LogisticRegression


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
