"""Solvers: values, the report, what does not converge; implicit gradients against closed forms, loops and torchdeq."""

import dataclasses
import gc
import math
import re
import warnings
import weakref

import pytest
import torch

from dgl_dysign.errors import ConfigError
from dgl_dysign.ops import (
    SOLVERS,
    ConvergenceWarning,
    SolverInfo,
    anderson,
    equilibrium,
    fixed_point,
    get_solver,
    solve_adjoint,
)
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


def problem(size=8, norm=0.9):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(size, size, dtype=torch.float64, generator=generator)
    weight *= norm / torch.linalg.matrix_norm(weight, 2)
    shift = torch.randn(5, size, dtype=torch.float64, generator=generator)
    return weight.requires_grad_(), shift.requires_grad_()


def tanh_map(x, weight, shift):
    return torch.tanh(x @ weight.t() + shift)


def solved(weight, shift, **options):
    exact = {"tol": 1e-13, "adjoint_tol": 1e-13, "max_iter": 500, "adjoint_max_iter": 500}
    return equilibrium(tanh_map, torch.zeros_like(shift), [weight, shift], **(exact | options))


def test_adjoint_solves_i_minus_j():
    jacobian = torch.randn(6, 6, dtype=torch.float64) / 6
    grad = torch.randn(6, dtype=torch.float64)
    value, info = solve_adjoint(lambda v: jacobian.t() @ v, grad, tol=1e-13, max_iter=500)
    torch.testing.assert_close(value, torch.linalg.solve((torch.eye(6) - jacobian).t(), grad))
    assert info.converged


@pytest.mark.parametrize("solver", [fixed_point, anderson])
def test_gradcheck(solver):
    weight, shift = problem(size=4, norm=0.7)
    assert torch.autograd.gradcheck(lambda w, b: solved(w, b, solver=solver)[0], (weight, shift))


def test_equals_unrolled_iteration():
    weight, shift = problem()
    found = torch.autograd.grad(solved(weight, shift)[0].sin().sum(), (weight, shift))
    x = torch.zeros_like(shift)
    for _ in range(400):
        x = tanh_map(x, weight, shift)
    for one, other in zip(found, torch.autograd.grad(x.sin().sum(), (weight, shift)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_one_step_is_the_first_term_of_the_series():
    weight, shift = problem()
    value, _ = solved(weight, shift, adjoint_max_iter=0)
    found = torch.autograd.grad(value.sum(), (weight, shift))
    expected = torch.autograd.grad(tanh_map(value.detach(), weight, shift).sum(), (weight, shift))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_at_a_given_point():
    weight, shift = problem()
    point = torch.rand_like(shift).detach()
    value, info = equilibrium(tanh_map, point, [weight, shift], at=True, adjoint_max_iter=0)
    torch.testing.assert_close(value, point)
    output = tanh_map(point, weight, shift)
    assert info.gap == pytest.approx(((output - point).norm() / output.norm()).item())
    found = torch.autograd.grad(value.sum(), weight)
    torch.testing.assert_close(found, torch.autograd.grad(output.sum(), weight))


def test_only_asked_inputs_get_gradients_and_twice_backward_works():
    weight, shift = problem()
    value, _ = solved(weight, shift.detach())
    value.sum().backward(retain_graph=True)
    first = weight.grad.clone()
    value.sum().backward()
    torch.testing.assert_close(weight.grad, 2 * first)
    with torch.no_grad():
        assert not solved(weight, shift)[0].requires_grad


def test_reports_the_adjoint():
    weight, shift = problem()
    told = []
    value, _ = solved(weight, shift, on_adjoint=told.append)
    value.sum().backward()
    assert len(told) == 1
    assert told[0].converged


def test_tape_is_freed_without_the_garbage_collector():
    weight, shift = problem()
    gc.disable()
    try:
        value, _ = solved(weight, shift)
        tape = weakref.ref(value.grad_fn.tape)
        value.sum().backward()
        del value
        assert tape() is None
    finally:
        gc.enable()


def test_torchdeq_agrees():
    torchdeq = pytest.importorskip("torchdeq")
    weight, shift = problem()
    options = {"f_solver": "fixed_point_iter", "b_solver": "fixed_point_iter", "f_tol": 1e-13, "b_tol": 1e-13}
    deq = torchdeq.get_deq(**options, f_max_iter=500, b_max_iter=500, ift=True)
    # One row: torchdeq takes the first axis for independent samples.
    values, _ = deq(
        lambda z: tanh_map(z.view_as(shift), weight, shift).view_as(z), torch.zeros(1, shift.numel()).double()
    )
    other = torch.autograd.grad(values[-1].sin().sum(), (weight, shift))
    for one, two in zip(torch.autograd.grad(solved(weight, shift)[0].sin().sum(), (weight, shift)), other, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-8, atol=1e-10)
