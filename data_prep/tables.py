"""Tables that the command prints."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from data_prep.describe import Description

_LONGEST = 40


def show_counts(title: str, counts: dict[str, Any]) -> None:
    """Print names and values in two columns."""
    table = Table(title=title, show_header=False)
    for name, value in counts.items():
        table.add_row(_plain(name), f"{value:,}" if type(value) is int else str(value))
    # A path must come out whole, to be copied.
    table.columns[1].overflow = "fold"
    Console().print(table)


def show_description(description: Description, png: Path) -> None:
    """Print counts beside the published ones, then one row a snapshot (the middle is left out of long ones)."""
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


def _degrees(description: Description) -> Table:
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


def _snapshots(description: Description) -> Table:
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
