"""What a pass of each network in a table of nodes costs, against formulas; what nobody can count stays blank."""

from dataclasses import replace

import pytest
import torch

from dgl_dysign.data import TemporalGraph, stratified_split
from dgl_dysign.data.row_store import RowFiles
from dgl_dysign.experiments.node_entries import default_entries
from dgl_dysign.experiments.node_task import NodeSettings, NodeTask
from dgl_dysign.experiments.operations import operations_of
from dgl_dysign.experiments.record import OPERATIONS
from tests.generated import generated

HIDDEN, LABEL_HIDDEN, LATENCY = 8, 6, 3


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return TemporalGraph.load(generated(tmp_path_factory.mktemp("cost"), nodes=120))


@pytest.fixture(scope="module")
def task(data):
    usual = NodeSettings()
    recipes = {
        kind: replace(recipe, training=replace(recipe.training, epochs=1))
        for kind, recipe in (("feature_only", usual.feature_only), ("label_aware", usual.label_aware))
    }
    small = {"hidden": HIDDEN, "label_hidden": LABEL_HIDDEN, "gcn_hidden": HIDDEN, "gcn_epochs": 1, "folds": 3}
    settings = replace(usual, **small, **recipes, label_steps=(1, 2), model={"latency": LATENCY})
    return NodeTask(data, settings).with_split(*stratified_split(data.labels, 0.4, 42))


def fitted(task, name):
    outcome = default_entries()[name].fit(task.view())
    return outcome, operations_of(outcome.model, outcome.forward)


@pytest.mark.parametrize("aware", [False, True])
def test_networks_without_messages_cost_their_products(task, aware):
    classes, feats = task.num_classes, task.snapshots[-1].feat.shape[1]
    labels, neurons = (task.label_feat.shape[1], LABEL_HIDDEN) if aware else (0, 0)
    _, logistic = fitted(task, "label-aware-logistic" if aware else "logistic-regression")
    _, relu = fitted(task, "label-aware-relu" if aware else "relu-network")
    hidden = feats * HIDDEN + labels * neurons + (HIDDEN + neurons) * classes
    for cost, macs in ((logistic, (feats + labels) * classes), (relu, hidden)):
        assert cost["macs"] == macs
        assert cost["model_energy_pj"] == pytest.approx(4.6 * macs)
        assert not any(cost[name] for name in ("synops", "additions", "membrane_updates", "message_bits"))
        assert not {"latency", "firing_rate"} & cost.keys()
    assert logistic["parameter_bytes"] == 4 * (feats + labels + 1) * classes


def test_the_gcn_costs_its_messages_too(task):
    snapshot, classes = task.snapshots[-1], task.num_classes
    _, cost = fitted(task, "gcn")
    degree = snapshot.graph.num_edges() / len(task.labels)
    macs = snapshot.feat.shape[1] * HIDDEN + HIDDEN**2 + 2 * degree * HIDDEN + HIDDEN * classes
    assert cost["macs"] == pytest.approx(macs)
    assert cost["message_bits"] == pytest.approx(2 * degree * HIDDEN * 32)


@pytest.mark.parametrize("aware", [False, True])
def test_dysign_costs_what_it_spikes(task, aware):
    snapshot, classes, nodes = task.snapshots[-1], task.num_classes, len(task.labels)
    outcome, cost = fitted(task, "dysign-label-aware" if aware else "dysign")
    labels, neurons = (task.label_feat.shape[1], LABEL_HIDDEN) if aware else (0, 0)
    degree = snapshot.graph.num_edges() / nodes
    macs = snapshot.feat.shape[1] * HIDDEN + (LATENCY - 1) * HIDDEN**2 + labels * neurons
    assert cost["macs"] == pytest.approx(macs + (HIDDEN + neurons) * classes)
    assert cost["membrane_updates"] == LATENCY * (HIDDEN + neurons)
    assert cost["message_bits"] == pytest.approx((LATENCY - 1) * degree * HIDDEN)  # a bit a spike
    assert cost["latency"] == LATENCY
    assert 0 < cost["firing_rate"] < 1
    assert 0 < cost["synops"] <= cost["message_bits"]
    additions = cost["synops"] + cost["membrane_updates"]
    assert cost["model_energy_pj"] == pytest.approx(4.6 * cost["macs"] + 0.9 * additions)
    assert cost.keys() == OPERATIONS.keys()
    assert not outcome.model.training


def test_a_neuron_that_is_silent_costs_no_read_out(task):
    _, cost = fitted(task, "dysign-step")
    fired = cost["firing_rate"] * HIDDEN
    assert 0 < fired < HIDDEN
    assert cost["synops"] == pytest.approx(fired * task.num_classes)


def test_inputs_that_are_spikes_cost_additions_in_every_row(task):
    own = {"latency": LATENCY, "input_thresholds": [0.5], "keep_inputs": 0.5}
    task = task.with_settings(replace(task.settings, model=own))
    nodes, feat = len(task.labels), task.snapshots[-1].feat
    z = (feat - feat[task.train].mean(0)) / feat[task.train].std(0, correction=0)
    for name in ("logistic-regression", "relu-network", "gcn", "dysign", "dysign-step"):
        outcome, cost = fitted(task, name)
        first = getattr(outcome.model, "network", outcome.model)
        first = next(part for part in first.modules() if hasattr(part, "parametrizations"))
        weight = getattr(first, next(iter(first.parametrizations)))
        upper, lower = outcome.model.encoder.thresholds[:, 0]
        fired = (z >= upper).float() + (-z >= lower).float()
        met = float((fired.sum(0) * (weight != 0).sum(0)).sum()) / nodes
        assert (weight != 0).float().mean() == 0.5
        more = cost["synops"] - met  # of what spikes behind the input
        assert more == pytest.approx(0, abs=1e-3 * met) if "dysign" not in name else more > 0
        _, plain = fitted(task.with_settings(replace(task.settings, model={"latency": LATENCY})), name)
        assert plain["macs"] - cost["macs"] == pytest.approx(feat.shape[1] * len(weight))
        neurons = ("membrane_updates", "message_bits", "latency")
        assert [cost.get(key) for key in neurons] == [plain.get(key) for key in neurons]


def test_what_cannot_be_counted_is_blank(task, tmp_path):
    network = torch.nn.Linear(2, 3)
    blank = {"parameter_bytes": 4 * 9}
    assert operations_of(network, None) == blank
    assert operations_of(network, lambda: torch.cdist(network.weight, network.weight)) == blank
    on_disk = NodeTask(task.data, task.settings, files=RowFiles(tmp_path)).with_split(task.train, task.val, task.test)
    assert fitted(on_disk, "logistic-regression")[1].keys() == blank.keys()  # inputs are made while they are read


def test_comparison_systems_are_counted_where_their_messages_are_seen(task):
    classes, feats, nodes = task.num_classes, task.data.feature_dim, len(task.labels)
    task = task.with_settings(task.settings.with_share(0.01))
    outcome, cost = fitted(task, "evolvegcn-o")
    encoder, steps = outcome.model.encoder, task.data.num_snapshots
    src = encoder.step(encoder.initial(), *outcome.model._steps[-1])[1][0][0]
    widths = [tuple(layer.first.shape) for layer in encoder.layers]
    evolving = steps * sum(4 * rows**2 * columns for rows, columns in widths)
    sent = len(src) / nodes * sum(columns for _, columns in widths)
    macs = evolving / nodes + sum(rows * columns for rows, columns in widths) + sent + encoder.out_feats * classes
    assert cost["macs"] == pytest.approx(macs)
    assert cost["message_bits"] == pytest.approx(32 * sent)

    (first, second), sampled = (128, 10), 1 + 5
    _, spikenet = fitted(task, "spikenet")
    macs = sampled * 2 * feats * first + first * second  # W and V; of the second layer V, on means of spikes
    assert spikenet["macs"] == pytest.approx(steps * macs, rel=0.01)
    assert spikenet["message_bits"] == steps * 32 * ((5 + 5 * 2) * feats + 5 * first)
    assert spikenet["membrane_updates"] == steps * (sampled * first + second)
