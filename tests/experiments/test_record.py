"""Records of units: written and read without loss, those of old run folders too, without PyTorch or DGL."""

import json
import subprocess
import sys

import pytest

from dgl_dysign.errors import DataError
from dgl_dysign.experiments.record import Scoring, UnitRecord, read_units

NODE = {
    "row": "gcn", "protocol": "feature-only", "train_ratio": 0.4, "split": 42, "seed": 1, "key": "0.4-gcn",
    "macro_f1": 70.0, "val_macro_f1": 60.0, "cpu_seconds": 2.0, "peak_rss_bytes": 9, "confusion": [[1]],
    "history": [{"epoch": 0, "loss": 1.0}], "decay": 0.3,
}  # fmt: skip
FIGURES = {
    "historical": 0.5, "protocol": "honest", "mrr": 50.0, "val_mrr": 40.0, "cold_mrr": None,
    "by_snapshot": {"snapshot": [3], "mrr": [50.0]}, "val_by_snapshot": {"snapshot": [2], "mrr": [40.0]},
}  # fmt: skip
LINK = {"row": "undergs", "key": "seed2-undergs", "seed": 2, "figures": [FIGURES], "cpu_seconds": 3.0}
EVENT = {"row": "undergs", "seed": 0, "key": "seed0-undergs", "recall_at_1pct": 20.0, "val_auc": 9.0}
SPIKING = {"scores": {"latency|2": {"macro_f1": 6.0}, "latency|8": {"macro_f1": 7.0}}, "seed": 1}
BASE = {"key": "base", "seed": 0, "scores": {"mrr": 5.0, "val_mrr": 4.0, "cpu_seconds": 1.0}}
BASE["by_snapshot"] = {"mrr": [5.0], "val_mrr": [4.0]}


def test_records_are_written_and_read_without_loss():
    scoring = Scoring({"mrr": 5.0}, {"mrr": 4.0}, {"historical": 0.5}, "honest", {"test": {"mrr": [5.0]}}, [[1, 0]])
    record = UnitRecord("link", "k", "undergs", 3, [scoring], [{"epoch": 0}], {"cpu_seconds": 1.0}, {"decay": 0.1})
    assert UnitRecord.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_records_of_version_0_are_read_as_what_they_are():
    node, link, event, spiking, base = (UnitRecord.from_json(r, "file") for r in (NODE, LINK, EVENT, SPIKING, BASE))
    assert [r.kind for r in (node, link, event, spiking, base)] == ["node", "link", "event", "study", "study"]
    assert [r.key for r in (node, link, event, spiking, base)] == [
        "0.4-gcn", "seed2-undergs", "seed0-undergs", "file", "file",
    ]  # fmt: skip
    condition = {"train_ratio": 0.4, "split": 42}
    assert node.scorings == [Scoring({"macro_f1": 70.0}, {"macro_f1": 60.0}, condition, "feature-only", {}, [[1]])]
    assert (node.seed, node.entry, node.history, node.extra) == (1, "gcn", NODE["history"], {"decay": 0.3})
    assert node.cost == {"cpu_seconds": 2.0, "peak_rss_bytes": 9}
    over_time = {"val": FIGURES["val_by_snapshot"], "test": FIGURES["by_snapshot"]}
    assert link.scorings == [Scoring({"mrr": 50.0}, {"mrr": 40.0}, {"historical": 0.5}, "honest", over_time)]
    assert event.scorings == [Scoring({"recall_at_1pct": 20.0}, {"auc": 9.0})]
    assert [(s.condition["variant"], s.scores) for s in spiking.scorings] == [
        ("2", {"macro_f1": 6.0}), ("8", {"macro_f1": 7.0}),
    ]  # fmt: skip
    assert base.entry == "base"
    assert base.cost == {"cpu_seconds": 1.0}
    assert base.scorings == [
        Scoring({"mrr": 5.0}, {"mrr": 4.0}, by_snapshot={"val": {"mrr": [4.0]}, "test": {"mrr": [5.0]}})
    ]
    assert UnitRecord.from_json({"loss": 1.0}, "file").kind == "other"


def test_a_folder_is_read_in_order_of_keys_and_a_damaged_file_named(tmp_path):
    (tmp_path / "units").mkdir()
    for key, text in (("b", json.dumps(NODE)), ("a", json.dumps(EVENT).replace("9.0", "NaN"))):
        (tmp_path / "units" / f"{key}.json").write_text(text)
    units = read_units(tmp_path)
    assert list(units) == ["a", "b"]
    assert units["a"].scorings[0].val_scores == {}
    for text, words in (
        ("{", "not readable as JSON"),
        ("[]", "found a JSON list"),
        ('{"row": "gcn", "train_ratio": 0.4}', r"not the record of a unit \(KeyError"),
        ('{"version": 1}', "not the record of a unit"),
        ('{"version": 2}', "found a unit of version 2, expected 1 at most"),
    ):
        (tmp_path / "units" / "a.json").write_text(text)
        with pytest.raises(DataError, match=rf"a\.json: {words}"):
            read_units(tmp_path)


@pytest.mark.parametrize(
    ("place", "odd", "words"),
    [
        (("kind",), "none", "found kind='none', expected one of node, link"),
        (("entry",), 3, "found entry=3, expected str"),
        (("seed",), [], r"found seed=\[\], expected int"),
        (("scorings",), [], "found no scorings"),
        (("history",), [[]], r"found \[\] in history, expected an object"),
        (("history", 0, "loss"), "low", "found loss='low', expected a number"),
        (("cost", "cpu_seconds"), 10**400, "int too large to convert to float"),
        (("scorings", 0, "protocol"), 5, "found protocol=5, expected str"),
        (("scorings", 0, "condition"), {"split": []}, "unhashable type"),
        (("scorings", 0, "scores", "mrr"), "", "found '' where a number is expected"),
        (("scorings", 0, "by_snapshot", "test", "mrr", 0), None, r"found \[None\], expected a list of numbers"),
        (("scorings", 0, "confusion", 0, 0), "many", "found 0='many', expected a number"),
    ],
)
def test_what_one_cannot_compute_with_is_refused(place, odd, words):
    scoring = Scoring({"mrr": 5.0}, {"mrr": 4.0}, {"historical": 0.5}, "honest", {"test": {"mrr": [5.0]}}, [[1, 0]])
    record = UnitRecord("link", "k", "undergs", 3, [scoring], [{"loss": 1.0}], {"cpu_seconds": 1.0}).to_json()
    inner = record
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = odd
    with pytest.raises(DataError, match=rf"not the record of a unit \(\w+: {words}"):
        UnitRecord.from_json(record)


def test_a_figure_or_cost_that_is_none_is_not_there():
    record = UnitRecord(
        "link", "k", "undergs", 3, [Scoring({"mrr": 5.0, "ap": None}, {"mrr": None})], cost={"macs": None}
    )
    read = UnitRecord.from_json(record.to_json())
    assert (read.scorings[0].scores, read.scorings[0].val_scores, read.cost) == ({"mrr": 5.0}, {}, {})


def test_neither_pytorch_nor_dgl_is_imported():
    code = "import sys, dgl_dysign.experiments.record; sys.exit('torch' in sys.modules or 'dgl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
