"""Nodes split by time: what is read as of which snapshot, and that nothing later moves a prediction or a weight."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from data_prep.cli import app
from dgl_dysign.data import TemporalGraph
from dgl_dysign.errors import DataError
from dgl_dysign.experiments.entry import Outcome
from dgl_dysign.experiments.node_entries import default_entries
from dgl_dysign.experiments.node_task import NodeSettings, NodeTask, Recipe
from dgl_dysign.training.nodes import FitConfig
from tests.generated import generated

ENTRIES = default_entries()
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
    task = NodeTask(data, replace(settings, **change))
    return task.with_split(nodes[nodes % 3 == 0], nodes[nodes % 9 == 1], nodes[nodes % 3 == 2], ends=ENDS)


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
