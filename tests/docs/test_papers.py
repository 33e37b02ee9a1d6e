"""The counts on the page about the two papers are those of its tables."""

from __future__ import annotations

import re
from collections import Counter

from tests.docs.blocks import ROOT

TEXT = (ROOT / "docs" / "papers.md").read_text(encoding="utf-8")
KINDS = ("real", "generated", "none")
# What the papers print: rows x columns of their tables, points of their pictures.
CELLS = {
    "Dy-SIGN, tables 1 and 2": 2 * 11 * 9, "Dy-SIGN, table 3": 3 * 4, "Dy-SIGN, figure 2": 2 + 5 + 7,
    "UnderGS, table 3": 2 * 8, "UnderGS, table 4": 8 * 2, "UnderGS, table 5": 8 * 6, "UnderGS, table 6": 2 * 2 * 2,
    "UnderGS, table 7": 8 * 2 * 5, "UnderGS, figures 2 to 7": 20 + 20 + 48 + 24 + 20 + 20,
    "UnderGS, figures in the text": 5,
}  # fmt: skip


def _rows() -> list[tuple[str, list[str]]]:
    """Return the rows of all tables of cells, each with the title of its section."""
    sections = re.split(r"^### (.*)$", TEXT, flags=re.MULTILINE)[1:]
    return [
        (title.partition(":")[0], [column.strip() for column in line.strip("|").split("|")])
        for title, text in zip(sections[::2], sections[1::2], strict=True)
        for line in text.splitlines()
        if line.count("|") == 8 and not line.startswith(("| cell ", "|---"))
    ]


def test_every_cell_of_the_papers_has_an_answer() -> None:
    counts: Counter[str] = Counter()
    for title, (cell, theirs, ours, answered, number, _, command) in _rows():
        counts[title] += int(number)
        assert theirs, cell
        assert answered in KINDS, cell
        assert (bool(ours), bool(command)) == (True, True) or answered == "none", cell
        for name in re.findall(r"\b[NWL]\d\b", command):
            assert f"# {name}:" in TEXT, f"{cell}: no command {name}"
    assert counts == CELLS


def test_the_summary_adds_them_up() -> None:
    counts = Counter[tuple[str, str]]()
    for title, (_, _, _, answered, number, *_) in _rows():
        for source in (title.partition(",")[0], "both"):
            counts[source, answered] += int(number)
    for source in ("Dy-SIGN", "UnderGS", "both"):
        numbers = [counts[source, kind] for kind in KINDS]
        assert f"| {source} | {sum(numbers)} | {' | '.join(map(str, numbers))} |" in TEXT
