"""Predict the links of a dynamic graph with UnderGS: prepared folder in, run folder with figures and pictures out.

    dysign-prep edges soc-sign-bitcoinotc.csv prepared/otc
    python examples/undergs_link_prediction.py prepared/otc --run-dir runs/otc --seeds 3
    python examples/undergs_link_prediction.py --raw soc-sign-bitcoinalpha.csv --run-dir runs/alpha

Snapshot t is scored from the state at the end of t - 1: each warm edge among 100 negatives. The row `undergs` sees
embeddings and features of pairs, `undergs-no-counts` embeddings alone, `undergs-paper` is the method as the report has
it; the others count, or learn from counts. A seed is that of the weights and that of the negatives.

Kill it at any moment: with --resume it goes on, and ends with the same figures. Several processes share the training
of each row, to the same figures: torchrun --standalone --nproc-per-node 2 examples/undergs_link_prediction.py ...
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

from rich.console import Console
from rich.table import Table

from dgl_dysign.errors import ConfigError
from dgl_dysign.evaluation import mean_std
from dgl_dysign.evaluation.link_scores import PROTOCOLS
from dgl_dysign.experiments import RunFolder, command, plots, shared_command
from dgl_dysign.experiments.diagnostics import link_diagnostics, save_diagnostics
from dgl_dysign.experiments.link_plots import link_bars, link_curves, link_over_time
from dgl_dysign.experiments.link_task import (
    AGGREGATORS,
    COUNTING,
    FIGURES,
    LINK_ROWS,
    REFERENCES,
    LinkRows,
    LinkRowSettings,
    with_training,
)
from dgl_dysign.experiments.memory import peak_rss_bytes, reset_peak
from dgl_dysign.experiments.saved_models import SavedModels
from dgl_dysign.training import LinkFitConfig, distributed

SCORES = (*FIGURES, "mrr_pooled")
OVER_TIME = ("undergs", "undergs-no-counts", "undergs-paper", "boosted-trees", "recent-degree")


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_data_options(found)
    found.add_argument("--rows", nargs="+", choices=LINK_ROWS, metavar="ROW", help=", ".join(LINK_ROWS))
    found.add_argument("--aggregators", nargs="+", choices=AGGREGATORS, default=[], help="rows undergs-NAME to add")
    found.add_argument("--seeds", type=int, default=3, help="of weights and negatives (default 3)")
    found.add_argument("--protocol", choices=tuple(PROTOCOLS), default="honest", help="undergs-released LEAKS")
    found.add_argument(
        "--historical", type=float, nargs="+", default=[0.0], metavar="SHARE",
        help="shares of negatives that are past destinations of the source; several: a table each (default 0)",
    )  # fmt: skip
    found.add_argument("--among", choices=("nodes", "destinations"), default="nodes", help="what negatives are")
    found.add_argument("--preset", choices=("default", "paper"), default="default", help="of all learned rows")
    found.add_argument("--aggregator", choices=AGGREGATORS, default="gcn", help="of rows that name none")
    found.add_argument("--hidden", type=int, default=LinkRowSettings.hidden_feats)
    found.add_argument("--num-neighbors", type=int, default=LinkRowSettings.num_neighbors)
    found.add_argument("--num-hops", type=int, default=LinkRowSettings.num_hops)
    found.add_argument("--snapshot-decay", type=float, help="of the store (default: the preset's)")
    found.add_argument("--importance", help="of the store (default: the preset's)")
    found.add_argument("--epochs", type=int, default=LinkFitConfig.epochs)
    found.add_argument("--batch-size", type=int, default=LinkFitConfig.batch_size)
    found.add_argument("--lr", type=float, default=LinkFitConfig.lr)
    found.add_argument("--num-negatives", type=int, default=LinkRowSettings.num_negatives, help="in evaluation")
    SavedModels.add_option(found)
    command.add_run_options(found)
    return found


def settings_of(args: argparse.Namespace) -> LinkRowSettings:
    """Return the settings that the command line asks for."""
    settings = LinkRowSettings(
        preset=args.preset,
        hidden_feats=args.hidden,
        num_neighbors=args.num_neighbors,
        num_hops=args.num_hops,
        aggregator=args.aggregator,
        snapshot_decay=args.snapshot_decay,
        importance=args.importance,
        num_negatives=args.num_negatives,
    )
    return with_training(settings, epochs=args.epochs, batch_size=args.batch_size, lr=args.lr, among=args.among)


def rows_of(args: argparse.Namespace) -> list[str]:
    """Return the rows: those asked for, and every reference row."""
    usual = ("undergs-paper", "undergs-no-counts", "undergs")
    asked = {*REFERENCES, *COUNTING, *(args.rows or usual), *(f"undergs-{name}" for name in args.aggregators)}
    return [row for row in LINK_ROWS if row in asked]


def run_unit(
    task: LinkRows, folder: RunFolder, saved: SavedModels, row: str, args: argparse.Namespace, key: str, tell: Any
) -> Any:
    """Train and score one row with one seed, or return what a finished unit recorded."""
    record = folder.unit(key)
    if record is not None:
        return record
    reset_peak()
    started, checkpoint = time.process_time(), folder.checkpoint(key)
    task.features.new_user()
    model, history = task.model(row, checkpoint, tell)
    spent = time.process_time() - started
    if history:  # seconds before an interruption count as well
        spent = max(spent, history[-1]["cpu_seconds"])
    started, figures = time.process_time(), []
    for historical in args.historical:
        scores = task.evaluate(model, args.protocol, historical)
        figures.append({"historical": historical, "protocol": scores.protocol, **task.figures(scores)})
    record = {
        "row": row,
        "key": key,
        "seed": task.seed,
        "figures": figures,
        # Features that another row has found already are part of this one's cost too.
        "cpu_seconds": spent + time.process_time() - started + task.features.saved_seconds,
        "peak_rss_bytes": peak_rss_bytes(),
        "history": history,
    }
    if distributed.rank():  # the first process writes
        return record
    saved.save_links(key, model, task.data)
    if task.seed == 0 and row not in (*REFERENCES, *COUNTING):  # one model of each learned row says enough
        save_diagnostics(folder, key, link_diagnostics(task, row, model))
    folder.save_unit(key, record)
    checkpoint.unlink(missing_ok=True)
    return record


def run_units(
    task: LinkRows, folder: RunFolder, saved: SavedModels, rows: Sequence[str], args: argparse.Namespace
) -> list[dict[str, Any]]:
    """Train and score every row with every seed."""
    records = []
    with command.progress_bar(args.quiet) as progress:
        bar = progress.add_task("", total=args.seeds * len(rows))
        for seed, row in product(range(args.seeds), rows):
            if seed != task.seed:
                task.begin(seed)
            key = f"seed{seed}-{row}"
            progress.update(bar, description=key)

            def tell(epoch: dict[str, float], key: str = key) -> None:
                found = f"{key}, epoch {epoch['epoch'] + 1}: validation MRR {100 * epoch['val_mrr']:.1f}"
                progress.update(bar, description=found)

            records.append(run_unit(task, folder, saved, row, args, key, tell))
            progress.advance(bar)
    return records


def summarise(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one object a row and share of historical negatives; figures in %."""
    found = []
    rows = list(dict.fromkeys(record["row"] for record in records))
    for place, row in product(range(len(records[0]["figures"])), rows):
        runs = [record for record in records if record["row"] == row]
        figures = [run["figures"][place] for run in runs]
        first = figures[0]
        cold = [f["cold_mrr"] for f in figures if f["cold_mrr"] is not None]
        found.append(
            {
                "row": row,
                "historical": first["historical"],
                **{name: mean_std([f[name] for f in figures]) for name in SCORES},
                **{f"val_{name}": mean_std([f[f"val_{name}"] for f in figures]) for name in SCORES},
                "cold_mrr": mean_std(cold) if cold else None,
                "edges": first["edges"],
                "cold_edges": first["cold_edges"],
                "cpu_seconds": mean_std([run["cpu_seconds"] for run in runs])["mean"],
                "peak_rss_bytes": max(run["peak_rss_bytes"] for run in runs),
                "protocol": first["protocol"],
            }
        )
    return found


def draw(folder: RunFolder, records: Sequence[dict[str, Any]], summary: Any, title: str) -> list[Path]:
    """Draw the pictures: rows over all seeds, and curves of the first."""
    path, first = folder.path, [record for record in records if record["seed"] == records[0]["seed"]]
    drawn = [link_bars(summary, "mrr", f"MRR, {title}", path / "scores.png")]
    histories = {record["row"]: record["history"] for record in first if record["history"]}
    if histories:
        drawn.append(link_curves(histories, title, path / "learning_curves.png"))
    chosen = {r["row"]: r["figures"][0]["by_snapshot"] for r in first if r["row"] in OVER_TIME}
    drawn.append(link_over_time(chosen, f"MRR by snapshot, {title}", path / "over_time.png"))
    return drawn


def show(summary: Sequence[dict[str, Any]], dataset: str, console: Console) -> None:
    """Print a table of figures for each share of historical negatives."""
    for historical in dict.fromkeys(row["historical"] for row in summary):
        rows = [row for row in summary if row["historical"] == historical]
        table = Table(title=f"{dataset}: warm edges, in %, {100 * historical:.0f} % historical negatives")
        table.caption = f"{rows[0]['protocol']}. {rows[0]['edges']} warm edges, {rows[0]['cold_edges']} cold ones"
        table.add_column("row")
        names = ("MRR", "pooled", "validation", "AUC", "AP", "Hits@1", "Hits@10", "CPU s", "MB")
        for name in names:
            table.add_column(name, justify="right")
        for row in rows:
            cells = [f"{row['mrr']['mean']:.1f} ± {row['mrr']['std']:.1f}"]
            for key in ("mrr_pooled", "val_mrr", "auc", "ap", "hits@1", "hits@10"):
                cells.append(f"{row[key]['mean']:.1f}")
            cells += [f"{row['cpu_seconds']:.0f}", f"{row['peak_rss_bytes'] / 2**20:.0f}"]
            table.add_row(row["row"], *cells, style="bold" if row["row"].startswith("undergs") else None)
        console.print(table)


def run(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Do what the command line asks for."""
    if args.seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, but got {args.seeds}")
    if not all(0 <= share <= 1 for share in args.historical):
        raise ConfigError(f"--historical must lie in 0 .. 1, but got {args.historical}")
    rows = rows_of(args)
    plots.require_matplotlib()  # now rather than after the training
    device = distributed.local_device(args.device)
    command.check_device(device)
    data, settings = shared_command.open_prepared(args), settings_of(args)
    task = LinkRows(data, settings, device)
    for row in rows:
        if row not in (*REFERENCES, *COUNTING):
            task.scorer(row)  # settings that do not fit are refused before anything is written
    # Not the rows and seeds: a run may be resumed with more of them.
    config = {
        "prepared": {key: data.manifest[key] for key in ("dataset", "sources", "files")},
        "settings": asdict(settings),
        "protocol": args.protocol,
        "historical": args.historical,
        "device": args.device,
    }
    learned = [row for row in rows if row not in (*REFERENCES, *COUNTING)]
    saved = SavedModels(args, [f"seed{seed}-{row}" for seed in range(args.seeds) for row in learned])
    folder = shared_command.SharedRunFolder(args.run_dir, config, args.resume, args.overwrite)
    saved.check_finished(folder)
    summary = summarise(records := run_units(task, folder, saved, rows, args))
    if distributed.rank():
        return summary
    folder.write_json("summary.json", summary)
    dataset, console = data.manifest["dataset"], Console(width=None if sys.stdout.isatty() else 120)
    leaks = ": LEAKS, for reproduction only" if "LEAKS" in PROTOCOLS[args.protocol] else ""
    show(summary, dataset + leaks, console)
    drawn = draw(folder, records, summary, f"{dataset}, {args.protocol}{leaks}")
    print(folder.path / "summary.json", folder.path / "metrics.jsonl", *drawn, sep="\n")
    return summary


def main(argv: Sequence[str] | None = None) -> int:
    """Run the example; return the exit status."""
    return shared_command.run_command("undergs_link_prediction", run, parser(), argv)


if __name__ == "__main__":
    sys.exit(main())
