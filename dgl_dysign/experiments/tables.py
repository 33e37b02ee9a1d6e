"""Tables about nodes, links and labels of events, as the runner takes them: units, summary, screen and pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

import numpy as np
import torch
from rich.table import Table
from rich.text import Text

from dgl_dysign.data.splits import Split
from dgl_dysign.evaluation import Answers, mean_std
from dgl_dysign.evaluation.link_scores import PROTOCOLS
from dgl_dysign.experiments import plots
from dgl_dysign.experiments.choice import chosen_once, deciding_figure
from dgl_dysign.experiments.differences import add_differences, difference_table, leads, narrow
from dgl_dysign.experiments.entry import Entry, Outcome
from dgl_dysign.experiments.event_task import PARTS
from dgl_dysign.experiments.event_task import SCORES as EVENT_SCORES
from dgl_dysign.experiments.link_task import SCORES as LINK_SCORES
from dgl_dysign.experiments.record import FIGURES, OPERATIONS, Scoring, UnitRecord
from dgl_dysign.experiments.run_folder import RunFolder, array_file, read_array, write_array
from dgl_dysign.experiments.runner import Study, Unit
from dgl_dysign.files import read_sealed

Summary = Sequence[Mapping[str, Any]]
_Answer = tuple[np.ndarray, np.ndarray | None, np.ndarray | None]  # items, true classes, and what a row said of them
_Compared = tuple[set[str], list[Answers]]  # names of rows that are compared with each other, and their answers


@dataclass(frozen=True)
class _Table(Study):
    """Entries on one task, each with several seeds: of weights, dropout and negatives.

    Parameters
    ----------
    foreign : mapping, optional
        Entries of files that were made elsewhere, by what they answer: the seed, of nodes ratio, split and seed. Others
        are fitted for these alone.
    """

    task: Any
    entries: Sequence[Entry]
    seeds: int
    foreign: Mapping[tuple[Any, ...], Sequence[Entry]] | None = field(default=None, kw_only=True)
    scores: ClassVar[Sequence[str]] = ()
    bars: ClassVar[Mapping[str, str]] = {}
    group: ClassVar[str] = ""
    drawn: ClassVar[str] = ""

    def units(self) -> Iterator[Unit]:
        """Yield an entry after the other with each seed."""
        for seed in range(self.seeds):
            task = self.task.with_seed(seed)
            for entry in self._entries_at(seed):
                yield Unit(f"seed{seed}-{entry.file_name}", entry, task, inspect=seed == 0)

    def _entries_at(self, *place: Any) -> Sequence[Entry]:
        """Return what is fitted on a split with a seed."""
        if self.foreign is None:
            return self.entries
        return [*self.entries, *self.foreign[place]] if place in self.foreign else ()

    def figures(self, scorings: Sequence[Scoring]) -> dict[str, Any]:
        """Return means of the scores on test and validation."""
        test = {name: mean_std([s.scores[name] for s in scorings]) for name in self.scores}
        return test | {f"val_{name}": mean_std([s.val_scores[name] for s in scorings]) for name in self.scores}

    def summarise(self, folder: RunFolder, records: Sequence[UnitRecord]) -> list[dict[str, Any]]:
        """Return one object an entry and condition, of what is no control with its difference from the best one."""
        summary = super().summarise(folder, records)
        controls = {name for e in self.entries if e.control for name in (e.name, self._mean_name(e.name))}
        for condition in dict.fromkeys(line.get(self.by) for line in summary):
            lines = [line for line in summary if line.get(self.by) == condition]
            for names, tests in self._compared(folder.path, records, condition):
                add_differences(lines, names, controls, self._headline, tests)
        return summary

    @property
    def _headline(self) -> str:
        """The figure of the differences."""
        return next(iter(self.bars))

    def _runs(self, lines: Summary) -> str:
        """Say what the figures of a table are means of."""
        runs = max(line[self._headline]["runs"] for line in lines)
        return f"mean ± deviation over {runs} runs" if runs > 1 else "one run, without a deviation"

    def _mean_name(self, name: str) -> str:
        return f"{name} (mean of {self.seeds} seeds)"

    def _compared(self, folder: Path, records: Sequence[UnitRecord], condition: Any) -> Iterator[_Compared]:
        """Yield the rows that are compared with each other under a condition."""
        yield {record.entry for record in records}, list(self._answers(folder, records, condition).values())

    def _answers(self, folder: Path, records: Sequence[UnitRecord], condition: Any) -> dict[tuple[Any, ...], Answers]:
        """Return what was kept of rows' answers under a condition, by split and seed."""
        tests: dict[tuple[Any, ...], Answers] = {}
        for record, scoring in ((r, s) for r in records for s in r.scorings):
            if scoring.condition.get(self.by) == condition:
                items, true, answer = self._answer(folder, record, scoring)
                test = tests.setdefault((*scoring.condition.values(), record.seed), Answers(items, {}, true))
                if answer is not None:
                    test.rows[record.entry] = answer
        return tests

    def _answer(self, folder: Path, record: UnitRecord, scoring: Scoring) -> _Answer:
        """Return what was tested, its true classes, and what the row answered, if that was kept."""
        raise NotImplementedError

    def _differences(self, summary: Summary) -> Iterator[Table]:
        table = difference_table(summary, self._title, self._headline, self.drawn, self.by, self.group)
        if table is not None:
            yield table

    def draw(self, records: Sequence[UnitRecord], summary: Summary, folder: Path) -> list[Path]:
        """Draw the table of all, and the curves of the first seed."""
        one_each = {record.entry: record for record in reversed(records) if record.seed >= 0}
        title, first = self._title, list(reversed(one_each.values()))
        bars = f"{' and '.join(self.bars.values())}: {title}"
        drawn = [plots.score_bars(summary, self.bars, bars, folder / "scores.png", self.by, self.group)]
        histories = {record.entry: record.history for record in first if record.history}
        if histories:
            drawn.append(plots.learning_curves(histories, folder / "learning_curves.png", title))
        return drawn + self._more(first, folder)

    @property
    def _title(self) -> str:
        """The data set, and what must be known of it."""
        return str(self.task.data.manifest["dataset"])

    def _more(self, first: Sequence[UnitRecord], folder: Path) -> list[Path]:
        """Draw what tables of this kind alone have, of the first split and seed."""
        raise NotImplementedError


@dataclass(frozen=True)
class NodeTable(_Table):
    """Entries on several splits of labelled nodes, each with several seeds.

    Parameters
    ----------
    splits : mapping
        Training, validation and test nodes by training ratio and number of the split, whose random state is 42 higher.
    published : mapping
        Further lines by name: Macro- and Micro-F1 by training ratio.
    budget : int, default 0
        Settings tried for each entry and split, see `dgl_dysign.experiments.choice`; 0: the defaults are taken.
    ensembles : bool, default False
        Whether the mean of what the seeds of a row predict is a row of its own.
    """

    splits: Mapping[tuple[float, int], Split] = field(default_factory=dict)
    published: Mapping[str, Mapping[float, tuple[float, float]]] = field(default_factory=dict)
    budget: int = 0
    ensembles: bool = False
    kind, by, group, drawn = "node", "train_ratio", "for training", "test nodes"
    figures = Study.figures

    @property
    def bars(self) -> Mapping[str, str]:  # type: ignore[override]
        """The headline: of two classes AUC."""
        name = deciding_figure(self.task.num_classes)
        return {name: FIGURES[name]}

    def units(self) -> Iterator[Unit]:
        """Yield an entry after the other on each split with each seed."""
        first = next(iter(self.splits))
        for (place, nodes), seed in product(self.splits.items(), range(self.seeds)):
            for entry in self._entries_at(*place, seed):
                ratio, split = place
                task = self.task.with_split(*nodes, seed=seed)  # anew for each: label features are part of its cost
                condition = {"train_ratio": ratio, "split": 42 + split}
                if self.task.by_time:
                    condition |= {"train_until": task.ends[0] - 1, "val_until": task.ends[1] - 1}
                choose = self._choose(f"{ratio}-split{split}-{entry.name}", entry, nodes)
                key = f"{ratio}-split{split}-seed{seed}-{entry.file_name}"
                yield Unit(key, entry, task, condition, inspect=seed == 0 and place == first, choose=choose)

    def _choose(self, key: str, entry: Entry, nodes: Split) -> Callable[..., dict[str, Any]] | None:
        """Return what chooses for an entry and a split: once for all seeds, with that of the first."""
        if entry.choices is None or not self.budget:
            return None
        return partial(chosen_once, key, entry, lambda: self.task.with_split(*nodes), self.budget)

    def tables(self, summary: Summary) -> Iterator[Table]:
        """Return a table with a column for each training ratio."""
        ratios = sorted({line["train_ratio"] for line in summary})
        shown = ["auc", "ap", "macro_f1"] if self.task.num_classes == 2 else ["macro_f1", "micro_f1"]
        figures = " / ".join(FIGURES[name] for name in shown)
        title = f"{self._title}: {figures} in %, test nodes, {self._runs(summary)}"
        caption = "\n".join(self._notes()) or None
        table = Table("entry", "protocol", title=title, caption=caption)
        for ratio in ratios:
            table.add_column(f"{100 * ratio:.0f} % for training", justify="right")
        table.add_column("CPU s", justify="right")
        for name in dict.fromkeys(line["row"] for line in summary):
            lines = {line["train_ratio"]: line for line in summary if line["row"] == name}
            cells = [
                Text(
                    f"{spread_text(x[shown[0]])} / " + " / ".join(f"{x[figure]['mean']:.1f}" for figure in shown[1:]),
                    style="bold" if leads(x) else "",
                )
                for x in (lines[ratio] for ratio in ratios)
            ]
            cells.append(Text(_seconds(list(lines.values()))))
            table.add_row(narrow(name), next(iter(lines.values()))["protocol"].split(":")[0], *cells)
        for name, scores in self.published.items():
            known = ["{:.1f} / {:.1f}".format(*scores[r]) if r in scores else "-" for r in ratios]
            table.add_row(name, "feature-only", *known, "-", style="dim")
        yield table
        yield from self._differences(summary)

    def further(self, folder: RunFolder, records: Sequence[UnitRecord]) -> list[UnitRecord]:
        """Return a record for the mean of what the seeds of each row predict on each split, if seeds differ on any."""
        if not self.ensembles:
            return []
        fitted: dict[str, dict[tuple[Any, ...], list[tuple[Unit, UnitRecord]]]] = {}
        for unit, record in zip(self.units(), records, strict=True):
            splits = fitted.setdefault(unit.entry.name, {})
            splits.setdefault(tuple(unit.condition.values()), []).append((unit, record))
        means = []
        for members in (list(splits.values()) for splits in fitted.values()):
            kept = [[_prediction(folder.path, record) for _, record in seeds] for seeds in members]
            whole = [np.stack(seeds) for seeds in kept if all(each is not None for each in seeds)]  # type: ignore[arg-type]
            if len(whole) == len(members) and any((seeds != seeds[0]).any() for seeds in whole):
                pairs = zip(members, whole, strict=True)
                means += [self._mean_of(seeds, each.mean(0, np.float32), folder) for seeds, each in pairs]
        return means

    def _mean_of(self, members: Sequence[tuple[Unit, UnitRecord]], mean: np.ndarray, folder: RunFolder) -> UnitRecord:
        """Score and keep a mean prediction of test nodes."""
        (unit, first), records = members[0], [record for _, record in members]
        task, key = unit.task, f"mean{self.seeds}-{first.key}"
        outcome = Outcome(torch.zeros(len(task.labels), mean.shape[1], device=task.device))
        outcome.predicted[task.test] = torch.from_numpy(mean).to(task.device)
        (scoring,) = task.score(replace(outcome, later=lambda _: outcome))
        known = {"condition": first.scorings[0].condition, "protocol": first.scorings[0].protocol, "val_scores": {}}
        record = UnitRecord(
            self.kind, key, self._mean_name(first.entry), -1, [replace(scoring, **known)], cost=mean_cost(records)
        )
        write_array(folder.path, key, "prediction", task.arrays(outcome)["prediction"])
        folder.save_unit(key, record.to_json())
        return record

    def _answer(self, folder: Path, record: UnitRecord, scoring: Scoring) -> _Answer:
        task = self._tasks[tuple(scoring.condition.values())]
        scores, answer, true = _prediction(folder, record), None, task.labels[task.test]
        if self._headline == "auc":
            true = (true == task.positive).long()
            answer = None if scores is None else task.shares(torch.from_numpy(scores)).numpy()
        elif scores is not None:
            answer = scores.argmax(1).astype(np.int16)
        return task.test.cpu().numpy(), true.cpu().numpy(), answer

    @cached_property
    def _tasks(self) -> dict[tuple[Any, ...], Any]:
        """Tasks by the condition of the units."""
        return {tuple(unit.condition.values()): unit.task for unit in self.units()}

    def _compared(self, folder: Path, records: Sequence[UnitRecord], condition: Any) -> Iterator[_Compared]:
        """Yield the rows, and the means of their seeds; controls that the seed does not change stand beside both."""
        tests = self._answers(folder, records, condition)
        yield (
            {record.entry for record in records if record.seed >= 0},
            [test for place, test in tests.items() if place[-1] >= 0],
        )
        means = {record.entry for record in records if record.seed < 0}
        controls = {entry.name for entry in self.entries if entry.control}
        fixed = {name for name in controls if self._mean_name(name) not in means}
        averaged = [place for place in tests if place[-1] < 0]
        for place in averaged:
            seeds = [tests[(*place[:-1], seed)].rows for seed in range(self.seeds)]
            for name in fixed.intersection(*seeds):
                if all(
                    np.array_equal(rows[name], seeds[0][name]) for rows in seeds
                ):  # else it has no mean to stand for
                    tests[place].rows[name] = seeds[0][name]
        if averaged:
            yield means | fixed, [tests[place] for place in averaged]

    @property
    def _title(self) -> str:
        return f"{super()._title}, split by time" if self.task.by_time else super()._title

    def _notes(self) -> Iterator[str]:
        """Yield what must be known: sizes and ends of parts by time, classes that validation lacks, whether chosen."""
        last, names = self.task.data.num_snapshots - 1, self.task.data.class_names
        train_until, val_until = (end - 1 for end in self.task.ends)
        for (ratio, number), parts in self.splits.items():
            sizes = [len(part) for part in parts]
            if self.task.by_time and not number:
                yield (
                    f"{100 * ratio:.0f} %: {sizes[0]} nodes train as of snapshot {train_until}, {sizes[1]} validate as "
                    f"of {val_until}, {sizes[2]} are tested as of {last}"
                )
            train, val = (set(self.task.labels[part].tolist()) for part in parts[:2])
            if train - val:
                missing = ", ".join(names[label] for label in sorted(train - val))
                yield f"{100 * ratio:.0f} %, split {42 + number}: no validation node of {missing}"
        if self.task.num_classes == 2:
            task = self.task.with_split(*next(iter(self.splits.values())))
            count, name = int((task.labels[task.test] == task.positive).sum()), names[task.positive]
            yield f"AUC and average precision are of the class {name}: {count} of {len(task.test)} tested"
            few = min(count, len(task.test) - count)
            if few < 10:
                yield f"{few} of one class are too few for an interval: what it owes to which these are is not in it"
        if self.budget:
            yield "settings of each row chosen on validation; CPU s: of a fit + of the choice, means"

    def _more(self, first: Sequence[UnitRecord], folder: Path) -> list[Path]:
        shown = next((entry.name for entry in self.entries if entry.pictured), first[0].entry)
        record = next(record for record in first if record.entry == shown)
        counts, path = np.array(record.scorings[0].confusion), folder / "confusion.png"
        drawn = [plots.confusion_matrix(counts, self.task.data.class_names, f"{shown}, test nodes", path)]
        inside = folder / "diagnostics" / f"{record.key}.json"
        if inside.exists():  # runs of earlier versions have none
            drawn += _draw_spikes(read_sealed(inside), folder)
        return drawn


def mean_cost(records: Sequence[UnitRecord]) -> dict[str, float]:
    """Return the cost of the mean of several networks: each is fitted and asked, but a choice was made once for all."""
    costs, own = [record.cost for record in records], ("latency", "firing_rate")  # of each network
    summed = [name for name in ("cpu_seconds", *OPERATIONS) if all(name in cost for cost in costs)]
    kept = {name: value for name, value in costs[0].items() if name not in OPERATIONS}
    peak = {"peak_rss_bytes": max(cost["peak_rss_bytes"] for cost in costs)}
    return kept | {name: sum(cost[name] for cost in costs) for name in summed if name not in own} | peak


def spread_text(figure: Mapping[str, Any], digits: int = 1) -> str:
    """Return a mean and its deviation, which a single run does not have."""
    deviation = f" ± {figure['std']:.{digits}f}" if figure["runs"] > 1 else ""
    return f"{figure['mean']:.{digits}f}{deviation}"


def _seconds(lines: Summary) -> str:
    """Return the CPU seconds of a row, and of choosing its settings; - of what was not fitted here."""
    if not all("cpu_seconds" in line for line in lines):
        return "-"
    fit, choice = (fmean(line.get(name, 0.0) for line in lines) for name in ("cpu_seconds", "choice_cpu_seconds"))
    return f"{fit:.0f} + {choice:.0f}" if choice else f"{fit:.0f}"


def _prediction(folder: Path, record: UnitRecord) -> np.ndarray | None:
    """Read the scores of test nodes that `NodeTask.arrays` kept; earlier versions kept none."""
    file = array_file(folder, record.key, "prediction")
    return read_array(folder, record.key, "prediction") if file.exists() else None


def _draw_spikes(diagnostics: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw firing rates over snapshots, and the spikes of some nodes at the last one, where they are known."""
    if "firing" not in diagnostics:
        return []
    firing, spikes = diagnostics["firing"], diagnostics["spikes"]
    fired = np.zeros((spikes["latency"], len(spikes["nodes"]), spikes["neurons"]))
    for place, node in enumerate(spikes["nodes"]):
        for step, neurons in enumerate(node["fired"]):
            fired[step, place, neurons] = 1
    names, rates = [f"node {node['node']}" for node in spikes["nodes"]], np.array(firing["shares"])
    return [
        plots.firing_rates(rates, firing["active"], folder / "firing_rates.png", firing["snapshot"]),
        plots.spike_raster(fired, names, folder / "spike_raster.png"),
    ]


@dataclass(frozen=True)
class LinkTable(_Table):
    """Entries on the links of one data set; shares of historical negatives make a table each."""

    kind, by, group, drawn = "link", "historical", "historical negatives", "test snapshots"
    scores, bars = LINK_SCORES, {"mrr": "MRR"}

    def figures(self, scorings: Sequence[Scoring]) -> dict[str, Any]:
        """Return means of the scores on test and validation, those of cold edges, and numbers of edges."""
        cold = [s.scores["cold_mrr"] for s in scorings if s.scores.get("cold_mrr") is not None]
        return {
            **super().figures(scorings),
            "cold_mrr": mean_std(cold) if cold else None,
            **{name: scorings[0].scores[name] for name in ("edges", "cold_edges")},
        }

    def tables(self, summary: Summary) -> Iterator[Table]:
        """Return a table for each share of historical negatives."""
        for historical in dict.fromkeys(line["historical"] for line in summary):
            lines = [line for line in summary if line["historical"] == historical]
            title = f"{self._dataset}: warm edges, in %, {100 * historical:.0f} % historical negatives"
            edges = f"{lines[0]['edges']} warm edges, {lines[0]['cold_edges']} cold ones"
            table = Table("entry", title=f"{title}, {self._runs(lines)}", caption=f"{lines[0]['protocol']}. {edges}")
            for name in ("MRR", "pooled", "validation", "AUC", "AP", "Hits@1", "Hits@10", "CPU s", "MB"):
                table.add_column(name, justify="right")
            for line in lines:
                cells = [spread_text(line["mrr"])]
                for key in ("mrr_pooled", "val_mrr", "auc", "ap", "hits@1", "hits@10"):
                    cells.append(f"{line[key]['mean']:.1f}")
                cells += [
                    _seconds([line]),
                    f"{line['peak_rss_bytes'] / 2**20:.0f}" if "peak_rss_bytes" in line else "-",
                ]
                table.add_row(narrow(line["row"]), *cells, style="bold" if leads(line) else None)
            yield table
        yield from self._differences(summary)

    def _answer(self, folder: Path, record: UnitRecord, scoring: Scoring) -> _Answer:
        curve = scoring.by_snapshot["test"]
        return np.array(curve["snapshot"]), None, np.array(curve["mrr"])

    @property
    def _dataset(self) -> str:
        leaks = ": LEAKS, for reproduction only" if "LEAKS" in PROTOCOLS[self.task.protocol] else ""
        return self.task.data.manifest["dataset"] + leaks

    @property
    def _title(self) -> str:
        return f"{self._dataset}, {self.task.protocol}"

    def _more(self, first: Sequence[UnitRecord], folder: Path) -> list[Path]:
        hidden = {entry.name for entry in self.entries if entry.control and not entry.over_time}
        curves = {
            record.entry: record.scorings[0].by_snapshot["test"] for record in first if record.entry not in hidden
        }
        return [plots.over_time(curves, f"MRR by snapshot, {self._title}", folder / "over_time.png")]


@dataclass(frozen=True)
class EventTable(_Table):
    """Entries on the labelled events of one data set."""

    kind, scores, bars = "event", EVENT_SCORES, {"auc": "AUC", "ap": "average precision"}
    drawn = "test events"

    def about(self, scoring: Scoring) -> dict[str, Any]:
        """Return the name of the data, whether it is generated, and numbers of events and labels."""
        name = self.task.data.manifest["dataset"]
        about: dict[str, Any] = {"dataset": name, "generated": name.endswith("-generated"), "split": self.task.split}
        for part in PARTS:
            labels = self.task.label[self.task.parts[part]]
            about[f"{part}_events"], about[f"{part}_positives"] = len(labels), int(labels.sum())
            about[f"{part}_label_rate"] = 100 * float(labels.double().mean())
        return about

    @property
    def _title(self) -> str:
        return super()._title.replace("-generated", " (generated data)")

    def tables(self, summary: Summary) -> Iterator[Table | str]:
        """Return the table, and what the parts hold."""
        about = summary[0]
        table = Table("entry", title=f"{self._title}: labels of test events, in %, {self._runs(summary)}")
        digits = {"auc": 1, "ap": 2, "accuracy": 2, "recall_at_1pct": 1}
        for head in ("AUC", "average precision", "accuracy", "found in the top 1 %"):
            table.add_column(head, justify="right")
        for line in summary:
            cells = [spread_text(line[s], digits[s]) for s in EVENT_SCORES]
            table.add_row(narrow(line["row"]), *cells, style="bold" if leads(line) else None)
        yield table
        yield from self._differences(summary)
        parts = ", ".join(f"{p}: {about[f'{p}_positives']} of {about[f'{p}_events']}" for p in PARTS)
        yield f"positives, split by {about['split']}: {parts} ({about['test_label_rate']:.3f} % of test)"

    def _answer(self, folder: Path, record: UnitRecord, scoring: Scoring) -> _Answer:
        true = (self.task.label[self.task.parts["test"]] == 1).long().numpy()
        return np.arange(len(true)), true, read_array(folder, record.key, "scores")

    def _more(self, first: Sequence[UnitRecord], folder: Path) -> list[Path]:
        true = (self.task.label[self.task.parts["test"]] == 1).numpy()
        scores = {record.entry: read_array(folder, record.key, "scores") for record in first}
        return plots.ranking_curves(true, scores, f"{self._title}, test events", folder)
