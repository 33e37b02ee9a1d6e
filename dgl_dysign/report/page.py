"""The page: tables and charts of all runs in one file that needs nothing else."""

from __future__ import annotations

import base64
import gzip
import json
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

from dgl_dysign import __version__
from dgl_dysign.errors import BackendError, DataError
from dgl_dysign.report import charts, inside, operations, tables
from dgl_dysign.report.charts import Chart, Choice
from dgl_dysign.report.runs import KINDS, Run

#: Plotly reads texts as HTML, links among it: of tags these are ours, all others come from names in runs.
_FOREIGN_TAG = re.compile(r"<(?!(br|/?extra)>)")
#: Signs that turn the direction of the text behind them, so that a name could change how figures read; no text at all.
_ODD = re.compile("[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def require_extra() -> None:
    """Raise ``BackendError`` that names the extra unless the packages of a report are there; nothing is imported."""
    missing = [name for name in ("plotly", "jinja2") if find_spec(name) is None]
    if missing:
        raise BackendError(f"reports need {' and '.join(missing)}: pip install 'dgl-dysign[report]'")


def page(runs: Sequence[Run], title: str = "Dy-SIGN report") -> str:
    """Return the HTML of a report of runs as `dgl_dysign.report.runs.read_runs` gives them; ``title`` is its heading.

    Raises ``BackendError`` if plotly or jinja2 is missing, ``DataError`` if the records of a run do not fit together.
    """
    require_extra()
    from jinja2 import Environment
    from markupsafe import Markup

    drawn = _Drawn()
    with _fitting(runs):
        groups = [_group(kind, [run for run in runs if run.kind == kind], drawn) for kind in KINDS]
    sections = []
    for place, run in enumerate(runs):
        with _fitting([run]):
            sections.append(_section(run, place, drawn))
    template = Environment(autoescape=True, trim_blocks=True, finalize=_visible).from_string(_text("page.html"))
    return template.render(
        title=title,
        version=__version__,
        overview=tables.overview(runs),
        groups=[group for group in groups if group is not None],
        runs=sections,
        css=Markup(_text("page.css")),
        js=Markup(_text("page.js")),
        charts=Markup(_json(drawn.charts)),
        plotly=_plotly(),
    )


@contextmanager
def _fitting(runs: Sequence[Run]) -> Iterator[None]:
    """Say of whom the records are, each right by itself, that do not fit together: somebody has changed them."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise DataError(
            f"{', '.join(str(run.path) for run in runs)}: records do not fit together ({type(error).__name__}: "
            f"{error}); delete what was changed in units/ and diagnostics/, and resume the run"
        ) from error


def _visible(value: Any) -> Any:
    """Return a text with odd signs spelt out; anything else as it is."""
    return _ODD.sub(lambda sign: f"\\u{ord(sign[0]):04x}", value) if type(value) is str else value


def _plain(value: Any) -> Any:
    """Return what plotly is given, with the markup of names as text."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return _FOREIGN_TAG.sub("&lt;", _visible(value)) if isinstance(value, str) else value


def _text(name: str) -> str:
    return files("dgl_dysign.report").joinpath(name).read_text(encoding="utf-8")


def _plotly() -> str:
    """Return plotly.js, packed: a third of its size, and every browser of the last years unpacks it."""
    from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 6, mtime=0)).decode()


def _json(value: Any) -> str:
    """Return JSON that may stand in a script element."""
    return json.dumps(_finite(value), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


class _Drawn:
    """The charts of the page, numbered: the template gets places, the script gets pictures."""

    def __init__(self) -> None:
        self.charts: list[dict[str, Any]] = []

    def add(self, chart: Chart) -> dict[str, Any]:
        name = f"chart{len(self.charts)}"
        options = [list(dict.fromkeys(choice.at[k] for choice in chart.choices)) for k in range(len(chart.choosers))]
        facets = [k for k, found in enumerate(options) if len(found) > 1]
        self.charts.append(
            {
                "id": name,
                "height": chart.height,
                "note": chart.note,
                "facets": facets,
                "choices": [
                    {"at": [*map(_visible, c.at)], "data": _plain(c.data), "layout": _plain(c.layout)}
                    for c in chart.choices
                ],
            }
        )
        pairs = zip(chart.choosers, options, strict=True)
        fixed = [f"{name.capitalize()}: {found[0]}." for name, found in pairs if len(found) == 1 and found[0]]
        return {
            "id": name,
            "title": chart.title,
            "note": " ".join([*fixed, chart.note]),
            "height": chart.height,
            "warnings": chart.warnings,
            "choosers": [(chart.choosers[k].capitalize(), options[k]) for k in facets],
        }


def _group(kind: str, runs: Sequence[Run], drawn: _Drawn) -> dict[str, Any] | None:
    """Return the section that holds runs of one kind side by side; None for fewer than two."""
    if len(runs) < 2:
        return None
    found = [chart for chart in (charts.compared(runs), _together(runs)) if chart is not None]
    return {
        "id": f"side-{kind}",
        "title": f"Side by side: {KINDS[kind]}",
        "table": tables.side_by_side(runs),
        "charts": [drawn.add(chart) for chart in found],
        "differences": tables.differences(runs),
    }


def _together(runs: Sequence[Run]) -> Chart | None:
    """Return the learning curves of all runs under one chooser."""
    pictures = [
        Choice((chart.title, run.name, *choice.at), choice.data, choice.layout)
        for run in runs
        for chart in charts.learning(run)
        for choice in chart.choices
    ]
    if not pictures:
        return None
    note = "The curves of each run, one at a time; axes are those of the run."
    warnings = [f"{run.name}: {warning}" for run in runs for warning in run.warnings]
    return Chart("Learning curves", note, pictures, ("curve", "run", "condition"), 330, warnings)


def _section(run: Run, place: int, drawn: _Drawn) -> dict[str, Any]:
    groups = tables.groups_of(run.results)
    found = [tables.figures(run, group) for group in groups]
    counted = [table for group in groups if (table := operations.operations(run, group)) is not None]
    return {
        "id": f"run-{place}",
        "name": run.name,
        "warnings": run.warnings,
        "about": _about(run),
        "tables": [
            *(replace(table, title=f"Figures: {table.title}") for table in found),
            *counted,
            *tables.choices(run),
        ],
        "charts": [drawn.add(chart) for chart in _charts(run)],
        "missing": _missing(run),
        "settings": tables.settings(run),
        "versions": tables.versions(run),
    }


def _charts(run: Run) -> Iterator[Chart]:
    for chart in (charts.scores(run), charts.differences(run), operations.accuracy(run), charts.over_time(run)):
        if chart is not None:
            yield chart
    yield from charts.learning(run)
    yield from inside.inside(run)
    matrix = charts.confusion(run)
    if matrix is not None:
        yield matrix


def _about(run: Run) -> str:
    data = f"{run.dataset} (generated data)" if run.generated else run.dataset
    units = len({result.key for result in run.results})
    state = f"unfinished ({run.unfinished})" if run.unfinished else "finished"
    return f"Data: {data}. Task: {KINDS[run.kind]}. {units} units; the run is {state}. Folder: {run.path}"


def _missing(run: Run) -> str:
    if run.diagnostics or run.kind not in ("node", "link", "event"):
        return ""
    return (
        "This run has no diagnostics: firing rates, spikes, solver and store contents were not recorded. Runs of the "
        "examples of this version record them."
    )
