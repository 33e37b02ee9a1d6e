"""Predictions that were made elsewhere as rows of a table, marked as not verified."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dgl_dysign.data.snapshot_events import SnapshotEvents
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.experiments.entry import Entry, Outcome, by_name
from dgl_dysign.experiments.foreign_task import (
    ForeignTask,
    asked_about,
    read_predictions,
    shuffled_queries,
    table_of,
    task_id,
    task_of,
)
from dgl_dysign.experiments.link_entries import is_fitted
from dgl_dysign.experiments.link_task import LinkTask
from dgl_dysign.experiments.node_task import NodeTask
from dgl_dysign.experiments.options import ScoreOptions
from dgl_dysign.experiments.record import NOT_VERIFIED
from dgl_dysign.experiments.resolve import resolve_rows
from dgl_dysign.experiments.result_table import ResultTable
from dgl_dysign.experiments.runner import run
from dgl_dysign.experiments.tables import NodeTable


class _FromFile:
    """A model whose answers come from a file, by snapshot: it has nothing to learn."""

    def __init__(self, answers: Mapping[int, Any]) -> None:
        self.answers = answers

    def reset(self) -> None:
        """Begin with the first question."""
        self._left = dict(self.answers)

    def observe(self, snapshot: Any) -> None:
        """Learn nothing: all is known already."""


class _FileEvents(_FromFile):
    """The same of events, from the scores of those of each snapshot."""

    def score(self, events: SnapshotEvents) -> Tensor:
        """Return the scores of the events of a snapshot."""
        return self.answers[events.snapshot]


class _FileLinks(_FromFile):
    """The same of links, from candidates ``(E, C)`` and their scores: it is asked what it was asked, in that order."""

    def score(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return the scores of the next questions of a snapshot."""
        candidates, scores = self._left[snapshot]
        self._left[snapshot] = candidates[len(src) :], scores[len(src) :]
        if not torch.equal(candidates[: len(src)], dst):
            raise ConfigError(f"snapshot {snapshot}: expected the questions of the exported task: export it again")
        return scores[: len(src)]


def file_entry(file: Path, exported: ForeignTask, task: Any) -> Entry:
    """Return a file of predictions as an entry of its task's table, called as the file with `not verified` behind.

    `task` is what was exported, a NodeTask, LinkTask or EventTask; errors are those of `read_predictions`.
    """
    ids = asked_about(task)
    scores = read_predictions(file, exported, ids, exported.about["answers"]["scores"])
    given: dict[str, Any]
    if isinstance(task, LinkTask):
        given = {"model": _FileLinks(_by_snapshot(task, scores))}
    else:  # what is not asked about has the score 0, which nobody reads
        count = len(task.labels if isinstance(task, NodeTask) else task.label)
        whole = scores.new_zeros(count, scores.shape[1]).index_copy(0, torch.from_numpy(ids), scores)
        if isinstance(task, NodeTask):
            given = {"prediction": whole.to(task.device)}
        else:
            parts = whole[:, 0].split([len(events) for events in task.snapshots])
            given = {"model": _FileEvents(dict(enumerate(parts)))}
    name = f"{file.stem} ({NOT_VERIFIED})"
    return Entry(
        name,
        lambda view, **run: Outcome(**given),
        f"{NOT_VERIFIED}: predictions of a file that was made elsewhere",
        about=f"Predictions of {file.name}, made elsewhere.",
        usual=False,
        source={"entry": name, "predictions": hashlib.sha256(file.read_bytes()).hexdigest()},
        stranger=True,
        verified=False,
    )


def _by_snapshot(task: LinkTask, scores: Tensor) -> dict[int, tuple[Tensor, Tensor]]:
    """Return the candidates of each snapshot and their scores, in the order in which a model is asked."""
    answers, begin = {}, 0
    for queries, rows, columns in shuffled_queries(task):
        asked = np.empty(tuple(queries.dst.shape))
        asked[rows[:, None], columns] = scores[begin : begin + len(queries)].numpy()
        answers[queries.snapshot] = queries.dst, torch.from_numpy(asked)
        begin += len(queries)
    return answers


def score_files(options: ScoreOptions) -> ResultTable:
    """Score files of predictions in the tables of their tasks, beside rows that are fitted here.

    Parameters
    ----------
    options : ScoreOptions
        What ``dysign-train score --help`` lists.

    Returns
    -------
    ResultTable
        As of the other tables; lines of files have ``verified``, which is False.

    Raises
    ------
    ConfigError
        If tasks or options do not go together, or the run folder cannot be used.
    DataError
        If a file cannot be used, or is not of its task; names file and line.
    """
    files = _files_by_task(options.files)
    tasks = [ForeignTask.read(folder) for folder in files]
    first = tasks[0].about
    for task in tasks:
        if task.about["table"] != first["table"]:
            raise ConfigError(
                f"found tasks about {first['table']} ({tasks[0].folder}) and about {task.about['table']} "
                f"({task.folder}), expected one table: score them apart, in a run folder each"
            )
    kind = first["table"].removesuffix("s")
    shared = {name: getattr(options, name) for name in ("run_dir", "device", "resume", "overwrite", "quiet")}
    shared |= {"no_choice": options.no_choice} if kind == "node" else {}
    shared |= {"references": options.references} if kind == "link" else {}
    fitted = kind != "link" or options.references == "all"
    beside = [entry for entry in resolve_rows(None, kind) if not entry.learns and (fitted or not is_fitted(entry))]
    rows = options.rows or [entry.name for entry in beside]
    prepared = options.prepared or Path(first["prepared"])
    table, config = table_of(first["table"], [t.about["asked"] for t in tasks], prepared, rows=rows, **shared)
    foreign = {task.place: _entries(task, table, files[task.folder]) for task in tasks}
    _check_rows(tasks, foreign)
    if isinstance(table, NodeTable):
        table = replace(table, splits={place[:2]: table.splits[place[:2]] for place in foreign})
    return run(replace(table, foreign=foreign), config, options)


def _files_by_task(paths: Sequence[Path]) -> dict[Path, list[Path]]:
    """Tell folders of tasks and their files apart."""
    files: dict[Path, list[Path]] = {}
    for path in paths:
        if path.is_dir():
            if path in files:
                raise ConfigError(f"{path}: found it twice, expected each task once, with all of its files behind it")
            files[path] = []
        elif not files:
            raise ConfigError(f"{path}: found no folder before it, expected TASK FILE...: name its exported task first")
        else:
            files[next(reversed(files))].append(path)
    return files


def _entries(exported: ForeignTask, table: Any, files: Sequence[Path]) -> list[Entry]:
    """Return the files of a task as entries of its table, which must be of the same data."""
    about, data = exported.about, table.task.data
    if task_id(about["table"], about["asked"], data) != about["id"]:
        raise DataError(
            f"{data.folder}: found other files than task {about['id']} in {exported.folder} was made from: name the "
            f"right folder with --prepared, or export the task again"
        )
    task = task_of(table, about["asked"])
    return list(by_name([file_entry(file, exported, task) for file in files]).values())


def _check_rows(tasks: Sequence[ForeignTask], foreign: Mapping[tuple[Any, ...], Sequence[Entry]]) -> None:
    """Demand the same rows for all tasks: rows are compared on the same tests."""
    names = {entry.name for entries in foreign.values() for entry in entries}
    if len(foreign) < len(tasks):
        raise ConfigError("found two folders of the same task, expected each task once: leave one of them out")
    for task in tasks:
        missing = names - {entry.name for entry in foreign[task.place]} or ({"any row"} if not names else set())
        if missing:
            raise ConfigError(
                f"{task.folder}: found no file of {min(missing)}, expected one for each task, so that rows are "
                f"compared on the same tests: name the file behind the folder"
            )
