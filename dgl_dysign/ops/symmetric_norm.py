"""Edge weights that make aggregation a map of spectral norm at most one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dgl_dysign.ops._checks import DGLGraphError, check_one_edge_type, edge_vector
from dgl_dysign.ops.csr import edge_ends, kept


def symmetric_norm(graph: Any, edge_weight: Tensor | None = None, dtype: torch.dtype | None = None) -> Tensor:
    r"""Return the edge weights of :math:`D_{in}^{-1/2} A D_{out}^{-1/2}` with weighted degrees.

    .. math:: \hat w_{uv} = \frac{w_{uv}}{\sqrt{\sum_k |w_{uk}| \, \sum_k |w_{kv}|}}

    For an undirected graph this is :math:`D^{-1/2} A D^{-1/2}`. The matrix that it describes has spectral norm at most
    1, on *any* graph: by the inequality of arithmetic and geometric means
    :math:`|y^T \hat A x| \le \tfrac12 \sum |w_{uv}| (y_v^2 / d^{in}_v + x_u^2 / d^{out}_u) = \tfrac12 (|y|^2 + |x|^2)`.
    So directed edges, repeated edges and negative weights are allowed. The result for weights without gradient is kept
    with the graph, and given again while neither has changed. It is ``(E,)``, on the device of the weights or of the
    graph, zero where an end of the edge has no weight; infinite weights, or NaN, raise ``GraphError``.

    Parameters
    ----------
    graph : DGLGraph
        A graph or block with one type of edges.
    edge_weight : Tensor, optional
        ``(E,)`` or ``(E, 1)``; None counts every edge once.
    dtype : torch.dtype, optional
        Type in which to compute: that of ``edge_weight`` or, without it, float32.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign import ops
    >>> from dgl_dysign._dgl import dgl
    >>> path = dgl.graph(([0, 1, 1, 2], [1, 0, 2, 1]))
    >>> ops.symmetric_norm(path, torch.tensor([1.0, 1.0, 3.0, 3.0]))
    tensor([0.5000, 0.5000, 0.8660, 0.8660])
    """
    check_one_edge_type(graph)
    wanted = dtype or (torch.float32 if edge_weight is None else edge_weight.dtype)

    def make() -> Tensor:
        if edge_weight is None:
            return _normalise(graph, torch.ones(graph.num_edges(), dtype=wanted, device=graph.device))
        return _normalise(graph, edge_vector(graph, edge_weight).to(wanted))

    return kept(graph, edge_weight, ("norm", wanted), make)


def _normalise(graph: Any, weight: Tensor) -> Tensor:
    finite = torch.isfinite(weight)
    if not finite.all():
        edge = int((~finite).nonzero()[0, 0])
        raise DGLGraphError(f"edge_weight must be finite, but is {float(weight[edge])} at edge {edge}")
    src, dst = (end.to(weight.device).long() for end in edge_ends(graph))
    size = weight.abs()
    by_src = weight * _inverse_root(size, src, graph.num_src_nodes())
    return by_src * _inverse_root(size, dst, graph.num_dst_nodes())


def _inverse_root(size: Tensor, ends: Tensor, num_nodes: int) -> Tensor:
    degree = size.new_zeros(num_nodes).index_add(0, ends, size)
    # A node without weight has only edges of weight zero; any finite factor leaves them at zero.
    return torch.where(degree > 0, degree, 1.0).rsqrt()[ends]
