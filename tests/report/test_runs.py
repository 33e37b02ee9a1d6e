"""Run folders as the report reads them: what is there, and what is refused."""

import json

import pytest

from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.experiments.record import read_units
from dgl_dysign.files import read_sealed, sealed
from dgl_dysign.report.runs import read_runs
from tests.report.run_folders import event_run, link_run, node_run, study_run


def read(*paths):
    return list(read_runs(list(paths)))


def test_a_run_of_nodes(tmp_path):
    (run,) = read(node_run(tmp_path / "a"))
    assert (run.name, run.kind, run.dataset, run.generated, run.leaks) == ("a", "node", "dblp", False, False)
    assert (run.unfinished, run.warnings) == ("", [])
    first = run.results[0]
    assert (first.row, first.group, first.key) == ("dysign", "40 % for training", "0.4-split0-seed0-dysign")
    assert first.test == {"macro_f1": 71.0, "micro_f1": 75.0}
    assert first.val == {"macro_f1": 61.0}
    assert first.confusion == [[8, 2], [1, 9]]
    assert first.cost == {"cpu_seconds": 12.0, "peak_rss_bytes": 2.0**30}
    assert list(run.diagnostics) == ["0.4-split0-seed0-dysign"]


@pytest.mark.parametrize("write", [node_run, link_run, event_run, study_run])
def test_old_records_say_what_the_same_ones_written_today_say(write, tmp_path):
    old = write(tmp_path / "old")
    new = write(tmp_path / "new")
    for key, unit in read_units(old).items():
        (new / "units" / f"{key}.json").write_text(json.dumps({**unit.to_json(), "version": 1}))
    (before,), (after,) = read(old), read(new)
    assert before.results
    assert (after.kind, after.results) == (before.kind, before.results)


def test_a_leaking_run_on_generated_data_says_both(tmp_path):
    (run,) = read(link_run(tmp_path / "a"))
    assert (run.kind, run.dataset, run.generated, run.leaks) == ("link", "bitcoin-otc", True, True)
    assert run.warnings == ["leaking protocol: for reproduction only, never a result", "generated data"]
    assert [r.group for r in run.results] == ["0 % historical negatives", "50 % historical negatives"] * 2
    assert "cold_mrr" not in run.results[0].test


def test_a_leaking_run_is_known_by_its_config_before_its_first_unit(tmp_path):
    path = link_run(tmp_path / "a")
    for file in (path / "units").iterdir():
        file.unlink()
    (run,) = read(path)
    assert (run.results, run.leaks) == ([], True)


def test_an_unfinished_run_says_what_is_under_way(tmp_path):
    (run,) = read(event_run(tmp_path / "a"))
    assert run.kind == "event"
    assert run.unfinished == "it has no summary; under way: seed1-undergs"
    assert run.warnings == ["unfinished run"]
    assert run.results[0].history[0]["val_ap"] is None


def test_an_ablation_is_read_variant_by_variant(tmp_path):
    (run,) = read(study_run(tmp_path / "a"))
    assert (run.kind, run.dataset) == ("study", "not recorded")
    assert [(r.group, r.row, r.test["macro_f1"]) for r in run.results] == [
        ("latency", "2", 60.0), ("latency", "8", 70.0), ("latency", "2", 61.0), ("latency", "8", 70.0),
    ]  # fmt: skip


def test_runs_of_one_name_are_told_apart_by_their_parents(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    runs = read(node_run(tmp_path / "x" / "run"), node_run(tmp_path / "y" / "run"))
    assert [run.name for run in runs] == ["x/run", "y/run"]


def test_reading_changes_nothing(tmp_path):
    path = event_run(tmp_path / "a")
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    read(path)
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*")} == before


def test_the_same_run_twice_is_refused(tmp_path):
    path = node_run(tmp_path / "a")
    (tmp_path / "b").symlink_to(path)
    with pytest.raises(ConfigError, match="are the same run; name each run once"):
        read(path, tmp_path / "b")


@pytest.mark.parametrize(
    ("kind", "message"), [("none", "does not exist"), ("file", "is a file"), ("folder", "has no con")]
)
def test_what_is_no_run_is_refused(tmp_path, kind, message):
    path = tmp_path / "a"
    if kind == "file":
        path.write_text("")
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(ConfigError, match=message):
        read(path)


def test_another_config_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"name": "vite"}')
    with pytest.raises(ConfigError, match="has no config and versions"):
        read(tmp_path)


@pytest.mark.parametrize(
    "name", ["config.json", "units/0.4-split0-seed0-dysign.json", "diagnostics/0.4-split0-seed0-dysign.json"]
)
@pytest.mark.parametrize("text", ["", "{", "[]", "\ufeff{}", "\udcff"])
def test_a_damaged_file_is_named(tmp_path, name, text):
    path = node_run(tmp_path / "a")
    (path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=name):
        read(path)


@pytest.mark.parametrize("text", ["", "{", '{"a": 1}', "[1]"])
def test_a_damaged_summary_is_named(tmp_path, text):
    path = node_run(tmp_path / "a")
    (path / "summary.json").write_text(text)
    with pytest.raises(DataError, match=r"summary\.json: .*delete it and resume the run"):
        read(path)


@pytest.mark.parametrize(
    "change", [{"train_ratio": "much"}, {"row": None, "protocol": 3, "train_ratio": None}, {"history": 3}]
)
def test_a_record_of_another_shape_is_named(tmp_path, change):
    path = node_run(tmp_path / "a")
    file = path / "units" / "0.4-split0-seed0-dysign.json"
    file.write_text(json.dumps(sealed({**read_sealed(file), **change})))
    with pytest.raises(DataError, match=r"seed0-dysign.json: not the record of a unit"):
        read(path)


def test_diagnostics_of_another_version_are_refused(tmp_path):
    path = node_run(tmp_path / "a")
    (path / "diagnostics" / "x.json").write_text('{"schema": 2}')
    with pytest.raises(DataError, match="found schema 2, expected 1"):
        read(path)


@pytest.mark.parametrize("confusion", [3, [3], [{"about": "all", "classes": ["a"], "counts": [[1, 2]]}]])
def test_a_confusion_that_is_none_is_refused(confusion, tmp_path):
    path = event_run(tmp_path / "a")
    file = next((path / "diagnostics").glob("*.json"))
    file.write_text(json.dumps(sealed({**read_sealed(file), "confusion": confusion})))
    with pytest.raises(DataError, match="confusion is not as this version writes it; delete the file"):
        read(path)
