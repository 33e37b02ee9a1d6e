"""Tables that the command prints."""

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
    console = Console()
    table = Table(title=description.manifest["dataset"])
    for heading in ("", "here", "published", "difference"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, here, published in description.counts():
        beside = () if published is None else (f"{published:,}", f"{here - published:+,}")
        table.add_row(_plain(name), f"{here:,}", *beside)
    table.add_row("labelled nodes", f"{description.labelled:,}")
    table.add_row("repeated events", f"{description.manifest['duplicate_rows']:,}")
    console.print(table)
    console.print(_snapshots(description.snapshots))
    console.print(f"picture: {png}", soft_wrap=True)


def _snapshots(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="snapshots")
    names = ("snapshot", "time", "events", "active", "new", "seen")
    for name in names:
        table.add_column(name, justify="right")
    if len(rows) > _LONGEST:
        gap = dict.fromkeys(names, "…")
        rows = [*rows[: _LONGEST // 2], gap, *rows[-_LONGEST // 2 :]]
    for row in rows:
        table.add_row(*(_number(row[name]) for name in names))
    return table


def _plain(name: str) -> str:
    return name.removeprefix("num_").replace("_", " ")


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:,.6g}" if isinstance(value, float) else f"{value:,}"
