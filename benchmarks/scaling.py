"""Time and memory of a training step of Dy-SIGN against each size alone, as JSON lines and a picture.

One quantity at a time goes through at least a factor of 30 while the others stay: nodes, edges, features, latency (of
the spiking simulation) and snapshots (their number, solved one after the other with the state carried along); edges go
through theirs on a tenth of the nodes. A row is one step (forward, backward, optimiser) after a first one, in a fresh
process, on one thread; ``step_bytes`` is what its peak adds to the process. ``slope`` rows fit a line on logarithmic
axes to the upper half of the sizes, beside the slope that is expected: 1 where work is proportional, 0 where it must
not grow.

    python benchmarks/scaling.py --picture scaling.png
    python benchmarks/scaling.py --quick
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dgl_dysign.experiments.memory import in_fresh_process, peak_rss_bytes, reset_peak, return_freed_memory

BASE = {"nodes": 20_000, "edges": 100_000, "features": 64, "latency": 8, "snapshots": 1}
SIZES = {
    "nodes": (20_000, 60_000, 200_000, 640_000), "edges": (100_000, 320_000, 1_000_000, 3_200_000),
    "features": (16, 64, 192, 512), "latency": (4, 12, 40, 128), "snapshots": (1, 4, 12, 36),
}  # fmt: skip
#: What else differs while a quantity goes through its sizes: with few nodes, edges are most of the work.
BESIDE = {"edges": {"nodes": 2_000}}
QUICK = {"nodes": (500, 1_000), "latency": (2, 4)}
#: Expected slopes of seconds and of bytes. Features: products of matrices grow with their square, the rest does not.
#: Bytes of a step do not grow with edges: the graph and its index, which do, were made before it.
EXPECTED = {"nodes": (1, 1), "edges": (1, 0), "features": ((1, 2), 1), "latency": (1, 0), "snapshots": (1, 0)}
LEAST = {"cpu_seconds": 1e-9, "step_bytes": 2.0**23}  # what is less cannot be told from the allocator's own
Row = dict[str, Any]


def measure(size: dict[str, int]) -> Row:
    """Take one step on generated snapshots and return its row."""
    import torch

    from dgl_dysign._dgl import dgl
    from dgl_dysign.nn import EquilibriumSpikingConv

    torch.set_num_threads(1)
    torch.manual_seed(0)
    return_freed_memory()
    src, dst = torch.randint(size["nodes"], (2, size["edges"] // 2))
    graph = dgl.graph((torch.cat([src, dst]), torch.cat([dst, src])), num_nodes=size["nodes"])
    feat = torch.rand(size["nodes"], size["features"])
    options: dict[str, Any] = {"max_iter": 6, "tol": None, "adjoint_max_iter": 6, "adjoint_tol": None}
    conv = EquilibriumSpikingConv(
        size["features"], size["features"], latency=size["latency"], simulate=True, compensation_hops=0, **options
    )
    optimiser = torch.optim.AdamW(conv.parameters())

    def step() -> None:
        state = None
        for _ in range(size["snapshots"]):  # the gradient of one snapshot is taken before the next is solved
            rate, state = conv(graph, feat, state)
            rate.mean().backward()
        optimiser.step()
        optimiser.zero_grad()

    step()
    reset_peak()
    before, begun = peak_rss_bytes(), time.process_time()
    step()
    return {
        "check": "step",
        **size,
        "cpu_seconds": time.process_time() - begun,
        "step_bytes": peak_rss_bytes() - before,
    }


def slope(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Return the exponent of growth over the upper half of the sizes."""
    half = len(sizes) // 2 - 1 if len(sizes) > 2 else 0
    return float(np.polyfit(np.log(sizes[half:]), np.log(np.maximum(values[half:], 1e-9)), 1)[0])


def slopes(rows: Sequence[Row]) -> list[Row]:
    """Return the growth of time and memory with each quantity."""
    rows_of = {
        name: [row for row in rows if row["varied"] == name] for name in dict.fromkeys(r["varied"] for r in rows)
    }
    figures = []
    for name, chosen in rows_of.items():
        for value, expected in zip(("cpu_seconds", "step_bytes"), EXPECTED[name], strict=True):
            grown = slope([row[name] for row in chosen], [max(row[value], LEAST[value]) for row in chosen])
            figures.append(
                {"check": "slope", "varied": name, "of": value, "slope": round(grown, 2), "expected": expected}
            )
    return figures


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw time and memory against each quantity on logarithmic axes."""
    from dgl_dysign.experiments.plots import pyplot, save

    plt = pyplot()
    names = list(dict.fromkeys(row["varied"] for row in rows))
    figure, axes = plt.subplots(2, len(names), figsize=(3 * len(names), 5.5), sharex="col", sharey="row", squeeze=False)
    units = {"cpu_seconds": ("CPU seconds a step", 1.0), "step_bytes": ("MiB of a step", 2.0**20)}
    for column, name in enumerate(names):
        chosen = [row for row in rows if row["varied"] == name]
        sizes = np.array([row[name] for row in chosen], float)
        for axis, (value, (label, unit)), expected in zip(axes[:, column], units.items(), EXPECTED[name], strict=True):
            values = np.array([max(row[value], LEAST[value]) for row in chosen]) / unit
            axis.loglog(sizes, values, "o-", label="measured")
            for power in expected if isinstance(expected, tuple) else (expected,):
                line = values[-1] * (sizes / sizes[-1]) ** power
                axis.loglog(sizes, line, "--", color="grey", lw=1, label=f"expected: slope {power}")
            axis.set(xlabel="" if value == "cpu_seconds" else name, ylabel=label if column == 0 else "")
            axis.minorticks_off()  # their labels run into each other
            axis.legend(fontsize=6)
    figure.suptitle("One training step of Dy-SIGN, one size at a time")
    save(figure, path)


def main(argv: Sequence[str] | None = None) -> int:
    """Print all rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=sorted(SIZES), default=list(SIZES), help="quantities")
    parser.add_argument("--picture", type=Path, help="PNG file to draw")
    parser.add_argument("--quick", action="store_true", help="two small sizes of two quantities")
    args = parser.parse_args(argv)
    base, varied = ({**BASE, "nodes": 500, "edges": 2_000}, QUICK) if args.quick else (BASE, SIZES)
    rows = []
    for name in (name for name in args.only if name in varied):
        for number in varied[name]:
            size = {**base, **BESIDE.get(name, {}), name: number}
            rows.append({"varied": name, **in_fresh_process(measure, size)})
            print(json.dumps(rows[-1]), flush=True)
    for row in slopes(rows):
        print(json.dumps(row), flush=True)
    if args.picture:
        draw(rows, args.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
