"""Appends that are killed at any moment, or that meet: the folder is the old or the new one; the same call goes on."""

import hashlib
import multiprocessing
import os
import shutil
import signal
import sys

import pytest

from data_prep import PrepareOptions, append, prepare
from data_prep.writer import check_prepared
from dgl_dysign.data.verify import verify
from dgl_dysign.errors import DataError
from tests.data_prep.brute import contents
from tests.data_prep.paused import paused

MOMENTS = int(os.environ.get("KILLED_MOMENTS", "6"))
"""So many of the moments at which a file is opened to be written, moved, linked or removed."""
_WRITES = ("open", "os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir")


@pytest.fixture
def folder(tmp_path):
    """A prepared folder with features, in a folder of its own, and tomorrow's events beside that."""
    (tmp_path / "today.csv").write_text("1,2,1\n2,3,1\n1,3,2\n1,2,4\n")
    (tmp_path / "tomorrow.csv").write_text("4,2,5\n1,5,7\n")
    options = PrepareOptions(features="spectral", dim=2, decay=0.7, time_unit="none")
    prepare("edges", tmp_path / "today.csv", tmp_path / "home/out", options)
    return tmp_path / "home/out"


def append_until(moment, home, tomorrow, count):
    """Append, and die at a moment; `count` has the number of moments so far."""

    def hook(event, arguments):
        writes = event != "open" or (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR))
        if event in _WRITES and writes and any(str(home) in str(each) for each in arguments):
            count.value += 1
            if count.value == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    append(home / "out", tomorrow)


def run(moment, home, tomorrow):
    """Append in a process of its own that is killed at a moment; return its exit code and the moments it saw."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.data_prep.test_appending_killed"])
    count = context.Value("i", 0)
    process = context.Process(target=append_until, args=(moment, home, tomorrow, count))
    process.start()
    process.join()
    return process.exitcode, count.value


def test_killed_at_any_moment_it_is_the_old_or_the_new_folder_and_goes_on(folder, tmp_path):
    old, tomorrow = contents(folder), tmp_path / "tomorrow.csv"
    shutil.copytree(tmp_path / "home", tmp_path / "first")
    status, total = run(0, tmp_path / "first", tomorrow)
    new = contents(tmp_path / "first/out")
    assert status == 0
    assert total > 30
    seen = set()
    for moment in sorted({1 + (total - 1) * step // (MOMENTS - 1) for step in range(MOMENTS)}):
        home = tmp_path / f"at{moment}"
        shutil.copytree(tmp_path / "home", home)
        status, _ = run(moment, home, tomorrow)
        assert status == -signal.SIGKILL
        check_prepared(home / "out", overwrite=True)  # the first thing that every command does
        now = contents(home / "out")
        assert now in (old, new)
        seen.add(now == new)
        append(home / "out", tomorrow)
        assert contents(home / "out") == new
        assert [path.name for path in home.iterdir()] == ["out"]
    assert seen == {False, True}
    assert verify(tmp_path / "first/out")["num_snapshots"] == 7


def test_of_two_appends_the_second_is_refused(folder, tmp_path):
    old, tomorrow = contents(folder), tmp_path / "tomorrow.csv"
    with paused(tmp_path / "gate", "edges.parquet", "append", folder, tomorrow, "-q") as first:
        with pytest.raises(DataError, match="another run writing it; wait"):
            append(folder, tomorrow)
        assert contents(folder) == old
        first.go_on()
        assert first.wait() == 0
    assert verify(folder)["parent"] == hashlib.sha256(old["manifest.json"]).hexdigest()
