"""Peak resident memory of one training step, for each gradient mode and latency, as JSON lines.

Every row is measured in a fresh process: a process never gives back its high-water mark. The graph is generated, with
the numbers of nodes and edges of DBLP. All modes run the spiking simulation, so that the latency matters to all.

    python benchmarks/gradient_memory.py
    python benchmarks/gradient_memory.py --quick
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence

from dgl_dysign.experiments.memory import in_fresh_process

MODES = ("implicit", "one-step", "trace", "bptt")


def measure(gradient: str, latency: int, nodes: int, edges: int, dim: int) -> dict[str, object]:
    """Take one training step in a gradient mode and return its row; each edge goes in both directions."""
    import torch

    from dgl_dysign._dgl import dgl
    from dgl_dysign.experiments.memory import peak_rss_bytes
    from dgl_dysign.nn import EquilibriumSpikingConv

    row = {"gradient": gradient, "latency": latency, "nodes": nodes, "edges": edges, "dim": dim}
    torch.manual_seed(0)
    src, dst = torch.randint(nodes, (2, edges))
    graph = dgl.graph((torch.cat([src, dst]), torch.cat([dst, src])), num_nodes=nodes)
    feat, direction = torch.randn(nodes, dim), torch.randn(nodes, dim) / nodes
    solver = {"max_iter": 6, "tol": None, "adjoint_max_iter": 6, "adjoint_tol": None}
    conv = EquilibriumSpikingConv(dim, dim, gradient=gradient, latency=latency, simulate=True, **solver)
    optimiser = torch.optim.AdamW(conv.parameters())
    before, started = peak_rss_bytes(), time.process_time()
    rate, _ = conv(graph, feat)
    (rate * direction).sum().backward()
    optimiser.step()
    seconds, peak = time.process_time() - started, peak_rss_bytes()
    costs = {"peak_rss_bytes": peak, "step_bytes": peak - before, "cpu_seconds": round(seconds, 3)}
    return {"benchmark": "gradient_memory", **row, **costs}


def main(argv: Sequence[str] | None = None) -> int:
    """Print one JSON line for each mode and latency."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", nargs="+", default=MODES, choices=MODES)
    parser.add_argument("--latencies", nargs="+", type=int, default=[5, 10, 20, 40, 80])
    parser.add_argument("--nodes", type=int, default=28085)
    parser.add_argument("--edges", type=int, default=236894)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--quick", action="store_true", help="a small graph and two latencies")
    args = parser.parse_args(argv)
    if args.quick:
        args.nodes, args.edges, args.dim, args.latencies = 4000, 16000, 64, [5, 40]
    for mode in args.modes:
        for latency in args.latencies:
            row = in_fresh_process(measure, mode, latency, args.nodes, args.edges, args.dim)
            print(json.dumps(row), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
