"""Parts on disk, what is made of them in order, and the processes that read them."""

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from queue import Queue
from threading import Event

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep import PrepareOptions, pipeline
from data_prep import spool as module
from data_prep.rules import Rule, bin_times
from data_prep.sources import dblp
from data_prep.sources._layout import Column, Layout
from data_prep.sources._source import ReadOptions, Source
from data_prep.spool import Arrangement, Engine, FirstSnapshots, NumberSet, Repeats, distinct, load, spool
from data_prep.terminal import silent
from dgl_dysign.errors import BackendError, ConfigError, DataError
from tests.data_prep.brute import contents
from tests.data_prep.paused import paused
from tests.data_prep.raw_files import pieces_of
from tests.processes import PATIENCE

TRIPLE = (Column("src", "integer"), Column("dst", "integer"), Column("time", "number"))
STEP = Rule("step")


@pytest.fixture
def source(tmp_path):
    def make(text, columns=TRIPLE, rule=STEP, **more):
        path = tmp_path / "raw.csv"
        path.write_text(text)
        vector = more.pop("vector", None)
        return Source("test", (path,), Layout(columns, delimiter=",", vector=vector), rule, **more)

    return make


@pytest.fixture(params=[(1, 1), (2, 7), (1000, 1 << 20)])
def part(request, tmp_path):
    """Spool a source in pieces of some size."""

    def make(source, on_error="stop"):
        with pieces_of(*request.param):
            made = spool(source, 0, tmp_path / "part", ReadOptions(on_error))
        assert load(tmp_path / "part") == made
        return made

    return make


def chunks(part, *names):
    return [{name: values.tolist() for name, values in chunk.items()} for chunk in part.chunks(list(names))]


def test_columns_come_back_as_they_were_read(source, part, monkeypatch):
    columns = (*TRIPLE, Column("weight", "number"), Column("label", "integer"))
    text = "3,1,2.5,-1,7,0.5,1\n9007199254740993,3,1,0.1,2,2,3\n3,3,2.5,5e-324,7,4,5\n"
    made = part(source(text, columns, vector="rest"))
    assert made.facts["columns"] == {
        "src": ["<i8", 1], "dst": ["<i8", 1], "time": ["<f8", 1],
        "weight": ["<f8", 1], "label": ["<i8", 1], "feat": ["<f4", 2],
    }  # fmt: skip
    monkeypatch.setattr(module, "CHUNK", 2)
    assert chunks(made, "src", "weight", "feat") == [
        {"src": [3, 2**53 + 1], "weight": [-1.0, 0.1], "feat": [[0.5, 1.0], [2.0, 3.0]]},
        {"src": [3], "weight": [5e-324], "feat": [[4.0, 5.0]]},
    ]
    assert made.column("dst").tolist() == [1, 3, 3]
    assert made.column("feat").shape == (3, 2)
    assert made.ids("node").tolist() == [1, 3, 2**53 + 1]
    assert made.distinct_times().tolist() == [1.0, 2.5]
    assert (made.facts["low"], made.facts["high"], made.facts["ascending"]) == (1.0, 2.5, False)
    assert made.facts["labels"] == [2, 7]
    assert made.rows == 3


def test_one_feature_is_a_matrix_of_one_column(source, part):
    made = part(source("1,2,3,0.5\n", vector="rest"))
    assert chunks(made, "feat") == [{"feat": [[0.5]]}]
    assert made.column("feat").shape == (1, 1)


@pytest.mark.parametrize(
    ("times", "ascending"), [([1, 1, 2, 2], True), ([1], True), ([1, 2, 1], False), ([2, 1], False), ([0, -0.0], True)]
)
def test_whether_times_ascend_is_seen_across_pieces(source, part, times, ascending):
    made = part(source("".join(f"0,1,{time}\n" for time in times)))
    assert made.facts["ascending"] is ascending
    assert made.distinct_times().tolist() == sorted(set(times))


def test_names_are_spooled_as_codes(source, part):
    columns = (Column("src", "text"), Column("dst", "text"), Column("time", "number"))
    made = part(source("b,é,1\na,b,2\nb,b,3\n", columns))
    names = made.ids("node")
    assert sorted(names) == ["a", "b", "é"]
    assert names[made.column("src")].tolist() == ["b", "a", "b"]
    assert names[made.column("dst")].tolist() == ["é", "b", "b"]
    assert made.facts["text"]


def test_two_spaces_have_ids_of_their_own(source, part):
    made = part(source("5,1,1\n2,1,2\n2,5,2\n", spaces=("user", "item")))
    assert (made.ids("user").tolist(), made.ids("item").tolist()) == ([2, 5], [1, 5])


def test_rejected_rows_are_kept_beside_the_good_ones(source, part):
    made = part(source("x,1,2\n1,2,3\n\n\x07\xff,1\n"), "quarantine")
    name = "raw.csv"
    assert [(file, row.line, row.text) for file, row in made.rejected] == [(name, 1, "x,1,2"), (name, 4, "\x07ÿ,1")]
    assert (made.rows, made.facts["source"]["lines"], made.facts["source"]["rejected"]) == (1, 3, 2)


def test_a_far_id_is_found_by_its_line(source, part):
    text = f"1,2,3\n\n{10**12},2,3\n{10**13},1,3\n5,{10**13},4\n"
    made = part(source(text, keep_ids=True))
    assert made.facts["largest_id"] == 10**13
    assert made.facts["largest_at"].endswith("raw.csv, line 4")
    near = part(source("1,2,3\n", keep_ids=True))
    assert (near.facts["largest_id"], near.facts["largest_at"]) == (2, None)


def test_a_part_is_there_when_it_is_whole(source, part, tmp_path):
    with pytest.raises(DataError, match=r"raw\.csv, line 2"):
        part(source("1,2,3\nbad\n"))
    assert load(tmp_path / "part") is None
    assert load(tmp_path / "absent") is None
    made = part(source("1,2,3\n"))
    assert chunks(made, "src") == [{"src": [1]}]
    facts = json.loads((tmp_path / "part" / "part.json").read_text())
    assert facts == made.facts


def test_what_a_killed_run_left_is_overwritten(source, part, tmp_path):
    (tmp_path / "part").mkdir()
    for name in ("src", "times.npy", "rejected.json", "part.json.partial"):
        (tmp_path / "part" / name).write_text("half" * 1000)
    assert chunks(part(source("1,2,3\n")), "src", "time") == [{"src": [1], "time": [3.0]}]


def test_too_many_distinct_times_are_refused_early(source, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST_DISTINCT", 1000)
    text = "".join(f"0,1,{time}\n" for time in range(200_000))
    with pytest.raises(ConfigError, match=r"more than 1000 distinct times; give a rule such as --every day"):
        spool(source(text), 0, tmp_path / "part", ReadOptions())
    spool(source(text, rule=Rule("every", width=1.0)), 0, tmp_path / "part", ReadOptions())


@pytest.mark.parametrize("descending", [False, True])
def test_distinct_times_are_merged_on_the_way(source, tmp_path, descending):
    times = np.arange(300_000) // 2
    times = times[::-1] if descending else times
    text = "".join(f"0,1,{time}\n" for time in times)
    with pieces_of(1000, 1 << 16):
        made = spool(source(text), 0, tmp_path / "part", ReadOptions())
    assert np.array_equal(made.distinct_times(), np.arange(150_000.0))


LAYOUT = Layout((Column("src", "integer"), Column("dst", "integer"), Column("time", "number")), vector="rest")


def arranged(home, parts, width=10.0):
    """Spool some lists of (src, dst, time) and arrange them in snapshots of equal width."""
    made = []
    for number, events in enumerate(parts):
        path = home / f"{number}.txt"
        path.write_text("".join(f"{src} {dst} {time} {src} {dst / 2}\n" for src, dst, time in events))
        source = Source("a", (path,), LAYOUT, Rule("every", width=width))
        made.append(spool(source, 0, home / f"part-{number}", ReadOptions()))
    times = [time for events in parts for _, _, time in events]
    binning = bin_times(Rule("every", width=width), min(times), max(times))
    maps = {"src": lambda part, ids: ids + 100, "dst": lambda part, ids: ids}
    return Arrangement(made, maps, binning, home / "sorted")


def rows(arrangement):
    names = ("snapshot", "src", "dst", "time", "edge_id")
    return [
        row for chunk in arrangement.chunks() for row in zip(*(chunk[name].tolist() for name in names), strict=True)
    ]


SORTED = [[(1, 2, 0.0), (3, 4, 5.0)], [(5, 6, 5.0), (7, 8, 25.0), (7, 8, 25.0)]]
UNSORTED = [[(1, 2, 25.0), (3, 4, 9.0)], [(5, 6, 5.0), (7, 8, 0.0), (7, 8, 25.0)]]


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
@pytest.mark.parametrize("parts", [SORTED, UNSORTED, [UNSORTED[0]], [SORTED[1], SORTED[0]]])
def test_events_come_by_snapshot_and_in_file_order_inside(tmp_path, parts, chunk):
    with pieces_of(chunk, 1 << 20):
        made = arranged(tmp_path, parts)
        flat = [event for events in parts for event in events]
        low = min(time for _, _, time in flat)
        expected = [
            (int((time - low) // 10), src + 100, dst, time, number) for number, (src, dst, time) in enumerate(flat)
        ]
        expected.sort(key=lambda row: (row[0], row[4]))
        assert made.is_sorted == (parts is SORTED)
        assert rows(made) == expected
        for rows_at_once in (1, 2, 100):
            pieces = list(made.features(rows_at_once))
            assert all(len(piece) == rows_at_once for piece in pieces[:-1])
            assert np.concatenate(pieces).tolist() == [[flat[row[4]][0], flat[row[4]][1] / 2] for row in expected]


def test_sorted_parts_take_no_room_on_the_disk(tmp_path):
    list(arranged(tmp_path, SORTED).chunks())
    assert not (tmp_path / "sorted").exists()


def test_parts_that_meet_at_one_time_are_sorted(tmp_path):
    assert arranged(tmp_path, SORTED).is_sorted
    assert not arranged(tmp_path, [[(1, 2, 5.0)], [(1, 2, 4.0)]]).is_sorted


def test_room_on_the_disk_is_taken_before_it_is_written_to(tmp_path, monkeypatch):
    """A sparse file that is mapped into memory kills the process where the disk is full."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        list(arranged(tmp_path, UNSORTED).chunks())


EVENTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 5)), min_size=1, max_size=60)


def cut(columns, sizes):
    """Cut columns into chunks of these sizes, again and again."""
    at, number = 0, 0
    while at < len(columns["src"]):
        size = sizes[number % len(sizes)]
        yield {name: values[at : at + size] for name, values in columns.items()}
        at, number = at + size, number + 1


def columns(events):
    src, dst, time = (np.array(values, np.int64) for values in zip(*events, strict=True))
    return {"src": src, "dst": dst, "time": time.astype(float)}


@given(EVENTS, st.lists(st.integers(1, 9), min_size=1), st.integers(1, 3))
def test_first_snapshots(events, sizes, every):
    events = sorted(events, key=lambda event: event[2] // every)
    made = columns(events)
    made["snapshot"] = (made["time"] // every).astype(np.int32)
    first = FirstSnapshots(6)
    for chunk in cut(made, sizes):
        first.add(chunk)
    for node in range(6):
        seen = [time // every for src, dst, time in events if node in (src, dst)]
        assert first.first[node] == min(seen, default=-1)


@given(EVENTS, st.lists(st.integers(1, 9), min_size=1), st.booleans(), st.sampled_from([5, 2**31 - 1]))
def test_repeats_are_counted_across_chunks(events, sizes, is_sorted, num_nodes):
    """Sorted by time, or by snapshot only; with pairs that fit in 64 bits beside the group, or do not."""
    events = sorted(events, key=lambda event: event[2] if is_sorted else event[2] // 3)
    made = columns(events)
    made["snapshot"] = (made["time"] // 3).astype(np.int32)
    repeats = Repeats(num_nodes, is_sorted)
    for chunk in cut(made, sizes):
        repeats.add(chunk)
    assert repeats.finish() == len(events) - len(set(events))


def test_times_that_differ_in_the_last_digit_are_no_repeat():
    times = np.array([0.1, 0.1, np.nextafter(0.1, 1), 0.3])
    repeats = Repeats(2, True)
    repeats.add({"src": np.zeros(4, np.int64), "dst": np.ones(4, np.int64), "time": times})
    assert repeats.finish() == 1
    assert Repeats(2, True).finish() == 0


@pytest.mark.parametrize(("events", "pairs"), [(5_000, 300), (200_000, 150_000), (300_000, 40_000)])
def test_repeats_are_counted_exactly_in_a_table_and_by_a_sort(events, pairs):
    random = np.random.default_rng(events)
    src, dst = random.integers(0, 2**20, (2, pairs))
    pair = random.integers(0, pairs, events)
    repeats = Repeats(2**20, True)
    repeats.add({"src": src[pair], "dst": dst[pair], "time": np.zeros(events)})
    assert repeats.finish() == events - len(np.unique(src[pair] << 20 | dst[pair]))


NUMBERS = st.one_of(
    st.integers(0, 40), st.sampled_from([2**26 - 1, 2**26, 2**26 + 1, 2**31, 2**53 + 1, 2**53, 2**63 - 1, 2**63 - 2])
)


def array(values):
    return np.array(values, dtype=np.int64)


@given(st.lists(st.lists(NUMBERS, max_size=12), max_size=6))
def test_a_set_of_numbers_has_each_once_ascending_to_the_last_digit(chunks):
    seen = NumberSet()
    for chunk in chunks:
        seen.add(array(chunk))
    found = seen.ascending()
    assert found.dtype == np.int64
    assert found.tolist() == sorted({number for chunk in chunks for number in chunk})


def test_large_numbers_are_merged_before_they_take_much_memory():
    seen, rng = NumberSet(pending=10), np.random.default_rng(0)
    chunks = [rng.integers(2**26, 2**26 + 30, 8) for _ in range(20)]
    for chunk in chunks:
        seen.add(chunk)
        assert sum(map(len, seen._large)) <= 40
    assert seen.ascending().tolist() == sorted({*np.concatenate(chunks).tolist()})


def test_the_table_of_small_numbers_grows_with_their_range():
    seen = NumberSet()
    for top in (5, 1_000_000, 1_000_001):
        seen.add(array([top]))
    assert seen.ascending().tolist() == [5, 1_000_000, 1_000_001]
    assert len(seen._small) < 4_000_000


@given(st.lists(st.integers(-5, 5)))
def test_distinct_values(values):
    assert distinct(array(values)).tolist() == sorted(set(values))


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
    raise SystemExit(main())
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
