"""Dy-SIGN: values and gradients against the dense concatenation, what is seen when, copies, errors."""

import copy
import io
import pickle

import pytest
import torch

from dgl_dysign._dgl import dgl
from dgl_dysign.errors import ConfigError
from dgl_dysign.models import DySIGN, Snapshot
from tests.models.snapshot_cases import C, D, N, dense_logits, dense_rates, growing, label_features, made

VARIANTS = [
    {},
    {"coupling": True},
    {"label_feats": 5},
    {"coupling": True, "label_feats": 5},
    {"feedback": False},
    {"feedback_hops": 2},
    {"threshold": 1.5},
    {"input_thresholds": (0.5, 1.0), "keep_inputs": 0.5, "keep_block": 2},
]


def labels_of(model):
    return label_features() if model.label_feats else None


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_logits_and_gradients_are_those_of_the_dense_concatenation(options):
    snapshots, model = growing(), made(**options).eval()
    label_feat, slope = labels_of(model), torch.randn(N, C, dtype=torch.float64)
    found, expected = model(snapshots, label_feat), dense_logits(model, snapshots, label_feat)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    parameters = list(model.parameters())
    for value, oracle in zip(
        torch.autograd.grad(found, parameters, slope), torch.autograd.grad(expected, parameters, slope), strict=True
    ):
        torch.testing.assert_close(value, oracle, rtol=1e-8, atol=1e-9)
        assert oracle.abs().max() > 0


@pytest.mark.parametrize("gradient", ["implicit", "one-step", "trace", "bptt"])
@pytest.mark.parametrize("options", VARIANTS[:4], ids=str)
def test_gradient_reaches_every_parameter(gradient, options):
    snapshots, model = growing(), made(gradient=gradient, **options)
    model(snapshots, labels_of(model)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_the_parts_add_up_and_each_place_has_its_own_readout():
    snapshots, model = growing(), made(label_feats=5).eval()
    parts = list(model.parts(snapshots, label_features()))
    assert len(parts) == 4
    torch.testing.assert_close(sum(parts), model(snapshots, label_features()), rtol=0, atol=1e-12)
    rates = dense_rates(model, snapshots)
    expected = (rates[1] - 0.5) * snapshots[1].active[:, None] @ model.readout[1].t()
    torch.testing.assert_close(parts[1], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("options", VARIANTS[:5], ids=str)
def test_respond_under_the_equilibrium_is_forward_with_the_one_step_gradient(options):
    snapshots, model = growing(), made(gradient="one-step", **options).eval()
    label_feat, nodes = labels_of(model), torch.tensor([9, 0, 4, 10])
    rates = [rate.detach() for rate, _ in model.rates(snapshots)]
    messages = [
        model.conv.messages(s.graph, r, s.edge_weight)[nodes] if model.conv.feedback else None
        for s, r in zip(snapshots, rates, strict=True)
    ]
    found = model.respond(
        messages,
        [s.feat[nodes] for s in snapshots],
        [s.active[nodes] for s in snapshots],
        None if label_feat is None else label_feat[nodes],
    )
    expected = model(snapshots, label_feat)[nodes]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    slope = torch.randn(len(nodes), C, dtype=torch.float64)
    grads = [torch.autograd.grad(value, list(model.parameters()), slope) for value in (found, expected)]
    for value, oracle in zip(*grads, strict=True):
        torch.testing.assert_close(value, oracle, rtol=1e-8, atol=1e-9)


def test_nodes_not_seen_yet_add_nothing_and_hear_nothing():
    snapshots, model = growing(), made(coupling=True).eval()
    logits = model(snapshots)
    torch.testing.assert_close(logits[-1], model.bias)  # never seen
    for (rate, _), snapshot in zip(model.rates(snapshots), snapshots, strict=True):
        assert not rate[~snapshot.active].any()
        assert rate[snapshot.active].any(1).all()
    unseen = ~snapshots[0].active
    changed = [snapshots[0]._replace(feat=snapshots[0].feat + 9.0 * unseen[:, None]), *snapshots[1:]]
    torch.testing.assert_close(model(changed), logits, rtol=0, atol=0)


@torch.no_grad()
def moved(model, change):
    """Return by how much the rates of each of three snapshots move when the first one's features change."""
    snapshots = growing()
    before = [rate for rate, _ in model.rates(snapshots)]
    snapshots[0] = snapshots[0]._replace(feat=snapshots[0].feat * change)
    return [float((rate - old).abs().max()) for (rate, _), old in zip(model.rates(snapshots), before, strict=True)]


def test_without_coupling_an_equilibrium_remembers_nothing():
    first, *later = moved(made().eval(), -1.0)
    assert first > 0.05
    assert max(later) < 1e-12
    silent = made(coupling=True).eval()
    torch.nn.init.zeros_(silent.coupling)
    assert max(moved(silent, -1.0)[1:]) < 1e-12


def test_with_coupling_it_remembers_along_its_sign():
    model = made(coupling=True).eval()
    assert min(moved(model, -1.0)) > 1e-4
    # Without feedback rates answer each current on its own: more before is more now, or less, by the coupling's sign.
    model = made(coupling=True, feedback=False).eval()
    snapshots = growing()
    with torch.no_grad():
        model.coupling.copy_(torch.tensor([0.2, -0.2]).repeat(3))
        plain = made(feedback=False).eval()
        plain.load_state_dict({k: v for k, v in model.state_dict().items() if k != "coupling"})
        pairs = zip(model.rates(snapshots), plain.rates(snapshots), strict=True)
        change = [with_it[0] - without[0] for with_it, without in pairs]
    assert not change[0].any()
    assert (change[1][:, 0::2] >= 0).all()
    assert (change[1][:, 1::2] <= 0).all()
    assert change[1].abs().max() > 0.05


def test_the_gradient_goes_back_through_the_coupling():
    snapshots, model = growing(), made(coupling=True).eval()
    *_, (rate, _) = model.rates(snapshots)
    (found,) = torch.autograd.grad(rate.sum(), model.coupling)
    (expected,) = torch.autograd.grad(dense_rates(model, snapshots)[-1].sum(), model.coupling)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9)
    feat = snapshots[0].feat.clone().requires_grad_()
    *_, (rate, _) = model.rates([snapshots[0]._replace(feat=feat), *snapshots[1:]])
    (reached,) = torch.autograd.grad(rate.sum(), feat)
    assert reached.abs().max() > 0


@pytest.mark.parametrize("simulate", [False, True])
@pytest.mark.parametrize("coupling", [False, True])
def test_nothing_after_a_snapshot_moves_its_rates(simulate, coupling):
    snapshots, other = growing(seed=0), growing(seed=5)
    model = made(coupling=coupling).eval()
    with torch.no_grad():
        before = [rate for rate, _ in model.rates(snapshots, simulate=simulate)]
        for t in range(2):
            mixed = [*snapshots[: t + 1], *other[t + 1 :]]
            after = [rate for rate, _ in model.rates(mixed, simulate=simulate)]
            assert all(torch.equal(a, b) for a, b in zip(after[: t + 1], before[: t + 1], strict=True))
            assert not torch.equal(after[t + 1], before[t + 1])


def test_names_of_nodes_do_not_matter():
    snapshots, model = growing(), made(coupling=True).eval()
    name = torch.randperm(N, generator=torch.Generator().manual_seed(1))
    old = torch.argsort(name)
    renamed = []
    for graph, weight, feat, active in snapshots:
        src, dst = graph.edges()
        renamed.append(Snapshot(dgl.graph((name[src], name[dst]), num_nodes=N), weight, feat[old], active[old]))
    torch.testing.assert_close(model(renamed)[name], model(snapshots), rtol=0, atol=1e-10)


def test_spikes_come_to_the_equilibrium_with_more_latency():
    snapshots, model = growing(), made().eval()
    with torch.no_grad():
        solved, gaps = model(snapshots), []
        for latency in (4, 32, 256):
            model.conv.latency = latency
            gaps.append(float((model(snapshots, simulate=True) - solved).abs().mean()))
    assert gaps[0] > 3 * gaps[1] > 9 * gaps[2] > 0


@pytest.mark.parametrize("gradient", ["implicit", "one-step", "trace", "bptt"])
def test_any_model_can_be_scored_at_its_equilibrium(gradient):
    snapshots, model = growing(), made(gradient=gradient).eval()
    with torch.no_grad():
        found = model(snapshots, simulate=False)
    torch.testing.assert_close(found, dense_logits(model, snapshots), rtol=0, atol=1e-10)


def test_dropout_works_in_training_alone_and_keeps_the_mean():
    snapshots, model = growing(), made(dropout=0.4)
    torch.manual_seed(0)
    first, second = model(snapshots), model(snapshots)
    assert not torch.equal(first, second)
    model.conv.eval()  # the norm's bound stands still
    rates = [rate.detach() for rate, _ in model.rates(snapshots)]
    seen = snapshots[-1].active
    mean = sum(model.contribution(rates[-1], 2, seen) for _ in range(4000)) / 4000
    model.eval()
    expected = model.contribution(rates[-1], 2, seen)
    torch.testing.assert_close(mean, expected, rtol=0, atol=0.1)
    assert torch.equal(model(snapshots), model(snapshots))


def test_feature_dropout_is_drawn_in_mini_batches():
    model = made(1, label_feats=5, dropout=0.0, feat_dropout=0.5, label_dropout=0.0)
    model.conv.eval()
    (snapshot,) = growing(1)
    messages = [model.conv.messages(snapshot.graph, torch.zeros(N, 6, dtype=torch.float64), snapshot.edge_weight)]
    torch.manual_seed(0)
    given = messages, [snapshot.feat], [snapshot.active], label_features()
    assert not torch.equal(model.respond(*given), model.respond(*given))
    model.feat_dropout = 0.0
    assert torch.equal(model.respond(*given), model.respond(*given))
    model.label_dropout = 0.5
    assert not torch.equal(model.respond(*given), model.respond(*given))


def test_copies_agree():
    snapshots, model = growing(), made(coupling=True, label_feats=5)
    model(snapshots, label_features())  # in training: the norm's bound has moved
    expected = model.eval()(snapshots, label_features())
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(snapshots, label_features()), expected)
    other = made(seed=9, coupling=True, label_feats=5).eval()
    assert not torch.equal(other(snapshots, label_features()), expected)
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(other(snapshots, label_features()), expected)


def test_reset_draws_anew_and_the_same_with_the_same_seed():
    model = DySIGN(D, 6, C, 2, coupling=True, label_feats=5)
    before = {name: p.clone() for name, p in model.named_parameters()}
    torch.nn.init.ones_(model.coupling)
    torch.manual_seed(0)
    model.reset_parameters()
    first = {name: p.clone() for name, p in model.named_parameters()}
    assert not model.coupling.any()
    assert not torch.equal(first["readout"], before["readout"])
    assert not torch.equal(first["label_conv.injection_weight"], before["label_conv.injection_weight"])
    torch.manual_seed(0)
    model.reset_parameters()
    assert all(torch.equal(p, first[name]) for name, p in model.named_parameters())


def test_options_reach_the_layers():
    model = DySIGN(D, 6, C, label_feats=5, latency=3, leak=0.9, threshold=2.0, compensation_hops=1, gain=0.7)
    assert (model.conv.latency, model.conv.lif.leak, model.conv.lif.threshold) == (3, 0.9, 2.0)
    assert (model.label_conv.latency, model.label_conv.lif.leak, model.label_conv.lif.threshold) == (3, 0.9, 2.0)
    assert (model.conv.compensation_hops, model.label_conv.compensation_hops) == (1, 0)
    assert model.label_conv.feedback_weight is None
    assert model.conv.gain == model.label_conv.gain == 0.7


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda m, s: m(s[:2]), "reads out 3 snapshots, but got 2"),
        (lambda m, s: m.respond([None] * 2, [s[0].feat] * 2, [s[0].active] * 2), "reads out 3 snapshots, but got 2"),
        (lambda m, s: m(s, label_features()), "expected none, got some"),
        (lambda m, s: made(label_feats=5)(s), "expected features of width 5, got none"),
        (lambda m, s: DySIGN(D, 0, C), "out_feats must be at least 1"),
        (lambda m, s: DySIGN(D, 4, C, latency=0), "latency must be at least 1"),
        (lambda m, s: DySIGN(D, 4, C, gradient="none"), "gradient"),
    ],
)
def test_what_it_refuses(call, text):
    with pytest.raises(ConfigError, match=text):
        call(made(), growing())


def test_a_state_of_another_size_is_refused_whole():
    model = made()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for other in (DySIGN(D, 6, C + 1, 3, label_hidden=4), made(hidden=7)):
        with pytest.raises(
            ConfigError, match=r"has shape \(.*\) in the state that is loaded, but \(.*\) in this DySIGN"
        ):
            model.load_state_dict(other.state_dict())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
