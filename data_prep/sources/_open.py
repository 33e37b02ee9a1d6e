"""Raw files as streams of bytes: plain or compressed, known by their first bytes; hashed; bounded."""

import hashlib
import io
import lzma
import os
import re
import stat
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa

from dgl_dysign.errors import DataError

_PIECE = 1 << 20
_LEAST_BOUND, _LARGEST_BOUND, _LARGEST_RATIO = 1 << 30, 64 << 30, 1000
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
}
_FAILED = (OSError, EOFError, lzma.LZMAError, zipfile.BadZipFile, pa.ArrowException, NotImplementedError, RuntimeError)


class _Counted(io.RawIOBase):
    """The file on disk; counts and hashes what is read in order."""

    def __init__(self, path: Path):
        self._file = open(path, "rb", buffering=0)
        self.digest, self.hashed, self.farthest = hashlib.sha256(), 0, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        begin = self._file.tell()
        size = self._file.readinto(buffer) or 0
        if begin == self.hashed:
            self.digest.update(memoryview(buffer)[:size])
            self.hashed += size
        self.farthest = max(self.farthest, begin + size)
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


class RawStream:
    """The bytes of a raw file, decompressed; made by :func:`open_raw`."""

    def __init__(self, path: Path, max_bytes: int | None):
        self.path = path
        self._before = _look(path)
        self._disk = _Counted(path)
        self._bound = max_bytes
        self._given = 0
        try:
            self._stream = self._open()
        except _FAILED as error:
            self.close()
            raise self._damaged(error) from None
        except BaseException:
            self.close()
            raise

    def _open(self) -> Any:
        begin = self._disk.read(8) or b""
        self._disk.seek(0)
        form = next((form for magic, form in _MAGIC.items() if begin.startswith(magic)), None)
        if form is not None and self._bound is None:
            self._bound = min(_LARGEST_BOUND, max(_LEAST_BOUND, _LARGEST_RATIO * self._before.st_size))
        # The first bytes were hashed already; begin again.
        self._disk.digest, self._disk.hashed = hashlib.sha256(), 0
        if form is None:
            return self._disk
        if form == "zip":
            return _open_member(self.path, zipfile.ZipFile(self._disk))
        if form == "xz":
            return lzma.LZMAFile(io.BufferedReader(self._disk, _PIECE))
        return pa.CompressedInputStream(pa.PythonFile(self._disk, "r"), form)

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size`; none at the end."""
        room = size if self._bound is None else min(size, self._bound - self._given + 1)
        try:
            piece = bytes(self._stream.read(room) or b"")
        except _FAILED as error:
            raise self._damaged(error) from None
        self._given += len(piece)
        if self._bound is not None and self._given > self._bound:
            raise DataError(
                f"{self.path}: found more than {self._bound} bytes after decompression, expected no more; "
                "if the file is to be trusted, allow more with --max-bytes"
            )
        return piece

    @property
    def consumed(self) -> int:
        """Bytes of the file on disk read so far."""
        return self._disk.farthest

    def sha256(self) -> str:
        """SHA-256 of the file on disk; reads what is left of it.

        Raises
        ------
        DataError
            If the file has changed since it was opened.
        """
        self._disk.seek(self._disk.hashed)
        while self._disk.read(_PIECE):
            pass
        after = _look(self.path)
        if (after.st_size, after.st_mtime_ns) != (self._before.st_size, self._before.st_mtime_ns):
            raise DataError(f"{self.path}: found it changed while it was read, expected it to rest; start again")
        return self._disk.digest.hexdigest()

    def close(self) -> None:
        """Close the file."""
        self._disk.close()

    def __enter__(self) -> "RawStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _damaged(self, error: BaseException) -> DataError:
        said = re.sub(r"\s+", " ", str(error)) or type(error).__name__
        return DataError(f"{self.path}: found a damaged archive ({said}), expected a whole one; fetch the file again")


def open_raw(path: Path, max_bytes: int | None = None) -> RawStream:
    """Open a raw file, plain or compressed with gzip, bzip2, xz, zstd or zip; its first bytes tell, not its name."""
    try:
        return RawStream(path, max_bytes)
    except OSError as error:
        raise DataError(f"{path}: found {error.strerror}, expected a file that can be read; check RAW") from None


def head_lines(path: Path, n: int, max_bytes: int | None = None) -> list[str]:
    """Return the first `n` lines of a raw file, without line ends and byte-order mark."""
    data = b""
    with open_raw(path, max_bytes) as stream:
        while data.count(b"\n") < n and len(data) < n << 20 and (piece := stream.read(1 << 16)):
            data += piece
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    return [line.removesuffix(b"\r").decode("utf-8", "backslashreplace") for line in lines[:n]]


def _look(path: Path) -> os.stat_result:
    if not path.exists():
        raise DataError(f"{path}: found no such file; check RAW")
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{path}: found no regular file, expected one; check RAW")
    return found


def _open_member(path: Path, archive: zipfile.ZipFile) -> Any:
    """Open the one data member of a zip archive."""
    names = [info.filename for info in archive.infolist()]
    for name in names:
        if name.startswith("/") or "\\" in name or ".." in name.split("/") or re.match(r"[A-Za-z]:", name):
            raise DataError(f"{path}: found member {name!r}, expected a plain relative name; do not trust this archive")
    members = [name for name in names if not name.endswith("/") and not name.startswith("__MACOSX/")]
    if len(members) != 1:
        found = ", ".join(members[:5]) or "none"
        raise DataError(f"{path}: found {len(members)} members ({found}), expected one file; unpack the archive")
    return archive.open(members[0])
