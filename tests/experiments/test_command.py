"""Data that options name, devices, and options that exclude each other."""

import os
import signal
import time
from contextlib import contextmanager
from types import SimpleNamespace
from typing import get_args

import pytest

from data_prep.options import DATASETS
from dgl_dysign.cli import App
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.experiments import command
from dgl_dysign.experiments.command import check_device, open_prepared
from dgl_dysign.experiments.options import FORMATS, LinkOptions, RawOptions
from dgl_dysign.training import distributed


@pytest.fixture
def raw(tmp_path):
    """Return a file of events of ten weeks among seven nodes."""
    file = tmp_path / "raw.csv"
    file.write_text("".join(f"{i % 7},{i % 5},{i * 100_000}\n" for i in range(60)))
    return file


def test_formats_are_commands_of_dysign_prep():
    assert set(get_args(FORMATS)) == set(DATASETS)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "pass one of the two"),
        ({"prepared": "folder", "raw": "x"}, "pass one of the two"),
        ({"prepared": "folder", "resume": True, "overwrite": True}, "pass one of them"),
        ({"prepared": "folder", "seeds": 0}, "--seeds must be at least 1, but got 0"),
        ({"prepared": "folder", "historical": [0.5, 1.5]}, r"--historical must lie in 0 .. 1, but got \[0.5, 1.5\]"),
        ({"prepared": "folder", "aggregators": ["gat", "median"]}, "--aggregators must be .*, but got 'median'"),
    ],
)
def test_options_that_lack_or_exclude(options, text):
    with pytest.raises(ConfigError, match=text):
        LinkOptions(run_dir="runs/first", **options)


@pytest.mark.parametrize("device", ["cuda:99", "toaster"])
def test_devices_that_are_not_there(device):
    check_device("cpu")
    with pytest.raises(ConfigError, match=rf"^--device {device} cannot be used here \(.*\); pass --device cpu$"):
        check_device(device)


def test_raw_files_are_prepared_once_and_again_if_asked(raw, tmp_path):
    def events(**options):
        return open_prepared(RawOptions(run_dir=tmp_path / "run", **options)).num_edges

    assert events(raw=raw) == 60
    raw.write_text("".join(raw.read_text().splitlines(keepends=True)[:50]))
    assert events(raw=raw, resume=True) == 60  # what is there
    with pytest.raises(DataError, match="run-prepared"):
        events(raw=raw)
    assert events(raw=raw, overwrite=True) == 50
    (folder,) = (entry for entry in tmp_path.iterdir() if entry != raw)
    assert folder.name == "run-prepared"
    assert events(prepared=folder) == 50
    raw.write_text("1,2,3\n4,x,5\n")
    with pytest.raises(DataError, match=r"raw\.csv"):
        events(raw=raw, overwrite=True)
    assert events(prepared=folder) == 50


@pytest.mark.parametrize("when", ["before", "after"])
def test_processes_that_are_not_all_there_are_one_line(when, monkeypatch, capsys):
    """Before the command begins, and where one waits for the others when its own work is done."""

    @contextmanager
    def processes():
        if when == "before":
            raise ConfigError("the processes did not find each other")
        yield SimpleNamespace(set=lambda *_: None, add=lambda *_: 1)
        raise distributed.LostProcess("process 1 lost the others")

    app = App("dysign-count", "Count.")
    app.command()(lambda: print("done"))
    monkeypatch.setattr(command, "processes", processes)
    with pytest.raises(SystemExit) as ended:
        command.run_together(app, [])
    assert ended.value.code == 2
    told = {"before": "the processes did not find each other", "after": "process 1 lost the others"}[when]
    assert capsys.readouterr().err == f"dysign-count: {told}\n"


@pytest.mark.parametrize("when", ["during", "after"])
def test_sigterm_ends_one_of_several_processes_with_one_line(when, monkeypatch, capsys):
    """`torchrun` sends it where another process was killed; a second one comes while the line is written."""

    def stopped():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    @contextmanager
    def processes():
        yield SimpleNamespace(set=lambda *_: None, add=lambda *_: os.kill(os.getpid(), signal.SIGTERM) or 1)
        stopped()

    app = App("dysign-count", "Count.")
    app.command()(stopped if when == "during" else lambda: None)
    monkeypatch.setattr(command, "processes", processes)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        command.run_together(app, [])
    assert ended.value.code == 130
    told = {"during": "interrupted", "after": "interrupted; start all of them again, with --resume"}[when]
    assert capsys.readouterr().err == f"dysign-count: {told}\n"
    assert signal.getsignal(signal.SIGTERM) is before
