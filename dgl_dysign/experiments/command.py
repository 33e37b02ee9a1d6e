"""What trainers share: the device, the data that options name, and command lines started by ``torchrun``."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import warnings
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist

from dgl_dysign import _preparation
from dgl_dysign.cli import App
from dgl_dysign.data import TemporalGraph
from dgl_dysign.errors import ConfigError, DGLDySignError
from dgl_dysign.experiments.memory import return_freed_memory
from dgl_dysign.experiments.options import FolderOptions
from dgl_dysign.training.distributed import from_first, processes, rank


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
    that met it first, and ends all of them: each with status 2 (``torchrun`` adds a report, and ends with 1).
    """
    try:
        return _together(app, argv)
    except DGLDySignError as error:  # of finding each other, and of waiting for each other in the end
        print(f"{app.info.name}: {error}", file=sys.stderr)
        raise SystemExit(2) from error


def _together(app: App, argv: Sequence[str] | None) -> int:
    with contextlib.ExitStack() as stack:
        if os.environ.get("RANK") != "0":
            nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        store = stack.enter_context(processes())
        assert store is not None
        status = app.run(argv, first=partial(_is_first_error, store))
        if status:
            with contextlib.suppress(RuntimeError):  # the store is gone with the first process
                store.set("printed", "")  # others that failed may leave, at which torchrun stops those that are left
            raise SystemExit(status)  # past the barrier, at which others may never arrive
    return status


def _is_first_error(store: dist.Store, error: BaseException) -> bool:
    """Say whether no other process has met an error before; if one has, wait until it has printed that."""
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
