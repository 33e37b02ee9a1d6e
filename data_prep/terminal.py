"""What all commands show on the terminal: progress bars with rate and time left, and tables of counts."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Protocol

# rich is imported when it prints, so that --help answers at once.


class Add(Protocol):
    """Adds a bar and gives the function that advances it."""

    def __call__(self, text: str, total: int, unit: str = ...) -> Callable[..., None]:
        """Return ``advance(amount=1)`` of a new bar up to `total`; `unit` stands behind its rate."""


def rate(speed: float, unit: str = "") -> str:
    """Write a rate a second in three digits.

    >>> rate(2_791_000, "rows"), rate(0.25)
    ('2.79 M rows/s', '0.25/s')
    """
    for letter, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if speed >= size:
            return f"{speed / size:.3g} {letter}{' ' * (unit not in ('', 'B'))}{unit}/s"
    return f"{speed:.3g}{' ' * bool(unit)}{unit}/s"


def silent(text: str, total: int, unit: str = "") -> Callable[..., None]:
    """Tell nobody of progress."""
    return lambda amount=1: None


@contextmanager
def progress(quiet: bool) -> Iterator[Add]:
    """Give a function that adds bars on stderr; nothing is drawn without a terminal, or where `quiet`.

    Examples
    --------
    >>> with progress(quiet=True) as add:
    ...     advance = add("reading", 10)
    ...     advance(3)
    """
    if quiet or not sys.stderr.isatty():
        yield silent
        return
    from rich import progress as rich
    from rich.console import Console
    from rich.text import Text

    class Rate(rich.ProgressColumn):
        def render(self, task: rich.Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else rate(speed, task.fields["unit"]), style="progress.data.speed")

    text, left = rich.TextColumn("{task.description}"), rich.TimeRemainingColumn()
    columns = text, rich.BarColumn(), rich.TaskProgressColumn(), Rate(), left
    with rich.Progress(*columns, console=Console(stderr=True), transient=True) as bars:

        def add(text: str, total: int, unit: str = "") -> Callable[..., None]:
            task = bars.add_task(text, total=total, unit=unit)
            return lambda amount=1: bars.advance(task, amount)

        yield add


def show_counts(title: str, counts: dict[str, Any]) -> None:
    """Print names and values in two columns."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, show_header=False)
    for name, value in counts.items():
        table.add_row(plain(name), f"{value:,}" if type(value) is int else str(value))
    # A path must come out whole, to be copied.
    table.columns[1].overflow = "fold"
    Console().print(table)


def show_rows(title: str, header: Sequence[str], rows: Iterable[Sequence[Any]], stderr: bool = False) -> None:
    """Print rows below a header, on stderr where that is so."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(*header, title=title)
    for row in rows:
        texts = map(str, row)
        # A name in a raw file may hold what moves the cursor or turns the writing around.
        table.add_row(*(escape(text if text.isprintable() else repr(text)) for text in texts))
    for column in table.columns:
        column.overflow = "fold"
    Console(stderr=stderr).print(table)


def short_value(name: str, value: Any, unix: bool) -> str:
    """Write a value of an event.

    >>> short_value("time", 1600000000.5, unix=True), short_value("feat", [0.5, 1.0], unix=True)
    ('2020-09-13T12:26:40.500000', '2 numbers')
    """
    if isinstance(value, list):
        return f"{len(value)} numbers"
    if name == "time" and unix and -6e10 < value < 2e11:
        moment = datetime(1970, 1, 1) + timedelta(seconds=value)
        return moment.isoformat(timespec="auto" if value % 1 else "seconds")
    return str(value)


def plain(name: str) -> str:
    """Turn a key into words; names of files stay as they are."""
    return name if "." in name else name.removeprefix("num_").replace("_", " ")
