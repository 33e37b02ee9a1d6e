"""The bound on the spectral norm: never below, close, differentiable, the same in evaluation."""

import copy

import pytest
import torch

from dgl_dysign.errors import ConfigError, GraphError
from dgl_dysign.nn import SpectralBound


def exact(weight):
    return torch.linalg.matrix_norm(weight, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 2, 17, 128])
def test_never_below_and_close(dtype, size):
    weight = torch.randn(size, size, dtype=dtype, generator=torch.Generator().manual_seed(size))
    found = SpectralBound(size)(weight)
    assert exact(weight) <= found <= exact(weight) * 1.0201


def test_equal_singular_values_and_zero():
    assert SpectralBound(5)(torch.eye(5)).item() == pytest.approx(1.01)
    assert SpectralBound(5)(torch.zeros(5, 5)).item() == 0
    assert SpectralBound(5)(torch.full((5, 5), float("nan"))).isnan()


def test_start_orthogonal_to_the_leading_direction():
    weight = torch.tensor([[3.0, -3.0], [0.1, 0.1]])  # power iteration from (1, 1) stays at the smaller one
    assert SpectralBound(2)(weight) >= exact(weight)


def test_holds_along_a_walk_of_the_weights():
    generator = torch.Generator().manual_seed(0)
    weight, bound = torch.randn(32, 32, generator=generator), SpectralBound(32)
    for _ in range(200):
        weight = weight + 0.2 * torch.randn(32, 32, generator=generator)
        assert exact(weight) <= bound(weight) <= exact(weight) * 1.0201


def test_gradient_is_that_of_the_norm():
    weight = torch.randn(6, 6, dtype=torch.float64, requires_grad=True)
    bound = SpectralBound(6)
    for _ in range(200):
        value = bound(weight)
    (found,) = torch.autograd.grad(value, weight)
    (expected,) = torch.autograd.grad(exact(weight), weight)
    torch.testing.assert_close(found, expected * 1.01, rtol=0.02, atol=0.02)


def test_evaluation_changes_nothing():
    bound, weight = SpectralBound(8), torch.randn(8, 8)
    bound(weight)
    bound.eval()
    state = copy.deepcopy(bound.state_dict())
    other = torch.randn(8, 8)
    assert torch.equal(bound(other), bound(other))
    assert bound(other) >= exact(other)
    assert torch.equal(bound.state_dict()["vector"], state["vector"])


def test_what_is_carried_on_from_inference_mode_can_be_trained_with():
    weight = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    grads = []
    for mode in (torch.inference_mode, torch.no_grad):
        bound, leaf = SpectralBound(3), weight.clone().requires_grad_()
        with mode():
            bound(leaf)
        bound.eval()(leaf).backward()
        grads.append(leaf.grad)
    assert torch.equal(*grads)
    bound.reset_parameters()
    assert torch.equal(bound.vector, SpectralBound(3).vector)


def test_half_precision_and_the_meta_device():
    with pytest.raises(ConfigError, match=r"weight is torch\.float16, .*layer\.float\(\)"):
        SpectralBound(3)(torch.ones(3, 3, dtype=torch.float16))
    with torch.device("meta"):
        bound = SpectralBound(3)
    with pytest.raises(GraphError, match=r"this layer is on the meta device.*to_empty"):
        bound(torch.ones(3, 3))
