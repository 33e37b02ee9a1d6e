"""The studies of figures that transfer: each names data that is prepared, and goes on with what is there."""

import itertools
import json

import _studies
import comparison
import front
import published_size
import pytest
import transfer

from dgl_dysign.experiments.resolve import list_rows


@pytest.mark.parametrize("script", [transfer, comparison, front, published_size])
def test_every_study_names_data_that_is_prepared_and_rows_that_are_there(script):
    known = {kind: {name for name, _ in list_rows(kind)} for kind in ("node", "link", "event")}
    for study, options in script.STUDIES.items():
        table, name, *more = options.split()
        assert "PREPARED" in _studies.DATA[name].split(), study
        rows = itertools.takewhile(lambda part: not part.startswith("--"), more[more.index("--rows") + 1 :])
        assert known[table.removesuffix("s")].issuperset(rows), study


def test_a_study_is_prepared_once_and_gone_on_with(tmp_path, monkeypatch, capsys):
    commands = []

    def command(tool, *options):
        commands.append((tool, *options))
        if tool == "dysign-prep":
            (tmp_path / "prepared" / "school").mkdir(parents=True)
        else:
            (tmp_path / "school").mkdir(exist_ok=True)
            (tmp_path / "school" / "summary.json").write_text('[{"row": "majority"}]')

    monkeypatch.setattr(_studies, "command", command)
    monkeypatch.setenv("DYSIGN_DATA", "raw")
    for _ in range(2):
        assert transfer.main([str(tmp_path), "--only", "school"]) == 0
        assert json.loads(capsys.readouterr().out) == {"study": "school", "row": "majority"}
    prepared = str(tmp_path / "prepared" / "school")
    assert commands[0] == ("dysign-prep", "dblp", "raw/school", prepared, "--snapshots", "50")
    assert commands[1][:5] == ("dysign-train", "nodes", prepared, "--run-dir", str(tmp_path / "school"))
    assert commands[2] == (*commands[1], "--resume")


def test_some_rows_of_a_study_may_be_run_first(capsys):
    assert comparison.main(["--only", "uci", "--rows", "roland", "wingnn", "--list"]) == 0
    assert capsys.readouterr().out == "uci: dysign-train links uci --seeds 3 --rows roland wingnn\n"
