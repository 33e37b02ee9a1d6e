"""The temporal-cohesive neighbour store and its scores; Numba is imported when its compiled path first runs."""

from dgl_dysign.store.importance import IMPORTANCES, cohesion, core, degree, uniform
from dgl_dysign.store.influence import temporal_influence
from dgl_dysign.store.neighbor_store import NeighborStore
from dgl_dysign.store.neighbors import Neighbors

__all__ = [
    "IMPORTANCES",
    "NeighborStore",
    "Neighbors",
    "cohesion",
    "core",
    "degree",
    "temporal_influence",
    "uniform",
]
