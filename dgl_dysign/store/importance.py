"""Importance of nodes in one snapshot: how much a node says about those who meet it."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.store._rank import quantise

Importance = Callable[[Tensor, Tensor, int], Tensor]
"""``importance(src, dst, num_nodes)`` gives one number a node, not negative, from the distinct edges of a snapshot."""

_FINE = 2.0**40


def cohesion(src: Tensor, dst: Tensor, num_nodes: int, weight: Tensor | None = None) -> Tensor:
    r"""Return how evenly each node is tied to its neighbours (UnderGS, the default importance).

    .. math:: C_i = \sum_{(i, j) \in E} w_{ij} f(r_i, r_j), \qquad
        f(a, b) = \begin{cases} e^{a / b} & a \le b \\ e^{-a / b} & a > b \end{cases}

    with :math:`r_i` the number of edge ends at i. Facts: a = b gives e, and there is a jump beside it (f(5, 5) = 2.718,
    f(6, 5) = 0.301); a self-loop is two ends of one edge (alone, it gives e); the centre of a star with m leaves gets
    :math:`m e^{-m}`, so that hubs are the *least* important. Edges are counted as given: with direction a reciprocal
    pair is two edges, without it must be given once. The result, float64 ``(num_nodes,)``, is 0 for nodes without
    edges, and for a hub of more than 745 leaves, which underflows; the store ranks by the logarithm, which does not.

    Parameters
    ----------
    src, dst, weight : Tensor
        Ends of the distinct edges, int64 ``(E,)``; optional: their weights, positive, ``(E,)``.
    num_nodes : int
        Number of nodes.

    Examples
    --------
    >>> import torch
    >>> cohesion(torch.tensor([0, 0, 0]), torch.tensor([1, 2, 3]), 4)
    tensor([0.1494, 1.3956, 1.3956, 1.3956], dtype=torch.float64)
    """
    return torch.exp2(log2_cohesion(src, dst, num_nodes, weight))


def log2_cohesion(src: Tensor, dst: Tensor, num_nodes: int, weight: Tensor | None = None) -> Tensor:
    """Return log2 of `cohesion`, which neither underflows nor depends on the order of edges.

    Each node's terms are divided by its greatest one and added as whole numbers of 2^-40.
    """
    loop = src == dst
    ends = _ends(src, dst, num_nodes).double()
    node, other = torch.cat([src, dst[~loop]]), torch.cat([dst, src[~loop]])
    ratio = ends[node] / ends[other]
    power = torch.where(ratio <= 1, ratio, -ratio)
    if weight is not None:
        power = power + torch.cat([weight, weight[~loop]]).double().log()
    top = torch.full((num_nodes,), -math.inf, dtype=torch.float64, device=src.device)
    top = top.scatter_reduce(0, node, power, "amax")
    terms = ((power - top[node]).exp() * _FINE).round().long()
    total = torch.zeros(num_nodes, dtype=torch.int64, device=src.device).index_add(0, node, terms)
    return torch.where(total > 0, top * math.log2(math.e) + (total.double() / _FINE).log2(), -math.inf)


def degree(src: Tensor, dst: Tensor, num_nodes: int, weight: Tensor | None = None) -> Tensor:
    """Return the number of edge ends at each node, or the sum of their weights; a self-loop has two ends.

    Parameters, shapes and type are those of `cohesion`.

    Examples
    --------
    >>> import torch
    >>> degree(torch.tensor([0, 1, 1]), torch.tensor([1, 1, 2]), 4)
    tensor([1., 4., 1., 0.], dtype=torch.float64)
    """
    if weight is None:
        return _ends(src, dst, num_nodes).double()
    out = torch.zeros(num_nodes, dtype=torch.float64, device=src.device)
    return out.index_add(0, torch.cat([src, dst]), weight.double().repeat(2))


def core(src: Tensor, dst: Tensor, num_nodes: int, weight: Tensor | None = None) -> Tensor:
    """Return each node's core number: the largest k so that it lies in a subgraph of least degree k.

    Of the simple undirected graph: repeated and reciprocal pairs count once, self-loops and weights not at all.
    Parameters, shapes and type are those of `cohesion`.

    Examples
    --------
    >>> import torch
    >>> core(torch.tensor([0, 1, 2, 2]), torch.tensor([1, 2, 0, 3]), 5)
    tensor([2., 2., 2., 1., 0.], dtype=torch.float64)
    """
    pairs = torch.stack([torch.minimum(src, dst), torch.maximum(src, dst)])[:, src != dst]
    low, high = torch.unique(pairs, dim=1)
    left = torch.cat([low, high])
    right = torch.cat([high, low])
    number = torch.bincount(left, minlength=num_nodes)
    # Each node takes the largest h with h neighbours of at least h; repeated, this falls to the core numbers.
    while True:
        better = _h_index(left, number[right], num_nodes)
        if torch.equal(better, number):
            return number.double()
        number = better


def _h_index(node: Tensor, value: Tensor, num_nodes: int) -> Tensor:
    """Return for each node the largest h such that h of its values are at least h."""
    order = torch.argsort(value, descending=True, stable=True)
    order = order[torch.argsort(node[order], stable=True)]
    count = torch.bincount(node, minlength=num_nodes)
    place = torch.arange(len(node), device=node.device) - (count.cumsum(0) - count)[node[order]]
    return torch.bincount(node[order], weights=(value[order] > place).double(), minlength=num_nodes).long()


def uniform(src: Tensor, dst: Tensor, num_nodes: int, weight: Tensor | None = None) -> Tensor:
    """Return 1 for every node: what is left of the score is time, path and the weight of the edge.

    Parameters, shapes and type are those of `cohesion`.

    Examples
    --------
    >>> import torch
    >>> uniform(torch.tensor([0]), torch.tensor([1]), 3)
    tensor([1., 1., 1.], dtype=torch.float64)
    """
    return torch.ones(num_nodes, dtype=torch.float64, device=src.device)


def _ends(src: Tensor, dst: Tensor, num_nodes: int) -> Tensor:
    return torch.bincount(torch.cat([src, dst]), minlength=num_nodes)


IMPORTANCES: dict[str, Callable[..., Tensor]] = {
    "cohesion": cohesion,
    "degree": degree,
    "core": core,
    "uniform": uniform,
}
"""The importances that have a name."""


def check_importance(importance: str | Importance) -> None:
    """Raise ``ConfigError`` unless `importance` is a name of `IMPORTANCES` or can be called."""
    if not (callable(importance) or (isinstance(importance, str) and importance in IMPORTANCES)):
        names = ", ".join(map(repr, IMPORTANCES))
        raise ConfigError(f"importance={importance!r}: expected {names} or a callable (src, dst, num_nodes) -> Tensor")


def call_importance(importance: Importance, src: Tensor, dst: Tensor, num_nodes: int) -> Tensor:
    """Return a user's importance in float64; raise ``DataError`` unless it is one finite number >= 0 a node."""
    value = importance(src, dst, num_nodes)
    if not isinstance(value, Tensor) or value.shape != (num_nodes,):
        found = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise DataError(f"importance gave {found}, expected a tensor of shape ({num_nodes},): one number for each node")
    value = value.detach().to(src.device, torch.float64)
    ends = torch.cat([src, dst])
    wrong = ends[~((value[ends] >= 0) & value[ends].isfinite())]
    if len(wrong):
        node = int(wrong.min())
        raise DataError(
            f"importance gave {float(value[node])} for node {node}, expected a finite number of 0 or more: "
            f"correct the callable, for example with nan_to_num and clamp(min=0)"
        )
    return value


def importance_units(
    importance: str | Importance, src: Tensor, dst: Tensor, active: Tensor, num_nodes: int, weight: Tensor | None
) -> Tensor:
    """Return log2 of the importances of a snapshot's nodes `active`, in whole units.

    Ends of the distinct edges are numbers of `active`; a user's importance gets the nodes themselves.
    """
    if not isinstance(importance, str):
        return quantise(call_importance(importance, active[src], active[dst], num_nodes)[active].log2())
    if importance == "cohesion":
        return quantise(log2_cohesion(src, dst, len(active), weight))
    return quantise(IMPORTANCES[importance](src, dst, len(active), weight).log2())


def check_decays(hop_decay: float, snapshot_decay: float) -> None:
    """Raise ``ConfigError`` unless both decays lie in (0, 1)."""
    for name, decay in (("hop_decay", hop_decay), ("snapshot_decay", snapshot_decay)):
        if not 0 < decay < 1:  # also for NaN
            raise ConfigError(f"{name}={decay!r}: expected a number above 0 and below 1, such as 0.5")


def temporal_influence(
    importance: Tensor, hop: Tensor | int, age: Tensor | int, hop_decay: float = 0.1, snapshot_decay: float = 0.05
) -> Tensor:
    r"""Return the temporal influence score of neighbours (UnderGS), as `importance`.

    .. math:: I_{ij}(t) = C_j(t') \, \alpha_1^{l - 1} \, \alpha_2^{t - t'}

    for a neighbour j that entered at snapshot t' over a path of l hops, ``age`` t - t' ago. `NeighborStore` ranks by
    the same formula, in whole numbers of log2. A decay outside (0, 1) raises ``ConfigError``.

    Examples
    --------
    >>> import torch
    >>> temporal_influence(torch.tensor([2.0, 2.0, 2.0]), torch.tensor([1, 2, 1]), torch.tensor([0, 0, 1]))
    tensor([2.0000, 0.2000, 0.1000])
    """
    check_decays(hop_decay, snapshot_decay)
    hop, age = (torch.as_tensor(value, device=importance.device) for value in (hop, age))
    return importance * hop_decay ** (hop - 1).to(importance.dtype) * snapshot_decay ** age.to(importance.dtype)
