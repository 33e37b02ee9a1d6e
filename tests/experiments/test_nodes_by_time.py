"""Nodes split by time: what is read as of which snapshot, and that nothing later moves a prediction or a weight."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from data_prep.cli import app
from dgl_dysign.data import TemporalGraph, split_by_time
from dgl_dysign.data.splits import cut_in_time
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.experiments.choice import Validation
from dgl_dysign.experiments.entry import Outcome
from dgl_dysign.experiments.node_entries import default_entries
from dgl_dysign.experiments.node_task import NodeSettings, NodeTask, Recipe
from dgl_dysign.experiments.record import read_units
from dgl_dysign.experiments.train import train_nodes
from dgl_dysign.models import DySIGN
from dgl_dysign.models.predict import predict
from dgl_dysign.training.nodes import FitConfig
from tests.experiments.systems import with_one_system
from tests.generated import generated
from tests.prepared import prepare

ENTRIES = with_one_system(default_entries())
ENDS = (3, 4)  # of 6 snapshots


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("by-time")


@pytest.fixture(scope="module")
def data(home):
    return TemporalGraph.load(generated(home, nodes=90))


@pytest.fixture(scope="module")
def changed(home, data):
    """Return, for a snapshot, the same data with other events from it on."""

    def write(first):
        raw = home / f"changed-{first}"
        raw.mkdir()
        rows = [line.split() for line in (home / "raw" / "dblp.txt").read_text().splitlines()]
        times = sorted({float(row[2]) for row in rows})
        late = [row for row in rows if float(row[2]) >= times[first]]
        for row, other in zip(late, np.random.default_rng(0).permutation([row[1] for row in late]), strict=True):
            row[1] = other
        (raw / "dblp.txt").write_text("".join(" ".join(row) + "\n" for row in rows))
        (raw / "node2label.txt").write_text((home / "raw" / "node2label.txt").read_text())
        options = ["--features", "spectral", "--dim", "8", "--quiet", "--allow-unknown-labels"]
        app(["dblp", str(raw), str(home / f"prepared-{first}"), *options], standalone_mode=False)
        return TemporalGraph.load(home / f"prepared-{first}")

    return {first: write(first) for first in ENDS}


def task_of(data, **change):
    recipe = Recipe(0.1, 0.1, FitConfig(epochs=2, batch_size=32))
    sizes = {"hidden": 8, "label_hidden": 4, "gcn_hidden": 8, "store_hidden": 8, "gcn_epochs": 3, "folds": 3}
    settings = NodeSettings(feature_only=recipe, label_aware=recipe, label_steps=(1, 2), model={"latency": 4}, **sizes)
    nodes = torch.arange(90)
    task = NodeTask(data, replace(settings, **change), ends=ENDS)
    return task.with_split(nodes[nodes % 3 == 0], nodes[nodes % 9 == 1], nodes[nodes % 3 == 2])


def weights(outcome):
    state = getattr(outcome.model, "state_dict", dict)()
    return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}


@pytest.mark.parametrize("name", ENTRIES)
def test_nothing_later_moves_a_prediction_or_a_weight(data, changed, name):
    task = task_of(data, snapshots=2)
    fitted = ENTRIES[name].fitted(task.view())
    validation = fitted.later(task.view().at_validation()).prediction
    (scoring,) = task.score(fitted)
    assert all(np.isfinite(value) for value in (*scoring.scores.values(), *scoring.val_scores.values()))
    chooses = name == "label-propagation" or name.startswith("evolvegcn")  # by validation, as of its last snapshot
    for first in ENDS[chooses:]:
        there = task_of(changed[first], snapshots=2)
        there.labels[there.test] = (there.labels[there.test] + 1) % there.num_classes
        again = ENTRIES[name].fitted(there.view())
        assert all(torch.equal(value, weights(again)[key]) for key, value in weights(fitted).items())
        if first == ENDS[1]:
            assert torch.equal(again.later(there.view().at_validation()).prediction, validation)
        there.score(again)
        if name != "majority":
            assert not torch.equal(again.prediction, fitted.prediction), "the last snapshot is read"


@pytest.mark.parametrize("teacher", ["relu-network", "gcn"])
def test_a_teacher_sees_nothing_later(data, changed, teacher):
    """What it predicts of nodes that come later moves no weight of its student, though the student learns on all."""
    task, there = (task_of(each, snapshots=2, teacher=teacher) for each in (data, changed[ENDS[0]]))
    there.labels[there.test] = (there.labels[there.test] + 1) % there.num_classes
    alone, taught, again = (ENTRIES["dysign"].fitted(each.view()) for each in (task_of(data, snapshots=2), task, there))
    assert all(torch.equal(value, weights(again)[key]) for key, value in weights(taught).items())
    assert not all(torch.equal(value, weights(alone)[key]) for key, value in weights(taught).items())
    (scoring,) = task.score(taught)
    assert all(np.isfinite(value) for value in (*scoring.scores.values(), *scoring.val_scores.values()))


def test_views_end_with_their_part(data):
    task = task_of(data)
    view = task.view()
    later = view.at_validation()
    assert [each.last for each in (view, later, task)] == [2, 3, 5]
    for each in (view, later):
        assert torch.equal(each.snapshots[-1].active, data.active(each.last))
        assert torch.equal(each.graph(0.5)[1], data.graph(each.last, decay=0.5).edata["weight"])
        assert bool((each.labels[task.test] == -1).all())
    assert later.snapshots is task.view().at_validation().snapshots
    assert not torch.equal(view.label_feat, later.label_feat)
    assert view.with_settings(replace(view.settings, decay=0.7)).at_validation().snapshots[-1].feat.shape[0] == 90
    drawn = NodeTask(data, task.settings).with_split(task.train, task.val, task.test).view()
    assert drawn.at_validation() is drawn


def test_a_saved_model_predicts_what_was_tested(data, tmp_path):
    entry, task = ENTRIES["dysign-label-aware"], task_of(data)
    outcome = entry.fitted(task.view())
    task.score(outcome)
    entry.save(task, outcome, tmp_path / "model")
    assert torch.equal(predict(DySIGN.from_pretrained(tmp_path / "model", data), data), outcome.prediction)


def test_choices_by_time_are_made_on_held_out_nodes_that_training_does_not_see(data):
    task = task_of(data)
    folds = Validation.of(task.without_test()).tasks
    held = torch.cat([fold.val for fold in folds])
    assert torch.equal(held.sort().values, torch.cat([task.train, task.val]).sort().values)
    for fold in folds:
        assert torch.isin(fold.train, task.train).all()
        assert not torch.isin(fold.train, fold.val).any()
        assert fold.view().last == ENDS[0] - 1


class Degrees:
    """A stranger's model: it looks into its view's data when it is asked."""

    def fit(self, view, *, checkpoint=None, on_epoch=None):
        self.data = view.data
        self.fitted = view.data.num_snapshots
        return self

    def predict(self, nodes):
        degree = self.data.graph(self.data.num_snapshots - 1).in_degrees().float()[nodes]
        return degree[:, None] + torch.arange(3.0)


def test_a_stranger_is_asked_when_its_data_has_grown(data):
    task, model = task_of(data), Degrees()
    outcome = Outcome(model=model.fit(task.view()), entry="Degrees")
    task.score(outcome)
    assert torch.equal(outcome.prediction[:, 0], data.graph(5).in_degrees().float())
    assert (model.fitted, model.data.num_snapshots) == (3, 3), "afterwards the view ends with training again"
    with pytest.raises(DataError, match=r"'fixed': it predicts as of snapshot 2, .* tested as of snapshot 5: return a"):
        task.score(Outcome(torch.zeros(90, 3), entry="fixed"))


def first_seen(data):
    return torch.stack([data.active(t) for t in range(data.num_snapshots)]).int().argmax(0)


def test_parts_are_those_first_seen_in_their_range(data):
    first = first_seen(data)
    train, val, test = split_by_time(data, 2, 4)
    for nodes, snapshots in ((train, [0, 1, 2]), (val, [3, 4]), (test, [5])):
        assert torch.equal(nodes.sort().values, torch.isin(first, torch.tensor(snapshots)).nonzero().flatten())
    until = cut_in_time(data)
    shares = [float((first <= t).double().mean()) for t in range(5)]
    assert [min(range(5), key=lambda t: abs(shares[t] - share)) for share in (0.7, 0.8)] == list(until)


def test_a_share_is_labelled_by_the_end_of_training_and_the_others_are_tested(data):
    first = first_seen(data)
    train, val, test = split_by_time(data, 3, 4, train_ratio=0.5, seed=42)
    again, other = (split_by_time(data, 3, 4, train_ratio=0.5, seed=seed) for seed in (42, 43))
    assert all(map(torch.equal, (train, val, test), again))
    assert not torch.equal(train, other[0])
    seen = int((first <= 3).sum())
    assert int((first[test] <= 3).sum()) == pytest.approx(seen / 2, abs=1)
    assert bool((first[train] <= 3).all())
    assert set((first == 5).nonzero().flatten().tolist()) <= set(test.tolist())
    assert set((first == 4).nonzero().flatten().tolist()) <= set(val.tolist())
    assert len(torch.cat([train, val, test]).unique()) == 90
    shares = [torch.bincount(data.labels[nodes], minlength=3) / len(nodes) for nodes in (train, first.le(3))]
    assert shares[0].tolist() == pytest.approx((torch.bincount(data.labels[first <= 3]) / seen).tolist(), abs=0.05)


def test_without_snapshots_for_validation_some_training_nodes_are_held_out(data):
    first = first_seen(data)
    train, val, test = split_by_time(data, 3, 3)
    assert torch.equal(torch.cat([train, val]).sort().values, (first <= 3).nonzero().flatten())
    assert sorted(set(data.labels[val].tolist())) == [0, 1, 2]
    assert torch.equal(test.sort().values, (first > 3).nonzero().flatten())


@pytest.mark.parametrize(
    ("until", "ratio", "message"),
    [
        ((4, 3), 1.0, r"until snapshot 4 and validation until 3: expected 0 <= train_until <= val_until < 5"),
        ((2, 5), 1.0, r"validation until 5: expected"),
        ((-1, 2), 1.0, r"training until snapshot -1"),
        ((3, 4), 1.2, r"train_ratio=1.2"),
    ],
)
def test_splits_by_time_that_cannot_be(data, until, ratio, message):
    with pytest.raises(ConfigError, match=message):
        split_by_time(data, *until, ratio)


def test_without_test_nodes_a_ratio_is_named(data):
    early = data.with_labels(data.labels.masked_fill(first_seen(data) > 2, -1))
    with pytest.raises(ConfigError, match=r"and 0 test nodes, .*snapshot 4: .* pass a --train-ratio below 1"):
        split_by_time(early, 3, 4)
    assert len(split_by_time(early, 3, 4, 0.5)[2])


def test_without_a_node_to_hold_out_or_a_second_snapshot_one_error_says_what_to_do(tmp_path):
    events = [(0, 0, 1), (0, 2, 3), *((t, node, 0) for node in range(4, 12) for t in (1, 2))]
    few = TemporalGraph.load(prepare(tmp_path / "few", events, 3, [0, 1, 2, 3] * 3))
    with pytest.raises(
        ConfigError, match=r"found 4 training nodes, each the only one of its class, .*: train on a high"
    ):
        split_by_time(few, 0, 0)
    one = TemporalGraph.load(prepare(tmp_path / "one", [(0, 0, 1)], 1, [0, 1]))
    with pytest.raises(ConfigError, match="found one snapshot, but a split by time needs two at least: prepare"):
        cut_in_time(one)


def folder_with(home, data, classes):
    """Write the data anew with other classes of its nodes; return the folder."""
    name = "-".join(map(str, classes[:30]))
    raw = home / f"raw-{name}"
    raw.mkdir()
    (raw / "dblp.txt").write_text((home / "raw" / "dblp.txt").read_text())
    (raw / "node2label.txt").write_text("".join(f"{node} {label}\n" for node, label in enumerate(classes)))
    options = ["--features", "spectral", "--dim", "8", "--quiet"]
    app(["dblp", str(raw), str(home / f"out-{name}"), *options], standalone_mode=False)
    return home / f"out-{name}"


SMALL = {"seeds": 1, "epochs": 2, "hidden": 8, "quiet": True, "no_choice": True}


def test_two_classes_have_auc_and_average_precision(home, data, tmp_path):
    prepared = folder_with(home, data, [int(node % 3 == 0) for node in range(90)])
    rows = ["majority", "label-propagation", "dysign"]
    table = train_nodes(prepared, tmp_path / "run", rows=rows, split="time", train_until=2, val_until=3, **SMALL)
    assert [line["row"] for line in table] == ["majority", "dysign", "label-propagation"]
    assert table[0]["auc"]["mean"] == 50.0
    units = read_units(tmp_path / "run")
    (scoring,) = units["1.0-split0-seed0-dysign"].scorings
    assert scoring.condition == {"train_ratio": 1.0, "split": 42, "train_until": 2, "val_until": 3}
    assert {"auc", "ap", "auc_at_equilibrium"} <= scoring.scores.keys()
    text = str(table)
    test = split_by_time(TemporalGraph.load(prepared), 2, 3)[2]
    positives = int((test % 3 == 0).sum())
    assert "split by time: AUC / average precision / Macro-F1" in " ".join(text.split())
    assert f"of the class 1: {positives} of {len(test)} tested" in " ".join(text.split())
    assert ("of one class are too few for an interval" in " ".join(text.split())) == (
        min(positives, len(test) - positives) < 10
    )
    assert table[0]["ap"]["mean"] == pytest.approx(100 * positives / len(test)), "a constant scorer has the share"
    assert table[1]["difference"]["figure"] == "auc"
    task = NodeTask(TemporalGraph.load(prepared), NodeSettings(positive="0"), ends=(3, 4))
    task = task.with_split(*split_by_time(task.data, 2, 3))
    always = torch.tensor([[0.2, 0.8]]).expand(90, 2)
    assert task.figures(always, task.test)["ap"] == pytest.approx(100 - 100 * positives / len(test))
    assert NodeTask(task.data, NodeSettings()).with_split(task.train, task.val, task.test).positive == 1


def test_tables_by_time_say_what_is_wrong(home, data, tmp_path):
    first = first_seen(data)
    late = [int(first[node] == 5) for node in range(90)]
    two = folder_with(home, data, late)
    one = folder_with(home, data, [2 if node == 7 else node % 2 for node in range(90)])
    ours = home / "prepared"
    for prepared, options, message in [
        (two, {"split": "time", "train_until": 3, "val_until": 4}, "no training node has the class '1', which test"),
        (one, {}, "class '2' has one labelled node, expected two at least, to train and to test: merge it"),
        (
            ours,
            {"split": "time", "train_until": 2, "val_until": 3, "splits": 2},
            "--splits 2: all splits are the same, for nothing is drawn",
        ),
        (ours, {"train_until": 3}, "--train-until and --val-until are of --split time: pass that, too"),
        (ours, {"positive": "1"}, "--positive 1: expected two classes, but there are 3; name one of two, or"),
        (two, {"positive": "yes"}, "--positive yes: expected one of 0, 1; name"),
    ]:
        with pytest.raises((ConfigError, DataError), match=message):
            train_nodes(prepared, tmp_path / "run", rows=["majority"], **SMALL, **options)
        assert not (tmp_path / "run").exists()
