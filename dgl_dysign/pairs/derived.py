"""What is made of the edges observed so far for some families alone: it catches up when it is read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from dgl_dysign.data.pair_log import PairNumbers
from dgl_dysign.errors import ConfigError
from dgl_dysign.pairs.activity import ActivityLog
from dgl_dysign.pairs.decayed_graph import DecayedGraph, Structure
from dgl_dysign.pairs.decaying import Decaying
from dgl_dysign.pairs.neighborhoods import Neighborhoods
from dgl_dysign.pairs.projections import WalkProjections
from dgl_dysign.pairs.ranking import Ranking

Nodes = np.ndarray | slice
ALL = slice(None)
#: Which view of the edges a family reads; the others read sums alone.
READ = {
    "shared": "neighborhoods", "habits": "activity", "projections": "projections", "walks": "events",
    "ratings": "events",
}  # fmt: skip


class Derived:
    """Edges of the snapshots so far, each with the number of its pair, and views of them, for N nodes.

    Edges are kept until all views that the families read have seen them.
    """

    sums: Decaying

    def __init__(
        self, num_nodes: int, most_neighbors: int | None, families: Collection[str], projection_width: int | None
    ) -> None:
        self.num_nodes, self._most, self.pairs = num_nodes, most_neighbors, PairNumbers(num_nodes)
        self._projections = partial(WalkProjections, width=projection_width)
        self._readers = {READ[family] for family in families if family in READ}
        self._directed = True
        self._parts: list[tuple[np.ndarray, ...]] = []
        self._dropped = 0  # parts before these
        self._events: tuple[np.ndarray, ...] | None = None
        self._structure: Structure | None = None
        self._graph: DecayedGraph | None = None
        self._views: dict[str, Any] = {}
        self._rankings: dict[tuple[str, float | None], Ranking] = {}
        self._caught_up: dict[str, int] = {}  # number of parts that are in each of these

    def _grow_derived(self, num_nodes: int) -> None:
        self.pairs.grow(num_nodes)
        self._structure = self._graph = None
        self._rankings = {}
        for view in self._views.values():
            view.grow(num_nodes)
        self.num_nodes = num_nodes

    def _add_part(self, directed: bool, *part: np.ndarray) -> None:
        self._directed = directed
        self._parts.append(part)
        self._events = self._graph = None
        self._drop_parts()

    def _drop_parts(self) -> None:
        """Drop what no view waits for."""
        end = self._dropped + len(self._parts)
        seen = min((self._caught_up.get(view, 0) for view in self._readers), default=end)
        if seen > self._dropped:
            del self._parts[: seen - self._dropped]
            self._dropped = seen

    @property
    def events(self) -> tuple[np.ndarray, ...]:
        """Sources, destinations, snapshots, weights and numbers of the pair, of all edges."""
        self._check_read("events")
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

    def _check_read(self, view: str) -> None:
        if view not in self._readers:
            raise ConfigError(f"{view} were asked for, but no family reads them: edges are not kept for them")

    def _view(self, key: str, make: Callable[[int], Any], either_way: bool = False) -> Any:
        self._check_read(key)
        view = self._views.get(key) or make(self.num_nodes)
        for src, dst, snapshot, *_ in self._parts[max(0, self._caught_up.get(key, 0) - self._dropped) :]:
            both = either_way and self._directed
            ends = (np.concatenate([src, dst]), np.concatenate([dst, src])) if both else (src, dst)
            if len(src):
                view.add(int(snapshot[0]), *ends)
        self._views[key], self._caught_up[key] = view, self._dropped + len(self._parts)
        self._drop_parts()
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
        walks: WalkProjections = self._view("projections", self._projections, either_way=True)
        return walks

    def standing(self, kind: str, decay: float | None, nodes: Nodes = ALL) -> np.ndarray:
        """Return by what some nodes are ranked, which only an edge of theirs changes: the time of the last, or sums.

        `History`, which has them, says how.
        """
        raise NotImplementedError

    def ahead(self, kind: str, decay: float | None, nodes: np.ndarray) -> np.ndarray:
        """Return the share of all nodes that some are ahead of by `standing`: ties share a place."""
        ranking = self._rankings.setdefault((kind, decay), Ranking())
        return ranking.below(self.standing(kind, decay, nodes), partial(self.standing, kind, decay)) / self.num_nodes

    @contextmanager
    def _changing(self, nodes: np.ndarray) -> Iterator[None]:
        """Keep rankings in order while what some nodes, each given once, are ranked by changes."""
        renewals, known = self.sums.renewals, {key: ranking for key, ranking in self._rankings.items() if ranking.known}
        for key, ranking in known.items():
            ranking.leave(self.standing(*key, nodes))
        yield
        for key, ranking in known.items():
            if renewals == self.sums.renewals:
                ranking.enter(self.standing(*key, nodes))
            else:
                ranking.restart()
