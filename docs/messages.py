"""Every error message of the package, read from its source: the page of them, and what the tests hold it to.

A message is the text given to an error where the error is made, found in the syntax tree; what is filled in when it is
raised stands between « and », or as … where it has no name of its own.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Section of the pages and the modules whose messages stand there; the longest name that fits a module counts.
GROUPS = {
    "Installation": ("dgl_dysign",),
    "Raw files": ("data_prep.sources", "data_prep.nodes"),
    "Preparing": ("data_prep",),
    "Node features": ("data_prep.features",),
    "Generated data": ("data_prep.synth",),
    "Prepared folders": ("dgl_dysign.data",),
    "Graphs and modules": ("dgl_dysign.nn", "dgl_dysign.ops", "dgl_dysign.cost"),
    "The neighbour store": ("dgl_dysign.store", "dgl_dysign.pairs"),
    "Models": ("dgl_dysign.models", "dgl_dysign.baselines"),
    "Training and run folders": ("dgl_dysign.training", "dgl_dysign.experiments"),
    "Evaluation": ("dgl_dysign.evaluation",),
    "Adapters": ("dgl_dysign.adapters", "dgl_dysign.events"),
    "Reports": ("dgl_dysign.report",),
}
UNKNOWN = "⟨unknown⟩"
#: Errors of Python's own that the package catches itself, or that only a mistake in its code could raise.
INTERNAL = {"AssertionError", "AttributeError", "EOFError", "IndexError", "OSError", "TypeError"}


@dataclass(frozen=True)
class Message:
    """One place that makes an error."""

    module: str
    line: int
    kind: str
    text: str

    @property
    def group(self) -> str:
        """Section that the message belongs to."""
        fitting = {
            name: title for title, names in GROUPS.items() for name in names if f"{self.module}.".startswith(f"{name}.")
        }
        return fitting[max(fitting, key=len)]

    @property
    def tells_remedy(self) -> bool:
        """Whether it says what was expected, or what to do; if not, the page on troubleshooting has to."""
        text = re.sub(r"^«(path|folder|file|raw)»: ", "", self.text)
        return text == "«error»" or re.search(r"expected|must|[;:?] ", text) is not None  # another's text says it

    def says(self, quoted: str) -> bool:
        """Whether a quotation fits, in which … stands for anything."""
        text, at = re.sub("«[^»]*»", "…", self.text), 0
        for part in filter(None, (part.strip() for part in quoted.split("…"))):
            at = text.find(part, at)
            if at < 0:
                return False
            at += len(part)
        return True


@functools.cache
def collect(root: Path = ROOT) -> tuple[Message, ...]:
    """Return the messages of both packages, in order of module and line."""
    found = []
    for package in ("data_prep", "dgl_dysign"):
        for path in sorted((root / package).rglob("*.py")):
            module = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            found += list(_of_module(ast.parse(path.read_text(encoding="utf-8")), module))
    return tuple(found)


def _of_module(tree: ast.Module, module: str) -> Iterator[Message]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        kind, parts = ast.unparse(node.func).rpartition(".")[2], node.args
        if kind == "warn" and len(parts) > 1:
            kind, parts = ast.unparse(parts[1]), parts[:1]
        if kind[0].isupper() and kind.endswith(("Error", "Warning")) and kind not in INTERNAL:
            texts = [_text(part, tree) for part in parts]
            yield Message(module, node.lineno, kind, " ".join(", expected ".join(texts).split()))


def _text(node: ast.expr, tree: ast.Module) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, tree) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        value = node.value
        if isinstance(value, ast.Name | ast.Attribute):
            return _constant(value, tree) or f"«{ast.unparse(value).rpartition('.')[2]}»"
        return "…"
    if isinstance(node, ast.BinOp):
        return _text(node.left, tree) + _text(node.right, tree)
    if isinstance(node, ast.IfExp):
        return f"{_text(node.body, tree)} / {_text(node.orelse, tree)}"
    if isinstance(node, ast.Name):
        return _assigned(node.id, tree) or UNKNOWN
    if isinstance(node, ast.Call):
        return _returned(ast.unparse(node.func).rpartition(".")[2], tree) or UNKNOWN
    return UNKNOWN


def _constant(node: ast.expr, tree: ast.Module) -> str:
    """Return the text of a constant of the module, such as ``NO_SHIM``."""
    name = ast.unparse(node)
    return _assigned(name, tree) if name.isupper() else ""


def _assigned(name: str, tree: ast.Module) -> str:
    values = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets)
    ]
    texts = [_text(value, tree) for value in values if isinstance(value, ast.Constant | ast.JoinedStr | ast.IfExp)]
    return " / ".join(texts)


def _returned(name: str, tree: ast.Module) -> str:
    """Return what a function of the module gives back, one text after another."""
    texts = [
        _text(part.value, tree)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == name
        for part in ast.walk(node)
        if isinstance(part, ast.Return) and part.value is not None
    ]
    return " / ".join(text for text in texts if text != UNKNOWN)


def slug(title: str) -> str:
    """Return the anchor of a section, as MyST makes it from the heading."""
    return title.lower().replace(" ", "-")


def page(messages: tuple[Message, ...]) -> str:
    """Return the page of all messages, in Markdown."""
    lines = [
        "# All error messages",
        "",
        f"{len(messages)} places in the package make an error. They are read from the source when these pages are",
        "built; «name» and … stand for what is filled in. What to do about the common ones:",
        "[troubleshooting](../troubleshooting.md).",
    ]
    for title in GROUPS:
        some = [message for message in messages if message.group == title]
        if some:
            lines += ["", f"## {title}", "", "| message | error | module |", "|---|---|---|"]
            lines += [f"| {_cell(m.text)} | `{m.kind}` | `{m.module}` |" for m in some]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Return a text as it is, in a cell of a table."""
    for sign in "\\`*_<>[]|$~":
        text = text.replace(sign, f"\\{sign}")
    return text


if __name__ == "__main__":
    print(page(collect()))
