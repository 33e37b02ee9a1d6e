"""Predict labels of events with UnderGS (Wikipedia, Reddit: is the user banned?): figures and pictures out.

    dysign-prep wikipedia RAW PREPARED
    python examples/undergs_node_classification.py PREPARED --run-dir runs/wikipedia --seeds 3

or, with `--raw RAW` in place of PREPARED, preparing first, into the folder `runs/wikipedia-prepared`.

Snapshots are split by time. Each event is scored from the state before its snapshot and from its own ends, time and
features; no other event of its snapshot, nothing later and no label but those of the training loss is seen. Kill it at
any moment: with --resume it goes on, and ends with the same figures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from dgl_dysign.errors import ConfigError
from dgl_dysign.experiments import command
from dgl_dysign.experiments.entry import chosen
from dgl_dysign.experiments.event_entries import default_entries
from dgl_dysign.experiments.event_task import SPLITS, EventSettings, EventTask
from dgl_dysign.experiments.runner import run as run_study
from dgl_dysign.experiments.saved_models import SavedModels
from dgl_dysign.experiments.tables import EventTable
from dgl_dysign.training import distributed
from dgl_dysign.training.events import LOSSES, EventFitConfig

ENTRIES = default_entries()


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    prepared, formats = "folder written by dysign-prep, with labels of events", ("wikipedia", "reddit")
    command.add_data_options(options, prepared, formats, format_help="what --raw holds")
    options.add_argument("--seeds", type=int, default=3, help="models of each row (default 3)")
    options.add_argument("--rows", nargs="+", choices=ENTRIES, default=list(ENTRIES), metavar="ROW")
    options.add_argument("--train", type=float, default=0.7, help="share for training (default 0.7)")
    options.add_argument("--val", type=float, default=0.1, help="share for validation (default 0.1)")
    options.add_argument("--split", choices=SPLITS, default="snapshots", help="shares of what (default snapshots)")
    options.add_argument("--epochs", type=int, default=EventFitConfig.epochs)
    options.add_argument(
        "--loss", choices=LOSSES, default=EventFitConfig.loss, help="weigh both labels the same or not"
    )
    options.add_argument("--hidden", type=int, default=EventSettings.hidden, help="width of UnderGS")
    options.add_argument("--neighbors", type=int, default=EventSettings.num_neighbors, help="slots of the store")
    SavedModels.add_option(options)
    command.add_run_options(options)
    return options


def run(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Do what the command line asks for."""
    if args.seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, but got {args.seeds}")
    training = EventFitConfig(epochs=args.epochs, loss=args.loss)
    settings = EventSettings(hidden=args.hidden, num_neighbors=args.neighbors, training=training)
    device = distributed.local_device(args.device)
    command.check_device(device)
    data = command.open_prepared(args)
    task = EventTask(data, args.train, args.val, args.split, device, settings)
    config = {
        "prepared": {key: data.manifest[key] for key in ("dataset", "sources", "files")},
        "split": {"train": args.train, "val": args.val, "of": args.split},
        "settings": asdict(settings),
        "device": args.device,
    }
    return run_study(EventTable(task, chosen(ENTRIES, args.rows), args.seeds), config, args)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the example; return the exit status."""
    return command.run_command("undergs_node_classification", run, parser(), argv)


if __name__ == "__main__":
    sys.exit(main())
