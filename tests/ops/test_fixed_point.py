"""Solvers: values, the report, the lowest residual, and what does not converge."""

import dataclasses
import math
import re
import warnings

import pytest
import torch

from dgl_dysign.errors import ConfigError
from dgl_dysign.ops import SOLVERS, ConvergenceWarning, SolverInfo, get_solver
from dgl_dysign.ops import fixed_point as solve
from tests.processes import apart


def affine(size=30, norm=0.9, symmetric=False, seed=0):
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(size, size, dtype=torch.float64, generator=generator)
    matrix = matrix @ matrix.t() if symmetric else matrix
    matrix *= norm / torch.linalg.matrix_norm(matrix, 2)
    shift = torch.randn(size, dtype=torch.float64, generator=generator)
    return (lambda x: matrix @ x + shift), torch.linalg.solve(torch.eye(size, dtype=torch.float64) - matrix, shift)


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
@pytest.mark.parametrize("symmetric", [False, True])
def test_finds_the_fixed_point(solver, symmetric):
    func, expected = affine(symmetric=symmetric)
    value, info = solver(func, torch.zeros_like(expected), max_iter=500, tol=1e-12)
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-10)
    assert info.converged
    assert info.gap <= 1e-12
    assert info.steps == len(info.trace) < 500
    assert info.gap == min(info.trace)


def test_anderson_needs_fewer_steps_on_a_slow_symmetric_map():
    func, expected = affine(norm=0.99, symmetric=True)
    steps = {name: s(func, torch.zeros_like(expected), max_iter=3000, tol=1e-8)[1].steps for name, s in SOLVERS.items()}
    assert steps["anderson"] < steps["fixed_point"] / 3


def test_gap_is_relative_and_of_the_whole_tensor():
    value, info = solve(lambda x: x + torch.tensor([[3.0], [4.0]]), torch.zeros(2, 1), max_iter=1, tol=None)
    assert value.flatten().tolist() == [3, 4]
    assert info == SolverInfo(1, 1.0, False, (1.0,))


def test_damping_tames_an_oscillation():
    value, info = solve(lambda x: 1 - x, torch.zeros(2), max_iter=60, damping=0.4, tol=1e-6)
    assert info.converged
    torch.testing.assert_close(value, torch.full((2,), 0.5))


def test_returns_the_lowest_residual_not_the_last():
    outputs = iter([1.0, 1.5, 1.6, 50.0])
    value, info = solve(lambda x: torch.full_like(x, next(outputs)), torch.zeros(1), max_iter=4, tol=None)
    assert value.item() == pytest.approx(1.6)
    assert info.gap == pytest.approx(0.1 / 1.6)


def solve_in_vain():
    """Return what is said of solvers that stop before they converge, and whether the one without tolerance did."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        _, info = solve(lambda x: 2 * x + 1, torch.zeros(1), max_iter=3, tol=None)
        silent = len(heard)
        for _ in range(2):
            solve(lambda x: -x, torch.ones(2), max_iter=5)
    return silent, [(warning.category, str(warning.message)) for warning in heard], info.converged


def test_warns_once_in_a_process_and_only_with_a_tolerance():
    silent, said, converged = apart(solve_in_vain)
    assert (silent, len(said), converged) == (0, 1, False)
    category, message = said[0]
    assert category is ConvergenceWarning
    assert re.search(r"5 steps .* gap of 2,.* raise max_iter or tol", message)


@pytest.mark.filterwarnings("ignore:the solver stopped")
@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_stops_at_nan_with_the_best_value_so_far(solver):
    outputs = iter([1.0, 1.1, math.nan, 2.0])
    value, info = solver(lambda x: torch.full_like(x, next(outputs)), torch.zeros(1), max_iter=4, tol=1e-9)
    assert value.item() == pytest.approx(1.1)
    assert (info.steps, info.converged) == (3, False)


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_zero_is_a_fixed_point_and_the_start_is_not_changed(solver):
    start = torch.ones(3)
    value, info = solver(torch.zeros_like, start, max_iter=5, tol=1e-6)
    assert value.tolist() == [0, 0, 0]
    assert info.converged
    assert start.tolist() == [1, 1, 1]


def test_errors():
    with pytest.raises(ConfigError, match="'fixed_point', 'anderson' or a callable, but got 'newton'"):
        get_solver("newton")
    for wrong in ({"max_iter": 0}, {"tol": -1.0}, {"damping": 0.0}, {"damping": 1.5}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            solve(torch.cos, torch.zeros(1), **wrong)
    with pytest.raises(ConfigError, match="memory"):
        SOLVERS["anderson"](torch.cos, torch.zeros(1), max_iter=1, tol=1.0, memory=0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        SolverInfo(1, 0.0, True).steps = 2
