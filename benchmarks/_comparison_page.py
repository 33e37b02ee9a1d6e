"""The page of the comparison: its tables, from whatever runs are there, and two pictures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from _studies import fill

from dgl_dysign.data import TemporalGraph, stratified_split
from dgl_dysign.evaluation import Answers, bootstrap, difference, mean_std
from dgl_dysign.experiments import plots
from dgl_dysign.experiments.event_task import EventTask
from dgl_dysign.experiments.record import FIGURES, UnitRecord, read_units
from dgl_dysign.experiments.run_folder import array_file
from dgl_dysign.files import read_toml

PUBLISHED = read_toml(Path(__file__).parent / "published.toml")
REMARKS = dict.fromkeys(["delay-dsgn", "chronospike"], " (from the paper, no public code)")
NEVER_RUN = {"falcon": "neither text nor code: nothing to run"}
FAR = 30  # points below the best row of a panel: such rows are left out, so that the others can be told apart
#: Of the pictures: a cost, its label, and the scale of its axis.
COSTS = (("cpu_seconds", "CPU seconds of a fit", "log"), ("peak_rss_bytes", "peak memory in MiB", "linear"))
OURS = ("dysign", "undergs")  # how names of our rows begin
AROUND = [(r * np.cos(a), r * np.sin(a)) for r in range(6, 200, 6) for a in np.linspace(0, 2 * np.pi, 16, False)]


@dataclass(frozen=True)
class Board:
    """One table of the page: its studies, their prepared data, figures with the headline first, and whom beside."""

    studies: tuple[str, ...]
    data: str
    figures: tuple[str, ...]
    against: tuple[str, ...]
    published: str
    panel: str = ""  # its title in the pictures
    train_ratio: float | None = None  # of nodes, where studies have several


@dataclass
class Row:
    """What is known of a row: its records, each with its run folder, and its differences from others by their names."""

    name: str
    runs: list[tuple[Path, UnitRecord]]
    differences: dict[str, dict[str, float]]

    def figure(self, name: str) -> dict[str, Any]:
        """Return mean, deviation and number of a figure on test."""
        return mean_std([record.scorings[0].scores[name] for _, record in self.runs])

    def cost(self, name: str) -> float | None:
        """Return the mean of seconds, and the most of another cost; None where it is not known."""
        costs = [record.cost[name] for _, record in self.runs if name in record.cost]
        return (fmean if name.endswith("seconds") else max)(costs) if costs else None


def boards(studies: Mapping[str, str]) -> dict[str, Board]:
    """Return the tables of the page by name."""

    def under(name: str) -> tuple[str, ...]:
        return tuple(study for study in studies if study == name or study.startswith(f"{name}-"))

    tables, controls, links = {}, ("logistic-regression", "dysign"), ("node-counts", "boosted-trees")
    for inputs, data in (("dblp", "dblp"), ("dblp-walks", "dblp-deepwalk")):
        for percent in (40, 60, 80):
            name, panel = f"{inputs}-{percent}", "DBLP, 40 % for training" if (data, percent) == ("dblp", 40) else ""
            those = under(name) + under("dblp-edges") * (data == "dblp")
            shown = ("macro_f1", "micro_f1"), controls, f"dblp-{percent}", panel, percent / 100
            tables[name] = Board(those, data, *shown)
    for name, title in {"otc": "Bitcoin-OTC", "alpha": "Bitcoin-Alpha", "uci": "UCI-Message"}.items():
        tables[name] = Board((name,), name, ("mrr",), links, name, f"{title}, weekly")
        live = ("mrr", "mrr_ties_against", "mrr_tenth")
        tables[f"{name}-live"] = Board(under(f"{name}-live"), f"{name}-roland", live, links, f"{name}-live")
    beside = ("boosted-trees", "undergs")
    tables["wikipedia"] = Board(("wikipedia",), "wikipedia", ("auc", "ap"), beside, "wikipedia", "Wikipedia's labels")
    return tables


def _row(study: str, entry: str) -> str:
    """Return what a row is called: ``spikenet-4-epochs`` in the study ``dblp-40-spikenet-4-epochs``."""
    return entry + study.partition(f"-{entry}")[2]


def measured(board: Board, out: Path, called: Callable[[str, str], str] = _row) -> list[Row]:
    """Return the rows that were run, best first, with their differences; means of seeds are no rows here."""
    runs: dict[str, dict[str, tuple[Path, UnitRecord]]] = {}
    for study in board.studies:
        for key, record in read_units(out / study).items():
            ratio = record.scorings[0].condition.get("train_ratio")
            if record.seed >= 0 and board.train_ratio in (None, ratio):
                runs.setdefault(called(study, record.entry), {}).setdefault(key, (out / study, record))
    rows = {name: Row(name, list(units.values()), {}) for name, units in runs.items()}
    answers = {name: dict(_answers(row, out / "prepared" / board.data)) for name, row in rows.items()}
    for name, row in rows.items():
        compared = [control for control in board.against if control != name and control in rows]
        drawn = _drawn(board.figures[0], {each: answers[each] for each in (name, *compared)}) if compared else {}
        row.differences = {control: difference(drawn[name], drawn[control]) for control in compared if drawn}
    return sorted(rows.values(), key=lambda row: -row.figure(board.figures[0])["mean"])


def _names(board: Board, studies: Mapping[str, str]) -> list[str]:
    """Return what the rows of a table are called, run or not."""
    lines = {study: studies.get(study, "").partition("--rows ")[2] for study in board.studies}
    names = [_row(study, entry) for study, line in lines.items() for entry in line.split()]
    return [*names, *([] if board.figures[0] == "macro_f1" else NEVER_RUN)]


def _drawn(figure: str, answers: Mapping[str, Mapping[Any, tuple[Any, Any, Any]]]) -> dict[str, np.ndarray]:
    """Return the draws of some rows on the tests that all of them have; none without such a test."""
    first, shared = next(iter(answers.values())), set.intersection(*map(set, answers.values()))
    tests = [
        Answers(first[at][0], {name: kept[at][2] for name, kept in answers.items()}, first[at][1])
        for at in sorted(shared)
    ]
    return bootstrap(figure, tests) if tests else {}


def _answers(row: Row, prepared: Path) -> Iterator[tuple[tuple[Any, ...], tuple[Any, Any, Any]]]:
    """Yield, by seed and condition, what was tested, its true classes, and what the row answered, if that was kept."""
    for folder, record in row.runs:
        condition, curve = record.scorings[0].condition, record.scorings[0].by_snapshot
        file = array_file(folder, record.key, "prediction" if record.kind == "node" else "scores")
        if record.kind == "link":
            answer = np.array(curve["test"]["snapshot"]), None, np.array(curve["test"]["mrr"])
        elif not (file.exists() and prepared.exists()):
            continue
        elif record.kind == "node":
            answer = *_nodes(prepared, condition["train_ratio"], condition["split"]), np.load(file).argmax(1)
        else:
            answer = *_events(prepared), np.load(file)
        yield (record.seed, *condition.values()), answer


@cache
def _nodes(prepared: Path, ratio: float, split: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes that are tested, and their classes."""
    labels = TemporalGraph.load(prepared).labels
    test = stratified_split(labels, ratio, split)[2]
    return test.numpy(), labels[test].numpy()


@cache
def _events(prepared: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers of the events that are tested, and their labels."""
    task = EventTask(TemporalGraph.load(prepared))
    true = (task.label[task.parts["test"]] == 1).long().numpy()
    return np.arange(len(true)), true


def table(board: Board, rows: Sequence[Row], names: Sequence[str]) -> str:
    """Return a table in Markdown; of `names`, what was not run stands below those that were, or under the table."""
    published = {name: value for name, value in PUBLISHED[board.published].items() if name != "source"}
    head = ["row", " / ".join(FIGURES[name] for name in board.figures), "runs"]
    head += [f"beside `{control}`" for control in board.against] + ["CPU s", "weights", "peak MiB", "published"]
    lines = [head, ["---"] * len(head), *(_cells(board, row, published) for row in rows)]
    missing = [name for name in dict.fromkeys(names) if name not in {row.name for row in rows}]
    for name in sorted(missing, key=lambda name: name in NEVER_RUN):
        if name in published or name in NEVER_RUN:
            cells = [_called(name), NEVER_RUN.get(name, "not measured"), *["-"] * (len(head) - 3)]
            lines.append([*cells, _pair(published.get(name))])
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    rest = [f"`{name}`" for name in missing if name not in published and name not in NEVER_RUN]
    remark = f"Not measured: {', '.join(rest)}. " if rest else ""
    return f"{text}\n\n{remark}Published: {PUBLISHED[board.published]['source']}."


def _cells(board: Board, row: Row, published: Mapping[str, Sequence[float]]) -> list[str]:
    form = "{mean:.%df} ± {std:.%df}" if len(row.runs) > 1 else "{mean:.%df}"
    forms = {name: form.replace("%d", "2" if name == "ap" else "1") for name in board.figures}
    choice, weights, peak = (row.cost(name) for name in ("choice_cpu_seconds", "parameters", "peak_rss_bytes"))
    return [
        _called(row.name),
        " / ".join(form.format(**row.figure(name)) for name, form in forms.items()),
        str(len(row.runs)),
        *(_interval(row.differences.get(control)) for control in board.against),
        f"{row.cost('cpu_seconds'):.0f}" + (f" + {choice:.0f}" if choice else ""),
        f"{weights:,}" if weights else "-",
        f"{peak / 2**20:.0f}" if peak else "-",
        _pair(published.get(row.name)),
    ]


def _called(name: str) -> str:
    remark = next((text for system, text in REMARKS.items() if name.startswith(system)), "")
    return f"`{name}`{remark}" if name not in NEVER_RUN else name.upper()


def _interval(beside: Mapping[str, float] | None) -> str:
    """Return a difference, bold where its interval lies above zero."""
    text = "{mean:+.1f} [{low:.1f}, {high:.1f}]".format(**beside) if beside else "-"
    return f"**{text}**" if beside and beside["low"] > 0 else text


def _pair(values: Sequence[float] | None) -> str:
    return " / ".join(f"{value:.1f}" for value in values) if values else "-"


def reasons(rows: Sequence[Row]) -> str:
    """Return a line for each row of DBLP, 40 %, whose Macro-F1 is more than 2 points from the published one."""
    known = {name: values[0] for name, values in PUBLISHED["dblp-40"].items() if name != "source"}
    ours = {row.name: row.figure("macro_f1")["mean"] for row in rows if row.name in known}
    lines = [
        f"- `{name}`: {mean:.1f} here, {known[name]:.1f} published. {PUBLISHED['why'].get(name, 'Not explained.')}"
        for name, mean in ours.items()
        if abs(mean - known[name]) > 2
    ]
    return "\n".join(lines) or "None of those that are measured."


def draw(panels: Mapping[str, tuple[str, Sequence[Row]]], cost: str, label: str, scale: str, docs: Path) -> str:
    """Draw figures of rows against a cost, a panel a title, beside a page; return what shows it there."""
    figure, axes = plots.pyplot().subplots(len(panels), 1, figsize=(7, 5 * len(panels)), squeeze=False)
    drawn = []
    for axis, (title, (score, rows)) in zip(axes[:, 0], panels.items(), strict=True):
        axis.set(xscale=scale, xlabel=label, ylabel=f"{FIGURES[score]} in %", title=title)
        axis.grid(alpha=0.2)
        axis.margins(0.12)
        points = [(row.cost(cost), row.figure(score)["mean"], row.name) for row in rows]
        points = [(x / 2**20 if "bytes" in cost else max(x, 0.1), y, name) for x, y, name in points if x is not None]
        drawn.append([point for point in points if point[1] > rows[0].figure(score)["mean"] - FAR])
        for x, y, name in drawn[-1]:
            ours = name.startswith(OURS)
            axis.plot(x, y, "D" if ours else "o", markersize=6 if ours else 4, color=_colour(name))
    figure.tight_layout()
    for axis, points in zip(axes[:, 0], drawn, strict=True):
        write_names(axis, points)
    file = f"images/comparison-{'cpu' if scale == 'log' else 'memory'}.png"
    plots.save(figure, docs / file)
    return f"![Figures against {label}; ours are diamonds]({file})"


def _colour(name: str) -> str:
    return "#d55e00" if name.startswith(OURS) else "#44546a"  # of other brightness, whoever sees them


def write_names(axis: Any, points: Sequence[tuple[float, float, str]]) -> None:
    """Write names at points, each at the nearest place that hides no point and no other name; "" is none."""
    scale = axis.figure.dpi / 72  # all below is in points, as sizes of letters are
    centres = axis.transData.transform([point[:2] for point in points]) / scale
    taken = [np.concatenate([centre - 3, centre + 3]) for centre in centres]
    frame = np.array(axis.bbox.extents) / scale
    for (x, y, name), centre in sorted(zip(points, centres, strict=True), key=lambda pair: -pair[0][1]):
        if not name:
            continue
        size = np.array([4.3 * len(name), 8])
        for right, up in AROUND:
            begin = centre + np.array([right - size[0] * (right < 0), up - size[1] / 2])
            box = np.concatenate([begin, begin + size])
            within = (box[:2] >= frame[:2]).all() and (box[2:] <= frame[2:]).all()
            if within and not any((box[:2] < other[2:]).all() and (other[:2] < box[2:]).all() for other in taken):
                break
        taken.append(box)
        axis.annotate(
            name, (x, y), (right, up), textcoords="offset points", fontsize=7, color=_colour(name),
            ha="left" if right >= 0 else "right", va="center",
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": "0.6", "shrinkA": 0, "shrinkB": 2},
        )  # fmt: skip


def summary(panels: Mapping[str, tuple[str, Sequence[Row]]], names: Collection[str]) -> str:
    """Return a row for each of some systems, a column a panel; second figures are those with counts as inputs."""
    figures = [[(row.name, row.figure(score)["mean"]) for row in rows] for score, rows in panels.values()]
    columns = [{name: mean for name, mean in column if name in names} for column in figures]
    run = dict.fromkeys(name for column in columns for name in column)
    systems = dict.fromkeys(
        name.removesuffix("-counts") if name.removesuffix("-counts") in run else name for name in run
    )
    head = ["row", *(f"{title}, {FIGURES[score]}" for title, (score, _) in panels.items())]
    lines = [head, ["---"] * len(head)]
    for name in systems:
        pairs = [[column[each] for each in (name, f"{name}-counts") if each in column] for column in columns]
        lines.append([_called(name), *(_pair(pair) for pair in pairs)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write(pages: Sequence[Path], out: Path, studies: Mapping[str, str]) -> None:
    """Write tables and pictures into pages, between their markers."""
    tables = boards(studies)
    rows = {name: measured(board, out) for name, board in tables.items()}
    panels = {b.panel: (b.figures[0], rows[name]) for name, b in tables.items() if b.panel and rows[name]}
    parts = {name: table(board, rows[name], _names(board, studies)) for name, board in tables.items()}
    reading = _names(tables["dblp-walks-40"], studies)
    without = [row for row in rows["dblp-40"] if row.name not in reading]  # that read no features
    asked = {name for board in tables.values() for name in _names(board, studies)}
    parts |= {"reasons": reasons([*without, *rows["dblp-walks-40"]]), "summary": summary(panels, asked)}
    for page in pages:
        if panels and "<!-- made: pictures -->" in page.read_text(encoding="utf-8"):
            parts["pictures"] = "\n\n".join(draw(panels, *cost, page.parent) for cost in COSTS)
        fill(page, {"pictures": "No picture yet."} | parts)
