import pickle
from collections import Counter
from datetime import datetime, timezone
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data_prep.rules import Growth, Rule, bin_times, parse_rule
from dgl_dysign.errors import ConfigError, DataError

STEP = Rule("step")
HOURLY = Rule("every", width=3600)
PANDAS = {"hour": "h", "day": "D", "week": "W", "month": "ME", "year": "YE"}
PERIODS = {"hour": "h", "day": "D", "week": "W", "month": "M", "year": "Y"}


def seconds(text):
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


# Each with the last moment before it that float64 tells apart from it, and some time around.
EDGES = [
    seconds(text)
    for text in (
        "1969-12-29", "1969-12-31", "1970-01-01", "1999-12-31", "2000-01-01", "2000-02-29", "2000-03-01", "2012-01-01",
        "2012-12-31", "2016-02-29", "2017-01-01", "2018-01-01", "2018-12-31", "2019-03-31", "2024-02-29", "2024-12-30",
    )
]  # fmt: skip
MOMENTS = st.one_of(
    st.builds(
        lambda edge, shift: np.nextafter(edge, -np.inf) if shift is None else float(edge + shift),
        st.sampled_from(EDGES),
        st.sampled_from([None, -86_400, -3600, -1, -0.5, 0, 0.5, 1, 3600, 86_399, 86_400]),
    ),
    st.integers(int(seconds("1965-01-01")), int(seconds("2030-01-01"))).map(float),
)
TIMES = st.lists(MOMENTS, min_size=1, max_size=40)
NUMBERS = st.lists(
    st.one_of(st.integers(-50, 50).map(float), st.integers(-5000, 5000).map(lambda n: n / 100), st.floats(-1e3, 1e3)),
    min_size=1,
    max_size=60,
)
RULES = st.one_of(
    st.builds(Rule, st.just("every"), width=st.sampled_from([0.1, 0.25, 1, 3, 7.5, 10_000]), merge=st.integers(1, 5)),
    st.builds(Rule, st.just("count"), count=st.integers(1, 20), merge=st.integers(1, 5)),
    st.builds(Rule, st.just("step"), merge=st.integers(1, 5)),
    st.builds(Rule, st.just("calendar"), unit=st.sampled_from(["hour", "day", "week", "month", "year", "roland-week"])),
)


def is_fine(time, rule):
    """Whether there would be more snapshots than a test has the time for."""
    return rule.kind in ("every", "calendar") and max(time) - min(time) > 1e4 * (rule.width or 86_400)


def bins_of(time, rule):
    time = np.asarray(time, dtype=np.float64)
    if rule.kind == "count":
        rule = Rule("count", count=min(rule.count, len(time)), merge=rule.merge)
    distinct = np.unique(time) if rule.needs_distinct else None
    kth = np.sort(time).take if rule.needs_order else None
    return bin_times(rule, time.min(), time.max(), distinct, kth, len(time), unix=True)


def count(bins, time):
    return np.bincount(bins.assign(np.asarray(time, dtype=np.float64)), minlength=bins.num_snapshots).tolist()


def timestamps(time):
    """The same moments for pandas, whose resolution is 1 ns: what lies before a boundary must stay before it."""
    nanoseconds = [int(Fraction(value) * 10**9 // 1) for value in time]
    return pd.DatetimeIndex(np.array(nanoseconds, dtype=np.int64).view("datetime64[ns]"))


@given(st.one_of(NUMBERS, TIMES), RULES)
@settings(max_examples=150, deadline=None)
def test_every_event_lies_in_its_own_range_and_ranges_tile(time, rule):
    if is_fine(time, rule):
        return
    time = np.array(time)
    bins = bins_of(time, rule)
    snapshot = bins.assign(time)
    assert snapshot.dtype == np.int32
    begin, end = bins.begin[snapshot], bins.end[snapshot]
    assert len(bins.begin) == len(bins.end) == bins.num_snapshots
    assert begin.dtype == end.dtype == np.float64
    if rule.kind == "step":
        assert ((begin <= time) & (time <= end)).all()
        assert (bins.begin[1:] > bins.end[:-1]).all()
        assert bins.begin[0] == time.min()
        assert bins.end[-1] == time.max()
    else:
        assert ((begin <= time) & (time < end)).all()
        assert (bins.begin[1:] == bins.end[:-1]).all()
        assert (bins.begin <= bins.end).all()
        assert bins.begin[0] <= time.min() < bins.end[0] or rule.kind == "count"
        assert bins.end[-1] > time.max()
    order = np.argsort(time, kind="stable")
    assert (np.diff(snapshot[order]) >= 0).all()
    # Neither the order of the events nor who stands beside whom plays a part.
    assert bins.assign(time[order]).tolist() == snapshot[order].tolist()
    assert [int(bins.assign(time[i : i + 1])[0]) for i in range(len(time))] == snapshot.tolist()
    assert bins_of(time[order], rule).begin.tolist() == bins.begin.tolist()


@given(st.one_of(NUMBERS, TIMES), RULES, st.integers(1, 40))
@settings(max_examples=100, deadline=None)
def test_merging_n_is_integer_division_by_n(time, rule, merge):
    if is_fine(time, rule):
        return
    fields = {"width": rule.width, "unit": rule.unit, "count": rule.count}
    one, many = (bins_of(time, Rule(rule.kind, **fields, merge=n)) for n in (1, merge))
    assert many.assign(np.array(time)).tolist() == (one.assign(np.array(time)) // merge).tolist()
    assert many.num_snapshots == -(-one.num_snapshots // merge)
    assert many.begin.tolist() == one.begin[::merge].tolist()
    assert many.end[-1] == one.end[-1]
    assert many.manifest == ({**one.manifest, "merge": merge} if merge > 1 else one.manifest)


@given(st.one_of(NUMBERS, TIMES), RULES)
@settings(max_examples=100, deadline=None)
def test_the_manifest_repeats_the_rule_and_everything_travels(time, rule):
    if is_fine(time, rule):
        return
    bins = bins_of(time, rule)
    kind = {"grid": "step", "rank": "step"}.get(bins.manifest["kind"], bins.manifest["kind"])
    fields = {key: value for key, value in bins.manifest.items() if key in ("width", "unit", "count", "merge")}
    again = bins_of(time, Rule(kind, **fields))
    sent = pickle.loads(pickle.dumps(bins))
    for other in (again, sent):
        assert other.begin.tolist() == bins.begin.tolist()
        assert other.end.tolist() == bins.end.tolist()
        assert other.assign(np.array(time)).tolist() == bins.assign(np.array(time)).tolist()
    assert pickle.loads(pickle.dumps(rule)) == rule
    assert len({rule, pickle.loads(pickle.dumps(rule))}) == 1


@given(TIMES, st.sampled_from(list(PANDAS)))
@example([seconds("2024-01-07 23:59:59"), seconds("2024-01-08"), seconds("2024-01-14 12:00:00")], "week")
@example([seconds("1969-12-28 23:00:00"), seconds("1969-12-29"), 0.0], "week")
@example([np.nextafter(seconds("2016-03-01"), 0), seconds("2016-03-01"), seconds("2016-02-29")], "month")
@settings(max_examples=40, deadline=None)
def test_calendar_periods_are_those_of_pandas(time, unit):
    if unit == "hour" and max(time) - min(time) > 2e7:
        return
    bins = bins_of(time, Rule("calendar", unit=unit))
    found = count(bins, time)
    ones = pd.Series(1, index=timestamps(time)).sort_index()
    # After the last nanosecond of a week pandas may add an empty one.
    assert found == np.trim_zeros(ones.resample(PANDAS[unit]).sum().to_numpy(), "b").tolist()
    assert found == np.trim_zeros(ones.groupby(pd.Grouper(freq=PANDAS[unit])).sum().to_numpy(), "b").tolist()
    periods = pd.period_range(ones.index[0], ones.index[-1], freq=PERIODS[unit])
    assert bins.begin.tolist() == [start.timestamp() for start in periods.start_time]


def test_a_week_of_pandas_closes_on_sunday_at_midnight():
    ends = ["2024-01-01", "2024-01-07 23:59:59", "2024-01-08 00:00:00", "2024-01-14 23:59:59", "2024-01-29 00:00:00"]
    bins = bins_of([seconds(text) for text in ends], Rule("calendar", unit="week"))
    assert count(bins, [seconds(text) for text in ends]) == [2, 2, 0, 0, 1]
    assert bins.begin[0] == seconds("2024-01-01")
    assert bins.end[-1] == seconds("2024-02-05")
    assert bins.manifest == {"kind": "calendar", "unit": "week"}


@given(TIMES)
@settings(max_examples=100, deadline=None)
def test_filled_weeks_are_those_of_roland(time):
    bins = bins_of(time, Rule("calendar", unit="roland-week"))
    snapshot = bins.assign(np.array(time)).tolist()
    stamps = timestamps(time)
    groups = list(zip(stamps.strftime("%Y").astype(int), stamps.strftime("%W").astype(int), strict=True))
    rank = {group: number for number, group in enumerate(sorted(set(groups)))}
    filled = {number: rank for rank, number in enumerate(sorted(set(snapshot)))}
    assert [filled[number] for number in snapshot] == [rank[group] for group in groups]


def test_weeks_of_roland_leave_out_none():
    days = pd.date_range("1965-01-01", "2030-12-31", freq="D")
    time = days.astype("datetime64[s]").astype(np.int64).to_numpy().astype(np.float64)
    rule = Rule("calendar", unit="roland-week")
    groups = Counter(zip(days.strftime("%Y"), days.strftime("%W"), strict=True))
    assert count(bins_of(time, rule), time) == [groups[key] for key in sorted(groups)]
    # The two outer days alone make the same snapshots: nothing comes from what lies between.
    assert bins_of(time[[0, -1]], rule).begin.tolist() == bins_of(time, rule).begin.tolist()


def test_new_year_cuts_a_week_of_roland_in_two():
    # 2019 began on a Tuesday; 2018 on a Monday, where there is nothing to cut.
    time = [seconds(day) for day in ("2018-12-30", "2018-12-31", "2019-01-01", "2019-01-06", "2019-01-07")]
    assert count(bins_of(time, Rule("calendar", unit="roland-week")), time) == [1, 1, 2, 1]
    assert count(bins_of(time, Rule("calendar", unit="week")), time) == [1, 3, 1]
    time = [seconds(day) for day in ("2017-12-31", "2018-01-01", "2018-01-07")]
    assert count(bins_of(time, Rule("calendar", unit="roland-week")), time) == [1, 2]


@given(st.integers(-(10**6), 10**6), st.integers(0, 6), st.integers(1, 10**5), st.integers(0, 6), st.integers(1, 3000))
@settings(max_examples=100, deadline=None)
def test_boundaries_are_exact_decimal_numbers(origin, places, width, width_places, steps):
    low, step = Fraction(origin, 10**places), Fraction(width, 10**width_places)
    exact = [float(low + k * step) for k in range(steps + 1)]
    bins = bin_times(Rule("every", width=float(step)), float(low), exact[-1])
    assert bins.begin.tolist() == exact
    assert bins.assign(np.array(exact)).tolist() == list(range(steps + 1))
    before = np.nextafter(exact[1:], -np.inf)
    assert bins.assign(before[::-1].copy()).tolist() == list(range(steps))[::-1]


@given(st.floats(-1e300, 1e300), st.floats(1e-300, 1e300), st.floats(0, 3000))
@settings(max_examples=100, deadline=None)
def test_widths_of_any_size_tile_or_are_refused(low, width, ratio):
    high = low + width * ratio
    try:
        bins = bin_times(Rule("every", width=width), low, high)
    except ConfigError:
        assert width < 4 * np.spacing(max(abs(low), abs(high)))
        return
    assert (np.diff(bins.begin) > 0).all()
    time = np.array([high, *bins.begin[::-1], low])
    snapshot = bins.assign(time)
    assert snapshot.tolist() == (np.searchsorted(bins.begin, time, side="right") - 1).tolist()
    assert bins.begin[-1] <= high < bins.end[-1]


def test_three_tenths_are_three_times_a_tenth():
    bins = bin_times(Rule("every", width=0.1), 0.0, 0.35)
    assert bins.assign(np.array([0.3, 0.2, 0.1, 0.1 + 0.2])).tolist() == [3, 2, 1, 3]
    assert bins.manifest == {"kind": "every", "width": 0.1, "origin": 0.0}


def test_widths_count_from_the_first_event_and_keep_what_is_empty():
    time = [100.0, 3699.9, 3700.0, 3700.0, 18_200.0]
    bins = bins_of(time, HOURLY)
    assert count(bins, time) == [2, 2, 0, 0, 0, 1]
    assert bins.manifest == {"kind": "every", "width": 3600.0, "origin": 100.0}


@given(st.lists(st.integers(0, 12), min_size=1, max_size=60), st.integers(1, 20))
@settings(max_examples=150, deadline=None)
def test_counts_are_as_equal_as_ties_allow(values, number):
    number = min(number, len(values))
    bins = bins_of(values, Rule("count", count=number))
    found = count(bins, values)
    assert bins.num_snapshots == number
    assert bins.begin[0] == min(values)
    # A cut may fall only where the time changes; each takes the nearest such place to its ideal one.
    ordered = sorted(values)
    places = [i for i in range(len(values) + 1) if i in (0, len(values)) or ordered[i - 1] < ordered[i]]
    for j in range(1, number):
        cut, ideal = sum(found[:j]), j * len(values) // number
        assert cut in places
        assert abs(cut - ideal) == min(abs(place - ideal) for place in places)


def test_distinct_times_are_cut_evenly():
    time = np.random.default_rng(0).permutation(1000) / 7
    found = count(bins_of(time, Rule("count", count=7)), time)
    assert max(found) - min(found) <= 1
    assert bins_of(time, Rule("count", count=7)).manifest == {"kind": "count", "count": 7}


def test_a_run_of_ties_leaves_empty_snapshots():
    time = np.array([5.0] * 6 + [7.0] * 2)
    bins = bins_of(time, Rule("count", count=4))
    # Ideal cuts after 2, 4 and 6 events; the run of six lets them fall before it or behind it.
    assert count(bins, time) == [0, 6, 0, 2]
    assert bins.begin.tolist() == [5, 5, 7, 7]
    assert bins.end.tolist() == [5, 7, 7, np.nextafter(7, 8)]


def test_on_a_draw_the_run_goes_to_the_later_snapshot():
    time = np.array([1.0, 2.0, 2.0, 3.0])
    assert count(bins_of(time, Rule("count", count=2)), time) == [1, 3]


@given(st.integers(2, 400), st.sampled_from([3, 4, 6, 9, None]), st.floats(0, 0.45), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_empty_steps_of_an_even_grid_keep_their_index(steps, decimals, missing, seed):
    index = np.arange(steps)
    kept = np.random.default_rng(seed).random(steps) >= missing
    kept[[0, 1, -1]] = True
    if steps > 2 * kept.sum() or (decimals is not None and 10**-decimals > 0.05 / steps):
        return
    exact = index / (steps - 1)
    written = exact if decimals is None else np.array([float(f"{value:.{decimals}f}") for value in exact])
    bins = bins_of(written[kept], STEP)
    assert bins.assign(written[kept]).tolist() == index[kept].tolist()
    assert bins.num_snapshots == steps
    assert bins.begin is bins.end or bins.begin.tolist() == bins.end.tolist()
    np.testing.assert_allclose(bins.begin, exact, atol=0 if decimals is None else 1.01 * 10**-decimals, rtol=1e-12)
    assert bins.begin[index[kept]].tolist() == written[kept].tolist()
    if kept.sum() > 2:
        assert bins.manifest == {"kind": "grid", "origin": 0.0, "step": pytest.approx(1 / (steps - 1), rel=1e-2)}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([5.0], [0]),
        ([5.0, 9.0], [0, 1]),
        ([1975.0, 1976.0, 1978.0], [0, 1, 3]),
        ([0.0, 0.1, 0.37, 1.0], [0, 1, 2, 3]),
        ([0.0, 0.3, 0.5], [0, 1, 2]),
        ([0.0, 7e-06, 1.0], [0, 1, 2]),
        ([0.0, 1.0, 1e6], [0, 1, 2]),
        ([0.0, 10.0, 21.0, 30.0], [0, 1, 2, 3]),
        ([1.2e9, 1.2e9 + 1, 1.2e9 + 86400], [0, 1, 2]),
        ([0.0, 5e-324, 1e308], [0, 1, 2]),
        ([-1e308, 0.0, 1e308], [0, 1, 2]),
    ],
)
def test_times_off_a_grid_are_numbered_by_rank(values, expected):
    bins = bins_of(values, STEP)
    assert bins.assign(np.array(values)).tolist() == expected
    assert bins.begin[expected].tolist() == values
    assert (bins.manifest == {"kind": "rank"}) == (expected != [0, 1, 3])


@pytest.mark.parametrize(("steps", "merge", "left"), [(186, 10, 19), (25, 2, 13), (27, 1, 27), (27, 30, 1)])
def test_merged_steps_of_the_papers(steps, merge, left):
    time = np.arange(steps) / 10
    bins = bins_of(time, Rule("step", merge=merge))
    assert bins.num_snapshots == left
    assert bins.assign(time).tolist() == [step // merge for step in range(steps)]
    assert bins.end[0] == time[min(merge, steps) - 1]


@pytest.mark.parametrize("rule", [Rule("every", width=1), STEP, Rule("count", count=2)])
def test_times_outside_the_range_are_refused(rule):
    bins = bins_of([1.0, 1.5, 3.0], rule)
    assert bins.assign(np.empty(0)).tolist() == []
    for wrong in (0.9, 5.0, np.nan, np.inf, -np.inf):
        with pytest.raises(DataError, match="did a raw file change"):
            bins.assign(np.array([1.0, wrong, 2.0]))


@pytest.mark.parametrize("rule", [Rule("every", width=3600), Rule("calendar", unit="month"), Rule("count", count=500)])
@pytest.mark.parametrize("ordered", [True, False])
def test_many_times_cross_the_pieces_they_are_worked_in(rule, ordered):
    time = np.random.default_rng(0).integers(1_200_000_000, 1_450_000_000, 300_000) / 1.0
    time = np.sort(time) if ordered else time
    bins = bins_of(time, rule)
    assert bins.assign(time).tolist() == (np.searchsorted(bins.begin, time, side="right") - 1).tolist()


@pytest.mark.real
def test_wikipedia_has_744_hours(real_data):
    time = np.loadtxt(real_data / "wikipedia" / "wikipedia.csv", delimiter=",", skiprows=1, usecols=2)
    bins = bins_of(time, HOURLY)
    assert bins.num_snapshots == 744
    assert bins.assign(time).tolist() == (time // 3600).astype(int).tolist()


@pytest.mark.real
def test_bitcoin_otc_has_273_weeks(real_data):
    time = np.loadtxt(real_data / "bitcoin_otc" / "soc-sign-bitcoinotc.csv", delimiter=",", usecols=3)
    stamps = timestamps(time)
    weeks = bins_of(time, Rule("calendar", unit="week"))
    assert weeks.num_snapshots == 273
    assert count(weeks, time) == pd.Series(1, index=stamps).resample("W").sum().tolist()
    roland = bins_of(time, Rule("calendar", unit="roland-week"))
    groups = Counter(zip(stamps.strftime("%Y"), stamps.strftime("%W"), strict=True))
    assert len(groups) == 279
    assert [number for number in count(roland, time) if number] == [groups[key] for key in sorted(groups)]
    assert bins_of(time, Rule("every", width=604_800)).num_snapshots == 272


@pytest.mark.real
def test_bitcoin_alpha_in_any_order(real_data):
    time = np.loadtxt(real_data / "bitcoin_alpha" / "soc-sign-bitcoinalpha.csv", delimiter=",", usecols=3)
    assert (np.diff(time) < 0).any()
    bins = bins_of(time, Rule("calendar", unit="month"))
    assert count(bins, time) == pd.Series(1, index=timestamps(time)).sort_index().resample("ME").sum().tolist()


@pytest.mark.real
def test_dblp_has_27_steps(real_data):
    time = np.loadtxt(real_data / "dblp" / "dblp.txt", usecols=2)
    bins = bins_of(time, STEP)
    assert bins.num_snapshots == 27
    assert bins.manifest["kind"] == "grid"
    assert bins.assign(time).tolist() == np.unique(time, return_inverse=True)[1].tolist()
    assert bins_of(time, Rule("step", merge=10)).num_snapshots == 3


def grown(rule, times, cut, unix=True):
    """Bin times, of which those from `cut` on come later."""
    now, later = times[:cut], times[cut:]
    before = bin_times(rule, now[0], now[-1], np.unique(now), unix=unix)
    in_last = np.unique(now[before.assign(now) == before.num_snapshots - 1])
    return before, Growth(before, len(in_last)), later


@given(st.data(), st.sampled_from(["3600", "0.3", "7d", "hour", "day", "week", "month", "year", "roland-week"]))
def test_snapshots_that_go_on_are_those_of_all_times(data, every):
    rule = parse_rule(every, None, 1, Rule("step"))
    span = 100 * (rule.width or {"hour": 3600, "year": 3e7}.get(every, 86_400))
    times = np.array(sorted(data.draw(st.lists(st.floats(0, span), min_size=2, max_size=20)))) + 1_577_000_000
    before, growth, later = grown(rule, times, data.draw(st.integers(1, len(times) - 1)))
    allowed = growth.allowed(later)
    whole = bin_times(rule, times[0], times[-1], unix=True)
    assert np.array_equal(allowed, whole.assign(later) >= before.num_snapshots)
    if allowed.all():
        binning = growth.binning(float(times[-1]))
        assert np.array_equal(binning.begin, whole.begin)
        assert np.array_equal(binning.end, whole.end)
        assert binning.manifest == whole.manifest
        assert np.array_equal(binning.assign(times), whole.assign(times))


@pytest.mark.parametrize("merge", [1, 2, 3])
def test_steps_that_go_on_are_those_of_all_times(merge):
    grid, ranks = np.arange(24) / 23, np.arange(24.0) ** 3
    for times in (grid.round(6), ranks, np.delete(grid.round(6), [13, 14, 20])):
        before, growth, later = grown(Rule("step", merge=merge), times, 12, unix=False)
        assert not growth.allowed(before.end[-1])
        binning = growth.binning(later[-1], later)
        whole = bin_times(Rule("step", merge=merge), times[0], times[-1], times)
        assert np.array_equal(binning.assign(times), whole.assign(times))
        assert np.array_equal(binning.begin[: before.num_snapshots], before.begin)
        assert binning.begin == pytest.approx(whole.begin, abs=1e-15)
        assert binning.end == pytest.approx(whole.end, abs=1e-15)
        assert binning.manifest == whole.manifest


@pytest.mark.parametrize("late", [[1.5], [1.04], [1.1, 1.25], [1.0 + 1e-9, 1.1]])
def test_a_time_off_the_grid_of_the_steps_is_named(late):
    before = bin_times(Rule("step"), 0.0, 1.0, np.linspace(0, 1, 11))
    assert before.manifest["kind"] == "grid"
    if late == [1.5]:  # five steps on
        assert Growth(before).binning(1.5, np.array(late)).num_snapshots == 16
        return
    with pytest.raises(
        DataError, match=f"found the time {late[0] if late[0] != 1.1 else 1.25}, expected one on the even"
    ):
        Growth(before).binning(late[-1], np.array(late))
