"""The equilibrium layer's four gradients, against the dense oracle unrolled under autograd, and the contraction."""

import itertools

import pytest
import torch
from torch.nn.functional import cosine_similarity

from dgl_dysign._dgl import dgl
from dgl_dysign.nn import EquilibriumSpikingConv
from tests.nn.conv_cases import features, undirected
from tests.nn.equilibrium_oracle import EXACT, adjacency, flat_gradient, larger, made, turn, unrolled


@pytest.mark.parametrize(("num_layers", "max_norm"), [(1, 0.3), (1, 0.9), (2, 0.5), (3, 0.9)])
def test_implicit_gradient_equals_a_long_unrolled_iteration(num_layers, max_norm):
    graph, weight, feat, grad = larger()
    conv = made(16, 24, num_layers=num_layers, max_norm=max_norm, feedback_gain=3.0, **EXACT)
    found = flat_gradient(conv, conv(graph, feat, edge_weight=weight)[0], grad)
    expected = flat_gradient(conv.eval(), unrolled(conv, adjacency(graph, weight), feat), grad)
    assert (found - expected).norm() / expected.norm() < 1e-8


def test_implicit_gradient_on_a_directed_graph():
    graph = dgl.graph((torch.arange(40) % 14, (torch.arange(40) * 5 + 1) % 14))
    conv = made(5, 6, **EXACT)
    rate, _ = conv(graph, features())
    grad = torch.randn_like(rate)
    expected = flat_gradient(conv.eval(), unrolled(conv, adjacency(graph, None), features()), grad)
    torch.testing.assert_close(flat_gradient(conv, rate, grad), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "threshold": 1.5, "max_norm": 0.5}], ids=str)
def test_gradcheck_to_features_current_weights_of_edges(options):
    graph, _ = undirected(6, 4)
    conv = made(2, 3, **EXACT, **options).eval()
    feat = torch.rand(6, 2, dtype=torch.float64, requires_grad=True)
    current = (0.1 * torch.randn(6, 3, dtype=torch.float64)).requires_grad_()
    weight = (torch.rand(graph.num_edges(), dtype=torch.float64) + 0.5).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, c, w: conv(graph, x, edge_weight=w, current=c)[0], (feat, current, weight), eps=1e-7, atol=1e-6
    )


def test_one_step_gradient_is_one_turn_from_the_equilibrium():
    graph, weight, feat, grad = larger()
    conv = made(16, 24, gradient="one-step", **EXACT)
    rate, _ = conv(graph, feat, edge_weight=weight)
    conv.eval()
    expected = flat_gradient(conv, turn(conv, adjacency(graph, weight), rate.detach(), feat), grad)
    torch.testing.assert_close(flat_gradient(conv, rate, grad), expected, rtol=1e-8, atol=1e-9)


def test_simulated_rates_with_the_gradient_at_them():
    graph, weight, feat, grad = larger()
    conv = made(16, 24, gradient="one-step", simulate=True, latency=5, **EXACT)
    rate, state = conv(graph, feat, edge_weight=weight)
    steps = rate * 5
    torch.testing.assert_close(steps, steps.round())
    conv.eval()
    again = turn(conv, adjacency(graph, weight), rate.detach(), feat)
    torch.testing.assert_close(flat_gradient(conv, rate, grad), flat_gradient(conv, again, grad), rtol=1e-8, atol=1e-9)
    assert state.info.steps == 5
    assert state.info.gap == pytest.approx(((again - rate).norm() / again.norm()).item())


@pytest.mark.parametrize("max_norm", [0.3, 0.9])
def test_trace_tends_to_the_one_step_gradient(max_norm):
    graph, weight, feat, _ = larger()
    torch.manual_seed(2)
    grad = torch.randn(300, 2, dtype=torch.float64) @ torch.randn(2, 24, dtype=torch.float64)

    def gradient(mode, latency=8):
        conv = made(16, 24, gradient=mode, max_norm=max_norm, feedback_gain=2.0, latency=latency, **EXACT)
        return flat_gradient(conv, conv(graph, feat, edge_weight=weight)[0], grad)

    one, implicit = gradient("one-step"), gradient("implicit")
    traces = [gradient("trace", latency) for latency in (5, 20, 80)]
    cosines = [cosine_similarity(trace, one, dim=0).item() for trace in traces]
    assert cosines == sorted(cosines)
    assert cosines[-1] > 0.98
    lost = cosine_similarity(one, implicit, dim=0) - cosine_similarity(traces[-1], implicit, dim=0)
    assert abs(lost) < 0.01
    ratios = [(trace.norm() / one.norm()).item() for trace in traces]
    assert ratios == pytest.approx([1, 1, 1], abs=0.3)  # normalised: not proportional to the latency
    assert ratios[-1] == pytest.approx(1, abs=0.1)


def test_backpropagation_through_time_tends_to_the_implicit_gradient():
    graph, weight, feat, grad = larger()
    exact = made(16, 24, **EXACT)
    expected = flat_gradient(exact, exact(graph, feat, edge_weight=weight)[0], grad)
    cosines = []
    for latency in (5, 20, 40):
        conv = made(16, 24, gradient="bptt", latency=latency)
        found = flat_gradient(conv, conv(graph, feat, edge_weight=weight)[0], grad)
        cosines.append(cosine_similarity(found, expected, dim=0).item())
    assert cosines == sorted(cosines)
    assert cosines[-1] > 0.99
    assert found.norm() / expected.norm() == pytest.approx(1, abs=0.1)


def test_bptt_gradcheck_with_a_smooth_spike():
    graph, weight = undirected(6, 4)
    conv = made(2, 3, gradient="bptt", latency=4, num_layers=2, surrogate=lambda x: torch.sigmoid(3 * x)).eval()
    feat = torch.rand(6, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: conv(graph, x, edge_weight=weight)[0], feat)


@pytest.mark.parametrize(("num_layers", "threshold"), [(1, 1.0), (2, 1.0), (3, 1.4)])
def test_contraction_holds_after_many_steps_of_training(num_layers, threshold):
    graph, weight = undirected()
    torch.manual_seed(0)
    conv = EquilibriumSpikingConv(5, 16, num_layers=num_layers, threshold=threshold, max_norm=0.8)
    optimiser = torch.optim.Adam(conv.parameters(), lr=0.1)
    target = torch.rand(14, 16)
    for step in range(60):
        rate, _ = conv(graph, features().float(), edge_weight=weight.float())
        optimiser.zero_grad()
        (rate - target).square().sum().backward()
        optimiser.step()
        conv.train(step % 3 != 0)
        norm = torch.stack([torch.linalg.matrix_norm(w.double(), 2) for w in conv.effective_weights()]).prod()
        assert norm <= 0.8 * threshold**num_layers * (1 + 1e-6)
    assert torch.linalg.matrix_norm(conv.feedback_weight, 2) > 1  # the bound was at work


def test_one_turn_is_lipschitz_with_the_bound():
    graph, weight = undirected()
    conv = made(5, 6, num_layers=2, feedback_gain=50.0).eval()
    matrix = adjacency(graph, weight)
    with torch.no_grad():
        for seed in range(20):
            a, b = torch.rand(2, 14, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
            moved = turn(conv, matrix, a, features()) - turn(conv, matrix, b, features())
            assert moved.norm() <= 0.9 * (a - b).norm()


def test_carried_state_is_detached_and_current_is_not():
    graph, weight = undirected()
    for mode in ("implicit", "one-step", "trace", "bptt"):
        conv = made(5, 6, gradient=mode)
        feat = features().requires_grad_()
        rate, state = conv(graph, feat, edge_weight=weight)
        assert rate.requires_grad
        assert not any(x.requires_grad for x in (*state.membrane, state.rate))
        current = torch.zeros(14, 6, dtype=torch.float64, requires_grad=True)
        later, _ = conv(graph, features(), state, weight, current=current)
        later.sum().backward()
        assert current.grad.abs().sum() > 0
        assert feat.grad is None


def test_drawn_input_gets_the_gradient_of_what_was_drawn():
    graph, weight = undirected()
    for mode, compensation in itertools.product(("implicit", "trace", "bptt"), (True, False)):
        conv = made(5, 6, encoding="bernoulli", gradient=mode, simulate=True, compensation=compensation)
        conv(graph, features(), edge_weight=weight)[0].square().sum().backward()
        assert conv.injection_weight.grad.abs().max() > 0
