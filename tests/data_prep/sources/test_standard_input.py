"""What comes through standard input and pipes gives what the file gives, and is told when it ends badly or never."""

import gzip
import io
import os
import pty
import signal
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_prep import prepare
from data_prep.sources._raw_file import head_lines
from data_prep.sources.standard_input import as_file, copy_pipe
from dgl_dysign.errors import DataError
from tests.data_prep.sources.test_tables import same
from tests.processes import PATIENCE

TEXT = b"1 2 1577836800\n2 3 1577836900\n3 1 1609459200\n"
COMMAND = (sys.executable, "-m", "data_prep.cli", "edges")


@pytest.fixture
def from_file(tmp_path):
    """The folder that is prepared from a file of `TEXT`."""
    (tmp_path / "edges.txt").write_bytes(TEXT)
    prepare("edges", tmp_path / "edges.txt", tmp_path / "whole")
    return tmp_path / "whole"


@pytest.fixture
def home(tmp_path):
    """A folder of its own."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def pipe():
    """Give a function that returns the path of a pipe which holds some bytes and ends."""
    opened = []

    def give(data):
        source, sink = os.pipe()
        opened.append(source)
        with open(sink, "wb") as file:
            file.write(data)
        return f"/dev/fd/{source}"

    yield give
    for source in opened:
        os.close(source)


def test_standard_input_gives_the_bytes_of_the_file(from_file, home):
    done = subprocess.run([*COMMAND, "-", "out", "-q"], input=TEXT, capture_output=True, cwd=home, check=True)
    assert done.stdout + done.stderr == b""
    assert same(home / "out", from_file)
    assert os.listdir(home) == ["out"]
    assert '"dataset": "stdin"' in (home / "out" / "manifest.json").read_text()


def test_a_pipe_may_be_compressed_or_a_table(from_file, home, pipe, prep):
    assert prep("edges", pipe(gzip.compress(TEXT)), home / "packed", "-q") == (0, "", "")
    assert same(home / "packed", from_file)
    columns = zip(*([int(word) for word in line.split()] for line in TEXT.splitlines()), strict=True)
    pq.write_table(pa.table(list(columns), ["src", "dst", "time"]), home / "edges.parquet")
    assert prep("edges", pipe((home / "edges.parquet").read_bytes()), home / "table", "-q") == (0, "", "")
    for name in ("edges.parquet", "nodes.parquet", "snapshots.parquet"):
        assert (home / "table" / name).read_bytes() == (from_file / name).read_bytes()


def test_a_named_pipe_is_waited_for(from_file, home):
    os.mkfifo(home / "events")
    with subprocess.Popen([*COMMAND, "events", "out", "-q"], cwd=home, stderr=subprocess.PIPE) as reader:
        with open(home / "events", "wb") as writer:
            writer.write(TEXT)
        assert reader.communicate(timeout=PATIENCE)[1] == b""
    assert same(home / "out", from_file)
    assert sorted(os.listdir(home)) == ["events", "out"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "stdin: found nothing, expected events; check the command before the pipe"),
        (TEXT[:-4], "stdin: found an end within a line, expected a line end"),
        (TEXT[:-13], "stdin: found an end within a line, expected a line end"),
        (gzip.compress(TEXT * 99)[:-9], "stdin: found a damaged archive"),
        (b"PAR1" + TEXT, "stdin: found a damaged Parquet file"),
        (TEXT + b"1 2\n", "stdin, line 4: found 2 columns in '1 2', expected 3"),
    ],
    ids=["nothing", "half a time", "half a row", "gzip", "Parquet", "half a line"],
)
def test_an_end_in_the_middle_is_one_error_and_leaves_nothing(home, pipe, prep, data, message):
    status, printed, error = prep("edges", pipe(data), home / "out", "-q")
    assert (status, printed, error.count("\n")) == (2, "", 1)
    assert message in error
    assert not os.listdir(home)


def test_a_file_as_standard_input_needs_no_last_line_end(tmp_path):
    with open(tmp_path / "cut.txt", "w+b") as file:
        file.write(TEXT[:-1])
        file.seek(0)
        copy_pipe(file.fileno(), tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == TEXT[:-1]


def test_a_terminal_is_refused(tmp_path):
    main, terminal = pty.openpty()
    with pytest.raises(
        DataError, match="stdin: found a terminal, expected a file or the output of a command; for exam"
    ):
        copy_pipe(terminal, tmp_path / "stdin")
    for end in (main, terminal):
        os.close(end)


def test_a_device_that_never_ends_is_refused(home, prep):
    (home / "zeros").symlink_to("/dev/zero")
    status, printed, error = prep("edges", home / "zeros", home / "out", "-q")
    assert (status, printed) == (2, "")
    assert "found a device, whose end may never come, expected a file or pipe; check RAW" in error
    assert os.listdir(home) == ["zeros"]


def test_what_never_ends_is_named_once(tmp_path, monkeypatch):
    source, sink = os.pipe()
    os.write(sink, TEXT)

    class Ending(io.StringIO):
        """Ends the pipe once it is told that the end is waited for."""

        def flush(self):
            os.close(sink)

    monkeypatch.setattr(sys, "stderr", Ending())
    copy_pipe(source, tmp_path / "stdin", wait=0.01)
    assert sys.stderr.getvalue() == "stdin: waiting for its end; 45 bytes came in 0.01 seconds\n"
    assert (tmp_path / "stdin").read_bytes() == TEXT
    os.close(source)


def test_an_interrupt_while_waiting_leaves_nothing(tmp_path):
    copy = tmp_path / "home" / ".out.read" / "stdin"
    with subprocess.Popen(
        [*COMMAND, "-", "home/out"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=tmp_path
    ) as process:
        process.stdin.write(TEXT)
        process.stdin.flush()
        while not copy.exists() or copy.stat().st_size < len(TEXT):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    assert not os.listdir(tmp_path)


def test_without_an_out_the_copy_is_among_temporary_files(tmp_path):
    with as_file(pa.table({"src": [1]})) as path:
        assert head_lines(path, 2) == ["src", "1"]
        time = path.stat().st_mtime_ns
    assert not path.parent.exists()
    with as_file(pa.table({"src": [1]})) as path:
        assert path.stat().st_mtime_ns == time, "the plan of an interrupted run is not that of the same content"
    with as_file(tmp_path) as path:
        assert path == tmp_path
    with pytest.raises(DataError, match=r"^table, row 3: found a; b$"), as_file(pa.table({"src": [1]})) as path:
        raise DataError(f"{path}, line 4: found a; b")
