"""Blocks of whole lines -> record batches, by ``pyarrow.csv``.

A block is taken whole or not at all; one that is not is cut at line ends and its pieces are tried, down to single
lines. So a row is bad if and only if it is refused alone, and the rows do not depend on how a file is cut into blocks.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from data_prep.parquet import arrow
from data_prep.sources._layout import BLANKS, Layout, explain, from_digits, parse_dates, plain_line, split

MARK = b"\xef\xbb\xbf"
_BLANK_LINE = re.compile(rb"^[ \t\v\f\r]*(?:\n|\Z)", re.MULTILINE)
_LINE_END, _RETURN, _BLANK, _OPEN, _CLOSE = b"\n\r []"
_CACHED = 1 << 17
"""Bytes of which several copies fit a core's cache."""
_IS_BLANK = np.isin(np.arange(256), list(BLANKS))

_SMALL = 16_384
_PIECES = 16
_LONGEST_VECTOR = 1 << 16
_RAW = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "text": pa.string(),
    "date": pa.timestamp("us"),
    "yyyymmdd": pa.int64(),
}
_AROUND_ARRAY = re.compile(rb"^[ \t]+|(?<![ \t])[ \t]+(?=\r?$)", re.MULTILINE)
_ZONED = pa.timestamp("us", tz="UTC")
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
    """What a block holds: good rows (in one batch, if any), bad rows, and the number of its lines."""

    def __init__(self) -> None:
        self.batches: list[pa.RecordBatch] = []
        self.bad: list[Bad] = []
        self.rows = self.lines = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Append good rows."""
        if batch.num_rows:
            self.batches.append(batch)
            self.rows += batch.num_rows


class _Refused(Exception):
    """A block holds a bad row; with words for it (found, expected) where `explain` has none."""


class Parser:
    """Reads blocks of a layout whose vector has `dim` values (0: there is none)."""

    def __init__(self, layout: Layout, dim: int = 0):
        self.layout, self.dim = layout, dim
        self._comment = layout.comment.encode() if layout.comment else b""
        kinds = [column.kind for column in layout.columns]
        self.width = len(kinds) + {"rest": dim, "field": 1, None: 0}[layout.vector]
        self._plain = plain_line(layout, dim)
        # On quotes and dates `explain` and pyarrow differ at times; on the rest they agree.
        self._agrees = not layout.quote and "date" not in kinds
        self._integers = [str(at) for at, kind in enumerate(kinds) if kind in ("integer", "yyyymmdd")]
        self._read = _read_options(self.width)
        delimiters = layout.delimiter + "\t" * (layout.delimiter == " ")
        self._parse = {sign: _parse_options(sign, layout.quote) for sign in delimiters}
        self._converts = self._conversions()
        sign = re.escape(layout.delimiter.encode())
        self._plus = re.compile(rb"(^[ \t]*(?:\[[ \t]*)?|%s[ \t]*)\+(?=[0-9.])" % sign, re.MULTILINE)

    @classmethod
    def of_first(cls, line: Block, layout: Layout) -> "Parser":
        """Return a parser for rows with a vector as long as that in `line`."""
        fields = split(line.tobytes().removesuffix(b"\n"), layout)
        dim = len(fields) - len(layout.columns)
        if layout.vector == "field":
            dim = fields[-1].count(",") + 1 if fields else 1
        return cls(layout, min(max(dim, 1), _LONGEST_VECTOR))

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
        if _RAW["date"] in types.values():
            kinds.append({name: _ZONED if kind == _RAW["date"] else kind for name, kind in types.items()})
        return [_convert_options(kind) for kind in kinds]

    def read(self, block: Block) -> Parsed:
        """Return the good and the bad rows of a block of whole lines."""
        parsed = Parsed()
        self._read_into(parsed, block, 0)
        parsed.lines = block.count_lines()
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
            words = explain(text, self.layout, self.width, self.dim) or refused.args
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
                    before += self._is_row(text)
            parsed.add(batch)
            return True
        return False

    def _quick_complaint(self, line: bytes) -> tuple[str, str] | None:
        """Do as `_complaint`, but faster, and with no words for some bad lines."""
        return None if self._plain.fullmatch(line) else self._complaint(line)

    def _is_row(self, line: bytes) -> bool:
        return bool(line.strip(BLANKS)) and not (self._comment and line.startswith(self._comment))

    def _complaint(self, line: bytes) -> tuple[str, str] | None:
        """Return words for a line that is refused; None if it is taken alone, or not sure to be refused."""
        words = explain(line, self.layout, self.width, self.dim) if self._is_row(line) else None
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
            comment = re.compile(rb"^%s[^\n]*(?:\n|\Z)" % re.escape(self._comment), re.MULTILINE)
            block = Block.of(comment.sub(b"", block.tobytes()))
        if not block.size:
            return b""
        text = _single_blanks(block) if layout.delimiter == " " else _BLANK_LINE.sub(b"", block.tobytes())
        if layout.brackets:
            text = _AROUND_ARRAY.sub(b"", text)
        if layout.numeric and b"+" in text:
            text = self._plus.sub(rb"\1", text)
        return text

    def _rows(self, text: np.ndarray, block: Block) -> pa.RecordBatch:
        tabs = self.layout.delimiter == " " and not block.has(b" ") and block.has(b"\t")
        parse = self._parse["\t" if tabs else self.layout.delimiter]
        if self._integers and block.has_hexadecimal():
            self._refuse_hexadecimal(text, parse)
        table = self._table(text, parse)
        if self.layout.quote:
            self._refuse_open_quotes(table.num_rows, block, parse)
        return self._batch(table) if table.num_rows else _NO_ROWS

    def _table(self, text: np.ndarray, parse: csv.ParseOptions) -> pa.Table:
        for convert in self._converts:
            try:
                table = _read_csv(text, self._read, parse, convert)
            except pa.ArrowInvalid:
                continue
            if convert is not self._converts[0]:
                # Dates with a zone seldom come alone.
                self._converts = self._converts[::-1]
            return table
        raise _Refused

    def _refuse_hexadecimal(self, text: np.ndarray, parse: csv.ParseOptions) -> None:
        """Refuse integers like 0x1f, which ``pyarrow.csv`` takes."""
        if self.layout.numeric:
            raise _Refused
        try:
            table = _read_csv(text, self._read, parse, _convert_options(dict.fromkeys(self._integers, pa.binary())))
        except pa.ArrowInvalid:
            raise _Refused from None
        for column in table.columns:
            for sign in ("x", "X"):
                if pc.any(pc.match_substring(column, sign)).as_py():
                    raise _Refused

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

    def _batch(self, table: pa.Table) -> pa.RecordBatch:
        """Check the values and convert them to their final types."""
        arrays: list[pa.Array] = []
        names: list[str] = []
        for at, column in enumerate(self.layout.columns):
            if column.kind != "skip":
                arrays.append(_checked(_array(table.column(str(at))), column.kind, column.format))
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


def _convert_options(types: dict[str, pa.DataType]) -> csv.ConvertOptions:
    return csv.ConvertOptions(column_types=types, include_columns=list(types), null_values=[])


def _checked(values: pa.Array, kind: str, form: str | None) -> pa.Array:
    """Return the values of a column in their final type; raise ``_Refused`` if one of them is out of range."""
    seconds: np.ndarray | None = None
    if kind == "integer":
        good = pc.min(values).as_py() >= 0
    elif kind == "number":
        good = pc.all(pc.is_finite(values)).as_py()
    elif kind == "text":
        good = pc.min(pc.binary_length(values)).as_py() > 0 and not pc.any(pc.ascii_is_space(values)).as_py()
    else:
        if kind == "yyyymmdd":
            seconds = from_digits(np.from_dlpack(values))
        elif form is None:
            seconds = np.true_divide(np.from_dlpack(values.view(pa.int64())), 1e6)
        else:
            seconds = parse_dates(values, form)
        good = seconds is not None
    if not good:
        raise _Refused
    return values if seconds is None else arrow(seconds)


def _array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
