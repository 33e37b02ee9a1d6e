"""Logistic regression and boosted trees on counts: the rows that say what learning adds to counting."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dgl_dysign.baselines._tree_scores import TreeScores
from dgl_dysign.errors import ConfigError, check_choice
from dgl_dysign.models.link_scorer import features_card, observe_before, restored_features
from dgl_dysign.models.pretrained import ALWAYS, check_card, data_card, read_config, read_tensors, reading, write_folder
from dgl_dysign.pairs.pair_features import PairFeatures, grow_features, read_columns

if TYPE_CHECKING:
    from dgl_dysign.data import TemporalGraph
    from dgl_dysign.data.snapshot_edges import SnapshotEdges

#: What counting models see: recency, decayed degrees, whether the pair met, common neighbours.
COUNTS = (
    "activity/src_recency_any", "activity/src_out_0.9", "activity/src_in_0.9", "activity/dst_recency_out",
    "activity/dst_recency_in", "activity/dst_recency_any", "activity/dst_out_0.9", "activity/dst_in_0.9",
    "activity/dst_in_0.7", "activity/dst_out_1.0", "activity/dst_in_1.0", "pair/met_forth", "pair/met_back",
    "pair/recency_back", "shared/either_0.9", "shared/either_1.0",
)  # fmt: skip
KINDS = ("logistic", "trees")
#: Of the boosted trees: small steps and small trees, chosen on validation.
TREES: dict[str, Any] = {
    "learning_rate": 0.03, "max_iter": 400, "max_leaf_nodes": 8, "l2_regularization": 10.0, "min_samples_leaf": 50,
    "max_features": 0.3, "early_stopping": False,
}  # fmt: skip
_BINS = 255  # of each column, the most that scikit-learn has


class CountLinks:
    """Score links by a classifier on counts, trained to tell true links from negatives.

    Parameters
    ----------
    features : LinkFeatures
        Of pairs.
    kind : {"logistic", "trees"}, default "trees"
        Logistic regression on standardised columns, or gradient-boosted trees
        (`sklearn.ensemble.HistGradientBoostingClassifier`), regularised.
    columns : sequence of str, optional
        Names of the columns to use, of which those that `features` has are taken; default: the 16 of ``COUNTS``.
    seed : int, default 0
        Of the trees.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.baselines import CountLinks
    >>> from dgl_dysign.pairs import LinkFeatures
    >>> model = CountLinks(LinkFeatures(3), "logistic")
    >>> model.fit(torch.rand(20, 3, len(model.columns)), torch.ones(20))
    >>> model.score(0, torch.tensor([0]), torch.tensor([[1, 2]])).shape
    torch.Size([1, 2])
    """

    pairs_at_once = 1 << 17  # candidates whose features `score` holds

    def __init__(
        self, features: PairFeatures, kind: str = "trees", columns: Sequence[str] | None = None, seed: int = 0
    ) -> None:
        check_choice("kind", kind, KINDS)
        wanted = COUNTS if columns is None else columns
        self.columns = [features.names.index(name) for name in wanted if name in features.names]
        if not self.columns:
            raise ConfigError(f"none of the columns {', '.join(wanted[:3])}, ... is among the features")
        self.features, self.kind, self.seed = features, kind, seed
        self._scores: TreeScores | _LogisticScores | None = None
        self.snapshot = -1  # the last one that was observed

    def fit(self, feat: Tensor, weight: Tensor) -> None:
        """Train on the model's `columns` of true links (the first of each row) and negatives, ``(n, 1 + Q, F)``."""
        rows, candidates, width = feat.shape
        truth = np.zeros((rows, candidates), np.int64)
        truth[:, 0] = 1
        known = truth.ravel(), weight.numpy().repeat(candidates)
        fit = _fit_trees if self.kind == "trees" else _fit_logistic
        self._scores = fit(feat.reshape(-1, width).numpy(), *known, self.seed)

    def use(self, features: PairFeatures) -> None:
        """Read the same columns of other, empty features from now on, which may have fewer families."""
        names = [self.features.names[column] for column in self.columns]
        self.features, self.columns = features, [features.names.index(name) for name in names]
        self.snapshot = -1

    def reset(self) -> None:
        """Forget what was observed; what was learned stays."""
        self.features.reset()
        self.snapshot = -1

    def grow(self, num_nodes: int) -> None:
        """Have more nodes from now on, numbered after the old ones; ``ConfigError`` where features cannot grow."""
        grow_features(self.features, num_nodes)

    def observe(self, edges: SnapshotEdges) -> None:
        """Let the features see a snapshot; `grow` first where there are more nodes."""
        self.features.observe(edges)
        self.snapshot = edges.snapshot

    def catch_up(self, data: TemporalGraph, snapshot: int) -> None:
        """Observe what lies before a snapshot, and nothing else: then `score` scores it. ``ConfigError`` if none is."""
        observe_before(self, self.snapshot, data, snapshot)

    def save_pretrained(self, folder: str | os.PathLike[str], data: TemporalGraph, *, overwrite: bool = False) -> Path:
        """Save what was learned as a folder, see `dgl_dysign.models.Pretrained`; what was observed is not in it.

        Raises ``ConfigError`` if the folder is there, or nothing was learned.
        """
        names = [self.features.names[column] for column in self.columns]
        arguments = {"kind": self.kind, "columns": names, "features": features_card(self.features)}
        config: dict[str, Any] = {"class": "CountLinks", "arguments": arguments, "data": data_card(data)}
        config |= {"settings": {}, "preprocessing": None}
        arrays = self._learned().arrays()
        return write_folder(folder, config, {name: torch.from_numpy(each) for name, each in arrays.items()}, overwrite)

    @classmethod
    def from_pretrained(
        cls, folder: str | os.PathLike[str], data: TemporalGraph, features: PairFeatures | None = None
    ) -> CountLinks:
        """Make the model of a folder for the data of its training, or that with later snapshots and more nodes.

        It has observed nothing: `catch_up` lets it. Features of one's own are passed in, empty. Raises ``DataError`` if
        a file is missing or damaged, or the data is of another kind.
        """
        config = read_config(folder, "CountLinks")
        tensors, arguments = read_tensors(folder, config), config["arguments"]
        with reading(folder, "CountLinks"):
            known, card = dict(config["data"]), dict(arguments["features"])
        check_card(known, data, ALWAYS)
        with reading(folder, "CountLinks"):
            own = restored_features(card, data, features)
            assert own is not None  # since the card is not
            model = cls(own, arguments["kind"], list(arguments["columns"]))
            arrays = {name: each.numpy() for name, each in tensors.items()}
            model._scores = (TreeScores if model.kind == "trees" else _LogisticScores).restored(arrays)
            read, named = model._scores.columns, len(arguments["columns"])
            if len(model.columns) < named or (read > named if model.kind == "trees" else read != named):
                raise ConfigError(
                    f"found {len(model.columns)} of {named} columns, and scores of {read}: expected as many"
                )
        return model

    def _learned(self) -> TreeScores | _LogisticScores:
        if self._scores is None:
            raise ConfigError("this model has learned nothing yet: call fit first")
        return self._scores

    def score(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return float64 scores ``(E, C)``; nothing changes."""
        scores_of = self._learned()
        rows = max(1, self.pairs_at_once // max(1, dst.shape[1]))
        scores = torch.zeros(dst.shape, dtype=torch.float64)
        for s, d, to in zip(src.split(rows), dst.split(rows), scores.split(rows), strict=True):
            if d.numel():
                feat = read_columns(self.features, self.columns, snapshot, s, d)
                to.copy_(torch.from_numpy(scores_of(feat.reshape(d.numel(), -1).numpy())).reshape(d.shape))
        return scores


def _fit_trees(feat: np.ndarray, truth: np.ndarray, weight: np.ndarray, seed: int) -> TreeScores:
    from sklearn.ensemble import HistGradientBoostingClassifier

    bins, classifier = QuantileBins(), HistGradientBoostingClassifier(**TREES, random_state=seed)
    classifier.fit(bins.fit_transform(feat), truth, sample_weight=weight)
    return TreeScores(classifier, bins.edges)


def _fit_logistic(feat: np.ndarray, truth: np.ndarray, weight: np.ndarray, _: int) -> _LogisticScores:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler, classifier = StandardScaler(), LogisticRegression(max_iter=1000)
    classifier.fit(scaler.fit_transform(feat), truth, sample_weight=weight)
    learned = scaler.mean_, scaler.scale_, classifier.coef_[0], classifier.intercept_
    return _LogisticScores(*(each.astype(feat.dtype) for each in learned))


@dataclass
class _LogisticScores:
    """What ``decision_function`` returns of a logistic regression on standardised columns."""

    mean: np.ndarray
    scale: np.ndarray
    weight: np.ndarray
    bias: np.ndarray

    def __call__(self, feat: np.ndarray) -> np.ndarray:
        """Return scores ``(n,)`` of values ``(n, F)``."""
        return (feat - self.mean) / self.scale @ self.weight + self.bias

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all that scores are made of, as `restored` takes it."""
        return dict(vars(self))

    @classmethod
    def restored(cls, arrays: Mapping[str, np.ndarray]) -> _LogisticScores:
        """Return the scores that `arrays` are of, or raise ``ValueError``: NumPy would repeat what is too short."""
        scores = cls(**arrays)
        shapes = scores.mean.shape, scores.scale.shape, scores.bias.shape
        if shapes != (scores.weight.shape, scores.weight.shape, (1,)):
            raise ValueError(f"expected a mean and a scale of each of {len(scores.weight)} columns, and one bias")
        return scores

    @property
    def columns(self) -> int:
        """How many are read."""
        return len(self.weight)


class QuantileBins:
    """Numbers of quantiles in place of values, for at most 255 bins of each column.

    What trees do themselves; but with weights scikit-learn looks for each of 255 quantiles by a sort of its own, which
    takes ten times as long as the trees.
    """

    def fit_transform(self, feat: np.ndarray) -> np.ndarray:
        """Find the bins of each column of ``(n, F)``, and return their numbers."""
        self.edges = [self._edges(column) for column in feat.T]
        return self.transform(feat)

    def _edges(self, column: np.ndarray) -> np.ndarray:
        ascending = np.sort(column)
        values = ascending[np.append(True, ascending[1:] > ascending[:-1])]
        shares = np.linspace(0, 1, _BINS + 1)[1:-1]  # the values at these quantiles, or the next higher
        last = len(column) - 1
        return values[:-1] if len(values) <= _BINS else np.unique(ascending[np.ceil(shares * last).astype(int)])

    def transform(self, feat: np.ndarray) -> np.ndarray:
        """Return the number of the bin of each value, float32 ``(n, F)``."""
        numbers = np.empty(feat.shape, np.float32)
        for place, edges in enumerate(self.edges):
            numbers[:, place] = np.searchsorted(edges, feat[:, place])
        return numbers
