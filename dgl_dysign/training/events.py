"""Training on labels of events: one step a snapshot, the state always that of before the snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from dgl_dysign.errors import ConfigError
from dgl_dysign.evaluation.ranking import auc, average_precision
from dgl_dysign.models.event_counts import EventCounts
from dgl_dysign.models.event_inputs import EventInputs, SnapshotEvents
from dgl_dysign.models.event_undergs import EventUnderGS
from dgl_dysign.store import NeighborStore
from dgl_dysign.training.late_snapshot import SnapshotBatch, late_snapshot_step, snapshot_batches
from dgl_dysign.training.loop import Figures, Loop, LoopConfig, OnEpoch, seeded

LOSSES = ("plain", "weighted")


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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss not in LOSSES or self.select not in ("auc", "ap"):
            raise ConfigError(f"loss is plain or weighted, select auc or ap, but got {self.loss} and {self.select}")


def fit_events(
    model: EventUnderGS,
    store: NeighborStore,
    inputs: EventInputs,
    config: EventFitConfig | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
) -> list[Figures]:
    """Train a model on the labels of the training snapshots; keep the weights of the best epoch on validation.

    An epoch goes through the stream once: each training snapshot's labelled events are scored from the state before
    it, gradients of its batches accumulate, one step follows (`late_snapshot_step`), and the snapshot is taken in. The
    validation snapshots follow in the same pass, without steps. Test snapshots are not read.

    Parameters
    ----------
    model : EventUnderGS
        What is trained.
    store : NeighborStore
        Emptied at the beginning of each epoch.
    inputs : EventInputs
        The events.
    config : EventFitConfig, optional
        How.
    seed : int, default 0
        Of dropout; the random state of the caller is not touched.
    checkpoint : Path, optional
        File to write after every epoch, and to go on from where it is there.
    on_epoch : callable, optional
        Called with the record of each epoch.

    Returns
    -------
    list of dict
        For each epoch ``epoch``, ``loss``, ``val_auc``, ``val_ap`` and ``cpu_seconds`` so far.

    Raises
    ------
    DataError
        If the checkpoint cannot be read, or is that of another training.
    """
    config, device = config or EventFitConfig(), model.offset.device
    steps = sum(bool((inputs.snapshots[t].label >= 0).any()) for t in inputs.ranges["train"])
    reader = _Reader(model, store, inputs)
    with seeded(seed, device):
        identity = {"seed": seed, "events": len(inputs.parts["train"])}
        loop = Loop(model, config, steps, device, identity, checkpoint)
        return loop.run(lambda: _epoch(reader, config, loop), on_epoch, select=f"val_{config.select}")


def score_events(model: EventUnderGS, store: NeighborStore, inputs: EventInputs) -> Tensor:
    """Return the logits of all events, each from the state before its snapshot, ``(E,)``."""
    reader = _Reader(model, store, inputs)
    return torch.cat([reader.score(events, counts) for events, counts in inputs.replay(store)])


@dataclass
class _Reader:
    """A model, and what it reads from the state before a snapshot."""

    model: EventUnderGS
    store: NeighborStore
    inputs: EventInputs

    def logits(self, events: SnapshotEvents, counts: EventCounts, places: Tensor) -> Tensor:
        """Return the logits of some of a snapshot's events."""
        model, inputs, t = self.model, self.inputs, events.snapshot
        device, undergs = model.offset.device, model.undergs
        return model(
            self.store,
            t,
            events.src[places].to(device),
            events.dst[places].to(device),
            inputs.event_feat[events.first + places].to(device) if undergs.link_head.pair_feats else None,
            (lambda nodes: inputs.node_feat(counts, t, nodes).to(device)) if undergs.node_feats else None,
            (lambda ids: inputs.own_feat(ids).to(device)) if undergs.edge_feats else None,
        )

    @torch.no_grad()
    def score(self, events: SnapshotEvents, counts: EventCounts) -> Tensor:
        """Return the logits of all events of a snapshot, without dropout."""
        self.model.eval()
        return self.logits(events, counts, torch.arange(len(events))).cpu() if len(events) else torch.zeros(0)


def _epoch(reader: _Reader, config: EventFitConfig, loop: Loop) -> Figures:
    """Train on the training snapshots, score those for validation; return the mean loss and the validation's scores."""
    inputs, rate, val = reader.inputs, reader.inputs.rate, reader.inputs.ranges["val"]
    weight = torch.tensor(1.0 if config.loss == "plain" else (1 - rate) / rate, device=loop.device)
    total, rows, scores = 0.0, 0, torch.full((len(inputs.label),), torch.nan)
    for events, counts in inputs.replay(reader.store):
        if events.snapshot > val[-1]:
            break
        if events.snapshot in val:
            scores[events.rows] = reader.score(events, counts)
            continue
        loop.model.train()

        def loss_of(batch: SnapshotBatch, events: SnapshotEvents = events, counts: EventCounts = counts) -> Tensor:
            (places,) = batch.tensors
            target = events.label[places].to(loop.device).float()
            logits = reader.logits(events, counts, places)
            return functional.binary_cross_entropy_with_logits(logits, target, pos_weight=weight)

        batches = snapshot_batches(events.snapshot, config.batch_size, (events.label >= 0).nonzero()[:, 0])
        step = late_snapshot_step(loop.optimizer, batches, loss_of, max_grad_norm=5.0, model=loop.model)
        if step.rows:
            loop.schedule.step()
            total, rows = total + step.loss * step.rows, rows + step.rows
    positive = inputs.label[inputs.parts["val"]] == 1
    scores = scores[inputs.parts["val"]]
    parts = scores[positive], scores[~positive]
    return {"loss": total / rows, "val_auc": auc(*parts), "val_ap": average_precision(*parts)}
