"""Dy-SIGN's equilibrium of firing rates on the graph of UnderGS's neighbour store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgl_dysign.data.row_store import IN_MEMORY, RowStore
from dgl_dysign.data.temporal_graph import TemporalGraph
from dgl_dysign.errors import ConfigError
from dgl_dysign.models.dysign import DySIGN
from dgl_dysign.models.inputs import Features, NodeInputs, Snapshot, look_up, store_graph
from dgl_dysign.models.link_head import LinkHead
from dgl_dysign.models.node_table import NodeTable
from dgl_dysign.models.undergs import check_store, get_preset, preset_store
from dgl_dysign.store import NeighborStore


class SpikingUnderGS(DySIGN):
    r"""Firing rates at equilibrium over influential neighbours, read out as classes, embeddings or links.

    Joins the two papers, which neither has: Dy-SIGN's layer (AAAI 2024, equations 8 to 10) takes, in place of the
    adjacency of all events so far, the directed graph of the N K entries that UnderGS's store keeps, aged to the
    snapshot. So memory does not grow with the number of events, and what is forgotten is forgotten by influence.

    .. math:: a^* = \mathrm{clamp}\!\left((\hat S a^* W^T + [x \,\Vert\, i] F^T + b) / V_{th},\, 0,\, 1\right)

    with :math:`\hat S` the store's shares, normalised so that the equilibrium exists on directed graphs too (see
    `dgl_dysign.ops.symmetric_norm`), x the nodes' features and i their learned vectors. Classes are read out as in
    `DySIGN`, whose training works here: `snapshot` gives what it reads.

    Parameters
    ----------
    num_nodes, hidden_feats : int, the latter by default 64
        Number of nodes of all snapshots, and of neurons.
    node_feats, id_feats : int, optional
        Width of the nodes' features (default 0: none) and of their learned vectors (by default 64 without features
        and 0 with them).
    num_classes, num_snapshots : int, default 0 and 1
        Classes of the read-out (0: none), and snapshots that are read out.
    pair_feats, head_dropout : int, default 0; float, default 0.1
        Width of features of pairs for `link`, and dropout of its hidden layer.
    symmetric : bool, default False
        Whether messages also go back from a node to the neighbours that it keeps.
    preset, embedding_dropout, mass
        As for `UnderGS`, of which it takes the store, the dropout of learned vectors, mass and loss.
    **options
        For `DySIGN` and `dgl_dysign.nn.EquilibriumSpikingConv`.

    Attributes
    ----------
    out_feats : int
        Width of the embeddings: ``hidden_feats``, and one more with mass.

    Shapes
    ------
    nodes ``(*)`` -> embeddings ``(*, out_feats)``; snapshots -> logits ``(N, num_classes)``.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.models import SpikingUnderGS
    >>> model = SpikingUnderGS(5, hidden_feats=8, num_classes=3)
    >>> store = model.store()
    >>> store.insert(0, torch.tensor([0, 1]), torch.tensor([1, 2]))
    >>> model([model.snapshot(store, now=1)]).shape
    torch.Size([5, 3])
    >>> z = model.embed(store, torch.tensor([[0, 1, 4], [2, 1, 3]]), now=1)
    >>> model.link(z[:, 0], z[:, 1:]).shape
    torch.Size([2, 2])
    """

    def __init__(
        self,
        num_nodes: int,
        hidden_feats: int = 64,
        *,
        node_feats: int = 0,
        id_feats: int | None = None,
        num_classes: int = 0,
        num_snapshots: int = 1,
        pair_feats: int = 0,
        symmetric: bool = False,
        preset: str = "default",
        embedding_dropout: float | None = None,
        mass: bool | None = None,
        head_dropout: float = 0.1,
        **options: Any,
    ) -> None:
        chosen = get_preset(preset)
        id_feats = (0 if node_feats else 64) if id_feats is None else id_feats
        if node_feats + id_feats < 1:
            raise ConfigError("node_feats and id_feats are both 0: nothing would enter the neurons")
        super().__init__(node_feats + id_feats, hidden_feats, max(num_classes, 1), num_snapshots, **options)
        if not num_classes:  # DySIGN always has a read-out: the one without classes is not for training
            self.readout.requires_grad_(False)
            self.bias.requires_grad_(False)
        self.num_nodes, self.num_classes, self.node_feats = num_nodes, num_classes, node_feats
        self.symmetric, self.preset, self.loss = symmetric, preset, chosen.loss
        self.mass = chosen.mass if mass is None else mass
        self.out_feats = hidden_feats + self.mass
        self.embedding_dropout = chosen.embedding_dropout if embedding_dropout is None else embedding_dropout
        self.table = NodeTable(num_nodes, id_feats) if id_feats else None
        self.link_head = LinkHead(self.out_feats, hidden_feats, pair_feats, head_dropout, bias=self.loss == "bce")

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        super().reset_parameters()
        for name, part in self.named_children():  # DySIGN calls this before the others are there
            for layer in part.modules() if name in ("table", "link_head") else ():
                if isinstance(layer, nn.Linear | nn.Embedding):
                    layer.reset_parameters()

    def arguments_for(self, inputs: NodeInputs, data: TemporalGraph) -> dict[str, int]:
        """Return the arguments that a model must have been made with to read some data in some way."""
        means = len(inputs.hops) if self.table is None else 1
        width = (data.feature_dim or 0) * means * bool(self.node_feats)
        return {"node_feats": width, "num_classes": data.num_classes}

    def store(self, **options: Any) -> NeighborStore:
        """Return an empty store as the preset wants it; options are those of `NeighborStore`."""
        return preset_store(self.num_nodes, self.preset, **options)

    def snapshot(self, store: NeighborStore, now: int, node_feat: Features | None = None) -> Snapshot:
        """Return what the model reads of a store at a snapshot: graph, weights, features and who is in it.

        The store is not changed; to predict snapshot t, it holds the snapshots up to t - 1. ``node_feat`` has rows by
        node, or is a function of ids that returns them.
        """
        return self._read(self._graph(store, now), node_feat)

    def _graph(self, store: NeighborStore, now: int) -> Any:
        check_store(store, self.num_nodes, self.bias)
        return store_graph(store, now, symmetric=self.symmetric)

    def _read(self, graph: Any, node_feat: Features | None) -> Snapshot:
        device = self.conv.injection_weight.device
        nodes = torch.arange(self.num_nodes, device=device)
        feat = look_up("node_feat", node_feat, nodes, self.node_feats, device)
        parts = [] if feat is None else [feat.to(self.conv.injection_weight.dtype)]
        if self.table is not None:
            parts.append(functional.dropout(self.table.weight, self.embedding_dropout, self.training))
        active = graph.ndata["active"].to(device)
        return Snapshot(graph, graph.edata["weight"].to(device), torch.cat(parts, 1) * active[:, None], active)

    def embed(
        self,
        store: NeighborStore,
        nodes: Tensor,
        now: int,
        node_feat: Features | None = None,
        *,
        simulate: bool | None = None,
    ) -> Tensor:
        """Return the centred firing rates of nodes of any shape, and their mass: ``(*nodes.shape, out_feats)``.

        Rates minus one half, zero for nodes without neighbours. Nodes depend on each other, so that the equilibrium is
        that of the whole graph: call it once a snapshot, for all nodes that are needed. Arguments are those of
        `snapshot`; ``simulate`` asks for rates of the spiking simulation, or of the solver; default: as the layer was
        made.
        """
        graph = self._graph(store, now)
        read = self._read(graph, node_feat)
        rate, _ = self.conv(
            graph, self.encoded(read.feat), None, read.edge_weight, None, read.active, simulate=simulate
        )
        z = (rate - 0.5) * read.active[:, None]
        if self.mass:
            z = torch.cat([z, graph.ndata["mass"].to(z)[:, None]], dim=1)
        return z[nodes.to(z.device)]

    def link(self, z_src: Tensor, z_dst: Tensor, pair_feat: Tensor | None = None) -> Tensor:
        """Return the logits of sources ``(E, out_feats)`` and candidates ``(E, C, out_feats)``, as `LinkHead` does."""
        logits: Tensor = self.link_head(z_src, z_dst, pair_feat)
        return logits

    def forward(
        self,
        snapshots: Sequence[Snapshot],
        label_feat: Tensor | None = None,
        simulate: bool | None = None,
        rows: RowStore = IN_MEMORY,
    ) -> Tensor:
        """Return the class logits of all nodes, see `DySIGN`."""
        if not self.num_classes:
            raise ConfigError("this model was made without classes: make it with num_classes")
        return super().forward(snapshots, label_feat, simulate, rows)
