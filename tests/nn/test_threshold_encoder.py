"""Features as spikes against loops in double precision; weights of which some blocks act."""

import pytest
import torch

from dgl_dysign.cost import Operations, count_operations
from dgl_dysign.errors import ConfigError, GraphError
from dgl_dysign.nn import ThresholdEncoder, keep_blocks
from dgl_dysign.ops import Surrogate, packed_linear

LEVELS = (0.5, 1.5)


@pytest.fixture
def feat():
    torch.manual_seed(0)
    return 3 * torch.randn(70, 37) + 1


@pytest.fixture
def encoder(feat):
    encoder = ThresholdEncoder(37, LEVELS).fit(feat)
    torch.nn.init.normal_(encoder.log_ratio, std=0.3)
    return encoder


def test_thresholds_begin_at_deviations_from_the_mean(feat):
    encoder = ThresholdEncoder(37, (1.5, 0.5))
    feat[:, 3] = 0.1  # what does not vary never fires
    spikes = encoder.fit(feat)(feat)
    values = feat.double()
    expected = torch.zeros(70, 2, 37)
    for feature in range(37):
        mean, deviation = values[:, feature].mean(), values[:, feature].std(correction=0)
        for level, far in enumerate(LEVELS):
            expected[:, level, feature] += (values[:, feature] > mean + far * deviation).float()
            expected[:, level, feature] -= (values[:, feature] < mean - far * deviation).float()
    expected[:, :, 3] = 0
    assert torch.equal(spikes, expected.flatten(1))
    assert encoder.out_feats == spikes.shape[1] == 74
    for other in (feat[:1], feat[:0]):
        assert encoder(other).shape == (len(other), 74)


def test_packed_spikes_are_mapped_as_dense_ones(feat, encoder):
    weight, bias = torch.randn(5, 74), torch.randn(5)
    dense, packed = encoder(feat), encoder.pack(feat)
    planes = packed.unpack()
    assert torch.equal(planes[:, :74] - planes[:, 74:], dense)
    assert (dense[:, :37].abs() >= dense[:, 37:].abs()).float().mean() > 0.95  # levels keep their order, mostly
    out = packed_linear(packed, torch.cat([weight, -weight], 1), bias)
    exact = dense.double() @ weight.double().t() + bias.double()
    torch.testing.assert_close(out.double(), exact, rtol=1e-5, atol=1e-4)


def test_thresholds_get_the_gradient_of_the_surrogate(feat, encoder):
    encoder, feat = encoder.double(), feat.double().requires_grad_()
    pull = torch.randn(70, 74, dtype=torch.float64)
    (encoder(feat) * pull).sum().backward()
    z, slope = (feat - encoder.mean) / encoder.deviation, Surrogate("rectangle", 0.5).derivative
    parts = pull.unflatten(1, (2, 37))
    to_feat = 0.0
    for level in range(2):
        above, below = encoder.thresholds[:, level]
        up, down = slope(z - above) * parts[:, level], slope(-z - below) * parts[:, level]
        for side, expected in ((0, -up.sum(0) * above), (1, down.sum(0) * below)):
            torch.testing.assert_close(encoder.log_ratio.grad[side, level], expected)
        to_feat = to_feat + (up + down) / encoder.deviation
    assert encoder.log_ratio.grad.count_nonzero() > 100
    torch.testing.assert_close(feat.grad, to_feat)


@pytest.mark.parametrize("size", [64, 3, 1])
def test_the_blocks_of_largest_norm_act_and_all_weights_learn(size):
    torch.manual_seed(0)
    layer, feat = torch.nn.Linear(6, 130, bias=False), torch.randn(4, 6)
    whole = layer.weight.detach().clone()
    keep_blocks(layer, "weight", 0.4, size)
    norms = {
        (block, feature): float(whole[size * block : size * (block + 1), feature].square().mean())
        for block in range(-(-130 // size))
        for feature in range(6)
    }
    kept = sorted(norms, key=norms.get)[-round(0.4 * len(norms)) :]
    expected = torch.zeros_like(whole)
    for block, feature in kept:
        expected[size * block : size * (block + 1), feature] = whole[size * block : size * (block + 1), feature]
    assert torch.equal(layer.weight, expected)
    layer(feat).sum().backward()
    torch.testing.assert_close(layer.parametrizations.weight.original.grad, feat.sum(0).expand(130, 6))

    encoder = ThresholdEncoder(6)
    spikes, packed = encoder(feat), encoder.pack(feat)
    both = torch.cat([layer.weight, -layer.weight], 1)
    out = packed_linear(packed, both)
    torch.testing.assert_close(out.double(), spikes.double() @ expected.double().t(), rtol=1e-5, atol=1e-5)
    met = sum(
        int(spikes[node, f] != 0 and expected[row, f] != 0) for node in range(4) for f in range(6) for row in range(130)
    )
    assert 0 < met < int(spikes.count_nonzero()) * 130
    dense = count_operations(torch.nn.Sequential(encoder, layer), feat).total
    assert dense == count_operations(Mapped(both), packed, num_nodes=4).total == Operations(synops=met)


class Mapped(torch.nn.Module):
    """One packed map."""

    def __init__(self, weight):
        super().__init__()
        self.weight = torch.nn.Parameter(weight)

    def forward(self, packed):
        return packed_linear(packed, self.weight)


def test_errors():
    for wrong, text in (((), "positive deviations"), ((0.5, -1), "positive deviations, .* got .0.5, -1.")):
        with pytest.raises(ConfigError, match=text):
            ThresholdEncoder(3, wrong)
    with pytest.raises(ConfigError, match="in_feats must be at least 1"):
        ThresholdEncoder(0)
    for call in ("fit", "pack", "forward"):
        with pytest.raises(GraphError, match=r"feat must have shape \(N, 3\), but has \(5, 2\)"):
            getattr(ThresholdEncoder(3), call)(torch.ones(5, 2))
    for keep in (0, 1.5):
        with pytest.raises(ConfigError, match=f"must lie in .0, 1., but got {keep}"):
            keep_blocks(torch.nn.Linear(2, 2), "weight", keep)
    with pytest.raises(ConfigError, match="at least 1 neuron, but got 0"):
        keep_blocks(torch.nn.Linear(2, 2), "weight", 0.5, 0)
