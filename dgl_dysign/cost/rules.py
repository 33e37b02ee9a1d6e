"""How many operations one call does: of PyTorch's operators by name, of DGL's kernels, of sums over edges."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from dgl_dysign.cost.operations import Operations
from dgl_dysign.ops.csr import edge_ends

_AT_ONCE = 1 << 12  # rows of a tensor that are looked at together


def spiking(values: Tensor) -> bool:
    """Say whether all entries are 0 or ±c, for one c: then nothing has to be multiplied.

    Examples
    --------
    >>> spiking(torch.tensor([0.5, 0.0, -0.5])), spiking(torch.tensor([0.5, 1.0]))
    (True, False)
    """
    if values.dtype == torch.bool or values.numel() == 0:
        return True
    if values.is_complex():
        return False
    low, high = torch.aminmax(values)
    size = torch.maximum(-low, high)
    parts = values.reshape(1) if values.dim() == 0 else values
    return all(bool(((part == 0) | (part.abs() == size)).all()) for part in parts.split(_AT_ONCE))


def product(left: Tensor, right: Tensor) -> Operations:
    """Count a product of matrices, ``(*, m, k)`` and ``(*, k, n)``; the left one may be sparse (CSR or COO).

    Weights stand on the right: zeros among them were pruned.
    """
    if left.layout != torch.strided:
        columns, values = _entries(left)
        return sum_of_messages(columns, right, values, moved=False)
    if not spiking(left) and not spiking(right):
        return Operations(macs=left.shape[-2] * int(torch.count_nonzero(right)))
    return Operations(synops=int(((left != 0).sum(-2) * (right != 0).sum(-1)).sum()))


def _entries(matrix: Tensor) -> tuple[Tensor, Tensor]:
    if matrix.layout == torch.sparse_csr:
        return matrix.col_indices().long(), matrix.values()
    return matrix._indices()[1], matrix._values()


def sum_of_messages(
    sources: Tensor, feat: Tensor, weight: Tensor | None = None, moved: bool = True, messages: int = 1
) -> Operations:
    """Count messages that are added up: rows ``sources`` of ``feat``, ``(N, *)``, maybe times a weight for each edge.

    ``messages`` is how often each feature is sent, such as once for each head of the weights.
    """
    width = messages * math.prod(feat.shape[1:])
    bits = len(sources) * width * 8 * feat.element_size() if moved else 0
    if spiking(feat):
        fired = (feat != 0).flatten(1).sum(1) if feat.dim() > 1 else (feat != 0).long()
        return Operations(synops=messages * int(fired[sources].sum()), message_bits=bits)
    if weight is None or spiking(weight):
        return Operations(additions=len(sources) * width, message_bits=bits)
    return Operations(macs=len(sources) * width, message_bits=bits)


def gspmm(graph: Any, op: str, reduce_op: str, lhs: Tensor | None, rhs: Tensor | None) -> Operations:
    """Count DGL's messages, of nodes (`lhs`) and edges (`rhs`), and their sum, mean, maximum or minimum."""
    feat = rhs if lhs is None else lhs
    assert feat is not None
    sources = edge_ends(graph)[0].long() if lhs is not None else torch.arange(graph.num_edges(), device=feat.device)
    weight = None if lhs is None or op in ("copy_lhs", "copy_rhs") else rhs
    shape = feat.shape[1:] if weight is None else torch.broadcast_shapes(feat.shape[1:], weight.shape[1:])
    messages = math.prod(shape) // max(math.prod(feat.shape[1:]), 1)
    counted = sum_of_messages(sources.to(feat.device), feat, weight, messages=messages)
    if reduce_op in ("max", "min"):
        return Operations(message_bits=counted.message_bits)
    if op in ("add", "sub"):
        return Operations(additions=2 * len(sources) * math.prod(shape), message_bits=counted.message_bits)
    return counted


def gsddmm(
    graph: Any, op: str, lhs: Tensor | None, rhs: Tensor | None, lhs_target: str = "u", rhs_target: str = "v"
) -> Operations:
    """Count what DGL computes on edges of the data of their ends: inner products, and what comes from sources."""
    edges = graph.num_edges()
    ends = [(data, target) for data, target in ((lhs, lhs_target), (rhs, rhs_target)) if data is not None]
    bits = sum(edges * math.prod(x.shape[1:]) * 8 * x.element_size() for x, target in ends if target == "u")
    if op != "dot" or lhs is None or rhs is None:
        return Operations(message_bits=bits)
    return Operations(macs=edges * math.prod(torch.broadcast_shapes(lhs.shape[1:], rhs.shape[1:])), message_bits=bits)


def typed_linear(rows: Tensor, weights: Tensor, **_: Any) -> Operations:
    """Count rows ``(N, d)`` that are multiplied with one of several matrices ``(R, d, out)`` each."""
    if spiking(rows):
        return Operations(synops=int((rows != 0).sum()) * weights.shape[-1])
    return Operations(macs=rows.numel() * weights.shape[-1])


def _convolution(args: Sequence[Any], out: Tensor) -> Operations:
    feat, weight, transposed = args[0], args[1], args[6]
    if not spiking(feat):
        return Operations(macs=(feat if transposed else out).numel() * weight[0].numel())
    meets = torch.ops.aten.convolution((feat != 0).to(feat.dtype), torch.ones_like(weight), None, *args[3:])
    return Operations(synops=int(meets.double().sum()))


def _lstm(args: Sequence[Any], _: Any) -> Operations:
    steps, batch = args[0].shape[:2]
    return Operations(macs=steps * batch * (args[1].numel() + args[2].numel()))


def _attention(args: Sequence[Any], _: Any) -> Operations:
    query, key, value = args[:3]
    return Operations(macs=math.prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1]))


def _summed_rows(rows: Tensor, reduce: str = "sum") -> Operations:
    if not rows.is_floating_point():  # numbers of nodes, not messages
        return Operations()
    every = torch.arange(len(rows), device=rows.device)
    counted = sum_of_messages(every, rows)
    return counted if reduce in ("sum", "mean") else Operations(message_bits=counted.message_bits)


Rule = Callable[[Sequence[Any], Any], Operations]  # of the arguments of an operator, and of its result


def _vectors(left: Tensor, right: Tensor) -> Operations:
    return product(torch.atleast_2d(left), right[:, None])


#: Of PyTorch's operators, by name without what tells variants apart.
RULES: dict[str, Rule] = {
    **dict.fromkeys(("mm", "bmm"), lambda args, out: product(*args[:2])),
    **dict.fromkeys(("addmm", "baddbmm", "_addmm_activation", "_sparse_addmm"), lambda args, out: product(*args[1:3])),
    **dict.fromkeys(("mv", "dot", "vdot"), lambda args, out: _vectors(*args[:2])),
    "qlinear_pointwise": lambda args, out: Operations(macs=out.numel() * args[0].shape[-1]),
    "addmv": lambda args, out: _vectors(*args[1:3]),
    "convolution": _convolution,
    "mkldnn_rnn_layer": _lstm,
    "scaled_dot_product": _attention,
    "index_add": lambda args, out: _summed_rows(args[3]),
    "scatter_add": lambda args, out: _summed_rows(args[3]),
    "scatter_reduce": lambda args, out: _summed_rows(args[3], args[4]),
    "index_reduce": lambda args, out: _summed_rows(args[3], args[4]),
}
#: Beginnings of the names of operators that multiply and add up, and have no rule.
_UNKNOWN = (
    "_cdist", "_conv_depthwise", "_cudnn", "_efficient", "_embedding_bag", "_fft", "_flash", "_grouped_mm", "_int_mm",
    "_linalg", "_mixed_dtypes", "_native_multi_head", "_scaled_mm", "_slow_conv", "_sparse_sparse", "_transformer",
    "_trilinear", "_weight_int", "addbmm", "addr", "cholesky", "conv_tbc", "fft", "linalg", "miopen", "mkldnn",
    "segment_reduce", "slow_conv",
)  # fmt: skip
_FREE = ("linalg_vector_norm",)  # of these, what only measures
_NAMESPACES = ("aten", "prim", "prims", "profiler")


def name_of(operator: Any) -> str:
    """Return the name under which `RULES` have one of PyTorch's operators."""
    name = str(operator._schema.name).split("::")[1].removesuffix("_")
    return "scaled_dot_product" if name.startswith("_scaled_dot_product") else name


def known_as_free(operator: Any) -> bool:
    """Say whether an operator without a rule and without parts multiplies and adds up nothing."""
    name = name_of(operator)
    return operator.namespace in _NAMESPACES and (not name.startswith(_UNKNOWN) or name in _FREE)
