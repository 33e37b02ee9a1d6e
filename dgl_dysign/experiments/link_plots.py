"""Pictures of link figures: bars of rows, MRR over time, learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dgl_dysign.experiments.plots import _pyplot, _save, score_bars


def link_bars(rows: Sequence[Mapping[str, Any]], score: str, title: str, path: Path) -> Path:
    """Draw the mean of a score for each row, a group of bars a share of historical negatives, with the spread."""
    return score_bars(rows, score, title, path, by="historical", group="historical negatives")


def link_curves(histories: Mapping[str, Sequence[Mapping[str, float]]], title: str, path: Path) -> Path:
    """Draw loss and validation MRR over epochs, a line for each learned row."""
    plt = _pyplot()
    figure, axes = plt.subplots(1, 2, figsize=(10, 4))
    for name, history in histories.items():
        epochs = [record["epoch"] + 1 for record in history]
        axes[0].plot(epochs, [record["loss"] for record in history], ".-", label=name)
        axes[1].plot(epochs, [100 * record["val_mrr"] for record in history], ".-", label=name)
    axes[0].set(xlabel="epoch", ylabel="training loss", title="Loss")
    axes[1].set(xlabel="epoch", ylabel="MRR in %", title="Validation")
    axes[0].legend(fontsize=8)
    figure.suptitle(title)
    return _save(figure, path)


def link_over_time(rows: Mapping[str, Mapping[str, Sequence[float]]], title: str, path: Path, window: int = 5) -> Path:
    """Draw the MRR of each row over snapshots: points, and their running mean over ``window`` of them."""
    plt = _pyplot()
    figure, axis = plt.subplots(figsize=(10, 4))
    for name, row in rows.items():
        snapshot, values = np.asarray(row["snapshot"]), np.asarray(row["mrr"], np.float64)
        width = min(window, len(values))
        counted = np.convolve(np.ones(len(values)), np.ones(width), "same")
        (line,) = axis.plot(snapshot, np.convolve(values, np.ones(width), "same") / counted, label=name)
        axis.plot(snapshot, values, ".", markersize=3, color=line.get_color(), alpha=0.5)
    axis.set(xlabel="snapshot", ylabel="MRR in %", title=title)
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return _save(figure, path)
