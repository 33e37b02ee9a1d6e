"""What is remembered of the edges observed so far: sums of each node, times of each pair, decayed adjacencies."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from dgl_dysign.data.pair_log import with_room
from dgl_dysign.data.snapshot_edges import SnapshotEdges, check_room
from dgl_dysign.errors import ConfigError, check_growth
from dgl_dysign.pairs.decaying import Decaying
from dgl_dysign.pairs.derived import ALL, Derived, Nodes

DECAYS = (0.3, 0.7, 0.9, 0.97, 1.0)
NEVER = 400.0  # snapshots since an event that never happened
_HABITS = (1.0, 0.9)  # decays of sums that families of habits and ratings read
_SUMS = {  # decays of each sum; which family alone reads it
    **dict.fromkeys(("out", "in", "active"), (DECAYS, None)),  # number of edges, and of snapshots with one
    # of the partner, just before each edge:
    **dict.fromkeys(("out_silence", "out_degree", "in_silence", "in_degree"), (_HABITS, "habits")),
    **dict.fromkeys(("out_weight", "in_weight", "in_sign"), (DECAYS, "ratings")),
    **dict.fromkeys(("out_pos", "out_neg", "in_pos", "in_neg"), (_HABITS, "ratings")),
}


class History(Derived):
    """Sums, times and edges of snapshots 0 .. ``snapshot``; grows by `add` alone; see `LinkFeatures` for ``unit``.

    Undirected edges count once in either direction. A snapshot begins at ``begins[t]``; default: its number. What is
    kept for some families alone catches up when it is read; what only others than the ``families`` read is not kept.
    """

    def __init__(
        self,
        num_nodes: int,
        begins: Sequence[float] | None = None,
        unit: float | None = None,
        most_neighbors: int | None = None,
        families: Collection[str] = ("activity",),
        projection_width: int | None = None,
    ) -> None:
        super().__init__(num_nodes, most_neighbors, families, projection_width)
        self._begins = None if begins is None else np.asarray(begins, np.float64)
        mean = 1.0 if self._begins is None or len(self._begins) < 2 else float(np.diff(self._begins).mean())
        self.unit = mean if unit is None else unit
        self.snapshot = -1
        kept = [
            (name, decay)
            for name, (decays, family) in _SUMS.items()
            for decay in decays
            if family is None or family in families
        ]
        self._row = {key: row for row, key in enumerate(kept)}
        self.sums = Decaying((len(kept), num_nodes), [decay for _, decay in kept], axis=0)
        self.first = np.full(num_nodes, np.inf)
        self.last_out, self.last_in = np.full(num_nodes, -np.inf), np.full(num_nodes, -np.inf)
        self.sources, self.mutual = np.zeros((2, num_nodes), np.int32)  # distinct ones; those answered
        self._pair_time, self._pair_weight = np.zeros(8), np.zeros(8) if "ratings" in families else None

    def now(self, snapshot: int) -> float:
        """Return when a snapshot begins, in snapshots."""
        if self._begins is None:
            return float(snapshot)
        last = len(self._begins) - 1  # later ones are expected at the mean width
        return float(self._begins[min(snapshot, last)] / self.unit) + max(0, snapshot - last)

    def grow(self, num_nodes: int) -> None:
        """Have more nodes from now on, of which nothing is remembered."""
        check_growth("the history", self.num_nodes, num_nodes)
        more = (0, num_nodes - self.num_nodes)
        self.sums.grow(num_nodes, axis=1)
        self.first = np.pad(self.first, more, constant_values=np.inf)
        self.last_out, self.last_in = (np.pad(x, more, constant_values=-np.inf) for x in (self.last_out, self.last_in))
        self.sources, self.mutual = np.pad(self.sources, more), np.pad(self.mutual, more)
        self._grow_derived(num_nodes)

    def add(self, edges: SnapshotEdges) -> None:
        """Take in the next snapshot."""
        check_room(edges, self.num_nodes)
        t = edges.snapshot
        if t <= self.snapshot:
            raise ConfigError(
                f"snapshot {t} comes after snapshot {self.snapshot} was observed: reset, or go on in order"
            )
        src, dst = edges.src.numpy(), edges.dst.numpy()
        weight = np.broadcast_to(1.0, len(src)) if edges.weight is None else edges.weight.numpy()
        time = np.full(len(src), float(t)) if self._begins is None else edges.time.numpy() / self.unit
        if not edges.directed:
            src, dst = np.concatenate([src, dst]), np.concatenate([dst, src])
            weight, time = np.tile(weight, 2), np.tile(time, 2)
        ends, place = np.unique(np.concatenate([src, dst]), return_inverse=True)
        at_src, at_dst = np.split(place, 2)
        with self._changing(ends):
            self._add_sums(t, ends, at_src, at_dst, weight)
            self._note_times(src, dst, time)
        number = self._add_pairs(src, dst, time, weight)
        self.snapshot = t
        self._add_part(edges.directed, src, dst, np.broadcast_to(t, len(src)), weight, number)

    def _add_sums(self, t: int, ends: np.ndarray, at_src: np.ndarray, at_dst: np.ndarray, weight: np.ndarray) -> None:
        """Add to the sums of ends of edges, each once: sources and destinations are their places among them."""
        silence, degree = self.recency(t, self.last("any", ends)), np.log1p(self.total(ends, "out", "in"))
        of_end = {"out": at_src, "in": at_dst}
        one = np.ones(len(at_src))
        values = {
            "out": one, "in": one, "out_weight": weight, "in_weight": weight,
            "in_sign": np.sign(weight), "out_pos": weight > 0, "out_neg": weight <= 0, "in_pos": weight > 0,
            "in_neg": weight <= 0, "out_silence": silence[at_dst], "out_degree": degree[at_dst],
            "in_silence": silence[at_src], "in_degree": degree[at_src],
        }  # fmt: skip
        new = {
            name: np.bincount(of_end[name.split("_")[0]], values[name], len(ends)) if name in values else 1.0
            for name in dict.fromkeys(name for name, _ in self._row)  # "active" is 1
        }
        self.sums.age_to(t)
        for (name, _), kept, unit in zip(self._row, self.sums.values, self.sums.unit, strict=True):
            kept[ends] += unit * new[name]

    def _note_times(self, src: np.ndarray, dst: np.ndarray, time: np.ndarray) -> None:
        """Note when nodes had edges."""
        np.minimum.at(self.first, src, time)
        np.minimum.at(self.first, dst, time)
        np.maximum.at(self.last_out, src, time)
        np.maximum.at(self.last_in, dst, time)

    def _add_pairs(self, src: np.ndarray, dst: np.ndarray, time: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Note when pairs had edges; return the number of each edge's pair."""
        before, number = len(self.pairs), self.pairs.number(src, dst)
        self._pair_time = with_room(self._pair_time, len(self.pairs))
        self._pair_time[number] = time
        if self._pair_weight is not None:
            self._pair_weight = with_room(self._pair_weight, len(self.pairs))
            self._pair_weight[number] = weight
        self._count_pairs(before)
        return number

    def _count_pairs(self, first: int) -> None:
        src, dst = self.pairs.ends(first)
        number, answers = np.arange(first, len(self.pairs)), self.pairs.find(dst, src)
        np.add.at(self.sources, dst, 1)
        np.add.at(self.mutual, src[(answers >= 0) & (answers <= number)], 1)
        np.add.at(self.mutual, dst[(answers >= 0) & (answers < number)], 1)  # a loop answers itself, once

    def _raw(self, name: str, decay: float, nodes: Nodes) -> np.ndarray:
        values: np.ndarray = self.sums.values[self._row[name, decay]][nodes]
        return values

    def sum(self, name: str, decay: float, t: int, nodes: Nodes = ALL) -> np.ndarray:
        """Return a sum of each of some nodes, in which the edges of the snapshot before t count fully."""
        scale: np.ndarray = self.sums.scale(t - 1)[self._row[name, decay]]
        return self._raw(name, decay, nodes) * scale

    def mean(self, name: str, decay: float, t: int, nodes: Nodes = ALL) -> np.ndarray:
        """Return such a sum over the number of edges that it is of; 0 where there is none."""
        total, count = (self.sum(each, decay, t, nodes) for each in (name, name.split("_")[0]))
        return np.where(count > 0, total / np.maximum(count, 1e-9), 0.0)

    def total(self, nodes: Nodes, *names: str) -> np.ndarray:
        """Return what some sums without decay are together."""
        return sum((self._raw(name, 1.0, nodes) for name in names[1:]), self._raw(names[0], 1.0, nodes))

    def standing(self, kind: str, decay: float | None, nodes: Nodes = ALL) -> np.ndarray:
        """Return when some nodes last had an edge "out", "in", or "any", or a sum, as it is kept, of such edges."""
        if decay is None:
            return self.last(kind, nodes)
        names = ("out", "in") if kind == "any" else (kind,)
        return sum((self._raw(name, decay, nodes) for name in names[1:]), self._raw(names[0], decay, nodes))

    def last(self, kind: str, nodes: Nodes = ALL) -> np.ndarray:
        """Return when some nodes last had an edge "out", "in", or "any": -inf for never."""
        if kind == "any":
            return np.maximum(self.last_out[nodes], self.last_in[nodes])
        last: np.ndarray = (self.last_out if kind == "out" else self.last_in)[nodes]
        return last

    def since(self, t: int, last: np.ndarray) -> np.ndarray:
        """Return how long ago, in snapshots before the beginning of t; `NEVER` at most."""
        return np.clip(self.now(t) - last, 0.0, NEVER)

    def recency(self, t: int, last: np.ndarray) -> np.ndarray:
        """Return the same on a log scale that resolves an eighth of a snapshot."""
        return np.log1p(8 * self.since(t, last))

    def pair(self, src: np.ndarray, dst: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return time (-inf: never) and weight (0) of each pair's last event."""
        number = self.pairs.find(src, dst)
        if not len(self.pairs):
            return np.full(number.shape, -np.inf), np.zeros(number.shape)
        met = number >= 0
        weight = np.zeros(1) if self._pair_weight is None else self._pair_weight[number]
        return np.where(met, self._pair_time[number], -np.inf), np.where(met, weight, 0.0)
