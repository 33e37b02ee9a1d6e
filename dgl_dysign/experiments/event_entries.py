"""The entries of a table of event labels: UnderGS and everything it is compared with, under one protocol."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dgl_dysign._moved import moved_name
from dgl_dysign.data.snapshot_events import SnapshotEvents
from dgl_dysign.experiments.diagnostics import event_diagnostics
from dgl_dysign.experiments.encoder_entries import save_model, snapshot_encoder_entries
from dgl_dysign.experiments.entry import Entry, OnEpoch, Outcome, by_name
from dgl_dysign.models.event_counts import EventCounts
from dgl_dysign.models.event_inputs import EventReader, EventView
from dgl_dysign.models.event_scorer import EventScorer
from dgl_dysign.models.event_undergs import EventUnderGS
from dgl_dysign.models.inputs import standardised
from dgl_dysign.training.events import fit_events
from dgl_dysign.training.loop import seeded


class ByFeatures:
    """An `dgl_dysign.evaluation.EventModel` that scores by a function of `EventReader.event_feat` alone."""

    def __init__(self, reader: EventReader, rule: Callable[[Tensor], Tensor]) -> None:
        self.reader, self.rule = reader, rule
        self.reset, self.observe = reader.reset, reader.observe

    def score(self, events: SnapshotEvents) -> Tensor:
        """Return the rule's scores of what is known of the events."""
        return self.rule(self.reader.event_feat(events))


def always_no(view: EventView, **_: Any) -> ByFeatures:
    """Answer "no", whatever the event."""
    return ByFeatures(view.reader(), lambda feat: torch.zeros(len(feat)))


def few_events(view: EventView, **_: Any) -> ByFeatures:
    """Suspect sources with few events so far."""
    reader = view.reader()
    count = reader.names.index("src_count")
    return ByFeatures(reader, lambda feat: -feat[:, count])


def long_silent(view: EventView, **_: Any) -> ByFeatures:
    """Suspect sources that were silent for long, most of all those that were never seen."""
    reader = view.reader()
    since, new = reader.names.index("src_since"), reader.names.index("src_new")
    return ByFeatures(reader, lambda feat: feat[:, since] + 100 * feat[:, new])


def _training(view: EventView) -> tuple[Tensor, np.ndarray]:
    """Return what was known of the labelled training events, and their labels."""
    train = view.snapshots[: view.ranges["val"].start]
    return view.reader().past(train), torch.cat([events.labelled().label for events in train]).numpy()


def logistic(view: EventView, **_: Any) -> ByFeatures:
    """Logistic regression on counts and the event's own features, both labels weighing the same."""
    from sklearn.linear_model import LogisticRegression

    reader, (known, label) = view.reader(), _training(view)
    deviation = torch.where(reader.deviation > 1e-6, reader.deviation, torch.inf)

    def columns(feat: Tensor) -> np.ndarray:
        return standardised(feat, reader.mean, deviation).numpy()

    model = LogisticRegression(C=1e-3, class_weight="balanced", max_iter=1000, random_state=view.seed)
    model.fit(columns(known), label)
    return ByFeatures(reader, lambda feat: torch.from_numpy(columns(feat) @ model.coef_[0] + model.intercept_))


def boosted(view: EventView, **_: Any) -> ByFeatures:
    """Gradient-boosted trees on the same; the seed draws the columns that each split may use."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    known, label = _training(view)
    model = HistGradientBoostingClassifier(
        learning_rate=0.03, max_iter=150, max_leaf_nodes=4, min_samples_leaf=100, l2_regularization=10.0,
        max_features=0.5, early_stopping=False, random_state=view.seed,
    )  # fmt: skip
    model.fit(known.numpy(), label)
    return ByFeatures(view.reader(), lambda feat: torch.from_numpy(model.decision_function(feat.numpy())))


def undergs(view: EventView, checkpoint: Path | None = None, on_epoch: OnEpoch | None = None, **form: Any) -> Outcome:
    """UnderGS in one of the forms of `make_undergs`."""
    scorer = make_undergs(view, **form)
    history = fit_events(scorer, view, view.settings.training, checkpoint, on_epoch)
    return Outcome(history=history, model=scorer)


def make_undergs(view: EventView, aggregator: str = "gcn", preset: str = "default", counts: bool = True) -> EventScorer:
    """Return an untrained scorer, drawn with the seed.

    Without counts, what enters is learned vectors of nodes, and own features of the store's events.
    """
    settings, reader = view.settings, view.reader()
    options: dict[str, Any] = {"aggregator": aggregator, "preset": preset, "hidden_feats": settings.hidden}
    options |= {"num_neighbors": settings.num_neighbors, "dropout": settings.dropout}
    if reader.own_width:
        options["edge_feats"] = reader.own_width
    if counts:
        options["node_feats"] = len(EventCounts.node_names)
    with seeded(view.seed, view.device):
        model = EventUnderGS(view.num_nodes, view.rate, len(reader.names) if counts else 0, **options)
    if counts:
        model.undergs.link_head.standardise(reader.mean, reader.deviation)
    store = model.undergs.store(num_hops=settings.num_hops)
    return EventScorer(model.to(view.device), store.to(view.device), reader)


def default_entries() -> dict[str, Entry]:
    """Return every entry of a table by name.

    Examples
    --------
    >>> [name for name, entry in default_entries().items() if not entry.learns][:3]
    ['always-no', 'few-events', 'long-silent']
    """
    references = {
        "always-no": always_no, "few-events": few_events, "long-silent": long_silent,
        "logistic-regression": logistic, "boosted-trees": boosted,
    }  # fmt: skip

    def ours(name: str, **options: Any) -> Entry:
        fit, check = partial(undergs, **options), partial(make_undergs, **options)
        return Entry(name, fit, learns=True, check=check, save=save_model, diagnose=event_diagnostics)

    return by_name(
        [
            *(Entry(name, fit, diagnose=event_diagnostics) for name, fit in references.items()),
            ours("undergs-paper", preset="paper", counts=False),
            ours("undergs-no-counts", counts=False),
            ours("undergs"),
            *(ours(f"undergs-{kind}", aggregator=kind) for kind in ("sage", "gat", "gin", "mixer")),
            *snapshot_encoder_entries("event"),
        ]
    )


def __getattr__(name: str) -> Any:
    return moved_name(__name__, name)
