"""What a check says, and all of them as a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

OK, FAULT, NOT_APPLICABLE, NOT_CHECKED = "ok", "FAULT", "not applicable", "not checked"
_STYLES = {OK: "green", FAULT: "bold red"}


@dataclass(frozen=True)
class Verdict:
    """What one check says.

    Parameters
    ----------
    verdict : {"ok", "FAULT", "not applicable", "not checked"}
        In a word.
    seen, do, check : str
        What was seen, what to do about it (nothing where it is empty), and which check says so.
    """

    verdict: str
    seen: str
    do: str = ""
    check: str = ""


@dataclass(frozen=True)
class CheckReport:
    """The verdicts on one entry; printed, it is a table.

    Parameters
    ----------
    entry, kind, data : str
        What was checked, in the table of which kind, and on what.
    verdicts : sequence of Verdict
        One a check.

    Examples
    --------
    >>> report = CheckReport("Coin", "link", "generated", [Verdict("ok", "no NaN", check="finite")])
    >>> report.ok, report.faults
    (True, [])
    """

    entry: str
    kind: str
    data: str
    verdicts: Sequence[Verdict]

    @property
    def ok(self) -> bool:
        """Whether there is no fault."""
        return not self.faults

    @property
    def faults(self) -> list[str]:
        """Names of the checks that found one."""
        return [verdict.check for verdict in self.verdicts if verdict.verdict == FAULT]

    def __getitem__(self, check: str) -> Verdict:
        return next(verdict for verdict in self.verdicts if verdict.check == check)

    def to_json(self) -> str:
        """Return everything as one JSON object."""
        return json.dumps({"ok": self.ok, **asdict(self)}, indent=2)

    def table(self) -> Table:
        """Return the table."""
        table = Table(title=f"{self.entry} in a table of {self.kind}s", caption=f"checked on {self.data}")
        for name in ("check", "verdict", "what was seen"):
            table.add_column(name, no_wrap=name != "what was seen")
        for line in self.verdicts:
            what = line.seen + (f"\n-> {line.do}" if line.do and line.verdict == FAULT else "")
            table.add_row(line.check, Text(line.verdict, _STYLES.get(line.verdict, "dim")), Text(what))
        return table

    def __str__(self) -> str:
        console = Console(width=100)
        with console.capture() as text:
            console.print(self.table())
        return text.get()
