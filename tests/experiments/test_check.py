"""Planted faults are found, each by its own check; what is right, our own entries first of all, passes."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from dgl_dysign.adapters.tgm_links import MODELS as OF_TGM
from dgl_dysign.data import TemporalGraph
from dgl_dysign.data.snapshot_edges import snapshot_edges
from dgl_dysign.data.verify import verify
from dgl_dysign.evaluation import NegativeSampler
from dgl_dysign.experiments.check import check_entry, checks
from dgl_dysign.experiments.check.data import HOW, Sample, generated
from dgl_dysign.experiments.check_cli import main
from dgl_dysign.experiments.embedding_entries import EMBEDDINGS
from dgl_dysign.experiments.encoder_entries import SYSTEMS, encoder_entry
from dgl_dysign.experiments.options import AGGREGATORS
from dgl_dysign.experiments.resolve import list_rows
from dgl_dysign.experiments.sampled_entries import SAMPLED
from dgl_dysign.experiments.unfitted import OfThePast
from dgl_dysign.models.snapshot_encoder import SnapshotEncoder
from tests.generated import generated_links

pytestmark = pytest.mark.usefixtures("few_trees")


class Recent:
    """Scores a pair by how often, and how lately, it was there; nothing is fitted."""

    def fit(self, view, *, checkpoint=None, on_epoch=None):
        self.view = view
        self.reset()
        return self

    def reset(self):
        self.seen = torch.zeros(self.view.data.num_nodes, self.view.data.num_nodes)

    def observe(self, edges):
        self.seen = self.seen / 2
        self.seen[edges.src, edges.dst] += edges.count.float()

    def score(self, snapshot, src, dst):
        return self.seen[src[:, None], dst]


class ObservesBeforeItScores(Recent):
    def score(self, snapshot, src, dst):
        edges, seen = snapshot_edges(TemporalGraph.load(self.view.data.folder), snapshot), self.seen
        self.observe(edges)
        scores, self.seen = super().score(snapshot, src, dst), seen
        return scores


class ReadsBackwards(Recent):
    def score(self, snapshot, src, dst):
        return self.seen[dst, src[:, None]]


class KeepsState(Recent):
    def score(self, snapshot, src, dst):
        scores = super().score(snapshot, src, dst)
        self.seen[src, dst[:, 0]] += 0.01
        return scores


class ForgetsToReset(Recent):
    def reset(self):
        self.seen = getattr(self, "seen", torch.zeros(self.view.data.num_nodes, self.view.data.num_nodes))


class KnowsFirstCandidate(Recent):
    def score(self, snapshot, src, dst):
        return super().score(snapshot, src, dst) + torch.arange(dst.shape[1]).flip(0)


class ComparesCandidates(Recent):
    def score(self, snapshot, src, dst):
        return super().score(snapshot, src, dst).softmax(1)


class LastEdgeCounts(Recent):
    def observe(self, edges):
        self.seen = self.seen / 2
        self.seen[edges.src, edges.dst] = torch.arange(len(edges)).float()


class KnowsNames(Recent):
    def score(self, snapshot, src, dst):
        return -(src[:, None] - dst).abs().float()


class NotANumber(Recent):
    def score(self, snapshot, src, dst):
        scores = super().score(snapshot, src, dst)
        return scores / scores.sum(1, keepdim=True)


class Dead(Recent):
    def score(self, snapshot, src, dst):
        return torch.zeros(dst.shape)


class Unseeded(Recent):
    def fit(self, view, **run):
        self.noise = np.random.standard_normal()  # noqa: NPY002
        return super().fit(view, **run)

    def score(self, snapshot, src, dst):
        return super().score(snapshot, src, dst) + self.noise * (dst % 7 == 0)


class Weighted(nn.Module):
    """Weighs pairs there and back; both weights are trained."""

    name = "Weighted"
    parts = ("train",)

    def __init__(self):
        super().__init__()
        self.there, self.back = nn.Linear(1, 1), nn.Linear(1, 1)

    def fit(self, view, *, checkpoint=None, on_epoch=None):
        self.memory = Recent()
        self.memory.fit(view)
        sampler = NegativeSampler(view.data.num_nodes, 5, seed=view.seed)
        optimizer = torch.optim.Adam(self.parameters(), lr=0.1)
        for edges in view.edges[: view.split[1].stop if "val" in self.parts else view.split[0].stop]:
            queries = sampler.draw(edges)
            loss = -self.logits(queries.src, queries.dst).log_softmax(1)[:, 0]
            if len(loss):
                optimizer.zero_grad()
                loss.mean().backward()
                optimizer.step()
                on_epoch({"loss": float(loss.detach().mean())})
            sampler.observe(edges)
            self.memory.observe(edges)
        return self

    def branches(self, src, dst):
        there, back = self.memory.seen[src[:, None], dst], self.memory.seen[dst, src[:, None]]
        return self.there(there[..., None].sqrt())[..., 0], self.back(back[..., None].sqrt())[..., 0]

    def logits(self, src, dst):
        return sum(self.branches(src, dst))

    def reset(self):
        self.memory.reset()

    def observe(self, edges):
        self.memory.observe(edges)

    def score(self, snapshot, src, dst):
        return self.logits(src, dst)


class Detached(Weighted):
    def branches(self, src, dst):
        there, back = super().branches(src, dst)
        return there, back.detach()


class NotInTheOptimiser(Weighted):
    def parameters(self, recurse=True):
        return self.there.parameters()


class TrainsOnValidation(Weighted):
    parts = ("train", "val")


class FromFeatures:
    """Class of a node by the class of the nearest training node, in features."""

    def fit(self, view, *, checkpoint=None, on_epoch=None):
        self.feat, self.classes = view.data.features(view.last), view.num_classes
        self.nodes, self.labels = self.known(view)
        return self

    def known(self, view):
        return view.train, view.labels[view.train]

    def predict(self, nodes):
        nearest = torch.cdist(self.feat[nodes], self.feat[self.nodes]).argmin(1)
        return nn.functional.one_hot(self.labels[nearest], self.classes).float()


class ReadsTestLabels(FromFeatures):
    def known(self, view):
        labels = TemporalGraph.load(view.data.folder).labels
        nodes = (labels >= 0).nonzero()[:, 0]
        return nodes, labels[nodes]


class Drawn(FromFeatures):
    """The same, with a little noise by number and seed: another seed moves scores, but no class."""

    def predict(self, nodes):
        noise = torch.rand(len(self.feat), self.classes, generator=self.draws.manual_seed(self.seed))
        return super().predict(nodes) + 0.1 * noise[nodes]

    def fit(self, view, **run):
        self.seed, self.draws = view.seed, torch.Generator()
        return super().fit(view, **run)


class Activity:
    """Scores an event by whether its source was active in the snapshot before."""

    def fit(self, view, *, checkpoint=None, on_epoch=None):
        self.num_nodes = view.num_nodes
        return self

    def reset(self):
        self.active = torch.zeros(self.num_nodes)

    def observe(self, events):
        self.reset()
        self.active[events.src] = 1.0

    def score(self, events):
        return self.active[events.src]


class CountsItsOwnSnapshot(Activity):
    def score(self, events):
        return super().score(events) + torch.bincount(events.src, minlength=self.num_nodes)[events.src]


class ActivityOfDestinations(Activity):
    def observe(self, events):
        self.reset()
        self.active[events.dst] = 1.0


PLANTED = [
    ("link", ObservesBeforeItScores, ["future"]),
    ("link", Detached, ["parameters"]),
    ("link", NotInTheOptimiser, ["parameters"]),
    ("node", ReadsTestLabels, ["labels"]),
    ("link", ReadsBackwards, ["direction"]),
    ("link", KeepsState, ["state", "order of questions"]),
    ("link", ForgetsToReset, ["state", "order of questions", "order of edges"]),
    ("link", KnowsFirstCandidate, ["order of questions"]),
    ("link", ComparesCandidates, ["order of questions"]),
    ("link", LastEdgeCounts, ["order of edges", "names of nodes"]),
    ("link", KnowsNames, ["names of nodes"]),
    ("link", NotANumber, ["finite"]),
    ("link", Dead, ["alive"]),
    ("link", Unseeded, ["repeatable", "names of nodes"]),
    ("link", TrainsOnValidation, ["validation"]),
    ("event", CountsItsOwnSnapshot, ["order of questions"]),
    ("event", ActivityOfDestinations, ["direction"]),
]


@pytest.mark.parametrize(
    ("kind", "model"), [("link", Recent), ("link", Weighted), ("node", FromFeatures), ("event", Activity)]
)
def test_what_is_right_passes(kind, model):
    report = check_entry(model, kind=kind)
    assert report.ok, str(report)


@pytest.mark.parametrize(("kind", "model", "faults"), PLANTED)
def test_a_planted_fault_is_found(kind, model, faults):
    assert check_entry(model, kind=kind).faults == faults


class Partners(FromFeatures):
    """By features, and by how many edges a node has had by the snapshot as of which it is asked about."""

    def fit(self, view, **run):
        self.data = view.data
        return super().fit(view, **run)

    def predict(self, nodes):
        degree = sum(self.now().graph(t).in_degrees() for t in range(self.now().num_snapshots))[nodes, None]
        return super().predict(nodes) + 0.1 * degree * torch.arange(self.classes)

    def now(self):
        return self.data


class PartnersToCome(Partners):
    def now(self):
        return TemporalGraph.load(self.data.folder)


@pytest.mark.parametrize(
    ("model", "faults"), [(Partners, []), (PartnersToCome, ["future"]), (ReadsTestLabels, ["labels"])]
)
def test_nodes_split_by_time_have_a_future(model, faults):
    report = check_entry(model, kind="node", split="time", checks=["future", "labels", "validation", "state"])
    assert report.faults == faults, str(report)
    seen = report["future"].seen
    assert "where everything from snapshot 7 on changed" in seen, seen  # training ends at 4, validation at 6, of 0 .. 9
    assert report["future"].verdict == ("FAULT" if "future" in faults else "ok")


@pytest.mark.parametrize("name", ["dysign", "dysign-label-aware", "undergs", "logistic-regression"])
def test_our_entries_split_by_time_are_honest(name):
    report = check_entry(
        name, kind="node", split="time", checks=["future", "labels", "validation", "order of questions"]
    )
    assert report.ok, str(report)
    assert report["future"].verdict == "ok"


@pytest.mark.parametrize(("model", "faults"), [(FromFeatures, ["names of nodes"]), (Drawn, [])])
def test_names_may_move_a_class_or_two_where_scores_are_drawn(monkeypatch, model, faults):
    renamed_and_between_seeds = iter([0.007, 0.0])
    monkeypatch.setattr(checks, "_places_apart", lambda *_: next(renamed_and_between_seeds))
    report = check_entry(model, kind="node", checks=["names of nodes"])
    assert report.faults == faults
    assert report["names of nodes"].seen.endswith(f"; up to {0.001 if faults else 0.02:.3f} is ok")


class Counted(SnapshotEncoder):
    """A layer as wide as there are nodes, on counts and on something of each node: here zeros."""

    def __init__(self, num_nodes, in_feats, out_feats=100):
        super().__init__()
        self.num_nodes, self.out_feats, self.window = num_nodes, out_feats, 0
        self.layer = nn.Sequential(nn.Linear(in_feats + 1, out_feats), nn.Tanh(), nn.Linear(out_feats, out_feats))
        self.register_buffer("own", self.of_nodes())

    def of_nodes(self):
        return torch.zeros(self.num_nodes, 1)

    def initial(self):
        return ()

    def step(self, state, edges, inputs):
        return ()

    def embed(self, state, inputs):
        return self.layer(torch.cat([inputs, self.own], 1))


class KnowsNumbers(Counted):
    def of_nodes(self):
        return torch.arange(self.num_nodes)[:, None] / self.num_nodes


class KnowsDrawnNumbers(Counted):
    def of_nodes(self):
        return torch.rand(self.num_nodes, 1)


class LearnsNumbers(Counted):
    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.each = nn.Embedding(self.num_nodes, self.out_feats)

    def embed(self, state, inputs):
        return super().embed(state, inputs) + self.each.weight


class KnowsNumbersInCode(Counted):
    def embed(self, state, inputs):
        self.own = KnowsNumbers.of_nodes(self)
        return super().embed(state, inputs)


class TakesNoMoreNodes(LearnsNumbers):
    def of_nodes(self):
        assert self.num_nodes == 100
        return super().of_nodes()


class HalfAModule(Weighted):
    """What it has drawn outside its modules is none of their weights."""

    def fit(self, view, **run):
        self.share = torch.rand(1, generator=torch.Generator().manual_seed(view.seed))
        return super().fit(view, **run)

    def branches(self, src, dst):
        there, back = super().branches(src, dst)
        return there, self.share * back


@pytest.mark.parametrize("kind", ["node", "link", "event"])
@pytest.mark.parametrize("encoder", [KnowsNumbers, KnowsNumbersInCode, KnowsDrawnNumbers, LearnsNumbers])
def test_with_the_same_weights_names_are_nothing(kind, encoder):
    report = check_entry(encoder_entry(encoder, kind, arguments={"epochs": 3}), kind=kind, checks=["names of nodes"])
    wrong = encoder in (KnowsNumbers, KnowsNumbersInCode)
    assert report.faults == (["names of nodes"] if wrong else []), str(report)
    share = float(report["names of nodes"].seen.removeprefix("with the same weights, ").split("%")[0])
    assert share > 50 if wrong else share == 0


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("boosted-trees", "as no module of PyTorch holds what it has learned"),
        ("tpnet", "as it holds a random generator"),
        ("simpledyg", "as model.tokens.weight has a dimension of 101, which grows with nodes but is not theirs alone"),
        (TakesNoMoreNodes, "as it fails: row 'TakesNoMoreNodes': AssertionError"),
        (HalfAModule, "as with the weights of another seed scores are not the same"),
    ],
)
def test_names_that_cannot_be_asked_with_the_same_weights_say_so(entry, why):
    report = check_entry(entry, kind="link", checks=["names of nodes"])
    assert report.ok, str(report)
    assert report["names of nodes"].seen.startswith(f"not exact, {why}"), str(report)


OURS = [  # the comparison systems have files of their own: test_systems.py, test_embedding_entries.py and so on
    (kind, name)
    for kind in ("node", "link", "event")
    for name, _ in list_rows(kind)
    if name.removesuffix("-counts") not in (*SYSTEMS, *EMBEDDINGS, *SAMPLED, *OF_TGM, "tpnet", "simpledyg")
]
CONSTANT = ("majority", "always-no")
ALIKE = {  # what they read and keep is read and kept by the code of another row
    "node": ("relu-network", "label-aware-relu", "spiking-undergs"),
    "link": ("boosted-trees", "boosted-trees-all", "spiking-undergs"),
    "event": ("always-no", "long-silent", "boosted-trees"),
}


@pytest.mark.parametrize(("kind", "name"), OURS)
def test_our_entries_are_honest_and_alive(kind, name):
    alike = name in ALIKE[kind] or name.removeprefix("undergs-") in (*AGGREGATORS, "paper", "no-counts")
    report = check_entry(name, kind=kind, checks=("alive", "parameters", "order of edges") if alike else None)
    assert report.faults == (["alive"] if name in CONSTANT else []), str(report)


def test_what_is_seen_says_what_and_where():
    report = check_entry(Detached, kind="link", checks=["parameters"])
    assert report["parameters"].seen == ("2 of 4 parameters: back.weight gets no gradient, back.bias gets no gradient")
    assert "detach()" in report["parameters"].do
    assert json.loads(report.to_json())["ok"] is False


def test_a_constant_scorer_has_the_figure_of_chance():
    assert check_entry(Dead, kind="link", checks=["alive"])["alive"].seen == (
        "all scores are the same: MRR 0.0196; a constant scorer has 0.0196 = 1/51"
    )


@pytest.mark.parametrize("kind", ["node", "link", "event"])
@pytest.mark.parametrize("how", HOW)
def test_a_changed_folder_is_the_same_before(tmp_path, kind, how):
    sample = generated(kind)
    before, after = (s.write(tmp_path / str(k)) for k, s in enumerate((sample, sample.after(6, how))))
    verify(after.folder)
    for t in range(6):
        assert all(map(torch.equal, before.events(t), after.events(t)))
        assert torch.equal(before.edge_features(t), after.edge_features(t))
        if kind != "event":
            assert torch.equal(before.features(t), after.features(t))
        else:
            assert all(map(torch.equal, before.event_labels(t), after.event_labels(t)))
    for t in range(6, 10):
        src, other = before.events(t)[0], after.events(t)[0]
        assert len(other) == (0 if how == "delete" else len(src))
        assert kind == "event" or not torch.equal(before.features(t), after.features(t))


def test_renamed_nodes_keep_their_events_labels_and_features(tmp_path):
    sample = generated("node")
    names = sample.names()
    data, other = sample.write(tmp_path / "a"), sample.renamed(names).write(tmp_path / "b")
    number = torch.from_numpy(names)
    assert torch.equal(number[data.events(3)[0]], other.events(3)[0])
    assert torch.equal(data.labels, other.labels[number])
    assert torch.equal(data.features(3), other.features(3)[number])
    assert sorted(names) == list(range(100))


@pytest.mark.parametrize("kind", ["node", "link", "event"])
def test_pairs_are_of_nodes_without_another_partner(kind):
    sample = generated(kind)
    paired = sample.only(sample.paired()).events
    pairs = {frozenset(pair) for pair in zip(paired.src.tolist(), paired.dst.tolist(), strict=True)}
    assert len(paired) > 100
    assert len(set.union(*map(set, pairs))) == sum(map(len, pairs))


def test_events_in_another_order_make_the_same_edges(tmp_path):
    sample = generated("link")
    data, other = sample.write(tmp_path / "a"), sample.reordered().write(tmp_path / "b")
    assert not torch.equal(data.events(4)[0], other.events(4)[0])
    one, two = snapshot_edges(data, 4), snapshot_edges(other, 4)
    assert torch.equal(one.src, two.src)
    assert torch.equal(one.dst, two.dst)
    assert torch.equal(one.time, two.time)


def test_a_part_of_a_prepared_folder_is_used(tmp_path):
    data = TemporalGraph.load(generated_links(tmp_path, events=1500, snapshots=30))
    sample = Sample.of(data)
    assert sample.events.num_snapshots == 12
    assert sample.events.num_nodes <= 300
    assert sample.about.endswith("30 snapshots put together to 12")
    small = sample.write(tmp_path / "small")
    verify(small.folder)
    assert check_entry(Recent, data, checks=["future", "alive"]).data == sample.about


def function_of_the_past(past, src, dst):
    return sum(
        (torch.isin(src[:, None] * 1000 + dst, e.src * 1000 + e.dst).float() for e in past), torch.zeros(dst.shape)
    )


def reads_past_backwards(past, src, dst):
    return function_of_the_past(past, dst.flatten(), src[:, None].expand_as(dst).reshape(-1, 1)).view(dst.shape)


@pytest.mark.parametrize("entry", [function_of_the_past, OfThePast(function_of_the_past)])
def test_a_function_and_a_model_that_is_not_fitted_are_checked(entry):
    assert check_entry(entry).ok


def test_a_function_with_a_fault_is_found():
    assert check_entry(reads_past_backwards).faults == ["direction"]


class OneCandidateTooFew(Recent):
    def score(self, snapshot, src, dst):
        return super().score(snapshot, src, dst[:, :101]) + torch.zeros(101)


def test_a_question_that_a_model_cannot_answer_is_a_fault_of_that_check():
    report = check_entry(OneCandidateTooFew, checks=["state", "order of questions"])
    assert report.faults == ["order of questions"]
    assert "row 'OneCandidateTooFew': RuntimeError" in report["order of questions"].seen


class Rows(SnapshotEncoder):
    def __init__(self, num_nodes, in_feats, turned=False):
        super().__init__()
        self.num_nodes, self.out_feats, self.turned = num_nodes, 4, turned
        self.linear = nn.Linear(in_feats, 4)

    def initial(self):
        return ()

    def step(self, state, edges, inputs):
        return state

    def embed(self, state, inputs, nodes=None):
        vectors = self.linear(inputs)
        return vectors if nodes is None else vectors[nodes.flip(0) if self.turned else nodes]


class TurnedRows(Rows):
    def __init__(self, num_nodes, in_feats):
        super().__init__(num_nodes, in_feats, turned=True)


@pytest.mark.parametrize(("model", "faults"), [(Rows, []), (TurnedRows, ["order of questions"])])
def test_vectors_of_some_nodes_are_those_that_are_scored(model, faults):
    report = check_entry(model, kind="link", checks=["order of questions"])
    assert report.faults == faults
    assert not faults or "asked as training asks" in report["order of questions"].seen


def test_the_command_says_it_by_its_status(capsys):
    here = "tests.experiments.test_check"
    assert main([f"{here}:Recent", "--check", "future", "state"]) == 0
    assert main([f"{here}:KeepsState", "--check", "state", "--kind", "links", "--json"]) == 1
    out = capsys.readouterr().out
    report = json.loads(out[out.index("{") :])
    assert [(line["check"], line["verdict"]) for line in report["verdicts"]] == [("state", "FAULT")]


class WrongShape(Recent):
    def score(self, snapshot, src, dst):
        return super().score(snapshot, src, dst)[0]


class Raises(Recent):
    def score(self, snapshot, src, dst):
        return self.nothing


class NoModel:
    def fit(self, view, *, checkpoint=None, on_epoch=None):
        return self


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["magic"], "row 'magic': expected random"),
        (["HERE:WrongShape"], "row 'WrongShape': found scores of shape (101,), expected a tensor of shape (52, 101)"),
        (["HERE:NoModel"], "row 'NoModel': its model, of the class NoModel, has no method reset"),
        (["HERE:FromFeatures", "--kind", "events"], "row 'FromFeatures': "),
        (["HERE:Recent", "--check", "luck"], "check must be one of"),
        (["HERE:Recent", "--data", "nowhere"], "nowhere: found no manifest.json"),
        (["HERE:Raises"], "in score"),
        (["HERE:Recent", "--split", "time"], "--split time is of nodes"),
    ],
)
def test_bad_input_is_one_error_and_status_2(arguments, error, capsys):
    assert main([word.replace("HERE", "tests.experiments.test_check") for word in arguments]) == 2
    assert error in capsys.readouterr().err
