"""Random files, read by RawFile and by a second reader, slow and simple, that shares nothing with the first."""

import datetime
import gzip
import hashlib
import re
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.sources._layout import Column, Layout
from data_prep.sources._raw_file import RawFile
from dgl_dysign.errors import DataError
from tests.data_prep.raw_files import COMPRESS

EDGES = (Column("src", "integer"), Column("dst", "integer"), Column("time", "number"))
WIDE = tuple(map(Column, "abcsd", ("integer", "text", "number", "skip", "yyyymmdd")))
LAYOUTS = [
    Layout(EDGES),
    Layout(EDGES, delimiter=","),
    Layout(EDGES, header=2, comment="#"),
    Layout(WIDE, delimiter=",", header=1),
    Layout(WIDE),
    Layout(WIDE, delimiter="\t", comment="//"),
    Layout((*WIDE, Column("t", "date")), delimiter="\t"),
    Layout((Column("t", "date", "%d.%m.%Y %H:%M"), *WIDE), delimiter=";", quote=True, header=1),
    Layout((Column("a", "integer"), Column("d", "yyyymmdd"), Column("s", "skip")), brackets=True),
    Layout((Column("a", "integer"), Column("b", "number")), delimiter=",", vector="rest"),
    Layout((Column("a", "text"), Column("t", "date")), delimiter="\t", vector="field", header=1),
    Layout((Column("a", "text"), Column("b", "text")), header=2, comment="#"),
    Layout((Column("i", "id"), Column("w", "whole"), Column("b", "number")), delimiter=";", decimal=",", header=1),
]
GOOD = {
    "id": ["0", "7", "10"],
    "whole": ["0", "7", "1,0", "10,00"],
    "integer": ["0", "7", "007", "9223372036854775807", "-0", "31"],
    "number": ["0", "-1.5", "7e-06", ".5", "5.", "1E+5", "3"],
    "text": ["a", "\ufeffb", "x1", "né", "0x1f", "NA", "nan", "+1"],
    "skip": ["", "-", "0x1f", "nan"],
    "yyyymmdd": ["19700102", "20200229", "19991231"],
    "date": ["2013-12-31 16:39:18", "2020-02-29", "2013-12-31T17:39:18.5+01:00", "1969-12-31 23:59:59Z"],
    "format": ["31.12.2013 16:39", "29.02.2020 00:00"],
}
BAD = [
    "",
    " ",
    "-1",
    "1.0",
    "x",
    "0x1f",
    "nan",
    "inf",
    "1e999",
    "20210229",
    "1e39",
    "\0",
    "9" * 19,
    "1,2",
    '"',
    'a"b',
    "+1",
]
BAD += ["2013-02-30", "30.02.2013 00:00", "2013-12-31 25:00:00", "5 ", "\t5", "\v", "\r", "#", "[", "]", "\udcff"]


def rows_of(file):
    return [tuple(row.values()) for batch in file for row in batch.to_pylist()]


def split_quoted(text, delimiter):
    """Return the fields of a line with quotes, or None if one is not closed."""
    fields, at = [], 0
    while True:
        field = ""
        if text[at : at + 1] == '"':
            found = re.compile(r'"((?:[^"]|"")*)"').match(text, at)
            if not found:
                return None
            field, at = found[1].replace('""', '"'), found.end()
        end = text.find(delimiter, at)
        fields.append(field + text[at : len(text) if end < 0 else end])
        if end < 0:
            return fields
        at = end + 1


def split_simply(line, layout):
    line = line.removesuffix("\r")
    if "\r" in line:
        return None
    if layout.delimiter == " ":
        return re.split(r"[ \t\v\f]+", line.strip(" \t\v\f"))
    if layout.brackets:
        found = re.fullmatch(r"[ \t]*\[([^\[\]]*)\][ \t]*", line)
        line = found[1] if found else ""
    return split_quoted(line, layout.delimiter) if layout.quote else line.split(layout.delimiter)


def value_of(text, column, plus, decimal="."):
    """Return the value of a field; raise ValueError or AssertionError if it has none."""
    if column.kind == "skip":
        return None
    assert not any("\ud800" <= sign <= "\udfff" for sign in text)
    if column.kind == "text":
        assert text.strip(" \t\n\v\f\r")
        return text
    if column.format:
        return (datetime.datetime.strptime(text, column.format) - datetime.datetime(1970, 1, 1)).total_seconds()
    if column.kind == "date":
        found = re.fullmatch(r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d:\d\d)(\.\d)?)?(Z|\+\d\d:\d\d)?", text)
        moment = datetime.datetime.fromisoformat(f"{found[1]}T{found[2] or '00:00:00'}{(found[3] or '.0')}00000+00:00")
        hours = 0 if found[4] in (None, "Z") else int(found[4][1:3])
        return (moment - datetime.timedelta(hours=hours)).timestamp()
    text = text.strip(" \t")
    if column.kind in ("number", "whole"):
        assert decimal == "." or "." not in text
        text = text.replace(decimal, ".")
        assert re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text, re.ASCII)
        assert np.isfinite(float(text))
        assert column.kind == "number" or (0 <= float(text) < 2**53 and Decimal(text) % 1 == 0)
        assert column.kind == "number" or not re.search("^([+-]|0[0-9])|[eE]-", text)
        return float(text)
    assert column.kind != "id" or str(int(text)) == text
    assert re.fullmatch(r"[+-]?\d+" if plus else r"-?\d+", text, re.ASCII)
    value = int(text)
    if column.kind == "yyyymmdd":
        assert 10_000_000 <= value < 10**8
        day = datetime.datetime(value // 10_000, value // 100 % 100, value % 100, tzinfo=datetime.timezone.utc)
        return day.timestamp()
    assert 0 <= value < 2**63
    return value


def row_of(line, layout, dim):
    """Return a row, or None if it is bad; a vector must have `dim` values, or any number if that is None."""
    kinds = {column.kind for column in layout.columns}
    plus = kinds <= {"integer", "id", "whole", "number", "yyyymmdd"} and layout.vector != "field"
    try:
        fields = split_simply(line, layout)
        vector = fields[len(layout.columns) :]
        if layout.vector == "field":
            assert len(vector) == 1
            vector = vector[0].split(",")
        assert len(fields) >= len(layout.columns)
        assert len(vector) == dim if dim is not None else vector
        row = [
            value_of(text, column, plus, layout.decimal) for text, column in zip(fields, layout.columns, strict=False)
        ]
        row = [value for value, column in zip(row, layout.columns, strict=True) if column.kind != "skip"]
        if layout.vector:
            with np.errstate(over="ignore"):
                values = [np.float32(value_of(text, Column("v", "number"), True)) for text in vector]
            assert np.isfinite(values).all()
            row.append([float(value) for value in values])
        return tuple(row)
    except (ValueError, AssertionError, TypeError):
        return None


def read_simply(data, layout):
    """Return rows with their line numbers, the line numbers of bad rows, and the numbers of the other lines."""
    lines = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").split("\n")
    if not lines[-1]:
        lines.pop()
    good, bad, others = [], [], {"header": 0, "comments": 0, "blank": 0}
    header = set()
    dim = None if layout.vector else 0
    is_text = all(column.kind == "text" for column in layout.columns)
    for number, line in enumerate(lines, 1):
        text = line.strip(" \t\v\f\r")
        if not text or (layout.comment and line.startswith(layout.comment) and "\r" not in text):
            others["comments" if text else "blank"] += 1
        elif others["header"] < layout.header:
            others["header"] += 1
            header.add(text)
        elif (row := row_of(line, layout, dim)) is None or (is_text and text in header):
            bad.append(number)
        else:
            dim = len(row[-1]) if layout.vector else 0
            good.append((number, row))
    assert len(good) + len(bad) + sum(others.values()) == len(lines)
    return good, bad, {name: count for name, count in others.items() if count or name == "header"}


@st.composite
def raw_lines(draw, layout):
    """Draw one line, most often a good one."""
    dim = 2
    kinds = ["format" if column.format else column.kind for column in layout.columns]
    kinds += ["number"] * dim if layout.vector == "rest" else []
    fields = [draw(st.sampled_from(GOOD[kind] if draw(st.integers(0, 9)) else BAD)) for kind in kinds]
    if layout.vector == "field":
        fields.append(
            ",".join(draw(st.sampled_from(GOOD["number"] if draw(st.integers(0, 9)) else BAD)) for _ in range(dim))
        )
    if layout.quote and draw(st.booleans()):
        fields = [f'"{field}"' for field in fields]
    odd = draw(st.integers(0, 30))
    if odd == 0:
        fields.pop()
    if odd == 1:
        fields.append("1")
    blank = draw(st.sampled_from([" ", "\t", "  ", " \t "])) if layout.delimiter == " " else layout.delimiter
    line = blank.join(fields)
    if layout.brackets and odd != 2:
        line = f"[{line.replace(',', draw(st.sampled_from([',', ', ', ' ,'])))}]"
    if odd == 3:
        line = draw(
            st.sampled_from(["", " ", "\t\v", "#x", "//", " # y", "\r", "\0", '"', "\udcff\udcfe", "[]", "x" * 70])
        )
    return line.encode("utf-8", "surrogateescape") + draw(
        st.sampled_from([b"\n", b"\n", b"\r\n", b" \n", b"\n\n", b"\n \r\n"])
    )


@st.composite
def files(draw):
    layout = draw(st.sampled_from(LAYOUTS))
    head = draw(
        st.lists(st.sampled_from([b"a b\n", b"\n", b'"\xff\r\n', b"1,2,3\n", b"#a b\r\n"]), min_size=3, max_size=3)
    )
    lines = draw(st.lists(raw_lines(layout), max_size=40))
    if layout.header and draw(st.booleans()):
        lines.insert(draw(st.integers(0, len(lines))), head[0])
    data = b"".join([*head[: layout.header], *lines])
    if draw(st.booleans()):
        data = data.rstrip(b"\r\n \t")
    return layout, draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"])) + data


ARCHIVES = [*COMPRESS.values(), lambda data: gzip.compress(data[:50]) + gzip.compress(data[50:])]


@given(files(), st.sampled_from([1, 16, 17, 40, 100, 1000, 1 << 20]), st.sampled_from(ARCHIVES), st.integers(1, 3))
@settings(max_examples=70, deadline=None)
def test_nothing_is_lost_and_nothing_invented(tmp_path_factory, case, block, compress, threads):
    layout, data = case
    path = tmp_path_factory.getbasetemp() / "random.txt"
    path.write_bytes(compress(data))
    good, bad, others = read_simply(data, layout)
    file = RawFile(path, layout, on_error="quarantine", block_bytes=block, threads=threads)
    if not good:
        with pytest.raises(DataError, match="found no rows"):
            rows_of(file)
        return
    assert rows_of(file) == [row for _, row in good]
    assert [row.line for row in file.rejected] == bad
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for row in file.rejected:
        assert row.text == lines[row.line - 1].removesuffix(b"\r").decode("utf-8", "backslashreplace").strip()
        assert row.reason.startswith("found ")
        assert "\n" not in row.reason
    assert file.source == {
        "name": "random.txt",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "lines": len(good) + len(bad) + others["header"],
        **others,
        "rows": len(good),
        "rejected": len(bad),
    }
    assert file.lines_of(range(len(good))) == [number for number, _ in good]
    strict = RawFile(path, layout, block_bytes=block, threads=threads)
    if bad:
        with pytest.raises(DataError, match=rf"random\.txt, line {bad[0]}: found "):
            rows_of(strict)
    else:
        assert rows_of(strict) == [row for _, row in good]


@given(st.sampled_from(LAYOUTS), st.binary(max_size=200), st.sampled_from([1, 30, 1 << 20]))
@settings(max_examples=70, deadline=None)
def test_any_bytes_give_rows_or_one_clear_error(tmp_path_factory, layout, data, block):
    path = tmp_path_factory.getbasetemp() / "bytes.txt"
    path.write_bytes(data)
    message = ""
    try:
        rows_of(RawFile(path, layout, block_bytes=block))
    except DataError as error:
        message = str(error)
    assert "\n" not in message
    assert bool(message) == (not read_simply(data, layout)[0] or bool(read_simply(data, layout)[1]))
