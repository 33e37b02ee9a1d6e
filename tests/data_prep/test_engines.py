import fcntl
import os
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from queue import Queue
from threading import Event

import pytest

from data_prep import PrepareOptions, pipeline
from data_prep.sources import dblp
from data_prep.sources._source import ReadOptions
from data_prep.spool import Engine
from data_prep.terminal import silent
from dgl_dysign.errors import BackendError, ConfigError, DataError
from tests.data_prep.brute import contents
from tests.data_prep.paused import paused
from tests.processes import PATIENCE


@pytest.fixture
def parts(tmp_path):
    """Four parts, of which the first is by far the longest."""
    raw = tmp_path / "raw"
    raw.mkdir()
    for number, rows in enumerate([40_000, 3, 500, 1]):
        lines = (f"{row % 97} {(row * 7 + number) % 89} {row % 5 + number}.5\n" for row in range(rows))
        (raw / f"dblp-{number}.txt").write_text("".join(lines))
    (raw / "node2label.txt").write_text("0 1\n")
    return raw


def prepare(raw, out, engine, on_error="stop", progress=silent):
    chosen = {"engine": engine.name, "workers": engine.workers, "scheduler": engine.scheduler}
    options = PrepareOptions(on_error=on_error, features="none", **chosen)
    return pipeline.prepare("dblp", raw, out, options, progress)


ENGINES = [pytest.param(Engine("local", 2), id="local"), pytest.param(Engine("dask", 2), id="dask")]


@pytest.fixture(params=ENGINES)
def engine(request):
    if request.param.name == "dask":
        pytest.importorskip("distributed", reason="Dask is not installed (extra dask)")
    return request.param


def test_worker_processes_give_the_bytes_of_this_process(parts, tmp_path, engine):
    with open(parts / "dblp-2.txt", "a") as file:
        file.write("bad row\n")
    told, bars = Counter(), {}

    def progress(text, total, unit=""):
        bars[text] = total
        return lambda amount: told.update({text: amount})

    prepare(parts, tmp_path / "out", engine, "quarantine", progress)
    assert bars["reading"] == sum(path.stat().st_size for path in parts.glob("dblp-*"))
    assert told == bars
    prepare(parts, tmp_path / "here", Engine(), "quarantine")
    assert contents(tmp_path / "out") == contents(tmp_path / "here")


def test_the_first_bad_part_is_named_whichever_ends_first(parts, tmp_path, engine):
    with open(parts / "dblp-0.txt", "a") as file:
        file.write("1 2\n")
    (parts / "dblp-1.txt").write_text("bad\n")
    with pytest.raises(DataError, match=r"dblp-0\.txt, line 40001: found 2 columns"):
        prepare(parts, tmp_path / "out", engine)
    assert os.listdir(tmp_path) == ["raw"]


def interrupt(bar, after):
    """Return bars of progress of which one raises KeyboardInterrupt once it is past so much."""

    def progress(text, total, unit=""):
        done = 0

        def advance(amount=1):
            nonlocal done
            done += amount
            if text == bar and done > after:
                raise KeyboardInterrupt

        return advance

    return progress


def spooled(home):
    """Return the parts that are there whole, and which file says so of each."""
    return {path.parent.name: path.stat().st_ino for path in home.glob(".out.work/spool/*/part.json")}


def test_a_part_that_is_there_whole_is_not_read_again(parts, tmp_path):
    good = prepare(parts, tmp_path / "good", Engine())
    sizes = [path.stat().st_size for path in sorted(parts.glob("dblp-*"))]
    before = {}
    for number, stop in (
        (2, ("reading", sum(sizes[:2]))),
        (3, ("reading", sum(sizes[:3]))),
        (4, ("writing events", 0)),
    ):
        with pytest.raises(KeyboardInterrupt):
            prepare(parts, tmp_path / "out", Engine(), progress=interrupt(*stop))
        after = spooled(tmp_path)
        assert len(after) == number
        assert before.items() <= after.items()
        before = after
    assert prepare(parts, tmp_path / "out", Engine()) == good
    assert contents(tmp_path / "out") == contents(tmp_path / "good")


def test_a_part_that_changed_in_between_is_read_again_with_all_others(parts, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        prepare(parts, tmp_path / "out", Engine(), progress=interrupt("writing events", 0))
    assert len(spooled(tmp_path)) == 4
    (parts / "dblp-3.txt").write_text("1 2 99.5\n")
    prepare(parts, tmp_path / "out", Engine())
    prepare(parts, tmp_path / "good", Engine())
    assert contents(tmp_path / "out") == contents(tmp_path / "good")


@dataclass(frozen=True)
class AfterGate:
    """Give a batch back once nobody locks a file."""

    gate: str

    def __call__(self, batch):
        with open(self.gate) as gate:
            fcntl.flock(gate, fcntl.LOCK_SH)
        return batch


def test_after_a_bad_part_no_others_are_begun(tmp_path, monkeypatch):
    for number in range(20):
        (tmp_path / f"dblp-{number}.txt").write_text("1 2 0.5\n" if number else "bad\n")
    (tmp_path / "node2label.txt").write_text("1 1\n")
    source = dblp.open_source(tmp_path, ReadOptions())
    source = replace(source, layout=replace(source.layout, derive=AfterGate(f"{tmp_path}/gate")))
    submitted, submit = Queue(), ProcessPoolExecutor.submit

    def watched(*call):
        submitted.put(future := submit(*call))
        return future

    monkeypatch.setattr(ProcessPoolExecutor, "submit", watched)
    with ThreadPoolExecutor(1) as reader, open(tmp_path / "gate", "x") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        reading = reader.submit(Engine("local", 2).read, source, tmp_path / "spool", ReadOptions())
        futures = [submitted.get(timeout=PATIENCE) for _ in range(20)]
        # All but the first wait at the gate until the last one is cancelled.
        ended = Event()
        futures[-1].add_done_callback(lambda future: ended.set())
        assert ended.wait(PATIENCE)
        fcntl.flock(gate, fcntl.LOCK_UN)
        with pytest.raises(DataError, match=r"dblp-0\.txt, line 1"):
            reading.result(PATIENCE)
    # Two were being read, and three handed out.
    assert sum(future.cancelled() for future in futures) >= 14
    assert len(list(tmp_path.glob("spool/*/part.json"))) <= 5


def test_a_worker_that_dies_is_one_error_and_nothing_done_is_lost(parts, tmp_path):
    raw = parts / "dblp-9.txt"
    raw.write_text("1 2 0.5\n")
    program = f"""
import os, sys
from data_prep import PrepareOptions, prepare
def die(event, arguments):
    if event == "open" and str(arguments[0]).endswith("dblp-9.txt"):
        os.kill(os.getpid(), 9)
if __name__ == "__main__":
    options = PrepareOptions(features="none", engine="local", workers=2)
    try:
        prepare("dblp", {str(parts)!r}, {str(tmp_path / "out")!r}, options)
    except OSError as error:
        print(error)
else:
    sys.addaudithook(die)  # in the worker processes
"""
    (tmp_path / "program.py").write_text(program)
    found = subprocess.run([sys.executable, tmp_path / "program.py"], capture_output=True, text=True, timeout=PATIENCE)
    assert found.stdout.startswith("a worker process died"), found.stderr
    assert not (tmp_path / "out").exists()
    assert (tmp_path / ".out.work" / "spool" / "part-00000" / "part.json").exists()


@pytest.mark.parametrize("end", ["killed", "interrupted alone", "interrupted with its workers"])
def test_workers_end_with_the_process_that_started_them(parts, tmp_path, end):
    arguments = ["dblp", parts, tmp_path / "out", "--workers", "2", "-q", "--features", "none"]
    with paused(tmp_path / "gate", "dblp-[01].txt", *arguments, processes=2) as process:
        assert len(process.waiting - {process.pid}) == 2
        if end == "killed":
            process.kill()
        elif end == "interrupted alone":
            process.send_signal(signal.SIGINT)
            process.go_on()  # it waits for parts that are being read
        else:
            os.killpg(process.pid, signal.SIGINT)
        assert process.wait(PATIENCE) == (-9 if end == "killed" else 130)
        assert process.has_ended()
        errors = process.stderr.read()
    if end != "killed":
        assert errors == "dysign-prep: interrupted; the same command goes on where this one stopped\n"
    assert not (tmp_path / "out").exists()


def test_an_interrupt_while_workers_start_is_one_line(parts, tmp_path):
    (tmp_path / "program.py").write_text("""
import os, signal
if __name__ == "__main__":
    from data_prep.cli import main
    main()
else:  # a worker, which has imported nothing yet
    try:
        os.close(os.open("interrupted", os.O_CREAT | os.O_EXCL))
        os.killpg(0, signal.SIGINT)
    except FileExistsError:
        pass
""")
    arguments = ["program.py", "dblp", parts, "out", "--workers", "2", "-q", "--features", "none"]
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE,
        start_new_session=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "dysign-prep: interrupted; the same command goes on where this one stopped\n"
    assert not (tmp_path / "out").exists()


def test_a_running_scheduler_is_used_and_stays(parts, tmp_path):
    distributed = pytest.importorskip("distributed", reason="Dask is not installed (extra dask)")
    with (
        distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None, silence_logs=50) as cluster,
        distributed.Client(cluster) as client,
    ):
        prepare(parts, tmp_path / "out", Engine("dask", scheduler=client.scheduler.address))
        (parts / "dblp-3.txt").write_text("bad\n")
        with pytest.raises(DataError, match=r"dblp-3\.txt, line 1"):
            prepare(parts, tmp_path / "other", Engine("dask", scheduler=client.scheduler.address))
        assert client.submit(lambda: 1).result() == 1
    assert sorted(os.listdir(tmp_path)) == ["out", "raw"]


def test_wrong_engines_are_refused(parts, tmp_path):
    for arguments, said in (
        (("spark",), "--engine: found spark"),
        (("local", 0), "--workers: found 0"),
        (("local", 1, "tcp://host:1"), "--scheduler: found an address without Dask"),
    ):
        with pytest.raises(ConfigError, match=said):
            Engine(*arguments)
    pytest.importorskip("distributed", reason="Dask is not installed (extra dask)")
    engine, source = (
        Engine("dask", scheduler="tcp://127.0.0.1:9", patience="0.2s"),
        dblp.open_source(parts, ReadOptions()),
    )
    with pytest.raises(ConfigError, match="--scheduler: found no scheduler at"):
        engine.read(source, tmp_path / "spool", ReadOptions())


def test_without_dask_its_extra_is_named_and_nothing_is_left(parts, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BackendError, match=r"pip install dgl-dysign\[dask\]"):
        prepare(parts, tmp_path / "new" / "out", Engine("dask"))
    assert os.listdir(tmp_path) == ["raw"]
