"""Hot operations, one signature on every device: aggregation, spikes, fixed points and their gradients."""

from dgl_dysign.ops.aggregate import BACKENDS, NORMS, aggregate, backend
from dgl_dysign.ops.fixed_point import (
    SOLVERS,
    ConvergenceWarning,
    Solver,
    SolverInfo,
    anderson,
    equilibrium,
    fixed_point,
    get_solver,
    solve_adjoint,
)  # fmt: skip
from dgl_dysign.ops.packed_spikes import PackedSpikes, fire_packed, packed_linear
from dgl_dysign.ops.spikes import SURROGATES, Surrogate, get_surrogate, slope
from dgl_dysign.ops.symmetric_norm import symmetric_norm

__all__ = [
    "BACKENDS", "NORMS", "SOLVERS", "SURROGATES", "ConvergenceWarning", "PackedSpikes", "Solver", "SolverInfo",
    "Surrogate", "aggregate", "anderson", "backend", "equilibrium", "fire_packed", "fixed_point", "get_solver",
    "get_surrogate", "packed_linear", "slope", "solve_adjoint", "symmetric_norm",
]  # fmt: skip
