"""Settings of Sphinx: ``sphinx-build -W -b html docs build/docs``; ``-b linkcheck`` looks at the links."""

from __future__ import annotations

import functools
import os
import re
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import messages  # noqa: E402
from docutils import nodes  # type: ignore[import-untyped]  # noqa: E402
from docutils.utils.math import latex2mathml  # type: ignore[import-untyped]  # noqa: E402
from numpydoc.docscrape import NumpyDocString  # type: ignore[import-untyped]  # noqa: E402

from dgl_dysign import __version__  # noqa: E402

project = "dgl_dysign"
author = "the dgl_dysign authors"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
exclude_patterns = ["README.md"]
templates_path = ["_templates"]
html_theme = "furo"
html_title = f"dgl_dysign {__version__}"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_math_renderer = "mathml"
smartquotes = False  # options of commands begin with two hyphens

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

# Whatever a package names in __all__ has a page; a single `name` in a docstring is code, and a link where it is known.
autosummary_generate = True
autosummary_imported_members = True
autosummary_ignore_module_all = False
autodoc_typehints = "none"  # types stand in the sections Parameters and Returns
default_role = "py:obj"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# Links to other sites are listed in links.md; without a network only links within these pages can be checked.
linkcheck_ignore = [] if os.environ.get("DYSIGN_DOCS_ONLINE") else [r"https?://.*"]
linkcheck_timeout = 20


def _write_messages(app: Any) -> None:
    """Write the page of all error messages; it is not kept in the repository."""
    path = HERE / "generated" / "messages.md"
    path.parent.mkdir(exist_ok=True)
    text = messages.page(messages.collect())
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


NumpyDocString.sections["Shapes"] = []  # a section of ours: numpydoc is told that there is one


def _rename_shapes(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Turn the section Shapes, which numpydoc would leave out, into one that it prints."""
    text = re.sub(r"^Shapes\n-{6}$", "Notes\n-----\n**Shapes.**", "\n".join(lines), flags=re.MULTILINE)
    lines[:] = text.split("\n")


def _mathml(translator: Any, node: Any, as_block: bool) -> None:
    """Write a formula as MathML, which browsers draw by themselves: MathJax would have to be fetched."""
    text = re.sub(r"\\(?:Big|textstyle)(?![a-z])", "", node.astext()).replace(r"\dots", r"\ldots")
    translator.body.append(latex2mathml.tex2mathml(text, as_block=as_block))
    raise nodes.SkipNode


def _keep_figures_together(app: Any, doctree: nodes.document) -> None:
    """Let no cell of a table break within ``80.0 ± 0.2`` or ``[0.4, 1.2]``: what is too wide scrolls."""
    for cell in doctree.findall(nodes.entry):
        for text in [text for text in cell.findall(nodes.Text) if not isinstance(text.parent, nodes.math)]:
            kept = re.sub(r"(?<=\d) (?=[±/·])|(?<=±) (?=[\d.])|(?<=\d,) (?=[-+\d.]+\])", "\u00a0", text)
            text.parent.replace(text, nodes.Text(kept))


def setup(app: Any) -> None:
    """Connect all of these."""
    renderers = [(functools.partial(_mathml, as_block=block), None) for block in (False, True)]
    app.add_html_math_renderer("mathml", *renderers)
    app.connect("builder-inited", _write_messages, priority=100)
    app.connect("doctree-read", _keep_figures_together)
    app.connect("autodoc-process-docstring", _rename_shapes, priority=100)  # before numpydoc's
