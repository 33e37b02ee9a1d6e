"""The table of widths: its studies are commands, and it has what their runs hold."""

from dataclasses import replace
from types import SimpleNamespace

import projection_widths

from dgl_dysign.experiments import train, train_cli
from dgl_dysign.experiments.record import Scoring, UnitRecord
from dgl_dysign.experiments.run_folder import RunFolder


def test_the_options_of_a_study_are_those_of_the_command(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(projection_widths, "run", lambda study, line, *_: read.append((study, line)))
    projection_widths.main([str(tmp_path), "--only", "uci", "--widths", "16", "--seeds", "2"])
    assert read == [
        ("uci-exact", "links uci --walks exact --seeds 2 --references counting --rows undergs"),
        ("uci-16", "links uci --walks projected --projection-width 16 --seeds 2 --references counting --rows undergs"),
    ]
    asked = []
    monkeypatch.setattr(train, "run_links", lambda options: asked.append(options) or SimpleNamespace(show=list))
    for _, line in read:
        assert train_cli.main(["links", str(tmp_path), "--run-dir", "run", *line.split()[2:]]) in (None, 0)
    assert [(options.walks, options.projection_width) for options in asked] == [("exact", None), ("projected", 16)]


def test_the_table_has_the_difference_from_exact_walks(tmp_path, capsys):
    for kind, shift in {"exact": 0.0, "16": -2.0, "128": 1.0}.items():
        folder = RunFolder(tmp_path / f"otc-{kind}", {})
        for seed in range(2):
            mrr = [50.0 + seed + shift, 60.0 + seed + shift]
            scoring = Scoring({"mrr": sum(mrr) / 2}, by_snapshot={"test": {"snapshot": [4, 5], "mrr": mrr}})
            record = UnitRecord("link", f"seed{seed}-undergs", "undergs", seed, [scoring], cost={"cpu_seconds": 40.0})
            folder.save_unit(record.key, record.to_json())
            beside = replace(
                record, key=f"seed{seed}-edgebank", entry="edgebank", scorings=[replace(scoring, scores={"mrr": 9.0})]
            )
            folder.save_unit(beside.key, beside.to_json())
    projection_widths.main([str(tmp_path), "--only", "otc", "--table"])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")][2:]
    assert rows == [
        "| exact | 2 | 55.5 ± 0.7 | - | 40 |",
        "| 16 wide | 2 | 53.5 ± 0.7 | -2.0 [-2.0, -2.0] | 40 |",
        "| 128 wide | 2 | 56.5 ± 0.7 | +1.0 [1.0, 1.0] | 40 |",
    ]
