"""The example from its command line: figures, pictures, errors, and runs that are killed."""

import json
import shutil
import signal
import subprocess
import time

import pytest
import torch

from dgl_dysign.baselines import majority_class
from dgl_dysign.data import TemporalGraph, stratified_split
from dgl_dysign.experiments.node_entries import default_entries
from tests.examples.runs import (
    figures,
    histories,
    load,
    refused,
    summary,
    units,
)
from tests.generated import generated

SMALL = ["--no-choice", "--hidden", "16", "--latency", "4", "--quiet", "--seeds", "1"]
USUAL = [*SMALL, "--epochs", "15", "--snapshots", "2", "--coupling"]
example = load("dysign_node_classification")
ENTRIES = {name: entry for name, entry in default_entries().items() if entry.usual}
NAMES = list(ENTRIES)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return generated(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def finished(prepared, tmp_path_factory):
    """Return the folder of a run of every row: two ratios, two seeds, two snapshots read out."""
    run = tmp_path_factory.mktemp("runs") / "all"
    options = ["--train-ratio", "0.4", "0.8", *USUAL, "--seeds", "2"]
    assert example.main([str(prepared), "--run-dir", str(run), *options]) == 0
    return run


def test_the_summary_has_one_object_a_row_and_ratio(finished):
    found = summary(finished)
    assert [(row["train_ratio"], row["row"]) for row in found] == [(r, row) for r in (0.4, 0.8) for row in NAMES]
    for row in found:
        for score in ("macro_f1", "micro_f1"):
            assert row[score].keys() == {"mean", "std", "runs"}
            assert 0 <= row[score]["mean"] <= 100
            assert row[score]["std"] >= 0
            assert row[score]["runs"] == 2
        assert row["cpu_seconds"] >= 0
        assert row["peak_rss_bytes"] > 1 << 20
        assert row["protocol"] == ENTRIES[row["row"]].protocol
    assert {"macro_f1_at_equilibrium", "micro_f1_at_equilibrium"} <= found[4].keys()


def test_every_unit_is_a_line_and_means_are_theirs(finished):
    lines = units(finished)
    assert len(lines) == 2 * 2 * len(NAMES)
    assert len({line["key"] for line in lines}) == len(lines)
    for row in summary(finished):
        scores = [
            scoring["scores"]["macro_f1"]
            for unit in lines
            for scoring in unit["scorings"]
            if (unit["entry"], scoring["condition"]["train_ratio"]) == (row["row"], row["train_ratio"])
        ]
        assert row["macro_f1"]["mean"] == pytest.approx(sum(scores) / 2)
    for line in lines:
        (scoring,) = line["scorings"]
        counts = torch.tensor(scoring["confusion"])
        assert 100 * float(counts.diagonal().sum() / counts.sum()) == pytest.approx(
            scoring["scores"]["micro_f1"], abs=1e-4
        )


def test_majority_scores_what_can_be_counted(finished, prepared):
    data = TemporalGraph.load(prepared)
    for row in summary(finished):
        if row["row"] == "majority":
            train, _, test = stratified_split(data.labels, row["train_ratio"], 42)
            guess = majority_class(data.labels, train, data.num_nodes)
            share = 100 * float((guess == data.labels)[test].double().mean())
            assert row["micro_f1"] == {"mean": pytest.approx(share), "std": 0.0, "runs": 2}


def test_dysign_learns(finished):
    scores = {(row["train_ratio"], row["row"]): row for row in summary(finished)}
    for ratio in (0.4, 0.8):
        majority = scores[ratio, "majority"]
        for row in ("dysign", "dysign-label-aware"):
            found = scores[ratio, row]
            assert found["macro_f1"]["mean"] > majority["macro_f1"]["mean"] + 10
            assert found["micro_f1"]["mean"] > majority["micro_f1"]["mean"]
            assert found["macro_f1"]["mean"] > 100 / 3 + 5  # of three classes


def test_pictures_and_leftovers(finished):
    names = ("scores", "learning_curves", "confusion", "firing_rates", "spike_raster")
    for name in names:
        assert (finished / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert {f.name for f in finished.glob("*.png")} == {f"{name}.png" for name in names}
    assert not list(finished.rglob("*.tmp"))
    assert {f.name for f in (finished / "checkpoints").iterdir()} == {
        f"{unit['key']}.prediction.npy" for unit in units(finished)
    }
    config = json.loads((finished / "config.json").read_text())
    assert config["config"]["settings"]["hidden"] == 16
    assert {"torch", "dgl"} <= config["versions"].keys()


def test_the_table_and_the_paths_are_printed(finished, prepared, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    options = ["--train-ratio", "0.8", *USUAL, "--resume"]
    assert example.main([str(prepared), "--run-dir", str(run), *options]) == 0
    printed = capsys.readouterr().out
    assert all(row in printed for row in NAMES)
    assert "(published)" not in printed  # those are figures of the real data
    assert str(run / "summary.json") in printed
    assert [row["macro_f1"]["runs"] for row in summary(run)] == [1] * len(NAMES)


def test_one_model_of_each_row_says_what_it_did(finished, prepared):
    data = TemporalGraph.load(prepared)
    files = {file.stem: json.loads(file.read_text()) for file in (finished / "diagnostics").iterdir()}
    assert files.keys() == {f"0.4-split0-seed0-{row}" for row in NAMES}
    record = next(line for line in units(finished) if line["key"] == "0.4-split0-seed0-dysign")
    found = files[record["key"]]
    assert found["confusion"][0]["counts"] == record["scorings"][0]["confusion"]
    assert found["firing"]["snapshot"] == list(range(data.num_snapshots))
    assert found["firing"]["active"] == [int(data.active(t).sum()) for t in range(data.num_snapshots)]
    assert found["spikes"]["latency"] == 4
    assert {row for row in NAMES if "store" in files[f"0.4-split0-seed0-{row}"]} == {
        "undergs",
        "spiking-undergs",
    }


def test_out_of_core_gives_the_same_figures(prepared, tmp_path):
    run, whole = tmp_path / "new" / "run", tmp_path / "whole"
    rows = ["label-aware-relu", "dysign", "spiking-undergs", "dysign-label-aware"]
    options = ["--train-ratio", "0.4", *SMALL, "--epochs", "2", "--snapshots", "2", "--coupling", "--rows", *rows]
    assert example.main([str(prepared), "--run-dir", str(run), *options, "--out-of-core"]) == 0
    assert example.main([str(prepared), "--run-dir", str(whole), *options]) == 0
    assert {unit["entry"] for unit in units(run)} == set(rows)
    assert [unit["scorings"] for unit in units(run)] == [unit["scorings"] for unit in units(whole)]
    assert histories(run) == histories(whole)
    shutil.rmtree(whole)
    assert {path.name for path in tmp_path.rglob("*") if path.is_dir()} == {
        "new", "run", "units", "checkpoints", "diagnostics",
    }  # fmt: skip
    assert {path.name for path in run.iterdir() if path.is_file()} == {
        "config.json", "metrics.jsonl", "summary.json", "scores.png", "learning_curves.png", "confusion.png",
    }  # fmt: skip


KILLED = ["--rows", "majority", "dysign", "--train-ratio", "0.4", "--epochs", "6", *SMALL]


def killed_when(sign, command, run):
    """Run a command until there is a file of the run that matches, and kill it."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while not list(run.glob(sign)) and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    error = process.communicate()[1].decode()
    assert process.returncode in (-signal.SIGKILL, 0), error


def test_killed_out_of_core_it_is_resumed_in_memory_or_on_disk(prepared, commands, tmp_path):
    run, again, whole = tmp_path / "run", tmp_path / "again", tmp_path / "whole"
    command = [commands / "python", example.__file__, prepared, "--run-dir", run, *KILLED, "--out-of-core"]
    killed_when("checkpoints/*.pt", command, run)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]  # nothing is left behind
    shutil.copytree(run, again)
    assert example.main([str(prepared), "--run-dir", str(whole), *KILLED]) == 0
    for path, options in ((run, []), (again, ["--out-of-core"])):
        assert example.main([str(prepared), "--run-dir", str(path), *KILLED, *options, "--resume"]) == 0
        assert figures(path) == figures(whole)
        assert histories(path) == histories(whole)
    assert (run / "spike_raster.png").exists()


def bare(home, name):
    """Return a prepared folder that cannot be used."""
    good = generated(home)
    if name == "missing":
        return home / "missing"
    if name == "no features":
        shutil.rmtree(good)
        return generated(home, features="none")
    if name == "no manifest":
        (good / "manifest.json").unlink()
    if name == "cut features":
        file = sorted((good / "features").glob("*.parquet"))[-1]
        file.write_bytes(file.read_bytes()[:-100])
    return good


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("missing", "missing"),
        ("no manifest", "manifest.json"),
        ("no features", "found no node features.*--features"),
        ("cut features", r"\d+\.parquet"),
    ],
)
def test_prepared_folders_that_cannot_be_used(tmp_path, capsys, name, text):
    refused(example, [str(bare(tmp_path, name)), "--run-dir", str(tmp_path / "run")], text, capsys)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--train-ratio", "1.5"], "train_ratio=1.5"),
        (["--train-ratio", "0.4", "0"], "train_ratio=0"),
        (["--device", "toaster"], "--device toaster cannot be used here"),
        (["--seeds", "0"], "--seeds must be at least 1"),
        (["--splits", "-1"], "--splits must be at least 1"),
        (["--rows", "magic"], "row 'magic': expected majority, .* or module:Name"),
        (["--resume", "--overwrite"], "pass one of them"),
        (["--epochs", "0"], "epochs must be at least 1"),
        (["--hidden", "0"], "out_feats must be at least 1"),
        (["--latency", "0"], "latency must be at least 1"),
        (["--decay", "0"], "decay"),
        (["--snapshots", "7"], "between 1 and the 6 snapshots"),
        (["--out-of-core", "--snapshots", "7"], "between 1 and the 6 snapshots"),
        (["--out-of-core", "--device", "meta"], "--out-of-core computes on the CPU, but --device is meta"),
    ],
)
def test_options_out_of_range(prepared, tmp_path, capsys, options, text):
    refused(example, [str(prepared), "--run-dir", str(tmp_path / "run"), *options], text, capsys)
    assert not (tmp_path / "run").exists()


def test_run_folders_that_cannot_be_used(prepared, finished, tmp_path, capsys):
    changed = [str(prepared), "--run-dir", str(finished), "--resume", "--no-choice", "--hidden", "5"]
    refused(example, changed, r"settings\.", capsys)
    refused(example, [str(prepared), "--run-dir", str(prepared), "--overwrite"], "is no run folder", capsys)
    TemporalGraph.load(prepared)
