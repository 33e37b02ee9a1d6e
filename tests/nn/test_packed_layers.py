"""Layers that send bits: the spikes of floats, proved with exact numbers and bounded by rounding; what they count."""

import copy

import pytest
import torch

from dgl_dysign._dgl import dgl
from dgl_dysign.cost import count_operations
from dgl_dysign.errors import ConfigError, GraphError
from dgl_dysign.nn import SpikingGraphConv, ThresholdEncoder, spiking_graph_conv
from dgl_dysign.ops import NORMS, PackedSpikes

N, E, D = 60, 400, 70
EPSILON = 2.0**-24


@pytest.fixture(autouse=True)
def some_rows_at_a_time(monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(spiking_graph_conv, "_TOGETHER", 17 * 4 * D)


@pytest.fixture
def graph():
    src, dst = torch.randint(N, (2, E))
    return dgl.add_self_loop(dgl.graph((src, dst), num_nodes=N))


def layer(in_feats, out_feats, **options):
    """Return a layer of one step whose neurons fire here and there."""
    conv = SpikingGraphConv(in_feats, out_feats, **{"latency": 1, "threshold": 0.25, **options})
    if conv.bias is not None:
        torch.nn.init.normal_(conv.bias, std=0.2)
    for learned in conv.lif.parameters():
        torch.nn.init.normal_(learned, std=0.2)
    return conv


def dense(graph, weight, norm):
    """Return the matrix of `aggregate` in double precision."""
    src, dst = graph.edges()
    value = torch.ones(len(src), dtype=torch.float64) if weight is None else weight.double()
    degrees = graph.out_degrees()[src].double(), graph.in_degrees()[dst].double()
    power = {"both": (-0.5, -0.5), "left": (-1, 0), "right": (0, -1), "none": (0, 0)}[norm]
    value = value * degrees[0] ** power[0] * degrees[1] ** power[1]
    return torch.zeros(N, N, dtype=torch.float64).index_put((dst, src), value, accumulate=True)


def shares(spikes):
    return float(spikes.unpack().mean())


@torch.no_grad()
@pytest.mark.parametrize("weighted", [False, True])
def test_exact_numbers_give_the_same_bits_in_three_layers(graph, weighted):
    weight = torch.randint(-4, 9, (graph.num_edges(),)) / 8 if weighted else None
    convs = [layer(D, 65, norm="none", learn_threshold="homeostatic"), layer(65, 64, norm="none", bias=False)]
    convs.append(layer(64, D, norm="none", threshold=1.0))
    for conv in convs:  # multiples of 1/64 that are small: sums are exact in any order
        for parameter in conv.parameters():
            parameter.copy_(torch.randint(-16, 17, parameter.shape) / 64)
    feat = torch.randint(0, 5, (N, D)) / 4
    for start in (feat, PackedSpikes.pack(feat)):
        packed, floats = start, start if isinstance(start, torch.Tensor) else start.unpack()
        for conv in convs:
            packed = conv(graph, packed, edge_weight=weight, return_packed=True)
            floats = conv(graph, floats, edge_weight=weight)
            assert torch.equal(packed.unpack(), floats)
            assert 0.05 < shares(packed) < 0.95


@torch.no_grad()
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("options", [{}, {"learn_threshold": True}, {"bias": False}], ids=str)
@pytest.mark.parametrize("packed", [False, True])
def test_other_numbers_differ_within_rounding_alone(graph, norm, options, packed):
    weight = torch.rand(graph.num_edges()) if "bias" in options else None
    feat = (torch.rand(N, D) < 0.3).float() if packed else torch.randn(N, D)
    matrix = dense(graph, weight, norm)
    for out_feats in (D + 9, 33):  # the narrower side of floats is aggregated
        conv = layer(D, out_feats, norm=norm, **options)
        spikes = conv(graph, PackedSpikes.pack(feat) if packed else feat, edge_weight=weight, return_packed=True)
        wide = copy.deepcopy(conv).double()
        bias = 0 if conv.bias is None else wide.bias
        potential = wide.lif.entering(matrix @ feat.double() @ wide.weight + bias)
        size = matrix.abs() @ feat.abs().double() @ wide.weight.abs() + (0 if conv.bias is None else bias.abs())
        rounding = wide.lif.relative((E / 8 + D + 8) * EPSILON * size)  # of sums over so many, at most
        differs = spikes.unpack() != (potential >= conv.lif.threshold)
        assert not (differs & ((potential - conv.lif.threshold).abs() > rounding)).any()
        assert 0.05 < shares(spikes) < 0.95


@torch.no_grad()
def test_blocks_of_mini_batches_and_features_that_enter_as_spikes(graph):
    feat, target = torch.randn(N, 5), torch.tensor([3, 9, 50])
    encoder = ThresholdEncoder(5).fit(feat)
    block = dgl.to_block(dgl.in_subgraph(graph, target), target)
    conv, plain = layer(5, 8, norm="right"), layer(5, 8, norm="right", bias=False, weight=False)
    source = block.srcdata[dgl.NID]
    packed = conv(block, encoder.pack(feat[source]))
    assert packed.shape == (3, 8)
    assert torch.equal(packed.unpack(), conv(block, encoder(feat[source])))
    sums = dense(graph, None, "right")[target] @ encoder(feat).double()
    current = sums @ conv.weight.double() + conv.bias.double()
    assert torch.equal(packed.unpack().bool(), current >= 0.25)
    outside = plain(graph, feat, weight=conv.weight, return_packed=True)
    assert torch.equal(outside.unpack(), plain(graph, feat, weight=conv.weight))


@torch.no_grad()
@pytest.mark.parametrize("norm", ["none", "right"])
def test_weights_of_eight_bits_that_need_no_rounding_give_the_same_bits(norm):
    many = torch.arange(500) % 300  # node 0 has more neighbours than a byte counts, node 1 than half of one does
    ends = torch.cat([torch.randint(400, (2, 3000)), torch.stack([many, (torch.arange(500) >= 300).long()])], 1)
    graph, feat = dgl.add_self_loop(dgl.graph(tuple(ends), num_nodes=400)), torch.randn(400, D)
    feat[:300, 0] = 9.0  # they all fire
    for spikes in (PackedSpikes.pack((feat > 0.5).float()), ThresholdEncoder(D).fit(feat).pack(feat)):
        conv = layer(D, 72, norm=norm, threshold=0.507)
        conv.weight.copy_(torch.randint(-64, 65, conv.weight.shape) / 64)
        conv.weight[0], conv.bias[:] = 1.0, -0.25
        eight = conv(graph, spikes, weight_bits=8)
        assert torch.equal(eight.unpack(), conv(graph, spikes).unpack())
        assert 0.05 < shares(eight) < 0.95
        conv.weight.add_(0.3 * torch.rand(conv.weight.shape) / 64)
        assert 0 < (conv(graph, spikes, weight_bits=8).unpack() != conv(graph, spikes).unpack()).float().mean() < 0.02


def test_bits_are_what_moves(graph):
    conv, fired = layer(D, 64, norm="right"), (torch.rand(N, D) < 0.3).float()
    count = count_operations(conv, graph, PackedSpikes.pack(fired), num_nodes=N)
    edges = graph.num_edges()
    met = int((fired.sum(1) * graph.out_degrees()).sum())
    assert (count.total.synops, count.total.message_bits) == (met, edges * D)
    assert (count.total.macs, count.total.membrane_updates) == (N * D * 64, N * 64)
    eight = count_operations(conv, graph, PackedSpikes.pack(fired), num_nodes=N, weight_bits=8).total
    assert (eight.synops, eight.message_bits, eight.macs) == (met, edges * D, N * D * 64)
    floats = count_operations(conv, graph, fired)
    assert floats.total.message_bits == 32 * edges * 64  # what was mapped first
    assert floats.total.spikes == pytest.approx(count.total.spikes, abs=2)
    several = count_operations(conv, graph, torch.rand(N, D), return_packed=True, num_nodes=N)
    assert several.total.message_bits == 32 * edges * 64


def test_errors(graph):
    feat = torch.rand(N, D)
    with pytest.raises(ConfigError, match=r"have no gradient: call the layer under torch\.no_grad"):
        layer(D, 8)(graph, PackedSpikes.pack(feat))
    wrong = {"latency": 2, "encoding": "bernoulli", "surrogate": torch.sigmoid}
    for name, value in wrong.items():
        with pytest.raises(ConfigError, match=f"one step under a constant current: .* got .*{name}="):
            layer(D, 8, **{name: value})(graph, feat, return_packed=True)
    with pytest.raises(ConfigError, match="return_spikes=True"):
        layer(D, 8)(graph, feat, return_spikes=True, return_packed=True)
    with torch.no_grad():
        with pytest.raises(ConfigError, match="weight_bits must be one of"):
            layer(D, 8)(graph, PackedSpikes.pack(feat), weight_bits=4)
        with pytest.raises(ConfigError, match=r"on a CPU, by PyTorch with oneDNN: expected .* got norm='both'"):
            layer(D, 8)(graph, PackedSpikes.pack(feat), weight_bits=8)
        for packed in (True, False):
            with pytest.raises(ConfigError, match="weight_bits=8 is for sums of packed spikes"):
                layer(D, 8, norm="right")(graph, feat, return_packed=packed, weight_bits=8)
        with pytest.raises(GraphError, match=r"float64: .* convert the layer with layer.float\(\)"):
            layer(D, 8).double()(graph, PackedSpikes.pack(feat))
        with pytest.raises(GraphError, match=r"got \(60, 2, 70\)"):
            layer(D, 8)(graph, torch.rand(N, 2, D), return_packed=True)
        with pytest.raises(GraphError, match="70 features"):
            layer(D, 8)(graph, PackedSpikes.pack(feat[:, :9]))
