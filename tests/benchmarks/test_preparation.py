"""The benchmark measures what it says: all rows prepared, the peer on the same files, one snapshot read alone."""

import json
import sys

from benchmarks import preparation


def test_a_small_run(capsys, tmp_path, commands, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(commands / "python"))
    preparation.main(["--scale", "0.01", "--runs", "1", "--only", "patent", "--raw", str(tmp_path)])
    prepared, read = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    lines = (tmp_path / "patent" / "patent_edges.json").read_text().count("\n")
    assert prepared["rows"] == lines
    assert prepared["data"] == "patent, generated"
    assert 0 < read["rows"] < lines
    assert read["milliseconds"] > 0
