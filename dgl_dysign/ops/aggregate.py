"""Aggregation over a graph's edges: one signature for DGL's kernels and for PyTorch's sparse product."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dgl_dysign._dgl import dgl
from dgl_dysign.errors import ConfigError
from dgl_dysign.ops._checks import DGLGraphError, check_choice, check_one_edge_type, check_rows, edge_vector
from dgl_dysign.ops._listeners import listeners, tell_messages, uncounted
from dgl_dysign.ops.csr import edge_ends, every_format, operator
from dgl_dysign.ops.packed_spikes import PackedSpikes, PackedSums, compiled_for, packed_sum
from dgl_dysign.ops.symmetric_norm import symmetric_norm

NORMS = ("both", "right", "left", "none")
BACKENDS = ("dgl", "torch-csr", "packed")

_last_backend: str | None = None


def backend(
    graph: Any = None, feat: Tensor | PackedSpikes | None = None, edge_weight: Tensor | None = None
) -> str | None:
    """Return which kernels `aggregate` takes for its arguments or, without arguments, which it took last, or None.

    ``"dgl"`` are DGL's own kernels: for a graph on the device of its features. ``"torch-csr"`` is PyTorch's sparse
    product: for a graph on the CPU with features on another device (a DGL without CUDA), and on the CPU for sums with
    edge weights in float32 or float64, where it was measured six times as fast as DGL. ``"packed"`` reads packed
    spikes at one bit each: on the CPU and, where Triton is installed, on a GPU; elsewhere they are unpacked. A graph on
    another device than its features and not on the CPU raises ``GraphError``.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign import ops
    >>> from dgl_dysign._dgl import dgl
    >>> graph = dgl.graph(([0, 1], [1, 2]))
    >>> ops.backend(graph, torch.ones(3, 2)), ops.backend(graph, torch.ones(3, 2), torch.ones(2))
    ('dgl', 'torch-csr')
    """
    if graph is None or feat is None:
        return _last_backend
    if graph.device != feat.device and graph.device.type != "cpu":
        raise DGLGraphError(f"the graph is on {graph.device} but feat is on {feat.device}; move feat to the graph")
    if isinstance(feat, PackedSpikes) and compiled_for(feat.device):
        return "packed"
    if graph.device != feat.device:
        return "torch-csr"
    if isinstance(feat, PackedSpikes):
        return "dgl"
    weighted = edge_weight is not None and feat.dtype in (torch.float32, torch.float64)
    return "torch-csr" if weighted and feat.device.type == "cpu" else "dgl"


def aggregate(
    graph: Any,
    feat: Tensor | PackedSpikes,
    edge_weight: Tensor | None = None,
    norm: str = "both",
    kernels: str | None = None,
    out: Tensor | None = None,
) -> Tensor:
    r"""Sum the features of in-neighbours, with the normalisations of ``dgl.nn.GraphConv``.

    .. math:: h_v = \sum_{u \to v} \frac{w_{uv}}{c_{uv}} x_u

    where :math:`c_{uv}` is :math:`\sqrt{d^{out}_u d^{in}_v}` for ``"both"``, :math:`d^{in}_v` for ``"right"``,
    :math:`d^{out}_u` for ``"left"`` and 1 for ``"none"``. Degrees count edges, whatever their weights; see
    `symmetric_norm` for weighted degrees.

    Parameters
    ----------
    graph : DGLGraph
        A graph or block with one type of edges; nothing is left on it. It may lie on the CPU while ``feat`` lies
        elsewhere: its edges are then kept, with the graph, on the device of ``feat``.
    feat : Tensor or PackedSpikes
        ``(N_src, *)``, floating-point. Packed spikes give float32 without gradient, the same as unpacked ones to the
        last bit or, for ``"left"`` and ``"both"``, to rounding.
    edge_weight : Tensor, optional
        ``(E,)`` or ``(E, 1)``.
    norm : {"both", "right", "left", "none"}
        The normalisation.
    kernels : {"dgl", "torch-csr", "packed"}, optional
        Which implementation to use, if not the one that `backend` names.
    out : Tensor, optional
        For the packed kernels, memory for the result: float32, contiguous, ``(N_dst, *)`` with the last size rounded
        up to 64. Held over many sums it halves their time, or better, where results are large.

    Returns
    -------
    Tensor
        ``(N_dst, *)``; zero for a node without incoming edges. Differentiable in ``feat`` and ``edge_weight``.

    Raises
    ------
    GraphError
        If shapes, types or devices do not fit the graph.
    ConfigError
        If ``norm`` or ``kernels`` is not one of those above, or ``out`` does not fit or is not for these kernels.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign import ops
    >>> from dgl_dysign._dgl import dgl
    >>> graph = dgl.graph(([0, 1, 3], [2, 2, 2]))
    >>> ops.aggregate(graph, torch.tensor([[1.0], [2.0], [4.0], [8.0]]), norm="none")
    tensor([[ 0.],
            [ 0.],
            [11.],
            [ 0.]])
    """
    global _last_backend
    check_choice("norm", norm, NORMS)
    check_one_edge_type(graph)
    check_rows(graph, feat)
    chosen = kernels or backend(graph, feat, edge_weight)
    check_choice("kernels", chosen, BACKENDS)
    if chosen == "packed" and not isinstance(feat, PackedSpikes):
        raise ConfigError("the packed kernels read PackedSpikes; pack binary features with PackedSpikes.pack(feat)")
    if chosen != "packed" and isinstance(feat, PackedSpikes):
        feat = feat.unpack()
    _last_backend = chosen
    if isinstance(feat, PackedSpikes):
        weight, factor = _without_scaling(graph, edge_weight, norm, torch.float32, feat.device)
        return packed_sum(graph, feat, weight, out, factor)
    if out is not None:
        raise ConfigError(f"out is for the packed kernels, but these are {chosen!r}; leave it out")
    if listeners:  # before spikes are scaled: an addition each, whatever it adds
        tell_messages(edge_ends(graph)[0], feat, edge_weight)
    if norm in ("both", "left"):
        feat = _scale(feat, every_format(graph).out_degrees(), -0.5 if norm == "both" else -1.0)
    with uncounted():
        if chosen == "torch-csr":
            sums = operator(graph, edge_weight, feat.dtype, feat.device)(feat)
        else:
            sums = _dgl_sum(graph, feat, edge_weight)
    if norm in ("both", "right"):
        sums = _scale(sums, every_format(graph).in_degrees(), -0.5 if norm == "both" else -1.0)
    return sums


def sums_of_rows(
    graph: Any, feat: Tensor | PackedSpikes, edge_weight: Tensor | None = None, norm: str = "both"
) -> Callable[[slice], Tensor]:
    """Return what gives some rows of `aggregate` of features ``(N_src, d)``, to rounding and without gradient."""
    if isinstance(feat, PackedSpikes):
        return packed_sums(graph, feat, edge_weight, norm).of
    weight, factor = _without_scaling(graph, edge_weight, norm, feat.dtype, feat.device)
    if listeners:
        tell_messages(edge_ends(graph)[0], feat, edge_weight)
    summed = operator(graph, weight, feat.dtype, feat.device)

    def of(rows: slice) -> Tensor:
        with uncounted():
            sums = summed.of(feat, rows)
        return sums if factor is None else sums.mul_(factor[rows, None])

    return of


def packed_sums(graph: Any, spikes: PackedSpikes, edge_weight: Tensor | None = None, norm: str = "both") -> PackedSums:
    """Return the sums of `aggregate` of packed spikes, computed for rows on demand."""
    return PackedSums(graph, spikes, *_without_scaling(graph, edge_weight, norm, torch.float32, spikes.device))


def _without_scaling(
    graph: Any, edge_weight: Tensor | None, norm: str, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor | None, Tensor | None]:
    """Return weights of edges, and factors of sums, that normalise without scaling features: bits cannot be scaled."""
    if norm == "both" and edge_weight is None:  # these weights are kept with the graph
        return symmetric_norm(graph, None, dtype), None
    factor = None
    if norm in ("both", "right"):
        ones = torch.ones(graph.num_dst_nodes(), dtype=dtype, device=device)
        factor = _scale(ones, every_format(graph).in_degrees(), -0.5 if norm == "both" else -1.0)
    return _by_source(graph, edge_weight, norm), factor


def _by_source(graph: Any, edge_weight: Tensor | None, norm: str) -> Tensor | None:
    """Return the weight of each edge with the normalisation by its source in it."""
    if norm not in ("both", "left"):
        return edge_weight
    ones = torch.ones(graph.num_src_nodes(), device=graph.device)
    degrees = every_format(graph).out_degrees()
    factor = _scale(ones, degrees, -0.5 if norm == "both" else -1.0)[edge_ends(graph)[0].long()]
    return factor if edge_weight is None else factor.to(edge_weight.device) * edge_vector(graph, edge_weight)


def _scale(feat: Tensor, degrees: Tensor, power: float) -> Tensor:
    factor = degrees.clamp(min=1).to(device=feat.device, dtype=feat.dtype) ** power
    return feat * factor.reshape(-1, *[1] * (feat.dim() - 1))


def _dgl_sum(graph: Any, feat: Tensor, edge_weight: Tensor | None) -> Tensor:
    if feat.dtype == torch.float16 and feat.device.type == "cpu":
        raise DGLGraphError(
            "feat is torch.float16, which DGL does not sum on the CPU; convert it with feat.float(), and a layer with "
            "layer.float()"
        )
    # dgl.ops works on tensors alone: it writes nothing to the graph, and so needs no local scope.
    graph, flat = every_format(graph), feat.reshape(feat.shape[0], math.prod(feat.shape[1:]))
    if edge_weight is None:
        out = dgl.ops.copy_u_sum(graph, flat)
    else:
        weight = edge_vector(graph, edge_weight).to(device=feat.device, dtype=feat.dtype)
        out = dgl.ops.u_mul_e_sum(graph, flat, weight[:, None])
    return out.reshape(graph.num_dst_nodes(), *feat.shape[1:])
