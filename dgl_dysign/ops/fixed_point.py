"""Solvers for ``x = func(x)``, and equilibria whose gradient comes from their equation, however they were found."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dgl_dysign.errors import ConfigError
from dgl_dysign.ops._checks import no_autocast

Map = Callable[[Tensor], Tensor]

_AT_ONCE = 1 << 18  # numbers that are compared at a time: what a cache holds


class ConvergenceWarning(UserWarning):
    """A solver stopped before it reached its tolerance."""


@dataclass(frozen=True)
class SolverInfo:
    """What a solver did: evaluations of the map, the gap, whether it reached the tolerance, the gap of each evaluation.

    The gap is the smallest relative residual met, ``|func(x) - x| / |func(x)|``, over the whole tensor at once.
    """

    steps: int
    gap: float
    converged: bool
    trace: tuple[float, ...] = ()


class Solver(Protocol):
    """The signature that all solvers share."""

    def __call__(self, func: Map, x0: Tensor, *, max_iter: int, tol: float | None) -> tuple[Tensor, SolverInfo]:
        """Return an output of ``func`` near its fixed point, and what was done to find it."""


class _Record:
    """Keeps the output whose residual was the smallest, and the gaps."""

    def __init__(self, tol: float | None) -> None:
        self.tol, self.gap = tol, math.inf
        self.trace: list[float] = []
        self.value: Tensor | None = None

    def add(self, output: Tensor, point: Tensor) -> bool:
        """Take one evaluation, at a point; say whether to stop."""
        gap = relative_gap(output, point)
        self.trace.append(gap)
        if self.value is None or gap < self.gap:
            self.value, self.gap = output, gap
        return math.isnan(gap) or (self.tol is not None and gap <= self.tol)

    def result(self) -> tuple[Tensor, SolverInfo]:
        assert self.value is not None
        converged = self.tol is not None and self.gap <= self.tol
        if self.tol is not None and not converged:
            _warn_once(len(self.trace), self.gap, self.tol)
        return self.value, SolverInfo(len(self.trace), self.gap, converged, tuple(self.trace))


def relative_gap(output: Tensor, point: Tensor) -> float:
    """Return ``|output - point| / |output|`` of two tensors of one shape, on a CPU without a temporary of their size.

    0 if both are zero, infinite if only ``output`` is, NaN if either is not finite.
    """
    size = _AT_ONCE if output.device.type == "cpu" else max(output.numel(), 1)  # a GPU waits for each part
    parts = zip(output.reshape(-1).split(size), point.reshape(-1).split(size), strict=True)
    squares = torch.stack([torch.stack([a.square().sum(), (a - b).square_().sum()]) for a, b in parts]).sum(0)
    norm, change = squares.sqrt().tolist()  # one wait for the device, not two
    if norm == 0:
        return 0.0 if change == 0 else math.inf
    return change / norm


_warned = False


def _warn_once(steps: int, gap: float, tol: float) -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"the solver stopped after {steps} steps with a relative gap of {gap:.3g}, above its tolerance of "
            f"{tol:.3g}; raise max_iter or tol, or lower max_norm (said once in a process; SolverInfo always tells)",
            ConvergenceWarning,
            stacklevel=4,
        )


def _check(max_iter: int, tol: float | None, damping: float) -> None:
    if max_iter < 1:
        raise ConfigError(f"max_iter must be at least 1, but got {max_iter}")
    if tol is not None and not tol >= 0:
        raise ConfigError(f"tol must be None, for a fixed number of steps, or not negative, but got {tol}")
    if not 0 < damping <= 1:
        raise ConfigError(f"damping must lie in (0, 1], but got {damping}")


def fixed_point(
    func: Map, x0: Tensor, *, max_iter: int = 50, tol: float | None = 1e-4, damping: float = 1.0
) -> tuple[Tensor, SolverInfo]:
    """Iterate ``x <- (1 - damping) x + damping func(x)``.

    On a contraction this converges from anywhere; for an equilibrium of spiking neurons no acceleration gained more
    than a few steps. The whole tensor is one sample: there is one residual, not one for each node. Returned are
    ``func(x)`` for the ``x`` with the smallest residual, and steps and gaps, that of ``x``, as `SolverInfo`.

    Parameters
    ----------
    func : callable
        The map; takes and returns a tensor of the shape of ``x0``.
    x0 : Tensor
        Where to start; not changed.
    max_iter : int, default 50
        Most evaluations of ``func``.
    tol : float or None, default 1e-4
        Relative residual at which to stop; None takes exactly ``max_iter`` steps.
    damping : float in (0, 1], default 1
        Weight of the new value; below 1 it also tames maps that oscillate.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.ops import fixed_point
    >>> value, info = fixed_point(torch.cos, torch.zeros(1), tol=1e-6)
    >>> value, info.steps, info.converged
    (tensor([0.7391]), 36, True)
    """
    _check(max_iter, tol, damping)
    record, x = _Record(tol), x0
    for _ in range(max_iter):
        output = func(x)
        if record.add(output, x):
            break
        x = output if damping == 1 else torch.lerp(x, output, damping)
    return record.result()


def anderson(
    func: Map,
    x0: Tensor,
    *,
    max_iter: int = 50,
    tol: float | None = 1e-4,
    damping: float = 1.0,
    memory: int = 5,
    ridge: float = 1e-10,
) -> tuple[Tensor, SolverInfo]:
    """Iterate with Anderson's mixing of the last ``memory`` steps (D. G. Anderson, J. ACM 12, 1965).

    Arguments and result are those of `fixed_point`. The next point is the combination of the last points, with
    coefficients that add up to 1, whose combined residual is the smallest. It gains on slow maps (symmetric weights,
    norm near 1) and costs ``2 memory`` tensors of the shape of ``x0``. ``ridge`` is added to the normal equations,
    relative to their largest entry. A ``memory`` below 1 raises ``ConfigError``.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.ops import anderson
    >>> value, info = anderson(torch.cos, torch.zeros(2), tol=1e-6)
    >>> value, info.converged
    (tensor([0.7391, 0.7391]), True)
    """
    _check(max_iter, tol, damping)
    if memory < 1:
        raise ConfigError(f"memory must be at least 1, but got {memory}")
    record, x = _Record(tol), x0
    outputs: list[Tensor] = []
    residuals: list[Tensor] = []
    for _ in range(max_iter):
        output = func(x)
        outputs, residuals = [*outputs, output][-memory:], [*residuals, output - x][-memory:]
        if record.add(output, x):
            break
        x = torch.zeros_like(x)
        for share, old, residual in zip(_shares(residuals, ridge), outputs, residuals, strict=True):
            x.add_(old, alpha=share).add_(residual, alpha=-share * (1 - damping))
    return record.result()


def _shares(residuals: list[Tensor], ridge: float) -> list[float]:
    """Return the coefficients, adding up to 1, of the combination of residuals of the smallest norm."""
    flat = [residual.reshape(-1) for residual in residuals]
    gram = torch.tensor([[float(torch.dot(a, b)) for a in flat] for b in flat], dtype=torch.float64)
    gram += ridge * gram.diagonal().max() * torch.eye(len(flat), dtype=torch.float64)
    shares = torch.linalg.lstsq(gram, torch.ones(len(flat), 1, dtype=torch.float64), driver="gelsd").solution[:, 0]
    return (shares / shares.sum()).tolist()


SOLVERS: dict[str, Solver] = {"fixed_point": fixed_point, "anderson": anderson}


def get_solver(solver: str | Solver) -> Solver:
    """Return the solver of a name, or the given callable itself; raise ``ConfigError`` of an unknown name."""
    if callable(solver):
        return solver
    if solver not in SOLVERS:
        raise ConfigError(f"solver must be one of {', '.join(map(repr, SOLVERS))} or a callable, but got {solver!r}")
    return SOLVERS[solver]


def solve_adjoint(
    vjp: Map, grad: Tensor, *, solver: Solver = fixed_point, max_iter: int = 50, tol: float | None = 1e-6
) -> tuple[Tensor, SolverInfo]:
    r"""Solve :math:`(I - J)^T v = g` by iterating :math:`v \leftarrow g + J^T v`, as `fixed_point` does.

    ``vjp`` is ``v -> J^T v``, ``grad`` the right-hand side g, and v has its shape.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.ops import solve_adjoint
    >>> value, info = solve_adjoint(lambda v: 0.5 * v, torch.ones(2))
    >>> value
    tensor([2.0000, 2.0000])
    """
    return solver(lambda v: vjp(v) + grad, grad, max_iter=max_iter, tol=tol)


@dataclass
class _Problem:
    """What forward and backward of one equilibrium need besides tensors."""

    func: Callable[..., Tensor]
    start: Tensor | None
    at: bool
    solver: Solver
    max_iter: int
    tol: float | None
    adjoint_max_iter: int
    adjoint_tol: float | None
    on_adjoint: Callable[[SolverInfo], None] | None
    info: SolverInfo | None = None

    def solve(self, func: Map) -> Tensor:
        """Return the equilibrium, or the given point, and keep what is known about it."""
        assert self.start is not None
        if not self.at:
            value, self.info = self.solver(func, self.start, max_iter=self.max_iter, tol=self.tol)
            return value
        gap = relative_gap(func(self.start), self.start)
        self.info = SolverInfo(1, gap, self.tol is not None and gap <= self.tol, (gap,))
        return self.start


class _Tape:
    """Evaluates the map and keeps the graph of its last evaluation only."""

    def __init__(self, func: Callable[..., Tensor], inputs: Sequence[Tensor]) -> None:
        self.func = func
        self.inputs = [x.detach().requires_grad_(x.requires_grad) for x in inputs]
        self.output: Tensor | None = None
        self.point: Tensor | None = None
        self.last: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        self.output = self.point = self.last = None  # frees the tape of the step before
        with torch.enable_grad():
            self.point = x.detach().requires_grad_()
            self.output = self.func(self.point, *self.inputs)
        self.last = last = self.output.detach()
        return last

    def vjp(self, v: Tensor) -> Tensor:
        """Return J^T v."""
        assert self.point is not None
        (product,) = self.grad(v, [self.point])
        return torch.zeros_like(v) if product is None else product

    def grad(self, v: Tensor, to: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        """Return the gradient of <v, output> to some of the map's arguments."""
        assert self.output is not None
        if not self.output.requires_grad:
            return (None,) * len(to)
        return torch.autograd.grad(self.output, to, v, retain_graph=True, allow_unused=True)


class _Equilibrium(torch.autograd.Function):
    """Forward: solve. Backward: the adjoint, then one vector-Jacobian product to the inputs."""

    @staticmethod
    def forward(ctx: Any, problem: _Problem, *inputs: Tensor) -> Tensor:
        tape = _Tape(problem.func, inputs)
        value = problem.solve(tape)
        if not problem.at and value is not tape.last:
            tape(value)  # the best step was not the last one: its tape is gone
        # The output will point to this context: if the context pointed back, neither would ever be freed.
        tape.last = problem.start = None
        ctx.problem, ctx.tape = problem, tape
        return value.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        problem, tape, grad = ctx.problem, ctx.tape, grads[0]
        with no_autocast(grad):
            if problem.adjoint_max_iter > 0:
                grad, info = solve_adjoint(
                    tape.vjp, grad, solver=problem.solver, max_iter=problem.adjoint_max_iter, tol=problem.adjoint_tol
                )
                if problem.on_adjoint is not None:
                    problem.on_adjoint(info)
            wanted = [x for x in tape.inputs if x.requires_grad]
            gradients = iter(tape.grad(grad, wanted))
        return None, *(next(gradients) if x.requires_grad else None for x in tape.inputs)


def equilibrium(
    func: Callable[..., Tensor],
    x0: Tensor,
    inputs: Sequence[Tensor],
    *,
    at: bool = False,
    solver: Solver = fixed_point,
    max_iter: int = 50,
    tol: float | None = 1e-4,
    adjoint_max_iter: int = 50,
    adjoint_tol: float | None = 1e-6,
    on_adjoint: Callable[[SolverInfo], None] | None = None,
) -> tuple[Tensor, SolverInfo]:
    r"""Solve :math:`x = f(x, \theta)` and differentiate it by the implicit function theorem.

    .. math:: \frac{\partial \ell}{\partial \theta} = v^T \frac{\partial f}{\partial \theta},
              \qquad (I - J)^T v = \frac{\partial \ell}{\partial x}, \qquad J = \frac{\partial f}{\partial x}

    Only the last evaluation of ``f`` is taped, so memory does not grow with the number of steps. Returned are the
    equilibrium, once differentiable, and the `SolverInfo` of the forward solve.

    Parameters
    ----------
    func : callable
        ``func(x, *inputs)``, of the shape of x, differentiable. Everything that needs a gradient must come in through
        ``inputs``.
    x0 : Tensor
        Where to start, not differentiated.
    inputs : sequence of Tensor
        What the gradient flows to.
    at : bool, default False
        Take ``x0`` itself as the equilibrium, computed in another way (a spiking simulation), without solving.
    solver, max_iter, tol, adjoint_max_iter, adjoint_tol
        See `fixed_point`, for value and gradient; ``adjoint_max_iter=0`` takes ``v = dl/dx``, the one-step gradient.
    on_adjoint : callable, optional
        Given the `SolverInfo` of the adjoint when the gradient is computed.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.ops import equilibrium
    >>> theta = torch.tensor([3.0], requires_grad=True)
    >>> value, info = equilibrium(lambda x, t: 0.5 * x + t, torch.zeros(1), [theta], tol=1e-6)
    >>> value.backward()
    >>> value, theta.grad
    (tensor([6.0000], grad_fn=<_EquilibriumBackward>), tensor([2.0000]))
    """
    problem = _Problem(func, x0.detach(), at, solver, max_iter, tol, adjoint_max_iter, adjoint_tol, on_adjoint)
    if torch.is_grad_enabled() and any(x.requires_grad for x in inputs):
        value: Tensor = _Equilibrium.apply(problem, *inputs)
    else:
        with torch.no_grad():
            value = problem.solve(lambda x: func(x, *inputs))
    assert problem.info is not None
    return value, problem.info
