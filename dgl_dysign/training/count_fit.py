"""Training of counting models on the candidates that link scorers are trained on."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dgl_dysign.baselines.link_counts import CountLinks
from dgl_dysign.data.snapshot_edges import SnapshotEdges, snapshot_edges
from dgl_dysign.errors import ConfigError
from dgl_dysign.evaluation import NegativeSampler
from dgl_dysign.training.late_snapshot import snapshot_batches
from dgl_dysign.training.links import LinkFitConfig

if TYPE_CHECKING:
    from dgl_dysign.data.temporal_graph import TemporalGraph

_MOST = 1 << 29  # bytes of training candidates; of more, the latest are taken


def fit_counts(
    data: TemporalGraph | Sequence[SnapshotEdges],
    model: CountLinks,
    num_nodes: int,
    train: range,
    config: LinkFitConfig | None = None,
    seed: int = 0,
) -> int:
    """Train a counting model on the warm edges of training snapshots and the negatives that `fit_links` draws.

    Parameters
    ----------
    data : TemporalGraph or sequence of SnapshotEdges
        The data.
    model : CountLinks
        Its state is empty afterwards.
    num_nodes : int
        Number of nodes.
    train : range
        Training snapshots.
    config : LinkFitConfig, optional
        Of which the negatives, ``batch_size`` and ``half_life`` count.
    seed : int, default 0
        Of the negatives.

    Returns
    -------
    int
        How many edges it was trained on: where there are too many, the latest.

    Raises
    ------
    ConfigError
        If there is no warm edge.
    """
    config = config or LinkFitConfig()
    sampler = NegativeSampler(num_nodes, config.num_negatives, config.historical, seed, config.among)
    model.reset()
    found: deque[tuple[int, Tensor]] = deque()
    held = 0
    for t in range(train[-1] + 1):
        edges = data[t] if isinstance(data, Sequence) else snapshot_edges(data, t)
        if t in train:
            queries = sampler.draw(edges)
            asked = queries.src[queries.warm], queries.dst[queries.warm]
            for batch in snapshot_batches(t, config.batch_size, *asked):
                found.append((t, model.features.features(t, *batch.tensors)[..., model.columns]))
                held += found[-1][1].numel() * 4
            while held > _MOST and len(found) > 1:
                held -= found.popleft()[1].numel() * 4
        sampler.observe(edges)
        model.observe(edges)
    model.reset()
    if not found:
        raise ConfigError(f"no warm edge in the training snapshots {train[0]} to {train[-1]}")
    life, last = config.half_life, found[-1][0]
    weight = [torch.full((len(feat),), 1.0 if life is None else 0.5 ** ((last - t) / life)) for t, feat in found]
    model.fit(torch.cat([feat for _, feat in found]), torch.cat(weight))
    return sum(map(len, weight))
