import json
import sys

import pytest

from data_prep import describe
from dgl_dysign.data import schema
from dgl_dysign.errors import BackendError


@pytest.fixture
def out(raw, tmp_path, prep):
    assert prep("dblp", raw, tmp_path / "out", "--features", "none", "-q") == (0, "", "")
    return tmp_path / "out"


def test_each_snapshot_is_counted(out):
    found = describe.describe(out)
    assert found.labelled == 3
    rows = [{key: row[key] for key in ("events", "active", "new", "seen", "classes")} for row in found.snapshots]
    assert rows == [
        {"events": 3, "active": 3, "new": 3, "seen": 3, "classes": [1, 1]},
        {"events": 1, "active": 2, "new": 0, "seen": 3, "classes": [1, 0]},
        {"events": 0, "active": 0, "new": 0, "seen": 3, "classes": [0, 0]},
        {"events": 2, "active": 2, "new": 1, "seen": 4, "classes": [0, 2]},
    ]
    assert found.counts()[1] == ("num_edges", 6, 236894)
    assert json.loads(json.dumps(found.to_json()))["published"]["num_nodes"] == 28085


def test_the_command_draws_a_picture_and_leaves_the_folder_good(out, prep, tmp_path):
    status, text, errors = prep("describe", out)
    assert (status, errors) == (0, "")
    assert "236,894" in text
    assert "-236,888" in text
    assert (out / "describe.png").read_bytes().startswith(b"\x89PNG")
    schema.verify(out)
    status, text, errors = prep("describe", out, "--png", tmp_path / "a.png", "--json")
    assert json.loads(text)["png"] == str(tmp_path / "a.png")
    assert (tmp_path / "a.png").exists()
    assert prep("describe", out, "--quiet") == (0, "", "")


def test_many_snapshots_are_shortened(tmp_path, raw, prep):
    (raw / "dblp.txt").write_text("".join(f"0 {t % 4} {t}\n" for t in range(100)))
    prep("dblp", raw, tmp_path / "out", "--features", "none")
    _, text, _ = prep("describe", tmp_path / "out")
    assert "…" in text
    assert len(text.splitlines()) < 70


def test_a_folder_that_is_none_is_refused(tmp_path, prep):
    status, text, errors = prep("describe", tmp_path)
    assert (status, text) == (2, "")
    assert "found no manifest.json, expected a prepared folder" in errors
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_it_says_what_to_install(out, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(BackendError, match=r"dgl-dysign\[viz\]"):
        describe.draw(describe.describe(out), out / "describe.png")
