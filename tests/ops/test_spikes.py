"""Surrogates: shape, unit area, gradients, and those of other projects."""

import pickle

import pytest
import torch

from dgl_dysign import ops
from dgl_dysign.errors import ConfigError


@pytest.mark.parametrize("kind", ops.SURROGATES)
@pytest.mark.parametrize("width", [0.5, 1.0, 2.0])
def test_unit_area_even_and_highest_at_the_threshold(kind, width):
    surrogate = ops.Surrogate(kind, width)
    x = torch.linspace(-2000, 2000, 4_000_001, dtype=torch.float64)
    y = surrogate.derivative(x)
    assert torch.trapezoid(y, x) == pytest.approx(1, abs=2e-3)
    torch.testing.assert_close(y, y.flip(0))
    # linspace misses zero by a rounding error
    torch.testing.assert_close(y.max(), surrogate.derivative(torch.tensor(0.0, dtype=torch.float64)))


def test_rectangle_is_as_the_reference_says():
    x = torch.tensor([-2.0, -1.9, 0.0, 1.9, 2.0])
    assert ops.Surrogate("rectangle", 2.0).derivative(x).tolist() == [0, 0.25, 0.25, 0.25, 0]


@pytest.mark.parametrize("kind", ops.SURROGATES)
def test_spikes_at_the_threshold_and_backpropagates_its_derivative(kind):
    x = torch.tensor([-0.3, -0.0, 0.0, 0.7], requires_grad=True)
    surrogate = ops.get_surrogate(kind, 2.0)
    spikes = surrogate(x)
    (spikes * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    assert spikes.tolist() == [0, 1, 1, 1]
    torch.testing.assert_close(x.grad, surrogate.derivative(x.detach()) * torch.tensor([1.0, 2.0, 3.0, 4.0]))
    torch.testing.assert_close(ops.slope(surrogate, x.detach()), surrogate.derivative(x.detach()))


def test_any_callable():
    class Other(torch.nn.Module):
        """As the surrogates of other spiking libraries are."""

        def forward(self, x):
            soft = torch.sigmoid(3 * x)
            return (x > 0).to(x) + soft - soft.detach()

    surrogate = ops.get_surrogate(Other(), 2.0)
    x = torch.tensor([-1.0, 0.5])
    y = torch.sigmoid(3 * x)
    with torch.no_grad():
        torch.testing.assert_close(ops.slope(surrogate, x), 3 * y * (1 - y))
    assert surrogate(x).tolist() == [0, 1]


def test_errors_and_pickling():
    with pytest.raises(ConfigError, match=r"'rectangle', .* but got 'step'"):
        ops.get_surrogate("step")
    with pytest.raises(ConfigError, match="positive"):
        ops.Surrogate("sigmoid", 0.0)
    assert pickle.loads(pickle.dumps(ops.Surrogate("arctan", 2.0))) == ops.Surrogate("arctan", 2.0)
