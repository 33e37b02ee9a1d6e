"""What a run gives back: its summary, which shows itself on a screen and in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from dgl_dysign.cli import console, show


class ResultTable(list[dict[str, Any]]):
    """A list of one dictionary for each line of a study's summary.

    Parameters
    ----------
    summary : iterable of dict
        The lines; figures are ``{"mean": ..., "std": ..., "runs": ...}``.
    tables : iterable of Table or str
        What is shown of them.
    folder : Path
        The run folder.
    pictures : sequence of Path
        What was drawn in it.

    Examples
    --------
    >>> shown = Table("entry", "MRR", title="mine")
    >>> shown.add_row("undergs", "78.6 ± 1.0")
    >>> table = ResultTable([{"row": "undergs", "mrr": {"mean": 78.6, "std": 1.0}}], [shown], Path("runs/mine"))
    >>> table.frame().loc[0, "mrr.mean"].item()
    78.6
    >>> print(table)
           mine
    ┏━━━━━━━━━┳━━━━━━━━━━━━┓
    ┃ entry   ┃ MRR        ┃
    ┡━━━━━━━━━╇━━━━━━━━━━━━┩
    │ undergs │ 78.6 ± 1.0 │
    └─────────┴────────────┘
    """

    def __init__(
        self,
        summary: Iterable[dict[str, Any]],
        tables: Iterable[Table | str] = (),
        folder: Path = Path(),
        pictures: Sequence[Path] = (),
    ) -> None:
        super().__init__(summary)
        self.tables, self.folder, self.pictures = list(tables), folder, list(pictures)

    def frame(self) -> pd.DataFrame:
        """Return a line for each line, and a column for each figure: ``mrr.mean``, ``mrr.std``, ``mrr.runs``."""
        return pd.json_normalize(self)

    def show(self, screen: Console | None = None) -> None:
        """Print the tables and where everything is."""
        screen = screen or console()
        for table in self.tables:
            show(table, screen)
        for path in (self.folder / "summary.json", self.folder / "metrics.jsonl", *self.pictures):
            show(str(path), screen)

    def __str__(self) -> str:
        screen = Console(file=StringIO(), width=10_000)
        for table in self.tables:
            show(table, screen)
        return screen.file.getvalue().rstrip("\n")  # type: ignore[attr-defined]

    def _repr_html_(self) -> str:
        return "\n".join(map(_html, self.tables))


def _html(table: Table | str) -> str:
    if isinstance(table, str):
        return f"<p>{escape(table)}</p>"
    head = "".join(f"<th>{escape(str(column.header))}</th>" for column in table.columns)
    lines = zip(*(column.cells for column in table.columns), strict=True)
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in line)}</tr>" for line in lines)
    caption = escape(". ".join(str(text) for text in (table.title, table.caption) if text))
    return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
