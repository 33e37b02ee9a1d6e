"""Trainers under ``torchrun``: one message and no hang, whatever happens to whom; killed and resumed, same figures."""

import os
import re
import signal
import subprocess
import time
from functools import partial

import pytest

from dgl_dysign.experiments import RunFolder
from dgl_dysign.experiments.train import train_nodes
from dgl_dysign.files import read_sealed
from dgl_dysign.training import distributed
from tests.examples.runs import figures, histories
from tests.generated import generated
from tests.processes import together

OPTIONS = [
    *("--hidden", "16", "--latency", "4", "--seeds", "1", "--train-ratio", "0.4", "--rows", "dysign"),
    *("--no-choice", "--quiet"),
]
# The example, with something that happens after an epoch; counted from 1.
FIRST = 'count == 1 and os.environ["RANK"] == "1"'
SCRIPT = """
import os, sys, time
from dgl_dysign.errors import DataError
from dgl_dysign.experiments.entry import Entry
from tests.examples.runs import load
fitted, count = Entry.fitted, 0

def watched(entry, view, checkpoint, on_epoch):
    def happens(epoch):
        global count
        count += 1
        if {when}:
            {what}
        on_epoch(epoch)
    return fitted(entry, view, checkpoint, happens)

Entry.fitted = watched
sys.exit(load("dysign_node_classification").main())
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return generated(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def pair():
    with together(2) as found:
        yield found


@pytest.fixture
def torchrun(commands, tmp_path):
    return partial(run_two, commands, tmp_path)


def run_two(commands, home, when, what, *options):
    """Start two processes of the example, and let something happen to them."""
    script = home / "script.py"
    script.write_text(SCRIPT.format(when=when, what=what))
    environment = {**os.environ, "PYTHON_EXEC": str(commands / "python")}
    command = [commands / "torchrun", "--standalone", "--nproc-per-node", "2", str(script)]
    return subprocess.Popen([*command, *map(str, options)], env=environment, text=True, stderr=subprocess.PIPE)


def ours(error):
    """Return the lines that are not torchrun's report."""
    report = error.index("torch/distributed/elastic") if "torch/distributed/elastic" in error else len(error)
    return [line for line in error[:report].splitlines()[:-1] if line.strip()]


def test_an_error_of_one_process_is_one_line_and_ends_all(prepared, torchrun, tmp_path):
    error = 'raise DataError("features/00005.parquet: cut short; prepare it again")'
    process = torchrun(FIRST, error, prepared, "--run-dir", tmp_path / "run", *OPTIONS, "--epochs", "3")
    told = process.communicate(timeout=120)[1]
    assert process.returncode == 1  # torchrun's own; of the process:
    assert re.search(r"exitcode +: 2 ", told)
    assert ours(told) == ["dysign_node_classification: features/00005.parquet: cut short; prepare it again"]
    assert "traceback : DataError: features/00005.parquet: cut short" in told  # the last thing on the screen


def test_ctrl_c_ends_all(prepared, torchrun, tmp_path):
    waiting = tmp_path / "waiting"
    sleep = f'open({str(waiting)!r}, "w").close(); time.sleep(60)'
    process = torchrun(FIRST, sleep, prepared, "--run-dir", tmp_path / "run", *OPTIONS, "--epochs", "3")
    while not waiting.exists() and process.poll() is None:  # one sleeps after its first epoch, the other waits for it
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=60)[1]
    assert told.count("interrupted; go on with: --run-dir") == 1, told


def run_here(prepared, run, **more):
    """Do the work of the example in a process of a pair."""
    small = {"hidden": 16, "latency": 4, "epochs": 8, "no_choice": True}
    train_nodes(prepared, run, rows=["dysign"], seeds=1, train_ratio=[0.4], **small, **more)


def resume_here(prepared, run):
    run_here(prepared, run, resume=True)


def test_killed_all_together_and_resumed_it_ends_with_the_same_figures(prepared, torchrun, pair, tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    options = [prepared, *OPTIONS, "--epochs", "8"]
    process = torchrun("count == 6", "os.kill(os.getpid(), 9)", *options, "--run-dir", killed)
    process.communicate(timeout=120)
    assert len(list(killed.glob("checkpoints/*.pt"))) == 1
    assert not list(killed.glob("units/*"))
    pair.run(resume_here, prepared, killed)
    pair.run(run_here, prepared, whole)
    assert figures(killed) == figures(whole)
    assert histories(killed) == histories(whole)


def folder(path):
    run = RunFolder(path, {"seeds": 1})
    before = run.unit("a")
    run.save_unit("a", {"rank": distributed.rank()})
    run.write_json("other.json", {"rank": distributed.rank()})
    return before, run.unit("a"), str(run.path)


def test_the_first_process_writes_and_tells(pair, tmp_path):
    assert pair.run(folder, tmp_path / "run") == [(None, {"rank": 0}, str(tmp_path / "run"))] * 2
    assert read_sealed(tmp_path / "run" / "other.json") == {"rank": 0}
