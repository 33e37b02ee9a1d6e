"""Predict labels of events with UnderGS (Wikipedia, Reddit: is the user banned?): figures and pictures out.

    dysign-prep wikipedia RAW PREPARED
    python examples/undergs_node_classification.py PREPARED --run-dir runs/wikipedia --seeds 3

or, with `--raw RAW` in place of PREPARED, preparing first, into the folder `runs/wikipedia-prepared`.

Snapshots are split by time. Each event is scored from the state before its snapshot and from its own ends, time and
features; no other event of its snapshot, nothing later and no label but those of the training loss is seen. Kill it at
any moment: with --resume it goes on, and ends with the same figures.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from dgl_dysign.data import TemporalGraph
from dgl_dysign.errors import ConfigError
from dgl_dysign.evaluation import mean_std
from dgl_dysign.experiments import RunFolder, SavedModels, command, plots
from dgl_dysign.experiments.diagnostics import event_diagnostics, save_diagnostics
from dgl_dysign.experiments.event_entries import EVENT_ROWS, SCORES, EventSettings, event_scores, make_undergs
from dgl_dysign.experiments.event_plots import event_bars, event_curves, event_learning
from dgl_dysign.experiments.event_task import PARTS, SPLITS, EventTask
from dgl_dysign.experiments.memory import peak_rss_bytes, reset_peak
from dgl_dysign.training.events import LOSSES, EventFitConfig


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    prepared, formats = "folder written by dysign-prep, with labels of events", ("wikipedia", "reddit")
    command.add_data_options(found, prepared, formats, format_help="what --raw holds")
    found.add_argument("--seeds", type=int, default=3, help="models of each row (default 3)")
    found.add_argument("--rows", nargs="+", choices=EVENT_ROWS, default=list(EVENT_ROWS), metavar="ROW")
    found.add_argument("--train", type=float, default=0.7, help="share for training (default 0.7)")
    found.add_argument("--val", type=float, default=0.1, help="share for validation (default 0.1)")
    found.add_argument("--split", choices=SPLITS, default="snapshots", help="shares of what (default snapshots)")
    found.add_argument("--epochs", type=int, default=EventFitConfig.epochs)
    found.add_argument("--loss", choices=LOSSES, default=EventFitConfig.loss, help="weigh both labels the same or not")
    found.add_argument("--hidden", type=int, default=EventSettings.hidden, help="width of UnderGS")
    found.add_argument("--neighbors", type=int, default=EventSettings.num_neighbors, help="slots of the store")
    SavedModels.add_option(found)
    command.add_run_options(found)
    return found


def settings_of(args: argparse.Namespace) -> EventSettings:
    """Return the settings that the command line asks for."""
    training = EventFitConfig(epochs=args.epochs, loss=args.loss)
    return EventSettings(hidden=args.hidden, num_neighbors=args.neighbors, training=training)


def run_unit(
    task: EventTask, settings: EventSettings, folder: RunFolder, saved: SavedModels, row: str, seed: int
) -> tuple[dict[str, Any], np.ndarray]:
    """Train and score one row with one seed, or return what a finished unit recorded; and its scores of test events."""
    key = f"seed{seed}-{row}"
    record, file = folder.unit(key), folder.path / "checkpoints" / f"{key}.scores.npy"
    if record is None:
        reset_peak()
        started, checkpoint = time.process_time(), folder.checkpoint(key)
        outcome = EVENT_ROWS[row](task, settings, seed, checkpoint)
        saved.save_events(key, outcome.model, task.data)
        spent = time.process_time() - started
        if outcome.history:  # seconds before an interruption count as well
            spent = max(spent, outcome.history[-1]["cpu_seconds"])
        record = {
            "row": row,
            "seed": seed,
            "key": key,
            **event_scores(task, outcome.scores, "test"),
            **{f"val_{name}": value for name, value in event_scores(task, outcome.scores, "val").items()},
            "cpu_seconds": spent,
            "peak_rss_bytes": peak_rss_bytes(),
            "history": outcome.history,
        }
        np.save(file, outcome.scores[task.parts["test"]].numpy())
        if seed == 0:  # one model of each row says enough
            save_diagnostics(folder, key, event_diagnostics(task, settings, row, outcome.scores))
        folder.save_unit(key, record)
        checkpoint.unlink(missing_ok=True)
    return record, np.load(file)


def summarise(records: Sequence[dict[str, Any]], about: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one object a row."""
    found = []
    for row in EVENT_ROWS:
        runs = [record for record in records if record["row"] == row]
        if runs:
            names = [*SCORES, *(f"val_{name}" for name in SCORES)]
            found.append(
                {
                    "row": row,
                    **{name: mean_std([run[name] for run in runs]) for name in names},
                    "cpu_seconds": mean_std([run["cpu_seconds"] for run in runs])["mean"],
                    "peak_rss_bytes": max(run["peak_rss_bytes"] for run in runs),
                    **about,
                }
            )
    return found


def describe(task: EventTask, data: TemporalGraph, split: str) -> dict[str, Any]:
    """Return what every row of the summary says of the data: name, whether generated, events and label rates."""
    name = data.manifest["dataset"]
    found: dict[str, Any] = {"dataset": name, "generated": name.endswith("-generated"), "split": split}
    for part in PARTS:
        labels = task.label[task.parts[part]]
        found[f"{part}_events"], found[f"{part}_positives"] = len(labels), int(labels.sum())
        found[f"{part}_label_rate"] = 100 * float(labels.double().mean())
    return found


def title_of(about: dict[str, Any]) -> str:
    """Return the name of the data set for tables and pictures, which say where it is generated."""
    name = about["dataset"].removesuffix("-generated")
    return f"{name} (generated data)" if about["generated"] else name


def show(summary: Sequence[dict[str, Any]], console: Console) -> None:
    """Print the table of figures."""
    about = summary[0]
    table = Table(title=f"{title_of(about)}: labels of test events, in %, mean ± deviation over runs")
    table.add_column("row")
    heads = {"auc": "AUC", "ap": "average precision", "accuracy": "accuracy", "recall_at_1pct": "found in the top 1 %"}
    for score in SCORES:
        table.add_column(heads[score], justify="right")
    for row in summary:
        digits = {"accuracy": 2, "ap": 2}
        cells = [f"{row[s]['mean']:.{digits.get(s, 1)}f} ± {row[s]['std']:.{digits.get(s, 1)}f}" for s in SCORES]
        table.add_row(row["row"], *cells)
    console.print(table)
    parts = ", ".join(f"{p}: {about[f'{p}_positives']} of {about[f'{p}_events']}" for p in PARTS)
    console.print(f"positives, split by {about['split']}: {parts} ({about['test_label_rate']:.3f} % of test)")


def draw(
    task: EventTask, folder: RunFolder, summary: Sequence[dict[str, Any]], records: Any, scores: dict[str, np.ndarray]
) -> list[Path]:
    """Draw the pictures: curves of the first seed, the table of all."""
    title, true = title_of(summary[0]), (task.label[task.parts["test"]] == 1).numpy()
    drawn = [event_bars(summary, f"Labels of events: {title}", folder.path / "scores.png")]
    drawn += event_curves(true, scores, f"{title}, test events", folder.path)
    histories = {r["row"]: r["history"] for r in records if r["seed"] == 0 and r["history"]}
    if histories:
        drawn.append(event_learning(histories, folder.path / "learning_curves.png"))
    return drawn


def run(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Do what the command line asks for."""
    if args.seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, but got {args.seeds}")
    settings = settings_of(args)
    plots.require_matplotlib()  # now rather than after the training
    command.check_device(args.device)
    data = command.open_prepared(args)
    task = EventTask(data, args.train, args.val, args.split, args.device)
    # Not the rows and seeds: a run may be resumed with more of them.
    config = {
        "prepared": {key: data.manifest[key] for key in ("dataset", "sources", "files")},
        "split": {"train": args.train, "val": args.val, "of": args.split},
        "settings": asdict(settings),
        "device": args.device,
    }
    make_undergs(task, settings, 0)  # settings that do not fit are refused before anything is written
    rows = list(dict.fromkeys(args.rows))
    learned = [row for row in rows if row.startswith("undergs")]
    saved = SavedModels(args, [f"seed{seed}-{row}" for seed in range(args.seeds) for row in learned])
    folder = RunFolder(args.run_dir, config, args.resume, args.overwrite)
    saved.check_finished(folder)
    records, scores = run_units(task, settings, folder, saved, args.seeds, rows, args.quiet)
    summary = summarise(records, describe(task, data, args.split))
    folder.write_json("summary.json", summary)
    drawn = draw(task, folder, summary, records, scores)
    show(summary, Console())
    print(folder.path / "summary.json", folder.path / "metrics.jsonl", *drawn, sep="\n")
    return summary


def run_units(
    task: EventTask,
    settings: EventSettings,
    folder: RunFolder,
    saved: SavedModels,
    seeds: int,
    rows: list[str],
    quiet: bool,
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Train and score every row with every seed; return the records, and the first seed's scores of test events."""
    records: list[dict[str, Any]] = []
    scores: dict[str, np.ndarray] = {}
    with command.progress_bar(quiet) as progress:
        bar = progress.add_task("training", total=seeds * len(rows))
        for seed, row in product(range(seeds), rows):
            progress.update(bar, description=f"seed {seed}: {row}")
            record, found = run_unit(task, settings, folder, saved, row, seed)
            records.append(record)
            scores.setdefault(row, found)
            progress.advance(bar)
    return records, scores


def main(argv: Sequence[str] | None = None) -> int:
    """Run the example; return the exit status."""
    return command.run_command("undergs_node_classification", run, parser().parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
