"""Progress bars on the terminal, with rate and time left."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Add(Protocol):
    """Adds a bar and gives the function that advances it."""

    def __call__(self, text: str, total: int) -> Callable[..., None]:
        """Return ``advance(amount=1)`` of a new bar up to `total`."""


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
        yield lambda text, total: lambda amount=1: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(show_speed=True), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:

        def add(text: str, total: int) -> Callable[..., None]:
            task = bars.add_task(text, total=total)
            return lambda amount=1: bars.advance(task, amount)

        yield add
