"""A raw file, decompressed as its first bytes tell, as a stream of batches; bad rows stop it or are set aside."""

import bz2
import codecs
import hashlib
import io
import lzma
import os
import re
import stat
import struct
import zipfile
import zlib
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np
import pyarrow as pa

from data_prep.sources import tables
from data_prep.sources._codec import text_codec
from data_prep.sources._layout import BLANKS, MARK, Bad, Block, Layout, Parsed, Parser, is_row, short
from dgl_dysign.errors import DataError

_PIECE = 1 << 18

_XZ_MEMORY = 256 << 20
_MAGIC = {
    "gzip": re.compile(rb"\x1f\x8b\x08"),
    "bz2": re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"),
    "xz": re.compile(rb"\xfd7zXZ\0"),
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
    "zip": re.compile(rb"PK(\x03\x04|\x05\x06)"),
}
_MARKS = {
    b"\xff\xfe\0\0": "utf-32-le",
    b"\0\0\xfe\xff": "utf-32-be",
    b"\xff\xfe": "utf-16-le",
    b"\xfe\xff": "utf-16-be",
}
_NULS = {b"\1\0\0\0": "utf-32-le", b"\0\0\0\1": "utf-32-be", b"\1\0\1\0": "utf-16-le", b"\0\1\0\1": "utf-16-be"}
"""Where the first four bytes are NUL, if they are of plain letters."""
_DAMAGED = (
    *(OSError, EOFError, ValueError, IndexError, KeyError, OverflowError, NotImplementedError, RuntimeError),
    *(struct.error, zlib.error, lzma.LZMAError, zipfile.BadZipFile, pa.ArrowException),
)
"""What the readers of archives raise at a damaged one."""


class _Disk(io.FileIO):
    """The file on disk; hashes and counts what is read in order."""

    # Those of FileIO would go round `readinto`.
    readall = io.RawIOBase.readall

    def __init__(self, path: Path):
        super().__init__(path)
        self.digest, self.hashed, self.taken = hashlib.sha256(), 0, 0

    def readinto(self, buffer: Any) -> int:
        begin = self.tell()
        size = super().readinto(buffer) or 0
        self.taken += size
        if begin == self.hashed:
            self.digest.update(memoryview(buffer)[:size])
            self.hashed += size
        return size

    def read(self, size: int | None = -1) -> bytes:
        # No room for more than there is: a damaged file may speak of any size.
        left = max(0, os.fstat(self.fileno()).st_size - self.tell())
        return io.RawIOBase.read(self, -1 if size is None or size < 0 else min(size, left)) or b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except OSError:
            raise OSError("negative position") from None


class _Joined:
    """Decompressed bytes of bzip2 or xz streams, one after the other, with nothing else after them.

    The standard library's files ignore junk after the first stream; pyarrow fails at empty bzip2 streams.
    """

    def __init__(self, disk: _Disk, form: str):
        self._disk, self._form = disk, form
        self._tool: bz2.BZ2Decompressor | lzma.LZMADecompressor | None = None
        self._pending = b""

    def read(self, size: int) -> bytes:
        while self._tool is not None or self._begin_stream():
            assert self._tool is not None
            if self._tool.needs_input and not self._pending:
                self._pending = self._disk.read(_PIECE) or b""
                if not self._pending:
                    raise EOFError("it ends too early")
            piece = self._tool.decompress(self._pending, size)
            self._pending = b""
            if self._tool.eof:
                self._pending, self._tool = self._tool.unused_data, None
            if piece:
                return piece
        return b""

    def _begin_stream(self) -> bool:
        """Get ready for the next stream; False if there is none."""
        is_xz = self._form == "xz"
        while True:
            # Between xz streams, zeros may stand to fill up to a multiple of four bytes.
            self._pending = self._pending.lstrip(b"\0") if is_xz else self._pending
            if self._pending:
                self._tool = lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY) if is_xz else bz2.BZ2Decompressor()
                return True
            self._pending = self._disk.read(_PIECE) or b""
            if not self._pending:
                return False


class _ToUtf8:
    """Decodes text piece by piece; at bytes that are none, `error` is set, and all text before them is good."""

    def __init__(self, path: Path, encoding: str):
        self._path, self.encoding, self._line = path, encoding, 1
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self.error: DataError | None = None

    def __call__(self, piece: bytes) -> bytes:
        """Return the text of the next bytes; none are the end."""
        try:
            text = self._decoder.decode(piece, final=not piece)
        except UnicodeError as error:
            what, before = str(error), b""
            if isinstance(error, UnicodeDecodeError):
                what, before = f"bytes 0x{error.object[error.start : error.end].hex()}", error.object[: error.start]
            text = before.decode(self.encoding, "replace")
            self.error = DataError(
                f"{self._path}, line {self._line + text.count(chr(10))}: found {what}, expected text in "
                f"{self.encoding}; name how the file is written with --encoding"
            )
        self._line += text.count("\n")
        return text.encode("utf-8", "surrogatepass")


class RawStream:
    """The bytes of a raw file, decompressed and in UTF-8; see :func:`open_raw`.

    At most `bound` come out of the archive (None: no bound).
    """

    table: str | None = None

    def __init__(self, path: Path, max_bytes: int | None, encoding: str = "utf-8", unread: Collection[int] = ()):
        self.path, self._encoding, self._unread = path, text_codec(encoding), unread
        self._before = _stat_of_regular(path)
        self._disk = _Disk(path)
        self.bound = max_bytes
        self._delivered = 0
        self._left = self._text = memoryview(b"")
        self._begun = False
        self._to_utf8: _ToUtf8 | None = None
        self._read: Callable[[int], bytes] | None = None
        try:
            self._read = self._reader()
        except BaseException as error:
            self.close()
            if isinstance(error, _DAMAGED):
                raise self._unreadable(error) from None
            raise

    def _reader(self) -> Callable[[int], bytes] | None:
        """Return what reads decompressed bytes; None for a plain file."""
        begin = os.pread(self._disk.fileno(), 10, 0)
        form = form_of(begin)
        if form is None:
            return None
        if self.bound is None:
            self.bound = min(64 << 30, max(1 << 30, 1000 * self._before.st_size))
        self.table = tables.form_of(begin)
        if self.table:
            texts = tables.texts_of_file(self.path, self._disk, self.table, self._unread)
            return lambda size: next(texts, b"")
        if form == "zip":
            return _open_member(self.path, zipfile.ZipFile(self._disk)).read
        if form in ("bz2", "xz"):
            return _Joined(self._disk, form).read
        return pa.CompressedInputStream(pa.PythonFile(self._disk, "r"), form).read

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer, perhaps not wholly, and return the number of bytes; 0 at the end.

        Raises
        ------
        DataError
            If the file is damaged, holds more bytes than allowed or bytes that are no text in its encoding (after all
            good or allowed bytes).
        """
        if not self._begun:
            self._begin_text()
        if self._to_utf8 is None:
            return self._decompress(buffer)
        if not self._text:
            self._text = memoryview(self._next_text(self._to_utf8))
        size = min(len(buffer), len(self._text))
        buffer[:size] = self._text[:size]
        self._text = self._text[size:]
        return size

    def _begin_text(self) -> None:
        """Look at the first bytes, which tell UTF-16 and UTF-32."""
        self._begun = True
        if self._read is None:
            head = os.pread(self._disk.fileno(), 4, 0)
        else:
            try:
                self._left = memoryview(self._read(_PIECE))
            except _DAMAGED as error:
                raise self._unreadable(error) from None
            head = bytes(self._left[:10])
            if form := tables.form_of(head):
                raise DataError(f"{self.path}: found {form} data in an archive, expected them alone; unpack it first")
        encoding = _encoding_of(self.path, head[:4], self._encoding)
        self._to_utf8 = None if encoding == "utf-8" else _ToUtf8(self.path, encoding)

    def _next_text(self, to_utf8: _ToUtf8) -> bytes:
        buffer = memoryview(bytearray(_PIECE))
        while True:
            if to_utf8.error:
                raise to_utf8.error
            size = self._decompress(buffer)
            if (text := to_utf8(bytes(buffer[:size]))) or not (size or to_utf8.error):
                return text

    def _decompress(self, buffer: memoryview) -> int:
        room = len(buffer) if self.bound is None else min(len(buffer), self.bound - self._delivered)
        if len(buffer) and not room:
            self._refuse_more()
        try:
            size = self._fill(buffer[:room])
        except _DAMAGED as error:
            raise self._unreadable(error) from None
        self._delivered += size
        return size

    def _fill(self, buffer: memoryview) -> int:
        if self._read is None:
            return self._disk.readinto(buffer)
        # Pieces of one size, whatever the caller's: so a damaged archive is good up to the same byte.
        if not self._left:
            self._left = memoryview(self._read(_PIECE))
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size

    def _refuse_more(self) -> None:
        try:
            more = self._fill(memoryview(bytearray(1)))
        except _DAMAGED as error:
            raise self._unreadable(error) from None
        if more:
            raise DataError(
                f"{self.path}: found more than {self.bound} bytes once decompressed, expected no more; if the file "
                "is to be trusted, allow more with --max-bytes"
            )

    @property
    def encoding(self) -> str:
        """How the text is written, as its mark says or else what was given."""
        if not self._begun:
            self._begin_text()
        return self._to_utf8.encoding if self._to_utf8 else "utf-8"

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size`; none at the end. Raises as :meth:`readinto` does."""
        buffer = bytearray(size)
        return bytes(memoryview(buffer)[: self.readinto(memoryview(buffer))])

    @property
    def consumed(self) -> int:
        """Number of bytes of the file on disk read so far."""
        # A table is not read from its beginning to its end.
        return min(self._disk.taken, self._before.st_size) if self.table else self._disk.hashed

    def sha256(self) -> str:
        """Return the SHA-256 of the file on disk, having read what is left of it.

        Raises
        ------
        DataError
            If the file has changed since it was opened.
        """
        try:
            self._disk.seek(self._disk.hashed)
            while self._disk.read(_PIECE):
                pass
        except OSError as error:
            raise self._unreadable(error) from None
        stats = self._before, _stat_of_regular(self.path), os.fstat(self._disk.fileno())
        if len({(stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats}) > 1:
            raise DataError(
                f"{self.path}: found it changed while it was read, expected it to stay as it is; start again"
            )
        return self._disk.digest.hexdigest()

    def close(self) -> None:
        """Close the file."""
        self._disk.close()

    def __enter__(self) -> "RawStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _unreadable(self, error: BaseException) -> DataError:
        reason = " ".join(str(error).split()) or type(error).__name__
        if self._read is None and isinstance(error, OSError):
            return DataError(f"{self.path}: found {reason}, expected a file that can be read; check RAW")
        kind = f"{self.table} file" if self.table else "archive"
        return DataError(f"{self.path}: found a damaged {kind} ({reason}), expected a whole one; fetch the file again")


def form_of(begin: bytes) -> str | None:
    """Return how a raw file is packed by its first 10 bytes; None for a plain one."""
    packed = (form for form, magic in _MAGIC.items() if magic.match(begin))
    return next(packed, None) or tables.form_of(begin)


def _encoding_of(path: Path, head: bytes, encoding: str) -> str:
    """Return how a text is written, as its first bytes or else its user say."""
    mark = next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)
    if mark and encoding not in ("utf-8", mark, mark[:6]):
        raise DataError(f"{path}: found a mark of {mark}, expected {encoding}; leave out --encoding")
    nuls = _NULS.get(bytes(map(bool, head))) if encoding == "utf-8" and not mark else None
    if nuls:
        raise DataError(
            f"{path}: found NUL bytes, expected text in UTF-8, or a byte-order mark; say how it is written, perhaps "
            f"--encoding {nuls}"
        )
    return mark or encoding


def open_raw(
    path: Path, max_bytes: int | None = None, encoding: str = "utf-8", unread: Collection[int] = ()
) -> RawStream:
    """Open a raw file: plain, gzip, bzip2, xz, zstd, zip, or a table, as its first bytes tell (not its name).

    Of a table (Parquet, Feather, Arrow) come the bytes of the CSV of its rows, see :mod:`data_prep.sources.tables`;
    the fields of `unread` columns are empty there.
    Several members one after the other (gzip, bzip2, xz, zstd) are read as one; a zip archive must hold one data file.
    At most `max_bytes` come out; by default of a plain file all, of a compressed one 1000 times its size, but at least
    1 GiB and at most 64 GiB. Text in another `encoding`, or with a mark of UTF-16 or UTF-32, is turned into UTF-8.
    Raises DataError if the file is missing or a damaged archive, ConfigError if Python knows no such encoding.
    """
    try:
        return RawStream(path, max_bytes, encoding, unread)
    except OSError as error:
        raise DataError(f"{path}: found {error.strerror}, expected a file that can be read; check RAW") from None


def head_lines(path: Path, n: int, max_bytes: int | None = None, encoding: str = "utf-8") -> list[str]:
    """Return the first `n` lines of a raw file, without line ends and byte-order mark; at most 1 MiB a line."""
    data = b""
    with open_raw(path, max_bytes, encoding) as stream:
        while data.count(b"\n") < n and len(data) < n << 20 and (piece := stream.read(1 << 16)):
            data += piece
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    return [line.removesuffix(b"\r").decode("utf-8", "backslashreplace") for line in lines[:n]]


def _stat_of_regular(path: Path) -> os.stat_result:
    try:
        status = path.stat()
    except FileNotFoundError:
        raise DataError(f"{path}: found no such file; check RAW") from None
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path}: found no regular file, expected one; check RAW")
    return status


def _open_member(path: Path, archive: zipfile.ZipFile) -> Any:
    """Open the one data file of a zip archive."""
    names = [info.filename for info in archive.infolist()]
    for name in names:
        if name.startswith("/") or "\\" in name or ".." in name.split("/") or re.match(r"[A-Za-z]:", name):
            raise DataError(f"{path}: found member {name!r}, expected names inside the archive; do not trust this file")
    if "[Content_Types].xml" in names:
        raise DataError(f"{path}: found a spreadsheet, expected delimited text; save its sheet as CSV")
    members = [name for name in names if not name.endswith("/") and not name.startswith("__MACOSX/")]
    if len(members) != 1:
        named = ", ".join(map(repr, members[:5])) or "none"
        raise DataError(f"{path}: found {len(members)} files in it ({named}), expected one; unpack the archive")
    return archive.open(members[0])


_LONGEST_TEXT = 1000


class Rejected(NamedTuple):
    """A row set aside: its line number (from 1), its text (at most 1000 characters) and the reason."""

    line: int
    text: str
    reason: str


class _Task(NamedTuple):
    """What gives the result of a block's parsing, or raises the error that ended the reading; and the block."""

    result: Callable[[], Parsed]
    block: Block | None = None


class RawFile:
    r"""The good rows of a raw file, plain or compressed, as a stream of record batches.

    Runs of blanks, CRLF line ends, a UTF-8 byte-order mark, blank lines and a missing last line end are all accepted.
    After iterating, `source`, `rejected` and `lines_of` describe what was read.

    Parameters
    ----------
    path : path
        The file: plain, gzip, bzip2, xz, zstd or zip.
    layout : Layout
        What its lines hold.
    on_error : {"stop", "quarantine"}
        Raise at the first bad row, or set bad rows aside in `rejected`, which may be emptied between batches.
    max_bytes : int, optional
        Most bytes after decompression; for the default see :func:`open_raw`.
    on_bytes : callable, optional
        Called with the number of bytes of the file on disk read since the last call.
    block_bytes, threads : int, default 4 MiB and 2
        Size of the blocks parsed at once, on which batches depend, not rows; and how many side by side: two more at
        most are in memory.
    longest_line : int, default 16 MiB
        Most bytes of a line, and of a block.
    many : int, default 10,000
        So many bad rows, if more than half are bad, are an error.

    Raises
    ------
    DataError
        At the first bad row (``stop``), naming file and line; if the file is missing, damaged, longer than `max_bytes`,
        changed meanwhile or without good rows; if at least `many` rows, and more than half, are bad.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from data_prep import Column, Layout
    >>> layout = Layout((Column("src", "integer"), Column("dst", "integer"), Column("time", "number")))
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "edges.txt"
    ...     _ = path.write_text("0 1 0.0\r\n1 b 0\n1\t2  7e-06")
    ...     file = RawFile(path, layout, on_error="quarantine")
    ...     pa.Table.from_batches(list(file)).to_pydict()
    {'src': [0, 1], 'dst': [1, 2], 'time': [0.0, 7e-06]}
    >>> file.rejected
    [Rejected(line=2, text='1 b 0', reason="found dst 'b', expected an integer from 0 up")]
    """

    def __init__(
        self,
        path: Path,
        layout: Layout,
        *,
        on_error: Literal["stop", "quarantine"] = "stop",
        max_bytes: int | None = None,
        on_bytes: Callable[[int], object] | None = None,
        block_bytes: int = 4 << 20,
        threads: int = 2,
        longest_line: int = 16 << 20,
        many: int = 10_000,
    ):
        self.path, self.layout, self.on_error = path, layout, on_error
        self.max_bytes, self.threads = max_bytes, threads
        self.block_bytes = min(max(1, block_bytes), longest_line)
        self._on_bytes, self._longest_line, self._many = on_bytes, longest_line, many
        self._begin()

    def _begin(self) -> None:
        self.rejected: list[Rejected] = []
        self.rows = self.comments = self.blank = 0
        self._header: list[bytes] = []
        self._line = 1
        self._bad_lines, self._row_at, self._line_at = array("q"), array("q"), array("q")
        self._sha256 = ""
        self._spare: list[bytearray] = []
        self._last: tuple[Block | None, int, Parsed] = (None, 1, Parsed())

    @property
    def source(self) -> dict[str, Any]:
        """The manifest's entry; `lines` = header + rows + rejected; with comments and blank ones those of the file."""
        rejected, header = len(self._bad_lines), len(self._header)
        others = {"comments": self.comments, "blank": self.blank}
        return {
            "name": self.path.name,
            "sha256": self._sha256,
            "lines": header + self.rows + rejected,
            "header": header,
            "rows": self.rows,
            "rejected": rejected,
            **{name: count for name, count in others.items() if count},
        }

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        self._begin()
        with self._open() as stream:
            yield from self._batches(stream)
            self._sha256 = stream.sha256()
        if not self.rows:
            aside = f" (all {len(self._bad_lines)} lines are bad)" if self._bad_lines else ""
            raise DataError(
                f"{self.path}: found no rows{aside}, expected lines of `{self.layout.form}`; is the download complete?"
            )

    def _open(self) -> RawStream:
        unread = {at for at, column in enumerate(self.layout.columns) if column.kind == "skip"}
        return open_raw(self.path, self.max_bytes, self.layout.encoding, unread)

    def _batches(self, stream: RawStream) -> Iterator[pa.RecordBatch]:
        window: deque[_Task] = deque()
        pool = ThreadPoolExecutor(self.threads, "parse")
        try:
            for task in self._tasks(stream, pool):
                window.append(task)
                if len(window) > self.threads + 1:
                    yield from self._accept(window.popleft())
            while window:
                yield from self._accept(window.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _tasks(self, stream: RawStream, pool: ThreadPoolExecutor) -> Iterator[_Task]:
        """Send blocks to the pool; where reading fails, the error comes after all blocks before it."""
        parser = None
        try:
            for block in self._after_header(stream):
                if parser is None and not self.layout.vector:
                    parser = Parser(self.layout, header=self._header)
                if parser is None:
                    # The first good row says how long the vectors are; up to there, each line is tried by itself.
                    for line in block.lines():
                        parser = Parser.of_first(line, self.layout, self._header)
                        parsed = parser.read(line)
                        if parsed.rows:
                            block = block._replace(begin=line.begin)
                            break
                        yield _Task(partial(_value, parsed))
                        parser = None
                if parser is not None:
                    yield _Task(pool.submit(parser.read, block).result, block)
        except DataError as error:
            yield _Task(partial(_raise, error))

    def _accept(self, task: _Task) -> Iterator[pa.RecordBatch]:
        parsed = task.result()
        if task.block:
            assert isinstance(task.block.data, bytearray)
            self._spare.append(task.block.data)
        for row in parsed.bad:
            self._reject(row)
        self._last = task.block, self._line, parsed
        self._row_at.append(self.rows)
        self._line_at.append(self._line if parsed.rows == parsed.lines else 0)
        self._line += parsed.lines
        self.rows += parsed.rows
        self.comments += parsed.comments
        self.blank += parsed.blank
        yield from parsed.batches

    def last_rows(self) -> tuple[np.ndarray, Block]:
        """Line number of each row of the batch given out last, and its block; until the next one is asked for."""
        block, line, parsed = self._last
        assert block is not None
        lines = np.arange(line, line + parsed.lines)
        if parsed.rows < parsed.lines:
            bad = {row.line for row in parsed.bad}
            texts = enumerate(block.tobytes().split(b"\n"))
            lines = lines[[at for at, text in texts if at not in bad and is_row(text, self.layout.comment)]]
        return lines, block

    def refuse(self, rows: Mapping[int, tuple[str, str]]) -> None:
        """Take rows of the batch given out last (from 0) for bad ones after all: what was found, and expected."""
        lines, block = self.last_rows()
        texts = block.tobytes().split(b"\n")
        first = self._last[1]
        self.rows -= len(rows)
        self._line_at[-1] = 0  # no longer do the lines of the block follow each other
        for row, words in sorted(rows.items()):
            line = int(lines[row])
            self._reject(Bad(line - self._line, 0, texts[line - first].removesuffix(b"\r"), *words))
        self.rejected.sort()

    def _reject(self, row: Bad) -> None:
        line, text = self._line + row.line, _text(row.text)
        if self.on_error == "stop":
            raise DataError(
                f"{self.path}, line {line}: found {row.found} in {short(text)}, expected {row.expected}; correct or "
                "remove the line, or set such lines aside with --on-error quarantine"
            )
        self.rejected.append(Rejected(line, text[:_LONGEST_TEXT], f"found {row.found}, expected {row.expected}"))
        self._bad_lines.append(line)
        bad = len(self._bad_lines)
        if bad >= self._many and bad > self.rows + row.before:
            raise DataError(
                f"{self.path}: found {bad} bad lines of {self.rows + row.before + bad} (line {line}: found "
                f"{row.found}, expected {row.expected}), expected lines of `{self.layout.form}`; is this the right "
                "format?"
            )

    def _after_header(self, stream: RawStream) -> Iterator[Block]:
        """Yield blocks of the lines after the header."""
        reported = 0
        for block in self._blocks(stream):
            if self._on_bytes:
                self._on_bytes(stream.consumed - reported)
                reported = stream.consumed
            while block.size and len(self._header) < self.layout.header:
                rest = block.after_line()
                self._add_to_header(block._replace(end=rest.begin).tobytes())
                block = rest
            if block.size:
                yield block

    def _add_to_header(self, line: bytes) -> None:
        self._line += 1
        if is_row(line, self.layout.comment):
            self._header.append(line.strip(BLANKS + b"\n"))
        elif line.strip(BLANKS + b"\n"):
            self.comments += 1
        else:
            self.blank += 1

    def _blocks(self, stream: RawStream) -> Iterator[Block]:
        """Yield blocks that end at a line end; only the last may lack one. Whole lines come before an error."""
        rest, mark, wanted, end = b"", MARK, 0, 0
        while end == wanted:
            # A line longer than a block is read on in steps that grow with it.
            kept, wanted = len(rest), len(rest) + max(self.block_bytes, len(rest))
            buffer = self._buffer(wanted)
            buffer[:kept] = rest
            with memoryview(buffer) as view:
                end, error = _fill(stream, view[:wanted], kept)
            first = buffer.find(b"\n", kept, end)
            self._refuse_long(end if first < 0 else first)
            cut = buffer.rfind(b"\n", kept, end) + 1 if error or end == wanted else end
            rest = bytes(memoryview(buffer)[cut:end])
            if cut:
                yield Block(buffer, len(mark) if buffer.startswith(mark, 0, cut) else 0, cut)
                mark = b""
            if error:
                raise error

    def _buffer(self, size: int) -> bytearray:
        """Return a buffer, if possible a used one: new memory costs as much as a tenth of the parsing."""
        if self._spare and len(self._spare[-1]) >= size:
            return self._spare.pop()
        return bytearray(size + self.block_bytes // 4)

    def _refuse_long(self, length: int) -> None:
        if length > self._longest_line:
            raise DataError(
                f"{self.path}: found a line of more than {self._longest_line} bytes, expected lines of "
                f"`{self.layout.form}`; is this a text file?"
            )

    def line_of(self, row: int) -> int:
        """Line number (from 1) of a good row (from 0)."""
        return self.lines_of([row])[0]

    def lines_of(self, rows: Iterable[int]) -> list[int]:
        """Line numbers (from 1) of good rows (from 0), for messages; the file is read again once at most."""
        line_of: dict[int, int] = {}
        rows = list(map(int, rows))
        for row in rows:
            if not 0 <= row < self.rows:
                raise IndexError(row)
            at = bisect_right(self._row_at, row) - 1
            line_of[row] = self._line_at[at] and self._line_at[at] + row - self._row_at[at]
        missing = {row for row, line in line_of.items() if not line}
        if missing:
            lines = enumerate(islice(self._row_lines(), max(missing) + 1))
            line_of.update((row, line) for row, (line, _) in lines if row in missing)
        return [line_of[row] for row in rows]

    def rows_at(self, rows: Iterable[int]) -> list[tuple[int, str]]:
        """Line number and text of good rows, as those of :class:`Rejected`; the file is read again."""
        rows = list(map(int, rows))
        wanted = set(rows)
        lines = enumerate(islice(self._row_lines(), max(rows, default=-1) + 1))
        row_at = {row: (line, _text(text)[:_LONGEST_TEXT]) for row, (line, text) in lines if row in wanted}
        return [row_at[row] for row in rows]

    def _row_lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield line number and text of each good row, reading the file again."""
        bad = set(self._bad_lines)
        with self._open() as stream:
            texts = (line.tobytes() for block in self._blocks(stream) for line in block.lines())
            rows = (row for row in enumerate(texts, 1) if is_row(row[1], self.layout.comment))
            yield from (row for row in islice(rows, self.layout.header, None) if row[0] not in bad)


def _fill(stream: RawStream, buffer: memoryview, kept: int) -> tuple[int, DataError | None]:
    """Fill a buffer after its first `kept` bytes; return the end of the data, and the error that cut it short."""
    try:
        while kept < len(buffer) and (size := stream.readinto(buffer[kept:])):
            kept += size
    except DataError as error:
        return kept, error
    return kept, None


def _text(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace").strip()


def _value(parsed: Parsed) -> Parsed:
    return parsed


def _raise(error: DataError) -> NoReturn:
    raise error
