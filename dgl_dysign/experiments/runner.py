"""Runs a study: fits and scores its units, resumes what was killed, writes records, summary, tables and pictures."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.table import Table
from torch import nn

from dgl_dysign.cli import progress_bar
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.evaluation import mean_std
from dgl_dysign.experiments import plots
from dgl_dysign.experiments.diagnostics import save_diagnostics
from dgl_dysign.experiments.entry import Entry, OnEpoch, Outcome
from dgl_dysign.experiments.loggers import Logger, check_logger, open_logger
from dgl_dysign.experiments.memory import peak_rss_bytes, reset_peak
from dgl_dysign.experiments.operations import operations_of
from dgl_dysign.experiments.options import FolderOptions
from dgl_dysign.experiments.record import NOT_VERIFIED, OPERATIONS, Scoring, UnitRecord
from dgl_dysign.experiments.result_table import ResultTable
from dgl_dysign.experiments.run_folder import RunFolder, write_array
from dgl_dysign.experiments.saved_models import SavedModels
from dgl_dysign.training import distributed


@dataclass(frozen=True)
class Unit:
    """One entry to be fitted once.

    Parameters
    ----------
    key : str
        Name of its files.
    entry : Entry
        What is fitted.
    task : Task
        To what, with its split and seed.
    condition : dict
        What tells it from other units of the same entry and seed.
    inspect : bool
        Whether diagnostics are written, if the entry has any: one model of each says enough.
    score : callable, optional
        ``score(task, outcome)`` returns the scorings; default: those of the task.
    choose : callable, optional
        ``choose(folder, tell)`` returns the record of a choice, whose ``chosen`` settings the entry is fitted under,
        see `dgl_dysign.experiments.choice.choose`; default: those of the task.
    """

    key: str
    entry: Entry
    task: Any
    condition: dict[str, Any] = field(default_factory=dict)
    inspect: bool = False
    score: Callable[[Any, Outcome], Sequence[Scoring]] | None = None
    choose: Callable[[RunFolder, Callable[[str], None]], dict[str, Any]] | None = None


class Study:
    """A table or an ablation as the runner sees it: its units, and what becomes of their records.

    Attributes
    ----------
    kind : str
        Of the records, one of `dgl_dysign.experiments.record.KINDS`.
    by : str
        Which part of a scoring's condition makes lines of their own in the summary; empty: none.
    """

    kind = "other"
    by = ""

    def units(self) -> Iterator[Unit]:
        """Yield the units; called several times, so that what a task holds need not be held for all."""
        raise NotImplementedError

    def further(self, folder: RunFolder, records: Sequence[UnitRecord]) -> list[UnitRecord]:
        """Write and return records that follow from those of all units, without training."""
        return []

    def figures(self, scorings: Sequence[Scoring]) -> dict[str, Any]:
        """Return what a line of the summary says of an entry's scorings, one a run."""
        return {name: mean_std([s.scores[name] for s in scorings]) for name in scorings[0].scores}

    def summarise(self, folder: RunFolder, records: Sequence[UnitRecord]) -> list[dict[str, Any]]:
        """Return one object an entry and condition; raise ``ConfigError`` if a record lacks a figure of the table."""
        pairs = [(record, scoring) for record in records for scoring in record.scorings]
        conditions = dict.fromkeys(scoring.condition.get(self.by) for _, scoring in pairs)
        summary = []
        for condition, entry in product(conditions, dict.fromkeys(record.entry for record in records)):
            runs = [(r, s) for r, s in pairs if (r.entry, s.condition.get(self.by)) == (entry, condition)]
            if runs:
                line = {"row": entry, **({self.by: condition} if self.by else {})}
                try:
                    line |= self.figures([scoring for _, scoring in runs])
                except KeyError as error:
                    raise ConfigError(
                        f"found a finished unit without the figure {error}, which another version wrote: "
                        f"begin the run anew with --overwrite"
                    ) from error
                costs = [record.cost for record, _ in runs]
                for name in ("cpu_seconds", "choice_cpu_seconds"):
                    if any(name in cost for cost in costs):
                        line[name] = fmean(cost.get(name, 0.0) for cost in costs)
                for name in ("peak_rss_bytes", "parameters"):
                    if most := [cost[name] for cost in costs if name in cost]:
                        line[name] = max(most)
                for name in OPERATIONS:
                    if counted := [cost[name] for cost in costs if name in cost]:
                        line[name] = fmean(counted)
                if runs[0][1].protocol.startswith(NOT_VERIFIED):
                    line["verified"] = False
                summary.append(line | self.about(runs[0][1]))
        return summary

    def about(self, scoring: Scoring) -> dict[str, Any]:
        """Return what stands at the end of each line of the summary."""
        return {"protocol": scoring.protocol}

    def tables(self, summary: Sequence[Mapping[str, Any]]) -> Iterable[Table | str]:
        """Return what is shown on the screen."""
        return ()

    def draw(self, records: Sequence[UnitRecord], summary: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
        """Draw the pictures of a run folder."""
        return []


def run(study: Study, config: Mapping[str, Any], options: FolderOptions) -> ResultTable:
    """Run a study and return its summary.

    Under several processes all fit the same unit, and the first one writes.

    Parameters
    ----------
    study : Study
        What to run.
    config : mapping
        What was asked: a run is resumed only under the same. Not the entries and seeds: it may be resumed with more.
    options : FolderOptions
        Where to, and how.

    Raises
    ------
    ConfigError
        If the run folder cannot be taken, or settings do not fit; nothing is written then.
    """
    plots.require_matplotlib()  # now rather than after the training
    check_logger(options.log)
    for entry, task in {unit.entry.name: (unit.entry, unit.task) for unit in study.units()}.values():
        if entry.check is not None:
            with entry.running():
                entry.check(task.view())
    saved = SavedModels(options, [unit.key for unit in study.units() if unit.entry.save is not None])
    folder = RunFolder(options.run_dir, config, options.resume, options.overwrite)
    for unit in study.units():
        folder.check_source(unit.key, unit.entry.source)
    saved.check_finished(folder)
    with open_logger(options.log, folder.path, config) as logger:
        records = run_units(study, folder, saved, options.quiet, logger)
    records += distributed.from_first(lambda: study.further(folder, records))
    summary = distributed.from_first(lambda: study.summarise(folder, records))
    if distributed.rank():
        return ResultTable(summary, folder=folder.path)
    folder.write_json("summary.json", summary)
    drawn = study.draw(records, summary, folder.path)
    return ResultTable(summary, study.tables(summary), folder.path, drawn)


def run_units(study: Study, folder: RunFolder, saved: SavedModels, quiet: bool, logger: Logger) -> list[UnitRecord]:
    """Fit and score all units that are not finished; return the records of all."""
    records: list[UnitRecord] = []
    total = sum(1 for _ in study.units())
    with progress_bar(quiet) as progress:
        bar = progress.add_task("", total=total)
        in_log = progress.disable and not quiet and distributed.rank() == 0  # a line a unit, where no bar can be
        for unit in study.units():
            progress.update(bar, description=unit.key)

            def on_epoch(epoch: dict[str, float], key: str = unit.key) -> None:
                scores = [f"{name[4:]} {100 * value:.1f}" for name, value in epoch.items() if name.startswith("val_")]
                text = f"{key}, epoch {epoch['epoch'] + 1:.0f}: validation {', '.join(scores)}"
                progress.update(bar, description=text)
                logger.on_epoch(key, epoch)

            def tell(stage: str, key: str = unit.key) -> None:
                progress.update(bar, description=f"{key}, {stage}")

            record = _finished(folder, unit.key)
            if record is None:
                unit, choice = _under_chosen(unit, folder, tell)
                record = _run_unit(study.kind, unit, folder, saved, on_epoch, choice)
                logger.on_unit(record)
                if unit.entry.stranger:
                    unit.task.release()  # it may have changed in place what it was shown: others read it anew
                if in_log:
                    spent = f", {record.cost['cpu_seconds']:.0f} CPU s" if record.cost else ""  # a file has no cost
                    print(f"{len(records) + 1} of {total}: {unit.key}{spent}", file=sys.stderr, flush=True)
            records.append(record)
            progress.advance(bar)
    return records


def _finished(folder: RunFolder, key: str) -> UnitRecord | None:
    record = folder.unit(key)
    try:
        return None if record is None else UnitRecord.from_json(record, key)
    except DataError as error:
        raise DataError(f"{folder.path / 'units' / key}.json: {error}") from error


def _under_chosen(unit: Unit, folder: RunFolder, tell: Callable[[str], None]) -> tuple[Unit, dict[str, Any]]:
    """Return a unit under the settings that are chosen for it, and the record of the choice, if there is one."""
    if unit.choose is None:
        return unit, {}
    choice = unit.choose(folder, tell)
    settings = unit.task.settings.with_choice(**choice["chosen"])
    return replace(unit, task=unit.task.with_settings(settings)), choice


def _run_unit(
    kind: str, unit: Unit, folder: RunFolder, saved: SavedModels, on_epoch: OnEpoch, choice: Mapping[str, Any]
) -> UnitRecord:
    entry, task, checkpoint = unit.entry, unit.task, folder.checkpoint(unit.key)
    reset_peak()
    task.begin_unit()
    started = time.process_time()
    folder.begin_unit(unit.key, entry.source)
    outcome = task.fitted(entry, checkpoint, on_epoch)
    spent = time.process_time() - started
    if outcome.history:  # seconds before an interruption count as well
        spent = max(spent, outcome.history[-1].get("cpu_seconds", 0.0))
    started = time.process_time()
    with entry.running():
        scorings = [
            replace(s, condition={**unit.condition, **s.condition}, protocol=_protocol(entry, s))
            for s in (unit.score(task, outcome) if unit.score is not None else task.score(outcome))
        ]
        network = _network(outcome.model)
    cost = {
        "cpu_seconds": spent + time.process_time() - started + task.borrowed_seconds + outcome.borrowed_seconds,
        "peak_rss_bytes": peak_rss_bytes(),
    }
    if network is not None:
        cost["parameters"] = sum(weight.numel() for weight in network.parameters())
        cost |= operations_of(network, outcome.forward)
    extra = dict(outcome.extra)
    if choice:
        cost["choice_cpu_seconds"], extra["choice"] = choice["cpu_seconds"], dict(choice)
    parts = scorings, outcome.history, cost if entry.verified else {}, extra, dict(entry.source)
    record = UnitRecord(kind, unit.key, entry.name, task.seed, *parts)
    if distributed.rank() == 0:  # it writes
        with entry.running():
            _write(unit, outcome, record, folder, saved)
    return record


def _network(model: Any) -> nn.Module | None:
    """Return what was trained, if it is a network; scorers, and models that are fitted anew as time passes, hold it."""
    for _ in range(2):
        model = model if isinstance(model, nn.Module) else getattr(model, "model", None)
    return model if isinstance(model, nn.Module) else None


def _protocol(entry: Entry, scoring: Scoring) -> str:
    return scoring.protocol or entry.protocol if entry.verified else entry.protocol


def _write(unit: Unit, outcome: Outcome, record: UnitRecord, folder: RunFolder, saved: SavedModels) -> None:
    """Write what a unit leaves behind, its record last: a unit that has one is finished."""
    entry, task = unit.entry, unit.task
    saved.save(unit.key, entry, task, outcome)
    for name, values in task.arrays(outcome).items():
        write_array(folder.path, unit.key, name, values)
    if unit.inspect and entry.diagnose is not None:
        save_diagnostics(folder, unit.key, {"row": entry.name, **entry.diagnose(task, outcome)})
    folder.save_unit(unit.key, record.to_json())
    folder.end_unit(unit.key)
