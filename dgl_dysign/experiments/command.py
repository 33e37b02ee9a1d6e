"""What trainers share on the command line: options, the data, a progress bar, errors and exit statuses.

A trainer is then a parser, a function that does the work, and :func:`run_command`, as in ``examples/``; alone or
started by ``torchrun``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from rich.console import Console
from rich.progress import Progress

from dgl_dysign import _preparation
from dgl_dysign.data import TemporalGraph
from dgl_dysign.errors import ConfigError, DGLDySignError
from dgl_dysign.experiments.memory import return_freed_memory
from dgl_dysign.training.distributed import from_first, processes, rank

FORMATS = ("edges", "wikipedia", "reddit", "dblp", "tmall", "patent")  # of raw files: commands of dysign-prep


def add_data_options(
    parser: argparse.ArgumentParser,
    prepared: str = "folder written by dysign-prep",
    formats: Sequence[str] = FORMATS,
    format_help: str | None = None,
) -> None:
    """Add what a trainer reads and where it writes: ``prepared``, ``--raw``, ``--format`` and ``--run-dir``.

    Parameters
    ----------
    parser : ArgumentParser
        Gets the options.
    prepared : str
        Help of the prepared folder: say what it must hold.
    formats : sequence of str, default FORMATS
        What ``--raw`` may hold, the default first; empty: no ``--raw``, only prepared folders.
    format_help : str, optional
        Help of ``--format``.

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_data_options(parser, formats=("wikipedia", "reddit"))
    >>> args = parser.parse_args(["--raw", "wikipedia.csv", "--run-dir", "runs/first"])
    >>> args.format, args.prepared
    ('wikipedia', None)
    """
    if formats:
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("prepared", type=Path, nargs="?", help=prepared)
        source.add_argument("--raw", type=Path, help="raw files to prepare first, beside the run folder")
        format_help = format_help or f"what --raw holds (default {formats[0]})"
        parser.add_argument("--format", choices=formats, default=formats[0], help=format_help)
    else:
        parser.add_argument("prepared", type=Path, help=prepared)
    parser.add_argument("--run-dir", type=Path, required=True, help="folder to write figures and pictures to")


def add_run_options(
    parser: argparse.ArgumentParser,
    device: str | None = "cpu, cuda, cuda:0, ...",
    quiet: str | None = "no progress bar",
) -> None:
    """Add how a trainer runs: ``--device``, ``--resume``, ``--overwrite`` and ``--quiet``.

    Parameters
    ----------
    parser : ArgumentParser
        Gets the options.
    device, quiet : str or None
        Help of these two; None leaves the option out.

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_run_options(parser, device=None)
    >>> parser.parse_args(["--resume"])
    Namespace(resume=True, overwrite=False, quiet=False)
    """
    if device is not None:
        parser.add_argument("--device", default="cpu", help=device)
    parser.add_argument("--resume", action="store_true", help="go on with the run in --run-dir")
    parser.add_argument("--overwrite", action="store_true", help="begin the run in --run-dir anew")
    if quiet is not None:
        parser.add_argument("--quiet", action="store_true", help=quiet)


def check_device(device: str) -> None:
    """Check that tensors can be made on a device.

    Raises
    ------
    ConfigError
        If they cannot: no such device, or PyTorch is built without it.

    Examples
    --------
    >>> check_device("cpu")
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"--device {device} cannot be used here ({reason}); pass --device cpu") from error


def open_prepared(args: argparse.Namespace) -> TemporalGraph:
    """Open the data that the options of `add_data_options` name; raw files are prepared first.

    They are prepared into ``<run folder>-prepared``, beside the run folder; a run that is resumed takes what is there.
    Of several processes the first one prepares.

    Parameters
    ----------
    args : Namespace
        With the options of `add_data_options` and `add_run_options`.

    Raises
    ------
    DataError
        If the folder or the raw files cannot be used.

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_data_options(parser)
    >>> add_run_options(parser)
    >>> open_prepared(parser.parse_args([str(prepared), "--run-dir", "runs/first"])).num_nodes
    100
    """
    if getattr(args, "raw", None) is None:
        return TemporalGraph.load(args.prepared)
    folder = args.run_dir.with_name(f"{args.run_dir.name}-prepared")
    if rank() == 0 and not (args.resume and folder.exists()):
        options = _preparation.PrepareOptions(overwrite=args.overwrite)
        _preparation.prepare(args.format, args.raw, folder, options)
    from_first(lambda: None)  # the others wait for it
    return TemporalGraph.load(folder)


def progress_bar(quiet: bool = False) -> Progress:
    """Return a progress bar on standard error; it is silent if asked to be, and where nobody watches.

    Examples
    --------
    >>> with progress_bar(quiet=True) as progress:
    ...     for seed in progress.track(range(3)):
    ...         pass
    """
    return Progress(console=Console(stderr=True), disable=quiet or not sys.stderr.isatty())


def run_command(
    name: str,
    run: Callable[[argparse.Namespace], object],
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None = None,
) -> int:
    """Do the work of a trainer and return its exit status.

    An error of this package or of the system is one line on standard error and status 2; Ctrl-C says how to go on and
    is status 130; any other error is a mistake in the program, and passes.

    Under ``torchrun`` all processes do the work, and only the first one prints. An error, in whichever process, is
    printed by the process that met it first, and ends all of them: each with status 2 (``torchrun`` adds a report of
    its own, and ends with 1).

    Parameters
    ----------
    name : str
        Of the trainer: errors begin with it.
    run : callable
        Does the work, given the parsed command line, which has ``run_dir``.
    parser : ArgumentParser
        The command line.
    argv : sequence of str, optional
        Default: the program's arguments.

    Returns
    -------
    int
        0, 2 or 130.

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_data_options(parser, formats=())
    >>> add_run_options(parser)
    >>> def count(args):
    ...     print(open_prepared(args).num_nodes, "nodes")
    >>> run_command("count", count, parser, [str(prepared), "--run-dir", "runs/first"])
    100 nodes
    0
    """
    return_freed_memory()
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return _status(name, run, parser.parse_args(argv))
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
        status = _status(name, lambda args: _run_together(run, args, store), args)
        if status:
            with contextlib.suppress(RuntimeError):  # the store is gone with the first process
                store.set(
                    "printed", ""
                )  # others that failed may leave now, at which torchrun stops those that are left
            raise SystemExit(status)  # past the barrier, at which others may never arrive
    return status


def _status(name: str, run: Callable[[argparse.Namespace], object], args: argparse.Namespace) -> int:
    """Run; print an error that is no mistake in the program, and return the exit status."""
    try:
        run(args)
    except (DGLDySignError, OSError) as error:
        print(f"{getattr(error, 'trace', '')}{name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"interrupted; go on with: --run-dir {args.run_dir} --resume", file=sys.stderr)
        return 130
    return 0


def _parsed(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; if it is wrong, the first process prints the error, and the others wait for it."""
    with contextlib.ExitStack() as stack:
        if rank():
            nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            stack.enter_context(contextlib.redirect_stderr(nowhere))
        try:
            return parser.parse_args(argv)
        except SystemExit:
            dist.barrier()
            raise


def _run_together(run: Callable[[argparse.Namespace], object], args: argparse.Namespace, store: dist.Store) -> None:
    """Run; of an error, let only the process that met it first print something."""
    try:
        run(args)
    except BaseException as error:
        if _is_first_error(store):
            _report_to_torchrun(error)
            raise
        raise SystemExit(130 if isinstance(error, KeyboardInterrupt) else 2) from None


def _is_first_error(store: dist.Store) -> bool:
    """Say whether no other process has met an error before; if one has, wait until it has printed that."""
    try:
        if store.add("failed", 1) == 1:
            return True
    except RuntimeError:  # the store is gone with the process that held it, which may have been killed
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
