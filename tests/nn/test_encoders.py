"""Constant currents and drawn spikes: values, expectation, seeds, memory, gradient."""

import pytest
import torch

from dgl_dysign.errors import ConfigError, GraphError
from dgl_dysign.nn import BernoulliEncoder, ConstantEncoder


def test_mean_of_the_spikes_is_the_feature():
    feat = torch.linspace(0, 1, 11)
    spikes = BernoulliEncoder(20_000)(feat, torch.Generator().manual_seed(0))
    assert set(spikes.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(spikes.mean(0), feat, rtol=0, atol=0.02)
    assert torch.equal(spikes[:, 0], torch.zeros(20_000))
    assert torch.equal(spikes[:, -1], torch.ones(20_000))


def test_mean_is_that_of_the_drawn_spikes():
    encoder, feat = BernoulliEncoder(6), torch.rand(50, 4, dtype=torch.float64)
    weight = 0.8 ** torch.arange(5, -1, -1, dtype=torch.float64)
    expected = torch.stack(
        [torch.bernoulli(feat, generator=g) for g in [torch.Generator().manual_seed(1)] for _ in range(6)]
    )
    expected = torch.tensordot(weight / weight.sum(), expected, dims=1)
    torch.testing.assert_close(encoder.mean(feat, 0.8, torch.Generator().manual_seed(1)), expected)


def test_seed_and_straight_gradient():
    feat = torch.rand(5, requires_grad=True)
    encoder = BernoulliEncoder(3)
    one, two = (encoder(feat, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(one, two)
    (one * torch.arange(3.0)[:, None]).sum().backward()
    assert feat.grad.tolist() == [3.0] * 5
    feat.grad = None
    encoder.mean(feat).sum().backward()
    assert feat.grad.tolist() == [1.0] * 5


@pytest.mark.parametrize("bad", [-0.1, 1.5, float("nan")])
def test_features_outside_the_unit_interval(bad):
    with pytest.raises(ConfigError, match=r"\[0, 1\]"):
        BernoulliEncoder()(torch.tensor([0.5, bad]))


def test_repeats_without_copying():
    feat = torch.randn(4, 2, requires_grad=True)
    currents = ConstantEncoder(3)(feat)
    assert currents.shape == (3, 4, 2)
    assert currents.data_ptr() == feat.data_ptr()
    currents.sum().backward()
    assert torch.equal(feat.grad, torch.full((4, 2), 3.0))


@pytest.mark.parametrize("kind", [ConstantEncoder, BernoulliEncoder])
def test_errors_and_repr(kind):
    with pytest.raises(ConfigError, match="latency"):
        kind(0)
    assert repr(kind()) == f"{kind.__name__}(latency=8)"
    assert kind(4)(torch.zeros(0, 2)).shape == (4, 0, 2)


def test_integers_are_no_probabilities():
    encoder = BernoulliEncoder()
    for call in (encoder, encoder.mean):
        with pytest.raises(GraphError, match=r"feat must be floating-point, but is torch\.int64; .*feat\.float\(\)"):
            call(torch.ones(3, dtype=torch.int64))
