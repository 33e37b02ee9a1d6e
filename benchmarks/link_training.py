"""What training UnderGS on links costs: seconds an epoch and peak memory, and memory against the batch list.

``epoch`` rows: one epoch over the training snapshots of a prepared folder (one negative an edge as in the report, no
features of pairs unless ``--counts``), in a fresh process; validation is one snapshot. With features of pairs a pass
that takes their means is before it, and in its seconds. ``batch_list`` rows: one step on
a snapshot of more and more edges, cut into batches of one size, beside the same snapshot as a single batch; bytes above
the process before the step, each in a fresh process.

    python benchmarks/link_training.py PREPARED ...     # both kinds of rows, one JSON line each
    python benchmarks/link_training.py PREPARED --counts --negatives 10 --max-edges 1024   # as `dysign-train` does
    python benchmarks/link_training.py --quick          # the second kind, small
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from dgl_dysign.data import TemporalGraph, distinct_edges
from dgl_dysign.evaluation import split_snapshots
from dgl_dysign.experiments.memory import in_fresh_process, peak_rss_bytes, reset_peak, return_freed_memory
from dgl_dysign.models import LinkScorer, UnderGS, link_loss
from dgl_dysign.pairs import LinkFeatures
from dgl_dysign.training import LinkFitConfig, fit_links, late_snapshot_step, snapshot_batches

BATCH = 1024


def epoch(
    folder: str, counts: bool, batch_size: int, negatives: int = 1, max_edges: int | None = None
) -> dict[str, Any]:
    """Train for one epoch."""
    data = TemporalGraph.load(folder)
    features = LinkFeatures.of(data) if counts else None
    model = UnderGS(data.num_nodes, pair_feats=len(features.names) if features is not None else 0)
    scorer = LinkScorer(model, model.store(), features)
    train, val, _ = split_snapshots(data.num_snapshots)
    config = LinkFitConfig(
        epochs=1, batch_size=batch_size, num_negatives=negatives, val_negatives=20, max_edges=max_edges
    )
    return_freed_memory()
    begin, started = time.perf_counter(), time.process_time()
    (record,) = fit_links(data, scorer, (train, val[:1]), config)
    manifest = data.manifest
    return {
        "check": "epoch", "dataset": manifest["dataset"], "generated": "generated" in json.dumps(manifest),
        "events": data.num_edges, "nodes": data.num_nodes, "snapshots": data.num_snapshots, "counts": counts,
        "batch_size": batch_size, "negatives": negatives, "max_edges": max_edges,
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": time.process_time() - started, "peak_rss_bytes": peak_rss_bytes(), "loss": record["loss"],
        "store_bytes": sum(b.numel() * b.element_size() for b in scorer.store.buffers()),
        "parameter_bytes": sum(p.numel() * p.element_size() for p in model.parameters()),
    }  # fmt: skip


def batch_list(edges: int, batch_size: int, num_nodes: int) -> dict[str, Any]:
    """Take one step on one snapshot."""
    return_freed_memory()
    torch.manual_seed(0)
    model = UnderGS(num_nodes)
    store, optimizer = model.store(), torch.optim.SGD(model.parameters(), lr=0.1)
    store.insert(distinct_edges(0, *torch.randint(num_nodes, (2, 8 * num_nodes)), num_nodes=num_nodes))
    src, dst = torch.randint(num_nodes, (edges,)), torch.randint(num_nodes, (edges, 11))

    def loss(batch: Any) -> torch.Tensor:
        nodes = torch.cat([batch.tensors[0][:, None], batch.tensors[1]], 1)
        z = model.embed(store, nodes, 1)
        return link_loss(model.link(z[:, 0], z[:, 1:]), model.loss)

    late_snapshot_step(optimizer, snapshot_batches(1, BATCH, src[:BATCH], dst[:BATCH]), loss)  # warm up
    reset_peak()
    before, begin = peak_rss_bytes(), time.perf_counter()
    step = late_snapshot_step(optimizer, snapshot_batches(1, batch_size, src, dst), loss)
    return {
        "check": "batch_list", "edges": edges, "batches": step.batches, "seconds": time.perf_counter() - begin,
        "bytes_above": peak_rss_bytes() - before, "nodes": num_nodes,
    }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path, nargs="*", help="folders written by dysign-prep")
    parser.add_argument("--counts", action="store_true", help="with features of pairs")
    parser.add_argument("--batch-size", type=int, default=4096)
    parser.add_argument("--negatives", type=int, default=1, help="for each edge")
    parser.add_argument("--max-edges", type=int, help="of a snapshot that are trained on; default: all")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args(argv)
    sizes, nodes = ((2 * BATCH, 8 * BATCH), 2_000) if args.quick else ((10 * BATCH, 40 * BATCH, 160 * BATCH), 20_000)
    for edges, batch_size in (*((edges, BATCH) for edges in sizes), (sizes[1], sizes[1])):
        print(json.dumps(in_fresh_process(batch_list, edges, batch_size, nodes)), flush=True)
    for folder in args.prepared:
        options = args.counts, args.batch_size, args.negatives, args.max_edges
        print(json.dumps(in_fresh_process(epoch, str(folder), *options)), flush=True)


if __name__ == "__main__":
    main()
