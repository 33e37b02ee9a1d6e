"""A raw file as a stream of Arrow record batches, whose bad rows stop it or are set aside."""

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from data_prep.sources._explain import short
from data_prep.sources._layout import Layout
from data_prep.sources._open import RawStream, open_raw
from data_prep.sources._parse import Bad, Parser
from dgl_dysign.errors import DataError

LONGEST_LINE = 16 << 20
_MANY = 10_000
_TEXT = 1000
_MARK = b"\xef\xbb\xbf"


class Rejected(NamedTuple):
    """A row set aside: its line number (from 1), its text (at most 1000 characters) and the reason."""

    line: int
    text: str
    reason: str


class RawFile:
    r"""A stream of record batches from a raw file, plain or compressed.

    Spaces or tabs, CRLF line ends, a UTF-8 byte-order mark, blank lines and a missing last line end are all accepted.
    After iterating, `source`, `rejected` and `line_of` describe what was read.

    Parameters
    ----------
    path : path
        The file: plain, gzip, bzip2, xz, zstd or zip.
    layout : Layout
        What its lines hold.
    on_error : {"stop", "quarantine"}
        Raise at the first bad row, or set bad rows aside in `rejected`.
    max_bytes : int, optional
        Most bytes after decompression. Default: no bound for plain files; for compressed ones 1000 times the file's
        size, but at least 1 GiB and at most 64 GiB.
    on_bytes : callable, optional
        Called with the number of bytes of the file on disk that were read since the last call, for a progress bar.
    block_bytes : int, default 4 MiB
        Size of the blocks that are parsed at once; has no influence on the result.
    threads : int, default 2
        Number of blocks parsed side by side.

    Raises
    ------
    DataError
        At the first bad row (``stop``), naming file and line; if the file is missing, damaged, longer than `max_bytes`,
        changes while it is read or holds no good rows; if more than half of the rows, and at least 10,000, are bad.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from data_prep.sources._layout import Column, Layout
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
    ):
        self.path, self.layout, self.on_error = path, layout, on_error
        self.max_bytes, self.threads = max_bytes, threads
        self.block_bytes = min(max(1, block_bytes), LONGEST_LINE)
        self._on_bytes = on_bytes
        self._begin()

    def _begin(self) -> None:
        self.rejected: list[Rejected] = []
        self.rows = self._header = self._lines = 0
        self._bad_lines = array("q")
        self._sha256 = ""

    @property
    def source(self) -> dict[str, Any]:
        """Name, SHA-256 and counts of lines, for the manifest; lines = header + rows + rejected."""
        rejected = len(self._bad_lines)
        return {
            "name": self.path.name,
            "sha256": self._sha256,
            "lines": self._header + self.rows + rejected,
            "header": self._header,
            "rows": self.rows,
            "rejected": rejected,
        }

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        self._begin()
        with open_raw(self.path, self.max_bytes) as stream:
            yield from self._batches(stream)
            self._sha256 = stream.sha256()
        if not self.rows:
            aside = f" ({len(self._bad_lines)} bad ones)" if self._bad_lines else ""
            raise DataError(
                f"{self.path}: found no rows{aside}, expected lines of `{self.layout.form}`; is the download complete?"
            )

    def _batches(self, stream: RawStream) -> Iterator[pa.RecordBatch]:
        window: deque[Future[tuple[int, list[pa.RecordBatch], list[Bad]]]] = deque()
        pool = ThreadPoolExecutor(self.threads, "parse")
        try:
            for future in self._parsed(stream, pool):
                window.append(future)
                if len(window) > self.threads + 1:
                    yield from self._accept(window.popleft())
            while window:
                yield from self._accept(window.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _parsed(self, stream: RawStream, pool: ThreadPoolExecutor) -> Iterator["Future[Any]"]:
        """Send blocks to the pool; a failure of the stream comes after all blocks before it."""
        parser = None if self.layout.vector else Parser(self.layout, len(self.layout.columns))
        line = 1
        try:
            for block in self._blocks(stream):
                if line == 1:
                    block = block.removeprefix(_MARK)
                while block and self._header < self.layout.header:
                    block = block[block.find(b"\n") + 1 :] if b"\n" in block else b""
                    self._header += 1
                    line += 1
                while block and parser is None:
                    cut = block.find(b"\n") + 1 or len(block)
                    first, rest = block[:cut], block[cut:]
                    parser = Parser.of_first(first, self.layout)
                    batches, bad = parser.read(first) if parser else ([], [])
                    if batches:
                        break
                    if first.strip():
                        parser = parser or Parser(self.layout, len(self.layout.columns) + 1, 1)
                        done: Future[Any] = Future()
                        done.set_result((line, *parser.read(first)))
                        yield done
                    parser = None
                    line += 1
                    block = rest
                if block and parser:
                    yield pool.submit(_read, parser, block, line)
                    line += block.count(b"\n")
        except DataError as error:
            failed: Future[Any] = Future()
            failed.set_exception(error)
            yield failed

    def _accept(self, future: "Future[tuple[int, list[pa.RecordBatch], list[Bad]]]") -> Iterator[pa.RecordBatch]:
        line, batches, bad = future.result()
        for row in bad:
            self._reject(row, line + row.line)
        for batch in batches:
            self.rows += batch.num_rows
            yield batch

    def _reject(self, row: Bad, line: int) -> None:
        text = row.text.decode("utf-8", "backslashreplace").strip()
        if self.on_error == "stop":
            raise DataError(
                f"{self.path}, line {line}: found {row.found} in {short(text)}, expected {row.expected}; correct or "
                "remove the line"
            )
        self.rejected.append(Rejected(line, text[:_TEXT], f"found {row.found}, expected {row.expected}"))
        self._bad_lines.append(line)
        count = len(self._bad_lines)
        if count >= _MANY and 2 * count > self.rows + row.before + count:
            first = self.rejected[0]
            raise DataError(
                f"{self.path}: found {count} bad rows in {self.rows + row.before + count} (line {first.line}: "
                f"{first.reason}), expected lines of `{self.layout.form}`; is this the right format?"
            )

    def _blocks(self, stream: RawStream) -> Iterator[bytes]:
        """Yield blocks that end at a line end; only the last may lack one."""
        rest, before = b"", 0
        while block := stream.read(self.block_bytes):
            if self._on_bytes:
                self._on_bytes(stream.consumed - before)
                before = stream.consumed
            cut = block.rfind(b"\n") + 1
            if cut:
                whole = rest + block[:cut]
                self._refuse_long(whole.find(b"\n"))
                yield whole
                rest = b""
            rest += block[cut:]
            self._refuse_long(len(rest))
        if rest:
            yield rest

    def _refuse_long(self, length: int) -> None:
        if length > LONGEST_LINE:
            raise DataError(
                f"{self.path}: found a line of more than {LONGEST_LINE} bytes, expected lines of `{self.layout.form}`; "
                "is this a text file?"
            )

    def line_of(self, row: int) -> int:
        """Line number of a good row (from 0), for messages about a row that was read without complaint."""
        comment = self.layout.comment.encode() if self.layout.comment else None
        line = 0
        with open_raw(self.path, self.max_bytes) as stream:
            for block in self._blocks(stream):
                for text in block.removesuffix(b"\n").split(b"\n"):
                    line += 1
                    if line == 1:
                        text = text.removeprefix(_MARK)
                    if line <= self.layout.header or not text.strip() or (comment and text.startswith(comment)):
                        continue
                    at = bisect_right(self._bad_lines, line) - 1
                    if at >= 0 and self._bad_lines[at] == line:
                        continue
                    if row == 0:
                        return line
                    row -= 1
        raise IndexError(row)


def _read(parser: Parser, block: bytes, line: int) -> tuple[int, list[pa.RecordBatch], list[Bad]]:
    return (line, *parser.read(block))
