"""How exact the equilibrium layer is, as JSON lines, in float64 on a generated graph.

``gradient`` rows: the implicit gradient against autograd through a long unrolled iteration. ``rate`` rows: the firing
rates of the spiking simulation against the solver's equilibrium, for each latency and leak. ``mode`` rows: the cosine
and the ratio of norms between each mode's gradient and the implicit one, for each latency.

    python benchmarks/equilibrium.py
    python benchmarks/equilibrium.py --quick
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dgl_dysign import ops
from dgl_dysign._dgl import dgl
from dgl_dysign.nn import EquilibriumSpikingConv

EXACT: dict[str, Any] = {"tol": 1e-13, "adjoint_tol": 1e-13, "max_iter": 500, "adjoint_max_iter": 500}
Row = dict[str, object]


class Problem(NamedTuple):
    """A graph, features, and the gradient that a loss would send back."""

    graph: Any
    feat: Tensor
    grad: Tensor


def make_problem(nodes: int, edges: int, dim: int, seed: int = 0) -> Problem:
    """Generate an undirected graph, features, and a gradient of low rank, as a linear read-out sends it."""
    generator = torch.Generator().manual_seed(seed)
    src, dst = torch.randint(nodes, (2, edges), generator=generator)
    graph = dgl.graph((torch.cat([src, dst]), torch.cat([dst, src])), num_nodes=nodes)
    feat, rows = (torch.randn(nodes, size, generator=generator, dtype=torch.float64) for size in (dim, 4))
    return Problem(graph, feat, rows @ torch.randn(4, dim, generator=generator, dtype=torch.float64))


def make_layer(dim: int, **options: Any) -> EquilibriumSpikingConv:
    """Return a layer whose feedback is as strong as the bound allows; the same weights at each call."""
    torch.manual_seed(1)
    return EquilibriumSpikingConv(dim, dim, feedback_gain=10.0, **(EXACT | options)).double().eval()


def flat_gradient(layer: EquilibriumSpikingConv, rate: Tensor, grad: Tensor) -> Tensor:
    """Return the gradient to all parameters as one vector."""
    return torch.cat([g.flatten() for g in torch.autograd.grad(rate, list(layer.parameters()), grad)])


def unrolled(layer: EquilibriumSpikingConv, problem: Problem, steps: int) -> Tensor:
    """Iterate the equations under autograd; written out anew here, so that it can serve as an oracle."""
    weight = ops.symmetric_norm(problem.graph, dtype=torch.float64)
    feedback, *above = (matrix for matrix in layer.effective_weights() if matrix is not None)
    rate = torch.zeros_like(problem.grad)
    for _ in range(steps):
        both = rate @ feedback.t() + problem.feat @ layer.injection_weight.t()
        rate = (ops.aggregate(problem.graph, both, weight, "none") + layer.biases[0]).clamp(0, 1)
        for matrix, bias in zip(above, list(layer.biases)[1:], strict=True):
            rate = (ops.aggregate(problem.graph, rate @ matrix.t(), weight, "none") + bias).clamp(0, 1)
    return rate


def gradient_rows(problem: Problem, num_layers: Sequence[int], norms: Sequence[float], steps: int) -> Iterator[Row]:
    """Compare the implicit gradient with that of the unrolled iteration."""
    for layers in num_layers:
        for norm in norms:
            layer = make_layer(problem.feat.shape[1], num_layers=layers, max_norm=norm)
            adjoint: list[ops.SolverInfo] = []
            layer.on_adjoint = adjoint.append
            rate, state = layer(problem.graph, problem.feat)
            assert state.info is not None
            gradient = flat_gradient(layer, rate, problem.grad)
            expected = flat_gradient(layer, unrolled(layer, problem, steps), problem.grad)
            yield {
                "check": "gradient", "num_layers": layers, "max_norm": norm,
                "relative_error": float((gradient - expected).norm() / expected.norm()),
                "solver_steps": state.info.steps, "adjoint_steps": adjoint[0].steps, "unrolled_steps": steps,
            }  # fmt: skip


def rate_rows(problem: Problem, latencies: Sequence[int], leaks: Sequence[float]) -> Iterator[Row]:
    """Compare simulated rates with the equilibrium."""
    for leak in leaks:
        layer = make_layer(problem.feat.shape[1], leak=leak, allow_growth=True)
        with torch.no_grad():
            equilibrium, _ = layer(problem.graph, problem.feat)
            for latency in latencies:
                layer.latency = latency
                rate, state = layer(problem.graph, problem.feat, simulate=True)
                gap = (rate - equilibrium).abs()
                yield {
                    "check": "rate", "leak": leak, "latency": latency, "mean_gap": float(gap.mean()),
                    "max_gap": float(gap.max()), "mean_gap_times_latency": float(gap.mean()) * latency,
                    "relative_residual": state.info.gap,
                }  # fmt: skip


def mode_rows(problem: Problem, latencies: Sequence[int]) -> Iterator[Row]:
    """Compare the gradients of the modes with the implicit gradient at the equilibrium."""
    dim = problem.feat.shape[1]
    exact = make_layer(dim)
    expected = flat_gradient(exact, exact(problem.graph, problem.feat)[0], problem.grad)
    for mode in ("implicit", "one-step", "trace", "bptt"):
        for latency in latencies:
            layer = make_layer(dim, gradient=mode, latency=latency, simulate=True)
            gradient = flat_gradient(layer, layer(problem.graph, problem.feat)[0], problem.grad)
            yield {
                "check": "mode", "gradient": mode, "latency": latency,
                "cosine": float(torch.nn.functional.cosine_similarity(gradient, expected, dim=0)),
                "norm_ratio": float(gradient.norm() / expected.norm()),
            }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Print one JSON line for each row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--edges", type=int, default=5000)
    parser.add_argument("--dim", type=int, default=32)
    parser.add_argument("--unrolled-steps", type=int, default=250)
    parser.add_argument("--latencies", nargs="+", type=int, default=[4, 8, 16, 32, 64, 128])
    parser.add_argument("--leaks", nargs="+", type=float, default=[1.0, 0.95, 0.8])
    parser.add_argument("--quick", action="store_true", help="a small graph")
    args = parser.parse_args(argv)
    if args.quick:
        args.nodes, args.edges, args.dim = 200, 800, 8
    problem = make_problem(args.nodes, args.edges, args.dim)
    rows = [
        gradient_rows(problem, (1, 2, 3), (0.3, 0.5, 0.9), args.unrolled_steps),
        rate_rows(problem, args.latencies, args.leaks),
        mode_rows(problem, [k for k in (5, 20, 40) if k <= max(args.latencies)]),
    ]
    for part in rows:
        for row in part:
            print(json.dumps({"benchmark": "equilibrium", **row}), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
