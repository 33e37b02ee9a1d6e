"""The gradient of the full batch, one snapshot at a time, against autograd through all of them."""

import copy

import pytest
import torch
from torch.nn.functional import cross_entropy

from dgl_dysign.training import full_batch_gradient
from tests.models.snapshot_cases import C, N, growing, label_features, made

LABELS = torch.arange(N) % C
TRAIN = torch.tensor([0, 1, 2, 4, 8, 9])


def loss(logits):
    return cross_entropy(logits[TRAIN], LABELS[TRAIN])


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("gradient", ["implicit", "one-step", "trace", "bptt"])
@pytest.mark.parametrize("options", [{}, {"label_feats": 5}, {"coupling": True}, {"feedback": False}], ids=str)
def test_is_that_of_autograd_dropout_included(training, gradient, options):
    snapshots, model = growing(), made(gradient=gradient, feedback_gain=1.5, dropout=0.5, **options)
    label_feat = label_features() if model.label_feats else None
    model.train(training)
    if model.conv.feedback:
        # W is above the bound, and the iteration for its norm is on its way: while training each call moves it.
        start = torch.linalg.svd(model.conv.feedback_weight.detach())[2][0]
        model.conv.bounds[0].vector.copy_(start + 0.1 * torch.randn(6, dtype=torch.float64))
    plain = copy.deepcopy(model)
    torch.manual_seed(7)
    expected = loss(plain(snapshots, label_feat))
    expected.backward()
    torch.manual_seed(7)
    found = full_batch_gradient(model, snapshots, loss, label_feat)
    assert not found.requires_grad
    torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-12)
    for (name, one), two in zip(model.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-9, atol=1e-12, msg=name)
        assert one.grad.abs().max() > 0, name
    for (name, one), two in zip(model.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12, msg=name)
    assert torch.equal(torch.rand(1), _after(plain, snapshots, label_feat))


def _after(model, snapshots, label_feat):
    """Return what is drawn after one forward: two passes must not use up more of the random numbers."""
    torch.manual_seed(7)
    with torch.no_grad():
        model(snapshots, label_feat)
    return torch.rand(1)


def test_gradients_add_up_and_descend():
    snapshots, model = growing(), made().eval()
    first = float(full_batch_gradient(model, snapshots, loss))
    once = [p.grad.clone() for p in model.parameters()]
    full_batch_gradient(model, snapshots, loss)
    for parameter, grad in zip(model.parameters(), once, strict=True):
        torch.testing.assert_close(parameter.grad, 2 * grad)
    with torch.no_grad():
        for parameter, grad in zip(model.parameters(), once, strict=True):
            parameter.sub_(grad, alpha=1e-3)
        expected = -1e-3 * sum(float(grad.square().sum()) for grad in once)
        assert abs(float(loss(model(snapshots))) - first - expected) < 0.1 * abs(expected)
