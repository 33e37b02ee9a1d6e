"""Training labels as inputs that no node sees its own of, and as what smooths predictions over the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dgl_dysign.errors import ConfigError
from dgl_dysign.evaluation.f1 import macro_micro_f1
from dgl_dysign.ops import aggregate, symmetric_norm

_MIXED = 0.02  # of even shares in those that reach a node: a logarithm needs some of each class


def smooth_predictions(
    graph: Any,
    edge_weight: Tensor | None,
    probabilities: Tensor,
    labels: Tensor | None = None,
    train: Tensor | None = None,
    alpha: float = 0.6,
    steps: int = 10,
) -> Tensor:
    r"""Smooth predicted probabilities ``(N, C)`` over a graph; with labels, training nodes are clamped to theirs.

    .. math:: G \leftarrow \alpha \hat A G + (1 - \alpha) B

    (Zhou et al., NeurIPS 2003; Huang et al., ICLR 2021), ``steps`` times, over an undirected graph with weights of
    edges. B are the probabilities, one-hot for nodes of ``train``, of which alone the ``labels`` ``(N,)`` are read.
    Raises ``ConfigError`` if alpha is outside [0, 1), or only one of labels and train is given.
    """
    if not 0 <= alpha < 1:
        raise ConfigError(f"alpha must lie in [0, 1), but got {alpha}")
    if (labels is None) != (train is None):
        raise ConfigError("labels and train are given together, or not at all, but one of them is None")
    norm = symmetric_norm(graph, edge_weight, torch.float32)
    base = probabilities.clone()
    if train is not None and labels is not None:
        base[train] = torch.nn.functional.one_hot(labels[train], base.shape[1]).to(base.dtype)
    smooth = base
    for _ in range(steps):
        smooth = torch.add((1 - alpha) * base, aggregate(graph, smooth, norm, norm="none"), alpha=alpha)
        if train is not None:
            smooth[train] = base[train]
    return smooth


def masked_label_features(
    graphs: Sequence[tuple[Any, Tensor | None]],
    labels: Tensor,
    train: Tensor,
    num_classes: int,
    steps: Sequence[int] = (1, 2, 4, 8),
    folds: int = 10,
    seed: int = 0,
) -> Tensor:
    """Training labels as input features, such that no node sees its own.

    Training nodes are cut into folds. A training node reads what reaches it when the labels of the *other* folds are
    propagated, every other node what reaches it from all training labels. Labels outside ``train`` are never read.
    For each graph and each number of steps the features are the shares of the classes in what reaches the node, and
    log(1 + 10 m) / 2 of its mass m. They are standardised with the mean and deviation over the nodes whose label that
    propagation does not show: those over all rows would tell a node of its own label. They are
    ``(N, len(graphs) * len(steps) * (C + 1))``; fewer than two folds or no steps raise ``ConfigError``.

    Parameters
    ----------
    graphs : sequence of (DGLGraph, Tensor or None)
        Undirected graphs over the same nodes with the weights of their edges, such as one for each decay.
    labels, train, num_classes
        Labels ``(N,)``, training nodes, number of classes C.
    steps : sequence of int, default (1, 2, 4, 8)
        After how many propagations the labels are read.
    folds, seed : int, default 10 and 0
        Number of folds, at least 2, and their seed.
    """
    return read_labels(graphs, labels, train, num_classes, steps, folds, seed).feat


class LabelReading(NamedTuple):
    """Training labels as every node reads them, none its own.

    ``feat`` are the features of `masked_label_features`; ``prior`` ``(N, C)`` the logarithms of the class shares that
    label propagation alone predicts, over graph number ``graph`` after ``steps`` steps.
    """

    feat: Tensor
    prior: Tensor
    graph: int
    steps: int


def read_labels(
    graphs: Sequence[tuple[Any, Tensor | None]],
    labels: Tensor,
    train: Tensor,
    num_classes: int,
    steps: Sequence[int] = (1, 2, 4, 8),
    folds: int = 10,
    seed: int = 0,
    prior: tuple[int, int] | None = None,
) -> LabelReading:
    """Return the features of `masked_label_features` and the prediction of label propagation, in one pass.

    ``prior`` names the graph and the steps of that prediction. Default: those that classify the training nodes best
    (Macro-F1), each from the labels of the other folds, so that no validation node is needed. A node that no label
    reaches gets the shares of the classes among the training nodes.
    """
    if folds < 2 or not steps or min(steps) < 1:
        raise ConfigError(f"expected at least 2 folds and steps of at least 1, but got folds={folds}, steps={steps}")
    fold = torch.randint(folds, (len(train),), generator=torch.Generator().manual_seed(seed)).to(train.device)
    best, kept = -1.0, None
    blocks = []
    for place, (graph, edge_weight) in enumerate(graphs):
        norm = symmetric_norm(graph, edge_weight, torch.float32)
        known, clamped = _fold_labels(labels, train, fold, folds, graph.num_nodes(), num_classes)
        spread = known.flatten(1)
        for step in range(1, max(steps) + 1):
            reached = aggregate(graph, spread, norm, norm="none").view_as(known)
            if step in steps:
                feat, own = _own_rows(reached, clamped, train, fold)
                blocks.append(feat)
                if (place, step) == prior:
                    kept = own, place, step
                elif prior is None:
                    score, _ = macro_micro_f1(labels[train], own[train].argmax(1))
                    if score > best:
                        best, kept = score, (own, place, step)
            spread = torch.where(clamped[:, :, None], known, reached).flatten(1)
    if kept is None:
        raise ConfigError(f"prior={prior}: expected the number of a graph and one of the steps {list(steps)}")
    own, place, step = kept
    return LabelReading(torch.cat(blocks, 1), _log_shares(own, labels[train]), place, step)


def _log_shares(reached: Tensor, classes: Tensor) -> Tensor:
    """Return log probabilities of what reaches each node, mixed with a little of the shares of the classes."""
    shares = torch.bincount(classes, minlength=reached.shape[1]).to(reached) / len(classes)
    mass = reached.sum(1, keepdim=True)
    own = torch.where(mass > 0, reached / mass.clamp(min=1e-30), shares)
    return torch.log((1 - _MIXED) * own + _MIXED / reached.shape[1])


def _own_rows(reached: Tensor, clamped: Tensor, train: Tensor, fold: Tensor) -> tuple[Tensor, Tensor]:
    """Return what reaches each node where its own fold is not shown: as features ``(N, C + 1)``, and ``(N, C)``."""
    mine = fold.new_full((len(reached),), reached.shape[1] - 1).index_copy(0, train, fold)
    features = reached.new_empty(len(reached), reached.shape[2] + 1)
    own = reached[torch.arange(len(reached), device=mine.device), mine]
    for k in range(reached.shape[1]):
        rows = mine == k
        if not rows.any():
            continue
        mass = reached[:, k].sum(1, keepdim=True)
        feat = torch.cat([reached[:, k] / mass.clamp(min=1e-9), torch.log1p(10 * mass) / 2], 1)
        unseen = feat[~clamped[:, k]]
        features[rows] = (feat[rows] - unseen.mean(0)) / unseen.std(0, correction=0).clamp(min=1e-6)
    return features, own


def _fold_labels(
    labels: Tensor, train: Tensor, fold: Tensor, folds: int, num_nodes: int, num_classes: int
) -> tuple[Tensor, Tensor]:
    """Return one-hot labels ``(N, folds + 1, C)`` without each fold's own, then with all, and where they are known."""
    known = torch.zeros(num_nodes, folds + 1, num_classes, device=train.device)
    for k in range(folds + 1):
        shown = train[fold != k]  # no node is in fold number `folds`: all are shown
        known[shown, k, labels[shown]] = 1.0
    return known, known.sum(2) > 0
