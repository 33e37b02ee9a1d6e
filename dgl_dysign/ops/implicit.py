"""Differentiable equilibria: the gradient comes from the equilibrium's equation, not from the way it was found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dgl_dysign.ops._checks import full_precision
from dgl_dysign.ops.fixed_point import Map, Solver, SolverInfo, fixed_point, relative_gap


def solve_adjoint(
    vjp: Map, grad: Tensor, *, solver: Solver = fixed_point, max_iter: int = 50, tol: float | None = 1e-6
) -> tuple[Tensor, SolverInfo]:
    r"""Solve :math:`(I - J)^T v = g` by iterating :math:`v \leftarrow g + J^T v`.

    Parameters
    ----------
    vjp : callable
        ``v -> J^T v``.
    grad : Tensor
        The right-hand side g.
    solver : Solver, default `fixed_point`
        The solver.
    max_iter, tol
        As for `fixed_point`.

    Returns
    -------
    value, info
        As for `fixed_point`.

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
        with full_precision(grad):
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

    Only the last evaluation of ``f`` is taped, so memory does not grow with the number of steps.

    Parameters
    ----------
    func : callable
        ``func(x, *inputs)``, differentiable. Everything that needs a gradient must come in through ``inputs``.
    x0 : Tensor
        Where to start, not differentiated.
    inputs : sequence of Tensor
        What the gradient flows to.
    at : bool, default False
        Take ``x0`` itself as the equilibrium, computed in another way (a spiking simulation), without solving.
    solver, max_iter, tol
        Solver of the equilibrium, see `fixed_point`.
    adjoint_max_iter, adjoint_tol
        The same for the gradient; ``adjoint_max_iter=0`` takes ``v = dl/dx``, the one-step gradient.
    on_adjoint : callable, optional
        Given the `SolverInfo` of the adjoint when the gradient is computed.

    Returns
    -------
    value : Tensor
        The equilibrium; once differentiable.
    info : SolverInfo
        Steps and gaps of the forward solve.

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
