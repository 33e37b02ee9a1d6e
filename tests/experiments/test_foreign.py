"""Tasks as plain files, and predictions that come back: same figures, a mark everywhere, errors that name the line."""

import csv
import json

import numpy as np
import pytest
import torch

from dgl_dysign.data import TemporalGraph, stratified_split
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.experiments import train_cli
from dgl_dysign.experiments.event_task import EventTask, event_scores
from dgl_dysign.experiments.foreign_rows import score_files
from dgl_dysign.experiments.foreign_task import export_task
from dgl_dysign.experiments.node_task import NodeSettings, NodeTask
from dgl_dysign.experiments.options import ExportOptions, ScoreOptions
from dgl_dysign.report.runs import read_runs
from dgl_dysign.report.tables import figures
from tests.generated import generated, generated_links
from tests.training.event_cases import stream, write

MARK = "mine (not verified)"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture(scope="module")
def nodes(home):
    return generated(home)


@pytest.fixture(scope="module")
def links(home):
    return generated_links(home, events=400, snapshots=10)


@pytest.fixture(scope="module")
def events(home):
    return write(home / "events", stream()).folder


@pytest.fixture(scope="module")
def node_task(nodes, home):
    return export(nodes, home / "node-task", "nodes")


def export(prepared, out, table, **more):
    return export_task(ExportOptions(prepared=prepared, out=out, table=table, **more))


def columns(folder, name):
    """Read a CSV file as a foreign program would: columns of text by name."""
    with (folder / name).open() as stream:
        rows = list(csv.DictReader(stream))
    return {key: [row[key] for row in rows] for key in rows[0]}


def asked(task):
    first = {"nodes": "node", "links": "query", "events": "event"}[task.about["table"]]
    return np.array(columns(task.folder, "questions.csv")[first], int)


def answer(task, scores, file):
    """Write scores of the questions, in their order, as the README of the task says."""
    rows = np.column_stack([asked(task), scores])
    np.savetxt(file, rows[::-1], delimiter=",", header=f"task {task.about['id']}")  # any order
    return file


def score(files, run, **more):
    return score_files(ScoreOptions(files=files, run_dir=run, **more))


def line_of(table, name):
    (line,) = [line for line in table if line["row"] == name]
    return line


def test_a_row_of_nodes_has_the_figures_of_its_scores(nodes, node_task, tmp_path, capsys):
    given = np.random.default_rng(0).random((len(asked(node_task)), 3))
    file = answer(node_task, given, tmp_path / "mine.csv")
    table = score([node_task.folder, file], tmp_path / "run", rows=["majority", "label-propagation"], no_choice=True)
    data = TemporalGraph.load(nodes)
    task = NodeTask(data, NodeSettings()).with_split(*stratified_split(data.labels, 0.4, 42))
    scores = torch.zeros(data.num_nodes, 3, dtype=torch.float64)
    scores[torch.from_numpy(asked(node_task))] = torch.from_numpy(given)
    line = line_of(table, MARK)
    for name, value in task.figures(scores, task.test).items():
        assert line[name] == {"mean": value, "std": 0.0, "runs": 1}
    assert line["verified"] is False
    assert "cpu_seconds" not in line
    assert ": 0.4-split0-seed0-mine-not-verified\n" in capsys.readouterr().err  # without CPU seconds
    assert line["difference"]["to"] == "label-propagation"  # the best control of all, as its kind is not known
    assert line["difference"]["low"] <= line["difference"]["mean"] <= line["difference"]["high"] < 0
    record = json.loads((tmp_path / "run" / "units" / "0.4-split0-seed0-mine-not-verified.json").read_text())
    assert record["scorings"][0]["val_scores"] == task.figures(scores, task.val)
    assert record["cost"] == {}
    assert "verified" not in line_of(table, "majority")


def test_the_mark_stands_wherever_the_row_does(node_task, tmp_path, capsys):
    file = answer(node_task, np.eye(3)[asked(node_task) % 3], tmp_path / "mine.csv")
    argv = ["score", str(node_task.folder), str(file), "--run-dir", str(tmp_path / "run"), "--rows", "majority"]
    assert train_cli.main([*argv, "--no-choice"]) == 0
    shown, (run,) = capsys.readouterr().out, list(read_runs([tmp_path / "run"]))
    assert shown.count("(not verified)") == 2  # figures and differences
    assert next(row[0] for row in figures(run, "40 % for training").rows if row[1] == "not verified") == MARK
    assert MARK in (tmp_path / "run" / "summary.json").read_text()
    assert train_cli.main([*argv, "--no-choice", "--resume"]) == 0
    answer(node_task, np.eye(3)[asked(node_task) % 2], file)
    assert train_cli.main([*argv, "--no-choice", "--resume"]) == 2
    assert "is of another version of its entry" in capsys.readouterr().err


def test_no_file_holds_a_label_of_a_test_node(nodes, node_task):
    known = columns(node_task.folder, "labels.csv")
    questions = columns(node_task.folder, "questions.csv")
    test = {node for node, part in zip(questions["node"], questions["part"], strict=True) if part == "test"}
    assert not test & set(known["node"])
    labels = TemporalGraph.load(nodes).labels
    assert known["class"] == [str(int(labels[int(node)])) for node in known["node"]]
    assert len(test) + len(known["node"]) == int((labels >= 0).sum())
    assert sorted(path.name for path in node_task.folder.iterdir()) == [
        "README.md", "edges.csv", "features.npy", "labels.csv", "questions.csv", "task.json",
    ]  # fmt: skip
    assert np.load(node_task.folder / "features.npy").shape == (6, 240, 16)


def test_several_splits_are_one_row_of_several_runs(nodes, node_task, tmp_path):
    other = export(nodes, tmp_path / "s43", "nodes", random_state=43, seed=1, last_features=True)
    assert np.load(other.folder / "features.npy").shape == (240, 16)
    files = []
    for task in (node_task, other):
        (tmp_path / task.about["id"]).mkdir()
        scores = np.random.default_rng(1).random((len(asked(task)), 3))
        files += [task.folder, answer(task, scores, tmp_path / task.about["id"] / "mine.csv")]
    table = score(files, tmp_path / "run", rows=["majority"], no_choice=True)
    assert [line["macro_f1"]["runs"] for line in table] == [2, 2]
    units = sorted(path.stem for path in (tmp_path / "run" / "units").iterdir())
    assert units == [
        "0.4-split0-seed0-majority", "0.4-split0-seed0-mine-not-verified",
        "0.4-split1-seed1-majority", "0.4-split1-seed1-mine-not-verified",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"s43: found no file of mine \(not verified\), expected one for each task"):
        score(files[:3], tmp_path / "other", rows=["majority"])


def test_a_foreign_program_reaches_the_figures_of_the_same_row_of_ours(links, tmp_path, few_trees):
    task = export(links, tmp_path / "task", "links", num_negatives=20, seed=1)
    edges, questions = columns(task.folder, "edges.csv"), columns(task.folder, "questions.csv")
    pairs = {*zip(*(map(int, edges[name]) for name in ("snapshot", "src", "dst")), strict=True)}
    at = np.array([[t, node] for t, src, dst in pairs for node in (src, dst)])
    scores = np.zeros((len(questions["query"]), 21))
    for row, now in enumerate(map(int, questions["snapshot"])):
        for column in range(21):
            seen = at[(at[:, 1] == int(questions[f"candidate{column}"][row])) & (at[:, 0] < now)]
            scores[row, column] = (0.9 ** (now - seen[:, 0])).sum()
    table = score([task.folder, answer(task, scores, tmp_path / "mine.csv")], tmp_path / "run", rows=["random"])
    line, ours = line_of(table, MARK), line_of(table, "recent-degree")
    for name in ("mrr", "mrr_pooled", "auc", "list_auc", "ap", "hits@1", "val_mrr"):
        assert line[name]["mean"] == pytest.approx(ours[name]["mean"], abs=1e-6)
    assert (line["edges"], line["cold_edges"]) == (ours["edges"], ours["cold_edges"])
    assert line["protocol"].startswith("not verified")
    assert ours["protocol"].startswith("honest")
    assert "honest" in str(table)
    assert "(not verified)" in str(table)


def test_references_that_are_fitted_can_be_left_out(links, tmp_path):
    task = export(links, tmp_path / "task", "links", num_negatives=20)
    answers = answer(task, np.zeros((len(columns(task.folder, "questions.csv")["query"]), 21)), tmp_path / "mine.csv")
    for number, rows in enumerate((None, ["random"])):
        run = tmp_path / f"run{number}"
        table = score([task.folder, answers], run, rows=rows, references="counting")
        assert {"recent-degree", MARK} <= {line["row"] for line in table}
        assert not {"logistic-regression", "boosted-trees"} & {line["row"] for line in table}


def test_the_place_of_the_true_destination_is_not_told(links, tmp_path):
    task = export(links, tmp_path / "task", "links", num_negatives=9)
    edges, questions = columns(task.folder, "edges.csv"), columns(task.folder, "questions.csv")
    data = TemporalGraph.load(links)
    last = data.num_snapshots - 1
    assert max(map(int, edges["snapshot"])) == last - 1  # the last edges are asked about alone
    assert str(last) in questions["snapshot"]
    places = []
    for row in range(len(questions["query"])):
        src, _, _, _ = data.events(int(questions["snapshot"][row]))
        dst = data.events(int(questions["snapshot"][row]))[1]
        partners = set(dst[src == int(questions["src"][row])].tolist())
        places += [k for k in range(10) if int(questions[f"candidate{k}"][row]) in partners]
    counts = np.bincount(places, minlength=10)
    assert counts.sum() == len(questions["query"])  # one true link each
    assert counts.max() < 2.5 * counts.mean()


def test_a_row_of_events_has_the_figures_of_its_scores(events, tmp_path):
    task = export(events, tmp_path / "task", "events")
    given = np.random.default_rng(2).random(len(asked(task)))
    table = score([task.folder, answer(task, given, tmp_path / "mine.csv")], tmp_path / "run", rows=["always-no"])
    whole = EventTask(TemporalGraph.load(events))
    scores = torch.zeros(len(whole.label), dtype=torch.float64)
    scores[torch.from_numpy(asked(task))] = torch.from_numpy(given)
    line = line_of(table, MARK)
    for name, value in event_scores(whole, scores, "test").items():
        assert line[name]["mean"] == pytest.approx(value)
    known = columns(task.folder, "edges.csv")
    hidden = np.array(known["label"], int)
    test = whole.parts["test"].numpy()
    assert (hidden[test] == -1).all()
    assert np.array_equal(np.delete(hidden, test), np.delete(whole.label.numpy(), test))
    assert np.array_equal(np.array(known["src"], int), torch.cat([e.src for e in whole.snapshots]).numpy())
    feat = torch.cat([e.feat for e in whole.snapshots]).numpy()
    assert np.array_equal(np.load(task.folder / "features.npy"), feat)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: ["# task 0123", *lines[1:]], "line 1: found '# task 0123', expected '# task "),
        (lambda lines: lines[1:], "line 1: found '"),
        (lambda lines: [], "line 1: found 'nothing', expected"),
        (lambda lines: lines[:-1], "found the end, but no line of 1 of 156, the first of them node "),
        (lambda lines: [*lines, lines[3]], "line 158: found node {0} again, which is on line 4, expected it once"),
        (lambda lines: [*lines[:2], lines[2].replace("e", "x", 1), *lines[3:]], "expected a number: write no names"),
        (lambda lines: [*lines[:5], lines[5] + ",1", *lines[6:]], "line 6: found 5 values, expected 4: node and 3"),
        (
            lambda lines: [*lines[:5], lines[5].rpartition(",")[0] + ",nan", *lines[6:]],
            "line 6: found nan, expected fi",
        ),
        (lambda lines: [*lines[:5], "1e9,0,0,0", *lines[6:]], "line 6: found node 1e+09, expected one of the 156 of"),
        (lambda lines: [*lines[:5], "0.5,0,0,0", *lines[6:]], "line 6: found node 0.5, expected one of the 156 of"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(node_task, tmp_path, change, message, capsys):
    file = answer(node_task, np.ones((len(asked(node_task)), 3)), tmp_path / "mine.csv")
    lines = file.read_text().splitlines()
    file.write_text("\n".join(change(lines)))
    argv = ["score", str(node_task.folder), str(file), "--run-dir", str(tmp_path / "run")]
    assert train_cli.main(argv) == 2
    out, errors = capsys.readouterr()
    assert (out, errors.count("\n")) == ("", 1)
    assert errors.startswith(f"dysign-train: {file}, line ")
    assert message.format(int(float(lines[3].split(",")[0]))) in errors
    assert ": write " in errors or ": look " in errors or "with commas between" in errors
    assert not (tmp_path / "run").exists()


def test_what_does_not_go_together_is_refused(nodes, links, node_task, tmp_path, monkeypatch):
    file = answer(node_task, np.ones((len(asked(node_task)), 3)), tmp_path / "mine.csv")
    with pytest.raises(DataError, match=r"found other files than task .*: name the right folder with --prepared"):
        score([node_task.folder, file], tmp_path / "run", prepared=generated(tmp_path, nodes=250), rows=["majority"])
    with pytest.raises(ConfigError, match=r"mine.csv: found no folder before it, expected TASK FILE\.\.\."):
        score([file, node_task.folder], tmp_path / "run")
    with pytest.raises(ConfigError, match="found no file of any row"):
        score([node_task.folder], tmp_path / "run", rows=["majority"])
    with pytest.raises(DataError, match=r"task.json: cannot be read .* that dysign-train export-task finished"):
        score([tmp_path, file], tmp_path / "run")
    other = export(links, tmp_path / "links", "links")
    with pytest.raises(ConfigError, match="expected one table: score them apart"):
        score([node_task.folder, file, other.folder], tmp_path / "run")
    with pytest.raises(ConfigError, match="is there: name another folder"):
        export(nodes, node_task.folder, "nodes")
    with pytest.raises(ConfigError, match="--historical is not of --table nodes"):
        export(nodes, tmp_path / "new", "nodes", historical=0.5)
    monkeypatch.setattr("dgl_dysign.training.distributed.world", lambda: 2)
    with pytest.raises(ConfigError, match="found 2 processes, expected one to export a task"):
        export(nodes, tmp_path / "new", "nodes")
