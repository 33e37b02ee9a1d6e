"""Sums over incoming edges as products with a compressed sparse row (CSR) matrix, in plain PyTorch.

It serves two purposes. A DGL without CUDA can still aggregate features that lie on a GPU; and on the CPU PyTorch's
product with edge weights is several times faster than DGL's ``u_mul_e`` followed by ``sum``. The indices are built
once for a graph and a device and live as long as the graph does.
"""

from __future__ import annotations

import copy
import math
import warnings
import weakref
from collections.abc import Callable
from functools import cache, cached_property
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from dgl_dysign.ops._checks import check_numbers, check_one_edge_type, edge_vector, no_autocast
from dgl_dysign.ops._listeners import uncounted

Made = TypeVar("Made")
_FORMATS = ["coo", "csr", "csc"]
_EDGES_AT_ONCE = 1 << 16  # the gradient of the edge weights takes this many rows of features at a time


class Layout(NamedTuple):
    """The edges sorted by row and, inside a row, by column."""

    indptr: Tensor  # (rows + 1,)
    indices: Tensor  # (E,) columns
    edges: Tensor  # (E,) edge ids, in the order of ``indices``
    shape: tuple[int, int]


def every_format(graph: Any) -> Any:
    """Return the graph or, where it may not have some of DGL's formats, another of the same edges that may.

    DGL's sums, degrees and lists of edges each need one of two formats. What is built of them is `kept` with the graph.
    """
    formats = graph.formats()
    if len(formats["created"] + formats["not created"]) == len(_FORMATS):
        return graph
    other = copy.copy(graph)
    other._graph = kept(graph, None, "formats", lambda: graph._graph.formats(_FORMATS))
    return other


def edge_ends(graph: Any) -> tuple[Tensor, Tensor]:
    """Return sources and destinations in the order of edge ids, whatever formats the graph may have.

    Examples
    --------
    >>> from dgl_dysign._dgl import dgl
    >>> edge_ends(dgl.graph(([2, 0], [1, 1])).formats(["csr", "csc"]))
    (tensor([2, 0]), tensor([1, 1]))
    """
    ends: tuple[Tensor, Tensor] = every_format(graph).edges(order="eid")
    return ends


class EdgeIndex:
    """The edges of a graph by destination and, built on first use, by source, kept on a device of their own."""

    def __init__(self, graph: Any, device: torch.device) -> None:
        check_one_edge_type(graph)
        src, dst = edge_ends(graph)
        self.shape = (graph.num_dst_nodes(), graph.num_src_nodes())
        self.by_dst = _layout(dst.to(device).long(), src.to(device).long(), self.shape)

    @cached_property
    def by_src(self) -> Layout:
        """The same edges as rows of the transposed matrix; shares memory with ``by_dst`` if the edges are symmetric."""
        forward = self.by_dst
        rows = torch.arange(self.shape[0], device=forward.indptr.device)
        dst = torch.repeat_interleave(rows, forward.indptr.diff().long())
        backward = _layout(forward.indices.long(), dst, (self.shape[1], self.shape[0]))
        edges = forward.edges[backward.edges.long()]
        if torch.equal(backward.indptr, forward.indptr) and torch.equal(backward.indices, forward.indices):
            return forward._replace(edges=edges)
        return backward._replace(edges=edges)


def _layout(rows: Tensor, columns: Tensor, shape: tuple[int, int]) -> Layout:
    # Sorted by both, so that the sums do not depend on the order of the edges (but for duplicates of one edge).
    # The libraries underneath want 32 bits and would otherwise convert at every product.
    kind = torch.int32 if max(*shape, rows.numel()) < 2**31 else torch.int64
    if rows.device.type == "cpu":
        from dgl_dysign.ops._csr_compiled import sort_edges  # Numba is slow to import

        indptr, indices, edges = (torch.empty(n, dtype=kind) for n in (shape[0] + 1, rows.numel(), rows.numel()))
        ends = rows.contiguous().numpy(), columns.contiguous().numpy()
        sort_edges(*ends, *shape, indptr.numpy(), indices.numpy(), edges.numpy())
        return Layout(indptr, indices, edges, shape)
    order = torch.argsort(rows * shape[1] + columns, stable=True)
    indptr = torch.zeros(shape[0] + 1, dtype=torch.int64, device=rows.device)
    torch.cumsum(torch.bincount(rows, minlength=shape[0]), 0, out=indptr[1:])
    return Layout(indptr.to(kind), columns[order].to(kind), order.to(kind), shape)


class Operator:
    """A weighted sum over incoming edges, ready to be applied: ``operator(feat)`` is (rows, *).

    ``values`` are one number for each edge, ``(E,)``, in the order of edge ids; ``transposed`` sums over outgoing
    edges, as the gradient needs it.
    """

    def __init__(self, index: EdgeIndex, values: Tensor, transposed: bool = False) -> None:
        self.index, self.values, self.transposed = index, values, transposed

    @property
    def layout(self) -> Layout:
        """The order of edges in which this operator reads."""
        return self.index.by_src if self.transposed else self.index.by_dst

    @cached_property
    def matrix(self) -> Tensor:
        """The sparse matrix with this operator's values."""
        layout = self.layout
        return _sparse(layout, self.values.detach().index_select(0, layout.edges))

    @cached_property
    def transpose(self) -> Operator:
        """The operator of the gradient; it is this one's matrix again where that is symmetric."""
        other = Operator(self.index, self.values, not self.transposed)
        if other.layout.indices is self.layout.indices:
            values = self.values.detach().index_select(0, other.layout.edges)
            if torch.equal(values, self.matrix.values()):
                other.__dict__["matrix"] = self.matrix
        return other

    def __call__(self, feat: Tensor) -> Tensor:
        """Apply to ``feat`` of shape (columns, *); differentiable in ``feat`` and in the values."""
        flat = feat.reshape(feat.shape[0], math.prod(feat.shape[1:]))
        out: Tensor = _Product.apply(flat, self.values, self)
        return out.reshape(self.layout.shape[0], *feat.shape[1:])

    def of(self, feat: Tensor, rows: slice) -> Tensor:
        """Return some rows of ``operator(feat)``, of features ``(columns, d)``, without gradient."""
        layout, values = self.layout, self.matrix.values()
        begins = layout.indptr[rows.start : rows.stop + 1]
        edges, shape = slice(int(begins[0]), int(begins[-1])), (len(begins) - 1, layout.shape[1])
        part = Layout(begins - begins[0], layout.indices[edges], layout.edges[edges], shape)
        with no_autocast(feat):
            return _sparse(part, values[edges]) @ feat


def _sparse(layout: Layout, values: Tensor) -> Tensor:
    hush_beta()
    return torch.sparse_csr_tensor(layout.indptr, layout.indices, values, layout.shape, check_invariants=False)


@cache
def hush_beta() -> None:
    """Let PyTorch say that its CSR tensors are in beta state where nobody hears it; it says so once.

    Once here, too: after each such context Python shows all warnings anew that it had shown.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        none = torch.zeros(0, dtype=torch.int64)
        torch.sparse_csr_tensor(torch.zeros(1, dtype=torch.int64), none, none.float(), (0, 0), check_invariants=False)


class _Product(torch.autograd.Function):
    """Sparse matrix times features, with the transposed product as its gradient."""

    @staticmethod
    def forward(ctx: Any, feat: Tensor, values: Tensor, operator: Operator) -> Tensor:
        ctx.operator = operator
        ctx.save_for_backward(feat if ctx.needs_input_grad[1] else None, values)
        with no_autocast(feat):
            return operator.matrix @ feat

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        grad, (feat, values) = grads[0], ctx.saved_tensors
        operator: Operator = ctx.operator
        to_feat = to_values = None
        with no_autocast(grad):
            if ctx.needs_input_grad[0]:
                to_feat = _Product.apply(grad.contiguous(), values, operator.transpose)
            if ctx.needs_input_grad[1]:
                to_values = _edge_gradient(grad, feat, operator.layout)
        return to_feat, to_values, None


def _edge_gradient(grad: Tensor, feat: Tensor, layout: Layout) -> Tensor:
    """Return <grad[row], feat[column]> for each edge, in the order of edge ids."""
    rows = torch.repeat_interleave(
        torch.arange(layout.shape[0], device=grad.device), layout.indptr.diff().long(), output_size=len(layout.indices)
    )
    parts = [
        (grad[rows[i : i + _EDGES_AT_ONCE]] * feat[layout.indices[i : i + _EDGES_AT_ONCE].long()]).sum(-1)
        for i in range(0, len(rows), _EDGES_AT_ONCE)
    ]
    gradient = torch.cat(parts) if parts else grad.new_zeros(0)
    return gradient.new_zeros(gradient.shape).index_put((layout.edges.long(),), gradient)


# For each graph: DGL's index object, which is another one when edges were added or removed; and by what they are for,
# the weights that something was made of, their version, and what was made.
_Entries = dict[Any, tuple["weakref.ref[Tensor] | None", int, Any]]
_kept: weakref.WeakKeyDictionary[Any, tuple[Any, _Entries]] = weakref.WeakKeyDictionary()


def kept(graph: Any, edge_weight: Tensor | None, what: Any, make: Callable[[], Made]) -> Made:
    """Return what was made of a graph's edges and weights, made anew where either has changed.

    It lives as long as the graph, the last for each `what`; weights with a gradient have a history at each call, and
    weights made under ``torch.inference_mode`` no version. What is kept can be trained with, wherever it was made.
    """
    if edge_weight is not None:
        check_numbers("edge_weight", edge_weight)
    if edge_weight is not None and (
        (edge_weight.requires_grad and torch.is_grad_enabled()) or edge_weight.is_inference()
    ):
        with uncounted():
            return make()
    state, entries = _kept.get(graph, (None, {}))
    if state is not graph._graph:
        _kept[graph] = graph._graph, (entries := {})
    version = -1 if edge_weight is None else edge_weight._version
    if what in entries:
        made_of, last_version, last = entries[what]
        if edge_weight is (None if made_of is None else made_of()) and version == last_version:
            return last
    with torch.inference_mode(False), torch.no_grad(), uncounted():
        made = make()
    entries[what] = None if edge_weight is None else weakref.ref(edge_weight), version, made
    return made


def operator(graph: Any, edge_weight: Tensor | None, dtype: torch.dtype, device: torch.device) -> Operator:
    """Return the sum over incoming edges, for features of a type on a device, `kept` with the graph.

    `edge_weight` is ``(E,)`` or ``(E, 1)``, None counts every edge once.
    """

    def make() -> Operator:
        index = kept(graph, None, ("edges", device), lambda: EdgeIndex(graph, device))
        if edge_weight is None:
            return Operator(index, torch.ones(graph.num_edges(), dtype=dtype, device=device))
        return Operator(index, edge_vector(graph, edge_weight).to(device=device, dtype=dtype))

    return kept(graph, edge_weight, ("sum", device, dtype), make)
