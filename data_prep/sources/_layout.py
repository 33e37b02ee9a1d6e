"""How the lines of a raw file are written, and blocks of whole lines -> record batches, by ``pyarrow.csv``.

A block is taken whole or not at all; one that is not is cut at line ends and its pieces are tried, down to single
lines. So a row is bad if and only if it is refused alone, and the rows do not depend on how a file is cut into blocks.
"""

import csv as text_csv
import math
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from data_prep.sources._codec import text_codec
from data_prep.writer import arrow, strings
from dgl_dysign.errors import ConfigError

Kind = Literal["integer", "id", "whole", "number", "text", "class", "date", "yyyymmdd", "skip"]
KINDS = ("integer", "id", "whole", "number", "text", "class", "date", "yyyymmdd", "skip")
_NUMERIC = {"integer", "id", "whole", "number", "yyyymmdd"}
MISSING = ("NaN", "nan", "NULL", "null", "None", "NA", "N/A", "<NA>", r"\N")
"""What stands for a missing value in columns that may miss some, as does nothing at all."""
_LACKS = ("", *MISSING)
BLANKS = b" \t\v\f\r"
_BLANKS = BLANKS.decode()
_SHOWN = 24
_DAY = 86_400
_YEAR_1 = -62_135_596_800
_TO_BLANK = bytes.maketrans(b"\t\v\f\r", b"    ")
_INTEGER = re.compile(r"[ \t]*([+-]?)0*([0-9]{1,19})[ \t]*")
_ODD_ID = r"^[ \t]*([+-]|0[0-9])"
_FRACTION = r"[.,][0-9]*[1-9][ \t]*$|[.,][0-9]{15}0*[1-9][0-9]*[eE]|[eE]-"
"""What may be cut where a whole number is read as float64."""
_CANONICAL = "an integer with no zero or sign before it (`--ids text` tells 07 from 7, `--ids integer` does not)"
_NUMBER = {
    point: re.compile(r"[ \t]*[+-]?([0-9]+(%s[0-9]*)?|%s[0-9]+)([eE][+-]?[0-9]+)?[ \t]*" % (2 * (re.escape(point),)))
    for point in ".,"
}
_DIGITS = re.compile(r"[ \t]*(\+?)0*([0-9]{8})[ \t]*")
_ISO = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})([ T]([01][0-9]|2[0-3])(:?[0-5][0-9](:?[0-5][0-9](\.[0-9]{1,9})?)?)?"
    r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)?)?"
)
_BEYOND_MICROS = r"^([^.]*\.[0-9]{6})[0-9]{1,3}([Z+-].*)?$"
_LARGEST = 2**63 - 1
_WHOLE = 2**53
"""From here on, several whole numbers are one float64."""
_PAST_SINGLE = 3.4028235677973366e38


@dataclass(frozen=True)
class Column:
    """One column of a raw file.

    Parameters
    ----------
    name : str
        Its name in the record batches.
    kind : str
        ``integer``: int64 from 0 up. ``id``: the same, but a number that is written with a leading zero or a sign is
        refused. ``whole``: the same of numbers without a fraction (``1.0``), below 2^53. ``number``: finite
        float64. ``text``: UTF-8, not blank. ``class``: UTF-8, blank where there is none. ``date``: a written date, read
        as float64 seconds since 1970, UTC unless it names another zone (in a row, all dates do or none). ``yyyymmdd``:
        a real date in eight digits, read the same way. ``skip``: anything; not read.
    format : str, optional
        How a ``date`` is written, in the codes of :func:`time.strptime`; None is ISO 8601, of whose seconds up to nine
        decimals are read and cut to six.
    trim : bool, default False
        Cut the blanks around a ``text`` or a ``date``; those around numbers never matter.
    missing : bool, default False
        Refuse what stands for a missing value, :data:`MISSING`.
    within : tuple of (float, float, str), optional
        Lowest ``number``, the first that is too large, and what is said to be expected of others.
    odd : tuple of (str, str, str)
        What a ``text`` must not begin with; what is then said to be found, and expected.

    Raises
    ------
    ConfigError
        If the kind or the format is unknown.

    Examples
    --------
    >>> Column("time", "date", "%d/%m/%Y")
    Column(name='time', kind='date', format='%d/%m/%Y', trim=False, missing=False, within=None, odd=())
    """

    name: str
    kind: Kind
    format: str | None = None
    trim: bool = False
    missing: bool = False
    within: tuple[float, float, str] | None = None
    odd: tuple[tuple[str, str, str], ...] = ()

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
        So many of the first lines, blank ones and comments not counted, are skipped.
    comment : str, optional
        Lines that begin with this are skipped.
    quote : bool, default False
        Fields may stand in double quotes (and then hold the delimiter, or ``""`` for a quote, but no line end).
    brackets : bool, default False
        Every line is a JSON array of integers; the delimiter is a comma.
    vector : {None, "rest", "field"}
        ``rest``: all fields after `columns` are one float32 vector, column ``feat``. ``field``: one more field holds
        that vector, separated by commas. The first good row sets its length, at most 65,536.
    decimal : str, default "."
        Sign before the fraction of a number, a dot or a comma.
    encoding : str, default "utf-8"
        How the file's text is written, a codec of Python's; UTF-16 and UTF-32 with a mark are recognised anyway.
    derive : callable, optional
        Record batch -> record batch with columns added or changed, row by row; raises ``ValueError(found)`` or
        ``ValueError(found, expected)`` at a bad row.

    Raises
    ------
    ConfigError
        If the arguments do not go together, or Python has no such encoding.

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
    decimal: str = "."
    encoding: str = "utf-8"
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
        if self.brackets and (self.quote or self.vector or kinds - {"integer", "number", "yyyymmdd", "skip"}):
            raise ConfigError("found text, dates, quotes or a vector in JSON arrays, expected integers only")
        if self.quote and self.delimiter == " ":
            raise ConfigError("found quotes between runs of blanks, expected quotes with another delimiter only")
        if self.vector not in (None, "rest", "field"):
            raise ConfigError(f"found vector {self.vector!r}, expected None, 'rest' or 'field'")
        text_codec(self.encoding)
        if self.decimal not in (".", ","):
            raise ConfigError(f"found decimal sign {self.decimal!r}, expected a dot or a comma")
        if self.decimal == self.delimiter or (self.decimal == "," and self.vector == "field"):
            raise ConfigError(
                f"found {self.decimal!r} within numbers and between them, expected different signs; give another "
                "--decimal or --delimiter"
            )

    @property
    def form(self) -> str:
        """Names of the (first 24) columns as they stand in a line."""
        names = [column.name for column in self.columns] + ["feat"] * (self.vector is not None)
        names[_SHOWN:] = ["..."] * (len(names) > _SHOWN)
        return f"[{', '.join(names)}]" if self.brackets else self.delimiter.join(names)

    @cached_property
    def numeric(self) -> bool:
        """Whether every field is a number that is read; then a number may begin with a plus sign."""
        return {column.kind for column in self.columns} <= _NUMERIC and self.vector != "field"


def is_row(line: bytes, comment: str | None) -> bool:
    """Whether a line is neither blank nor a comment; one that holds a carriage return may hold a row, too."""
    text = line.strip(BLANKS + b"\n")
    return bool(text) and not (comment and line.startswith(comment.encode()) and b"\r" not in text)


def split(line: bytes, layout: Layout) -> list[str]:
    """Return the fields of a line without its line end; bytes that are no UTF-8 become lone surrogates."""
    if layout.delimiter == " ":
        return [_decode(field) for field in line.translate(_TO_BLANK).split(b" ") if field]
    text = _decode(line.removesuffix(b"\r"))
    if layout.brackets:
        text = text.strip(" \t\r").removeprefix("[").removesuffix("]")
    if layout.quote and '"' in text:
        try:
            return next(text_csv.reader([text], delimiter=layout.delimiter), [])
        except text_csv.Error:
            pass
    return text.split(layout.delimiter)


def plain_line(layout: Layout, dim: int) -> re.Pattern[bytes]:
    """Return a pattern of lines that are most likely good, to save them from `explain`, which is slower."""
    mark = re.escape(layout.delimiter.encode())
    # Blanks and brackets belong to one part of the pattern only: a run of them has one way to be read, not n * n.
    blanks = rb" \t\[\]" if layout.brackets or layout.delimiter == " " else b""
    other = rb'[^%s%s\r"]' % (mark, blanks)
    between = rb"[ \t]+" if layout.delimiter == " " else rb" *%s *" % mark if layout.brackets else mark
    number = rb"[-+]?[0-9]+(?:%s[0-9]+)?(?:[eE][-+]?[0-9]+)?" % re.escape(layout.decimal.encode())
    skip = other + (b"+" if blanks else b"*")
    kinds = {
        "integer": rb"[0-9]{1,18}",
        "id": rb"(?:0|[1-9][0-9]{0,17})",
        "whole": rb"(?:0|[1-9][0-9]{0,14})(?:%s0+)?" % re.escape(layout.decimal.encode()),
        "number": number,
        "yyyymmdd": rb"[12][0-9]{7}",
        "skip": skip,
        "class": skip,
    }
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
        value = text.strip(_BLANKS) if column.trim else text
        for sign, what, words in column.odd:
            if value.startswith(sign):
                return f"{column.name} that begins with {what}", words
        if expected := _expected(value, column, layout):
            lacks = column.missing and text.strip(_BLANKS) in _LACKS
            what = f", a missing {column.name if column.name == 'label' else 'id'}" if lacks else ""
            return f"{column.name} {short(text)}{what}", expected
    return _wrong_vector(fields[len(layout.columns) :], layout, dim)


def _wrong_form(line: bytes, layout: Layout) -> tuple[str, str] | None:
    if layout.brackets:
        inside = line.strip(BLANKS)
        if not (inside.startswith(b"[") and inside.endswith(b"]")) or b"[" in inside[1:] or b"]" in inside[:-1]:
            return "no plain JSON array", f"`{layout.form}`"
    if b"\r" in line.removesuffix(b"\r"):
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
        if abs(_number(text, layout.decimal)) >= _PAST_SINGLE:
            return f"feat[{at}] {short(text)}", "a finite 32-bit number"
    return None


def _expected(text: str, column: Column, layout: Layout) -> str | None:
    """Return what was expected of a field that does not fit; integers may begin with a plus sign in some layouts."""
    if column.kind in ("integer", "id"):
        match = _INTEGER.fullmatch(text)
        value = int(match[1] + match[2]) if match else -1
        if not 0 <= value <= _LARGEST or ("+" in text and not layout.numeric):
            named = column.kind == "id" and text not in _LACKS
            return "an integer from 0 up" + ", below 2^63 (or give --ids text)" * named
        return _CANONICAL if column.kind == "id" and re.match(_ODD_ID, text) else None
    if column.kind in ("number", "whole"):
        number = _number(text, layout.decimal)
        if column.kind == "whole":
            if not 0 <= number < _WHOLE or not number.is_integer() or re.search(_FRACTION, text):
                return "a whole number from 0 up"
            return _CANONICAL if re.match(_ODD_ID, text) else None
        low, high, words = column.within or (-math.inf, math.inf, "")
        return "a finite number" if not math.isfinite(number) else None if low <= number < high else words
    if column.kind == "yyyymmdd":
        match = _DIGITS.fullmatch(text)
        good = match and (layout.numeric or not match[1]) and match[2] >= "1000" and is_date(match[2], "%Y%m%d")
        return None if good else "a real date as yyyymmdd"
    is_text = column.kind in ("text", "class", "date")
    if is_text and not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text):
        return "text in UTF-8 (or give its --encoding)"
    if column.kind == "text":
        lacks = column.missing and text in MISSING
        return None if text.strip(_BLANKS) and not lacks else "text that is not blank"
    if column.kind == "date" and column.format is not None:
        return None if is_date(text, column.format) else f"a real date as {column.format}"
    if column.kind == "date":
        match = _ISO.fullmatch(text)
        return None if match and is_date(match[1], "%Y-%m-%d") else "a real date like 2013-12-31 16:39:18"
    return None


def _number(text: str, decimal: str) -> float:
    """Return the value of a number, infinity if it is none."""
    return float(text.replace(decimal, ".")) if _NUMBER[decimal].fullmatch(text) else math.inf


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


def short(text: str) -> str:
    """Return a quoted text of at most 60 characters, on one line."""
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def plain(value: object) -> str:
    """Return a value for a message: as it stands, or quoted where that would not be plain."""
    text = str(value)
    return text if text.isprintable() and text == text.strip() and 0 < len(text) <= 60 else short(text)


def from_digits(value: np.ndarray) -> np.ndarray | None:
    """Turn dates written yyyymmdd into seconds since 1970 (float64); None if one of them is no real date.

    >>> from_digits(np.array([19700102, 20000229]))
    array([8.640000e+04, 9.517824e+08])
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
    # C's strptime takes February 30 for March 1 or 2, years of fewer digits, and blanks anywhere; what can have come
    # about so is looked at again.
    date = micros.astype("datetime64[us]").astype("datetime64[D]")
    odd = (date - date.astype("datetime64[M]")).astype(np.int64) < 3
    odd |= date < np.datetime64("1000-01-01")
    odd |= np.from_dlpack(pc.count_substring(texts, " ")) != form.count(" ")
    doubtful = np.flatnonzero(odd | ("%z" in form) | ("%y" in form))
    again = pc.unique(texts.take(arrow(doubtful))).to_pylist() if len(doubtful) else []
    return np.true_divide(micros, 1e6) if all(is_date(text, form) for text in again) else None


def is_date(text: str, form: str) -> bool:
    """Whether a text is a real date as :func:`time.strptime` has it."""
    try:
        return time.strptime(text, form).tm_year > 0
    except ValueError:
        return False


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


MARK = b"\xef\xbb\xbf"
_BLANK_LINE = re.compile(rb"^[ \t\v\f\r]*(?:\n|\Z)", re.MULTILINE)
_LINE_END, _RETURN, _BLANK, _OPEN, _CLOSE = b"\n\r []"
_CACHED = 1 << 17
"""Bytes of which several copies fit a core's cache."""
_IS_BLANK = np.isin(np.arange(256), list(BLANKS))
_ZERO = np.uint8(ord("0"))

_SMALL = 16_384
_PIECES = 16
_LONGEST_VECTOR = 1 << 16
_RAW = {
    "integer": pa.int64(),
    "id": pa.int64(),
    "whole": pa.float64(),
    "number": pa.float64(),
    "text": pa.string(),
    "class": pa.string(),
    "date": pa.timestamp("us"),
    "yyyymmdd": pa.int64(),
}
_AROUND_ARRAY = re.compile(rb"^[ \t]+|(?<![ \t])[ \t]+(?=\r?$)", re.MULTILINE)
_ZONED = pa.timestamp("us", tz="UTC")
_MISSING, _LONGEST_MISSING = strings(MISSING), max(map(len, MISSING))
_NO_ROWS = pa.record_batch([], names=[])


class Block(NamedTuple):
    """The bytes from `begin` to `end` of a buffer: whole lines, of which the last may lack its line end.

    Cutting does not copy. Single bytes are sought by ``find``, ten times faster than NumPy; what looks at every byte is
    left to NumPy, which lets other threads run.
    """

    data: bytes | bytearray
    begin: int
    end: int

    @classmethod
    def of(cls, data: bytes) -> "Block":
        """Return a block of all of `data`."""
        return cls(data, 0, len(data))

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.end - self.begin

    def tobytes(self) -> bytes:
        """Return a copy."""
        return bytes(memoryview(self.data)[self.begin : self.end])

    def array(self) -> np.ndarray:
        """Return the bytes as uint8, without a copy."""
        return np.frombuffer(self.data, np.uint8, self.size, self.begin)

    def has(self, part: bytes) -> bool:
        """Whether `part` occurs; fast for a single byte."""
        return self.data.find(part, self.begin, self.end) >= 0

    def begins_line(self, part: bytes) -> bool:
        """Whether some line begins with `part`."""
        return self.has(part[:1]) and (self.data.startswith(part, self.begin, self.end) or self.has(b"\n" + part))

    def has_lone_return(self) -> bool:
        """Whether a carriage return stands elsewhere than at the end of a line."""
        if not self.has(b"\r"):
            return False
        after = np.flatnonzero(self.array() == ord("\r")) + 1
        if after[-1] == self.size:
            after = after[:-1]
        return bool((self.array()[after] != _LINE_END).any())

    def has_leading_zero(self, delimiter: str) -> bool:
        """Whether a zero and one more digit begin a field; perhaps also where that is after blanks within a text."""
        text, sign = self.array(), ord(delimiter)
        between = np.isin(np.arange(256), [sign, _LINE_END, *(BLANKS if delimiter == " " else b"")])
        around = between | _IS_BLANK | (np.arange(256) == ord('"'))
        if text[0] == _ZERO and text[1:2].tobytes().isdigit():
            return True
        for at in range(0, self.size, _CACHED):
            part = text[at : at + _CACHED + 2]
            # Signs between fields come before the minus, but for some delimiters.
            zero = part[1:-1] == _ZERO
            zero &= (part[:-2] < ord("-")) | (part[:-2] == sign) if sign >= ord("-") else part[:-2] < ord("-")
            where = np.flatnonzero(zero) + at
            where = where[text[where + 2] - _ZERO < 10]
            before, two_before = text[where], text[np.maximum(where - 1, 0)]
            if (between[before] | (around[before] & around[two_before])).any():
                return True
        return False

    def has_hexadecimal(self) -> bool:
        """Whether ``0x`` or ``0X`` occurs."""
        if not (self.has(b"x") or self.has(b"X")):
            return False
        text = self.array()
        return bool(((text[:-1] == ord("0")) & (text[1:] | 0x20 == ord("x"))).any())

    def count_lines(self) -> int:
        """Return the number of lines, blank ones too."""
        ended = self.data.endswith(b"\n", self.begin, self.end)
        text = self.array()
        ends = sum(np.count_nonzero(text[at : at + _CACHED] == _LINE_END) for at in range(0, len(text), _CACHED))
        return int(ends) + (not ended)

    def filled_lines(self) -> int:
        """Return the number of lines that are not blank."""
        return sum(1 for line in self.tobytes().split(b"\n") if line.strip(BLANKS))

    def last_line(self) -> bytes:
        """Return the last line that is not blank, without its line end."""
        end = self.end
        while end > self.begin and self.data[end - 1] in BLANKS + b"\n":
            end -= 1
        begin = max(self.data.rfind(b"\n", self.begin, end) + 1, self.begin)
        return bytes(self.data[begin : self._next(end)]).rstrip(b"\r\n")

    def after_line(self) -> "Block":
        """Return the block without its first line."""
        return Block(self.data, self._next(self.begin), self.end)

    def lines(self) -> "Iterator[Block]":
        """Yield each line, with its line end, as a block."""
        rest = self
        while rest.size:
            after = rest.after_line()
            yield Block(self.data, rest.begin, after.begin)
            rest = after

    def cut(self, pieces: int) -> "list[Block]":
        """Cut into about so many blocks of like size; only a single line stays whole."""
        bounds = {self._next(self.begin + at * self.size // pieces - 1) for at in range(1, pieces)} | {self.end}
        if len(bounds) == 1:  # the last line is nearly all of the block
            bounds.add(self.data.rfind(b"\n", self.begin, self.end - 1) + 1 or self.end)
        ordered = sorted(bounds)
        return [Block(self.data, *bound) for bound in zip([self.begin, *ordered], ordered, strict=False)]

    def _next(self, at: int) -> int:
        """Return where the line after the one at `at` begins."""
        return self.data.find(b"\n", max(at, self.begin), self.end) + 1 or self.end


def _repeats(block: Block, line: bytes) -> bool:
    """Whether a block holds this line, perhaps with blanks after it."""
    again = rb"^%s[ \t\v\f\r]*$" % re.escape(line)
    return block.begins_line(line) and re.search(again, block.tobytes(), re.MULTILINE) is not None


def _single_blanks(block: Block) -> bytes:
    """Return the lines with one space for each run of blanks, none at the ends of lines, and without blank lines."""
    text = block.array()
    blank = _IS_BLANK[text]
    # The last blank of a run stays, unless a line ends there; one at the beginning of a line goes in a second step.
    ends = np.append(text[1:] == _LINE_END, True)
    keep = ~(blank & (np.append(blank[1:], False) | ends))
    text, blank = text[keep], blank[keep]
    text[blank] = _BLANK
    breaks = text == _LINE_END
    begins = np.append(True, breaks[:-1])[: len(text)]
    text = text[~(begins & (text == _BLANK))]
    breaks = text == _LINE_END
    return text[~(breaks & np.append(True, breaks[:-1])[: len(text)])].tobytes()


def _has_surplus_blanks(block: Block) -> bool:
    """Whether blanks stand side by side or at an end of a line."""
    text = block.array()
    apart = _IS_BLANK[text] | (text == _LINE_END)
    return bool(apart[0] or (apart[1:] & apart[:-1]).any() or _IS_BLANK[text[-1]])


def _without_brackets(block: Block) -> np.ndarray | None:
    """Return the bytes with blanks for the brackets around each line; None if some line has none, or others."""
    text = block.array()
    if block.has(b"\r"):
        text = text[text != _RETURN]  # all before line ends: lone ones were refused
    if not len(text) or text[0] != _OPEN or text[-1] not in (_CLOSE, _LINE_END):
        return None
    result = np.empty_like(text)
    for at in range(0, len(text), _CACHED):
        # A bracket opens exactly after each line end, and closes exactly before each.
        part = text[at : at + _CACHED + 1]
        begins, ends, breaks = part == _OPEN, part == _CLOSE, part == _LINE_END
        if not ((begins[1:] == breaks[:-1]).all() and (ends[:-1] == breaks[1:]).all()):
            return None
        # The bits in which brackets differ from blanks; none where there is no bracket.
        change = begins.view(np.uint8) * np.uint8(_OPEN ^ _BLANK)
        change |= ends.view(np.uint8) * np.uint8(_CLOSE ^ _BLANK)
        np.bitwise_xor(part[:_CACHED], change[:_CACHED], out=result[at : at + _CACHED])
    return result


class Bad(NamedTuple):
    """A refused row: its line in the block (from 0), the number of good rows before it, its text, and why."""

    line: int
    before: int
    text: bytes
    found: str
    expected: str


class Parsed:
    """What a block holds: good rows (in one batch, if any), bad rows, and the numbers of its lines."""

    def __init__(self) -> None:
        self.batches: list[pa.RecordBatch] = []
        self.bad: list[Bad] = []
        self.rows = self.lines = self.comments = self.blank = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Append good rows."""
        if batch.num_rows:
            self.batches.append(batch)
            self.rows += batch.num_rows


class _Refused(Exception):
    """A block holds a bad row; with words for it (found, expected) where `explain` has none."""


class Parser:
    """Reads blocks of a layout whose vector has `dim` values (0: there is none), below a header of some lines."""

    def __init__(self, layout: Layout, dim: int = 0, header: Sequence[bytes] = ()):
        self.layout, self.dim, self._header = layout, dim, header
        self._comment = layout.comment.encode() if layout.comment else b""
        ends = rb"(?:\r[ \t\v\f\r]*)?(?:\n|\Z)"
        self._comments = re.compile(rb"^%s[^\r\n]*%s" % (re.escape(self._comment), ends), re.MULTILINE)
        kinds = [column.kind for column in layout.columns]
        self.width = len(kinds) + {"rest": dim, "field": 1, None: 0}[layout.vector]
        self._plain = plain_line(layout, dim)
        # Elsewhere, a header is no row.
        self._header_may_pass = set(kinds) <= {"text", "class", "skip"}
        # On quotes and dates `explain` and pyarrow differ at times; on the rest they agree.
        self._agrees = not layout.quote and "date" not in kinds
        self._integers = [str(at) for at, kind in enumerate(kinds) if kind in ("integer", "id", "yyyymmdd")]
        self._ids = [str(at) for at, kind in enumerate(kinds) if kind == "id"]
        self._wholes = [str(at) for at, kind in enumerate(kinds) if kind == "whole"]
        self._read = _read_options(self.width)
        delimiters = layout.delimiter + "\t" * (layout.delimiter == " ")
        self._parse = {sign: _parse_options(sign, layout.quote) for sign in delimiters}
        self._dates = {str(at): c for at, c in enumerate(layout.columns) if c.kind == "date" and c.format is None}
        self._converts = self._conversions()
        sign, point = (re.escape(each.encode()) for each in (layout.delimiter, layout.decimal))
        self._plus = re.compile(rb"(^[ \t]*(?:\[[ \t]*)?|%s[ \t]*)\+(?=[0-9%s])" % (sign, point), re.MULTILINE)

    @classmethod
    def of_first(cls, line: Block, layout: Layout, header: Sequence[bytes] = ()) -> "Parser":
        """Return a parser for rows with a vector as long as that in `line`."""
        fields = split(line.tobytes().removesuffix(b"\n"), layout)
        dim = len(fields) - len(layout.columns)
        if layout.vector == "field":
            dim = fields[-1].count(",") + 1 if fields else 1
        return cls(layout, min(max(dim, 1), _LONGEST_VECTOR), header)

    def _conversions(self) -> list[csv.ConvertOptions]:
        types: dict[str, pa.DataType] = {}
        for at, column in enumerate(self.layout.columns):
            if column.kind != "skip":
                types[str(at)] = pa.string() if column.format else _RAW[column.kind]
        first = len(self.layout.columns)
        if self.layout.vector == "rest":
            types |= {str(at): pa.float32() for at in range(first, self.width)}
        if self.layout.vector == "field":
            types[str(first)] = pa.string()
        kinds = [types]
        if self._dates:
            # As texts: those with blanks around them or with more decimals than are kept.
            kinds += [types | dict.fromkeys(self._dates, kind) for kind in (_ZONED, pa.string())]
        return [_convert_options(kind, self.layout.decimal) for kind in kinds]

    def read(self, block: Block) -> Parsed:
        """Return the good and the bad rows of a block of whole lines."""
        parsed = Parsed()
        self._read_into(parsed, block, 0)
        parsed.lines = block.count_lines()
        if other := parsed.lines - parsed.rows - len(parsed.bad):
            parsed.comments = len(self._comments.findall(block.tobytes())) if self._comment else 0
            parsed.blank = other - parsed.comments
        if len(parsed.batches) > 1:
            parsed.batches = pa.Table.from_batches(parsed.batches).combine_chunks().to_batches()
        return parsed

    def _read_into(self, parsed: Parsed, block: Block, line: int, pieces: int = _PIECES) -> None:
        """Read a block that is `line` lines behind the first; cut it in so many pieces if it is not all good."""
        try:
            parsed.add(self._take(block))
            return
        except _Refused as error:
            refused = error
        cut = block.cut(pieces)
        if len(cut) == 1:
            text = block.tobytes().removesuffix(b"\n")
            words = self._words(text) or refused.args
            words = (*words, *("a row that cannot be read", f"lines of `{self.layout.form}`")[len(words) :])
            parsed.bad.append(Bad(line, parsed.rows, text.removesuffix(b"\r"), *words))
        elif block.size > _SMALL or not self._sort_out(parsed, block, line):
            for piece in cut:
                self._read_into(parsed, piece, line, pieces if block.size > _SMALL else 2)
                line += piece.count_lines()

    def _sort_out(self, parsed: Parsed, block: Block, line: int) -> bool:
        """Take all lines that `explain` has nothing against at once; return False, and do nothing, if that fails."""
        texts = block.tobytes().removesuffix(b"\n").split(b"\n")
        for complaint in (self._quick_complaint, self._complaint):
            complaints = [complaint(text) for text in texts]
            good = [text for text, words in zip(texts, complaints, strict=True) if words is None]
            if len(good) == len(texts):
                continue
            try:
                batch = self._take(Block.of(b"\n".join(good)))
            except _Refused:
                continue
            before = parsed.rows
            for at, (text, words) in enumerate(zip(texts, complaints, strict=True)):
                if words:
                    parsed.bad.append(Bad(line + at, before, text.removesuffix(b"\r"), *words))
                else:
                    before += is_row(text, self.layout.comment)
            parsed.add(batch)
            return True
        return False

    def _quick_complaint(self, line: bytes) -> tuple[str, str] | None:
        """Do as `_complaint`, but faster, and with no words for some bad lines."""
        return None if self._plain.fullmatch(line) else self._complaint(line)

    def _words(self, line: bytes) -> tuple[str, str] | None:
        words = explain(line, self.layout, self.width, self.dim)
        # A header of numbers may be a row like others.
        if (words or self._header_may_pass) and line.strip(BLANKS) in self._header:
            return "the header again", "it once, before all rows"
        return words

    def _complaint(self, line: bytes) -> tuple[str, str] | None:
        """Return words for a line that is refused; None if it is taken alone, or not sure to be refused."""
        words = self._words(line) if is_row(line, self.layout.comment) else None
        if words and not self._agrees:
            try:
                self._take(Block.of(line))
            except _Refused:
                return words
            return None
        return words

    def _take(self, block: Block) -> pa.RecordBatch:
        """Return all rows of a block; raise ``_Refused`` if one of them is bad."""
        if not block.size:
            return _NO_ROWS
        if self._header_may_pass and any(_repeats(block, line) for line in self._header):
            raise _Refused
        refused = _Refused()
        if (text := self._readable(block)) is not None:
            try:
                return self._rows(text, block)
            except _Refused as error:
                refused = error
        tidy = Block.of(self._tidy(block))
        if not tidy.size:
            return _NO_ROWS
        unchanged = tidy.size == block.size and tidy.tobytes() == block.tobytes()
        if unchanged or (text := self._readable(tidy)) is None:
            raise refused
        return self._rows(text, tidy)

    def _readable(self, block: Block) -> np.ndarray | None:
        """Return the text for ``pyarrow.csv``; None if pyarrow would misread it as it stands."""
        layout = self.layout
        if self._comment and block.begins_line(self._comment):
            return None
        if block.has_lone_return():
            return None
        if layout.brackets:
            return _without_brackets(block)
        if layout.delimiter == " " and not layout.numeric:
            if block.has(b"\v") or block.has(b"\f"):
                return None
            if any(column.kind == "skip" for column in layout.columns) and _has_surplus_blanks(block):
                return None
        if layout.delimiter == " " and block.has(b"\t") and block.has(b" "):
            return None
        return block.array()

    def _tidy(self, block: Block) -> bytes:
        """Return the lines without comments, blank ones, surplus blanks and plus signs."""
        layout = self.layout
        if self._comment and block.begins_line(self._comment):
            block = Block.of(self._comments.sub(b"", block.tobytes()))
        if block.size and block.has_lone_return():
            block = Block.of(_BLANK_LINE.sub(b"", block.tobytes()))
            if block.size and block.has_lone_return():
                raise _Refused
        if not block.size:
            return b""
        text = _single_blanks(block) if layout.delimiter == " " else _BLANK_LINE.sub(b"", block.tobytes())
        if layout.brackets:
            text = _AROUND_ARRAY.sub(b"", text)
        if layout.numeric and b"+" in text:
            if odd := [*self._ids, *self._wholes]:
                self._refuse_like(_ODD_ID, odd, np.frombuffer(text, np.uint8), self._parse[layout.delimiter])
            text = self._plus.sub(rb"\1", text)
        return text

    def _rows(self, text: np.ndarray, block: Block) -> pa.RecordBatch:
        tabs = self.layout.delimiter == " " and not block.has(b" ") and block.has(b"\t")
        parse = self._parse["\t" if tabs else self.layout.delimiter]
        if self._integers and block.has_hexadecimal():
            self._refuse_hexadecimal(text, parse)
        if self._ids and block.has_leading_zero(self.layout.delimiter):
            self._refuse_like(_ODD_ID, self._ids, text, parse)
        if self._wholes:
            self._refuse_like(f"{_ODD_ID}|{_FRACTION}", self._wholes, text, parse)
        table = self._table(text, parse)
        if self._ids and block.has(b"-") and any(pc.any(pc.equal(table[name], 0)).as_py() for name in self._ids):
            self._refuse_like(_ODD_ID, self._ids, text, parse)  # -0
        if self.layout.quote:
            self._refuse_open_quotes(table.num_rows, block, parse)
        return self._batch(table, block) if table.num_rows else _NO_ROWS

    def _table(self, text: np.ndarray, parse: csv.ParseOptions) -> pa.Table:
        for convert in self._converts:
            try:
                table = self._dated(_read_csv(text, self._read, parse, convert))
            except pa.ArrowInvalid:
                continue
            if convert is not self._converts[0]:
                # Dates with a zone, or with many decimals, seldom come alone.
                self._converts = [convert, *(other for other in self._converts if other is not convert)]
            return table
        raise _Refused

    def _dated(self, table: pa.Table) -> pa.Table:
        """Return the table with dates that were read as texts, if any, as moments: all with a zone, or none."""
        texts = {
            name: pc.replace_substring_regex(_trimmed(table.column(name), column), _BEYOND_MICROS, r"\1\2")
            for name, column in self._dates.items()
            if table.field(name).type == pa.string()
        }
        try:
            moments = {name: pc.cast(values, _RAW["date"]) for name, values in texts.items()}
        except pa.ArrowInvalid:
            moments = {name: pc.cast(values, _ZONED) for name, values in texts.items()}
        for name, values in moments.items():
            table = table.set_column(table.schema.get_field_index(name), name, values)
        return table

    def _refuse_hexadecimal(self, text: np.ndarray, parse: csv.ParseOptions) -> None:
        """Refuse integers like 0x1f, which ``pyarrow.csv`` takes."""
        if self.layout.numeric:
            raise _Refused
        for column in self._texts(text, parse, self._integers).columns:
            for sign in ("x", "X"):
                if pc.any(pc.match_substring(column, sign)).as_py():
                    raise _Refused

    def _refuse_like(self, form: str, names: list[str], text: np.ndarray, parse: csv.ParseOptions) -> None:
        """Refuse ids that match a pattern, which ``pyarrow.csv`` takes for others: with zeros or signs before them."""
        for column in self._texts(text, parse, names).columns:
            if pc.any(pc.match_substring_regex(column, form)).as_py():
                raise _Refused

    def _texts(self, text: np.ndarray, parse: csv.ParseOptions, names: list[str]) -> pa.Table:
        """Return some columns as they are written."""
        try:
            return _read_csv(text, self._read, parse, _convert_options(dict.fromkeys(names, pa.binary())))
        except pa.ArrowInvalid:
            raise _Refused from None

    def _refuse_open_quotes(self, rows: int, block: Block, parse: csv.ParseOptions) -> None:
        """Refuse a quoted field that goes over a line end, or is not closed at the end of the block."""
        if rows != block.count_lines() and rows != block.filled_lines():
            raise _Refused
        last = block.last_line()
        if b'"' in last:
            twice = np.frombuffer(2 * (last + b"\n"), np.uint8)
            try:
                if _read_csv(twice, self._read, parse, _convert_options({"0": pa.binary()})).num_rows != 2:
                    raise _Refused
            except pa.ArrowInvalid:
                raise _Refused from None

    def _batch(self, table: pa.Table, block: Block) -> pa.RecordBatch:
        """Check the values and convert them to their final types."""
        arrays: list[pa.Array] = []
        names: list[str] = []
        # Four looks for a byte are a tenth of the time that a kernel takes for a column.
        sign, quote = self.layout.delimiter, self.layout.quote
        blank = sign != " " and any(block.has(bytes([each])) for each in b" \t\v\f" if quote or each != ord(sign))
        for at, column in enumerate(self.layout.columns):
            if column.kind != "skip":
                arrays.append(_checked(_array(table.column(str(at))), column, block, blank))
                names.append(column.name)
        if self.layout.vector:
            arrays.append(self._vector(table))
            names.append("feat")
        batch = pa.record_batch(arrays, names=names)
        if self.layout.derive:
            try:
                batch = self.layout.derive(batch)
            except ValueError as error:
                raise _Refused(*(" ".join(str(part).split()) for part in error.args[:2])) from None
        return batch

    def _vector(self, table: pa.Table) -> pa.Array:
        if self.layout.vector == "field":
            table = _split_field(_array(table.column(str(len(self.layout.columns)))), self.dim)
        values = np.empty((table.num_rows, self.dim), np.float32)
        for at, column in enumerate(table.columns[-self.dim :]):
            values[:, at] = np.from_dlpack(_array(column))
        if not np.isfinite(values).all():
            raise _Refused
        return pa.FixedSizeListArray.from_arrays(arrow(values.reshape(-1)), self.dim)


def _split_field(texts: pa.Array, dim: int) -> pa.Table:
    """Split texts of `dim` numbers between commas into columns, by reading them as lines of a file of their own."""
    whole = pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), texts)
    lines = np.frombuffer(pc.binary_join(whole, "\n")[0].as_buffer(), np.uint8)
    types = {str(at): pa.float32() for at in range(dim)}
    try:
        table = _read_csv(lines, _read_options(dim), _parse_options(",", False), _convert_options(types))
    except pa.ArrowInvalid:
        raise _Refused from None
    if table.num_rows != len(texts):
        raise _Refused
    return table


def _read_csv(
    text: np.ndarray, read: csv.ReadOptions, parse: csv.ParseOptions, convert: csv.ConvertOptions
) -> pa.Table:
    if text[: len(MARK)].tobytes() == MARK:
        # pyarrow drops a mark at the beginning of what it reads; here, only that of the file is one.
        text = np.concatenate([np.frombuffer(b"\n", np.uint8), text])
    return csv.read_csv(
        pa.BufferReader(pa.py_buffer(text)), read_options=read, parse_options=parse, convert_options=convert
    )


def _read_options(width: int) -> csv.ReadOptions:
    # One chunk, whatever the size: a chunk more is a column in two arrays.
    return csv.ReadOptions(column_names=[str(at) for at in range(width)], use_threads=False, block_size=1 << 30)


def _parse_options(delimiter: str, quote: bool) -> csv.ParseOptions:
    return csv.ParseOptions(delimiter=delimiter, quote_char='"' if quote else False)


def _convert_options(types: dict[str, pa.DataType], decimal: str = ".") -> csv.ConvertOptions:
    return csv.ConvertOptions(column_types=types, include_columns=list(types), null_values=[], decimal_point=decimal)


def _trimmed(texts: pa.Array, column: Column) -> pa.Array:
    return pc.ascii_trim(texts, characters=_BLANKS) if column.trim else texts


def _checked(values: pa.Array, column: Column, block: Block, blank: bool) -> pa.Array:
    """Return the values of a column in their final type; raise ``_Refused`` if one of them is out of range.

    `block` is where they stand, and `blank` whether a blank may stand in one.
    """
    kind, form = column.kind, column.format
    seconds: np.ndarray | None = None
    if kind in ("integer", "id"):
        good = pc.min(values).as_py() >= 0
    elif kind == "whole":
        numbers = np.from_dlpack(values)
        good = numbers.min() >= 0 and numbers.max() < _WHOLE and (numbers == np.floor(numbers)).all()
        values = arrow(numbers.astype(np.int64)) if good else values
    elif kind == "number":
        low, high, _ = column.within or (-sys.float_info.max, math.inf, "")
        numbers = np.from_dlpack(values)
        good = numbers.min() >= low and numbers.max() < high  # and so finite
    elif kind == "class":
        good = True
    elif kind == "text":
        values = _trimmed(values, column) if blank else values
        shortest = pc.min(pc.binary_length(values)).as_py()
        good = shortest > 0 and not (blank and pc.any(pc.ascii_is_space(values)).as_py())
        if column.missing and shortest <= _LONGEST_MISSING and (block.has(b"N") or block.has(b"n")):
            good = good and not pc.any(pc.is_in(values, _MISSING)).as_py()
        for sign in [sign for sign, _, _ in column.odd if block.has(sign.encode()[:1])]:
            good = good and not pc.any(pc.starts_with(values, sign)).as_py()
    else:
        if kind == "yyyymmdd":
            seconds = from_digits(np.from_dlpack(values))
        elif form is None:
            seconds = np.true_divide(np.from_dlpack(values.view(pa.int64())), 1e6)
        else:
            seconds = parse_dates(_trimmed(values, column), form)
        good = seconds is not None and seconds.min() >= _YEAR_1
    if not good:
        raise _Refused
    return values if seconds is None else arrow(seconds)


def _array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
