"""Tables of a report: figures with their spread, runs side by side, what differs between their settings."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dgl_dysign.experiments.record import FIGURES, difference_text
from dgl_dysign.report.runs import KINDS, Result, Run

#: What has to be known of a difference.
DIFFERENCE_NOTE = (
    "mean [95 % interval] of a paired bootstrap over what was tested; a row is level with the best control where zero "
    "is inside. The best control is the best row on test of those that are given no more than it, and are neither ours "
    "nor a stranger's."
)
_COSTS = {"cpu_seconds": "CPU s", "peak_rss_bytes": "peak MiB", "parameters": "weights"}
_COLUMNS = 5  # figures beside each other in a table: the first ones that a run has


@dataclass(frozen=True)
class Spread:
    """Mean of a figure over runs, its sample deviation (None for one run) and how many runs there were."""

    mean: float
    deviation: float | None
    runs: int

    def __str__(self) -> str:
        digits = 2 if abs(self.mean) < 10 else 1
        if self.deviation is None:
            return f"{self.mean:.{digits}f}"
        return f"{self.mean:.{digits}f}\u00a0±\u00a0{self.deviation:.{digits}f}"  # on one line


@dataclass(frozen=True)
class Table:
    """A table as the page shows it: texts; the first cell of a row is its head. Warnings are shown beside the title."""

    title: str
    note: str
    head: list[str]
    rows: list[list[str]]
    warnings: list[str]


def spread(values: Sequence[float]) -> Spread:
    """Return mean, sample deviation and number of some values.

    Examples
    --------
    >>> spread([70.0, 72.0]).mean, str(spread([70.0]))
    (71.0, '70.0')
    """
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), deviation, len(values))


def score_names(results: Sequence[Result]) -> list[str]:
    """Return the figures that results have, headline first; of unknown ones only where no known one is there."""
    there = {name: None for result in results for name in result.test}
    return [name for name in FIGURES if name in there] or list(there)


def score_label(name: str) -> str:
    """Return how a figure is called, with its unit where that is known."""
    return f"{FIGURES[name]} in %" if name in FIGURES else name.replace("_", " ")


def groups_of(results: Iterable[Result]) -> list[str]:
    """Return the groups, in the order of their first result."""
    return list(dict.fromkeys(result.group for result in results))


def rows_of(results: Sequence[Result]) -> list[str]:
    """Return the rows, best on validation first; as they come where there is no validation."""
    rows = list(dict.fromkeys(result.row for result in results))
    headline = next(iter(score_names(results)), "")
    val = {row: [r.val[headline] for r in results if r.row == row and headline in r.val] for row in rows}
    return sorted(rows, key=lambda row: -statistics.fmean(val[row])) if rows and all(val.values()) else rows


def of(results: Iterable[Result], row: str, group: str) -> list[Result]:
    """Return the results of a row in a group."""
    return [result for result in results if result.row == row and result.group == group]


def spread_note(results: Sequence[Result]) -> str:
    """Say over how many runs figures are averaged."""
    counts = sorted({len(of(results, row, group)) for row, group in {(r.row, r.group) for r in results}})
    if not counts:
        return "No unit is finished yet."
    if counts == [1]:
        return "One seed: one run of each row, so there is no spread, and differences may be chance."
    span = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    once = " A row with one run has no spread." if counts[0] == 1 else ""
    return f"Mean ± sample standard deviation over {span} runs (seeds, and splits where there are several).{once}"


def figures(run: Run, group: str) -> Table:
    """Return the figures of a run's rows in one group: test, then validation, then cost."""
    results = [result for result in run.results if result.group == group]
    names = score_names(results)[:_COLUMNS]
    val = [name for name in names[:1] if any(name in result.val for result in results)]
    protocols = {result.protocol for result in results} - {""}
    head = ["row", *(["protocol"] if len(protocols) > 1 else []), "runs"]
    head += [f"test {score_label(name)}" for name in names] + [f"validation {score_label(name)}" for name in val]
    differences = {row: difference_text(d) for (row, at), d in run.differences.items() if at == group}
    costs = [name for name in _COSTS if any(name in result.cost for result in results)]
    head += ["against best control"] if differences else []
    head += [_COSTS[name] for name in costs]
    rows = []
    for row in rows_of(results):
        chosen = of(results, row, group)
        cells = [row, *([chosen[0].protocol.split(":")[0]] if len(protocols) > 1 else []), str(len(chosen))]
        cells += [_cell([r.test[name] for r in chosen if name in r.test]) for name in names]
        cells += [_cell([r.val[name] for r in chosen if name in r.val]) for name in val]
        cells += [differences.get(row, "-")] if differences else []
        rows.append(cells + [_cost(name, chosen) for name in costs])
    protocol = f" Protocol: {protocols.pop()}." if len(protocols) == 1 else ""
    level = f" Differences are those of the first figure: {DIFFERENCE_NOTE}" if differences else ""
    return Table(group or "All rows", spread_note(results) + protocol + level, head, rows, run.warnings)


def _cell(values: Sequence[float]) -> str:
    return str(spread(values)) if values else "-"


def _cost(name: str, results: Sequence[Result]) -> str:
    values = [result.cost[name] for result in results if name in result.cost]
    if not values:
        return "-"
    if name == "cpu_seconds":
        mean = statistics.fmean(values)
        return f"{mean:.0f}" if mean >= 10 else f"{mean:.1f}" if mean >= 0.1 else "< 0.1"
    return f"{max(values):,.0f}" if name == "parameters" else f"{max(values) / 2**20:.0f}"


def overview(runs: Sequence[Run]) -> Table:
    """Return one line a run, with how often its rows are above, level with and below the best control."""
    several = any(len({group for _, group in run.differences}) > 1 for run in runs)
    note = "Beside the best control, a row counts once for each share for training or kind of negatives." * several
    rows = []
    for run in runs:
        found = [_verdict(difference) for difference in run.differences.values()]
        verdicts = [f"{found.count(word)} {word}" for word in ("above", "level", "below") if word in found]
        units = len({result.key for result in run.results})
        rows.append(
            [
                run.name,
                run.dataset + (" (generated data)" if run.generated else ""),
                KINDS[run.kind],
                f"unfinished: {run.unfinished}" if run.unfinished else "finished",
                str(len(rows_of(run.results))),
                str(units),
                "LEAKS: for reproduction only, never a result" if run.leaks else "no leak declared",
                ", ".join(verdicts) or "-",
            ]
        )
    head = ["run", "data", "task", "state", "rows", "trained models", "protocol", "beside the best control"]
    return Table("", note, head, rows, [])


def _verdict(difference: Mapping[str, Any]) -> str:
    return "above" if difference["low"] > 0 else "below" if difference["high"] < 0 else "level"


def side_by_side(runs: Sequence[Run]) -> Table:
    """Return the headline of runs of one kind beside each other, a column a run and group."""
    results = [result for run in runs for result in run.results]
    names = score_names(results)
    columns = [(run, group) for run in runs for group in groups_of(run.results)]
    rows = []
    for row in rows_of(results):
        cells = [
            [r.test[names[0]] for r in of(run.results, row, group) if names[0] in r.test] for run, group in columns
        ]
        rows.append([row, *(f"{_cell(values)}{_runs(values)}" for values in cells)])
    head = ["row", *(_column(run, group) for run, group in columns)]
    note = (
        "Mean ± sample standard deviation over the runs in brackets; (1) is one run, without spread. "
        "Runs on different data, splits or protocols are not comparable with each other."
    )
    return Table(f"Test {score_label(names[0])}" if names else "Figures", note, head, rows, [])


def _runs(values: Sequence[float]) -> str:
    return f"\u00a0({len(values)})" if values else ""


def _column(run: Run, group: str) -> str:
    marks = f" [{'; '.join(run.warnings)}]" if run.warnings else ""
    return f"{run.name}: {run.dataset}{', ' + group if group else ''}{marks}"


def settings(run: Run) -> Table:
    """Return a run's config, an entry a line."""
    return Table("Config", f"From {run.path}/config.json.", ["setting", "value"], _lines(run.config), [])


def versions(run: Run) -> Table:
    """Return the versions that a run was made with."""
    return Table("Versions", "", ["package", "version"], _lines(run.versions), [])


def differences(runs: Sequence[Run]) -> Table:
    """Return the settings and versions in which runs differ."""
    flat = [dict(_lines({**run.config, "versions": run.versions})) for run in runs]
    keys = [key for key in {key: None for found in flat for key in found} if not key.startswith("prepared.files")]
    rows = [[key, *(found.get(key, "-") for found in flat)] for key in keys]
    rows = [row for row in rows if len(set(row[1:])) > 1]
    return Table("Settings that differ", "", ["setting", *(run.name for run in runs)], rows, [])


def choices(run: Run) -> list[Table]:
    """Return what was chosen for each row and split, against the defaults; none where nothing was."""
    lines = dict.fromkeys((r.row, r.group, *_chosen(r.choice)) for r in run.results if r.choice)  # seeds have the same
    if not lines:
        return []
    head = ["row", "share", "chosen (default)", "validation", "defaults", "error", "level", "CPU s", "chosen by"]
    note = (
        "The defaults stay unless another candidate is better by more than two standard errors of the difference on "
        "validation. Level: how many of those that were fitted to the end are within one error of the best."
    )
    return [Table("What was chosen", note, head, [list(line) for line in lines], [])]


def _chosen(choice: dict[str, Any]) -> list[str]:
    values = [
        f"{name} {_plain(value)}" + (f" ({_plain(choice['defaults'][name])})" if name in choice["defaults"] else "")
        for name, value in choice["chosen"].items()
        if value != choice["defaults"].get(name)
    ]
    figures = [f"{choice[name]:.1f}" for name in ("chosen_value", "defaults_value", "error")]
    level = f"{choice['level']} of {choice['compared']}"
    cost = f"{choice['cpu_seconds']:.0f} ({choice['fits']:.0f} fits)"
    return ["; ".join(values) or "the defaults", *figures, level, cost, choice["validated"]]


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _lines(value: Any, name: str = "") -> list[list[str]]:
    """Flatten a JSON value to lines of name and text; lists of plain values stay on one line."""
    if isinstance(value, dict) and value:
        return [line for key, item in value.items() for line in _lines(item, f"{name}.{key}" if name else str(key))]
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return [line for place, item in enumerate(value) for line in _lines(item, f"{name}[{place}]")]
    if isinstance(value, list):
        return [[name, ", ".join(map(str, value)) or "none"]]
    return [[name, "not set" if value is None or value == {} else str(value)]]
