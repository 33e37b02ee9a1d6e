"""What the public code of UnderGS measures: the same rows scored after, and before, they see the answer.

That code inserts the edges of a snapshot into its store and scores them afterwards, in training and in test. A rule
with no parameters, "when was this destination last seen?", is then all but perfect. Each JSON line is one row under one
protocol (AUC and MRR per snapshot, in %, warm edges of the test snapshots, mean over seeds); ``--picture`` draws them.

    python benchmarks/leak.py PREPARED --picture leak.png      # such as Bitcoin-OTC by weeks; without: generated
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dgl_dysign.baselines import DestinationRecency
from dgl_dysign.data import SnapshotEdges, TemporalGraph
from dgl_dysign.data.snapshot_edges import snapshot_edges
from dgl_dysign.evaluation import NegativeSampler, evaluate_links, mean_std, split_snapshots
from dgl_dysign.models import LinkScorer, UnderGS
from dgl_dysign.training import LinkFitConfig, fit_links

LEAKING, HONEST = "undergs-released", "honest"
RULE, LEAKED, FAIR = "destination last seen (no model)", "UnderGS trained with the leak", "UnderGS trained honestly"


class PeekingScorer(LinkScorer):
    """Inserts a snapshot before it scores it, as the public code does: only to show what comes of it."""

    edges: Sequence[SnapshotEdges] = ()

    def logits(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Look at the answers, then score."""
        self._peek(snapshot)
        return super().logits(snapshot, src, dst)

    def score(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Look at the answers, then score."""
        self._peek(snapshot)
        return super().score(snapshot, src, dst)

    def observe(self, edges: SnapshotEdges) -> None:
        """Insert a snapshot unless that was done before its time."""
        if self.store.snapshot < edges.snapshot:
            super().observe(edges)

    def _peek(self, snapshot: int) -> None:
        if self.store.snapshot < snapshot:
            self.store.insert(self.edges[snapshot])


def trained(edges: Sequence[SnapshotEdges], peek: bool, seed: int, epochs: int) -> LinkScorer:
    """Train UnderGS with the report's values, with or without the leak."""
    torch.manual_seed(seed)
    model = UnderGS(edges[0].num_nodes, preset="paper")
    scorer = (PeekingScorer if peek else LinkScorer)(model, model.store())
    if isinstance(scorer, PeekingScorer):
        scorer.edges = edges
    fit_links(edges, scorer, split_snapshots(len(edges)), LinkFitConfig(epochs=epochs), seed)
    return LinkScorer(model, model.store())  # which protocol it is scored under is up to evaluate_links


def measure(data: TemporalGraph, seeds: int, epochs: int) -> list[dict[str, Any]]:
    """Return one row for each way of scoring under each protocol."""
    edges = [snapshot_edges(data, t) for t in range(data.num_snapshots)]
    *_, test = split_snapshots(len(edges))
    figures: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for seed in range(seeds):
        models = {
            RULE: DestinationRecency(data.num_nodes, ends="dst"),
            LEAKED: trained(edges, True, seed, epochs),
            FAIR: trained(edges, False, seed, epochs),
        }
        for protocol in (LEAKING, HONEST):
            scores = evaluate_links(edges, models, test, NegativeSampler(data.num_nodes, seed=seed), protocol)
            for name, score in scores.items():
                figures.setdefault((name, protocol), []).append({"auc": 100 * score.auc, "mrr": 100 * score.mrr})
    return [
        {"row": name, "protocol": protocol, "leaks": protocol == LEAKING}
        | {figure: mean_std([run[figure] for run in runs]) for figure in ("auc", "mrr")}
        for (name, protocol), runs in figures.items()
    ]


def generated(home: Path) -> Path:
    """Prepare generated ratings by weeks."""
    from data_prep.cli import app

    app(["synth", "bitcoin-otc", str(home / "raw"), "--events", "6000", "--quiet"], standalone_mode=False)
    app(["edges", str(home / "raw"), str(home / "prepared"), "--quiet"], standalone_mode=False)
    return home / "prepared"


def draw(rows: Sequence[dict[str, Any]], dataset: str, path: Path) -> None:
    """Draw AUC and MRR of every row, with the leak and without."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6))
    names = list(dict.fromkeys(row["row"] for row in rows))
    for axis, figure_name in zip(figure.subplots(1, 2, sharey=True), ("auc", "mrr"), strict=True):
        for shift, protocol, colour in ((-0.2, LEAKING, "tab:red"), (0.2, HONEST, "tab:blue")):
            chosen = {row["row"]: row[figure_name] for row in rows if row["protocol"] == protocol}
            means, stds = ([chosen[name][part] for name in names] for part in ("mean", "std"))
            label = "scored after the answer was inserted (LEAKS)" if protocol == LEAKING else "scored before (honest)"
            places = [place + shift for place in range(len(names))]
            bars = axis.barh(places, means, 0.38, xerr=stds, color=colour, label=label)
            axis.bar_label(bars, fmt="%.1f", padding=4, fontsize=8)
        axis.set(yticks=range(len(names)), yticklabels=names, xlim=(0, 118), xticks=range(0, 101, 25))
        axis.set_xlabel(f"{figure_name.upper()} in %, test snapshots")
        axis.invert_yaxis()
    figure.suptitle(f"{dataset}: the same scores with and without the leak of the public code")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="lower center", ncols=2, bbox_to_anchor=(0.5, -0.16))
    figure.savefig(path, dpi=120, bbox_inches="tight", metadata={"Software": None})


def main(argv: Sequence[str] | None = None) -> None:
    """Print the rows, and draw them if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path, nargs="?", help="folder written by dysign-prep (default: generated)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--picture", type=Path, help="PNG file to draw")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as home:
        data = TemporalGraph.load(args.prepared or generated(Path(home)))
        rows = measure(data, args.seeds, args.epochs)
    for row in rows:
        print(json.dumps({"benchmark": "leak", "dataset": data.manifest["dataset"], **row}))
    if args.picture is not None:
        draw(rows, data.manifest["dataset"], args.picture)


if __name__ == "__main__":
    main()
