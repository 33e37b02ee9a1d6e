"""The example on labels of events from its command line: figures, pictures, errors, and runs that are killed."""

import json
import shutil

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from data_prep.cli import app
from dgl_dysign.data import TemporalGraph
from dgl_dysign.experiments.event_entries import default_entries
from dgl_dysign.experiments.event_task import SCORES, EventTask
from dgl_dysign.files import read_sealed, sealed, write_json
from tests.examples.runs import figures, load, refused, summary, units
from tests.training.event_cases import stream, write

SMALL = ["--hidden", "8", "--neighbors", "4", "--epochs", "2", "--quiet"]
example = load("undergs_node_classification")
ENTRIES = {name: entry for name, entry in default_entries().items() if entry.usual}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return write(tmp_path_factory.mktemp("prepared") / "data", stream()).folder


@pytest.fixture(scope="module")
def finished(prepared, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "all"
    assert example.main([str(prepared), "--run-dir", str(run), "--seeds", "2", *SMALL]) == 0
    return run


def test_the_summary_has_one_object_a_row(finished, prepared):
    task = EventTask(TemporalGraph.load(prepared))
    found = summary(finished)
    assert [row["row"] for row in found] == list(ENTRIES)
    for row in found:
        for score in SCORES:
            assert row[score].keys() == row[f"val_{score}"].keys() == {"mean", "std", "runs"}
            assert 0 <= row[score]["mean"] <= 100
            assert row[score]["runs"] == 2
        assert row["generated"] is False
        assert row["test_events"] == len(task.parts["test"])
        assert row["test_label_rate"] == pytest.approx(100 * row["test_positives"] / row["test_events"])
    no = found[0]
    assert no["auc"] == {"mean": 50, "std": 0, "runs": 2}
    assert no["accuracy"]["mean"] == pytest.approx(100 - no["test_label_rate"])
    assert no["ap"]["mean"] == pytest.approx(no["test_label_rate"])


def test_units_hold_the_figures_of_their_scores(finished, prepared):
    task = EventTask(TemporalGraph.load(prepared))
    true = task.label[task.parts["test"]].numpy()
    lines = units(finished)
    assert len(lines) == 2 * len(ENTRIES)
    for line in lines:
        scores = np.load(finished / "checkpoints" / f"{line['key']}.scores.npy")
        assert line["scorings"][0]["scores"]["auc"] == pytest.approx(100 * roc_auc_score(true, scores))
        assert len(line["history"]) == (2 if ENTRIES[line["entry"]].learns else 0)


def test_one_model_of_each_row_says_what_it_did(finished):
    files = {file.stem: json.loads(file.read_text()) for file in (finished / "diagnostics").iterdir()}
    assert files.keys() == {f"seed0-{row}" for row in ENTRIES}
    for key, found in files.items():
        line = next(line for line in units(finished) if line["key"] == key)
        (true_no, false_yes), (false_no, true_yes) = found["confusion"][0]["counts"]
        every = true_no + false_yes + false_no + true_yes
        assert line["scorings"][0]["scores"]["accuracy"] == pytest.approx(100 * (true_no + true_yes) / every)
        assert ("store" in found) == ENTRIES[line["entry"]].learns


def test_pictures_table_and_leftovers(finished, prepared, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    capsys.readouterr()
    assert example.main([str(prepared), "--run-dir", str(run), "--resume", "--seeds", "2", *SMALL]) == 0
    printed = capsys.readouterr().out
    assert str(run / "summary.json") in printed
    assert "positives, split by snapshots" in printed
    assert figures(run) == figures(finished)
    names = {"scores", "precision_recall", "roc", "learning_curves"}
    assert {f.stem for f in run.glob("*.png")} == names
    assert not list(run.rglob("*.tmp"))
    assert not list((run / "checkpoints").glob("*.pt"))


def test_generated_data_says_so_and_late_labels_are_split_by_positives(tmp_path, capsys):
    events = [(*e[:5], int(e[0] > 9 and e[4] % 6 == 0), e[6]) for e in stream(each=24)]
    late, run = write(tmp_path / "data", events, dataset="reddit-generated").folder, tmp_path / "run"
    argv = [str(late), "--run-dir", str(run), "--rows", "few-events", "boosted-trees", "--train", "0.4", "--quiet"]
    refused(example, argv, "expected both labels; .*split by positives", capsys)
    assert example.main([*argv, "--split", "positives"]) == 0
    assert "reddit (generated data)" in capsys.readouterr().out
    for row in summary(run):
        assert row["generated"] is True
        assert row["split"] == "positives"
        assert min(row[f"{part}_positives"] for part in ("train", "val", "test")) >= 1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--device", "toaster"], "--device toaster cannot be used here"),
        (["--seeds", "0"], "--seeds must be at least 1"),
        (["--epochs", "0"], "epochs"),
        (["--neighbors", "0"], "num_neighbors"),
        (["--train", "0.95"], "train=0.95"),
        (["--split", "events", "--train", "1"], "train=1.0"),
    ],
)
def test_options_out_of_range(prepared, tmp_path, capsys, options, text):
    refused(example, [str(prepared), "--run-dir", str(tmp_path / "run"), *options], text, capsys)
    assert not (tmp_path / "run").exists()


def test_folders_that_cannot_be_used(prepared, finished, tmp_path, capsys):
    refused(example, [str(tmp_path / "missing"), "--run-dir", str(tmp_path / "run")], "missing", capsys)
    refused(example, ["--raw", str(tmp_path / "missing"), "--run-dir", str(tmp_path / "run")], "missing", capsys)
    refused(example, [str(prepared), "--run-dir", str(finished), "--resume", "--hidden", "5"], r"settings\.", capsys)
    app(["synth", "dblp", str(tmp_path / "raw"), "--nodes", "100", "--quiet"], standalone_mode=False)
    app(
        ["dblp", str(tmp_path / "raw"), str(tmp_path / "nodes"), "--features", "none", "--quiet"], standalone_mode=False
    )
    refused(
        example, [str(tmp_path / "nodes"), "--run-dir", str(tmp_path / "run")], "expected two classes of events", capsys
    )
    assert not (tmp_path / "run").exists()


def test_a_finished_unit_without_a_figure_is_named(finished, prepared, tmp_path, capsys):
    run = shutil.copytree(finished, tmp_path / "run")
    unit = run / "units" / "seed0-always-no.json"
    record = read_sealed(unit)
    del record["scorings"][0]["scores"]["recall_at_1pct"]
    write_json(unit, sealed(record))
    argv = [prepared, "--run-dir", run, "--seeds", "2", "--resume", *SMALL]
    refused(example, argv, "without the figure 'recall_at_1pct'.*--overwrite", capsys)
