"""The temporal-cohesive neighbour store and its scores; Numba is imported when its compiled path first runs.

An argument outside its range raises `ConfigError`, values out of range `DataError`, graphs that do not fit
`GraphError`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dgl_dysign._moved import moved_name
from dgl_dysign.store.importance import IMPORTANCES, cohesion, core, degree, temporal_influence, uniform
from dgl_dysign.store.neighbor_store import NeighborStore
from dgl_dysign.store.neighbors import Neighbors

if TYPE_CHECKING:
    from dgl_dysign.store.influence_sampler import InfluenceSampler
    from dgl_dysign.store.sharded_store import ShardedStore

__all__ = [
    "IMPORTANCES", "InfluenceSampler", "NeighborStore", "Neighbors", "ShardedStore", "cohesion", "core", "degree",
    "temporal_influence", "uniform",
]  # fmt: skip

# Imported on first use: a store by itself needs neither DGL nor prepared folders.
_LATER = {"InfluenceSampler": "influence_sampler", "ShardedStore": "sharded_store"}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f"dgl_dysign.store.{_LATER[name]}"), name)
    return moved_name(__name__, name)
