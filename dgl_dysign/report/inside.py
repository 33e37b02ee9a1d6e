"""Charts of what happened inside a model: firing rates, spikes, solver, contents of the store."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

from dgl_dysign.errors import DataError
from dgl_dysign.report.charts import COLOURS, FAINT, Chart, Choice, axis, log_axis
from dgl_dysign.report.runs import Run

Picture = tuple[tuple[str, ...], list[dict[str, Any]], dict[str, Any]]
Build = Callable[[dict[str, Any]], Iterator[Picture]]
_NEIGHBORS = 24  # lines of a picture of a store
_TRACES = 5
_ENTRY = ("neighbor", "influence", "hop", "age")


def inside(run: Run) -> Iterator[Chart]:
    """Yield the charts for which a run has diagnostics."""
    for chart in (firing(run), raster(run), solver(run), convergence(run), store(run)):
        if chart is not None:
            yield chart


def _with(run: Run, part: str) -> dict[str, dict[str, Any]]:
    return {key: record[part] for key, record in run.diagnostics.items() if record.get(part)}


def _pictures(run: Run, part: str, build: Build) -> list[Choice]:
    """Return the pictures of a part of all units' diagnostics, units that have the same one together."""
    alike: dict[str, list[str]] = {}
    for key, found in _with(run, part).items():
        alike.setdefault(json.dumps(found), []).append(key)  # rows that share a store: one picture for all of them
    choices = []
    for text, keys in alike.items():
        try:
            choices += [Choice((", ".join(keys), *at), data, layout) for at, data, layout in build(json.loads(text))]
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            file = run.path / "diagnostics" / f"{keys[0]}.json"
            raise DataError(
                f"{file}: {part} is not as this version writes it ({type(error).__name__}: {error}); delete the file"
            ) from error
    return choices


def _chart(
    run: Run, part: str, build: Build, title: str, note: str, choosers: tuple[str, ...], height: int
) -> Chart | None:
    choices = _pictures(run, part, build)
    return Chart(title, note, choices, choosers, height, run.warnings) if choices else None


def firing(run: Run) -> Chart | None:
    """Return the distribution of firing rates over snapshots, above the number of active nodes."""
    note = (
        "Simulated rates of the active nodes' neurons, each snapshot by itself; one bin for each number of spikes; the "
        "colour scale is logarithmic. One model."
    )
    return _chart(run, "firing", _rates, "Firing rates over snapshots", note, ("unit",), 420)


def _rates(found: dict[str, Any]) -> Iterator[Picture]:
    shares = [[100 * (value or 0) for value in line] for line in found["shares"]]
    bins = len(shares[0])
    by_rate = [[line[k] for line in shares] for k in range(bins)]
    ticks = {-2: "≤ 0.01", -1: "0.1", 0: "1", 1: "10", 2: "100"}
    low = math.floor(math.log10(max(0.01, min(value for line in by_rate for value in line))))
    heat = {
        "type": "heatmap", "x": found["snapshot"], "y": [round(k / max(bins - 1, 1), 3) for k in range(bins)],
        "z": [[math.log10(max(value, 0.01)) for value in line] for line in by_rate], "customdata": by_rate,
        "zmin": low, "zmax": 2, "colorscale": "Viridis",
        "colorbar": {
            "tickvals": list(ticks), "ticktext": list(ticks.values()), "thickness": 12,
            "title": {"text": "% of<br>neurons"}, "len": 0.7, "y": 0.65,
        },
        "hovertemplate": "snapshot %{x}, rate %{y}: %{customdata:.2f} % of neurons<extra></extra>",
    }  # fmt: skip
    active = {
        "type": "bar", "x": found["snapshot"], "y": found["active"], "yaxis": "y2", "marker": {"color": "#7f8790"},
        "showlegend": False, "hovertemplate": "snapshot %{x}: %{y} active nodes<extra></extra>",
    }  # fmt: skip
    layout = {
        "xaxis": axis("snapshot", anchor="y2"),
        "yaxis": axis("firing rate", domain=[0.33, 1]),
        "yaxis2": axis("active nodes", domain=[0, 0.22], rangemode="tozero", nticks=3),
    }
    yield (), [heat, active], layout


def raster(run: Run) -> Chart | None:
    """Return the spikes of a chosen node."""
    note = (
        "Spikes of the first neurons of a node, over the steps of the simulation; a filled cell is a spike. One model."
    )
    return _chart(run, "spikes", _spikes, "Spike raster", note, ("unit", "node"), 420)


def _spikes(found: dict[str, Any]) -> Iterator[Picture]:
    steps, neurons = list(range(1, found["latency"] + 1)), list(range(found["neurons"]))
    layout = {
        "xaxis": axis("latency step", dtick=1 if len(steps) < 20 else 5, showgrid=False),
        "yaxis": axis("neuron", showgrid=False),
    }
    for node in found["nodes"]:
        cells = {
            "type": "heatmap", "x": steps, "y": neurons,
            "z": [[int(neuron in fired) for fired in node["fired"]] for neuron in neurons],
            "zmin": 0, "zmax": 1, "colorscale": FAINT, "showscale": False, "xgap": 3, "ygap": 1,
            "hovertemplate": "neuron %{y}, step %{x}: %{z} spikes<extra></extra>",
        }  # fmt: skip
        yield (f"node {node['node']}, snapshot {found['snapshot']}",), [cells], layout


def solver(run: Run) -> Chart | None:
    """Return gap and number of steps of the solver for each snapshot."""
    note = (
        "How far the rates are from their equilibrium, relative to it: those of the solver when it stops (a cross: "
        "before it met the tolerance), and those of the spiking simulation. One model."
    )
    return _chart(run, "solver", _solver, "Equilibrium gap and solver steps", note, ("unit",), 420)


def _solver(found: dict[str, Any]) -> Iterator[Picture]:
    line = {"type": "scatter", "mode": "lines+markers", "x": found["snapshot"]}
    met = {"size": 6, "symbol": ["circle" if converged else "x" for converged in found["converged"]]}
    data = [
        {**line, "name": "solver", "y": found["gap"], "line": {"color": COLOURS[0]}, "marker": met},
        {**line, "name": "spiking simulation", "y": found["spiking"], "line": {"color": COLOURS[1]}},
        {
            "type": "bar", "name": "steps of the solver", "x": found["snapshot"], "y": found["steps"], "yaxis": "y2",
            "marker": {"color": "#7f8790"},
        },
    ]  # fmt: skip
    if found["tol"]:
        ends, dots = [found["snapshot"][0], found["snapshot"][-1]], {"color": COLOURS[3], "dash": "dot"}
        tolerance = {"type": "scatter", "mode": "lines", "name": "tolerance", "x": ends, "y": [found["tol"]] * 2}
        data.append({**tolerance, "line": dots})
    layout = {
        "xaxis": axis("snapshot", anchor="y2"),
        "yaxis": log_axis("relative gap", domain=[0.4, 1]),
        "yaxis2": axis("steps", domain=[0, 0.27], rangemode="tozero", nticks=4),
    }
    yield (), data, layout


def convergence(run: Run) -> Chart | None:
    """Return the gap at each step of the solver, for some snapshots."""
    note = "A straight line is convergence at a constant rate. Some snapshots, one model."
    return _chart(run, "solver", _traces, "Convergence of the solver", note, ("unit",), 340)


def _traces(found: dict[str, Any]) -> Iterator[Picture]:
    last, most = len(found["snapshot"]) - 1, max(map(len, found["trace"]))
    places = sorted({round(k * last / (_TRACES - 1)) for k in range(_TRACES)})
    data = [
        {
            "type": "scatter", "mode": "lines+markers", "name": f"snapshot {found['snapshot'][k]}",
            "x": list(range(1, len(found["trace"][k]) + 1)), "y": found["trace"][k], "marker": {"size": 5},
            "line": {"color": COLOURS[place]},
        }
        for place, k in enumerate(places)
    ]  # fmt: skip
    yield (
        (),
        data,
        {"xaxis": axis("step of the solver", dtick=1 if most < 20 else 5), "yaxis": log_axis("relative gap")},
    )


def store(run: Run) -> Chart | None:
    """Return what the store holds for a chosen node over time."""
    note = (
        "Neighbours that a node's slots hold after a snapshot, in the order in which they came; colour: influence, "
        f"logarithmic, aged to the next snapshot. Of more than {_NEIGHBORS} neighbours, those held longest."
    )
    return _chart(run, "store", _lifelines, "Contents of the neighbour store", note, ("unit", "node"), 460)


def _lifelines(found: dict[str, Any]) -> Iterator[Picture]:
    for node in found["nodes"]:
        events = f"{node['events']} event{'' if node['events'] == 1 else 's'}"
        yield (f"node {node['node']} ({events}, {found['slots']} slots)",), *_lines(found["snapshot"], node["held"])


def _lines(snapshots: list[int], held: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    cells: dict[int, dict[int, tuple[float | None, str]]] = {}
    for place, entry in enumerate(held):
        for neighbor, influence, hop, age in zip(*(entry[name] for name in _ENTRY), strict=True):
            text = f"influence {influence or 0:.3g}, {hop} hop{'s' if hop > 1 else ''}, met {age} snapshots before"
            cells.setdefault(neighbor, {}).setdefault(place, (influence, text))  # the best of several slots comes first
    longest = sorted(cells, key=lambda n: (-len(cells[n]), min(cells[n])))[:_NEIGHBORS]
    lines, nothing = sorted(longest, key=lambda n: (min(cells[n]), n)), (None, "not held")
    rows = [[cells[n].get(k, nothing) for k in range(len(snapshots))] for n in lines]
    heat = {
        "type": "heatmap", "x": snapshots, "y": [f"node {n}" for n in lines], "colorscale": "Viridis", "ygap": 1,
        "z": [[_log(influence) for influence, _ in row] for row in rows], "text": [[t for _, t in row] for row in rows],
        "hovertemplate": "%{y} after snapshot %{x}: %{text}<extra></extra>", "hoverongaps": False,
        "colorbar": {"title": {"text": "influence<br>(log10)"}, "thickness": 12},
    }  # fmt: skip
    order = {"type": "category", "autorange": "reversed", "automargin": True, "dtick": 1, "tickfont": {"size": 10}}
    return [heat], {"xaxis": axis("snapshot"), "yaxis": order}


def _log(influence: float | None) -> float | None:
    return None if not influence or influence <= 0 else round(math.log10(influence), 3)
