"""Links under ROLAND's protocols: live update from the second snapshot on, or a fixed split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dgl_dysign.baselines import CountLinks, RecentDegree
from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.errors import ConfigError
from dgl_dysign.evaluation import LinkModel, NegativeSampler, RolandSampler
from dgl_dysign.evaluation.roland import ROLAND_FIGURES
from dgl_dysign.experiments.entry import Entry, OnEpoch, Outcome, Shared
from dgl_dysign.experiments.link_entries import is_fitted
from dgl_dysign.experiments.link_task import LinkTask, LinkView
from dgl_dysign.experiments.record import Scoring
from dgl_dysign.pairs.cached_features import CachedFeatures
from dgl_dysign.training.links import TrainableScorer
from dgl_dysign.training.live_update import LiveLinkScorer, RefittedModel

#: MRR under live update, of a tenth of each snapshot's events: ROLAND-GRU (KDD 2022), TMetaNet (ICML 2025).
PUBLISHED = {
    "bitcoin-otc": {"ROLAND-GRU (published)": 19.4, "TMetaNet (published)": 18.0},
    "bitcoin-alpha": {"ROLAND-GRU (published)": 15.7, "TMetaNet (published)": 17.6},
    "college-msg": {"ROLAND-GRU (published)": 11.2, "TMetaNet (published)": 10.9},
}


class RolandTask(LinkTask):
    """Links under ``roland-live`` or ``roland-fixed``: `LinkTask` with ROLAND's questions and figure.

    Under ``roland-live`` there is no validation: entries are fitted as snapshots pass.
    """

    def fitted(self, entry: Entry, checkpoint: Path | None = None, on_epoch: OnEpoch | None = None) -> Outcome:
        """Return the outcome of an entry: under ``roland-live`` of one that is fitted anew as snapshots pass."""
        if self.protocol != "roland-live" or not is_fitted(entry):
            return super().fitted(entry, checkpoint, on_epoch)

        def fit(stop: int) -> LinkModel | None:
            past = self.view_until(stop)
            return None if past is None else self._for_scoring(entry.fitted(past).model)

        return Outcome(model=RefittedModel(fit, RecentDegree(self.data.num_nodes)), entry=entry.name)

    def _for_scoring(self, model: Any) -> LinkModel:
        """Return a fitted model with features of its own: a thousand candidates a source would fill the fits' cache."""
        if isinstance(model, CountLinks):
            read = {model.features.names[column].split("/")[0] for column in model.columns}
            model.use(self.settings.features(self.data, sorted(read)))
        elif isinstance(getattr(model, "features", None), CachedFeatures):
            model.features = self.settings.features(self.data)
        if isinstance(model, TrainableScorer):
            model = LiveLinkScorer(model, self.settings.training, self.seed)
        return model

    def view_until(self, stop: int) -> LinkView | None:
        """Return the snapshots before `stop`, the last tenth for validation; None where none of these can be ranked."""
        val_start = stop - max(1, stop // 10)
        split = range(val_start), range(val_start, stop)
        edges = self.edges[:stop]
        warm = _warm_snapshots(edges, self.data.num_nodes, self.settings.training.among)
        if not all(warm.intersection(part) for part in split):
            return None
        self.observed(stop)
        view = self.view()
        vars(view).update(split=split, _edges=Shared(lambda: edges))
        return view

    def observed(self, snapshots: int) -> None:
        """Let the data of the views end after the snapshots that a model observes, or is fitted to."""
        if self.protocol == "roland-live":
            self._horizon.num_snapshots = max(1, snapshots)
        else:
            super().observed(snapshots)

    def score(self, outcome: Outcome) -> list[Scoring]:
        """Return figures in %; those on validation under ``roland-fixed`` alone.

        Raises
        ------
        ConfigError
            If a part has no snapshot with enough events.
        DataError
            As `LinkTask.score`.
        """
        outcome.check_model("reset", "observe", "score")
        scores = self.evaluate(outcome.model, name=outcome.entry)
        columns, live = scores.by_snapshot(), self.protocol == "roland-live"
        test, over_time = _figures(columns, self._scored if live else self.split[2])
        none: tuple[dict[str, float], dict[str, list[float]]] = {}, {"snapshot": [], "mrr": []}
        val, val_over_time = none if live else _figures(columns, self.split[1])
        return [Scoring(test, val, {}, scores.protocol, {"val": val_over_time, "test": over_time})]

    @property
    def _scored(self) -> range:
        return range(1, self.data.num_snapshots) if self.protocol == "roland-live" else super()._scored

    def sampler(self, historical: float) -> RolandSampler:
        """Return what draws the candidates."""
        return RolandSampler(self.data.num_nodes, self.settings.num_negatives, self.seed)


def _warm_snapshots(edges: Sequence[SnapshotEdges], num_nodes: int, among: str) -> set[int]:
    """Return the snapshots with a warm edge for which there is a negative."""
    sampler, warm = NegativeSampler(num_nodes, 1, among=among), set[int]()
    for snapshot in edges:
        if bool(sampler.draw(snapshot).warm.any()):
            warm.add(snapshot.snapshot)
        sampler.observe(snapshot)
    return warm


def _figures(columns: dict[str, np.ndarray], snapshots: range) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Return the figures of some snapshots in %, and the MRR of each."""
    inside = (columns["snapshot"] >= snapshots[0]) & (columns["snapshot"] <= snapshots[-1])
    if not inside.any():
        raise ConfigError(
            f"no snapshot from {snapshots[0]} to {snapshots[-1]} has ten events, as ROLAND asks: prepare the data "
            "with wider snapshots"
        )
    figures: dict[str, float] = {"sources": int(columns["sources"][inside].sum()), "snapshots": int(inside.sum())}
    figures |= {name: 100 * float(columns[name][inside].mean()) for name in ROLAND_FIGURES}
    mrr = (100 * columns["mrr"][inside]).tolist()
    return figures, {"snapshot": columns["snapshot"][inside].tolist(), "mrr": mrr}
