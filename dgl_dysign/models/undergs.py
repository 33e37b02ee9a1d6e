"""UnderGS: embeddings from a store of influential neighbours, with heads for links and nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dgl_dysign._dgl import dgl
from dgl_dysign.data.temporal_graph import TemporalGraph
from dgl_dysign.errors import ConfigError, check_choice
from dgl_dysign.models.inputs import Features, NodeInputs, check_numbers, look_up
from dgl_dysign.models.link_head import LinkHead
from dgl_dysign.models.node_table import NodeTable
from dgl_dysign.models.pretrained import Pretrained
from dgl_dysign.nn import InfluenceConv, InfluenceMixer
from dgl_dysign.nn.influence_conv import AGGREGATORS
from dgl_dysign.nn.quick_dropout import QuickDropout, quick_dropout
from dgl_dysign.store import NeighborStore

_NODES = 4096  # nodes that are embedded at once where all are


@dataclass(frozen=True)
class Preset:
    """Values that belong together: of the store, of the model, and the kind of `link_loss`."""

    importance: str
    snapshot_decay: float
    embedding_dropout: float
    filter_ratio: float
    time_scale: float | str
    mass: bool
    loss: str


PRESETS = {
    "default": Preset("uniform", 0.8, 0.9, 0.3, 100.0, True, "softmax"),
    "paper": Preset("cohesion", 0.05, 0.0, 0.3, "paper", False, "bce"),
}


def get_preset(preset: str) -> Preset:
    """Return the values of a preset; raise ``ConfigError`` if there is none of that name."""
    check_choice("preset", preset, PRESETS)
    return PRESETS[preset]


def preset_store(num_nodes: int, preset: str = "default", **options: Any) -> NeighborStore:
    """Return an empty store with a preset's importance and decay; options of `NeighborStore` overrule them.

    They are uniform importance with a decay of 0.8 a snapshot, or of ``"paper"`` the report's cohesion with 0.05.

    Examples
    --------
    >>> from dgl_dysign.models import preset_store
    >>> preset_store(10, "paper").snapshot_decay
    0.05
    """
    chosen = get_preset(preset)
    return NeighborStore(
        num_nodes, **{"importance": chosen.importance, "snapshot_decay": chosen.snapshot_decay, **options}
    )


def check_store(store: NeighborStore, num_nodes: int, *tensors: Tensor) -> None:
    """Raise ``ConfigError`` unless a store has as many nodes as a model, and tensors of model and call hold numbers."""
    check_numbers(*tensors)
    if store.num_nodes != num_nodes:
        who = "store" if store.num_nodes < num_nodes else "model"
        raise ConfigError(
            f"found a store of {store.num_nodes} nodes and a model of {num_nodes}: call grow of the smaller, "
            f"{who}.grow({max(store.num_nodes, num_nodes)})"
        )


class _NodeVectors(nn.Module):
    """A learned vector for each node, with dropout, and a linear map of its features where there are any."""

    def __init__(self, num_nodes: int, feats: int, node_feats: int, dropout: float) -> None:
        super().__init__()
        self.node_feats, self.dropout = node_feats, dropout
        self.table = NodeTable(num_nodes, feats)
        self.fc = nn.Linear(node_feats, feats) if node_feats else None

    def reset_parameters(self) -> None:
        """Draw the table and the map anew."""
        self.table.reset_parameters()
        if self.fc is not None:
            self.fc.reset_parameters()

    def forward(self, nodes: Tensor, node_feat: Features | None) -> Tensor:
        """Return one row for each of the nodes."""
        nodes = nodes.to(self.table.weight.device)
        rows = quick_dropout(self.table(nodes), self.dropout, self.training)
        feat = look_up("node_feat", node_feat, nodes, self.node_feats, rows.device)
        return rows if self.fc is None or feat is None else rows + self.fc(feat.to(rows.dtype))


class UnderGS(Pretrained):
    r"""Embed nodes from the neighbours that a store keeps for them, and score links and classes.

    UnderGS (technical report). With x a learned vector for each node (and a linear map of its features), the store's
    neighbours of v at the time in question, and AGG one of `InfluenceConv` or `InfluenceMixer`,

    .. math:: h_v = \mathrm{MLP}([x_v \,\Vert\, \mathrm{AGG}_v]), \qquad
              z_v = [h_v \,\Vert\, \log(1 + \textstyle\sum_k |I_{kv}|)]

    The last column, the *mass*, gives the heads back what normalised scores hide: how much of a neighbourhood there
    is. The store is passed in, not owned: embedding never changes it, and what is not in it cannot be seen.

    ========================  ==================================  ==========================================
    preset                    ``default``                         ``paper``
    ========================  ==================================  ==========================================
    store                     uniform importance, decay 0.8       cohesion, decay 0.05
    dropout of learned ids    0.9                                 0
    time encoding             learned, over ``time_scale`` = 100  fixed frequencies :math:`10^{-9..0}`
    mass                      yes                                 no
    loss                      softmax over the candidates         binary cross entropy
    filter ratio              0.3                                 0.3 (the report: 0.5 for density below 1e-4)
    ========================  ==================================  ==========================================

    Parameters
    ----------
    num_nodes, hidden_feats : int, the latter by default 64
        Number of nodes of all snapshots; width of everything.
    aggregator : {"gcn", "sage", "gat", "gin", "mixer"}, default "gcn"
        How neighbours are aggregated.
    node_feats, edge_feats, pair_feats : int, default 0
        Width of features of nodes, of edges and, for `link`, of pairs; 0: none.
    time_feats, num_classes : int, default 16 and 0
        Width of the time encoding and of `classify`; 0: none.
    num_neighbors : int, default 16
        Slots of the store that `store` makes; ``mixer`` works with this number only.
    dropout : float, default 0.1
        Of hidden layers.
    preset : {"default", "paper"}, default "default"
        The values above.
    embedding_dropout, filter_ratio, time_scale, mass : optional
        Overrule the preset. The learned ids overfit within an epoch, hence the high dropout.

    Attributes
    ----------
    out_feats, loss : int, str
        Width of the embeddings: ``hidden_feats``, and one more with mass; the preset's kind of `link_loss`.

    Shapes
    ------
    nodes ``(*)`` -> embeddings ``(*, out_feats)``.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.models import UnderGS, link_loss
    >>> model = UnderGS(5, hidden_feats=8)
    >>> store = model.store()
    >>> store.insert(0, torch.tensor([0, 1]), torch.tensor([1, 2]))
    >>> z = model.embed(store, torch.tensor([[0, 1, 4], [2, 1, 3]]), now=1)
    >>> logits = model.link(z[:, 0], z[:, 1:])  # a source, its destination and a negative in each row
    >>> logits.shape, bool(link_loss(logits, model.loss) > 0)
    (torch.Size([2, 2]), True)
    """

    conv: InfluenceConv | InfluenceMixer

    def __init__(
        self,
        num_nodes: int,
        hidden_feats: int = 64,
        aggregator: str = "gcn",
        *,
        node_feats: int = 0,
        edge_feats: int = 0,
        time_feats: int = 16,
        pair_feats: int = 0,
        num_classes: int = 0,
        num_neighbors: int = 16,
        dropout: float = 0.1,
        preset: str = "default",
        embedding_dropout: float | None = None,
        filter_ratio: float | None = None,
        time_scale: float | str | None = None,
        mass: bool | None = None,
    ) -> None:
        super().__init__()
        chosen = get_preset(preset)
        check_choice("aggregator", aggregator, (*AGGREGATORS, "mixer"))
        self.num_nodes, self.hidden_feats, self.aggregator, self.preset = num_nodes, hidden_feats, aggregator, preset
        self.node_feats, self.edge_feats, self.num_neighbors = node_feats, edge_feats, num_neighbors
        self.mass, self.loss = chosen.mass if mass is None else mass, chosen.loss
        self.out_feats = hidden_feats + self.mass
        embedding_dropout = chosen.embedding_dropout if embedding_dropout is None else embedding_dropout
        self.inputs = _NodeVectors(num_nodes, hidden_feats, node_feats, embedding_dropout)
        shared: dict[str, Any] = {
            "edge_feats": edge_feats,
            "time_feats": time_feats,
            "filter_ratio": chosen.filter_ratio if filter_ratio is None else filter_ratio,
            "time_scale": chosen.time_scale if time_scale is None else time_scale,
        }
        if aggregator == "mixer":
            self.conv = InfluenceMixer(hidden_feats, hidden_feats, num_neighbors, **shared)
        else:
            self.conv = InfluenceConv(hidden_feats, hidden_feats, aggregator, **shared)
        self.join = _network(2 * hidden_feats, hidden_feats, hidden_feats, dropout)
        self.link_head = LinkHead(self.out_feats, hidden_feats, pair_feats, dropout, bias=self.loss == "bce")
        self.class_head = _network(self.out_feats, hidden_feats, num_classes, dropout) if num_classes else None

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        self.inputs.reset_parameters()
        self.conv.reset_parameters()
        heads = [self.join, self.link_head] + ([] if self.class_head is None else [self.class_head])
        for layer in (layer for head in heads for layer in head.modules() if isinstance(layer, nn.Linear)):
            layer.reset_parameters()

    def arguments_for(self, inputs: NodeInputs, data: TemporalGraph) -> dict[str, int]:
        """Return the arguments that a model must have been made with to read some data in some way."""
        return {"node_feats": (data.feature_dim or 0) * bool(self.node_feats), "num_classes": data.num_classes}

    def store(self, **options: Any) -> NeighborStore:
        """Return an empty store as the preset wants it; options are those of `NeighborStore`."""
        return preset_store(self.num_nodes, self.preset, **{"num_neighbors": self.num_neighbors, **options})

    def embed(
        self,
        store: NeighborStore,
        nodes: Tensor,
        now: int,
        node_feat: Features | None = None,
        edge_feat: Features | None = None,
    ) -> Tensor:
        """Return the embeddings of nodes of any shape, from what the store holds: ``(*nodes.shape, out_feats)``.

        Each distinct node is embedded once, and neither the other nodes nor their order matter. The store is not
        changed; to score snapshot t, it holds the snapshots up to t - 1, and ``now`` is t. Features have rows by node
        or by edge id, or are functions of ids that return them. With mass it is the last column.
        """
        check_store(store, self.num_nodes, nodes, self.inputs.table.weight)
        distinct, place = torch.unique(nodes, return_inverse=True)
        embed = self._embed_slots if isinstance(self.conv, InfluenceMixer) else self._embed_block
        z = embed(store, distinct, now, node_feat, edge_feat)
        return z.index_select(0, place.flatten().to(z.device)).view(*nodes.shape, self.out_feats)

    def _embed_block(
        self, store: NeighborStore, nodes: Tensor, now: int, node_feat: Features | None, edge_feat: Features | None
    ) -> Tensor:
        block = store.block(nodes, now)
        feat = self.inputs(block.srcdata[dgl.NID], node_feat)
        extra = look_up("edge_feat", edge_feat, block.edata["edge_id"], self.edge_feats, feat.device)
        gathered = self.conv(block, feat, edge_feat=extra)
        influence = block.edata["influence"].to(feat)
        dst = block.edges(order="eid")[1].to(feat.device).long()
        return self._joined(feat[: len(nodes)], gathered, feat.new_zeros(len(nodes)).index_add(0, dst, influence.abs()))

    def _embed_slots(
        self, store: NeighborStore, nodes: Tensor, now: int, node_feat: Features | None, edge_feat: Features | None
    ) -> Tensor:
        neighbors = store.neighbors(nodes, now)
        there = neighbors.node >= 0
        # Neighbours are looked up where there are any: padding has no vector, least of all node 0's.
        distinct, place = torch.unique(
            torch.cat([nodes.to(neighbors.node), neighbors.node[there]]), return_inverse=True
        )
        feat = self.inputs(distinct, node_feat)
        place, there = place.to(feat.device), there.to(feat.device)
        slots = feat.new_zeros(*there.shape, self.hidden_feats).index_put((there,), feat[place[len(nodes) :]])
        edge_id = neighbors.edge_id[neighbors.node >= 0]
        extra = look_up("edge_feat", edge_feat, edge_id, self.edge_feats, feat.device)
        if extra is not None:
            extra = feat.new_zeros(*there.shape, self.edge_feats).index_put((there,), extra.to(feat.dtype))
        gathered = self.conv(neighbors, slots, extra)
        return self._joined(feat[place[: len(nodes)]], gathered, neighbors.influence.to(feat).abs().sum(1))

    def _joined(self, own: Tensor, gathered: Tensor, total: Tensor) -> Tensor:
        hidden: Tensor = self.join(torch.cat([own, gathered], dim=1))
        return torch.cat([hidden, total.log1p()[:, None]], dim=1) if self.mass else hidden

    def link(self, z_src: Tensor, z_dst: Tensor, pair_feat: Tensor | None = None) -> Tensor:
        """Return the logits of sources ``(E, out_feats)`` and candidates ``(E, C, out_feats)``, as `LinkHead` does."""
        logits: Tensor = self.link_head(z_src, z_dst, pair_feat)
        return logits

    def classify(self, z: Tensor) -> Tensor:
        """Return the logits of classes, ``(*, num_classes)``."""
        if self.class_head is None:
            raise ConfigError("this model was made without classes: make it with num_classes")
        logits: Tensor = self.class_head(z)
        return logits

    def class_probabilities(self, store: NeighborStore, now: int, node_feat: Features | None = None) -> Tensor:
        """Return the class probabilities of all nodes at a snapshot, some nodes at a time, ``(N, num_classes)``."""
        nodes = torch.arange(self.num_nodes, device=self.inputs.table.weight.device)
        parts = nodes.split(_NODES)
        return torch.cat([self.classify(self.embed(store, part, now, node_feat)) for part in parts]).softmax(1)


def _network(in_feats: int, hidden_feats: int, out_feats: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(in_feats, hidden_feats), nn.ReLU(), QuickDropout(dropout), nn.Linear(hidden_feats, out_feats)
    )
