"""Features that stand still where nothing happens: a frozen basis on which new nodes are projected."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor
from torch.nn import functional

from dgl_dysign.data.temporal_graph import TemporalGraph
from dgl_dysign.models.inputs import scale_of
from dgl_dysign.ops import aggregate


def frozen_features(data: TemporalGraph, basis: int) -> Iterator[Tensor]:
    r"""Yield the features of each snapshot from ``basis`` on, in which a node keeps the row that it had at first.

    Spectral features of a snapshot move at all nodes, so that a `replay` would save nothing. Here nodes seen by
    snapshot ``basis`` keep their rows of then. A node that is new later has the mean of its neighbours' rows in its
    first snapshot, at the mean length of the rows of then, for ever; new nodes between which alone there are edges are
    reached in a second turn. (It is the out-of-sample extension of an embedding whose vectors are means of their
    neighbours', Bengio et al., NeurIPS 2003.) Columns have mean 0 and deviation 1 over the nodes of the basis; nodes
    not seen yet, or out of reach, are zero.

    Nodes keep what they were known by first, so take a late basis: on DBLP one that is 6 of 27 snapshots old costs 5
    points of Macro-F1, one that is 13 old 10 (``benchmarks/frozen_features.py``, one seed).

    Parameters
    ----------
    data : TemporalGraph
        With features, or ``DataError``.
    basis : int
        The last snapshot of which features are read; ``ConfigError`` if there is none such.

    Yields
    ------
    Tensor
        ``(N, feature_dim)``, float32; the same tensor again where no node is new.

    Examples
    --------
    >>> from dgl_dysign.data import TemporalGraph
    >>> from dgl_dysign.models import frozen_features
    >>> data = TemporalGraph.load(prepared)
    >>> feats = list(frozen_features(data, 5))
    >>> len(feats), bool((feats[0] != feats[-1])[data.active(5)].any())
    (7, False)
    """
    feat, known = data.features(basis).clone(), data.active(basis)
    low, size = scale_of(feat[known])
    length = feat[known].norm(dim=1).mean() if known.any() else feat.new_ones(())
    for t in range(basis, data.num_snapshots):
        new = data.active(t) & ~known
        if t == basis or new.any():
            graph = data.graph(t, cumulative=False, symmetric=True)
            for _ in range(2 if t > basis else 0):
                means = aggregate(graph, feat, graph.edata["weight"], norm="none")[new]
                feat[new] = length * functional.normalize(means, dim=1)
            known = known | new
            scaled = (feat - low) / size * (feat.any(1) & known)[:, None]
        yield scaled
