"""What the lines of a raw file hold: columns, delimiter, header, comments, vectors."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import pyarrow as pa

from dgl_dysign.errors import ConfigError

Kind = Literal["integer", "number", "text", "date", "yyyymmdd", "skip"]

_SHOWN = 24
TYPES: dict[str, pa.DataType] = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "text": pa.string(),
    "date": pa.float64(),
    "yyyymmdd": pa.float64(),
}
"""Arrow type that a column of each kind is given out as."""


@dataclass(frozen=True)
class Column:
    """One column of a raw file.

    Parameters
    ----------
    name : str
        Its name in the record batches.
    kind : str
        ``integer``: int64 from 0 up. ``number``: finite float64. ``text``: UTF-8, not blank. ``date``: a written date,
        given out as float64 seconds since 1970, UTC unless it names another zone (in a row, all dates do or none).
        ``yyyymmdd``: a real date in eight digits, given out the same way. ``skip``: anything, not given out.
    format : str, optional
        How a ``date`` is written, as :func:`time.strptime` has it; None is ISO 8601, to the microsecond.

    Raises
    ------
    ConfigError
        If the kind is unknown, or the format is none that :func:`time.strptime` reads.

    Examples
    --------
    >>> Column("time", "date", "%d/%m/%Y")
    Column(name='time', kind='date', format='%d/%m/%Y')
    """

    name: str
    kind: Kind
    format: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in (*TYPES, "skip"):
            raise ConfigError(
                f"found kind {self.kind!r} of column {self.name}, expected one of {', '.join(TYPES)}, skip"
            )
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
        Number of first lines that are skipped, whatever they hold.
    comment : str, optional
        Lines that begin with this are skipped.
    quote : bool, default False
        Fields may stand in double quotes (and then hold the delimiter, or ``""`` for a quote, but no line end).
    brackets : bool, default False
        Every line is a JSON array of integers; the delimiter is a comma.
    vector : {None, "rest", "field"}
        ``rest``: all fields after `columns` are one float32 vector, column ``feat``. ``field``: one more field holds
        that vector, separated by commas. It is as long in all rows as in the first good one, at most 65,536 values.
    derive : callable, optional
        Takes a record batch and returns one with columns added or changed, treating each row by itself; raises
        ``ValueError(found)`` or ``ValueError(found, expected)`` if a row of it is bad.

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
        """The names of the columns as they stand in a line, some of them where there are many."""
        names = [column.name for column in self.columns] + ["feat"] * (self.vector is not None)
        names[_SHOWN:] = ["..."] * (len(names) > _SHOWN)
        return f"[{', '.join(names)}]" if self.brackets else self.delimiter.join(names)

    @cached_property
    def numeric(self) -> bool:
        """Whether every field is a number that is given out; then a number may begin with a plus sign."""
        kinds = {column.kind for column in self.columns}
        return kinds <= {"integer", "number", "yyyymmdd"} and self.vector != "field"
