"""Training and scoring Dy-SIGN on a folder larger than the memory given to the process, beside the same in memory.

Three rows, each from a fresh process, with the same data, seed and settings:

``files`` under a limit
    Features, rates and messages on disk. The limit is ``RLIMIT_DATA``: the kernel refuses the process every byte of
    memory of its own (heap, anonymous and private mappings) beyond it. Pages of mapped files are not counted there:
    they are the system's, which takes them back when it needs them. ``peak_rss_bytes`` has them in.
``memory`` under the same limit
    Shows that the limit bites: it must not finish.
``memory`` without one
    What the slowdown is measured against; losses must be the same to the last bit, scores of nodes to rounding.

The folder is prepared by ``dysign-prep`` from generated citations; its features are random, with a trace of the class.

    python benchmarks/out_of_core.py                                # folder of 3 times the limit
    python benchmarks/out_of_core.py --quick
    python benchmarks/out_of_core.py --scale 1 --parts 5 --dim 128 --hidden 256 --snapshots 1 --epochs 1 \
        --limit-mib 8192 --modes files                              # Patent, as large as published
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

MIB = 1 << 20


def make_folder(home: Path, scale: float, parts: int, dim: int) -> Path:
    """Prepare generated citations, with random features a snapshot; return the folder."""
    from data_prep.cli import app

    raw, folder = str(home / "raw"), home / "prepared"
    for command in (
        ["synth", "patent", raw, "--scale", str(scale)],
        ["patent", raw, str(folder), "--snapshots", str(parts)],
    ):
        if app([*command, "--quiet"], standalone_mode=False):
            raise RuntimeError(f"dysign-prep {' '.join(command)} failed")
    add_features(folder, dim)
    return folder


def add_features(folder: Path, dim: int) -> None:
    """Give every snapshot random features with a trace of the class; rows of nodes not seen yet are zero."""
    from data_prep.writer import ROW_GROUP, TableWriter
    from dgl_dysign.data import TemporalGraph, schema

    data, generator = TemporalGraph.load(folder), np.random.default_rng(0)
    labels, manifest = data.labels.numpy(), data.manifest
    centres = generator.standard_normal((data.num_classes, dim), np.float32) / 4
    (folder / "features").mkdir()
    for t in range(data.num_snapshots):
        active = data.active(t).numpy()
        path = folder / f"{schema.feature_name(t)}.parquet"
        with TableWriter(path, schema.feature_schema(dim)) as file:
            for begin in range(0, data.num_nodes, ROW_GROUP):
                rows = slice(begin, begin + ROW_GROUP)
                feat = generator.random((len(labels[rows]), dim), np.float32) + centres[labels[rows]]
                file.write({"feat": feat * active[rows, None]})
        manifest["files"][str(path.relative_to(folder))] = schema.sha256(path)
    manifest["features"] = {"kind": "random", "dim": dim}
    schema.write_manifest(folder, manifest)


class _Watch(threading.Thread):
    """Keep the largest anonymous memory that was seen."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.anonymous = 0

    def run(self) -> None:
        """Look twenty times a second."""
        while True:
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("RssAnon"):
                    self.anonymous = max(self.anonymous, int(line.split()[1]) * 1024)
            time.sleep(0.05)


def train(folder: str, on_disk: bool, hidden: int, snapshots: int, epochs: int, scratch: str) -> dict[str, Any]:
    """Train and score all nodes by the spiking simulation, in this process; return what it took."""
    import torch

    from dgl_dysign.data import TemporalGraph, stratified_split
    from dgl_dysign.data.row_store import RowFiles
    from dgl_dysign.evaluation import f1_scores
    from dgl_dysign.experiments.memory import peak_rss_bytes, return_freed_memory
    from dgl_dysign.experiments.node_entries import node_scores
    from dgl_dysign.experiments.node_task import NodeSettings, NodeTask
    from dgl_dysign.training import EquilibriumCache, FitConfig, fit

    return_freed_memory(larger_than=1 << 20)
    watch, begin = _Watch(), time.perf_counter()
    if sys.platform == "linux":
        watch.start()
    data = TemporalGraph.load(folder)
    settings = NodeSettings(snapshots=snapshots or data.num_snapshots, hidden=hidden)
    task = NodeTask(data, settings, files=RowFiles(scratch) if on_disk else None)
    task = task.with_split(*stratified_split(task.labels, 0.4, 42))
    model = task.dysign(label_aware=False)
    cache = EquilibriumCache(model, task.snapshots, None, task.files)
    times = [time.perf_counter()]
    config = FitConfig(epochs=epochs)
    nodes = task.labels, task.train, task.val
    history = fit(model, cache, *nodes, config, on_epoch=lambda _: times.append(time.perf_counter()))
    del cache
    begin_scores = time.perf_counter()
    classes = node_scores(task, model, task.snapshots, None, simulate=True).argmax(1)
    return {
        "nodes": data.num_nodes, "events": data.num_edges, "snapshots": settings.snapshots, "dim": data.feature_dim,
        "hidden": hidden, "train_nodes": len(task.train), "setup_seconds": round(times[0] - begin, 2),
        "epoch_seconds": [round(b - a, 2) for a, b in pairwise(times)],
        "score_seconds": round(time.perf_counter() - begin_scores, 2),
        "cpu_seconds": round(time.process_time(), 2), "peak_rss_bytes": peak_rss_bytes(),
        "peak_anonymous_bytes": watch.anonymous, "major_faults": resource.getrusage(resource.RUSAGE_SELF).ru_majflt,
        "losses": [record["loss"] for record in history], "gaps": [record["gap"] for record in history],
        "macro_f1": f1_scores(task.labels, classes, task.test)["macro_f1"],
        "class_counts": torch.bincount(classes, minlength=task.num_classes).tolist(),
    }  # fmt: skip


def fresh(folder: Path, on_disk: bool, limit: int, args: argparse.Namespace, scratch: str) -> dict[str, Any]:
    """Train in a fresh process under a limit (0: none), and return its row."""
    arguments = {
        "folder": str(folder), "on_disk": on_disk, "hidden": args.hidden, "snapshots": args.snapshots,
        "epochs": args.epochs, "scratch": scratch,
    }  # fmt: skip
    command = [sys.executable, __file__, "--one", json.dumps(arguments)]
    set_limit = (lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))) if limit else None
    # Arrow's own pool reserves a GiB of addresses that it never uses; the limit counts addresses.
    # One thread, unless asked for more: each has a stack and buffers of its own under the limit.
    env = {"OMP_NUM_THREADS": "1", **os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=set_limit, env=env)
    size = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
    row = {
        "benchmark": "out_of_core", "rows": "files" if on_disk else "memory", "limit_bytes": limit or None,
        "folder_bytes": size, "folder_over_limit": round(size / limit, 2) if limit else None,
        "finished": done.returncode == 0,
    }  # fmt: skip
    if done.returncode:
        return {**row, "error": (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1][-200:]}
    return {**row, **json.loads(done.stdout)}


def compare(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the slowdown of files against memory, and whether losses are the same; None where one is missing."""
    by_place = {row["rows"]: row for row in rows if row["finished"]}
    if len(by_place) < 2:
        return None
    files, memory = by_place["files"], by_place["memory"]
    return {
        "benchmark": "out_of_core", "rows": "files / memory",
        "setup": round(files["setup_seconds"] / memory["setup_seconds"], 2),
        "epochs": round(sum(files["epoch_seconds"]) / sum(memory["epoch_seconds"]), 2),
        "scores": round(files["score_seconds"] / memory["score_seconds"], 2),
        "peak_anonymous": round(files["peak_anonymous_bytes"] / max(memory["peak_anonymous_bytes"], 1), 3),
        "same_losses": files["losses"] == memory["losses"] and files["gaps"] == memory["gaps"],
        "macro_f1_differs_by": abs(files["macro_f1"] - memory["macro_f1"]),
    }  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--folder", type=Path, help="prepared folder with features (default: one is generated)")
    arguments.add_argument(
        "--scratch", type=Path, help="where folder and rows go (default: the system's temporary folder)"
    )
    arguments.add_argument("--scale", type=float, default=0.11, help="share of Patent's 2.7 million nodes")
    arguments.add_argument("--parts", type=int, default=8, help="snapshots of equally many events")
    arguments.add_argument("--dim", type=int, default=512)
    arguments.add_argument("--hidden", type=int, default=32)
    arguments.add_argument("--snapshots", type=int, default=0, help="snapshots read out (default: all)")
    arguments.add_argument("--epochs", type=int, default=2)
    arguments.add_argument("--limit-mib", type=int, default=750)
    arguments.add_argument(
        "--modes", nargs="+", default=["files", "refused", "memory"], choices=["files", "refused", "memory"]
    )
    arguments.add_argument("--quick", action="store_true", help="a small folder; the limit then is no fraction of it")
    arguments.add_argument("--one", help=argparse.SUPPRESS)
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Print the rows."""
    args = parser().parse_args(argv)
    if args.one:
        print(json.dumps(train(**json.loads(args.one))))
        return 0
    if args.quick:
        args.scale, args.dim, args.hidden, args.modes = 0.001, 16, 8, ["files", "memory"]
    limit = args.limit_mib * MIB
    modes = {"files": (True, limit), "refused": (False, limit), "memory": (False, 0)}
    with tempfile.TemporaryDirectory(dir=args.scratch) as home:
        folder = args.folder or make_folder(Path(home), args.scale, args.parts, args.dim)
        rows = [fresh(folder, *modes[mode], args, home) for mode in args.modes]
    for row in (*rows, compare(rows)):
        if row is not None:
            print(json.dumps(row), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
