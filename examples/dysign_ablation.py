"""Show what each ingredient of Dy-SIGN gives: one change at a time from the defaults, on one training ratio.

    python examples/dysign_ablation.py PREPARED --run-dir runs/ablation --seeds 3
    python examples/dysign_ablation.py PREPARED --run-dir runs/ablation --seeds 3 --groups leak latency --resume

Each group is a table and a panel of ``ablation.png``; figures are of test nodes, nothing is chosen by them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dgl_dysign.cli import argument, option
from dgl_dysign.data import stratified_split
from dgl_dysign.errors import DataError
from dgl_dysign.experiments.ablations import LEAKS, NodeAblation
from dgl_dysign.experiments.command import check_device, open_prepared
from dgl_dysign.experiments.node_task import NodeSettings, NodeTask
from dgl_dysign.experiments.options import RunOptions
from dgl_dysign.experiments.result_table import ResultTable
from dgl_dysign.experiments.runner import run as run_all
from dgl_dysign.experiments.train_cli import run_study
from dgl_dysign.training import FitConfig


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


@dataclass(kw_only=True)
class Options(RunOptions):
    """The command line."""

    prepared: Path = argument("A folder written by dysign-prep, with node features and labels.")
    train_ratio: float = option("Share of labelled nodes for training.", 0.4)
    groups: list[str] = option("Only groups whose name begins so; default: all.", [])
    hidden: int = option("Neurons.", NodeSettings.hidden)
    epochs: int = option("Of training.", FitConfig.epochs)


def run(options: Options) -> ResultTable:
    """Do what the command line asks for."""
    check_device(options.device)
    data = open_prepared(options)
    if data.feature_dim is None or data.num_classes < 2:
        raise DataError(f"{options.prepared}: needs node features and labels of two classes at least; prepare it again")
    recipe = NodeSettings().feature_only
    recipe = replace(recipe, training=replace(recipe.training, epochs=options.epochs))
    base = NodeSettings(hidden=options.hidden, feature_only=recipe)
    wanted = tuple(options.groups or ("",))
    groups = {name: v for name, v in variants(base, data.num_snapshots).items() if name.startswith(wanted)}
    neurons = any(name.startswith(wanted) for name in ("latency", "leak, in evaluation only"))
    split, task = stratified_split(data.labels, options.train_ratio, 42), NodeTask(data, base, options.device)
    config = {"settings": asdict(base), "train_ratio": options.train_ratio, "files": data.manifest["files"]}
    return run_all(NodeAblation(task, split, options.seeds, groups, neurons), config, options)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the example; return the exit status."""
    return run_study("dysign_ablation", __doc__, Options, lambda options: run(options).show(), argv)


if __name__ == "__main__":
    sys.exit(main())
