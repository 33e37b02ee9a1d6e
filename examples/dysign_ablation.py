"""Show what each ingredient of Dy-SIGN gives: one change at a time from the defaults, on one training ratio.

    python examples/dysign_ablation.py PREPARED --run-dir runs/ablation --seeds 3
    python examples/dysign_ablation.py PREPARED --run-dir runs/ablation --seeds 3 --groups leak latency --resume

Each group is a table and a panel of ``ablation.png``; figures are of test nodes, nothing is chosen by them.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from dgl_dysign.data import stratified_split
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.evaluation import f1_scores, mean_std
from dgl_dysign.experiments import RunFolder, command, plots
from dgl_dysign.experiments.node_entries import NodeSettings, NodeTask, dysign
from dgl_dysign.models import DySIGN
from dgl_dysign.training import FitConfig

LATENCIES = (1, 2, 4, 8, 16, 32)
LEAKS = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)


def variants(base: NodeSettings, num_snapshots: int) -> dict[str, dict[str, NodeSettings]]:
    """Return the changes, by group and name. Groups `latency` and `leak` are scored on models trained once."""

    def model(**change: Any) -> NodeSettings:
        return replace(base, model={**base.model, **change})

    few = sorted({n for n in (1, 2, 3, 6) if n <= num_snapshots})
    recipe = replace(base.feature_only, training=replace(base.feature_only.training, lr=2e-2))
    whole = replace(base, full_batch_epochs=60, feature_only=recipe)
    trace = {"gradient": "trace", "allow_growth": True}
    modes = ("implicit", "one-step", "trace", "bptt")
    return {
        "compensation, 60 full-batch steps": {
            "features at every step": replace(whole, model={**base.model, "gradient": "trace"}),
            "at the first step only": replace(whole, model={**base.model, "compensation": False, "gradient": "trace"}),
        },
        "feedback": {
            "over the graph": base,
            "within each node": model(feedback_hops=0),
            "none": model(feedback=False),
        },
        "coupling, 3 snapshots": {
            "off": replace(base, snapshots=min(3, num_snapshots)),
            "on": replace(model(coupling=True), snapshots=min(3, num_snapshots)),
        },
        "snapshots": {str(n): replace(base, snapshots=n) for n in few},
        "decay": {str(d): replace(base, decay=d) for d in (1.0, 0.8, 0.5, 0.3, 0.1)},
        "feature means": {
            "own only": replace(base, hops=(0,)),
            "own and neighbours'": replace(base, hops=(0, 1)),
            "two hops": replace(base, hops=(0, 1, 2)),
        },
        "gradient, 60 full-batch steps": {m: replace(whole, model={**base.model, "gradient": m}) for m in modes},
        "leak, trained with it": {
            str(leak): replace(whole, model={**base.model, **trace, "leak": leak}) for leak in LEAKS
        },
    }


def score(task: NodeTask, settings: NodeSettings) -> dict[str, Any]:
    """Train Dy-SIGN under some settings; return its scores."""
    changed = NodeTask(task.data, settings, task.device)
    if (settings.snapshots, settings.decay, settings.hops) == (
        task.settings.snapshots,
        task.settings.decay,
        task.settings.hops,
    ):
        vars(changed)["snapshots"] = task.snapshots  # the same inputs: read once
    changed.split(task.train, task.val, task.test, task.seed)
    started = time.process_time()
    outcome = dysign(changed)
    found: dict[str, Any] = f1_scores(task.labels, outcome.probabilities.argmax(1), task.test)
    return {**found, **outcome.extra, "cpu_seconds": time.process_time() - started}


def score_spiking(task: NodeTask) -> dict[str, dict[str, Any]]:
    """Train Dy-SIGN once, at leak 1; return the scores of its spiking network by latency and by leak."""
    model = dysign(task).model
    assert isinstance(model, DySIGN)
    return _score_by_neuron(task, model)


@torch.no_grad()
def _score_by_neuron(task: NodeTask, model: DySIGN) -> dict[str, dict[str, Any]]:
    lif, latency, found = model.conv.lif, model.conv.latency, {}
    for group, values in (("latency", LATENCIES), ("leak, in evaluation only", LEAKS)):
        for value in values:
            model.conv.latency = int(value) if group == "latency" else latency
            lif.leak = 1.0 if group == "latency" else value
            rates = [rate for rate, _ in model.rates(task.snapshots, simulate=True)]
            logits = model(task.snapshots, simulate=True)
            scores: dict[str, Any] = f1_scores(task.labels, logits.argmax(1), task.test)
            found[f"{group}|{value}"] = {**scores, "mean_rate": float(rates[-1].mean())}
    solved = model(task.snapshots, simulate=False)
    found["latency|equilibrium"] = dict(f1_scores(task.labels, solved.argmax(1), task.test))
    return found


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_data_options(found, "folder written by dysign-prep, with node features and labels", formats=())
    found.add_argument("--train-ratio", type=float, default=0.4)
    found.add_argument("--seeds", type=int, default=3)
    found.add_argument("--groups", nargs="+", help="only groups whose name begins so (default: all)")
    found.add_argument("--hidden", type=int, default=NodeSettings.hidden, help="neurons")
    found.add_argument("--epochs", type=int, default=FitConfig.epochs)
    command.add_run_options(found, device="", quiet=None)
    return found


def run(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Do what the command line asks for."""
    if args.seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, but got {args.seeds}")
    command.check_device(args.device)
    data = command.open_prepared(args)
    if data.feature_dim is None or data.num_classes < 2:
        raise DataError(f"{args.prepared}: needs node features and labels of two classes at least; prepare it again")
    recipe = NodeSettings().feature_only
    recipe = replace(recipe, training=replace(recipe.training, epochs=args.epochs))
    base = NodeSettings(hidden=args.hidden, feature_only=recipe)
    parts = stratified_split(data.labels, args.train_ratio, 42)
    task = NodeTask(data, base, args.device)
    config = {"settings": asdict(base), "train_ratio": args.train_ratio, "files": data.manifest["files"]}
    plots.require_matplotlib()  # now rather than after the training
    folder = RunFolder(args.run_dir, config, args.resume, args.overwrite)
    wanted = tuple(args.groups or ("",))
    groups = {name: v for name, v in variants(base, data.num_snapshots).items() if name.startswith(wanted)}
    spiking = any(name.startswith(wanted) for name in ("latency", "leak, in evaluation only"))
    with command.progress_bar() as progress:
        bar = progress.add_task("", total=args.seeds * (sum(map(len, groups.values())) + spiking))
        for seed in range(args.seeds):
            task.split(*parts, seed=seed)
            for key, train in units(task, groups, spiking):
                progress.update(bar, description=key)
                if folder.unit(key) is None:
                    folder.save_unit(key, {"scores": train(), "seed": seed})
                progress.advance(bar)
    summary = summarise(folder)
    folder.write_json("summary.json", summary)
    picture = plots.ablation(summary, f"Macro-F1 on {data.manifest['dataset']}", folder.path / "ablation.png")
    show(summary, Console())
    print(folder.path / "summary.json", picture, sep="\n")
    return summary


def units(
    task: NodeTask, groups: dict[str, dict[str, NodeSettings]], spiking: bool
) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Yield for each model to train its key, and what trains and scores it."""
    if spiking:
        yield f"spiking-{task.seed}", partial(score_spiking, task)
    for group, settings in groups.items():
        for name, changed in settings.items():
            key = re.sub(r"[^a-z0-9.-]+", "_", f"{group}-{name}-{task.seed}")
            yield key, partial(_named, f"{group}|{name}", task, changed)


def _named(name: str, task: NodeTask, settings: NodeSettings) -> dict[str, Any]:
    return {name: score(task, settings)}


def summarise(folder: RunFolder) -> list[dict[str, Any]]:
    """Return one object for each variant, over the seeds that are there."""
    found: dict[str, list[dict[str, Any]]] = {}
    for file in sorted((folder.path / "units").glob("*.json")):
        unit = folder.unit(file.stem) or {}
        for name, scores in unit["scores"].items():
            found.setdefault(name, []).append(scores)
    summary = []
    for name, runs in found.items():
        group, variant = name.split("|")
        means = {key: mean_std([run[key] for run in runs]) for key in runs[0]}
        summary.append({"group": group, "variant": variant, **means})
    return summary


def show(summary: Sequence[dict[str, Any]], console: Console) -> None:
    """Print a table."""
    table = Table("group", "variant", "Macro-F1", "Micro-F1", "CPU s", title="test nodes, mean ± deviation over seeds")
    for row in summary:
        macro, micro = row["macro_f1"], row["micro_f1"]
        seconds = f"{row['cpu_seconds']['mean']:.0f}" if "cpu_seconds" in row else ""
        table.add_row(
            row["group"], row["variant"], f"{macro['mean']:.1f} ± {macro['std']:.1f}", f"{micro['mean']:.1f}", seconds
        )
    console.print(table)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the example; return the exit status."""
    return command.run_command("dysign_ablation", run, parser().parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
