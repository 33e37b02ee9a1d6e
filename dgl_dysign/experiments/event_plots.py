"""Pictures of a run on event labels: curves of precision and recall, ROC, learning, and the table as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from dgl_dysign.experiments.plots import _pyplot, _save


def event_curves(true: np.ndarray, scores: Mapping[str, np.ndarray], title: str, folder: Path) -> list[Path]:
    """Draw precision over recall, and the ROC curve, a line for each row.

    Parameters
    ----------
    true : ndarray
        0 or 1 for each event, ``(E,)``.
    scores : mapping
        Scores of each row, ``(E,)``.
    title : str
        Of both pictures.
    folder : Path
        Where ``precision_recall.png`` and ``roc.png`` go.
    """
    plt, rate = _pyplot(), 100 * true.mean()
    figure, axis = plt.subplots(figsize=(7, 5))
    axis.set_prop_cycle(color=plt.get_cmap("tab20").colors)  # more rows than the usual colours
    for name, found in scores.items():
        precision, recall, _ = precision_recall_curve(true, found)
        axis.step(100 * recall[:-1], 100 * precision[:-1], where="post", label=name)  # the last point is of no event
    axis.axhline(rate, color="gray", linestyle=":", label=f"share of positives ({rate:.2g} %)")
    axis.set(xlabel="recall in %", ylabel="precision in %", yscale="log", title=title)
    axis.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    drawn = [_save(figure, folder / "precision_recall.png")]
    figure, axis = plt.subplots(figsize=(7, 5))
    axis.set_prop_cycle(color=plt.get_cmap("tab20").colors)  # more rows than the usual colours
    for name, found in scores.items():
        wrong, right, _ = roc_curve(true, found)
        axis.plot(100 * wrong, 100 * right, label=name)
    axis.plot([0, 100], [0, 100], color="gray", linestyle=":")
    axis.set(xlabel="negatives called positive in %", ylabel="positives found in %", title=title)
    axis.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return [*drawn, _save(figure, folder / "roc.png")]


def event_bars(rows: Sequence[Mapping[str, Any]], title: str, path: Path) -> Path:
    """Draw AUC and average precision of each row, with the spread over runs."""
    plt = _pyplot()
    figure, axes = plt.subplots(1, 2, figsize=(10, 0.4 * len(rows) + 1.5), sharey=True)
    for axis, score in zip(axes, ("auc", "ap"), strict=True):
        means, spread = ([row[score][key] for row in rows] for key in ("mean", "std"))
        axis.barh(range(len(rows)), means, xerr=spread, capsize=3)
        axis.set(xlabel={"auc": "AUC in %", "ap": "average precision in %"}[score])
    axes[0].set(yticks=range(len(rows)))
    axes[0].set_yticklabels([row["row"] for row in rows])
    axes[0].invert_yaxis()
    axes[0].axvline(50, color="gray", linestyle=":")
    figure.suptitle(title)
    figure.tight_layout()
    return _save(figure, path)


def event_learning(histories: Mapping[str, Sequence[Mapping[str, float]]], path: Path) -> Path:
    """Draw loss, validation AUC and validation average precision over epochs, a line for each row (its first run)."""
    plt = _pyplot()
    figure, axes = plt.subplots(1, 3, figsize=(13, 4))
    for name, history in histories.items():
        epochs = [record["epoch"] + 1 for record in history]
        for axis, key, factor in zip(axes, ("loss", "val_auc", "val_ap"), (1, 100, 100), strict=True):
            axis.plot(epochs, [factor * record[key] for record in history], label=name)
    for axis, name in zip(axes, ("training loss", "validation AUC in %", "validation AP in %"), strict=True):
        axis.set(xlabel="epoch", ylabel=name)
    axes[0].legend(fontsize=7)
    figure.tight_layout()
    return _save(figure, path)
