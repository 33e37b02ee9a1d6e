"""Pairs a second by family of features, beside a plain dictionary and a sampler of latest neighbours, as JSON lines.

``family`` rows: a generated history in equal snapshots, then questions of 1,024 sources with 11 candidates each, a new
question every time (CPU, one thread, a fresh process a row); ``observe_edges_per_second`` is of the whole history with
a question after each snapshot, so that what a family keeps up is in it. ``dictionary`` rows are shared neighbours and
the last meeting of a pair from dictionaries of dictionaries in Python, checked against the family. ``sampling`` rows
are what TGL does for the same pairs (Zhou et al., VLDB 2022): the 10 latest neighbours of both ends and of these, from
edges by node and time, compiled. ``varied`` rows take one size through a factor of 16 while the others stay; a
``slope`` is the exponent of growth of the seconds a pair over the upper half of the sizes: 0 where cost is flat.

    python benchmarks/pairs.py --picture pairs.png
    python benchmarks/pairs.py --quick
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numba import njit

from dgl_dysign.data import distinct_edges
from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.experiments.memory import in_fresh_process, peak_rss_bytes
from dgl_dysign.pairs import LinkFeatures
from dgl_dysign.pairs.families import FAMILIES

BASE = {"nodes": 20_000, "edges": 160_000, "snapshots": 50}
VARIED = {"edges": (40_000, 160_000, 640_000), "nodes": (20_000, 80_000, 320_000)}
QUICK = {"nodes": 300, "edges": 2_000, "snapshots": 5}
FLAT = ("activity", "ranks", "pair", "shared", "habits", "projections")
EXACT_NODES = 5_000  # of families that cost a pass over all edges for each source
LATEST = 10
Row = dict[str, Any]


def history(size: dict[str, int]) -> list[SnapshotEdges]:
    """Return snapshots whose edges meet some nodes much more often than others, as in social networks."""
    rng = np.random.default_rng(0)
    src, dst = (size["nodes"] * rng.random((2, size["edges"])) ** 2.5).astype(np.int64)
    parts = zip(np.array_split(src, size["snapshots"]), np.array_split(dst, size["snapshots"]), strict=True)
    return [distinct_edges(t, *part, num_nodes=size["nodes"]) for t, part in enumerate(parts)]


def questions(edges: SnapshotEdges, number: int, rows: int = 1024) -> tuple[torch.Tensor, torch.Tensor]:
    """Return sources and candidates: a true destination and ten nodes."""
    rng = np.random.default_rng(number)
    some = torch.from_numpy(rng.integers(0, len(edges), rows))
    others = torch.from_numpy(rng.integers(0, edges.num_nodes, (rows, 10)))
    return edges.src[some], torch.cat([edges.dst[some, None], others], 1)


def family(name: str, size: dict[str, int], seconds: float) -> Row:
    """Observe a history, and answer questions for some seconds."""
    torch.set_num_threads(1)
    edges, features = history(size), LinkFeatures(size["nodes"], families=[name])
    ask = questions(edges[-1], 0, 8)
    features.features(0, *ask)  # compiles
    begin = time.process_time()
    for one in edges:
        features.observe(one)
        features.features(one.snapshot + 1, *ask)
    observed, number, begin = time.process_time() - begin, 0, time.process_time()
    while time.process_time() - begin < seconds:
        pairs = features.features(size["snapshots"], *questions(edges[-1], number)).shape[:2].numel()
        number += 1
    rate = number * pairs / (time.process_time() - begin)
    return {
        "check": "family", "family": name, "columns": len(features.names), **size, "pairs_per_second": rate,
        "observe_edges_per_second": size["edges"] / observed, "neighbors_cut": features.neighbors_cut,
        "peak_rss_bytes": peak_rss_bytes(),
    }  # fmt: skip


def dictionary(size: dict[str, int], seconds: float) -> Row:
    """Answer the same from dictionaries, two of the columns only."""
    torch.set_num_threads(1)
    edges, decay = history(size), 0.98
    near: list[dict[int, float]] = [{} for _ in range(size["nodes"])]
    last: dict[tuple[int, int], int] = {}
    features = LinkFeatures(size["nodes"], families=["pair", "shared"], most_neighbors=None)
    for one in edges:
        features.observe(one)
        unit = decay**-one.snapshot
        for s, d in zip(one.src.tolist(), one.dst.tolist(), strict=True):
            for node, other in ((s, d), (d, s)):
                near[node][other] = near[node].get(other, 0.0) + unit
            last[s, d] = one.snapshot
    number, begin = 0, time.process_time()
    while time.process_time() - begin < seconds:
        ask = questions(edges[-1], number, 64)
        answers = []
        for s, candidates in zip(ask[0].tolist(), ask[1].tolist(), strict=True):
            for d in candidates:
                few, many = sorted((near[s], near[d]), key=len)
                shared = sum(weight * many[node] for node, weight in few.items() if node in many)
                answers.append((shared * decay ** (2 * size["snapshots"] - 2), (s, d) in last))
        number += 1
    rate = number * len(answers) / (time.process_time() - begin)
    names = ("shared/either_0.98", "pair/met_forth")
    columns = features.of_columns([features.names.index(name) for name in names], size["snapshots"], *ask)
    expected = np.array(answers) * [5, 1]
    np.testing.assert_allclose(columns.reshape(-1, 2), np.c_[np.log1p(expected[:, 0]), expected[:, 1]], rtol=1e-4)
    return {"check": "dictionary", "columns": 2, **size, "pairs_per_second": rate}


@njit(cache=True)
def latest(
    begin: np.ndarray, partner: np.ndarray, time: np.ndarray, roots: np.ndarray, now: int, number: int
) -> np.ndarray:
    """Return the latest partners of each root before a time, -1 where there are fewer, ``(roots, number)``."""
    chosen = np.full((len(roots), number), -1)
    for i in range(len(roots)):
        if roots[i] >= 0:
            first = begin[roots[i]]
            end = first + np.searchsorted(time[first : begin[roots[i] + 1]], now)
            for k in range(min(number, end - first)):
                chosen[i, k] = partner[end - 1 - k]
    return chosen


def sampling(size: dict[str, int], seconds: float) -> Row:
    """Sample latest neighbours of two layers for both ends."""
    edges = history(size)
    src, dst = (torch.cat([getattr(one, name) for one in edges]).numpy() for name in ("src", "dst"))
    ends, partner = np.concatenate([src, dst]), np.concatenate([dst, src])
    when = np.tile(np.repeat(np.arange(len(edges)), [len(one) for one in edges]), 2)
    order = np.lexsort([when, ends])
    begin_of = np.searchsorted(ends[order], np.arange(size["nodes"] + 1))
    by_node = begin_of, partner[order], when[order]
    latest(*by_node, src[:2], size["snapshots"], LATEST)
    number, begin = 0, time.process_time()
    while time.process_time() - begin < seconds:
        sources, candidates = questions(edges[-1], number)
        roots = torch.cat([sources[:, None], candidates], 1).reshape(-1).numpy()
        first = latest(*by_node, roots, size["snapshots"], LATEST)
        latest(*by_node, first.reshape(-1), size["snapshots"], LATEST)
        number += 1
    rate = number * candidates.numel() / (time.process_time() - begin)
    return {"check": "sampling", "latest": LATEST, "layers": 2, **size, "pairs_per_second": rate}


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw the microseconds of a pair against each size that was varied, a line for each family."""
    from dgl_dysign.experiments.plots import pyplot, save

    plt = pyplot()
    labels = {"edges": "edges so far, of 20,000 nodes", "nodes": "nodes, 160,000 edges so far"}
    figure, axes = plt.subplots(1, len(labels), figsize=(8, 3.2), sharey=True)
    for axis, (of, label) in zip(axes, labels.items(), strict=True):
        for name in FLAT:
            chosen = [row for row in rows if (row["varied"], row["family"]) == (of, name)]
            axis.loglog(
                [row[of] for row in chosen], [1e6 / row["pairs_per_second"] for row in chosen], "o-", label=name
            )
        axis.set(xlabel=label)
        axis.minorticks_off()
    axes[0].set(ylabel="microseconds a pair")
    axes[1].legend(fontsize=7)
    figure.suptitle("Features of a pair by family, one thread")
    save(figure, path)


def main(argv: Sequence[str] | None = None) -> None:
    """Print all rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU seconds of questions a row")
    parser.add_argument("--picture", type=Path, help="PNG file to draw, of what was varied")
    parser.add_argument("--quick", action="store_true", help="one small size")
    args = parser.parse_args(argv)
    drawn: list[Row] = []
    base, varied, seconds = (QUICK, {}, 0.01) if args.quick else (BASE, VARIED, args.seconds)
    for name in FAMILIES:
        size = base if name in FLAT else {**base, "nodes": min(base["nodes"], EXACT_NODES)}
        print(json.dumps(in_fresh_process(family, name, size, seconds)), flush=True)
    for compared in (dictionary, sampling):
        print(json.dumps(in_fresh_process(compared, base, seconds)), flush=True)
    for of, sizes in varied.items():
        for name in FLAT:
            rows = [{"varied": of, **in_fresh_process(family, name, {**base, of: size}, seconds)} for size in sizes]
            drawn += rows
            for row in rows:
                print(json.dumps(row), flush=True)
            spent = np.log([1 / row["pairs_per_second"] for row in rows[-2:]])
            grown = float(np.diff(spent)[0] / np.diff(np.log(sizes[-2:]))[0])
            print(json.dumps({"check": "slope", "family": name, "varied": of, "slope": round(grown, 2)}), flush=True)
    if args.picture:
        draw(drawn, args.picture)


if __name__ == "__main__":
    main()
