"""The spiking counterpart of GraphConv: values against it, gradients, blocks, degrees."""

import pytest
import torch

from dgl_dysign import ops
from dgl_dysign._dgl import dgl
from dgl_dysign.errors import ConfigError, GraphError
from dgl_dysign.nn import LIF, SpikingGraphConv
from tests.nn.conv_cases import assert_conv, features, undirected


def call(conv, graph, feat, edge_weight):
    torch.manual_seed(0)
    return conv(graph, feat, edge_weight=edge_weight)


@pytest.mark.parametrize("norm", ops.NORMS)
@pytest.mark.parametrize("out_feats", [3, 6])
def test_what_every_convolution_satisfies(norm, out_feats):
    torch.manual_seed(0)
    conv = SpikingGraphConv(5, out_feats, norm=norm, surrogate="sigmoid").double()
    assert_conv(conv, call)


def graph_conv(conv, **options):
    other = dgl.nn.GraphConv(
        conv.in_feats, conv.out_feats, norm=conv.norm, allow_zero_in_degree=True, **options
    ).double()
    other.load_state_dict(conv.state_dict())
    return other


@pytest.mark.parametrize("norm", ops.NORMS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("latency", [4, 16, 64])
def test_tends_to_clamped_graph_conv(norm, weighted, latency):
    graph, weight = undirected()
    torch.manual_seed(1)
    conv = SpikingGraphConv(5, 4, norm, latency=latency, threshold=0.7).double()
    torch.nn.init.normal_(conv.bias, std=0.2)
    options = {"edge_weight": weight} if weighted else {}
    expected = (graph_conv(conv)(graph, features(), **options) / 0.7).clamp(0, 1)
    assert (conv(graph, features(), **options) - expected).abs().max() <= 1 / latency + 1e-9


def test_dense_oracle_step_by_step():
    graph, weight = undirected()
    conv = SpikingGraphConv(5, 4, latency=5, norm="none", leak=0.8).double()
    src, dst = graph.edges()
    matrix = torch.zeros(14, 14, dtype=torch.float64).index_put((dst, src), weight, accumulate=True)
    current = matrix @ features() @ conv.weight + conv.bias
    u, total, count = torch.zeros_like(current), torch.zeros_like(current), 0.0
    for _ in range(5):
        p = 0.8 * u + current
        s = (p >= 1).double()
        u, total, count = p - s, 0.8 * total + s, 0.8 * count + 1
    rates, spikes = conv(graph, features(), edge_weight=weight, return_spikes=True)
    torch.testing.assert_close(rates, total / count)
    assert spikes.shape == (5, 14, 4)
    torch.testing.assert_close(conv.lif.rate(spikes), rates)


def test_gradcheck_with_a_smooth_spike():
    graph, weight = undirected()
    conv = SpikingGraphConv(5, 2, latency=3, surrogate=lambda x: torch.sigmoid(3 * x)).double()
    feat = features().requires_grad_()
    weight = weight.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, w, m, b: torch.func.functional_call(conv, {"weight": m, "bias": b}, (graph, x), {"edge_weight": w}),
        (feat, weight, conv.weight, conv.bias),
        fast_mode=True,
        rtol=1e-6,
        atol=1e-7,
    )


def test_drawn_spikes_have_the_right_mean():
    graph, _ = undirected()
    torch.manual_seed(2)
    conv = SpikingGraphConv(5, 4, latency=2000, encoding="bernoulli").double()
    torch.nn.init.constant_(conv.bias, 0.3)
    expected = graph_conv(conv)(graph, features()).clamp(0, 1)
    assert (conv(graph, features()) - expected).abs().max() < 0.05


def test_zero_in_degree():
    path = dgl.graph(([0, 1], [1, 2]))
    conv = SpikingGraphConv(2, 2)
    with pytest.raises(GraphError, match=r"1 of 3 nodes have .*add_self_loop") as caught:
        conv(path, torch.ones(3, 2))
    assert isinstance(caught.value, dgl.DGLError)
    conv.set_allow_zero_in_degree(True)
    torch.nn.init.constant_(conv.bias, 0.5)
    assert conv(path, torch.ones(3, 2))[0].tolist() == [0.5, 0.5]
    empty = dgl.graph(([], []), num_nodes=3)
    assert conv(empty, torch.ones(3, 2)).unique().tolist() == [0.5]


def test_more_axes_and_a_weight_from_outside():
    graph, _ = undirected()
    conv = SpikingGraphConv(5, 4, weight=False, bias=False).double()
    matrix = torch.randn(5, 4, dtype=torch.float64)
    feat = torch.stack([features(seed=1), features(seed=2)], dim=1)
    found = conv(graph, feat, weight=matrix)
    assert found.shape == (14, 2, 4)
    torch.testing.assert_close(found[:, 1], conv(graph, feat[:, 1], weight=matrix))


@pytest.mark.parametrize("latency", [1, 8])
def test_nan_is_not_silence(latency):
    graph, weight = undirected()
    conv = SpikingGraphConv(5, 4, latency=latency).double()
    feat = features()
    feat[3, 2] = torch.nan
    rate, spikes = conv(graph, feat, edge_weight=weight, return_spikes=True)
    unknown = graph_conv(conv)(graph, feat, edge_weight=weight).isnan()
    assert 0 < unknown.sum() < unknown.numel()
    assert torch.equal(rate.isnan(), unknown)
    assert torch.equal(rate[~unknown], spikes.mean(0)[~unknown])


def test_errors_and_repr():
    graph, _ = undirected()
    for wrong in ({"in_feats": 0}, {"out_feats": -1}):
        with pytest.raises(ConfigError, match="in_feats and out_feats must be at least 1, but got"):
            SpikingGraphConv(**{"in_feats": 2, "out_feats": 2} | wrong)
    for wrong in ({"norm": "sym"}, {"encoding": "rank"}, {"latency": 0}, {"leak": 1.5}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            SpikingGraphConv(2, 2, **wrong)
    with pytest.raises(GraphError, match="5 features"):
        SpikingGraphConv(5, 2)(graph, torch.ones(14, 3))
    with pytest.raises(GraphError, match="14 source nodes"):
        SpikingGraphConv(5, 2)(graph, torch.ones(13, 5))
    with pytest.raises(ConfigError, match="weight=False"):
        SpikingGraphConv(5, 2)(graph, torch.ones(14, 5), weight=torch.ones(5, 2))
    conv = SpikingGraphConv(5, 2)
    assert repr(conv).startswith("SpikingGraphConv(\n  5, 2, latency=8, norm='both', weight=True, bias=True")
    assert isinstance(conv.lif, LIF)
