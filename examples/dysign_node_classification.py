"""Classify the nodes of a dynamic graph with Dy-SIGN: prepared folder in, run folder with figures and pictures out.

    dysign-prep dblp RAW PREPARED
    python examples/dysign_node_classification.py PREPARED --run-dir runs/dblp --train-ratio 0.4 0.6 0.8 --seeds 3

Kill it at any moment: with --resume it goes on, and ends with the same figures. Several processes share the training
of each row, to the same figures: torchrun --standalone --nproc-per-node 2 examples/dysign_node_classification.py ...
Data larger than memory: --out-of-core, to the same figures.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from dgl_dysign.data import TemporalGraph, stratified_split
from dgl_dysign.data.row_store import RowFiles
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.evaluation import confusion, f1_scores, mean_std
from dgl_dysign.experiments import RunFolder, command, plots, shared_command
from dgl_dysign.experiments.diagnostics import node_diagnostics, save_diagnostics
from dgl_dysign.experiments.memory import peak_rss_bytes, reset_peak, return_freed_memory
from dgl_dysign.experiments.node_entries import ROWS, NodeSettings, NodeTask
from dgl_dysign.experiments.saved_models import NODE_ROWS, SavedModels
from dgl_dysign.training import FitConfig, distributed

PUBLISHED = {  # Macro- and Micro-F1 on DBLP: Dy-SIGN (AAAI 2024), tables 1 and 2
    "SpikeNet (published)": {0.4: (70.88, 71.98), 0.6: (71.98, 72.35), 0.8: (74.64, 74.86)},
    "Dy-SIGN (published)": {0.4: (70.94, 71.90), 0.6: (72.07, 72.61), 0.8: (74.67, 74.96)},
}
OUT_OF_CORE = (
    "for data larger than memory: features, rates and messages lie in files on the disk of --run-dir, which are gone "
    "when the run ends, however it ends; same figures, slower, without pictures of neurons. In memory stay a "
    "snapshot's graph, label features, and what the rows gcn, undergs and spiking-undergs read. On the CPU only"
)
Split = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_data_options(found, "folder written by dysign-prep, with node features and labels", formats=())
    found.add_argument("--train-ratio", type=float, nargs="+", default=[0.4, 0.6, 0.8], metavar="R")
    found.add_argument("--seeds", type=int, default=3, help="models for each split (default 3)")
    found.add_argument("--splits", type=int, default=1, help="splits, with random states 42, 43, ... (default 1)")
    found.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    found.add_argument("--snapshots", type=int, default=NodeSettings.snapshots, help="snapshots read out")
    found.add_argument("--decay", type=float, default=NodeSettings.decay, help="weight an event keeps per snapshot")
    found.add_argument("--hidden", type=int, default=NodeSettings.hidden, help="neurons")
    found.add_argument("--latency", type=int, default=8, help="steps of the spiking simulation")
    found.add_argument("--coupling", action="store_true", help="let a snapshot's rates enter the next one's current")
    found.add_argument("--epochs", type=int, default=FitConfig.epochs)
    found.add_argument("--out-of-core", action="store_true", help=OUT_OF_CORE)
    SavedModels.add_option(found)
    command.add_run_options(found)
    return found


def settings_of(args: argparse.Namespace) -> NodeSettings:
    """Return the settings that the command line asks for."""
    usual = NodeSettings()
    kinds: dict[str, Any] = {
        kind: replace(recipe, training=replace(recipe.training, epochs=args.epochs))
        for kind, recipe in (("feature_only", usual.feature_only), ("label_aware", usual.label_aware))
    }
    return NodeSettings(
        snapshots=args.snapshots,
        decay=args.decay,
        hidden=args.hidden,
        model={"latency": args.latency, "coupling": args.coupling},
        **kinds,
    )


def open_data(args: argparse.Namespace) -> TemporalGraph:
    """Open the prepared folder and check that it and the device can be used."""
    command.check_device(distributed.local_device(args.device))
    if args.out_of_core and torch.device(args.device).type != "cpu":
        raise ConfigError(f"--out-of-core computes on the CPU, but --device is {args.device}: leave one of them out")
    data, path = shared_command.open_prepared(args), args.prepared
    if data.feature_dim is None:
        raise DataError(f"{path}: found no node features; prepare it again with dysign-prep ... --features spectral")
    if data.num_classes < 2 or not bool((data.labels >= 0).any()):
        raise DataError(f"{path}: found {data.num_classes} classes of nodes; node classification needs two at least")
    return data


def row_files(args: argparse.Namespace) -> RowFiles | None:
    """Return where rows go: for --out-of-core the disk of the run folder, which need not be there yet."""
    if not args.out_of_core:
        return None
    return_freed_memory(larger_than=1 << 20)
    return RowFiles(next(folder for folder in args.run_dir.absolute().parents if folder.is_dir()))


def run_unit(
    task: NodeTask, folder: RunFolder, saved: SavedModels, row: str, ids: dict[str, Any], inside: bool
) -> dict[str, Any]:
    """Train and score one row on one split with one seed, or return what a finished unit recorded.

    With ``inside``, what its model did is recorded too: firing rates, spikes, solver, contents of the store.
    """
    key = ids["key"]
    record = folder.unit(key)
    if record is None:
        reset_peak()
        started = time.process_time()
        checkpoint = folder.checkpoint(key)
        train, protocol = ROWS[row]
        outcome = train(task, checkpoint)
        spent = time.process_time() - started
        if outcome.history and "cpu_seconds" in outcome.history[-1]:  # seconds before an interruption count as well
            spent = max(spent, outcome.history[-1]["cpu_seconds"])
        predicted = outcome.probabilities.argmax(1)
        record = {
            "row": row,
            "protocol": protocol,
            **ids,
            **f1_scores(task.labels, predicted, task.test),
            **{f"val_{name}": value for name, value in f1_scores(task.labels, predicted, task.val).items()},
            **outcome.extra,
            "cpu_seconds": spent,
            "peak_rss_bytes": peak_rss_bytes(),
            "confusion": confusion(task.labels, predicted, task.test, task.num_classes).tolist(),
            "history": outcome.history,
        }
        if distributed.rank():  # the first process writes
            return record
        saved.save_nodes(key, task, row, outcome)
        if inside:
            save_diagnostics(folder, key, node_diagnostics(task, row, outcome))
        folder.save_unit(key, record)
        checkpoint.unlink(missing_ok=True)
    return record


def summarise(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one object a row and training ratio."""
    found = []
    for ratio in sorted({record["train_ratio"] for record in records}):
        for row in ROWS:
            runs = [r for r in records if r["row"] == row and r["train_ratio"] == ratio]
            if runs:
                scores = [name for name in runs[0] if name.startswith(("macro_f1", "micro_f1"))]
                found.append(
                    {
                        "row": row,
                        "train_ratio": ratio,
                        **{name: mean_std([run[name] for run in runs]) for name in scores},
                        "cpu_seconds": mean_std([run["cpu_seconds"] for run in runs])["mean"],
                        "peak_rss_bytes": max(run["peak_rss_bytes"] for run in runs),
                        "protocol": runs[0]["protocol"],
                    }
                )
    return found


def draw(task: NodeTask, folder: RunFolder, records: Sequence[dict[str, Any]], summary: Any) -> list[Path]:
    """Draw the pictures of the first split and seed, and the table of all."""
    first = {r["row"]: r for r in records if r["unit"] == records[0]["unit"]}
    curves = {row: r["history"] for row, r in first.items() if r["history"]}
    path, dataset = folder.path, task.data.manifest["dataset"]
    drawn = [plots.score_bars(summary, "macro_f1", f"Macro-F1 on {dataset}", path / "scores.png")]
    if curves:
        drawn.append(plots.learning_curves(curves, path / "learning_curves.png"))
    row = next((row for row in ("dysign", "dysign-label-aware") if row in first), next(iter(first)))
    counts, names = torch.tensor(first[row]["confusion"]).numpy(), task.data.class_names
    drawn.append(plots.confusion_matrix(counts, names, f"{row}, test nodes", path / "confusion.png"))
    inside = path / "diagnostics" / f"{first['dysign']['key']}.json" if "dysign" in first else None
    if inside is not None and inside.exists():  # runs of earlier versions have none
        found = json.loads(inside.read_text(encoding="utf-8"))
        drawn += draw_spikes(found, path) if "firing" in found else []
    return drawn


def draw_spikes(found: dict[str, Any], folder: Path) -> list[Path]:
    """Draw firing rates over snapshots, and the spikes of some nodes at the last one."""
    firing, spikes = found["firing"], found["spikes"]
    fired = np.zeros((spikes["latency"], len(spikes["nodes"]), spikes["neurons"]))
    for place, node in enumerate(spikes["nodes"]):
        for step, neurons in enumerate(node["fired"]):
            fired[step, place, neurons] = 1
    names = [f"node {node['node']}" for node in spikes["nodes"]]
    rates = np.array(firing["shares"])
    return [
        plots.firing_rates(rates, firing["active"], folder / "firing_rates.png", firing["snapshot"]),
        plots.spike_raster(fired, names, folder / "spike_raster.png"),
    ]


def show(summary: Sequence[dict[str, Any]], dataset: str, console: Console) -> None:
    """Print the table of figures."""
    ratios = sorted({row["train_ratio"] for row in summary})
    table = Table(title=f"{dataset}: Macro-F1 / Micro-F1 in %, test nodes, mean ± deviation over runs")
    table.add_column("row")
    table.add_column("protocol")
    for ratio in ratios:
        table.add_column(f"{100 * ratio:.0f} % for training", justify="right")
    for name in dict.fromkeys(row["row"] for row in summary):
        rows = {row["train_ratio"]: row for row in summary if row["row"] == name}
        cells = [
            f"{r['macro_f1']['mean']:.1f} ± {r['macro_f1']['std']:.1f} / {r['micro_f1']['mean']:.1f}"
            for r in (rows[ratio] for ratio in ratios)
        ]
        table.add_row(name, next(iter(rows.values()))["protocol"].split(":")[0], *cells)
    if dataset == "dblp":
        for name, scores in PUBLISHED.items():
            cells = ["{:.1f} / {:.1f}".format(*scores[r]) if r in scores else "-" for r in ratios]
            table.add_row(name, "feature-only", *cells, style="dim")
    console.print(table)


def run(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Do what the command line asks for."""
    data, settings = open_data(args), settings_of(args)
    if args.seeds < 1 or args.splits < 1:
        raise ConfigError(f"--seeds and --splits must be at least 1, but got {args.seeds} and {args.splits}")
    ratios, rows = sorted(set(args.train_ratio)), list(dict.fromkeys(args.rows))
    parts = {(r, s): stratified_split(data.labels, r, 42 + s) for r in ratios for s in range(args.splits)}
    task = NodeTask(data, settings, distributed.local_device(args.device), row_files(args))
    task.split(*next(iter(parts.values())), seed=0)
    task.dysign(label_aware=False)  # settings that do not fit are refused before anything is written
    # Not the rows, ratios, splits and seeds: a run may be resumed with more of them, or shared by several processes.
    config = {
        "prepared": {key: data.manifest[key] for key in ("dataset", "sources", "features", "files")},
        "settings": asdict(settings),
        "device": args.device,
    }
    plots.require_matplotlib()  # now rather than after the training
    units = [(*part, seed, row) for part in parts for seed in range(args.seeds) for row in rows]
    saved = SavedModels(args, [key_of(*unit) for unit in units if unit[-1] in NODE_ROWS])
    folder = shared_command.SharedRunFolder(args.run_dir, config, args.resume, args.overwrite)
    saved.check_finished(folder)
    records = run_units(task, folder, saved, parts, args.seeds, rows, args.quiet)
    summary = summarise(records)
    if distributed.rank():
        return summary
    folder.write_json("summary.json", summary)
    drawn = draw(task, folder, records, summary)
    show(summary, data.manifest["dataset"], Console())
    print(folder.path / "summary.json", folder.path / "metrics.jsonl", *drawn, sep="\n")
    return summary


def key_of(ratio: float, split: int, seed: int, row: str) -> str:
    """Return the name of a unit."""
    return f"{ratio}-split{split}-seed{seed}-{row}"


def run_units(
    task: NodeTask,
    folder: RunFolder,
    saved: SavedModels,
    parts: dict[tuple[float, int], Split],
    seeds: int,
    rows: list[str],
    quiet: bool,
) -> list[dict[str, Any]]:
    """Train and score every row on every split with every seed."""
    records = []
    with command.progress_bar(quiet) as progress:
        bar = progress.add_task("training", total=len(parts) * seeds * len(rows))
        for ((ratio, split), nodes), seed, row in product(parts.items(), range(seeds), rows):
            task.split(*nodes, seed=seed)  # anew for each row: label features are part of its cost
            unit = f"{ratio}-split{split}-seed{seed}"
            key = key_of(ratio, split, seed, row)
            progress.update(bar, description=key)
            ids = {"train_ratio": ratio, "split": 42 + split, "seed": seed, "unit": unit, "key": key}
            inside = seed == 0 and (ratio, split) == next(iter(parts))  # one model of each row says enough
            records.append(run_unit(task, folder, saved, row, ids, inside))
            progress.advance(bar)
    return records


def main(argv: Sequence[str] | None = None) -> int:
    """Run the example; return the exit status."""
    return shared_command.run_command("dysign_node_classification", run, parser(), argv)


if __name__ == "__main__":
    sys.exit(main())
