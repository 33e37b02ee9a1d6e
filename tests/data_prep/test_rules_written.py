"""Rules as they are written on the command line, and those that are refused."""

import numpy as np
import pytest

from data_prep.rules import MOST_SNAPSHOTS, Rule, bin_times, parse_rule
from dgl_dysign.errors import ConfigError, DataError

STEP = Rule("step")


@pytest.mark.parametrize(
    ("every", "width"),
    [("1h", 3600), ("1d", 86_400), ("7d", 604_800), ("2w", 1_209_600), ("30m", 1800), ("15s", 15), ("86400", 86_400),
     ("0.5", 0.5), ("0.1h", 360), ("0.7h", 2520)],
)  # fmt: skip
def test_widths_as_written(every, width):
    assert parse_rule(every, None, 3, STEP) == Rule("every", width=width, merge=3)


@pytest.mark.parametrize("every", ["hour", "day", "week", "month", "year", "roland-week"])
def test_periods_as_written(every):
    assert parse_rule(every, None, 1, STEP) == Rule("calendar", unit=every)


def test_the_default_stands_where_nothing_is_written():
    hourly = Rule("every", width=3600)
    assert parse_rule(None, None, 1, hourly) == hourly
    assert parse_rule(None, None, 2, hourly) == Rule("every", width=3600, merge=2)
    assert parse_rule("step", None, 1, hourly) == STEP
    assert parse_rule(None, 9, 1, hourly) == Rule("count", count=9)
    assert [rule.needs_distinct for rule in (STEP, hourly, Rule("count", count=9))] == [True, False, False]
    assert [rule.needs_order for rule in (STEP, hourly, Rule("count", count=9))] == [False, False, True]


@pytest.mark.parametrize(
    "every",
    ["", "h", "1x", "-1h", "1 h", "1H", "weeks", "1e3", "1.", ".5h", "nan", "inf", "1month", "9" * 20, "٣h", "1h\n"],
)
def test_other_spellings_are_refused_with_the_list(every):
    with pytest.raises(ConfigError, match=r"expected step.*30m \(minutes\).*month, year, roland-week"):
        parse_rule(every, None, 1, STEP)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("1h", 3, 1), "--every 1h and --snapshots 3.*leave one out"),
        (("0h", None, 1), "width of 0.0"),
        ((None, 0, 1), "found 0 snapshots"),
        ((None, MOST_SNAPSHOTS + 1, 1), "expected 1 to 5,000,000"),
        ((None, None, 0), "--merge 0"),
        ((None, None, 10**20), "--merge"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, match):
    with pytest.raises(ConfigError, match=match):
        parse_rule(*arguments, STEP)


@pytest.mark.parametrize("fields", [{"kind": "weekly"}, {"kind": "calendar", "unit": "W"}, {"kind": "calendar"}])
def test_unknown_names_are_refused(fields):
    with pytest.raises(ConfigError, match="expected"):
        Rule(**fields)


def test_a_calendar_needs_unix_seconds():
    for unit in ("hour", "day", "week", "month", "year", "roland-week"):
        rule = Rule("calendar", unit=unit)
        with pytest.raises(ConfigError, match=r"not Unix seconds.*--every 7d"):
            bin_times(rule, 0.0, 1e9)
        with pytest.raises(ConfigError, match="--time-unit ms"):
            bin_times(rule, 1.2e12, 1.3e12, unix=True)


@pytest.mark.parametrize(
    ("rule", "low", "high", "match"),
    [
        (Rule("every", width=1), 0.0, 5e6, "such as --every 1m or --snapshots 1000"),
        (Rule("every", width=15), 0.0, 1e9, "such as --every 1h or"),
        (Rule("every", width=1e-300), -1e300, 1e300, "such as --snapshots 1000"),
        (Rule("calendar", unit="hour"), -6e10, 6e10, "such as --every 1d or"),
        (Rule("every", width=1e-9), 1.2e9, 1.2e9 + 1e-6, "cannot tell apart"),
        (Rule("every", width=1e308), -1e308, 1.7e308, "cannot hold"),
    ],
)
def test_too_many_or_too_fine_snapshots_are_refused(rule, low, high, match):
    with pytest.raises(ConfigError, match=match):
        bin_times(rule, low, high, unix=True)
    assert bin_times(Rule("every", width=1), 0.0, MOST_SNAPSHOTS - 1.0).num_snapshots == MOST_SNAPSHOTS


def test_too_many_steps_and_too_few_events_are_refused():
    many = np.sqrt(np.arange(MOST_SNAPSHOTS + 1))
    with pytest.raises(ConfigError, match="more snapshots than 5,000,000"):
        bin_times(STEP, many[0], many[-1], many)
    with pytest.raises(ConfigError, match=r"9 snapshots .* for 3 events"):
        bin_times(Rule("count", count=9), 0.0, 2.0, kth=np.arange(3.0).take, total=3)


@pytest.mark.parametrize(("low", "high"), [(np.nan, 1.0), (0.0, np.inf), (-np.inf, 0.0), (1.0, 0.0)])
def test_times_must_be_finite(low, high):
    with pytest.raises(DataError, match="expected finite"):
        bin_times(Rule("every", width=1), low, high)
