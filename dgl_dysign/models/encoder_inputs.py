"""What encoders of snapshots are fed: a row for each node, from the snapshots observed so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.errors import ConfigError, check_choice
from dgl_dysign.models.inputs import scaled_features, standardised
from dgl_dysign.pairs.families import of_nodes
from dgl_dysign.pairs.history import ALL, History

if TYPE_CHECKING:
    from dgl_dysign.data import TemporalGraph

KINDS = ("counts", "degree", "constant", "features")
_CACHE = 2 << 30  # bytes of tables of features that are kept for the next epoch


class EncoderInputs(nn.Module):
    r"""A table of all nodes, ``(N, width)``, that depends on observed snapshots alone.

    ============  =====================================================================================================
    kind          a node's row
    ============  =====================================================================================================
    ``counts``    time since its last edge (out, in, any) and since its first, decayed degrees at five decays, number of
                  distinct destinations; standardised over the nodes seen in training snapshots
    ``degree``    one-hot of its degree in the last snapshot, without direction, as EvolveGCN publishes it; the width is
                  that of the training snapshots alone, and larger degrees share the last place
    ``constant``  1
    ``features``  node features of the prepared folder at the last snapshot, standardised
    ============  =====================================================================================================

    Parameters
    ----------
    kind : {"counts", "degree", "constant", "features"}
        What a row is.
    num_nodes : int
        Number of nodes N.
    width : int, optional
        Of ``degree``: the largest degree plus one. Of the others it is known.
    data : TemporalGraph, optional
        Needed by ``features`` alone.

    Attributes
    ----------
    width : int
        Of the table.
    mean, deviation : Tensor
        Buffers by which ``counts`` are standardised, 0 and 1 until `standardise` sets them.

    Raises
    ------
    ConfigError
        For another kind, or features that are not there.

    Examples
    --------
    >>> from dgl_dysign.data import distinct_edges
    >>> from dgl_dysign.models.encoder_inputs import EncoderInputs
    >>> inputs = EncoderInputs("degree", num_nodes=3, width=3)
    >>> inputs.observe(distinct_edges(0, [0, 0], [1, 2], num_nodes=3))
    >>> inputs.table()
    tensor([[0., 0., 1.],
            [0., 1., 0.],
            [0., 1., 0.]])
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, kind: str, num_nodes: int, width: int = 1, data: TemporalGraph | None = None) -> None:
        super().__init__()
        check_choice("inputs", kind, KINDS)
        self.kind, self.num_nodes, self.width = kind, num_nodes, width
        if kind == "counts":
            self.width = len(list(of_nodes(History(1), 0))) + 1
        elif kind == "features":
            if data is None or data.feature_dim is None:
                raise ConfigError("inputs='features': found no node features here, expected 'counts' or 'degree'")
            self.width = data.feature_dim
            self._read = lambda snapshot: scaled_features(data, snapshot)  # copies of a model share the data
        self.register_buffer("mean", torch.zeros(self.width if kind == "counts" else 0))
        self.register_buffer("deviation", torch.ones(self.width if kind == "counts" else 0))
        self._tables: dict[int, Tensor] = {}
        self.reset()

    def standardise(self, mean: Tensor, deviation: Tensor) -> None:
        """Take over mean and deviation ``(width,)`` of counts; columns that do not vary count as zero."""
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(deviation > 1e-6, deviation, torch.inf))

    def reset(self) -> None:
        """Forget what was observed."""
        self._past = History(self.num_nodes)
        self._last: SnapshotEdges | None = None

    def observe(self, edges: SnapshotEdges) -> None:
        """Take in the next snapshot."""
        self._last = edges
        if self.kind == "counts":
            self._past.add(edges)

    def table(self) -> Tensor:
        """Return the rows of all nodes after the last snapshot observed, ``(N, width)``: not to be changed."""
        if self.kind == "counts":
            return standardised(self._counts().to(self.mean), self.mean, self.deviation)
        if self.kind == "constant":
            return self.mean.new_ones(self.num_nodes, 1)
        if self._last is None:
            return self.mean.new_zeros(self.num_nodes, self.width)
        if self.kind == "degree":
            degree = degrees(self._last).clamp(max=self.width - 1)
            return nn.functional.one_hot(degree, self.width).to(self.mean)
        return self._features(self._last.snapshot).to(self.mean)

    def seen_counts(self) -> Tensor:
        """Return the counts of the nodes seen so far, not standardised."""
        return self._counts()[np.isfinite(self._past.first)]

    def _counts(self) -> Tensor:
        columns = [column(ALL) for _, column in of_nodes(self._past, self._past.snapshot + 1)]
        return torch.from_numpy(np.stack([*columns, np.log1p(self._past.pairs.degree)], 1).astype(np.float32))

    def _features(self, snapshot: int) -> Tensor:
        if snapshot not in self._tables:
            table = self._read(snapshot)
            if 4 * table.numel() * (len(self._tables) + 1) > _CACHE:
                return table
            self._tables[snapshot] = table
        return self._tables[snapshot]


def degrees(edges: SnapshotEdges) -> Tensor:
    """Return the number of edges of each node, whatever their direction."""
    return torch.bincount(torch.cat([edges.src, edges.dst]).cpu(), minlength=edges.num_nodes)
