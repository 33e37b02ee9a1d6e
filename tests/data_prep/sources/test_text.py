import hashlib

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.sources import _text
from data_prep.sources._text import Column, TextFile
from dgl_dysign.errors import DataError

COLUMNS = (Column("src"), Column("dst"), Column("time", integer=False))


def read(path, columns=COLUMNS):
    file = TextFile(path, columns)
    table = pa.Table.from_batches(list(file))
    return file, list(zip(*(column.to_pylist() for column in table.columns), strict=True))


@pytest.mark.parametrize(
    "text",
    [
        b"0 1 0.5\n2 3 7e-06\n",
        b"0 1 0.5\n2 3 7e-06",
        b"0\t1\t0.5\r\n2\t3\t7e-06\r\n",
        b"\xef\xbb\xbf0 1 0.5\n2 3 7e-06\n",
        b"\xef\xbb\xbf\n\n  0  1\t 0.5 \n\n \t \r\n2 3 .000007\r\n\n",
        b"000 +1 +0.5\n2 3 7.E-6\n",
    ],
)
def test_any_white_space_line_end_and_mark(tmp_path, text):
    (tmp_path / "a.txt").write_bytes(text)
    file, rows = read(tmp_path / "a.txt")
    assert rows == [(0, 1, 0.5), (2, 3, 7e-06)]
    assert file.source == {"name": "a.txt", "sha256": hashlib.sha256(text).hexdigest(), "rows": 2}


LINES = st.lists(
    st.tuples(
        st.integers(0, 2**63 - 1),
        st.integers(0, 50),
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from([" ", "\t", "  ", " \t "]),
        st.sampled_from(["\n", "\r\n", " \n", "\t\r\n", "\n\n", "\n \n"]),
    ),
    min_size=1,
    max_size=40,
)


@given(LINES, st.integers(1, 200), st.booleans(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_every_value_comes_back_whatever_the_block(tmp_path_factory, lines, block, mark, end):
    text = "".join(f"{s}{blank}{d}{blank}{t!r}{stop}" for s, d, t, blank, stop in lines)
    path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf" * mark + (text if end else text.rstrip()).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_text, "BLOCK_BYTES", block)
        file, rows = read(path)
    assert rows == [line[:3] for line in lines]
    # `rows` counts blank lines out; line_of counts them in.
    written = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    assert file.line_of(len(rows) - 1) == max(number for number, line in enumerate(written, 1) if line.strip())


@pytest.mark.parametrize(
    ("line", "found", "expected"),
    [
        ("1 2", "2 columns in '1 2'", "3 (`src dst time`)"),
        ("1 2 3 4", "4 columns", "3 (`src dst time`)"),
        ("a 2 0.5", "src 'a'", "an integer from 0 up"),
        ("1 -2 0.5", "dst '-2'", "an integer from 0 up"),
        ("1 2.0 0.5", "dst '2.0'", "an integer from 0 up"),
        ("1 0x2 0.5", "dst '0x2'", "an integer from 0 up"),
        ("1 1_0 0.5", "dst '1_0'", "an integer from 0 up"),
        ("1 ٣ 0.5", "dst '٣'", "an integer from 0 up"),
        ("9223372036854775808 2 0.5", "src '9223372036854775808'", "an integer from 0 up"),
        ("1 2 nan", "time 'nan'", "a finite number"),
        ("1 2 -inf", "time '-inf'", "a finite number"),
        ("1 2 1e999", "time '1e999'", "a finite number"),
        ("1 2 2011-01-01", "time '2011-01-01'", "a finite number"),
        ("1 2 0x1p3", "time '0x1p3'", "a finite number"),
        ("1 2 ''", "time \"''\"", "a finite number"),
        ('1 2 "0.5"', "time '\"0.5\"'", "a finite number"),
        ("1,2,0.5", "1 columns", "3 (`src dst time`)"),
        ("# src dst time", "4 columns", "3 (`src dst time`)"),
        ("src dst time", "src 'src'", "an integer from 0 up"),
        ("NA NULL 0.5", "src 'NA'", "an integer from 0 up"),
        ("1 2 0.5\0", "time '0.5\\x00'", "a finite number"),
        ("1 2 " + "9" * 5000, f"time '{'9' * 57}...'", "a finite number"),
    ],
)
@pytest.mark.parametrize("at", [1, 4, 7000])
def test_the_first_bad_line_is_named(tmp_path, monkeypatch, line, found, expected, at):
    monkeypatch.setattr(_text, "BLOCK_BYTES", 30_000)
    lines = ["0 1 0.5"] * 7000
    lines[at - 1] = line
    (tmp_path / "a.txt").write_text("\n".join(lines) + "\nworse\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read(tmp_path / "a.txt")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'a.txt'}, line {at}: found {found}")
    assert f"expected {expected}" in message
    assert "correct or remove the line" in message
    assert "\n" not in message


@pytest.mark.parametrize("text", [b"", b"\n", b" \r\n\t\n", b"\xef\xbb\xbf"])
def test_a_file_without_rows_is_refused(tmp_path, text):
    (tmp_path / "a.txt").write_bytes(text)
    with pytest.raises(DataError, match=r"a\.txt: found no rows, expected lines of `src dst time`"):
        read(tmp_path / "a.txt")


def test_a_missing_file_and_an_endless_line_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"a\.txt: found no such file"):
        read(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_bytes(b"0" * (9 << 20))
    with pytest.raises(DataError, match="found a line of more than"):
        read(tmp_path / "a.txt")


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_rows_or_one_clear_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_bytes(data)
    try:
        _, rows = read(path)
    except DataError as error:
        message, rows = str(error), []
    else:
        message = ""
    assert "\n" not in message
    assert all(len(row) == 3 for row in rows)
