"""What is remembered of the edges observed so far: sums of each node, times of each pair, decayed adjacencies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dgl_dysign.data.pair_log import PairLog
from dgl_dysign.data.snapshot_edges import SnapshotEdges, check_room
from dgl_dysign.errors import ConfigError, check_growth
from dgl_dysign.pairs.decayed_graph import DecayedGraph, Structure
from dgl_dysign.pairs.projections import WalkProjections

DECAYS = (0.3, 0.7, 0.9, 0.97, 1.0)
Nodes = np.ndarray | slice
ALL = slice(None)
NEVER = 400.0  # snapshots since an event that never happened
SUMS = (
    "out", "in", "active",  # number of edges, and of snapshots with one
    "out_weight", "in_weight", "in_sign", "out_pos", "out_neg", "in_pos", "in_neg",
    "out_silence", "out_degree", "in_silence", "in_degree",  # of the partner, just before each edge
)  # fmt: skip


class History:
    """Sums, times and edges of snapshots 0 .. ``snapshot``; grows by `add` alone; see `LinkFeatures` for ``unit``.

    Undirected edges count once in either direction. A snapshot begins at ``begins[t]``; default: its number.
    """

    def __init__(self, num_nodes: int, begins: Sequence[float] | None = None, unit: float | None = None) -> None:
        self.num_nodes = num_nodes
        self._begins = None if begins is None else np.asarray(begins, np.float64)
        mean = 1.0 if self._begins is None or len(self._begins) < 2 else float(np.diff(self._begins).mean())
        self.unit = mean if unit is None else unit
        self.snapshot = -1
        self.sums = {decay: np.zeros((len(SUMS), num_nodes)) for decay in DECAYS}
        self.first = np.full(num_nodes, np.inf)
        self.last_out, self.last_in = np.full(num_nodes, -np.inf), np.full(num_nodes, -np.inf)
        self.pairs = PairLog(num_nodes)
        self.sources, self.mutual = np.zeros(num_nodes), np.zeros(num_nodes)  # distinct ones; those answered
        self._pair_time, self._pair_weight = np.zeros(0), np.zeros(0)
        self._parts: list[tuple[np.ndarray, ...]] = []
        self._events: tuple[np.ndarray, ...] | None = None
        self._structure: Structure | None = None
        self._graph: DecayedGraph | None = None
        self._directed = True
        self._projections: WalkProjections | None = None  # of the first parts, from when they are first asked for
        self._projected = 0

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
        self.sums = {decay: np.pad(sums, ((0, 0), more)) for decay, sums in self.sums.items()}
        self.first = np.pad(self.first, more, constant_values=np.inf)
        self.last_out, self.last_in = (np.pad(x, more, constant_values=-np.inf) for x in (self.last_out, self.last_in))
        self.sources, self.mutual = np.pad(self.sources, more), np.pad(self.mutual, more)
        self.pairs.grow(num_nodes)
        self._structure = self._graph = None
        if self._projections is not None:
            self._projections.grow(num_nodes)
        self.num_nodes = num_nodes

    def add(self, edges: SnapshotEdges) -> None:
        """Take in the next snapshot."""
        check_room(edges, self.num_nodes)
        t = edges.snapshot
        if t <= self.snapshot:
            raise ConfigError(
                f"snapshot {t} comes after snapshot {self.snapshot} was observed: reset, or go on in order"
            )
        src, dst = edges.src.numpy(), edges.dst.numpy()
        weight = np.ones(len(src)) if edges.weight is None else edges.weight.numpy()
        time = np.full(len(src), float(t)) if self._begins is None else edges.time.numpy() / self.unit
        if not edges.directed:
            src, dst = np.concatenate([src, dst]), np.concatenate([dst, src])
            weight, time = np.tile(weight, 2), np.tile(time, 2)
        self._add_sums(t, src, dst, weight)
        number = self._add_pairs(t, src, dst, time, weight)
        self.snapshot, self._directed = t, edges.directed
        self._parts.append((src, dst, np.full(len(src), t), weight, number))
        self._events = self._graph = None

    def _add_sums(self, t: int, src: np.ndarray, dst: np.ndarray, weight: np.ndarray) -> None:
        silence, degree = self.recency(t, np.maximum(self.last_out, self.last_in)), np.log1p(self.total("out", "in"))
        ends = {"out": src, "in": dst}
        values = {
            "out": np.ones(len(src)), "in": np.ones(len(src)), "out_weight": weight, "in_weight": weight,
            "in_sign": np.sign(weight), "out_pos": weight > 0, "out_neg": weight <= 0, "in_pos": weight > 0,
            "in_neg": weight <= 0, "out_silence": silence[dst], "out_degree": degree[dst],
            "in_silence": silence[src], "in_degree": degree[src],
        }  # fmt: skip
        new = np.zeros((len(SUMS), self.num_nodes))
        for name, value in values.items():
            new[SUMS.index(name)] = np.bincount(ends[name.split("_")[0]], value, self.num_nodes)
        new[SUMS.index("active")] = (new[0] + new[1]) > 0
        for decay, sums in self.sums.items():
            sums *= decay ** (t - self.snapshot)
            sums += new

    def _add_pairs(self, t: int, src: np.ndarray, dst: np.ndarray, time: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Note when nodes and pairs had edges; return the number of each edge's pair."""
        np.minimum.at(self.first, src, time)
        np.minimum.at(self.first, dst, time)
        np.maximum.at(self.last_out, src, time)
        np.maximum.at(self.last_in, dst, time)
        self.pairs.add(t, src, dst)
        before = len(self._pair_time)
        grown = len(self.pairs) - before
        self._pair_time = np.concatenate([self._pair_time, np.zeros(grown)])
        self._pair_weight = np.concatenate([self._pair_weight, np.zeros(grown)])
        number = self.pairs.find(src, dst)
        self._pair_time[number], self._pair_weight[number] = time, weight
        self._structure = None if grown else self._structure
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
        return self.sums[decay][SUMS.index(name)][nodes] * decay ** (t - 1 - self.snapshot)

    def mean(self, name: str, decay: float, t: int, nodes: Nodes = ALL) -> np.ndarray:
        """Return such a sum over the number of edges that it is of; 0 where there is none."""
        total, count = (self.sum(each, decay, t, nodes) for each in (name, name.split("_")[0]))
        return np.where(count > 0, total / np.maximum(count, 1e-9), 0.0)

    def total(self, *names: str) -> np.ndarray:
        """Return the sum of some sums without decay."""
        return sum((self.sums[1.0][SUMS.index(name)] for name in names), np.zeros(self.num_nodes))

    def lasts(self) -> dict[str, np.ndarray]:
        """Return when each node last had an edge out, in, or any: -inf for never."""
        return {"out": self.last_out, "in": self.last_in, "any": np.maximum(self.last_out, self.last_in)}

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

    @property
    def events(self) -> tuple[np.ndarray, ...]:
        """Sources, destinations, snapshots, weights and numbers of the pair, of all edges."""
        if self._events is None:
            empty = tuple(np.zeros(0, kind) for kind in (np.int64, np.int64, np.int64, float, np.int64))
            self._events = tuple(np.concatenate(column) for column in zip(empty, *self._parts, strict=True))
        return self._events

    def graph(self, t: int) -> DecayedGraph:
        """Return the adjacencies at t."""
        if self._graph is None or self._graph.t != t:
            self._structure = self._structure or Structure.of(*self.pairs.ends(), self.num_nodes)
            _, _, snapshot, weight, number = self.events
            self._graph = DecayedGraph(self._structure, number, snapshot, weight, t)
        return self._graph

    def activity(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return nodes and the snapshots that they were active in, in order; log(1 + edges), and where nodes begin."""
        src, dst, snapshot, _, _ = self.events
        width = self.snapshot + 2
        keys, count = np.unique(np.concatenate([src, dst]) * width + np.tile(snapshot, 2), return_counts=True)
        node, when = np.divmod(keys, width)
        return node, when, np.log1p(count), np.searchsorted(node, np.arange(self.num_nodes + 1))

    def projections(self, t: int) -> np.ndarray:
        """Return what `WalkProjections` holds of the walks up to t, ``(4, N, 128)``; it catches up first."""
        if self._projections is None:
            self._projections = WalkProjections(self.num_nodes)
        for src, dst, snapshot, *_ in self._parts[self._projected :]:
            if len(src):
                both = (np.concatenate([src, dst]), np.concatenate([dst, src])) if self._directed else (src, dst)
                self._projections.add(int(snapshot[0]), *both)
        self._projected = len(self._parts)
        return self._projections.at(t)
