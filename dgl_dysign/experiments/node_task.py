"""Labelled nodes of one data set, a split of them, and what all entries of a table about them share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from dgl_dysign.data import TemporalGraph
from dgl_dysign.data.row_store import RowFiles
from dgl_dysign.data.temporal_graph import Horizon
from dgl_dysign.errors import DataError
from dgl_dysign.evaluation import class_shares, confusion, detection_scores, f1_scores
from dgl_dysign.experiments.entry import Outcome, Recent, Task, View
from dgl_dysign.experiments.record import Scoring
from dgl_dysign.models import DySIGN, LabelInputs, NodeInputs, Snapshot, evenly_spaced
from dgl_dysign.models.inputs import graph_at
from dgl_dysign.models.label_features import LabelReading
from dgl_dysign.nn import ThresholdEncoder
from dgl_dysign.nn.firing_rates import check_rates
from dgl_dysign.training.loop import seeded
from dgl_dysign.training.nodes import FitConfig

T = TypeVar("T", bound="NodeView")


@dataclass(frozen=True)
class Recipe:
    """How strongly a model is held back: the same for Dy-SIGN and for its controls.

    Parameters
    ----------
    feat_dropout, dropout : float
        Of the features, and of the hidden layer before the read-out.
    training : FitConfig
        Of the mini-batches.
    """

    feat_dropout: float
    dropout: float
    training: FitConfig


@dataclass(frozen=True)
class NodeSettings:
    """What is the same for all entries of a table.

    Parameters
    ----------
    snapshots : int, default 1
        Number of snapshots read out, evenly spaced, the last included.
    decay : float, default 0.1
        Weight an event keeps with each snapshot that passes, for messages and feature means.
    hops : tuple of int, default (0, 1)
        Feature means that make up the input.
    hidden, label_hidden : int, default 256 and 128
        Neurons of the two populations.
    gcn_hidden, gcn_epochs : int, default 128 and 60
        Of the reference GCN.
    label_decays, label_steps, folds
        Of the label features.
    strength : float, default 1
        Of the correction of label propagation by label-aware entries.
    smooth_decay, alpha : float, default 0.1 and 0.6
        Of the smoothing of label-aware predictions.
    model : dict
        Further arguments of `dgl_dysign.models.DySIGN`; of these ``input_thresholds``, ``keep_inputs`` and
        ``keep_block`` count for the reference networks, too.
    feature_only, label_aware : Recipe
        Of the two kinds of entries, the GCN excepted. Label-aware ones need a stronger weight decay: else they overfit
        the features and rely too little on the labels around a node.
    rate_penalty, target_rate : float and float or None, default 0 and None
        What is asked of the rates of Dy-SIGN and `SpikingUnderGS`, see `dgl_dysign.nn.FiringRates`.
    teacher : str, optional
        ``relu-network`` or ``gcn``, fitted first, to features as they are: what it predicts of all nodes, beside the
        training labels, is then learnt in mini-batches by logistic regression, the ReLU network and Dy-SIGN, feature-
        only; see ``targets`` of `dgl_dysign.training.fit`.
    full_batch_epochs : int, default 0
        Train Dy-SIGN on the full batch with its layer's own gradient for so many steps; 0: in mini-batches with a
        cached equilibrium and the one-step gradient.
    store : dict
        Arguments of `dgl_dysign.store.NeighborStore` for the two entries that read a store.
    store_hidden : int, default 128
        Width of UnderGS.
    scaling : str, default "standard"
        Of the features, see `dgl_dysign.models.load_snapshots`.
    positive : str, optional
        Of two classes, the name of that which AUC and average precision are of; default: the rarer one in training.
    share : float, default 1
        Of the epochs that entries train for: less while settings are chosen. `with_share` has set it in these settings;
        entries with epochs of their own multiply theirs.
    chosen : dict
        What was chosen, by name; `with_choice` has set it in these settings; entries read other names from here.
    """

    snapshots: int = 1
    decay: float = 0.1
    hops: tuple[int, ...] = (0, 1)
    hidden: int = 256
    label_hidden: int = 128
    gcn_hidden: int = 128
    gcn_epochs: int = 60
    label_decays: tuple[float, ...] = (1.0, 0.9, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05)
    label_steps: tuple[int, ...] = (1, 2, 4, 8)
    folds: int = 10
    strength: float = 1.0
    smooth_decay: float = 0.1
    alpha: float = 0.6
    model: dict[str, Any] = field(default_factory=dict)
    feature_only: Recipe = Recipe(0.05, 0.3, FitConfig(weight_decay=0.5))
    label_aware: Recipe = Recipe(0.1, 0.5, FitConfig(weight_decay=5.0))
    rate_penalty: float = 0.0
    target_rate: float | None = None
    teacher: str | None = None
    full_batch_epochs: int = 0
    store: dict[str, Any] = field(
        default_factory=lambda: {"num_neighbors": 16, "num_hops": 2, "snapshot_decay": 0.1, "importance": "uniform"}
    )
    store_hidden: int = 128
    scaling: str = "standard"
    positive: str | None = None
    share: float = 1.0
    chosen: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_rates(self.rate_penalty, self.target_rate)

    def recipe(self, label_aware: bool) -> Recipe:
        """Return the recipe of a kind of entries."""
        return self.label_aware if label_aware else self.feature_only

    def spiking(self, label_aware: bool = False) -> FitConfig:
        """Return how spiking models of a kind of entries are trained."""
        training = self.recipe(label_aware).training
        return replace(training, rate_penalty=self.rate_penalty, target_rate=self.target_rate)

    def with_epochs(self, epochs: int) -> NodeSettings:
        """Return the settings with other epochs in both recipes."""
        return self._with_training(lambda training: replace(training, epochs=epochs))

    def with_share(self, share: float) -> NodeSettings:
        """Return the settings with a share of the epochs, one at least: a training and its schedule are shortened."""

        def part(epochs: int) -> int:
            return epochs and max(1, round(share * epochs))

        settings = self._with_training(lambda training: replace(training, epochs=part(training.epochs)))
        own: dict[str, Any] = {name: part(getattr(self, name)) for name in ("gcn_epochs", "full_batch_epochs")}
        return replace(settings, **own, share=share * self.share)

    def defaults(self, label_aware: bool) -> dict[str, Any]:
        """Return by name what `with_choice` would change for a kind of entries."""
        recipe = self.recipe(label_aware)
        return {"feedback": True, **vars(recipe.training), **vars(recipe), **vars(self), **self.model}

    def with_choice(self, **values: Any) -> NodeSettings:
        """Return the settings with chosen values, which are the same for all kinds of entries.

        Parameters
        ----------
        values
            By name: fields of these settings, of both `Recipe` and of `FitConfig`; ``feedback`` of the model. What has
            another name stands in ``chosen`` alone, for entries that read it there.

        Examples
        --------
        >>> settings = NodeSettings().with_choice(decay=0.9, weight_decay=5.0, mine=3)
        >>> settings.decay, settings.feature_only.training.weight_decay, settings.chosen["mine"]
        (0.9, 5.0, 3)
        """
        values = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}  # from JSON or TOML

        def named(kind: Any) -> dict[str, Any]:
            return {f.name: values[f.name] for f in fields(kind) if f.name in values}

        settings = self._with_training(lambda training: replace(training, **named(FitConfig)))
        recipes = {name: replace(getattr(settings, name), **named(Recipe)) for name in ("feature_only", "label_aware")}
        model = {**self.model, **{name: values[name] for name in ("feedback",) if name in values}}
        chosen = {**self.chosen, **values}
        return replace(settings, **{**recipes, "model": model, "chosen": chosen, **named(NodeSettings)})

    def _with_training(self, changed: Callable[[FitConfig], FitConfig]) -> NodeSettings:
        recipes = {name: getattr(self, name) for name in ("feature_only", "label_aware")}
        return replace(self, **{name: replace(r, training=changed(r.training)) for name, r in recipes.items()})


def _snapshot_bytes(snapshots: Sequence[Snapshot]) -> int:
    """Return the bytes in memory: rows in files, of which one snapshot at a time is read, count as none."""
    if not isinstance(snapshots, list):
        return 0
    return sum(s.feat.nbytes + s.active.nbytes + 5 * s.edge_weight.nbytes for s in snapshots)  # a graph has two ids


def _reading_bytes(reading: LabelReading) -> int:
    return reading.feat.nbytes + reading.prior.nbytes


class NodeView(View):
    """Nodes of one data set, some of them labelled, and a seed: what an entry of a table about nodes is fitted to.

    Parameters
    ----------
    data : TemporalGraph
        A prepared folder with features and node labels.
    settings : NodeSettings
        What is the same for all entries.
    device : device, default "cpu"
        Where to compute.
    files : RowFiles, optional
        Keep features, and what the training of Dy-SIGN caches, there instead of in memory.
    ends : tuple of int, optional
        How many snapshots training and validation may read, where parts are split by time; default: all.

    Attributes
    ----------
    data : TemporalGraph
        Split by time, it ends with training; while a model is asked about later nodes, it grows by later snapshots.
    labels : Tensor
        Class of every node, int64 ``(N,)``; -1 outside training and validation, in ``data.labels`` too.
    train, val : Tensor
        Nodes of the parts; validation is for choosing.
    num_classes, last : int
        Number of classes C, and the last snapshot of the data.
    seed : int
        Of everything drawn.
    """

    def __init__(
        self,
        data: TemporalGraph,
        settings: NodeSettings,
        device: torch.device | str = "cpu",
        files: RowFiles | None = None,
        ends: tuple[int, int] | None = None,
    ) -> None:
        self.data, self.settings, self.device, self.files = data, settings, torch.device(device), files
        self.labels = data.labels.to(self.device)
        self.num_classes = data.num_classes
        self.ends = ends or (data.num_snapshots, data.num_snapshots)
        self.train = self.val = torch.zeros(0, dtype=torch.int64, device=self.device)
        self._snapshots: Recent[Sequence[Snapshot]] = Recent(_snapshot_bytes)
        self._label_readings: Recent[LabelReading] = Recent(_reading_bytes)
        self._embeddings: Recent[tuple[Tensor, float]] = Recent(lambda kept: kept[0].nbytes)

    def with_parts(self: T, train: Tensor, val: Tensor, **changes: Any) -> T:
        """Return the view with other training and validation nodes; what is read of their labels is read anew."""
        return self._with(train=train, val=val, _label_readings=Recent(_reading_bytes), **changes)

    @property
    def last(self) -> int:
        """The last snapshot of the data."""
        return self.data.num_snapshots - 1

    def at_validation(self: T) -> T:
        """Return the view as of the last snapshot of validation; it is the same view unless parts are split by time."""
        return self._as_of(self.ends[1])

    def _as_of(self: T, num_snapshots: int) -> T:
        if num_snapshots == self.data.num_snapshots:
            return self
        return self._with(data=self.data.until(Horizon(num_snapshots)))

    @property
    def positive(self) -> int | None:
        """Of two classes, that which AUC and average precision are of; None with more classes."""
        if self.num_classes != 2:
            return None
        if self.settings.positive is not None:
            return self.data.class_names.index(self.settings.positive)
        return int(torch.bincount(self.labels[self.train], minlength=2).argmin())

    def figures(self, prediction: Tensor, nodes: Tensor) -> dict[str, float]:
        """Return Macro- and Micro-F1 of scores ``(N, C)`` over some nodes, of two classes also ``auc`` and ``ap``."""
        scores = f1_scores(self.labels, prediction.argmax(1), nodes)
        if self.positive is None:
            return scores
        return scores | detection_scores(self.labels[nodes] == self.positive, self.shares(prediction[nodes]))

    def shares(self, scores: Tensor) -> Tensor:
        """Return the share of the positive class in scores ``(n, 2)``; without any score that among training nodes."""
        assert self.positive is not None
        prior = float((self.labels[self.train] == self.positive).double().mean())
        return class_shares(scores, self.positive, prior)

    @property
    def snapshots(self) -> Sequence[Snapshot]:
        """What the models read: kept for all views of the data, if there is room, under these and other settings."""
        s, indices = self.settings, evenly_spaced(self.data.num_snapshots, self.settings.snapshots)
        key = self.last, s.snapshots, s.decay, s.hops, s.scaling
        return self._snapshots.get(key, lambda: self.inputs.snapshots(self.data, indices, self.device, self.files))

    def embedding(self, key: tuple[Any, ...], make: Callable[[], Tensor]) -> tuple[Tensor, float]:
        """Return vectors that are made of edges and a seed alone, and the CPU seconds of the fit that made them.

        All splits share them: they read no label. `key` tells them from others of the same seed and snapshots; the
        seconds are 0 where they are made now.
        """
        new = []

        def timed() -> tuple[Tensor, float]:
            started = time.process_time()
            new.append(make())
            return new[0], time.process_time() - started

        vectors, seconds = self._embeddings.get((*key, self.seed, self.last), timed)
        return vectors, 0.0 if new else seconds

    @property
    def inputs(self) -> NodeInputs:
        """How Dy-SIGN and its controls read the data: what `dgl_dysign.models.predict.predict` needs to know."""
        return NodeInputs(self.settings.decay, self.settings.hops, self.settings.scaling)

    @property
    def label_inputs(self) -> LabelInputs:
        """How label-aware entries read the training labels of this split."""
        s, nodes = self.settings, self.train.cpu()
        return LabelInputs(nodes, self.labels.cpu()[nodes], s.label_decays, s.label_steps, s.folds, self.seed)

    @property
    def label_aware_inputs(self) -> NodeInputs:
        """How a label-aware Dy-SIGN reads the data."""
        s, reading = self.settings, self.label_reading
        own: dict[str, Any] = {"smooth_decay": s.smooth_decay, "alpha": s.alpha, "strength": s.strength}
        labels = replace(self.label_inputs, prior=(reading.graph, reading.steps), **own)
        return replace(self.inputs, labels=labels)

    @property
    def store_inputs(self) -> NodeInputs:
        """How the entries that read a store do so."""
        return NodeInputs(hops=self.settings.hops, store={"directed": self.data.directed, **self.settings.store})

    def graph(self, decay: float) -> tuple[Any, Tensor]:
        """Return the graph at the last snapshot, and its weights."""
        return graph_at(self.data, self.last, decay, self.device)

    @property
    def label_reading(self) -> LabelReading:
        """Label features for this split, and what label propagation predicts."""
        s = self.settings
        key = self.last, s.label_decays, s.label_steps, s.folds, self.seed
        return self._label_readings.get(key, lambda: self.label_inputs.read(self.data, self.last, self.device))

    @property
    def label_feat(self) -> Tensor:
        """Label features for this split, ``(N, d)``."""
        return self.label_reading.feat

    def finished(self, logits: Tensor, **settings: Any) -> Tensor:
        """Return what a label-aware model predicts, with the ``strength`` and ``alpha`` of the settings, or others."""
        labels = self.label_aware_inputs.labels
        assert labels is not None
        return replace(labels, **settings).finished(self.data, self.last, logits, self.label_reading.prior)

    def dysign(self, label_aware: bool = False) -> DySIGN:
        """Return an untrained Dy-SIGN, drawn with the seed."""
        s, recipe = self.settings, self.settings.recipe(label_aware)
        with seeded(self.seed, self.device):
            model = DySIGN(
                self.snapshots[-1].feat.shape[1],
                s.hidden,
                self.num_classes,
                len(self.snapshots),
                label_feats=self.label_feat.shape[1] if label_aware else 0,
                label_hidden=s.label_hidden,
                **{"feat_dropout": recipe.feat_dropout, "dropout": recipe.dropout, **s.model},
            )
        self.fit_encoder(model.encoder)
        return model.to(self.device)

    def fit_encoder(self, encoder: ThresholdEncoder | None) -> None:
        """Let thresholds start from the features of the training nodes in the last snapshot."""
        if encoder is not None:
            encoder.fit(self.snapshots[-1].feat[self.train].cpu())


class NodeTask(NodeView, Task):
    """Labelled nodes of one data set, with a split and a seed.

    Parameters are those of `NodeView`. Attributes, too, but ``labels`` are all labels, and ``test`` are the nodes that
    entries are tested on; all parts are empty without `with_split`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.test = self.train
        self._horizon = Horizon(self.ends[0])

    def with_split(self, train: Tensor, val: Tensor, test: Tensor, seed: int = 0) -> NodeTask:
        """Return the task on a split, with the seed of everything drawn; label features are computed for it anew."""
        train, val, test = (part.to(self.device) for part in (train, val, test))
        return self.with_parts(train, val, test=test, seed=seed, _horizon=Horizon(self.ends[0]))

    @property
    def by_time(self) -> bool:
        """Whether parts are split by time: validation ends before the last snapshot."""
        return bool(self.ends[1] < self.data.num_snapshots)

    def release(self) -> None:
        """Drop the inputs, which may be most of the memory, embeddings, and the label features."""
        self._snapshots.release()
        self._embeddings.release()
        self._label_readings.release()

    def view(self) -> NodeView:
        """Return what entries are fitted to; it shares the inputs."""
        known = torch.cat([self.train, self.val])
        labels = torch.full_like(self.labels, -1).index_copy(0, known, self.labels[known])
        view = object.__new__(NodeView)
        vars(view).update({name: value for name, value in vars(self).items() if name not in ("test", "_horizon")})
        parts = {"train": self.train.clone(), "val": self.val.clone()}  # what is changed in place stays in this view
        return view._with(labels=labels, data=self.data.with_labels(labels).until(self._horizon), **parts)

    def without_test(self) -> NodeTask:
        """Return the task without what is tested: no test nodes, and no label but those of training and validation."""
        view = self.view()
        return self._with(labels=view.labels, data=self.data.with_labels(view.labels), test=self.test[:0])

    def score(self, outcome: Outcome) -> list[Scoring]:
        """Return `figures` in %, and the confusion of the test nodes; keep what the model predicts.

        Raises
        ------
        DataError
            If the model has no ``predict``, or what the entry gives is not a finite number for each node and class.
        """
        test = self.outcome_at(outcome, self.data.num_snapshots)
        val = self.outcome_at(outcome, self.ends[1]) if self.by_time else test
        for prediction in (val.predicted, test.predicted, *test.variants.values()):
            _check_finite(prediction, outcome.entry)
        outcome.prediction, outcome.variants = test.predicted, test.variants
        scores = {**self.figures(test.predicted, self.test), **outcome.figures}
        for name, variant in outcome.variants.items():
            also = self.figures(variant, self.test)
            scores |= {f"{figure}_{name}": value for figure, value in also.items()}
        counts = confusion(self.labels, test.predicted.argmax(1), self.test, self.num_classes).tolist()
        return [Scoring(scores, self.figures(val.predicted, self.val), confusion=counts)]

    @contextmanager
    def seen(self, num_snapshots: int) -> Iterator[None]:
        """Let views have so many snapshots for a while: a model that looks into its view's data finds them there."""
        self._horizon.num_snapshots = num_snapshots
        try:
            yield
        finally:
            self._horizon.num_snapshots = self.ends[0]

    def outcome_at(self, outcome: Outcome, num_snapshots: int) -> Outcome:
        """Return the outcome of a fitted entry as of the last of so many snapshots.

        Raises ``DataError`` if the entry predicts as of the end of its training alone.
        """
        if outcome.prediction is None:
            with self.seen(num_snapshots):
                return replace(outcome, prediction=self._predicted(outcome))
        if num_snapshots == self.ends[0]:
            return outcome
        if outcome.later is None:
            raise DataError(
                f"row {outcome.entry!r}: it predicts as of snapshot {self.ends[0] - 1}, the last of its training, but "
                f"the nodes are tested as of snapshot {num_snapshots - 1}: return a model with predict, which reads "
                f"view.data when it is asked, or an Outcome with later"
            )
        return outcome.later(self.view()._as_of(num_snapshots))

    def arrays(self, outcome: Outcome) -> dict[str, np.ndarray]:
        """Return the scores ``(n, C)`` of the test nodes, in the order of the split.

        In half precision, where the highest score of a node stays its highest; of two classes, whose order counts, in
        single precision.
        """
        scores = outcome.predicted[self.test].float().cpu().numpy()
        if self.num_classes == 2:
            return {"prediction": scores}
        largest = float(np.finfo(np.float16).max) / 2  # of a stranger's scores, which need not be probabilities
        kept, nodes, best = scores.clip(-largest, largest).astype(np.float16), np.arange(len(scores)), scores.argmax(1)
        tied = kept.argmax(1) != best
        kept[nodes[tied], best[tied]] = np.nextafter(kept[tied].max(1), np.float16(np.inf))
        return {"prediction": kept}

    @torch.no_grad()
    def _predicted(self, outcome: Outcome) -> Tensor:
        """Ask the model for all nodes."""
        where, expected = f"row {outcome.entry!r}", (len(self.labels), self.num_classes)
        outcome.check_model("predict")
        prediction = outcome.model.predict(torch.arange(len(self.labels)))
        if not isinstance(prediction, Tensor) or not prediction.is_floating_point():
            kind = prediction.dtype if isinstance(prediction, Tensor) else type(prediction).__name__
            raise DataError(f"{where}: predict gave {kind}, expected a tensor of floating-point scores")
        if prediction.shape != expected:
            raise DataError(f"{where}: predict gave shape {tuple(prediction.shape)}, expected {expected}: (N, classes)")
        return prediction.to(self.device)


def _check_finite(prediction: Tensor, entry: str) -> None:
    wrong = int((~prediction.isfinite()).sum())
    if wrong:
        raise DataError(
            f"row {entry!r}: it gave {wrong} NaN or infinite among {prediction.numel()} scores, expected numbers: look "
            f"for a diverged training, a division by zero, or features that are no numbers (dysign-prep verify)"
        )
