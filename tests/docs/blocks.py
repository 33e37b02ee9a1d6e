"""The fenced blocks of the documentation, and the folder that the blocks of one page run in.

A comment of one line before a block says what is special about it:

    <!-- not run: REASON -->     neither run nor checked; the reason is for whoever reads the source of the page
    <!-- file: NAME -->          written to NAME in the page's folder, in any language
    <!-- fails: TEXT -->         must fail, saying TEXT
    <!-- output -->              what the Python or shell block before it printed, ``...`` standing for anything

and anywhere in a page, ``<!-- given: NAME NAME -->`` names what must lie in its folder (see `GIVEN`).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHELL = ("bash", "console", "sh", "shell")
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"^```(?P<language>[a-z]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!-- (?P<kind>not run|file|fails|output|given)(?:: (?P<value>[^\n]*?))? -->\n*\Z")
_GIVEN = re.compile(r"<!-- given: ([^\n]*?) -->")


@dataclass(frozen=True)
class Block:
    """One fenced block: where it stands, what it says, and what the comment before it asks for."""

    page: Path
    line: int
    language: str
    text: str
    kind: str
    value: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def runs(self) -> bool:
        return self.kind in ("", "fails") and self.language in ("python", *SHELL)


def blocks_of(page: Path) -> list[Block]:
    return list(_blocks(page, page.read_text(encoding="utf-8")))


def _blocks(page: Path, whole: str) -> Iterator[Block]:
    for fence in _FENCE.finditer(whole):
        before = _COMMENT.search(whole[: fence.start()])
        kind, value = (before["kind"], before["value"] or "") if before and before["kind"] != "given" else ("", "")
        yield Block(page, whole.count("\n", 0, fence.start()) + 2, fence["language"], fence["text"], kind, value)


def given_to(page: Path) -> list[str]:
    return [name for names in _GIVEN.findall(page.read_text(encoding="utf-8")) for name in names.split()]


def _dysign_prep(*arguments: str | Path) -> None:
    from data_prep.cli import app

    app([*map(str, arguments), "--quiet"], standalone_mode=False)


def _train(prepared: Path, run: Path) -> None:
    from dgl_dysign.experiments.train import train_nodes

    train_nodes(prepared, run, train_ratio=[0.4], seeds=1, epochs=5, no_choice=True, rows=["majority", "dysign"])


#: What a page may be given, and how it is made from what was made before.
GIVEN: dict[str, Callable[[Path], None]] = {
    "raw/dblp": lambda home: _dysign_prep("synth", "dblp", home / "raw/dblp", "--nodes", "150"),
    "raw/otc": lambda home: _dysign_prep("synth", "bitcoin-otc", home / "raw/otc", "--events", "1000"),
    "raw/wikipedia": lambda home: _dysign_prep("synth", "wikipedia", home / "raw/wikipedia", "--events", "1500"),
    "prepared/dblp": lambda home: _dysign_prep("dblp", home / "raw/dblp", home / "prepared/dblp", "--dim", "16"),
    "prepared/otc": lambda home: _dysign_prep("edges", home / "raw/otc", home / "prepared/otc", "--every", "90d"),
    "prepared/wikipedia": lambda home: _dysign_prep("wikipedia", home / "raw/wikipedia", home / "prepared/wikipedia"),
    "runs/first": lambda home: _train(home / "prepared/dblp", home / "runs/first"),
}

#: Other names for them, as pages have them.
ALIASES = {"DIR": "raw/dblp", "soc-sign-bitcoinotc.csv": "raw/otc/soc-sign-bitcoinotc.csv"}


def give(name: str, home: Path, folder: Path) -> None:
    """Put what is called `name` into a page's folder; it is made in `home` when it is first asked for."""
    source = ALIASES.get(name, name)
    kind, data = source.split("/")[:2]
    needed = ["raw/dblp", "prepared/dblp", source] if kind == "runs" else [f"raw/{data}", f"{kind}/{data}"]
    for part in needed:
        if not (home / part).exists():
            GIVEN[part](home)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (shutil.copytree if (home / source).is_dir() else shutil.copyfile)(home / source, folder / name)
