"""Inference at one step of latency with packed messages, beside the float networks of the same widths.

    python benchmarks/spiking_inference.py            # DBLP's and Patent's size; minutes, and 10 GiB
    python benchmarks/spiking_inference.py --sizes dblp
    python benchmarks/spiking_inference.py --sizes patent --only spikes means eight  # 4 GiB
    python benchmarks/spiking_inference.py --quick

Networks are layers of 128 neurons and a read-out of 10 classes, drawn at random, on a generated graph of so many nodes
and of edges in both directions; 16 % of the neurons of each layer fire. Each JSON line is one number of layers on one
size: CPU seconds of a pass over all nodes, the least of several that take turns, and MiB of memory that a pass needs at
its peak beside the graph, the weights and its input. ``graphconv`` are DGL's ``GraphConv`` with ReLU, ``relu`` is a
network of linear maps and ReLU without messages. The others are layers of `SpikingGraphConv` that send bits to each
other: ``spikes`` read bits, as layers do that follow others; ``ternary`` read features of both signs that
`ThresholdEncoder` packed once for the snapshot (``encode_seconds``); ``floats`` read float features; ``unpacked`` are
the same without packing (not on the large graph). ``means`` are ``spikes`` under ``norm="right"``, and ``eight`` and
``ternary-eight`` with weights of eight bits, too. ``times`` and ``memory_share`` are against ``graphconv``; the bars
are 2 times (DBLP) and 4 times (Patent) as fast in a quarter of the memory. ``same_spikes`` is the share of the last
layer's neurons at which packing changes nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dgl_dysign._dgl import dgl
from dgl_dysign.experiments.memory import in_fresh_process, peak_rss_bytes, reset_peak, return_freed_memory
from dgl_dysign.nn import SpikingGraphConv, ThresholdEncoder
from dgl_dysign.ops import PackedSpikes, packed_linear

SIZES = {"quick": (4_000, 20_000), "dblp": (28_085, 150_000), "patent": (2_738_012, 13_960_811)}
BARS = {"dblp": 2, "patent": 4}
DIM, CLASSES, FIRING, LARGE = 128, 10, 0.16, 100_000
Spiking = Sequence[SpikingGraphConv]


def random_graph(nodes: int, edges: int) -> Any:
    """Return a graph of edges drawn uniformly, in both directions, with what DGL builds at first use built."""
    src, dst = torch.randint(nodes, (2, edges))
    graph = dgl.graph((torch.cat([src, dst]), torch.cat([dst, src])), num_nodes=nodes)
    graph.create_formats_()
    return graph


def spiking_layers(num_layers: int, norm: str = "both") -> list[SpikingGraphConv]:
    """Return layers of which so many neurons fire on a small graph."""
    graph, hidden = random_graph(1_000, 5_000), torch.randn(1_000, DIM)
    layers = []
    for _ in range(num_layers):
        conv = SpikingGraphConv(DIM, DIM, norm, latency=1, allow_zero_in_degree=True)
        current = twin(conv, None)(graph, hidden)
        conv.lif.threshold = float(current.flatten()[::7].quantile(1 - FIRING))
        hidden = (current >= conv.lif.threshold).float()
        layers.append(conv)
    return layers


def twin(conv: SpikingGraphConv, activation: Callable[[Tensor], Tensor] | None) -> Any:
    """Return DGL's layer with the weights of ours."""
    other = dgl.nn.GraphConv(conv.in_feats, conv.out_feats, conv.norm, activation=activation, allow_zero_in_degree=True)
    other.load_state_dict({"weight": conv.weight, "bias": conv.bias})
    return other


def networks(num_layers: int, graph: Any, feat: Tensor) -> tuple[dict[str, Callable[[], Any]], Spiking, float]:
    """Return a pass of each network over all nodes, our layers, and the seconds of packing the features."""
    readout, convs, means = nn.Linear(DIM, CLASSES), spiking_layers(num_layers), spiking_layers(num_layers, "right")
    encoder = ThresholdEncoder(DIM).fit(feat[:10_000])
    encoder.pack(feat[:1])  # code is compiled once
    begun = time.process_time()
    signed = encoder.pack(feat)
    seconds, bits = time.process_time() - begun, PackedSpikes.pack(feat, 1.0)
    twins = [twin(conv, torch.relu) for conv in convs]
    maps = [nn.Linear(DIM, DIM) for _ in range(num_layers)]

    def packed(read: Tensor | PackedSpikes, convs: Spiking = convs, weight_bits: int = 32) -> Tensor:
        for conv in convs:
            read = conv(graph, read, return_packed=True, weight_bits=weight_bits)
        return packed_linear(read, readout.weight, readout.bias)

    def floats(layers: Sequence[nn.Module], messages: bool = True) -> Tensor:
        hidden = feat
        for layer in layers:
            hidden = layer(graph, hidden) if messages else layer(hidden).relu_()
        return readout(hidden)

    passes: dict[str, Callable[[], Any]] = {
        "graphconv": lambda: floats(twins), "relu": lambda: floats(maps, messages=False),
        "spikes": lambda: packed(bits), "ternary": lambda: packed(signed), "floats": lambda: packed(feat),
        "means": lambda: packed(bits, means), "eight": lambda: packed(bits, means, 8),
        "ternary-eight": lambda: packed(signed, means, 8),
    }  # fmt: skip
    if graph.num_nodes() < LARGE:
        passes["unpacked"] = lambda: floats(convs)
    return passes, convs, seconds


def measured(passes: dict[str, Callable[[], Any]], runs: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return the least CPU seconds of passes that take turns, and the MiB that each adds to the memory at its peak.

    A round before, in which code is compiled and what is kept with the graph is made, does not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in passes}
    peaks: dict[str, list[float]] = {name: [] for name in passes}
    for _ in range(runs + 1):
        for name, work in passes.items():
            reset_peak()
            before, begun = peak_rss_bytes(), time.process_time()
            work()
            seconds[name].append(time.process_time() - begun)
            peaks[name].append((peak_rss_bytes() - before) / 2**20)
    least = {name: round(min(times[1:]), 4) for name, times in seconds.items()}
    return least, {name: round(max(sizes[1:]), 1) for name, sizes in peaks.items()}


def firing(layers: Spiking, graph: Any, read: Any) -> tuple[list[float], float]:
    """Return the firing rate of each layer, and the share of the last one's spikes that are those of floats."""
    rates, dense = [], read
    for conv in layers:
        read, dense = conv(graph, read, return_packed=True), conv(graph, dense)
        rates.append(round(float(dense.mean()), 3))
    return rates, float((read.unpack() == dense).float().mean())


@torch.no_grad()
def measure(size: str, layers: Sequence[int], runs: int, only: Sequence[str], for_memory: bool) -> list[dict[str, Any]]:
    """Return a row for each number of layers, in a process of its own.

    The memory of a pass over a small graph shows only where what is freed is given back at once, ``for_memory``, which
    takes time.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if for_memory:
        return_freed_memory(1 << 20)
    nodes, edges = SIZES[size]
    graph, feat = random_graph(nodes, edges), torch.randn(nodes, DIM)
    rows: list[dict[str, Any]] = []
    for count in layers:
        passes, convs, encoding = networks(count, graph, feat)
        seconds, peaks = measured({name: passes[name] for name in only or passes}, runs)
        floats = seconds.get("graphconv")
        times = {name: round(floats / each, 2) for name, each in seconds.items()} if floats else {}
        row: dict[str, Any] = {"seconds": seconds, "encode_seconds": round(encoding, 4), "times": times}
        if nodes < LARGE and not for_memory:
            row["rates"], row["same_spikes"] = firing(convs, graph, feat)
        rows.append(row | {"peak_mib": peaks})
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Print all rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=tuple(SIZES), default=["dblp", "patent"])
    parser.add_argument("--layers", type=int, nargs="+", default=[2, 3])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=[], metavar="PASS", help="instead of all")
    parser.add_argument("--quick", action="store_true", help="a small graph: to see that it works")
    args = parser.parse_args(argv)
    for size in ["quick"] if args.quick else args.sizes:
        nodes, edges = SIZES[size]
        fast = small = in_fresh_process(measure, size, args.layers, args.runs, args.only, False)
        if nodes < LARGE:
            small = in_fresh_process(measure, size, args.layers, 1, args.only, True)
        for count, row, other in zip(args.layers, fast, small, strict=True):
            head = {"benchmark": "spiking_inference", "size": size, "nodes": nodes, "edges": 2 * edges, "layers": count}
            print(json.dumps({**head, "bar": BARS.get(size), **row, "peak_mib": other["peak_mib"]}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
