"""Folders that are there whole or not at all, whatever happens to the run that writes them."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dgl_dysign import files
from dgl_dysign.data import schema
from dgl_dysign.errors import DataError, DGLDySignError

PLAN = "plan.json"


def check_target(out: Path, overwrite: bool, marker: str = schema.MANIFEST) -> None:
    """Raise :class:`DataError` if `out` may not be written: it exists, or is a folder that this tool did not make."""
    if not is_utf8(out):
        raise DataError(f"{str(out)!a}: found a name that is not UTF-8; choose another OUT")
    if not out.exists():
        return
    if not overwrite:
        raise DataError(f"{out}: found an existing path, expected a new one; choose another OUT or add --overwrite")
    if out.is_dir() and (_is_ours(out / marker) or not any(out.iterdir())):
        return
    raise DataError(f"{out}: found no {marker} of ours in it, so it is not overwritten; choose another OUT")


def is_utf8(path: Path) -> bool:
    """Tell whether the name of a file can be written to a manifest."""
    return str(path) == str(path).encode("utf-8", "replace").decode()


def _is_ours(marker: Path) -> bool:
    try:
        about = json.loads(marker.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(about, dict) and "schema_version" in about


@contextmanager
def new_folder(out: Path, overwrite: bool = False, marker: str = schema.MANIFEST) -> Iterator[Path]:
    """Give a temporary folder beside `out` that takes its place when the block ends well, and vanishes when not.

    What a killed run left behind is removed first. Temporary folders are locked while in use, so that a second run
    into the same `out` is refused instead of losing the first one's work. An existing folder is replaced with
    `overwrite`, if `marker`, a JSON file with a ``schema_version``, shows that this tool made it.

    Raises
    ------
    DataError
        If `out` may not be written, or another run is writing it.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as home:
    ...     with new_folder(Path(home) / "out") as folder:
    ...         _ = (folder / "a.txt").write_text("a")
    ...     [path.name for path in Path(home).rglob("*")]
    ['out', 'a.txt']
    """
    out = out.resolve()
    with _locked(out, "new", BaseException, marker) as folder:
        _restore(out, marker)
        check_target(out, overwrite, marker)
        _empty(folder)
        yield folder
        files.replace_folder(folder, out, _beside(out, "old"), marker)


@contextmanager
def work_folder(out: Path, plan: dict[str, Any], overwrite: bool = False) -> Iterator[Path]:
    """Give a folder to work in, beside `out`, in which a run that was cut off goes on; its ``new`` becomes `out`.

    It survives an interrupt, a full disk, a kill: the same plan finds it again. Another plan, and a restart of the
    machine (after which files may lack what was written last), start afresh. Wrong input or options remove it.
    `overwrite` replaces an existing prepared folder.

    Raises
    ------
    DataError
        If `out` may not be written, or another run is writing it.
    """
    out = out.resolve()
    check_prepared(out, overwrite)
    with _locked(out, "work", DGLDySignError, PLAN) as folder:
        _begin(folder, {**plan, "boot": _boot()})
        yield folder
        files.replace_folder(folder / "new", out, _beside(out, "old"), schema.MANIFEST)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(out: Path, suffix: str, errors: type[BaseException], marker: str) -> Iterator[Path]:
    """Make and lock a folder beside `out`; some errors remove it, and the parents that were made for it."""
    folder = _beside(out, suffix)
    new_parents = [parent for parent in out.parents if not parent.exists()]
    lock = _lock(folder, out)
    try:
        yield folder
    except errors:
        files.remove_folder(folder, marker)
        with suppress(OSError):
            for parent in new_parents:
                parent.rmdir()
        raise
    finally:
        os.close(lock)


def check_prepared(out: Path, overwrite: bool) -> None:
    """Put back a prepared folder that a killed run moved aside, then do as :func:`check_target`."""
    out = out.resolve()
    if is_utf8(out) and _beside(out, "old").exists():
        # Only a killed run's: one that is alive may be about to put its own folder there.
        lock = _lock(_beside(out, "work"), out)
        _restore(out, schema.MANIFEST)
        with suppress(OSError):
            _beside(out, "work").rmdir()  # it stays if there is something to go on with
        os.close(lock)
    check_target(out, overwrite)


def _beside(out: Path, suffix: str) -> Path:
    return out.parent / f".{out.name}.{suffix}"


def _lock(folder: Path, out: Path) -> int:
    """Make a folder and lock it."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = files.lock(folder)
            # The run before may have removed the folder between the two steps.
            if os.fstat(lock).st_ino == folder.stat().st_ino:
                return lock
            os.close(lock)
        except BlockingIOError:
            raise DataError(f"{out}: found another run writing it; wait for that one to end") from None
        except FileNotFoundError:
            continue


def _begin(folder: Path, plan: dict[str, Any]) -> None:
    """Leave what a run with the same plan has done, or else remove all and note the plan."""
    with suppress(OSError, ValueError):
        # Without `new`, which is the first to go, the run before was killed while it cleaned up.
        before = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        if before == json.loads(json.dumps(plan)) and (folder / "new").is_dir():
            return
    (folder / PLAN).unlink(missing_ok=True)
    _empty(folder)
    (folder / "new").mkdir()
    files.write_json(folder / PLAN, plan)


def _boot() -> str:
    """Return what changes with every start of the machine, where the system tells."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    return ""


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _restore(out: Path, marker: str) -> None:
    """Put back an `out` that was moved aside and never replaced."""
    aside = _beside(out, "old")
    if (aside / marker).exists() and not out.exists():
        aside.rename(out)
    files.remove_folder(aside, marker)
