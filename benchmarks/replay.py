"""What a replay saves: networks of spikes over snapshots, everything computed, and only what changed.

    python benchmarks/replay.py WIKIPEDIA OTC-DAYS --picture replay.png   # prepared folders; default: generated

Each JSON line is one network on one data set whose snapshots are so many times as long as in the folder (``--merge``):
CPU milliseconds a snapshot of the model itself, of a replay and of a replay that keeps nothing; the share of active
nodes that each layer computes; the share of spikes that flip. The first snapshot, all of which is new, is not counted.
Every ``--check``-th snapshot is computed by all three: ``same_bits`` says whether both replays agree in each number,
``differing_nodes`` at which share of the nodes a score of the model, whose sums round in another order, is another.
Networks are two layers of one step of latency on features that stand still, with a read-out, drawn at random.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from torch import nn

from dgl_dysign._dgl import dgl
from dgl_dysign.data import TemporalGraph
from dgl_dysign.models import Snapshot, replay
from dgl_dysign.nn import SpikingGraphConv

NORMS = ("both", "right")
FEATURES, HIDDEN, CLASSES, FIRING = 128, 256, 8, 0.1


def network(norm: str) -> nn.Sequential:
    """Return two layers of spikes and a read-out, whose neurons fire at about a third of the nodes."""
    torch.manual_seed(0)
    first = SpikingGraphConv(FEATURES, HIDDEN, norm, latency=1, threshold=0.1)
    second = SpikingGraphConv(HIDDEN, HIDDEN, norm, latency=1, threshold=0.1)
    return nn.Sequential(first, second, nn.Linear(HIDDEN, CLASSES)).eval()


def snapshots(data: TemporalGraph, merge: int) -> Iterator[Snapshot]:
    """Yield every so many snapshots; a node's features are drawn once, spikes at a rate of a tenth."""
    torch.manual_seed(1)
    feat = (torch.rand(data.num_nodes, FEATURES) < FIRING).float()
    for t in range(merge - 1, data.num_snapshots, merge):
        graph = dgl.add_self_loop(data.graph(t))
        yield Snapshot(graph, graph.edata["weight"], feat, data.active(t))


def timed(work: Any, seconds: list[float]) -> Any:
    """Return what the work returns, and note its CPU seconds."""
    begun = time.process_time()
    result = work()
    seconds.append(time.process_time() - begun)
    return result


@torch.no_grad()
def measure(data: TemporalGraph, norm: str, merge: int, check: int) -> dict[str, Any]:
    """Replay all snapshots once; compute everything of some."""
    model, given, shares = network(norm), [], []
    saved = replay(model, iter(given.pop, None))
    seconds: dict[str, list[float]] = {"replay": [], "everything": [], "model": []}
    same, others = True, []
    name = f"{data.manifest['dataset']}, {norm}, {merge}"
    count = data.num_snapshots // merge
    for place, snapshot in enumerate(track(snapshots(data, merge), name, count, console=Console(stderr=True))):
        given.append(snapshot)
        step = timed(lambda: next(saved), seconds["replay"])
        nodes = int(snapshot.active.sum())
        sizes = nodes, nodes, nodes, HIDDEN * nodes, HIDDEN * nodes
        shares.append([part / size for part, size in zip((*step.recomputed, *step.flipped[:2]), sizes, strict=True)])
        if place % check == check - 1:
            anew = snapshot._replace(graph=snapshot.graph.clone())  # nothing is kept with this graph
            (alone,) = timed(lambda anew=anew: list(replay(model, [anew])), seconds["everything"])
            anew = snapshot.graph.clone()
            scores = timed(lambda anew=anew, feat=snapshot.feat: forward(model, anew, feat), seconds["model"])
            same = same and torch.equal(alone.out, step.out)
            others.append(float(((scores - step.out).abs() > 1e-3).any(1).float().mean()))
    milliseconds = {
        key: 1000 * mean(times[key == "replay" :]) for key, times in seconds.items()
    }  # the first is all new
    rows = [mean(column) for column in zip(*shares[1:], strict=True)]
    return {
        "norm": norm, "merge": merge, "snapshots": count, "milliseconds": milliseconds, "same_bits": same,
        "times_faster": milliseconds["model"] / milliseconds["replay"], "rows": rows[:3], "flips": rows[3:],
        "differing_nodes": mean(others),
    }  # fmt: skip


def forward(model: nn.Sequential, graph: Any, feat: torch.Tensor) -> torch.Tensor:
    """Return the scores of the modules themselves."""
    first, second, readout = model
    return readout(second(graph, first(graph, feat)))


def generated(home: Path) -> Path:
    """Prepare generated ratings by days."""
    from data_prep.cli import app

    app(["synth", "bitcoin-otc", str(home / "raw"), "--events", "3000", "--quiet"], standalone_mode=False)
    app(["edges", str(home / "raw"), str(home / "prepared"), "--every", "day", "--quiet"], standalone_mode=False)
    return home / "prepared"


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw how many times as fast, and what share of the rows is computed, against the length of a snapshot."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4))
    speed, share = figure.subplots(1, 2)
    for name in dict.fromkeys((row["dataset"], row["norm"]) for row in rows):
        line = [row for row in rows if (row["dataset"], row["norm"]) == name]
        lengths, label = [row["merge"] for row in line], f"{name[0]}, norm={name[1]!r}"
        speed.plot(lengths, [row["times_faster"] for row in line], "o-", label=label)
        share.plot(lengths, [100 * row["rows"][1] for row in line], "o-", label=label)
    speed.axhline(1, color="grey", linewidth=0.8)
    speed.set(title="times as fast as the model itself", ylim=(0, None))
    share.set(title="rows of the second layer computed, %", ylim=(0, 100))
    for axis in (speed, share):
        axis.set(xscale="log", xlabel="snapshots of the folder in one")
    share.legend(fontsize=8)
    figure.savefig(path, dpi=100, bbox_inches="tight", metadata={"Software": None})


def main(argv: Sequence[str] | None = None) -> None:
    """Print the rows, and draw them if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path, nargs="*", help="folders written by dysign-prep (default: generated)")
    parser.add_argument("--merge", type=int, nargs="+", default=[1, 7, 28], help="lengths of a snapshot")
    parser.add_argument("--check", type=int, default=40, help="compute everything of every such snapshot")
    parser.add_argument("--picture", type=Path, help="PNG file to draw")
    parser.add_argument("--quick", action="store_true", help="one length")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as home:
        for folder in args.prepared or [generated(Path(home))]:
            data = TemporalGraph.load(folder)
            for norm in NORMS:
                for merge in [7] if args.quick else args.merge:
                    check = min(args.check, data.num_snapshots // merge)
                    row = {"benchmark": "replay", "dataset": data.manifest["dataset"]}
                    rows.append({**row, **measure(data, norm, merge, check)})
                    print(json.dumps(rows[-1]), flush=True)
    if args.picture is not None:
        draw(rows, args.picture)


if __name__ == "__main__":
    main()
