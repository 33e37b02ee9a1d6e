"""Numbers in white-space separated text, read as a stream of Arrow record batches.

Blocks of whole lines go to ``pyarrow.csv``; a block that it refuses, or that holds a value outside its column's range,
is read again line by line, which finds the first bad line and names it.
"""

import hashlib
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from dgl_dysign.errors import DataError

BLOCK_BYTES = 4 << 20
_LONGEST_LINE = 1 << 20
_BLANKS = bytes.maketrans(b"\t\v\f\r", b"    ")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Column:
    """One column of a text file: its name and whether it holds integers from 0 up or finite numbers."""

    name: str
    integer: bool = True

    @property
    def type(self) -> pa.DataType:
        """Arrow type of the column."""
        return pa.int64() if self.integer else pa.float64()

    def parse(self, text: str) -> int | float:
        """Return the value that `text` stands for; raise ``ValueError`` saying what was expected."""
        if self.integer:
            if not _INTEGER.fullmatch(text) or not 0 <= int(text) <= _LARGEST:
                raise ValueError("an integer from 0 up")
            return int(text)
        value = float(text) if _NUMBER.fullmatch(text) else float("nan")
        if not math.isfinite(value):
            raise ValueError("a finite number")
        return value


class TextFile:
    r"""A stream of record batches from a file of white-space separated numbers.

    Spaces, tabs, CRLF line ends, a UTF-8 byte-order mark, blank lines and a missing last line end are all accepted.
    After iterating, `rows` and `source` describe what was read.

    Parameters
    ----------
    path : path
        The file.
    columns : tuple of Column
        Its columns, from left to right.
    on_bytes : callable, optional
        Called with the size of each block read, for a progress bar.

    Raises
    ------
    DataError
        At the first line that does not fit, naming file and line; and if the file is missing or holds no rows.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "edges.txt"
    ...     _ = path.write_text("0 1 0.0\r\n1\t2  7e-06")
    ...     file = TextFile(path, (Column("src"), Column("dst"), Column("time", integer=False)))
    ...     pa.Table.from_batches(list(file)).to_pydict()
    {'src': [0, 1], 'dst': [1, 2], 'time': [0.0, 7e-06]}
    """

    def __init__(self, path: Path, columns: tuple[Column, ...], on_bytes: Callable[[int], object] | None = None):
        self.path = path
        self.columns = columns
        self.rows = 0
        self._on_bytes = on_bytes
        self._digest = hashlib.sha256()

    @property
    def source(self) -> dict[str, Any]:
        """Name, SHA-256 and number of rows, for the manifest."""
        return {"name": self.path.name, "sha256": self._digest.hexdigest(), "rows": self.rows}

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        line = 1
        for block in self._blocks():
            for batch in self._parse(block, line):
                self.rows += batch.num_rows
                yield batch
            line += block.count(b"\n")
        if not self.rows:
            raise DataError(f"{self.path}: found no rows, expected lines of `{self._form}`; is the download complete?")

    @property
    def _form(self) -> str:
        return " ".join(column.name for column in self.columns)

    def _blocks(self) -> Iterator[bytes]:
        """Yield blocks that end at a line end; only the last may lack one."""
        if not self.path.exists():
            raise DataError(f"{self.path}: found no such file, expected lines of `{self._form}`; check RAW")
        with open(self.path, "rb") as stream:
            rest = b""
            while block := stream.read(BLOCK_BYTES):
                self._digest.update(block)
                if self._on_bytes:
                    self._on_bytes(len(block))
                if stream.tell() == len(block):
                    block = block.removeprefix(b"\xef\xbb\xbf")
                cut = block.rfind(b"\n") + 1
                if cut:
                    yield rest + block[:cut]
                    rest = b""
                rest += block[cut:]
                if len(rest) > _LONGEST_LINE:
                    raise DataError(
                        f"{self.path}: found a line of more than {_LONGEST_LINE} bytes, expected lines of "
                        f"`{self._form}`; is this a text file?"
                    )
            if rest:
                yield rest

    def _parse(self, block: bytes, first_line: int) -> list[pa.RecordBatch]:
        text = block.translate(_BLANKS)
        while b"  " in text:
            text = text.replace(b"  ", b" ")
        text = text.replace(b" \n", b"\n").replace(b"\n ", b"\n").strip(b" \n") + b"\n"
        if text == b"\n":
            return []
        # pyarrow takes 0x1f for an integer; a file of decimal numbers holds no x at all.
        table = None if b"x" in text or b"X" in text else self._parse_fast(text)
        return self._parse_slowly(block, first_line) if table is None else table.to_batches()

    def _parse_fast(self, text: bytes) -> pa.Table | None:
        names = [column.name for column in self.columns]
        try:
            table = csv.read_csv(
                pa.BufferReader(text),
                read_options=csv.ReadOptions(column_names=names),
                parse_options=csv.ParseOptions(delimiter=" ", quote_char=False),
                convert_options=csv.ConvertOptions(column_types={c.name: c.type for c in self.columns}, null_values=[]),
            )
        except pa.ArrowInvalid:
            return None
        for column, values in zip(self.columns, table.columns, strict=True):
            good = pc.min(values).as_py() >= 0 if column.integer else pc.all(pc.is_finite(values)).as_py()
            if not good:
                return None
        return table

    def _parse_slowly(self, block: bytes, first_line: int) -> list[pa.RecordBatch]:
        values: list[list[int | float]] = [[] for _ in self.columns]
        for number, line in enumerate(block.split(b"\n"), first_line):
            fields = line.decode("utf-8", "backslashreplace").split()
            if fields and len(fields) != len(self.columns):
                self._refuse(number, line, f"{len(fields)} columns", f"{len(self.columns)} (`{self._form}`)")
            for column, text, kept in zip(self.columns, fields, values, strict=False):
                try:
                    kept.append(column.parse(text))
                except ValueError as error:
                    self._refuse(number, line, f"{column.name} {_short(text)}", str(error))
        arrays = [pa.array(kept, column.type) for kept, column in zip(values, self.columns, strict=True)]
        return [pa.record_batch(arrays, names=[column.name for column in self.columns])]

    def _refuse(self, number: int, line: bytes, found: str, expected: str) -> NoReturn:
        text = _short(line.decode("utf-8", "backslashreplace").strip())
        raise DataError(
            f"{self.path}, line {number}: found {found} in {text}, expected {expected}; correct or remove the line"
        )

    def line_of(self, row: int) -> int:
        """Line number of a row (from 0), for messages about a row that was read without complaint."""
        with open(self.path, "rb") as stream:
            for number, line in enumerate(stream, 1):
                if line.removeprefix(b"\xef\xbb\xbf").strip():
                    if row == 0:
                        return number
                    row -= 1
        raise IndexError(row)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
