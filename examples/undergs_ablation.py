"""Show what each part of UnderGS gives for links: one change at a time from a base, scored honestly.

    python examples/undergs_ablation.py PREPARED --run-dir runs/undergs-ablation --base paper
    python examples/undergs_ablation.py --raw soc-sign-bitcoinalpha.csv --run-dir runs/undergs-ablation --seeds 3
    python examples/undergs_ablation.py PREPARED --run-dir runs/undergs-ablation --studies history counts --resume

Every study is a table and a picture. Snapshot t is scored from the state at the end of t - 1: warm edges, 100
negatives. Validation and test figures both stand there: choose by the first, report the second. The difference from the
study's reference row is taken snapshot by snapshot on the same negatives, with two standard errors; below them it is
called noise. Of many rows some still stand out by chance. With one seed, what training owes to chance is not in it, and
the verdict says so: believe it no more than a guess.

Of the technical report: modules (table 5), hops (figure 4), neighbors (6), filter_ratio (5), hop_decay (2),
snapshot_decay (3), history (7), pipeline (table 6). Of this project: `presets`, the values in which the report and this
project's default differ, changed one at a time; `counts` and `counts_and_embeddings`, what features of pairs give.

Honest scoring changes what some of them mean. The report's current snapshot is the one that is scored: here every
neighbour in the store is historical, so that the time-aware filter is a dropout of neighbours, and a history of 0
snapshots is no neighbour at all. A history of h snapshots is a store made anew from t - h .. t - 1. Hiding the older
entries of the full store would not do: an old entry of great importance may have pushed out a newer one, and its slot
would stay empty. No decay is a decay of 0.999999: the store wants one below 1.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from dgl_dysign.cli import option
from dgl_dysign.errors import ConfigError
from dgl_dysign.experiments.ablations import LinkAblation, LinkStudy, PipelineStudy, counts_study
from dgl_dysign.experiments.command import check_device, open_prepared
from dgl_dysign.experiments.link_task import LinkSettings, LinkTask
from dgl_dysign.experiments.options import RawOptions
from dgl_dysign.experiments.result_table import ResultTable
from dgl_dysign.experiments.runner import run as run_all
from dgl_dysign.experiments.train_cli import run_study
from dgl_dysign.models import PRESETS
from dgl_dysign.pairs import LinkFeatures
from dgl_dysign.training import LinkFitConfig

NO_DECAY = 1 - 1e-6
TRAINING, OLD = ("CPU s of training", "cpu_seconds"), ("% of neighbours older than a snapshot", "historical_share")
HELD = ("MB held for a batch", "tape_mb")


def studies(base: LinkSettings, families: tuple[str, ...]) -> dict[str, LinkStudy]:
    """Return all studies, the cheap ones first."""

    def grid(name: str, about: str, *values: Any, bars: tuple[str, str] | None = None) -> LinkStudy:
        return LinkStudy(about, str(getattr(base, name)), {str(v): replace(base, **{name: v}) for v in values}, bars)

    kinds = {f"importance {i}": replace(base, importance=i) for i in ("cohesion", "degree", "core", "uniform")}
    modules = {
        "full": base,
        "no filter": replace(base, filter_ratio=0.0),
        "no snapshot decay": replace(base, snapshot_decay=NO_DECAY),
        "no path decay": replace(base, hop_decay=NO_DECAY),
        **kinds,
    }
    other = LinkSettings.base("no-counts" if base.loss == "bce" else "paper", ())
    unlike = {name: getattr(other, name) for name in asdict(PRESETS["paper"])}
    unlike = {name: value for name, value in unlike.items() if value != getattr(base, name)}
    presets = {f"{name} {value}": replace(base, **{name: value}) for name, value in unlike.items()}
    history = {"all" if h is None else str(h): replace(base, history=h) for h in (0, 1, 3, 5, None)}
    decays = (0.005, 0.01, 0.05, 0.1, 0.5)
    batches = {"whole" if b is None else str(b): base for b in (64, 256, None)}
    return {
        "modules": LinkStudy("one module changed", "full", modules),
        "presets": LinkStudy(
            "one value of the other preset", "base", {"base": base, **presets, "all": replace(base, **unlike)}
        ),
        "hops": grid("num_hops", "longest path L", 1, 2, 3, bars=TRAINING),
        "filter_ratio": grid("filter_ratio", "share of neighbours that training hides", 0.1, 0.3, 0.5, 0.7, 0.9),
        "neighbors": grid("num_neighbors", "neighbours a node, K", 2, 4, 8, 16, 32, bars=TRAINING),
        "hop_decay": grid("hop_decay", "decay a hop", *decays),
        "snapshot_decay": grid("snapshot_decay", "decay a snapshot", *decays, 0.8, 0.9),
        "history": LinkStudy("past snapshots in the store", "all", history, OLD),
        "pipeline": PipelineStudy("edges in a batch", "whole", batches, HELD),
        "counts": counts_study(replace(base, embeddings=False), families),
        "counts_and_embeddings": counts_study(base, families),
    }


@dataclass(kw_only=True)
class Options(RawOptions):
    """The command line."""

    base: Literal["paper", "default", "no-counts"] = option("What is varied.", "default")
    studies: list[str] = option("Which, see above; default: all.", [], metavar="NAME...")
    epochs: int = option("Of training.", LinkFitConfig.epochs)


def run(options: Options) -> ResultTable:
    """Do what the command line asks for."""
    check_device(options.device)
    data = open_prepared(options)
    families = LinkFeatures.of(data).families
    base = LinkSettings.base(options.base, families, training=LinkFitConfig(epochs=options.epochs))
    known = studies(base, families)
    for name in options.studies or ():
        if name not in known:
            raise ConfigError(f"--studies must be some of {', '.join(known)}, but got {name!r}")
    chosen = {name: study for name, study in known.items() if name in (options.studies or known)}
    config = {"base": asdict(base), "files": data.manifest["files"]}
    return run_all(LinkAblation(LinkTask(data, base, options.device), chosen, options.seeds), config, options)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the example; return the exit status."""
    return run_study("undergs_ablation", __doc__, Options, lambda options: run(options).show(), argv)


if __name__ == "__main__":
    sys.exit(main())
