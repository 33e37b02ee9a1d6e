"""The studies of figures that transfer: each names data that is prepared, and goes on with what is there."""

import json

from benchmarks import transfer


def test_every_study_names_data_that_is_prepared():
    for study, options in transfer.STUDIES.items():
        table, name = options.split()[:2]
        assert table in ("nodes", "links"), study
        assert name in transfer.DATA, study
        assert "PREPARED" in transfer.DATA[name].split()


def test_a_study_is_prepared_once_and_gone_on_with(tmp_path, monkeypatch, capsys):
    commands = []

    def command(tool, *options):
        commands.append((tool, *options))
        if tool == "dysign-prep":
            (tmp_path / "prepared" / "school").mkdir(parents=True)
        else:
            (tmp_path / "school").mkdir(exist_ok=True)
            (tmp_path / "school" / "summary.json").write_text('[{"row": "majority"}]')

    monkeypatch.setattr(transfer, "command", command)
    monkeypatch.setenv("DYSIGN_DATA", "raw")
    for _ in range(2):
        assert transfer.main([str(tmp_path), "--only", "school"]) == 0
        assert json.loads(capsys.readouterr().out) == {"study": "school", "row": "majority"}
    prepared = str(tmp_path / "prepared" / "school")
    assert commands[0] == ("dysign-prep", "dblp", "raw/school", prepared, "--snapshots", "50")
    assert commands[1][:5] == ("dysign-train", "nodes", prepared, "--run-dir", str(tmp_path / "school"))
    assert commands[2] == (*commands[1], "--resume")
