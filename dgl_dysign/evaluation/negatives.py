"""What a link model is asked: each true link of a snapshot among links that are not in it."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numba import njit
from torch import Tensor

from dgl_dysign.data.pair_log import PairLog
from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.errors import ConfigError

_AMONG = ("nodes", "destinations")


@dataclasses.dataclass(frozen=True, eq=False)
class LinkQueries:
    """The links of one snapshot to be ranked.

    ``src`` are the sources, int64 ``(E,)``, ``dst`` their candidates, int64 ``(E, 1 + Q)`` with the true destination in
    column 0; ``warm``, bool ``(E,)``, says whether both ends were seen before the snapshot, ``skipped`` how many edges
    were left out because no node could serve as a negative.
    """

    snapshot: int
    src: Tensor
    dst: Tensor
    warm: Tensor
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.src)

    def only_warm(self) -> LinkQueries:
        """Return those whose ends were both seen before the snapshot."""
        return LinkQueries(self.snapshot, self.src[self.warm], self.dst[self.warm], self.warm[self.warm])


class NegativeSampler:
    """Draws corrupted destinations from the past, and refuses those that are links of the snapshot.

    A negative of an edge (s, d) of snapshot t is a node that was seen before t, is not s, and has no edge with s in t:
    no edge from s, for directed data; none in either direction, for undirected data. Negatives are drawn independently
    and evenly, so that one may occur twice; that is how few seen nodes still give `num_negatives`. An edge for which
    there is no such node at all (every edge of the first snapshot) is left out and counted. Loops are left out too.

    The draws of t come from a generator seeded by (`seed`, t) and depend on the edges of t and on what was seen before,
    never on what was drawn before. Undirected edges have no source: which end is the source is drawn too, so
    that the order of the ids does not reveal the true destination.

    Parameters
    ----------
    num_nodes, num_negatives : int, the latter by default 100
        Number of nodes of the data set, and of negatives an edge.
    historical : float, default 0.0
        Share of them, in 0 .. 1, that are distinct past destinations of the source (for undirected data: past
        partners) without an edge in t; where there are fewer, all of them are taken and evenly drawn nodes make up
        the number.
    seed : int, default 0
        Seed, 0 or more.
    among : {"nodes", "destinations"}
        Whether to draw from all nodes seen, or only from those seen as a destination (users and items: a user is no
        sensible negative of an item). With no direction, every node is a destination.
    max_edges : int, optional
        Most edges of a snapshot that are drawn; default: all of them.

    Examples
    --------
    >>> from dgl_dysign.data import distinct_edges
    >>> sampler = NegativeSampler(num_nodes=5, num_negatives=4)
    >>> sampler.observe(distinct_edges(0, [0, 1], [1, 2], num_nodes=5))
    >>> queries = sampler.draw(distinct_edges(1, [0, 4], [2, 0], num_nodes=5))
    >>> queries.src, queries.dst[0], queries.warm
    (tensor([0, 4]), tensor([2, 1, 1, 1, 1]), tensor([ True, False]))
    """

    def __init__(
        self,
        num_nodes: int,
        num_negatives: int = 100,
        historical: float = 0.0,
        seed: int = 0,
        among: str = "nodes",
        max_edges: int | None = None,
    ) -> None:
        if num_negatives < 1 or not 0 <= historical <= 1 or seed < 0 or among not in _AMONG:
            raise ConfigError(
                f"num_negatives={num_negatives}, historical={historical}, seed={seed}, among={among!r}: expected at "
                f"least 1 negative, a share in 0 .. 1, a seed of at least 0, one of {_AMONG}"
            )
        if max_edges is not None and max_edges < 1:
            raise ConfigError(f"max_edges must be at least 1, but got {max_edges}: leave it out for all edges")
        self.num_nodes, self.max_edges = num_nodes, max_edges
        self.num_negatives = num_negatives
        self.historical = historical
        self.seed = seed
        self.among = among
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self.snapshot = -1
        self._seen = np.zeros(self.num_nodes, bool)
        self._listed = np.zeros(self.num_nodes, bool)  # candidates, as a mask and as the first entries of a list
        self._list = np.empty(self.num_nodes, np.int64)
        self._length = 0
        self._met = PairLog(self.num_nodes) if self.historical else None

    def observe(self, edges: SnapshotEdges) -> None:
        """Take a snapshot into the past; a later one than any before."""
        self._check(edges)
        src, dst = _ends(edges)
        self._seen[src] = self._seen[dst] = True
        ends = dst if self.among == "destinations" and edges.directed else np.concatenate([src, dst])
        new = np.unique(ends)
        new = new[~self._listed[new]]
        self._list[self._length : self._length + len(new)] = new
        self._length += len(new)
        self._listed[new] = True
        if self._met is not None:
            self._met.add(edges.snapshot, src, dst)
            if not edges.directed:
                other = src != dst
                self._met.add(edges.snapshot, dst[other], src[other])
        self.snapshot = edges.snapshot

    def draw(self, edges: SnapshotEdges) -> LinkQueries:
        """Return the queries of a snapshot that is later than everything observed; changes nothing."""
        self._check(edges)
        generator = np.random.default_rng([self.seed, edges.snapshot])
        src, dst = _ends(edges)
        taken = _keys(src, dst, edges)
        src, dst = _queried(src, dst, edges, generator)
        if self.max_edges is not None and len(src) > self.max_edges:
            some = np.sort(generator.choice(len(src), self.max_edges, replace=False))
            src, dst = src[some], dst[some]
        free = self._length - self._listed[src].astype(np.int64) - self._listed_partners(src, taken)
        askable = free > 0
        src, dst, free = src[askable], dst[askable], free[askable]
        drawn = self._uniform(src, free, taken, generator)
        if self._met is not None and len(src):
            self._put_historical(drawn, src, taken, generator)
        return LinkQueries(
            edges.snapshot,
            torch.from_numpy(src),
            torch.from_numpy(np.c_[dst, drawn]),
            torch.from_numpy(self.warm(src, dst)),
            int(np.count_nonzero(~askable)),
        )

    def warm(self, src: np.ndarray, dst: np.ndarray) -> np.ndarray:
        """Tell of which pairs both ends were seen."""
        return self._seen[src] & self._seen[dst]

    def _check(self, edges: SnapshotEdges) -> None:
        if edges.snapshot <= self.snapshot:
            raise ConfigError(
                f"snapshot {edges.snapshot} after snapshot {self.snapshot} was observed: expected a later one; "
                "to start anew call reset()"
            )
        if edges.num_nodes != self.num_nodes:
            raise ConfigError(
                f"edges among {edges.num_nodes} nodes: expected {self.num_nodes}, as the sampler was made"
            )

    def _listed_partners(self, src: np.ndarray, taken: np.ndarray) -> np.ndarray:
        """Count, for each source, its partners in the snapshot that are candidates; itself is none."""
        ends, others = taken // self.num_nodes, taken % self.num_nodes
        ends = ends[self._listed[others] & (ends != others)]
        return np.searchsorted(ends, src, side="right") - np.searchsorted(ends, src, side="left")

    def _refused(self, src: np.ndarray, drawn: np.ndarray, taken: np.ndarray) -> np.ndarray:
        return (src == drawn) | _member(src * self.num_nodes + drawn, taken)

    def _uniform(
        self, src: np.ndarray, free: np.ndarray, taken: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        """Draw candidates until none is refused; sources that are joined to most candidates choose from a list."""
        candidates = self._list[: self._length]
        drawn = np.empty((len(src), self.num_negatives), np.int64)
        narrow = 10 * free < self._length
        for node in np.unique(src[narrow]):
            allowed = candidates[~self._refused(np.full(len(candidates), node), candidates, taken)]
            rows = np.flatnonzero(src == node)
            drawn[rows] = generator.choice(allowed, (len(rows), self.num_negatives))
        row, column = (part.reshape(-1) for part in np.indices(drawn.shape))
        row, column = row[~narrow[row]], column[~narrow[row]]
        while len(row):
            some = candidates[generator.integers(len(candidates), size=len(row))]
            drawn[row, column] = some
            again = self._refused(src[row], some, taken)
            row, column = row[again], column[again]
        return drawn

    def _put_historical(
        self, drawn: np.ndarray, src: np.ndarray, taken: np.ndarray, generator: np.random.Generator
    ) -> None:
        """Overwrite the first columns with past destinations, drawn without repetition."""
        assert self._met is not None
        sources, row_source = np.unique(src, return_inverse=True)
        source, past = self._met.destinations(sources)
        keep = ~self._refused(sources[source], past, taken)
        number = np.bincount(source[keep], minlength=len(sources))
        most = round(self.historical * self.num_negatives)
        uniform = generator.random((len(src), most))
        _shuffle(drawn, past[keep], np.cumsum(number) - number, number, row_source, uniform)


class ReleasedSampler:
    """Draws negatives as UnderGS's public code does; FOR REPRODUCTION ONLY: it knows the future.

    Negatives are destinations of the whole data set, future ones included, may be true links or the source itself, and
    the same numbers are drawn in every snapshot. Their number, the seed, and which edges are warm are those of
    ``sampler``.
    """

    def __init__(self, destinations: Tensor, sampler: NegativeSampler) -> None:
        self._destinations = torch.unique(destinations).cpu().numpy()
        self._sampler = sampler

    def reset(self) -> None:
        """Forget the past."""
        self._sampler.reset()

    def observe(self, edges: SnapshotEdges) -> None:
        """Take a snapshot into the past, as regards warm edges."""
        self._sampler.observe(edges)

    def draw(self, edges: SnapshotEdges) -> LinkQueries:
        """Return the queries of a snapshot; changes nothing."""
        src, dst = _without_loops(*_ends(edges))
        generator = np.random.default_rng(self._sampler.seed)
        drawn = generator.choice(self._destinations, (len(src), self._sampler.num_negatives))
        warm = self._sampler.warm(src, dst)
        source, candidates = torch.from_numpy(src), torch.from_numpy(np.c_[dst, drawn])
        return LinkQueries(edges.snapshot, source, candidates, torch.from_numpy(warm))


def _ends(edges: SnapshotEdges) -> tuple[np.ndarray, np.ndarray]:
    return edges.src.cpu().numpy(), edges.dst.cpu().numpy()


def _without_loops(src: np.ndarray, dst: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    other = src != dst
    return src[other], dst[other]


def _keys(src: np.ndarray, dst: np.ndarray, edges: SnapshotEdges) -> np.ndarray:
    """Return the pairs that may not be negatives, as ascending numbers."""
    keys = src * edges.num_nodes + dst
    if not edges.directed:
        keys = np.concatenate([keys, dst * edges.num_nodes + src])
    return np.unique(keys)


def _queried(
    src: np.ndarray, dst: np.ndarray, edges: SnapshotEdges, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return source and true destination of the edges to score."""
    src, dst = _without_loops(src, dst)
    if not edges.directed:
        turned = generator.random(len(src)) < 0.5
        src, dst = np.where(turned, dst, src), np.where(turned, src, dst)
    return src, dst


def _member(keys: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Tell which keys are among ascending ones."""
    if not len(taken):
        return np.zeros(keys.shape, bool)
    place = np.minimum(np.searchsorted(taken, keys), len(taken) - 1)
    return taken[place] == keys


@njit(cache=True, nogil=True)
def _shuffle(
    drawn: np.ndarray, pool: np.ndarray, first: np.ndarray, number: np.ndarray, row_source: np.ndarray,
    uniform: np.ndarray,
) -> None:  # fmt: skip
    """Write the beginning of a shuffle of its source's part of the pool into the first columns of each row.

    A part stays as the last row left it: a shuffle is as random from any order.
    """
    for row in range(len(row_source)):
        begin, size = first[row_source[row]], number[row_source[row]]
        for column in range(min(size, uniform.shape[1])):
            at, other = begin + column, begin + column + int(uniform[row, column] * (size - column))
            pool[at], pool[other] = pool[other], pool[at]
            drawn[row, column] = pool[at]
