"""Layers that compute some rows, always whole and in one order, so that a row has the same bits with any others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgl_dysign.errors import ConfigError
from dgl_dysign.models.dysign import DySIGN
from dgl_dysign.models.inputs import Snapshot
from dgl_dysign.nn import SpikingGraphConv
from dgl_dysign.ops import symmetric_norm
from dgl_dysign.ops._checks import edge_vector
from dgl_dysign.ops.csr import edge_ends, operator

Fire = Callable[[Tensor, Tensor], Tensor]  # current (n, d) and which nodes are active (n,) -> output (n, d)


def grown(rows: Tensor, num_nodes: int) -> Tensor:
    """Return rows ``(n, *)`` with rows of zeros for new nodes."""
    new = num_nodes - len(rows)
    return torch.cat([rows, rows.new_zeros(new, *rows.shape[1:])]) if new else rows


def weighted_rows(table: Tensor, columns: Tensor, counts: Tensor, weight: Tensor) -> Tensor:
    """Return sums of a table's rows ``columns``, times their weight; ``counts`` of them for each sum, one by one.

    A product of matrices rounds a row in another way with other rows beside it; this does not.
    """
    ends = functional.pad(counts.cumsum(0), (1, 0)).to(columns.dtype)
    return functional.embedding_bag(
        columns, table, ends, mode="sum", per_sample_weights=weight, include_last_offset=True
    )


def _times(source: Tensor, matrix: Tensor) -> Tensor:
    """Return a product of matrices, of which the first has many zeros."""
    rows, columns = source.nonzero(as_tuple=True)
    counts = rows.bincount(minlength=len(source))
    return weighted_rows(matrix, columns, counts, source[rows, columns].to(matrix))


class Edges:
    """Edges by destination with their weights, and whose have changed since the last snapshot.

    ``weigh`` returns the weights of a snapshot's edges, with their normalisation in them, in the order of edge ids.
    """

    def __init__(self, weigh: Callable[[Snapshot], Tensor]) -> None:
        self.weigh = weigh
        self.counts = self.columns = self.rows = torch.empty(0, dtype=torch.int64)
        self.weight, self.changed = torch.empty(0), torch.empty(0, dtype=torch.bool)

    def update(self, snapshot: Snapshot) -> Tensor:
        """Take over a snapshot; return which nodes ``(N,)`` hear others, or others in another way."""
        graph, device = snapshot.graph, snapshot.feat.device
        weight = self.weigh(snapshot).to(snapshot.feat)
        layout = operator(graph, weight, weight.dtype, device).layout
        counts, weight, columns = layout.indptr.diff().long(), weight[layout.edges], layout.indices
        rows = torch.repeat_interleave(torch.arange(len(counts), device=device), counts, output_size=len(columns))
        before = grown(self.counts.to(device), len(counts))
        changed = counts != before
        places = torch.arange(len(columns), device=device) + (before.cumsum(0) - counts.cumsum(0))[rows]
        kept = ~changed[rows]  # of rows of one length places differ by what all rows before them have gained
        edges, places = kept.nonzero()[:, 0], places[kept]
        other = (columns[edges] != self.columns[places]) | (weight[edges] != self.weight[places])
        changed[rows[edges[other]]] = True
        self.counts, self.columns, self.rows, self.weight, self.changed = counts, columns, rows, weight, changed
        return changed

    def hearing(self, moved: Tensor) -> Tensor:
        """Return which nodes hear one of some others, ``(N,)`` both."""
        heard = torch.zeros_like(moved)
        heard[self.rows[moved[self.columns]]] = True
        return heard

    def sums(self, nodes: Tensor, table: Tensor) -> Tensor:
        """Return the weighted sums of what nodes of a mask hear."""
        picked = nodes[self.rows]
        return weighted_rows(table, self.columns[picked], self.counts[nodes], self.weight[picked])


class RowLayer:
    r"""A layer whose output is ``fire(sum over edges of (source @ matrix) + bias)``; without edges of the node alone.

    Where the source are spikes, products are kept in float64, and the matrix is rounded to multiples of
    :math:`2^{-50}` of its largest sum of a column: all sums of its rows are exact then, so that a spike that flips adds
    or takes away its row, and the bits are those of a product with all spikes.
    """

    def __init__(
        self, matrix: Tensor | None, bias: Tensor | None, fire: Fire, edges: Edges | None, spikes: bool = False
    ) -> None:
        self.matrix = None if matrix is None else matrix.detach().contiguous()
        self.bias, self.fire, self.edges = bias, fire, edges
        self.mapped = self.out = self.exact = torch.empty(0)
        self.exact_matrix: Tensor | None = None
        if spikes and self.matrix is not None:
            step = torch.exp2(self.matrix.double().abs().sum(0).max().clamp(min=1e-100).log2().ceil() - 50)
            self.exact_matrix = (self.matrix.double() / step).round() * step

    def advance(
        self, source: Tensor, moved: Tensor, woken: Tensor, active: Tensor, flips: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Compute what has changed; return a mask of the nodes that were computed, and how their output has changed.

        ``moved`` says which rows of the source are others, ``woken`` which nodes must be computed all the same;
        ``flips`` are the changes of the rows that moved, if they are known.
        """
        places = moved.nonzero()[:, 0]
        self.mapped = self._room(self.mapped, source)
        self.mapped[places] = self._map(source, places, flips)
        needed = moved | woken if self.edges is None else self.edges.changed | self.edges.hearing(moved) | woken
        nodes = needed.nonzero()[:, 0]
        current = self.mapped[nodes] if self.edges is None else self.edges.sums(needed, self.mapped)
        fired = self.fire(current if self.bias is None else current + self.bias, active[nodes])
        self.out = grown(self.out if len(self.out) else fired[:0], len(source))
        flips = fired - self.out[nodes]
        self.out[nodes] = fired
        return needed, flips

    def _room(self, held: Tensor, source: Tensor) -> Tensor:
        like = source if self.matrix is None else self.matrix
        return grown(held if len(held) else like[:0], len(source))

    def _map(self, source: Tensor, places: Tensor, flips: Tensor | None) -> Tensor:
        """Return products of some rows with the matrix."""
        if self.matrix is None:
            return source[places]
        if self.exact_matrix is None:
            return _times(source[places], self.matrix)
        self.exact = grown(self.exact if len(self.exact) else self.exact_matrix[:0], len(source))
        if flips is None:
            self.exact[places] = source[places].double() @ self.exact_matrix
        else:
            self.exact[places] += _times(flips, self.exact_matrix)
        return self.exact[places].to(self.matrix)


def row_layers(model: nn.Module, weighted: bool) -> list[RowLayer]:
    """Return the layers of a model; `weighted` as of `replay`."""
    if isinstance(model, DySIGN):
        return list(_of_dysign(model))
    modules = list(model) if isinstance(model, nn.Sequential) else [model]
    edges: dict[str, Edges] = {}
    layers: list[RowLayer] = []
    spikes = False  # whether those come from the layer below
    for module in modules:
        if isinstance(module, SpikingGraphConv):
            norm = edges.setdefault(module.norm, Edges(_weigh(module.norm, weighted)))
            layers.append(_of_conv(module, norm, spikes))
        elif isinstance(module, nn.Linear):
            layers.append(RowLayer(module.weight.t(), module.bias, lambda current, active: current, None, spikes))
        elif not isinstance(module, nn.Dropout | nn.Identity):
            raise ConfigError(
                f"found {type(module).__name__}, which is not replayed: expected SpikingGraphConv of latency 1, Linear "
                f"and Dropout in a Sequential, or DySIGN"
            )
        spikes = spikes if isinstance(module, nn.Dropout | nn.Identity) else isinstance(module, SpikingGraphConv)
    return layers


def _of_conv(conv: SpikingGraphConv, edges: Edges, spikes: bool) -> RowLayer:
    if conv.latency != 1 or conv.encoding != "constant":
        raise ConfigError(
            f"a replay needs SpikingGraphConv of latency 1 under a constant current, but got latency={conv.latency}, "
            f"encoding={conv.encoding!r}: train it at latency 1"
        )
    return RowLayer(conv.weight, conv.bias, lambda current, active: conv.lif(current)[0], edges, spikes)


def _weigh(norm: str, weighted: bool) -> Callable[[Snapshot], Tensor]:
    """Return the weights of `dgl_dysign.ops.aggregate` under a normalisation."""

    def weigh(snapshot: Snapshot) -> Tensor:
        graph, like = snapshot.graph, snapshot.feat
        weight = edge_vector(graph, snapshot.edge_weight).to(like) if weighted else like.new_ones(graph.num_edges())
        power = -0.5 if norm == "both" else -1.0
        for nodes, side in zip(edge_ends(graph), ("left", "right"), strict=True):
            if norm in ("both", side):
                nodes = nodes.long().to(like.device)
                weight = weight * (nodes.bincount(minlength=graph.num_nodes()).clamp(min=1).to(like) ** power)[nodes]
        return weight

    return weigh


def _of_dysign(model: DySIGN) -> Iterator[RowLayer]:
    conv, lif = model.conv, model.conv.lif
    refused = {
        "latency": conv.latency != 1, "feedback": conv.feedback, "encoding": conv.encoding != "constant",
        "compensation_hops": conv.compensation_hops > 1, "num_snapshots": model.num_snapshots != 1,
        "coupling": model.coupling is not None, "label_feats": model.label_conv is not None,
        "input_thresholds": model.encoder is not None,
    }  # fmt: skip
    if any(refused.values()):
        raise ConfigError(
            f"found a DySIGN with another {', '.join(name for name, other in refused.items() if other)}: a replay "
            f"needs latency=1, feedback=False, compensation_hops 0 or 1, one snapshot, no coupling, no labels, no "
            f"input_thresholds"
        )

    def fire(current: Tensor, active: Tensor) -> Tensor:
        half = torch.full_like(current, lif.threshold / 2)
        return lif.fire(lif.charge(lif.entering(current), half))[0] * active[:, None]

    def centred(current: Tensor, active: Tensor) -> Tensor:
        return (fire(current, active) - 0.5) * active[:, None]

    edges = Edges(lambda snapshot: symmetric_norm(snapshot.graph, snapshot.edge_weight, snapshot.feat.dtype))
    weights = [conv.injection_weight, *conv.layer_weights]
    for layer, (weight, bias) in enumerate(zip(weights, conv.biases, strict=True)):
        own: Any = edges if layer or conv.compensation_hops else None
        yield RowLayer(weight.t(), bias, centred if layer == len(weights) - 1 else fire, own, spikes=layer > 0)
    yield RowLayer(model.readout[0].t(), model.bias, lambda current, active: current, None, spikes=True)
