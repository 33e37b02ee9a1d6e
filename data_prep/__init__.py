"""From raw files to prepared folders: :func:`prepare`, and the ``dysign-prep`` command, a thin caller of it.

Names load on first use, so that the import takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from data_prep.appending import append
    from data_prep.export import export_table
    from data_prep.features.node2vec import walk_vectors
    from data_prep.inspection import inspect
    from data_prep.options import PrepareOptions
    from data_prep.pipeline import prepare
    from data_prep.rules import Rule, bin_times
    from data_prep.sources._layout import Column, Layout
    from data_prep.sources._raw_file import RawFile
    from data_prep.sources._source import read_columns

_HOMES = {
    "Column": "sources._layout",
    "Layout": "sources._layout",
    "PrepareOptions": "options",
    "RawFile": "sources._raw_file",
    "append": "appending",
    "Rule": "rules",
    "bin_times": "rules",
    "export_table": "export",
    "inspect": "inspection",
    "prepare": "pipeline",
    "read_columns": "sources._source",
    "walk_vectors": "features.node2vec",
}

__all__ = [
    "Column", "Layout", "PrepareOptions", "RawFile", "Rule", "append", "bin_times", "export_table", "inspect",
    "prepare", "read_columns", "walk_vectors",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
