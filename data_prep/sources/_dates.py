"""Written dates -> seconds since 1970, refusing days that no calendar has."""

import time

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_DAY = 86_400


def from_digits(value: np.ndarray) -> np.ndarray | None:
    """Turn dates written yyyymmdd into seconds since 1970 (float64); None if one of them is no real date.

    Examples
    --------
    >>> from_digits(np.array([19700102, 20000229]))
    array([8.640000e+04, 9.517824e+08])
    >>> from_digits(np.array([19000229])) is None
    True
    """
    year = value // 10_000
    if len(value) and not (year.min() >= 1000 and year.max() <= 9999):
        return None
    # Every table look-up is by year or by mmdd: small tables, whatever the range of years.
    day = _DAY_OF_YEAR.take(_LEAP.take(year) + (value - year * 10_000))
    if len(value) and day.min() < 0:
        return None
    return (_NEW_YEAR.take(year) + day).astype(np.float64) * _DAY


def parse_dates(texts: pa.Array, form: str) -> np.ndarray | None:
    """Parse dates written as `form` into seconds since 1970 (float64); None if one of them is no real date."""
    try:
        micros = np.from_dlpack(pc.strptime(texts, format=form, unit="us").view(pa.int64()))
    except pa.ArrowInvalid:
        return None
    # C's strptime takes February 30 for March 1 or 2; only days that can have come about so are looked at again.
    date = micros.astype("datetime64[us]").astype("datetime64[D]")
    early = (date - date.astype("datetime64[M]")).astype(np.int64) < 3
    doubtful = np.flatnonzero(early | ("%z" in form))
    if len(doubtful):
        rows = pa.Array.from_buffers(pa.int64(), len(doubtful), [None, pa.py_buffer(doubtful)])
        if not all(is_date(text, form) for text in pc.unique(texts.take(rows)).to_pylist()):
            return None
    return np.true_divide(micros, 1e6)


def is_date(text: str, form: str) -> bool:
    """Whether a text is a real date as :func:`time.strptime` has it."""
    try:
        time.strptime(text, form)
    except ValueError:
        return False
    return True


def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, by year, where its days begin in the second table and its first day; by mmdd, the day (-1 if none)."""
    days = np.full(20_000, -1, np.int64)
    for offset, year in ((0, 2001), (10_000, 2000)):
        dates = np.arange(f"{year}-01-01", f"{year + 1}-01-01", dtype="datetime64[D]")
        months = dates.astype("datetime64[M]")
        month, day = months.astype(np.int64) % 12 + 1, (dates - months).astype(np.int64) + 1
        days[offset + 100 * month + day] = np.arange(len(dates))
    new_year = np.arange(-1970, 10_001 - 1970).astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)
    leap = np.where(np.diff(new_year) == 366, 10_000, 0)
    return leap, days, new_year


_LEAP, _DAY_OF_YEAR, _NEW_YEAR = _tables()
