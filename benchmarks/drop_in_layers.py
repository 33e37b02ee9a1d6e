"""What each layer costs beside DGL's ``GraphConv``, as JSON lines.

On a generated graph, each width in turn, with weights of edges or without: CPU milliseconds of a step (a pass and its
gradients) and of a pass without a tape, and how many times as long that is as ``GraphConv`` takes. All layers take
turns, and the least of all turns counts, so that other work on the machine disturbs little.

    python benchmarks/drop_in_layers.py
    python benchmarks/drop_in_layers.py --unweighted
    python benchmarks/drop_in_layers.py --quick
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from dgl_dysign._dgl import dgl
from dgl_dysign.nn import EquilibriumSpikingConv, InfluenceConv, SpikingGraphConv

Row = dict[str, object]


def layers(width: int) -> dict[str, nn.Module]:
    """Return the layers by name, as wide at both ends."""
    spiking = {f"SpikingGraphConv, latency={k}": SpikingGraphConv(width, width, latency=k) for k in (1, 4, 8)}
    influence = {f"InfluenceConv, {name}": InfluenceConv(width, width, name) for name in ("gcn", "sage", "gat", "gin")}
    return {
        "dgl.nn.GraphConv": dgl.nn.GraphConv(width, width),
        **spiking,
        "EquilibriumSpikingConv, implicit": EquilibriumSpikingConv(width, width, return_state=False),
        "EquilibriumSpikingConv, one-step": EquilibriumSpikingConv(
            width, width, gradient="one-step", return_state=False
        ),
        **influence,
        "dgl.nn.DotGatConv": dgl.nn.DotGatConv(width, width, 1),  # the attention that "gat" has, without weights
    }


def spent(layer: nn.Module, *args: Any, **options: Any) -> tuple[float, float]:
    """Return the CPU milliseconds of a step, and of a pass without a tape."""
    begun = time.process_time()
    layer(*args, **options).sum().backward()
    stepped = time.process_time()
    with torch.no_grad():
        layer(*args, **options)
    return 1000 * (stepped - begun), 1000 * (time.process_time() - stepped)


def rows_of(graph: Any, width: int, runs: int, weighted: bool) -> Iterator[Row]:
    """Measure all layers of one width."""
    torch.manual_seed(0)
    feat, weight = torch.randn(graph.num_nodes(), width), torch.rand(graph.num_edges())
    made = layers(width)
    step, infer = ({name: float("inf") for name in made} for _ in range(2))
    for turn in range(runs + 1):
        for name, layer in made.items():
            takes = weighted and not isinstance(layer, dgl.nn.DotGatConv)
            options = {"edge_weight": weight} if takes else {}
            times = spent(layer, graph, feat, **options)
            if turn:  # the first compiles, and builds what is kept with the graph
                step[name], infer[name] = min(step[name], times[0]), min(infer[name], times[1])
    for name in made:
        yield {
            "layer": name, "width": width, "weighted": weighted,
            "step_ms": round(step[name], 2), "pass_ms": round(infer[name], 2),
            "step_beside_graph_conv": round(step[name] / step["dgl.nn.GraphConv"], 1),
            "pass_beside_graph_conv": round(infer[name] / infer["dgl.nn.GraphConv"], 1),
        }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Print one JSON line for each layer and width."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--edges", type=int, default=50000)
    parser.add_argument("--widths", nargs="+", type=int, default=[32, 128])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--unweighted", action="store_true", help="no weights of edges")
    parser.add_argument("--quick", action="store_true", help="a small graph")
    args = parser.parse_args(argv)
    if args.quick:
        args.nodes, args.edges, args.widths, args.runs = 200, 1000, [8], 2
    dgl.seed(0)
    torch.set_num_threads(1)
    graph = dgl.add_self_loop(dgl.rand_graph(args.nodes, args.edges))
    for width in args.widths:
        for row in rows_of(graph, width, args.runs, not args.unweighted):
            print(json.dumps({"benchmark": "drop_in_layers", **row}), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
