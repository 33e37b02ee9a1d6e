"""How times become snapshots: one a step, equal widths, calendar periods, or equal numbers of events."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np

from dgl_dysign.errors import ConfigError, DataError

MOST_SNAPSHOTS = 5_000_000
SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
# Seconds of each period; 0 where they differ.
PERIODS = {"hour": 3600, "day": 86_400, "week": 604_800, "month": 0, "year": 0, "roland-week": 0}

# From 0001-01-01 to the end of 9999: Unix seconds beyond are milliseconds or not Unix times at all.
_CALENDAR = (-62_135_596_800, 253_402_300_800)
# 1970-01-01 was a Thursday, so that the last Monday before it was three days earlier.
_MONDAY = -3 * 86_400
_MOST_DECIMALS = 9
_EXACT = 2**53
_WIDTH = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)([smhdw]?)")
_SPELLINGS = (
    "step (one snapshot a distinct time), a number of seconds such as 86400, a width such as 15s, 30m (minutes), 1h, "
    f"1d or 2w, or a calendar period: {', '.join(PERIODS)}"
)
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Rule:
    """How times become snapshots.

    Parameters
    ----------
    kind : str
        ``"step"``: one snapshot a distinct time. ``"every"``: equal widths from the first event's time.
        ``"calendar"``: periods of the calendar, in UTC. ``"count"``: as equal numbers of events as ties allow.
    width : float
        Width of a snapshot in the time's own unit (``"every"``). Taken for the decimal number it prints as.
    unit : str
        Calendar period: hour, day, week (Monday to Sunday, as pandas' ``"W"``), month, year, or roland-week: weeks
        that New Year cuts in two, as ROLAND's groups by ``%Y`` and ``%W`` [1]_.
    count : int
        Number of snapshots (``"count"``).
    merge : int, default 1
        So many neighbouring snapshots become one; the last one may be made of fewer.

    Raises
    ------
    ConfigError
        If a number is out of range or a name is unknown.

    References
    ----------
    .. [1] You, Du, Leskovec, "ROLAND: Graph Learning Framework for Dynamic Graphs", KDD 2022.

    Examples
    --------
    >>> Rule("every", width=3600, merge=2)
    Rule(kind='every', width=3600, unit='', count=0, merge=2)
    """

    kind: str
    width: float = 0.0
    unit: str = ""
    count: int = 0
    merge: int = 1

    def __post_init__(self) -> None:
        if self.kind not in ("step", "every", "calendar", "count"):
            raise ConfigError(f"found a rule {self.kind!r}, expected step, every, calendar or count")
        if self.kind == "every" and not 0 < self.width < math.inf:
            raise ConfigError(f"found a width of {self.width} (--every), expected a positive number")
        if self.kind == "calendar" and self.unit not in PERIODS:
            raise ConfigError(f"found a period {self.unit!r} (--every), expected one of {', '.join(PERIODS)}")
        if self.kind == "count" and not 1 <= self.count <= MOST_SNAPSHOTS:
            raise ConfigError(f"found {self.count} snapshots (--snapshots), expected 1 to {MOST_SNAPSHOTS:,}")
        if not 1 <= self.merge <= MOST_SNAPSHOTS:
            raise ConfigError(
                f"found --merge {self.merge}, expected how many snapshots become one, 1 to {MOST_SNAPSHOTS:,}"
            )

    @property
    def needs_distinct(self) -> bool:
        """Whether :func:`bin_times` needs all distinct times."""
        return self.kind == "step"

    @property
    def needs_order(self) -> bool:
        """Whether :func:`bin_times` needs order statistics of all times."""
        return self.kind == "count"


def parse_rule(every: str | Rule | None, count: int | None, merge: int, default: Rule) -> Rule:
    """Read what stands after ``--every`` (or a rule), ``--snapshots`` and ``--merge``; by default as `default`.

    Raises
    ------
    ConfigError
        If `every` is none of the accepted spellings, both are given, or a number is out of range.

    Examples
    --------
    >>> parse_rule("7d", None, 1, Rule("step")).width
    604800.0
    >>> parse_rule("roland-week", None, 2, Rule("step"))
    Rule(kind='calendar', width=0.0, unit='roland-week', count=0, merge=2)
    >>> parse_rule(None, None, 10, Rule("step"))
    Rule(kind='step', width=0.0, unit='', count=0, merge=10)
    """
    if every is not None and count is not None:
        raise ConfigError(f"found --every {every} and --snapshots {count}, expected one of them; leave one out")
    if count is not None:
        return Rule("count", count=count, merge=merge)
    if every is None:
        return replace(default, merge=merge)
    if isinstance(every, Rule):
        return every if merge == 1 else replace(every, merge=merge)
    if every == "step":
        return Rule("step", merge=merge)
    if every in PERIODS:
        return Rule("calendar", unit=every, merge=merge)
    width = _WIDTH.fullmatch(every)
    if width is None:
        raise ConfigError(f"found --every {every}, expected {_SPELLINGS}")
    return Rule("every", width=float(Fraction(width[1]) * SECONDS[width[2]]), merge=merge)


@dataclass(frozen=True, eq=False)
class Binning:
    """The snapshots of a data set.

    Parameters
    ----------
    begin, end : numpy.ndarray
        Range of each snapshot, float64, shape (snapshots,): half-open ``[begin, end)``, one after the other without
        gaps; of steps the first and last step's own time, both included.
    manifest : dict
        The rule, for ``manifest.json``; with the data it gives the same snapshots again.
    closed : bool, default False
        Whether `end` belongs to the snapshot (steps).
    width : float, default 0
        Width of all snapshots (the last may be narrower) where it is the same, else 0.
    """

    begin: np.ndarray
    end: np.ndarray
    manifest: dict[str, Any] = field(repr=False)
    closed: bool = False
    width: float = 0.0

    @property
    def num_snapshots(self) -> int:
        """Number of snapshots, empty ones included."""
        return len(self.begin)

    def assign(self, time: np.ndarray) -> np.ndarray:
        """Give the snapshot (int32) of each time (float64, shape (events,), in any order).

        Raises
        ------
        DataError
            If a time lies outside the range that the snapshots were made for.
        """
        out = np.empty(len(time), dtype=np.int32)
        if not len(time):
            return out
        low, high = time.min(), time.max()
        if not (low >= self.begin[0] and (high < self.end[-1] or (self.closed and high == self.end[-1]))):
            raise DataError(
                f"found times from {low} to {high}, expected {self.begin[0]} to {self.end[-1]}, which the snapshots "
                "were made for; did a raw file change meanwhile? Prepare again"
            )
        # Pieces that fit the processor's cache: four times as fast as whole arrays.
        for start in range(0, len(time), _CHUNK):
            out[start : start + _CHUNK] = self._assign(time[start : start + _CHUNK])
        return out

    def _assign(self, time: np.ndarray) -> np.ndarray:
        first, last = np.searchsorted(self.begin, [time[0], time[-1]], side="right") - 1
        if 0 <= last - first <= len(time) and (time[1:] >= time[:-1]).all():
            cuts = np.searchsorted(time, self.begin[first + 1 : last + 1])
            return np.repeat(np.arange(first, last + 1, dtype=np.int32), np.diff(cuts, prepend=0, append=len(time)))
        if not self.width:
            return np.searchsorted(self.begin, time, side="right") - 1
        # The quotient may be off by one beside a boundary; the boundaries themselves decide.
        index = ((time - self.begin[0]) / self.width).astype(np.intp)
        np.minimum(index, self.num_snapshots - 1, out=index)
        index -= time < self.begin[index]
        index += time >= self.end[index]
        return index


def bin_times(
    rule: Rule,
    low: float,
    high: float,
    distinct: np.ndarray | None = None,
    kth: Callable[[np.ndarray], np.ndarray] | None = None,
    total: int = 0,
    *,
    unix: bool = False,
) -> Binning:
    """Make the snapshots of a data set from what the rule needs to know of its times.

    Boundary k of equal widths is ``origin + k * width`` in decimal numbers, rounded once; an event on a boundary
    belongs to the later snapshot. For equal counts, the ideal boundary ``j * total // count`` moves to the nearer end
    of the run of equal times around it (the former on a draw), so that events of one time stay together; a snapshot
    that has no event left is empty, with ``begin == end``. All rules keep empty snapshots.

    Parameters
    ----------
    rule : Rule
        The rule.
    low, high : float
        First and last time.
    distinct : numpy.ndarray, optional
        All distinct times, ascending, float64 (where ``rule.needs_distinct``).
    kth : callable, optional
        Gives the times at positions (int64 array, from 0) of the sorted times, such as ``np.sort(time).take``; called
        up to ``2 * log2(total) + 4`` times with as many positions as snapshots (where ``rule.needs_order``).
    total : int
        Number of events (where ``rule.needs_order``).
    unix : bool, default False
        Whether times are Unix seconds, which calendar rules need.

    Raises
    ------
    ConfigError
        If the rule does not suit the times: more than 5,000,000 snapshots, more snapshots than events, a calendar
        without Unix seconds, widths too fine for float64.
    DataError
        If times are not finite.

    Examples
    --------
    >>> bin_times(Rule("calendar", unit="month"), 0.0, 86400.0 * 31, unix=True).end.tolist()
    [2678400.0, 5097600.0]
    >>> time = np.array([1.0, 1.0, 1.0, 2.0, 3.0, 4.0])
    >>> bin_times(Rule("count", count=3), 1.0, 4.0, kth=np.sort(time).take, total=6).assign(time).tolist()
    [0, 0, 0, 1, 2, 2]
    >>> bin_times(Rule("step"), 0.0, 1.0, np.array([0.0, 0.333333, 1.0])).begin.round(2).tolist()
    [0.0, 0.33, 0.67, 1.0]
    """
    low, high = float(low), float(high)
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise DataError(f"found times from {low} to {high}, expected finite numbers; correct the raw file")
    more = {"merge": rule.merge} if rule.merge > 1 else {}
    if rule.kind == "step":
        if distinct is None:
            raise TypeError("the rule needs distinct")
        times, manifest = _step_times(distinct)
        return Binning(*_runs_of_steps(times, rule.merge), {**manifest, **more}, closed=True)
    if rule.kind == "count":
        if kth is None:
            raise TypeError("the rule needs kth")
        edges, manifest = _equal_counts(rule.count, high, kth, total), {"kind": "count", "count": rule.count}
    else:
        edges = _boundaries(rule, low, high, unix)
        about = {"width": float(rule.width), "origin": low} if rule.kind == "every" else {"unit": rule.unit}
        manifest = {"kind": rule.kind, **about}
    return Binning(*_merged(edges, rule.merge), {**manifest, **more}, width=_width(rule))


def _boundaries(rule: Rule, low: float, high: float, unix: bool) -> np.ndarray:
    """Boundaries of equal widths, or of periods of the calendar, from the one up to `low` to the one after `high`."""
    if rule.kind == "every":
        return _even_edges(low, high, rule.width)
    return _calendar_edges(rule.unit, low, high, unix)


def _width(rule: Rule) -> float:
    return float({"every": rule.width, "calendar": PERIODS.get(rule.unit, 0)}.get(rule.kind, 0) * rule.merge)


def _merged(edges: np.ndarray, merge: int) -> tuple[np.ndarray, np.ndarray]:
    """Begin and end of snapshots of so many ranges each; the last may have fewer."""
    begin, end = edges[:-1:merge], edges[merge::merge]
    return begin, end if len(end) == len(begin) else np.append(end, edges[-1])


def _runs_of_steps(times: np.ndarray, merge: int) -> tuple[np.ndarray, np.ndarray]:
    """First and last time of snapshots of so many steps each; the last may have fewer."""
    ends = times[np.minimum(np.arange(0, len(times), merge) + merge, len(times)) - 1]
    return times[::merge], ends


@dataclass(frozen=True)
class Growth:
    """How the snapshots of a data set go on by their own rule: those that are there stay as they are.

    Parameters
    ----------
    before : Binning
        The snapshots so far, with the rule of the manifest.
    last_steps : int
        Distinct times in the last of them (steps that were merged).

    Raises
    ------
    ConfigError
        If the rule says nothing about later times (equal numbers of events, snapshots of a table), or the last snapshot
        is made of fewer merged ones than the others, so that later events would belong to it.

    Examples
    --------
    >>> weeks = bin_times(Rule("calendar", unit="week"), 0.0, 0.0, unix=True)
    >>> growth = Growth(weeks)
    >>> bool(growth.allowed(weeks.end[-1])), growth.binning(weeks.end[-1]).num_snapshots
    (True, 2)
    """

    before: Binning
    last_steps: int = 1

    def __post_init__(self) -> None:
        rule, merge = self.before.manifest, self._merge
        kind = "given" if rule.get("given") else rule.get("kind")
        if kind not in ("every", "calendar", "rank", "grid"):
            what = "equal numbers of events" if kind == "count" else "a table's own snapshots"
            raise ConfigError(
                f"found snapshots of {what}, which say nothing about later times; prepare all events together, with a "
                "rule such as --every day to append to them later"
            )
        if merge > 1 and (number := self._parts % merge):
            raise ConfigError(
                f"found a last snapshot of {number} of the {merge} that make one (--merge), to which later events "
                "would belong; prepare all events together, or without --merge to append to them later"
            )

    @property
    def _merge(self) -> int:
        return int(self.before.manifest.get("merge", 1))

    @property
    def _rule(self) -> Rule:
        rule = self.before.manifest
        return Rule(rule["kind"], width=rule.get("width", 0.0), unit=rule.get("unit", ""), merge=self._merge)

    @property
    def _parts(self) -> int:
        """Number of the ranges, or steps, that the snapshots are made of."""
        begin, end, rule = self.before.begin, self.before.end, self.before.manifest
        if rule["kind"] == "rank":
            return self._merge * (len(begin) - 1) + self.last_steps
        if rule["kind"] == "grid":
            return round(float(end[-1] - begin[0]) / rule["step"]) + 1
        return len(_boundaries(self._rule, float(begin[0]), float(np.nextafter(end[-1], -np.inf)), True)) - 1

    def allowed(self, time: np.ndarray | float) -> Any:
        """Tell which times lie after the last snapshot."""
        last = self.before.end[-1]
        return np.greater(time, last) if self.before.closed else np.greater_equal(time, last)

    def binning(self, high: float, distinct: np.ndarray | None = None) -> Binning:
        """Return the snapshots up to a last time, old and new ones; of steps `distinct` has the new times, ascending.

        Raises ConfigError if there would be too many, DataError if a time does not lie on the grid of the steps.
        """
        before, manifest = self.before, self.before.manifest
        if before.closed:
            assert distinct is not None
            if manifest["kind"] == "grid":
                distinct, step = self._grid_times(distinct)
                manifest = {**manifest, "step": step}
            begin, end = _runs_of_steps(distinct, self._merge)
        else:
            edges = _boundaries(self._rule, float(before.begin[0]), high, True)
            begin, end = (values[before.num_snapshots :] for values in _merged(edges, self._merge))
        _check_number(before.num_snapshots + len(begin), float(before.begin[0]), high)
        begin, end = np.concatenate([before.begin, begin]), np.concatenate([before.end, end])
        return Binning(begin, end, manifest, closed=before.closed, width=0.0 if before.closed else _width(self._rule))

    def _grid_times(self, values: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the times of the grid after its last one, those that have events as they stand, and its step."""
        rule, last = self.before.manifest, float(self.before.end[-1])
        gaps = np.rint(np.diff(values, prepend=last) / rule["step"])
        index = self._parts - 1 + np.cumsum(gaps)
        _check_number(int(min(index[-1] + 1, 2**62)), rule["origin"], float(values[-1]))
        step = (values[-1] - rule["origin"]) / index[-1]
        times = rule["origin"] + np.arange(index[-1] + 1) * step
        index = index.astype(np.int64)
        # The last step so far, too: one new time alone always lies on the grid that it stretches.
        most = min(_resolution(np.append(last, values)), step / 10)
        off = np.abs(times[index] - values).max() > most or abs(times[self._parts - 1] - last) > most
        if off or gaps.min() < 1:
            steps = (values - last) / rule["step"]
            raise DataError(
                f"found the time {values[np.abs(steps - np.rint(steps)).argmax()]}, expected one on the even grid of "
                f"the steps so far, {last} + k * {rule['step']}; correct it, or prepare all events together"
            )
        times[index] = values
        return times[self._parts :], float(step)


def _step_times(values: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """Take the distinct times for snapshots, and the empty steps between them too if they lie on an even grid.

    A grid is taken when every time is within one unit of its last written decimal (and a tenth of a step) of
    ``origin + k * step`` and at least half of the steps hold events.
    """
    _check_number(len(values), float(values[0]), float(values[-1]))
    grid = _grid(values) if len(values) >= 3 else None
    if grid is None:
        return values, {"kind": "rank"}
    times, step = grid
    _check_number(len(times), float(values[0]), float(values[-1]))
    return times, {"kind": "grid", "origin": float(values[0]), "step": step}


@np.errstate(over="ignore", invalid="ignore")
def _grid(values: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Find the even grid that three or more distinct times lie on: its times and step, or None."""
    gaps = np.diff(values)
    unit = gaps[gaps < 1.5 * gaps.min()].mean()
    # More steps than this and the grid would be mostly empty; an overflow to inf or nan is no grid either.
    if not (values[-1] - values[0]) / unit <= 2 * len(values):
        return None
    index = np.concatenate([[0], np.cumsum(np.rint(gaps / unit).astype(np.int64))])
    step = (values[-1] - values[0]) / index[-1]
    times = values[0] + np.arange(index[-1] + 1) * step
    off = np.abs(times[index] - values).max()
    if off > min(_resolution(values), step / 10) or len(times) > 2 * len(values):
        return None
    times[index] = values
    return times, float(step)


def _resolution(values: np.ndarray) -> float:
    """One unit of the last decimal that the times were written with; almost 0 where they are whole or exact."""
    for decimals in range(_MOST_DECIMALS + 1):
        if np.array_equal(np.round(values, decimals), values):
            break
    exact = 1e-9 * max(1.0, float(np.abs(values).max()))
    return exact if decimals in (0, _MOST_DECIMALS) else 10.0**-decimals


def _even_edges(low: float, high: float, width: float) -> np.ndarray:
    """Boundaries ``low + k * width`` up to the first one after `high`, of decimal numbers: 3 * 0.1 is 0.3."""
    first, last, step = (Fraction(repr(value)) for value in (low, high, float(width)))
    number = (last - first) // step + 1
    _check_number(number, low, high)
    if width < 4 * math.ulp(max(abs(low), abs(high))):
        raise ConfigError(f"found a width of {width} (--every) for times up to {high}, which float64 cannot tell apart")
    scale = math.lcm(first.denominator, step.denominator)
    start, stride = int(first * scale), int(step * scale)
    try:
        if max(abs(start), abs(start + (number + 1) * stride), scale) < _EXACT:
            # Both sides of the division are exact, so its result is the nearest float64.
            edges = (start + stride * np.arange(number + 2)) / scale
        else:
            edges = np.array([(start + k * stride) / scale for k in range(number + 2)])
        if not math.isfinite(high - low):
            raise OverflowError
    except OverflowError:
        raise ConfigError(
            f"found a width of {width} (--every) for times from {low} to {high}, which float64 cannot hold; "
            "give --snapshots N"
        ) from None
    # The last boundary may be `high` itself once rounded, and ranges are half-open.
    return edges[: np.searchsorted(edges, high, side="right") + 1]


def _calendar_edges(unit: str, low: float, high: float, unix: bool) -> np.ndarray:
    """Begin of each calendar period in UTC from the one of `low` to the one after `high`."""
    if not unix:
        raise ConfigError(
            f"found --every {unit} for times that are not Unix seconds; a calendar needs them: give a width instead, "
            "such as --every 7d, or --snapshots N; or, of an edge list that counts seconds since 1970, --time-unit s"
        )
    if low < _CALENDAR[0] or high >= _CALENDAR[1]:
        raise ConfigError(
            f"found times from {low} to {high}, expected Unix seconds of the years 1 to 9999 for --every {unit}; "
            "of an edge list say what they count, as with --time-unit ms, or give --snapshots N"
        )
    first, last = math.floor(low), math.floor(high)
    if width := PERIODS[unit]:
        origin = _MONDAY if unit == "week" else 0
        start, stop = (first - origin) // width, (last - origin) // width + 2
        _check_number(stop - 1 - start, low, high)
        return (np.arange(start, stop) * width + origin).astype(np.float64)
    if unit == "roland-week":
        parts = np.union1d(_calendar_edges("week", low, high, unix), _calendar_edges("year", low, high, unix))
        return parts[np.searchsorted(parts, low, "right") - 1 : np.searchsorted(parts, high, "right") + 1]
    period = f"datetime64[{unit[0].upper()}]"
    start, stop = np.array([first, last], dtype="datetime64[s]").astype(period).astype(np.int64)
    return np.arange(start, stop + 2).astype(period).astype("datetime64[s]").astype(np.int64).astype(np.float64)


def _equal_counts(count: int, high: float, kth: Callable[[np.ndarray], np.ndarray], total: int) -> np.ndarray:
    """Boundaries between `count` runs of the sorted times of as equal lengths as ties allow, and their outer ends."""
    if count > total:
        raise ConfigError(f"found {count} snapshots (--snapshots) for {total} events, expected at most {total}")
    ideal = np.arange(count, dtype=np.int64) * total // count
    value = kth(ideal)
    former = _bisect(lambda at: kth(at) >= value, np.zeros_like(ideal), ideal)
    latter = _bisect(lambda at: kth(np.minimum(at, total - 1)) > value, ideal + 1, np.full_like(ideal, total))
    cut = np.where(ideal - former <= latter - ideal, former, latter)
    # The end is beyond the last time: ranges are half-open.
    stop = np.nextafter(high, np.inf)
    return np.append(np.where(cut < total, kth(np.minimum(cut, total - 1)), stop), stop)


def _bisect(test: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Smallest position in ``[low, high]`` from which on `test` is true; `high` where it never is."""
    while (low < high).any():
        middle = (low + high) // 2
        true = test(middle)
        low, high = np.where(true, low, np.minimum(middle + 1, high)), np.where(true, middle, high)
    return high


def _check_number(number: int, low: float, high: float) -> None:
    """Refuse more than 5,000,000 snapshots, naming a width that is coarse enough."""
    if number <= MOST_SNAPSHOTS:
        return
    fitting = [f"--every 1{unit} or " for unit, width in SECONDS.items() if high - low < width * (MOST_SNAPSHOTS - 1)]
    raise ConfigError(
        f"found more snapshots than {MOST_SNAPSHOTS:,} between the times {low} and {high}; give a coarser rule, "
        f"such as {fitting[0] if fitting else ''}--snapshots 1000"
    )
