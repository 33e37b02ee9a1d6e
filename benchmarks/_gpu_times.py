"""What `gpu_check.py` times on a device: sums, neurons and the store beside a copy, and training end to end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks._gpu_checks import CPU, Place, Row
from benchmarks.neighbor_store import copy_bandwidth, device_row, generated, wait
from benchmarks.packed_spikes import random_graph
from dgl_dysign import ops
from dgl_dysign.experiments.train import train_links, train_nodes
from dgl_dysign.nn import LIF
from dgl_dysign.ops import PackedSpikes, fire_packed


def _bandwidth(place: Place) -> float:
    return copy_bandwidth(place.device, place.size(1 << 30, 1 << 20))


@torch.no_grad()
def _milliseconds(device: torch.device, works: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Return the least time of twenty runs, after three that do not count."""
    least = {}
    for name, work in works.items():
        times = []
        for _ in range(23):
            wait(device)
            begin = time.perf_counter()
            work()
            wait(device)
            times.append(time.perf_counter() - begin)
        least[name] = round(1e3 * min(times[3:]), 4)
    return least


def sums(place: Place) -> Row:
    """Time sums over neighbours: packed, by cuSPARSE (CSR), by torch.sparse (COO), by index_add, beside a copy."""
    graph = random_graph(place.size(500_000, 300), place.size(5_000_000, 2_000))
    spikes = (torch.rand(graph.num_nodes(), place.size(128, 8), device=place.device) < 0.15).float()
    weight, packed = torch.rand(graph.num_edges(), device=place.device), PackedSpikes.pack(spikes)
    matrix = ops.csr.operator(graph, weight, torch.float32, place.device).matrix
    src, dst = (end.to(place.device) for end in graph.edges(order="eid"))
    coo = torch.sparse_coo_tensor(torch.stack([dst, src]), weight, matrix.shape, check_invariants=False).coalesce()
    times = _milliseconds(
        place.device,
        {
            "packed": lambda: ops.aggregate(graph, packed, norm="none"),
            "packed_weighted": lambda: ops.aggregate(graph, packed, weight, norm="none"),
            "cusparse": lambda: matrix @ spikes,
            "torch_sparse": lambda: torch.sparse.mm(coo, spikes),
            "index_add": lambda: torch.zeros_like(spikes).index_add_(0, dst, weight[:, None] * spikes[src]),
            "copy_of_result": spikes.clone,
        },
    )
    # At least: indices, words and result, once each; of the floats, the features as often as they are read.
    moved = {"packed": 4 * (graph.num_edges() + spikes.numel()) + packed.nbytes}
    moved["cusparse"] = 8 * graph.num_edges() + 8 * spikes.numel()
    bandwidth = _bandwidth(place)
    shares = {name: round(1e3 * size / times[name] / bandwidth, 3) for name, size in moved.items()}
    return {"ms": times, "share_of_bandwidth": shares, "copy_gb_per_second": round(bandwidth / 1e9, 1)}


def neurons(place: Place) -> Row:
    """Time a step of neurons: charged, fired, reset and packed in one pass, beside PyTorch's passes and a copy."""
    current, potential, total = torch.rand(3, place.size(1_000_000, 300), place.size(128, 8), device=place.device)
    lif, start, bandwidth = LIF(1.0, 0.9), potential.clone(), _bandwidth(place)
    times = _milliseconds(
        place.device,
        {
            "fire_packed": lambda: fire_packed(potential, total, 1.0, 0.9, current),
            "torch": lambda: lif(current, start),
            "copy": current.clone,
        },
    )
    share = 1e3 * (5 * 4 + 1 / 8) * current.numel() / times["fire_packed"] / bandwidth
    return {"ms": times, "share_of_bandwidth": round(share, 3)}


def store(place: Place) -> Row:
    """Time insertion and reading, and compare the entries with the CPU's."""
    feed = generated(place.size(1_000_000, 300), place.size(2_000_000, 1_000), place.size(20, 3))
    row = device_row(feed, place.device, place.size(3, 1), _bandwidth(place))
    if not row["equals_cpu"]:
        raise AssertionError("the store holds other entries than the CPU's")
    return {"edges": feed.num_edges, **row}


def _prepared(place: Place, raw: str, synth: list[str], options: dict[str, list[str]]) -> tuple[str, Path]:
    """Return whether data is real or generated, and its folder, prepared with the options for such data."""
    from data_prep.cli import app

    source, out = Path(os.environ.get("DYSIGN_DATA", "")) / raw, place.home / "prepared"
    kind = "real" if "DYSIGN_DATA" in os.environ and source.exists() and not place.small else "generated"
    if kind == "generated":
        source = place.home / "raw"
        app(["synth", *synth[:1], str(source), *synth[1:], "--quiet"], standalone_mode=False)
    name, *others = options[kind]
    app([name, str(source), str(out), *others, "--quiet"], standalone_mode=False)
    return kind, out


def _fitted(place: Place, fit: Callable[..., Any], prepared: Path, score: str, bound: float, **options: Any) -> Row:
    """Train on the device and on the CPU, and compare the scores, in percent: draws of drop-out set them apart."""
    scores, seconds = {}, {}
    for device in dict.fromkeys((str(place.device), str(CPU))):
        begin = time.perf_counter()
        shared: dict[str, Any] = {"device": device, "seeds": 1, "quiet": True, "overwrite": True}
        row = next(iter(fit(prepared, place.home / f"run-{device.replace(':', '-')}", **shared, **options)))
        scores[device], seconds[device] = row[score]["mean"], round(time.perf_counter() - begin, 2)
    if max(scores.values()) - min(scores.values()) > bound:
        raise AssertionError(f"{score} of both devices: {scores}, expected within {bound}")
    return {score: scores, "seconds": seconds}


def dblp(place: Place) -> Row:
    """Run Dy-SIGN on DBLP: prepared (real data with the features that take seconds), trained and scored."""
    synth = ["dblp", "--nodes", str(place.size(3_000, 120)), "--steps", str(place.size(10, 3))]
    cheap = ["dblp", "--features", "degree"]
    features = {"generated": cheap if place.small else ["dblp", "--dim", "32"], "real": cheap}
    kind, prepared = _prepared(place, "dblp", synth, features)
    options: dict[str, Any] = {"rows": ["dysign"], "train_ratio": [0.8], "no_choice": True, "epochs": place.size(10, 1)}
    return {"data": kind, **_fitted(place, train_nodes, prepared, "micro_f1", 3.0, **options)}


def otc(place: Place) -> Row:
    """Run UnderGS on Bitcoin-OTC: prepared, trained and scored, on embeddings alone."""
    synth = ["bitcoin-otc", "--events", str(place.size(35_592, 400))]
    own = ["edges", "--snapshots", str(place.size(100, 10))]
    kind, prepared = _prepared(place, "bitcoin_otc", synth, {"generated": own, "real": own})
    options: dict[str, Any] = {"rows": ["undergs-no-counts"], "epochs": place.size(3, 1), "hidden": place.size(64, 4)}
    return {"data": kind, **_fitted(place, train_links, prepared, "mrr", 5.0, **options)}
