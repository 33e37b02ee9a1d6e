"""Pictures of a run: its table as bars, learning curves, what neurons did, rankings, MRR over time, studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from dgl_dysign.errors import BackendError


def require_matplotlib() -> None:
    """Raise ``BackendError`` unless pictures can be drawn, without the memory of an import; asked before long work."""
    if find_spec("matplotlib") is None:
        raise BackendError("pictures need matplotlib: pip install 'dgl-dysign[viz]'")


def pyplot() -> Any:
    """Return ``matplotlib.pyplot``, drawing into files."""
    require_matplotlib()
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot

    return matplotlib.pyplot


def save(figure: Any, path: Path) -> Path:
    """Write a figure, close it and return the path."""
    figure.savefig(path, dpi=120, bbox_inches="tight", metadata={"Software": None})
    pyplot().close(figure)
    return path


_VALIDATION = {
    "val_accuracy": "accuracy",
    "val_macro_f1": "Macro-F1",
    "val_mrr": "MRR",
    "val_auc": "AUC",
    "val_ap": "average precision",
}


def learning_curves(histories: Mapping[str, Sequence[Mapping[str, float]]], path: Path, title: str = "") -> Path:
    """Draw the loss, and each validation score that is recorded, over epochs: a line for each entry (its first run)."""
    plt = pyplot()
    known = {name for history in histories.values() for name in history[0]}
    scores = [name for name in _VALIDATION if name in known]
    figure, axes = plt.subplots(1, 1 + len(scores), figsize=(5 * (1 + len(scores)), 4), squeeze=False)
    for place, (name, history) in enumerate(histories.items()):
        # Said here, as not every panel has every entry, and the legend of the first is that of all.
        look = {"color": f"C{place % 10}", "linestyle": ("-", "--", ":")[place // 10 % 3], "marker": ".", "label": name}
        epochs = [record["epoch"] + 1 for record in history]
        for axis, key, factor in zip(axes[0], ("loss", *scores), (1, *[100] * len(scores)), strict=True):
            if key in history[0]:
                axis.plot(epochs, [factor * record.get(key, np.nan) for record in history], **look)
    axes[0, 0].set(xlabel="epoch", ylabel="training loss", yscale="log")
    for axis, score in zip(axes[0, 1:], scores, strict=True):
        axis.set(xlabel="epoch", ylabel=f"validation {_VALIDATION[score]} in %")
    if axes[0, 0].lines:  # else nobody said what the loss was
        axes[0, 0].legend(fontsize=7)
    figure.suptitle(title)
    figure.tight_layout()
    return save(figure, path)


def firing_rates(rates: np.ndarray, active: Sequence[int], path: Path, snapshots: Sequence[int] | None = None) -> Path:
    """Draw the distribution of firing rates over snapshots, evenly spaced ones, or all from the first on.

    ``rates`` ``(T, B)`` are shares of active nodes' neurons whose rate lies in each of B equal bins of [0, 1],
    ``active`` the number of nodes seen so far, for each snapshot.
    """
    plt = pyplot()
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
    return save(figure, path)


def spike_raster(spikes: np.ndarray, names: Sequence[str], path: Path) -> Path:
    """Draw the spikes of some nodes, a panel a node: ``(K, nodes, neurons)``, 0 or 1."""
    plt = pyplot()
    figure, axes = plt.subplots(1, len(names), figsize=(2.2 * len(names), 4), sharey=True, squeeze=False)
    for place, name in enumerate(names):
        step, neuron = np.nonzero(spikes[:, place])
        axes[0, place].scatter(step + 1, neuron, s=4, marker="|", color="black")
        axes[0, place].set(title=name, xlabel="latency step", xlim=(0.5, len(spikes) + 0.5))
    axes[0, 0].set(ylabel="neuron")
    figure.suptitle("Spikes at the last snapshot")
    figure.tight_layout()
    return save(figure, path)


def confusion_matrix(counts: np.ndarray, names: Sequence[str], title: str, path: Path) -> Path:
    """Draw a confusion matrix, rows (true classes) in percent."""
    plt = pyplot()
    share = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure, axis = plt.subplots(figsize=(6, 5))
    figure.colorbar(axis.imshow(share, cmap="Blues", vmin=0, vmax=100), label="% of the true class")
    for (row, column), value in np.ndenumerate(share):
        colour = "white" if value > 50 else "black"
        axis.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7, color=colour)
    ticks = range(len(names))
    axis.set(xlabel="predicted", ylabel="true", title=title, xticks=ticks, yticks=ticks)
    axis.set_xticklabels(names, rotation=90 if max(map(len, names), default=0) > 3 else 0)
    axis.set_yticklabels(names)
    return save(figure, path)


def score_bars(
    summary: Sequence[Mapping[str, Any]],
    scores: Mapping[str, str],
    title: str,
    path: Path,
    by: str = "",
    group: str = "",
) -> Path:
    """Draw the mean of scores for each entry, with the spread over runs, a panel a score.

    Lines of the summary have ``row``, and each score with ``mean`` and ``std``; ``scores`` says how the scores are
    called. ``by`` is the key of a share in the summary that makes a group of bars each, ``group`` what it is a share
    of.
    """
    plt = pyplot()
    names = list(dict.fromkeys(line["row"] for line in summary))
    shares = sorted({line.get(by) for line in summary}, key=str)
    size = (9 if len(scores) == 1 else 5 * len(scores), 0.45 * len(names) + 1.5)
    figure, axes = plt.subplots(1, len(scores), figsize=size, sharey=True, squeeze=False)
    height = 0.8 / len(shares)
    for axis, (score, called) in zip(axes[0], scores.items(), strict=True):
        for place, share in enumerate(shares):
            lines = {line["row"]: line[score] for line in summary if line.get(by) == share}
            shift = (place - (len(shares) - 1) / 2) * height
            at = [k + shift for k, name in enumerate(names) if name in lines]
            means, spread = ([lines[n][key] for n in names if n in lines] for key in ("mean", "std"))
            label = "" if share is None else f"{100 * share:.0f} % {group}"
            bars = axis.barh(at, means, height, xerr=spread, label=label)
            axis.bar_label(bars, fmt="%.1f", fontsize=7, padding=3)
        axis.set(xlabel=f"{called} in %")
        axis.margins(x=0.1)
    axes[0, 0].set(yticks=range(len(names)))
    axes[0, 0].set_yticklabels(names)
    axes[0, 0].invert_yaxis()
    if len(shares) > 1:
        axes[0, -1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    figure.suptitle(title)
    figure.tight_layout()
    return save(figure, path)


def over_time(curves: Mapping[str, Mapping[str, Sequence[float]]], title: str, path: Path, window: int = 5) -> Path:
    """Draw the MRR of each entry over snapshots: points, and their running mean over ``window`` of them."""
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(10, 4))
    for name, curve in curves.items():
        snapshot, values = np.asarray(curve["snapshot"]), np.asarray(curve["mrr"], np.float64)
        width = min(window, len(values))
        counted = np.convolve(np.ones(len(values)), np.ones(width), "same")
        (line,) = axis.plot(snapshot, np.convolve(values, np.ones(width), "same") / counted, label=name)
        axis.plot(snapshot, values, ".", markersize=3, color=line.get_color(), alpha=0.5)
    axis.set(xlabel="snapshot", ylabel="MRR in %", title=title)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return save(figure, path)


def ranking_curves(true: np.ndarray, scores: Mapping[str, np.ndarray], title: str, folder: Path) -> list[Path]:
    """Draw ``precision_recall.png`` and ``roc.png`` into a folder, a line for each entry's scores ``(E,)``."""
    from sklearn.metrics import precision_recall_curve, roc_curve

    plt, rate = pyplot(), 100 * true.mean()
    (first, precision_axis), (second, roc_axis) = plt.subplots(figsize=(7, 5)), plt.subplots(figsize=(7, 5))
    for axis in (precision_axis, roc_axis):
        axis.set_prop_cycle(color=plt.get_cmap("tab20").colors)  # more entries than the usual colours
    for name, rated in scores.items():
        precision, recall, _ = precision_recall_curve(true, rated)
        # The last point is of no event.
        precision_axis.step(100 * recall[:-1], 100 * precision[:-1], where="post", label=name)
        wrong, right, _ = roc_curve(true, rated)
        roc_axis.plot(100 * wrong, 100 * right, label=name)
    precision_axis.axhline(rate, color="gray", linestyle=":", label=f"share of positives ({rate:.2g} %)")
    roc_axis.plot([0, 100], [0, 100], color="gray", linestyle=":")
    precision_axis.set(xlabel="recall in %", ylabel="precision in %", yscale="log", title=title)
    roc_axis.set(xlabel="negatives called positive in %", ylabel="positives found in %", title=title)
    for axis in (precision_axis, roc_axis):
        axis.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return [save(first, folder / "precision_recall.png"), save(second, folder / "roc.png")]


def ablation(rows: Sequence[Mapping[str, Any]], title: str, path: Path) -> Path:
    """Draw Macro-F1 of each variant, a panel a group, with the spread over runs."""
    plt = pyplot()
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
    return save(figure, path)


def study(
    rows: Sequence[Mapping[str, Any]], lines: Mapping[str, str], bars: tuple[str, str] | None, title: str, path: Path
) -> Path:
    """Draw what one setting does, from an object for each of its values: ``value``, figures with mean and std.

    Where a figure has ``noise``, that of its difference from the line of comparison, this is its spread. ``lines``
    names lines, and the figures that they draw; ``bars`` is the name of another figure and its key, on a scale of its
    own.
    """
    plt = pyplot()
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
    return save(figure, path)
