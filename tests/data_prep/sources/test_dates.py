import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.sources._dates import from_digits, parse_dates

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
@settings(max_examples=300, deadline=None)
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
