"""Quick dropout drops as many as PyTorch's, keeps means, and has its gradient."""

import pytest
import torch

from dgl_dysign.nn.quick_dropout import QuickDropout

ROWS = 100_001  # not a multiple of the four masks in a drawn word


@pytest.mark.parametrize("p", [0.1, 0.3, 0.9])
def test_values_are_dropped_independently_and_the_mean_stays(p):
    torch.manual_seed(0)
    values = QuickDropout(p)(torch.ones(ROWS, 3))
    kept = (values > 0).double()
    deviation = (p * (1 - p) / ROWS) ** 0.5
    assert (kept.mean(0) - (1 - p)).abs().max() < 4 * deviation
    assert torch.equal(values.unique(), torch.tensor([0, 65536 / (65536 - round(65536 * p))]))
    between = torch.corrcoef(kept.T) - torch.eye(3)
    neighbours = torch.corrcoef(torch.stack([kept[:-1, 0], kept[1:, 0]]))[0, 1]
    assert max(float(between.abs().max()), abs(float(neighbours))) < 4 / ROWS**0.5


def test_the_gradient_has_the_mask_and_a_seed_gives_it_again():
    layer, feat = QuickDropout(0.5), torch.randn(50, 7, requires_grad=True)
    torch.manual_seed(3)
    out = layer(feat)
    (grad,) = torch.autograd.grad(out.sum(), feat)
    assert torch.equal(grad, (out != 0) * 2.0)
    torch.manual_seed(3)
    assert torch.equal(layer(feat), out)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
def test_values_and_both_gradients_are_products_with_the_mask(kind):
    feat = torch.randn(7, 50, dtype=kind).T.requires_grad_()  # not contiguous
    torch.manual_seed(3)
    mask = QuickDropout(0.3)(torch.ones(50, 7, dtype=kind))
    torch.manual_seed(3)
    out = QuickDropout(0.3)(feat)
    assert torch.equal(out, feat * mask)
    (grad,) = torch.autograd.grad(out.square().sum(), feat, create_graph=True)
    assert torch.equal(grad, 2 * out.detach() * mask)
    (second,) = torch.autograd.grad(grad.sum(), feat)
    assert torch.equal(second, 2 * mask * mask)


def test_evaluation_and_probabilities_of_nothing_and_all():
    feat = torch.randn(5, 0, 3), torch.randn(5, 3)
    assert torch.equal(QuickDropout(0.5).eval()(feat[1]), feat[1])
    assert torch.equal(QuickDropout(0.0)(feat[1]), feat[1])
    assert not QuickDropout(1.0)(feat[1]).any()
    assert QuickDropout(0.5)(feat[0]).shape == (5, 0, 3)
