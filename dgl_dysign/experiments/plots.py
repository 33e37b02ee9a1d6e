"""Pictures of a run: learning curves, firing rates, spikes, confusion, and the table of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from dgl_dysign.errors import BackendError


def require_matplotlib() -> None:
    """Raise unless pictures can be drawn, without the memory of an import: to be asked before long work.

    Raises
    ------
    BackendError
        If matplotlib is missing.
    """
    if find_spec("matplotlib") is None:
        raise BackendError("pictures need matplotlib: pip install 'dgl-dysign[viz]'")


def _pyplot() -> Any:
    require_matplotlib()
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot

    return matplotlib.pyplot


def _save(figure: Any, path: Path) -> Path:
    figure.savefig(path, dpi=120, bbox_inches="tight", metadata={"Software": None})
    _pyplot().close(figure)
    return path


def learning_curves(histories: Mapping[str, Sequence[Mapping[str, float]]], path: Path) -> Path:
    """Draw loss and validation accuracy over epochs, a line for each row (its first run)."""
    plt = _pyplot()
    figure, axes = plt.subplots(1, 2, figsize=(10, 4))
    for name, history in histories.items():
        epochs = [record["epoch"] + 1 for record in history]
        axes[0].plot(epochs, [record["loss"] for record in history], label=name)
        if "val_accuracy" in history[0]:
            axes[1].plot(epochs, [100 * record["val_accuracy"] for record in history], label=name)
    axes[0].set(xlabel="epoch", ylabel="training loss", yscale="log", title="Loss")
    axes[1].set(xlabel="epoch", ylabel="accuracy in %", title="Validation")
    axes[0].legend(fontsize=8)
    return _save(figure, path)


def firing_rates(rates: np.ndarray, active: Sequence[int], path: Path, snapshots: Sequence[int] | None = None) -> Path:
    """Draw the distribution of firing rates over snapshots.

    Parameters
    ----------
    rates : ndarray
        Share of active nodes' neurons whose rate lies in each of B equal bins of [0, 1], ``(T, B)``.
    active : sequence of int
        Number of nodes seen so far, for each snapshot.
    path : Path
        Where the PNG goes.
    snapshots : sequence of int, optional
        Which ones, evenly spaced; default: all from the first on.
    """
    plt = _pyplot()
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(9, 5), sharex=True, height_ratios=[3, 1])
    at = list(range(len(rates)) if snapshots is None else snapshots)
    half = (at[-1] - at[0]) / max(len(at) - 1, 1) / 2 or 0.5
    extent = (at[0] - half, at[-1] + half, 0, 1)
    # On a log scale: most neurons are silent or fire at every step, and the others would not be seen beside them.
    image = top.imshow(100 * rates.T.clip(1e-3), origin="lower", aspect="auto", extent=extent, cmap="magma", norm="log")
    figure.colorbar(image, ax=[top, bottom], label="% of neurons of active nodes")
    top.set(ylabel="firing rate", title="Firing rates over snapshots")
    bottom.bar(at, active, width=1.6 * half, color="tab:gray")
    bottom.set(xlabel="snapshot", ylabel="active nodes")
    return _save(figure, path)


def spike_raster(spikes: np.ndarray, names: Sequence[str], path: Path) -> Path:
    """Draw the spikes of some nodes, a panel a node: ``(K, nodes, neurons)``, 0 or 1."""
    plt = _pyplot()
    figure, axes = plt.subplots(1, len(names), figsize=(2.2 * len(names), 4), sharey=True, squeeze=False)
    for place, name in enumerate(names):
        step, neuron = np.nonzero(spikes[:, place])
        axes[0, place].scatter(step + 1, neuron, s=4, marker="|", color="black")
        axes[0, place].set(title=name, xlabel="latency step", xlim=(0.5, len(spikes) + 0.5))
    axes[0, 0].set(ylabel="neuron")
    figure.suptitle("Spikes at the last snapshot")
    figure.tight_layout()
    return _save(figure, path)


def confusion_matrix(counts: np.ndarray, names: Sequence[str], title: str, path: Path) -> Path:
    """Draw a confusion matrix, rows (true classes) in percent."""
    plt = _pyplot()
    share = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure, axis = plt.subplots(figsize=(6, 5))
    figure.colorbar(axis.imshow(share, cmap="Blues", vmin=0, vmax=100), label="% of the true class")
    for (row, column), value in np.ndenumerate(share):
        colour = "white" if value > 50 else "black"
        axis.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7, color=colour)
    ticks = range(len(names))
    axis.set(xlabel="predicted", ylabel="true", title=title, xticks=ticks, yticks=ticks)
    axis.set_xticklabels(names)
    axis.set_yticklabels(names)
    return _save(figure, path)


def score_bars(
    rows: Sequence[Mapping[str, Any]],
    score: str,
    title: str,
    path: Path,
    by: str = "train_ratio",
    group: str = "for training",
) -> Path:
    """Draw the mean of a score for each row, a group of bars for each share that ``by`` names, with the spread."""
    plt = _pyplot()
    names = list(dict.fromkeys(row["row"] for row in rows))
    shares = sorted({row[by] for row in rows})
    figure, axis = plt.subplots(figsize=(9, 0.45 * len(names) + 1.5))
    height = 0.8 / len(shares)
    for place, share in enumerate(shares):
        chosen = {row["row"]: row[score] for row in rows if row[by] == share}
        found = [(k + (place - (len(shares) - 1) / 2) * height, chosen[n]) for k, n in enumerate(names) if n in chosen]
        means, spread = ([value[key] for _, value in found] for key in ("mean", "std"))
        label = f"{100 * share:.0f} % {group}"
        bars = axis.barh([at for at, _ in found], means, height, xerr=spread, label=label)
        axis.bar_label(bars, fmt="%.1f", fontsize=7, padding=3)
    axis.set(yticks=range(len(names)), xlabel=f"{score.replace('_', ', ')} in %", title=title)
    axis.set_yticklabels(names)
    axis.margins(x=0.1)
    axis.invert_yaxis()
    if len(shares) > 1:
        axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return _save(figure, path)


def ablation(rows: Sequence[Mapping[str, Any]], title: str, path: Path) -> Path:
    """Draw Macro-F1 of each variant, a panel a group, with the spread over runs."""
    plt = _pyplot()
    groups = list(dict.fromkeys(row["group"] for row in rows))
    columns = min(3, len(groups))
    lines = -(-len(groups) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(5 * columns, 2.6 * lines), squeeze=False)
    for axis, group in zip(axes.flat, groups, strict=False):
        chosen = [row for row in rows if row["group"] == group]
        means = [row["macro_f1"]["mean"] for row in chosen]
        spread = [row["macro_f1"]["std"] for row in chosen]
        # Points, not bars: the axis does not begin at zero.
        axis.errorbar(means, range(len(chosen)), xerr=spread, fmt="o", capsize=3)
        axis.set(yticks=range(len(chosen)), title=group)
        axis.margins(x=0.1, y=0.15)
        axis.grid(axis="x", alpha=0.3)
        axis.set_yticklabels([row["variant"] for row in chosen])
        axis.invert_yaxis()
    for axis in axes.flat[len(groups) :]:
        axis.set_visible(False)
    figure.suptitle(title)
    figure.tight_layout()
    return _save(figure, path)


def study(
    rows: Sequence[Mapping[str, Any]], lines: Mapping[str, str], bars: tuple[str, str] | None, title: str, path: Path
) -> Path:
    """Draw what one setting does.

    Parameters
    ----------
    rows : sequence of mapping
        An object for each value of the setting, in order: ``value`` and figures with ``mean`` and ``std``. Where a
        figure has ``noise``, that of its difference from the row of comparison, this is its spread.
    lines : mapping of str to str
        Names of lines, and the figures that they draw.
    bars : tuple of str, optional
        Name of another figure and its key, drawn as bars on a scale of its own.
    title : str
        Title.
    path : Path
        Where the PNG goes.
    """
    plt = _pyplot()
    figure, axis = plt.subplots(figsize=(max(5, 0.7 * len(rows) + 2), 4))
    at = range(len(rows))
    if bars is not None:
        beside = axis.twinx()
        beside.bar(at, [row[bars[1]]["mean"] for row in rows], width=0.5, color="tab:gray", alpha=0.3)
        beside.set(ylabel=bars[0])
        axis.set_zorder(beside.get_zorder() + 1)  # lines before bars
        axis.patch.set_visible(False)
    for place, (name, key) in enumerate(lines.items()):
        shifted = [x + 0.08 * (place - (len(lines) - 1) / 2) for x in at]  # spreads that do not hide each other
        spread = [row[key].get("noise", row[key]["std"]) for row in rows]
        axis.errorbar(shifted, [row[key]["mean"] for row in rows], yerr=spread, fmt="o-", capsize=3, label=name)
    axis.set(xticks=at, title=title)
    names = [row["value"] for row in rows]
    upright = max(map(len, names)) <= 6
    axis.set_xticklabels(names, rotation=0 if upright else 40, ha="center" if upright else "right")
    axis.grid(axis="y", alpha=0.3)
    axis.legend(fontsize=8)
    return _save(figure, path)
