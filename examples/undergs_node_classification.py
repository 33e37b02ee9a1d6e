"""Predict labels of events with UnderGS (is the user banned?), from Python: what ``dysign-train events`` does.

    dysign-prep wikipedia RAW PREPARED
    python examples/undergs_node_classification.py PREPARED --run-dir runs/wikipedia --seeds 3

or, with `--raw RAW` in place of PREPARED, preparing first, into the folder `runs/wikipedia-prepared`.

Snapshots are split by time. Each event is scored from the state before its snapshot and from its own ends, time and
features; no other event of its snapshot, nothing later and no label but those of the training loss is seen. Kill it at
any moment: with --resume it goes on, and ends with the same figures.
"""

import sys
from collections.abc import Sequence

from dgl_dysign.experiments.options import EventOptions
from dgl_dysign.experiments.train import run_events  # or train_events(prepared, run_dir, seeds=3, ...), in a notebook
from dgl_dysign.experiments.train_cli import run_study


def main(argv: Sequence[str] | None = None) -> int:
    """Run the example; return the exit status."""
    name = "undergs_node_classification"
    return run_study(name, __doc__, EventOptions, lambda options: run_events(options).show(), argv, table="events")


if __name__ == "__main__":
    sys.exit(main())
