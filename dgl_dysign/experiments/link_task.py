"""Links of one data set, split by time: what every entry of a table or an ablation about them shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dgl_dysign._moved import moved_name
from dgl_dysign.data.snapshot_edges import SnapshotEdges, all_edges
from dgl_dysign.data.temporal_graph import Horizon
from dgl_dysign.errors import ConfigError, check_least
from dgl_dysign.evaluation import (
    LinkModel,
    LinkScores,
    NegativeSampler,
    RolandSampler,
    evaluate_links,
    split_snapshots,
)
from dgl_dysign.evaluation.link_scores import FIGURES
from dgl_dysign.experiments.entry import Outcome, Shared, Task, View
from dgl_dysign.experiments.link_variants import CountsOnly, RecentStore, SomeFeatures
from dgl_dysign.experiments.record import Scoring
from dgl_dysign.models import LinkScorer, SpikingUnderGS, UnderGS
from dgl_dysign.models.undergs import PRESETS
from dgl_dysign.nn.firing_rates import check_rates
from dgl_dysign.pairs import LinkFeatures
from dgl_dysign.pairs.cached_features import CachedFeatures
from dgl_dysign.store import NeighborStore
from dgl_dysign.training import distributed
from dgl_dysign.training.links import LinkFitConfig, TrainableScorer
from dgl_dysign.training.live_update import LiveLinkScorer
from dgl_dysign.training.loop import seeded

if TYPE_CHECKING:
    from dgl_dysign.data.temporal_graph import TemporalGraph

SCORES = (*FIGURES, "mrr_pooled")


@dataclass(frozen=True)
class LinkSettings:
    """UnderGS for links and its training; an entry or a variant is another one of these.

    Parameters
    ----------
    importance, snapshot_decay, hop_decay : optional
        Of the store; default: as the preset has it, for `hop_decay` as `NeighborStore` has it.
    filter_ratio, embedding_dropout, time_scale, mass, loss : optional
        Of the model, see `dgl_dysign.models.UnderGS`; default: as the preset has it.
    num_hops, num_neighbors : int, default 2 and 16
        Of the store.
    history : int, optional
        Snapshots that the store is made of; default: all.
    families : tuple of str, optional
        Of `LinkFeatures`; default: all under the preset ``"default"``, none under ``"paper"``.
    walks : {"exact", "projected"}, optional
        Of `dgl_dysign.pairs.link_features.usual_families`, where the data is to be asked which; default: by its size.
    projection_width : int, optional
        Of projected walks, see `LinkFeatures`.
    embeddings : bool, default True
        Whether the scorer sees vectors of the store's neighbours.
    preset : {"default", "paper"}, default "default"
        Of what is not named.
    hidden_feats : int, default 64
        Of the model.
    aggregator : str, default "gcn"
        Of the model.
    spiking : bool, default False
        Whether the model is `SpikingUnderGS`.
    neurons : dict
        Arguments of `SpikingUnderGS`.
    rate_penalty, target_rate : float and float or None, default 0 and None
        What is asked of its rates, see `dgl_dysign.nn.FiringRates`.
    training : LinkFitConfig
        How models are trained.
    num_negatives : int, default 100
        Negatives an edge in evaluation.

    Examples
    --------
    >>> from dataclasses import replace
    >>> base = LinkSettings.base("paper", families=("pair", "walks"))
    >>> base.snapshot_decay, replace(base, num_hops=1, history=5).key(base)
    (0.05, 'num_hops=1,history=5')
    """

    importance: str | None = None
    snapshot_decay: float | None = None
    filter_ratio: float | None = None
    embedding_dropout: float | None = None
    time_scale: float | str | None = None
    mass: bool | None = None
    loss: str | None = None
    hop_decay: float | None = None
    num_hops: int = 2
    num_neighbors: int = 16
    history: int | None = None
    families: tuple[str, ...] | None = None
    walks: str | None = None
    projection_width: int | None = None
    embeddings: bool = True
    preset: str = "default"
    hidden_feats: int = 64
    aggregator: str = "gcn"
    spiking: bool = False
    neurons: dict[str, Any] = field(default_factory=dict)
    rate_penalty: float = 0.0
    target_rate: float | None = None
    training: LinkFitConfig = field(default_factory=LinkFitConfig)
    num_negatives: int = 100

    def __post_init__(self) -> None:
        check_rates(self.rate_penalty, self.target_rate)
        if self.projection_width is not None:
            check_least(1, projection_width=self.projection_width)

    @classmethod
    def base(cls, name: str, families: tuple[str, ...], **more: Any) -> LinkSettings:
        """Return ``paper``, ``no-counts`` (the default preset without features of pairs) or ``default``, all named."""
        values = asdict(PRESETS["paper" if name == "paper" else "default"])
        return cls(**values, hop_decay=0.1, families=families if name == "default" else (), **more)

    def key(self, base: LinkSettings) -> str:
        """Return what differs from a base, as the name of a file."""
        changed = [(f.name, getattr(self, f.name)) for f in fields(self)]
        parts = [(name, value) for name, value in changed if value != getattr(base, name)]
        return ",".join(f"{name}={'+'.join(v) if isinstance(v, tuple) else v}" for name, v in parts) or "base"

    def features(self, data: TemporalGraph, families: Sequence[str] | None = None) -> LinkFeatures:
        """Return features of pairs that have observed nothing: of some families, default those of ``walks``."""
        return LinkFeatures.of(data, families, self.walks, self.projection_width)

    def named(self, *names: str) -> dict[str, Any]:
        """Return those of some values that are not left to the preset."""
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


class LinkView(View):
    """Links of one data set up to the end of validation: what an entry of a table about links is fitted to.

    Parameters
    ----------
    data : TemporalGraph
        The data.
    settings : LinkSettings
        What the entries share.
    device : str, default "cpu"
        Of the models and their stores.

    Attributes
    ----------
    data : TemporalGraph
        It ends with validation, too; while a model is scored, it grows by the snapshots that the model has observed.
    split : tuple of range
        Training and validation snapshots.
    seed : int
        Of everything drawn.
    """

    def __init__(self, data: TemporalGraph, settings: LinkSettings, device: str = "cpu") -> None:
        self.data, self.settings, self.device = data, settings, device
        self.split: tuple[range, ...] = split_snapshots(data.num_snapshots)
        self._edges = Shared(self._read_edges)
        self._features = Shared(self._new_features)

    @property
    def features(self) -> CachedFeatures:
        """Features of pairs."""
        return self._features.get()

    def _new_features(self) -> CachedFeatures:
        features = self.settings.features(self.data)
        return self.settings.training.cached(features, self.data.num_nodes)

    @property
    def edges(self) -> Sequence[SnapshotEdges]:
        """All snapshots, which are read for every entry and epoch: from memory, unless they take more than 256 MiB."""
        return self._edges.get()

    def _read_edges(self) -> Sequence[SnapshotEdges]:
        return all_edges(self.data)

    def scorer(self) -> LinkScorer:
        """Return the scorer of the settings, with weights as the seed draws them."""
        s, preset = self.settings, self._preset
        features = self._chosen_features()
        options: dict[str, Any] = {"preset": preset, "pair_feats": len(features.names) if features else 0}
        with seeded(self.seed, self.device):
            model: UnderGS | SpikingUnderGS
            if s.spiking:
                model = SpikingUnderGS(self.data.num_nodes, s.hidden_feats, **options, **s.neurons)
            else:
                options |= s.named("num_neighbors", "filter_ratio", "embedding_dropout", "time_scale", "mass")
                kind = UnderGS if s.embeddings else CountsOnly
                model = kind(self.data.num_nodes, s.hidden_feats, s.aggregator, **options)
        model = model.to(self.device)
        return LinkScorer(model, self.store().to(self.device), features)

    def store(self) -> NeighborStore:
        """Return an empty store."""
        s, preset = self.settings, PRESETS[self._preset]
        options: dict[str, Any] = {"importance": preset.importance, "snapshot_decay": preset.snapshot_decay}
        options |= s.named("importance", "snapshot_decay", "hop_decay", "num_hops", "num_neighbors")
        if s.history is None:
            return NeighborStore(self.data.num_nodes, **options)
        return RecentStore(self.data.num_nodes, s.history, **options)

    @property
    def _preset(self) -> str:
        s = self.settings
        return next((name for name, preset in PRESETS.items() if preset.loss == s.loss), s.preset)

    def _chosen_features(self) -> CachedFeatures | SomeFeatures | None:
        s = self.settings
        if s.families is None:
            return None if s.preset == "paper" else self.features
        return SomeFeatures(self.features, s.families) if s.families else None


class LinkTask(LinkView, Task):
    """Links of one data set with a seed; all entries are asked the same queries for a seed.

    Parameters
    ----------
    data, settings, device
        As for `LinkView`.
    protocol : str, default "honest"
        One of `dgl_dysign.evaluation.link_scores.PROTOCOLS`.
    historical : sequence of float, default (0.0,)
        Shares of negatives that are past destinations of the source; outcomes are scored for each.

    Attributes
    ----------
    split : tuple of range
        Training, validation and test snapshots.
    """

    def __init__(
        self,
        data: TemporalGraph,
        settings: LinkSettings,
        device: str = "cpu",
        protocol: str = "honest",
        historical: Sequence[float] = (0.0,),
    ) -> None:
        super().__init__(data, settings, device)
        self.protocol, self.historical = protocol, tuple(historical)
        self._horizon = Horizon(self.split[1].stop)

    def with_seed(self, seed: int) -> LinkTask:
        """Return the task with the seed of weights, dropout and negatives; its entries share features of pairs."""
        return self._with(seed=seed, _features=Shared(self._new_features))

    def release(self) -> None:
        """Drop edges and features of pairs."""
        self._edges.release()
        self._features.release()

    def view(self) -> LinkView:
        """Return what entries are fitted to; it shares features of pairs."""
        view = object.__new__(LinkView)
        shared = {name: vars(self)[name] for name in ("settings", "device", "_features")}
        vars(view).update(shared, seed=self.seed, split=self.split[:2], data=self.data.until(self._horizon))
        vars(view)["_edges"] = Shared(lambda: self.edges[: self.split[1].stop])
        return view

    def begin_unit(self) -> None:
        """Begin to count `borrowed_seconds`."""
        self.features.new_user()

    @property
    def borrowed_seconds(self) -> float:
        """CPU seconds of features that an earlier entry computed."""
        return self.features.saved_seconds

    def evaluate(self, model: LinkModel, historical: float = 0.0, name: str = "") -> Any:
        """Score a model, which errors call by a name, on validation and test snapshots."""
        if self.protocol == "live-update" and isinstance(model, TrainableScorer) and not hasattr(model, "update"):
            model = LiveLinkScorer(model, self.settings.training, self.seed)
        if self.protocol == "undergs-released" and getattr(model, "features", None) is not None:
            model = _ForNextSnapshot(model)
        elif isinstance(model, TrainableScorer):
            model = distributed.DividedScorer(model)
        try:
            reading, sampler = _Reading(model, self), self.sampler(historical)
            return evaluate_links(self.edges, {name: reading}, self._scored, sampler, self.protocol)[name]
        finally:
            self.observed(0)

    @property
    def _scored(self) -> range:
        return range(self.split[1][0], self.split[2][-1] + 1)

    def sampler(self, historical: float) -> NegativeSampler | RolandSampler:
        """Return what draws the negatives, with a share of historical ones."""
        s = self.settings
        return replace(s.training, historical=historical).sampler(self.data.num_nodes, s.num_negatives, self.seed)

    def observed(self, snapshots: int) -> None:
        """Let the data of the views end after the snapshots that a model observes, but not before validation."""
        self._horizon.num_snapshots = max(self.split[1].stop, snapshots)

    def score(self, outcome: Outcome) -> list[Scoring]:
        """Return figures in %, for each share of historical negatives.

        Raises
        ------
        DataError
            If the model is no `dgl_dysign.evaluation.LinkModel`, or its scores have the wrong shape or are NaN.
        """
        outcome.check_model("reset", "observe", "score")
        scorings = []
        for share in self.historical:
            scores = self.evaluate(outcome.model, share, outcome.entry)
            (val, val_mrr), (test, mrr) = (_figures(scores, part) for part in self.split[1:])
            over_time = {"val": val_mrr, "test": mrr}
            scorings.append(Scoring(test, val, {"historical": share}, scores.protocol, over_time))
        return scorings


def _figures(scores: LinkScores, snapshots: range) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Return the figures of some snapshots, and the MRR of each."""
    warm, cold = (_part(scores.by_snapshot(kind), snapshots) for kind in (True, False))
    if not len(warm["edges"]):
        raise ConfigError(f"no warm edge in the snapshots {snapshots[0]} to {snapshots[-1]}")
    figures: dict[str, float] = {"edges": int(warm["edges"].sum())}
    figures |= {name: 100 * float(warm[name].mean()) for name in FIGURES}
    figures["mrr_pooled"] = 100 * float(np.average(warm["mrr"], weights=warm["edges"]))
    figures["cold_edges"] = int(cold["edges"].sum())
    if len(cold["edges"]):
        figures["cold_mrr"] = 100 * float(cold["mrr"].mean())
    return figures, {"snapshot": warm["snapshot"].tolist(), "mrr": (100 * warm["mrr"]).tolist()}


def _part(columns: dict[str, np.ndarray], snapshots: range) -> dict[str, np.ndarray]:
    inside = (columns["snapshot"] >= snapshots[0]) & (columns["snapshot"] <= snapshots[-1])
    return {name: values[inside] for name, values in columns.items()}


class _Reading:
    """A model that can read a snapshot in its view's data from when it observes it."""

    def __init__(self, model: LinkModel, task: LinkTask) -> None:
        self._model, self._task = model, task

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def observe(self, edges: SnapshotEdges) -> None:
        """Observe a snapshot."""
        self._task.observed(edges.snapshot + 1)
        self._model.observe(edges)


class _ForNextSnapshot:
    """Asks a model about the next snapshot, for the leaking protocol: features refuse one that they have observed."""

    def __init__(self, model: LinkModel) -> None:
        self.reset, self.observe, self._score = model.reset, model.observe, model.score

    def score(self, snapshot: int, src: torch.Tensor, dst: torch.Tensor) -> torch.Tensor:
        """Score as if the snapshot asked about were over."""
        return self._score(snapshot + 1, src, dst)


def __getattr__(name: str) -> Any:
    return moved_name(__name__, name)
