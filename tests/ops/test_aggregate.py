"""Sums over edges against dense matrices, on both kernels."""

import gc
import warnings
import weakref

import pytest
import torch

from dgl_dysign import ops
from dgl_dysign._dgl import dgl
from dgl_dysign.errors import ConfigError, GraphError
from dgl_dysign.ops import csr

DENSE = ("dgl", "torch-csr")


def random_graph(seed=0, num_nodes=12, num_edges=40, idtype=torch.int64):
    generator = torch.Generator().manual_seed(seed)
    src, dst = torch.randint(num_nodes - 2, (2, num_edges), generator=generator)  # two nodes stay without edges
    return dgl.graph((src, dst), num_nodes=num_nodes, idtype=idtype)


def dense(graph, weight, norm):
    src, dst = (end.long() for end in graph.edges())
    matrix = torch.zeros(graph.num_dst_nodes(), graph.num_src_nodes(), dtype=torch.float64)
    matrix.index_put_((dst, src), weight, accumulate=True)
    out = graph.out_degrees().clamp(min=1).double()
    into = graph.in_degrees().clamp(min=1).double()
    left = {"both": out**-0.5, "left": 1 / out}.get(norm, torch.ones_like(out))
    right = {"both": into**-0.5, "right": 1 / into}.get(norm, torch.ones_like(into))
    return right[:, None] * matrix * left


@pytest.mark.parametrize("norm", ops.NORMS)
@pytest.mark.parametrize("kernels", DENSE)
@pytest.mark.parametrize(("weighted", "idtype"), [(False, torch.int64), (True, torch.int32), (True, torch.int64)])
def test_equals_dense_matrix(norm, kernels, weighted, idtype):
    graph = random_graph(idtype=idtype)
    weight = torch.rand(40, dtype=torch.float64) if weighted else None
    feat = torch.randn(12, 2, 3, dtype=torch.float64)
    found = ops.aggregate(graph, feat, weight, norm, kernels)
    matrix = dense(graph, torch.ones(40, dtype=torch.float64) if weight is None else weight, norm)
    torch.testing.assert_close(found, torch.einsum("vu,uij->vij", matrix, feat))
    assert ops.backend() == kernels
    assert not graph.ndata
    assert not graph.edata


@pytest.mark.parametrize(
    "formats", [["coo"], ["csr"], ["csc"], ["coo", "csr"], ["coo", "csc"], ["csr", "csc"]], ids=str
)
def test_a_graph_that_may_not_have_every_format(formats):
    graph, feat = random_graph(), torch.rand(12, 3).round().requires_grad_()
    other, packed = graph.formats(formats), ops.PackedSpikes.pack(feat.detach())
    for norm in ops.NORMS:
        for weight in (None, torch.rand(40).requires_grad_()):
            for kernels in (*DENSE, "packed"):
                found, expected = (
                    ops.aggregate(g, packed if kernels == "packed" else feat, weight, norm, kernels)
                    for g in (other, graph)
                )
                torch.testing.assert_close(found, expected)
                if kernels != "packed":
                    leaves = [feat, *([] if weight is None else [weight])]
                    grads = [torch.autograd.grad(out.square().sum(), leaves) for out in (found, expected)]
                    torch.testing.assert_close(*grads)
            assert torch.equal(ops.symmetric_norm(other, weight), ops.symmetric_norm(graph, weight))
    assert {*other.formats()["created"], *other.formats()["not created"]} == set(formats)
    if "coo" in formats:  # without, DGL itself adds none
        for changed in (other, graph):
            changed.add_edges([0, 1], [1, 2])  # what was kept is of other edges now
        torch.testing.assert_close(ops.aggregate(other, feat), ops.aggregate(graph, feat))


def test_half_precision_on_the_cpu_and_the_meta_device():
    for feat, weight in ((torch.ones(12, 3, device="meta"), None), (torch.ones(12, 3), torch.ones(40, device="meta"))):
        with pytest.raises(GraphError, match=r"is on the meta device.*to_empty"):
            ops.aggregate(random_graph(), feat, weight)
    with pytest.raises(GraphError, match=r"feat is torch\.float16, .*feat\.float\(\)"):
        ops.aggregate(random_graph(), torch.ones(12, 3, dtype=torch.float16))


@pytest.mark.parametrize("norm", ops.NORMS)
def test_equals_graph_conv(norm):
    graph, feat, weight = random_graph(), torch.randn(12, 3), torch.rand(40)
    conv = dgl.nn.GraphConv(3, 3, norm=norm, weight=False, bias=False, allow_zero_in_degree=True)
    torch.testing.assert_close(ops.aggregate(graph, feat, weight, norm), conv(graph, feat, edge_weight=weight))


@pytest.mark.parametrize("kernels", DENSE)
def test_gradients_of_features_and_weights(kernels):
    graph = random_graph()
    feat = torch.randn(12, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(40, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, w: ops.aggregate(graph, x, w, "both", kernels), (feat, weight))
    assert torch.autograd.gradgradcheck(lambda x, w: ops.aggregate(graph, x, w, "both", kernels), (feat, weight))


def test_gradient_of_weights_in_parts():
    """That of 65,536 edges is computed at once."""
    graph = random_graph(num_nodes=300, num_edges=150_000)
    feat, weight = torch.randn(300, 3), torch.rand(150_000, requires_grad=True)
    ops.aggregate(graph, feat, weight, kernels="torch-csr").square().sum().backward()
    again = weight.detach().clone().requires_grad_()
    ops.aggregate(graph, feat, again, kernels="dgl").square().sum().backward()
    torch.testing.assert_close(weight.grad, again.grad)


def test_messages_follow_the_edges():
    path = dgl.graph(([0, 1], [1, 2]))
    feat = torch.tensor([[1.0], [10.0], [100.0]])
    for kernels in DENSE:
        assert ops.aggregate(path, feat, norm="none", kernels=kernels).flatten().tolist() == [0, 1, 10]


@pytest.mark.parametrize("kernels", DENSE)
def test_block(kernels):
    block = dgl.to_block(dgl.in_subgraph(random_graph(), [0, 1, 2]), torch.tensor([0, 1, 2]))
    feat = torch.randn(block.num_src_nodes(), 2, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(block.num_edges(), dtype=torch.float64)
    found = ops.aggregate(block, feat, weight, "right", kernels)
    torch.testing.assert_close(found, dense(block, weight, "right") @ feat)
    found.sum().backward()
    torch.testing.assert_close(feat.grad, dense(block, weight, "right").sum(0)[:, None].expand(-1, 2))


@pytest.mark.parametrize("kernels", DENSE)
def test_no_edges_gives_zeros_and_a_gradient(kernels):
    graph = dgl.graph(([], []), num_nodes=3)
    feat = torch.ones(3, 2, requires_grad=True)
    out = ops.aggregate(graph, feat, torch.ones(0), kernels=kernels)
    out.sum().backward()
    assert out.abs().sum() == 0
    assert feat.grad.abs().sum() == 0


def test_changed_graph_and_changed_weights_are_noticed():
    graph, feat, weight = dgl.graph(([0], [1]), num_nodes=3), torch.ones(3, 1), torch.ones(1)
    assert ops.aggregate(graph, feat, weight, "none").sum() == 1
    weight.mul_(5)
    assert ops.aggregate(graph, feat, weight, "none").sum() == 5
    graph.add_edges([1], [2])
    assert ops.aggregate(graph, feat, torch.tensor([2.0, 4.0]), "none").flatten().tolist() == [0, 2, 4]
    assert ops.aggregate(graph, feat.double(), torch.tensor([2.0, 4.0]), "none").dtype == torch.float64


def test_prepared_once_and_freed_with_the_graph():
    graph, feat, weight = random_graph(), torch.ones(12, 1), torch.rand(40)
    first = csr.operator(graph, weight, torch.float32, feat.device)
    assert csr.operator(graph, weight, torch.float32, feat.device) is first
    assert csr.operator(graph, weight.clone(), torch.float32, feat.device) is not first
    gone = weakref.ref(graph)
    kept = weakref.ref(first), weakref.ref(first.index)
    del graph, first
    assert gone() is None
    assert [ref() for ref in kept] == [None, None]
    gc.collect()


def test_symmetric_matrix_is_its_own_transpose():
    src, dst = torch.tensor([0, 1, 1, 2]), torch.tensor([1, 0, 2, 1])
    graph = dgl.graph((src, dst))
    same = csr.operator(graph, torch.tensor([1.0, 1.0, 2.0, 2.0]), torch.float32, torch.device("cpu"))
    assert same.transpose.matrix is same.matrix
    other = csr.operator(graph, torch.tensor([1.0, 3.0, 2.0, 2.0]), torch.float32, torch.device("cpu"))
    assert other.transpose.matrix is not other.matrix
    torch.testing.assert_close(other.transpose.matrix.to_dense(), other.matrix.to_dense().t())


def test_order_of_edges_does_not_matter():
    graph, feat, weight = random_graph(), torch.randn(12, 3), torch.rand(40)
    order = torch.randperm(40)
    src, dst = graph.edges()
    other = dgl.graph((src[order], dst[order]), num_nodes=12)
    torch.testing.assert_close(ops.aggregate(graph, feat, weight), ops.aggregate(other, feat, weight[order]))


@pytest.mark.parametrize(("edges", "rows", "columns"), [(0, 3, 4), (500, 30, 20), (500, 3, 400)])
def test_edges_lie_by_row_column_and_number(edges, rows, columns):
    generator = torch.Generator().manual_seed(0)
    row, column = (torch.randint(size, (edges,), generator=generator) for size in (rows, columns))
    found = csr._layout(row, column, (rows, columns))
    order = torch.argsort(row * columns + column, stable=True)
    assert torch.equal(found.edges.long(), order)
    assert torch.equal(found.indices.long(), column[order])
    assert found.indptr.diff().tolist() == torch.bincount(row, minlength=rows).tolist()
    assert {part.dtype for part in found[:3]} == {torch.int32}


def test_backend_says_what_runs():
    graph, feat = random_graph(), torch.ones(12, 1)
    assert ops.backend(graph, feat) == "dgl"
    assert ops.backend(graph, feat, torch.ones(40)) == "torch-csr"
    assert ops.backend(graph, feat.half(), torch.ones(40)) == "dgl"
    assert ops.backend(graph, feat.to("meta")) == "torch-csr"


@pytest.mark.parametrize(
    ("feat", "weight", "said"),
    [
        (torch.ones(11, 1), None, "12 source nodes"),
        (torch.ones(12, 1).long(), None, "floating-point"),
        (torch.ones(12, 1), torch.ones(39), r"\(40,\)"),
        (torch.ones(12, 1), torch.ones(40, 2), r"\(40, 2\)"),
        (torch.ones(12, 1), torch.ones(40).long(), "floating-point"),
    ],
)
def test_bad_input(feat, weight, said):
    with pytest.raises(GraphError, match=said) as caught:
        ops.aggregate(random_graph(), feat, weight)
    assert isinstance(caught.value, dgl.DGLError)


def test_bad_names():
    with pytest.raises(ConfigError, match="'sym'"):
        ops.aggregate(random_graph(), torch.ones(12, 1), norm="sym")
    with pytest.raises(ConfigError, match="'cuda'"):
        ops.aggregate(random_graph(), torch.ones(12, 1), kernels="cuda")


def test_many_types_of_edges():
    graph = dgl.heterograph({("a", "x", "b"): ([0], [0]), ("a", "y", "b"): ([0], [0])})
    with pytest.raises(GraphError, match="one type of edges"):
        ops.aggregate(graph, torch.ones(1, 1))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_features_on_a_cpu_graph():
    graph, feat, weight = random_graph(), torch.randn(12, 3), torch.rand(40)
    on_gpu = feat.cuda().requires_grad_()
    found = ops.aggregate(graph, on_gpu, weight.cuda())
    found.square().sum().backward()
    feat.requires_grad_()
    expected = ops.aggregate(graph, feat, weight)
    expected.square().sum().backward()
    torch.testing.assert_close(found.cpu(), expected)
    torch.testing.assert_close(on_gpu.grad.cpu(), feat.grad)


def test_warnings_that_python_shows_once_are_shown_once():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        for seed in range(3):  # a sum over another graph makes another sparse matrix
            ops.aggregate(random_graph(seed), torch.rand(12, 2), torch.rand(40), kernels="torch-csr")
            warnings.warn("of the program itself", stacklevel=1)
    assert [str(warning.message) for warning in shown] == ["of the program itself"]
