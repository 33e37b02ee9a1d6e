"""One reader a raw format; each opens a :class:`data_prep.sources._source.Source`."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

#: Data sets whose files are known by name, and the module here that reads each; any other list of edges: ``edges``.
#: How to add one, step by step: CONTRIBUTING.md.
READERS = {"dblp": "dblp", "tmall": "dblp", "patent": "patent", "wikipedia": "jodie", "reddit": "jodie"}
#: Names of files, up to a dot or the number of a part, and whose they are.
FILES = {
    "dblp": "dblp", "tmall": "tmall", "patent_edges": "patent", "cite75_99": "patent", "cit-Patents": "patent",
    "wikipedia": "wikipedia", "ml_wikipedia": "wikipedia", "reddit": "reddit", "ml_reddit": "reddit",
}  # fmt: skip


def dataset_of(raw: Path) -> str:
    """Return the data set, one of :data:`READERS`, whose file this is, or is in this folder; else ``edges``."""
    paths = sorted(raw.iterdir()) if raw.is_dir() else [raw]
    stems = (re.sub(r"-[0-9]+$", "", path.name.partition(".")[0]) for path in paths)
    return next((FILES[stem] for stem in stems if stem in FILES), "edges")


def open_source(dataset: str, raw: Path, read: Any) -> Any:
    """Open the raw files of one of :data:`READERS`: `raw` is their folder, or the edge file itself.

    `read` is a ``ReadOptions``, what is returned a ``Source``: their file imports the options, which import this one.

    Raises
    ------
    DataError
        If a file is missing, or at the first bad line of a file of nodes.
    """
    return import_module(f"{__name__}.{READERS[dataset]}").open_source(raw, read, dataset)
