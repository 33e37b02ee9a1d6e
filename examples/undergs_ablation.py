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

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from dgl_dysign.errors import ConfigError
from dgl_dysign.evaluation import mean_std
from dgl_dysign.experiments import RunFolder, command, plots
from dgl_dysign.experiments.ablations import LinkSettings, LinkTask, fit_and_score, pipeline
from dgl_dysign.models import PRESETS
from dgl_dysign.training import LinkFitConfig

NO_DECAY = 1 - 1e-6
BATCH_SIZES = (64, 256, None)
MRR = {"validation": "val_mrr", "test": "mrr"}
TRAINING, OLD = ("CPU s of training", "cpu_seconds"), ("% of neighbours older than a snapshot", "historical_share")
BESIDE = {"hops": TRAINING, "neighbors": TRAINING, "history": OLD, "pipeline": ("MB held for a batch", "tape_mb")}


@dataclass(frozen=True)
class Study:
    """LinkSettings by name, and the name of the one that others are compared with."""

    about: str
    reference: str
    values: dict[str, LinkSettings]


def studies(base: LinkSettings, families: tuple[str, ...]) -> dict[str, Study]:
    """Return all studies, the cheap ones first."""

    def grid(name: str, about: str, *values: Any) -> Study:
        return Study(about, str(getattr(base, name)), {str(v): replace(base, **{name: v}) for v in values})

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
    batches = {"whole" if b is None else str(b): base for b in BATCH_SIZES}
    return {
        "modules": Study("one module changed", "full", modules),
        "presets": Study(
            "one value of the other preset", "base", {"base": base, **presets, "all": replace(base, **unlike)}
        ),
        "hops": grid("num_hops", "longest path L", 1, 2, 3),
        "filter_ratio": grid("filter_ratio", "share of neighbours that training hides", 0.1, 0.3, 0.5, 0.7, 0.9),
        "neighbors": grid("num_neighbors", "neighbours a node, K", 2, 4, 8, 16, 32),
        "hop_decay": grid("hop_decay", "decay a hop", *decays),
        "snapshot_decay": grid("snapshot_decay", "decay a snapshot", *decays, 0.8, 0.9),
        "history": Study("past snapshots in the store", "all", history),
        "pipeline": Study("edges in a batch", "whole", batches),
        "counts": _counts(replace(base, embeddings=False), families),
        "counts_and_embeddings": _counts(base, families),
    }


def _counts(base: LinkSettings, families: tuple[str, ...]) -> Study:
    """Add families one after the other, then leave each out of all."""
    values = {"none": replace(base, families=())} if base.embeddings else {}
    for place, family in enumerate(families):
        name = f"+ {family}" if place < len(families) - 1 else "all"
        values[name] = replace(base, families=families[: place + 1])
    if len(families) > 2:
        for family in families:
            values[f"all but {family}"] = replace(base, families=tuple(f for f in families if f != family))
    return Study("features of pairs" + (", with embeddings" if base.embeddings else " alone"), "all", values)


Unit = tuple[str, Callable[[], dict[str, Any]]]


def units(task: LinkTask, name: str, study: Study, base: LinkSettings) -> dict[str, Unit]:
    """Return for each value of a study the key of its unit, which studies share, and what does it."""
    found: dict[str, Unit] = {}
    for value, settings in study.values.items():
        if name == "pipeline":
            size = None if value == "whole" else int(value)
            found[value] = f"pipeline={value}", partial(pipeline, task, settings, size)
        else:
            found[value] = settings.key(base), partial(fit_and_score, task, settings)
    return found


Records = dict[str, dict[str, dict[int, dict[str, Any]]]]


def run_units(
    task: LinkTask, folder: RunFolder, base: LinkSettings, chosen: Mapping[str, Study], seeds: int, quiet: bool
) -> Records:
    """Do what is not done yet, a seed after the other; return the records by study, value and seed."""
    records: Records = {name: {value: {} for value in study.values} for name, study in chosen.items()}
    with command.progress_bar(quiet) as progress:
        bar = progress.add_task("", total=seeds * sum(len(study.values) for study in chosen.values()))
        for seed in range(seeds):
            task.begin(seed)
            for name, study in chosen.items():
                for value, (key, work) in units(task, name, study, base).items():
                    unit = f"{key}-seed{seed}"
                    progress.update(bar, description=f"{name} {value}, seed {seed}")
                    if folder.unit(unit) is None:
                        folder.save_unit(unit, {"key": key, "seed": seed, **work()})
                    records[name][value][seed] = folder.unit(unit) or {}
                    progress.advance(bar)
    return records


def summarise(records: Records, chosen: Mapping[str, Study]) -> list[dict[str, Any]]:
    """Return one object for each value of each study, over seeds."""
    summary = []
    for name, values in records.items():
        reference = values[chosen[name].reference]
        for value, runs in values.items():
            scores = [run["scores"] for run in runs.values()]
            row: dict[str, Any] = {"row": f"{name}: {value}", "study": name, "value": value}
            row |= {key: mean_std([found[key] for found in scores]) for key in scores[0]}
            if name != "pipeline":
                for key in ("val_mrr", "mrr"):
                    row[key] |= compare(runs, reference, key)
                row["verdict"] = "reference" if runs == reference else verdict(row)
            summary.append(row)
    return summary


def compare(
    runs: Mapping[int, Mapping[str, Any]], reference: Mapping[int, Mapping[str, Any]], key: str
) -> dict[str, float]:
    """Return the mean difference of the snapshots' MRR from the reference, and two standard errors of it.

    Errors over snapshots and, where there are several seeds, over seeds are added in squares.
    """
    pairs = [(run["by_snapshot"][key], reference[seed]["by_snapshot"][key]) for seed, run in runs.items()]
    found = np.array([np.subtract(*pair) for pair in pairs])
    errors = [part.std(ddof=1) / len(part) ** 0.5 for part in (found.mean(0), found.mean(1)) if len(part) > 1]
    return {"delta": float(found.mean()), "noise": float(2 * np.linalg.norm(errors)) if errors else 0.0}


def verdict(row: Mapping[str, Any]) -> str:
    """Say whether the differences stand out of the noise."""
    once = " (one seed)" if row["mrr"]["runs"] == 1 else ""
    clear = {row[key]["delta"] > 0 for key in ("val_mrr", "mrr") if abs(row[key]["delta"]) > row[key]["noise"]}
    if not clear:
        return "within noise"
    return ("mixed" if len(clear) == 2 else "better" if clear.pop() else "worse") + once


def show(summary: Sequence[Mapping[str, Any]], name: str, study: Study, console: Console) -> None:
    """Print the table of a study."""
    rows = [row for row in summary if row["study"] == name]
    if name == "pipeline":
        keys = ("cpu_seconds_epoch", "tape_mb", "gradient_difference")
        table = Table(study.about, *keys, title=name)
        for row in rows:
            table.add_row(row["value"], *(f"{row[key]['mean']:.3g}" for key in keys))
    else:
        table = Table(name, "validation", "difference", "test", "difference", "verdict", "AUC", "CPU s")
        table.title = f"{study.about}: MRR in %, {rows[0]['mrr']['runs']} seed(s), difference from {study.reference}"
        for row in rows:
            cells = []
            for key in ("val_mrr", "mrr"):
                found = row[key]
                spread = f" ± {found['std']:.1f}" if found["runs"] > 1 else ""
                cells += [f"{found['mean']:.1f}{spread}", f"{found['delta']:+.1f} ± {found['noise']:.1f}"]
            more = f"{row['auc']['mean']:.1f}", f"{row['cpu_seconds']['mean']:.0f}"
            table.add_row(row["value"], *cells, row["verdict"], *more)
    console.print(table)


def draw(summary: Sequence[Mapping[str, Any]], name: str, study: Study, dataset: str, folder: Path) -> Path:
    """Draw the picture of a study."""
    rows = [row for row in summary if row["study"] == name]
    lines = {"CPU s of an epoch's steps": "cpu_seconds_epoch"} if name == "pipeline" else MRR
    kind = "" if name == "pipeline" else ", MRR in %"
    title = f"{dataset}: {study.about}{kind}"
    return plots.study(rows, lines, BESIDE.get(name), title, folder / f"{name}.png")


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_data_options(found)
    found.add_argument("--base", choices=("paper", "default", "no-counts"), default="default", help="what is varied")
    found.add_argument("--studies", nargs="+", metavar="NAME", help="which, see above (default: all)")
    found.add_argument("--seeds", type=int, default=3)
    found.add_argument("--epochs", type=int, default=LinkFitConfig.epochs)
    command.add_run_options(found, device=None, quiet="show no progress")
    return found


def run(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Do what the command line asks for."""
    if args.seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, but got {args.seeds}")
    data = command.open_prepared(args)
    task = LinkTask(data, args.epochs)
    base = LinkSettings.base(args.base, task.families)
    known = studies(base, task.families)
    for name in args.studies or ():
        if name not in known:
            raise ConfigError(f"--studies must be some of {', '.join(known)}, but got {name!r}")
    chosen = {name: study for name, study in known.items() if name in (args.studies or known)}
    plots.require_matplotlib()  # now rather than after the training
    # Not the studies and seeds: a run may be resumed with more of them.
    config = {"base": asdict(base), "fit": asdict(task.config), "files": data.manifest["files"]}
    folder = RunFolder(args.run_dir, config, args.resume, args.overwrite)
    records = run_units(task, folder, base, chosen, args.seeds, args.quiet)
    summary = summarise(records, chosen)
    console = Console(width=None if sys.stdout.isatty() else 120)
    folder.write_json("summary.json", summary)
    for name, study in chosen.items():
        show(summary, name, study, console)
        print(draw(summary, name, study, data.manifest["dataset"], folder.path))
    print(folder.path / "summary.json")
    return summary


def main(argv: Sequence[str] | None = None) -> int:
    """Run the example; return the exit status."""
    return command.run_command("undergs_ablation", run, parser().parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
