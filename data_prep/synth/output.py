"""Files of generated lines: in parts, compressed, and always the same bytes for the same lines."""

import bz2
import gzip
import lzma
import zipfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from data_prep.synth.published import choice
from data_prep.synth.text import Field, block_rows, render
from dgl_dysign.errors import ConfigError

COMPRESSIONS = ("gz", "bz2", "xz", "zst", "zip")

_LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""Time stamp in archives: that of writing would give other bytes each time."""


class Output:
    """The folder into which files are generated.

    Parameters
    ----------
    folder : path
        An empty folder.
    parts : int, default 1
        Number of files into which the edge file is split.
    compress : str, optional
        How the edge files are compressed: gz, bz2, xz, zst or zip.
    on_rows : callable, optional
        Called with a number of rows of the edge file once they are written.

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
    ) -> None:
        if compress is not None:
            choice("compress", compress, COMPRESSIONS)
        self.folder = folder
        self.parts = parts
        self.compress = compress
        self.on_rows = on_rows

    def edges(self, name: str, rows: int, header: bytes = b"") -> "LineFiles":
        """Open the edge file, which may be split and compressed."""
        if not 1 <= self.parts <= rows:
            raise ConfigError(f"parts: found {self.parts}, expected 1 to {rows}, the number of rows")
        names = [name]
        if self.parts > 1:
            stem, dot, suffix = name.rpartition(".")
            digits = max(3, len(str(self.parts - 1)))
            names = [f"{stem}-{part:0{digits}d}{dot}{suffix}" for part in range(self.parts)]
        bounds = [rows * (part + 1) // self.parts for part in range(self.parts)]
        return LineFiles(self.folder, names, bounds, header, self.compress, self.on_rows)

    def table(self, name: str, rows: int, header: bytes = b"") -> "LineFiles":
        """Open another file, which is neither split nor compressed."""
        return LineFiles(self.folder, [name], [rows], header)


class LineFiles:
    """One file of lines, or several that are one after another; to be used in a ``with`` block.

    Parameters
    ----------
    folder : path
        Where the files are made.
    names : list of str
        Their names.
    bounds : list of int
        The number of rows up to the end of each.
    header : bytes
        What each begins with.
    compress : str, optional
        A suffix of a compression.
    on_rows : callable, optional
        Called with a number of rows once they are written.
    """

    def __init__(
        self,
        folder: Path,
        names: list[str],
        bounds: list[int],
        header: bytes = b"",
        compress: str | None = None,
        on_rows: Callable[[int], object] | None = None,
    ) -> None:
        self._paths = [folder / name for name in names]
        self._bounds = bounds
        self._header = header
        self._compress = compress
        self._on_rows = on_rows
        self._written = 0
        self._part = -1
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
        self._file = _open(self._stack, self._paths[self._part], self._compress)
        self._file.write(self._header)

    def write(self, line: Sequence[Field | bytes], rows: int) -> None:
        """Append the first `rows` rows of some fields, going on to the next file where one is full."""
        done, block = 0, block_rows(line)
        while done < rows:
            if self._written == self._bounds[self._part]:
                self._next()
            some = min(block, rows - done, self._bounds[self._part] - self._written)
            self._file.write(render(line, slice(done, done + some)))
            done += some
            self._written += some
            if self._on_rows:
                self._on_rows(some)


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
