"""Files and folders that are there whole or not at all, whatever happens to the process that writes them."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dgl_dysign.errors import ConfigError, DataError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@contextmanager
def write_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a path to write to, which takes the place of `path` when the block ends well, and is removed when not.

    The temporary file is a hidden one in the same folder, ``.NAME.XXXXXXXX.tmp``. No two calls share it, not even on
    two machines, and the last one that ends well wins. Killed, a process leaves it behind; it is never read.

    Parameters
    ----------
    path : path
        The file, in a folder that exists; replaced if it is there.

    Yields
    ------
    path
        Where to write. The block closes what it opened.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with write_file(Path(folder) / "a.txt") as temporary:
    ...         _ = temporary.write_text("whole")
    ...     [(path.name, path.read_text()) for path in Path(folder).iterdir()]
    [('a.txt', 'whole')]
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def system_errors() -> Iterator[None]:
    """Raise the system's own error where a library hides it: of a full disk PyTorch says "unexpected pos 704 vs 598".

    Examples
    --------
    >>> with system_errors():
    ...     try:
    ...         raise OSError(28, "No space left on device")
    ...     finally:
    ...         raise RuntimeError("unexpected pos 704 vs 598")
    Traceback (most recent call last):
        ...
    OSError: [Errno 28] No space left on device
    """
    try:
        yield
    except RuntimeError as error:
        reason: BaseException | None = error
        while reason is not None and not isinstance(reason, OSError):
            reason = reason.__context__
        raise (reason or error) from None


def write_json(path: str | os.PathLike[str], value: Any, *, indent: int | None = 2, **options: Any) -> None:
    """Write a JSON file and a newline in one step: a reader sees the whole file or none.

    Parameters
    ----------
    path : path
        The file, in a folder that exists; replaced if it is there.
    value : object
        What JSON can hold.
    indent : int, optional
        As for ``json.dumps``, as are all further options.
    """
    text = json.dumps(value, indent=indent, **options) + "\n"
    with write_file(path) as temporary:
        temporary.write_bytes(text.encode())


_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}


def regular(path: str | os.PathLike[str]) -> Path:
    """Return the path of a file that can be read to its end: opening a pipe may wait, reading a device never end.

    Raises
    ------
    OSError
        If nothing is there, or no regular file; says what.

    Examples
    --------
    >>> regular("/dev/zero")
    Traceback (most recent call last):
        ...
    OSError: [Errno 22] found a device, expected a regular file: '/dev/zero'
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "a device")
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(number, f"found {kind}, expected a regular file", os.fspath(path))
    return Path(path)


def read_json(path: str | os.PathLike[str], **options: Any) -> Any:
    """Return what a JSON file holds; options are those of ``json.loads``.

    Raises
    ------
    OSError
        If there is no regular file.
    ValueError
        If it is no JSON, or nested too deep.
    """
    try:
        return json.loads(regular(path).read_text(encoding="utf-8"), **options)
    except RecursionError:
        raise ValueError("nested too deep; write it again") from None


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object with a ``checksum`` of all else in it: `read_sealed` refuses one that was changed later."""
    return {**value, "checksum": _checksum(value)}


def unsealed(value: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON object without its checksum, if it has one.

    Raises
    ------
    ValueError
        If the checksum does not fit the rest.

    Examples
    --------
    >>> unsealed(sealed({"mrr": 76.0}))
    {'mrr': 76.0}
    >>> unsealed(sealed({"mrr": 76.0}) | {"mrr": 77.0})
    Traceback (most recent call last):
        ...
    ValueError: it was changed after it was written: its checksum does not fit
    """
    rest = {key: each for key, each in value.items() if key != "checksum"}
    if "checksum" in value and value["checksum"] != _checksum(rest):
        raise ValueError("it was changed after it was written: its checksum does not fit")
    return rest


def _checksum(value: Mapping[str, Any]) -> str:
    plain = json.loads(json.dumps(value), parse_constant=lambda _: None)  # readers may take NaN for None
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def real_path(path: str | os.PathLike[str]) -> Path:
    """Return where a path leads; a link to itself, which cannot be opened, leads to itself.

    ``Path.resolve`` raises a RuntimeError there, before Python 3.13.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     (Path(folder) / "loop").symlink_to("loop")
    ...     real_path(Path(folder) / "loop").name
    'loop'
    """
    return Path(os.path.realpath(path))


def read_sealed(
    path: str | os.PathLike[str], do: str = "delete it and resume the run", **options: Any
) -> dict[str, Any]:
    """Return the JSON object of a file, without its checksum; options are those of ``json.loads``.

    Raises
    ------
    DataError
        If there is none, or it was changed later; names the file, and says what to `do`.
    """
    try:
        value = read_json(path, **options)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable as JSON ({error}); {do}") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: found a JSON {type(value).__name__}, expected an object; {do}")
    try:
        return unsealed(value)
    except ValueError as error:
        raise DataError(f"{path}: {error}; {do}") from error


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    r"""Return what a TOML file holds.

    Raises
    ------
    ConfigError
        If it cannot be read, or is no TOML; names the file and, where there is one, the line.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "rows.toml").write_text("[MyModel]\nlayers = 2")
    ...     read_toml(Path(folder) / "rows.toml")
    {'MyModel': {'layers': 2}}
    """
    try:
        return tomllib.loads(regular(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML ({error}): expected lines such as seeds = 3") from error


def replace_folder(new: Path, target: Path, aside: Path, marker: str) -> None:
    """Put a folder in the place of another, or of none, when all that it holds is on the disk.

    What was at `target` is moved to `aside`, and moved back if the second move fails. A process that is killed between
    the two moves leaves it there, whole; see :func:`remove_folder`.

    Parameters
    ----------
    new : path
        The folder that is ready. Temporary files that killed writers left in it are removed.
    target : path
        Where it goes, on the same disk.
    aside : path
        Where the old folder waits, on the same disk; nothing may be there.
    marker : str
        Name of the file in the old folder that shows that it is whole.
    """
    for left in new.rglob(".*.tmp"):
        left.unlink()
    sync(new)
    if target.exists():
        target.rename(aside)
    try:
        new.rename(target)
    except BaseException:
        if aside.exists():
            aside.rename(target)
        raise
    _sync_one(target.parent)
    remove_folder(aside, marker)


def remove_folder(folder: Path, marker: str) -> None:
    """Remove a folder if it is there, its marker first: killed in between, what is left is not taken for whole."""
    (folder / marker).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def lock(path: str | os.PathLike[str]) -> int:
    """Lock a file or folder until the descriptor is closed or the process ends, however it ends.

    Returns
    -------
    int
        The descriptor.

    Raises
    ------
    BlockingIOError
        If another process holds the lock.
    FileNotFoundError
        If nothing is there.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def sync(path: Path) -> None:
    """Wait until a file, or a folder and all that it holds, is on the disk."""
    if path.is_dir():
        for inside in path.rglob("*"):
            _sync_one(inside)
    _sync_one(path)


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
