"""Solvers for ``x = func(x)``: one signature, the lowest-residual iterate, and what happened as data."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from dgl_dysign.errors import ConfigError

Map = Callable[[Tensor], Tensor]

_AT_ONCE = 1 << 18  # numbers that are compared at a time: what a cache holds


class ConvergenceWarning(UserWarning):
    """A solver stopped before it reached its tolerance."""


@dataclass(frozen=True)
class SolverInfo:
    """What a solver did.

    Parameters
    ----------
    steps : int
        Number of evaluations of the map.
    gap : float
        Smallest relative residual ``|func(x) - x| / |func(x)|`` met, over the whole tensor at once.
    converged : bool
        Whether the gap reached the tolerance.
    trace : tuple of float
        The gap at each evaluation.
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
    """Return ``|output - point| / |output|`` of two tensors of one shape, without a temporary of their size.

    0 if both are zero, infinite if only ``output`` is, NaN if either is not finite.
    """
    parts = zip(output.reshape(-1).split(_AT_ONCE), point.reshape(-1).split(_AT_ONCE), strict=True)
    squares = torch.stack([torch.stack([a.square().sum(), (a - b).square_().sum()]) for a, b in parts]).sum(0)
    size, change = squares.sqrt().tolist()  # one wait for the device, not two
    if size == 0:
        return 0.0 if change == 0 else math.inf
    return change / size


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
    than a few steps. The whole tensor is one sample: there is one residual, not one for each node.

    Parameters
    ----------
    func : callable
        The map; takes and returns a tensor of the shape of ``x0``.
    x0 : Tensor
        Where to start; not changed.
    max_iter : int, default 50
        Largest number of evaluations of ``func``.
    tol : float or None, default 1e-4
        Relative residual at which to stop; None takes exactly ``max_iter`` steps, without a check of convergence.
    damping : float in (0, 1], default 1
        Weight of the new value; below 1 it also tames maps that oscillate.

    Returns
    -------
    value : Tensor
        ``func(x)`` for the ``x`` with the smallest residual.
    info : SolverInfo
        Steps and gaps; the gap is that of ``x``, and for a contraction bounds that of ``value``.

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

    The next point is the combination of the last points, with coefficients that add up to 1, whose combined residual
    is the smallest. It gains on slow maps (symmetric weights, norm near 1) and costs ``2 memory`` tensors.

    Parameters
    ----------
    func, x0, max_iter, tol, damping
        As for `fixed_point`.
    memory : int, default 5
        Number of points that are combined.
    ridge : float, default 1e-10
        Added to the normal equations, relative to their largest entry.

    Returns
    -------
    value, info
        As for `fixed_point`.

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
