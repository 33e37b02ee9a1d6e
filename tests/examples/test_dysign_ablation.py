"""The ablation from its command line, and that its variants are what their names say."""

import importlib.util
import json
from pathlib import Path

import pytest

from dgl_dysign.data import TemporalGraph, stratified_split
from dgl_dysign.training.node_rows import NodeSettings, NodeTask
from tests.generated import generated

SCRIPT = Path(__file__).parents[2] / "examples" / "dysign_ablation.py"


def load():
    spec = importlib.util.spec_from_file_location("dysign_ablation", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


example = load()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return generated(tmp_path_factory.mktemp("prepared"))


def test_groups_of_a_run_and_its_extension_by_resume(prepared, tmp_path):
    run = [str(prepared), "--run-dir", str(tmp_path / "run"), "--hidden", "8", "--epochs", "3", "--seeds", "1"]
    assert example.main([*run, "--groups", "latency", "feedback"]) == 0
    first = json.loads((tmp_path / "run" / "summary.json").read_text())
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
    made = {f.name: f.stat().st_mtime_ns for f in (tmp_path / "run" / "units").iterdir()}
    assert example.main([*run, "--groups", "latency", "feedback", "decay", "--resume"]) == 0
    second = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert {row["group"] for row in second} == {row["group"] for row in first} | {"decay"}
    assert all(
        f.stat().st_mtime_ns == made.get(f.name, f.stat().st_mtime_ns) for f in (tmp_path / "run/units").iterdir()
    )


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
    assert example.main([str(bare), "--run-dir", str(tmp_path / "run")]) == 2
    assert "needs node features" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
