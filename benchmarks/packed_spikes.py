"""Sums over neighbours that read spikes at one bit each, beside those that read them as float32, as JSON lines.

``aggregate`` rows: random graphs whose features outgrow the caches of a core. In the same process: the packed sum,
with and without edge weights, into new memory as all others and (``_out``) into memory that is held; DGL's sum
(``copy_u_sum``) and mean, PyTorch's product with a CSR matrix, a layer as SpikeNet computes it (five sampled
neighbours gathered and averaged, then a neuron), and a copy of the result's size. ``times`` is how often faster the
packed sum is than the faster of DGL's two; the bar is 6. ``bandwidth_share`` is what the packed sum must move at least
(indices, words and result, once each) in its time, over the bandwidth of a large copy. ``exact`` says that all sums
are equal to the last bit. ``dblp`` rows: the same on the last snapshot of a prepared folder. ``linear`` rows: spikes
mapped linearly, packed, beside a dense product of as many floats. ``neuron`` rows: charge, fire, reset and pack in one
pass, beside a neuron in PyTorch and SpikingJelly's, where it is installed. ``simulation`` rows: a spiking simulation
at latency 8, packed and in floats, end to end, in a fresh process each for the memory.

Most of what a packed sum takes on a large graph is the system's, which hands out zeroed memory for every new result;
DGL and PyTorch have it to pay too. ``--held-memory`` tells the allocator to keep what is freed, for everyone.

    python benchmarks/packed_spikes.py                       # the sizes of the bars; some minutes
    python benchmarks/packed_spikes.py --dblp PREPARED --threads 1 2
    python benchmarks/packed_spikes.py --held-memory --no-simulation
    python benchmarks/packed_spikes.py --quick
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from dgl_dysign import ops
from dgl_dysign._dgl import dgl
from dgl_dysign.data import TemporalGraph
from dgl_dysign.experiments.memory import in_fresh_process, peak_rss_bytes, reset_peak
from dgl_dysign.nn import LIF, EquilibriumSpikingConv
from dgl_dysign.ops import PackedSpikes

BAR = 6
SIZES = ((100_000, 2_000_000, 128), (100_000, 2_000_000, 512), (500_000, 5_000_000, 128), (500_000, 5_000_000, 512))
LINEAR = ((100_000, 128, 128), (28_000, 1_024, 256))
PATENT = (2_738_012, 13_960_811)
SAMPLED = 5
LEAK = 0.9
HELD_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}  # glibc's
SECONDS = 2.0  # after which nothing is repeated once more
Row = dict[str, object]


@torch.no_grad()
def timed(work: Callable[[], Any], runs: int) -> tuple[float, float]:
    """Return the least and the median milliseconds of up to ``runs`` runs, after one that does not count."""
    work()
    times: list[float] = []
    while len(times) < runs and sum(times) < 1e3 * SECONDS:
        begun = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - begun))
    return min(times), statistics.median(times)


def copy_bandwidth(runs: int = 5, numbers: int = 1 << 27) -> float:
    """Return bytes read and written a second by a copy that fits no cache."""
    source, target = torch.ones(numbers), torch.empty(numbers)
    return 8 * numbers / (timed(lambda: target.copy_(source), runs)[0] / 1e3)


def random_graph(nodes: int, edges: int, seed: int = 0) -> Any:
    """Return a graph of edges drawn uniformly, with what DGL builds at first use built."""
    generator = torch.Generator().manual_seed(seed)
    src, dst = torch.randint(nodes, (2, edges), generator=generator)
    graph = dgl.graph((src, dst), num_nodes=nodes)
    graph.create_formats_()
    return graph


def sampled_layer(graph: Any, spikes: Tensor, seed: int = 0) -> Callable[[], Tensor]:
    """Return what a layer of SpikeNet does with given samples: gather five neighbours, average, charge and fire."""
    layout = ops.csr.operator(graph, None, torch.float32, torch.device("cpu")).layout
    generator = torch.Generator().manual_seed(seed)
    degree = layout.indptr.diff().long()
    draw = (torch.rand(len(degree), SAMPLED, generator=generator) * degree[:, None]).long()
    place = (layout.indptr[:-1, None].long() + draw).clamp(max=len(layout.indices) - 1)
    neighbours, lif = layout.indices[place].long(), LIF()
    batches = neighbours.split(1 << 15)
    return lambda: torch.cat([lif(spikes[batch].mean(1))[0] for batch in batches])


def aggregate_row(name: str, graph: Any, dim: int, rate: float, runs: int, bandwidth: float) -> Row:
    """Compare all sums on one graph at one spike rate."""
    generator = torch.Generator().manual_seed(1)
    spikes = (torch.rand(graph.num_nodes(), dim, generator=generator) < rate).float()
    weight, packed = torch.rand(graph.num_edges(), generator=generator), PackedSpikes.pack(spikes)
    held = torch.empty(graph.num_nodes(), packed.words.shape[1] * 64)
    kernels: dict[str, Callable[[], Any]] = {
        "packed": lambda: ops.aggregate(graph, packed, norm="none"),
        "packed_weighted": lambda: ops.aggregate(graph, packed, weight, norm="none"),
        "packed_out": lambda: ops.aggregate(graph, packed, norm="none", out=held),
        "packed_weighted_out": lambda: ops.aggregate(graph, packed, weight, norm="none", out=held),
        "dgl_sum": lambda: dgl.ops.copy_u_sum(graph, spikes),
        "dgl_mean": lambda: dgl.ops.copy_u_mean(graph, spikes),
        "torch_csr": lambda: ops.aggregate(graph, spikes, norm="none", kernels="torch-csr"),
        "torch_csr_weighted": lambda: ops.aggregate(graph, spikes, weight, norm="none", kernels="torch-csr"),
        "spikenet_sampled": sampled_layer(graph, spikes),
        "pack": lambda: PackedSpikes.pack(spikes),
        "copy_of_result": spikes.clone,
    }
    right = {"": kernels["dgl_sum"](), "_weighted": kernels["torch_csr_weighted"]()}
    exact = all(torch.equal(kernels[f"packed{key}{out}"](), right[key]) for key in right for out in ("", "_out"))
    del right
    times = {key: timed(work, runs) for key, work in kernels.items()}
    moved = 4 * (graph.num_edges() + graph.num_nodes() * (1 + dim)) + packed.nbytes
    peer = min(times["dgl_sum"][0], times["dgl_mean"][0])
    return {
        "check": "aggregate", "graph": name, "nodes": graph.num_nodes(), "edges": graph.num_edges(), "feats": dim,
        "rate": rate, "threads": torch.get_num_threads(), "held_memory": _memory_is_held(),
        "ms": {key: round(least, 2) for key, (least, _) in times.items()},
        "ms_median": {key: round(median, 2) for key, (_, median) in times.items()},
        "times": round(peer / times["packed"][0], 1), "times_out": round(peer / times["packed_out"][0], 1),
        "times_weighted": round(times["torch_csr_weighted"][0] / times["packed_weighted"][0], 1),
        "times_weighted_out": round(times["torch_csr_weighted"][0] / times["packed_weighted_out"][0], 1), "bar": BAR,
        "bandwidth_share": round(moved / (times["packed"][0] / 1e3) / bandwidth, 2),
        "bandwidth_share_out": round(moved / (times["packed_out"][0] / 1e3) / bandwidth, 2),
        "packed_bytes": packed.nbytes, "float_bytes": spikes.numel() * 4, "exact": exact,
    }  # fmt: skip


def _memory_is_held() -> bool:
    return all(os.environ.get(name) == value for name, value in HELD_MEMORY.items())


def linear_row(nodes: int, in_feats: int, out_feats: int, rate: float, runs: int) -> Row:
    """Compare a linear map of packed spikes with a dense product."""
    generator = torch.Generator().manual_seed(1)
    spikes = (torch.rand(nodes, in_feats, generator=generator) < rate).float()
    weight, packed = torch.randn(out_feats, in_feats, generator=generator), PackedSpikes.pack(spikes)
    maps: dict[str, Callable[[], Any]] = {
        "packed": lambda: ops.packed_linear(packed, weight),
        "dense": lambda: torch.nn.functional.linear(spikes, weight),
    }
    times = {key: round(timed(work, runs)[0], 2) for key, work in maps.items()}
    size = {"nodes": nodes, "in_feats": in_feats, "out_feats": out_feats, "threads": torch.get_num_threads()}
    return {"check": "linear", **size, "rate": rate, "ms": times, "times": round(times["dense"] / times["packed"], 1)}


def neuron_row(nodes: int, dim: int, runs: int) -> Row:
    """Compare one step of neurons; ours also adds up the spikes, and packs them."""
    generator = torch.Generator().manual_seed(0)
    current, start = torch.rand(2, nodes, dim, generator=generator)
    ours, total, lif = start.clone(), torch.zeros(nodes, dim), LIF(1.0, LEAK)
    spikes = ops.fire_packed(ours, total, 1.0, LEAK, current).unpack()
    steps: dict[str, Callable[[], Any]] = {
        "fire_packed": lambda: ops.fire_packed(ours, total, 1.0, LEAK, current),
        "torch": lambda: lif(current, start),
        "torch_then_pack": lambda: PackedSpikes.pack(lif(current, start)[0]),
    }
    same = [float((lif(current, start)[0] == spikes).float().mean())]
    theirs = _spikingjelly(start)
    if theirs is not None:
        same.append(float((theirs(current) == spikes).float().mean()))
        steps["spikingjelly"] = lambda: theirs(current)
        steps["spikingjelly_then_pack"] = lambda: PackedSpikes.pack(theirs(current))
    times = {key: round(timed(step, runs)[0], 2) for key, step in steps.items()}
    size = {"nodes": nodes, "feats": dim, "threads": torch.get_num_threads()}
    return {"check": "neuron", **size, "ms": times, "same_spikes": min(same)}


def _spikingjelly(membrane: Tensor) -> Callable[[Tensor], Tensor] | None:
    """Return SpikingJelly's neurons in a state, or None where it is not installed."""
    try:
        theirs: Any = importlib.import_module("spikingjelly.activation_based.neuron")
    except ImportError:
        return None
    neurons = theirs.LIFNode(tau=1 / (1 - LEAK), decay_input=False, v_reset=None).eval()
    neurons.v = membrane.clone()
    step: Callable[[Tensor], Tensor] = neurons
    return step


def simulate(backend: str, source: str, dim: int, steps: int, threads: int) -> Row:
    """Simulate one snapshot at latency 8; in a process of its own."""
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    graph, feat = _snapshot(source, dim)
    conv = EquilibriumSpikingConv(feat.shape[1], dim, simulate=True, backend=backend).eval()
    weight = ops.symmetric_norm(graph, None, torch.float32)
    ops.aggregate(graph, feat[:, :1], weight, norm="none")  # the edges by destination are made once
    with torch.no_grad():  # and code is compiled once
        conv(random_graph(9, 9), feat[:9])
    reset_peak()
    before, seconds = peak_rss_bytes(), []
    with torch.no_grad():
        for _ in range(steps):
            begun = time.perf_counter()
            rate, _ = conv(graph, feat)
            seconds.append(time.perf_counter() - begun)
    size: Row = {"nodes": graph.num_nodes(), "edges": graph.num_edges(), "in_feats": feat.shape[1], "feats": dim}
    size |= {"latency": conv.latency, "rate": round(float(rate.mean()), 3), "threads": threads}
    costs = {"seconds": round(min(seconds), 4), "peak_mib": (peak_rss_bytes() - before) >> 20}
    return {"check": "simulation", "backend": backend, **size, **costs}


def _snapshot(source: str, dim: int) -> tuple[Any, Tensor]:
    """Return the last snapshot of a prepared folder or, of ``NODESxEDGES``, a random graph, with features."""
    if "x" in source and source.replace("x", "").isdigit():
        nodes, edges = map(int, source.split("x"))
        return random_graph(nodes, edges), torch.rand(nodes, dim)
    data = TemporalGraph.load(source)
    last = data.num_snapshots - 1
    return data.graph(last), data.features(last).float()


def aggregate_rows(args: argparse.Namespace, graphs: Sequence[tuple[str, Any, Sequence[int]]]) -> Iterator[Row]:
    """Yield rows of sums for each number of threads, graph, width and rate, then of linear maps and of neurons."""
    for threads in args.threads:
        torch.set_num_threads(threads)
        bandwidth = copy_bandwidth(numbers=1 << (20 if args.quick else 27))
        yield {"check": "copy", "threads": threads, "gigabytes_per_second": round(bandwidth / 1e9, 1)}
        for name, graph, dims in graphs:
            for dim in dims:
                for rate in args.rates:
                    yield aggregate_row(name, graph, dim, rate, args.runs, bandwidth)
        for size in ((2_000, 128, 128),) if args.quick else LINEAR:
            for rate in args.rates:
                yield linear_row(*size, rate, args.runs)
        yield neuron_row(2_000 if args.quick else 500_000, 128, args.runs)


def simulation_rows(args: argparse.Namespace) -> Iterator[Row]:
    """Yield a row for each number of threads, graph and way to move spikes."""
    graphs = [("2000x20000", 64, 1)] if args.quick else [("x".join(map(str, PATENT)), 64, 2)]
    if args.dblp:
        graphs.append((args.dblp, 128, 20))
    for threads in args.threads:
        for source, dim, steps in graphs:
            for backend in ("packed", "float"):
                yield in_fresh_process(simulate, backend, source, dim, steps, threads)


def main(argv: Sequence[str] | None = None) -> int:
    """Print all rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small graphs: to see that it works")
    parser.add_argument("--dblp", help="prepared folder whose last snapshot to take too")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rates", type=float, nargs="+", default=[0.01, 0.15, 0.5])
    parser.add_argument("--sizes", type=int, nargs="*", default=range(len(SIZES)), help="some of the graphs")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--held-memory", action="store_true", help="new memory costs nobody anything")
    parser.add_argument("--no-simulation", action="store_true")
    args = parser.parse_args(argv)
    if args.held_memory and not _memory_is_held():
        command = [sys.executable, __file__, *(sys.argv[1:] if argv is None else argv)]
        return subprocess.run(command, env={**os.environ, **HELD_MEMORY}, check=False).returncode
    simulations = () if args.no_simulation else simulation_rows(args)
    for row in chain(aggregate_rows(args, _graphs(args)), simulations):
        print(json.dumps(row), flush=True)
    return 0


def _graphs(args: argparse.Namespace) -> list[tuple[str, Any, Sequence[int]]]:
    """Return the graphs of the sums, each with a name and the numbers of features."""
    sizes = ((2_000, 20_000, 128),) if args.quick else [SIZES[number] for number in args.sizes]
    dims: dict[tuple[int, int], list[int]] = {}
    for nodes, edges, dim in sizes:
        dims.setdefault((nodes, edges), []).append(dim)
    graphs: list[tuple[str, Any, Sequence[int]]] = [
        ("random", random_graph(*size), some) for size, some in dims.items()
    ]
    if args.dblp:
        graph, _ = _snapshot(args.dblp, 0)
        graph.create_formats_()
        graphs.append(("dblp", graph, (128, 256)))
    return graphs


if __name__ == "__main__":
    sys.exit(main())
