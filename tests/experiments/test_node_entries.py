"""The rows of a table: what each reads, what it must not read, and that the seed decides."""

from dataclasses import replace

import pytest
import torch

from dgl_dysign.baselines import propagate_labels
from dgl_dysign.data import TemporalGraph, stratified_split
from dgl_dysign.evaluation import f1_scores
from dgl_dysign.experiments import node_entries as node_rows
from dgl_dysign.experiments.node_entries import ROWS, NodeSettings, NodeTask
from dgl_dysign.models import DySIGN
from tests.generated import generated


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
    task = NodeTask(data, settings(**change))
    task.split(*stratified_split(data.labels, ratio, 42), seed=seed)
    return task


def turned(task, nodes):
    """Give other labels to some nodes."""
    task.labels[nodes] = (task.labels[nodes] + 1) % task.num_classes
    return task


@pytest.mark.parametrize("row", ROWS)
def test_every_row_gives_scores_of_all_nodes_and_reads_no_label_that_it_is_tested_on(data, row):
    train, protocol = ROWS[row]
    task = made(data)
    state = torch.get_rng_state()
    outcome = train(task)
    assert torch.equal(torch.get_rng_state(), state)
    assert outcome.probabilities.shape == (data.num_nodes, data.num_classes)
    assert torch.isfinite(outcome.probabilities).all()
    assert outcome.probabilities.min() >= 0
    assert protocol.split(":")[0] == ("label-aware" if row.startswith("label") or "aware" in row else "feature-only")
    hidden = task.test if row == "label-propagation" else torch.cat([task.test, task.val])  # it chooses on validation
    again = train(turned(made(data), hidden))
    assert torch.equal(again.probabilities, outcome.probabilities)
    assert not torch.equal(train(turned(made(data), task.train)).probabilities, outcome.probabilities)


@pytest.mark.parametrize("row", ["logistic-regression", "relu-network", "gcn", "dysign", "dysign-label-aware"])
def test_the_seed_decides(data, row):
    train, _ = ROWS[row]
    assert not torch.equal(train(made(data, seed=0)).probabilities, train(made(data, seed=1)).probabilities)


def test_majority_is_the_most_frequent_training_class(data):
    task = made(data)
    expected = torch.bincount(task.labels[task.train]).argmax()
    assert (node_rows.majority(task).probabilities.argmax(1) == expected).all()


def test_label_propagation_takes_the_decay_that_is_best_on_validation(data):
    task = made(data)
    found = node_rows.label_propagation(task)
    scores = {}
    for decay in task.settings.propagation_decays:
        reached = propagate_labels(*task.graph(decay), task.labels, task.train, task.num_classes)
        scores[decay] = f1_scores(task.labels, reached.argmax(1), task.val)["macro_f1"]
        if decay == found.extra["decay"]:
            assert torch.equal(reached, found.probabilities)
    assert scores[found.extra["decay"]] == max(scores.values())


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
    task.split(*stratified_split(data.labels, 0.8, 42), seed=0)
    assert not torch.equal(task.label_feat, first)


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
    outcome = node_rows.dysign(task)
    assert len(outcome.history) == 12
    assert outcome.history[-1]["loss"] < 0.99 * outcome.history[0]["loss"]
    assert {"macro_f1_at_equilibrium", "micro_f1_at_equilibrium"} <= outcome.extra.keys()
    assert isinstance(outcome.model, DySIGN)
    assert not outcome.model.training


def test_scores_at_the_equilibrium_are_those_of_the_solver(data):
    task = made(data, snapshots=2, model={"latency": 2})
    outcome = node_rows.dysign(task)
    with torch.no_grad():
        solved = outcome.model(task.snapshots, simulate=False).argmax(1)
        spiking = outcome.model(task.snapshots, simulate=True).softmax(1)
    assert outcome.extra["macro_f1_at_equilibrium"] == f1_scores(task.labels, solved, task.test)["macro_f1"]
    assert torch.equal(outcome.probabilities, spiking)


def test_label_aware_predictions_are_smoothed_with_training_nodes_clamped(data):
    task = made(data)
    found = node_rows.dysign(task, label_aware=True).probabilities
    assert torch.equal(found[task.train], node_rows._one_hot(task, task.labels)[task.train])
    assert not torch.equal(found.argmax(1)[task.test], task.labels[task.test])
