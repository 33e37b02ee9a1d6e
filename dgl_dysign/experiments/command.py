"""What trainers share on the command line: options, the data, a progress bar, errors and exit statuses.

A trainer is then a parser, a function that does the work, and :func:`run_command`, as in ``examples/``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress

from dgl_dysign.data import TemporalGraph
from dgl_dysign.errors import ConfigError, DGLDySignError
from dgl_dysign.experiments.memory import return_freed_memory

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
    from data_prep import PrepareOptions, prepare  # only who prepares needs it

    folder = args.run_dir.with_name(f"{args.run_dir.name}-prepared")
    if not (args.resume and folder.exists()):
        prepare(args.format, args.raw, folder, PrepareOptions(overwrite=args.overwrite))
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


def run_command(name: str, run: Callable[[argparse.Namespace], object], args: argparse.Namespace) -> int:
    """Do the work of a trainer and return its exit status.

    An error of this package or of the system is one line on standard error and status 2; Ctrl-C says how to go on and
    is status 130; any other error is a mistake in the program, and passes.

    Parameters
    ----------
    name : str
        Of the trainer: errors begin with it.
    run : callable
        Does the work, given `args`.
    args : Namespace
        The parsed command line, with ``run_dir``.

    Returns
    -------
    int
        0, 2 or 130.

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_data_options(parser, formats=())
    >>> add_run_options(parser)
    >>> args = parser.parse_args([str(prepared), "--run-dir", "runs/first"])
    >>> run_command("count", lambda args: print(open_prepared(args).num_nodes, "nodes"), args)
    100 nodes
    0
    """
    return_freed_memory()
    try:
        run(args)
    except (DGLDySignError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"interrupted; go on with: --run-dir {args.run_dir} --resume", file=sys.stderr)
        return 130
    return 0
