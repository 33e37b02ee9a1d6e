"""The equilibrium layer: values against the dense oracle, what it carries, and what it refuses."""

import gc
import itertools

import pytest
import torch
from torch.nn.functional import hardtanh

from dgl_dysign import ops
from dgl_dysign._dgl import dgl
from dgl_dysign.data.row_store import RowStore
from dgl_dysign.errors import ConfigError, GraphError
from dgl_dysign.nn import EquilibriumSpikingConv, EquilibriumState
from tests.nn.conv_cases import assert_conv, features, undirected
from tests.nn.equilibrium_oracle import EXACT, LOOSE, adjacency, flat_gradient, larger, made, turn, unrolled


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gradient": "one-step"},
        {"gradient": "trace", "surrogate": "sigmoid"},
        {"gradient": "bptt", "surrogate": "sigmoid"},
        {"num_layers": 2},
        {"compensation_hops": 2, "feedback_hops": 2},
        {"threshold": 2.0},
    ],
    ids=str,
)
def test_what_every_convolution_satisfies(options):
    conv = made(5, 6, **LOOSE, **options)
    assert_conv(conv, lambda conv, graph, feat, weight: conv(graph, feat, edge_weight=weight)[0], atol=1e-9)


@pytest.mark.parametrize(
    ("in_feats", "options"),
    [
        (5, {}),
        (20, {}),  # more features than neurons: they are weighted before they are aggregated
        (5, {"num_layers": 3}),
        (5, {"threshold": 1.7, "num_layers": 2}),
        (5, {"compensation_hops": 2}),
        (20, {"compensation_hops": 2}),
        (20, {"compensation_hops": 0, "feedback_hops": 0}),
        (5, {"feedback": False}),
        (5, {"compensation": False}),
        (5, {"solver": "anderson"}),
        (5, {"max_norm": 0.5}),
    ],
    ids=str,
)
def test_solver_finds_the_dense_equilibrium(in_feats, options):
    graph, weight = undirected()
    conv = made(in_feats, 6, **EXACT, **options)
    feat = features(size=in_feats) * 2
    rate, state = conv(graph, feat, edge_weight=weight)
    expected = unrolled(conv.eval(), adjacency(graph, weight), feat)
    torch.testing.assert_close(rate, expected, rtol=0, atol=1e-11)
    assert state.info.converged
    assert torch.equal(state.rate, rate)
    assert (rate * (1 - rate) > 0).double().mean() > 0.3


def dense_simulation(conv, matrix, feat, membranes, latency, drawn=None):
    """Return rates, mean input and final potentials of a simulation written out."""
    leak, threshold = conv.lif.leak, conv.lif.threshold
    feedback, *above = conv.effective_weights()
    u, fired = list(membranes), torch.zeros(len(feat), conv.out_feats, dtype=torch.float64)
    num, heard, count = [0.0] * conv.num_layers, 0.0, 0.0
    history = []
    for step in range(latency):
        x = feat if drawn is None else drawn[step]
        x = x if conv.compensation or step == 0 else torch.zeros_like(x)
        current = matrix @ fired @ feedback.t() + matrix @ x @ conv.injection_weight.t() + conv.biases[0]
        for layer in range(conv.num_layers):
            p = leak * u[layer] + current
            fired = (p >= threshold).double()
            u[layer] = p - threshold * fired
            num[layer] = leak * num[layer] + fired
            if layer + 1 < conv.num_layers:
                current = matrix @ fired @ above[layer].t() + conv.biases[layer + 1]
        heard, count = leak * heard + x, leak * count + 1
        history.append(num[-1] / count)
    return [n / count for n in num], heard / count, u, history


@pytest.mark.parametrize(("num_layers", "leak", "compensation"), [(1, 1.0, True), (2, 0.9, True), (1, 0.8, False)])
def test_simulation_equals_the_dense_one(num_layers, leak, compensation):
    graph, weight = undirected()
    conv = made(
        5, 6, num_layers=num_layers, leak=leak, compensation=compensation, gradient="bptt", latency=7, threshold=1.3
    )
    conv.eval()
    start = [torch.rand(14, 6, dtype=torch.float64) for _ in range(num_layers)]
    state = EquilibriumState(tuple(start), torch.zeros(14, 6, dtype=torch.float64))
    rate, after = conv(graph, features(), state, weight)
    with torch.no_grad():
        expected, _, _, _ = dense_simulation(conv, adjacency(graph, weight), features(), start, 7)
    torch.testing.assert_close(rate, expected[-1])
    for membrane, a in zip(after.membrane, expected, strict=True):
        torch.testing.assert_close(membrane, 1.3 * a)  # equation 9: the next snapshot starts at the rates


@pytest.mark.parametrize(
    ("leak", "drawn", "compensation"), list(itertools.product((1.0, 0.8), (False, True), (False, True)))
)
def test_identity_of_rates_and_potentials(leak, drawn, compensation):
    """Vth a_K = C_{K-1}/C_K Agg(a_{K-1}) W^T + Agg(mean x) F^T + b + (leak^K u_0 - u_K)/C_K, for every K."""
    graph, weight = undirected()
    conv = made(5, 6, leak=leak, compensation=compensation).eval()
    matrix, latency = adjacency(graph, weight), 11
    spikes = torch.bernoulli(features().expand(latency, -1, -1)) if drawn else None
    start = torch.rand(14, 6, dtype=torch.float64)
    with torch.no_grad():
        (rate,), heard, (u,), history = dense_simulation(conv, matrix, features(), [start], latency, spikes)
        total = [sum(leak**i for i in range(k)) for k in (latency - 1, latency)]
        right = total[0] / total[1] * matrix @ history[-2] @ conv.effective_weights()[0].t()
        right += matrix @ heard @ conv.injection_weight.t() + conv.biases[0]
        right += (leak**latency * start - u) / total[1]
    torch.testing.assert_close(rate, right, rtol=0, atol=1e-12)
    if not drawn:  # the layer's own simulation is the same, so the identity is its own too
        state = EquilibriumState((start,), rate)
        found, _ = conv(graph, features(), state, weight, simulate=True)
        assert conv.latency == 8
        conv.latency = latency
        found, _ = conv(graph, features(), state, weight, simulate=True)
        torch.testing.assert_close(found, rate)


def gaps_to_equilibrium(leak):
    graph, weight, feat, _ = larger()
    conv = made(16, 24, leak=leak, **EXACT).eval()
    with torch.no_grad():
        star, _ = conv(graph, feat, edge_weight=weight)
        found = {}
        for conv.latency in (4, 8, 16, 32, 64, 128):
            rate, state = conv(graph, feat, edge_weight=weight, simulate=True)
            found[conv.latency] = ((rate - star).abs().mean().item(), state.info.gap)
    return found


def test_rates_tend_to_the_equilibrium_as_one_over_latency():
    found = gaps_to_equilibrium(1.0)
    for latency, (error, gap) in found.items():
        assert 0.05 < error * latency < 0.4
        assert gap < 3 / latency
    assert found[128][0] < found[4][0] / 20


@pytest.mark.parametrize(
    "options",
    [
        {"gradient": "trace"},
        {"gradient": "trace", "num_layers": 2, "leak": 0.9, "threshold": 1.3},
        {"simulate": True, "feedback_hops": 2},
        {"simulate": True, "feedback_hops": 0},
        {"simulate": True, "encoding": "bernoulli", "num_layers": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("rows", [RowStore(), RowStore(step_bytes=1200)], ids=["all nodes", "four"])
def test_packed_spikes_give_the_bits_of_floats(options, rows):
    graph, weight = undirected()
    weight, found = weight.float(), {}
    for backend in ("packed", "float"):
        torch.manual_seed(0)
        conv = EquilibriumSpikingConv(5, 70, backend=backend, **options)  # one whole word of neurons, and a part
        rate, state = conv(graph, features().float(), edge_weight=weight, rows=rows)
        rate.sum().backward()
        with torch.no_grad():
            later, _ = conv(graph, features().float(), state, edge_weight=weight, rows=rows)
        assert 0.05 < rate.mean() < 0.95
        found[backend] = rate, later, *(parameter.grad for parameter in conv.parameters())
    assert all(torch.equal(a, b) for a, b in zip(found["packed"], found["float"], strict=True))


@pytest.mark.parametrize("backend", ["packed", "float"])
def test_nodes_that_step_together_are_no_matter(backend):
    graph, weight = undirected()
    conv = EquilibriumSpikingConv(5, 70, num_layers=2, leak=0.9, gradient="trace", backend=backend)
    found = []
    for step_bytes in (1 << 22, 1200, 4):
        rate, _ = conv(graph, features().float(), None, weight.float(), rows=RowStore(step_bytes=step_bytes))
        found.append(torch.autograd.grad(rate.sum(), conv.biases[0]))
    torch.testing.assert_close(found[1], found[0])
    torch.testing.assert_close(found[2], found[0])


@pytest.mark.parametrize("simulate", [False, True])
def test_nothing_of_a_call_waits_for_the_garbage_collector(simulate):
    graph, weight = undirected()
    conv, feat = made(5, 6), features()
    with torch.no_grad():
        gc.disable()
        try:
            counts = []
            for _ in range(2):
                conv(graph, feat, edge_weight=weight, simulate=simulate)
                counts.append(sum(type(thing) is torch.Tensor for thing in gc.get_objects()))
            assert counts[0] == counts[1]
        finally:
            gc.enable()


class Recorder(RowStore):
    """Remembers what was aggregated."""

    def __init__(self):
        super().__init__()
        self.kinds = set()

    def by_columns(self, func, source, out=None):
        self.kinds.add(type(source))
        return super().by_columns(func, source, out)


def test_the_packed_path_is_taken_where_it_can_be():
    graph, _ = undirected()
    for options, dtype, packed in (
        ({}, torch.float32, True),
        ({"backend": "float"}, torch.float32, False),
        ({"gradient": "bptt"}, torch.float32, False),
        ({"surrogate": ops.Surrogate("arctan").__call__}, torch.float32, False),
        ({}, torch.float64, False),
    ):
        rows = Recorder()
        conv = EquilibriumSpikingConv(5, 6, **{"gradient": "trace", "feedback_hops": 2, **options}).to(dtype)
        conv(graph, features().to(dtype), rows=rows)
        assert (ops.PackedSpikes in rows.kinds) == packed, options


def test_leak_leaves_a_floor():
    found = gaps_to_equilibrium(0.8)
    assert found[128][0] == pytest.approx(found[32][0], rel=0.1)
    assert 0.07 < found[128][0] < 0.13  # about (1 - leak) / 2, as nearly all neurons are unsaturated here


def test_equilibrium_does_not_depend_on_the_state_but_starts_there():
    graph, weight = undirected()
    conv = made(5, 6, tol=1e-9, max_iter=100).eval()
    first, state = conv(graph, features(), edge_weight=weight)
    second, again = conv(graph, features(), state, weight)
    torch.testing.assert_close(first, second, rtol=0, atol=1e-7)
    assert again.info.steps == 1 < state.info.steps


def test_inactive_nodes_are_silent():
    graph, weight = undirected()
    active = torch.ones(14, dtype=torch.bool)
    active[[2, 9]] = False
    for mode in ("implicit", "trace", "bptt"):
        conv = made(5, 6, gradient=mode, num_layers=2, threshold=1.5, **LOOSE)
        rate, state = conv(graph, features(), edge_weight=weight, active=active)
        assert rate[~active].abs().max() == 0
        assert rate[active].abs().max() > 0
        assert (state.membrane[0][~active] == 0.75).all()
        rate.square().sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in conv.parameters())
    conv = made(5, 6, **EXACT)
    rate, _ = conv(graph, features(), edge_weight=weight, active=active)
    matrix = adjacency(graph, weight)
    expected = torch.zeros_like(rate)
    for _ in range(300):
        expected = turn(conv.eval(), matrix, expected, features()) * active[:, None]
    torch.testing.assert_close(rate, expected)


def test_respond_is_the_layer_on_cached_messages():
    graph, weight, feat, grad = larger()
    conv = made(16, 24, gradient="one-step", compensation_hops=2, **EXACT)
    current = 0.1 * grad
    rate, state = conv(graph, feat, edge_weight=weight, current=current)
    expected = flat_gradient(conv, rate, grad)
    messages, injected = conv.messages(graph, state.rate, weight), conv.inject(graph, feat, weight)
    rows = torch.tensor([3, 200, 77])
    torch.testing.assert_close(conv.respond(messages[rows], injected[rows], current[rows]), rate[rows])
    found = flat_gradient(conv, conv.respond(messages, injected, current), grad)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)
    hoisted, _ = conv(graph, None, edge_weight=weight, current=current, injected=injected)
    torch.testing.assert_close(hoisted, rate)
    assert conv.respond(messages[:0], injected[:0]).shape == (0, 24)


def test_messages_follow_the_edges():
    path = dgl.graph(([0, 1, 2], [1, 2, 3]))
    conv = made(1, 1, bias_init=0.0, **EXACT)
    torch.nn.init.ones_(conv.injection_weight)
    torch.nn.init.constant_(conv.feedback_weight, 0.5)
    rate, _ = conv(path, torch.tensor([[1.0], [0.0], [0.0], [0.0]]).double())
    torch.testing.assert_close(rate.flatten(), torch.tensor([0, 1, 0.5, 0.25]).double())


def test_drawn_input_has_the_features_as_mean():
    graph, weight = undirected()
    torch.manual_seed(3)
    conv = made(5, 6, encoding="bernoulli", latency=3000, **EXACT).eval()
    expected = unrolled(conv, adjacency(graph, weight), features())
    rate, _ = conv(graph, features(), edge_weight=weight)
    assert 0 < (rate - expected).abs().max() < 0.05
    conv.latency = 400
    rate, state = conv(graph, features(), edge_weight=weight, simulate=True)
    assert (rate - expected).abs().max() < 0.1
    assert state.info.gap < 0.01  # against the equilibrium of what was drawn


def test_no_edges_and_isolated_nodes():
    conv = made(5, 6, **EXACT)
    rate, state = conv(dgl.graph(([], []), num_nodes=3), torch.ones(3, 5, dtype=torch.float64))
    rate.sum().backward()
    torch.testing.assert_close(rate, hardtanh(conv.biases[0], 0, 1).expand(3, -1))
    assert state.info.converged
    empty, _ = conv(dgl.graph(([], []), num_nodes=0), torch.ones(0, 5, dtype=torch.float64))
    assert empty.shape == (0, 6)


def test_without_compensation_the_equilibrium_does_not_see_the_features():
    graph, weight = undirected()
    conv = made(5, 6, compensation=False, **EXACT)
    one, _ = conv(graph, features(seed=1), edge_weight=weight)
    two, _ = conv(graph, features(seed=2), edge_weight=weight)
    assert torch.equal(one, two)
    one, _ = conv(graph, features(seed=1), edge_weight=weight, simulate=True)
    two, _ = conv(graph, features(seed=2) * 3, edge_weight=weight, simulate=True)
    assert not torch.equal(one, two)


def test_leak_above_one():
    with pytest.raises(ConfigError, match="no equilibrium"):
        EquilibriumSpikingConv(2, 2, leak=1.2)
    graph, weight = undirected()
    errors = []
    for leak in (1.0, 1.2):
        conv = made(5, 6, leak=leak, allow_growth=True, latency=64).eval()
        star, _ = conv(graph, features(), edge_weight=weight)
        errors.append((conv(graph, features(), edge_weight=weight, simulate=True)[0] - star).abs().mean())
    assert errors[1] > 5 * errors[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"gradient": "exact"}, "'implicit', 'one-step', 'trace', 'bptt', 'step', but got 'exact'"),
        ({"encoding": "rank"}, "encoding"),
        ({"backend": "bits"}, "'packed', 'float', but got 'bits'"),
        ({"max_norm": 1.0}, "max_norm"),
        ({"num_layers": 0}, "num_layers"),
        ({"compensation_hops": -1}, "compensation_hops"),
        ({"gradient": "trace", "simulate": False}, "simulate=True"),
        ({"solver": "newton"}, "solver"),
        ({"surrogate": "step"}, "surrogate"),
    ],
)
def test_bad_arguments(options, said):
    with pytest.raises(ConfigError, match=said):
        EquilibriumSpikingConv(2, 2, **options)


def test_bad_input():
    graph, _ = undirected()
    conv, feat = made(5, 6), features()
    state = EquilibriumState((torch.zeros(13, 6),), torch.zeros(13, 6))
    cases = [
        ({"feat": feat[:, :3]}, r"\(N, 5\)"),
        ({"feat": feat[:13]}, "14 source nodes"),
        ({"feat": None}, "feat and injected"),
        ({"state": state}, r"state must have 1 membranes.*rows.*state\.grow\(14\)"),
        ({"state": state.grow(14)}, r"state is torch\.float32 .* torch\.float64 .*state\.to\(torch\.float64\)"),
        ({"current": feat}, r"\(14, 6\)"),
        ({"current": torch.zeros(14, 6)}, r"current\.double\(\)"),
        ({"active": torch.ones(14)}, "bool mask"),
        ({"edge_weight": torch.ones(3)}, "edge_weight"),
    ]
    for wrong, said in cases:
        with pytest.raises((GraphError, ConfigError), match=said):
            conv(**({"graph": graph, "feat": feat} | wrong))
    with pytest.raises(ConfigError, match="one layer"):
        made(5, 6, num_layers=2).respond(feat, feat)
    with pytest.raises(ConfigError, match="feedback"):
        conv.respond(None, feat)
    with pytest.raises(ConfigError, match="pass feat"):
        made(5, 6, encoding="bernoulli")(graph, None, injected=feat)
    with pytest.raises(ConfigError, match=r"\[0, 1\]"):
        made(5, 6, encoding="bernoulli")(graph, feat * 3)


@pytest.mark.parametrize("simulate", [False, True])
def test_a_state_that_grew_is_one_of_the_larger_graph(simulate):
    """New nodes have what nodes have that no call has seen as active; old ones what they would have had."""
    graph, _ = undirected()
    larger = dgl.graph(graph.edges(), num_nodes=17)
    feat = torch.cat([features(), torch.ones(3, 5, dtype=torch.float64)])
    conv = made(5, 6, num_layers=2, threshold=1.3, simulate=simulate, tol=1e-12, max_iter=200).eval()
    active = torch.arange(17) < 14
    with torch.no_grad():
        _, small = conv(graph, feat[:14])
        _, large = conv(larger, feat, active=active)
        grown = small.grow(17, threshold=1.3)
        for a, b in zip((*grown.membrane, grown.rate), (*large.membrane, large.rate), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-10)
            assert torch.equal(a[14:], b[14:])
        # From there on, new nodes among the edges or not, both are one state.
        later = dgl.add_edges(larger, [14, 0], [0, 15])
        torch.testing.assert_close(conv(later, feat, grown)[0], conv(later, feat, large)[0], rtol=0, atol=1e-10)
        # Where a simulation has new nodes start is where it has all nodes start at first.
        fresh, _ = conv(larger, feat, simulate=True)
        torch.testing.assert_close(conv(larger, feat, grown, simulate=True)[0][14:], fresh[14:])
    assert grown.info is small.info
    assert torch.equal(small.grow(14, 1.3).rate, small.rate)
    with pytest.raises(ConfigError, match=r"num_nodes=13, but the state has 14 nodes"):
        small.grow(13)


def test_a_state_is_saved_by_its_tensors_or_by_itself(tmp_path):
    graph, _ = undirected()
    conv = made(5, 6, num_layers=2)
    rate, state = conv(graph, features())
    torch.save(state.state_dict(), tmp_path / "tensors.pt")
    torch.save(state, tmp_path / "state.pt")
    saved = torch.load(tmp_path / "tensors.pt", weights_only=True)
    for other in (EquilibriumState.from_state_dict(saved), torch.load(tmp_path / "state.pt", weights_only=True)):
        assert isinstance(other, EquilibriumState)
        assert other.info == state.info
        assert torch.equal(conv(graph, features(), other)[0], conv(graph, features(), state)[0])
        assert all(torch.equal(a, b) for a, b in zip(other.membrane, state.membrane, strict=True))
    assert EquilibriumState.from_state_dict(state._replace(info=None).state_dict()).info is None
    for wrong in (conv.state_dict(), {}, {"rate": rate}, {**saved, "membrane.3": rate}):
        with pytest.raises(ConfigError, match=r"expected membrane\.0 .*but got .*state_dict"):
            EquilibriumState.from_state_dict(wrong)


@pytest.mark.parametrize("gradient", ["implicit", "one-step", "trace", "bptt"])
@pytest.mark.parametrize("simulate", [None, True])
def test_training_from_a_state_of_inference_mode(gradient, simulate):
    (graph, weight), grads = undirected(), []
    conv = made(5, 6, gradient=gradient, simulate=simulate, num_layers=2)
    for mode in (torch.inference_mode, torch.no_grad):
        conv.eval()
        with mode():
            _, state = conv(graph, features(), edge_weight=weight)
        conv.train().zero_grad()
        conv(graph, features(), state, weight)[0].square().sum().backward()
        grads.append([parameter.grad.clone() for parameter in conv.parameters()])
        conv.bounds[0].reset_parameters()
        conv.bounds[1].reset_parameters()
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_state_rows_and_repr():
    state = EquilibriumState((torch.arange(3.0)[:, None],), torch.arange(3.0)[:, None])
    assert state.rows(torch.tensor([2, 0])).membrane[0].flatten().tolist() == [2, 0]
    assert state.to("cpu").rate is state.rate
    assert repr(made(5, 6)).startswith("EquilibriumSpikingConv(\n  5, 6, num_layers=1, latency=8, gradient='implicit'")


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize(
    "options", [{"simulate": True}, {"simulate": True, "backend": "float"}, {"gradient": "trace"}, {"gradient": "step"}]
)
def test_nan_is_not_silence(options, grad):
    graph, _ = undirected()
    conv, feat = EquilibriumSpikingConv(5, 4, **options), features().float()
    feat[3, 2] = torch.nan
    unknown = conv.inject(graph, feat).isnan().any(1)
    assert 0 < unknown.sum() < len(unknown)
    with torch.set_grad_enabled(grad):
        rate, _ = conv(graph, feat)
    assert torch.equal(rate.isnan(), unknown[:, None].expand_as(rate))
