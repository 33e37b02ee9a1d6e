"""Cosines of ages: values, the paper's frequencies, what the default can tell apart, gradients, copies."""

import copy
import math
import pickle

import pytest
import torch

from dgl_dysign.errors import ConfigError, GraphError
from dgl_dysign.nn import TimeEncoding


def test_values():
    encoding = TimeEncoding(3).double()
    torch.nn.init.normal_(encoding.phase)
    age = torch.tensor([[0, 3], [7, 100]])
    found = encoding(age)
    for row in range(2):
        for column in range(2):
            for i in range(3):
                angle = encoding.frequency[i].item() * age[row, column].item() + encoding.phase[i].item()
                assert found[row, column, i].item() == pytest.approx(math.cos(angle))


def test_the_papers_frequencies_are_fixed_and_flat():
    encoding = TimeEncoding(10, scale="paper")
    torch.testing.assert_close(encoding.frequency, torch.tensor([10.0**-i for i in range(10)]))
    assert not list(encoding.parameters())
    assert set(encoding.state_dict()) == {"frequency", "phase"}
    over_a_year = encoding(torch.arange(52))
    assert (over_a_year.amax(0) - over_a_year.amin(0) < 0.01).sum() == 7


def test_every_default_component_moves_over_the_range():
    for scale in (1, 10, 137, 5000):
        found = TimeEncoding(16, scale=scale)(torch.arange(0, max(scale, 2) + 1))
        assert (found.amax(0) - found.amin(0)).min() > 0.9, scale
        # The slowest falls all the way, so that it orders ages.
        assert (found[:, -1].diff() < 0).all() or scale < 2


def test_gradients_reset_and_copies():
    encoding, age = TimeEncoding(4).double(), torch.tensor([1.0, 2.5, 9.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda w, p: torch.func.functional_call(encoding, {"frequency": w, "phase": p}, (age,)),
        (encoding.frequency, encoding.phase),
    )
    expected = encoding(age)
    for other in (copy.deepcopy(encoding), pickle.loads(pickle.dumps(encoding))):
        torch.testing.assert_close(other(age), expected, rtol=0, atol=0)
    torch.nn.init.ones_(encoding.phase)
    encoding.reset_parameters()
    # Double precision is kept where it is asked for.
    torch.testing.assert_close(encoding(age), expected, rtol=0, atol=1e-6)
    assert TimeEncoding(4, scale="paper", learnable=True).frequency.requires_grad
    assert repr(encoding) == "TimeEncoding(4, scale=100.0, learnable=True)"


@pytest.mark.parametrize("wrong", [{"time_feats": 0}, {"scale": 0}, {"scale": math.inf}, {"scale": "fast"}])
def test_errors(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TimeEncoding(**wrong)


def test_the_meta_device():
    with torch.device("meta"):
        time = TimeEncoding(3, "paper")
    with pytest.raises(GraphError, match=r"this layer is on the meta device.*to_empty"):
        time(torch.ones(2))
    time.to_empty(device="cpu").reset_parameters()
    assert torch.equal(time(torch.ones(2)), TimeEncoding(3, "paper")(torch.ones(2)))


def test_ages_of_inference_mode():
    time = TimeEncoding(3)
    with torch.inference_mode():
        age = torch.rand(5)
    time(age).sum().backward()
    grads = time.frequency.grad.clone()
    time.zero_grad()
    time(age.clone()).sum().backward()
    assert torch.equal(time.frequency.grad, grads)
