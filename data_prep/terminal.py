"""What the commands show on the terminal: progress bars with rate and time left, and tables."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.table import Table

    from data_prep.describe import Description

# rich is imported when it prints, so that --help answers at once.
_LONGEST = 40


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
        table.add_row(_plain(name), f"{value:,}" if type(value) is int else str(value))
    # A path must come out whole, to be copied.
    table.columns[1].overflow = "fold"
    Console().print(table)


def show_description(description: "Description", png: Path) -> None:
    """Print counts beside the published ones, then one row a snapshot (the middle is left out of long ones)."""
    from rich.console import Console
    from rich.table import Table

    console, manifest = Console(), description.manifest
    table = Table(title=description.title)
    for heading in ("", "here", "published", "difference"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, here, published in description.counts():
        beside = () if published is None else (f"{published:,}", f"{here - published:+,}")
        table.add_row(_plain(name), f"{here:,}", *beside)
    table.add_row(f"labelled {manifest['labels'] or 'node'}s", f"{description.labelled:,}")
    table.add_row("repeated events", f"{manifest['duplicate_rows']:,}")
    table.add_row("rejected rows", f"{manifest['rejected_rows']:,}")
    console.print(table)
    console.print(_degrees(description))
    console.print(_snapshots(description))
    if description.generated:
        console.print("The raw files were generated: the published counts are those of the data set they imitate.")
    console.print(f"picture: {png}", soft_wrap=True)


def _degrees(description: "Description") -> "Table":
    from rich.table import Table

    table = Table(title="events of a node")
    for heading in ("type", "nodes", "without", "median", "mean", "99 %", "most"):
        table.add_column(heading, justify="left" if heading == "type" else "right")
    for kind, (degree, nodes) in description.degrees.items():
        total = int(nodes.sum())
        if not total:
            continue
        up_to = nodes.cumsum()
        middle, high = (int(degree[up_to.searchsorted(share * total)]) for share in (0.5, 0.99))
        without = int(nodes[degree == 0].sum())
        mean = f"{float(degree @ nodes) / total:,.4g}"
        table.add_row(kind, f"{total:,}", f"{without:,}", f"{middle:,}", mean, f"{high:,}", f"{int(degree[-1]):,}")
    return table


def _snapshots(description: "Description") -> "Table":
    from rich.table import Table

    rows = description.snapshots
    names = [name for name in ("snapshot", "time", "events", "active", "new", "seen", "positive") if name in rows]
    unix = description.manifest["time_unit"] == "seconds since 1970-01-01 UTC"
    table = Table(title="snapshots")
    for name in names:
        table.add_column(name, justify="right")
    number = len(rows["snapshot"])
    shown: Sequence[int] = range(number)
    if number > _LONGEST:
        shown = [*range(_LONGEST // 2), -1, *range(number - _LONGEST // 2, number)]
    for row in shown:
        cells = ["…"] * len(names) if row < 0 else [_cell(name, rows[name][row].item(), unix) for name in names]
        table.add_row(*cells)
    return table


def _cell(name: str, value: float, unix: bool) -> str:
    if name == "time" and unix:
        with suppress(OverflowError):  # before the year 1 or after 9999
            return (datetime(1970, 1, 1) + timedelta(seconds=value)).isoformat(" ", "seconds")
    return f"{value:,.6g}" if isinstance(value, float) else f"{value:,}"


def _plain(name: str) -> str:
    """Turn a key into words; names of files stay as they are."""
    return name if "." in name else name.removeprefix("num_").replace("_", " ")
