"""The page of the comparison: its tables, of runs at hand and what it says already, and two pictures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from _comparison_pictures import COSTS, Line, draw
from _studies import fill, made

from dgl_dysign.data import TemporalGraph, stratified_split
from dgl_dysign.evaluation import Answers, bootstrap, difference, mean_std
from dgl_dysign.experiments.event_task import EventTask
from dgl_dysign.experiments.record import FIGURES, UnitRecord, read_units
from dgl_dysign.experiments.run_folder import array_file
from dgl_dysign.files import read_toml

PUBLISHED = read_toml(Path(__file__).parent / "published.toml")
REMARKS = dict.fromkeys(["delay-dsgn", "chronospike"], " (from the paper, no public code)")
EARLIER = "†"  # at a difference of which one of the two rows has other figures since
NEVER_RUN = {"falcon": "neither text nor code: nothing to run"}


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


def head(board: Board) -> tuple[str, ...]:
    """Return the names of a table's columns."""
    beside = (f"beside `{control}`" for control in board.against)
    return (
        "row",
        " / ".join(FIGURES[n] for n in board.figures),
        "runs",
        *beside,
        "CPU s",
        "weights",
        "peak MiB",
        "published",
    )


def merged(board: Board, rows: Sequence[Row], text: str) -> list[Line]:
    """Return the lines of a table, best first: of rows, or those of `text` where that has a row of more runs."""
    shown = [Line(tuple(line.strip("| ").split(" | "))) for line in text.splitlines() if line.startswith("| ")]
    page = {line.name: line for line in shown if len(line.cells) == len(head(board)) and line.runs}
    new = {line.name: line for line in (_line(board, row) for row in rows)}
    anew = {name: line for name, line in new.items() if name not in page or line.runs >= page[name].runs}
    # Fitted again with the same figures it is the same row, whatever it cost this time.
    changed = {name for name, line in anew.items() if name in page and line.cells[1:3] != page[name].cells[1:3]}
    lines = []
    for name, line in (page | anew).items():
        cells = list(line.cells)
        for at, control in enumerate(board.against, 3):
            before = page[name].cells[at] if name in page else "-"
            if before != "-" and (name not in anew or cells[at] == "-"):
                mark = f" {EARLIER}" if {name, control} & changed and EARLIER not in before else ""
                cells[at] = before + mark
        lines.append(Line(tuple(cells)))
    return sorted(lines, key=lambda line: -line.figure)


def table(board: Board, lines: Sequence[Line], names: Sequence[str]) -> str:
    """Return a table in Markdown; of `names`, what was not run stands below those that were, or under the table."""
    columns, published = head(board), _published(board.published)
    missing = [name for name in dict.fromkeys(names) if name not in {line.name for line in lines}]
    without = [
        (_called(name), NEVER_RUN.get(name, "not measured"), *["-"] * (len(columns) - 3), _pair(published.get(name)))
        for name in sorted(missing, key=lambda name: name in NEVER_RUN)
        if name in published or name in NEVER_RUN
    ]
    rest = [f"`{name}`" for name in missing if name not in published and name not in NEVER_RUN]
    remark = f"Not measured: {', '.join(rest)}. " if rest else ""
    text = _markdown(columns, [*(line.cells for line in lines), *without])
    if EARLIER in text:
        remark = f"{EARLIER}: one of the two rows was fitted anew since, with other figures. {remark}"
    return f"{text}\n\n{remark}Published: {PUBLISHED[board.published]['source']}."


def _published(board: str) -> dict[str, Sequence[float]]:
    return {name: value for name, value in PUBLISHED[board].items() if name != "source"}


def _markdown(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *lines))


def _line(board: Board, row: Row) -> Line:
    form = "{mean:.%df} ± {std:.%df}" if len(row.runs) > 1 else "{mean:.%df}"
    forms = {name: form.replace("%d", "2" if name == "ap" else "1") for name in board.figures}
    choice, weights, peak = (row.cost(name) for name in ("choice_cpu_seconds", "parameters", "peak_rss_bytes"))
    cells = [
        _called(row.name),
        " / ".join(form.format(**row.figure(name)) for name, form in forms.items()),
        str(len(row.runs)),
        *(_interval(row.differences.get(control)) for control in board.against),
        f"{row.cost('cpu_seconds'):.0f}" + (f" + {choice:.0f}" if choice else ""),
        f"{weights:,}" if weights else "-",
        f"{peak / 2**20:.0f}" if peak else "-",
        _pair(_published(board.published).get(row.name)),
    ]
    return Line(tuple(cells))


def _called(name: str) -> str:
    remark = next((text for system, text in REMARKS.items() if name.startswith(system)), "")
    return f"`{name}`{remark}" if name not in NEVER_RUN else name.upper()


def _interval(beside: Mapping[str, float] | None) -> str:
    """Return a difference, bold where its interval lies above zero."""
    text = "{mean:+.1f} [{low:.1f}, {high:.1f}]".format(**beside) if beside else "-"
    return f"**{text}**" if beside and beside["low"] > 0 else text


def _pair(values: Sequence[float] | None) -> str:
    return " / ".join(f"{value:.1f}" for value in values) if values else "-"


def reasons(lines: Sequence[Line]) -> str:
    """Return a sentence for each row of DBLP, 40 %, whose Macro-F1 is more than 2 points from the published one."""
    known = {name: values[0] for name, values in _published("dblp-40").items()}
    sentences = [
        f"- `{line.name}`: {line.figure:.1f} here, {known[line.name]:.1f} published. "
        + PUBLISHED["why"].get(line.name, "Not explained.")
        for line in lines
        if line.name in known and abs(line.figure - known[line.name]) > 2
    ]
    return "\n".join(sentences) or "None of those that are measured."


def summary(panels: Mapping[str, tuple[str, Sequence[Line]]], names: Collection[str]) -> str:
    """Return a row for each of some systems, a column a panel; second figures are those with counts as inputs."""
    columns = [{line.name: line.figure for line in lines if line.name in names} for _, lines in panels.values()]
    run = dict.fromkeys(name for column in columns for name in column)
    systems = dict.fromkeys(
        name.removesuffix("-counts") if name.removesuffix("-counts") in run else name for name in run
    )
    figures = []
    for name in systems:
        pairs = [[column[each] for each in (name, f"{name}-counts") if each in column] for column in columns]
        figures.append([_called(name), *(_pair(pair) for pair in pairs)])
    return _markdown(["row", *(f"{title}, {FIGURES[score]}" for title, (score, _) in panels.items())], figures)


def write(pages: Sequence[Path], out: Path, studies: Mapping[str, str]) -> None:
    """Write tables and pictures into pages, between markers; a row that `out` lacks stays as the pages have it."""
    tables, text = boards(studies), "".join(page.read_text(encoding="utf-8") for page in pages)
    lines = {name: merged(board, measured(board, out), made(text, name)) for name, board in tables.items()}
    panels = {b.panel: (b.figures[0], lines[name]) for name, b in tables.items() if b.panel and lines[name]}
    parts = {name: table(board, lines[name], _names(board, studies)) for name, board in tables.items()}
    reading = _names(tables["dblp-walks-40"], studies)
    without = [line for line in lines["dblp-40"] if line.name not in reading]  # that read no features
    asked = {name for board in tables.values() for name in _names(board, studies)}
    parts |= {"reasons": reasons([*without, *lines["dblp-walks-40"]]), "summary": summary(panels, asked)}
    for page in pages:
        if panels and "<!-- made: pictures -->" in page.read_text(encoding="utf-8"):
            parts["pictures"] = "\n\n".join(draw(panels, *cost, page.parent) for cost in COSTS)
        fill(page, {"pictures": "No picture yet."} | parts)
