"""Models on graphs that have grown: equal, bit for bit, to what was as large from the start, saved or live."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dgl_dysign.baselines import EvolveGCNO, link_reference_models
from dgl_dysign.data import distinct_edges
from dgl_dysign.data.snapshot_edges import snapshot_edges
from dgl_dysign.data.snapshot_events import SnapshotEvents
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.models import EventUnderGS, LinkHead, LinkScorer, SpikingUnderGS, UnderGS
from dgl_dysign.models.encoder_inputs import EncoderInputs
from dgl_dysign.models.event_counts import EventCounts
from dgl_dysign.models.event_inputs import EventReader
from dgl_dysign.models.event_scorer import EventScorer
from dgl_dysign.models.predict import predict, predict_links
from dgl_dysign.models.snapshot_encoder import EncoderEvents, EncoderLinks, EncoderNodes, EncoderScorer, make_encoder
from dgl_dysign.pairs import CachedFeatures, LinkFeatures
from dgl_dysign.store import NeighborStore
from dgl_dysign.training import LinkFitConfig
from dgl_dysign.training.live_update import LiveLinkScorer
from tests.models.pretrained_cases import (
    BY_NODE,
    CLASSES,
    KINDS,
    NODES,
    SNAPSHOTS,
    WIDTH,
    drawn,
    events,
    folder,
    of_kind,
    scorer,
)  # fmt: skip
from tests.training.link_cases import CountedFeatures

MORE, LATER = NODES + 5, SNAPSHOTS + 2


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("grown")


@pytest.fixture(scope="module")
def data(home):
    return folder(home / "yesterday")


@pytest.fixture(scope="module")
def grown(home):
    return appended(home / "today")


@pytest.fixture(scope="module")
def links(home):
    return [folder(home / "links", **LINKS), appended(home / "more-links", **LINKS)]


LINKS = {"directed": True, "node_features": None}


def appended(path, **changes):
    """Write yesterday's folder with two more snapshots, in which there are five nodes more."""
    rows = events() + [row for row in events(LATER, MORE, seed=4) if row[0] >= SNAPSHOTS]
    rows = [(*row[:4], number) for number, row in enumerate(rows)]
    features = []
    for t in range(LATER):
        old, new = (np.random.default_rng([k, t]).normal(size=(MORE, WIDTH)).astype(np.float32) for k in (1, 2))
        old[NODES:] = new[NODES:] if t >= SNAPSHOTS else 0
        old[:NODES] = np.random.default_rng([1, t]).normal(size=(NODES, WIDTH))
        features.append(old)
    return folder(path, LATER, MORE, rows=rows, **{"node_features": features, **changes})


def enlarged(model):
    """Return a model that was made for more nodes, whose vectors are zeros."""
    arguments = model.arguments()
    large = type(model)(**arguments | ({"num_nodes": MORE} if "num_nodes" in arguments else {}))
    state = {}
    for name, value in large.state_dict().items():
        saved = model.state_dict()[name]
        state[name] = saved if saved.shape == value.shape else torch.cat([saved, saved.new_zeros(5, saved.shape[1])])
    large.load_state_dict(state)
    return large.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_predicts_as_one_that_was_larger_from_the_start(kind, data, grown, tmp_path):
    model, inputs = of_kind(kind, data)
    saved = model.save_pretrained(tmp_path / "model", data, inputs)
    before, large = predict(model, data, SNAPSHOTS - 1), enlarged(model)
    large.node_inputs = inputs
    again, live = type(model).from_pretrained(saved, grown), copy.deepcopy(model)
    if kind in BY_NODE:
        with pytest.raises(DataError, match=rf"load it anew .*from_pretrained\(folder, data\), or call grow\({MORE}\)"):
            predict(live, grown)
    live.grow(MORE)
    for t in (SNAPSHOTS - 1, SNAPSHOTS, LATER - 1):
        expected = predict(large, grown, t)
        assert torch.equal(predict(again, grown, t), expected)
        assert torch.equal(predict(live, grown, t), expected)
    # Sums over more rows may round differently; label features are standardised over all nodes.
    found = predict(again, grown, SNAPSHOTS - 1)
    torch.testing.assert_close(found[:NODES], before, rtol=0, atol=0.1 if kind == "label-aware" else 1e-6)
    if kind != "label-aware":  # new nodes are nodes without a past, and nothing tells them apart
        assert torch.equal(found[NODES:], found[NODES:][:1].expand(5, CLASSES))
    third = type(model).from_pretrained(live.save_pretrained(tmp_path / "live", grown), grown)
    assert torch.equal(predict(third, grown), predict(large, grown))


def test_new_nodes_of_dysign_get_the_bias(data, grown):
    model, model.node_inputs = of_kind("dysign", data)
    found = predict(model, grown, SNAPSHOTS - 1)
    torch.testing.assert_close(found[NODES:], model.bias.softmax(0).expand(5, CLASSES))


@pytest.mark.parametrize("kind", ["undergs", "mixer", "spiking", "features", "untimed"])
def test_a_scorer_grows_saved_and_live(kind, links, tmp_path):
    before, after = links
    made = scorer(kind, before)
    saved = made.save_pretrained(tmp_path / "model", before)
    features = None
    if made.features is not None:
        begins = None if made.features.begins is None else [10.0 * t for t in range(LATER)]
        features = LinkFeatures(MORE, begins, made.features.families, made.features.unit)
    options = {"num_neighbors": 4, "snapshot_decay": 0.7, "hop_decay": 0.3}
    model = enlarged(made.model)
    large = LinkScorer(model, model.store(**options), features)
    made.features = None if features is None else CachedFeatures(LinkFeatures(NODES, begins, features.families, 10.0))
    made.catch_up(before, SNAPSHOTS)
    src, dst = torch.arange(MORE), torch.arange(MORE).expand(MORE, MORE)
    if features is not None:
        assert torch.isfinite(made.score(SNAPSHOTS, src[:NODES], dst[:NODES, :NODES])).all()  # kept, and out of date
    first = snapshot_edges(after, SNAPSHOTS)
    with pytest.raises(DataError, match=f"snapshot 6: found a graph of {MORE} nodes, expected {NODES} .*grow\\({MORE}"):
        made.observe(first)
    assert made.store.snapshot == SNAPSHOTS - 1
    made.grow(MORE)
    again = LinkScorer.from_pretrained(saved, after)
    for t in (SNAPSHOTS, SNAPSHOTS + 1, LATER):
        expected = predict_links(large, after, t, src, dst)
        assert torch.equal(predict_links(again, after, t, src, dst), expected)
        assert torch.equal(predict_links(made, after, t, src, dst), expected)
    expected = {n: v for n, v in large.store.state_dict().items() if n != "_extra_state"}
    assert all(torch.equal(made.store.state_dict()[name], value) for name, value in expected.items())
    with pytest.raises(ConfigError, match=f"found num_nodes={NODES}, but the scorer has {MORE} nodes and does not"):
        made.grow(NODES)


def test_what_cannot_grow_says_so_and_stays(links):
    model = UnderGS(NODES, 8, pair_feats=3)
    made = LinkScorer(model, model.store(), CountedFeatures(NODES))
    for features in (made.features, CachedFeatures(made.features)):
        made.features = features
        with pytest.raises(ConfigError, match=r"found CountedFeatures without a method grow\(num_nodes\): give it one"):
            made.grow(MORE)
    assert made.store.num_nodes == model.num_nodes == len(model.inputs.table.weight) == NODES
    features = LinkFeatures(NODES, families=["pair"])
    model = UnderGS(NODES, 8, pair_feats=len(features.names))
    typed = LinkScorer(model, model.store(node_type=torch.zeros(NODES).long()), features)
    with pytest.raises(ConfigError, match="found no node_type, but the store was made with types of nodes"):
        typed.grow(MORE)
    assert typed.features.num_nodes == model.num_nodes == NODES
    typed.store.grow(MORE, torch.ones(5).long())
    typed.grow(MORE)
    assert typed.features.num_nodes == model.num_nodes == MORE
    plain = scorer("undergs", links[0])
    live = LiveLinkScorer(plain, LinkFitConfig())
    with pytest.raises(DataError, match="grow the scorer that it was made of, and make it anew of that"):
        live.observe(snapshot_edges(links[1], SNAPSHOTS))
    for counting in link_reference_models(NODES).values():
        if type(counting).__name__ != "RandomLinks":
            with pytest.raises(DataError, match="nodes, expected 30 at most: make the model anew for the larger graph"):
                counting.observe(snapshot_edges(links[1], SNAPSHOTS))


def test_a_grown_model_is_for_larger_graphs_alone(data, grown, home, tmp_path):
    model, inputs = of_kind("undergs", data)
    model.save_pretrained(tmp_path / "model", data, inputs)
    model.grow(MORE)
    with pytest.raises(DataError, match=f"found {NODES} nodes, but the model has grown to {MORE}"):
        predict(model, data)
    order = np.roll(np.arange(MORE + 1), 1)
    with pytest.raises(DataError, match="grown to 35, of which it knows no names: load what was saved before"):
        predict(model, folder(tmp_path / "turned", nodes=MORE + 1, order=order))
    again = UnderGS.from_pretrained(model.save_pretrained(tmp_path / "again"), folder(tmp_path / "six", nodes=MORE + 1))
    assert len(again.inputs.table.weight) == MORE + 1
    with pytest.raises(ConfigError, match=f"found num_nodes=3, but the model has {MORE} nodes and does not shrink"):
        model.grow(3)
    with pytest.raises(ConfigError, match=r"num_nodes=36\.0: expected a whole number, of 35 or more"):
        model.grow(36.0)


MAKERS = {
    "undergs": lambda nodes: UnderGS(nodes, 8),
    "spiking": lambda nodes: SpikingUnderGS(nodes, 8),
    "events": lambda nodes: EventUnderGS(nodes, 0.1, hidden_feats=8),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_sizes_that_differ_are_named(kind):
    small, large = MAKERS[kind](5), MAKERS[kind](7)
    with pytest.raises(ConfigError, match=r"table\.weight: found vectors of 7 nodes, but this model has 5: call grow"):
        small.load_state_dict(large.state_dict())
    with pytest.raises(ConfigError, match=r"of 5 nodes, but this model has 7: load it into one of 5 nodes, then"):
        large.load_state_dict(small.state_dict())
    small.grow(7)
    small.load_state_dict(large.state_dict())
    assert all(torch.equal(value, large.state_dict()[name]) for name, value in small.state_dict().items())
    assert small.arguments() == large.arguments()


ON_META = {
    "undergs": lambda: UnderGS(5, 8, num_classes=2),
    "mixer": lambda: UnderGS(5, 8, "mixer"),
    "spiking": lambda: SpikingUnderGS(5, 8, num_classes=2),
    "events": lambda: EventUnderGS(5, 0.1, hidden_feats=8),
}


@pytest.mark.parametrize("kind", ON_META)
def test_on_the_meta_device_there_are_shapes_alone(kind):
    real = ON_META[kind]()
    with torch.device("meta"):
        model = ON_META[kind]()
    shapes = [[(name, value.shape) for name, value in each.state_dict().items()] for each in (model, real)]
    assert shapes[0] == shapes[1]
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    model.grow(7)
    assert max(len(parameter) for name, parameter in model.named_parameters() if name.endswith("table.weight")) == 7
    store = NeighborStore(7)
    store.insert(0, [0], [1])
    for nodes in (torch.tensor([0, 1]), torch.tensor([0, 1], device="meta")):
        with pytest.raises(ConfigError, match=r"on the meta device, which holds no numbers: call .*to_empty"):
            model(store, 1, nodes, nodes) if kind == "events" else model.embed(store, nodes, 1)
    real.grow(7)
    model.load_state_dict(real.state_dict(), assign=True)
    assert all(torch.equal(value, real.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_head_is_on_the_meta_device_with_its_vectors():
    head, z = LinkHead(4, 8).to("meta"), torch.ones(2, 3, 4)
    assert head(z[:, 0].to("meta"), z.to("meta")).shape == (2, 3)
    with pytest.raises(ConfigError, match="on the meta device, which holds no numbers, and not all: put all"):
        head(z[:, 0], z)


@pytest.mark.parametrize("kind", ["undergs", "mixer", "spiking"])
def test_a_store_of_another_size_is_named(kind):
    model = SpikingUnderGS(5, 8) if kind == "spiking" else UnderGS(5, 8, "mixer" if kind == "mixer" else "gcn")
    large = NeighborStore(7)
    large.insert(0, [0], [6])
    with pytest.raises(ConfigError, match=r"found a store of 7 nodes and a model of 5: .* smaller, model\.grow\(7\)"):
        model.embed(large, torch.tensor([0]), 1)
    model.grow(7)
    assert torch.isfinite(model.embed(large, torch.tensor([0]), 1)).all()
    with pytest.raises(ConfigError, match=r"found a store of 5 nodes and a model of 7: .* store\.grow\(7\)"):
        model.embed(NeighborStore(5), torch.tensor([0]), 1)


def test_a_saved_model_of_events_takes_more_nodes(data, grown, tmp_path):
    torch.manual_seed(5)
    model = drawn(EventUnderGS(NODES, 0.1, hidden_feats=8))
    again = EventUnderGS.from_pretrained(model.save_pretrained(tmp_path / "model", data), grown)
    large, store = enlarged(model), again.undergs.store()
    for t in range(LATER):
        store.insert(snapshot_edges(grown, t))
    src, dst = torch.arange(MORE), torch.arange(MORE).flip(0)
    assert torch.equal(again(store, LATER, src, dst), large(store, LATER, src, dst))


@pytest.mark.parametrize("kind", ["undergs", "spiking"])
def test_what_has_grown_is_trained_as_before(kind):
    model = SpikingUnderGS(5, 8) if kind == "spiking" else UnderGS(5, 8)
    made = LinkScorer(model, model.store())
    made.observe(distinct_edges(0, [0, 1], [1, 2], num_nodes=5))
    with torch.inference_mode():
        made.grow(7)
    made.observe(distinct_edges(1, [6], [1], num_nodes=7))
    made.logits(2, torch.tensor([6]), torch.tensor([[0, 5]])).sum().backward()
    table = next(value for name, value in model.named_parameters() if name.endswith("table.weight"))
    assert table.grad[6].any()


def drawn_events(snapshot, nodes, seed):
    generator = torch.Generator().manual_seed(seed)
    src, dst, edge_id = (torch.randint(high, (9,), generator=generator) for high in (nodes, nodes, 100))
    label = torch.arange(9) % 2
    return SnapshotEvents(snapshot, src, dst, edge_id, snapshot + torch.rand(9, generator=generator).double(), label)


def test_labels_of_events_are_scored_as_from_the_start():
    stream = [drawn_events(t, 5 if t < 3 else 7, t) for t in range(5)]
    torch.manual_seed(0)
    feats = {"node_feats": len(EventCounts.node_names), "hidden_feats": 8}
    model = drawn(EventUnderGS(5, 0.1, len(EventCounts.event_names), **feats))
    scorers = []
    for nodes in (5, 7):
        reader = EventReader(nodes, stream[:2])
        each = copy.deepcopy(model)
        if nodes == 7:
            each.grow(7)
        scorers.append(EventScorer(each, each.undergs.store(), reader))
    small, large = scorers
    for now in stream:
        if now.snapshot == 3:
            with pytest.raises(DataError, match=r"found node \d, expected a node from 0 to 4: .* or call its grow"):
                small.observe(now)
            small.grow(7)
        assert torch.equal(small.score(now), large.score(now))
        for each in scorers:
            each.observe(now)


ROWS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8), st.sampled_from([-2.0, 1.0, 3.0])), max_size=12)


@settings(max_examples=12, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=4), st.data(), st.booleans())
def test_features_of_pairs_grow(snapshots, data, directed):
    sizes, needed = [], 1
    for rows in snapshots:
        needed = max([needed, *(1 + max(row[:2]) for row in rows)])
        needed = data.draw(st.integers(needed, 9))
        sizes.append(needed)
    families = ["activity", "ranks", "pair", "habits"]
    small, large = (LinkFeatures(size, families=families) for size in (sizes[0], 9))
    stages = small, CachedFeatures(LinkFeatures(sizes[0], families=families)), large
    for t, (rows, size) in enumerate(zip(snapshots, sizes, strict=True)):
        src, dst, weight = zip(*rows, strict=True) if rows else ([], [], [])
        for features in stages[:2]:
            features.grow(size)
            features.observe(distinct_edges(t, src, dst, weight=weight, num_nodes=size, directed=directed))
        stages[2].observe(distinct_edges(t, src, dst, weight=weight, num_nodes=9, directed=directed))
        stages[1].features(t + 1, torch.arange(size), torch.arange(size).expand(size, size))
    for node in (11, -1):
        with pytest.raises(DataError, match=f"found node {node}, expected a node from 0 to {sizes[-1] - 1}"):
            small.features(t + 1, torch.tensor([0]), torch.tensor([[0, node]]))
    answers = []
    for features in stages:
        if features is not stages[2]:
            features.grow(9)
        answers.append(features.features(t + 1, torch.arange(9), torch.arange(9).expand(9, 9)))
    assert torch.equal(answers[0], answers[2])
    assert torch.equal(answers[1], answers[2])


def test_new_nodes_move_the_features_of_old_pairs_in_two_families_alone(links):
    stages = LinkFeatures(NODES), LinkFeatures(MORE)
    for t in range(SNAPSHOTS):
        edges = snapshot_edges(links[0], t)
        for features in stages:
            features.observe(edges)
    question = SNAPSHOTS, torch.arange(NODES), torch.arange(NODES).expand(NODES, NODES)
    small, large = (features.features(*question) for features in stages)
    names = np.array([name.split("/")[0] for name in stages[0].names])
    assert set(names[(small != large).flatten(0, 1).any(0).numpy()]) == {"ranks", "habits"}


@pytest.mark.parametrize("kind", ["degree", "counts", "features"])
def test_encoders_take_more_nodes(kind, data, grown, tmp_path):
    small = {"hidden_feats": 4, "out_feats": 4}
    inputs = [EncoderInputs(kind, each.num_nodes, 4, each) for each in (data, grown)]
    arguments = {EncoderNodes: (CLASSES,), EncoderLinks: (8,), EncoderEvents: (0.1, 2)}
    src, dst = torch.arange(MORE), torch.arange(MORE).expand(MORE, MORE)
    for cls, more in arguments.items():
        models = []
        for each in inputs:
            torch.manual_seed(3)
            model = cls(make_encoder(EvolveGCNO, each, small, {"head_inputs": True}), each, *more)
            models.append(drawn(model))
        saved = models[0].save_pretrained(tmp_path / cls.__name__, data)
        models[1].load_state_dict(models[0].state_dict())
        again = cls.from_pretrained(saved, grown)
        with pytest.raises(DataError, match=f"found {MORE} nodes, but the model has {NODES}: load it anew"):
            models[0].catch_up(grown, LATER)
        models[0].catch_up(data, SNAPSHOTS)
        with pytest.raises(DataError, match=rf"found a graph of {MORE} nodes, .*{cls.__name__}\.from_pretrained"):
            models[0].observe(snapshot_edges(grown, SNAPSHOTS))
        for t in (SNAPSHOTS, LATER):
            for each in (again, models[1]):
                each.catch_up(grown, t)
            assert torch.equal(again.known(), models[1].known())
        if cls is EncoderNodes:
            assert torch.equal(predict(again, grown), models[1].predict(src))
        if cls is EncoderLinks:
            both = [predict_links(EncoderScorer(each), grown, LATER, src, dst) for each in (again, models[1])]
            assert torch.equal(*both)


def test_an_encoder_on_the_meta_device_has_shapes_alone(data):
    inputs = EncoderInputs("counts", NODES)
    model = EncoderLinks(make_encoder(EvolveGCNO, inputs, {}, {}), inputs)
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    model.to("meta")
    assert {name: value.shape for name, value in model.state_dict().items()} == shapes
    with pytest.raises(ConfigError, match=r"on the meta device, which holds no numbers: call model\.to_empty"):
        model.observe(snapshot_edges(data, 0))
    assert model.snapshot == -1


class OfNodes(EvolveGCNO):
    """It has learned something of each node."""

    def __init__(self, num_nodes, in_feats, **options):
        super().__init__(num_nodes, in_feats, **options)
        self.of_nodes = torch.nn.Parameter(torch.zeros(num_nodes, 2))


def test_an_encoder_with_weights_of_single_nodes_says_that_it_cannot(data, grown, tmp_path):
    inputs = EncoderInputs("counts", NODES)
    model = EncoderLinks(make_encoder(OfNodes, inputs, {}, {}), inputs)
    saved = model.save_pretrained(tmp_path / "model", data)
    EncoderLinks.from_pretrained(saved, data)
    with pytest.raises(DataError, match=r"of_nodes has the shape \(30, 2\), of the 30 nodes .*: train it"):
        EncoderLinks.from_pretrained(saved, grown)
    later = make_encoder(EvolveGCNO, EncoderInputs("counts", MORE), {}, {})
    larger = EncoderLinks(later, EncoderInputs("counts", MORE)).save_pretrained(tmp_path / "larger", grown)
    with pytest.raises(DataError, match="found num_nodes = 30, but the model was trained on 35"):
        EncoderLinks.from_pretrained(larger, data)
