"""Spiking networks over sampled neighbours as entries of a table of nodes, trained in mini-batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dgl_dysign.baselines import ChronoSpike, DelayDSGN, SampledSnapshots, SiGNN, SpikeNet
from dgl_dysign.experiments import encoder_entries
from dgl_dysign.experiments.entry import FEATURE_ONLY, Entry, Outcome, comparison_entry
from dgl_dysign.experiments.node_task import NodeView
from dgl_dysign.training.loop import seeded
from dgl_dysign.training.nodes import FitConfig, fit

#: By name the class, its arguments, and what the line about it says of them.
SAMPLED: dict[str, tuple[type[nn.Module], dict[str, Any], str]] = {
    "spikenet": (SpikeNet, {}, "as published: no membrane memory"),
    "spikenet-memory": (SpikeNet, {"tau": 2.0}, "tau 2, so that the membrane remembers"),
    "signn": (SiGNN, {}, ""),
    "delay-dsgn": (DelayDSGN, {}, ""),
    "chronospike": (ChronoSpike, {}, ""),
}

#: What a table of nodes chooses from for them; the defaults, lr 5e-3 and weight decay 1e-2, are SpikeNet's and SiGNN's.
CHOICES: dict[str, tuple[Any, ...]] = {**encoder_entries.CHOICES, "lr": (1e-3, 5e-3, 1e-2)}
_DEFAULTS = {"lr": 5e-3, "weight_decay": 1e-2}
_EPOCHS = 4  # times those of the table: the published 100 where nothing else is asked for
_AT_ONCE = 4096  # nodes, where no gradient is


def sampled_entries() -> list[Entry]:
    """Return them as entries, each of all snapshots.

    Examples
    --------
    >>> [entry.name for entry in sampled_entries()]
    ['spikenet', 'spikenet-memory', 'signn', 'delay-dsgn', 'chronospike']
    """

    def check(view: NodeView) -> None:
        _config(view)
        _samples(view, 1)

    more: dict[str, Any] = {"protocol": FEATURE_ONLY, "check": check, "choices": CHOICES}
    more["defaults"] = {**_DEFAULTS, "class_weights": False}
    return [
        comparison_entry(name, cls, partial(fit_sampled, cls=cls, arguments=own), own, remark, **more)
        for name, (cls, own, remark) in SAMPLED.items()
    ]


def fit_sampled(view: NodeView, cls: Callable[..., nn.Module], arguments: Mapping[str, Any], **run: Any) -> Outcome:
    """Train a network on nodes and sampled neighbours, of all snapshots that training sees.

    Where a model is asked about later snapshots, it reads as many of the latest. What it predicts comes from one sample
    of the neighbours of each node, drawn with the seed. It cannot be saved as a model folder.
    """
    count = view.data.num_snapshots
    samples = _samples(view, count)
    with seeded(view.seed, view.device):
        model = cls(samples.in_feats, view.num_classes, count, **arguments).to(view.device)

    def reader(at: NodeView) -> Callable[[Tensor], Tensor]:
        of = samples if at is view else _samples(at, count)
        return lambda nodes: torch.cat([model(of(part)) for part in nodes.split(_AT_ONCE)])

    seen, watched = (reader(at) for at in (view, view.at_validation()))
    history = fit(model, seen, view.labels, view.train, view.val, _config(view), view.seed, watched=watched, **run)

    @torch.no_grad()
    def logits(at: NodeView) -> Tensor:
        with seeded(view.seed, view.device):
            return reader(at)(torch.arange(len(at.labels), device=view.device))

    def outcome(at: NodeView) -> Outcome:
        return Outcome(logits(at).softmax(1), history, model=model)

    # ChronoSpike gathers what it attends to, which nobody sees as messages.
    forward = None if isinstance(model, ChronoSpike) else partial(logits, view)
    return replace(outcome(view), later=outcome, forward=forward)


def _config(view: NodeView) -> FitConfig:
    """Return how to train: what was chosen, and the epochs of the table."""
    training, chosen = view.settings.feature_only.training, {**_DEFAULTS, **view.settings.chosen}
    return replace(training, epochs=_EPOCHS * training.epochs, **{name: chosen[name] for name in _DEFAULTS})


def _samples(view: NodeView, count: int) -> SampledSnapshots:
    """Return the samples of the latest snapshots, so many."""
    first = view.data.num_snapshots - count
    return SampledSnapshots(view.data, range(first, first + count), device=view.device)
