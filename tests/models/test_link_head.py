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


@pytest.mark.parametrize("pair_feats", [0, 3])
def test_is_the_network_on_the_concatenation(pair_feats):
    head, src, dst = made(pair_feats=pair_feats), vectors(5, 4), vectors(5, 2, 4, seed=2)
    pair = vectors(5, 2, 3, seed=3) if pair_feats else None
    weight = [head.src.weight, head.dst.weight, head.product.weight] + ([head.pair.weight] if pair_feats else [])
    found = head(src, dst, pair)
    for e in range(5):
        for c in range(2):
            parts = [src[e], dst[e, c], src[e] * dst[e, c]] + ([pair[e, c]] if pair_feats else [])
            hidden = (torch.cat(weight, 1) @ torch.cat(parts) + head.src.bias).relu()
            torch.testing.assert_close(found[e, c], head.out[-1](hidden)[0])
    torch.testing.assert_close(head(src[:, None], dst, pair), found)
    single = head(src, dst[:, 1], None if pair is None else pair[:, 1])
    torch.testing.assert_close(single, found[:, 1])


def test_gradients():
    head, src, dst, pair = made(pair_feats=3), vectors(5, 4), vectors(5, 2, 4), vectors(5, 2, 3)
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
    for src, dst in (((5, 3), (5, 2, 3)), ((4, 4), (5, 2, 4)), ((5, 2, 4), (5, 4))):
        with pytest.raises(ConfigError, match="expected vectors"):
            head(vectors(*src), vectors(*dst), vectors(5, 2, 3))
    with pytest.raises(ConfigError, match="kind"):
        link_loss(torch.zeros(2, 2), "hinge")
    with pytest.raises(ConfigError, match="logits must have shape"):
        link_loss(torch.zeros(2, 1))
