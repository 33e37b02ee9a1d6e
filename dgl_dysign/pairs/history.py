"""What is remembered of the edges observed so far: sums of each node, times of each pair, decayed adjacencies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dgl_dysign.data.snapshot_edges import SnapshotEdges, check_room
from dgl_dysign.errors import ConfigError, check_growth
from dgl_dysign.pairs.decaying import Decaying, longer
from dgl_dysign.pairs.derived import ALL, Derived, Nodes

DECAYS = (0.3, 0.7, 0.9, 0.97, 1.0)
NEVER = 400.0  # snapshots since an event that never happened
SUMS = (
    "out", "in", "active",  # number of edges, and of snapshots with one
    "out_silence", "out_degree", "in_silence", "in_degree",  # of the partner, just before each edge
    "out_weight", "in_weight", "in_sign", "out_pos", "out_neg", "in_pos", "in_neg",
)  # fmt: skip
_RATINGS = 7  # sums, the last ones, that the family of this name alone reads


class History(Derived):
    """Sums, times and edges of snapshots 0 .. ``snapshot``; grows by `add` alone; see `LinkFeatures` for ``unit``.

    Undirected edges count once in either direction. A snapshot begins at ``begins[t]``; default: its number. What is
    kept for some families alone catches up when it is read. Without ``ratings`` there are no sums of weights, half of
    all that is kept of a node.
    """

    def __init__(
        self,
        num_nodes: int,
        begins: Sequence[float] | None = None,
        unit: float | None = None,
        most_neighbors: int | None = None,
        ratings: bool = True,
    ) -> None:
        super().__init__(num_nodes, most_neighbors)
        self._begins = None if begins is None else np.asarray(begins, np.float64)
        mean = 1.0 if self._begins is None or len(self._begins) < 2 else float(np.diff(self._begins).mean())
        self.unit = mean if unit is None else unit
        self.snapshot = -1
        self._sums = SUMS if ratings else SUMS[:-_RATINGS]
        self.sums = Decaying((len(DECAYS), len(self._sums), num_nodes), DECAYS, axis=0)
        self.first = np.full(num_nodes, np.inf)
        self.last_out, self.last_in = np.full(num_nodes, -np.inf), np.full(num_nodes, -np.inf)
        self.sources, self.mutual = np.zeros(num_nodes), np.zeros(num_nodes)  # distinct ones; those answered
        self._pair_time, self._pair_weight = np.zeros(8), np.zeros(8)

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
        self.sums.grow(num_nodes, axis=2)
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
        ends = self._add_sums(t, src, dst, weight)
        number = self._add_pairs(t, src, dst, time, weight)
        self.snapshot = t
        self._add_part(edges.directed, ends, src, dst, np.broadcast_to(t, len(src)), weight, number)

    def _add_sums(self, t: int, src: np.ndarray, dst: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Add to the sums of the ends of edges, which are returned, each once."""
        ends, place = np.unique(np.concatenate([src, dst]), return_inverse=True)
        silence, degree = self.recency(t, self.last("any", ends)), np.log1p(self.total("out", "in")[ends])
        at_src, at_dst = np.split(place, 2)
        of_end = {"out": at_src, "in": at_dst}
        values = {
            "out": np.ones(len(src)), "in": np.ones(len(src)), "out_weight": weight, "in_weight": weight,
            "in_sign": np.sign(weight), "out_pos": weight > 0, "out_neg": weight <= 0, "in_pos": weight > 0,
            "in_neg": weight <= 0, "out_silence": silence[at_dst], "out_degree": degree[at_dst],
            "in_silence": silence[at_src], "in_degree": degree[at_src],
        }  # fmt: skip
        new = np.ones((len(self._sums), len(ends)))  # "active" stays 1
        for number, name in enumerate(self._sums):
            if name in values:
                new[number] = np.bincount(of_end[name.split("_")[0]], values[name], len(ends))
        self.sums.age_to(t)
        for decayed, unit in zip(self.sums.values, self.sums.unit, strict=True):
            decayed[:, ends] += unit * new
        return ends

    def _add_pairs(self, t: int, src: np.ndarray, dst: np.ndarray, time: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Note when nodes and pairs had edges; return the number of each edge's pair."""
        np.minimum.at(self.first, src, time)
        np.minimum.at(self.first, dst, time)
        np.maximum.at(self.last_out, src, time)
        np.maximum.at(self.last_in, dst, time)
        before = len(self.pairs)
        self.pairs.add(t, src, dst)
        if len(self.pairs) > len(self._pair_time):
            size = max(len(self.pairs), 2 * len(self._pair_time))
            self._pair_time, self._pair_weight = longer(self._pair_time, size), longer(self._pair_weight, size)
        number = self.pairs.find(src, dst)
        self._pair_time[number], self._pair_weight[number] = time, weight
        self._count_pairs(before)
        return number

    def _count_pairs(self, first: int) -> None:
        src, dst = self.pairs.ends(first)
        number, answers = np.arange(first, len(self.pairs)), self.pairs.find(dst, src)
        np.add.at(self.sources, dst, 1)
        np.add.at(self.mutual, src[(answers >= 0) & (answers <= number)], 1)
        np.add.at(self.mutual, dst[(answers >= 0) & (answers < number)], 1)  # a loop answers itself, once

    def sum(self, name: str, decay: float, t: int, nodes: Nodes = ALL) -> np.ndarray:
        """Return a sum of each of some nodes, in which the edges of the snapshot before t count fully."""
        number = DECAYS.index(decay)
        total: np.ndarray = self.sums.values[number, SUMS.index(name)][nodes] * self.sums.scale(t - 1)[number]
        return total

    def mean(self, name: str, decay: float, t: int, nodes: Nodes = ALL) -> np.ndarray:
        """Return such a sum over the number of edges that it is of; 0 where there is none."""
        total, count = (self.sum(each, decay, t, nodes) for each in (name, name.split("_")[0]))
        return np.where(count > 0, total / np.maximum(count, 1e-9), 0.0)

    def total(self, *names: str) -> np.ndarray:
        """Return the sum of some sums without decay."""
        undecayed = self.sums.values[DECAYS.index(1.0)]
        return sum((undecayed[SUMS.index(name)] for name in names), np.zeros(self.num_nodes))

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
        return np.where(met, self._pair_time[number], -np.inf), np.where(met, self._pair_weight[number], 0.0)
