"""The temporal-cohesive neighbour store and its scores; Numba is imported when its compiled path first runs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dgl_dysign.store.importance import IMPORTANCES, cohesion, core, degree, uniform
from dgl_dysign.store.influence import temporal_influence
from dgl_dysign.store.neighbor_store import NeighborStore
from dgl_dysign.store.neighbors import Neighbors

if TYPE_CHECKING:
    from dgl_dysign.store.link_features import LinkFeatures

__all__ = [
    "IMPORTANCES",
    "LinkFeatures",
    "NeighborStore",
    "Neighbors",
    "cohesion",
    "core",
    "degree",
    "temporal_influence",
    "uniform",
]


def __getattr__(name: str) -> Any:
    if name == "LinkFeatures":
        return import_module("dgl_dysign.store.link_features").LinkFeatures
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
