"""From raw files to prepared folders: :func:`prepare`, and the ``dysign-prep`` command, a thin caller of it.

Names load on first use, so that the import takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from data_prep.options import PrepareOptions
    from data_prep.pipeline import prepare

_MODULES = {"PrepareOptions": "options", "prepare": "pipeline"}

__all__ = ["PrepareOptions", "prepare"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
