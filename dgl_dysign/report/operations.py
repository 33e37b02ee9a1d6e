"""What passes of networks cost, and how good those networks are: a table and a chart."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from dgl_dysign.experiments.record import OPERATIONS
from dgl_dysign.report.charts import COLOURS, Chart, Choice, axis, log_axis
from dgl_dysign.report.runs import Result, Run
from dgl_dysign.report.tables import Table, groups_of, rows_of, score_label, score_names

_NOTE = (
    "Of one pass over all nodes, means over runs, by the rules of dgl_dysign.cost. Inputs made before (feature means, "
    "propagated labels) are not in it. A row that nobody can count is left out. pJ are a model, not a measurement: 4.6 "
    "for a product, 0.9 for an addition (45 nm), without memory."
)
_AGAINST: dict[str, Callable[[dict[str, float]], float]] = {
    "MAC + SynOps": lambda cost: cost["macs"] + cost["synops"],
    OPERATIONS["model_energy_pj"]: lambda cost: cost["model_energy_pj"],
}


def operations(run: Run, group: str) -> Table | None:
    """Return what a pass of each row costs a node; None where nothing was counted."""
    rows = _counted([result for result in run.results if result.group == group])
    if not rows:
        return None
    names = [name for name in OPERATIONS if any(name in result.cost for results in rows.values() for result in results)]
    cells = [
        [row, *(_cell([result.cost[name] for result in results if name in result.cost]) for name in names)]
        for row, results in rows.items()
    ]
    head, title = ["row", *(OPERATIONS[name] for name in names)], f"Operations a node: {group or 'all rows'}"
    return Table(title, _NOTE, head, cells, run.warnings)


def accuracy(run: Run) -> Chart | None:
    """Return the headline of each row against its operations, and against a model of its energy."""
    choices = [
        Choice((label, group), *_dots(rows, name, label))
        for name in score_names(run.results)[:1]
        for label in _AGAINST
        for group in groups_of(run.results)
        if (rows := _counted([result for result in run.results if result.group == group and name in result.test]))
    ]
    if not choices:
        return None
    return Chart("Accuracy against operations", _NOTE, choices, ("against", "condition"), 380, run.warnings)


def _counted(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Return the results of rows whose operations were counted in every run."""
    rows = {row: [result for result in results if result.row == row] for row in rows_of(results)}
    return {row: results for row, results in rows.items() if all("macs" in result.cost for result in results)}


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "-"
    mean = statistics.fmean(values)
    return f"{mean:,.0f}" if mean >= 100 or mean == round(mean) else f"{mean:.3g}"


def _dots(rows: dict[str, list[Result]], name: str, label: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    data: list[dict[str, Any]] = [
        {
            "type": "scatter", "mode": "markers+text", "name": row, "text": [row],
            "x": [statistics.fmean(_AGAINST[label](result.cost) for result in results)],
            "y": [statistics.fmean(result.test[name] for result in results)],
            "marker": {"color": COLOURS[place % len(COLOURS)], "size": 10}, "showlegend": False,
            "hovertemplate": f"{row}: %{{x:,.0f}}, %{{y:.1f}}<extra></extra>",
        }
        for place, (row, results) in enumerate(rows.items())
    ]  # fmt: skip
    shown = [trace for trace in data if trace["x"][0] > 0]  # on an axis of logarithms
    if not shown:
        return data, {"xaxis": log_axis(f"{label}, a node"), "yaxis": axis(f"test {score_label(name)}")}
    for trace in shown:  # its name stands away from the dot beside it
        near = min((each for each in shown if each is not trace), key=partial(_apart, trace), default=trace)
        trace["textposition"] = "top center" if trace["y"] >= near["y"] else "bottom center"
    xaxis = log_axis(f"{label}, a node", range=_with_room([math.log10(trace["x"][0]) for trace in shown], 0.3))
    yaxis = axis(f"test {score_label(name)}", range=_with_room([trace["y"][0] for trace in shown], 0.15))
    return data, {"xaxis": xaxis, "yaxis": yaxis}


def _apart(trace: dict[str, Any], other: dict[str, Any]) -> float:
    return abs(math.log(trace["x"][0] / other["x"][0]))


def _with_room(places: list[float], share: float) -> list[float]:
    """Return the ends of an axis with room for the names of the outermost dots."""
    room = share * (max(places) - min(places)) or share
    return [min(places) - room, max(places) + room]
