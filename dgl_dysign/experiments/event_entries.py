"""The rows of a table of event labels: UnderGS and everything it is compared with, under one protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from dgl_dysign.evaluation.ranking import auc, average_precision
from dgl_dysign.experiments.event_task import EventTask
from dgl_dysign.models.event_counts import EventCounts
from dgl_dysign.models.event_undergs import EventUnderGS
from dgl_dysign.models.inputs import standardised
from dgl_dysign.store import NeighborStore
from dgl_dysign.training.events import EventFitConfig, fit_events, score_events

SCORES = ("auc", "ap", "accuracy", "recall_at_1pct")


@dataclass(frozen=True)
class EventSettings:
    """What is the same for all rows of a table.

    Parameters
    ----------
    hidden : int, default 64
        Width of UnderGS.
    num_neighbors, num_hops : int, default 16 and 2
        Of the store.
    dropout : float, default 0.1
        Of hidden layers.
    training : EventFitConfig
        Of UnderGS, in either preset.
    """

    hidden: int = 64
    num_neighbors: int = 16
    num_hops: int = 2
    dropout: float = 0.1
    training: EventFitConfig = field(default_factory=EventFitConfig)


@dataclass
class EventOutcome:
    """What a row gives: scores of all events (higher: likelier positive), what happened in training, its network."""

    scores: Tensor
    history: list[dict[str, float]] = field(default_factory=list)
    model: EventUnderGS | None = None


Row = Callable[[EventTask, EventSettings, int, "Path | None"], EventOutcome]


def _column(task: EventTask, name: str) -> Tensor:
    return task.event_feat[:, task.event_names.index(name)]


def always_no(task: EventTask, settings: EventSettings, seed: int, checkpoint: Path | None = None) -> EventOutcome:
    """Answer "no", whatever the event."""
    return EventOutcome(torch.zeros(len(task.label)))


def few_events(task: EventTask, settings: EventSettings, seed: int, checkpoint: Path | None = None) -> EventOutcome:
    """Suspect sources with few events so far."""
    return EventOutcome(-_column(task, "src_count"))


def long_silent(task: EventTask, settings: EventSettings, seed: int, checkpoint: Path | None = None) -> EventOutcome:
    """Suspect sources that were silent for long, most of all those that were never seen."""
    return EventOutcome(_column(task, "src_since") + 100 * _column(task, "src_new"))


def _standard(task: EventTask) -> np.ndarray:
    deviation = torch.where(task.event_deviation > 1e-6, task.event_deviation, torch.inf)
    return standardised(task.event_feat, task.event_mean, deviation).numpy()


def logistic(task: EventTask, settings: EventSettings, seed: int, checkpoint: Path | None = None) -> EventOutcome:
    """Logistic regression on counts and the event's own features, both labels weighing the same."""
    feat, train = _standard(task), task.parts["train"].numpy()
    model = LogisticRegression(C=1e-3, class_weight="balanced", max_iter=1000, random_state=seed)
    model.fit(feat[train], task.label.numpy()[train])
    return EventOutcome(torch.from_numpy(model.decision_function(feat)))


def boosted(task: EventTask, settings: EventSettings, seed: int, checkpoint: Path | None = None) -> EventOutcome:
    """Gradient-boosted trees on the same; the seed draws the columns that each split may use."""
    feat, train = task.event_feat.numpy(), task.parts["train"].numpy()
    model = HistGradientBoostingClassifier(
        learning_rate=0.03,
        max_iter=150,
        max_leaf_nodes=4,
        min_samples_leaf=100,
        l2_regularization=10.0,
        max_features=0.5,
        early_stopping=False,
        random_state=seed,
    )
    model.fit(feat[train], task.label.numpy()[train])
    return EventOutcome(torch.from_numpy(model.decision_function(feat)))


def undergs(
    task: EventTask,
    settings: EventSettings,
    seed: int,
    checkpoint: Path | None = None,
    aggregator: str = "gcn",
    preset: str = "default",
    counts: bool = True,
) -> EventOutcome:
    """UnderGS; without counts, what enters is learned vectors of nodes, and own features of the store's events."""
    model, store = make_undergs(task, settings, seed, aggregator, preset, counts)
    model, store = model.to(task.device), store.to(task.device)
    history = fit_events(model, store, task, settings.training, seed, checkpoint)
    return EventOutcome(score_events(model, store, task), history, model)


def make_undergs(
    task: EventTask,
    settings: EventSettings,
    seed: int,
    aggregator: str = "gcn",
    preset: str = "default",
    counts: bool = True,
) -> tuple[EventUnderGS, NeighborStore]:
    """Return an untrained model, drawn with the seed, and its empty store."""
    options: dict[str, Any] = {"aggregator": aggregator, "preset": preset, "hidden_feats": settings.hidden}
    if task.edge_feat is not None:
        options["edge_feats"] = task.edge_feat.shape[1]
    if counts:
        options["node_feats"] = len(EventCounts.node_names)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = EventUnderGS(
            task.num_nodes,
            task.rate,
            len(task.event_names) if counts else 0,
            num_neighbors=settings.num_neighbors,
            dropout=settings.dropout,
            **options,
        )
    if counts:
        model.undergs.link_head.standardise(task.event_mean, task.event_deviation)
    return model, model.undergs.store(num_hops=settings.num_hops)


def event_scores(task: EventTask, scores: Tensor, part: str) -> dict[str, float]:
    """Return the figures of one part, in percent.

    The accuracy is that of calling everything from a threshold on positive; the threshold is the one that had the best
    accuracy on validation (above all scores, where calling anything positive was worse). ``recall_at_1pct`` is the
    share of positives among the 1 % of events with the highest scores, equal scores shared evenly.
    """
    rows = task.parts[part]
    found, true = scores[rows].double(), task.label[rows] == 1
    val = task.parts["val"]
    called = found >= best_threshold(scores[val].double(), task.label[val] == 1)
    return {
        "auc": 100 * auc(found[true], found[~true]),
        "ap": 100 * average_precision(found[true], found[~true]),
        "accuracy": 100 * float((called == true).double().mean()),
        "recall_at_1pct": 100 * recall_at(found, true, 0.01),
    }


def best_threshold(scores: Tensor, true: Tensor) -> float:
    """Return the threshold from which on "positive" is right most often; the highest of several, inf for none.

    Examples
    --------
    >>> best_threshold(torch.tensor([0.1, 0.9, 0.4]), torch.tensor([False, True, False]))
    0.8999999761581421
    >>> best_threshold(torch.tensor([0.1, 0.9, 0.4]), torch.tensor([True, False, False]))
    inf
    """
    values, place = torch.unique(scores, return_inverse=True)
    gain = torch.zeros(len(values)).index_add(0, place, 2.0 * true - 1)
    total = gain.flip(0).cumsum(0)  # from the highest score downwards
    best = int(total.argmax())
    return float(values.flip(0)[best]) if float(total[best]) > 0 else float("inf")


def recall_at(scores: Tensor, true: Tensor, share: float) -> float:
    """Return the share of positives among the events with the highest scores, in expectation over orders of ties.

    Examples
    --------
    >>> recall_at(torch.zeros(200), torch.arange(200) < 2, 0.01)
    0.01
    """
    wanted = max(1, round(share * len(scores)))
    bound = scores.sort(descending=True).values[wanted - 1]
    above, equal = scores > bound, scores == bound
    part = (wanted - int(above.sum())) / int(equal.sum())
    return (int(true[above].sum()) + part * int(true[equal].sum())) / int(true.sum())


#: Every row by its name.
EVENT_ROWS: dict[str, Row] = {
    "always-no": always_no,
    "few-events": few_events,
    "long-silent": long_silent,
    "logistic-regression": logistic,
    "boosted-trees": boosted,
    "undergs-paper": partial(undergs, preset="paper", counts=False),
    "undergs-no-counts": partial(undergs, counts=False),
    "undergs": undergs,
    **{f"undergs-{kind}": partial(undergs, aggregator=kind) for kind in ("sage", "gat", "gin", "mixer")},
}
