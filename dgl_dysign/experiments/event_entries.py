"""The entries of a table of event labels: UnderGS and everything it is compared with, under one protocol."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from dgl_dysign._moved import moved_name
from dgl_dysign.experiments.diagnostics import event_diagnostics
from dgl_dysign.experiments.entry import Entry, Outcome, by_name
from dgl_dysign.experiments.event_task import EventSettings, EventTask
from dgl_dysign.models.event_counts import EventCounts
from dgl_dysign.models.event_undergs import EventUnderGS
from dgl_dysign.models.inputs import standardised
from dgl_dysign.store import NeighborStore
from dgl_dysign.training.events import fit_events, score_events


def _column(task: EventTask, name: str) -> Tensor:
    return task.event_feat[:, task.event_names.index(name)]


def always_no(task: EventTask, **_: Any) -> Outcome:
    """Answer "no", whatever the event."""
    return Outcome(torch.zeros(len(task.label)))


def few_events(task: EventTask, **_: Any) -> Outcome:
    """Suspect sources with few events so far."""
    return Outcome(-_column(task, "src_count"))


def long_silent(task: EventTask, **_: Any) -> Outcome:
    """Suspect sources that were silent for long, most of all those that were never seen."""
    return Outcome(_column(task, "src_since") + 100 * _column(task, "src_new"))


def _standard(task: EventTask) -> np.ndarray:
    deviation = torch.where(task.event_deviation > 1e-6, task.event_deviation, torch.inf)
    return standardised(task.event_feat, task.event_mean, deviation).numpy()


def logistic(task: EventTask, **_: Any) -> Outcome:
    """Logistic regression on counts and the event's own features, both labels weighing the same."""
    feat, train = _standard(task), task.parts["train"].numpy()
    model = LogisticRegression(C=1e-3, class_weight="balanced", max_iter=1000, random_state=task.seed)
    model.fit(feat[train], task.label.numpy()[train])
    return Outcome(torch.from_numpy(model.decision_function(feat)))


def boosted(task: EventTask, **_: Any) -> Outcome:
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
        random_state=task.seed,
    )
    model.fit(feat[train], task.label.numpy()[train])
    return Outcome(torch.from_numpy(model.decision_function(feat)))


def undergs(
    task: EventTask, aggregator: str = "gcn", preset: str = "default", counts: bool = True, **run: Any
) -> Outcome:
    """UnderGS; without counts, what enters is learned vectors of nodes, and own features of the store's events."""
    model, store = make_undergs(task, task.settings, task.seed, aggregator, preset, counts)
    model, store = model.to(task.device), store.to(task.device)
    history = fit_events(model, store, task, task.settings.training, task.seed, **run)
    return Outcome(score_events(model, store, task), history, model=model)


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


def save_undergs(task: EventTask, outcome: Outcome, folder: Path) -> None:
    """Write the network as a model folder."""
    outcome.model.save_pretrained(folder, task.data, overwrite=True)


def default_entries() -> dict[str, Entry]:
    """Return every entry of a table by name.

    Examples
    --------
    >>> [name for name, entry in default_entries().items() if not entry.learns][:3]
    ['always-no', 'few-events', 'long-silent']
    """
    references = {
        "always-no": always_no,
        "few-events": few_events,
        "long-silent": long_silent,
        "logistic-regression": logistic,
        "boosted-trees": boosted,
    }

    def ours(name: str, **options: Any) -> Entry:
        def check(task: EventTask) -> object:
            return make_undergs(task, task.settings, 0, **options)

        fit = partial(undergs, **options)
        return Entry(name, fit, learns=True, check=check, save=save_undergs, diagnose=event_diagnostics)

    return by_name(
        [
            *(Entry(name, fit, diagnose=event_diagnostics) for name, fit in references.items()),
            ours("undergs-paper", preset="paper", counts=False),
            ours("undergs-no-counts", counts=False),
            ours("undergs"),
            *(ours(f"undergs-{kind}", aggregator=kind) for kind in ("sage", "gat", "gin", "mixer")),
        ]
    )


def __getattr__(name: str) -> Any:
    return moved_name(__name__, name)
