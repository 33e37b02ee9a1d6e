"""Classify the nodes of a dynamic graph with Dy-SIGN, from Python: what ``dysign-train nodes`` does, and its table.

    dysign-prep dblp RAW PREPARED
    python examples/dysign_node_classification.py PREPARED --run-dir runs/dblp --train-ratio 0.4 0.6 0.8 --seeds 3

Kill it at any moment: with --resume it goes on, and ends with the same figures. Several processes share the training
of each row, to the same figures: torchrun --standalone --nproc-per-node 2 examples/dysign_node_classification.py ...
Data larger than memory: --out-of-core, to the same figures.
"""

import sys
from collections.abc import Sequence

from dgl_dysign.experiments.options import NodeOptions
from dgl_dysign.experiments.train import run_nodes  # or train_nodes(prepared, run_dir, seeds=3, ...), in a notebook
from dgl_dysign.experiments.train_cli import run_study


def run(options: NodeOptions) -> None:
    """Train and score; the table has a dictionary for each row and training ratio."""
    table = run_nodes(options)
    table.show()
    for ratio in sorted({line["train_ratio"] for line in table}):
        best = max((line for line in table if line["train_ratio"] == ratio), key=lambda line: line["macro_f1"]["mean"])
        print(f"{ratio:.0%} for training: {best['row']} is ahead, Macro-F1 {best['macro_f1']['mean']:.1f}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the example; return the exit status."""
    return run_study("dysign_node_classification", __doc__, NodeOptions, run, argv, table="nodes")


if __name__ == "__main__":
    sys.exit(main())
