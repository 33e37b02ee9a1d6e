"""Convolutions whose messages are weighed by temporal influence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgl_dysign.errors import ConfigError
from dgl_dysign.nn._influence import TimeAwareFilter, check_feature, check_finite, edge_shares, edge_softmax, join
from dgl_dysign.nn.time_encoding import TimeEncoding
from dgl_dysign.ops import aggregate
from dgl_dysign.ops._checks import (
    DGLGraphError,
    Layer,
    check_choice,
    check_fits,
    check_numbers,
    check_one_edge_type,
    check_rows,
    edge_vector,
    full_precision,
)
from dgl_dysign.ops._listeners import tell, uncounted
from dgl_dysign.ops.csr import edge_ends

AGGREGATORS = ("gcn", "sage", "gat", "gin")
_ENCODED = 4  # arrays of the encodings of all edges that autograd would keep


class InfluenceConv(Layer):
    r"""Message passing over the neighbours of a store, with the scores normalised to sum to one at each node.

    UnderGS (technical report), influence-weighted aggregation. With the score :math:`I_{uv}` of the edge u -> v, the
    edge's features e, its age and the time encoding :math:`\phi`,

    .. math:: w_{uv} = I_{uv} \Big/ \sum_k |I_{kv}|, \qquad m_{uv} = [x_u \,\Vert\, e_{uv} \,\Vert\, \phi(a_{uv})]

    =========  ===================================================================================================
    ``gcn``    :math:`W \sum_u w_{uv} m_{uv} + b`
    ``sage``   :math:`W \max_u w_{uv}\,\mathrm{relu}(P m_{uv} + p) + b`, the maximum taken for each feature
    ``gat``    :math:`\sum_u \alpha_{uv} V m_{uv}` with
               :math:`\alpha_{uv} = \mathrm{softmax}_u\, (Q x_v)^T w_{uv} K m_{uv} / \sqrt{d}`, for each head
    ``gin``    :math:`\mathrm{MLP}((1 + \epsilon) x_v + \sum_u w_{uv} M m_{uv})`
    =========  ===================================================================================================

    Where a node has no neighbours, or all their scores are zero, the sum, maximum or attention is zero. In training
    each neighbour of age above zero is left out with probability ``filter_ratio``, before scores are normalised.

    Parameters
    ----------
    in_feats : int or pair of int
        Width of the nodes' features, or of source and destination nodes' as in ``dgl.nn.SAGEConv``; ``gcn`` and
        ``sage`` do not use the latter.
    out_feats : int
        Width of the result.
    aggregator : {"gcn", "sage", "gat", "gin"}, default "gcn"
        One of those above.
    edge_feats, time_feats : int, default 0
        Width of the edges' features and of the time encoding; 0: none.
    filter_ratio : float, default 0
        Share of historical neighbours left out in training, in [0, 1).
    num_heads : int, default 1
        Heads of ``gat``; they share ``out_feats``.
    time_scale : float or "paper", default 100
        See `TimeEncoding`.

    Shapes
    ------
    feat ``(N_src, in_feats)``, or a pair with ``(N_dst, dst_feats)`` -> ``(N_dst, out_feats)``.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign._dgl import dgl
    >>> from dgl_dysign.nn import InfluenceConv
    >>> graph = dgl.graph(([0, 1], [2, 2]))
    >>> conv = InfluenceConv(1, 1)
    >>> _ = torch.nn.init.ones_(conv.fc.weight)
    >>> conv(graph, torch.tensor([[1.0], [5.0], [9.0]]), torch.tensor([3.0, 1.0])).detach()
    tensor([[0.],
            [0.],
            [2.]])
    """

    def __init__(
        self,
        in_feats: int | tuple[int, int],
        out_feats: int,
        aggregator: str = "gcn",
        edge_feats: int = 0,
        time_feats: int = 0,
        filter_ratio: float = 0.0,
        num_heads: int = 1,
        time_scale: float | str = 100.0,
    ) -> None:
        super().__init__()
        check_choice("aggregator", aggregator, AGGREGATORS)
        src_feats, dst_feats = in_feats if isinstance(in_feats, tuple) else (in_feats, in_feats)
        if min(src_feats, dst_feats, out_feats) < 1 or min(edge_feats, time_feats) < 0:
            raise ConfigError(
                f"widths must be at least 1 (0 for edges and times), but got {(in_feats, out_feats)}, "
                f"edge_feats={edge_feats}, time_feats={time_feats}"
            )
        if num_heads < 1 or out_feats % num_heads:
            raise ConfigError(f"num_heads must divide out_feats={out_feats}, but got {num_heads}")
        self.in_feats, self.dst_feats, self.out_feats = src_feats, dst_feats, out_feats
        self.aggregator, self.num_heads = aggregator, num_heads
        self.edge_feats, self.time_feats = edge_feats, time_feats
        self.filter = TimeAwareFilter(filter_ratio)
        self.time = TimeEncoding(time_feats, time_scale) if time_feats else None
        width = src_feats + edge_feats + time_feats
        if aggregator == "gcn":
            self.fc = nn.Linear(width, out_feats)
        elif aggregator == "sage":
            self.fc_pool, self.fc = nn.Linear(width, width), nn.Linear(width, out_feats)
        elif aggregator == "gat":
            self.fc_query, self.fc_key = nn.Linear(dst_feats, out_feats), nn.Linear(width, out_feats)
            self.fc_value = nn.Linear(width, out_feats)
        else:
            self.eps = nn.Parameter(torch.zeros(()))
            self.fc_message = nn.Linear(width, dst_feats, bias=False)
            self.mlp = nn.Sequential(nn.Linear(dst_feats, out_feats), nn.ReLU(), nn.Linear(out_feats, out_feats))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights uniformly by Glorot's rule, set biases and eps to zero, and begin the time encoding anew."""
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
        if self.time is not None:
            self.time.reset_parameters()
        if self.aggregator == "gin":
            nn.init.zeros_(self.eps)

    @full_precision
    def forward(
        self,
        graph: Any,
        feat: Tensor | tuple[Tensor, Tensor],
        edge_weight: Tensor | None = None,
        age: Tensor | None = None,
        edge_feat: Tensor | None = None,
    ) -> Tensor:
        """Return the aggregated and transformed messages, ``(N_dst, out_feats)``.

        Parameters
        ----------
        graph : DGLGraph
            A graph or block with one type of edges, such as ``store.block(nodes, now)``; on the CPU or beside the
            features.
        feat : Tensor or pair of Tensor
            Features of the source nodes, or of both sides. Of a block the first rows are the destinations.
        edge_weight : Tensor, optional
            Scores I, ``(E,)`` or ``(E, 1)``; default: ``graph.edata["influence"]``, else 1.
        age : Tensor, optional
            Ages of the edges in snapshots, ``(E,)``; default: ``graph.edata["age"]``.
        edge_feat : Tensor, optional
            ``(E, edge_feats)``.
        """
        source, target = self._ends(graph, feat)
        check_feature("edge_feat", edge_feat, (graph.num_edges(),), self.edge_feats)
        src, dst = (end.to(source.device).long() for end in edge_ends(graph))
        weight = self._score(graph, edge_weight, source)
        age = self._age(graph, age, source)
        keep = None if age is None else self.filter(age)
        share = edge_shares(weight if keep is None else weight * keep, dst, graph.num_dst_nodes())
        if self.aggregator in ("gcn", "gin"):
            return self._sum(graph, source, target, share, self._sum_of_extra(dst, share, edge_feat, age, target))
        extra = join(edge_feat, None if self.time is None else self.time(age), source)
        # Neighbours without a score are no neighbours: a maximum or a softmax would count them.
        counted = (share != 0).nonzero()[:, 0]
        src, dst, share = src[counted], dst[counted], share[counted]
        extra = None if extra is None else extra[counted]
        reduce = self._pool if self.aggregator == "sage" else self._attend
        return reduce(source, target, src, dst, share, extra)

    def _sum(self, graph: Any, source: Tensor, target: Tensor, share: Tensor, extra: Tensor | None) -> Tensor:
        layer = self.fc if self.aggregator == "gcn" else self.fc_message
        to_feat, to_extra = layer.weight[:, : self.in_feats], layer.weight[:, self.in_feats :]
        if self.in_feats > layer.out_features:  # the narrower side is aggregated
            out = aggregate(graph, functional.linear(source, to_feat), share, norm="none")
        else:
            out = functional.linear(aggregate(graph, source, share, norm="none"), to_feat)
        if extra is not None:
            out = out + functional.linear(extra, to_extra)
        mixed: Tensor = out + layer.bias if self.aggregator == "gcn" else self.mlp((1 + self.eps) * target + out)
        return mixed

    def _sum_of_extra(
        self, dst: Tensor, share: Tensor, edge_feat: Tensor | None, age: Tensor | None, target: Tensor
    ) -> Tensor | None:
        """Return the sums of edge features and encoded ages by their shares, where there are any."""
        if edge_feat is None and self.time is None:
            return None
        width = self.edge_feats + self.time_feats
        tell(macs=len(dst) * width, message_bits=8 * len(dst) * width * target.element_size())
        of_feat = of_time = None
        with uncounted():
            if edge_feat is not None:
                weighted = edge_feat.to(device=target.device, dtype=target.dtype) * share[:, None]
                of_feat = weighted.new_zeros(len(target), self.edge_feats).index_add(0, dst, weighted)
            if self.time is not None and age is not None:
                of_time = _sum_of_times(self.time, dst, share, age, len(target))
        return join(of_feat, of_time, target)

    def _pool(
        self, source: Tensor, target: Tensor, src: Tensor, dst: Tensor, share: Tensor, extra: Tensor | None
    ) -> Tensor:
        message = self._message(self.fc_pool, source, src, extra).relu() * share[:, None]
        pooled = message.new_zeros(len(target), message.shape[1]).scatter_reduce(
            0, dst[:, None].expand_as(message), message, "amax", include_self=False
        )
        out: Tensor = self.fc(pooled)
        return out

    def _attend(
        self, source: Tensor, target: Tensor, src: Tensor, dst: Tensor, share: Tensor, extra: Tensor | None
    ) -> Tensor:
        shape = self.num_heads, self.out_feats // self.num_heads
        key = self._message(self.fc_key, source, src, extra) * share[:, None]
        logits = (self.fc_query(target)[dst] * key).unflatten(1, shape).sum(-1) / shape[1] ** 0.5
        attention = edge_softmax(logits, dst, len(target))
        value = self._message(self.fc_value, source, src, extra).unflatten(1, shape) * attention[..., None]
        tell(macs=2 * value.numel(), message_bits=16 * value.nbytes)  # keys with queries, and values with attention
        with uncounted():
            return value.new_zeros(len(target), self.out_feats).index_add(0, dst, value.flatten(1))

    def _message(self, layer: nn.Linear, source: Tensor, src: Tensor, extra: Tensor | None) -> Tensor:
        """Return the layer's value at each message; nodes are multiplied once, not once for each of their edges."""
        out = functional.linear(source, layer.weight[:, : self.in_feats], layer.bias)[src]
        return out if extra is None else out + functional.linear(extra, layer.weight[:, self.in_feats :])

    def _ends(self, graph: Any, feat: Tensor | tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the features of both sides; of the second only the rows count where the aggregator does not use it."""
        check_one_edge_type(graph)
        for part in feat if isinstance(feat, tuple) else (feat,):
            check_numbers("feat", part)
        num_dst, uses_both = graph.num_dst_nodes(), self.aggregator in ("gat", "gin")
        source_type, _, target_type = graph.canonical_etypes[0]
        if isinstance(feat, tuple):
            source, target = feat
        elif not uses_both:
            source, target = feat, feat.new_empty(num_dst, self.dst_feats)
        elif source_type == target_type:  # so it is in blocks and in whole graphs, but for relations of two types
            source, target = feat, feat[:num_dst]
        else:
            raise DGLGraphError(
                f"aggregator={self.aggregator!r} uses the features of destination nodes as well, which on a bipartite "
                f"graph are not among those of source nodes: pass a pair, (source features, destination features)"
            )
        check_rows(graph, source)
        width = self.dst_feats if uses_both else target.shape[-1]
        if source.shape[1:] != (self.in_feats,) or target.shape != (num_dst, width):
            raise DGLGraphError(
                f"feat must have shapes ({graph.num_src_nodes()}, {self.in_feats}) and ({num_dst}, {self.dst_feats}), "
                f"but has {tuple(source.shape)} and {tuple(target.shape)}"
            )
        check_fits(self, feat=source, dst_feat=target if uses_both else None)
        return source, target

    def _score(self, graph: Any, edge_weight: Tensor | None, like: Tensor) -> Tensor:
        edge_weight = graph.edata.get("influence") if edge_weight is None else edge_weight
        if edge_weight is None:
            return like.new_ones(graph.num_edges())
        influence = edge_vector(graph, edge_weight).to(device=like.device, dtype=like.dtype)
        check_finite(influence)
        return influence

    def _age(self, graph: Any, age: Tensor | None, like: Tensor) -> Tensor | None:
        if self.time is None and self.filter.filter_ratio == 0:
            return None
        age = graph.edata.get("age") if age is None else age
        if age is None or age.shape != (graph.num_edges(),):
            problem = "there is none" if age is None else f"its shape is {tuple(age.shape)}"
            raise DGLGraphError(
                f"time_feats and filter_ratio need the age of each of the {graph.num_edges()} edges, but {problem}: "
                f"pass age, or set graph.edata['age']"
            )
        return age.to(like.device)

    def extra_repr(self) -> str:
        """Describe the layer in one line."""
        names = ("aggregator", "edge_feats", "time_feats", "num_heads")
        return f"{self.in_feats}, {self.out_feats}, " + ", ".join(f"{name}={getattr(self, name)!r}" for name in names)


def _sum_of_times(time: TimeEncoding, dst: Tensor, share: Tensor, age: Tensor, num_dst: int) -> Tensor:
    """Return the sums of encoded ages by their shares.

    Where ages are whole, and few, each is encoded once, however many edges have it.
    """
    whole = age.long()
    number = int(whole.max()) + 1 if len(whole) else 0
    few = num_dst * number <= _ENCODED * time.time_feats * len(age)
    if few and bool((whole == age).all()) and bool((whole >= 0).all()):
        by_age = share.new_zeros(num_dst * number).index_add(0, dst * number + whole, share)
        return by_age.view(num_dst, number) @ time(torch.arange(number, device=age.device))
    encoded = time(age) * share[:, None]
    return encoded.new_zeros(num_dst, time.time_feats).index_add(0, dst, encoded)
