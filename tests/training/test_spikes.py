"""Spikes that are trained themselves, and rates that are asked for, in every training."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from dgl_dysign.errors import ConfigError
from dgl_dysign.models import SpikingUnderGS
from dgl_dysign.nn import FiringRates
from dgl_dysign.training import EquilibriumCache, FitConfig, LinkFitConfig, fit, fit_links, full_batch_gradient
from tests.models.snapshot_cases import C, N, growing, label_features, made
from tests.training.link_cases import EDGES, scorer
from tests.training.test_nodes import LABELS, TRAIN, VAL, inputs, logistic

STEP = {"gradient": "step", "latency": 1, "feedback": False}
CONFIG = FitConfig(epochs=15, batch_size=16, lr=2e-2, weight_decay=0.1)


@pytest.mark.parametrize("options", [STEP, {"gradient": "step", "latency": 3}], ids=["without feedback", "with"])
@pytest.mark.parametrize(
    "more", [{}, {"coupling": True, "label_feats": 5, "learn_threshold": True}, {"input_thresholds": [0.5]}], ids=str
)
def test_mini_batches_of_the_cache_are_what_fires(options, more):
    model, snapshots, nodes = made(**options, **more), growing(), torch.tensor([3, 10, 0, 7])
    cache = EquilibriumCache(model, snapshots, label_features() if model.label_feats else None)
    model.eval()
    if model.conv.feedback:
        cache.refresh(model.conv.latency)  # the potentials that are carried on are rates of all steps
    with torch.no_grad():
        expected = model(snapshots, cache.label_feat)[nodes]
    torch.testing.assert_close(cache.logits(nodes).detach(), expected, rtol=0, atol=1e-12)
    other = EquilibriumCache(model, snapshots, cache.label_feat)
    other.load_state_dict(cache.state_dict())
    assert torch.equal(other.logits(nodes), cache.logits(nodes))


@pytest.mark.parametrize("gradient", [STEP, {"gradient": "step", "latency": 3}, {"gradient": "implicit"}], ids=str)
def test_the_full_batch_asks_for_rates_as_autograd_does(gradient):
    snapshots, model = growing(), made(**gradient, learn_threshold="homeostatic", dropout=0.0)

    def loss(logits):
        return cross_entropy(logits, torch.arange(N) % C)

    with FiringRates() as rates:
        expected = loss(model(snapshots))
    asked = expected + rates.loss(0.3, 0.2)
    gradients = torch.autograd.grad(asked, list(model.parameters()), allow_unused=True)
    value = full_batch_gradient(model, snapshots, loss, rate_penalty=0.3, target_rate=0.2)
    torch.testing.assert_close(value, asked.detach(), rtol=0, atol=1e-12)
    for parameter, grad in zip(model.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, grad, rtol=1e-9, atol=1e-12)


def trained(config, **options):
    """Return the mean rate of each neuron of a model of three classes, and how often it was right on validation."""
    torch.manual_seed(3)
    model = SpikingUnderGS(len(LABELS), 8, node_feats=3, num_classes=C, **{**STEP, "gain": 1.0, **options})
    snapshot = inputs()
    history = fit(model, EquilibriumCache(model, [snapshot]), LABELS, TRAIN, VAL, config)
    ((rate, _),) = model.rates([snapshot], simulate=True)
    return rate.detach().mean(0), history[-1]["val_accuracy"]


def test_a_penalty_lowers_rates_and_what_is_learnt_stays():
    free, right = trained(CONFIG)
    less, still_right = trained(replace(CONFIG, rate_penalty=0.5))
    assert less.mean() < 0.7 * free.mean()
    assert min(right, still_right) > 0.8


def test_thresholds_bring_neurons_to_a_target_rate():
    rate, _ = trained(replace(CONFIG, epochs=40, target_rate=0.25), learn_threshold="homeostatic")
    assert (rate - 0.25).abs().mean() < 0.06
    free, _ = trained(replace(CONFIG, epochs=10), learn_threshold="homeostatic")
    assert (free - 0.25).abs().mean() > 0.1


def test_links_are_trained_with_rates_that_are_asked_for():
    config, losses = LinkFitConfig(epochs=1, num_negatives=3, val_negatives=5, min_steps=1), []
    split = range(6, 8), range(8, 9)
    for penalty in (0.0, 0.4):
        losses.append(
            fit_links(EDGES, scorer("spiking", False), split, replace(config, rate_penalty=penalty))[0]["loss"]
        )
    assert 0.4 * 0.2 < losses[1] - losses[0] < 0.4  # its share of the loss: untrained, about half of the neurons fire


def test_a_model_without_spikes_or_learned_thresholds_is_refused():
    model, logits = logistic()
    with pytest.raises(ConfigError, match="no spiking layer ran"):
        fit(model, logits, LABELS, TRAIN, VAL, replace(CONFIG, rate_penalty=0.1))
    with pytest.raises(ConfigError, match="learn_threshold='homeostatic'"):
        trained(replace(CONFIG, target_rate=0.1))
    with pytest.raises(ConfigError, match=r"target_rate must lie in \(0, 1\), but got nan"):
        FitConfig(target_rate=math.nan)
