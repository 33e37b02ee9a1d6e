"""What all installed commands share: one style of help, errors and exit statuses, option files and tables.

The import is light, so that ``--help`` answers at once: no PyTorch, no DGL, no pandas.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from dataclasses import MISSING, field, fields
from importlib.metadata import PackageNotFoundError, version
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar, get_type_hints

import typer
from typer.core import TyperCommand

from dgl_dysign.errors import ConfigError, DGLDySignError
from dgl_dysign.files import read_toml

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

T = TypeVar("T")
_UsageError: Any = typer.BadParameter.__bases__[0]  # of click, or of the copy that newer versions of typer carry


class Interrupted(Exception):
    """Ctrl-C in a command, which typer would call a status; its text says how to go on."""


class Command(TyperCommand):
    """A command whose list options take several values, ``--rows a b c``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the name of a list option before each of its values, as typer wants them."""
        lists = {name for param in self.params if getattr(param, "multiple", False) for name in param.opts}
        return super().parse_args(ctx, spread(args, lists, ctx.fail))

    def invoke(self, ctx: Any) -> Any:
        """Do the work."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise Interrupted(str(stop)) from stop


def spread(words: Sequence[str], lists: Collection[str], fail: Callable[[str], NoReturn]) -> list[str]:
    """Repeat the name of a list option before each of its values, which end with the next option.

    Examples
    --------
    >>> spread(["--rows", "a", "b", "--lr", "-1", "data"], {"--rows"}, print)
    ['--rows', 'a', '--rows', 'b', '--lr', '-1', 'data']
    """
    repeated: list[str] = []
    option = None
    for place, word in enumerate(words):
        if word.startswith("-") and not word[1:2].isdigit():
            option = word if word in lists else None
            if option and (place + 1 == len(words) or words[place + 1].startswith("--")):
                fail(f"Option {word!r} requires a value.")
        elif option and repeated[-1] != option:
            repeated.append(option)
        repeated.append(word)
    return repeated


def option(help_text: str, default: Any = MISSING, *names: str, **settings: Any) -> Any:
    """Return a field of a dataclass that is an option on the command line, see `App.add`.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(kw_only=True)
    ... class Options:
    ...     seeds: int = option("Models of each row.", 3)
    ...     rows: list[str] = option("Rows of the table.", ["all"])
    >>> app = App("dysign-count", "Count rows.")
    >>> app.add(Options, lambda options: print(options), more={"config": Config})
    >>> app.run(["--rows", "a", "b"])
    Options(seeds=3, rows=['a', 'b'])
    0
    """
    return _field(typer.Option, names, {"help": help_text, **settings}, default)


def argument(help_text: str, default: Any = MISSING, **settings: Any) -> Any:
    """Return a field of a dataclass that is an argument on the command line."""
    return _field(typer.Argument, (), {"help": help_text, **settings}, default)


def _field(make: Any, names: tuple[str, ...], settings: dict[str, Any], default: Any) -> Any:
    settings = {"show_default": default not in (None, [], MISSING), **settings}
    metadata = {"cli": (make, names, settings)}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def _parameter(known: Any, kind: Any) -> Parameter:
    """Return a field of a dataclass as typer wants a parameter."""
    make, names, settings = known.metadata["cli"]
    if not names and kind is bool:
        names = (f"--{known.name.replace('_', '-')}",)  # and no --no-...
    default = known.default if known.default_factory is MISSING else known.default_factory()
    annotation = Annotated[kind, make(*names, **settings)]
    default = Parameter.empty if default is MISSING else default
    return Parameter(known.name, Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


class App(typer.Typer):
    """A command line in the style of all: errors are one line and status 2, Ctrl-C is 130.

    Parameters
    ----------
    name : str
        Of the program.
    about : str
        Its help.
    options : optional
        Of `typer.Typer`.

    Examples
    --------
    >>> app = App("dysign-count", "Count nodes.")
    >>> @app.command()
    ... def count(names: list[str], add: Annotated[list[int], typer.Option()] = [], version: Version = False) -> None:
    ...     print(len(names) + sum(add))
    >>> app.run(["a", "b", "--add", "10", "20"])
    32
    0
    """

    def __init__(self, name: str, about: str, **options: Any) -> None:
        usual = {"no_args_is_help": True, "pretty_exceptions_enable": False, "rich_markup_mode": "rich"}
        names = {"help_option_names": ["-h", "--help"]}
        super().__init__(name=name, help=about, context_settings=names, **{**usual, **options})

    def command(self, name: str | None = None, **options: Any) -> Any:
        """Add a command, whose list options take several values."""
        return super().command(name, **{"cls": Command, **options})

    def add(
        self,
        options: type[T],
        work: Callable[[T], object],
        name: str | None = None,
        more: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        """Add a command whose options are the fields of a dataclass, made by `option` and `argument`.

        Parameters
        ----------
        options : type
            The dataclass.
        work : callable
            Is given one of these; what it returns, if a number, is the exit status.
        name : str, optional
            Of the command; default: it is the only one.
        more : mapping, optional
            Annotated flags by name that `work` does not see, such as ``{"version": Version}``.
        settings
            Of `typer.Typer.command`.
        """
        more = more or {}

        def command(**values: Any) -> Any:
            return work(options(**{key: value for key, value in values.items() if key not in more}))

        hints = get_type_hints(options)
        parameters = [_parameter(known, hints[known.name]) for known in fields(options)]  # type: ignore[arg-type]
        for key, kind in more.items():
            default = None if key == "config" else False
            parameters.append(Parameter(key, Parameter.KEYWORD_ONLY, annotation=kind, default=default))
        if "help" in settings:  # lines of a paragraph are broken where the screen ends
            settings["help"] = "\n\n".join(" ".join(part.split()) for part in settings["help"].split("\n\n"))
        command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        self.command(name, **settings)(command)

    def run(self, argv: Sequence[str] | None = None, first: Callable[[BaseException], bool] = lambda _: True) -> int:
        """Run the command line and return the exit status: 0, 2 after an error, 130 after Ctrl-C, or the command's own.

        Parameters
        ----------
        argv : sequence of str, optional
            Default: the program's arguments.
        first : callable, optional
            Says of an error whether to print it: of several processes one does.
        """
        try:
            status = self(None if argv is None else list(argv), prog_name=self.info.name, standalone_mode=False)
        except Exception as error:
            text, status = self._message(error)
            if not first(error):
                raise SystemExit(status or 1) from None
            if text is None:
                raise
            if text:  # help stands there already
                print(text, file=sys.stderr)
        return status if isinstance(status, int) else 0

    def _message(self, error: Exception) -> tuple[str | None, int]:
        """Return what is printed of an error, None of a mistake in the program, and the exit status."""
        if isinstance(error, Interrupted | typer.Abort):
            return f"{self.info.name}: interrupted{'; ' * bool(str(error))}{error}", 130
        if isinstance(error, _UsageError):
            context = getattr(error, "ctx", None)
            path, text = context.command_path if context else self.info.name, error.format_message()
            return (f"{path}: {' '.join(text.split()).rstrip('.')} (see {path} --help)" if text else ""), 2
        if isinstance(error, DGLDySignError | OSError):
            text = str(error)
            if isinstance(error, PermissionError) and error.filename:
                remedy = "change its rights or those of its folder, or name another place"
                text = f"{error.filename}: no permission to read or write it; {remedy}"
            line = " ".join(text.splitlines())  # the name of a file may hold a line end
            return f"{getattr(error, 'trace', '')}{self.info.name}: {line}", 2
        if isinstance(error, MemoryError):
            reason = " ".join(str(error).split()) or "no more is given"
            return f"{self.info.name}: out of memory ({reason}); free some, or ask for less", 2
        return None, 1


def _print_version(ctx: typer.Context, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        versions = [f"Python {platform.python_version()}"]
        for package in ("torch", "dgl"):
            try:
                versions.append(f"{package} {version(package)}")
            except PackageNotFoundError:
                versions.append(f"no {package}")
        own = version("dgl-dysign")
        print(f"{ctx.find_root().info_name} (dgl-dysign {own}), {', '.join(versions)}")
        raise typer.Exit


def _read_config(ctx: typer.Context, file: Path | None) -> Path | None:
    """Make the values of a file the defaults of a command."""
    if file is None or ctx.resilient_parsing:
        return file
    known = {name.lstrip("-").replace("-", "_"): p for p in ctx.command.params for name in (*p.opts, p.name or "")}
    values = {}
    for key, value in read_toml(file).items():
        param = known.get(key.replace("-", "_"))
        if param is None or param.name in ("config", "version", "help"):
            options = sorted(p.opts[0].lstrip("-") for p in ctx.command.params if p.name not in ("config", "version"))
            raise ConfigError(f"{file}: no option {key!r}; expected some of {', '.join(options)}")
        several = getattr(param, "multiple", False) or param.nargs == -1
        plain = not isinstance(value, list | dict)
        if plain is several or isinstance(value, bool) is not bool(getattr(param, "is_flag", False)):
            kind = "a list" if several else "true or false" if getattr(param, "is_flag", False) else "one value"
            raise ConfigError(f"{file}: {key} must be {kind}, but got {value!r}")
        values[param.name] = value
    ctx.default_map = values
    return file


Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Version = Annotated[
    bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print versions, and nothing else.")
]
Config = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.toml", is_eager=True, callback=_read_config,
        help="Options by their long names, as in [bold]seeds = 3[/bold]; the command line wins.",
    ),
]  # fmt: skip


def examples(*lines: str) -> str:
    """Return command lines as the end of a help."""
    return "\n".join(["Examples:", *(f"[bold]{line}[/bold]" for line in lines)])


def progress_bar(quiet: bool = False) -> Progress:
    """Return a progress bar on standard error; it is silent if asked to be, and where nobody watches.

    Examples
    --------
    >>> with progress_bar(quiet=True) as progress:
    ...     for seed in progress.track(range(3)):
    ...         pass
    """
    from rich.console import Console
    from rich.progress import Progress

    watched = sys.stderr.isatty() and os.environ.get("RANK", "0") == "0"
    return Progress(console=Console(stderr=True), disable=quiet or not watched)


def console() -> Console:
    """Return the screen; what is piped is as wide as it needs to be, unless ``COLUMNS`` says otherwise."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 10_000)


def show(table: Table | str, screen: Console | None = None) -> None:
    """Print a table; where it is wider than the screen, in parts below each other, each with the whole names of rows.

    Examples
    --------
    >>> from rich.console import Console
    >>> from rich.table import Table
    >>> table = Table("entry", "MRR", "pooled")
    >>> table.add_row("recent-degree", "66.8", "64.2")
    >>> show(table, Console(width=26))
    ┏━━━━━━━━━━━━━━━┳━━━━━━┓
    ┃ entry         ┃ MRR  ┃
    ┡━━━━━━━━━━━━━━━╇━━━━━━┩
    │ recent-degree │ 66.8 │
    └───────────────┴──────┘
    ┏━━━━━━━━━━━━━━━┳━━━━━━━━┓
    ┃ entry         ┃ pooled ┃
    ┡━━━━━━━━━━━━━━━╇━━━━━━━━┩
    │ recent-degree │ 64.2   │
    └───────────────┴────────┘
    """
    screen = screen or console()
    if isinstance(table, str):
        screen.print(table, soft_wrap=True, highlight=False)
        return
    names, *others = table.columns
    names.no_wrap = True
    for column in others:  # figures are not broken, text may be
        lines = [line for cell in column.cells for line in str(cell).splitlines()]
        column.min_width = min(30, max(map(len, lines), default=0))
    while others:
        part, shown = copy(table), len(others)
        part.columns = [names, *others]
        while shown > 1 and _least_width(part, screen) > screen.width:
            shown -= 1
            part.columns = [names, *others[:shown]]
        others = others[shown:]
        part.caption = None if others else table.caption
        screen.print(part)


def _least_width(table: Table, screen: Console) -> int:
    return screen.measure(table, options=screen.options.update(width=10_000)).minimum
