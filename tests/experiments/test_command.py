"""Options, data, progress and exit statuses of trainers."""

import argparse
from pathlib import Path

import pytest

from data_prep.options import DATASETS
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.experiments.command import (
    FORMATS,
    add_data_options,
    add_run_options,
    check_device,
    open_prepared,
    progress_bar,
    run_command,
)


def parser_of(**options):
    parser = argparse.ArgumentParser()
    add_data_options(parser, **options)
    add_run_options(parser)
    return parser


def parsed(argv, **options):
    return parser_of(**options).parse_args(list(map(str, argv)))


FIRST = ["folder", "--run-dir", "runs/first"]


@pytest.fixture
def raw(tmp_path):
    """Return a file of events of ten weeks among seven nodes."""
    file = tmp_path / "raw.csv"
    file.write_text("".join(f"{i % 7},{i % 5},{i * 100_000}\n" for i in range(60)))
    return file


def test_formats_are_commands_of_dysign_prep():
    assert set(FORMATS) == set(DATASETS)


def test_options_and_their_defaults(tmp_path):
    args = vars(parsed(["folder", "--run-dir", tmp_path]))
    usual = {"raw": None, "format": "edges", "device": "cpu", "resume": False, "overwrite": False, "quiet": False}
    assert args == {**usual, "prepared": Path("folder"), "run_dir": tmp_path}
    assert parsed(["--raw", "x", "--run-dir", "y"], formats=("reddit", "dblp")).format == "reddit"
    parser = argparse.ArgumentParser()
    add_run_options(parser, device=None, quiet=None)
    assert vars(parser.parse_args(["--overwrite"])) == {"resume": False, "overwrite": True}


@pytest.mark.parametrize(
    ("argv", "options"),
    [
        (["--run-dir", "y"], {}),
        (["folder"], {}),
        (["folder", "--raw", "x", "--run-dir", "y"], {}),
        (["--raw", "x", "--run-dir", "y"], {"formats": ()}),
        (["--raw", "x", "--run-dir", "y", "--format", "dblp"], {"formats": ("reddit",)}),
    ],
)
def test_command_lines_that_lack_or_exclude(argv, options):
    with pytest.raises(SystemExit) as stop:
        parsed(argv, **options)
    assert stop.value.code == 2


@pytest.mark.parametrize("device", ["cuda:99", "toaster"])
def test_devices_that_are_not_there(device):
    check_device("cpu")
    with pytest.raises(ConfigError, match=rf"^--device {device} cannot be used here \(.*\); pass --device cpu$"):
        check_device(device)


def test_raw_files_are_prepared_once_and_again_if_asked(raw, tmp_path):
    argv = ["--raw", raw, "--run-dir", tmp_path / "run"]
    assert open_prepared(parsed(argv)).num_edges == 60
    raw.write_text("".join(raw.read_text().splitlines(keepends=True)[:50]))
    assert open_prepared(parsed([*argv, "--resume"])).num_edges == 60  # what is there
    with pytest.raises(DataError, match="run-prepared"):
        open_prepared(parsed(argv))
    assert open_prepared(parsed([*argv, "--overwrite"])).num_edges == 50
    (folder,) = (entry for entry in tmp_path.iterdir() if entry != raw)
    assert folder.name == "run-prepared"
    assert open_prepared(parsed([folder, "--run-dir", "y"], formats=())).num_edges == 50
    assert open_prepared(parsed([folder, "--run-dir", "y"])).num_edges == 50


def test_raw_files_that_cannot_be_read_are_one_error(raw, tmp_path, capsys):
    raw.write_text("1,2,3\n4,x,5\n")
    argv = ["--raw", str(raw), "--run-dir", str(tmp_path / "run")]
    assert run_command("count", open_prepared, parser_of(), argv) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [raw]


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("quiet", [False, True])
def test_a_bar_where_somebody_watches(watched, quiet, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: watched)
    assert progress_bar(quiet).disable is (quiet or not watched)


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (ConfigError("epochs must be at least 1"), 2, "count: epochs must be at least 1\n"),
        (FileNotFoundError(2, "No such file", "x"), 2, "count: [Errno 2] No such file: 'x'\n"),
        (KeyboardInterrupt(), 130, "interrupted; go on with: --run-dir runs/first --resume\n"),
    ],
)
def test_errors_are_one_line_and_a_status(error, status, text, capsys):
    def run(_):
        raise error

    assert run_command("count", run, parser_of(), FIRST) == status
    assert capsys.readouterr() == ("", text)


def test_mistakes_pass_and_what_works_is_status_0(capsys):
    with pytest.raises(ZeroDivisionError):
        run_command("count", lambda _: 1 / 0, parser_of(), FIRST)
    seen = []
    assert run_command("count", seen.append, parser_of(), FIRST) == 0
    assert seen == [parsed(FIRST)]
    assert capsys.readouterr() == ("", "")
