"""Embeddings of nodes: their equations in float64 loops, earlier partners, gradients, and that training helps."""

import math

import numpy as np
import pytest
import torch

from data_prep.features import features
from dgl_dysign.baselines import HTNE, M2DNE, DeepWalk, DynamicTriad, Node2Vec, TemporalEdges
from dgl_dysign.data import distinct_edges
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.training import EmbeddingConfig, fit_embedding
from tests.evaluation.link_cases import snapshots

NODES = 6
#: With a loop, a pair that is met again, an empty snapshot, and node 5 without an edge.
EDGES = snapshots([[(0, 1), (2, 2), (3, 0)], [(1, 2), (0, 1)], [], [(0, 2), (3, 4), (1, 4)]], num_nodes=NODES)
SPAN = len(EDGES) - 1


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        yield


def met_before(node, snapshot):
    """Return (partner, age) of a node before a snapshot, the newest snapshots first."""
    pairs = [(e.snapshot, u, v) for e in EDGES for u, v in zip(e.src.tolist(), e.dst.tolist(), strict=True) if u != v]
    ends = [(t, v if u == node else u) for t, u, v in pairs if node in (u, v) and t < snapshot]
    return [(other, (snapshot - t) / SPAN) for t, other in sorted(ends, reverse=True)]


def test_partners_are_those_of_earlier_snapshots_the_newest_first():
    edges = TemporalEdges(EDGES)
    for node in range(NODES):
        for t in range(len(EDGES)):
            found = edges.partners(torch.tensor([node]), torch.tensor([t]), 5)
            known = found.known[0]
            seen = list(zip(found.node[0, known].tolist(), found.age[0, known].tolist(), strict=True))
            assert [age for _, age in seen] == pytest.approx([age for _, age in met_before(node, t)])
            assert sorted(other for other, _ in seen) == sorted(other for other, _ in met_before(node, t))
            assert known.tolist() == sorted(known.tolist(), reverse=True)
    newest = edges.partners(torch.tensor([0]), torch.tensor([3]), 1)
    assert (newest.node.item(), newest.known.item()) == (1, True)


def test_negatives_are_drawn_by_degree_to_the_power_of_three_quarters():
    edges = TemporalEdges(EDGES)
    share = torch.bincount(edges.negatives(4000, 5).flatten(), minlength=NODES) / 20_000
    assert share[5] == 0
    torch.testing.assert_close(share, edges.degree**0.75 / (edges.degree**0.75).sum(), atol=0.02, rtol=0)


def test_no_edge_at_all_is_an_error():
    loops = snapshots([[(2, 2)], []], num_nodes=NODES)
    for made in (TemporalEdges, DynamicTriad):
        with pytest.raises(DataError, match="found no edge between two nodes"):
            made(loops)


def squared(x, y):
    return float((x - y).square().sum())


def weights_of(scores):
    return [math.exp(score) / sum(map(math.exp, scores)) for score in scores] if scores else []


def softplus(x):
    return math.log1p(math.exp(float(x)))


def log_sigmoid(x):
    return -math.log1p(math.exp(-x))


def fixed_negatives(model, rows):
    """Let the negatives be the same nodes in each call; return them."""
    drawn = torch.randint(NODES, (2 * rows, model.negatives))
    model.edges.negatives = lambda *_: drawn
    return drawn.tolist()


def test_htne_is_its_equations():
    model = HTNE(TemporalEdges(EDGES), out_feats=3, history=5, negatives=2).double().requires_grad_(False)
    torch.nn.init.normal_(model.vectors)
    torch.nn.init.normal_(model.rate)
    edges, v = model.edges, model.vectors
    drawn = fixed_negatives(model, len(edges))

    def intensity(x, y, t):
        past = met_before(x, t)
        kept = [w * math.exp(-softplus(model.rate[x]) * age) for w, (_, age) in zip(
            weights_of([-squared(v[x], v[h]) for h, _ in past]), past, strict=True)]  # fmt: skip
        return -squared(v[x], v[y]) - sum(k * squared(v[h], v[y]) for k, (h, _) in zip(kept, past, strict=True))

    ends = list(zip(edges.src.tolist(), edges.dst.tolist(), edges.snapshot.tolist(), strict=True))
    total = 0.0
    for place, (x, y, t) in enumerate([*ends, *((y, x, t) for x, y, t in ends)]):
        total -= log_sigmoid(intensity(x, y, t)) + sum(log_sigmoid(-intensity(x, n, t)) for n in drawn[place])
    assert float(model.loss(torch.arange(len(edges)))) == pytest.approx(total / len(ends), rel=1e-6)


def test_old_partners_of_htne_count_less_the_faster_a_node_forgets():
    model = HTNE(TemporalEdges(EDGES), out_feats=3).requires_grad_(False)
    torch.nn.init.normal_(model.vectors)
    nodes, candidates = torch.tensor([0]), torch.tensor([[4]])
    past = model.edges.partners(nodes, torch.tensor([3]), 5)
    values = []
    for rate in (-20.0, 0.0, 20.0):
        model.rate.fill_(rate)
        values.append(float(model._intensity(nodes, candidates, past)))
    assert values == sorted(values)
    assert values[2] == pytest.approx(-squared(*model.vectors[[0, 4]]), rel=1e-4)


def test_m2dne_is_its_equations():
    model = M2DNE(TemporalEdges(EDGES), out_feats=3, hidden_feats=4, negatives=2).double().requires_grad_(False)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.7) if parameter.dim() else None
    edges, v, mapped = model.edges, model.vectors, model.map(model.vectors)
    drawn = fixed_negatives(model, len(edges))

    def side(rates, x, t):
        """Return the partners with the weights of their distances, and the gate."""
        past, rate = met_before(x, t), softplus(rates[x])
        kept = [math.exp(-rate * age) for _, age in past]
        scores = [
            k * float(model.own(mapped[x]) + model.former(mapped[h])) for k, (h, _) in zip(kept, past, strict=True)
        ]
        weights = weights_of([max(score, 0.2 * score) for score in scores])
        sums = sum(
            (w * mapped[h] for w, (h, _) in zip(weights, past, strict=True)), torch.zeros(4, dtype=torch.float64)
        )
        mean_age = float(np.mean([age for _, age in past])) if past else 0.0
        gate = math.tanh(float(model.share(math.exp(-rate * mean_age) * sums)))
        return [(h, w * k) for (h, _), w, k in zip(past, weights, kept, strict=True)], gate

    micro = 0.0
    for place, (x, y, t) in enumerate(
        zip(edges.src.tolist(), edges.dst.tolist(), edges.snapshot.tolist(), strict=True)
    ):
        (of_x, gate_x), (of_y, gate_y) = side(model.rate, x, t), side(model.dst_rate, y, t)
        share_x, share_y = weights_of([gate_x, gate_y])
        via_x = {n: share_x * sum(w * squared(v[h], v[n]) for h, w in of_x) for n in (y, *drawn[place])}
        via_y = {n: share_y * sum(w * squared(v[h], v[n]) for h, w in of_y) for n in (x, *drawn[len(edges) + place])}
        micro -= log_sigmoid(-squared(v[x], v[y]) - via_x[y] - via_y[x])
        micro -= sum(log_sigmoid(squared(v[x], v[n]) + via_x[n]) for n in drawn[place])
        micro -= sum(log_sigmoid(squared(v[y], v[n]) + via_y[n]) for n in drawn[len(edges) + place])
    errors = []
    for t, seen in ((0, 3), (1, 4), (3, 5)):
        ends = [(x, y) for x, y, s in zip(edges.src, edges.dst, edges.snapshot, strict=True) if s == t]
        near = float(np.mean([math.exp(log_sigmoid(-squared(v[x], v[y]))) for x, y in ends]))
        growth = math.exp(float(model.log_zeta)) * (seen - 1) ** float(model.gamma)
        errors.append(math.log(len(ends)) - math.log(near * (t + 1) ** -float(model.theta) * seen * growth))
    expected = 0.6 * micro / len(edges) + 0.4 * float(np.square(errors).mean())
    assert float(model.loss(torch.arange(len(edges)))) == pytest.approx(expected, rel=1e-5)


def test_triads_are_the_open_ones_and_those_that_close():
    model = DynamicTriad(EDGES, out_feats=3, span=2)
    graphs, closing = [], []
    for _ in model.parts():
        graphs.append({tuple(sorted(pair)) for pair in model.edges.T.tolist()})
        closing.append({tuple(pair) for pair in model.triads.closing.tolist()})
        for i, j, k in [*model.triads.of_closing.tolist(), *model.triads.open.tolist()]:
            assert {tuple(sorted(pair)) for pair in ((i, k), (j, k))} <= graphs[-1]
            assert tuple(sorted((i, j))) not in graphs[-1]
    assert graphs == [
        {(0, 1), (0, 3)}, {(0, 1), (0, 3), (1, 2)}, {(0, 1), (1, 2)}, {(0, 2), (1, 4), (3, 4)}
    ]  # fmt: skip
    assert closing == [set(), set(), {(0, 2)}, set()]


def test_dynamic_triad_is_its_equations():
    late = snapshots([[(0, 1), (1, 2), (0, 3), (3, 2), (3, 4), (0, 1)], [(0, 2)]], num_nodes=NODES)
    model = DynamicTriad(late, out_feats=3, margin=1.5, triad=0.3, smooth=0.7).double().requires_grad_(False)
    next(model.parts())
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    noise = torch.randint(NODES, (2 * model.edges.shape[1],))
    v, before, edges = model.vectors, model.before, model.edges.T.tolist()
    weight = {**{tuple(pair): 1.0 for pair in edges}, (0, 1): 2.0}
    hinges = [
        weight[i, j] * max(0.0, 1.5 + squared(v[a], v[b]) - squared(v[a], v[n]))
        for (a, b, i, j), n in zip(
            [(*e, *e) for e in edges] + [(*e[::-1], *e) for e in edges], noise.tolist(), strict=True)
    ]  # fmt: skip

    def open_share(i, j, k):
        """Return 1 - P, of the weights that stand in the equations."""
        w_i, w_j = (weight[min(n, k), max(n, k)] for n in (i, j))
        x = w_i * (v[k] - v[i]) + w_j * (v[k] - v[j])
        return 1 - 1 / (1 + math.exp(-float(model.theta @ x + model.bias)))

    closes = -math.log(1 - open_share(0, 2, 1) * open_share(0, 2, 3))
    stays = [-math.log(open_share(*triad)) for triad in model.triads.open.tolist()]
    moved = [squared(v[n], before[n]) for n in range(NODES)]
    expected = np.mean(hinges) + 0.3 * (closes + (np.mean(stays) if stays else 0.0)) + 0.7 * np.mean(moved)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "multinomial", lambda *_, **__: noise)
        loss = model.loss(torch.arange(len(edges)))
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_a_node_without_edges_keeps_the_vector_of_the_snapshot_before():
    model, pull = DynamicTriad(EDGES, out_feats=4, span=1), []
    for size in model.parts():
        model.vectors.grad = None
        model.loss(torch.arange(size)).backward()
        pull.append(model.vectors.grad.abs().sum(1))
        with torch.no_grad():
            model.vectors += torch.randn_like(model.vectors)
    assert pull[1][[3, 4, 5]].max() == 0  # in the second snapshot, where 3 and 4 had or will have edges
    assert pull[1][[0, 1, 2]].min() > 0


def clubs(snapshots_of=6):
    """Return edges inside two groups of 20 nodes, even and odd ones, and a few between them."""
    rng = np.random.default_rng(0)
    history = []
    for _ in range(snapshots_of):
        src = rng.integers(0, 40, 60)
        history.append(list(zip(src, (src + 2 * rng.integers(1, 20, 60) + (rng.random(60) < 0.05)) % 40, strict=True)))
    return snapshots(history, num_nodes=40)


MODELS = {
    "htne": lambda edges: HTNE(TemporalEdges(edges), out_feats=8),
    "m2dne": lambda edges: M2DNE(TemporalEdges(edges), out_feats=8, hidden_feats=8),
    "dynamic-triad": lambda edges: DynamicTriad(edges, out_feats=8),
}


@pytest.mark.parametrize("name", MODELS)
def test_groups_come_together_and_every_parameter_learns(name):
    model = MODELS[name](clubs())
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    history = fit_embedding(model, EmbeddingConfig(epochs=20, lr=0.05, batch_size=128))
    assert [record["epoch"] for record in history] == list(range(len(history)))
    assert all(not torch.equal(value, before[key]) for key, value in model.named_parameters())
    apart = torch.cdist(model.vectors.detach(), model.vectors.detach())
    same = torch.arange(40)[:, None] % 2 == torch.arange(40) % 2
    assert apart[~same].mean() > 1.1 * apart[same & ~torch.eye(40, dtype=torch.bool)].mean()


@pytest.mark.parametrize("name", MODELS)
def test_a_seed_decides_and_the_callers_random_state_stays(name):
    vectors = []
    for _ in range(2):
        torch.manual_seed(0)
        model = MODELS[name](clubs())
        torch.manual_seed(1)
        state = torch.get_rng_state()
        fit_embedding(model, EmbeddingConfig(epochs=2), seed=3)
        assert torch.equal(state, torch.get_rng_state())
        vectors.append(model.vectors.detach())
    assert torch.equal(*vectors)


def test_walks_are_those_of_the_features_over_the_whole_graph():
    edges = clubs(2)
    twice = distinct_edges(0, [0, 0], [1, 1], num_nodes=40)
    src, dst = ([0, 0, *edges[0].src.tolist()], [1, 1, *edges[0].dst.tolist()])
    options = {"dim": 8, "seed": 3, "num_walks": 2, "walk_length": 9, "window": 3}
    (expected,) = features("node2vec", [0] * len(src), src, dst, 40, 1, p=0.25, q=2.0, **options)
    small = {"out_feats": 8, "num_walks": 2, "walk_length": 9, "window": 3}
    parts = [twice, distinct_edges(1, edges[0].src, edges[0].dst, num_nodes=40)]
    assert torch.equal(Node2Vec(p=0.25, q=2.0, **small).vectors(parts, 3), torch.from_numpy(expected))
    plain = DeepWalk(**small).vectors(parts, 3)
    assert torch.equal(plain, Node2Vec(p=1.0, q=1.0, **small).vectors(parts, 3))
    assert torch.equal(plain, DeepWalk(**small).vectors(parts[::-1], 3))  # time has no part
    assert not torch.equal(plain, Node2Vec(p=0.25, q=2.0, **small).vectors(parts, 3))


def test_bad_arguments():
    edges = TemporalEdges(EDGES)
    for make in (
        lambda: HTNE(edges, history=0),
        lambda: HTNE(edges, out_feats=0),
        lambda: M2DNE(edges, hidden_feats=0),
        lambda: DynamicTriad(EDGES, span=0),
        lambda: DeepWalk(num_walks=0).vectors(EDGES),
        lambda: EmbeddingConfig(batch_size=0),
    ):
        with pytest.raises(ConfigError):
            make()
