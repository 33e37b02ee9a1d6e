"""Progress bars on the terminal, with rate and time left."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


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


@contextmanager
def progress(quiet: bool) -> Iterator[Add]:
    """Give a function (text, total) -> advance that adds a bar on stderr; without a terminal nothing is drawn.

    Parameters
    ----------
    quiet : bool
        Draw nothing.

    Yields
    ------
    callable
        ``add(text, total)``, which returns ``advance(amount=1)``.

    Examples
    --------
    >>> with progress(quiet=True) as add:
    ...     advance = add("reading", 10)
    ...     advance(3)
    """
    if quiet or not sys.stderr.isatty():
        yield lambda text, total, unit="": lambda amount=1: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        ProgressColumn,
        Task,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else rate(speed, task.fields["unit"]), style="progress.data.speed")

    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), Rate(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:

        def add(text: str, total: int, unit: str = "") -> Callable[..., None]:
            task = bars.add_task(text, total=total, unit=unit)
            return lambda amount=1: bars.advance(task, amount)

        yield add
