"""Blocks of whole lines -> record batches, by ``pyarrow.csv``.

A block is taken whole or not at all; one that is not is cut at line ends and its pieces are tried, down to single
lines. So a row is bad if and only if it is refused alone, and what is given out does not depend on the blocks.
"""

import re
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from data_prep.sources._block import (
    BLANKS,
    MARK,
    Block,
    has_surplus_blanks,
    single_blanks,
    without_blank_lines,
    without_brackets,
)
from data_prep.sources._dates import from_digits, parse_dates
from data_prep.sources._explain import explain, plain_line, split
from data_prep.sources._layout import Layout

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


class Bad(NamedTuple):
    """A refused row: its line in the block (from 0), the good rows before it in the block, its text, and why."""

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
    """A block holds something that is not meant; with words for it if only the check knew them."""


class Parser:
    """Reads blocks of one layout.

    Parameters
    ----------
    layout : Layout
        What the lines hold.
    dim : int
        Number of values of the layout's vector; 0 without one.
    """

    def __init__(self, layout: Layout, dim: int = 0):
        self.layout, self.dim = layout, dim
        kinds = [column.kind for column in layout.columns]
        self.width = len(kinds) + {"rest": dim, "field": 1, None: 0}[layout.vector]
        self._plain = plain_line(layout, dim)
        # Of quotes and dates, `explain` has another notion than pyarrow at times; of the rest it has the same.
        self._explains = not layout.quote and "date" not in kinds
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
            parsed.bad.append(Bad(line, parsed.rows, text.removesuffix(b"\r"), *self._words(text, refused)))
        elif block.size > _SMALL or not self._sort_out(parsed, block, line):
            for piece in cut:
                self._read_into(parsed, piece, line, pieces if block.size > _SMALL else 2)
                line += piece.count_lines()

    def _sort_out(self, parsed: Parsed, block: Block, line: int) -> bool:
        """Take the lines that look good all at once; return False, and nothing is done, if there is more to it."""
        texts = block.tobytes().removesuffix(b"\n").split(b"\n")
        for look in (self._glance, self._said):
            said = [look(text) for text in texts]
            good = [text for text, words in zip(texts, said, strict=True) if words is None]
            if len(good) == len(texts):
                continue
            try:
                batch = self._take(Block.of(b"\n".join(good)))
            except _Refused:
                continue
            before = parsed.rows
            for at, (text, words) in enumerate(zip(texts, said, strict=True)):
                if words:
                    parsed.bad.append(Bad(line + at, before, text.removesuffix(b"\r"), *words))
                else:
                    before += self._is_row(text)
            parsed.add(batch)
            return True
        return False

    def _glance(self, line: bytes) -> tuple[str, str] | None:
        """Do as `_said`, but faster, and with no words for some bad lines."""
        return None if self._plain.fullmatch(line) else self._said(line)

    def _is_row(self, line: bytes) -> bool:
        comment = self.layout.comment
        return bool(line.strip(BLANKS)) and not (comment and line.startswith(comment.encode()))

    def _said(self, line: bytes) -> tuple[str, str] | None:
        """Return words for a line that is refused, or None if it is taken alone or not sure to be refused."""
        words = explain(line, self.layout, self.width, self.dim) if self._is_row(line) else None
        if words and not self._explains:
            try:
                self._take(Block.of(line))
            except _Refused:
                return words
            return None
        return words

    def _words(self, line: bytes, refused: _Refused) -> tuple[str, str]:
        said = explain(line, self.layout, self.width, self.dim)
        if said is not None:
            return said
        found = refused.args[0] if refused.args else "a row that cannot be read"
        return found, refused.args[1] if len(refused.args) > 1 else f"lines of `{self.layout.form}`"

    def _take(self, block: Block) -> pa.RecordBatch:
        """Return all rows of a block; raise ``_Refused`` if one of them is bad."""
        if not block.size:
            return _NO_ROWS
        ready = self._as_it_is(block)
        if ready is not None:
            try:
                return self._rows(ready, block)
            except _Refused as error:
                refused = error
        else:
            refused = _Refused()
        tidy = Block.of(self._tidy(block))
        if not tidy.size:
            return _NO_ROWS
        if tidy.size == block.size and tidy.tobytes() == block.tobytes():
            raise refused
        ready = self._as_it_is(tidy)
        if ready is None:
            raise refused
        return self._rows(ready, tidy)

    def _as_it_is(self, block: Block) -> np.ndarray | None:
        """Return the text for ``pyarrow.csv``, or None if it would take some of it in another sense than meant."""
        layout = self.layout
        if layout.comment and block.begins_line(layout.comment.encode()):
            return None
        if block.has_lone_return():
            return None
        if layout.brackets:
            return without_brackets(block)
        if layout.delimiter == " " and not layout.numeric:
            if block.has(b"\v") or block.has(b"\f"):
                return None
            if any(column.kind == "skip" for column in layout.columns) and has_surplus_blanks(block):
                return None
        if layout.delimiter == " " and block.has(b"\t") and block.has(b" "):
            return None
        return block.array()

    def _tidy(self, block: Block) -> bytes:
        """Return the lines without comments, blank ones, surplus blanks and plus signs."""
        layout = self.layout
        if layout.comment and block.begins_line(layout.comment.encode()):
            comment = re.compile(rb"^%s[^\n]*(?:\n|\Z)" % re.escape(layout.comment.encode()), re.MULTILINE)
            block = Block.of(comment.sub(b"", block.tobytes()))
        if not block.size:
            return b""
        text = single_blanks(block) if layout.delimiter == " " else without_blank_lines(block.tobytes())
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
        """Check the values and give them the types they are given out in."""
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
        return pa.FixedSizeListArray.from_arrays(_arrow(values.reshape(-1)), self.dim)


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
    """Return the values as they are given out; raise ``_Refused`` if one of them is out of range."""
    result: pa.Array | np.ndarray | None = values
    if kind == "integer":
        good = pc.min(values).as_py() >= 0
    elif kind == "number":
        good = pc.all(pc.is_finite(values)).as_py()
    elif kind == "text":
        good = pc.min(pc.binary_length(values)).as_py() > 0 and not pc.any(pc.ascii_is_space(values)).as_py()
    else:
        if kind == "yyyymmdd":
            result = from_digits(np.from_dlpack(values))
        elif form is None:
            result = np.true_divide(np.from_dlpack(values.view(pa.int64())), 1e6)
        else:
            result = parse_dates(values, form)
        good = result is not None
    if not good:
        raise _Refused
    return _arrow(result) if isinstance(result, np.ndarray) else result


def _array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _arrow(values: np.ndarray) -> pa.Array:
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])
