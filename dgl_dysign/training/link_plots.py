"""Pictures of link figures: bars of rows, MRR over time, learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dgl_dysign.training.plots import _pyplot, _save


def link_bars(rows: Sequence[Mapping[str, Any]], score: str, title: str, path: Path) -> Path:
    """Draw the mean of a score for each row, a group of bars a share of historical negatives, with the spread."""
    plt = _pyplot()
    names = list(dict.fromkeys(row["row"] for row in rows))
    groups = sorted({row["historical"] for row in rows})
    figure, axis = plt.subplots(figsize=(9, 0.4 * len(names) + 1.5))
    height = 0.8 / len(groups)
    for place, group in enumerate(groups):
        chosen = {row["row"]: row[score] for row in rows if row["historical"] == group}
        at = [k + (place - (len(groups) - 1) / 2) * height for k, name in enumerate(names) if name in chosen]
        means = [chosen[name]["mean"] for name in names if name in chosen]
        spread = [chosen[name]["std"] for name in names if name in chosen]
        bars = axis.barh(at, means, height, xerr=spread, label=f"{100 * group:.0f} % historical negatives")
        axis.bar_label(bars, fmt="%.1f", fontsize=7, padding=3)
    axis.set(yticks=range(len(names)), xlabel=f"{score.replace('_', ', ')} in %", title=title)
    axis.set_yticklabels(names)
    axis.margins(x=0.1)
    axis.invert_yaxis()
    if len(groups) > 1:
        axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return _save(figure, path)


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
