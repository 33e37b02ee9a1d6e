"""What is made of the edges observed so far for some families alone: it catches up when it is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dgl_dysign.data.pair_log import PairLog
from dgl_dysign.pairs.activity import ActivityLog
from dgl_dysign.pairs.decayed_graph import DecayedGraph, Structure
from dgl_dysign.pairs.decaying import Decaying
from dgl_dysign.pairs.neighborhoods import Neighborhoods
from dgl_dysign.pairs.projections import WalkProjections
from dgl_dysign.pairs.ranking import Ranking

Nodes = np.ndarray | slice
ALL = slice(None)


class Derived:
    """Edges of the snapshots so far, each with the number of its pair, and views of them, for N nodes."""

    sums: Decaying

    def __init__(self, num_nodes: int, most_neighbors: int | None) -> None:
        self.num_nodes, self._most, self.pairs = num_nodes, most_neighbors, PairLog(num_nodes)
        self._directed = True
        self._parts: list[tuple[np.ndarray, ...]] = []
        self._ends: list[np.ndarray] = []  # nodes with an edge in each part
        self._events: tuple[np.ndarray, ...] | None = None
        self._structure: Structure | None = None
        self._graph: DecayedGraph | None = None
        self._views: dict[str, Any] = {}
        self._rankings: dict[str, tuple[Ranking, int]] = {}
        self._caught_up: dict[str, int] = {}  # number of parts that are in each of these

    def _grow_derived(self, num_nodes: int) -> None:
        self.pairs.grow(num_nodes)
        self._structure = self._graph = None
        self._rankings = {}
        for view in self._views.values():
            view.grow(num_nodes)
        self.num_nodes = num_nodes

    def _add_part(self, directed: bool, ends: np.ndarray, *part: np.ndarray) -> None:
        self._directed = directed
        self._ends.append(ends)
        self._parts.append(part)
        self._events = self._graph = None

    @property
    def events(self) -> tuple[np.ndarray, ...]:
        """Sources, destinations, snapshots, weights and numbers of the pair, of all edges."""
        if self._events is None:
            empty = tuple(np.zeros(0, kind) for kind in (np.int64, np.int64, np.int64, float, np.int64))
            self._events = tuple(
                np.concatenate(column) for column in zip(empty, *(part[:5] for part in self._parts), strict=True)
            )
        return self._events

    def graph(self, t: int) -> DecayedGraph:
        """Return the adjacencies at t."""
        if self._graph is None or self._graph.t != t:
            if self._structure is None or self._structure.num_pairs < len(self.pairs):
                self._structure = Structure.of(*self.pairs.ends(), self.num_nodes)
            _, _, snapshot, weight, number = self.events
            self._graph = DecayedGraph(self._structure, number, snapshot, weight, t)
        return self._graph

    def _new_parts(self, key: str) -> slice:
        """Return which parts came since this was called with the key."""
        first, self._caught_up[key] = self._caught_up.get(key, 0), len(self._parts)
        return slice(first, None)

    def _view(self, key: str, make: Callable[[int], Any], either_way: bool = False) -> Any:
        view = self._views.get(key) or make(self.num_nodes)
        for src, dst, snapshot, *_ in self._parts[self._new_parts(key)]:
            both = either_way and self._directed
            ends = (np.concatenate([src, dst]), np.concatenate([dst, src])) if both else (src, dst)
            if len(src):
                view.add(int(snapshot[0]), *ends)
        self._views[key] = view
        return view

    def neighborhoods(self) -> Neighborhoods:
        """Return the neighbours of nodes, as many as are kept."""
        kept: Neighborhoods = self._view("neighborhoods", lambda nodes: Neighborhoods(nodes, self._most))
        return kept

    @property
    def neighbors_cut(self) -> int:
        """Neighbours that are not kept any more, as far as they were read."""
        return self._views["neighborhoods"].cut if "neighborhoods" in self._views else 0

    def activity(self) -> ActivityLog:
        """Return in which snapshots nodes were active."""
        log: ActivityLog = self._view("activity", ActivityLog)
        return log

    def projections(self) -> WalkProjections:
        """Return projected walks."""
        walks: WalkProjections = self._view("projections", WalkProjections, either_way=True)
        return walks

    def ahead(self, key: str, values: Callable[[Nodes], np.ndarray], nodes: np.ndarray) -> np.ndarray:
        """Return the share of all nodes that some are ahead of by values that only an edge of a node changes.

        They are told apart by the key. Ties share a place, whatever the nodes' numbers.
        """
        ranking, renewals = self._rankings.get(key, (None, 0))
        ends = self._ends[self._new_parts(key)]
        if ranking is None or renewals != self.sums.renewals:
            ranking = Ranking(values(ALL))
            self._rankings[key] = ranking, self.sums.renewals
        elif ends:
            changed = ends[0] if len(ends) == 1 else np.unique(np.concatenate(ends))
            ranking.update(changed, values(changed))
        return ranking.below(values(nodes)) / self.num_nodes
