"""One command for all benchmarks: what it keeps, and what it does with one that fails."""

import json

from benchmarks import run


def test_it_knows_every_benchmark():
    assert {"packed_spikes", "scaling", "neighbor_store", "leak"} < set(run.ALL)
    assert not {"run", "_studies", "transfer", "comparison"} & set(run.ALL)


def test_rows_and_machine_are_kept_and_resumed(tmp_path, monkeypatch, capsys):
    for name, text in (("good", "print('{}')"), ("bad", "print('{}')\nraise SystemExit(3)")):
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setattr(run, "HERE", tmp_path)
    monkeypatch.setattr(run, "ALL", ["bad", "good"])
    folder = tmp_path / "out"
    assert run.main([str(folder)]) == 1
    assert "bad ... failed with status 3" in capsys.readouterr().out
    assert (folder / "good.jsonl").read_text() == "{}\n"
    assert not (folder / "bad.jsonl").exists()
    assert json.loads((folder / "machine.json").read_text())["cores"] > 0
    (tmp_path / "bad.py").write_text("print(1)")
    assert run.main([str(folder), "--resume"]) == 0
    assert "good" not in capsys.readouterr().out
