import bz2
import gzip
import lzma
import zipfile

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.synth.output import (
    COMPRESSIONS,
    Bytes,
    Choice,
    Decimal,
    Integer,
    Maybe,
    Output,
    Vector,
    joined,
    render,
    text_table,
)
from dgl_dysign.errors import ConfigError

ROWS = 300
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


@pytest.mark.parametrize("parts", [1, 7, ROWS])
@pytest.mark.parametrize("pieces", [(ROWS,), (1, 0, 133, 166)])
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


def test_blocks_do_not_change_bytes(tmp_path):
    fill(Output(tmp_path, block_bytes=100))
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
    with pytest.raises(AssertionError, match="299 rows were written of 300"):
        fill(Output(tmp_path), (299,))


def test_bad_parts_and_compressions_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="compress: found 'rar', expected gz, bz2, xz, zst, zip"):
        Output(tmp_path, compress="rar")
    for parts in (0, ROWS + 1):
        with pytest.raises(ConfigError, match=f"parts: found {parts}, expected 1 to 300, the number of rows"):
            fill(Output(tmp_path, parts))


whole = st.integers(-(10**17), 10**17)


def lines(field, number, rows=None):
    rendered = bytes(render(joined([field], b" "), rows or slice(0, number)))
    return rendered.decode().splitlines()


@given(st.lists(whole, min_size=1))
def test_integers_are_written_as_python_writes_them(values):
    assert lines(Integer(np.array(values)), len(values)) == [str(value) for value in values]


@given(st.lists(st.integers(0, 10**15), min_size=1), st.integers(1, 8))
def test_decimals_have_no_zeros_at_the_end_but_one_decimal(values, decimals):
    for value, line in zip(values, lines(Decimal(np.array(values), decimals), len(values)), strict=True):
        whole, part = divmod(value, 10**decimals)
        assert line == f"{whole}.{f'{part:0{decimals}d}'.rstrip('0') or '0'}"


@given(st.lists(st.lists(st.integers(-9_999_999, 9_999_999), min_size=3, max_size=3), min_size=1))
def test_vectors_have_six_decimals(rows):
    expected = [",".join(f"{'-' * (v < 0)}{abs(v) // 10**6}.{abs(v) % 10**6:06d}" for v in row) for row in rows]
    assert lines(Vector(np.array(rows, np.int32)), len(rows)) == expected


def test_a_vector_of_one_value_and_one_beside_other_fields():
    line = joined([Integer(np.array([-5])), Vector(np.array([[1], [2]])), Integer(np.array([7]))], b";")
    assert bytes(render(line, slice(0, 1))) == b"-5;0.000001;7\n"


def test_texts_choices_and_empty_fields():
    table = text_table(["a", "bcd", "é"])
    present = np.array([False, True, True])
    fields = [Bytes(table), Choice(["x", "yy"], np.array([1, 0, 1])), Maybe(Integer(np.array([1, 20, 300])), present)]
    rendered = bytes(render(joined(fields, b"\t", begin=b"<", end=b">"), slice(0, 3)))
    assert rendered.decode() == "<a\tyy\t><bcd\tx\t20><é\tyy\t300>"


def test_rows_do_not_depend_on_each_other():
    values = np.array([0, 5, -123456, 99999, 10**12])
    fields = [Integer(values), Decimal(np.abs(values), 3), Vector(values[:, None] % 1000)]
    line = joined(fields, b",")
    together = bytes(render(line, slice(0, 5)))
    assert together == b"".join(bytes(render(line, slice(row, row + 1))) for row in range(5))


@pytest.mark.parametrize(("width", "rows"), [(10, 1 << 16), (10_000, 419), (5 << 20, 1)])
def test_blocks_stay_small(tmp_path, width, rows):
    """Rows are reported block by block: 65,536 of them or 4 MiB of text at most, but one row at least."""
    blocks, count = [], 2 * rows + 1
    field = Bytes(np.broadcast_to(np.zeros((1, width), np.uint8), (count, width)))
    with Output(tmp_path, on_rows=blocks.append).edges("a.txt", count) as file:
        file.write(joined([field], b""), count)
    assert blocks == [rows, rows, 1]


def test_no_rows():
    assert bytes(render(joined([Integer(np.array([], np.int64))], b","), slice(0, 0))) == b""
