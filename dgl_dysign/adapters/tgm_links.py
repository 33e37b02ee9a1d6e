"""Models of TGM as link models of our tables: asked before a snapshot is observed, a batch a snapshot.

One file, though long: the four read the same neighbours, and are asked and trained in the same way.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dgl_dysign.adapters._shared import require
from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.models.link_scorer import LogitScorer

_NONE = -1  # TGM's id of no neighbour


class RecentNeighbors:
    """The last neighbours of each node, as TGM's ``RecencyNeighborHook`` keeps them, oldest first.

    Parameters
    ----------
    num_nodes, size : int
        Number of nodes N and of neighbours K kept of each.
    device : device
        Where.

    Attributes
    ----------
    node, time, feat : Tensor
        ``(N, K)`` int64 (-1: none) and int64 (snapshots), ``(N, K, 1)`` the logarithm of 1 + the number of events.
    """

    def __init__(self, num_nodes: int, size: int, device: torch.device | str) -> None:
        self.node = torch.full((num_nodes, size), _NONE, device=device)
        self.time = torch.zeros(num_nodes, size, dtype=torch.int64, device=device)
        self.feat = torch.zeros(num_nodes, size, 1, device=device)

    def observe(self, edges: SnapshotEdges) -> None:
        """Take a snapshot in: both ends of each edge are neighbours, in order of time whatever the nodes' numbers."""
        order = edges.edge_id.argsort()
        order = order[edges.time[order].argsort(stable=True)]
        ends = torch.stack([edges.src[order], edges.dst[order]], 1).flatten()
        others = torch.stack([edges.dst[order], edges.src[order]], 1).flatten()
        feat = edges.count[order].float().log1p().repeat_interleave(2)[:, None]
        size, number = self.node.shape[1], torch.bincount(ends, minlength=len(self.node))
        by_node = ends.argsort(stable=True)
        later = number.cumsum(0)[ends[by_node]] - 1 - torch.arange(len(ends), device=ends.device)  # of the same node
        new, column = by_node[later < size], size - 1 - later[later < size]
        stays = (torch.arange(size, device=ends.device) + number[:, None]).clamp(max=size - 1)
        self.node, self.time = self.node.gather(1, stays), self.time.gather(1, stays)
        self.feat = self.feat.gather(1, stays[..., None])
        place = ends[new], column
        self.node[place], self.time[place], self.feat[place] = others[new], edges.snapshot, feat[new]


class TGMModel(LogitScorer, nn.Module):
    r"""What the models of TGM share here: recent neighbours, and TGM's ``LinkPredictor`` over the vectors of both ends.

    It fulfils `dgl_dysign.evaluation.LinkModel`, and is its own scorer for `dgl_dysign.training.links.fit_links`.

    .. math:: y_{sd} = \mathrm{MLP}([z_s \,\|\, z_d])

    TGM trains in batches of 200 events with times in seconds, and one negative. Here a batch is a snapshot, a question
    of snapshot t is asked at time t and what was observed has the number of its snapshot for its time, as nothing of an
    asked link may be known. Negatives and learning rate are those of the table, `dgl_dysign.training.LinkFitConfig`;
    the loss is that of TGM's examples, binary cross-entropy. The only feature of an edge is the logarithm of 1 + its
    number of events, and nodes have none (a constant), so that numbers of nodes say nothing.

    Parameters
    ----------
    num_nodes : int
        N of the data set.

    Attributes
    ----------
    size, width : int
        Neighbours K that are kept of each node, and width of the vectors, 64.

    Raises
    ------
    BackendError
        If TGM is not installed, or cannot be imported; says how.
    """

    loss = "bce"
    size, width = 10, 64

    def __init__(self, num_nodes: int) -> None:
        super().__init__()
        self.num_nodes = num_nodes
        self.head = require("tgm.nn", "tgm").LinkPredictor(node_dim=self.width, hidden_dim=self.width)
        self.recent = RecentNeighbors(num_nodes, self.size, "cpu")

    @property
    def model(self) -> TGMModel:
        """What is trained."""
        return self

    def reset(self) -> None:
        """Forget what was observed."""
        self.recent = RecentNeighbors(self.num_nodes, self.size, self.device)

    def observe(self, edges: SnapshotEdges) -> None:
        """Take a snapshot in."""
        self.recent.observe(edges.to(self.device))

    def vectors(self, nodes: Tensor, now: int) -> Tensor:
        """Return vectors ``(n, width)`` of nodes ``(n,)`` as of the begin of a snapshot."""
        raise NotImplementedError

    def logits(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return logits ``(E, C)`` of candidates ``(E, C)`` of sources ``(E,)`` at a snapshot."""
        nodes, place = torch.cat([src[:, None], dst], 1).to(self.device).unique(return_inverse=True)
        z = self.vectors(nodes, snapshot)[place]
        source, candidates = z[:, :1].expand(-1, dst.shape[1], -1), z[:, 1:]
        logits: Tensor = self.head(source.reshape(-1, self.width), candidates.reshape(-1, self.width))
        return logits.view(dst.shape)

    def known(self, nodes: Tensor, now: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return neighbours ``(n, K)``, their ages in snapshots, and features ``(n, K, 1)`` of the edges to them."""
        return self.recent.node[nodes], now - self.recent.time[nodes], self.recent.feat[nodes]


class TGN(TGMModel):
    r"""TGN: Temporal Graph Networks (Rossi et al., 2020; arXiv 2006.10637), of TGM's modules.

    A memory that messages update, and one layer of attention over the last 10 neighbours:

    .. math:: m_i = \mathrm{mean}([s_i \| s_j \| e \| \Phi(t - t_i)]), \quad
              s_i \leftarrow \mathrm{GRU}(m_i, s_i), \quad
              z_i = \mathrm{attention}(s_i; s_j, e, \Phi(t_j - t))

    Messages of a snapshot are kept, and enter the memory when it is next asked, so that the GRU has a gradient, as in
    the paper. Where a node has several messages their mean counts, one of the paper's two choices: TGM's
    ``LastAggregator`` makes a matrix of nodes by messages. TGM's memory changes its state when it leaves the mode of
    training; here it stays in it. TGM's examples have a width of 100.

    Examples
    --------
    >>> TGN(num_nodes=5).width  # doctest: +SKIP
    64
    """

    def __init__(self, num_nodes: int) -> None:
        super().__init__(num_nodes)
        encoders, width = require("tgm.nn.encoder", "tgm"), self.width
        message = encoders.IdentityMessage(1, width, width)
        self.memory = encoders.TGNMemory(num_nodes, 1, width, width, message, encoders.MeanAggregator())
        self.attention = encoders.GraphAttentionEmbedding(width, width, 1, self.memory.time_enc)

    def train(self, mode: bool = True) -> TGN:
        """Set the mode of all but the memory."""
        self.training = mode
        for child in (self.head, self.attention):
            child.train(mode)
        return self

    def reset(self) -> None:
        """Forget what was observed."""
        super().reset()
        self.memory.reset_state()

    @torch.no_grad()
    def observe(self, edges: SnapshotEdges) -> None:
        """Take a snapshot in; of data without direction both ends of an edge are told the same."""
        super().observe(edges)
        edges = edges.to(self.device)
        if len(edges):
            time = torch.full_like(edges.src, edges.snapshot)
            self.memory.update_state(edges.src, edges.dst, time, edges.count.float().log1p()[:, None])
            self.memory.detach()

    def vectors(self, nodes: Tensor, now: int) -> Tensor:
        """Return vectors of nodes, from their memories and those of their neighbours."""
        neighbor, age, feat = self.known(nodes, now)
        valid = neighbor != _NONE
        asked, place = torch.cat([nodes, neighbor[valid]]).unique(return_inverse=True)
        receiver, _ = valid.nonzero(as_tuple=True)
        edge_index = torch.stack([place[len(nodes) :], place[receiver]])
        memory, last_update = self.memory(asked)
        z: Tensor = self.attention(memory, last_update, edge_index, now - age[valid], feat[valid])
        return z[place[: len(nodes)]]


class GraphMixer(TGMModel):
    r"""GraphMixer (Cong et al., ICLR 2023), of TGM's ``MLPMixer`` and ``Time2Vec``.

    .. math:: z_i = W\,[\mathrm{mean}_k\, \mathrm{Mixer}(W_e [\Phi(t - t_k) \| e_k])_k
              \,\|\, x_i + \mathrm{mean}_k\, x_k]

    over the last 20 edges of a node, as in TGM's example, with two mixers and a time encoding that is not trained.
    Features x of nodes are constant here, so that their part tells whether there is a neighbour. In the paper the
    latter mean is over a span of time, here over the same edges. Missing edges are zero.
    """

    size = 20

    def __init__(self, num_nodes: int) -> None:
        super().__init__(num_nodes)
        modules, width = require("tgm.nn.modules", "tgm"), self.width
        self.time_encoder = modules.Time2Vec(width).requires_grad_(False)
        self.project = nn.Linear(1 + width, width)
        self.mixers = nn.Sequential(*(modules.MLPMixer(self.size, width, dropout=0.1) for _ in range(2)))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width + 1, width)

    def vectors(self, nodes: Tensor, now: int) -> Tensor:
        """Return vectors of nodes, from the ages and features of their last edges."""
        neighbor, age, feat = self.known(nodes, now)
        valid = (neighbor != _NONE)[..., None]
        tokens = self.project(torch.cat([self.time_encoder(age), feat], -1)) * valid
        mixed = self.norm(self.mixers(tokens)).mean(1)
        return self.out(torch.cat([mixed, 1.0 + valid.any(1)], 1))


class TGAT(TGMModel):
    r"""TGAT (Xu et al., ICLR 2020), of TGM's ``TemporalAttention``, two layers of two heads.

    .. math:: h_i^l = \mathrm{MLP}([\mathrm{attention}(q = [h_i^{l-1} \| \Phi(0)],
              kv = [h_j^{l-1} \| e_{ij} \| \Phi(t - t_j)]) \,\|\, x_i])

    In the paper a neighbour's own vector is of the time of its edge; here it is of the time of the question, so that
    each node's is computed once. Neighbours are the last 10, as in TGM's example the last 20, not drawn.
    """

    def __init__(self, num_nodes: int) -> None:
        super().__init__(num_nodes)
        modules, width = require("tgm.nn.modules", "tgm"), self.width
        self.time_encoder = modules.Time2Vec(width)
        self.attentions, self.merges = nn.ModuleList(), nn.ModuleList()
        for feats in (1, width):
            attention = modules.TemporalAttention(2, feats, 1, width, 0.1)
            merge = nn.Sequential(nn.Linear(attention.out_dim + 1, width), nn.ReLU(), nn.Linear(width, width))
            self.attentions.append(attention)
            self.merges.append(merge)

    def vectors(self, nodes: Tensor, now: int) -> Tensor:
        """Return vectors of nodes, from their neighbours' of the layer below."""
        neighbor = self.recent.node[nodes]
        asked = torch.cat([nodes, neighbor[neighbor != _NONE]]).unique()
        constant = torch.ones(self.num_nodes, 1, device=self.device)
        inner = self._layer(0, asked, constant, now)
        known = inner.new_zeros(self.num_nodes, self.width).index_copy(0, asked, inner)
        return self._layer(1, nodes, known, now)

    def _layer(self, layer: int, nodes: Tensor, feat: Tensor, now: int) -> Tensor:
        neighbor, age, edge_feat = self.known(nodes, now)
        valid = neighbor != _NONE
        own_time = self.time_encoder(torch.zeros_like(nodes))
        read = feat[neighbor] * valid[..., None], self.time_encoder(age) * valid[..., None]
        attended = self.attentions[layer](feat[nodes], own_time, edge_feat, *read, valid)
        return self.merges[layer](torch.cat([attended, attended.new_ones(len(nodes), 1)], 1))


class DyGFormer(TGMModel):
    r"""DyGFormer (Yu et al., NeurIPS 2023), TGM's module: a transformer over the neighbours of both ends.

    Sequences of both ends' last neighbours, each with its features, the age of its edge and how often it is in either
    sequence, are cut into patches; the vectors of both ends are the means of theirs. A pair is computed by itself, so
    this is the dearest of the models: narrower here than published (4 channels of 16 rather than of 50, patches of 4
    rather than of 1, with the published length of 32, a node itself and 31 neighbours, 2 layers and 2 heads).
    """

    size = 31
    pairs_at_once = 1 << 13

    def __init__(self, num_nodes: int) -> None:
        super().__init__(num_nodes)
        widths = {"time_feat_dim": self.width, "channel_embedding_dim": 16, "output_dim": self.width, "patch_size": 4}
        self.encoder = require("tgm.nn", "tgm").DyGFormer(
            1, 1, **widths, num_layers=2, num_heads=2, dropout=0.1, max_input_sequence_length=self.size + 1
        )

    def logits(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return logits ``(E, C)``, each pair from the sequences of its ends."""
        pairs = torch.stack([src[:, None].expand(dst.shape).flatten(), dst.flatten()]).to(self.device)
        neighbor, age, feat = self.known(pairs.flatten(), snapshot)
        constant, time = torch.ones(self.num_nodes, 1, device=self.device), torch.full_like(pairs[0], snapshot)
        self.encoder.device = self.encoder.co_occurrence_encoder.device = self.device
        source, candidate = self.encoder(constant, pairs, time, neighbor, snapshot - age, feat)
        logits: Tensor = self.head(source, candidate)
        return logits.view(dst.shape)


#: The models by the names of their rows, made of the number of nodes.
MODELS: dict[str, type[TGMModel]] = {
    "tgm-tgn": TGN,
    "tgm-graphmixer": GraphMixer,
    "tgm-dygformer": DyGFormer,
    "tgm-tgat": TGAT,
}
