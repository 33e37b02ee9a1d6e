"""The neuron: traces by hand, rates, leak, resets and gradients."""

import pickle

import pytest
import torch
from torch.autograd import gradcheck

from dgl_dysign.errors import ConfigError, GraphError
from dgl_dysign.nn import LIF, ConstantEncoder
from dgl_dysign.nn.lif import pass_nan


def test_soft_reset_by_hand():
    lif = LIF(threshold=2.0, leak=0.5)
    spikes, u = lif(torch.tensor([1.0]))
    assert (spikes.item(), u.item()) == (0, 1)
    spikes, u = lif(torch.tensor([3.0]), u)
    assert (spikes.item(), u.item()) == (1, 1.5)
    spikes, u = lif(torch.tensor([1.25]), u)
    assert (spikes.item(), u.item()) == (1, 0)


def test_hard_reset_forgets_the_rest():
    spikes, u = LIF(reset="hard")(torch.tensor([1.75, 0.5]))
    assert (spikes.tolist(), u.tolist()) == ([1, 0], [0, 0.5])


@pytest.mark.parametrize("leak", [1.0, 0.8])
def test_charge_is_conserved(leak):
    # Telescoped: threshold * rate * C = mean current * C + leak^K u_0 - u_K, the identity (I) for one neuron.
    lif = LIF(threshold=1.5, leak=leak)
    currents = torch.randn(20, 6, dtype=torch.float64)
    start = torch.randn(6, dtype=torch.float64)
    spikes, u = lif.sequence(currents, start)
    total = sum(leak**i for i in range(20))
    left = 1.5 * lif.rate(spikes) * total
    right = lif.rate(currents) * total + leak**20 * start - u
    torch.testing.assert_close(left, right, rtol=0, atol=1e-12)


@pytest.mark.parametrize("latency", [4, 16, 64])
def test_rate_under_a_constant_current(latency):
    current = torch.linspace(-0.5, 1.5, 41, dtype=torch.float64)
    lif = LIF()
    spikes, _ = lif.sequence(ConstantEncoder(latency)(current))
    error = current.clamp(0, 1) - lif.rate(spikes)
    assert error.abs().max() <= 1 / latency + 1e-12
    half, _ = lif.sequence(ConstantEncoder(latency)(current), torch.full_like(current, 0.5))
    assert (current.clamp(0, 1) - lif.rate(half)).abs().max() <= 0.5 / latency + 1e-12


def test_spikes_are_zero_or_one_and_sequence_is_many_steps():
    lif, currents = LIF(leak=0.9), torch.randn(7, 3, 2)
    spikes, u = lif.sequence(currents)
    assert set(spikes.unique().tolist()) <= {0.0, 1.0}
    again, v = [], None
    for current in currents:
        s, v = lif(current, v)
        again.append(s)
    assert torch.equal(torch.stack(again), spikes)
    assert torch.equal(u, v)


def test_gradient_goes_through_the_soft_reset():
    current = torch.tensor([0.9], requires_grad=True)
    lif = LIF()
    spikes, u = lif(current)
    (u * 1.0).backward()
    # u = p - s, and the rectangle's derivative is 1/2 next to the threshold.
    assert current.grad.item() == 0.5
    assert spikes.item() == 0


def test_gradient_with_a_smooth_spike():
    lif = LIF(leak=0.7, surrogate=lambda x: torch.sigmoid(4 * x))
    currents = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda c: lif.sequence(c), currents)


def test_leak_above_one_is_refused_unless_asked_for():
    with pytest.raises(ConfigError, match="no equilibrium"):
        LIF(leak=1.1)
    lif = LIF(leak=1.2, allow_growth=True)
    _, u = lif.sequence(torch.full((60, 1), -0.1))
    assert u.item() < -1000


def test_errors_repr_and_pickling():
    for wrong in ({"threshold": 0.0}, {"leak": 0.0}, {"reset": "none"}, {"surrogate": "step"}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            LIF(**wrong)
    with pytest.raises(ConfigError, match="latency"):
        LIF().sequence(torch.zeros(0, 3))
    assert repr(LIF()) == "LIF(threshold=1.0, leak=1.0, surrogate='rectangle', reset='soft')"
    lif = pickle.loads(pickle.dumps(LIF(leak=0.5)))
    assert lif(torch.ones(1), torch.ones(1))[1].item() == 0.5


def test_what_does_not_fit():
    lif, current = LIF(), torch.rand(5, 4)
    with pytest.raises(GraphError, match=r"shape of the current, \(5, 4\), but has \(1, 4\).*start at zero"):
        lif(current, torch.zeros(1, 4))  # which would be spread over all in silence
    grown = torch.cat([torch.rand(3, 4), torch.zeros(2, 4)])  # as said there
    assert torch.equal(lif.sequence(current[None], grown)[0][0, 3:], lif.sequence(current[None, 3:])[0][0])
    for call in (lif, lif.sequence, lif.rate):
        with pytest.raises(GraphError, match=r"int64; convert it with \w+\.float\(\)"):
            call(torch.ones(3, 4, dtype=torch.int64))


def test_nan_in_a_potential_is_passed_on_and_no_device_is_waited_for():
    rates, potential = torch.tensor([0.5, 0.0, 1.0]), torch.tensor([torch.inf, torch.nan, -torch.inf])
    assert pass_nan(rates, potential).isnan().tolist() == [False, True, False]
    pass_nan(*torch.empty(2, 3, device="meta"))  # which cannot be asked for a value
