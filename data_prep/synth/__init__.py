"""Generated raw files in the format, and up to the size, of each real data set: ``dysign-prep synth``.

Names load on first use, so that ``--help`` starts without NumPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from data_prep.synth.dblp import DblpLike
    from data_prep.synth.output import write
    from data_prep.synth.published import FORMATS, MARKER, Format, Request

_HOMES = {
    "DblpLike": "dblp",
    "FORMATS": "published",
    "Format": "published",
    "MARKER": "published",
    "Request": "published",
    "write": "output",
}

__all__ = ["FORMATS", "MARKER", "DblpLike", "Format", "Request", "write"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
