"""Blocks of whole lines -> record batches, by ``pyarrow.csv``; what a block's bad rows are does not depend on the block.

A block is taken whole or not at all; one that is not is cut in two at a line end, down to single lines. So a row is bad
if and only if ``pyarrow.csv`` and the checks on its values refuse it alone.
"""

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from data_prep.sources._explain import explain, split
from data_prep.sources._layout import TYPES, Layout

_TO_BLANK = bytes.maketrans(b"\t\v\f\r", b"    ")
_BLANK_LINES = re.compile(rb"^[ \t\v\f\r]*(?:\n|\Z)", re.MULTILINE)
_HEX = "0x"
_RAW = {**TYPES, "date": pa.timestamp("us"), "yyyymmdd": pa.int64()}
_NUMERIC = {"integer", "number", "yyyymmdd"}


@dataclass(frozen=True)
class Bad:
    """A row that is refused: its line in the block (from 0), the number of good rows before it, the line, and why."""

    line: int
    before: int
    text: bytes
    found: str
    expected: str


class Parser:
    """Reads blocks of one layout, whose rows have `width` fields and a vector of `dim` values."""

    def __init__(self, layout: Layout, width: int, dim: int = 0):
        self.layout, self.width, self.dim = layout, width, dim
        kinds = [column.kind for column in layout.columns]
        self._names = [str(at) for at in range(width)]
        self._numeric = set(kinds) <= _NUMERIC and layout.vector != "field"
        self._integers = [str(at) for at, kind in enumerate(kinds) if kind in ("integer", "yyyymmdd")]
        types = {str(at): _RAW[kind] for at, kind in enumerate(kinds) if kind != "skip"}
        if layout.vector == "rest":
            types |= {str(at): pa.float32() for at in range(len(kinds), width)}
        if layout.vector == "field":
            types[str(len(kinds))] = pa.string()
        self._read = _read_options(self._names)
        self._parse = _parse_options(layout.delimiter, layout.quote)
        self._convert = [self._convert_options(types)]
        if "date" in kinds:
            zoned = {name: pa.timestamp("us", tz="UTC") if kind == _RAW["date"] else kind for name, kind in types.items()}
            self._convert.append(self._convert_options(zoned))
        if layout.brackets or self._numeric:
            self._plus = re.compile(rb"((?:^|%s|\[)[ \t]*)\+(?=[0-9.])" % re.escape(layout.delimiter.encode()), re.M)

    @classmethod
    def of_first(cls, line: bytes, layout: Layout) -> "Parser | None":
        """Return a parser for rows as wide as `line`, or None if `line` is no good row whatever the width."""
        fields = split(line.removesuffix(b"\n").removesuffix(b"\r"), layout)
        width, dim = len(layout.columns), 0
        if layout.vector:
            width = len(fields) if layout.vector == "rest" else width + 1
            dim = len(fields) - len(layout.columns) if layout.vector == "rest" else fields[-1].count(",") + 1
            if dim < 1:
                return None
        return cls(layout, width, dim)

    def _convert_options(self, types: dict[str, pa.DataType]) -> csv.ConvertOptions:
        form = next((column.format for column in self.layout.columns if column.format), None)
        return csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            null_values=[],
            timestamp_parsers=[form] if form else [],
        )

    def read(self, block: bytes) -> tuple[list[pa.RecordBatch], list[Bad]]:
        """Return the good rows of a block of whole lines, and its bad ones."""
        batches: list[pa.RecordBatch] = []
        bad: list[Bad] = []
        self._read_into(block, 0, batches, bad)
        return batches, bad

    def _read_into(self, block: bytes, line: int, batches: list[pa.RecordBatch], bad: list[Bad]) -> None:
        batch = self._take(block)
        if isinstance(batch, pa.RecordBatch):
            if batch.num_rows:
                batches.append(batch)
            return
        cut = block.rfind(b"\n", 0, len(block) // 2) + 1 or block.find(b"\n") + 1
        if cut in (0, len(block)):
            found, expected = self._words(block, batch)
            bad.append(Bad(line, sum(done.num_rows for done in batches), block.rstrip(b"\r\n"), found, expected))
            return
        self._read_into(block[:cut], line, batches, bad)
        self._read_into(block[cut:], line + block.count(b"\n", 0, cut), batches, bad)

    def _words(self, line: bytes, reason: str) -> tuple[str, str]:
        said = explain(line.removesuffix(b"\n"), self.layout, self.width, self.dim)
        return said or (reason or "a row that cannot be read", f"lines of `{self.layout.form}`")

    def _take(self, block: bytes) -> pa.RecordBatch | str:
        """Return a batch of all rows of a block, or (in words, possibly none) why not all of them are good."""
        result: pa.RecordBatch | str = ""
        if not self._needs_tidying(block):
            result = self._try(block)
            if isinstance(result, pa.RecordBatch):
                return result
        tidy = self._tidy(block)
        if tidy is None or tidy == block:
            return result
        if not tidy:
            return pa.record_batch({})
        return self._try(tidy)

    def _needs_tidying(self, block: bytes) -> bool:
        """Whether a block may hold what ``pyarrow.csv`` would take in another sense than meant."""
        layout = self.layout
        if layout.brackets:
            return True
        if layout.comment and (block.startswith(layout.comment.encode()) or b"\n" + layout.comment.encode() in block):
            return True
        if layout.delimiter != " " or self._numeric:
            return False
        if any(blank in block for blank in (b"\t", b"\v", b"\f")):
            return True
        return b"  " in block or b" \n" in block or b"\n " in block or block.startswith(b" ") or block.endswith(b" ")

    def _tidy(self, block: bytes) -> bytes | None:
        """Return the block without comments, blank lines, surplus blanks, brackets and plus signs."""
        layout = self.layout
        if layout.comment:
            block = re.sub(rb"^%s[^\n]*(?:\n|\Z)" % re.escape(layout.comment.encode()), b"", block, flags=re.MULTILINE)
        if layout.delimiter == " ":
            block = block.translate(_TO_BLANK)
            while b"  " in block:
                block = block.replace(b"  ", b" ")
            block = block.replace(b" \n", b"\n").replace(b"\n ", b"\n").strip(b" \n")
        else:
            block = _BLANK_LINES.sub(b"", block)
        if self._numeric and b"+" in block:
            block = self._plus.sub(rb"\1", block)
        return _without_brackets(block) if layout.brackets and block else block

    def _try(self, text: bytes) -> pa.RecordBatch | str:
        if b"\r" in text and text.count(b"\r") != text.count(b"\r\n") + text.endswith(b"\r"):
            return ""
        if self._hexadecimal(text):
            return ""
        rows = None
        if self.layout.quote:
            # A last line that a quote swallows would else go unseen.
            rows = sum(1 for line in text.split(b"\n") if line.strip())
            text = text.removesuffix(b"\n") + b"\n"
        for convert in self._convert:
            table = self._table(text, convert)
            if table is not None and rows in (None, table.num_rows):
                return self._finish(table)
        return ""

    def _table(self, text: bytes, convert: csv.ConvertOptions) -> pa.Table | None:
        if self.layout.quote and any(line.count(b'"') % 2 for line in text.split(b"\n")):
            return None
        try:
            return csv.read_csv(
                pa.BufferReader(text), read_options=self._read, parse_options=self._parse, convert_options=convert
            )
        except pa.ArrowInvalid:
            return None

    def _hexadecimal(self, text: bytes) -> bool:
        """Whether an integer is written 0x1f, which ``pyarrow.csv`` takes."""
        if not self._integers or (b"x" not in text and b"X" not in text):
            return False
        if self._numeric:
            return True
        options = csv.ConvertOptions(
            column_types=dict.fromkeys(self._integers, pa.binary()), include_columns=self._integers, null_values=[]
        )
        table = self._table(text, options)
        return table is None or any(
            pc.any(pc.match_substring(column, _HEX, ignore_case=True)).as_py() for column in table.columns
        )

    def _finish(self, table: pa.Table) -> pa.RecordBatch | str:
        arrays: list[pa.Array] = []
        names: list[str] = []
        for at, column in enumerate(self.layout.columns):
            if column.kind != "skip":
                array = _checked(table.column(str(at)).combine_chunks(), column.kind, column.format)
                if array is None:
                    return ""
                arrays.append(array)
                names.append(column.name)
        if self.layout.vector:
            vector = self._vector(table)
            if vector is None:
                return ""
            arrays.append(vector)
            names.append("feat")
        batch = pa.record_batch(arrays, names=names)
        if self.layout.derive:
            try:
                batch = self.layout.derive(batch)
            except ValueError as error:
                return str(error)
        return batch

    def _vector(self, table: pa.Table) -> pa.Array | None:
        first, rows = len(self.layout.columns), table.num_rows
        columns = table.columns[-self.dim :]
        if self.layout.vector == "field":
            texts = table.column(str(first)).combine_chunks()
            whole = pa.ListArray.from_arrays(pa.array([0, rows], pa.int32()), texts)
            joined = pc.binary_join(whole, "\n")[0].as_buffer()
            names = [str(at) for at in range(self.dim)]
            try:
                columns = csv.read_csv(
                    pa.BufferReader(joined),
                    read_options=_read_options(names),
                    parse_options=_parse_options(",", False),
                    convert_options=csv.ConvertOptions(
                        column_types=dict.fromkeys(names, pa.float32()), null_values=[]
                    ),
                ).columns
            except pa.ArrowInvalid:
                return None
            if len(columns[0]) != rows:
                return None
        values = np.empty((rows, self.dim), np.float32)
        for at, column in enumerate(columns):
            values[:, at] = np.from_dlpack(column.combine_chunks())
        if not np.isfinite(values).all():
            return None
        flat = pa.Array.from_buffers(pa.float32(), values.size, [None, pa.py_buffer(values)])
        return pa.FixedSizeListArray.from_arrays(flat, self.dim)


def _read_options(names: list[str]) -> csv.ReadOptions:
    return csv.ReadOptions(column_names=names, use_threads=False, block_size=1 << 30)


def _parse_options(delimiter: str, quote: bool) -> csv.ParseOptions:
    return csv.ParseOptions(delimiter=delimiter, quote_char='"' if quote else False)


def _without_brackets(block: bytes) -> bytes | None:
    """Put blanks in place of the brackets around each line; None if some line has none, or others."""
    view = np.frombuffer(bytearray(b"\n".join(line.strip() for line in block.splitlines() if line.strip())), np.uint8)
    breaks = np.flatnonzero(view == ord("\n"))
    begins, ends = np.concatenate([[0], breaks + 1]), np.concatenate([breaks - 1, [len(view) - 1]])
    for sign, at in ((ord("["), begins), (ord("]"), ends)):
        if np.count_nonzero(view == sign) != len(at) or not (view[at] == sign).all():
            return None
        view[at] = ord(" ")
    return view.tobytes()


def _checked(values: pa.Array, kind: str, form: str | None) -> pa.Array | None:
    """Return the values as they are given out, or None if one of them is out of range."""
    if kind == "integer":
        return values if not len(values) or pc.min(values).as_py() >= 0 else None
    if kind == "number":
        return values if pc.all(pc.is_finite(values)).as_py() is not False else None
    if kind == "text":
        return None if pc.any(pc.or_(pc.equal(pc.binary_length(values), 0), pc.ascii_is_space(values))).as_py() else values
    if kind == "yyyymmdd":
        return _from_digits(np.from_dlpack(values))
    micros = np.from_dlpack(values.view(pa.int64()))
    return _arrow(micros / 1e6)


def _from_digits(value: np.ndarray) -> pa.Array | None:
    year, day = np.divmod(value, 10_000)
    if len(value) and (year.min() < 1000 or year.max() > 9999):
        return None
    leap = ((year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))).astype(np.int64)
    in_year = _DAY_OF_YEAR[leap, day]
    if len(value) and in_year.min() < 0:
        return None
    return _arrow((_YEAR_BEGINS[year] + in_year) * 86400.0)


def _tables() -> tuple[np.ndarray, np.ndarray]:
    """Return the day of the year by leap year and mmdd (-1 where there is none), and the first day of each year."""
    days = np.full((2, 10_000), -1, np.int64)
    for leap, year in enumerate((2001, 2000)):
        dates = np.arange(f"{year}-01-01", f"{year + 1}-01-01", dtype="datetime64[D]")
        months = (dates.astype("datetime64[M]").astype(np.int64) % 12) + 1
        of_month = (dates - dates.astype("datetime64[M]")).astype(np.int64) + 1
        days[leap, months * 100 + of_month] = np.arange(len(dates))
    years = (np.arange(10_000) - 1970).astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)
    return days, years


_DAY_OF_YEAR, _YEAR_BEGINS = _tables()


def _arrow(values: np.ndarray) -> pa.Array:
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])
