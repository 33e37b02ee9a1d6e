"""InfluenceMixer: values slot by slot, nothing of the padding, gradients, the filter, copies."""

import copy
import io
import pickle
from types import SimpleNamespace

import pytest
import torch

from dgl_dysign.errors import ConfigError, GraphError
from dgl_dysign.nn import InfluenceMixer

R, K = 6, 4


def made(**options):
    torch.manual_seed(0)
    mixer = InfluenceMixer(3, 5, K, **options).double()
    for parameter in mixer.parameters():
        if parameter.dim() == 1:  # biases of zero would hide where they are missing
            torch.nn.init.normal_(parameter, mean=0.5, std=0.3)
    return mixer


def slots(seed=1):
    """Return neighbours of which row r has r % (K + 1) of K, one of them without score."""
    generator = torch.Generator().manual_seed(seed)
    count = torch.arange(R) % (K + 1)
    there = torch.arange(K) < count[:, None]
    node = torch.randint(9, (R, K), generator=generator).masked_fill(~there, -1)
    influence = torch.rand(R, K, generator=generator).masked_fill(~there, 0).sort(1, descending=True).values
    influence[4, 3] = 0
    age = torch.randint(5, (R, K), generator=generator).float().masked_fill(~there, 0)
    return SimpleNamespace(node=node, influence=influence, age=age)


def values(*width, seed=2):
    return torch.randn(R, K, *width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_values_row_by_row():
    mixer, neighbors = made(edge_feats=2, time_feats=3, num_layers=2), slots()
    feat, edge_feat = values(3), values(2, seed=3)
    found = mixer(neighbors, feat, edge_feat)
    for row in range(R):
        heard = [k for k in range(K) if neighbors.node[row, k] >= 0 and neighbors.influence[row, k] != 0]
        zero = torch.zeros(5, dtype=torch.float64)
        hidden = [zero] * K
        for k in heard:
            phi = mixer.time(neighbors.age[row, k])
            hidden[k] = mixer.fc_message(torch.cat([feat[row, k], edge_feat[row, k], phi]))
        for layer in mixer.layers:
            normed = torch.stack([layer.slot_norm(hidden[k]) if k in heard else zero for k in range(K)])
            mixed = layer.slot_mlp(normed.t()).t()
            hidden = [hidden[k] + mixed[k] if k in heard else zero for k in range(K)]
            hidden = [h + layer.feat_mlp(layer.feat_norm(h)) if k in heard else zero for k, h in enumerate(hidden)]
        weight = neighbors.influence[row].double()
        total = sum((weight[k] * hidden[k] for k in heard), zero) / (weight.sum() if heard else 1)
        torch.testing.assert_close(found[row], mixer.fc(total), rtol=0, atol=1e-12)
    torch.testing.assert_close(found[0], mixer.fc.bias, rtol=0, atol=0)


@pytest.mark.parametrize("poison", [1e6, torch.nan, torch.inf])
def test_nothing_of_an_empty_slot_reaches_the_result_or_the_gradient(poison):
    mixer, neighbors = made(edge_feats=2), slots()
    empty = (neighbors.node < 0) | (neighbors.influence == 0)
    feat, edge_feat = values(3), values(2)
    expected = mixer(neighbors, feat, edge_feat)
    feat = feat.masked_fill(empty[..., None], poison).requires_grad_()
    found = mixer(neighbors, feat, edge_feat.masked_fill(empty[..., None], poison))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    found.square().sum().backward()
    assert (feat.grad[empty] == 0).all()
    assert torch.isfinite(feat.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in mixer.parameters())


def test_rows_do_not_hear_each_other_and_slots_do():
    mixer, neighbors, feat = made(), slots(), values(3)
    before = mixer(neighbors, feat)
    feat[3, 1] += 1
    moved = (mixer(neighbors, feat) - before).abs().amax(1) > 1e-9
    assert moved.tolist() == [row == 3 for row in range(R)]


def test_gradients():
    mixer, neighbors = made(edge_feats=1, time_feats=2), slots()
    feat, edge_feat = values(3).requires_grad_(), values(1)
    mixer(neighbors, feat, edge_feat).square().sum().backward()
    for name, parameter in mixer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
    names = [name for name, _ in mixer.named_parameters()]
    assert torch.autograd.gradcheck(
        lambda x, *p: torch.func.functional_call(mixer, dict(zip(names, p, strict=True)), (neighbors, x, edge_feat)),
        (feat, *mixer.parameters()),
        fast_mode=True,
    )


def test_a_filtered_slot_is_as_if_it_were_empty():
    mixer, neighbors, feat = made(filter_ratio=0.5), slots(), values(3)
    kept = copy.deepcopy(mixer.filter)(neighbors.age)
    assert not kept.all()
    found = mixer(neighbors, feat)
    mixer.eval()
    without = SimpleNamespace(**{**vars(neighbors), "node": neighbors.node.masked_fill(~kept, -1)})
    torch.testing.assert_close(found, mixer(without, feat), rtol=0, atol=0)
    torch.testing.assert_close(mixer(neighbors, feat), mixer(neighbors, feat), rtol=0, atol=0)


def test_copies_and_reset():
    mixer, neighbors, feat = made(time_feats=2), slots(), values(3)
    expected = mixer(neighbors, feat)
    for other in (copy.deepcopy(mixer), pickle.loads(pickle.dumps(mixer))):
        torch.testing.assert_close(other(neighbors, feat), expected, rtol=0, atol=0)
    buffer = io.BytesIO()
    torch.save(mixer.state_dict(), buffer)
    buffer.seek(0)
    mixer.reset_parameters()
    assert not torch.equal(mixer(neighbors, feat), expected)
    mixer.load_state_dict(torch.load(buffer, weights_only=True))
    torch.testing.assert_close(mixer(neighbors, feat), expected, rtol=0, atol=0)


def test_errors_and_repr():
    for wrong in ({"num_neighbors": 0}, {"edge_feats": -1}, {"filter_ratio": -0.1}, {"num_layers": 0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            InfluenceMixer(3, 5, **wrong)
    mixer, neighbors = made(), slots()
    with pytest.raises(GraphError, match=r"feat must have shape \(6, 4, 3\)"):
        mixer(neighbors, values(2))
    with pytest.raises(GraphError, match="made for width 0"):
        mixer(neighbors, values(3), values(1))
    neighbors.influence[2, 1] = torch.nan
    with pytest.raises(GraphError, match="nan at place 9"):
        mixer(neighbors, values(3))
    assert repr(mixer).startswith("InfluenceMixer(\n  3, 5, num_neighbors=4")


def test_features_of_another_type_a_state_of_another_size_and_the_meta_device():
    mixer, neighbors, feat = made(time_feats=2), slots(), values(3)
    with pytest.raises(GraphError, match=r"feat\.double\(\), or the layer with layer\.float\(\)"):
        mixer(neighbors, feat.float())
    with pytest.raises(GraphError, match=r"feat must be floating-point, but is torch\.int64"):
        mixer(neighbors, feat.long())
    assert torch.equal(mixer(neighbors, feat.bfloat16()), mixer(neighbors, feat.bfloat16().double()))
    with pytest.raises(ConfigError, match=r"fc_message\.weight has shape \(5, 5\) .*\(5, 3\) in this InfluenceMixer"):
        made().load_state_dict(mixer.state_dict())
    with torch.device("meta"):
        other = InfluenceMixer(3, 5, K, time_feats=2)
    with pytest.raises(GraphError, match=r"layer is on the meta device.*to_empty"):
        other(neighbors, feat)
    other.to_empty(device="cpu").double().load_state_dict(mixer.state_dict())
    assert torch.equal(other(neighbors, feat), mixer(neighbors, feat))
