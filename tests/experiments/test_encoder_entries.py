"""One encoder in three tables: which arguments are whose, and that fits are resumed and see no future."""

import json
from dataclasses import replace

import pytest
import torch

from dgl_dysign.baselines import EvolveGCNO, NodeCounts
from dgl_dysign.data import TemporalGraph, stratified_split
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.evaluation import NegativeSampler, evaluate_links
from dgl_dysign.evaluation.events import evaluate_events
from dgl_dysign.experiments.encoder_entries import encoder_entry, snapshot_encoder_entries
from dgl_dysign.experiments.entry import source_of
from dgl_dysign.experiments.event_task import EventSettings, EventTask
from dgl_dysign.experiments.link_task import LinkSettings, LinkTask
from dgl_dysign.experiments.node_task import NodeSettings, NodeTask
from dgl_dysign.experiments.resolve import as_entry, resolve_rows
from dgl_dysign.models import EncoderEvents, EncoderLinks, EncoderNodes, EncoderScorer, SnapshotEncoder
from dgl_dysign.models.encoder_inputs import EncoderInputs
from dgl_dysign.models.predict import predict, predict_links
from dgl_dysign.models.snapshot_encoder import EncoderEventScorer
from dgl_dysign.training.events import EventFitConfig
from dgl_dysign.training.links import LinkFitConfig
from dgl_dysign.training.live_update import LiveLinkScorer
from tests.generated import generated, generated_links
from tests.training.event_cases import stream, write

KINDS = ("node", "link", "event")
SMALL = {"hidden_feats": 6, "out_feats": 5, "window": 2, "epochs": 2}


class Sums(SnapshotEncoder):
    """What a stranger writes: the sum of a node's inputs over its edges, forgotten at a rate that is learned."""

    def __init__(self, num_nodes, in_feats, width=4, lr=0.5):
        super().__init__()
        self.num_nodes, self.out_feats, self.rate = num_nodes, width, torch.nn.Parameter(torch.tensor(lr))
        self.linear = torch.nn.Linear(in_feats, width)

    def initial(self):
        return torch.zeros(self.num_nodes, self.out_feats)

    def step(self, state, edges, inputs):
        sent = self.linear(inputs)
        return (self.rate * state).index_add(0, edges.dst, sent[edges.src]).index_add(0, edges.src, sent[edges.dst])

    def embed(self, state, inputs):
        return torch.tanh(state + self.linear(inputs))


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    home = tmp_path_factory.mktemp("encoders")
    nodes = TemporalGraph.load(generated(home, nodes=120))
    links = TemporalGraph.load(generated_links(home, 400))
    return {
        "node": NodeTask(nodes, NodeSettings()).with_split(*stratified_split(nodes.labels, 0.4, 42)),
        "link": LinkTask(links, LinkSettings(num_negatives=20, training=LinkFitConfig(epochs=1))),
        "event": EventTask(write(home / "events", stream()), settings=EventSettings(training=EventFitConfig(epochs=1))),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_strangers_encoder_stands_in_each_table(kind, tasks):
    task, entry = tasks[kind], as_entry(Sums, kind, {"width": 3, "epochs": 2, "window": 2, "head_inputs": True})
    assert (entry.name, entry.source["arguments"]["width"]) == ("Sums", 3)
    entry.check(task.view())
    outcome = entry.fitted(task.view())
    assert len(outcome.history) == 2
    model = outcome.model if kind == "node" else outcome.model.model
    assert (model.encoder.out_feats, model.encoder.window, model.encoder.head_inputs) == (3, 2, True)
    assert model.inputs.kind == ("features" if kind == "node" else "counts")
    for scoring in task.score(outcome):
        assert all(0 <= value <= 100 for name, value in scoring.scores.items() if "edges" not in name)


def test_arguments_of_the_class_come_before_settings_of_the_training(tasks):
    entry = as_entry(Sums, "node", {"lr": 0.25, "epochs": 1, "weight_decay": 0.0})
    assert float(entry.fit(tasks["node"].view()).model.encoder.rate.detach()) == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"widht": 3},
            r"row 'Sums': found the argument 'widht', expected one of Sums \(width, lr\), of encoders \(win",
        ),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"window": -1}, "row 'Sums': found window=-1, expected a whole number from 0 on"),
        ({"width": "3"}, "row 'Sums': found out_feats='3'"),
        ({"inputs": "ones"}, "inputs"),
    ],
)
def test_bad_arguments_are_found_before_anything_is_fitted(arguments, text, tasks):
    class Unchecked(Sums):
        def __init__(self, num_nodes, in_feats, width=4, lr=0.5):
            super().__init__(num_nodes, in_feats)
            self.out_feats = width

    with pytest.raises(ConfigError, match=text):
        encoder_entry(Unchecked if "width" in arguments else Sums, "node", "Sums", arguments).check(
            tasks["node"].view()
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_loss_that_is_nan_names_the_row(kind, tasks):
    class Lost(Sums):
        def embed(self, state, inputs):
            return super().embed(state, inputs) * float("nan")

    with pytest.raises((ConfigError, DataError), match=r"^row 'Lost': .*\b(nan|NaN)\b"):
        tasks[kind].score(as_entry(Lost, kind, {"epochs": 1}).fitted(tasks[kind].view()))


def test_a_method_that_is_missing_is_named(tasks):
    class Half(SnapshotEncoder):
        def initial(self):
            return ()

    with pytest.raises(ConfigError, match="row 'Half': found no method step, expected initial, step and embed"):
        as_entry(Half, "node").check(tasks["node"].view())


@pytest.mark.parametrize("kind", KINDS)
def test_the_encoders_of_the_comparison_are_rows_that_are_named(kind, tasks):
    for entry in snapshot_encoder_entries(kind):
        entry.check(tasks[kind].view())
    names = [entry.name for entry in snapshot_encoder_entries(kind)]
    assert [entry.name for entry in resolve_rows(names, kind) if entry.learns] == names
    assert not {entry.name for entry in resolve_rows(None, kind)} & set(names)


def test_the_source_of_an_encoder_is_its_own_file_and_its_arguments():
    entries = {entry.name: entry for entry in snapshot_encoder_entries("link")}
    published, counts, alone = (entries[name] for name in ("evolvegcn-o", "evolvegcn-o-counts", "node-counts"))
    assert published.source == source_of("evolvegcn-o", EvolveGCNO, {**published.source["arguments"]})
    assert published.source["arguments"]["inputs"] == "degree"
    assert counts.source["arguments"] == published.source["arguments"] | {"inputs": "counts", "head_inputs": True}
    assert alone.source["sha256"] == source_of("node-counts", NodeCounts)["sha256"] != published.source["sha256"]
    assert published.source["sha256"] != source_of("other", encoder_entry)["sha256"]


class _Killed(Exception):
    pass


@pytest.mark.parametrize("kind", ["link", "event"])
def test_killed_and_resumed_ends_with_the_same_scores(kind, tasks, tmp_path):
    task = tasks[kind]
    fit = encoder_entry(EvolveGCNO, kind, arguments={**SMALL, "head_inputs": True}).fit

    def kill(record):
        raise _Killed

    with pytest.raises(_Killed):
        fit(task.view(), checkpoint=tmp_path / "part.pt", on_epoch=kill)
    epochs = []
    resumed = fit(task.view(), checkpoint=tmp_path / "part.pt", on_epoch=epochs.append)
    assert [record["epoch"] for record in epochs] == [1]
    whole = fit(task.view())
    for name, value in whole.model.model.state_dict().items():
        assert torch.equal(value, resumed.model.model.state_dict()[name]), name
    assert task.score(whole) == task.score(resumed)


class Noted:
    """Keeps the scores of a model."""

    def __init__(self, model):
        self.reset, self.observe, self._score, self.scores = model.reset, model.observe, model.score, {}

    def score(self, snapshot, src, dst):
        self.scores[snapshot] = self._score(snapshot, src, dst)
        return self.scores[snapshot]


def test_nothing_at_or_after_a_snapshot_moves_its_scores(tasks):
    task = tasks["link"]
    scorer = encoder_entry(EvolveGCNO, "link", arguments={**SMALL, "inputs": "degree"}).fit(task.view()).model
    edges, now = list(task.edges), 7
    other = [replace(edges[len(edges) - 1 - t], snapshot=t) if t > now else edges[t] for t in range(len(edges))]
    scores = []
    for data in (edges, other):
        noted = Noted(scorer)
        evaluate_links(data, {"": noted}, range(4, 12), NegativeSampler(task.data.num_nodes, 20))
        scores.append(noted.scores)
    assert all(torch.equal(scores[0][t], scores[1][t]) for t in scores[0] if t <= now)
    assert any(not torch.equal(scores[0][t], scores[1][t]) for t in scores[0] if t > now)


def test_live_update_goes_on_from_a_copy(tasks):
    task = tasks["link"]
    scorer = encoder_entry(EvolveGCNO, "link", arguments=SMALL).fit(task.view()).model
    before = {name: value.clone() for name, value in scorer.model.state_dict().items()}
    live = LiveLinkScorer(scorer, lr=1e-2)
    for edges in task.edges[:5]:
        live.update(edges)
        live.observe(edges)
    assert scorer.model.snapshot == -1
    assert all(torch.equal(value, scorer.model.state_dict()[name]) for name, value in before.items())
    assert not torch.equal(live.model.head.src.weight, scorer.model.head.src.weight)
    assert not torch.equal(live.model.encoder.layers[0].update, scorer.model.encoder.layers[0].update)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_encoder_predicts_what_was_scored(kind, tasks, tmp_path):
    task = tasks[kind]
    entry = as_entry(Sums, kind, {"epochs": 1, "window": 2, "head_inputs": True})
    outcome, folder = entry.fit(task.view()), tmp_path / "model"
    entry.save(task, outcome, folder)
    if kind == "node":
        model = EncoderNodes.from_pretrained(folder, task.data)
        assert torch.equal(predict(model, task.data), outcome.prediction)
        earlier = predict(model, task.data, 2)
        assert not torch.equal(earlier, outcome.prediction)
        assert torch.equal(predict(EncoderNodes.from_pretrained(folder, task.data), task.data, 2), earlier)
    elif kind == "link":
        scorer, last = EncoderScorer(EncoderLinks.from_pretrained(folder, task.data)), task.data.num_snapshots
        pairs = torch.tensor([3, 5]), torch.tensor([[1, 2], [0, 9]])
        outcome.model.reset()
        for edges in task.edges:
            outcome.model.observe(edges)
        assert torch.equal(predict_links(scorer, task.data, last, *pairs), outcome.model.score(last, *pairs))
        assert torch.equal(predict_links(scorer, task.data, 0, *pairs)[0, :1], scorer.score(0, *pairs)[0, :1])
    else:
        model = EncoderEvents.from_pretrained(folder, task.data)
        scorer = EncoderEventScorer(model, task.view().reader(), task.data.directed)
        scores = [evaluate_events(made, task.snapshots) for made in (scorer, outcome.model)]
        assert torch.equal(*scores)


def test_a_folder_whose_encoder_is_not_here_says_so(tasks, tmp_path):
    task, folder = tasks["link"], tmp_path / "model"
    entry = as_entry(Sums, "link", {"epochs": 1})
    entry.save(task, entry.fit(task.view()), folder)
    config = json.loads((folder / "config.json").read_text())
    config["arguments"]["encoder"]["class"] = "elsewhere.models:Sums"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        ConfigError, match=r"its encoder is elsewhere.models:Sums, which cannot be imported here \(No mod"
    ):
        EncoderLinks.from_pretrained(folder, task.data)
    with pytest.raises(DataError, match="found dataset = "):
        EncoderLinks.from_pretrained(folder, tasks["event"].data)
    with pytest.raises(DataError, match="found a EncoderLinks, expected a EncoderNodes"):
        EncoderNodes.from_pretrained(folder, task.data)
    with pytest.raises(ConfigError, match="was made by hand"):
        EncoderLinks(Sums(3, 1), EncoderInputs("constant", 3)).save_pretrained(tmp_path / "other", task.data)


@pytest.mark.parametrize("kind", KINDS)
def test_comparison_systems_are_controls_and_strangers_never_are(kind):
    assert all(entry.learns and entry.control for entry in snapshot_encoder_entries(kind))
    assert not as_entry(EvolveGCNO, kind).control
    assert not as_entry(snapshot_encoder_entries(kind)[0], kind, name="theirs").control
    ours = {entry.name: entry.control for entry in resolve_rows(None, kind)}
    assert {name for name, control in ours.items() if not control} == {
        n for n in ours if "undergs" in n or "dysign" in n
    }
