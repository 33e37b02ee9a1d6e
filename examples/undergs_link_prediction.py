"""Predict the links of a dynamic graph with UnderGS: prepared folder in, run folder with figures and pictures out.

    dysign-prep edges soc-sign-bitcoinotc.csv prepared/otc
    python examples/undergs_link_prediction.py prepared/otc --run-dir runs/otc --seeds 3
    python examples/undergs_link_prediction.py --raw soc-sign-bitcoinalpha.csv --run-dir runs/alpha

Snapshot t is scored from the state at the end of t - 1: each warm edge among 100 negatives. The row `undergs` sees
embeddings and features of pairs, `undergs-no-counts` embeddings alone, `undergs-paper` is the method as the report has
it; the others count, or learn from counts. A seed is that of the weights and that of the negatives.

Kill it at any moment: with --resume it goes on, and ends with the same figures. Several processes share the training
of each row, to the same figures: torchrun --standalone --nproc-per-node 2 examples/undergs_link_prediction.py ...
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from dgl_dysign.errors import ConfigError
from dgl_dysign.evaluation.link_scores import PROTOCOLS
from dgl_dysign.experiments import command
from dgl_dysign.experiments.link_entries import default_entries
from dgl_dysign.experiments.link_task import AGGREGATORS, LinkSettings, LinkTask
from dgl_dysign.experiments.runner import run as run_study
from dgl_dysign.experiments.saved_models import SavedModels
from dgl_dysign.experiments.tables import LinkTable
from dgl_dysign.training import LinkFitConfig, distributed

ENTRIES = default_entries()
USUAL = ("undergs-paper", "undergs-no-counts", "undergs")


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_data_options(options)
    options.add_argument("--rows", nargs="+", choices=ENTRIES, metavar="ROW", help=", ".join(ENTRIES))
    options.add_argument("--aggregators", nargs="+", choices=AGGREGATORS, default=[], help="rows undergs-NAME to add")
    options.add_argument("--seeds", type=int, default=3, help="of weights and negatives (default 3)")
    options.add_argument("--protocol", choices=tuple(PROTOCOLS), default="honest", help="undergs-released LEAKS")
    options.add_argument(
        "--historical", type=float, nargs="+", default=[0.0], metavar="SHARE",
        help="shares of negatives that are past destinations of the source; several: a table each (default 0)",
    )  # fmt: skip
    options.add_argument("--among", choices=("nodes", "destinations"), default="nodes", help="what negatives are")
    options.add_argument("--preset", choices=("default", "paper"), default="default", help="of all learned rows")
    options.add_argument("--aggregator", choices=AGGREGATORS, default="gcn", help="of rows that name none")
    options.add_argument("--hidden", type=int, default=LinkSettings.hidden_feats)
    options.add_argument("--num-neighbors", type=int, default=LinkSettings.num_neighbors)
    options.add_argument("--num-hops", type=int, default=LinkSettings.num_hops)
    options.add_argument("--snapshot-decay", type=float, help="of the store (default: the preset's)")
    options.add_argument("--importance", help="of the store (default: the preset's)")
    options.add_argument("--epochs", type=int, default=LinkFitConfig.epochs)
    options.add_argument("--batch-size", type=int, default=LinkFitConfig.batch_size)
    options.add_argument("--lr", type=float, default=LinkFitConfig.lr)
    options.add_argument("--num-negatives", type=int, default=LinkSettings.num_negatives, help="in evaluation")
    SavedModels.add_option(options)
    command.add_run_options(options)
    return options


def settings_of(args: argparse.Namespace) -> LinkSettings:
    """Return the settings that the command line asks for."""
    return LinkSettings(
        preset=args.preset,
        hidden_feats=args.hidden,
        num_neighbors=args.num_neighbors,
        num_hops=args.num_hops,
        aggregator=args.aggregator,
        snapshot_decay=args.snapshot_decay,
        importance=args.importance,
        num_negatives=args.num_negatives,
        training=LinkFitConfig(epochs=args.epochs, batch_size=args.batch_size, lr=args.lr, among=args.among),
    )


def run(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Do what the command line asks for."""
    if args.seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, but got {args.seeds}")
    if not all(0 <= share <= 1 for share in args.historical):
        raise ConfigError(f"--historical must lie in 0 .. 1, but got {args.historical}")
    device = distributed.local_device(args.device)
    command.check_device(device)
    data, settings = command.open_prepared(args), settings_of(args)
    task = LinkTask(data, settings, device, args.protocol, args.historical)
    wanted = {*(args.rows or USUAL), *(f"undergs-{kind}" for kind in args.aggregators)}
    entries = [entry for entry in ENTRIES.values() if not entry.learns or entry.name in wanted]
    config = {
        "prepared": {key: data.manifest[key] for key in ("dataset", "sources", "files")},
        "settings": asdict(settings),
        "protocol": args.protocol,
        "historical": args.historical,
        "device": args.device,
    }
    return run_study(LinkTable(task, entries, args.seeds), config, args)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the example; return the exit status."""
    return command.run_command("undergs_link_prediction", run, parser(), argv)


if __name__ == "__main__":
    sys.exit(main())
