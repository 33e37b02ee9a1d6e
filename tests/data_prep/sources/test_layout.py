"""What a line means, kind by kind; whole files are in test_raw_file.py."""

import datetime
import pickle

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.sources._layout import Block, Column, Layout, Parser, explain, from_digits, parse_dates
from dgl_dysign.errors import ConfigError

EDGE = (Column("src", "integer"), Column("dst", "integer"))


def test_form_is_how_a_line_looks():
    assert Layout(EDGE).form == "src dst"
    assert Layout(EDGE, delimiter="\t", vector="rest").form == "src\tdst\tfeat"
    assert Layout(EDGE, brackets=True).form == "[src, dst]"


@pytest.mark.parametrize(
    ("columns", "vector", "numeric"),
    [
        (EDGE, None, True),
        ((*EDGE, Column("time", "number"), Column("day", "yyyymmdd")), "rest", True),
        (EDGE, "field", False),
        ((Column("src", "id"), Column("dst", "whole")), None, True),
        ((*EDGE, Column("rest", "skip")), None, False),
        ((*EDGE, Column("name", "text")), None, False),
        ((*EDGE, Column("time", "date")), None, False),
    ],
)
def test_numeric(columns, vector, numeric):
    assert Layout(columns, delimiter=";", vector=vector).numeric is numeric


def test_layouts_are_values_that_travel_between_processes():
    layout = Layout((*EDGE, Column("time", "date", "%d/%m/%Y")), delimiter=",", header=1, quote=True, derive=sorted)
    assert layout.numeric is False
    assert pickle.loads(pickle.dumps(layout)) == layout
    assert hash(layout) == hash(Layout(layout.columns, ",", 1, quote=True, derive=sorted))
    assert Layout(EDGE, brackets=True).delimiter == ","
    with pytest.raises(AttributeError):
        layout.header = 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"delimiter": ""}, "one ASCII character"),
        ({"delimiter": ", "}, "one ASCII character"),
        ({"delimiter": "\n"}, "one ASCII character"),
        ({"delimiter": "é"}, "one ASCII character"),
        ({"header": -1}, "found -1 header lines"),
        ({"quote": True}, "quotes between runs of blanks"),
        ({"brackets": True, "vector": "rest"}, "in JSON arrays, expected integers only"),
        ({"vector": "all"}, "found vector 'all'"),
        ({"columns": (Column("a", "skip"),)}, "found no column that is given out"),
        ({"columns": ()}, "found no column that is given out"),
        ({"columns": (Column("a", "text"),), "brackets": True}, "expected integers only"),
        ({"columns": (Column("a", "id"),), "brackets": True}, "expected integers only"),
        ({"decimal": ";"}, "found decimal sign ';', expected a dot or a comma"),
        ({"decimal": ",", "delimiter": ","}, "within numbers and between them, .*another --decimal or --delimiter"),
        ({"decimal": ",", "vector": "field"}, "within numbers and between them"),
        ({"columns": (Column("a", "date"), Column("b", "date", "%Y"))}, "two date formats"),
    ],
)
def test_arguments_that_do_not_go_together(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Layout(**{"columns": EDGE, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a", "float"), "found kind 'float' of column a, expected one of integer, id, whole, number"),
        (("a", "text", "%Y"), "a format for column a of kind text"),
        (("a", "date", "%Q"), "found date format '%Q'"),
        (("a", "date", "%s"), "found date format '%s'"),
    ],
)
def test_columns_that_cannot_be(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Column(*arguments)


UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)
DATES = st.dates(datetime.date(1000, 1, 1), datetime.date(9999, 12, 31))


def seconds(date):
    moment = datetime.datetime(date.year, date.month, date.day, tzinfo=UTC)
    return (moment - EPOCH).total_seconds()


@given(st.lists(DATES, max_size=20))
@settings(deadline=None)
def test_digits_of_real_dates(dates):
    value = np.array([date.year * 10_000 + date.month * 100 + date.day for date in dates], np.int64)
    found = from_digits(value)
    assert found.dtype == np.float64
    assert found.tolist() == [seconds(date) for date in dates]


@given(st.integers(10_000_000, 99_999_999) | st.integers(0, 2**63 - 1))
@settings(deadline=None)
def test_digits_are_taken_if_and_only_if_the_day_is_in_the_calendar(value):
    try:
        real = value < 10**8 and datetime.date(value // 10_000, value // 100 % 100, value % 100).year >= 1000
    except ValueError:
        real = False
    assert (from_digits(np.array([20200101, value])) is not None) == real


@pytest.mark.parametrize("value", [0, 101, 20200230, 20210229, 19000229, 20201301, 20200001, 20200100, 9990101])
def test_no_days(value):
    assert from_digits(np.array([value])) is None


@given(st.lists(st.tuples(st.integers(1000, 9999), st.integers(1, 13), st.integers(1, 32)), min_size=1, max_size=3))
@settings(max_examples=100, deadline=None)
def test_written_days_are_taken_if_and_only_if_they_are_in_the_calendar(days):
    texts = pa.array([f"{day:02}/{month:02}/{year}" for year, month, day in days])
    try:
        expected = [seconds(datetime.date(*day)) for day in days]
    except ValueError:
        assert parse_dates(texts, "%d/%m/%Y") is None
    else:
        assert parse_dates(texts, "%d/%m/%Y").tolist() == expected


@pytest.mark.parametrize(
    ("text", "form", "expected"),
    [
        ("2021-03-01 00:30:00 +0100", "%Y-%m-%d %H:%M:%S %z", datetime.datetime(2021, 2, 28, 23, 30, tzinfo=UTC)),
        ("2021-02-29 00:30:00 +0100", "%Y-%m-%d %H:%M:%S %z", None),
        ("3 Feb 2020", "%d %b %Y", datetime.datetime(2020, 2, 3, tzinfo=UTC)),
        ("2020", "%Y", datetime.datetime(2020, 1, 1, tzinfo=UTC)),
        ("1969-12-31 23", "%Y-%m-%d %H", datetime.datetime(1969, 12, 31, 23, tzinfo=UTC)),
        ("2020-02-03x", "%Y-%m-%d", None),
        ("15/02/21", "%d/%m/%Y", None),
        ("15/02/21", "%d/%m/%y", datetime.datetime(2021, 2, 15, tzinfo=UTC)),
        ("15/02/1", "%d/%m/%y", None),
        ("2011 1116", "%Y%m%d", None),
        (" 20111116", "%Y%m%d", None),
        ("2011-11-1610", "%Y-%m-%d %H", None),
        ("", "%Y-%m-%d", None),
        ("soon", "%Y-%m-%d", None),
    ],
)
def test_written_dates(text, form, expected):
    found = parse_dates(pa.array([text]), form)
    assert found is None if expected is None else found.tolist() == [(expected - EPOCH).total_seconds()]


DATE = 1388507958.0
"""2013-12-31 16:39:18 UTC."""


def one(text, kind, form=None, column=None, **arguments):
    """Read a field of a kind after a number; None if the line is refused, else the value."""
    layout = Layout((Column("first", "integer"), column or Column("x", kind, form)), **{"delimiter": ",", **arguments})
    line = text if isinstance(text, bytes) else text.encode()
    parser = Parser(layout)
    parsed = parser.read(Block.of(b"7" + layout.delimiter.encode() + line))
    assert len(parsed.bad) + parsed.rows == 1
    assert (explain(b"7" + layout.delimiter.encode() + line, layout, parser.width, 0) is None) == bool(parsed.rows)
    return parsed.batches[0].column("x")[0].as_py() if parsed.rows else None


def words(line, *columns, **arguments):
    """Return what is said of a line that is refused: (found, expected)."""
    parsed = Parser(Layout(columns, **{"delimiter": ",", **arguments})).read(Block.of(line.encode()))
    assert (parsed.rows, len(parsed.bad)) == (0, 1)
    return parsed.bad[0][3:]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-0", 0),
        ("007", 7),
        ("+5", 5),
        (" 5\t", 5),
        ("9223372036854775807", 2**63 - 1),
        ("0" * 30 + "1", 1),
        *(
            (bad, None)
            for bad in ("", " ", "9223372036854775808", "-1", "1.0", "1e3", "0x1f", "0X1F", "1_0", "a", "NA")
        ),
        *((bad, None) for bad in ("++5", "+-5", "+", "- 5", "5 5", "٣", "nan", "null", "true", "5\0", "\x005", '"5"')),
        *((bad, None) for bad in ("5\v", "1,2", "5\r6", "\xa05", "\ufeff5")),
    ],
)
def test_integer(text, value):
    assert one(text, "integer") == value


ODD_ID = "an integer with no zero or sign before it (`--ids text` tells 07 from 7, `--ids integer` does not)"


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"])
@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("0", 0), ("10", 10), (" 5\t", 5), ("9223372036854775807", 2**63 - 1)),
        *((bad, None) for bad in ("00", "007", " 007", "\t 02134", "-0", "-00", "-7", "", "1.0", "0x1f", "a")),
    ],
)
def test_id(text, value, delimiter):
    if delimiter not in text:
        assert one(text, "id", delimiter=delimiter) == value
        # What stands beside it decides nothing.
        others = (*EDGE, Column("x", "id"), Column("t", "date"), Column("w", "number"), Column("name", "text"))
        for mark in ("a", "02134", "+5"):
            line = delimiter.join(["1", "007", text, "2021-03-01 08:00:00+01:00", "-0.5", mark])
            block = "\n".join([delimiter.join(["1", "2", "3", "2021-03-01", "-0", "b"])] * 3 + [line])
            parsed = Parser(Layout(others, delimiter=delimiter)).read(Block.of(block.encode()))
            assert [row["x"] for batch in parsed.batches for row in batch.to_pylist()] == [3, 3, 3] + [value] * (
                value is not None
            )


@pytest.mark.parametrize("line", ["007 1 2", "1 +7 2", "1\t02134 2", " 01 1 2", "1 -0 2", "1  00  2", "01 +1 +2"])
def test_ids_between_blanks(line):
    layout = Layout((Column("src", "id"), Column("dst", "id"), Column("time", "number")))
    parsed = Parser(layout).read(Block.of(f"0 10 00.5\n{line}\n3 4 +07\n".encode()))
    assert parsed.batches[0].to_pydict() == {"src": [0, 3], "dst": [10, 4], "time": [0.5, 7.0]}
    assert [(bad.line, bad.expected) for bad in parsed.bad] == [(1, ODD_ID)]


def test_ids_in_quotes():
    layout = Layout((Column("a", "id"), Column("b", "id"), Column("c", "text")), delimiter=",", quote=True)
    parsed = Parser(layout).read(Block.of(b'"1","2"," 03"\n"02","2","x"\n1,"03",x\n3,4,"05"\n'))
    assert parsed.batches[0].to_pydict() == {"a": [1, 3], "b": [2, 4], "c": [" 03", "05"]}
    assert [(bad.line, bad.found) for bad in parsed.bad] == [(1, "a '02'"), (2, "b '03'")]


def test_words_for_ids():
    columns = Column("src", "id", missing=True), Column("dst", "integer")
    assert words("02134,1", *columns) == ("src '02134'", ODD_ID)
    assert words("+5,1", *columns) == ("src '+5'", ODD_ID)
    assert words("-5,1", *columns) == ("src '-5'", "an integer from 0 up, below 2^63 (or give --ids text)")
    assert words("NaN,1", *columns) == ("src 'NaN', a missing id", "an integer from 0 up")
    assert words(",1", *columns) == ("src '', a missing id", "an integer from 0 up")
    assert words("1,NaN", *columns) == ("dst 'NaN'", "an integer from 0 up")


@given(st.lists(st.sampled_from(["0", "7", "10", "07", "+7", "-0", "00", " 5", "x", "2021-01-01 07:00"]), max_size=9))
@settings(max_examples=200, deadline=None)
def test_no_block_hides_a_leading_zero(texts):
    layout = Layout((Column("x", "id"), Column("s", "text")), delimiter=";")
    parsed = Parser(layout).read(Block.of("\n".join(f"{text};0{text}" for text in texts).encode()))
    bad = [at for at, text in enumerate(texts) if text not in ("0", "7", "10", " 5")]
    assert [each.line for each in parsed.bad] == bad


@pytest.mark.parametrize("size", [1, 2, (1 << 17) - 1, 1 << 17, (1 << 17) + 1])
def test_a_leading_zero_at_any_place(size):
    for text in (b"\n07", b";07", b'"07', b"; 07", b"07"):
        block = Block.of((b"1" * size if text != b"07" else b"") + text)
        assert block.has_leading_zero(";") is (text != b'"07')
    assert not Block.of(b"1" * size + b"x 07;0;10;100;1.01;1,01;2021-03-01").has_leading_zero(";")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("1.0", 1), ("0.0", 0), ("9", 9), ("1e3", 1000), (" 7.000", 7), ("9007199254740991.0", 2**53 - 1)),
        *(("1.2345e+04", 12345), ("1.000000000000000000e+00", 1), ("1.00000000000000001", None), ("1e-400", None)),
        *(
            ("9007199254740991.2", None),
            ("9.0071992547409912e+15", None),
            ("007.0", None),
            ("-0.0", None),
            ("+1.0", None),
        ),
        *((bad, None) for bad in ("1.5", "-1.0", "9007199254740992.0", "1e300", "nan", "inf", "", "a", "0x1p3")),
    ],
)
def test_whole(text, value):
    found = one(text, "whole")
    assert found == value
    assert found is None or isinstance(found, int)
    assert words("1.5", Column("src", "whole")) == ("src '1.5'", "a whole number from 0 up")
    assert words("NaN", Column("dst", "whole", missing=True))[0] == "dst 'NaN', a missing id"


def test_decimal_commas():
    for text, value in (("1,5", 1.5), ("-0,25", -0.25), ("7e-06", 7e-06), (",5", 0.5), ("3", 3.0), ("+1,5", 1.5)):
        assert one(text, "number", delimiter=";", decimal=",") == value
    for bad in ("1.5", "1.500,5", "1,5,2", ",", "1e,5"):
        assert one(bad, "number", delimiter=";", decimal=",") is None
    assert one("1,0", "whole", delimiter=";", decimal=",") == 1
    layout = Layout((Column("a", "id"),), delimiter=";", vector="rest", decimal=",")
    parsed = Parser(layout, dim=2).read(Block.of(b"1;0,5;+2\n2;0.5;2\n"))
    assert parsed.batches[0].to_pydict() == {"a": [1], "feat": [[0.5, 2.0]]}
    assert parsed.bad[0][3:] == ("feat[0] '0.5'", "a finite 32-bit number")
    between = Layout((Column("a", "integer"), Column("b", "number")), decimal=",")
    assert Parser(between).read(Block.of(b"1 +,5\n")).batches[0].to_pydict() == {"a": [1], "b": [0.5]}


def test_numbers_within_bounds():
    time = Column("x", "number", within=(1e8, 1e11, "Unix seconds"))
    texts = ("100000000", "99999999999.5", "99999999", "1e11", "0", "nan")
    assert [one(text, None, column=time) for text in texts] == [1e8, 99999999999.5, None, None, None, None]
    assert words("0", time) == ("x '0'", "Unix seconds")
    assert words("nan", time) == ("x 'nan'", "a finite number")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0.0),
        ("7e-06", 7e-06),
        ("-1.5", -1.5),
        ("+1.5", 1.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1E+5", 1e5),
        (" 0.1 ", 0.1),
        ("1e-999", 0.0),
        ("0.1000000000000000055511151231257827", 0.1),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        *((bad, None) for bad in ("", ".", "e5", "1e", "1e999", "nan", "NaN", "inf", "-Infinity", "0x1p3", "1_0.5")),
        *((bad, None) for bad in ("1,5", "1.5.2", "1.5f", "1d5", "++5", "+-5", "NA", "None", "5\0", "½", "1 2")),
    ],
)
def test_number(text, value):
    assert one(text, "number") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a", "a"),
        (" a b\t", " a b\t"),
        ("NA", "NA"),
        ("nan", "nan"),
        ("null", "null"),
        ("+5", "+5"),
        ("0x1f", "0x1f"),
        ('"a"', '"a"'),
        ("été ٣ 🦄", "été ٣ 🦄"),
        ("a\0b", "a\0b"),
        ("a\vb", "a\vb"),
        ("\xa0", "\xa0"),
        *((bad, None) for bad in ("", " ", "\t ", "\v\f", b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xc0\xaf", "a\rb")),
    ],
)
def test_text(text, value):
    assert one(text, "text") == value
    trimmed = None if value is None else value.strip(" \t\v\f\r")
    assert one(text, "text", column=Column("x", "text", trim=True)) == trimmed
    missing = None if value in ("NA", "nan", "null") else value
    assert one(text, "text", column=Column("x", "text", missing=True)) == missing


@pytest.mark.parametrize("delimiter", "\t,")
def test_blanks_in_quotes_are_cut_too(delimiter):
    column = Column("x", "text", trim=True)
    assert one(f'"{delimiter}a"', "text", column=column, quote=True, delimiter=delimiter) == ",a"[delimiter == "\t" :]
    assert one('"\t"', "text", column=column, quote=True, delimiter=delimiter) is None


@pytest.mark.parametrize("text", ["NaN", "nan", "NULL", "null", "None", "NA", "N/A", "<NA>", r"\N", ""])
def test_missing_texts(text):
    for name, what in (("src", "id"), ("node", "id"), ("label", "label")):
        column = Column(name, "text", trim=True, missing=True)
        assert words(f"{text} ,1", column, EDGE[1]) == (
            f"{name} {text + ' '!r}, a missing {what}", "text that is not blank",
        )  # fmt: skip
    if text:
        assert one(f" {text}", "text", column=Column("x", "text", missing=True)) == f" {text}"
        assert one(f"{text}1", "text", column=Column("x", "text", missing=True)) == f"{text}1"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2013-12-31 16:39:18", DATE),
        ("2013-12-31T16:39:18", DATE),
        ("2013-12-31 16:39:18.25", DATE + 0.25),
        ("2013-12-31 16:39:18.000001", DATE + 1e-6),
        ("2013-12-31 16:39:18.000001999", DATE + 1e-6),
        ("2013-12-31T17:39:18.2500009+01:00", DATE + 0.25),
        ("2500-01-01 00:00:00.0000009Z", 16725225600.0),
        ("1969-12-31 23:59:59.9999999", -1e-6),
        ("2013-12-31 16:39", DATE - 18),
        ("2013-12-31", DATE - 18 - 60 * (39 + 60 * 16)),
        ("2013-12-31 16:39:18Z", DATE),
        ("2013-12-31T17:39:18+01:00", DATE),
        ("2013-12-31 15:39:18-0100", DATE),
        ("1969-12-31 23:59:59", -1.0),
        ("2020-02-29", 1582934400.0),
        *((bad, None) for bad in ("", "2021-02-29", "2020-13-01", "2020-00-01", "2020-01-32", "20200101", "2020-1-1")),
        *(
            (bad, None)
            for bad in ("2020-01-01 24:00:00", "2020-01-01 00:60", "2020-01-01 00:00:00.1234567891", "1388507958")
        ),
        *(
            (bad, None)
            for bad in (" 2020-01-01", "2020-01-01x", "2020-01-01 00:00:00 Z", "31/12/2013", b"2020-01-01\xff")
        ),
    ],
)
def test_date(text, value):
    assert one(text, "date") == value


def test_dates_with_many_decimals_or_blanks_around_them_stand_beside_others():
    columns = Column("a", "date", trim=True), Column("b", "date")
    block = "\n".join(
        [
            "2020-02-29,1970-01-01",
            " 2020-02-29 ,1970-01-01 00:00:01.123456789",
            "2020-02-29, 1970-01-01",
            "2020-02-29T00:00:00Z,1970-01-01 00:00:00.0000005-01:00",
            "2020-02-29T00:00:00Z ,1970-01-01",
            " 2021-02-29,1970-01-01",
        ]
    )
    parsed = Parser(Layout(columns, delimiter=",")).read(Block.of(block.encode()))
    assert parsed.batches[0].to_pydict() == {"a": [1582934400.0] * 3, "b": [0.0, 1.123456, 3600.0]}
    assert [(bad.line, bad.found) for bad in parsed.bad] == [
        (2, "b ' 1970-01-01'"), (4, "a row that cannot be read"), (5, "a ' 2021-02-29'"),
    ]  # fmt: skip
    assert one(" 31/12/2013\t", "date", column=Column("x", "date", "%d/%m/%Y", trim=True)) == DATE - 59958


def test_date_with_a_format():
    assert one("31/12/2013 16:39:18", "date", "%d/%m/%Y %H:%M:%S") == DATE
    assert one("31/12/2013 17:39:18 +0100", "date", "%d/%m/%Y %H:%M:%S %z") == DATE
    for bad in ("2013-12-31 16:39:18", "30/02/2020 00:00:00", "31/12/2013", ""):
        assert one(bad, "date", "%d/%m/%Y %H:%M:%S") is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("19700102", 86400.0),
        ("20200229", 1582934400.0),
        ("19630101", -220924800.0),
        (" 19700102", 86400.0),
        *(
            (bad, None)
            for bad in ("20210229", "20200230", "2020-02-29", "200229", "020229", "20201301", "0", "", "2e7")
        ),
        *((bad, None) for bad in ("0x1312D00", "20200101000000", "-20200101", "00990101", "99999999")),
    ],
)
def test_yyyymmdd(text, value):
    assert one(text, "yyyymmdd") == value
    line = b"[7, %s]\n" % text.encode()
    parsed = Parser(Layout((Column("a", "integer"), Column("x", "yyyymmdd")), brackets=True)).read(Block.of(line))
    assert (parsed.batches[0].column("x")[0].as_py() if parsed.rows else None) == value


@pytest.mark.parametrize("text", ["", "x", "0x1f", "\0", b"\xff\xfe", "2020-99-99", "1e999"])
def test_skipped_fields_are_not_looked_at(text):
    layout = Layout((Column("a", "integer"), Column("x", "skip"), Column("b", "text")), delimiter=",")
    line = text if isinstance(text, bytes) else text.encode()
    assert Parser(layout).read(Block.of(b"7," + line + b",c")).batches[0].to_pydict() == {"a": [7], "b": ["c"]}


def test_hexadecimal_beside_text():
    layout = Layout((Column("name", "text"), Column("a", "integer"), Column("x", "number")), delimiter=";")
    block = b"0x1f;1;1\n0X;2;2\nmax;0x1f;3\nmin;0X1f;4\nx;10;5\n"
    parsed = Parser(layout).read(Block.of(block))
    assert parsed.batches[0].to_pydict() == {"name": ["0x1f", "0X", "x"], "a": [1, 2, 10], "x": [1.0, 2.0, 5.0]}
    assert [(bad.line, bad.before, bad.found) for bad in parsed.bad] == [(2, 2, "a '0x1f'"), (3, 2, "a '0X1f'")]


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("[1,2,19700102]", (1, 2, 86400.0)),
        ("[ 1 , 2,\t19700102 ]", (1, 2, 86400.0)),
        (" [1,2,19700102] \r\n", (1, 2, 86400.0)),
        ("[+1,2,19700102]", (1, 2, 86400.0)),
        *((bad, None) for bad in ("1,2,19700102", "[1,2,19700102", "1,2,19700102]", "[[1,2,19700102]]", "[]", "[1,2]")),
        *((bad, None) for bad in ("[1,2,19700102],", "[1,[2],19700102]", "[1,2,19700102]]", "[1,2,19700102][", "][")),
        *((bad, None) for bad in ("[1,2,19700102,]", "[1,,19700102]", "[1.0,2,19700102]", '["1",2,19700102]')),
        *((bad, None) for bad in ("[1,2,__import__('os')]", "[1,\v2,19700102]", "[1,2,19700102]\r[1,2,19700102]")),
    ],
)
def test_arrays(line, row):
    layout = Layout((Column("a", "integer"), Column("b", "integer"), Column("t", "yyyymmdd")), brackets=True)
    for block, rows, bad in ((line, 1, 0), (f"[7,8,19700101]\n{line}\n[9,9,19700101]\n", 3, 1)):
        parsed = Parser(layout).read(Block.of(block.encode()))
        found = [tuple(each.values()) for batch in parsed.batches for each in batch.to_pylist()]
        assert (row in found) == (row is not None)
        assert len(found) + len(parsed.bad) == rows
        assert [each.line for each in parsed.bad] == ([] if row else [bad])


@pytest.mark.parametrize("delimiter", [" ", ",", "\t"])
def test_a_carriage_return_within_a_line_is_never_a_blank(delimiter):
    layout = Layout(EDGE, delimiter=delimiter, comment="#")
    for block in ("1 2\r3 4\r5 6\r", "1 2\r\r", "1\r2", "\r1 2\r", "# x\r1 2\n# y \r\n#\r\v\n"):
        parsed = Parser(layout).read(Block.of(block.replace(" ", delimiter).encode()))
        assert parsed.rows == 0
        assert [bad[3:] for bad in parsed.bad] == [("a carriage return inside the line", "one at its end only")]
    parsed = Parser(layout).read(Block.of(b"1 2\r\n\v\r\r\n#\r\n5 6\r".replace(b" ", delimiter.encode())))
    assert (parsed.rows, parsed.bad, parsed.blank, parsed.comments) == (2, [], 1, 1)


@pytest.mark.parametrize("delimiter", [b" ", b","])
def test_comments_that_would_be_rows(delimiter):
    layout = Layout((Column("a", "text"), Column("b", "integer")), delimiter=delimiter.decode(), comment="#!")
    parsed = Parser(layout).read(Block.of(b"#!x 1\n#!\n#y 2\n#!\r\n#!z 3".replace(b" ", delimiter)))
    assert parsed.batches[0].to_pydict() == {"a": ["#y"], "b": [2]}
    assert not parsed.bad
    assert Parser(layout).read(Block.of(b"#!x 1\n#y 2\n".replace(b" ", delimiter))).rows == 1


def test_tabs_and_spaces_are_the_same_beside_text():
    layout = Layout((Column("a", "text"), Column("b", "text")))
    for block in (b"x y", b"x\ty", b"x\t y", b" x y\t", b"x \t y\r\n", b"\tx\ty\t\n"):
        assert Parser(layout).read(Block.of(block)).batches[0].to_pydict() == {"a": ["x"], "b": ["y"]}
    for block in (b"x\ty z", b"x y\tz", b"x\ty\tz", b"x\t", b"x "):
        assert Parser(layout).read(Block.of(block)).rows == 0


def test_arrays_in_arrays_are_refused_even_in_fields_that_are_skipped():
    layout = Layout((Column("a", "integer"), Column("b", "skip"), Column("c", "skip")), brackets=True)
    parsed = Parser(layout).read(Block.of(b'[1,2,3]\n[1,[2],3]\n[1,"x",]\n[1,[2,3]]\n[1,2,3]]\n[1,2,3]\n'))
    assert parsed.rows == 3
    assert [(bad.line, bad.found, bad.expected) for bad in parsed.bad] == [
        (line, "no plain JSON array", "`[a, b, c]`") for line in (1, 3, 4)
    ]


class TestQuotes:
    LAYOUT = Layout(
        (Column("a", "integer"), Column("b", "text"), Column("c", "skip")), delimiter=",", quote=True, comment="#"
    )

    def read(self, block, layout=LAYOUT):
        parsed = Parser(layout).read(Block.of(block))
        return [tuple(row.values()) for batch in parsed.batches for row in batch.to_pylist()], [
            b.line for b in parsed.bad
        ]

    @pytest.mark.parametrize(
        ("line", "row"),
        [
            (b'"3","BE",x', (3, "BE")),
            (b'3,"a,b","x,y"', (3, "a,b")),
            (b'3,"a""b",', (3, 'a"b')),
            (b'3,a"b,x', (3, 'a"b')),
            (b'3,"a\tb",x', (3, "a\tb")),
            *((bad, None) for bad in (b'3,"a,b,x', b'3,"a,b', b'3,a,"x', b'3,"a""', b'3,"",x', b'3," ",x', b'"3,a,x')),
        ],
    )
    def test_lines(self, line, row):
        expected = [row] if row else []
        assert self.read(line)[0] == self.read(line + b"\n")[0] == self.read(line + b"\r\n")[0] == expected
        rows, bad = self.read(b"1,a,\n" + line + b'\n2,"b",\n')
        assert rows == [(1, "a"), *expected, (2, "b")]
        assert bad == [] if row else [1]

    def test_a_field_may_not_go_over_a_line_end(self):
        assert self.read(b'1,"a\nb",x\n2,c,x\n') == ([(2, "c")], [0, 1])
        assert self.read(b'1,"a\n2,b",x\n2,c,x\n') == ([(2, 'b"'), (2, "c")], [0])
        assert self.read(b'1,"a\n\n   \n#\n",b\n2,c,x') == ([(2, "c")], [0, 4])

    @pytest.mark.parametrize("end", [b"", b"\n", b"\n\n", b"\n  \n", b"\r\n \r\n", b"\n#", b"\n# x\n"])
    def test_a_quote_open_at_the_end_of_a_block(self, end):
        assert self.read(b'1,a"b,x\n2,b,"x' + end) == ([(1, 'a"b')], [1])

    def test_a_lone_return_does_not_make_up_for_a_swallowed_line(self):
        layout = Layout((Column("a", "text"), Column("b", "text")), delimiter=",", quote=True)
        assert self.read(b'1,"a\n2,b"\n3,c\r4,d\n5,e\n', layout) == ([("2", 'b"'), ("5", "e")], [0, 2])


class TestVectors:
    def test_rest(self):
        layout = Layout((Column("a", "integer"), Column("b", "text")), delimiter=",", vector="rest")
        parsed = Parser(layout, dim=3).read(
            Block.of(b"1,x,0.1,-2,3e4\n2,y,1,2\n3,z,1,2,3,4\n4,w, 5 ,+6,7.\n5,v,,1,2\n")
        )
        batch = parsed.batches[0]
        assert batch.schema.field("feat").type == pa.list_(pa.float32(), 3)
        assert batch.column("a").to_pylist() == [1, 4]
        assert batch.column("feat").to_pylist() == [np.float32([0.1, -2, 3e4]).tolist(), [5, 6, 7]]
        assert [(bad.line, bad.before, bad.found) for bad in parsed.bad] == [
            (1, 1, "4 columns"),
            (2, 1, "6 columns"),
            (4, 2, "feat[0] ''"),
        ]

    def test_field(self):
        layout = Layout((Column("a", "text"),), delimiter="\t", vector="field")
        block = b"a\t0.1,-2,3e4\nb\t1,2\nc\t\nd\t1,2,3\t4\ne\t 5 ,6,7.\nf\t1,2,nan\ng\t1,2,1e39\n"
        parsed = Parser(layout, dim=3).read(Block.of(block))
        assert parsed.batches[0].column("a").to_pylist() == ["a", "e"]
        assert parsed.batches[0].column("feat").to_pylist() == [np.float32([0.1, -2, 3e4]).tolist(), [5, 6, 7]]
        assert [(bad.line, bad.found, bad.expected) for bad in parsed.bad] == [
            (1, "2 values of feat", "3, as in the first row"),
            (2, "1 values of feat", "3, as in the first row"),
            (3, "3 columns", "2 (`a\tfeat`)"),
            (5, "feat[2] 'nan'", "a finite 32-bit number"),
            (6, "feat[2] '1e39'", "a finite 32-bit number"),
        ]

    def test_a_field_of_one_value_that_is_empty(self):
        layout = Layout((Column("a", "text"),), delimiter="\t", vector="field")
        parsed = Parser(layout, dim=1).read(Block.of(b"a\t1\nb\t\nc\t \nd\t2\n"))
        assert parsed.batches[0].to_pydict() == {"a": ["a", "d"], "feat": [[1.0], [2.0]]}
        assert [bad.line for bad in parsed.bad] == [1, 2]
        assert Parser(layout, dim=1).read(Block.of(b"a\t1\nb\t\n")).rows == 1

    @pytest.mark.parametrize("vector", ["rest", "field"])
    def test_a_row_with_too_many_fields(self, vector):
        layout = Layout((Column("a", "text"),), delimiter="," if vector == "rest" else ";", vector=vector)
        line = Block.of((b"a," if vector == "rest" else b"a;") + b"1," * 200_000)
        parsed = Parser.of_first(line, layout).read(line)
        assert (parsed.rows, len(parsed.bad)) == (0, 1)


def positive(batch):
    """Refuse rows whose x is 0 in one way, and those whose x is 1 in another."""
    x = np.from_dlpack(batch.column("x"))
    if (x == 0).any():
        raise ValueError("x of nought")
    if (x == 1).any():
        raise ValueError("x of one", "an x\nfrom 2 up")
    return pa.record_batch([batch.column("x")] * 2, names=["x", "twice"])


def test_derive():
    layout = Layout((Column("x", "integer"),), delimiter=",", derive=positive)
    parsed = Parser(layout).read(Block.of(b"5\n0\n6\n1\nx\n7\n"))
    assert parsed.batches[0].to_pydict() == {"x": [5, 6, 7], "twice": [5, 6, 7]}
    assert [bad[:2] + bad[3:] for bad in parsed.bad] == [
        (1, 1, "x of nought", "lines of `x`"),
        (3, 2, "x of one", "an x from 2 up"),
        (4, 2, "x 'x'", "an integer from 0 up"),
    ]


ALL_KINDS = (Column("a", "integer"), Column("b", "number"), Column("d", "yyyymmdd"))
IDS = (Column("i", "id", missing=True), Column("w", "whole"), Column("b", "number", within=(0, 9, "below 9")))
SURE = [
    Layout(ALL_KINDS),
    Layout(ALL_KINDS, delimiter=","),
    Layout(ALL_KINDS, brackets=True),
    Layout((*ALL_KINDS, Column("c", "text")), delimiter="\t", comment="#"),
    Layout((*ALL_KINDS, Column("c", "text"), Column("s", "skip"))),
    Layout(ALL_KINDS, delimiter=",", vector="rest"),
    Layout((Column("c", "text"),), delimiter=";", vector="field"),
    Layout(IDS, comment="#"),
    Layout((*IDS, Column("c", "text", trim=True, missing=True)), delimiter=";", decimal=","),
    Layout((*IDS, Column("s", "skip")), delimiter="\t", vector="rest", decimal=","),
]
FIELDS = st.sampled_from(
    [
        *b"1 2 7 0 -0 -1 007 00 +07 1.0 2,5 2.5 .5 5. 1e5 1e39 1e999 nan inf 0x1f +3 ++3 a NA # e".split(),
        *(b"20200229", b"20210229", b"19700101"),
        *(b"", b"9" * 19, b"9" * 20, b"\xff", b"\xc3\xa9", b" 5", b"5\t", b"5\v", b"5\r", b"\0", b'"1"', b"[1", b"1,2"),
    ]
)
ODDS = st.sampled_from(
    [b",", b"\t", b" ", b"  ", b" \t", b"\xef\xbb\xbf", b";", b"[", b"]", b"\r", b"\v", b"\0", b'"', b"#"]
)


@st.composite
def lines_of(draw, layout, dim):
    """Draw a line that has some chance of being good."""
    width = len(layout.columns) + (dim if layout.vector == "rest" else bool(layout.vector))
    kinds = [column.kind for column in layout.columns] + ["number"] * (width - len(layout.columns))
    good = dict.fromkeys(("integer", "id", "whole", "number"), b"3")
    good |= {"yyyymmdd": b"20200229", "text": b"x", "skip": b"-"}
    fields = [draw(FIELDS) if draw(st.integers(0, 5)) == 0 else good[kind] for kind in kinds]
    if layout.vector == "field":
        fields[-1] = b",".join(draw(st.lists(FIELDS, min_size=dim, max_size=dim)))
    line = layout.delimiter.encode().join(fields)
    line = b"[" + line + b"]" if layout.brackets else line
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(line)))
        line = line[:at] + draw(ODDS) + line[at:]
    return line


CASES = st.tuples(st.sampled_from(SURE), st.integers(1, 3)).flatmap(
    lambda case: st.tuples(*map(st.just, case), st.lists(lines_of(*case), max_size=30))
)


@given(CASES)
@settings(max_examples=80, deadline=None)
def test_what_is_explained_is_refused_and_what_is_refused_is_explained(case):
    # The parser relies on the first half: lines with words are set aside without being tried alone.
    layout, dim, lines = case
    parser = Parser(layout, dim if layout.vector else 0)
    for line in lines:
        parsed = parser.read(Block.of(line))
        words = explain(line, layout, parser.width, parser.dim)
        if parsed.rows:
            assert words is None, line
        elif parsed.bad:
            assert words is not None, line


@given(CASES)
@settings(max_examples=80, deadline=None)
def test_a_block_is_its_lines(case):
    layout, dim, lines = case
    parser = Parser(layout, dim if layout.vector else 0)
    whole = parser.read(Block.of(b"\n".join(lines)))
    alone = [parser.read(Block.of(line)) for line in lines]
    assert [row for batch in whole.batches for row in batch.to_pylist()] == [
        row for each in alone for batch in each.batches for row in batch.to_pylist()
    ]
    assert [(bad.line, *bad[2:]) for bad in whole.bad] == [
        (at, *bad[2:]) for at, each in enumerate(alone) for bad in each.bad
    ]
    assert [bad.before for bad in whole.bad] == [
        sum(other.rows for other in alone[:at]) for at, each in enumerate(alone) for _ in each.bad
    ]
