"""What `command` does for a trainer, for one that several processes run together under ``torchrun``."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch.distributed as dist

from dgl_dysign.data import TemporalGraph
from dgl_dysign.experiments import command
from dgl_dysign.experiments.run_folder import RunFolder
from dgl_dysign.training.distributed import from_first, processes, rank


def open_prepared(args: argparse.Namespace) -> TemporalGraph:
    """Open the data as `command.open_prepared` does; raw files are prepared by the first process alone."""
    if rank():
        args = argparse.Namespace(**{**vars(args), "resume": True})  # what is prepared is taken as it is
        from_first(lambda: None)  # wait for it
    data = command.open_prepared(args)
    if rank() == 0:
        from_first(lambda: None)
    return data


class SharedRunFolder(RunFolder):
    """A run folder that the first process writes and reads; the others are told what it found.

    Parameters are those of `RunFolder`.
    """

    def __init__(self, path: Any, config: Any, resume: bool = False, overwrite: bool = False) -> None:
        if rank() == 0:
            super().__init__(path, config, resume, overwrite)
        self.path = from_first(lambda: self.path)

    def unit(self, key: str) -> dict[str, Any] | None:
        """Return the record of a finished unit, or None."""
        return from_first(lambda: super(SharedRunFolder, self).unit(key))

    def save_unit(self, key: str, record: Any) -> None:
        """Finish a unit."""
        if rank() == 0:
            super().save_unit(key, record)

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file that appears whole."""
        if rank() == 0:
            super().write_json(name, value)


def run_command(
    name: str, run: Callable[[argparse.Namespace], object], parser: argparse.ArgumentParser, argv: Sequence[str] | None
) -> int:
    """Do the work of a trainer as `command.run_command` does, in all processes; only the first one prints.

    An error, in whichever process, is one line on standard error, of the process that met it first, and ends all of
    them: each with status 2 (``torchrun`` adds a report of its own, and ends with 1).

    Parameters
    ----------
    name, run
        As for `command.run_command`.
    parser : ArgumentParser
        The command line.
    argv : sequence of str, optional
        What is parsed; default: the program's arguments.

    Returns
    -------
    int
        0, 2 or 130.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return command.run_command(name, run, parser.parse_args(argv))
    with contextlib.ExitStack() as stack:
        if os.environ.get("RANK") != "0":
            nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        store = stack.enter_context(processes())
        assert store is not None
        args = _parsed(parser, argv)
        args.quiet = getattr(args, "quiet", False) or rank() > 0
        status = command.run_command(name, lambda args: _alike(run, args, store), args)
        if status:
            with contextlib.suppress(RuntimeError):  # the store is gone with the first process
                store.set("told", "")  # others that failed may leave now, at which torchrun stops those that are left
            raise SystemExit(status)  # past the barrier, at which others may never arrive
    return status


def _parsed(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; if it is wrong, the first process says so, and the others wait for it."""
    with contextlib.ExitStack() as stack:
        if rank():
            nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            stack.enter_context(contextlib.redirect_stderr(nowhere))
        try:
            return parser.parse_args(argv)
        except SystemExit:
            dist.barrier()
            raise


def _alike(run: Callable[[argparse.Namespace], object], args: argparse.Namespace, store: dist.Store) -> None:
    """Run; of an error, let only the process that met it first say something."""
    try:
        run(args)
    except BaseException as error:
        if _met_first(store):
            _tell_torchrun(error)
            raise
        raise SystemExit(130 if isinstance(error, KeyboardInterrupt) else 2) from None


def _met_first(store: dist.Store) -> bool:
    """Say whether no other process has met an error before; if one has, wait until it has told."""
    try:
        if store.add("failed", 1) == 1:
            return True
    except RuntimeError:  # the store is gone with the process that held it, which may have been killed
        return True
    with contextlib.suppress(RuntimeError):
        store.wait(["told"], timedelta(seconds=5))
    return False


def _tell_torchrun(error: BaseException) -> None:
    """Have the report of ``torchrun``, which comes last on the screen, give the reason."""
    file = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if file:
        reason = f"{type(error).__name__}: {error}"
        about = {"message": reason, "extraInfo": {"timestamp": str(int(time.time()))}}
        Path(file).write_text(json.dumps({"message": about}), encoding="utf-8")
