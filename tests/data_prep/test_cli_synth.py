import json
import signal
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from data_prep.cli import synth_app
from data_prep.synth import FORMATS
from dgl_dysign.errors import ConfigError, DataError
from tests.data_prep.paused import paused
from tests.processes import PATIENCE

NAMES = ("dblp", *FORMATS)


@pytest.fixture
def synth():
    """Run ``dysign-prep synth``: its output; errors are raised as they reach the command."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.add_typer(synth_app, name="synth")
    app.command("other")(lambda: None)

    def run(*arguments):
        result = CliRunner().invoke(app, ["synth", *map(str, arguments)], catch_exceptions=False)
        return result.exit_code, result.stdout, result.stderr

    return run


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", NAMES)
def test_every_format_has_a_command_with_help_and_an_example_that_works(name, synth, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    status, text, _ = synth(name, "--help")
    assert status == 0
    (example,) = (line.split("Example: dysign-prep synth ")[1] for line in text.splitlines() if "Example:" in line)
    scale = FORMATS[name].default_scale if name in FORMATS else 1
    smaller = example.replace(f"--scale {scale:g}", "--events 500")
    assert synth(*smaller.split(), "--json")[0] == 0
    assert (Path(smaller.split()[1]) / "synth.json").exists()


def test_forms_are_offered_where_there_are_some(synth, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert "[spikenet|nber|snap]" in synth("patent", "--help")[1]
    assert "--form" not in synth("tmall", "--help")[1]


def test_counts_are_printed_as_a_table_or_as_json_or_not_at_all(synth, tmp_path):
    status, text, errors = synth("tmall", tmp_path / "a", "--events", 1234)
    assert (status, errors) == (0, "")
    assert "1,234" in text
    counts = json.loads(synth("tmall", tmp_path / "b", "--events", 1234, "--json")[1])
    expected = {"nodes": 148, "events": 1234, "steps": 186, "classes": 5, "labelled": 21, "path": str(tmp_path / "b")}
    assert counts == expected
    assert synth("tmall", tmp_path / "c", "--events", 1234, "--quiet") == (0, "", "")
    assert contents(tmp_path / "a") == contents(tmp_path / "b") == contents(tmp_path / "c")


def test_scale_seed_form_parts_and_compression_reach_the_generator(synth, tmp_path):
    options = ("--scale", 0.0001, "--form", "nber", "--seed", 3, "--parts", 2, "--compress", "zst", "-q")
    assert synth("patent", tmp_path / "out", *options) == (0, "", "")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "cite75_99-000.txt.zst", "cite75_99-001.txt.zst", "apat63_99.txt", "synth.json",
    }  # fmt: skip
    said = json.loads((tmp_path / "out" / "synth.json").read_text())
    assert (said["generator"], said["scale"], said["form"], said["seed"], said["parts"], said["compress"]) == (
        "patent", 0.0001, "nber", 3, 2, "zst",
    )  # fmt: skip


def test_dblp_keeps_its_options(synth, tmp_path):
    options = ("--nodes", 100, "--steps", 5, "--classes", 3, "--events-per-step", 60, "--seed", 2, "--json")
    made = json.loads(synth("dblp", tmp_path / "out", *options)[1])
    assert (made["nodes"], made["steps"], made["classes"]) == (100, 5, 3)
    said = json.loads((tmp_path / "out" / "synth.json").read_text())
    assert (said["generator"], said["events_per_step"], said["seed"]) == ("dblp", 60, 2)
    assert synth("dblp", tmp_path / "parts", "--parts", 2, "--compress", "gz", "-q")[0] == 0
    assert len(list((tmp_path / "parts").glob("dblp-00?.txt.gz"))) == 2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("tmall", "--scale", 2), ConfigError, "scale: found 2.0"),
        (("tmall", "--scale", 0.1, "--events", 1000), ConfigError, "found both"),
        (("tmall", "--form", "nber"), ConfigError, "form: found 'nber', expected none"),
        (("patent", "--form", "dblp"), ConfigError, "expected spikenet, nber, snap"),
        (("tmall", "--events", 1000, "--parts", 0), ConfigError, "parts: found 0, expected 1 to 1000"),
        (("tmall", "--events", 1000, "--compress", "rar"), ConfigError, "compress: found 'rar'"),
        (("dblp", "--nodes", 5), ConfigError, "nodes: found 5"),
        (("dblp", "--parts", 0), ConfigError, "parts: found 0"),
    ],
)
def test_impossible_requests_leave_nothing_behind(arguments, error, message, synth, tmp_path):
    with pytest.raises(error, match=message):
        synth(arguments[0], tmp_path / "deep" / "out", *arguments[1:])
    assert list(tmp_path.iterdir()) == []


def test_only_folders_of_its_own_are_replaced_and_only_when_asked(synth, tmp_path):
    assert synth("college-msg", tmp_path / "out", "--events", 500, "-q")[0] == 0
    before = contents(tmp_path / "out")
    with pytest.raises(DataError, match="existing path"):
        synth("college-msg", tmp_path / "out", "--events", 600)
    assert contents(tmp_path / "out") == before
    assert synth("college-msg", tmp_path / "out", "--events", 600, "--overwrite", "-q")[0] == 0
    assert contents(tmp_path / "out") != before
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "CollegeMsg.txt").write_text("1 2 3\n")
    with pytest.raises(DataError, match=r"no synth\.json of ours"):
        synth("college-msg", tmp_path / "real", "--overwrite")
    assert contents(tmp_path / "real") == {"CollegeMsg.txt": b"1 2 3\n"}


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_leaves_no_folder_and_the_next_one_succeeds(stop, synth, tmp_path):
    home = tmp_path / "home"
    arguments = ("stack-overflow", home / "out", "--events", 500, "--parts", 2)
    with paused(tmp_path / "gate", "sx-stackoverflow-001.txt", "synth", *arguments) as process:
        assert [path.stat().st_size > 0 for path in home.glob(".out.new/*")] == [True]
        process.send_signal(stop)
        assert process.wait(PATIENCE) != 0
    assert not (home / "out").exists()
    if stop == signal.SIGINT:
        assert [path.name for path in tmp_path.iterdir()] == ["gate"]
    assert synth("stack-overflow", home / "out", "--events", 500, "-q")[0] == 0
    assert [path.name for path in home.iterdir()] == ["out"]
