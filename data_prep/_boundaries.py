"""Where snapshots begin and end: distinct times, equal widths, calendar periods, equal numbers of events."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from dgl_dysign.errors import ConfigError

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


def step_times(values: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
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


def even_edges(low: float, high: float, width: float) -> np.ndarray:
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


def calendar_edges(unit: str, low: float, high: float, unix: bool) -> np.ndarray:
    """Begin of each calendar period in UTC from the one of `low` to the one after `high`."""
    if not unix:
        raise ConfigError(
            f"found --every {unit} for times that are not Unix seconds; a calendar needs them: give a width instead, "
            "such as --every 7d, or --snapshots N"
        )
    if low < _CALENDAR[0] or high >= _CALENDAR[1]:
        raise ConfigError(
            f"found times from {low} to {high}, expected Unix seconds of the years 1 to 9999 for --every {unit}; "
            "divide milliseconds by 1000 first, or give --snapshots N"
        )
    first, last = math.floor(low), math.floor(high)
    if width := PERIODS[unit]:
        origin = _MONDAY if unit == "week" else 0
        start, stop = (first - origin) // width, (last - origin) // width + 2
        _check_number(stop - 1 - start, low, high)
        return (np.arange(start, stop) * width + origin).astype(np.float64)
    if unit == "roland-week":
        parts = np.union1d(calendar_edges("week", low, high, unix), calendar_edges("year", low, high, unix))
        return parts[np.searchsorted(parts, low, "right") - 1 : np.searchsorted(parts, high, "right") + 1]
    period = f"datetime64[{unit[0].upper()}]"
    start, stop = np.array([first, last], dtype="datetime64[s]").astype(period).astype(np.int64)
    return np.arange(start, stop + 2).astype(period).astype("datetime64[s]").astype(np.int64).astype(np.float64)


def equal_counts(count: int, high: float, kth: Callable[[np.ndarray], np.ndarray], total: int) -> np.ndarray:
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
        found = test(middle)
        low, high = np.where(found, low, np.minimum(middle + 1, high)), np.where(found, middle, high)
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
