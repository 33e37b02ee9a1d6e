"""InfluenceConv: a dense float64 reference, gradients, directions, invariances, the filter, missing neighbours."""

import copy

import pytest
import torch

from dgl_dysign._dgl import dgl
from dgl_dysign.errors import ConfigError, GraphError
from dgl_dysign.nn import InfluenceConv, TimeEncoding
from dgl_dysign.nn.influence_conv import _sum_of_times
from tests.nn.conv_cases import assert_conv, features, undirected

AGGREGATORS = ("gcn", "sage", "gat", "gin")
EXTRAS = [{}, {"edge_feats": 3, "time_feats": 4}]


def made(aggregator, seed=0, **options):
    torch.manual_seed(seed)
    conv = InfluenceConv(5, 4, aggregator, **options).double()
    for name, parameter in conv.named_parameters():
        if name.endswith(("bias", "eps", "phase")):
            torch.nn.init.normal_(parameter, std=0.5)
    return conv


def extras(conv, num_edges, seed=7):
    """Return ages and edge features, if the layer wants them."""
    generator = torch.Generator().manual_seed(seed)
    age = torch.randint(4, (num_edges,), generator=generator)
    edge_feat = torch.randn(num_edges, conv.edge_feats, dtype=torch.float64, generator=generator)
    return {"age": age, "edge_feat": edge_feat if conv.edge_feats else None}


def dense(conv, src, dst, num_dst, source, target, influence, age, edge_feat):
    """Compute the layer node by node and edge by edge."""
    out = []
    for v in range(num_dst):
        edges = [e for e in range(len(src)) if int(dst[e]) == v and float(influence[e]) != 0]
        total = sum(abs(influence[e]) for e in edges)
        parts = []
        for e in edges:
            pieces = [source[src[e]]]
            pieces += [edge_feat[e]] if conv.edge_feats else []
            pieces += [torch.cos(conv.time.frequency * age[e] + conv.time.phase)] if conv.time is not None else []
            parts.append((influence[e] / total, torch.cat(pieces)))
        out.append(_reduced(conv, target[v], parts))
    return torch.stack(out)


def _reduced(conv, own, parts):
    width = conv.in_feats + conv.edge_feats + conv.time_feats
    if conv.aggregator == "gcn":
        return conv.fc(sum((w * m for w, m in parts), torch.zeros(width, dtype=own.dtype)))
    if conv.aggregator == "sage":
        pooled = [w * conv.fc_pool(m).relu() for w, m in parts]
        return conv.fc(torch.stack(pooled).amax(0) if pooled else torch.zeros(width, dtype=own.dtype))
    if conv.aggregator == "gin":
        total = sum((w * conv.fc_message(m) for w, m in parts), torch.zeros_like(own))
        return conv.mlp((1 + conv.eps) * own + total)
    size = conv.out_feats // conv.num_heads
    heads = []
    for h in range(conv.num_heads):
        cut = slice(h * size, (h + 1) * size)
        logits = [conv.fc_query(own)[cut] @ (w * conv.fc_key(m))[cut] / size**0.5 for w, m in parts]
        attention = torch.stack(logits).softmax(0) if logits else []
        values = [a * conv.fc_value(m)[cut] for a, (_, m) in zip(attention, parts, strict=True)]
        heads.append(sum(values, torch.zeros(size, dtype=own.dtype)))
    return torch.cat(heads)


def directed(num_edges=30):
    """Return a graph of 14 nodes, of which node 13 has no incoming edge and some edges repeat."""
    generator = torch.Generator().manual_seed(2)
    src, dst = (
        torch.randint(14, (num_edges,), generator=generator),
        torch.randint(13, (num_edges,), generator=generator),
    )
    influence = torch.rand(num_edges, dtype=torch.float64, generator=generator)
    influence[[3, 8]] = 0
    return dgl.graph((src, dst), num_nodes=14), influence


@pytest.mark.parametrize("options", EXTRAS, ids=str)
@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_dense_oracle_values_and_gradients(aggregator, options):
    graph, influence = directed()
    conv, feat = made(aggregator, num_heads=2, **options), features()
    more = extras(conv, graph.num_edges())
    src, dst = graph.edges()
    found = conv(graph, feat, influence, **more)
    expected = dense(conv, src, dst, 14, feat, feat, influence, **more)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    slope, parameters = torch.randn_like(found), list(conv.parameters())
    for value, oracle in zip(
        torch.autograd.grad(found, parameters, slope), torch.autograd.grad(expected, parameters, slope), strict=True
    ):
        torch.testing.assert_close(value, oracle, rtol=0, atol=1e-11)
        assert oracle.abs().max() > 0


@pytest.mark.parametrize(
    "ages", [[0.0, 2.0, 2.0, 7.0, 1.0], [0.0, 2.5, 2.5, 7.0, 1.0], [900.0, 0.0, 1.0, 0.0, 0.0], []]
)
def test_ages_encoded_once_and_edge_by_edge_give_the_same(ages):
    time = TimeEncoding(4).double()
    age, dst = torch.tensor(ages, dtype=torch.float64), torch.tensor([0, 2, 0, 0, 2])[: len(ages)]
    share = torch.rand(len(ages), dtype=torch.float64).requires_grad_()
    found = _sum_of_times(time, dst, share, age, 3)
    expected = torch.zeros(3, 4, dtype=torch.float64).index_add(0, dst, time(age) * share[:, None])
    torch.testing.assert_close(found, expected)
    wanted = [share, time.frequency, time.phase]
    for grad, other in zip(
        *(torch.autograd.grad(sums.square().sum(), wanted) for sums in (found, expected)), strict=True
    ):
        torch.testing.assert_close(grad, other)


@pytest.mark.parametrize("options", EXTRAS, ids=str)
@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_what_every_convolution_satisfies(aggregator, options):
    conv = made(aggregator, **options)

    def call(conv, graph, feat, weight):
        # Ages and features belong to an edge, not to its place: the weight tells which edge it is.
        age = (weight * 7).round() % 5 if options else None
        edge_feat = torch.stack([weight, weight**2, weight.sin()], 1) if options else None
        return conv(graph, feat, weight, age, edge_feat)

    assert_conv(conv, call)


@pytest.mark.parametrize("options", EXTRAS, ids=str)
@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_gradcheck(aggregator, options):
    graph, influence = directed(12)
    influence = (influence + 0.1).requires_grad_()
    conv, feat = made(aggregator, **options), features().requires_grad_()
    more = extras(conv, 12)
    names = [name for name, _ in conv.named_parameters()]
    assert torch.autograd.gradcheck(
        lambda x, w, *p: torch.func.functional_call(conv, dict(zip(names, p, strict=True)), (graph, x, w), more),
        (feat, influence, *conv.parameters()),
        fast_mode=True,  # a drawn direction, in which every derivative has a part: hence the narrow bounds
        rtol=1e-6,
        atol=1e-7,
    )


@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_messages_follow_the_edges_and_a_node_without_any_hears_nothing(aggregator):
    conv, path = made(aggregator), dgl.graph(([0, 1], [1, 2]))
    feat = torch.randn(3, 5, dtype=torch.float64)
    before = conv(path, feat)
    feat[0] += 1
    moved = (conv(path, feat) - before).abs().amax(1) > 1e-9
    assert moved.tolist() == [aggregator == "gin", True, False]
    empty = dgl.graph(([], []), num_nodes=3)
    rows = conv(empty, feat)
    assert torch.isfinite(rows).all()
    alone = {"gcn": lambda: conv.fc.bias, "sage": lambda: conv.fc.bias, "gat": lambda: torch.zeros(4).double()}
    if aggregator in alone:
        torch.testing.assert_close(rows, alone[aggregator]().expand(3, 4))
    torch.testing.assert_close(conv(path, feat, torch.zeros(2)), rows)


@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_only_the_proportions_of_scores_count(aggregator):
    graph, influence = directed()
    conv, feat = made(aggregator), features()
    expected = conv(graph, feat, influence)
    torch.testing.assert_close(conv(graph, feat, influence * 1e-30), expected)
    tiny = conv.float()(graph, feat.float(), (influence * 1e-38).float())
    assert torch.isfinite(tiny).all()
    torch.testing.assert_close(tiny.double(), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_blocks_and_pairs_and_what_lies_on_the_graph(aggregator, idtype):
    graph, influence = directed()
    graph = graph.astype(idtype)
    conv, feat = made(aggregator, **EXTRAS[1]), features()
    more = extras(conv, graph.num_edges())
    expected = conv(graph, feat, influence, **more)
    nodes = torch.tensor([13, 3, 5], dtype=idtype)
    near = dgl.in_subgraph(graph, nodes)
    block = dgl.to_block(near, nodes)
    edges, rows = near.edata[dgl.EID][block.edata[dgl.EID].long()].long(), block.srcdata[dgl.NID].long()
    block.edata["influence"], block.edata["age"] = influence[edges].float(), more["age"][edges].float()
    before = set(block.edata), set(block.srcdata), set(block.dstdata)
    found = conv(block, feat[rows], edge_feat=more["edge_feat"][edges])
    torch.testing.assert_close(found, expected[nodes.long()], rtol=0, atol=1e-6)
    pair = conv(block, (feat[rows], feat[nodes.long()]), edge_feat=more["edge_feat"][edges])
    torch.testing.assert_close(pair, found, rtol=0, atol=0)
    assert (set(block.edata), set(block.srcdata), set(block.dstdata)) == before


def test_the_filter_masks_history_only_in_training_only_and_at_its_rate():
    num = 20000
    graph = dgl.graph((torch.arange(num), torch.arange(num)))
    age = torch.arange(num) % 2
    conv = InfluenceConv(1, 1, filter_ratio=0.3).double()
    torch.nn.init.ones_(conv.fc.weight)
    feat = torch.ones(num, 1, dtype=torch.float64)
    first, second = (conv(graph, feat, age=age)[:, 0] for _ in range(2))
    assert (first[age == 0] == 1).all()
    assert float(first[age == 1].detach().mean()) == pytest.approx(0.7, abs=0.02)
    assert not torch.equal(first, second)
    conv.eval()
    state = conv.filter.get_extra_state()
    assert (conv(graph, feat, age=age) == 1).all()
    assert torch.equal(conv.filter.get_extra_state(), state)


@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_a_filtered_neighbour_is_as_if_it_were_not_there(aggregator):
    graph, influence = directed()
    conv, feat = made(aggregator, filter_ratio=0.6), features()
    age = torch.ones(graph.num_edges())
    kept = copy.deepcopy(conv.filter)(age)
    assert 0 < int(kept.sum()) < graph.num_edges()
    found = conv(graph, feat, influence, age)
    conv.eval()
    expected = conv(dgl.edge_subgraph(graph, kept, relabel_nodes=False), feat, influence[kept], age[kept])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_the_filter_resumes_and_leaves_other_random_numbers_alone():
    graph, _ = undirected()
    conv, feat, age = made("gcn", filter_ratio=0.5), features(), torch.ones(graph.num_edges())
    conv(graph, feat, age=age)
    saved = copy.deepcopy(conv.state_dict())
    torch.manual_seed(9)
    before = torch.get_rng_state()
    expected = [conv(graph, feat, age=age) for _ in range(3)]
    assert torch.equal(torch.get_rng_state(), before)
    other = made("gcn", seed=5, filter_ratio=0.5)
    other.load_state_dict(saved)
    for value in expected:
        torch.testing.assert_close(other(graph, feat, age=age), value, rtol=0, atol=0)


def test_errors_and_repr():
    graph, influence = directed()
    for wrong in ({"aggregator": "lstm"}, {"filter_ratio": 1.0}, {"num_heads": 3}, {"edge_feats": -1}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            InfluenceConv(5, 4, **wrong)
    conv, feat = made("gcn", edge_feats=2, time_feats=2), features()
    age, edge_feat = torch.ones(30), torch.ones(30, 2)
    with pytest.raises(GraphError, match="age of each of the 30 edges, but there is none"):
        conv(graph, feat, influence, edge_feat=edge_feat)
    with pytest.raises(GraphError, match="edge_feat: this layer was made for width 2, but got None"):
        conv(graph, feat, influence, age)
    with pytest.raises(GraphError, match=r"edge_feat must have shape \(30, 2\)"):
        conv(graph, feat, influence, age, edge_feat[:, :1])
    with pytest.raises(GraphError, match=r"feat must have shapes \(14, 5\)"):
        conv(graph, feat[:, :4], influence, age, edge_feat)
    with pytest.raises(GraphError, match=r"influence must be finite, but is nan at place 4") as caught:
        conv(graph, feat, influence.index_fill(0, torch.tensor([4]), torch.nan), age, edge_feat)
    assert isinstance(caught.value, dgl.DGLError)
    assert repr(conv).startswith("InfluenceConv(\n  5, 4, aggregator='gcn', edge_feats=2, time_feats=2, num_heads=1")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_features_on_a_gpu_with_the_graph_on_the_cpu(aggregator):
    graph, influence = directed()
    conv, feat = made(aggregator, **EXTRAS[1]), features()
    more = extras(conv, graph.num_edges())
    expected = conv(graph, feat, influence, **more)
    found = conv.cuda()(graph, feat.cuda(), influence.cuda(), **more)
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=1e-10)
