"""Predictions of a trained model on snapshots as they arrive, from what was saved with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from dgl_dysign.data.temporal_graph import TemporalGraph
from dgl_dysign.errors import ConfigError
from dgl_dysign.models.dysign import DySIGN
from dgl_dysign.models.inputs import (
    NodeInputs,
    Snapshot,
    evenly_spaced,
    fill_store,
    scaled_features,
    store_snapshots,
)
from dgl_dysign.models.link_scorer import evaluating
from dgl_dysign.models.snapshot_encoder import EncoderNodes
from dgl_dysign.models.spiking_undergs import SpikingUnderGS
from dgl_dysign.models.undergs import UnderGS
from dgl_dysign.store import NeighborStore


class SavedLinks(Protocol):
    """What `predict_links` asks: `LinkScorer`, `EncoderScorer` and `dgl_dysign.baselines.CountLinks`."""

    def catch_up(self, data: TemporalGraph, snapshot: int) -> None:
        """Observe what lies before a snapshot."""

    def score(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return scores ``(E, C)``."""


@torch.no_grad()
def predict(model: DySIGN | UnderGS | EncoderNodes, data: TemporalGraph, snapshot: int | None = None) -> Tensor:
    """Return the class probabilities of all nodes at the end of a snapshot.

    The model reads events up to and including the snapshot, and nothing later: the answer for a snapshot is the same
    whatever comes after it. It reads as many snapshots as it was made for, evenly spaced, the last of them `snapshot`;
    for the last snapshot of the training this is what the training scored, bit for bit. A snapshot that does not exist,
    too few before it and a model without ``node_inputs`` raise ``ConfigError``, data of another shape ``DataError``.

    Parameters
    ----------
    model : DySIGN, UnderGS, SpikingUnderGS or EncoderNodes
        With ``model.node_inputs``, which ``from_pretrained`` brings. `SpikingUnderGS` reads feature means over its
        store's graph (`store_snapshots`) or, if it has learned vectors of nodes, its own `SpikingUnderGS.snapshot`.
    data, snapshot : TemporalGraph, and int, optional
        The data of the training, or that with later snapshots; which snapshot, by default the last.

    Returns
    -------
    Tensor
        ``(N, num_classes)``, on the model's device. A label-aware model gives the scores that its training gave: after
        the smoothing rows do not sum to one.

    Examples
    --------
    >>> import tempfile
    >>> from dgl_dysign.data import TemporalGraph
    >>> from dgl_dysign.models import DySIGN, NodeInputs
    >>> from dgl_dysign.models.predict import predict
    >>> data = TemporalGraph.load(prepared)
    >>> model = DySIGN(2 * data.feature_dim, 8, data.num_classes)
    >>> folder = model.save_pretrained(f"{tempfile.mkdtemp()}/model", data, NodeInputs(decay=0.1))
    >>> predict(DySIGN.from_pretrained(folder, data), data, snapshot=5).shape
    torch.Size([100, 6])
    """
    if isinstance(model, EncoderNodes):
        model.catch_up(data, data.num_snapshots if snapshot is None else snapshot + 1)
        return model.predict(torch.arange(data.num_nodes))
    if not isinstance(model, DySIGN | UnderGS):
        raise ConfigError(f"expected a DySIGN, UnderGS or SpikingUnderGS, but got {type(model).__name__}")
    inputs = model.node_inputs
    if inputs is None:
        raise ConfigError(
            "the model does not know how its input is read: pass inputs=NodeInputs(...) to save_pretrained, or set "
            "model.node_inputs"
        )
    model.check_data(data)
    last = data.num_snapshots - 1 if snapshot is None else snapshot
    if not 0 <= last < data.num_snapshots:
        raise ConfigError(f"snapshot {last} does not exist: expected 0 to {data.num_snapshots - 1}")
    with evaluating(model):
        if isinstance(model, UnderGS):
            return _undergs(model, data, last, inputs)
        return _dysign(model, data, last, inputs)


def _dysign(model: DySIGN, data: TemporalGraph, last: int, inputs: NodeInputs) -> Tensor:
    if last + 1 < model.num_snapshots:
        raise ConfigError(
            f"the model reads {model.num_snapshots} snapshots, but up to snapshot {last} there are {last + 1}: ask for "
            f"a later one"
        )
    indices, device = evenly_spaced(last + 1, model.num_snapshots), model.bias.device
    snapshots: Sequence[Snapshot]
    if isinstance(model, SpikingUnderGS):
        snapshots = _store_snapshots(model, data, indices, inputs)
    else:
        snapshots = inputs.snapshots(data, indices, device)
    if inputs.labels is None:
        return model(snapshots, simulate=inputs.simulate).softmax(1)
    reading = inputs.labels.read(data, last, device)
    logits = model(snapshots, reading.feat, simulate=inputs.simulate)
    return inputs.labels.finished(data, last, logits, reading.prior)


def _store_snapshots(
    model: SpikingUnderGS, data: TemporalGraph, indices: list[int], inputs: NodeInputs
) -> list[Snapshot]:
    store = _store(model, data, inputs)
    if model.table is None:
        return store_snapshots(data, store, indices, hops=inputs.hops, device=model.bias.device)
    snapshots = []
    for index in indices:
        feat = scaled_features(data, index) if model.node_feats else None
        snapshots.append(model.snapshot(fill_store(store, data, index), index, feat))
    return snapshots


def _undergs(model: UnderGS, data: TemporalGraph, last: int, inputs: NodeInputs) -> Tensor:
    device = next(model.parameters()).device
    store = fill_store(_store(model, data, inputs), data, last).to(device)
    feat = scaled_features(data, last).to(device) if model.node_feats else None
    return model.class_probabilities(store, last, feat)


def _store(model: UnderGS | SpikingUnderGS, data: TemporalGraph, inputs: NodeInputs) -> NeighborStore:
    return model.store(**{"directed": data.directed, **(inputs.store or {})})


def predict_links(scorer: SavedLinks, data: TemporalGraph, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
    """Return scores of candidate links at a snapshot, from the snapshots before it alone; the larger the likelier.

    The scorer observes what it has not yet observed of the snapshots before, see `LinkScorer.catch_up` and its errors;
    ``data.num_snapshots`` is the snapshot that is still to come. Sources are ``(E,)``, candidates and scores ``(E,
    C)``, comparable within a row.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.data import TemporalGraph
    >>> from dgl_dysign.models import LinkScorer, UnderGS
    >>> data = TemporalGraph.load(prepared)
    >>> model = UnderGS(data.num_nodes, hidden_feats=8)
    >>> scorer = LinkScorer(model, model.store(directed=data.directed))
    >>> predict_links(scorer, data, data.num_snapshots, torch.tensor([3]), torch.tensor([[7, 8, 9]])).shape
    torch.Size([1, 3])
    """
    scorer.catch_up(data, snapshot)
    return scorer.score(snapshot, src, dst)
