"""One test of a table as plain files, for code that is not this package's; and what such code writes back."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dgl_dysign.data import TemporalGraph
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.evaluation import LinkQueries
from dgl_dysign.experiments.event_task import EventTask
from dgl_dysign.experiments.foreign_readme import readme
from dgl_dysign.experiments.link_task import LinkTask
from dgl_dysign.experiments.node_task import NodeTask
from dgl_dysign.experiments.options import TOLD_APART, EventOptions, ExportOptions, LinkOptions, NodeOptions
from dgl_dysign.experiments.tables import NodeTable
from dgl_dysign.experiments.train import event_table, link_table, node_table
from dgl_dysign.files import read_json, regular, write_file, write_json
from dgl_dysign.training import distributed

FORMAT = 1
_ONES = {"nodes": "node", "links": "query", "events": "event"}  # what is asked about: the first column of answers


@dataclass(frozen=True)
class ForeignTask:
    """A task that was exported: what its ``task.json`` says.

    Parameters
    ----------
    folder : Path
        Where it is.
    about : dict
        ``id``, ``table``, ``prepared`` (the folder it was made from), ``asked`` (the options that tell tasks apart),
        ``answers`` (how many lines a file of predictions has, and how many scores a line), names of classes and sizes.
    """

    folder: Path
    about: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> ForeignTask:
        """Read an exported folder; ``DataError`` if it is none, or of another version."""
        file = folder / "task.json"
        try:
            about = read_json(file)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{file}: cannot be read ({error}): expected a folder that dysign-train export-task finished"
            ) from error
        if not isinstance(about, dict) or about.get("format") != FORMAT:
            raise DataError(f"{file}: found another format than {FORMAT}: export the task again with this version")
        return cls(folder, about)

    @property
    def place(self) -> tuple[Any, ...]:
        """Where it stands in a table: the seed; of nodes the ratio, the number of the split and the seed."""
        asked = self.about["asked"]
        if self.about["table"] != "nodes":
            return (asked["seed"],)
        return asked["train_ratio"], asked["random_state"] - 42, asked["seed"]


def export_task(options: ExportOptions) -> ForeignTask:
    """Write the task of one test of a table as plain files, which ``README.md`` among them explains.

    No label of a test node or event is in them, nor the edges of the last snapshot where links are asked about. The
    candidates of a link are shuffled.

    Parameters
    ----------
    options : ExportOptions
        Which task, and where to.

    Raises
    ------
    ConfigError
        If the folder is there, there is no such task, or several processes are asked for it.
    DataError
        If the prepared folder cannot be used.
    """
    if distributed.world() > 1:
        raise ConfigError(
            f"found {distributed.world()} processes, expected one to export a task: start it without torchrun"
        )
    if options.out.exists():
        raise ConfigError(f"{options.out} is there: name another folder, or delete it")
    asked = {name: getattr(options, name) for name in TOLD_APART[options.table]}
    table, _ = table_of(options.table, [asked], options.prepared, run_dir=options.out)
    options.out.mkdir(parents=True)
    try:
        return ForeignTask(options.out, _write_task(options, asked, task_of(table, asked)))
    except BaseException:  # such as a full disk: what is half a task would stand in the way of the next try
        shutil.rmtree(options.out, ignore_errors=True)
        raise


def _write_task(options: ExportOptions, asked: Mapping[str, Any], task: Any) -> dict[str, Any]:
    """Write the files of a task; return what the last one holds."""
    data = task.data
    _write_rows(options.out / "edges.csv", _edges(task))
    _write_rows(options.out / "questions.csv", _questions(task))
    if isinstance(task, NodeTask):
        known = torch.cat([task.train, task.val]).cpu()
        part = ["train"] * len(task.train) + ["val"] * len(task.val)
        labels = pd.DataFrame({"node": known, "part": part, "class": data.labels[known]})
        _write_rows(options.out / "labels.csv", iter([labels]))
    _write_features(options, task)
    about = {
        "format": FORMAT,
        "id": task_id(options.table, asked, data),
        "table": options.table,
        "dataset": data.manifest["dataset"],
        "prepared": str(options.prepared.absolute()),
        "asked": asked,
        "answers": {"lines": len(asked_about(task)), "scores": _width(task)},
        "classes": list(data.class_names),
        "num_nodes": data.num_nodes,
        "num_snapshots": data.num_snapshots,
        "directed": data.directed,
    }
    if isinstance(task, LinkTask):
        about["first_asked"] = task.split[1].start
    with write_file(options.out / "README.md") as temporary:
        temporary.write_text(readme(about), encoding="utf-8")
    write_json(options.out / "task.json", about)  # last: the folder is whole
    return about


def table_of(table: str, asked: list[dict[str, Any]], prepared: Path, **run: Any) -> tuple[Any, dict[str, Any]]:
    """Return the table that some tasks are of, and what its run is resumed with; `run` are further options of it."""
    run |= {"prepared": prepared, "seeds": 1 + max(one["seed"] for one in asked)}
    if table == "nodes":
        ratios, splits = [one["train_ratio"] for one in asked], max(one["random_state"] for one in asked) - 41
        return node_table(NodeOptions(train_ratio=ratios, splits=splits, **run))
    first = {name: asked[0][name] for name in TOLD_APART[table] if name != "seed"}
    others = [one for one in asked if any(one[name] != value for name, value in first.items())]
    if others:
        raise ConfigError(f"found tasks with {first} and with {others[0]}: score them apart, in a run folder each")
    if table == "events":
        return event_table(EventOptions(**first, **run))
    return link_table(LinkOptions(historical=[first["historical"]], num_negatives=first["num_negatives"], **run))


def task_of(table: Any, asked: Mapping[str, Any]) -> Any:
    """Return the task of a table that is asked about."""
    if isinstance(table, NodeTable):
        split = table.splits[asked["train_ratio"], asked["random_state"] - 42]
        return table.task.with_split(*split, seed=asked["seed"])
    return table.task.with_seed(asked["seed"])


def task_id(table: str, asked: Mapping[str, Any], data: TemporalGraph) -> str:
    """Return what a file of predictions has to name: it changes with the task and with the data."""
    text = json.dumps([table, dict(asked), data.manifest["files"]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def asked_about(task: Any) -> np.ndarray:
    """Return ids of nodes, numbers of queries or rows of events, in the order of ``questions.csv``."""
    if isinstance(task, LinkTask):
        return np.arange(sum(len(queries) for queries, _, _ in shuffled_queries(task)))
    parts = (task.val, task.test) if isinstance(task, NodeTask) else (task.parts["val"], task.parts["test"])
    return np.concatenate([part.sort().values.cpu().numpy() for part in parts])


def _width(task: Any) -> int:
    if isinstance(task, LinkTask):
        return 1 + int(task.settings.num_negatives)
    return int(task.num_classes) if isinstance(task, NodeTask) else 1


def shuffled_queries(task: LinkTask) -> Iterator[tuple[LinkQueries, np.ndarray, np.ndarray]]:
    """Yield the queries of each scored snapshot, with the order of the exported rows ``(E,)`` and columns ``(E, C)``.

    Row i of the file is query ``rows[i]``, and its candidates are those of the columns ``columns[i]``.
    """
    (historical,) = task.historical
    sampler = task.sampler(historical)
    for edges in task.edges:
        if edges.snapshot >= task.split[1].start:
            queries: Any = sampler.draw(edges)
            generator = np.random.default_rng([task.seed, edges.snapshot, 1])  # a stream of its own
            rows = generator.permutation(len(queries))
            yield queries, rows, generator.random(tuple(queries.dst.shape)).argsort(1)
        sampler.observe(edges)


def _questions(task: Any) -> Iterator[pd.DataFrame]:
    if not isinstance(task, LinkTask):
        val, test = (task.val, task.test) if isinstance(task, NodeTask) else (task.parts["val"], task.parts["test"])
        name, part = "node" if isinstance(task, NodeTask) else "event", ["val"] * len(val) + ["test"] * len(test)
        yield pd.DataFrame({name: asked_about(task), "part": part})
        return
    first = 0
    for queries, rows, columns in shuffled_queries(task):
        candidates = np.take_along_axis(queries.dst.numpy()[rows], columns, 1)
        asked_for = "val" if queries.snapshot in task.split[1] else "test"
        known = {"part": asked_for, "snapshot": queries.snapshot, "src": queries.src.numpy()[rows]}
        named = {f"candidate{k}": candidates[:, k] for k in range(candidates.shape[1])}
        yield pd.DataFrame({"query": np.arange(first, first + len(queries)), **known, **named})
        first += len(queries)


def _edges(task: Any) -> Iterator[pd.DataFrame]:
    """Yield the events of the snapshots that may be read, of events with the labels that may be known."""
    data, first = task.data, 0
    if isinstance(task, EventTask):
        known = torch.cat([task.parts["train"], task.parts["val"]])
        label = torch.full_like(task.label, -1).index_copy(0, known, task.label[known])
    for t in range(_readable(task)):
        src, dst, time, _ = data.events(t)
        columns = {"snapshot": t, "src": src, "dst": dst, "time": time}
        if data.manifest.get("edge_weight") is not None:
            columns["weight"] = data.edge_weights(t)
        if isinstance(task, EventTask):
            columns = {"event": np.arange(first, first + len(src)), **columns, "label": label[first : first + len(src)]}
        first += len(src)
        yield pd.DataFrame(columns)


def _readable(task: Any) -> int:
    """Return the number of snapshots that are written: nobody need observe the last one to predict links."""
    return int(task.data.num_snapshots) - isinstance(task, LinkTask)


def _write_rows(file: Path, frames: Iterator[pd.DataFrame]) -> None:
    with file.open("w", encoding="utf-8") as stream:
        for number, frame in enumerate(frames):
            frame.to_csv(stream, index=False, header=number == 0)


def _write_features(options: ExportOptions, task: Any) -> None:
    """Write what features there are: of events, or of nodes by snapshot."""
    data, parts, shape = task.data, iter(()), ()  # type: tuple[Any, Iterator[Tensor], tuple[int, ...]]
    if isinstance(task, EventTask):
        feats = [events.feat for events in task.snapshots if events.feat is not None]
        if feats:
            parts, shape = iter(feats), (sum(map(len, feats)), feats[0].shape[1])
    elif data.feature_dim is not None:
        times = range(_readable(task))[-1 if options.last_features else 0 :]
        shape = () if options.last_features else (len(times),)
        parts, shape = map(data.features, times), (*shape, data.num_nodes, data.feature_dim)
    if shape:  # not by a map in memory: on a full disk that ends the process
        with open(options.out / "features.npy", "wb") as stream:
            head = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, head)
            stream.writelines(part.numpy().astype("<f4").tobytes() for part in parts)


def read_predictions(file: Path, task: ForeignTask, ids: np.ndarray, width: int) -> Tensor:
    """Return what a file answers, float64 ``(len(ids), width)``, in the order of `ids`.

    Raises
    ------
    DataError
        If it is of another task, or a line is missing, doubled or broken; names the file and the line.
    """
    what, scores = _ONES[task.about["table"]], np.full((len(ids), width), np.nan)
    place, lines = {float(one): row for row, one in enumerate(ids)}, np.zeros(len(ids), np.int64)
    head = f"# task {task.about['id']}"
    try:
        text = regular(file).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({error}): expected a file as {task.folder}/README.md says") from error
    if not text or text[0].split() != head.split():
        raise DataError(
            f"{file}, line 1: found {text[0][:60] if text else 'nothing'!r}, expected {head!r}: write predictions for "
            f"the questions of {task.folder} with this line first, or score the file with its own task"
        )
    for number, line in enumerate(text[1:], 2):
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        one, *values = _numbers(line, where, width, what)
        row = place.get(one)
        if row is None:
            raise DataError(
                f"{where}: found {what} {one:g}, expected one of the {len(ids)} of {task.folder}/questions.csv: "
                f"write lines of these alone"
            )
        if lines[row]:
            raise DataError(
                f"{where}: found {what} {ids[row]} again, which is on line {lines[row]}, expected it once: "
                f"write one line for each {what}"
            )
        lines[row], scores[row] = number, values
    missing = np.flatnonzero(lines == 0)
    if len(missing):
        raise DataError(
            f"{file}, line {len(text)}: found the end, but no line of {len(missing)} of {len(ids)}, the first of them "
            f"{what} {ids[missing[0]]}: write a line for each row of {task.folder}/questions.csv"
        )
    return torch.from_numpy(scores)


def _numbers(line: str, where: str, width: int, what: str) -> list[float]:
    """Return the numbers of a line: an id, and scores."""
    words = [word.strip() for word in line.split(",")]
    if len(words) != 1 + width:
        raise DataError(
            f"{where}: found {len(words)} values, expected {1 + width}: {what} and {width} scores, with commas between"
        )
    try:
        values = [float(word) for word in words]
    except ValueError as error:  # names the word
        raise DataError(f"{where}: {error}, expected a number: write no names of columns") from None
    wrong = [word for word, value in zip(words, values, strict=True) if not np.isfinite(value)]
    if wrong:
        raise DataError(
            f"{where}: found {wrong[0]}, expected finite numbers: look for a diverged training or a division by zero"
        )
    return values
