"""Spiking and influence-weighted message passing on dynamic graphs, for DGL.

The import is light: submodules load on first use, so that ``data_prep`` and ``--help`` start without PyTorch or DGL.
It does one thing: it lets ``import dgl`` succeed where DGL lacks the graphbolt binary for this torch (see ``_dgl``).
"""

from importlib import import_module
from types import ModuleType

from dgl_dysign import _dgl, _moved

__version__ = "0.1.0"

_SUBMODULES = (
    "adapters", "baselines", "cost", "data", "errors", "evaluation", "events", "experiments", "models", "nn", "ops",
    "pairs", "report", "store", "training",
)  # fmt: skip

__all__ = [*_SUBMODULES, "__version__"]

_dgl.install()
_moved.install()


def __getattr__(name: str) -> ModuleType:
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
