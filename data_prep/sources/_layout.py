"""How the lines of a raw file are written, what makes a field one of its kind, and words for a line that is not."""

import csv
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_prep.parquet import arrow
from dgl_dysign.errors import ConfigError

Kind = Literal["integer", "number", "text", "date", "yyyymmdd", "skip"]
KINDS = ("integer", "number", "text", "date", "yyyymmdd", "skip")
BLANKS = b" \t\v\f\r"
_SHOWN = 24
_DAY = 86_400
_TO_BLANK = bytes.maketrans(b"\t\v\f\r", b"    ")
_INTEGER = re.compile(r"[ \t]*([+-]?)0*([0-9]{1,19})[ \t]*")
_NUMBER = re.compile(r"[ \t]*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t]*")
_DIGITS = re.compile(r"[ \t]*(\+?)0*([0-9]{8})[ \t]*")
_ISO = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})([ T]([01][0-9]|2[0-3])(:?[0-5][0-9](:?[0-5][0-9](\.[0-9]{1,6})?)?)?"
    r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)?)?"
)
_LARGEST = 2**63 - 1
_PAST_SINGLE = 3.4028235677973366e38


@dataclass(frozen=True)
class Column:
    """One column of a raw file.

    Parameters
    ----------
    name : str
        Its name in the record batches.
    kind : str
        ``integer``: int64 from 0 up. ``number``: finite float64. ``text``: UTF-8, not blank. ``date``: a written date,
        read as float64 seconds since 1970, UTC unless it names another zone (in a row, all dates do or none).
        ``yyyymmdd``: a real date in eight digits, read the same way. ``skip``: anything; not read.
    format : str, optional
        How a ``date`` is written, in the codes of :func:`time.strptime`; None is ISO 8601, to the microsecond.

    Raises
    ------
    ConfigError
        If the kind or the format is unknown.

    Examples
    --------
    >>> Column("time", "date", "%d/%m/%Y")
    Column(name='time', kind='date', format='%d/%m/%Y')
    """

    name: str
    kind: Kind
    format: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"found kind {self.kind!r} of column {self.name}, expected one of {', '.join(KINDS)}")
        if self.format is None:
            return
        if self.kind != "date":
            raise ConfigError(
                f"found a format for column {self.name} of kind {self.kind}, expected one of kind date only"
            )
        try:
            time.strptime(time.strftime(self.format, time.gmtime(0)), self.format)
        except ValueError as error:
            raise ConfigError(f"found date format {self.format!r} ({error}), expected one like %Y-%m-%d") from None


@dataclass(frozen=True)
class Layout:
    r"""How the rows of a raw file are written, one a line.

    Parameters
    ----------
    columns : tuple of Column
        From left to right.
    delimiter : str, default " "
        One character between fields; a blank stands for any run of blanks and tabs.
    header : int, default 0
        Number of lines at the beginning that are skipped.
    comment : str, optional
        Lines that begin with this are skipped.
    quote : bool, default False
        Fields may stand in double quotes (and then hold the delimiter, or ``""`` for a quote, but no line end).
    brackets : bool, default False
        Every line is a JSON array of integers; the delimiter is a comma.
    vector : {None, "rest", "field"}
        ``rest``: all fields after `columns` are one float32 vector, column ``feat``. ``field``: one more field holds
        that vector, separated by commas. The first good row sets its length, at most 65,536.
    derive : callable, optional
        Record batch -> record batch with columns added or changed, row by row; raises ``ValueError(found)`` or
        ``ValueError(found, expected)`` at a bad row.

    Raises
    ------
    ConfigError
        If the arguments do not go together.

    Examples
    --------
    >>> layout = Layout((Column("src", "integer"), Column("dst", "integer"), Column("time", "number")))
    >>> layout.form
    'src dst time'
    """

    columns: tuple[Column, ...]
    delimiter: str = " "
    header: int = 0
    comment: str | None = None
    quote: bool = False
    brackets: bool = False
    vector: Literal["rest", "field"] | None = None
    derive: Callable[[pa.RecordBatch], pa.RecordBatch] | None = None

    def __post_init__(self) -> None:
        if self.brackets:
            object.__setattr__(self, "delimiter", ",")
        kinds = {column.kind for column in self.columns}
        formats = {column.format for column in self.columns if column.kind == "date"}
        if len(self.delimiter) != 1 or self.delimiter in '\n\r"' or not self.delimiter.isascii():
            raise ConfigError(f"found delimiter {self.delimiter!r}, expected one ASCII character")
        if self.header < 0:
            raise ConfigError(f"found {self.header} header lines, expected 0 or more")
        if kinds <= {"skip"}:
            raise ConfigError("found no column that is given out, expected one or more")
        if len(formats) > 1:
            raise ConfigError("found two date formats in one layout, expected one")
        if self.brackets and (self.quote or self.vector or kinds & {"text", "date"}):
            raise ConfigError("found text, dates, quotes or a vector in JSON arrays, expected integers only")
        if self.quote and self.delimiter == " ":
            raise ConfigError("found quotes between runs of blanks, expected quotes with another delimiter only")
        if self.vector not in (None, "rest", "field"):
            raise ConfigError(f"found vector {self.vector!r}, expected None, 'rest' or 'field'")

    @property
    def form(self) -> str:
        """Names of the (first 24) columns as they stand in a line."""
        names = [column.name for column in self.columns] + ["feat"] * (self.vector is not None)
        names[_SHOWN:] = ["..."] * (len(names) > _SHOWN)
        return f"[{', '.join(names)}]" if self.brackets else self.delimiter.join(names)

    @cached_property
    def numeric(self) -> bool:
        """Whether every field is a number that is read; then a number may begin with a plus sign."""
        kinds = {column.kind for column in self.columns}
        return kinds <= {"integer", "number", "yyyymmdd"} and self.vector != "field"


def split(line: bytes, layout: Layout) -> list[str]:
    """Return the fields of a line without its line end; bytes that are no UTF-8 become lone surrogates."""
    if layout.delimiter == " ":
        return [_decode(field) for field in line.translate(_TO_BLANK).split(b" ") if field]
    text = _decode(line.removesuffix(b"\r"))
    if layout.brackets:
        text = text.strip(" \t\r").removeprefix("[").removesuffix("]")
    if layout.quote and '"' in text:
        try:
            return next(csv.reader([text], delimiter=layout.delimiter), [])
        except csv.Error:
            pass
    return text.split(layout.delimiter)


def plain_line(layout: Layout, dim: int) -> re.Pattern[bytes]:
    """Return a pattern of lines that are most likely good, to save them from `explain`, which is slower."""
    mark = re.escape(layout.delimiter.encode())
    # Blanks and brackets belong to one part of the pattern only: a run of them has one way to be read, not n * n.
    blanks = rb" \t\[\]" if layout.brackets or layout.delimiter == " " else b""
    other = rb'[^%s%s\r"]' % (mark, blanks)
    between = rb"[ \t]+" if layout.delimiter == " " else rb" *%s *" % mark if layout.brackets else mark
    number = rb"[-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
    skip = other + (b"+" if blanks else b"*")
    kinds = {"integer": rb"[0-9]{1,18}", "number": number, "yyyymmdd": rb"[12][0-9]{7}", "skip": skip}
    fields = [kinds.get(column.kind, other + b"+") for column in layout.columns]
    if layout.vector:
        again = b"," if layout.vector == "field" else mark
        fields.append(number + rb"(?:%s%s){%d}" % (again, number, dim - 1))
    line = between.join(fields)
    return re.compile((rb"\[ *%s *\]" % line if layout.brackets else line) + rb"\r?")


def explain(line: bytes, layout: Layout, width: int, dim: int) -> tuple[str, str] | None:
    """Say what was found in a line (without its end) and what was expected; None if nothing looks wrong.

    It should have `width` fields, those of a vector of `dim` values included. Whether a line is bad is for the parser
    to say; this only has the words.
    """
    if wrong := _wrong_form(line, layout):
        return wrong
    fields = split(line, layout)
    if len(fields) != width:
        return f"{len(fields)} columns", f"{width} (`{layout.form}`)"
    for column, text in zip(layout.columns, fields, strict=False):
        if expected := _expected(text, column, layout.numeric):
            return f"{column.name} {short(text)}", expected
    return _wrong_vector(fields[len(layout.columns) :], layout, dim)


def _wrong_form(line: bytes, layout: Layout) -> tuple[str, str] | None:
    if layout.brackets:
        inside = line.strip(BLANKS)
        if not (inside.startswith(b"[") and inside.endswith(b"]")) or b"[" in inside[1:] or b"]" in inside[:-1]:
            return "no plain JSON array", f"`{layout.form}`"
    if b"\r" in line.removesuffix(b"\r") and layout.delimiter != " ":
        return "a carriage return inside the line", "one at its end only"
    if layout.quote and line.count(b'"') % 2:
        return "an odd number of quotes", "a closing quote before the end of the line"
    return None


def _wrong_vector(fields: list[str], layout: Layout, dim: int) -> tuple[str, str] | None:
    if layout.vector == "field":
        fields = fields[0].split(",")
        if len(fields) != dim:
            return f"{len(fields)} values of feat", f"{dim}, as in the first row"
    for at, text in enumerate(fields):
        if not _NUMBER.fullmatch(text) or abs(float(text)) >= _PAST_SINGLE:
            return f"feat[{at}] {short(text)}", "a finite 32-bit number"
    return None


def _expected(text: str, column: Column, plus: bool) -> str | None:
    """Return what was expected of a field that does not fit; integers may begin with a plus sign where `plus`."""
    if column.kind == "integer":
        match = _INTEGER.fullmatch(text)
        value = int(match[1] + match[2]) if match else -1
        return None if 0 <= value <= _LARGEST and (plus or "+" not in text) else "an integer from 0 up"
    if column.kind == "number":
        return None if _NUMBER.fullmatch(text) and math.isfinite(float(text)) else "a finite number"
    if column.kind == "yyyymmdd":
        match = _DIGITS.fullmatch(text)
        good = match and (plus or not match[1]) and match[2] >= "1000" and is_date(match[2], "%Y%m%d")
        return None if good else "a real date as yyyymmdd"
    if column.kind in ("text", "date") and not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text):
        return "text in UTF-8"
    if column.kind == "text":
        return None if text.strip(" \t\n\v\f\r") else "text that is not blank"
    if column.kind == "date" and column.format is not None:
        return None if is_date(text, column.format) else f"a real date as {column.format}"
    if column.kind == "date":
        match = _ISO.fullmatch(text)
        return None if match and is_date(match[1], "%Y-%m-%d") else "a real date like 2013-12-31 16:39:18"
    return None


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


def short(text: str) -> str:
    """Return a quoted text of at most 60 characters, on one line."""
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


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
    again = pc.unique(texts.take(arrow(doubtful))).to_pylist() if len(doubtful) else []
    return np.true_divide(micros, 1e6) if all(is_date(text, form) for text in again) else None


def is_date(text: str, form: str) -> bool:
    """Whether a text is a real date as :func:`time.strptime` has it."""
    try:
        time.strptime(text, form)
    except ValueError:
        return False
    return True


def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return by year an offset into the second table, by offset + mmdd the day of the year or -1, by year its first."""
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
