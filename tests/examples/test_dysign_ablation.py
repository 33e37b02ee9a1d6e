"""The ablation from its command line, and that its variants are what their names say."""

import json

import pytest

from dgl_dysign.data import TemporalGraph, stratified_split
from dgl_dysign.experiments.node_entries import NodeSettings, NodeTask
from tests.examples.runs import interrupted, load, refused, summary, written
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
        *map(str, example.LATENCIES),
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
    task = NodeTask(data, NodeSettings(hidden=8))
    task.split(*stratified_split(data.labels, 0.4, 42), seed=0)
    found = example.score_spiking(task)
    rates = [found[f"leak, in evaluation only|{leak}"]["mean_rate"] for leak in example.LEAKS]
    assert rates == sorted(rates)  # what leaks less fires more
    assert rates[-1] > rates[0]
    assert found["leak, in evaluation only|1.0"] == found["latency|8"]


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


def test_folders_that_cannot_be_used(prepared, tmp_path, capsys):
    refused(example, [str(tmp_path / "missing"), "--run-dir", str(tmp_path / "run")], "missing", capsys)
    (tmp_path / "file").touch()
    refused(example, [str(prepared), "--run-dir", str(tmp_path / "file" / "run")], "file", capsys)


def test_interrupted_by_hand(prepared, tmp_path, capsys, monkeypatch):
    interrupted(example, [str(prepared), "--run-dir", str(tmp_path / "run")], "units", capsys, monkeypatch)
