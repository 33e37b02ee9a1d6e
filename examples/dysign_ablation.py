"""Show what each ingredient of Dy-SIGN gives: one change at a time from the defaults, on one training ratio.

    python examples/dysign_ablation.py PREPARED --run-dir runs/ablation --seeds 3
    python examples/dysign_ablation.py PREPARED --run-dir runs/ablation --seeds 3 --groups leak latency --resume

Each group is a table and a panel of ``ablation.png``; figures are of test nodes, nothing is chosen by them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from dgl_dysign.data import stratified_split
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.experiments import command
from dgl_dysign.experiments.ablations import LEAKS, NodeAblation
from dgl_dysign.experiments.node_task import NodeSettings, NodeTask
from dgl_dysign.experiments.runner import run as run_study
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


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_data_options(options, "folder written by dysign-prep, with node features and labels", formats=())
    options.add_argument("--train-ratio", type=float, default=0.4)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--groups", nargs="+", help="only groups whose name begins so (default: all)")
    options.add_argument("--hidden", type=int, default=NodeSettings.hidden, help="neurons")
    options.add_argument("--epochs", type=int, default=FitConfig.epochs)
    command.add_run_options(options, device="", quiet=None)
    return options


def run(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Do what the command line asks for."""
    if args.seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, but got {args.seeds}")
    command.check_device(args.device)
    data = command.open_prepared(args)
    if data.feature_dim is None or data.num_classes < 2:
        raise DataError(f"{args.prepared}: needs node features and labels of two classes at least; prepare it again")
    recipe = NodeSettings().feature_only
    recipe = replace(recipe, training=replace(recipe.training, epochs=args.epochs))
    base = NodeSettings(hidden=args.hidden, feature_only=recipe)
    wanted = tuple(args.groups or ("",))
    groups = {name: v for name, v in variants(base, data.num_snapshots).items() if name.startswith(wanted)}
    neurons = any(name.startswith(wanted) for name in ("latency", "leak, in evaluation only"))
    split, task = stratified_split(data.labels, args.train_ratio, 42), NodeTask(data, base, args.device)
    config = {"settings": asdict(base), "train_ratio": args.train_ratio, "files": data.manifest["files"]}
    return run_study(NodeAblation(task, split, args.seeds, groups, neurons), config, args)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the example; return the exit status."""
    return command.run_command("dysign_ablation", run, parser(), argv)


if __name__ == "__main__":
    sys.exit(main())
