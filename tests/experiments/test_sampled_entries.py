"""Spiking networks over sampled neighbours as entries: honest, alive, resumed, and under what was chosen."""

from dataclasses import replace

import pytest
import torch

from dgl_dysign.data import TemporalGraph, stratified_split
from dgl_dysign.experiments.check import check_entry
from dgl_dysign.experiments.node_task import NodeSettings, NodeTask
from dgl_dysign.experiments.sampled_entries import SAMPLED, sampled_entries
from tests.generated import generated

ENTRIES = {entry.name: entry for entry in sampled_entries()}


@pytest.fixture(scope="module")
def view(tmp_path_factory):
    data = TemporalGraph.load(generated(tmp_path_factory.mktemp("sampled"), nodes=60))
    settings = NodeSettings().with_epochs(1)
    return NodeTask(data, settings).with_split(*stratified_split(data.labels, 0.4, 42)).view()


@pytest.mark.parametrize("name", SAMPLED)
def test_each_is_honest_and_alive(name, monkeypatch):
    if name != "signn":  # whose third scale is silent in the first epochs, so that no gradient reaches its sigmoids
        monkeypatch.setattr("dgl_dysign.experiments.sampled_entries._EPOCHS", 1)
    checks = ["finite", "alive", "parameters"]
    if name == "spikenet":  # what they read and draw is the same
        checks += ["repeatable", "labels", "order of edges"]
    report = check_entry(name, kind="node", checks=checks)
    assert report.ok, str(report)


def test_epochs_are_four_times_those_of_the_table_and_choices_count(view):
    outcome = ENTRIES["spikenet"].fit(view)
    assert len(outcome.history) == 4
    chosen = ENTRIES["spikenet"].fit(view.with_settings(view.settings.with_choice(lr=1e-4)))
    assert not torch.equal(chosen.prediction, outcome.prediction)
    values = ENTRIES["spikenet"].defaults
    same = ENTRIES["spikenet"].fit(view.with_settings(view.settings.with_choice(**values)))
    assert torch.equal(same.prediction, outcome.prediction)


class _Killed(Exception):
    pass


def test_killed_and_resumed_predicts_the_same(view, tmp_path):
    entry = ENTRIES["spikenet-memory"]
    settings = view.settings.feature_only
    often = replace(settings, training=replace(settings.training, checkpoint_every=1))
    view = view.with_settings(replace(view.settings, feature_only=often))

    def kill(record):
        if record["epoch"] == 1:
            raise _Killed

    with pytest.raises(_Killed):
        entry.fit(view, checkpoint=tmp_path / "part.pt", on_epoch=kill)
    epochs = []
    resumed = entry.fit(view, checkpoint=tmp_path / "part.pt", on_epoch=epochs.append)
    assert [record["epoch"] for record in epochs] == [2, 3]
    assert torch.equal(resumed.prediction, entry.fit(view).prediction)
