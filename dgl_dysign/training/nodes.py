"""Mini-batch training of node classifiers, resumable to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from dgl_dysign.errors import ConfigError
from dgl_dysign.training import distributed
from dgl_dysign.training.equilibrium_cache import EquilibriumCache
from dgl_dysign.training.loop import Figures, Loop, LoopConfig, OnEpoch, seeded

Logits = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class FitConfig(LoopConfig):
    """How to train.

    Parameters
    ----------
    epochs : int, default 25
        Passes over the training nodes.
    batch_size : int, optional
        Nodes in a mini-batch; default: an eighth of the training nodes, but 32 at least and 1,024 at most, so that few
        nodes get more than a step an epoch.
    lr, weight_decay : float, default 5e-3 and 0.5
        Of AdamW, under a one-cycle schedule that ends at zero.
    refresh_steps : int, default 1
        Fixed-point steps of the cache after each epoch.
    checkpoint_every : int, default 5
        Epochs between checkpoints.
    class_weights : bool, default False
        Weigh nodes by the inverse frequency of their class, see `node_weights`.
    rate_penalty, target_rate
        Of a spiking model, see `dgl_dysign.nn.FiringRates`.
    """

    epochs: int = 25
    batch_size: int | None = None
    lr: float = 5e-3
    weight_decay: float = 0.5
    refresh_steps: int = 1
    checkpoint_every: int = 5
    class_weights: bool = False

    counts: ClassVar[tuple[str, ...]] = ("epochs", "batch_size", "refresh_steps", "checkpoint_every")


def node_weights(labels: Tensor, train: Tensor) -> Tensor:
    r"""Return weights that let each class count the same: :math:`n / (C n_c)`, of mean one over the training nodes.

    Parameters
    ----------
    labels : Tensor
        ``(N,)``; only those of training nodes are read.
    train : Tensor
        The n training nodes, of C classes, ``n_c`` of the class c.

    Returns
    -------
    Tensor
        ``(N,)``, zero for other nodes.

    Examples
    --------
    >>> import torch
    >>> node_weights(torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 1, 2, 3])).tolist()
    [0.6666666865348816, 0.6666666865348816, 0.6666666865348816, 2.0, 0.0]
    """
    classes, count = labels[train].unique(return_inverse=True, return_counts=True)[1:]
    weight = len(train) / (len(count) * count.float())
    return torch.zeros(len(labels), device=labels.device).index_copy(0, train, weight[classes])


def summed_loss(logits: Tensor, labels: Tensor, nodes: Tensor, weight: Tensor | None) -> Tensor:
    """Return the cross-entropy of the logits ``(n, C)`` of some nodes, summed; each counts its weight.

    ``labels`` are classes ``(N,)`` or class probabilities ``(N, C)``.
    """
    if weight is None:
        return nn.functional.cross_entropy(logits, labels[nodes], reduction="sum")
    return nn.functional.cross_entropy(logits, labels[nodes], reduction="none") @ weight[nodes]


def fit(
    model: nn.Module,
    logits: Logits | EquilibriumCache,
    labels: Tensor,
    train: Tensor,
    val: Tensor,
    config: FitConfig | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    watched: Logits | EquilibriumCache | None = None,
    targets: Tensor | None = None,
) -> list[Figures]:
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
        Called with the record of each epoch.
    watched : callable or EquilibriumCache, optional
        Gives the logits of the validation nodes, where those are seen in a later snapshot; default: ``logits``.
    targets : Tensor, optional
        Class probabilities ``(N, C)`` of a teacher, to learn on all nodes (distillation: Hinton, Vinyals and Dean,
        2015, at temperature 1); of a training node what is learnt is the mean of these and its label. A pass then is
        over as many nodes, drawn from all, as there are training nodes.

    Returns
    -------
    list of dict
        For each epoch ``epoch``, ``loss``, ``val_accuracy``, ``gap`` (change of the rates at the refresh) and
        ``cpu_seconds`` so far.

    Raises
    ------
    ConfigError
        If nodes are to be weighed by their class, and there are targets.
    DataError
        If the checkpoint cannot be read, or is that of another training.
    """
    config = config or FitConfig()
    if config.class_weights and targets is not None:
        raise ConfigError("nodes without a label have no class to be weighed by: leave class_weights or targets out")
    weight = node_weights(labels, train) if config.class_weights else None
    nodes, learnt = (train, labels) if targets is None else _taught(targets, labels, train)
    later = {} if watched is None or watched is logits else {"watched": watched}
    sources = {"cache": logits, **later}
    caches = {name: source for name, source in sources.items() if isinstance(source, EquilibriumCache)}
    logits_of, watched_of = _logits_of(logits), _logits_of(later.get("watched", logits))
    with seeded(seed, train.device):
        identity = {"seed": seed, "nodes": len(train)}
        batch_size = config.batch_size or min(max(len(train) // 8, 32), 1024)
        batches = -(-len(train) // batch_size)
        loop = Loop(model, config, batches, train.device, identity, checkpoint, caches)

        def epoch() -> Figures:
            cache, sizes = caches.get("cache"), (len(train), batch_size)
            loss = _train_once(model, logits_of, learnt, nodes, *sizes, loop, cache, weight, config)
            gap = refresh(config.refresh_steps)
            return {"loss": loss, "val_accuracy": _accuracy(model, watched_of, labels, val), "gap": gap}

        def refresh(steps: int) -> float:
            """Refresh the caches; return how far the rates of the training moved. Without feedback none is read."""
            moved = [cache.refresh(steps) if cache.model.conv.feedback else 0.0 for cache in caches.values()]
            return (moved or [0.0])[0]

        begin = (lambda: refresh(2)) if caches else None
        return loop.run(epoch, on_epoch, begin=begin, checkpoint_every=config.checkpoint_every)


def _taught(targets: Tensor, labels: Tensor, train: Tensor) -> tuple[Tensor, Tensor]:
    """Return all nodes, and what they learn."""
    own = nn.functional.one_hot(labels[train], targets.shape[1]).to(targets)
    learnt = targets.index_copy(0, train, (targets[train] + own) / 2)
    return torch.arange(len(targets), device=targets.device), learnt


def _logits_of(source: Logits | EquilibriumCache) -> Logits:
    return source.logits if isinstance(source, EquilibriumCache) else source


def _train_once(
    model: nn.Module,
    logits_of: Logits,
    labels: Tensor,
    every: Tensor,
    number: int,
    batch_size: int,
    loop: Loop,
    cache: EquilibriumCache | None,
    weight: Tensor | None,
    config: FitConfig,
) -> float:
    """Train once on every node, or on a number of them that are drawn; return the mean loss."""

    def loss_of(own: Tensor, count: int) -> Tensor:
        return summed_loss(logits_of(own), labels, own, weight) / count

    model.train()
    distributed.same_draws(every.device)  # the order of nodes must be one
    total = torch.zeros((), dtype=torch.float64, device=every.device)
    batches = every[torch.randperm(len(every), device=every.device)[:number]].split(batch_size)
    if cache is not None:
        cache.announce([nodes[distributed.part(len(nodes))] for nodes in batches])
    for nodes in batches:
        rows = distributed.part(len(nodes))
        own = nodes[rows]
        with distributed.DrawnForAll(len(nodes), rows):
            loss = config.with_rates(partial(loss_of, own, len(nodes)), len(own) / len(nodes))
        loop.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        distributed.sum_gradients(model.parameters())
        loop.optimizer.step()
        loop.schedule.step()
        total += loss.detach().double() * len(nodes)
    return float(distributed.sum_over_processes(total)) / number


@torch.no_grad()
def _accuracy(model: nn.Module, logits_of: Logits, labels: Tensor, nodes: Tensor) -> float:
    model.eval()
    if not len(nodes):
        return float("nan")
    own = nodes[distributed.part(len(nodes))]
    right = (logits_of(own).argmax(1) == labels[own]).double().sum()
    return float(distributed.sum_over_processes(right)) / len(nodes)
