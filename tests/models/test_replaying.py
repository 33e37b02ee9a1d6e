"""A replay gives what computing everything gives, and computes the rows that a loop over nodes says."""

import warnings
from collections import Counter
from itertools import pairwise

import pytest
import torch
from torch import nn

from dgl_dysign._dgl import dgl
from dgl_dysign.errors import ConfigError
from dgl_dysign.models import DySIGN, Snapshot, replay
from dgl_dysign.nn import SpikingGraphConv

WIDTH = 3
pytestmark = pytest.mark.filterwarnings("ignore:nothing can be saved")


def story(seed, num_snapshots=8, num_nodes=14, dtype=torch.float32):
    """Return snapshots between which a few edges come, go and change, features move, and nodes awake or are added."""
    draw = torch.Generator().manual_seed(seed)
    edges = {(v, v): 1.0 for v in range(num_nodes + 2)}
    feat = torch.randn(num_nodes + 2, WIDTH, generator=draw, dtype=torch.float64)
    active = torch.arange(num_nodes + 2) < num_nodes - 2
    snapshots = []
    for t in range(num_snapshots):
        size = num_nodes + 2 * (t >= num_snapshots // 2)
        for u, v in torch.randint(num_nodes, (12 if t == 0 else 2, 2), generator=draw).tolist():
            edges[u, v] = edges.get((u, v), 0.0) + 1.0
        kind = t % 4
        if kind == 1:
            edges = {pair: weight for pair, weight in edges.items() if pair[0] == pair[1] or sum(pair) % 5}
        if kind == 2:
            feat[t % num_nodes] += 1
        if kind == 3:
            active[num_nodes - 2 + t // 4] = True
        kept = {pair: weight for pair, weight in edges.items() if max(pair) < size}
        order = torch.randperm(len(kept), generator=draw)  # the order of edges says nothing
        src, dst = torch.tensor(list(kept)).t()
        graph = dgl.graph((src[order], dst[order]), num_nodes=size)
        weight = torch.tensor(list(kept.values()))[order].to(dtype)
        seen = active[:size].clone()
        snapshots.append(Snapshot(graph, weight, (feat[:size] * seen[:, None]).to(dtype), seen))
    return snapshots


def stack(norm="both", layers=2, dtype=torch.float32, **options):
    torch.manual_seed(1)
    widths = [WIDTH, *[7] * layers]
    convs = [SpikingGraphConv(a, b, norm, latency=1, threshold=0.3, **options) for a, b in pairwise(widths)]
    model = nn.Sequential(*convs, nn.Dropout(0.5), nn.Linear(7, 4)).to(dtype).eval()
    for parameter in model.parameters():
        parameter.data.mul_(1.1)  # fills the last bits of float64, too
    return model


def whole(model, snapshot, weighted):
    """Return the outputs of all layers as the modules give them."""
    out, outs = snapshot.feat, []
    for module in model:
        if isinstance(module, SpikingGraphConv):
            out = module(snapshot.graph, out, edge_weight=snapshot.edge_weight if weighted else None)
        else:
            out = module(out)
        outs += [] if isinstance(module, nn.Dropout) else [out]
    return outs


def dysign(hops=1, layers=2, dtype=torch.float32, **options):
    torch.manual_seed(0)
    options = {"gradient": "step", "latency": 1, "feedback": False, "compensation_hops": hops, **options}
    model = DySIGN(WIDTH, 6, 3, num_layers=layers, **options).to(dtype).eval()
    nn.init.normal_(model.readout)
    return model


def copies(steps):
    return [step._replace(out=step.out.clone()) for step in steps]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("norm", ["both", "right", "left", "none"])
def test_a_replay_has_the_bits_of_computing_everything(seed, norm):
    # In float64 products are not rounded: they would differ in the last bit if they were not exact.
    dtype, weighted = (torch.float64, True) if seed % 2 else (torch.float32, False)
    snapshots = story(seed, dtype=dtype)
    model = stack(norm, 1 + seed % 3, dtype, learn_threshold="homeostatic" if seed == 3 else False)
    saved = copies(replay(model, snapshots, weighted=weighted))
    everything = copies(replay(model, snapshots, weighted=weighted, only_changes=False))
    for step, other, snapshot in zip(saved, everything, snapshots, strict=True):
        (alone,) = replay(model, [snapshot], weighted=weighted)
        assert torch.equal(step.out, other.out)
        assert torch.equal(step.out, alone.out)
        assert torch.equal(step.changed, other.changed)
        assert step.flipped == other.flipped
        assert other.recomputed == (len(snapshot.feat),) * len(step.recomputed)
    assert sum(step.recomputed[0] for step in saved[1:]) < sum(step.recomputed[0] for step in everything[1:])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("norm", ["both", "right", "left", "none"])
def test_a_replay_gives_what_the_model_gives(norm, weighted):
    snapshots, model = story(7, dtype=torch.float64), stack(norm, dtype=torch.float64)
    for snapshot, step in zip(snapshots, replay(model, snapshots, weighted=weighted), strict=True):
        torch.testing.assert_close(step.out, whole(model, snapshot, weighted)[-1], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "options",
    [{"hops": 0, "layers": 1}, {}, {"hops": 0, "threshold": 0.7}, {"layers": 1, "learn_threshold": True}],
)
def test_dysign_is_replayed(options):
    snapshots = story(3, dtype=torch.float64)
    model = dysign(dtype=torch.float64, **options)
    for snapshot, step in zip(snapshots, replay(model, snapshots), strict=True):
        expected = model([snapshot], simulate=True)
        torch.testing.assert_close(step.out, expected, rtol=0, atol=1e-12)
    small = [snapshot._replace(feat=snapshot.feat.float(), edge_weight=None) for snapshot in snapshots]
    steps = [copies(replay(model.float(), small, only_changes=only)) for only in (True, False)]
    assert all(torch.equal(step.out, other.out) for step, other in zip(*steps, strict=True))


def heard(snapshot, norm):
    """Return for each node what it hears: its neighbours with their weight under a normalisation, by loops."""
    pairs = list(zip(*(end.tolist() for end in snapshot.graph.edges()), snapshot.edge_weight.tolist(), strict=True))
    sent, received = Counter(u for u, _, _ in pairs), Counter(v for _, v, _ in pairs)
    by = {"both": lambda u, v: (sent[u] * received[v]) ** 0.5, "right": lambda u, v: received[v]}
    by |= {"left": lambda u, v: sent[u], "none": lambda u, v: 1}
    return [{u: round(w / by[norm](u, v), 9) for u, x, w in pairs if x == v} for v in range(len(snapshot.feat))]


@pytest.mark.parametrize("norm", ["both", "right", "left", "none"])
def test_the_rows_that_are_computed_are_those_that_loops_say(norm):
    snapshots, model = story(11, dtype=torch.float64), stack(norm, dtype=torch.float64)
    steps = list(replay(model, snapshots, weighted=True))
    for before, now, step in zip(snapshots, snapshots[1:], steps[1:], strict=False):
        old, new = heard(before, norm), heard(now, norm)
        nodes = range(len(new))
        fresh = {v for v in nodes if v >= len(old) or bool(now.active[v]) != bool(before.active[v])}
        moved = {v for v in nodes if v >= len(old) or not torch.equal(before.feat[v], now.feat[v])}
        outs = [whole(model, snapshot, weighted=True) for snapshot in (before, now)]
        for layer, (was, out) in enumerate(zip(*outs, strict=True)):
            if layer < len(outs[0]) - 1:
                computed = {v for v in nodes if v in fresh or old[v] != new[v] or moved & new[v].keys()}
            else:
                computed = moved | fresh
            assert step.recomputed[layer] == len(computed)
            was = torch.cat([was, torch.zeros(len(out) - len(was), out.shape[1], dtype=out.dtype)])
            assert step.flipped[layer] == int(((out - was).abs() > 1e-9).sum())
            moved = {v for v in nodes if not torch.allclose(was[v], out[v], rtol=0, atol=1e-9)}


def test_a_snapshot_like_the_last_costs_nothing_and_a_distant_change_little():
    path = dgl.add_self_loop(dgl.graph((torch.arange(19), torch.arange(19) + 1)))
    seen, feat = torch.ones(20, dtype=torch.bool), torch.rand(20, WIDTH)
    first, moved = Snapshot(path, None, feat, seen), feat.clone()
    moved[4] = 9.0
    same, other = first._replace(feat=feat.clone()), first._replace(feat=moved)
    _, still, after = replay(stack("right"), [first, same, other])
    assert still.recomputed == (0, 0, 0)
    assert not still.changed.any()
    assert after.recomputed[0] == 2  # nodes 4 and 5
    assert after.recomputed[1] <= 3  # and 6, if 5 flips


def test_a_caller_may_write_into_its_features():
    snapshot = story(0)[0]
    graph, weight, feat, seen = snapshot

    def written():
        for _ in range(3):
            yield Snapshot(graph, weight, feat, seen)
            feat[0].add_(1)

    model = stack()
    for step in replay(model, written()):
        (alone,) = replay(model, [Snapshot(graph, weight, feat.clone(), seen)])
        assert torch.equal(step.out, alone.out)


def test_going_back_is_refused():
    snapshots = story(0)
    with pytest.raises(ConfigError, match=r"snapshot 1 \(from 0\) lacks 2 nodes .* time goes back"):
        list(replay(stack(), [snapshots[-1], snapshots[0]]))
    asleep = snapshots[0]._replace(active=snapshots[0].active & (torch.arange(14) > 0))
    with pytest.raises(ConfigError, match=r"lacks 1 nodes"):
        list(replay(stack(), [snapshots[0], asleep]))


@pytest.mark.filterwarnings("error")
def test_where_everything_moves_it_says_so_once():
    snapshot = story(0)[0]
    moving = [snapshot._replace(feat=snapshot.feat + t) for t in range(4)]
    with pytest.warns(UserWarning, match=r"nothing can be saved .* from snapshot 0 to 1 features have moved") as caught:
        steps = list(replay(stack(), moving))
    assert len(caught) == 1
    assert steps[-1].recomputed[0] == 14
    with warnings.catch_warnings():
        list(replay(stack(), [snapshot, snapshot]))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (SpikingGraphConv(WIDTH, 4), "latency=8"),
        (SpikingGraphConv(WIDTH, 4, latency=1, encoding="bernoulli"), "bernoulli"),
        (nn.Sequential(SpikingGraphConv(WIDTH, 4, latency=1), nn.ReLU()), "found ReLU, which is not replayed"),
        (DySIGN(WIDTH, 4, 2), "another latency, feedback:"),
        (dysign(hops=2), "another compensation_hops:"),
    ],
)
def test_models_that_cannot_be_replayed_are_named(model, message):
    with pytest.raises(ConfigError, match=message):
        next(replay(model, story(0)))
