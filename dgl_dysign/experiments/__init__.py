"""Tables: tasks, the entries that are compared, run folders, pictures and the command line.

The import is light, so that a report reads `dgl_dysign.experiments.record` without PyTorch or DGL.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dgl_dysign.experiments.check import check_entry
    from dgl_dysign.experiments.run_folder import RunFolder
    from dgl_dysign.experiments.saved_models import SavedModels

__all__ = ["RunFolder", "SavedModels", "check_entry"]

_HOMES = {"RunFolder": "run_folder", "SavedModels": "saved_models", "check_entry": "check"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
