"""Charts of what every run records: figures, learning curves, links over time, confusion."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dgl_dysign.experiments.record import difference_text
from dgl_dysign.report.runs import Result, Run
from dgl_dysign.report.tables import (
    DIFFERENCE_NOTE,
    groups_of,
    of,
    rows_of,
    score_label,
    score_names,
    spread,
    spread_note,
)  # fmt: skip

#: Of rows and runs; readable on white and on dark grey.
COLOURS = (
    "#3b82c4", "#e07b28", "#3a9a4a", "#d1495b", "#8e6bbf", "#9a6a4f", "#d673b5", "#7f8790", "#a09a1e", "#25a9b8",
)  # fmt: skip
#: From nothing to a colour, whatever is behind it.
FAINT = [[0, "rgba(59,130,196,0.05)"], [1, "rgba(59,130,196,1)"]]
_SHOWN = 6  # lines that are drawn at first; the legend brings the others
_WINDOW = 5


@dataclass(frozen=True)
class Choice:
    """One picture of a chart: which entries of its choosers lead to it, traces and layout."""

    at: tuple[str, ...]
    data: list[dict[str, Any]]
    layout: dict[str, Any]


@dataclass(frozen=True)
class Chart:
    """A chart as the page draws it: what it shows, what has to be said about it, and its pictures.

    More than one picture has ``choosers``, a name for each entry of ``Choice.at``. The height, in pixels, is without
    the legend; warnings are shown beside the title.
    """

    title: str
    note: str
    choices: list[Choice]
    choosers: tuple[str, ...] = ()
    height: int = 360
    warnings: list[str] = field(default_factory=list)


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _dash(place: int) -> str:
    return ("solid", "dash", "dot")[place // len(COLOURS) % 3]


def axis(title: str, **more: Any) -> dict[str, Any]:
    """Return an axis of a layout."""
    return {"title": {"text": title}, **more}


def log_axis(title: str, **more: Any) -> dict[str, Any]:
    """Return a logarithmic axis with a tick a power of ten."""
    return axis(title, type="log", dtick=1, exponentformat="power", **more)


def scores(run: Run) -> Chart | None:
    """Return the figures of all rows as dots, with mean and deviation."""
    groups, names = groups_of(run.results), score_names(run.results)
    choices = [
        Choice((score_label(name), group), *_dots({row: of(run.results, row, group) for row in rows}, name))
        for name in names
        for group in groups
        if (rows := [r for r in rows_of(run.results) if any(name in x.test for x in of(run.results, r, group))])
    ]
    if not choices:
        return None
    height = 110 + 26 * max(len(choice.data[0]["y"]) for choice in choices)
    note = f"Test figures. {spread_note(run.results)} Rings are single runs. The axis need not begin at zero."
    return Chart("Figures", note, choices, ("figure", "condition"), height, run.warnings)


def _dots(runs: dict[str, list[Result]], name: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    values = {row: [r.test[name] for r in found if name in r.test] for row, found in runs.items()}
    means = {row: spread(found) for row, found in values.items()}
    mean = {
        "type": "scatter", "mode": "markers", "name": "mean ± deviation",
        "x": [s.mean for s in means.values()], "y": list(means),
        "error_x": {"array": [s.deviation or 0 for s in means.values()], "thickness": 2, "width": 4},
        "marker": {"color": COLOURS[0], "size": 9},
        "text": [f"{s} ({s.runs} run{'s' if s.runs > 1 else ''})" for s in means.values()],
        "hovertemplate": "%{y}: %{text}<extra></extra>",
    }  # fmt: skip
    single = {
        "type": "scatter", "mode": "markers", "name": "single run",
        "x": [x for found in values.values() for x in found],
        "y": [row for row, found in values.items() for _ in found],
        "marker": {"symbol": "circle-open", "color": COLOURS[1], "size": 7},
        "hovertemplate": "%{y}: %{x:.2f}<extra>single run</extra>",
    }  # fmt: skip
    return [mean, single], {"xaxis": axis(f"test {score_label(name)}"), "yaxis": _names(list(means))}


def differences(run: Run) -> Chart | None:
    """Return how far rows are from the best control, each with its interval."""
    choices = []
    for group in groups_of(run.results):
        rows = {row: run.differences[row, group] for row in rows_of(run.results) if (row, group) in run.differences}
        if rows:
            choices.append(Choice((group,), *_forest(rows)))
    if not choices:
        return None
    height = 110 + 30 * max(len(choice.data[0]["y"]) for choice in choices)
    note = f"Difference in test points: {DIFFERENCE_NOTE}"
    return Chart("Differences from the best control", note, choices, ("condition",), height, run.warnings)


def _forest(rows: dict[str, dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    values = list(rows.values())
    colours = [COLOURS[2] if d["low"] > 0 else COLOURS[3] if d["high"] < 0 else COLOURS[7] for d in values]
    data = {
        "type": "scatter", "mode": "markers", "showlegend": False,
        "x": [d["mean"] for d in values], "y": list(rows),
        "error_x": {
            "array": [d["high"] - d["mean"] for d in values], "arrayminus": [d["mean"] - d["low"] for d in values],
            "thickness": 2, "width": 4, "color": COLOURS[7],
        },
        "marker": {"color": colours, "size": 10},
        "text": [difference_text(d) for d in values],
        "hovertemplate": "%{y}: %{text}<extra></extra>",
    }  # fmt: skip
    zero = {
        "type": "line", "xref": "x", "yref": "paper", "x0": 0, "x1": 0, "y0": 0, "y1": 1,
        "line": {"color": COLOURS[7], "dash": "dot"},
    }  # fmt: skip
    xaxis = axis(f"test {score_label(values[0]['figure'])}")
    return [data], {"xaxis": xaxis, "yaxis": _names(list(rows)), "shapes": [zero]}


def _names(rows: list[str]) -> dict[str, Any]:
    """Return an axis of rows, the first one on top."""
    order = {"categoryorder": "array", "categoryarray": rows, "autorange": "reversed"}
    return {"type": "category", "automargin": True, **order}


def compared(runs: Sequence[Run]) -> Chart | None:
    """Return the headline of runs of one kind in one chart, a colour a run and condition."""
    columns = [(run, group) for run in runs for group in groups_of(run.results)]
    results = [result for run in runs for result in run.results]
    names = score_names(results)
    choices = []
    for name in names:
        data = []
        for place, (run, group) in enumerate(columns):
            found = {
                row: [r.test[name] for r in of(run.results, row, group) if name in r.test] for row in rows_of(results)
            }
            there = {row: spread(values) for row, values in found.items() if values}
            data.append(
                {
                    "type": "scatter", "mode": "markers", "name": f"{run.name}{', ' + group if group else ''}",
                    "x": [s.mean for s in there.values()], "y": list(there),
                    "error_x": {"array": [s.deviation or 0 for s in there.values()], "thickness": 2, "width": 4},
                    "marker": {"color": _colour(place), "size": 9, "symbol": place % 6},
                    "text": [f"{s} ({s.runs})" for s in there.values()],
                    "hovertemplate": "%{y}: %{text}",
                }
            )  # fmt: skip
        layout = {"xaxis": axis(f"test {score_label(name)}"), "yaxis": _names(rows_of(results))}
        choices.append(Choice((score_label(name),), data, layout))
    warnings = [f"{run.name}: {warning}" for run in runs for warning in run.warnings]
    if not choices:
        return None
    note = (
        "Mean ± sample standard deviation over runs; a dot without a bar is one run. The axis need not begin at zero."
    )
    return Chart("Figures side by side", note, choices, ("figure",), 110 + 26 * len(rows_of(results)), warnings)


_VALIDATION = {
    "val_accuracy": "validation accuracy in %",
    "val_macro_f1": "validation Macro-F1 in %",
    "val_mrr": "validation MRR in %",
    "val_auc": "validation AUC in %",
    "val_ap": "validation average precision in %",
}


def learning(run: Run) -> Iterator[Chart]:
    """Yield the curves over epochs: training loss, scores on validation, and the gap of a cached equilibrium."""
    trained = [result for result in run.results if result.history]
    # A unit's models are the same under every kind of negatives: one line, not one for each.
    trained = list({result.key: result for result in trained}.values())
    groups = groups_of(trained) if run.kind == "node" else [""]
    for name, label, factor, log in (
        ("loss", "training loss", 1, False),
        *((name, label, 100, False) for name, label in _VALIDATION.items()),
        ("gap", "gap of the cached equilibrium", 1, True),
    ):
        choices = []
        for group in groups:
            found = [r for r in trained if group in ("", r.group) and _has(r, name)]
            if found:
                layout = {"xaxis": _epochs(found), "yaxis": log_axis(label) if log else axis(label)}
                choices.append(Choice((group,), _curves(rows_of(trained), found, name, factor), layout))
        if choices:
            yield Chart(label[0].upper() + label[1:], _curve_note(trained), choices, ("condition",), 330, run.warnings)


def _epochs(results: Sequence[Result]) -> dict[str, Any]:
    return axis("epoch", dtick=1) if max(len(r.history) for r in results) < 15 else axis("epoch")


def _has(result: Result, name: str) -> bool:
    """Say whether a history has values: networks without an equilibrium record a gap of zero."""
    return any(epoch.get(name) for epoch in result.history)


def _curve_note(results: Sequence[Result]) -> str:
    counts = {
        len([r for r in results if r.row == row and r.group == group])
        for row, group in {(r.row, r.group) for r in results}
    }
    if counts == {1}:
        return "One run of each row."
    return "Line: mean over runs. Band: lowest to highest run. As far as all runs of a row came."


def _curves(rows: Sequence[str], results: Sequence[Result], name: str, factor: float) -> list[dict[str, Any]]:
    data = []
    for place, row in enumerate(rows):
        histories = [r.history for r in results if r.row == row]
        if not histories:
            continue
        length = min(map(len, histories))
        values = [[factor * h[k][name] for h in histories if h[k].get(name) is not None] for k in range(length)]
        epochs = [k + 1 for k in range(length) if values[k]]
        values = [found for found in values if found]
        shape = {"color": _colour(place), "dash": _dash(place)}
        if len(histories) > 1:
            band = [max(v) for v in values] + [min(v) for v in reversed(values)]
            data.append(
                {
                    "type": "scatter", "mode": "lines", "x": epochs + epochs[::-1], "y": band, "fill": "toself",
                    "line": {"width": 0}, "fillcolor": f"{_colour(place)}33", "hoverinfo": "skip",
                    "showlegend": False, "legendgroup": row,
                }
            )  # fmt: skip
        data.append(
            {
                "type": "scatter", "mode": "lines+markers" if length < 15 else "lines", "name": row, "x": epochs,
                "y": [statistics.fmean(v) for v in values], "line": shape, "legendgroup": row,
                "hovertemplate": f"{row}, epoch %{{x}}: %{{y:.4g}}<extra></extra>",
            }
        )  # fmt: skip
    return data


def over_time(run: Run) -> Chart | None:
    """Return the MRR of link runs over snapshots, validation and test."""
    choices = []
    for group in groups_of(run.results):
        found = [r for r in run.results if r.group == group and r.over_time]
        rows = rows_of(found)
        if rows:
            learned = {r.row for r in found if r.history or "parameters" in r.cost}
            shown = [row for row in rows if row in learned]
            shown = list(dict.fromkeys(shown + rows))[:_SHOWN]
            choices.append(Choice((group,), *_timeline(found, rows, shown)))
    if not choices:
        return None
    note = (
        f"Mean over runs, then over {_WINDOW} snapshots of the same part. Grey: validation snapshots, on which "
        "settings may be chosen; the rest is test. Learned rows are shown first; a click on the legend shows others."
    )
    return Chart("MRR over time", note, choices, ("condition",), 380, run.warnings)


def _timeline(
    results: Sequence[Result], rows: Sequence[str], shown: Sequence[str]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    data: list[dict[str, Any]] = []
    for place, row in enumerate([*shown, *(row for row in rows if row not in shown)]):
        runs = [r.over_time for r in results if r.row == row]
        snapshots, values = [], []
        for part in ("val", "test"):  # apart: a mean over both would be neither
            mean: dict[int, list[float]] = {}
            for run in runs:
                for snapshot, value in zip(run[part]["snapshot"], run[part]["mrr"], strict=True):
                    mean.setdefault(snapshot, []).append(value)
            snapshots += sorted(mean)
            values += _smooth([statistics.fmean(mean[t]) for t in sorted(mean)])
        data.append(
            {
                "type": "scatter", "mode": "lines", "name": row, "x": snapshots, "y": values,
                "line": {"color": _colour(place), "dash": _dash(place), "width": 2},
                "visible": True if row in shown else "legendonly",
                "hovertemplate": f"{row}, snapshot %{{x}}: %{{y:.1f}} %<extra></extra>",
            }
        )  # fmt: skip
    val = results[0].over_time["val"]["snapshot"]
    grey = {
        "type": "rect", "xref": "x", "yref": "paper", "x0": min(val) - 0.5, "x1": max(val) + 0.5, "y0": 0, "y1": 1,
        "fillcolor": "#7f8790", "opacity": 0.15, "line": {"width": 0}, "layer": "below",
    } if val else None  # fmt: skip
    return data, {"xaxis": axis("snapshot"), "yaxis": axis("MRR in %"), "shapes": [grey] if grey else []}


def _smooth(values: Sequence[float]) -> list[float]:
    half = _WINDOW // 2
    return [round(statistics.fmean(values[max(0, k - half) : k + half + 1]), 3) for k in range(len(values))]


def confusion(run: Run) -> Chart | None:
    """Return the confusion matrices: of node runs from their units, of events from their diagnostics."""
    names = next((d["confusion"][0]["classes"] for d in run.diagnostics.values() if d.get("confusion")), None)
    choices = []
    for group in groups_of(run.results):
        for row in rows_of(run.results):
            found = [r.confusion for r in of(run.results, row, group) if r.confusion is not None]
            if found:
                total = [[sum(cells) for cells in zip(*lines, strict=True)] for lines in zip(*found, strict=True)]
                many = f", {len(found)} runs added up" if len(found) > 1 else ", one run"
                choices.append(Choice((row, f"test nodes, {group}{many}"), *_matrix(total, names)))
    if not choices:
        for key, record in run.diagnostics.items():
            for part in record.get("confusion") or []:
                at = (key, f"{part['about']}, one run")
                choices.append(Choice(at, *_matrix(part["counts"], part["classes"])))
    if not choices:
        return None
    note = "Rows: true classes, each adding up to 100 %. Counts are shown on pointing at a cell."
    return Chart("Confusion matrix", note, choices, ("row", "counted"), 440, run.warnings)


def _matrix(counts: list[list[int]], names: Sequence[str] | None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    labels = (
        [str(name) for name in names] if names and len(names) == len(counts) else list(map(str, range(len(counts))))
    )
    share = [[100 * value / max(sum(line), 1) for value in line] for line in counts]
    heat = {
        "type": "heatmap", "x": labels, "y": labels, "z": share, "customdata": counts, "zmin": 0, "zmax": 100,
        "colorscale": FAINT, "colorbar": {"title": {"text": "%"}, "thickness": 12},
        "hovertemplate": "true %{y}, predicted %{x}: %{customdata} (%{z:.1f} %)<extra></extra>",
        "xgap": 1, "ygap": 1,
    }  # fmt: skip
    if len(counts) <= 14:
        heat |= {"texttemplate": "%{z:.0f}", "textfont": {"size": 11}}
    same = {"type": "category", "showgrid": False}
    return [heat], {"xaxis": axis("predicted", **same), "yaxis": axis("true", **same, autorange="reversed")}
