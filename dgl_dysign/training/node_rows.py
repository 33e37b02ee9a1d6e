"""The rows of a node-classification table: Dy-SIGN and everything it is compared with, under one protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dgl_dysign.data import TemporalGraph
from dgl_dysign.evaluation import f1_scores
from dgl_dysign.models import (
    DySIGN,
    LogisticRegression,
    ReLUNetwork,
    Snapshot,
    SnapshotGCN,
    load_snapshots,
    majority_class,
    masked_label_features,
    propagate_labels,
    smooth_predictions,
    spread,
)
from dgl_dysign.training.equilibrium_cache import EquilibriumCache
from dgl_dysign.training.fit import FitConfig, fit
from dgl_dysign.training.full_batch import full_batch_gradient

FEATURE_ONLY = "feature-only: training labels enter through the loss alone"
LABEL_AWARE = "label-aware: training labels are an input too, masked so that no node sees its own"


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
    """What is the same for all rows of a table.

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
    smooth_decay, alpha : float, default 0.1 and 0.6
        Of the smoothing of label-aware predictions.
    propagation_decays : tuple of float
        Out of which label propagation chooses its decay on validation.
    model : dict
        Further arguments of `dgl_dysign.models.DySIGN`.
    feature_only, label_aware : Recipe
        Of the two kinds of rows, the GCN excepted. Label-aware rows want a stronger weight decay: what they may learn
        from the features by heart they would else believe more than the labels around them.
    full_batch_epochs : int, default 0
        Train Dy-SIGN on the full batch with its layer's own gradient for so many steps; 0: in mini-batches with a
        cached equilibrium and the one-step gradient.
    scaling : str, default "standard"
        Of the features, see `dgl_dysign.models.load_snapshots`.
    """

    snapshots: int = 1
    decay: float = 0.1
    hops: tuple[int, ...] = (0, 1)
    hidden: int = 256
    label_hidden: int = 128
    gcn_hidden: int = 128
    gcn_epochs: int = 60
    label_decays: tuple[float, ...] = (0.9, 0.5, 0.2, 0.05)
    label_steps: tuple[int, ...] = (1, 2, 4, 8)
    folds: int = 10
    smooth_decay: float = 0.1
    alpha: float = 0.6
    propagation_decays: tuple[float, ...] = (0.8, 0.5, 0.3, 0.1)
    model: dict[str, Any] = field(default_factory=dict)
    feature_only: Recipe = Recipe(0.05, 0.3, FitConfig(weight_decay=0.5))
    label_aware: Recipe = Recipe(0.1, 0.5, FitConfig(weight_decay=5.0))
    full_batch_epochs: int = 0
    scaling: str = "standard"

    def recipe(self, label_aware: bool) -> Recipe:
        """Return the recipe of a kind of rows."""
        return self.label_aware if label_aware else self.feature_only


@dataclass
class Outcome:
    """What a row gives: probabilities of all nodes, what happened in training, and further scores and objects."""

    probabilities: Tensor
    history: list[dict[str, float]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    model: nn.Module | None = None


class NodeTask:
    """One data set, and one split of it at a time.

    Parameters
    ----------
    data : TemporalGraph
        A prepared folder with features and node labels.
    settings : NodeSettings
        What is the same for all rows.
    device : device, default "cpu"
        Where to compute.
    """

    def __init__(self, data: TemporalGraph, settings: NodeSettings, device: torch.device | str = "cpu") -> None:
        self.data, self.settings, self.device = data, settings, torch.device(device)
        self.labels = data.labels.to(self.device)
        self.num_classes = data.num_classes
        self.last = data.num_snapshots - 1

    @cached_property
    def snapshots(self) -> list[Snapshot]:
        """What the models read."""
        s = self.settings
        indices = spread(self.data.num_snapshots, s.snapshots)
        return load_snapshots(self.data, indices, s.decay, s.hops, s.scaling, self.device)

    def split(self, train: Tensor, val: Tensor, test: Tensor, seed: int) -> None:
        """Take up a split, and the seed of everything drawn."""
        self.train, self.val, self.test = (part.to(self.device) for part in (train, val, test))
        self.seed = seed
        self._label_feat: Tensor | None = None

    def graph(self, decay: float) -> tuple[Any, Tensor]:
        """Return the graph at the last snapshot, and its weights."""
        graph = self.data.graph(self.last, decay=decay)
        return graph, graph.edata.pop("weight").to(self.device)

    @property
    def label_feat(self) -> Tensor:
        """Label features for this split, ``(N, d)``."""
        if self._label_feat is None:
            s = self.settings
            graphs = [self.graph(decay) for decay in s.label_decays]
            self._label_feat = masked_label_features(
                graphs, self.labels, self.train, self.num_classes, s.label_steps, s.folds, self.seed
            )
        return self._label_feat

    def smoothed(self, probabilities: Tensor) -> Tensor:
        """Smooth label-aware predictions."""
        graph, weight = self.graph(self.settings.smooth_decay)
        return smooth_predictions(graph, weight, probabilities, self.labels, self.train, self.settings.alpha)

    def dysign(self, label_aware: bool) -> DySIGN:
        """Return an untrained Dy-SIGN, drawn with the seed."""
        s, recipe = self.settings, self.settings.recipe(label_aware)
        with torch.random.fork_rng([]):
            torch.manual_seed(self.seed)
            model = DySIGN(
                self.snapshots[-1].feat.shape[1],
                s.hidden,
                self.num_classes,
                len(self.snapshots),
                label_feats=self.label_feat.shape[1] if label_aware else 0,
                label_hidden=s.label_hidden,
                **{"feat_dropout": recipe.feat_dropout, "dropout": recipe.dropout, **s.model},
            )
        return model.to(self.device)


Row = Callable[[NodeTask, "Path | None"], Outcome]


def _one_hot(task: NodeTask, classes: Tensor) -> Tensor:
    return nn.functional.one_hot(classes, task.num_classes).float()


def majority(task: NodeTask, checkpoint: Path | None = None) -> Outcome:
    """Answer with the most frequent class."""
    return Outcome(_one_hot(task, majority_class(task.labels, task.train, len(task.labels))))


def label_propagation(task: NodeTask, checkpoint: Path | None = None) -> Outcome:
    """Label propagation, its decay chosen on validation."""
    best, chosen, found = -1.0, 0.0, None
    for decay in task.settings.propagation_decays:
        scores = propagate_labels(*task.graph(decay), task.labels, task.train, task.num_classes)
        score = f1_scores(task.labels, scores.argmax(1), task.val)["macro_f1"]
        if score > best:
            best, chosen, found = score, decay, scores
    assert found is not None
    return Outcome(found, extra={"decay": chosen})


def _fit_rows(
    task: NodeTask, make: Callable[[int, int, Recipe], nn.Module], label_aware: bool, path: Path | None
) -> Outcome:
    """Train a model that takes rows of the last snapshot's features, and of the label features."""
    recipe = task.settings.recipe(label_aware)
    inputs = [task.snapshots[-1].feat, *([task.label_feat] if label_aware else [])]
    with torch.random.fork_rng([]):
        torch.manual_seed(task.seed)
        model = make(inputs[0].shape[1], inputs[1].shape[1] if label_aware else 0, recipe).to(task.device)
    history = fit(
        model,
        lambda nodes: model(*(x[nodes] for x in inputs)),
        task.labels,
        task.train,
        task.val,
        recipe.training,
        task.seed,
        path,
    )
    with torch.no_grad():
        probabilities = model(*inputs).softmax(1)
    return Outcome(task.smoothed(probabilities) if label_aware else probabilities, history, model=model)


class _Joined(nn.Module):
    """Logistic regression on features and label features side by side."""

    def __init__(self, in_feats: int, label_feats: int, num_classes: int, feat_dropout: float) -> None:
        super().__init__()
        self.linear = LogisticRegression(in_feats + label_feats, num_classes, feat_dropout)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.linear(torch.cat(inputs, 1))


def logistic_regression(task: NodeTask, checkpoint: Path | None = None, label_aware: bool = False) -> Outcome:
    """Logistic regression on the last snapshot's features."""
    return _fit_rows(task, lambda d, e, r: _Joined(d, e, task.num_classes, r.feat_dropout), label_aware, checkpoint)


def relu_network(task: NodeTask, checkpoint: Path | None = None, label_aware: bool = False) -> Outcome:
    """Dy-SIGN's inputs and read-out, with ReLU in place of the spiking equilibrium."""
    s = task.settings

    def make(in_feats: int, label_feats: int, recipe: Recipe) -> ReLUNetwork:
        return ReLUNetwork(
            in_feats,
            s.hidden,
            task.num_classes,
            label_feats,
            s.label_hidden,
            feat_dropout=recipe.feat_dropout,
            dropout=recipe.dropout,
        )

    return _fit_rows(task, make, label_aware, checkpoint)


def gcn(task: NodeTask, checkpoint: Path | None = None) -> Outcome:
    """GCN on each snapshot with a concatenated read-out, full batch."""
    s = task.settings
    with torch.random.fork_rng([task.device] if task.device.type == "cuda" else []):
        torch.manual_seed(task.seed)
        width = task.snapshots[-1].feat.shape[1]
        model = SnapshotGCN(width, s.gcn_hidden, task.num_classes, len(task.snapshots)).to(task.device)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
        history = []
        for epoch in range(s.gcn_epochs):
            loss = nn.functional.cross_entropy(model(task.snapshots)[task.train], task.labels[task.train])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.append({"epoch": epoch, "loss": float(loss.detach())})
    model.eval()
    with torch.no_grad():
        return Outcome(model(task.snapshots).softmax(1), history, model=model)


def dysign(task: NodeTask, checkpoint: Path | None = None, label_aware: bool = False) -> Outcome:
    """Dy-SIGN: trained at the equilibrium, scored as the spiking network it is."""
    model = task.dysign(label_aware)
    label_feat = task.label_feat if label_aware else None
    config = task.settings.recipe(label_aware).training
    if task.settings.full_batch_epochs:
        history = _fit_full_batch(task, model, config, label_feat)
    else:
        cache = EquilibriumCache(model, task.snapshots, label_feat)
        history = fit(model, cache, task.labels, task.train, task.val, config, task.seed, checkpoint)
        del cache
    model.eval()
    with torch.no_grad():
        spiking = model(task.snapshots, label_feat, simulate=True).softmax(1)
        solved = model(task.snapshots, label_feat, simulate=False).softmax(1) if model.conv.lif.leak <= 1 else None
    finish = task.smoothed if label_aware else (lambda probabilities: probabilities)
    extra = {}
    if solved is not None:  # above leak 1 there is no equilibrium to compare with
        at_equilibrium = f1_scores(task.labels, finish(solved).argmax(1), task.test)
        extra = {f"{name}_at_equilibrium": value for name, value in at_equilibrium.items()}
    return Outcome(finish(spiking), history, extra, model)


def _fit_full_batch(
    task: NodeTask, model: DySIGN, config: FitConfig, label_feat: Tensor | None
) -> list[dict[str, float]]:
    steps = task.settings.full_batch_epochs
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=steps)
    history = []
    with torch.random.fork_rng([task.device] if task.device.type == "cuda" else []):
        torch.manual_seed(task.seed)
        for epoch in range(steps):
            optimizer.zero_grad()
            loss = full_batch_gradient(
                model,
                task.snapshots,
                lambda logits: nn.functional.cross_entropy(logits[task.train], task.labels[task.train]),
                label_feat,
            )
            optimizer.step()
            schedule.step()
            history.append({"epoch": epoch, "loss": float(loss)})
    return history


#: Every row by its name: how it is trained, and its protocol.
ROWS: dict[str, tuple[Row, str]] = {
    "majority": (majority, FEATURE_ONLY),
    "logistic-regression": (logistic_regression, FEATURE_ONLY),
    "relu-network": (relu_network, FEATURE_ONLY),
    "gcn": (gcn, FEATURE_ONLY),
    "dysign": (dysign, FEATURE_ONLY),
    "label-propagation": (label_propagation, LABEL_AWARE),
    "label-aware-logistic": (partial(logistic_regression, label_aware=True), LABEL_AWARE),
    "label-aware-relu": (partial(relu_network, label_aware=True), LABEL_AWARE),
    "dysign-label-aware": (partial(dysign, label_aware=True), LABEL_AWARE),
}
