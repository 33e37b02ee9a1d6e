"""Training on labels of events: one step a snapshot, the state always that of before the snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from dgl_dysign.data.snapshot_events import SnapshotEvents
from dgl_dysign.errors import ConfigError
from dgl_dysign.evaluation.events import EventModel, score_snapshot
from dgl_dysign.evaluation.ranking import auc, average_precision
from dgl_dysign.models.event_inputs import EventView
from dgl_dysign.training.late_snapshot import LateStep, SnapshotBatch, late_snapshot_step, snapshot_batches
from dgl_dysign.training.loop import Figures, Loop, LoopConfig, OnEpoch, seeded

LOSSES = ("plain", "weighted")


class TrainableEventScorer(EventModel, Protocol):
    """What `fit_events` trains: an event model whose weights are in one module, `model`, as `EventScorer` is."""

    model: Any

    @property
    def device(self) -> torch.device:
        """Where the model is."""

    def logits(self, events: SnapshotEvents) -> Tensor:
        """Return what `score` does, with gradients, in the mode that the model is in."""


@dataclass(frozen=True)
class EventFitConfig(LoopConfig):
    """How to train on labels of events.

    Parameters
    ----------
    epochs : int, default 4
        Passes over the training snapshots; the weights of the epoch with the best validation score are kept.
    batch_size : int, default 4096
        Most events in a batch; a snapshot's batches make one step.
    lr, weight_decay : float, default 3e-3 and 1
        Of AdamW, under a one-cycle schedule that ends at zero.
    loss : {"plain", "weighted"}, default "plain"
        Cross entropy of all events alike, or with positives weighted so that both labels have the same sum.
    select : {"auc", "ap"}, default "ap"
        Validation score that decides.
    """

    epochs: int = 4
    batch_size: int = 4096
    lr: float = 3e-3
    weight_decay: float = 1.0
    loss: str = "plain"
    select: str = "ap"

    counts: ClassVar[tuple[str, ...]] = ("epochs", "batch_size")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss not in LOSSES or self.select not in ("auc", "ap"):
            raise ConfigError(f"loss is plain or weighted, select auc or ap, but got {self.loss} and {self.select}")


def fit_events(
    scorer: TrainableEventScorer,
    view: EventView,
    config: EventFitConfig | None = None,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
) -> list[Figures]:
    """Train a model on the labels of the training snapshots; keep the weights of the best epoch on validation.

    An epoch goes through the stream once: each training snapshot's labelled events are scored from the state before
    it, gradients of its batches accumulate, one step follows (`late_snapshot_step`), and the snapshot is taken in. The
    validation snapshots follow in the same pass, without steps.

    Parameters
    ----------
    scorer : TrainableEventScorer
        Its model is trained; its state is emptied at the beginning of each epoch.
    view : EventView
        The events. Its seed is that of dropout; the random state of the caller is not touched.
    config, checkpoint, on_epoch
        As of `dgl_dysign.training.fit_links`, and the same errors.

    Returns
    -------
    list of dict
        For each epoch ``epoch``, ``loss``, ``val_auc``, ``val_ap`` and ``cpu_seconds`` so far.
    """
    config, device = config or EventFitConfig(), scorer.device
    rows = [len(view.snapshots[t].labelled()) for t in view.ranges["train"]]
    with seeded(view.seed, device):
        identity = {"seed": view.seed, "events": sum(rows)}
        loop = Loop(scorer.model, config, sum(map(bool, rows)), device, identity, checkpoint)
        return loop.run(lambda: _epoch(scorer, view, config, loop), on_epoch, select=f"val_{config.select}")


def _epoch(scorer: TrainableEventScorer, view: EventView, config: EventFitConfig, loop: Loop) -> Figures:
    """Train on the training snapshots, score those for validation; return the mean loss and the validation's scores."""
    rate = view.rate
    weight = torch.tensor(1.0 if config.loss == "plain" else (1 - rate) / rate, device=loop.device)
    total, rows, scores = 0.0, 0, []
    scorer.reset()
    for t, events in enumerate(view.snapshots):
        if t in view.ranges["val"]:
            scores.append(score_snapshot("validation", scorer, events))
        else:
            step = _step(scorer, events.labelled(), config, loop, weight)
            if step.rows:
                loop.schedule.step()
                total, rows = total + step.loss * step.rows, rows + step.rows
        scorer.observe(events)
    label, rated = torch.cat([view.snapshots[t].label for t in view.ranges["val"]]), torch.cat(scores)
    parts = rated[label == 1], rated[label == 0]
    return {"loss": total / rows, "val_auc": auc(*parts), "val_ap": average_precision(*parts)}


def _step(
    scorer: TrainableEventScorer, events: SnapshotEvents, config: EventFitConfig, loop: Loop, weight: Tensor
) -> LateStep:
    loop.model.train()

    def loss_of(batch: SnapshotBatch) -> Tensor:
        some = events.rows(*batch.tensors)
        target = some.label.to(loop.device).float()
        return config.with_rates(
            lambda: functional.binary_cross_entropy_with_logits(scorer.logits(some), target, pos_weight=weight)
        )

    batches = snapshot_batches(events.snapshot, config.batch_size, torch.arange(len(events)))
    return late_snapshot_step(loop.optimizer, batches, loss_of, max_grad_norm=5.0, model=loop.model)
