"""What trainers share: the device, the data that options name, and command lines started by ``torchrun``."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from dgl_dysign import _preparation
from dgl_dysign.cli import App
from dgl_dysign.data import TemporalGraph
from dgl_dysign.errors import ConfigError, DGLDySignError
from dgl_dysign.experiments.memory import return_freed_memory
from dgl_dysign.experiments.options import FolderOptions
from dgl_dysign.training.distributed import from_first, processes, rank

_STOPS = (signal.SIGTERM, signal.SIGINT)


def check_device(device: str) -> None:
    """Raise ``ConfigError`` unless tensors can be made on a device."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"--device {device} cannot be used here ({reason}); pass --device cpu") from error


def open_prepared(options: FolderOptions) -> TemporalGraph:
    """Open the data that options name, as ``prepared`` or ``raw``.

    Raw files are prepared first, into ``<run folder>-prepared``; a run that is resumed takes what is there. Of several
    processes the first one prepares.

    Examples
    --------
    >>> from dgl_dysign.experiments.options import RawOptions
    >>> open_prepared(RawOptions(prepared=prepared, run_dir="runs/first")).num_nodes
    100
    """
    return_freed_memory()
    raw, prepared = getattr(options, "raw", None), getattr(options, "prepared", None)
    if raw is None:
        assert prepared is not None
        return TemporalGraph.load(prepared)
    folder = options.run_dir.with_name(f"{options.run_dir.name}-prepared")
    if rank() == 0 and not (options.resume and folder.exists()):
        how = _preparation.PrepareOptions(overwrite=options.overwrite)
        _preparation.prepare(options.format, raw, folder, how)  # type: ignore[attr-defined]
    from_first(lambda: None)  # the others wait for it
    return TemporalGraph.load(folder)


def run_together(app: App, argv: Sequence[str] | None = None) -> int:
    """Run a command line as one of the processes of ``torchrun``, and return the exit status.

    All processes do the work, and only the first one prints. An error, in whichever process, is printed by the process
    that met it first, and ends all of them: each with status 2 (``torchrun`` adds a report, and ends with 1). Where one
    is killed, ``torchrun`` ends the others by SIGTERM, of which one says how to go on.
    """
    store = None
    with contextlib.ExitStack() as signals:
        try:
            with contextlib.ExitStack() as stack:
                if os.environ.get("RANK") != "0":
                    nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
                    stack.enter_context(contextlib.redirect_stdout(nowhere))
                    stack.enter_context(warnings.catch_warnings())
                    warnings.simplefilter("ignore")
                store = stack.enter_context(processes())
                assert store is not None
                signals.enter_context(_stopped_once())  # not before: a process that waits in C++ hears of no signal
                return _run_joined(app, argv, store)
        except (DGLDySignError, KeyboardInterrupt) as error:  # of finding each other, and at the end
            if store is None or _is_first_error(store, error):
                text = str(error) or "interrupted; start all of them again, with --resume"
                print(f"{app.info.name}: {text}", file=sys.stderr)
            raise SystemExit(130 if isinstance(error, KeyboardInterrupt) else 2) from error


def _run_joined(app: App, argv: Sequence[str] | None, store: dist.Store) -> int:
    status = app.run(argv, first=partial(_is_first_error, store))
    if status:
        with contextlib.suppress(RuntimeError):  # the store is gone with the first process
            store.set("printed", "")  # others that failed may leave, at which torchrun stops those that are left
        raise SystemExit(status)  # past the barrier, at which others may never arrive
    return status


@contextlib.contextmanager
def _stopped_once() -> Iterator[None]:
    """Let SIGTERM end a process as Ctrl-C does, with a line; and let neither come a second time, amid that line.

    In a terminal Ctrl-C reaches each process twice: at once, and by torchrun.
    """

    def stop(*_: object) -> None:
        _on_stops(signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in _STOPS}
    _on_stops(stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            _on_stops(handler, number)


def _on_stops(handler: Any, *numbers: signal.Signals) -> None:
    with contextlib.suppress(ValueError):  # not the main thread, which alone can do this
        for number in numbers or _STOPS:
            signal.signal(number, handler)


def _is_first_error(store: dist.Store, error: BaseException) -> bool:
    """Say whether no other process has met an error before; if one has, wait until it has printed that."""
    _on_stops(signal.SIG_IGN)  # this one ends already
    first = True
    with contextlib.suppress(RuntimeError):  # the store is gone with the process that held it, which may be killed
        first = store.add("failed", 1) == 1
    if first:
        _report_to_torchrun(error)
        return True
    with contextlib.suppress(RuntimeError):
        store.wait(["printed"], timedelta(seconds=5))
    return False


def _report_to_torchrun(error: BaseException) -> None:
    """Have the report of ``torchrun``, which comes last on the screen, give the reason."""
    file = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if file:
        reason = f"{type(error).__name__}: {error}"
        about = {"message": reason, "extraInfo": {"timestamp": str(int(time.time()))}}
        Path(file).write_text(json.dumps({"message": about}), encoding="utf-8")
