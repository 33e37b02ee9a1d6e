"""Scores of node classification."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import confusion_matrix, f1_score
from torch import Tensor


def f1_scores(labels: Tensor, predicted: Tensor, nodes: Tensor) -> dict[str, float]:
    """Return ``macro_f1`` and ``micro_f1`` over some nodes, in percent; classes of all nodes are ``(N,)``.

    Examples
    --------
    >>> import torch
    >>> f1_scores(torch.tensor([0, 0, 0, 0, 1]), torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 1, 3, 4]))
    {'macro_f1': 73.33333333333334, 'micro_f1': 75.0}
    """
    true, guess = labels[nodes].cpu().numpy(), predicted[nodes].cpu().numpy()
    return {f"{kind}_f1": 100 * float(f1_score(true, guess, average=kind)) for kind in ("macro", "micro")}


def confusion(labels: Tensor, predicted: Tensor, nodes: Tensor, num_classes: int) -> np.ndarray:
    """Count predicted classes (columns) of each true class (rows) over some nodes, ``(C, C)``."""
    true, guess = labels[nodes].cpu().numpy(), predicted[nodes].cpu().numpy()
    return confusion_matrix(true, guess, labels=np.arange(num_classes))


def mean_std(values: Sequence[float]) -> dict[str, float | int]:
    """Return mean, standard deviation (of the sample; 0 for one run) and number of runs.

    Examples
    --------
    >>> mean_std([1.0, 3.0])
    {'mean': 2.0, 'std': 1.4142135623730951, 'runs': 2}
    """
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"mean": float(np.mean(values)), "std": spread, "runs": len(values)}
