"""Tables of the report: means and spread, and what is said about them."""

import json
from dataclasses import replace

from dgl_dysign.experiments.record import UnitRecord
from dgl_dysign.report import tables
from dgl_dysign.report.runs import read_runs
from tests.report.run_folders import HONEST, compared_run, event_run, link_run, node_run, study_run


def plain(rows):
    """Return rows with ordinary spaces."""
    return [[cell.replace("\u00a0", " ") for cell in row] for row in rows]


def one(path):
    (run,) = read_runs([path])
    return run


def test_figures_have_mean_and_sample_deviation_over_seeds(tmp_path):
    table = tables.figures(one(node_run(tmp_path / "a")), "40 % for training")
    assert table.head == [
        "row", "runs", "test Macro-F1 in %", "test Micro-F1 in %", "validation Macro-F1 in %", "CPU s", "peak MiB",
    ]  # fmt: skip
    assert plain(table.rows) == [  # the best on validation first
        ["dysign", "2", "72.0 ± 1.4", "75.0 ± 0.0", "61.0 ± 0.0", "12", "1024"],
        ["relu-network", "2", "71.0 ± 1.4", "75.0 ± 0.0", "60.0 ± 0.0", "12", "1024"],
    ]
    assert table.note.startswith("Mean ± sample standard deviation over 2 runs")
    assert "Protocol: feature-only" in table.note


def test_differences_stand_beside_the_figures(tmp_path):
    table = tables.figures(one(compared_run(tmp_path / "a")), "40 % for training")
    assert table.head[-4:] == ["validation Macro-F1 in %", "against best control", "CPU s", "peak MiB"]
    assert [row[-3] for row in table.rows] == ["+1.0 [0.2, 1.5] relu-network", "-"]
    assert "Differences are those of the first figure: mean [95 % interval]" in table.note


def test_one_seed_has_no_spread_and_says_so(tmp_path):
    table = tables.figures(one(link_run(tmp_path / "a")), "50 % historical negatives")
    assert table.rows[0][:4] == ["undergs", "1", "60.0", "90.0"]
    assert table.note.startswith("One seed: one run of each row, so there is no spread")
    assert "LEAKS" in table.note
    assert table.warnings == ["leaking protocol: for reproduction only, never a result", "generated data"]


def test_rows_with_other_numbers_of_runs_are_counted(tmp_path):
    path = node_run(tmp_path / "a")
    (path / "units" / "0.4-split0-seed1-dysign.json").unlink()
    table = tables.figures(one(path), "40 % for training")
    assert [row[:3] for row in plain(table.rows)] == [["dysign", "1", "71.0"], ["relu-network", "2", "71.0 ± 1.4"]]
    assert "over 1 to 2 runs" in table.note


def test_runs_stand_side_by_side_with_their_marks(tmp_path):
    runs = list(read_runs([link_run(tmp_path / "a", "bitcoin-otc", HONEST, 2), link_run(tmp_path / "b")]))
    table = tables.side_by_side(runs)
    assert table.title == "Test MRR in %"
    assert plain(table.rows)[0] == ["undergs", "60.5 ± 0.7 (2)", "60.5 ± 0.7 (2)", "60.0 (1)", "60.0 (1)"]
    assert "leaking" not in table.head[1]
    assert "leaking protocol" in table.head[3]
    assert "generated data" in table.head[3]


def test_what_was_chosen_stands_against_the_defaults_once_a_split(tmp_path):
    path = node_run(tmp_path / "a")
    assert tables.choices(one(path)) == []
    choice = {
        "chosen": {"decay": 0.9, "hops": [0, 1, 2], "hidden": 64, "steps": 4}, "chosen_value": 75.04,
        "defaults": {"decay": 0.1, "hops": [0, 1], "hidden": 64}, "defaults_value": 70.0, "error": 1.26,
        "level": 2, "compared": 4, "cpu_seconds": 90.4, "fits": 6.0, "validated": "1404 validation nodes",
    }  # fmt: skip
    for file in (path / "units").glob("*-dysign.json"):
        unit = UnitRecord.from_json(json.loads(file.read_text()), file.stem)
        file.write_text(json.dumps(replace(unit, extra={"choice": choice}, version=1).to_json()))
    (table,) = tables.choices(one(path))
    assert table.rows == [
        ["dysign", "40 % for training", "decay 0.9 (0.1); hops 0, 1, 2 (0, 1); steps 4", "75.0", "70.0", "1.3",
         "2 of 4", "90 (6 fits)", "1404 validation nodes"]
    ]  # fmt: skip
    kept = {**choice, "chosen": {}, "defaults": {}}
    file.write_text(json.dumps(replace(unit, extra={"choice": kept}, version=1).to_json()))
    assert {row[2] for row in tables.choices(one(path))[0].rows} == {"the defaults", table.rows[0][2]}


def test_only_settings_that_differ_are_listed(tmp_path):
    runs = list(read_runs([node_run(tmp_path / "a"), node_run(tmp_path / "b", hidden=16)]))
    assert tables.differences(runs).rows == [["settings.hidden", "8", "16"]]
    assert tables.differences(runs[:1] * 2).rows == []


def test_the_overview_says_what_each_run_is(tmp_path):
    paths = [event_run(tmp_path / "a"), study_run(tmp_path / "b"), link_run(tmp_path / "c")]
    rows = tables.overview(list(read_runs(paths))).rows
    assert rows[0][:4] == [
        "a",
        "wikipedia",
        "labels of events",
        "unfinished: it has no summary; under way: seed1-undergs",
    ]
    assert rows[1][:6] == ["b", "not recorded", "study of settings", "finished", "2", "2"]
    assert rows[2][1:3] == ["bitcoin-otc (generated data)", "links"]
    assert rows[2][6].startswith("LEAKS")
    assert [row[7] for row in rows] == ["-", "-", "-"]
    run = one(compared_run(tmp_path / "d"))
    assert (tables.overview([run]).rows[0][7], tables.overview([run]).note) == ("1 above", "")
    (found,) = run.differences.values()
    run = replace(run, differences=run.differences | {("dysign", "80 % for training"): {**found, "low": -1.0}})
    table = tables.overview([run])
    assert table.rows[0][7] == "1 above, 1 level"
    assert table.note.endswith("a row counts once for each share for training or kind of negatives.")


def test_small_figures_keep_their_digits():
    assert plain([[str(tables.spread([0.123, 0.125]))]]) == [["0.12 ± 0.00"]]
    assert str(tables.spread([88.04])) == "88.0"


def test_config_is_flat_and_whole(tmp_path):
    table = tables.settings(one(node_run(tmp_path / "a")))
    assert ["prepared.files.edges.parquet", "ab" * 32] in table.rows
    assert ["settings.hidden", "8"] in table.rows
