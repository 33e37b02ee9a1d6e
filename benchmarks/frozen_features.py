"""What features that stand still cost in accuracy: `dgl_dysign.models.frozen_features` beside those of each snapshot.

    python benchmarks/frozen_features.py PREPARED --basis 26 20 13   # a folder with features and labels

Each JSON line is one basis, or none: Macro-F1 on test and validation of a row of ``dysign-train nodes`` on the last
snapshot, under its defaults but for edges that do not age, as a replay wants them. Without a basis it has the features
of its own. 40 % for training; default: generated data, and its last snapshot, the middle and a quarter.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from dgl_dysign.data import TemporalGraph, stratified_split
from dgl_dysign.experiments.node_entries import default_entries
from dgl_dysign.experiments.node_task import NodeSettings, NodeTask
from dgl_dysign.models import frozen_features


class Frozen(TemporalGraph):
    """Data whose last snapshot, the only one of which features are read, has those of a basis."""

    def __init__(self, folder: Path, basis: int) -> None:
        super().__init__(folder)
        *_, last = frozen_features(TemporalGraph(folder), basis)
        vars(self).update(last=last)

    def features(self, snapshot: int) -> torch.Tensor:
        """Return the frozen features."""
        assert snapshot == self.num_snapshots - 1
        return vars(self)["last"].clone()


def measure(folder: Path, basis: int | None, rows: Sequence[str], splits: int) -> Iterator[dict[str, object]]:
    """Yield the scores of rows on a frozen basis or none, one split after the other."""
    data = TemporalGraph(folder) if basis is None else Frozen(folder, basis)
    task = NodeTask(data, NodeSettings().with_choice(decay=1.0))
    entries = default_entries()
    for state in range(42, 42 + splits):
        part = task.with_split(*stratified_split(task.labels, 0.4, state))
        for row in rows:
            (scoring,) = part.score(entries[row].fitted(part.view()))
            f1 = {"macro_f1": scoring.scores["macro_f1"], "val_macro_f1": scoring.val_scores["macro_f1"]}
            yield {"benchmark": "frozen_features", "basis": basis, "row": row, "split": state, **f1}


def generated(home: Path) -> Path:
    """Prepare a small generated DBLP."""
    from data_prep.cli import app

    app(["synth", "dblp", str(home / "raw"), "--nodes", "1000", "--quiet"], standalone_mode=False)
    app(["dblp", str(home / "raw"), str(home / "prepared"), "--quiet"], standalone_mode=False)
    return home / "prepared"


def main(argv: Sequence[str] | None = None) -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path, nargs="?", help="a folder written by dysign-prep (default: generated)")
    parser.add_argument("--basis", type=int, nargs="+", help="snapshots of which features are taken")
    parser.add_argument("--rows", nargs="+", default=["logistic-regression", "dysign-step"], metavar="ROW")
    parser.add_argument("--splits", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="one basis")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as home:
        folder = args.prepared or generated(Path(home))
        last = TemporalGraph.load(folder).num_snapshots - 1
        bases = args.basis or [last, last // 2, last // 4][: 1 if args.quick else 3]
        for basis in (None, *bases):
            for row in measure(folder, basis, args.rows, args.splits):
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
