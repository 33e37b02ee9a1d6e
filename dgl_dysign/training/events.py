"""Training on labels of events: one step a snapshot, the state always that of before the snapshot."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dgl_dysign.errors import ConfigError
from dgl_dysign.evaluation.ranking import auc, average_precision
from dgl_dysign.experiments.event_task import EventTask, SnapshotEvents
from dgl_dysign.models.event_counts import EventCounts
from dgl_dysign.models.event_undergs import EventUnderGS
from dgl_dysign.store import NeighborStore
from dgl_dysign.training import distributed
from dgl_dysign.training.checkpoint import resume, save_checkpoint
from dgl_dysign.training.late_snapshot import SnapshotBatch, late_snapshot_step, snapshot_batches

LOSSES = ("plain", "weighted")


@dataclass(frozen=True)
class EventFitConfig:
    """How to train on labels of events.

    Parameters
    ----------
    epochs : int, default 4
        Passes over the training snapshots; the weights of the epoch with the best validation score are kept.
    batch_size : int, default 4096
        Most events in a batch; a snapshot's batches make one step.
    lr, weight_decay : float, default 3e-3 and 1
        Of AdamW, under a one-cycle schedule that ends at zero. A hundred positives are soon known by heart.
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
        if self.epochs < 1 or self.batch_size < 1:
            raise ConfigError(f"epochs and batch_size must be at least 1, but got {self.epochs} and {self.batch_size}")
        if self.loss not in LOSSES or self.select not in ("auc", "ap"):
            raise ConfigError(f"loss is plain or weighted, select auc or ap, but got {self.loss} and {self.select}")


def fit_events(
    model: EventUnderGS,
    store: NeighborStore,
    task: EventTask,
    config: EventFitConfig | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> list[dict[str, float]]:
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
    task : EventTask
        The events.
    config : EventFitConfig, optional
        How.
    seed : int, default 0
        Of dropout; the random state of the caller is not touched.
    checkpoint : Path, optional
        File to write after every epoch, and to go on from where it is there.
    on_epoch : callable, optional
        Told the record of each epoch.

    Returns
    -------
    list of dict
        For each epoch ``epoch``, ``loss``, ``val_auc``, ``val_ap`` and ``cpu_seconds`` so far.

    Raises
    ------
    DataError
        If the checkpoint cannot be read, or is that of another training.
    """
    config = config or EventFitConfig()
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    steps = sum(bool((task.snapshots[t].label >= 0).any()) for t in task.ranges["train"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=config.epochs * steps)
    distributed.same_model(model)
    best = copy.deepcopy(model)
    parts: dict[str, Any] = {"model": model, "best": best, "optimizer": optimizer, "schedule": schedule}
    asked = {**asdict(config), "seed": seed, "events": len(task.parts["train"])}
    device = model.offset.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        history = resume(checkpoint, parts, asked, device)
        distributed.check_same(len(history), "epochs in its checkpoint")
        spent, started = history[-1]["cpu_seconds"] if history else 0.0, time.process_time()
        for epoch in range(len(history), config.epochs):
            loss, logits = _epoch(model, store, task, config, optimizer, schedule)
            record = {"epoch": epoch, "loss": loss, **_val_scores(task, logits)}
            if all(record[f"val_{config.select}"] > earlier[f"val_{config.select}"] for earlier in history):
                best.load_state_dict(model.state_dict())
            history.append({**record, "cpu_seconds": spent + time.process_time() - started})
            if checkpoint is not None and distributed.rank() == 0:
                save_checkpoint(checkpoint, parts, {"history": history, "asked": asked}, device)
            if on_epoch is not None:
                on_epoch(history[-1])
    model.load_state_dict(best.state_dict())
    model.eval()
    return history


def _epoch(
    model: EventUnderGS, store: NeighborStore, task: EventTask, config: EventFitConfig, optimizer: Any, schedule: Any
) -> tuple[float, Tensor]:
    """Train on the training snapshots, score those for validation; return the mean loss and all events' logits."""
    weight = torch.tensor(1.0 if config.loss == "plain" else (1 - task.rate) / task.rate, device=model.offset.device)
    total, rows, last = 0.0, 0, task.ranges["val"][-1]
    logits = torch.full((len(task.label),), torch.nan)
    for events, counts in task.stream(store):
        t = events.snapshot
        if t > last:
            break
        if t in task.ranges["val"]:
            logits[events.rows] = _score(model, store, task, events, counts)
            continue
        model.train()
        chosen = (events.label >= 0).nonzero()[:, 0]

        def loss_of(batch: SnapshotBatch, events: SnapshotEvents = events, counts: EventCounts = counts) -> Tensor:
            (places,) = batch.tensors
            wanted = events.label[places].to(weight.device).float()
            found = _logits(model, store, task, events, counts, places)
            return functional.binary_cross_entropy_with_logits(found, wanted, pos_weight=weight)

        batches = snapshot_batches(t, config.batch_size, chosen)
        step = late_snapshot_step(optimizer, batches, loss_of, max_grad_norm=5.0, model=model)
        if step.rows:
            schedule.step()
            total, rows = total + step.loss * step.rows, rows + step.rows
    return total / rows, logits


def _logits(
    model: EventUnderGS,
    store: NeighborStore,
    task: EventTask,
    events: SnapshotEvents,
    counts: EventCounts,
    places: Tensor,
) -> Tensor:
    """Return the logits of some of a snapshot's events, from what the state before the snapshot holds."""
    device, t = model.offset.device, events.snapshot
    reads_nodes, reads_edges = model.undergs.node_feats > 0, model.undergs.edge_feats > 0
    feat = task.event_feat[events.first + places].to(device) if model.undergs.link_head.pair_feats else None
    return model(
        store,
        t,
        events.src[places].to(device),
        events.dst[places].to(device),
        feat,
        (lambda nodes: task.node_feat(counts, t, nodes).to(device)) if reads_nodes else None,
        (lambda ids: task.own_feat(ids).to(device)) if reads_edges else None,
    )


@torch.no_grad()
def _score(
    model: EventUnderGS, store: NeighborStore, task: EventTask, events: SnapshotEvents, counts: EventCounts
) -> Tensor:
    model.eval()
    if not len(events):
        return torch.zeros(0)
    return _logits(model, store, task, events, counts, torch.arange(len(events))).cpu()


def _val_scores(task: EventTask, logits: Tensor) -> dict[str, float]:
    rows = task.parts["val"]
    positive = task.label[rows] == 1
    found = logits[rows][positive], logits[rows][~positive]
    return {"val_auc": auc(*found), "val_ap": average_precision(*found)}


def score_events(model: EventUnderGS, store: NeighborStore, task: EventTask) -> Tensor:
    """Return the logits of all events, each from the state before its snapshot, ``(E,)``."""
    passes: Iterator[Tensor] = (_score(model, store, task, e, counts) for e, counts in task.stream(store))
    return torch.cat(list(passes))
