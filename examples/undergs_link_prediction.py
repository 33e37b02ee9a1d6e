"""Predict the links of a dynamic graph with UnderGS, from Python: what ``dysign-train links`` does, and its table.

    dysign-prep edges soc-sign-bitcoinotc.csv prepared/otc
    python examples/undergs_link_prediction.py prepared/otc --run-dir runs/otc --seeds 3
    python examples/undergs_link_prediction.py --raw soc-sign-bitcoinalpha.csv --run-dir runs/alpha
    python examples/undergs_link_prediction.py --raw CollegeMsg.txt --run-dir runs/uci

Snapshot t is scored from the state at the end of t - 1: each warm edge among 100 negatives. The row `undergs` sees
embeddings and features of pairs, `undergs-no-counts` embeddings alone, `undergs-paper` is the method as the report has
it; the others count, or learn from counts. A seed is that of the weights and that of the negatives.

Kill it at any moment: with --resume it goes on, and ends with the same figures. Several processes share the training
of each row, to the same figures: torchrun --standalone --nproc-per-node 2 examples/undergs_link_prediction.py ...
"""

import sys
from collections.abc import Sequence

from dgl_dysign.experiments.options import LinkOptions
from dgl_dysign.experiments.train import run_links  # or train_links(prepared, run_dir, seeds=3, ...), in a notebook
from dgl_dysign.experiments.train_cli import run_study


def run(options: LinkOptions) -> None:
    """Train and score; the table has a dictionary for each row and share of historical negatives."""
    table = run_links(options)
    table.show()
    scores = table.frame().groupby("row")["mrr.mean"].mean().sort_values()
    print(f"{scores.index[-1]} is ahead, MRR {scores.iloc[-1]:.1f}; random answers have {scores.get('random', 0):.1f}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the example; return the exit status."""
    return run_study("undergs_link_prediction", __doc__, LinkOptions, run, argv, table="links")


if __name__ == "__main__":
    sys.exit(main())
