"""Training of counting models on the candidates that link scorers are trained on."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dgl_dysign.baselines.link_counts import CountLinks
from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.errors import ConfigError
from dgl_dysign.pairs.pair_features import read_columns
from dgl_dysign.training.links import LinkFitConfig, age_weight, replay, warm_steps

if TYPE_CHECKING:
    from dgl_dysign.data.temporal_graph import TemporalGraph


def fit_counts(
    data: TemporalGraph | Sequence[SnapshotEdges], model: CountLinks, num_nodes: int, train: range,
    config: LinkFitConfig | None = None, seed: int = 0, max_bytes: int = 1 << 29,
) -> int:  # fmt: skip
    """Train a counting model on the warm edges of training snapshots and the negatives that `fit_links` draws.

    The model's state is empty afterwards. Of `config` the negatives, ``batch_size`` and ``half_life`` count; `seed` is
    that of the negatives. Features of candidates take `max_bytes` at most: where they are more, the latest are taken.
    Returns how many edges it was trained on; raises ``ConfigError`` if there is no warm edge.
    """
    config = config or LinkFitConfig()
    sampler = config.sampler(num_nodes, config.num_negatives, seed)
    candidates: deque[tuple[int, Tensor]] = deque()
    held = 0
    for edges in replay(data, train[-1], sampler, model):
        t = edges.snapshot
        if t in train:
            for batch in chain(*warm_steps(sampler, edges, config, len(train))):  # those that others look up, too
                candidates.append((t, read_columns(model.features, model.columns, t, *batch.tensors)))
                held += candidates[-1][1].numel() * 4
            while held > max_bytes and len(candidates) > 1:
                held -= candidates.popleft()[1].numel() * 4
    model.reset()
    if not candidates:
        raise ConfigError(f"no warm edge in the training snapshots {train[0]} to {train[-1]}")
    last = candidates[-1][0]
    weight = torch.cat([torch.full((len(feat),), age_weight(last - t, config.half_life)) for t, feat in candidates])
    model.fit(torch.cat([feat for _, feat in candidates]), weight)
    return len(weight)
