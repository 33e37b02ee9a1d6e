"""What an insertion knows about its store."""

from __future__ import annotations

from typing import NamedTuple

from dgl_dysign.store._rank import RankScale
from dgl_dysign.store.importance import Importance


class Plan(NamedTuple):
    """Settings of a store; its numbers of nodes and slots are those of the tensor itself."""

    importance: str | Importance
    scale: RankScale
    num_hops: int
    num_neighbors: int
    types: int
    sections: int
    direction: str
    directed: bool
