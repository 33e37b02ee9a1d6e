"""The ablation from its command line, and that its variants are what their names say."""

import json

import pytest

from dgl_dysign.data import TemporalGraph, stratified_split
from dgl_dysign.experiments.ablations import LATENCIES, LEAKS, score_by_neuron
from dgl_dysign.experiments.node_entries import dysign
from dgl_dysign.experiments.node_task import NodeSettings, NodeTask
from tests.examples.runs import load, refused, summary, written
from tests.generated import generated

example = load("dysign_ablation")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return generated(tmp_path_factory.mktemp("prepared"))


def test_groups_of_a_run_and_its_extension_by_resume(prepared, tmp_path):
    run = [str(prepared), "--run-dir", str(tmp_path / "run"), "--hidden", "8", "--epochs", "3", "--seeds", "1"]
    assert example.main([*run, "--groups", "latency", "feedback"]) == 0
    first = summary(tmp_path / "run")
    assert {row["variant"] for row in first if row["group"] == "feedback"} == {
        "over the graph",
        "within each node",
        "none",
    }
    assert [row["variant"] for row in first if row["group"] == "latency"] == [
        *map(str, LATENCIES),
        "equilibrium",
    ]
    assert all(row["macro_f1"]["runs"] == 1 for row in first)
    assert (tmp_path / "run" / "ablation.png").stat().st_size > 10_000
    made = written(tmp_path / "run")
    assert example.main([*run, "--groups", "latency", "feedback", "decay", "--resume"]) == 0
    second = summary(tmp_path / "run")
    assert {row["group"] for row in second} == {row["group"] for row in first} | {"decay"}
    assert made.items() <= written(tmp_path / "run").items()


def test_variants_of_a_group_differ_in_nothing_but_their_ingredient():
    for group, settings in example.variants(NodeSettings(), num_snapshots=6).items():
        described = [json.dumps(vars(s), default=str, sort_keys=True) for s in settings.values()]
        assert len(set(described)) == len(described), group
    whole = example.variants(NodeSettings(), 6)["compensation, 60 full-batch steps"]
    on, off = (dict(s.model) for s in whole.values())
    assert off.pop("compensation") is False
    assert on == off


def test_a_leak_changes_the_spikes_it_is_scored_with(prepared):
    data = TemporalGraph.load(prepared)
    task = NodeTask(data, NodeSettings(hidden=8)).with_split(*stratified_split(data.labels, 0.4, 42))
    scorings = score_by_neuron(task, dysign(task))
    found = {(s.condition["group"], s.condition["variant"]): s.scores for s in scorings}
    rates = [found["leak, in evaluation only", str(leak)]["mean_rate"] for leak in LEAKS]
    assert rates == sorted(rates)  # what leaks less fires more
    assert rates[-1] > rates[0]
    assert found["leak, in evaluation only", "1.0"] == found["latency", "8"]


def test_a_folder_without_features_is_refused(tmp_path, capsys):
    bare = generated(tmp_path, features="none")
    refused(example, [str(bare), "--run-dir", str(tmp_path / "run")], "needs node features", capsys)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--seeds", "0"], "--seeds must be at least 1"),
        (["--device", "toaster"], "--device toaster cannot be used here"),
        (["--train-ratio", "1.5"], "train_ratio=1.5"),
    ],
)
def test_options_out_of_range(prepared, tmp_path, capsys, options, text):
    refused(example, [str(prepared), "--run-dir", str(tmp_path / "run"), *options], text, capsys)
    assert not (tmp_path / "run").exists()
