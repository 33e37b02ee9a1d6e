"""What the examples ``drop_in_*.py`` share: the graph they train on, and the comparison of rows."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from dgl_dysign._dgl import dgl
from dgl_dysign.data import TemporalGraph, stratified_split
from dgl_dysign.errors import ConfigError, DataError, DGLDySignError
from dgl_dysign.evaluation import mean_std

Events = tuple[Tensor, Tensor, Tensor]  # sources, destinations and ids of one snapshot's events


class Data(NamedTuple):
    """A graph as DGL's examples have it (``feat``, ``label`` and masks in ``ndata``), and the events it comes from."""

    graph: Any
    num_classes: int
    events: Sequence[Events]


def generated(num_nodes: int = 600, num_classes: int = 3, num_snapshots: int = 6) -> Data:
    """Return a small dynamic network whose nodes mostly meet their own class; features tell the class only faintly."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(num_classes, (num_nodes,), generator=generator)
    src, dst = torch.randint(num_nodes, (2, 12 * num_nodes), generator=generator)
    met = (labels[src] == labels[dst]) | (torch.rand(len(src), generator=generator) < 0.15)
    src, dst = src[met], dst[met]
    parts = [rows.tensor_split(num_snapshots) for rows in (src, dst, torch.arange(len(src)))]
    events = [(a, b, edge_id) for a, b, edge_id in zip(*parts, strict=True)]
    feat = nn.functional.one_hot(labels, 16).float() + 1.5 * torch.randn(num_nodes, 16, generator=generator)
    return _made(feat, labels, events, 0.4)


def read(folder: Path) -> Data:
    """Return a prepared folder: all its events as one graph, and the features of its last snapshot."""
    data = TemporalGraph.load(folder)
    if data.feature_dim is None or data.num_classes < 2:
        raise DataError(
            f"{folder}: found feature_dim={data.feature_dim} and {data.num_classes} classes of nodes, expected both: "
            f"prepare data with labels, with dysign-prep ... --features spectral"
        )
    events = [(src, dst, edge_id) for src, dst, _, edge_id in map(data.events, range(data.num_snapshots))]
    return _made(data.features(data.num_snapshots - 1), data.labels, events, 0.8)


def _made(feat: Tensor, labels: Tensor, events: Sequence[Events], ratio: float) -> Data:
    src, dst, _ = (torch.cat(column) for column in zip(*events, strict=True))
    # Both directions, each edge once, and a self-loop at every node, as in DGL's examples.
    graph = dgl.to_bidirected(dgl.remove_self_loop(dgl.graph((src, dst), num_nodes=len(feat))))
    graph = dgl.add_self_loop(graph)
    graph.ndata["feat"], graph.ndata["label"] = feat, labels
    for name, nodes in zip(("train", "val", "test"), stratified_split(labels, ratio, 42), strict=True):
        graph.ndata[f"{name}_mask"] = torch.zeros(len(feat), dtype=torch.bool).index_fill(0, nodes, True)
    return Data(graph, int(labels.max()) + 1, events)


class Result(NamedTuple):
    """What one training gave: CPU seconds an epoch, and the accuracy on validation and test nodes."""

    seconds: float
    accuracy: Sequence[float]


def measured(epochs: int, epoch: Callable[[], None], after: Callable[[], None]) -> float:
    """Run epochs and what comes after each; return the CPU seconds that one takes without it.

    The first, in which everything is set up, does not count; CPU seconds, because machines are shared.
    """
    spent = []
    for _ in range(epochs):
        started = time.process_time()
        epoch()
        spent.append(time.process_time() - started)
        after()
    return sum(spent[1:]) / max(1, len(spent) - 1)


def parser(description: str, layers: Sequence[str], epochs: int, hidden: int) -> argparse.ArgumentParser:
    """Return the command line of an example."""
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("prepared", type=Path, nargs="?", help="folder written by dysign-prep (default: generated data)")
    found.add_argument("--layer", nargs="+", choices=layers, default=list(layers), help="rows to train (default: all)")
    found.add_argument("--seeds", type=int, default=1, help="trainings of each row (default 1)")
    found.add_argument("--epochs", type=int, default=epochs, help=f"(default {epochs})")
    found.add_argument("--hidden", type=int, default=hidden, help=f"width of the hidden layer (default {hidden})")
    found.add_argument("--json", type=Path, help="file to write the figures to as well")
    return found


def compare(
    args: argparse.Namespace, train: Callable[[Data, str, argparse.Namespace], Result]
) -> dict[str, dict[str, Any]]:
    """Train every row with every seed, print the table, and return its figures."""
    if min(args.seeds, args.epochs, args.hidden) < 1:
        raise ConfigError(
            f"--seeds, --epochs and --hidden must be at least 1, but got {(args.seeds, args.epochs, args.hidden)}"
        )
    data = generated() if args.prepared is None else read(args.prepared)
    found = {}
    for row, results in _trained(data, args, train):
        found[row] = {
            "accuracy": mean_std([100 * result.accuracy[1] for result in results]),
            "cpu_seconds_per_epoch": mean_std([result.seconds for result in results]),
        }
    table = Table(title=f"{data.graph}".split(",\n")[0].replace("Graph(", "") + f", {args.seeds} seed(s)")
    for name in ("layer", "accuracy, %", "CPU seconds an epoch"):
        table.add_column(name)
    for row, figures in found.items():
        score, seconds = figures["accuracy"], figures["cpu_seconds_per_epoch"]
        table.add_row(row, f"{score['mean']:.2f} ± {score['std']:.2f}", f"{seconds['mean']:.3f}")
    Console().print(table)
    if args.json is not None:
        args.json.write_text(json.dumps(found, indent=2) + "\n")
    return found


def _trained(
    data: Data, args: argparse.Namespace, train: Callable[[Data, str, argparse.Namespace], Result]
) -> Iterator[tuple[str, list[Result]]]:
    results: dict[str, list[Result]] = {row: [] for row in dict.fromkeys(args.layer)}
    for seed in range(args.seeds):  # rows side by side, so that a busy machine is busy for all of them
        for row, found in results.items():
            torch.manual_seed(seed)
            dgl.seed(seed)
            found.append(train(data, row, args))
    yield from results.items()


def run(name: str, args: argparse.Namespace, train: Callable[[Data, str, argparse.Namespace], Result]) -> int:
    """Compare the rows; return the exit status."""
    try:
        compare(args, train)
    except (DGLDySignError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    return 0
