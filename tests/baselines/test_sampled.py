"""Spiking networks over sampled neighbours: loops over single places in float64, memory, and the samples."""

import math

import pytest
import torch
from torch.nn import functional

from dgl_dysign._dgl import dgl
from dgl_dysign.baselines import ChronoSpike, DelayDSGN, SampledSnapshots, SiGNN, SpikeNet
from dgl_dysign.baselines.sampled_snapshots import _Neighbours
from dgl_dysign.data import TemporalGraph
from dgl_dysign.errors import ConfigError
from dgl_dysign.models.inputs import scaled_features

NODES, WIDTH, CLASSES, SNAPSHOTS = 3, 4, 5, 7
SIZES = {"hidden_feats": (6, 3)}
MODELS = {
    "spikenet": (SpikeNet, SIZES),
    "spikenet-memory": (SpikeNet, {**SIZES, "tau": 2.0}),
    "signn": (SiGNN, SIZES),
    "delay-dsgn": (DelayDSGN, SIZES),
    "chronospike": (ChronoSpike, {"hidden_feats": 6, "num_heads": 2}),
}


def model_of(name, snapshots=SNAPSHOTS, **changes):
    cls, options = MODELS[name]
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = cls(WIDTH, CLASSES, snapshots, **{**options, **changes}).double().eval()
    # Or the few neurons of the second layer would never fire.
    for layers in getattr(model, "scales", ()):
        layers[1].current.own.weight.data *= 20
    if name == "delay-dsgn":
        model.layers[1].sage.own.weight.data *= 5
    return model


def samples_of(snapshots=SNAPSHOTS, seed=1):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(NODES, WIDTH), (NODES, 3, WIDTH), (NODES, 3, 2, WIDTH)]
    return [[4 * torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes] for _ in range(snapshots)]


def walked(samples, first, second):
    """Return what two layers give, called for one place of the sample at a time with its name, ``(T, n, d)``."""
    outputs = []
    for own, near, far in samples:
        rows = []
        for i in range(NODES):
            around = [first((i, j), near[i, j], far[i, j]) for j in range(near.shape[1])]
            rows.append(second((i,), first((i,), own[i], near[i]), torch.stack(around)))
        outputs.append(torch.stack(rows))
    return torch.stack(outputs)


def sage(layer, own, near):
    return layer.own.weight @ own + layer.own.bias + layer.near.weight @ (near.sum(0) / len(near))


def spikenet_layer(layer):
    states = {}

    def at(place, own, near):
        v, threshold = states.get(place, (0.0, 1.0))
        v = (1 - 1 / layer.tau) * v + sage(layer.sage, own, near) / layer.tau
        spikes = layer.spiking(v - threshold)
        states[place] = v * (1 - spikes), 0.7 * threshold + 0.2 * spikes
        return spikes

    return at


def signn_layer(layer):
    states, leak, kept = {}, torch.sigmoid(layer.tau), torch.sigmoid(layer.decay)

    def at(place, own, near):
        v, threshold = states.get(place, (0.0, layer.threshold))
        v = v - v * leak + (1 - leak) * sage(layer.current, own, near)
        spikes = layer.spiking(v - threshold) + layer.spiking(-v - threshold)
        states[place] = v * (1 - spikes), threshold * kept + (1 - kept) * spikes
        return spikes * torch.sigmoid(sage(layer.value, own, near))

    return at


def delay_layer(layer):
    sent, potentials = {}, {}
    weights = [torch.exp(-((r - layer.delay) ** 2) / (2 * layer.deviation**2)) for r in range(5)]

    def at(place, own, near):
        sent.setdefault(place, []).append(layer.sage.near.weight @ near.mean(0))
        current = layer.sage.own.weight @ own + layer.sage.own.bias
        for r in range(min(5, len(sent[place]))):
            current = current + weights[r] / sum(weights) * sent[place][-1 - r]
        u = 0.5 * potentials.get(place, 0.0) + current
        spikes = layer.lif.spiking(u - 1)
        potentials[place] = u * (1 - spikes)
        return spikes

    return at


def attention_layer(layer):
    def at(place, own, near):
        everyone, heard = [own, *near], []
        for head in range(2):
            part = slice(3 * head, 3 * head + 3)
            query = layer.query(own)[part]
            scores = torch.stack([query @ layer.key(x)[part] / math.sqrt(3) for x in everyone])
            values = torch.stack([layer.value(x)[part] for x in everyone])
            heard.append(scores.softmax(0) @ values)
        return functional.elu(layer.own(own) + torch.cat(heard))

    return at


def by_loops(name, model, samples):
    """Return the logits, and the spikes of the last layer, from the equations."""
    if name == "signn":
        joined, spikes = 0.0, []
        for k in range(3):
            hidden = walked(samples[(SNAPSHOTS - 1) % (k + 1) :: k + 1], *map(signn_layer, model.scales[k]))
            conv = model.convs[k]
            joined = joined + torch.einsum("ct,tnc->nc", conv.weight[:, 0], hidden) + conv.bias
            spikes.append(hidden.flatten())
        return model.readout(joined / 3), torch.cat(spikes)
    if name == "chronospike":
        u, spikes = 0.0, []
        for current in walked(samples, *map(attention_layer, model.layers)):
            u = torch.sigmoid(model.decay) * u + current
            spikes.append(model.spiking(u - model.threshold))
            u = u - model.threshold * spikes[-1]
        spikes = torch.stack(spikes, 1)
        return model.readout(model.temporal(spikes + model.position).sum(1) / SNAPSHOTS), spikes
    layer = delay_layer if name == "delay-dsgn" else spikenet_layer
    spikes = walked(samples, *map(layer, model.layers))
    return model.readout(torch.cat(list(spikes), 1)), spikes


@pytest.mark.parametrize("name", MODELS)
def test_values_and_gradients_are_those_of_loops(name):
    model, samples = model_of(name), samples_of()
    expected, spikes = by_loops(name, model, samples)
    assert 0.05 < float((spikes > 0).double().mean()) < 0.95  # neither silent nor all at once
    actual = model(iter(samples))
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)
    names, parameters = zip(*model.named_parameters(), strict=True)
    slope = torch.randn(NODES, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    grads = [torch.autograd.grad(value, parameters, slope) for value in (actual, expected)]
    for which, one, other in zip(names, *grads, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
        assert one.abs().max() > 0, which


@pytest.mark.parametrize(("tau", "remembers"), [(1.0, False), (2.0, True)])
def test_the_membrane_of_spikenet_remembers_only_above_tau_1(tau, remembers):
    layer, (own, near, _) = model_of("spikenet", tau=tau).layers[0], samples_of()[0]
    threshold = torch.full((NODES, 6), 0.5, dtype=torch.float64)
    fired = [layer(own, near, (potential * torch.ones_like(threshold), threshold))[0] for potential in (-9.0, 9.0)]
    assert torch.equal(*fired) != remembers


def test_a_message_arrives_after_its_delay():
    layer = model_of("delay-dsgn").layers[0]
    with torch.no_grad():
        layer.delay.fill_(2.0)
    torch.testing.assert_close(layer.kernel().sum(0), torch.ones(6, dtype=torch.float64))
    assert (layer.kernel().argmax(0) == 2).all()
    layer.deviation, state, heard = 0.1, None, []
    layer.lif.forward = lambda current, potential: (current, potential)
    (own, near, _), calm = samples_of()[0], torch.zeros(NODES, 3, WIDTH, dtype=torch.float64)
    for around in (near, calm, calm, calm):
        current, state = layer(own, around, state)
        heard.append(current - layer.sage.own(own))
    torch.testing.assert_close(heard[2], layer.sage.near(near.mean(-2)), rtol=0, atol=1e-12)
    assert max(float(heard[k].detach().abs().max()) for k in (0, 1, 3)) < 1e-12


@pytest.mark.parametrize("name", MODELS)
def test_one_snapshot_is_enough_and_others_than_expected_are_refused(name):
    assert model_of(name, snapshots=1)(samples_of(1)).shape == (NODES, CLASSES)
    with pytest.raises(ConfigError, match="found samples of 3 snapshots, expected the 7"):
        model_of(name)(samples_of(3))
    with pytest.raises(ConfigError, match="found samples of 1 hops, expected 2"):
        model_of(name)([hops[:2] for hops in samples_of()])
    with pytest.raises(ConfigError, match="expected 1 or more"):
        model_of(name, snapshots=0)


def test_other_settings_out_of_range_are_refused(prepared_example):
    for name, changes in (("spikenet", {"tau": 0.5}), ("chronospike", {"num_heads": 4})):
        with pytest.raises(ConfigError, match="expected"):
            model_of(name, **changes)
    with pytest.raises(ConfigError, match="size=0: expected 1 or more"):
        SampledSnapshots(TemporalGraph.load(prepared_example), [3], sizes=(3, 0))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 6])
def test_neighbours_and_the_node_itself_are_drawn_alike_and_once_where_there_are_enough(size):
    star = dgl.graph(([1, 2, 3, 0], [0, 0, 0, 0]), num_nodes=5)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        drawn = _Neighbours(star, "cpu").draw(torch.tensor([[0], [4]]).expand(2, 6000), size)
    kinds, counts = drawn[0].sort(1).values.unique(dim=0, return_counts=True)
    several = min(size, 4)
    assert {len(row.unique()) for row in kinds} == {several}
    assert (drawn[1] == 4).all()
    if size <= 4:  # sets of that many, each as often as any other
        assert len(kinds) == math.comb(4, several)
        torch.testing.assert_close(counts / 6000, torch.full((len(kinds),), 1 / len(kinds)), rtol=0, atol=0.03)
    alone = _Neighbours(dgl.graph(([], []), num_nodes=2), "cpu").draw(torch.tensor([1]), size)
    assert alone.tolist() == [[1] * size]


def test_samples_are_of_old_edges_and_of_those_since_the_snapshot_before(prepared_example):
    data, snapshots = TemporalGraph.load(prepared_example), [3, 7, 11]
    feats = [scaled_features(data, t) for t in snapshots]
    nodes = torch.arange(0, data.num_nodes, 7)
    for place, (own, near, _) in enumerate(SampledSnapshots(data, snapshots, (4, 1))(nodes)):
        last = snapshots[place]
        assert torch.equal(own, feats[place][nodes])
        since = {(u, v) for t in range(last - 3, last + 1) for u, v in pairs(data.graph(t, cumulative=False))}
        for i, node in enumerate(nodes.tolist()):
            for slot, edges in enumerate([pairs(data.graph(last)), pairs(data.graph(last)), since, since]):
                allowed = [node, *(v for u, v in edges if u == node), *(u for u, v in edges if v == node)]
                assert (feats[place][allowed] == near[i, slot]).all(1).any()


def pairs(graph):
    return set(zip(*(ends.tolist() for ends in graph.edges()), strict=True))
