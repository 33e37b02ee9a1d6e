"""Implicit gradients against closed forms, unrolled iterations and torchdeq."""

import gc
import weakref

import pytest
import torch

from dgl_dysign.ops import anderson, equilibrium, fixed_point, solve_adjoint


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
