"""Embeddings of nodes, trained on edges alone, as entries of a table of nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from dgl_dysign.baselines import HTNE, M2DNE, DeepWalk, DynamicTriad, Node2Vec, TemporalEdges
from dgl_dysign.data.snapshot_edges import snapshot_edges
from dgl_dysign.experiments.entry import FEATURE_ONLY, Entry, Outcome, comparison_entry
from dgl_dysign.experiments.node_task import NodeView
from dgl_dysign.training.embeddings import EmbeddingConfig, fit_embedding
from dgl_dysign.training.loop import seeded

#: By name the class of an embedding, its arguments and fields of `EmbeddingConfig`, and what a table chooses from.
EMBEDDINGS: dict[str, tuple[type[Any], dict[str, Any], dict[str, Any]]] = {
    "deepwalk": (DeepWalk, {}, {}),
    "node2vec": (
        Node2Vec,
        {},
        {"p": ({"p": 0.25, "q": 0.25}, {"p": 4.0, "q": 0.5}, {"p": 4.0, "q": 1.0}, {"p": 1.0, "q": 2.0})},
    ),
    "htne": (HTNE, {"epochs": 20}, {}),
    "m2dne": (M2DNE, {"epochs": 20}, {}),
    "dynamic-triad": (DynamicTriad, {"epochs": 5}, {}),  # for each snapshot
}
_FURTHER = ({"C": 0.1}, {"C": 0.01})  # read-outs that are compared on validation


def embedding_entry(name: str, arguments: Mapping[str, Any] | None = None) -> Entry:
    """Return an embedding as an entry: its vectors, and scikit-learn's logistic regression on those that train.

    The vectors are made anew, of the edges up to it, for each snapshot at whose end nodes are asked about, and so is
    the regression: vectors of two trainings do not lie alike. They read no label, so that all splits share them. `name`
    is one of `EMBEDDINGS`; `arguments`, of its class and fields of `EmbeddingConfig`, stand before the usual ones.

    Examples
    --------
    >>> embedding_entry("htne", {"history": 2, "epochs": 5}).source["arguments"]
    {'epochs': 5, 'history': 2}
    """
    cls, usual, choices = EMBEDDINGS[name]
    own = {**usual, **(arguments or {})}

    def outcome(at: NodeView, **run: Any) -> Outcome:
        chosen = {key: value for key, value in at.settings.chosen.items() if choices and key in ("p", "q")}
        arguments: dict[str, Any] = {**own, **chosen}
        history: list[dict[str, float]] = []
        key = name, repr(arguments), at.settings.share
        vectors, borrowed = at.embedding(key, lambda: _vectors(cls, arguments, at, history, **run))
        finishes = ((more, read_out(at, vectors, **more)) for more in _FURTHER)
        return Outcome(read_out(at, vectors), history, finishes=finishes, borrowed_seconds=borrowed)

    def fitted(view: NodeView, **run: Any) -> Outcome:
        return replace(outcome(view, **run), later=outcome)

    defaults = {"p": 1.0, "q": 0.5, "C": 1.0} if choices else None
    return comparison_entry(name, cls, fitted, own, protocol=FEATURE_ONLY, choices=choices, defaults=defaults)


def _vectors(
    cls: type[Any], arguments: Mapping[str, Any], at: NodeView, history: list[dict[str, float]], **run: Any
) -> Tensor:
    """Return the vectors of all nodes from the edges of a view; the history of their training is added to one."""
    snapshots, share = [snapshot_edges(at.data, t) for t in range(at.data.num_snapshots)], at.settings.share
    training = {field.name: arguments[field.name] for field in fields(EmbeddingConfig) if field.name in arguments}
    own = {key: value for key, value in arguments.items() if key not in training}
    if issubclass(cls, DeepWalk):
        walks = own.get("num_walks", DeepWalk.num_walks)
        return cls(**{**own, "num_walks": max(1, round(share * walks))}).vectors(snapshots, at.seed)
    config = EmbeddingConfig(**training)
    config = replace(config, epochs=max(1, round(share * config.epochs)))
    with seeded(at.seed, "cpu"):
        model = cls(snapshots if cls is DynamicTriad else TemporalEdges(snapshots), **own)
    history += fit_embedding(model, config, at.seed, **run)
    return model.vectors.detach()


def read_out(at: NodeView, vectors: Tensor, C: float | None = None) -> Tensor:
    """Return the probabilities of classes by a logistic regression on standardised vectors of the training nodes."""
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression

    feat = ((vectors - vectors.mean(0)) / vectors.std(0).clamp(min=1e-6)).cpu().numpy()
    train, weights = at.train.cpu(), at.settings.feature_only.training.class_weights
    C = at.settings.chosen.get("C", 1.0) if C is None else C
    model = LogisticRegression(C=C, class_weight="balanced" if weights else None, max_iter=1000)
    classes = at.labels.cpu()[train]
    if len(classes.unique()) == 1:  # a regression refuses a single class
        model = DummyClassifier(strategy="prior")
    model.fit(feat[train], classes)
    out = torch.zeros(len(feat), at.num_classes)
    out[:, model.classes_] = torch.from_numpy(model.predict_proba(feat)).float()
    return out.to(at.device)
