"""Link scores: the network on the concatenation, broadcasting, losses by hand, errors."""

import pytest
import torch

from dgl_dysign.errors import ConfigError
from dgl_dysign.models import LinkHead, link_loss


def made(**options):
    torch.manual_seed(0)
    return LinkHead(4, 6, **options).double()


def vectors(*shape, seed=1):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_is_the_network_on_the_concatenation():
    head, src, dst = made(), vectors(5, 4), vectors(5, 2, 4, seed=2)
    weight = torch.cat([head.src.weight, head.dst.weight, head.product.weight], 1)
    found = head(src, dst)
    for e in range(5):
        for c in range(2):
            hidden = (weight @ torch.cat([src[e], dst[e, c], src[e] * dst[e, c]]) + head.src.bias).relu()
            torch.testing.assert_close(found[e, c], head.out[-1](hidden)[0])
    torch.testing.assert_close(head(src[:, None], dst), found)
    torch.testing.assert_close(head(src, dst[:, 1]), found[:, 1])


def test_features_of_the_pair_are_standardised_cut_and_added():
    head, src, dst, pair = made(pair_feats=3).eval(), vectors(5, 4), vectors(5, 2, 4, seed=2), vectors(5, 2, 3, seed=3)
    mean, deviation = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([2.0, 1e-3, 0.0])
    head.standardise(mean, deviation)
    alone = made(pair_feats=3).eval()
    alone.load_state_dict(head.state_dict())
    alone.pair = None
    standard = torch.stack(
        [(pair[..., 0] - 1) / 2, ((pair[..., 1] + 2) / 1e-3).clamp(-5, 5), torch.zeros(5, 2).double()], dim=-1
    )
    first, second, last = (layer for layer in head.pair if isinstance(layer, torch.nn.Linear))
    silu = torch.nn.functional.silu
    by_hand = last(silu(second(silu(first(standard)))))[..., 0]
    assert by_hand.abs().min() > 1e-4
    torch.testing.assert_close(head(src, dst, pair) - alone(src, dst, pair), by_hand)
    torch.testing.assert_close(head(src, dst[:, 1], pair[:, 1]), head(src, dst, pair)[:, 1])
    assert {"pair_mean", "pair_deviation"} <= head.state_dict().keys()


def test_gradients():
    head, src, dst, pair = made(pair_feats=3).eval(), vectors(5, 4), vectors(5, 2, 4), vectors(5, 2, 3)
    src.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: head(x, dst, pair), (src,))
    # A softmax is blind to a constant: that head is made without one, so that each parameter learns.
    for kind, bias in (("softmax", False), ("bce", True)):
        head = made(pair_feats=3, bias=bias)
        link_loss(head(src.detach(), dst, pair), kind).backward()
        assert all(p.grad.abs().max() > 1e-9 for p in head.parameters())


def test_losses_by_hand():
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 3.0]], dtype=torch.float64)
    raised = logits.exp()
    torch.testing.assert_close(link_loss(logits), -(raised[:, 0] / raised.sum(1)).log().mean())
    p = logits.sigmoid()
    expected = (-p[:, 0].log() - (1 - p[:, 1:]).log().mean(1)).mean()
    torch.testing.assert_close(link_loss(logits, "bce"), expected)
    assert float(link_loss(torch.tensor([[800.0, -800.0], [-800.0, 800.0]]), "bce")) == 800


def test_errors():
    head = made(pair_feats=3)
    with pytest.raises(ConfigError, match="pair_feats=3, but got none"):
        head(vectors(5, 4), vectors(5, 2, 4))
    with pytest.raises(ConfigError, match=r"pair_feat must have shape \(5, 2, 3\)"):
        head(vectors(5, 4), vectors(5, 2, 4), vectors(5, 1, 3))
    with pytest.raises(ConfigError, match=r"mean and deviation of shape \(3,\), but got \(2,\) and \(3,\)"):
        head.standardise(torch.zeros(2), torch.ones(3))
    for src, dst in (((5, 3), (5, 2, 3)), ((4, 4), (5, 2, 4)), ((5, 2, 4), (5, 4))):
        with pytest.raises(ConfigError, match="expected vectors"):
            head(vectors(*src), vectors(*dst), vectors(5, 2, 3))
    with pytest.raises(ConfigError, match="kind"):
        link_loss(torch.zeros(2, 2), "hinge")
    with pytest.raises(ConfigError, match="logits must have shape"):
        link_loss(torch.zeros(2, 1))
