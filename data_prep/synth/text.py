"""Lines of text from columns of numbers, without a Python object a row.

Each field writes its bytes into a column block of one array; a zero byte stands for "nothing here" and is dropped at
the end. So a line's bytes depend on its own values alone, however rows are grouped.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

_BLOCK_BYTES = 4 << 20
_FOUR = np.frombuffer("".join(f"{i:04d}" for i in range(10_000)).encode(), np.uint8).reshape(-1, 4)
MINUS, POINT, COMMA = b"-.,"


class Field(Protocol):
    """Something that writes one value a row."""

    width: int

    def fill(self, out: np.ndarray, rows: slice) -> None:
        """Write `rows` to `out`, uint8 of shape (number of rows, width)."""


class Integer:
    """Whole numbers, with a minus sign where needed."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values.astype(np.int64, copy=False)
        low, high = (int(self.values.min()), int(self.values.max())) if len(values) else (0, 0)
        self.signed = low < 0
        self.width = len(str(max(high, -low))) + self.signed

    def fill(self, out: np.ndarray, rows: slice) -> None:  # noqa: D102
        values = self.values[rows]
        if self.signed:
            out[:, 0] = MINUS * (values < 0)
            out, values = out[:, 1:], np.abs(values)
        _digits(out, values)
        for place in range(out.shape[1] - 1, 0, -1):
            out[:, -1 - place] *= values >= 10**place


class Decimal:
    """Numbers of 0 or more with one to so many decimals, given as whole multiples of the last."""

    def __init__(self, units: np.ndarray, decimals: int) -> None:
        self.whole, self.part = np.divmod(units, 10**decimals)
        self.decimals = decimals
        self.head = Integer(self.whole)
        self.width = self.head.width + 1 + decimals

    def fill(self, out: np.ndarray, rows: slice) -> None:  # noqa: D102
        self.head.fill(out[:, : self.head.width], rows)
        out[:, self.head.width] = POINT
        part = self.part[rows]
        _digits(out[:, -self.decimals :], part)
        for place in range(1, self.decimals):
            out[:, -place] *= part % 10**place != 0


class Vector:
    """Rows of numbers between -10 and 10, with six decimals and commas between, given as whole millionths."""

    _EACH = len("-0.000000,")

    def __init__(self, millionths: np.ndarray) -> None:
        self.millionths = millionths
        self.width = millionths.shape[1] * self._EACH

    def fill(self, out: np.ndarray, rows: slice) -> None:  # noqa: D102
        values = self.millionths[rows]
        out = np.lib.stride_tricks.as_strided(out, (*values.shape, self._EACH), (out.strides[0], self._EACH, 1))
        high, low = np.divmod(np.abs(values), 10_000)
        out[..., 0] = MINUS * (values < 0)
        digits = _FOUR[high]
        out[..., 1] = digits[..., 1]
        out[..., 2] = POINT
        out[..., 3:5] = digits[..., 2:]
        out[..., 5:9] = _FOUR[low]
        out[..., 9] = COMMA
        out[:, -1, 9] = 0


class Choice:
    """One of a few texts a row."""

    def __init__(self, texts: Sequence[str], codes: np.ndarray) -> None:
        self.table = text_table(texts)
        self.codes = codes
        self.width = self.table.shape[1]

    def fill(self, out: np.ndarray, rows: slice) -> None:  # noqa: D102
        out[:] = self.table[self.codes[rows]]


class Maybe:
    """A field that is empty in some rows."""

    def __init__(self, field: Field, present: np.ndarray) -> None:
        self.field = field
        self.present = present
        self.width = field.width

    def fill(self, out: np.ndarray, rows: slice) -> None:  # noqa: D102
        self.field.fill(out, rows)
        out[~self.present[rows]] = 0


class Bytes:
    """Texts that are there already, uint8 of shape (rows, width), zero where a text has ended."""

    def __init__(self, table: np.ndarray) -> None:
        self.table = table
        self.width = table.shape[1]

    def fill(self, out: np.ndarray, rows: slice) -> None:  # noqa: D102
        out[:] = self.table[rows]


def text_table(texts: Sequence[str]) -> np.ndarray:
    """Put texts in a uint8 array, one a row, with zeros at the end."""
    table = np.array([text.encode() for text in texts])
    return table.view(np.uint8).reshape(len(texts), -1)


def joined(fields: Iterable[Field], separator: bytes, begin: bytes = b"", end: bytes = b"\n") -> list[Field | bytes]:
    """Put a separator between fields."""
    line: list[Field | bytes] = [begin]
    for field in fields:
        line += [field, separator]
    return [*line[:-1], end]


def block_rows(line: Sequence[Field | bytes]) -> int:
    """Return how many lines are best rendered at a time."""
    return max(1, min(1 << 16, _BLOCK_BYTES // _width(line)))


def render(line: Sequence[Field | bytes], rows: slice) -> memoryview:
    r"""Render `rows` as text.

    Parameters
    ----------
    line : sequence of Field or bytes
        What stands in a line, from left to right; bytes are the same in each.
    rows : slice
        Rows to render, with a start and a stop.

    Returns
    -------
    memoryview
        The lines, one after another.

    Examples
    --------
    >>> ids, millionths = np.array([7, 12]), np.array([[-500000], [1250000]])
    >>> bytes(render([Integer(ids), b" ", Vector(millionths), b"\n"], slice(0, 2)))
    b'7 -0.500000\n12 1.250000\n'
    """
    out = np.empty((rows.stop - rows.start, _width(line)), np.uint8)
    at = 0
    for item in line:
        if isinstance(item, bytes):
            out[:, at : at + len(item)] = np.frombuffer(item, np.uint8)
            at += len(item)
        else:
            item.fill(out[:, at : at + item.width], rows)
            at += item.width
    flat = out.reshape(-1)
    return memoryview(flat[flat != 0])


def _width(line: Sequence[Field | bytes]) -> int:
    return sum(len(item) if isinstance(item, bytes) else item.width for item in line)


def _digits(out: np.ndarray, values: np.ndarray) -> None:
    """Write all digits of numbers of 0 or more, with zeros in front; four at a time from a table."""
    for end in range(out.shape[1], 0, -4):
        values, low = np.divmod(values, 10_000)
        begin = max(end - 4, 0)
        out[:, begin:end] = _FOUR[low][:, 4 - (end - begin) :]
