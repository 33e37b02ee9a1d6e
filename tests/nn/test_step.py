"""Few steps of latency: values against a loop in float64, gradients by hand, and what is trained is what fires."""

import pytest
import torch
from torch.nn.functional import linear

from dgl_dysign._dgl import dgl
from dgl_dysign.errors import ConfigError, GraphError
from dgl_dysign.nn import LIF, EquilibriumSpikingConv, FiringRates, SpikingGraphConv
from tests.nn.conv_cases import undirected
from tests.nn.equilibrium_oracle import adjacency, made

GRAPH, WEIGHT = undirected(9, 24)
FEAT = torch.randn(9, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
LEARNED = torch.tensor([-0.7, -0.2, 0.3, 0.8], dtype=torch.float64)


def stepping(latency, feedback=None, **options):
    feedback = latency > 1 if feedback is None else feedback
    conv = made(5, 4, gradient="step", latency=latency, feedback=feedback, gain=1.0, threshold=1.5, **options)
    if conv.lif.log_ratio is not None:
        conv.lif.log_ratio.data = LEARNED.clone()
    return conv


def by_loop(conv, matrix, feat):
    """Return the rates, neuron by neuron, of thresholds as they are and potentials that start at half of them."""
    thresholds = torch.as_tensor(conv.lif.thresholds, dtype=torch.float64).expand(conv.out_feats)
    current = matrix @ feat @ conv.injection_weight.t() + conv.biases[0]
    back = conv.effective_weights()[0]
    if back is not None:  # what acts in units of thresholds, back in those of the current
        back = back * (thresholds / conv.lif.threshold)[:, None]
    potential, total = (thresholds / 2).repeat(len(feat), 1), torch.zeros_like(current)
    spikes = torch.zeros_like(current)
    for _ in range(conv.latency):
        entering = current if back is None else current + matrix @ spikes @ back.t()
        for node in range(len(feat)):
            for neuron in range(conv.out_feats):
                charged = potential[node, neuron] + entering[node, neuron]
                fires = float(charged >= thresholds[neuron])
                spikes[node, neuron], potential[node, neuron] = fires, charged - thresholds[neuron] * fires
        total += spikes
    return total / conv.latency


@torch.no_grad()
@pytest.mark.parametrize("learn_threshold", [False, True])
@pytest.mark.parametrize("latency", [1, 2, 4])
def test_rates_are_those_of_a_loop(latency, learn_threshold):
    conv = stepping(latency, learn_threshold=learn_threshold)
    rate, state = conv(GRAPH, FEAT, edge_weight=WEIGHT)
    expected = by_loop(conv, adjacency(GRAPH, WEIGHT), FEAT)
    assert torch.equal(rate, expected)
    assert 0 < rate.mean() < 1
    assert state.info is None  # nothing was solved


def test_the_gradient_of_one_step_is_the_surrogate_by_hand():
    conv = stepping(1)
    grad = torch.randn(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    rate, _ = conv(GRAPH, FEAT, edge_weight=WEIGHT)
    rate.backward(grad)
    entering = adjacency(GRAPH, WEIGHT) @ FEAT
    above = linear(entering, conv.injection_weight, conv.biases[0]).detach() + 1.5 / 2 - 1.5
    slope = (above.abs() < 1.5).double() / 3  # a rectangle of unit area and half-width 1.5
    assert 0 < slope.count_nonzero() < slope.numel()
    torch.testing.assert_close(conv.injection_weight.grad, (grad * slope).t() @ entering, rtol=0, atol=1e-12)
    torch.testing.assert_close(conv.biases[0].grad, (grad * slope).sum(0), rtol=0, atol=1e-12)


def test_a_threshold_has_the_gradient_of_a_current_measured_by_it():
    lif, current = LIF(threshold=2.0, num_neurons=3).double(), torch.tensor([[1.0, 2.5, 3.0]], dtype=torch.float64)
    lif.log_ratio.data = torch.tensor([0.0, 0.1, -0.2], dtype=torch.float64)
    thresholds = 2 * torch.tensor([0.0, 0.1, -0.2], dtype=torch.float64).exp()
    torch.testing.assert_close(lif.thresholds, thresholds, rtol=0, atol=1e-15)
    spikes, membrane = lif(current)
    assert spikes.tolist() == [[float(x >= y) for x, y in zip(current[0], thresholds, strict=True)]]
    torch.testing.assert_close(membrane, (current - spikes * thresholds) * 2 / thresholds, rtol=0, atol=1e-12)
    spikes.sum().backward()
    relative = current[0] * 2 / thresholds
    expected = -relative * ((relative - 2).abs() < 2) / 4
    torch.testing.assert_close(lif.log_ratio.grad, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "options", [{}, {"learn_threshold": True}, {"learn_threshold": "homeostatic"}, {"leak": 0.9}], ids=str
)
def test_what_is_trained_is_what_fires_to_the_bit(options):
    conv = EquilibriumSpikingConv(6, 70, gradient="step", latency=1, feedback=False, compensation_hops=0, **options)
    feat = torch.randn(9, 6)
    for thresholds in conv.lif.parameters():
        torch.nn.init.normal_(thresholds)
    trained, _ = conv(GRAPH, feat)
    batch = conv.respond(None, feat)
    with torch.no_grad():
        packed, _ = conv.eval()(GRAPH, feat)
    assert trained.requires_grad
    assert batch.requires_grad
    assert torch.equal(trained, packed)
    assert torch.equal(batch, packed)
    assert set(packed.unique().tolist()) == {0.0, 1.0}


def test_a_homeostatic_threshold_is_higher_by_what_was_learned():
    conv = stepping(1, learn_threshold="homeostatic")
    conv.lif.offset.data = LEARNED.clone()
    rate, _ = conv(GRAPH, FEAT, edge_weight=WEIGHT)
    current = linear(adjacency(GRAPH, WEIGHT) @ FEAT, conv.injection_weight, conv.biases[0])
    assert torch.equal(rate, (1.5 / 2 + current >= conv.lif.thresholds).double())
    assert torch.equal(conv.lif.thresholds, 1.5 + LEARNED)


def test_rows_fire_as_the_simulation_does_under_messages_of_its_spikes():
    conv = stepping(4)
    with torch.no_grad():
        expected, _ = conv(GRAPH, FEAT, edge_weight=WEIGHT)
    injected, messages = conv.inject(GRAPH, FEAT, WEIGHT), torch.zeros(9, 3 * 4, dtype=torch.float64)
    for _ in range(conv.latency - 1):
        sent = conv.fired(messages, injected)[1]
        messages = conv.messages(GRAPH, sent, WEIGHT)
    rows = torch.tensor([7, 2, 3])
    rate = conv.respond(messages[rows], injected[rows])
    assert torch.equal(rate.detach(), expected[rows])
    rate.sum().backward()
    assert conv.feedback_weight.grad.count_nonzero()


def test_weights_contract_in_units_of_learned_thresholds():
    conv = made(5, 4, learn_threshold=True, max_norm=0.8, feedback_gain=3.0)
    conv.lif.log_ratio.data = LEARNED.clone()
    norm = torch.linalg.matrix_norm(conv.effective_weights()[0], 2)
    assert 0.75 < norm <= 0.8
    rate, state = conv(GRAPH, FEAT, edge_weight=WEIGHT)
    assert state.info.converged
    rate.sum().backward()
    assert conv.lif.log_ratio.grad.abs().min() > 0


@pytest.mark.parametrize("conv", [SpikingGraphConv, EquilibriumSpikingConv])
def test_learned_thresholds_begin_where_fixed_ones_are_and_stay_positive(conv):
    learned, current = conv(3, 4, learn_threshold=True).lif, torch.rand(6, 4)
    assert torch.equal(learned(current)[0], LIF()(current)[0])
    optimizer = torch.optim.SGD(learned.parameters(), lr=0.2)
    for _ in range(3):
        optimizer.zero_grad()
        (-learned(current)[0].sum()).backward()  # more spikes, by lower thresholds
        assert learned.log_ratio.grad.count_nonzero()
        optimizer.step()
    assert bool((learned.thresholds > 0).all())
    assert bool((learned.thresholds < 1).any())
    learned.reset_parameters()
    assert learned.thresholds.tolist() == [1.0] * 4


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: EquilibriumSpikingConv(2, 2, gradient="step", latency=1), "at latency 1 nothing comes back"),
        (lambda: EquilibriumSpikingConv(2, 2, num_layers=2, learn_threshold=True), "num_layers is 2"),
        (lambda: LIF(num_neurons=2, learn_threshold="sometimes"), "must be True or 'homeostatic', but got 'sometimes'"),
        (lambda: LIF(num_neurons=0), "num_neurons must be at least 1"),
        (lambda: LIF(num_neurons=3)(torch.ones(2, 4)), "must have 3 neurons"),
        (lambda: stepping(1, encoding="bernoulli").respond(None, FEAT), "rows fire under a constant current"),
    ],
)  # fmt: skip
def test_bad_arguments(call, said):
    with pytest.raises((ConfigError, GraphError), match=said):
        call()


class TestRates:
    def test_a_penalty_is_its_weight_times_the_mean_rate_and_lowers_it(self):
        conv = SpikingGraphConv(5, 8, latency=4, allow_zero_in_degree=True)
        feat, optimizer, means = FEAT.float() + 1, torch.optim.SGD(conv.parameters(), lr=1.0), []
        for _ in range(30):
            optimizer.zero_grad()
            with FiringRates() as rates:
                out = conv(GRAPH, feat)
            loss = rates.loss(rate_penalty=0.5)
            torch.testing.assert_close(loss, 0.5 * out.mean())
            loss.backward()
            optimizer.step()
            means.append(rates.mean)
        assert means[-1] < 0.5 * means[0]

    @pytest.mark.parametrize("target", [0.1, 0.3])
    def test_thresholds_come_to_a_target_rate(self, target):
        torch.manual_seed(0)
        alone, current = dgl.add_self_loop(dgl.graph(([], []), num_nodes=500)), torch.rand(500, 6) * torch.arange(1, 7)
        conv = SpikingGraphConv(6, 6, weight=False, latency=1, learn_threshold="homeostatic")
        optimizer = torch.optim.Adam([conv.lif.offset], lr=0.1)
        for _ in range(100):
            optimizer.zero_grad()
            with FiringRates() as rates:
                rate = conv(alone, current)
            loss = rates.loss(target_rate=target)
            assert loss.item() == 0
            loss.backward()
            optimizer.step()
        torch.testing.assert_close(rate.mean(0), torch.full((6,), target), rtol=0, atol=0.02)
        # Of a uniform current up to c, a share r is above (1 - r) c.
        expected = (1 - target) * torch.arange(1.0, 7.0)
        torch.testing.assert_close(conv.lif.thresholds.detach(), expected, rtol=0.1, atol=0)

    def test_rows_outside_the_mask_do_not_count_and_the_innermost_context_does(self):
        conv = stepping(1, learn_threshold=True)
        active = torch.arange(9) < 5
        with FiringRates() as outer, FiringRates() as inner:
            rate, _ = conv(GRAPH, FEAT, edge_weight=WEIGHT, active=active)
        assert not outer.populations
        assert outer.mean == 0
        torch.testing.assert_close(inner.loss(1.0), rate[active].mean())
        conv(GRAPH, FEAT, edge_weight=WEIGHT)
        assert len(inner.populations) == 1

    def test_a_population_without_rows_asks_for_nothing(self):
        conv = SpikingGraphConv(6, 6, weight=False, learn_threshold="homeostatic")
        with FiringRates() as rates:
            conv(dgl.graph(([], []), num_nodes=0), torch.zeros(0, 6))
        assert rates.loss(1.0, 0.5).item() == 0 == rates.mean

    @pytest.mark.parametrize("target", [0.0, 1.0, -0.2, 1.5])
    def test_a_target_outside_of_0_and_1_is_refused(self, target):
        with pytest.raises(ConfigError, match=r"target_rate must lie in \(0, 1\)"):
            FiringRates().loss(target_rate=target)

    def test_what_cannot_be_asked_for_is_refused(self):
        with pytest.raises(ConfigError, match="rate_penalty must be 0 or more"):
            FiringRates().loss(rate_penalty=-1.0)
        with pytest.raises(ConfigError, match="no spiking layer ran"):
            FiringRates().loss(rate_penalty=1.0)
        with FiringRates() as rates:
            stepping(1)(GRAPH, FEAT, edge_weight=WEIGHT)
        with pytest.raises(ConfigError, match="learn_threshold='homeostatic'"):
            rates.loss(target_rate=0.5)
