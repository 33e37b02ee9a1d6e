"""Scores of node classification."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dgl_dysign.evaluation.ranking import auc, average_precision


def f1_scores(labels: Tensor, predicted: Tensor, nodes: Tensor) -> dict[str, float]:
    """Return ``macro_f1`` and ``micro_f1`` over some nodes, in percent; classes of all nodes are ``(N,)``.

    Examples
    --------
    >>> import torch
    >>> f1_scores(torch.tensor([0, 0, 0, 0, 1]), torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 1, 3, 4]))
    {'macro_f1': 73.33333333333334, 'micro_f1': 75.0}
    """
    macro, micro = macro_micro_f1(labels[nodes], predicted[nodes])
    return {"macro_f1": 100 * macro, "micro_f1": 100 * micro}


def macro_micro_f1(true: Tensor, guess: Tensor) -> tuple[float, float]:
    """Return the F1 scores of predicted classes: scikit-learn's, to the last bit, which takes milliseconds for each."""
    counts = _counts(true, guess, 1 + int(torch.cat([true, guess]).max()))
    right, named = counts.diagonal(), counts.sum(0) + counts.sum(1)
    there = named > 0
    return float(np.mean(2 * right[there] / named[there])), float(2 * right.sum() / named.sum())


def class_shares(scores: Tensor, positive: int, prior: float = 0.5) -> Tensor:
    """Return the share of one of two classes in scores ``(n, 2)``, float64 ``(n,)``: what orders nodes by it.

    Where some scores are negative, it is how far the class is above the other. A row of zeros has the share `prior`.

    Examples
    --------
    >>> import torch
    >>> class_shares(torch.tensor([[1.0, 3.0], [0.0, 0.0]]), positive=1, prior=0.2).tolist()
    [0.75, 0.2]
    """
    one, other = scores[:, positive].double(), scores[:, 1 - positive].double()
    if bool((scores < 0).any()):
        return one - other
    return torch.where(one + other > 0, one / (one + other), prior)


def detection_scores(positive: Tensor, scores: Tensor) -> dict[str, float]:
    """Return ``auc`` and ``ap`` of scores ``(n,)``, in percent; nothing where all or none are positive, ``(n,)``.

    Examples
    --------
    >>> import torch
    >>> detection_scores(torch.tensor([True, False, False]), torch.tensor([0.9, 0.1, 0.4]))
    {'auc': 100.0, 'ap': 100.0}
    """
    if bool(positive.all()) or not bool(positive.any()):
        return {}
    parts = scores[positive], scores[~positive]
    return {"auc": 100 * auc(*parts), "ap": 100 * average_precision(*parts)}


def confusion(labels: Tensor, predicted: Tensor, nodes: Tensor, num_classes: int) -> np.ndarray:
    """Count predicted classes (columns) of each true class (rows) over some nodes, ``(C, C)``."""
    return _counts(labels[nodes], predicted[nodes], num_classes)


def _counts(true: Tensor, guess: Tensor, num_classes: int) -> np.ndarray:
    pairs = torch.bincount(true.long() * num_classes + guess.long(), minlength=num_classes**2)
    return pairs.view(num_classes, num_classes).cpu().numpy()


def mean_std(values: Sequence[float]) -> dict[str, float | int]:
    """Return mean, standard deviation (of the sample; 0 for one run) and number of runs.

    Examples
    --------
    >>> mean_std([1.0, 3.0])
    {'mean': 2.0, 'std': 1.4142135623730951, 'runs': 2}
    """
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"mean": float(np.mean(values)), "std": spread, "runs": len(values)}
