"""Predictions that were made elsewhere as rows of a table, marked as not verified."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dgl_dysign.data import TemporalGraph
from dgl_dysign.data.snapshot_edges import SnapshotEdges
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
from dgl_dysign.experiments.link_task import LinkTask
from dgl_dysign.experiments.node_task import NodeTask
from dgl_dysign.experiments.options import ScoreOptions
from dgl_dysign.experiments.record import NOT_VERIFIED
from dgl_dysign.experiments.resolve import resolve_rows
from dgl_dysign.experiments.result_table import ResultTable
from dgl_dysign.experiments.runner import run
from dgl_dysign.experiments.tables import NodeTable


class FileLinks:
    """A link model that answers from a file: what it is asked, it was asked before, in the same order.

    Parameters
    ----------
    answers : dict of int to (Tensor, Tensor)
        By snapshot: the candidates that it is asked about, ``(E, C)``, and their scores.
    """

    def __init__(self, answers: Mapping[int, tuple[Tensor, Tensor]]) -> None:
        self.answers = answers
        self.reset()

    def reset(self) -> None:
        """Begin with the first question."""
        self._given: dict[int, int] = {}

    def observe(self, edges: SnapshotEdges) -> None:
        """Learn nothing: all is known already."""

    def score(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return the scores of the next questions of a snapshot."""
        begin = self._given.get(snapshot, 0)
        self._given[snapshot] = end = begin + len(src)
        candidates, scores = self.answers[snapshot]
        if not torch.equal(candidates[begin:end], dst):
            raise ConfigError(f"snapshot {snapshot}: expected the questions of the exported task: export it again")
        return scores[begin:end]


class FileEvents:
    """A model of event labels that answers from a file.

    Parameters
    ----------
    answers : sequence of Tensor
        Scores of all events, by snapshot.
    """

    def __init__(self, answers: Sequence[Tensor]) -> None:
        self.answers = answers

    def reset(self) -> None:
        """Forget nothing: all is known already."""

    def observe(self, events: SnapshotEvents) -> None:
        """Learn nothing: all is known already."""

    def score(self, events: SnapshotEvents) -> Tensor:
        """Return the scores of the events of a snapshot."""
        return self.answers[events.snapshot]


def file_entry(file: Path, exported: ForeignTask, task: Any) -> Entry:
    """Return a file of predictions as an entry of its task's table, called as the file with `not verified` behind.

    Parameters
    ----------
    file : Path
        As `read_predictions` takes it.
    exported : ForeignTask
        What it answers.
    task : NodeTask, LinkTask or EventTask
        The same, from the prepared folder.
    """
    ids = asked_about(task)
    scores = read_predictions(file, exported, ids, exported.about["answers"]["scores"])
    if isinstance(task, LinkTask):
        outcome = partial(Outcome, model=FileLinks(_by_snapshot(task, scores)))
    else:  # what is not asked about has the score 0, which nobody reads
        count = len(task.labels if isinstance(task, NodeTask) else task.label)
        whole = scores.new_zeros(count, scores.shape[1]).index_copy(0, torch.from_numpy(ids), scores)
        if isinstance(task, NodeTask):
            outcome = partial(Outcome, whole.to(task.device))
        else:
            outcome = partial(Outcome, model=FileEvents(whole[:, 0].split([len(events) for events in task.snapshots])))
    name = f"{file.stem} ({NOT_VERIFIED})"
    return Entry(
        name,
        lambda view, **run: outcome(),
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
    prepared = options.prepared or Path(first["prepared"])
    for task in tasks:
        if task.about["table"] != first["table"]:
            raise ConfigError(
                f"found tasks about {first['table']} ({tasks[0].folder}) and about {task.about['table']} "
                f"({task.folder}), expected one table: score them apart, in a run folder each"
            )
    kind = first["table"].removesuffix("s")
    shared = {name: getattr(options, name) for name in ("run_dir", "device", "resume", "overwrite", "quiet")}
    shared |= {"no_choice": options.no_choice} if kind == "node" else {}
    rows = options.rows or _references(kind)
    table, config = table_of(first["table"], [t.about["asked"] for t in tasks], prepared, rows=rows, **shared)
    foreign = {}
    for exported in tasks:
        _check_data(exported, table.task.data)
        task = task_of(table, exported.about["asked"])
        entries = [file_entry(file, exported, task) for file in files[exported.folder]]
        foreign[exported.place] = list(by_name(entries).values())
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


def _references(kind: str) -> list[str]:
    return [entry.name for entry in resolve_rows(None, kind) if not entry.learns]


def _check_data(exported: ForeignTask, data: TemporalGraph) -> None:
    found = task_id(exported.about["table"], exported.about["asked"], data)
    if found != exported.about["id"]:
        raise DataError(
            f"{data.folder}: found other files than task {exported.about['id']} in {exported.folder} was made from: "
            f"name the right folder with --prepared, or export the task again"
        )


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
