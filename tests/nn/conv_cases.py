"""What every convolution must satisfy, whatever it computes; ``test_dgl_conventions.py`` has types of ids and copies.

A case is a function ``call(conv, graph, feat, edge_weight) -> Tensor``; `assert_conv` runs all checks with it.
"""

import copy

import torch

from dgl_dysign._dgl import dgl


def undirected(num_nodes=14, num_edges=25, seed=0, idtype=torch.int64):
    """Return a graph with both directions of every edge, no node without edges, and a symmetric weight."""
    generator = torch.Generator().manual_seed(seed)
    src = torch.cat([torch.arange(num_nodes), torch.randint(num_nodes, (num_edges,), generator=generator)])
    dst = torch.cat([torch.arange(num_nodes).roll(1), torch.randint(num_nodes, (num_edges,), generator=generator)])
    weight = (torch.rand(len(src), dtype=torch.float64, generator=generator) + 0.1).repeat(2)
    graph = dgl.graph((torch.cat([src, dst]), torch.cat([dst, src])), num_nodes=num_nodes, idtype=idtype)
    return graph, weight


def features(num_nodes=14, size=5, seed=1):
    """Return float64 features in [0, 1]."""
    return torch.rand(num_nodes, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def assert_conv(conv, call, in_feats=5, atol=1e-10):
    """Check a float64 convolution on a graph; see the functions below."""
    graph, weight = undirected()
    feat = features(size=in_feats)
    assert_gradient_reaches_every_parameter(conv, call, graph, feat, weight)
    assert_order_of_edges_does_not_matter(conv, call, graph, feat, weight, atol)
    assert_names_of_nodes_do_not_matter(conv, call, graph, feat, weight, atol)

    assert_float32_agrees(conv, call, graph, feat, weight)


def assert_gradient_reaches_every_parameter(conv, call, graph, feat, weight):
    conv.zero_grad()
    out = call(conv, graph, feat, weight)
    # A random direction: a plain sum may be blind to a parameter.
    (out * torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(3))).sum().backward()
    for name, parameter in conv.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def assert_order_of_edges_does_not_matter(conv, call, graph, feat, weight, atol):
    order = torch.randperm(graph.num_edges(), generator=torch.Generator().manual_seed(4))
    src, dst = graph.edges()
    shuffled = dgl.graph((src[order], dst[order]), num_nodes=graph.num_nodes())
    _same(call(conv, shuffled, feat, weight[order]), call(conv, graph, feat, weight), atol)


def assert_names_of_nodes_do_not_matter(conv, call, graph, feat, weight, atol):
    name = torch.randperm(graph.num_nodes(), generator=torch.Generator().manual_seed(5))
    src, dst = graph.edges()
    renamed = dgl.graph((name[src], name[dst]), num_nodes=graph.num_nodes())
    moved = torch.empty_like(feat)
    moved[name] = feat
    _same(call(conv, renamed, moved, weight)[name], call(conv, graph, feat, weight), atol)


def assert_float32_agrees(conv, call, graph, feat, weight):
    found = call(copy.deepcopy(conv).float(), graph, feat.float(), weight.float())
    assert found.dtype == torch.float32
    # A spike more or less moves a rate by one step; most rates do not move.
    close = (found.double() - call(conv, graph, feat, weight)).abs() < 1e-4
    assert close.double().mean() > 0.95


def _same(found, expected, atol):
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)
