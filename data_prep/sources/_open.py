"""Raw files as streams of bytes: decompressed as their first bytes tell, hashed on the way, bounded."""

import bz2
import hashlib
import io
import lzma
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

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
_DAMAGED = (
    *(OSError, EOFError, ValueError, IndexError, KeyError, OverflowError, NotImplementedError, RuntimeError),
    *(struct.error, zlib.error, lzma.LZMAError, zipfile.BadZipFile, pa.ArrowException),
)
"""What the readers of archives raise at a damaged one."""


class _Disk(io.FileIO):
    """The file on disk; hashes and counts what is read in order."""

    # Those of FileIO would go round `readinto`.
    read, readall = io.RawIOBase.read, io.RawIOBase.readall  # type: ignore[assignment]

    def __init__(self, path: Path):
        super().__init__(path)
        self.digest, self.hashed = hashlib.sha256(), 0

    def readinto(self, buffer: Any) -> int:
        begin = self.tell()
        size = super().readinto(buffer) or 0
        if begin == self.hashed:
            self.digest.update(memoryview(buffer)[:size])
            self.hashed += size
        return size

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


class RawStream:
    """The bytes of a raw file, decompressed; see :func:`open_raw`. At most `bound` come out (None: no bound)."""

    def __init__(self, path: Path, max_bytes: int | None):
        self.path = path
        self._before = _stat_of_regular(path)
        self._disk = _Disk(path)
        self.bound = max_bytes
        self._delivered = 0
        self._left = memoryview(b"")
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
        form = next((form for form, magic in _MAGIC.items() if magic.match(begin)), None)
        if form is None:
            return None
        if self.bound is None:
            self.bound = min(64 << 30, max(1 << 30, 1000 * self._before.st_size))
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
            If the file is damaged, or holds more bytes than allowed (after all good or allowed bytes).
        """
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

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size`; none at the end. Raises as :meth:`readinto` does."""
        buffer = bytearray(size)
        return bytes(memoryview(buffer)[: self.readinto(memoryview(buffer))])

    @property
    def consumed(self) -> int:
        """Number of bytes of the file on disk read so far."""
        return self._disk.hashed

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
        return DataError(f"{self.path}: found a damaged archive ({reason}), expected a whole one; fetch the file again")


def open_raw(path: Path, max_bytes: int | None = None) -> RawStream:
    """Open a raw file: plain, gzip, bzip2, xz, zstd or zip, as its first bytes tell (not its name).

    Several members one after the other (gzip, bzip2, xz, zstd) are read as one; a zip archive must hold one data file.

    Parameters
    ----------
    path : path
        The file.
    max_bytes : int, optional
        Most bytes that may come out. Default: no bound for plain files; for compressed ones 1000 times the file's size,
        but at least 1 GiB and at most 64 GiB.

    Returns
    -------
    RawStream
        Its bytes.

    Raises
    ------
    DataError
        If the file is missing or a damaged archive.

    Examples
    --------
    >>> import gzip
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "edges.txt"
    ...     _ = path.write_bytes(gzip.compress(b"0 1") + gzip.compress(b" 0.5"))
    ...     with open_raw(path) as stream:
    ...         stream.read(100)
    b'0 1 0.5'
    """
    try:
        return RawStream(path, max_bytes)
    except OSError as error:
        raise DataError(f"{path}: found {error.strerror}, expected a file that can be read; check RAW") from None


def head_lines(path: Path, n: int, max_bytes: int | None = None) -> list[str]:
    """Return the first `n` lines of a raw file, without line ends and byte-order mark; at most 1 MiB a line."""
    data = b""
    with open_raw(path, max_bytes) as stream:
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
    members = [name for name in names if not name.endswith("/") and not name.startswith("__MACOSX/")]
    if len(members) != 1:
        named = ", ".join(map(repr, members[:5])) or "none"
        raise DataError(f"{path}: found {len(members)} files in it ({named}), expected one; unpack the archive")
    return archive.open(members[0])
