"""Training of link scorers: snapshots in order, a step or a few for each, resumable to the last bit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from dgl_dysign.data.snapshot_edges import SnapshotEdges, snapshot_edges
from dgl_dysign.errors import ConfigError, check_least
from dgl_dysign.evaluation import LinkModel, LinkScores, NegativeSampler
from dgl_dysign.models.link_head import link_loss
from dgl_dysign.pairs.cached_features import CachedFeatures
from dgl_dysign.training import distributed
from dgl_dysign.training.distributed import Moments
from dgl_dysign.training.late_snapshot import SnapshotBatch, late_snapshot_step, snapshot_batches
from dgl_dysign.training.loop import Figures, Loop, LoopConfig, OnEpoch, seeded

if TYPE_CHECKING:
    from dgl_dysign.data.temporal_graph import TemporalGraph
    from dgl_dysign.pairs.pair_features import PairFeatures

Split = Sequence[range]

_MIN_EDGES = 100  # of a step, where a snapshot is cut into several
_LARGE = 500_000  # nodes above which less is cached


@runtime_checkable
class TrainableScorer(LinkModel, Protocol):
    """What `fit_links` trains: a link model whose weights are in one module, as in `dgl_dysign.models.LinkScorer`.

    Attributes
    ----------
    model : Module
        With ``num_nodes`` and ``loss``, see `dgl_dysign.models.link_head.link_loss`; where there are features of pairs
        also with ``link_head.standardise``.
    features : PairFeatures or None
        Of pairs, which `reset` and `observe` keep up to date.
    store : NeighborStore or None
        Where there is one, so that several processes can share it.
    """

    model: Any
    features: Any
    store: Any

    @property
    def device(self) -> torch.device:
        """Where the model is."""

    def logits(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return what `score` does, with gradients, in the mode that the model is in."""


@dataclass(frozen=True)
class LinkFitConfig(LoopConfig):
    """How to train a link scorer; values out of range raise ``ConfigError``.

    Parameters
    ----------
    epochs : int, default 10
        Most passes over the training snapshots.
    patience : int, default 5
        Passes without a better validation MRR after which training ends.
    batch_size : int, default 1024
        Edges whose candidates are held at once; results do not depend on it but for rounding and the draws of dropout.
    lr, weight_decay : float, default 1e-3 and 1e-2
        Of AdamW, under a one-cycle schedule over all `epochs`.
    min_steps : int, default 300
        Optimiser steps of an epoch: where training has at most half as many snapshots, each is cut into equal parts of
        at least 100 edges, and each part is followed by a step. 1: one step a snapshot.
    num_negatives, val_negatives : int, default 10 and 100
        Negatives an edge in training and in validation.
    historical : float, default 0
        Share of negatives that are past destinations of the source, in both.
    among : {"nodes", "destinations"}, default "nodes"
        Where negatives come from, see `dgl_dysign.evaluation.NegativeSampler`.
    max_edges : int, optional
        Most edges of a snapshot that are trained on, or scored for validation: as many are drawn, the same in each
        epoch. All are observed. Default: all.
    half_life : float or None, default 50
        Snapshots after which a training edge counts half as much; None: all alike.
    max_grad_norm : float, optional
        Clip the norm of each snapshot's gradient.
    cache_bytes : int, optional
        Most memory for features of pairs, which do not change from one epoch to the next; the others are computed in
        each epoch. Default: a GiB, or a quarter of it above 500,000 nodes, of which more is kept elsewhere.
    rate_penalty, target_rate
        Of a spiking model, see `dgl_dysign.nn.FiringRates`.
    """

    epochs: int = 10
    patience: int = 5
    batch_size: int = 1024
    lr: float = 1e-3
    weight_decay: float = 1e-2
    min_steps: int = 300
    num_negatives: int = 10
    val_negatives: int = 100
    historical: float = 0.0
    among: str = "nodes"
    max_edges: int | None = None
    half_life: float | None = 50.0
    max_grad_norm: float | None = None
    cache_bytes: int | None = None

    counts: ClassVar[tuple[str, ...]] = (
        "epochs", "patience", "batch_size", "min_steps", "num_negatives", "val_negatives",
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("lr", "half_life"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name} must be above 0, but got {value}")
        if self.max_edges is not None:
            check_least(1, max_edges=self.max_edges)

    def cached(self, features: PairFeatures, num_nodes: int) -> CachedFeatures:
        """Return features of pairs with a cache of the size for so many nodes."""
        usual = 1 << (28 if num_nodes > _LARGE else 30)
        return CachedFeatures(features, usual if self.cache_bytes is None else self.cache_bytes)

    def sampler(self, num_nodes: int, num_negatives: int, seed: int) -> NegativeSampler:
        """Return what draws the edges and their negatives."""
        return NegativeSampler(num_nodes, num_negatives, self.historical, seed, self.among, self.max_edges)


def replay(data: TemporalGraph | Sequence[SnapshotEdges], last: int, *observers: Any) -> Iterator[SnapshotEdges]:
    """Yield the snapshots up to the last one; observers are reset, and observe each before the next is yielded."""
    for observer in observers:
        observer.reset()
    for t in range(last + 1):
        edges = data[t] if isinstance(data, Sequence) else snapshot_edges(data, t)
        yield edges
        for observer in observers:
            observer.observe(edges)


def warm_steps(
    sampler: NegativeSampler, edges: SnapshotEdges, config: LinkFitConfig, snapshots: int
) -> list[list[SnapshotBatch]]:
    """Return the batches of each step on a snapshot, one of so many: its warm edges beside their negatives."""
    queries = sampler.draw(edges).only_warm()
    steps = max(1, min(config.min_steps // snapshots, len(queries) // _MIN_EDGES))
    parts = zip(queries.src.tensor_split(steps), queries.dst.tensor_split(steps), strict=True)
    return [snapshot_batches(edges.snapshot, config.batch_size, *part) for part in parts]


def age_weight(age: int, half_life: float | None) -> float:
    """Return the weight of a training edge that is so many snapshots older than the newest."""
    return 1.0 if half_life is None else 0.5 ** (age / half_life)


def fit_links(
    data: TemporalGraph | Sequence[SnapshotEdges],
    scorer: TrainableScorer,
    split: Split,
    config: LinkFitConfig | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
) -> list[Figures]:
    r"""Train the model of a link scorer; the weights of the best validation MRR stay.

    Every epoch replays the data from the first snapshot on. A training snapshot t is scored from the state before it,
    each warm edge beside its negatives, which are the same in every epoch; the gradient of its loss accumulates over
    batches and is followed by one step (`late_snapshot_step`), or that of each of its parts where there are few
    snapshots (``min_steps``); then t is observed. The loss of t is weighted by its number of edges and
    :math:`2^{-(t_{last} - t) / half\_life}`. Validation snapshots follow, scored and observed. Before the first epoch,
    one pass takes mean and deviation of the features over the training candidates.

    Under several processes each computes every so many-th batch of a snapshot and a part of the validation. The store
    is filled in all of them; or each holds its own nodes of a `ShardedStore`, and asks for others once a snapshot.

    Parameters
    ----------
    data : TemporalGraph or sequence of SnapshotEdges
        The data.
    scorer : TrainableScorer
        Its model is trained; its state is empty afterwards.
    split : sequence of range
        Training and validation snapshots, as `dgl_dysign.evaluation.split_snapshots` gives them; a third is not read.
    config : LinkFitConfig, optional
        How.
    seed : int, default 0
        Of the negatives and of dropout; the random state of the caller is not touched.
    checkpoint : Path, optional
        File to write after every epoch, and to go on from where it is there.
    on_epoch : callable, optional
        Called with the record of each epoch.

    Returns
    -------
    list of dict
        For each epoch ``epoch``, ``loss``, ``val_mrr`` and ``cpu_seconds`` so far.

    Raises
    ------
    ConfigError
        If the split is not in order, or training or validation has no warm edge.
    DataError
        If the checkpoint cannot be read, or is that of another training.
    """
    started, config = time.process_time(), config or LinkFitConfig()
    train, val = _checked(split)
    features = scorer.features
    if features is not None and not isinstance(features, CachedFeatures):
        scorer.features = config.cached(features, scorer.model.num_nodes)
    try:
        with seeded(seed, scorer.device):
            epochs = _Epochs(data, scorer, train, val, config, seed)
            identity = {"seed": seed, "train": list(train), "val": list(val)}
            loop = Loop(scorer.model, config, epochs.num_steps, scorer.device, identity, checkpoint, started=started)
            return loop.run(lambda: epochs.run(loop), on_epoch, select="val_mrr", patience=config.patience)
    finally:
        scorer.features = features
        scorer.reset()


@dataclass
class _Epochs:
    """What one epoch does, its number of steps, and the weight of each training snapshot."""

    data: TemporalGraph | Sequence[SnapshotEdges]
    scorer: TrainableScorer
    train: range
    val: range
    config: LinkFitConfig
    seed: int

    def __post_init__(self) -> None:
        self.model, config = self.scorer.model, self.config
        nodes = self.model.num_nodes
        self.train_sampler = config.sampler(nodes, config.num_negatives, self.seed)
        self.val_sampler = config.sampler(nodes, config.val_negatives, self.seed)
        self.num_steps = 0
        self.weight = self._survey()

    def _replay(self, last: int) -> Iterator[SnapshotEdges]:
        return replay(self.data, last, self.scorer, self.train_sampler, self.val_sampler)

    def _steps(self, edges: SnapshotEdges) -> tuple[list[list[SnapshotBatch]], list[SnapshotBatch]]:
        """Return the batches of each step on a training snapshot, and those that this process computes."""
        steps = warm_steps(self.train_sampler, edges, self.config, len(self.train))
        return steps, [batch for step in steps for batch in step[distributed.rank() :: distributed.world()]]

    def _survey(self) -> dict[int, float]:
        """Standardise the features by the training candidates; return the weight of each snapshot that has some."""
        rows, moments, features = {}, Moments(), self.scorer.features
        for edges in self._replay(self.train[-1]):
            if edges.snapshot in self.train:
                steps, own = self._steps(edges)
                rows[edges.snapshot] = sum(len(batch) for step in steps for batch in step)
                self.num_steps += len(steps) if rows[edges.snapshot] else 0
                if features is not None:
                    for batch in own:
                        moments.add(features.features(edges.snapshot, *batch.tensors))
        if not any(rows.values()):
            raise ConfigError(f"no warm edge in the training snapshots {self.train[0]} to {self.train[-1]}")
        if features is not None:
            self.model.link_head.standardise(*moments.over_processes(len(features.names)))
        last, half_life = max(rows), self.config.half_life
        weight = {t: count * age_weight(last - t, half_life) for t, count in rows.items() if count}
        mean = sum(weight.values()) / len(weight)
        return {t: value / mean for t, value in weight.items()}

    def run(self, loop: Loop) -> Figures:
        """Train on every training snapshot, score the validation; return the mean loss of an edge, and the MRR."""
        loss, rows, scores, clip = 0.0, 0, LinkScores("validation"), self.config.max_grad_norm
        for edges in self._replay(self.val[-1]):
            if edges.snapshot in self.weight:
                self.model.train()
                steps, own = self._steps(edges)
                distributed.refresh(self.scorer.store, *(nodes for batch in own for nodes in batch.tensors))
                for batches in steps:
                    done = late_snapshot_step(loop.optimizer, batches, self._loss, clip, self.model)
                    loop.schedule.step()
                    loss, rows = loss + done.loss * done.rows / self.weight[edges.snapshot], rows + done.rows
            elif edges.snapshot in self.val:
                queries = self.val_sampler.draw(edges).only_warm()
                if len(queries):
                    scorer = distributed.DividedScorer(self.scorer)
                    scores.add(queries, scorer.score(queries.snapshot, queries.src, queries.dst))
        if not bool(scores.warm.any()):
            raise ConfigError(f"no warm edge in the validation snapshots {self.val[0]} to {self.val[-1]}")
        return {"loss": loss / rows, "val_mrr": scores.mrr}

    def _loss(self, batch: SnapshotBatch) -> Tensor:
        def loss() -> Tensor:
            return link_loss(self.scorer.logits(batch.snapshot, *batch.tensors), self.model.loss)

        return self.config.with_rates(loss) * self.weight[batch.snapshot]


def _checked(split: Split) -> tuple[range, range]:
    train, val = split[0], split[1]
    if not train or not val or train[-1] >= val[0] or train[0] < 0:
        raise ConfigError(
            f"expected training snapshots and then later ones for validation, but got {train} and {val}: "
            f"see split_snapshots"
        )
    return train, val
