import datetime
import pickle

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.sources._layout import Column, Layout, from_digits, parse_dates
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
        ({"columns": (Column("a", "date"), Column("b", "date", "%Y"))}, "two date formats"),
    ],
)
def test_arguments_that_do_not_go_together(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Layout(**{"columns": EDGE, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a", "float"), "found kind 'float' of column a, expected one of integer, number"),
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
        ("", "%Y-%m-%d", None),
        ("soon", "%Y-%m-%d", None),
    ],
)
def test_written_dates(text, form, expected):
    found = parse_dates(pa.array([text]), form)
    assert found is None if expected is None else found.tolist() == [(expected - EPOCH).total_seconds()]
