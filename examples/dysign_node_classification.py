"""Classify the nodes of a dynamic graph with Dy-SIGN: prepared folder in, run folder with figures and pictures out.

    dysign-prep dblp RAW PREPARED
    python examples/dysign_node_classification.py PREPARED --run-dir runs/dblp --train-ratio 0.4 0.6 0.8 --seeds 3

Kill it at any moment: with --resume it goes on, and ends with the same figures. Several processes share the training
of each row, to the same figures: torchrun --standalone --nproc-per-node 2 examples/dysign_node_classification.py ...
Data larger than memory: --out-of-core, to the same figures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch

from dgl_dysign.data import TemporalGraph, stratified_split
from dgl_dysign.data.row_store import RowFiles
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.experiments import command
from dgl_dysign.experiments.entry import chosen
from dgl_dysign.experiments.memory import return_freed_memory
from dgl_dysign.experiments.node_entries import default_entries
from dgl_dysign.experiments.node_task import NodeSettings, NodeTask
from dgl_dysign.experiments.runner import run as run_study
from dgl_dysign.experiments.saved_models import SavedModels
from dgl_dysign.experiments.tables import NodeTable
from dgl_dysign.training import FitConfig, distributed

ENTRIES = default_entries()
PUBLISHED = {  # Macro- and Micro-F1 on DBLP: Dy-SIGN (AAAI 2024), tables 1 and 2
    "SpikeNet (published)": {0.4: (70.88, 71.98), 0.6: (71.98, 72.35), 0.8: (74.64, 74.86)},
    "Dy-SIGN (published)": {0.4: (70.94, 71.90), 0.6: (72.07, 72.61), 0.8: (74.67, 74.96)},
}
OUT_OF_CORE = (
    "for data larger than memory: features, rates and messages lie in files on the disk of --run-dir, which are gone "
    "when the run ends, however it ends; same figures, slower, without pictures of neurons. In memory stay a "
    "snapshot's graph, label features, and what the rows gcn, undergs and spiking-undergs read. On the CPU only"
)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_data_options(options, "folder written by dysign-prep, with node features and labels", formats=())
    options.add_argument("--train-ratio", type=float, nargs="+", default=[0.4, 0.6, 0.8], metavar="R")
    options.add_argument("--seeds", type=int, default=3, help="models for each split (default 3)")
    options.add_argument("--splits", type=int, default=1, help="splits, with random states 42, 43, ... (default 1)")
    options.add_argument(
        "--rows", nargs="+", choices=ENTRIES, default=list(ENTRIES), metavar="ROW", help=", ".join(ENTRIES)
    )
    options.add_argument("--snapshots", type=int, default=NodeSettings.snapshots, help="snapshots read out")
    options.add_argument("--decay", type=float, default=NodeSettings.decay, help="weight an event keeps per snapshot")
    options.add_argument("--hidden", type=int, default=NodeSettings.hidden, help="neurons")
    options.add_argument("--latency", type=int, default=8, help="steps of the spiking simulation")
    options.add_argument("--coupling", action="store_true", help="let a snapshot's rates enter the next one's current")
    options.add_argument("--epochs", type=int, default=FitConfig.epochs)
    options.add_argument("--out-of-core", action="store_true", help=OUT_OF_CORE)
    SavedModels.add_option(options)
    command.add_run_options(options)
    return options


def settings_of(args: argparse.Namespace) -> NodeSettings:
    """Return the settings that the command line asks for."""
    model = {"latency": args.latency, "coupling": args.coupling}
    settings = NodeSettings(snapshots=args.snapshots, decay=args.decay, hidden=args.hidden, model=model)
    return settings.with_epochs(args.epochs)


def open_data(args: argparse.Namespace) -> TemporalGraph:
    """Open the prepared folder and check that it and the device can be used."""
    command.check_device(distributed.local_device(args.device))
    if args.out_of_core and torch.device(args.device).type != "cpu":
        raise ConfigError(f"--out-of-core computes on the CPU, but --device is {args.device}: leave one of them out")
    data, path = command.open_prepared(args), args.prepared
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


def run(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Do what the command line asks for."""
    if args.seeds < 1 or args.splits < 1:
        raise ConfigError(f"--seeds and --splits must be at least 1, but got {args.seeds} and {args.splits}")
    data, settings, ratios = open_data(args), settings_of(args), sorted(set(args.train_ratio))
    splits = {(r, s): stratified_split(data.labels, r, 42 + s) for r in ratios for s in range(args.splits)}
    task = NodeTask(data, settings, distributed.local_device(args.device), row_files(args))
    published = PUBLISHED if data.manifest["dataset"] == "dblp" else {}
    config = {
        "prepared": {key: data.manifest[key] for key in ("dataset", "sources", "features", "files")},
        "settings": asdict(settings),
        "device": args.device,
    }
    return run_study(NodeTable(task, chosen(ENTRIES, args.rows), splits, args.seeds, published), config, args)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the example; return the exit status."""
    return command.run_command("dysign_node_classification", run, parser(), argv)


if __name__ == "__main__":
    sys.exit(main())
