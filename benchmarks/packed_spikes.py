"""Sums over neighbours that read spikes at one bit each, beside those that read them as float32, as JSON lines.

``aggregate`` rows: random graphs whose features outgrow the caches of a core. In the same process: the packed sum, with
and without edge weights, DGL's sum (``copy_u_sum``) and mean, PyTorch's product with a CSR matrix, a layer as SpikeNet
computes it (five sampled neighbours gathered and averaged, then a neuron), and a copy of the result's size. ``times``
is how often faster the packed sum is than the faster of DGL's two; the bar is 6. ``bandwidth_share`` is what the packed
sum must move at least (indices, words and result, once each) in its time, over the bandwidth of a large copy.
``packed_linear`` and ``dense_linear`` map the spikes to as many features. ``exact`` says that all sums are equal to
the last bit. ``dblp`` rows: the same on the last snapshot of a prepared folder. ``simulation`` rows: a spiking
simulation at latency 8, packed and in floats, end to end, in a fresh process each for the memory.

    python benchmarks/packed_spikes.py                       # the sizes of the bars; some minutes
    python benchmarks/packed_spikes.py --dblp PREPARED --threads 1 2
    python benchmarks/packed_spikes.py --quick
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from dgl_dysign import ops
from dgl_dysign._dgl import dgl
from dgl_dysign.nn import LIF, EquilibriumSpikingConv
from dgl_dysign.ops import PackedSpikes
from dgl_dysign.training.memory import peak_rss_bytes, reset_peak

BAR = 6
SIZES = ((100_000, 2_000_000, 128), (100_000, 2_000_000, 512), (500_000, 5_000_000, 128), (500_000, 5_000_000, 512))
PATENT = (2_738_012, 13_960_811)
SAMPLED = 5
Row = dict[str, object]


def timed(work: Callable[[], Any], runs: int) -> tuple[float, float]:
    """Return the least and the median milliseconds of some runs, after one that does not count."""
    with torch.no_grad():
        return _timed(work, runs)


def _timed(work: Callable[[], Any], runs: int) -> tuple[float, float]:
    work()
    found = []
    for _ in range(runs):
        begun = time.perf_counter()
        work()
        found.append(1e3 * (time.perf_counter() - begun))
    return min(found), statistics.median(found)


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
    batches, membrane = neighbours.split(1 << 15), torch.zeros(1, spikes.shape[1])
    return lambda: torch.cat([lif(spikes[batch].mean(1), membrane)[0] for batch in batches])


def aggregate_row(name: str, graph: Any, dim: int, rate: float, runs: int, bandwidth: float) -> Row:
    """Compare all sums on one graph at one spike rate."""
    generator = torch.Generator().manual_seed(1)
    spikes = (torch.rand(graph.num_nodes(), dim, generator=generator) < rate).float()
    weight, packed = torch.rand(graph.num_edges(), generator=generator), PackedSpikes.pack(spikes)
    square = torch.randn(dim, dim, generator=generator)
    kernels: dict[str, Callable[[], Any]] = {
        "packed": lambda: ops.aggregate(graph, packed, norm="none"),
        "packed_weighted": lambda: ops.aggregate(graph, packed, weight, norm="none"),
        "dgl_sum": lambda: dgl.ops.copy_u_sum(graph, spikes),
        "dgl_mean": lambda: dgl.ops.copy_u_mean(graph, spikes),
        "torch_csr": lambda: ops.aggregate(graph, spikes, norm="none", kernels="torch-csr"),
        "torch_csr_weighted": lambda: ops.aggregate(graph, spikes, weight, norm="none", kernels="torch-csr"),
        "spikenet_sampled": sampled_layer(graph, spikes),
        "packed_linear": lambda: ops.packed_linear(packed, square),
        "dense_linear": lambda: torch.nn.functional.linear(spikes, square),
        "pack": lambda: PackedSpikes.pack(spikes),
        "copy_of_result": spikes.clone,
    }
    exact = torch.equal(kernels["packed"](), kernels["dgl_sum"]())
    exact = exact and torch.equal(kernels["packed_weighted"](), kernels["torch_csr_weighted"]())
    found = {key: timed(work, runs) for key, work in kernels.items()}
    moved = 4 * (graph.num_edges() + graph.num_nodes() * (1 + dim)) + packed.nbytes
    peer = min(found["dgl_sum"][0], found["dgl_mean"][0])
    return {
        "check": "aggregate",
        "graph": name,
        "nodes": graph.num_nodes(),
        "edges": graph.num_edges(),
        "feats": dim,
        "rate": rate,
        "threads": torch.get_num_threads(),
        "ms": {key: round(least, 2) for key, (least, _) in found.items()},
        "ms_median": {key: round(median, 2) for key, (_, median) in found.items()},
        "times": round(peer / found["packed"][0], 1),
        "times_weighted": round(found["torch_csr_weighted"][0] / found["packed_weighted"][0], 1),
        "bar": BAR,
        "bandwidth_share": round(moved / (found["packed"][0] / 1e3) / bandwidth, 2),
        "packed_bytes": packed.nbytes,
        "float_bytes": spikes.numel() * 4,
        "exact": exact,
    }


def simulate(backend: str, nodes: int, edges: int, dim: int, steps: int) -> Row:
    """Simulate one snapshot at latency 8; in a process of its own."""
    torch.manual_seed(0)
    graph, feat = random_graph(nodes, edges), torch.rand(nodes, dim)
    conv = EquilibriumSpikingConv(dim, dim, simulate=True, backend=backend, compensation_hops=0).eval()
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
    size = {
        "nodes": nodes,
        "edges": edges,
        "feats": dim,
        "latency": conv.latency,
        "rate": round(float(rate.mean()), 3),
    }
    grown = (peak_rss_bytes() - before) >> 20
    return {"check": "simulation", "backend": backend, **size, "seconds": round(min(seconds), 3), "peak_mib": grown}


def _fresh(*numbers: object) -> str:
    command = [sys.executable, __file__, "--one-simulation", *map(str, numbers)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def aggregate_rows(args: argparse.Namespace, graphs: Sequence[tuple[str, Any, Sequence[int]]]) -> Iterator[Row]:
    """Yield a row for each number of threads, graph, width and rate."""
    for threads in args.threads:
        torch.set_num_threads(threads)
        bandwidth = copy_bandwidth(numbers=1 << (20 if args.quick else 27))
        yield {"check": "copy", "threads": threads, "gigabytes_per_second": round(bandwidth / 1e9, 1)}
        for name, graph, dims in graphs:
            for dim in dims:
                for rate in args.rates:
                    yield aggregate_row(name, graph, dim, rate, args.runs, bandwidth)


def main(argv: Sequence[str] | None = None) -> int:
    """Print all rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small graphs: to see that it works")
    parser.add_argument("--dblp", help="prepared folder whose last snapshot to take too")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rates", type=float, nargs="+", default=[0.01, 0.15, 0.5])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--no-simulation", action="store_true")
    parser.add_argument("--one-simulation", nargs=5, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.one_simulation:
        backend, *numbers = args.one_simulation
        torch.set_num_threads(1)
        print(json.dumps(simulate(backend, *map(int, numbers))))
        return 0
    sizes = ((2_000, 20_000, 128),) if args.quick else SIZES
    graphs: dict[tuple[int, int], list[int]] = {}
    for nodes, edges, dim in sizes:
        graphs.setdefault((nodes, edges), []).append(dim)
    made: list[tuple[str, Any, Sequence[int]]] = [
        ("random", random_graph(*size), dims) for size, dims in graphs.items()
    ]
    if args.dblp:
        from dgl_dysign.data import TemporalGraph

        data = TemporalGraph.load(args.dblp)
        made.append(("dblp", data.graph(data.num_snapshots - 1), (128, 256)))
    for row in aggregate_rows(args, made):
        print(json.dumps(row), flush=True)
    if not args.no_simulation:
        size = (2_000, 20_000, 64, 1) if args.quick else (*PATENT, 64, 2)
        for backend in ("packed", "float"):
            print(_fresh(backend, *size), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
