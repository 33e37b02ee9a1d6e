"""ROLAND's questions and figure: each source's best-placed destination among 1,000 drawn nodes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.errors import ConfigError
from dgl_dysign.evaluation.link_scores import PROTOCOLS
from dgl_dysign.evaluation.ranking import hits, mrr, tie_aware_rank

#: Names of the figures of a snapshot.
ROLAND_FIGURES = ("mrr", "hits@1", "hits@3", "hits@10", "mrr_ties_against", "mrr_tenth")


@dataclass(frozen=True, eq=False)
class RolandQueries:
    """The sources of one snapshot, each with its destinations and drawn nodes.

    ``src`` are the sources, int64 ``(S,)``. The first ``num_true`` columns of ``dst``, int64 ``(S, num_true + Q)``, are
    their destinations, the first of which fills up the row; the others are drawn. ``tenth``, bool ``(S,)``, tells the
    rows that ask for a random tenth of the snapshot's events alone, as ROLAND's released code does.
    """

    snapshot: int
    src: Tensor
    dst: Tensor
    num_true: int
    tenth: Tensor

    def __len__(self) -> int:
        return len(self.src)


class RolandSampler:
    """Draws nodes as ROLAND (KDD 2022) does, for its protocols of live update and of a fixed split.

    Of each source with edges in a snapshot, nodes are drawn evenly and with replacement from *all* nodes of the data
    set, those that no edge had so far and the source itself among them; its destinations in the snapshot are refused.
    Repeated edges count once, loops count as edges, and a snapshot of fewer than `least` events is not scored. Of
    undirected data both ends are sources. The draws of t come from a generator seeded by (`seed`, t).

    Parameters
    ----------
    num_nodes, num_negatives : int, the latter by default 1000
        Number of nodes, and of drawn ones for each source.
    seed, least : int, default 0 and 10
        Seed, and events that a snapshot needs.

    Raises
    ------
    ConfigError
        If an argument is out of range.

    Examples
    --------
    >>> from dgl_dysign.data import distinct_edges
    >>> sampler = RolandSampler(5, num_negatives=4, least=1)
    >>> queries = sampler.draw(distinct_edges(1, [0, 0, 4], [1, 2, 0], num_nodes=5))
    >>> queries.src[~queries.tenth], queries.dst[0, : queries.num_true]
    (tensor([0, 4]), tensor([1, 2]))
    """

    def __init__(self, num_nodes: int, num_negatives: int = 1000, seed: int = 0, least: int = 10) -> None:
        if num_negatives < 1 or seed < 0 or least < 1:
            raise ConfigError(
                f"num_negatives={num_negatives}, seed={seed}, least={least}: expected at least 1, 0 and 1"
            )
        self.num_nodes, self.num_negatives, self.seed, self.least = num_nodes, num_negatives, seed, least

    def reset(self) -> None:
        """Do nothing: draws do not depend on the past."""

    def observe(self, edges: SnapshotEdges) -> None:
        """Do nothing: draws do not depend on the past."""

    def draw(self, edges: SnapshotEdges) -> RolandQueries | None:
        """Return the queries of a snapshot; None if it has too few events."""
        if int(edges.count.sum()) < self.least:
            return None
        generator = np.random.default_rng([self.seed, edges.snapshot])
        src, dst, count = (part.cpu().numpy() for part in (edges.src, edges.dst, edges.count))
        event = generator.permutation(np.repeat(np.arange(len(src)), count))
        tenth = np.unique(event[int(0.8 * len(event)) + int(0.1 * len(event)) :])
        parts = [self._rows(src, dst, edges, generator), self._rows(src[tenth], dst[tenth], edges, generator)]
        most = max(true.shape[1] for _, true, _ in parts)
        rows = [np.c_[true, np.repeat(true[:, :1], most - true.shape[1], axis=1), drawn] for _, true, drawn in parts]
        return RolandQueries(
            edges.snapshot,
            torch.from_numpy(np.concatenate([source for source, _, _ in parts])),
            torch.from_numpy(np.concatenate(rows)),
            most,
            torch.arange(len(rows[0]) + len(rows[1])) >= len(rows[0]),
        )

    def _rows(
        self, src: np.ndarray, dst: np.ndarray, edges: SnapshotEdges, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return sources, their destinations (the first fills up a row), and nodes that are none of them."""
        if not edges.directed:
            src, dst = np.r_[src, dst], np.r_[dst, src]
        keys = np.unique(src * self.num_nodes + dst)
        source, row, number = np.unique(keys // self.num_nodes, return_inverse=True, return_counts=True)
        some_left = number < self.num_nodes  # of the others nothing can be drawn
        keys, source, number = keys[some_left[row]], source[some_left], number[some_left]
        row, first = np.repeat(np.arange(len(source)), number), np.cumsum(number) - number
        true = np.repeat(keys[first][:, None] % self.num_nodes, number.max(initial=1), axis=1)
        true[row, np.arange(len(keys)) - first[row]] = keys % self.num_nodes
        drawn = generator.integers(self.num_nodes, size=(len(source), self.num_negatives))
        while (again := np.isin(source[:, None] * self.num_nodes + drawn, keys)).any():
            drawn[again] = generator.integers(self.num_nodes, size=again.sum())
        return source, true, drawn


class RolandScores:
    r"""Figures of one model under ROLAND's protocols, snapshot by snapshot; filled by `evaluate_links`.

    The rank of a source is that of its best-placed destination, :math:`1 + \#greater + \#equal / 2` over the drawn
    nodes; a snapshot's MRR is the mean of 1 / rank over its sources, the headline the mean over snapshots. All figures
    are in 0 .. 1. ``mrr_ties_against`` is the same with ROLAND's own rank, :math:`1 + \#greater + \#equal`, and
    ``mrr_tenth`` that rank over a random tenth of the snapshot's events alone: what the released code reports, as it
    trains on the others.

    Attributes
    ----------
    protocol : str
        What was done, in words.
    """

    def __init__(self, name: str, protocol: str = "roland-live") -> None:
        self.name, self.protocol = name, PROTOCOLS[protocol]
        self._rows: list[dict[str, float]] = []

    def add(self, queries: RolandQueries, scores: Tensor) -> None:
        """Add one snapshot's scores, of the shape of ``queries.dst``."""
        best = scores[:, : queries.num_true].amax(1, keepdim=True)
        drawn = scores[:, queries.num_true :]
        rank = tie_aware_rank(torch.cat([best, drawn], 1)).cpu()
        against = 1 + (drawn >= best).sum(1).cpu()
        tenth = queries.tenth.cpu()
        figures = {"snapshot": queries.snapshot, "sources": int((~tenth).sum()), "mrr": mrr(rank[~tenth])}
        figures |= {f"hits@{k}": hits(rank[~tenth], k) for k in (1, 3, 10)}
        self._rows.append({**figures, "mrr_ties_against": mrr(against[~tenth]), "mrr_tenth": mrr(against[tenth])})

    @property
    def mrr(self) -> float:
        """Mean over snapshots of the mean reciprocal rank of sources."""
        return self.summary()["mrr"]

    def by_snapshot(self) -> dict[str, np.ndarray]:
        """Return the figures of each snapshot that was scored: ``snapshot``, ``sources``, ``mrr``, ..."""
        names = ("snapshot", "sources", *ROLAND_FIGURES)
        return {name: np.array([row[name] for row in self._rows]) for name in names}

    def summary(self) -> dict[str, float]:
        """Return numbers of sources and snapshots, and each figure as the mean over snapshots; NaN for none."""
        columns = self.by_snapshot()
        figures = {name: float(columns[name].mean()) if self._rows else math.nan for name in ROLAND_FIGURES}
        return {"sources": int(columns["sources"].sum()), "snapshots": len(self._rows), **figures}

    def to_dict(self) -> dict[str, Any]:
        """Return the summary, ready for JSON (None where no snapshot was scored)."""
        plain = {name: None if math.isnan(value) else value for name, value in self.summary().items()}
        return {"model": self.name, "protocol": self.protocol, **plain}

    def __repr__(self) -> str:
        figures = self.summary()
        return (
            f"RolandScores({self.name!r}, mrr={figures['mrr']:.4f}, {figures['sources']} sources in "
            f"{figures['snapshots']} snapshots; {self.protocol})"
        )
