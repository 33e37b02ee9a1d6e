"""Tiny folders of every kind, and the commands that read each: what is damaged, and by what it is tried."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from data_prep import cli as prep
from data_prep import synth  # noqa: F401  imported here, so that no forked process has to
from dgl_dysign.baselines.link_counts import TREES
from dgl_dysign.data import TemporalGraph
from dgl_dysign.experiments import tables, train, train_cli  # noqa: F401
from dgl_dysign.models import UnderGS
from dgl_dysign.report import page
from dgl_dysign.report.cli import main as report
from tests.abuse.attempts import Work, in_process, refusing
from tests.data_prep.damage import FORMS
from tests.folders import write_folder
from tests.generated import generated, generated_links

NODES = ["--hidden", "8", "--latency", "2", "--seeds", "1", "--train-ratio", "0.4", "--no-choice", "--quiet"]


@dataclass(frozen=True)
class Target:
    """A folder, and what reads a copy of it: ``readers(copy, out)`` by name, where `out` is an empty folder.

    ``awaited`` is a file that may be a pipe, and is then waited for.
    """

    name: str
    folder: Path
    readers: Callable[[Path, Path], dict[str, Work]]
    awaited: str = ""

    def files(self) -> list[str]:
        """Return the files that are damaged: of many that are alike, one."""
        names = [str(path.relative_to(self.folder)) for path in sorted(self.folder.rglob("*")) if path.is_file()]
        return [name for name in names if "features/" not in name or "00002" in name]


def small_pictures() -> None:
    """Let runs draw no pictures and grow few trees, and reports go without plotly, which takes most of the time."""
    TREES["max_iter"] = 2
    page._plotly = lambda: "AAAA"
    tables._Table.draw = lambda *_: []


def events(folder: Path, rows: int = 240, snapshots: int = 10) -> Path:
    """Write a prepared folder with all that one may have, among it labels of events."""
    rng, number = random.Random(0), rows // snapshots
    made = [(row // number, rng.randrange(6), 6 + rng.randrange(4), float(row), row) for row in range(rows)]
    labels = [(row, event[1], event[0], int(event[2] == 9)) for row, event in enumerate(made)]
    numbers = np.random.default_rng(0)
    return write_folder(
        folder, made, [(number * t, number * (t + 1.0)) for t in range(snapshots)], 10, users=6, row_group=50,
        weights=[rng.random() for _ in made], features=numbers.random((rows, 3), np.float32), event_labels=labels,
        targets={1: 0.5, 3: 2.0}, snapshot_rule={"kind": "every", "width": float(number), "origin": 0.0},
        node_features=[numbers.random((10, 4), np.float32) for t in range(snapshots)],
    )  # fmt: skip


def prepared(home: Path) -> dict[str, Path]:
    """Write the prepared folders of the three tables."""
    made = {"events": events(home / "events")}
    in_process(lambda: made.update(nodes=generated(home, 100), links=generated_links(home, 400, 6)))
    return made


def training(table: str, folder: Path, run: Path, *more: str) -> Work:
    """Return the smallest run of a table."""
    rows = {
        "nodes": [*NODES, "--rows", "dysign", "--epochs", "6"],
        "links": ["--rows", "undergs-no-counts", "--epochs", "3", "--hidden", "8", "--seeds", "1", "-q"],
        "events": ["--rows", "undergs", "--epochs", "3", "--hidden", "8", "--seeds", "1", "-q"],
    }[table]
    return partial(train_cli.main, [table, str(folder), "--run-dir", str(run), *rows, *more])


def read_all(folder: Path) -> None:
    """Read everything in a prepared folder."""
    data = TemporalGraph.load(folder)
    _ = data.labels, data.targets
    for t in range(data.num_snapshots):
        _ = data.events(t), data.graph(t), data.active(t), data.time_range(t)
        _ = data.features(t) if data.feature_dim else None
        _ = data.edge_weights(t) if data.manifest.get("edge_weight") else None
        _ = data.edge_features(t) if data.edge_feature_dim else None
        _ = data.event_labels(t) if data.manifest["labels"] == "event" else None


def _readers_of_prepared(folder: Path, out: Path) -> dict[str, Work]:
    return {
        "TemporalGraph": refusing(partial(read_all, folder)),
        "verify": partial(prep.main, ["verify", str(folder)]),
        "export": partial(prep.main, ["export", str(folder), str(out / "csv"), "--to", "csv"]),
    }


def saved_model(home: Path, data: Path) -> Path:
    """Save an untrained model that has learned something of each node."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        graph = TemporalGraph.load(data)
        return UnderGS(graph.num_nodes, hidden_feats=4).save_pretrained(home / "model", graph)


def read_model(folder: Path, data: Path) -> Work:
    """Return what loads a model for data."""
    return refusing(lambda: UnderGS.from_pretrained(folder, TemporalGraph.load(data)))


def _readers_of_model(data: Path, folder: Path, out: Path) -> dict[str, Work]:
    return {"from_pretrained": read_model(folder, data)}


def _readers_of_run(data: Path, folder: Path, out: Path) -> dict[str, Work]:
    return {
        "resume": training("events", data, folder, "--resume"),
        "report": partial(report, [str(folder), "-o", str(out / "page.html"), "--quiet"]),
    }


def targets(home: Path, made: dict[str, Path], run: bool = True) -> Iterator[Target]:
    """Write a folder of each kind, that of a run only if that is wanted, and the raw files of each format."""
    yield Target("prepared folder of events", made["events"], _readers_of_prepared)
    yield Target("prepared folder of nodes", made["nodes"], _readers_of_prepared)
    yield Target("saved model", saved_model(home, made["events"]), partial(_readers_of_model, made["events"]))
    if run:
        in_process(training("events", made["events"], home / "run"))
        yield Target("run folder", home / "run", partial(_readers_of_run, made["events"]))
    for number, (name, form) in enumerate(FORMS.items()):
        raw = home / f"raw{number}" / "raw"
        for file, data in form.files.items():
            (raw / file).parent.mkdir(parents=True, exist_ok=True)
            (raw / file).write_bytes(data)
        awaited = f"raw/{form.raw}" if form.raw else ""  # RAW itself
        yield Target(f"raw files: {name}", raw.parent, partial(_readers_of_raw, name), awaited)


def _readers_of_raw(name: str, folder: Path, out: Path) -> dict[str, Work]:
    form, raw = FORMS[name], folder / "raw"
    command = [part.format(raw=raw) for part in form.command]
    arguments = [command[0], str(raw / form.raw), str(out / "prepared"), *command[1:], "--features", "none", "-q"]
    return {"dysign-prep": partial(prep.main, arguments)}
