"""Mini-batch training of node classifiers, resumable to the last bit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dgl_dysign.errors import ConfigError
from dgl_dysign.training import distributed
from dgl_dysign.training.checkpoint import resume, save_checkpoint
from dgl_dysign.training.equilibrium_cache import EquilibriumCache

Logits = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class FitConfig:
    """How to train.

    Parameters
    ----------
    epochs, batch_size : int, default 25 and 1024
        Passes over the training nodes, and nodes in a mini-batch.
    lr, weight_decay : float, default 5e-3 and 0.5
        Of AdamW, under a one-cycle schedule that ends at zero.
    refresh_steps : int, default 1
        Fixed-point steps of the cache after each epoch.
    checkpoint_every : int, default 5
        Epochs between checkpoints.
    """

    epochs: int = 25
    batch_size: int = 1024
    lr: float = 5e-3
    weight_decay: float = 0.5
    refresh_steps: int = 1
    checkpoint_every: int = 5

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "refresh_steps", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, but got {getattr(self, name)}")


def fit(
    model: nn.Module,
    logits: Logits | EquilibriumCache,
    labels: Tensor,
    train: Tensor,
    val: Tensor,
    config: FitConfig | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> list[dict[str, float]]:
    """Train a model on the labels of the training nodes.

    Nothing is selected: the model of the last epoch stays. Validation accuracy is only recorded. Under several
    processes each computes a part of every mini-batch, with the dropout that one process would draw; the cache is
    refreshed in all of them.

    Parameters
    ----------
    model : Module
        What is trained.
    logits : callable or EquilibriumCache
        Gives the logits of some nodes; a cache is refreshed after each epoch.
    labels : Tensor
        ``(N,)``.
    train, val : Tensor
        Nodes to train on, and nodes to watch.
    config : FitConfig, optional
        How.
    seed : int, default 0
        Of the order of nodes and of dropout; the random state of the caller is not touched.
    checkpoint : Path, optional
        File to write every ``checkpoint_every`` epochs, and to go on from where it is there.
    on_epoch : callable, optional
        Told the record of each epoch.

    Returns
    -------
    list of dict
        For each epoch ``epoch``, ``loss``, ``val_accuracy``, ``gap`` (change of the rates at the refresh) and
        ``cpu_seconds`` so far.

    Raises
    ------
    DataError
        If the checkpoint cannot be read, or is that of another training.
    """
    config = config or FitConfig()
    cache = logits if isinstance(logits, EquilibriumCache) else None
    give: Logits = cache.logits if cache is not None else logits  # type: ignore[assignment]
    distributed.same_model(model)
    batches = -(-len(train) // config.batch_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=config.epochs * batches)
    parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "schedule": schedule}
    if cache is not None:
        parts["cache"] = cache
    asked = {**asdict(config), "seed": seed, "nodes": len(train)}
    devices = [train.device] if train.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        history = resume(checkpoint, parts, asked, train.device)
        distributed.check_same(len(history), "epochs in its checkpoint")
        if cache is not None and not history:
            cache.refresh(2)
        spent, started = history[-1]["cpu_seconds"] if history else 0.0, time.process_time()
        for epoch in range(len(history), config.epochs):
            loss = _epoch(model, give, labels, train, config.batch_size, optimizer, schedule, cache)
            gap = cache.refresh(config.refresh_steps) if cache is not None else 0.0
            record = {"epoch": epoch, "loss": loss, "val_accuracy": _accuracy(model, give, labels, val), "gap": gap}
            history.append({**record, "cpu_seconds": spent + time.process_time() - started})
            if checkpoint is not None and (epoch + 1) % config.checkpoint_every == 0 and distributed.rank() == 0:
                save_checkpoint(checkpoint, parts, {"history": history, "asked": asked}, train.device)
            if on_epoch is not None:
                on_epoch(history[-1])
    model.eval()
    return history


def _epoch(
    model: nn.Module,
    logits: Logits,
    labels: Tensor,
    train: Tensor,
    batch_size: int,
    optimizer: Any,
    schedule: Any,
    cache: EquilibriumCache | None = None,
) -> float:
    """Train on every node once; return the mean loss."""
    model.train()
    distributed.same_draws(train.device)  # the order of nodes must be one
    total = torch.zeros((), dtype=torch.float64, device=train.device)
    batches = train[torch.randperm(len(train), device=train.device)].split(batch_size)
    if cache is not None:
        cache.announce([nodes[distributed.part(len(nodes))] for nodes in batches])
    for nodes in batches:
        rows = distributed.part(len(nodes))
        mine = nodes[rows]
        with distributed.DrawnForAll(len(nodes), rows):
            found = logits(mine)
        loss = nn.functional.cross_entropy(found, labels[mine], reduction="sum") / len(nodes)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        distributed.sum_gradients(model.parameters())
        optimizer.step()
        schedule.step()
        total += loss.detach().double() * len(nodes)
    return float(distributed.sum_over_processes(total)) / len(train)


@torch.no_grad()
def _accuracy(model: nn.Module, logits: Logits, labels: Tensor, nodes: Tensor) -> float:
    model.eval()
    if not len(nodes):
        return float("nan")
    mine = nodes[distributed.part(len(nodes))]
    right = (logits(mine).argmax(1) == labels[mine]).double().sum()
    return float(distributed.sum_over_processes(right)) / len(nodes)
