"""What is no file that stays: standard input, pipes, and tables in memory. Each is copied to one before it is read."""

import os
import re
import select
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from data_prep.sources import tables
from data_prep.sources._raw_file import form_of
from data_prep.writer import scratch_folder
from dgl_dysign.data.schema import sha256
from dgl_dysign.errors import ConfigError, DataError

STDIN, TABLE = "stdin", "table"
"""What the copies are called."""
_PIECE = 1 << 20
_LINE_ENDS = b"\n\r\0"  # the zero: of UTF-16


@contextmanager
def as_file(raw: Any, out: Path | None = None) -> Iterator[Path]:
    """Give the path of a raw file, or of a copy that vanishes however the block ends.

    Parameters
    ----------
    raw : path or table
        A path, which may be a pipe or ``-`` for standard input; or a table in memory, see :func:`tables.is_frame`.
    out : path, optional
        Beside it the copy stands; by default it is where temporary files are.

    Yields
    ------
    path
        The file. A `DataError` or `ConfigError` of the block names what was copied in place of the copy, and rows in
        place of lines where the file is a table.

    Raises
    ------
    DataError
        If standard input is a terminal, or what is copied is empty, ends within a line or cannot be read.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from data_prep.sources._raw_file import head_lines
    >>> with as_file(pa.table({"src": [1, 2], "name": ["a", "b,c"]})) as path:
    ...     path.name, head_lines(path, 3)
    ('table', ['src,name', '1,a', '2,"b,c"'])
    """
    frame = tables.is_frame(raw)
    if not frame and not _is_pipe(_path(raw)):
        with _renamed(_path(raw), str(raw)):
            yield _path(raw)
        return
    home = TemporaryDirectory(prefix="dysign-prep-") if out is None else scratch_folder(out)
    with home as folder:
        copy = Path(folder) / (TABLE if frame else STDIN)
        with _renamed(copy, copy.name):
            if frame:
                tables.write_frame(raw, copy)
            else:
                with _opened(_path(raw)) as descriptor:
                    copy_pipe(descriptor, copy)
            # Its time tells its content, so that the same call goes on where an interrupted one stopped.
            os.utime(copy, ns=(0, int(sha256(copy)[:15], 16)))
            yield copy


def _path(raw: Any) -> Path:
    try:
        return Path(raw)
    except TypeError:
        raise ConfigError(
            f"RAW: found {type(raw).__name__}, expected a path, an EventTable, or a table of pandas, polars or "
            "pyarrow; collect or convert it first"
        ) from None


def _is_pipe(path: Path) -> bool:
    if str(path) == "-":
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Give the descriptor of standard input or of a pipe, whose writer may be yet to come."""
    if str(path) == "-" and sys.stdin is None:
        raise DataError("stdin: found it closed, expected a file or the output of a command; give one, or name a file")
    try:
        descriptor = os.dup(0) if str(path) == "-" else os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise DataError(f"{path}: found {error.strerror}, expected a file or pipe to read; check RAW") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def copy_pipe(descriptor: int, copy: Path, wait: float = 60.0) -> None:
    """Copy what comes from a pipe to a file.

    Parameters
    ----------
    descriptor : int
        An open file.
    copy : path
        Where to write; its name stands in messages.
    wait : float, default 60
        So many seconds later, if the end has not come, one line on stderr says what is waited for.

    Raises
    ------
    DataError
        If nothing comes, if it ends within a line, if it cannot be read, or if it is a terminal or another device.
    """
    if os.isatty(descriptor):
        raise DataError(
            f"{copy.name}: found a terminal, expected a file or the output of a command; for example "
            "`zcat edges.gz | dysign-prep edges - OUT`"
        )
    status = os.fstat(descriptor)
    if stat.S_ISCHR(status.st_mode) and status.st_rdev != os.stat(os.devnull).st_rdev:
        raise DataError(f"{copy.name}: found a device, whose end may never come, expected a file or pipe; check RAW")
    with open(copy, "wb", buffering=0) as file:
        for piece in _pieces(descriptor, copy.name, wait):
            file.write(piece)
    with open(copy, "rb") as file:
        begin = file.read(10)
        if not begin:
            raise DataError(f"{copy.name}: found nothing, expected events; check the command before the pipe")
        file.seek(-1, os.SEEK_END)
        within = file.read() not in _LINE_ENDS and form_of(begin) is None
    if within and not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise DataError(
            f"{copy.name}: found an end within a line, expected a line end, without which nobody knows that all has "
            "come; check the command before the pipe, or add one to what is whole: `(cat edges.txt; echo) | ...`"
        )


def _pieces(descriptor: int, name: str, wait: float) -> Iterator[bytes]:
    """Yield what comes; say once what is waited for."""
    poll, size, end = select.poll(), 0, time.monotonic() + wait
    poll.register(descriptor, select.POLLIN)
    silent = True
    while True:
        ready = poll.poll(max(0.0, end - time.monotonic()) * 1000 if silent else None)
        if silent and time.monotonic() >= end:
            print(f"{name}: waiting for its end; {size:,} bytes came in {wait:g} seconds", file=sys.stderr, flush=True)
            silent = False
        if not ready:
            continue
        try:
            piece = os.read(descriptor, _PIECE)
        except BlockingIOError:
            continue
        except OSError as error:
            raise DataError(f"{name}: found {error.strerror}, expected a file or pipe to read; check RAW") from None
        if not piece:
            return
        size += len(piece)
        yield piece


@contextmanager
def _renamed(path: Path, name: str) -> Iterator[None]:
    """Call a copy by its name in errors, and lines of tables rows: the names of the columns are no row."""
    try:
        yield
    except (ConfigError, DataError) as error:
        text = str(error).replace(str(path), name)
        file = re.match(r"(.+?), line [0-9]+: ", text)
        if file and tables.form_at(path if file[1] == name else Path(file[1])):
            text = re.sub(r"(, |on )line 1\b", r"\1the names", text)
            text = re.sub(r"(, |on )line ([0-9]+)", lambda at: f"{at[1]}row {int(at[2]) - 1}", text)
        raise type(error)(text) from None
