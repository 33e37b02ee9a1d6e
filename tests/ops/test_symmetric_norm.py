"""Weighted symmetric normalisation: values, the bound on its norm, gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dgl_dysign import ops
from dgl_dysign._dgl import dgl
from dgl_dysign.errors import GraphError


def matrix_of(graph, weight):
    src, dst = graph.edges()
    found = torch.zeros(graph.num_nodes(), graph.num_nodes(), dtype=torch.float64)
    return found.index_put((dst, src), weight.double(), accumulate=True)


def test_equals_dense_formula():
    src = torch.tensor([0, 1, 0, 2, 3])
    dst = torch.tensor([1, 2, 2, 3, 3])
    weight = torch.rand(10, dtype=torch.float64)
    graph = dgl.graph((torch.cat([src, dst]), torch.cat([dst, src])), num_nodes=5)
    dense = matrix_of(graph, weight)
    expected = torch.nan_to_num(dense / (dense.sum(0)[None] * dense.sum(1)[:, None]).sqrt())
    torch.testing.assert_close(matrix_of(graph, ops.symmetric_norm(graph, weight)), expected)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.floats(-10, 10, width=32)), min_size=1, max_size=30),
    st.booleans(),
)
def test_norm_is_at_most_one(edges, undirected):
    src, dst, weight = (torch.tensor(x) for x in zip(*edges, strict=True))
    if undirected:
        src, dst, weight = torch.cat([src, dst]), torch.cat([dst, src]), weight.repeat(2)
    graph = dgl.graph((src, dst), num_nodes=6)
    found = matrix_of(graph, ops.symmetric_norm(graph, weight.double()))
    assert torch.linalg.matrix_norm(found, 2) <= 1 + 1e-12


def test_gradient():
    graph = dgl.graph(([0, 1, 1, 2], [1, 0, 2, 2]), num_nodes=4)
    weight = torch.rand(4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w: ops.symmetric_norm(graph, w), weight)


def test_zero_weights_and_tiny_weights():
    graph = dgl.graph(([0, 1, 2, 3], [1, 0, 3, 2]), num_nodes=5)
    found = ops.symmetric_norm(graph, torch.tensor([0.0, 0.0, 1e-37, 1e-37]))
    torch.testing.assert_close(found, torch.tensor([0.0, 0.0, 1.0, 1.0]))


def test_types_and_cache():
    graph = dgl.graph(([0, 1], [1, 0]), idtype=torch.int32)
    assert ops.symmetric_norm(graph).dtype == torch.float32
    assert ops.symmetric_norm(graph, dtype=torch.float64).dtype == torch.float64
    weight = torch.ones(2, 1)
    first = ops.symmetric_norm(graph, weight)
    assert ops.symmetric_norm(graph, weight) is first
    weight.mul_(torch.tensor([[1.0], [0.0]]))
    assert ops.symmetric_norm(graph, weight).tolist() == [1, 0]


def test_bad_weights():
    graph = dgl.graph(([0, 1], [1, 0]))
    with pytest.raises(GraphError, match="nan at edge 1"):
        ops.symmetric_norm(graph, torch.tensor([1.0, float("nan")]))
    with pytest.raises(GraphError, match="shape"):
        ops.symmetric_norm(graph, torch.ones(3))
