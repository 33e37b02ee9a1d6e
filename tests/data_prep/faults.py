"""Errors where a chosen file is opened or moved, as a full disk or an interrupt would raise them there."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch

_faults: list[tuple[str, BaseException]] = []


def _raise_fault(event: str, arguments: tuple[object, ...]) -> None:
    if not _faults or event not in ("open", "os.rename"):
        return
    what = f"{arguments[1]} {arguments[0]}" if event == "open" else f"move {arguments[1]}"
    for pattern, error in _faults:
        if fnmatch(what, pattern):
            raise error


sys.addaudithook(_raise_fault)  # for good: such hooks cannot be taken away


@contextmanager
def fails(pattern: str, error: BaseException) -> Iterator[None]:
    """Raise `error` where ``MODE PATH`` of a file that is opened, or ``move TO``, fits `pattern`."""
    _faults.append((pattern, error))
    try:
        yield
    finally:
        _faults.clear()
