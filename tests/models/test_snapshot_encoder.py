"""Encoders of snapshots: what they are fed, how far gradients go back, and that nothing of the future is seen."""

from collections import namedtuple
from dataclasses import replace

import pytest
import torch

from dgl_dysign.baselines import EvolveGCNO
from dgl_dysign.data import TemporalGraph, distinct_edges
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.models.encoder_inputs import EncoderInputs
from dgl_dysign.models.snapshot_encoder import EncoderLinks, EncoderModel, EncoderNodes, SnapshotEncoder, detached
from tests.training.link_cases import EDGES, NODES

SRC, DST = torch.tensor([0, 3]), torch.tensor([[1, 2, 5], [4, 0, 7]])


class Faded(SnapshotEncoder):
    """A state of each node that fades, to which each snapshot adds by a weight of its own."""

    out_feats = 2
    inputs = "constant"

    def __init__(self, num_nodes=NODES, in_feats=1, window=1):
        super().__init__()
        self.num_nodes, self.window = num_nodes, window
        generator = torch.Generator().manual_seed(0)
        self.own = torch.nn.Parameter(torch.rand(len(EDGES), 2, dtype=torch.float64, generator=generator))
        self.mix = torch.nn.Parameter(torch.rand(2, 2, dtype=torch.float64, generator=generator))

    def initial(self):
        return {"state": torch.zeros(self.num_nodes, 2, dtype=torch.float64)}

    def step(self, state, edges, inputs):
        ends = torch.cat([edges.src, edges.dst])
        added = torch.zeros_like(state["state"]).index_add(0, ends, self.own[edges.snapshot].expand(len(ends), 2))
        return {"state": torch.tanh(state["state"] @ self.mix + added)}

    def embed(self, state, inputs):
        return state["state"] * inputs


def model(encoder, kind="constant", head=None):
    return EncoderModel(encoder, EncoderInputs(kind, NODES), head or torch.nn.Identity()).double()


@pytest.mark.parametrize("window", [1, 2, 5])
def test_gradients_go_back_through_the_window_and_no_further(window):
    made, plain = model(Faded(window=window)), Faded()
    for edges in EDGES[:9]:
        made.observe(edges)
    slope = torch.rand(NODES, 2, dtype=torch.float64)
    made.embedding().backward(slope)
    state = plain.initial()
    for edges in EDGES[:9]:
        if edges.snapshot == 9 - window:
            state = detached(state)
        state = plain.step(state, edges, None)
    plain.embed(state, 1.0).backward(slope)
    for actual, expected in zip(made.encoder.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(actual.grad, expected.grad, rtol=1e-12, atol=1e-14)
    touched = made.encoder.own.grad.abs().sum(1) > 0
    assert touched.nonzero()[:, 0].tolist() == list(range(9 - window, 9))


def test_the_window_runs_again_with_the_weights_of_now_and_the_state_before_it_stays():
    made = model(Faded(window=2))
    for edges in EDGES[:6]:
        made.observe(edges)
    before = made.known()
    with torch.no_grad():
        made.encoder.own[3] += 1.0  # in the state already
    assert torch.equal(made.embedding(), before)
    with torch.no_grad():
        made.encoder.own[4] += 1.0
    assert not torch.equal(made.embedding(), before)
    made.reset()
    assert not made.known().any()


def test_without_a_window_a_step_is_taken_once_whatever_is_asked():
    taken = []

    class Counted(Faded):
        def step(self, state, edges, inputs):
            taken.append((edges.snapshot, torch.is_grad_enabled(), self.training))
            return super().step(state, edges, inputs)

    made, plain = model(Counted(window=0).requires_grad_(False), "degree").train(), model(Faded(), "degree")
    for edges in EDGES[:6]:
        made.observe(edges)
        plain.observe(edges)
        assert torch.equal(made.embedding(), plain.embedding())
        assert torch.equal(made.known(), plain.known())
    assert taken == [(t, True, False) for t in range(6)]


class Begun(Faded):
    def initial(self):
        return {"state": self.mix.sum() * torch.ones(self.num_nodes, 2, dtype=torch.float64)}

    def step(self, state, edges, inputs):
        return {"state": state["state"] + len(edges)}


@pytest.mark.parametrize("cls", [Faded, Begun])
def test_without_a_window_weights_that_no_loss_reaches_are_refused(cls):
    made = model(cls(window=0))
    with pytest.raises(ConfigError, match=f"{cls.__name__}: found window=0 .*: set window to 1 or more"):
        made.observe(EDGES[0])
    model(cls(window=0).requires_grad_(False)).observe(EDGES[0])


@pytest.mark.parametrize("head_inputs", [False, True])
def test_links_ask_for_the_vectors_of_their_ends_alone_where_an_encoder_can_tell_them(head_inputs):
    asked = []

    class Some(Faded):
        def embed(self, state, inputs, *, nodes=None):
            asked.append(nodes)
            return super().embed(state, inputs)[slice(None) if nodes is None else nodes]

    grads = []
    for cls in (Some, Faded):
        torch.manual_seed(0)
        encoder = cls()
        encoder.head_inputs = head_inputs
        links = EncoderLinks(encoder, EncoderInputs("degree", NODES, 2)).double()
        for edges in EDGES[:4]:
            links.observe(edges)
        links.logits(SRC, DST).square().sum().backward()
        grads.append([parameter.grad for parameter in links.parameters() if parameter.grad is not None])
    assert [nodes.tolist() for nodes in asked] == [[0, 1, 2, 3, 4, 5, 7]]
    assert encoder.own.grad.any()
    for one, two in zip(*grads, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-13)

    class Wide(Faded):
        def embed(self, state, inputs, nodes=None):
            return torch.zeros(NODES, 2)

    with pytest.raises(DataError, match=r"Wide.embed gave shape \(40, 2\), expected \(7, 2\)"):
        EncoderLinks(Wide(), EncoderInputs("constant", NODES)).logits(SRC, DST)


def test_the_initial_state_learns_as_long_as_the_window_reaches_it():
    class Begun(Faded):
        def initial(self):
            return {"state": self.mix.sum() * torch.ones(self.num_nodes, 2, dtype=torch.float64)}

    made = model(Begun(window=2))
    for edges in EDGES[:3]:
        made.observe(edges)
        made.encoder.mix.grad = None
        reached = torch.autograd.grad(made.embedding().sum(), made.encoder.own)[0].abs().sum(1) > 0
        assert reached.nonzero()[:, 0].tolist() == list(range(max(0, edges.snapshot - 1), edges.snapshot + 1))


def test_states_are_detached_whatever_they_are_made_of():
    one, pair = torch.ones(1, requires_grad=True), namedtuple("Pair", "left right")
    state = detached({"a": [one, (one, None)], "b": pair(one, 3)})
    assert isinstance(state["b"], pair)
    assert state["a"][1][1] is None
    assert not any(t.requires_grad for t in (state["a"][0], state["a"][1][0], state["b"].left))


def test_nothing_is_drawn_while_snapshots_are_observed_or_scored():
    class Dropped(Faded):
        def step(self, state, edges, inputs):
            state = super().step(state, edges, inputs)["state"]
            return {"state": torch.nn.functional.dropout(state, 0.5, self.training)}

    made = model(Dropped())
    made.train()
    for edges in EDGES[:5]:
        made.observe(edges)
    random = torch.get_rng_state()
    known = made.known()
    assert torch.equal(torch.get_rng_state(), random)
    assert not torch.equal(made.embedding(), known)
    assert made.encoder.training


def test_counts_are_those_before_the_snapshot_and_see_nothing_of_the_future():
    inputs = EncoderInputs("counts", NODES)
    assert inputs.width == 23
    for edges in EDGES[:4]:
        inputs.observe(edges)
    assert len(inputs.seen_counts()) == len(torch.unique(torch.cat([torch.cat([e.src, e.dst]) for e in EDGES[:4]])))
    table = inputs.table()
    degree = torch.bincount(torch.cat([e.src for e in EDGES[:4]]), minlength=NODES).double()
    torch.testing.assert_close(table[:, 19].double(), degree.log1p().clamp(max=5), rtol=1e-6, atol=1e-6)  # out_1.0
    inputs.standardise(table.mean(0), table.std(0, correction=0))
    torch.testing.assert_close(inputs.table()[:, 19].mean(), torch.tensor(0.0), rtol=0, atol=0.2)
    inputs.reset()
    assert not len(inputs.seen_counts())


def test_degrees_beyond_those_of_the_training_share_the_last_place():
    inputs = EncoderInputs("degree", 4, width=3)
    assert not inputs.table().any()
    inputs.observe(distinct_edges(0, [0, 0, 0], [1, 2, 3], num_nodes=4))
    assert inputs.table().argmax(1).tolist() == [2, 1, 1, 1]
    inputs.observe(distinct_edges(1, [1], [2], num_nodes=4))
    assert inputs.table().argmax(1).tolist() == [0, 1, 1, 0]  # of the last snapshot alone


def test_features_are_read_for_the_last_snapshot_alone(prepared_example):
    data = TemporalGraph.load(prepared_example)
    inputs = EncoderInputs("features", data.num_nodes, data=data)
    assert not inputs.table().any()
    for t in (0, 7):
        inputs.observe(replace(EDGES[0], snapshot=t))
        seen = data.active(t)
        assert not inputs.table()[~seen].any()
        assert float(inputs.table()[seen].mean(0).abs().max()) < 1e-4
    with pytest.raises(ConfigError, match="found no node features here, expected 'counts' or 'degree'"):
        EncoderInputs("features", NODES)
    with pytest.raises(ConfigError, match="inputs"):
        EncoderInputs("ones", NODES)


def test_vectors_of_another_shape_are_refused():
    class Wide(Faded):
        def embed(self, state, inputs):
            return torch.zeros(NODES, 3)

    with pytest.raises(DataError, match=r"Wide.embed gave shape \(40, 3\), expected \(40, 2\)"):
        model(Wide()).known()


@pytest.mark.parametrize("head_inputs", [False, True])
def test_links_and_nodes_are_read_from_the_vectors(head_inputs):
    torch.manual_seed(0)
    encoder, inputs = EvolveGCNO(NODES, 23, 8, 6), EncoderInputs("counts", NODES)
    encoder.head_inputs = head_inputs
    links, nodes = EncoderLinks(encoder, inputs, 5), EncoderNodes(encoder, inputs, 3)
    width = 6 + 23 * head_inputs
    assert (links.head.feats, nodes.head.in_features) == (width, width)
    for edges in EDGES[:5]:
        links.observe(edges)
    z = links.known()
    assert z.shape == (NODES, width)
    torch.testing.assert_close(links.logits(SRC, DST), links.head(z[SRC], z[DST]))
    torch.testing.assert_close(nodes.predict(SRC), nodes.head(nodes.known()[SRC]).softmax(1))
