"""Training of link scorers: snapshots in order, one step a snapshot, resumable to the last bit."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dgl_dysign.data.snapshot_edges import SnapshotEdges, snapshot_edges
from dgl_dysign.errors import ConfigError
from dgl_dysign.evaluation import LinkQueries, LinkScores, NegativeSampler
from dgl_dysign.models.link_head import link_loss
from dgl_dysign.models.link_scorer import LinkScorer
from dgl_dysign.pairs.cached_features import CachedFeatures
from dgl_dysign.training import distributed
from dgl_dysign.training.checkpoint import load_checkpoint, save_checkpoint
from dgl_dysign.training.late_snapshot import SnapshotBatch, late_snapshot_step, snapshot_batches
from dgl_dysign.training.moments import Moments

if TYPE_CHECKING:
    from dgl_dysign.data.temporal_graph import TemporalGraph

Split = Sequence[range]


@dataclass(frozen=True)
class LinkFitConfig:
    """How to train a link scorer.

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
    num_negatives, val_negatives : int, default 10 and 100
        Negatives an edge in training and in validation.
    historical : float, default 0
        Share of negatives that are past destinations of the source, in both.
    among : {"nodes", "destinations"}, default "nodes"
        Where negatives come from, see `dgl_dysign.evaluation.NegativeSampler`.
    half_life : float or None, default 50
        Snapshots after which a training edge counts half as much; None: all alike.
    max_grad_norm : float, optional
        Clip the norm of each snapshot's gradient.
    cache_bytes : int, default 2**30
        Most memory for features of pairs, which do not change from one epoch to the next.
    """

    epochs: int = 10
    patience: int = 5
    batch_size: int = 1024
    lr: float = 1e-3
    weight_decay: float = 1e-2
    num_negatives: int = 10
    val_negatives: int = 100
    historical: float = 0.0
    among: str = "nodes"
    half_life: float | None = 50.0
    max_grad_norm: float | None = None
    cache_bytes: int = 1 << 30

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "batch_size", "num_negatives", "val_negatives"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, but got {getattr(self, name)}")
        for name in ("lr", "half_life"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name} must be above 0, but got {value}")


def fit_links(
    data: TemporalGraph | Sequence[SnapshotEdges],
    scorer: LinkScorer,
    split: Split,
    config: LinkFitConfig | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> list[dict[str, float]]:
    r"""Train the model of a link scorer; the weights of the best validation MRR stay.

    Every epoch replays the data from the first snapshot on. A training snapshot t is scored from the state before it,
    each warm edge beside its negatives, which are the same in every epoch; the gradient of its loss accumulates over
    batches and is followed by one step (`late_snapshot_step`); then t is observed. The loss of t is weighted by its
    number of edges and :math:`2^{-(t_{last} - t) / half\_life}`. Validation snapshots follow, scored and observed.
    Before the first epoch, one pass takes mean and deviation of the features over the training candidates.

    Under several processes each computes every so many-th batch of a snapshot and a part of the validation. The store
    is filled in all of them; or each holds its own nodes of a `ShardedStore`, and asks for others once a snapshot.

    Parameters
    ----------
    data : TemporalGraph or sequence of SnapshotEdges
        The data.
    scorer : LinkScorer
        Its model is trained; its state is empty afterwards.
    split : sequence of range
        Training and validation snapshots, as `dgl_dysign.evaluation.split_snapshots` gives them; a third is not looked
        at.
    config : LinkFitConfig, optional
        How.
    seed : int, default 0
        Of the negatives and of dropout; the random state of the caller is not touched. The weights are the caller's.
    checkpoint : Path, optional
        File to write after every epoch, and to go on from where it is there.
    on_epoch : callable, optional
        Told the record of each epoch.

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
    config = config or LinkFitConfig()
    features = scorer.features
    if features is not None and not isinstance(features, CachedFeatures):
        scorer.features = CachedFeatures(features, config.cache_bytes)
    started = time.process_time()
    devices = [scorer.device] if scorer.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices):
            torch.manual_seed(seed)
            return _Training(data, scorer, split, config, seed, started).run(checkpoint, on_epoch)
    finally:
        scorer.features = features
        scorer.reset()


class _Training:
    """One training: what it needs from one epoch to the next."""

    def __init__(
        self,
        data: TemporalGraph | Sequence[SnapshotEdges],
        scorer: LinkScorer,
        split: Split,
        config: LinkFitConfig,
        seed: int,
        started: float,
    ) -> None:
        self.data, self.scorer, self.model, self.config = data, scorer, scorer.model, config
        self.train, self.val = _checked(split)
        self.started = started
        shared: dict[str, Any] = {"historical": config.historical, "seed": seed, "among": config.among}
        nodes = scorer.model.num_nodes
        self.train_sampler = NegativeSampler(nodes, config.num_negatives, **shared)
        self.val_sampler = NegativeSampler(nodes, config.val_negatives, **shared)
        self.asked = {**asdict(config), "seed": seed, "train": list(self.train), "val": list(self.val)}
        self.weight = self._survey()
        distributed.same_model(scorer.model)
        trained = [parameter for parameter in scorer.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=config.lr, weight_decay=config.weight_decay)
        steps = config.epochs * len(self.weight)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, config.lr, total_steps=steps)
        self.best = copy.deepcopy(scorer.model.state_dict())

    def run(
        self, checkpoint: Path | None, on_epoch: Callable[[dict[str, float]], None] | None
    ) -> list[dict[str, float]]:
        """Train until the last epoch, or until patience ends."""
        history = self._resume(checkpoint)
        spent = history[-1]["cpu_seconds"] if history else 0.0
        while len(history) < self.config.epochs and _stale(history) < self.config.patience:
            loss, val_mrr = self._epoch()
            seconds = spent + time.process_time() - self.started
            history.append({"epoch": len(history), "loss": loss, "val_mrr": val_mrr, "cpu_seconds": seconds})
            if _stale(history) == 0:
                self.best = copy.deepcopy(self.model.state_dict())
            if checkpoint is not None and distributed.rank() == 0:
                save_checkpoint(checkpoint, self._parts(), self._record(history), self.scorer.device)
            if on_epoch is not None:
                on_epoch(history[-1])
        self.model.load_state_dict(self.best)
        self.model.eval()
        return history

    def _parts(self) -> dict[str, Any]:
        return {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule}

    def _record(self, history: list[dict[str, float]]) -> dict[str, Any]:
        return {"asked": self.asked, "history": history, "best": self.best}

    def _resume(self, checkpoint: Path | None) -> list[dict[str, float]]:
        found = load_checkpoint(checkpoint, self._parts(), self.asked, self.scorer.device)
        distributed.check_same(0 if found is None else len(found["history"]), "epochs in its checkpoint")
        if found is None:
            return []
        self.best = found["best"]
        return found["history"]

    def _replay(self, last: int) -> Iterator[SnapshotEdges]:
        """Give one snapshot after the other; each is observed when the next is asked for."""
        parts = (self.scorer, self.train_sampler, self.val_sampler)
        for part in parts:
            part.reset()
        for t in range(last + 1):
            edges = self.data[t] if isinstance(self.data, Sequence) else snapshot_edges(self.data, t)
            yield edges
            for part in parts:
                part.observe(edges)

    def _batches(self, edges: SnapshotEdges) -> list[SnapshotBatch]:
        """Return the questions of a training snapshot: warm edges beside their negatives."""
        queries = self.train_sampler.draw(edges)
        src, dst = queries.src[queries.warm], queries.dst[queries.warm]
        return snapshot_batches(edges.snapshot, self.config.batch_size, src, dst)

    def _survey(self) -> dict[int, float]:
        """Standardise the features by the training candidates; return the weight of each snapshot that has some."""
        rows, moments, features = {}, Moments(), self.scorer.features
        for edges in self._replay(self.train[-1]):
            if edges.snapshot in self.train:
                batches = self._batches(edges)
                rows[edges.snapshot] = sum(map(len, batches))
                for batch in batches[distributed.rank() :: distributed.world()]:
                    if features is not None:
                        moments.add(features.features(edges.snapshot, *batch.tensors))
        if not any(rows.values()):
            raise ConfigError(f"no warm edge in the training snapshots {self.train[0]} to {self.train[-1]}")
        if features is not None:
            self.model.link_head.standardise(*_joined(moments, len(features.names)))
        life = self.config.half_life
        weight = {t: n * (1.0 if life is None else 0.5 ** ((max(rows) - t) / life)) for t, n in rows.items() if n}
        mean = sum(weight.values()) / len(weight)
        return {t: value / mean for t, value in weight.items()}

    def _epoch(self) -> tuple[float, float]:
        """Train on every training snapshot, score the validation; return the mean loss of an edge, and the MRR."""
        loss, rows, scores = 0.0, 0, LinkScores("validation")
        for edges in self._replay(self.val[-1]):
            if edges.snapshot in self.weight:
                self.model.train()
                batches = self._batches(edges)
                mine = batches[distributed.rank() :: distributed.world()]
                distributed.refresh(self.scorer.store, *(nodes for batch in mine for nodes in batch.tensors))
                step = late_snapshot_step(self.optimizer, batches, self._loss, self.config.max_grad_norm, self.model)
                self.schedule.step()
                loss, rows = loss + step.loss * step.rows / self.weight[edges.snapshot], rows + step.rows
            elif edges.snapshot in self.val:
                self._validate(self.val_sampler.draw(edges), scores)
        if not bool(scores.warm.any()):
            raise ConfigError(f"no warm edge in the validation snapshots {self.val[0]} to {self.val[-1]}")
        return loss / rows, scores.mrr

    def _loss(self, batch: SnapshotBatch) -> Tensor:
        logits = self.scorer.logits(batch.snapshot, *batch.tensors)
        return link_loss(logits, self.model.loss) * self.weight[batch.snapshot]

    def _validate(self, queries: LinkQueries, scores: LinkScores) -> None:
        warm = queries.warm
        asked = LinkQueries(queries.snapshot, queries.src[warm], queries.dst[warm], warm[warm])
        if len(asked):
            scores.add(asked, distributed.DividedScorer(self.scorer).score(asked.snapshot, asked.src, asked.dst))


def _joined(moments: Moments, width: int) -> tuple[Tensor, Tensor]:
    """Return mean and deviation over the rows of all processes."""
    if distributed.world() == 1:
        return moments.mean, moments.deviation
    rows = distributed.sum_over_processes(torch.tensor(moments.rows, dtype=torch.float64))
    mean = distributed.sum_over_processes(moments.mean.double().expand(width) * moments.rows) / rows
    squares = (moments.deviation.square() + (moments.mean - mean).square()).double() * moments.rows
    return mean, (distributed.sum_over_processes(squares) / rows).sqrt()


def _checked(split: Split) -> tuple[range, range]:
    train, val = split[0], split[1]
    if not train or not val or train[-1] >= val[0] or train[0] < 0:
        raise ConfigError(
            f"expected training snapshots and then later ones for validation, but got {train} and {val}: "
            f"see split_snapshots"
        )
    return train, val


def _stale(history: list[dict[str, float]]) -> int:
    """Return how many epochs there were since the best."""
    if not history:
        return 0
    best = max(range(len(history)), key=lambda epoch: history[epoch]["val_mrr"])
    return len(history) - 1 - best
