"""The entries of a table: what each reads, what it must not read, and that the seed decides."""

import pickle
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import one_hot

from dgl_dysign.baselines import propagate_labels
from dgl_dysign.data import TemporalGraph, stratified_split
from dgl_dysign.evaluation import f1_scores
from dgl_dysign.experiments import node_entries
from dgl_dysign.experiments.entry import NotInView, Outcome
from dgl_dysign.experiments.node_entries import default_entries, dysign
from dgl_dysign.experiments.node_task import NodeSettings, NodeTask
from dgl_dysign.models import DySIGN
from dgl_dysign.training import EquilibriumCache, fit
from tests.experiments.systems import with_one_system
from tests.generated import generated

ENTRIES = with_one_system(default_entries())


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return TemporalGraph.load(generated(tmp_path_factory.mktemp("rows"), nodes=120))


def settings(epochs=2, **change):
    usual = NodeSettings()
    recipes = {
        kind: replace(recipe, training=replace(recipe.training, epochs=epochs, batch_size=32))
        for kind, recipe in (("feature_only", usual.feature_only), ("label_aware", usual.label_aware))
    }
    small = {"hidden": 8, "label_hidden": 6, "gcn_hidden": 8, "gcn_epochs": 3, "folds": 3, "label_steps": (1, 2)}
    return replace(usual, **{**small, **recipes, "model": {"latency": 4}, **change})


def made(data, seed=0, ratio=0.4, **change):
    return NodeTask(data, settings(**change)).with_split(*stratified_split(data.labels, ratio, 42), seed=seed)


def turned(task, nodes):
    """Give other labels to some nodes."""
    task.labels[nodes] = (task.labels[nodes] + 1) % task.num_classes
    return task


@pytest.mark.parametrize("teacher", node_entries.TEACHERS)
def test_rows_learn_what_a_teacher_says_of_all_nodes(data, teacher, monkeypatch):
    learnt = []

    def noted(*args, targets=None, **options):
        learnt.append(targets)
        return fit(*args, targets=targets, **options)

    monkeypatch.setattr(node_entries, "fit", noted)
    task = made(data, teacher=teacher, model={"latency": 4, "input_thresholds": [0.5], "keep_inputs": 0.5})
    expected = ENTRIES[teacher].fit(made(data).view()).prediction  # of features as they are
    for name in ("logistic-regression", "relu-network", "dysign", "dysign-step", "label-aware-relu"):
        ENTRIES[name].fit(task.view())
        assert learnt[-1] is None if name.startswith("label-aware") else torch.equal(learnt[-1], expected)


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_gives_scores_of_all_nodes_and_reads_no_label_that_it_is_tested_on(data, name):
    train, task = ENTRIES[name].fit, made(data)
    state = torch.get_rng_state()
    outcome = train(task.view())
    assert torch.equal(torch.get_rng_state(), state)
    assert outcome.prediction.shape == (data.num_nodes, data.num_classes)
    assert torch.isfinite(outcome.prediction).all()
    assert outcome.prediction.min() >= 0
    aware = name in ("label-propagation", "label-aware-logistic", "label-aware-relu", "dysign-label-aware")
    assert ENTRIES[name].protocol.split(":")[0] == ("label-aware" if aware else "feature-only")
    chooses = name == "label-propagation" or name.startswith("evolvegcn")  # by labels of validation
    hidden = task.test if chooses else torch.cat([task.test, task.val])
    again = train(turned(made(data), hidden).view())
    assert torch.equal(again.prediction, outcome.prediction)
    assert not torch.equal(train(turned(made(data), task.train).view()).prediction, outcome.prediction)


def test_a_view_has_no_label_that_is_tested(data):
    task = made(data)
    view, known = task.view(), torch.cat([task.train, task.val])
    expected = torch.full((data.num_nodes,), -1)
    expected[known] = data.labels[known]
    assert torch.equal(view.labels, expected)
    assert torch.equal(view.data.labels, expected)
    assert torch.equal(pickle.loads(pickle.dumps(view.data)).labels, expected)
    assert torch.equal(task.labels, data.labels)
    with pytest.raises(NotInView, match="'test' is not in a view: nothing that is tested is, but at_validation, data"):
        _ = view.test
    assert not hasattr(view, "score")
    assert view.snapshots is task.snapshots
    assert view.label_feat is task.label_feat
    assert torch.equal(view.with_settings(settings(decay=0.7)).labels, expected)


def test_scores_of_test_nodes_are_kept_so_that_the_highest_stays_the_highest(data):
    task = made(data)
    scores = torch.full((data.num_nodes, data.num_classes), 0.1)
    scores[torch.arange(data.num_nodes), torch.arange(data.num_nodes) % data.num_classes] += 1e-6  # less than half
    scores[task.test[0]] *= -1e9  # no probabilities: a stranger may score as it likes
    (name, kept), *none = task.arrays(Outcome(scores)).items()
    assert (name, none, kept.dtype) == ("prediction", [], "float16")
    assert kept.argmax(1).tolist() == scores[task.test].argmax(1).tolist()
    assert kept[1:] == pytest.approx(scores[task.test[1:]].numpy(), abs=1e-4)


def test_every_entry_fits_the_default_settings(data):
    view = made(data).view()
    assert [name for name, entry in ENTRIES.items() if entry.check is None] == []
    for entry in ENTRIES.values():
        entry.check(view)


@pytest.mark.parametrize("name", ["logistic-regression", "relu-network", "gcn", "dysign", "dysign-label-aware"])
def test_the_seed_decides(data, name):
    train = ENTRIES[name].fit
    first, second = (train(made(data, seed=seed).view()).prediction for seed in (0, 1))
    assert not torch.equal(first, second)


def test_majority_is_the_most_frequent_training_class(data):
    task = made(data)
    expected = torch.bincount(task.labels[task.train]).argmax()
    assert (ENTRIES["majority"].fit(task.view()).prediction.argmax(1) == expected).all()


def test_label_propagation_takes_the_decay_and_the_steps_that_are_best_out_of_fold(data):
    task = made(data)
    outcome = ENTRIES["label-propagation"].fit(task.view())
    decay, steps = outcome.extra["decay"], outcome.extra["steps"]
    reached = propagate_labels(*task.graph(decay), task.labels, task.train, task.num_classes, steps)
    others = torch.cat([task.val, task.test])
    assert torch.equal(reached[others].argmax(1), outcome.prediction[others].argmax(1))
    changed = task.labels.clone()
    changed[others] = (changed[others] + 1) % task.num_classes
    again = made(data.with_labels(changed)).with_split(task.train, task.val, task.test)
    assert torch.equal(ENTRIES["label-propagation"].fit(again.view()).prediction, outcome.prediction)


def test_a_label_aware_row_of_no_strength_is_label_propagation_and_of_all_the_model_alone(data):
    view = made(data).view()
    finishes = ENTRIES["label-aware-logistic"].fit(view).finishes
    predictions = {(f["strength"], f["alpha"]): p for f, p in finishes if f.get("smooth_decay") != 0.7}
    propagated = ENTRIES["label-propagation"].fit(view).prediction
    torch.testing.assert_close(predictions[0.0, 0.0][view.val], propagated[view.val])
    halfway = (predictions[0.0, 0.0].log() + predictions[1.0, 0.0].log())[view.val] / 2
    torch.testing.assert_close(predictions[0.5, 0.0][view.val], halfway.softmax(1))


def test_the_graph_of_a_task_ages_events(data):
    task = made(data)
    (_, old), (_, young) = task.graph(1.0), task.graph(0.1)
    expected = data.graph(data.num_snapshots - 1, decay=0.1).edata["weight"]
    assert torch.equal(young, expected)
    assert float(young.sum()) < 0.5 * float(old.sum())


def test_label_features_belong_to_one_split(data):
    task = made(data)
    first = task.label_feat
    assert task.label_feat is first
    other = task.with_split(*stratified_split(data.labels, 0.8, 42), seed=0)
    assert not torch.equal(other.label_feat, first)
    assert task.label_feat is first
    assert other.snapshots is task.snapshots


def test_tasks_share_inputs_and_read_them_again_once_released(data):
    task = made(data)
    assert task.with_settings(settings(epochs=9)).snapshots is task.snapshots
    assert task.with_settings(settings(decay=0.7)).snapshots is not task.snapshots
    before = task.snapshots
    task.release()
    assert task.snapshots is not before
    assert torch.equal(task.snapshots[-1].feat, before[-1].feat)


def test_the_untrained_model_is_drawn_with_the_seed_alone(data):
    torch.manual_seed(1)
    first = made(data).dysign(label_aware=True)
    torch.manual_seed(2)
    second = made(data).dysign(label_aware=True)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert first.label_feats == made(data).label_feat.shape[1]


@pytest.mark.parametrize("gradient", ["implicit", "one-step", "trace", "bptt"])
def test_full_batch_training_descends_with_every_gradient(data, gradient):
    model = {"latency": 4, "gradient": gradient, "dropout": 0.0}
    task = made(data, full_batch_epochs=12, model=model, snapshots=2)
    outcome = dysign(task.view())
    assert len(outcome.history) == 12
    assert outcome.history[-1]["loss"] < 0.99 * outcome.history[0]["loss"]
    assert {"macro_f1_at_equilibrium", "micro_f1_at_equilibrium"} <= task.score(outcome)[0].scores.keys()
    assert isinstance(outcome.model, DySIGN)
    assert not outcome.model.training


def test_one_step_is_scored_by_the_spikes_that_it_was_trained_by(data):
    task = made(data)
    outcome = ENTRIES["dysign-step"].fit(task.view())
    conv, cache = outcome.model.conv, EquilibriumCache(outcome.model, task.snapshots)
    assert (conv.latency, conv.gradient, conv.feedback_weight) == (1, "step", None)
    assert torch.equal(cache.logits(torch.arange(data.num_nodes)).softmax(1), outcome.prediction)
    assert not ENTRIES["dysign-step"].usual


def test_scores_at_the_equilibrium_are_those_of_the_solver(data):
    task = made(data, snapshots=2, model={"latency": 2})
    outcome = dysign(task.view())
    with torch.no_grad():
        solved = outcome.model(task.snapshots, simulate=False).argmax(1)
        spiking = outcome.model(task.snapshots, simulate=True).softmax(1)
    (scoring,) = task.score(outcome)
    assert scoring.scores["macro_f1_at_equilibrium"] == f1_scores(task.labels, solved, task.test)["macro_f1"]
    assert torch.equal(outcome.prediction, spiking)


def test_label_aware_predictions_are_smoothed_with_training_nodes_clamped(data):
    task = made(data)
    found = dysign(task.view(), label_aware=True).prediction
    assert torch.equal(found[task.train], one_hot(task.labels, task.num_classes).float()[task.train])
    assert not torch.equal(found.argmax(1)[task.test], task.labels[task.test])
