import bz2
import gzip
import lzma
import zipfile

import numpy as np
import pyarrow as pa
import pytest

from data_prep.synth.output import COMPRESSIONS, Output
from data_prep.synth.text import Integer, joined
from dgl_dysign.errors import ConfigError

ROWS = 1000
VALUES = np.arange(ROWS) ** 3
TEXT = "".join(f"{value}\n" for value in VALUES).encode()


def unpack(path):
    kind = path.suffix[1:]
    if kind == "zip":
        with zipfile.ZipFile(path) as archive:
            (name,) = archive.namelist()
            assert f"{name}.zip" == path.name
            return archive.read(name)
    if kind == "zst":
        return pa.input_stream(path, compression="zstd").read()
    return {"gz": gzip, "bz2": bz2, "xz": lzma}[kind].open(path).read()


def fill(output, pieces=(ROWS,), header=b"head\n"):
    done = 0
    with output.edges("some.edges.txt", ROWS, header) as file:
        for piece in pieces:
            file.write(joined([Integer(VALUES[done : done + piece])], b""), piece)
            done += piece


@pytest.mark.parametrize("compress", COMPRESSIONS)
def test_compressed_files_hold_the_same_lines_and_are_the_same_each_time(tmp_path, compress):
    written = []
    for name in "ab":
        (tmp_path / name).mkdir()
        fill(Output(tmp_path / name, compress=compress))
        written.append(tmp_path / name / f"some.edges.txt.{compress}")
    assert unpack(written[0]) == b"head\n" + TEXT
    assert written[0].read_bytes() == written[1].read_bytes()


@pytest.mark.parametrize("parts", [1, 2, 3, 7, ROWS])
@pytest.mark.parametrize("pieces", [(ROWS,), (1, 0, 499, 500), (333, 1, 666)])
def test_parts_are_equal_and_give_the_whole_whatever_is_written_at_a_time(tmp_path, parts, pieces):
    fill(Output(tmp_path, parts), pieces)
    files = sorted(tmp_path.iterdir())
    contents = [path.read_bytes() for path in files]
    assert all(content.startswith(b"head\n") for content in contents)
    assert b"".join(content.removeprefix(b"head\n") for content in contents) == TEXT
    numbers = [content.count(b"\n") for content in contents]
    assert len(files) == parts
    assert max(numbers) - min(numbers) <= 1
    if parts > 1:
        assert [path.name for path in files[:2]] == ["some.edges-000.txt", "some.edges-001.txt"]


def test_more_than_a_thousand_parts_are_still_in_order_of_their_names(tmp_path):
    with Output(tmp_path, parts=1001).edges("a.csv", 1001) as file:
        file.write(joined([Integer(np.arange(1001))], b""), 1001)
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == [b"%d\n" % row for row in range(1001)]


def test_blocks_do_not_change_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr("data_prep.synth.text._BLOCK_BYTES", 100)
    fill(Output(tmp_path))
    assert (tmp_path / "some.edges.txt").read_bytes() == b"head\n" + TEXT


def test_rows_are_reported_and_other_tables_are_neither_split_nor_compressed(tmp_path):
    reported = []
    output = Output(tmp_path, 2, "gz", reported.append)
    fill(output)
    assert sum(reported) == ROWS
    with output.table("other.txt", ROWS) as file:
        file.write(joined([Integer(VALUES)], b""), ROWS)
    assert (tmp_path / "other.txt").read_bytes() == TEXT
    assert sum(reported) == ROWS


def test_a_missing_row_is_noticed(tmp_path):
    with pytest.raises(AssertionError, match="999 rows were written of 1000"):
        fill(Output(tmp_path), (999,))


def test_bad_parts_and_compressions_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="compress: found 'rar', expected gz, bz2, xz, zst, zip"):
        Output(tmp_path, compress="rar")
    for parts in (0, ROWS + 1):
        with pytest.raises(ConfigError, match=f"parts: found {parts}, expected 1 to 1000, the number of rows"):
            fill(Output(tmp_path, parts))
