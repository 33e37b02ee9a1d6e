"""The rows of tables of link figures: counting, classifiers on counts, and UnderGS in its forms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dgl_dysign.baselines import CountLinks, link_reference_models
from dgl_dysign.data.snapshot_edges import SnapshotEdges, snapshot_edges
from dgl_dysign.errors import ConfigError
from dgl_dysign.evaluation import LinkModel, LinkScores, NegativeSampler, evaluate_links, split_snapshots
from dgl_dysign.models import LinkScorer, SpikingUnderGS, UnderGS
from dgl_dysign.pairs import LinkFeatures
from dgl_dysign.pairs.cached_features import CachedFeatures
from dgl_dysign.training import distributed
from dgl_dysign.training.count_fit import fit_counts
from dgl_dysign.training.links import LinkFitConfig, fit_links
from dgl_dysign.training.live_update import LiveLinkScorer

if TYPE_CHECKING:
    from dgl_dysign.data.temporal_graph import TemporalGraph

REFERENCES = tuple(link_reference_models(1))
COUNTING = ("logistic-regression", "boosted-trees", "boosted-trees-all")
AGGREGATORS = ("gcn", "sage", "gat", "gin", "mixer")
LEARNED = (
    "undergs-paper", "undergs-no-counts", "undergs", *(f"undergs-{name}" for name in AGGREGATORS), "spiking-undergs",
)  # fmt: skip
LINK_ROWS = (*REFERENCES, *COUNTING, *LEARNED)
FIGURES = ("mrr", "hits@1", "hits@3", "hits@10", "auc", "list_auc", "ap")
OnEpoch = Callable[[dict[str, float]], None]


@dataclass(frozen=True)
class LinkRowSettings:
    """What every row of a table shares.

    Parameters
    ----------
    preset : {"default", "paper"}, default "default"
        Of the learned rows; under ``"paper"`` none of them sees features of pairs.
    hidden_feats, num_neighbors, num_hops : int, default 64, 16 and 2
        Of the models and their store.
    aggregator : str, default "gcn"
        Of the rows that do not name one.
    snapshot_decay, importance : optional
        Of the store; default: as the preset has it.
    training : LinkFitConfig
        How learned rows are trained.
    num_negatives : int, default 100
        Negatives an edge in evaluation.
    """

    preset: str = "default"
    hidden_feats: int = 64
    num_neighbors: int = 16
    num_hops: int = 2
    aggregator: str = "gcn"
    snapshot_decay: float | None = None
    importance: str | None = None
    training: LinkFitConfig = field(default_factory=LinkFitConfig)
    num_negatives: int = 100


class LinkRows:
    """Trains and scores rows on one data set, all on the same queries for a seed.

    Parameters
    ----------
    data : TemporalGraph
        The data.
    settings : LinkRowSettings
        What the rows share.
    device : str, default "cpu"
        Of the models and their stores.

    Attributes
    ----------
    split : tuple of range
        Training, validation and test snapshots.
    """

    def __init__(self, data: TemporalGraph, settings: LinkRowSettings, device: str = "cpu") -> None:
        self.data, self.settings, self.device = data, settings, device
        self.split = split_snapshots(data.num_snapshots)
        self.begin(0)

    def begin(self, seed: int) -> None:
        """Take up a seed: of weights, dropout and negatives; rows share its features of pairs."""
        self.seed = seed
        vars(self).pop("features", None)

    @cached_property
    def features(self) -> CachedFeatures:
        """Features of pairs."""
        return CachedFeatures(LinkFeatures.of(self.data), self.settings.training.cache_bytes)

    @cached_property
    def edges(self) -> Sequence[SnapshotEdges]:
        """All snapshots: much smaller than the features of their candidates, and read for every row and epoch."""
        return [snapshot_edges(self.data, t) for t in range(self.data.num_snapshots)]

    def model(self, row: str, checkpoint: Path | None = None, on_epoch: OnEpoch | None = None) -> tuple[LinkModel, Any]:
        """Return the trained model of a row and the history of its training (empty where there is none)."""
        if row in REFERENCES:
            return link_reference_models(self.data.num_nodes, self.seed)[row], []
        if row in COUNTING:
            kind = "logistic" if row == "logistic-regression" else "trees"
            columns = self.features.names if row == "boosted-trees-all" else None
            counting = CountLinks(self.features, kind, columns, self.seed)
            training = self.settings.training
            fit_counts(self.edges, counting, self.data.num_nodes, self.split[0], training, self.seed)
            return counting, []
        scorer = self.scorer(row)
        return scorer, fit_links(
            self.edges, scorer, self.split, self.settings.training, self.seed, checkpoint, on_epoch
        )

    def scorer(self, row: str) -> LinkScorer:
        """Return the scorer of a learned row with weights as the seed draws them."""
        s = self.settings
        preset = "paper" if row == "undergs-paper" else s.preset
        features = None if preset == "paper" or row == "undergs-no-counts" else self.features
        options: dict[str, Any] = {"preset": preset, "pair_feats": len(features.names) if features else 0}
        aggregator = row.removeprefix("undergs-") if row.removeprefix("undergs-") in AGGREGATORS else s.aggregator
        with torch.random.fork_rng([]):
            torch.manual_seed(self.seed)
            model: UnderGS | SpikingUnderGS
            if row == "spiking-undergs":
                model = SpikingUnderGS(self.data.num_nodes, s.hidden_feats, **options)
            else:
                options["num_neighbors"] = s.num_neighbors
                model = UnderGS(self.data.num_nodes, s.hidden_feats, aggregator, **options)
        store: dict[str, Any] = {"num_neighbors": s.num_neighbors, "num_hops": s.num_hops}
        if preset == s.preset:  # the report's own row keeps the report's values
            changed = {"snapshot_decay": s.snapshot_decay, "importance": s.importance}
            store |= {name: value for name, value in changed.items() if value is not None}
        model = model.to(self.device)
        return LinkScorer(model, model.store(**store).to(self.device), features)

    def evaluate(self, model: LinkModel, protocol: str, historical: float) -> LinkScores:
        """Score a model on validation and test snapshots."""
        if protocol == "live-update" and isinstance(model, LinkScorer):
            model = LiveLinkScorer(model, self.settings.training, self.seed)
        if protocol == "undergs-released" and getattr(model, "features", None) is not None:
            model = _Late(model)
        elif isinstance(model, LinkScorer):
            model = distributed.DividedScorer(model)
        s, snapshots = self.settings, range(self.split[1][0], self.split[2][-1] + 1)
        among = s.training.among
        sampler = NegativeSampler(self.data.num_nodes, s.num_negatives, historical, self.seed, among)
        return evaluate_links(self.edges, {"": model}, snapshots, sampler, protocol)[""]

    def figures(self, scores: LinkScores) -> dict[str, Any]:
        """Return the figures of the test snapshots in %, those of validation as ``val_...``, and MRR by snapshot."""
        found: dict[str, Any] = {}
        for prefix, snapshots in (("val_", self.split[1]), ("", self.split[2])):
            for kind in (True, False):
                columns = _part(scores.by_snapshot(kind), snapshots)
                edges = columns["edges"]
                if not kind:
                    found[f"{prefix}cold_edges"] = int(edges.sum())
                    found[f"{prefix}cold_mrr"] = 100 * float(columns["mrr"].mean()) if len(edges) else None
                    continue
                if not len(edges):
                    raise ConfigError(f"no warm edge in the snapshots {snapshots[0]} to {snapshots[-1]}")
                found[f"{prefix}edges"] = int(edges.sum())
                found |= {prefix + name: 100 * float(columns[name].mean()) for name in FIGURES}
                found[f"{prefix}mrr_pooled"] = 100 * float(np.average(columns["mrr"], weights=edges))
                found[f"{prefix}by_snapshot"] = {
                    "snapshot": columns["snapshot"].tolist(), "mrr": (100 * columns["mrr"]).tolist(),
                }  # fmt: skip
        return found


class _Late:
    """Asks a model about the next snapshot: features refuse a question about one that they have observed.

    For the leaking protocol alone, which observes a snapshot before it asks about it.
    """

    def __init__(self, model: LinkModel) -> None:
        self.reset, self.observe, self._score = model.reset, model.observe, model.score

    def score(self, snapshot: int, src: torch.Tensor, dst: torch.Tensor) -> torch.Tensor:
        """Score as if the snapshot asked about were over."""
        return self._score(snapshot + 1, src, dst)


def _part(columns: dict[str, np.ndarray], snapshots: range) -> dict[str, np.ndarray]:
    inside = (columns["snapshot"] >= snapshots[0]) & (columns["snapshot"] <= snapshots[-1])
    return {name: values[inside] for name, values in columns.items()}


def with_training(settings: LinkRowSettings, **changes: Any) -> LinkRowSettings:
    """Return settings with another training; values of None change nothing."""
    given = {name: value for name, value in changes.items() if value is not None}
    return replace(settings, training=replace(settings.training, **given))
