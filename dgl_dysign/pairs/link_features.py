"""What counting sees of a pair before a snapshot: activity, history, shared neighbours, decayed walks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dgl_dysign.data.pair_log import check_nodes
from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.errors import ConfigError, check_choice, check_least
from dgl_dysign.pairs.families import FAMILIES
from dgl_dysign.pairs.history import History
from dgl_dysign.pairs.question import Columns, Question

if TYPE_CHECKING:
    from dgl_dysign.data.temporal_graph import TemporalGraph

WALKS = {"exact": ("projections",), "projected": ("ratings", "walks")}
"""Kinds of walks, and the families that are left out with each."""
EXACT_NODES = 50_000
"""Most nodes of which walks are exact by default: each source costs a pass over all edges for every step."""
MOST_NEIGHBORS = 1024
"""Neighbours of a node that ``shared`` keeps by default."""


def usual_families(num_nodes: int, walks: str | None = None) -> list[str]:
    """Return the families of a graph that are there by default.

    ``walks`` are ``"exact"`` or ``"projected"``, in which case ``projections`` stand in for them, and ``ratings``, part
    of which are walks, are left out; default: exact up to 50,000 nodes. ``ConfigError`` for others.

    Examples
    --------
    >>> usual_families(1_000_000)
    ['activity', 'ranks', 'pair', 'shared', 'habits', 'projections']
    """
    walks = walks or ("exact" if num_nodes <= EXACT_NODES else "projected")
    check_choice("walks", walks, WALKS)
    return [name for name in FAMILIES if name not in WALKS[walks]]


class LinkFeatures:
    """Features of candidate links from the edges observed so far.

    What the scorer of UnderGS sees beside embeddings, which alone stay below counting. Every column of (s, d) at
    snapshot t is a function of the edges of snapshots before t, whatever other pairs are looked up with it; ``names``
    are those of the columns, ``family/name``.

    ============  =====================================================================================================
    family        columns
    ============  =====================================================================================================
    ``activity``  of both ends: time since the last edge (out, in, any) and since the first; decayed degrees at five
                  decays
    ``ranks``     where the destination stands among all nodes in these
    ``pair``      whether and when s and d met, in either direction; unanswered edges; shares of answered ones
    ``ratings``   signed weights, given and received; walks over positive edges, ratings by neighbours
    ``shared``    decayed two-step paths of each direction, Adamic-Adar, resource allocation, cosine
    ``walks``     personalised PageRank from s over decayed edges, in and against their direction; co-rating walks
                  s -> c <- x -> d; three- and four-step walks; where d stands among all nodes in them
    ``habits``    how silent and how well connected the partners of s (and of d) were when they met; co-activity
    ============  =====================================================================================================

    One more, ``projections``, stands in for ``walks`` on larger graphs, where these would cost all edges for each
    source: inner products of random projections of walks back in time, see
    `dgl_dysign.pairs.projections.WalkProjections`, 2 KiB a node. What is drawn for a node is drawn by its number.

    Parameters
    ----------
    num_nodes : int
        Number of nodes N.
    begins : sequence of float, optional
        Time at which each snapshot begins, in the unit of ``SnapshotEdges.time``: recency is then finer than a
        snapshot.
    families : sequence of str, optional
        Which; default: all with exact walks, see `usual_families`. Memory is O(N + edges).
    unit : float, optional
        Time that counts as one snapshot in the columns; default: what the snapshots of `begins` last on average, which
        moves with each new one.
    most_neighbors : int or None, default 1024
        Neighbours of a node that ``shared`` sees, see `dgl_dysign.pairs.neighborhoods.Neighborhoods`; None: all.
    projection_width : int, optional
        Of ``projections``; default: 128, of more than 500,000 nodes 64.

    Attributes
    ----------
    neighbors_cut : int
        Neighbours beyond these that were forgotten, each time counted; 0 as long as ``shared`` is not read.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.data import distinct_edges
    >>> from dgl_dysign.pairs import LinkFeatures
    >>> features = LinkFeatures(4, families=["pair"])
    >>> features.observe(distinct_edges(0, [0, 1], [1, 2], num_nodes=4))
    >>> feat = features.features(1, torch.tensor([1]), torch.tensor([[0, 2, 3]]))
    >>> feat[0, :, features.names.index("pair/met_back")]
    tensor([1., 0., 0.])
    """

    def __init__(
        self,
        num_nodes: int,
        begins: Sequence[float] | None = None,
        families: Sequence[str] | None = None,
        unit: float | None = None,
        most_neighbors: int | None = MOST_NEIGHBORS,
        projection_width: int | None = None,
    ) -> None:
        families = usual_families(num_nodes) if families is None else families
        unknown = [name for name in families if name not in FAMILIES]
        if unknown or not families:
            got = repr(unknown[0]) if unknown else "none"
            raise ConfigError(f"families: expected some of {', '.join(map(repr, FAMILIES))}, but got {got}")
        if unit is not None and not unit > 0:
            raise ConfigError(f"unit must be positive, but got {unit}")
        if most_neighbors is not None and most_neighbors < 1:
            raise ConfigError(f"most_neighbors must be at least 1, or None for all, but got {most_neighbors}")
        if projection_width is not None:
            check_least(1, projection_width=projection_width)
        self.most_neighbors, self.projection_width = most_neighbors, projection_width
        self.num_nodes, self.begins, self._unit = num_nodes, begins, unit
        self.families = tuple(name for name in FAMILIES if name in families)
        self.reset()
        none = np.zeros(0, np.int64), np.zeros((0, 1), np.int64)
        self.names = tuple(name for name, _ in self._columns(Question(self._past, 0, *none), self.families))

    @classmethod
    def of(
        cls,
        data: TemporalGraph,
        families: Sequence[str] | None = None,
        walks: str | None = None,
        projection_width: int | None = None,
    ) -> LinkFeatures:
        """Return features for a prepared folder: its beginnings of snapshots, no ratings where edges have no weight.

        ``walks`` are those of `usual_families`, where none are named.
        """
        if families is None:
            weighted = data.manifest.get("edge_weight") is not None
            families = [name for name in usual_families(data.num_nodes, walks) if weighted or name != "ratings"]
        begins = [data.time_range(t)[0] for t in range(data.num_snapshots)]
        return cls(data.num_nodes, begins, families, projection_width=projection_width)

    @property
    def neighbors_cut(self) -> int:
        """Neighbours that were forgotten."""
        return self._past.neighbors_cut

    @property
    def unit(self) -> float:
        """Time that counts as one snapshot."""
        return self._past.unit

    def reset(self) -> None:
        """Forget what was observed."""
        self._past = History(
            self.num_nodes, self.begins, self._unit, self.most_neighbors, self.families, self.projection_width
        )

    def grow(self, num_nodes: int) -> None:
        """Have more nodes from now on: what the columns are of the old ones is as if all had been there always.

        Families stay those that were chosen when it was made. Fewer nodes raise ``ConfigError``.
        """
        self._past.grow(num_nodes)
        self.num_nodes = num_nodes

    def observe(self, edges: SnapshotEdges) -> None:
        """Take in the next snapshot; empty ones may be left out. ``DataError`` if its graph has more nodes: `grow`."""
        self._past.add(edges)

    def columns(self, families: Sequence[str]) -> list[int]:
        """Return the numbers of the columns of some families."""
        return [i for i, name in enumerate(self.names) if name.split("/")[0] in families]

    def features(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return float32 features ``(E, C, F)``, not standardised, of sources ``(E,)`` and candidates ``(E, C)``.

        The snapshot in question comes after all that were observed, or ``ConfigError`` is raised.
        """
        return self.of_columns(range(len(self.names)), snapshot, src, dst)

    def of_columns(self, columns: Sequence[int], snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return some columns of `features`, in the order of their numbers; no others are computed."""
        if snapshot <= self._past.snapshot:
            raise ConfigError(
                f"features at snapshot {snapshot} were asked for, but snapshot {self._past.snapshot} was observed: "
                f"ask before you observe, or reset"
            )
        ends = src.cpu().numpy(), dst.cpu().numpy()
        check_nodes(self.num_nodes, *ends)
        feat = np.empty((len(columns), *dst.shape), np.float32)  # by column: writing every 200th number is slower
        place = {self.names[column]: i for i, column in enumerate(columns)}
        families = {name.split("/")[0] for name in place}
        for name, column in self._columns(Question(self._past, snapshot, *ends), families):
            if name in place:
                feat[place[name]] = column()
        rows = np.ascontiguousarray(feat.reshape(len(columns), dst.numel()).T)
        return torch.from_numpy(rows.reshape(*dst.shape, len(columns)))

    def _columns(self, ask: Question, families: Collection[str]) -> Columns:
        for family in self.families:
            if family in families:
                for name, column in FAMILIES[family](ask):
                    yield f"{family}/{name}", column
