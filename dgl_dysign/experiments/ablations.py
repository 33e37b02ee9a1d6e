"""Variants of UnderGS for links, trained and scored alike: what an ablation is made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dgl_dysign.data.snapshot_edges import SnapshotEdges, snapshot_edges
from dgl_dysign.evaluation import NegativeSampler, evaluate_links, split_snapshots
from dgl_dysign.models.link_head import link_loss
from dgl_dysign.models.link_scorer import LinkScorer
from dgl_dysign.models.undergs import PRESETS, UnderGS
from dgl_dysign.pairs import LinkFeatures
from dgl_dysign.pairs.cached_features import CachedFeatures
from dgl_dysign.store import NeighborStore
from dgl_dysign.training.late_snapshot import SnapshotBatch, late_snapshot_step, snapshot_batches
from dgl_dysign.training.links import LinkFitConfig, fit_links

if TYPE_CHECKING:
    from dgl_dysign.data.temporal_graph import TemporalGraph

FIGURES = ("mrr", "mrr_pooled", "hits@1", "hits@3", "hits@10", "auc", "list_auc", "ap")


@dataclass(frozen=True)
class LinkSettings:
    """One model: what a study may change.

    Parameters
    ----------
    importance, snapshot_decay, hop_decay, num_hops, num_neighbors
        Of the store.
    filter_ratio, embedding_dropout, time_scale, mass, loss
        Of the model, see `dgl_dysign.models.UnderGS`.
    history : int, optional
        Snapshots that the store is made of; None: all.
    families : tuple of str
        Of `LinkFeatures`.
    embeddings : bool
        Whether the scorer sees vectors of the store's neighbours.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from dgl_dysign.experiments.ablations import LinkSettings
    >>> base = LinkSettings.base("paper", families=("pair", "walks"))
    >>> base.snapshot_decay, replace(base, num_hops=1, history=5).key(base)
    (0.05, 'num_hops=1,history=5')
    """

    importance: str
    snapshot_decay: float
    filter_ratio: float
    embedding_dropout: float
    time_scale: float | str
    mass: bool
    loss: str
    hop_decay: float = 0.1
    num_hops: int = 2
    num_neighbors: int = 16
    history: int | None = None
    families: tuple[str, ...] = ()
    embeddings: bool = True

    @classmethod
    def base(cls, name: str, families: tuple[str, ...]) -> LinkSettings:
        """Return ``paper``, ``no-counts`` (the preset ``default`` alone) or ``default`` (with features of pairs)."""
        chosen = PRESETS["paper" if name == "paper" else "default"]
        return cls(**asdict(chosen), families=families if name == "default" else ())

    def key(self, base: LinkSettings) -> str:
        """Return what differs from a base, as the name of a file."""
        changed = [(f.name, getattr(self, f.name)) for f in fields(self)]
        parts = [(name, value) for name, value in changed if value != getattr(base, name)]
        return ",".join(f"{name}={'+'.join(v) if isinstance(v, tuple) else v}" for name, v in parts) or "base"


class RecentStore(NeighborStore):
    """A store that is made of the last snapshots alone, anew whenever one comes.

    UnderGS (technical report), figure 7. Hiding what is old when the full store is read would be another thing: the
    slots of hidden entries stay empty, though newer ones had to make room for them.

    Parameters
    ----------
    num_nodes : int
        Number of nodes.
    history : int
        Snapshots to keep, empty ones among them; 0: no neighbour at all.
    **options
        Of `NeighborStore`.

    Examples
    --------
    >>> from dgl_dysign.data import distinct_edges
    >>> from dgl_dysign.experiments.ablations import RecentStore
    >>> store = RecentStore(4, history=1, num_neighbors=2)
    >>> for snapshot, dst in enumerate([1, 2, 3]):
    ...     store.insert(distinct_edges(snapshot, [0], [dst], num_nodes=4))
    >>> store.neighbors([0], now=3).node
    tensor([[ 3, -1]])
    """

    def __init__(self, num_nodes: int, history: int, **options: Any) -> None:
        super().__init__(num_nodes, **options)
        self.history = history
        self._kept: list[SnapshotEdges] = []

    def reset(self) -> None:
        """Empty the store."""
        super().reset()
        self._kept = []

    def insert(self, edges: SnapshotEdges) -> None:  # type: ignore[override]
        """Insert a snapshot, and forget the one that is now too old."""
        kept = [e for e in [*self._kept, edges] if e.snapshot > edges.snapshot - self.history]
        self.reset()
        for old in kept:
            super().insert(old)
        self._kept = kept


class CountsOnly(UnderGS):
    """UnderGS whose vectors are zero, so that nothing but the features of pairs tells candidates apart."""

    def embed(self, store: NeighborStore, nodes: Tensor, now: int, *_: Any, **__: Any) -> Tensor:
        """Return zeros."""
        return self.inputs.table.weight.new_zeros(*nodes.shape, self.out_feats)


class Families:
    """Some families of features that are shared with other models."""

    def __init__(self, shared: CachedFeatures, families: Sequence[str]) -> None:
        self._shared = shared
        self._columns = [i for i, name in enumerate(shared.names) if name.split("/")[0] in families]
        self.names = tuple(shared.names[i] for i in self._columns)

    def reset(self) -> None:
        """Forget the past, for all who share."""
        self._shared.reset()

    def observe(self, edges: SnapshotEdges) -> None:
        """Take in the next snapshot."""
        self._shared.observe(edges)

    def features(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return the chosen columns."""
        return self._shared.features(snapshot, src, dst)[..., self._columns]


class LinkTask:
    """The data, its split by time, and the features that all models of a seed share.

    Parameters
    ----------
    data : TemporalGraph
        The data.
    epochs : int
        Passes over the training snapshots, see `LinkFitConfig`.
    """

    def __init__(self, data: TemporalGraph, epochs: int) -> None:
        self.data, self.num_nodes = data, data.num_nodes
        self.edges = [snapshot_edges(data, t) for t in range(data.num_snapshots)]
        self.split = split_snapshots(data.num_snapshots)
        self.families = LinkFeatures.of(data).families
        self.config = LinkFitConfig(epochs=epochs, cache_bytes=0)  # nothing is kept twice

    def begin(self, seed: int) -> None:
        """Take up a seed: of weights, negatives and dropout."""
        self.seed = seed
        self.shared = CachedFeatures(LinkFeatures.of(self.data), LinkFitConfig.cache_bytes)

    def scorer(self, settings: LinkSettings) -> LinkScorer:
        """Return a scorer with weights as the seed draws them."""
        features = Families(self.shared, settings.families) if settings.families else None
        kind = UnderGS if settings.embeddings else CountsOnly
        names = ("num_neighbors", "filter_ratio", "embedding_dropout", "time_scale", "mass")
        options: dict[str, Any] = {name: getattr(settings, name) for name in names}
        options["preset"] = next(name for name, preset in PRESETS.items() if preset.loss == settings.loss)
        with torch.random.fork_rng([]):
            torch.manual_seed(self.seed)
            model = kind(self.num_nodes, pair_feats=len(features.names) if features else 0, **options)
        return LinkScorer(model, self.store(settings), features)

    def store(self, settings: LinkSettings) -> NeighborStore:
        """Return an empty store."""
        names = ("importance", "snapshot_decay", "hop_decay", "num_hops", "num_neighbors")
        options = {name: getattr(settings, name) for name in names}
        if settings.history is None:
            return NeighborStore(self.num_nodes, **options)
        return RecentStore(self.num_nodes, settings.history, **options)


def fit_and_score(task: LinkTask, settings: LinkSettings) -> dict[str, Any]:
    """Train one model under the honest protocol; return its figures on validation and test snapshots.

    ``scores`` has the figures in %, those of validation as ``val_...``, and what training took; ``by_snapshot`` the MRR
    of each snapshot.
    """
    scorer = task.scorer(settings)
    epochs = fit_links(task.edges, scorer, task.split, task.config, task.seed)
    found: dict[str, Any] = {"cpu_seconds": epochs[-1]["cpu_seconds"], "epochs": len(epochs)}
    by_snapshot = {}
    for prefix, part in (("val_", task.split[1]), ("", task.split[2])):
        sampler = NegativeSampler(task.num_nodes, seed=task.seed)
        scores = evaluate_links(task.edges, {"": scorer}, part, sampler)[""]
        found |= {prefix + name: 100 * scores.summary()[name] for name in FIGURES}
        by_snapshot[prefix + "mrr"] = (100 * scores.by_snapshot()["mrr"]).tolist()
    found |= neighbours_read(scorer.store, task.edges, task.split[2])
    return {"scores": found, "by_snapshot": by_snapshot}


def neighbours_read(store: NeighborStore, edges: Sequence[SnapshotEdges], snapshots: range) -> dict[str, float]:
    """Count the neighbours that the ends of some snapshots' edges have, and how many are older than the last snapshot.

    The last one before the snapshot in question takes the place of the report's current snapshot.
    """
    nodes, filled, old = 0, 0, 0
    store.reset()
    for now in edges[: snapshots.stop]:
        if now.snapshot in snapshots:
            found = store.neighbors(torch.cat([now.src, now.dst]), now.snapshot)
            nodes, filled = nodes + len(found.node), filled + int(found.mask.sum())
            old += int((found.age > 1).sum())
        store.insert(now)
    return {"neighbours": filled / max(1, nodes), "historical_share": 100 * old / max(1, filled)}


class _Gradient(torch.optim.Optimizer):
    """Keeps the gradient instead of taking the step."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__(model.parameters(), {})
        self.found = torch.empty(0)

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Keep the gradient."""
        parameters = self.param_groups[0]["params"]
        self.found = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])


def pipeline(task: LinkTask, settings: LinkSettings, batch_size: int | None) -> dict[str, Any]:
    """Train for an epoch in batches of a size (None: each snapshot at once); return time, memory and the gradient.

    ``cpu_seconds_epoch`` is of the steps alone, features of pairs being known. Of the training snapshot with most
    edges are ``tape_mb``, the most that one batch holds for its gradient (which, unlike the size of the process, does
    not depend on what ran before), and ``gradient_difference``, the largest difference from the gradient of the whole
    snapshot, relative to its largest entry.
    """
    scorer = task.scorer(settings)
    model, largest = scorer.model, (0, -1)  # most rows, and where
    optimizer = torch.optim.AdamW(model.parameters(), task.config.lr)

    def loss(batch: SnapshotBatch) -> Tensor:
        return link_loss(scorer.logits(batch.snapshot, *batch.tensors), model.loss)

    found: dict[str, Any] = {}
    for measured in (False, True):  # features of pairs are found in the first pass
        seconds = 0.0
        for snapshot, src, dst in training_queries(task, scorer):
            batches = snapshot_batches(snapshot, batch_size or len(src), src, dst)
            largest = max(largest, (len(src), snapshot))
            if measured and snapshot == largest[1]:
                found = compare_gradients(model, loss, batches, snapshot_batches(snapshot, len(src), src, dst))
            model.train()
            started = time.process_time()
            late_snapshot_step(optimizer, batches, loss)
            seconds += time.process_time() - started
    return {"scores": {"cpu_seconds_epoch": seconds, **found}}


def training_queries(task: LinkTask, scorer: LinkScorer) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield the warm edges of each training snapshot beside their negatives; the scorer knows what was before."""
    sampler = NegativeSampler(task.num_nodes, task.config.num_negatives, seed=task.seed)
    scorer.reset()
    for edges in task.edges[: task.split[0].stop]:
        queries = sampler.draw(edges)
        if bool(queries.warm.any()):
            yield edges.snapshot, queries.src[queries.warm], queries.dst[queries.warm]
        scorer.observe(edges)
        sampler.observe(edges)


def compare_gradients(
    model: torch.nn.Module,
    loss: Callable[[SnapshotBatch], Tensor],
    batches: Sequence[SnapshotBatch],
    whole: Sequence[SnapshotBatch],
) -> dict[str, float]:
    """Return the memory of a step, and how far its gradient is from that of the whole snapshot (without dropout)."""
    keep, held, most = _Gradient(model), {}, 0
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    def counted(batch: SnapshotBatch) -> Tensor:
        nonlocal most
        held.clear()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            value = loss(batch)
        most = max(most, sum(held.values()))
        return value

    model.train()
    late_snapshot_step(keep, batches, counted)
    model.eval()
    gradients = []
    for part in (batches, whole):
        late_snapshot_step(keep, part, loss)
        gradients.append(keep.found)
    difference = (gradients[0] - gradients[1]).abs().max() / gradients[1].abs().max()
    return {"tape_mb": most / 2**20, "gradient_difference": float(difference)}
