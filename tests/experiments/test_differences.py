"""Differences from the best control: which control, which lines, means of seeds, and what earlier versions kept."""

import shutil
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rich.console import Console
from sklearn.metrics import roc_auc_score

from dgl_dysign.cli import show
from dgl_dysign.data import TemporalGraph, stratified_split
from dgl_dysign.evaluation import Answers
from dgl_dysign.experiments import plots
from dgl_dysign.experiments.differences import add_differences, difference_table, leads
from dgl_dysign.experiments.entry import FEATURE_ONLY, LABEL_AWARE, Entry, Outcome
from dgl_dysign.experiments.node_task import NodeSettings, NodeTask
from dgl_dysign.experiments.options import RunOptions
from dgl_dysign.experiments.record import Scoring, UnitRecord, read_units
from dgl_dysign.experiments.run_folder import array_file
from dgl_dysign.experiments.runner import run
from dgl_dysign.experiments.tables import EventTable, LinkTable, NodeTable, mean_cost, spread_text
from tests.examples.runs import summary
from tests.generated import generated

ITEMS = np.arange(100)
COST = {"cpu_seconds": 1.0, "peak_rss_bytes": 1}


def line(row, mean, protocol="feature-only: in words"):
    return {"row": row, "macro_f1": {"mean": mean}, "micro_f1": {"mean": mean}, "protocol": protocol}


def answers(**right):
    """Make a test in which rows are right about so many of 100 nodes."""
    rows = {row: (count <= ITEMS).astype(int) for row, count in right.items()}
    return Answers(ITEMS, rows, np.zeros(100, int))


def test_the_control_is_the_best_of_the_kind_and_the_same_nodes_are_compared():
    lines = [line("a", 70), line("b", 60), line("aware", 99, "label-aware"), line("mine", 75), line("other", 1, "else")]
    tests = [answers(a=70, b=60, aware=99, mine=75, other=1)]
    add_differences(lines, {x["row"] for x in lines}, {"a", "b", "aware"}, "micro_f1", tests)
    assert [x["row"] for x in lines if "difference" in x] == ["mine"]  # no control is of the other's kind
    found = lines[3]["difference"]
    assert (found["to"], found["figure"], found["mean"]) == ("a", "micro_f1", pytest.approx(5))
    assert 1 <= found["low"] < 5 < found["high"] <= 10  # of two rows apart it would be about 12 wide on either side
    assert leads(lines[3])
    assert not leads(lines[0])


@pytest.mark.parametrize(("aware", "control"), [(60, "a"), (90, "aware")])
def test_a_row_that_is_given_labels_stands_beside_controls_without_them_too(aware, control):
    lines = [line("a", 80), line("aware", aware, LABEL_AWARE), line("mine", 85, LABEL_AWARE), line("blind", 75)]
    tests = [answers(a=80, aware=aware, mine=85, blind=75)]
    add_differences(lines, {x["row"] for x in lines}, {"a", "aware"}, "micro_f1", tests)
    assert [x["difference"]["to"] for x in lines[2:]] == [control, "a"]


def test_answers_that_were_not_kept_are_said():
    lines = [line("a", 70), line("b", 60), line("mine", 75), line("new", 75)]
    add_differences(lines, {x["row"] for x in lines}, {"a", "b"}, "macro_f1", [answers(a=70, b=60, new=75)])
    assert lines[2]["difference"] is None
    assert lines[3]["difference"]["to"] == "a"
    text = StringIO()
    Console(file=text, width=120).print(difference_table(lines, "data", "macro_f1", "test nodes"))
    assert "mine  │ -  " in text.getvalue()
    assert "was not kept" in text.getvalue()
    again = [line("a", 70), line("b", 60), line("new", 75)]
    add_differences(again, {"a", "b", "new"}, {"a", "b"}, "macro_f1", [answers(b=60, new=75)])
    assert again[2]["difference"] is None  # never against the second best
    assert difference_table(again[:1], "data", "macro_f1", "test nodes") is None


def test_several_columns_fit_a_screen():
    found = {
        "to": "label-aware-logistic (mean of 3 seeds)",
        "figure": "macro_f1",
        "mean": -10.25,
        "low": -12,
        "high": 1,
    }
    lines = [
        {"row": f"dysign-label-aware{mean}", "train_ratio": ratio, "difference": found}
        for mean in ("", " (mean of 3 seeds)")
        for ratio in (0.4, 0.6, 0.8)
    ]
    table = difference_table(lines, "data", "macro_f1", "test nodes", "train_ratio", "for training")
    text = StringIO()
    show(table, Console(file=text, width=120))
    first, second, third = [line.split() for line in text.getvalue().splitlines()[4:7]]
    assert first == ["│", "dysign-label-aware", *["│", "-10.2", "[-12.0,", "1.0]"] * 3, "│"]
    assert second == ["│", *["│", "label-aware-logistic"] * 3, "│"]
    assert third[1] == "dysign-label-aware"
    one = difference_table(lines[::3], "data", "macro_f1", "test nodes", "train_ratio", "for training")
    assert str(next(one.columns[1].cells)) == "-10.2 [-12.0, 1.0] label-aware-logistic"


@dataclass
class RunFolderAt:
    path: Path = Path()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return TemporalGraph.load(generated(tmp_path_factory.mktemp("means"), nodes=120))


def entry(labels, name, right, protocol=FEATURE_ONLY, learns=False, fixed=False):
    """Be right by chance, more often than not: by all labels, which a test may know."""

    def fit(view, **_):
        generator = torch.Generator().manual_seed(0 if fixed else view.seed)
        own = torch.nn.functional.one_hot(labels, view.num_classes)
        return Outcome((torch.rand(own.shape, generator=generator) + right * own).softmax(1))

    return Entry(name, fit, protocol, learns=learns, source={"entry": name})


class Undrawn(NodeTable):
    def draw(self, records, summary, folder):
        return []


def table(data, ensembles=False):
    entries = [
        entry(data.labels, "rule", 0.3, fixed=True),
        entry(data.labels, "noise", 0.1),
        entry(data.labels, "aware", 0.5, LABEL_AWARE),
        entry(data.labels, "mine", 0.4, learns=True),
        entry(data.labels, "mine-aware", 0.6, LABEL_AWARE, learns=True),
    ]
    splits = {(0.4, k): stratified_split(data.labels, 0.4, 42 + k) for k in range(2)}
    return Undrawn(NodeTask(data, NodeSettings()), entries, 2, splits, ensembles=ensembles)


@pytest.fixture(scope="module")
def plain(data, tmp_path_factory):
    return run(table(data), {}, RunOptions(run_dir=tmp_path_factory.mktemp("plain") / "run", quiet=True))


def test_means_of_seeds_are_rows_with_controls_of_their_own_and_cost_what_their_seeds_did(data, plain, tmp_path):
    shutil.copytree(plain.folder, tmp_path / "run")
    options = RunOptions(run_dir=tmp_path / "run", quiet=True, resume=True)
    lines = {x["row"]: x for x in run(table(data, ensembles=True), {}, options)}
    assert list(lines.values())[:5] == list(plain)
    means = [f"{name} (mean of 2 seeds)" for name in ("noise", "aware", "mine", "mine-aware")]
    assert list(lines)[5:] == means  # the rule says the same with each seed
    mine = lines["mine (mean of 2 seeds)"]
    assert mine["macro_f1"]["runs"] == 2
    assert mine["macro_f1"]["mean"] > lines["mine"]["macro_f1"]["mean"] + 1
    assert mine["cpu_seconds"] == pytest.approx(2 * lines["mine"]["cpu_seconds"])
    members = [UnitRecord("node", "a", "a", seed, [], cost={**COST, "macs": 3.0, "latency": 8.0}) for seed in (0, 1)]
    assert mean_cost(members) == {"cpu_seconds": 2 * COST["cpu_seconds"], "peak_rss_bytes": 1, "macs": 6.0}
    assert lines["mine"]["difference"]["to"] == mine["difference"]["to"] == "rule"
    assert lines["mine-aware (mean of 2 seeds)"]["difference"]["to"] == "aware (mean of 2 seeds)"
    for row in ("mine", "mine-aware", *means[2:]):
        found = lines[row]["difference"]
        expected = lines[row]["macro_f1"]["mean"] - lines[found["to"]]["macro_f1"]["mean"]
        assert found["mean"] == pytest.approx(expected)
        assert found["low"] < found["mean"] < found["high"]
    assert list(lines.values()) == summary(tmp_path / "run")
    record = read_units(tmp_path / "run")["mean2-0.4-split1-seed0-mine"]
    keys = [f"{x}-mine.prediction.npy" for x in ("0.4-split1-seed0", "0.4-split1-seed1", "mean2-0.4-split1-seed0")]
    kept = [np.load(tmp_path / "run" / "checkpoints" / key) for key in keys]
    assert kept[2] == pytest.approx((kept[0].astype(float) + kept[1]) / 2, abs=1e-3)
    *_, test = stratified_split(data.labels, 0.4, 43)
    right = kept[2].argmax(1) == data.labels[test].numpy()
    assert record.scorings[0].scores["micro_f1"] == pytest.approx(100 * right.mean())
    assert (record.seed, record.scorings[0].val_scores) == (-1, {})


def test_a_row_has_a_mean_on_all_splits_or_on_none_and_a_control_that_was_not_kept_is_said(data, tmp_path):
    def fit(view, **_):
        seed = view.seed if len(view.train) > 50 else 0  # on the small splits seeds do not differ
        return Outcome(torch.rand(len(view.labels), view.num_classes, generator=torch.Generator().manual_seed(seed)))

    entries = [entry(data.labels, "noise", 0.5), Entry("mine", fit, FEATURE_ONLY, learns=True)]
    splits = {(ratio, 0): stratified_split(data.labels, ratio, 42) for ratio in (0.4, 0.8)}
    table = Undrawn(NodeTask(data, NodeSettings()), entries, 2, splits, ensembles=True)
    shown = run(table, {}, RunOptions(run_dir=tmp_path / "run", quiet=True))
    assert [x["train_ratio"] for x in shown if x["row"] == "mine (mean of 2 seeds)"] == [0.4, 0.8]
    assert "(mean of 2 seeds)" in str(shown)
    array_file(tmp_path / "run", "0.4-split0-seed1-noise", "prediction").unlink()
    again = run(table, {}, RunOptions(run_dir=tmp_path / "run", quiet=True, resume=True))
    mine = [x["difference"] for x in again if x["row"] == "mine (mean of 2 seeds)"]
    assert mine == [None, None]  # neither the control's first seed nor another control takes the place of its mean


def test_a_run_of_an_earlier_version_is_resumed_without_differences(data, plain, tmp_path):
    shutil.copytree(plain.folder, tmp_path / "run", ignore=shutil.ignore_patterns("*.npy"))
    options = RunOptions(run_dir=tmp_path / "run", quiet=True, resume=True)
    shown = run(table(data, ensembles=True), {}, options)
    assert [x["difference"] for x in shown if "difference" in x] == [None, None]
    assert len(shown) == 5
    assert "was not kept" in " ".join(str(shown).split())


def test_links_are_compared_by_snapshot_and_by_kind_of_negatives():
    def record(name, seed, *curves):
        scorings = [
            Scoring(
                dict.fromkeys((*LinkTable.scores, "edges", "cold_edges"), np.mean(mrr)),
                dict.fromkeys(LinkTable.scores, 0.0),
                {"historical": share},
                "honest: in words",
                {"test": {"snapshot": [5, 6, 8], "mrr": mrr}},
            )
            for share, mrr in zip((0.0, 0.5), curves, strict=True)
        ]
        return UnitRecord("link", f"seed{seed}-{name}", name, seed, scorings, cost=COST)

    entries = [Entry(name, lambda view: None, learns=name == "mine") for name in ("degree", "trees", "mine")]
    records = [
        record(name, seed, *curves)
        for seed in range(2)
        for name, curves in (
            ("degree", ([50, 50, 50], [20, 20, 20])),
            ("trees", ([60, 60, 60 + seed], [10, 10, 10])),
            ("mine", ([61, 62, 63 + seed], [20, 30, 10])),
        )
    ]
    lines = LinkTable(None, entries, 2).summarise(RunFolderAt(), records)
    found = [x["difference"] for x in lines if "difference" in x]
    assert found[0] == {"to": "trees", "figure": "mrr", "mean": pytest.approx(2), "low": pytest.approx(1), "high": 3}
    assert (found[1]["to"], found[1]["mean"]) == ("degree", pytest.approx(0))
    assert (found[1]["low"], found[1]["high"]) == (pytest.approx(-10), pytest.approx(10))


def test_events_are_compared_by_what_was_kept_of_them(tmp_path):
    label, test = torch.tensor([1, 0, 1, 0, 0, 1, 0, 1, 0, 0]), torch.arange(2, 10)
    entries = [Entry(name, lambda view: None, learns=name == "mine") for name in ("never", "mine")]
    (tmp_path / "checkpoints").mkdir()
    for name, scores in (("never", torch.zeros(8)), ("mine", label[test] - torch.arange(8) / 4)):
        np.save(tmp_path / "checkpoints" / f"seed0-{name}.scores.npy", scores.numpy())
    scoring = Scoring(dict.fromkeys(EventTable.scores, 50.0), dict.fromkeys(EventTable.scores, 50.0))
    records = [UnitRecord("event", f"seed0-{x.name}", x.name, 0, [scoring], cost=COST) for x in entries]
    data = SimpleNamespace(manifest={"dataset": "made"})
    task = SimpleNamespace(label=label, parts=dict.fromkeys(("train", "val", "test"), test), data=data, split="events")
    never, mine = EventTable(task, entries, 1).summarise(RunFolderAt(tmp_path), records)
    assert "difference" not in never
    expected = 100 * roc_auc_score(label[test], label[test] - torch.arange(8) / 4) - 50
    assert (mine["difference"]["to"], mine["difference"]["figure"]) == ("never", "auc")
    assert mine["difference"]["mean"] == pytest.approx(expected)
    assert mine["difference"]["low"] <= expected <= mine["difference"]["high"]


def test_a_single_run_has_no_deviation_and_the_table_says_so():
    assert spread_text({"mean": 5.55, "std": 0.0, "runs": 1}) == "5.5"
    assert spread_text({"mean": 5.55, "std": 0.5, "runs": 2}, 2) == "5.55 ± 0.50"
    table = LinkTable(None, [], 1)
    assert table._runs([{"mrr": {"runs": 1}}]) == "one run, without a deviation"
    assert table._runs([{"mrr": {"runs": 3}}, {"mrr": {"runs": 1}}]) == "mean ± deviation over 3 runs"


def test_the_curves_over_time_are_of_all_that_is_no_control_and_of_some_controls(monkeypatch, tmp_path):
    shown = []
    monkeypatch.setattr(plots, "over_time", lambda curves, *_: shown.extend(curves))
    entries = [
        Entry("counting", print, over_time=True),
        Entry("edgebank", print),
        Entry("roland", print, learns=True, compares=True),
        Entry("mine", print, learns=True, stranger=True),
    ]
    scoring = Scoring({}, {}, by_snapshot={"test": {}})
    names = [*(entry.name for entry in entries), "mine (not verified)"]  # the last one is of a file
    task = SimpleNamespace(data=SimpleNamespace(manifest={"dataset": "d"}), protocol="honest")
    LinkTable(task, entries, 1)._more([UnitRecord("link", "", name, 0, [scoring], cost={}) for name in names], tmp_path)
    assert shown == ["counting", "mine", "mine (not verified)"]
