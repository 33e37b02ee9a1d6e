"""Scores of ranking and of telling true links from drawn ones; equal scores are never broken in the model's favour."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dgl_dysign.errors import ConfigError, DataError


def tie_aware_rank(scores: Tensor) -> Tensor:
    r"""Return the rank of the first column among all, float64 ``(E,)``, with equal scores shared evenly.

    .. math:: rank = 1 + \#\{q : s_q > s_0\} + \#\{q : s_q = s_0\} / 2

    over the other columns :math:`q`: the mean of the best and the worst place that equal scores allow. Column 0 of the
    scores ``(E, 1 + Q)`` belongs to the true link; higher is better. Raises ``ConfigError`` for another shape,
    ``DataError`` for NaN.

    Examples
    --------
    >>> tie_aware_rank(torch.tensor([[0.5, 0.9, 0.1], [1.0, 1.0, 1.0]]))
    tensor([2., 2.], dtype=torch.float64)
    """
    if scores.dim() != 2 or not scores.shape[1]:
        raise ConfigError(f"found scores of shape {tuple(scores.shape)}, expected (edges, 1 + negatives)")
    if bool(torch.isnan(scores).any()):
        raise DataError("found NaN among the scores, expected numbers: look for a division by zero in the model")
    true, others = scores[:, :1], scores[:, 1:]
    return 1 + (others > true).sum(1).double() + (others == true).sum(1).double() / 2


def mrr(ranks: Tensor) -> float:
    """Return the mean of 1 / rank; NaN for no rank at all.

    Examples
    --------
    >>> mrr(torch.tensor([1.0, 4.0]))
    0.625
    """
    return float((1 / ranks.double()).mean())


def hits(ranks: Tensor, k: int) -> float:
    """Return the share of ranks up to `k`; NaN for no rank at all.

    Examples
    --------
    >>> hits(torch.tensor([1.0, 3.5, 4.0]), 3)
    0.3333333333333333
    """
    return float((ranks <= k).double().mean())


def auc(positive: Tensor, negative: Tensor) -> float:
    """Return the chance that a positive's score is above a negative's, equal scores counting one half, or NaN.

    All positives are compared with all negatives, in any shape: it is the area under the ROC curve, in 0 .. 1.

    Examples
    --------
    >>> auc(torch.tensor([0.9, 0.5]), torch.tensor([0.5, 0.1, 0.2]))
    0.9166666666666666
    """
    true, drawn = _flat(positive), np.sort(_flat(negative))
    if not len(true) or not len(drawn):
        return float("nan")
    below, not_above = (np.searchsorted(drawn, true, side=side) for side in ("left", "right"))
    return float((below + not_above).mean() / 2 / len(drawn))


def average_precision(positive: Tensor, negative: Tensor) -> float:
    """Return the mean, over positives, of the precision among the scores not below theirs; NaN without positives.

    Positives and negatives of one score count together, as in scikit-learn, so that their order does not matter. Scores
    come in any shape; a constant scorer gets the share of positives.

    Examples
    --------
    >>> average_precision(torch.tensor([0.9, 0.5]), torch.tensor([0.5, 0.1, 0.2]))
    0.8333333333333333
    """
    true, drawn = np.sort(_flat(positive)), np.sort(_flat(negative))
    if not len(true):
        return float("nan")
    caught = len(true) - np.searchsorted(true, true, side="left")
    wrong = len(drawn) - np.searchsorted(drawn, true, side="left")
    return float((caught / (caught + wrong)).mean())


def _flat(scores: Tensor) -> np.ndarray:
    return scores.detach().cpu().reshape(-1).numpy()
