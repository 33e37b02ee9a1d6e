"""Files of lines made from columns of numbers: in parts, compressed, and always the same bytes for the same numbers.

Each field of a line writes its bytes into a column block of one array; a zero byte stands for "nothing here" and is
dropped at the end. So a line depends on its own values alone, however rows are grouped, and no row is a Python object.
"""

import bz2
import gzip
import json
import lzma
import zipfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from data_prep.synth.published import MARKER, Request, check_choice
from dgl_dysign.data.schema import SCHEMA_VERSION
from dgl_dysign.errors import ConfigError

COMPRESSIONS = ("gz", "bz2", "xz", "zst", "zip")
BLOCK_BYTES = 4 << 20
_FOUR = np.frombuffer("".join(f"{i:04d}" for i in range(10_000)).encode(), np.uint8).reshape(-1, 4)
_MINUS, _POINT, _COMMA = b"-.,"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""Time stamp in archives: that of writing would change the bytes."""


class Field(Protocol):
    """Something that writes one value a row, in at most `width` bytes."""

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
            out[:, 0] = _MINUS * (values < 0)
            out, values = out[:, 1:], np.abs(values)
        _digits(out, values)
        for place in range(out.shape[1] - 1, 0, -1):
            out[:, -1 - place] *= values >= 10**place


class Decimal:
    """Numbers of 0 or more with one to so many decimals, as whole multiples of the last."""

    def __init__(self, units: np.ndarray, decimals: int) -> None:
        self.whole, self.part = np.divmod(units, 10**decimals)
        self.decimals = decimals
        self.head = Integer(self.whole)
        self.width = self.head.width + 1 + decimals

    def fill(self, out: np.ndarray, rows: slice) -> None:  # noqa: D102
        self.head.fill(out[:, : self.head.width], rows)
        out[:, self.head.width] = _POINT
        part = self.part[rows]
        _digits(out[:, -self.decimals :], part)
        for place in range(1, self.decimals):
            out[:, -place] *= part % 10**place != 0


class Vector:
    """Rows of numbers between -10 and 10, with six decimals and commas between, as whole millionths."""

    def __init__(self, millionths: np.ndarray) -> None:
        self.millionths = millionths
        self.width = millionths.shape[1] * len("-0.000000,")

    def fill(self, out: np.ndarray, rows: slice) -> None:  # noqa: D102
        values = self.millionths[rows]
        each = len("-0.000000,")
        out = np.lib.stride_tricks.as_strided(out, (*values.shape, each), (out.strides[0], each, 1))
        high, low = np.divmod(np.abs(values), 10_000)
        out[..., 0] = _MINUS * (values < 0)
        digits = _FOUR[high]
        out[..., 1] = digits[..., 1]
        out[..., 2] = _POINT
        out[..., 3:5] = digits[..., 2:]
        out[..., 5:9] = _FOUR[low]
        out[..., 9] = _COMMA
        out[:, -1, 9] = 0


class Choice:
    """One of a few texts a row."""

    def __init__(self, texts: Sequence[str], codes: np.ndarray) -> None:
        self.table, self.codes = text_table(texts), codes
        self.width = self.table.shape[1]

    def fill(self, out: np.ndarray, rows: slice) -> None:  # noqa: D102
        out[:] = self.table[self.codes[rows]]


class Maybe:
    """A field that is empty in some rows."""

    def __init__(self, field: Field, present: np.ndarray) -> None:
        self.field, self.present, self.width = field, present, field.width

    def fill(self, out: np.ndarray, rows: slice) -> None:  # noqa: D102
        self.field.fill(out, rows)
        out[~self.present[rows]] = 0


class Bytes:
    """Finished texts, uint8 of shape (rows, width), zero where a text has ended."""

    def __init__(self, table: np.ndarray) -> None:
        self.table, self.width = table, table.shape[1]

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


def render(line: Sequence[Field | bytes], rows: slice) -> memoryview:
    r"""Return the lines of `rows` (with a start and a stop); `line` says what stands in each, from left to right.

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


class Output:
    """The folder into which files are generated; `folder` is empty at first.

    Edge files are split into so many `parts` and compressed as `compress` says (gz, bz2, xz, zst or zip; None: not);
    `on_rows` is called with the number of rows once they are written. About `block_bytes` of text are made at a time.

    Raises
    ------
    ConfigError
        If a compression is not known, or there are fewer rows than parts.
    """

    def __init__(
        self,
        folder: Path,
        parts: int = 1,
        compress: str | None = None,
        on_rows: Callable[[int], object] | None = None,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        if compress is not None:
            check_choice("compress", compress, COMPRESSIONS)
        self.folder, self.parts, self.compress = folder, parts, compress
        self.on_rows, self.block_bytes = on_rows, block_bytes

    def edges(self, name: str, rows: int, header: bytes = b"") -> "LineFiles":
        """Open the edge file of so many rows, which may be split and compressed; for use in a ``with`` block."""
        if not 1 <= self.parts <= rows:
            raise ConfigError(f"parts: found {self.parts}, expected 1 to {rows}, the number of rows")
        names = [name]
        if self.parts > 1:
            stem, dot, suffix = name.rpartition(".")
            digits = max(3, len(str(self.parts - 1)))
            names = [f"{stem}-{part:0{digits}d}{dot}{suffix}" for part in range(self.parts)]
        bounds = [rows * (part + 1) // self.parts for part in range(self.parts)]
        return LineFiles(self, names, bounds, header)

    def table(self, name: str, rows: int, header: bytes = b"") -> "LineFiles":
        """Open another file, which is neither split nor compressed."""
        return LineFiles(Output(self.folder, block_bytes=self.block_bytes), [name], [rows], header)

    def mark(self, generator: str, facts: dict[str, Any]) -> None:
        """Write ``synth.json``, which says how the files were generated."""
        marker = {"schema_version": SCHEMA_VERSION, "generator": generator, **facts}
        (self.folder / MARKER).write_text(json.dumps(marker, indent=2) + "\n")


class LineFiles:
    """One file of lines, or several that are one after another; `bounds` are the rows up to the end of each."""

    def __init__(self, output: Output, names: list[str], bounds: list[int], header: bytes) -> None:
        self._output, self._bounds, self._header = output, bounds, header
        self._paths = [output.folder / name for name in names]
        self._written, self._part = 0, -1
        self._stack = ExitStack()
        self._file: Any = None

    def __enter__(self) -> "LineFiles":
        self._next()
        return self

    def __exit__(self, kind: Any, *rest: Any) -> None:
        self._stack.close()
        if kind is None and (self._written, self._part) != (self._bounds[-1], len(self._bounds) - 1):
            raise AssertionError(f"{self._written} rows were written of {self._bounds[-1]}")

    def _next(self) -> None:
        self._stack.close()
        self._part += 1
        self._file = _open(self._stack, self._paths[self._part], self._output.compress)
        self._file.write(self._header)

    def write(self, line: Sequence[Field | bytes], rows: int) -> None:
        """Append the first `rows` rows of some fields, going on to the next file where one is full."""
        done, block = 0, max(1, min(1 << 16, self._output.block_bytes // _width(line)))
        while done < rows:
            if self._written == self._bounds[self._part]:
                self._next()
            some = min(block, rows - done, self._bounds[self._part] - self._written)
            self._file.write(render(line, slice(done, done + some)))
            done += some
            self._written += some
            if self._output.on_rows:
                self._output.on_rows(some)


def _open(stack: ExitStack, path: Path, compress: str | None) -> Any:
    if compress is None:
        return stack.enter_context(path.open("wb"))
    target = path.with_name(f"{path.name}.{compress}")
    if compress == "zst":
        import pyarrow as pa

        return stack.enter_context(pa.CompressedOutputStream(str(target), "zstd"))
    file = stack.enter_context(target.open("wb"))
    if compress == "zip":
        archive = stack.enter_context(zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1))
        member = zipfile.ZipInfo(path.name, _LONG_AGO)
        member.compress_type = zipfile.ZIP_DEFLATED
        return stack.enter_context(archive.open(member, "w", force_zip64=True))
    if compress == "gz":
        return stack.enter_context(gzip.GzipFile("", "wb", 1, file, mtime=0))
    if compress == "bz2":
        return stack.enter_context(bz2.open(file, "wb"))
    return stack.enter_context(lzma.open(file, "wb", preset=1))


def write(
    request: Request, folder: Path, on_rows: Callable[[int], object] | None = None, block_bytes: int = BLOCK_BYTES
) -> dict[str, Any]:
    """Write generated raw files and ``synth.json``, which says how they were generated; see :class:`Output`.

    Returns counts: ``nodes`` and ``events``, and what else the format has.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as home:
    ...     write(Request("college-msg", events=500), Path(home))
    ...     sorted(path.name for path in Path(home).iterdir())
    {'nodes': 16, 'events': 500}
    ['CollegeMsg.txt', 'synth.json']
    """
    output = Output(folder, request.parts, request.compress, on_rows, block_bytes)
    module, function = request.format.writer.split(":")
    counts: dict[str, Any] = getattr(import_module(f"data_prep.synth.{module}"), function)(request, output)
    facts = {**asdict(request), "form": request.chosen_form, "scale": request.share, **counts}
    output.mark(facts.pop("name"), facts)
    return counts
