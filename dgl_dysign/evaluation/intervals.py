"""How sure a difference between two rows is: a paired bootstrap over what both were tested on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from dgl_dysign.errors import ConfigError

_BLOCK = 1 << 24  # most weights in memory at a time


@dataclass(frozen=True)
class Answers:
    """What some rows answered in one test: on one split, with one seed.

    Parameters
    ----------
    items : ndarray
        What was tested, ``(n,)``: ids of nodes, snapshots or events, the same thing by the same id in all tests.
    rows : dict of str to ndarray
        By row, ``(n,)``: predicted classes, scores, or of snapshots the figure itself.
    true : ndarray, optional
        Classes ``(n,)``, from 0 on; not for the figure of a snapshot.
    """

    items: np.ndarray
    rows: dict[str, np.ndarray]
    true: np.ndarray | None = None


def bootstrap(figure: str, tests: Sequence[Answers], draws: int = 1000, seed: int = 0) -> dict[str, np.ndarray]:
    """Return the mean of a figure over tests, in percent, for each row: as it is, and in each draw.

    A draw takes as many items as there are, with replacement (Efron, 1979), and counts each in every test and row as
    often as it was drawn. So rows are compared on the same items, and tests that share items, as splits of one data set
    do, are not taken for independent. For ``"auc"`` positives and negatives are drawn apart: few of either would
    else be missing in some draws. In macro averages a class that is neither true nor predicted does not count, as in
    scikit-learn.

    Parameters
    ----------
    figure : {"macro_f1", "micro_f1", "auc", "mrr"}
        Of classes, of scores of class 1 against class 0, or the mean of what snapshots have (in percent already).
    tests : sequence of Answers
        One at least, all with the same rows.
    draws, seed : int, default 1000 and 0
        Number of draws, and of their random generator.

    Returns
    -------
    dict of str to ndarray
        ``(1 + draws,)``, the figure as it is first; never NaN.

    Raises
    ------
    ConfigError
        For another figure, without a test, for tests without classes or with other rows than the first.

    Examples
    --------
    >>> right, wrong = np.zeros(50, int), np.arange(50) % 5 // 4
    >>> drawn = bootstrap("micro_f1", [Answers(np.arange(50), {"a": right, "b": wrong}, np.zeros(50, int))])
    >>> {name: round(value, 1) for name, value in difference(drawn["a"], drawn["b"]).items()}
    {'mean': 20.0, 'low': 10.0, 'high': 32.0}
    """
    classes = figure == "mrr" or all(test.true is not None for test in tests)
    same = all(test.rows.keys() == tests[0].rows.keys() for test in tests)
    if figure not in _FIGURES or not (tests and classes and same):
        raise ConfigError(
            f"{len(tests)} tests of {figure!r}: expected one at least, of {', '.join(_FIGURES)}, all with the same "
            f"rows and, but for mrr, with true classes"
        )
    items, place = np.unique(np.concatenate([test.items for test in tests]), return_inverse=True)
    places = np.split(place, np.cumsum([len(test.items) for test in tests])[:-1])
    strata = np.zeros(len(items), np.int64)
    for test, place in zip(tests, places, strict=True):
        if figure == "auc" and test.true is not None:
            strata[place] = test.true
    means: dict[str, list[np.ndarray]] = {name: [] for name in tests[0].rows}
    for weights in _weights(strata, draws, np.random.default_rng(seed)):
        for name in means:
            read = ((test.true, test.rows[name], place) for test, place in zip(tests, places, strict=True))
            means[name].append(np.mean([_FIGURES[figure](*part, weights) for part in read], axis=0))
    return {name: np.concatenate(blocks) for name, blocks in means.items()}


def difference(row: np.ndarray, control: np.ndarray) -> dict[str, float]:
    """Return how two rows of one `bootstrap` differ: ``mean`` as it is, and ``low`` and ``high`` of 95 % of draws."""
    low, high = np.percentile(row[1:] - control[1:], [2.5, 97.5])
    return {"mean": float(row[0] - control[0]), "low": float(low), "high": float(high)}


def _weights(strata: np.ndarray, draws: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield how often each item counts, ``(items, some draws)``; in the first draw of all each counts once."""
    groups = [np.flatnonzero(strata == value) for value in np.unique(strata)]
    size = max(1, _BLOCK // len(strata))
    yield np.ones((len(strata), 1), np.float32)
    for begin in range(0, draws, size):
        counts = np.zeros((min(size, draws - begin), len(strata)), np.float32)
        for line in counts:
            for group in groups:
                line[group] = np.bincount(generator.integers(len(group), size=len(group)), minlength=len(group))
        yield np.ascontiguousarray(counts.T)


def _sums(cells: np.ndarray, count: int, place: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Add up the weights of the items in each of `count` cells, ``(count, draws)``."""
    ones = np.ones(len(cells), np.float32)
    return (sp.csr_matrix((ones, (cells, place)), (count, len(weights))) @ weights).astype(np.float64)


def _macro_f1(true: np.ndarray, guess: np.ndarray, place: np.ndarray, weights: np.ndarray) -> np.ndarray:
    classes = int(max(true.max(), guess.max())) + 1
    counts = _sums(true * classes + guess, classes**2, place, weights).reshape(classes, classes, -1)
    hit, either = np.einsum("ccd->cd", counts), counts.sum(0) + counts.sum(1)
    return 100 * _ratio(2 * hit, either).sum(0) / np.maximum((either > 0).sum(0), 1)


def _micro_f1(true: np.ndarray, guess: np.ndarray, place: np.ndarray, weights: np.ndarray) -> np.ndarray:
    right, wrong = _sums((true == guess).astype(np.int64), 2, place, weights)[::-1]
    return 100 * _ratio(right, right + wrong)


def _auc(true: np.ndarray, score: np.ndarray, place: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Count, for each positive, the negatives below it, and half of those beside it."""
    positive = true == 1
    bounds, level = np.unique(score[positive], return_inverse=True)
    below = np.searchsorted(bounds, score[~positive])
    beside = np.searchsorted(bounds, score[~positive], side="right") > below
    negatives = _sums(2 * below + beside, 2 * len(bounds) + 1, place[~positive], weights).cumsum(0)
    positives = _sums(level, len(bounds), place[positive], weights)
    won = (positives * (negatives[0:-1:2] + negatives[1::2]) / 2).sum(0)
    return 100 * _ratio(won, positives.sum(0) * negatives[-1], 0.5)


def _mean(_: np.ndarray, values: np.ndarray, place: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return _ratio((weights[place] * values[:, None]).sum(0), weights[place].sum(0))


def _ratio(part: np.ndarray, whole: np.ndarray, otherwise: float = 0.0) -> np.ndarray:
    """Divide; where nothing was drawn, all rows get the same."""
    return np.divide(part, whole, out=np.full(np.shape(part), otherwise), where=whole > 0)


_FIGURES: dict[str, Callable[..., np.ndarray]] = {
    "macro_f1": _macro_f1,
    "micro_f1": _micro_f1,
    "auc": _auc,
    "mrr": _mean,
}
