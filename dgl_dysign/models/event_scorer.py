"""Scores of events from a network, the store and the counts of what was observed."""

from __future__ import annotations

import torch
from torch import Tensor

from dgl_dysign.data.snapshot_events import SnapshotEvents
from dgl_dysign.models.event_inputs import EventReader
from dgl_dysign.models.event_undergs import EventUnderGS
from dgl_dysign.store import NeighborStore


class EventScorer:
    """A `dgl_dysign.evaluation.EventModel`: a network, and what it reads from the state before a snapshot.

    Parameters
    ----------
    model : EventUnderGS
        Its parameters stay through `reset`.
    store : NeighborStore
        Of ``model.undergs.store()``, on the model's device.
    reader : EventReader
        Of the training snapshots. It gives the model events' features, nodes' counts and the own features of the
        store's events, each where the model was made to read them.
    """

    def __init__(self, model: EventUnderGS, store: NeighborStore, reader: EventReader) -> None:
        self.model, self.store, self.reader = model, store, reader

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return self.model.offset.device

    def reset(self) -> None:
        """Forget what was observed."""
        self.store.reset()
        self.reader.reset()

    def grow(self, num_nodes: int) -> None:
        """Have more nodes from now on in model, store and reader, see `Pretrained.grow`."""
        self.store.grow(num_nodes)
        self.reader.grow(num_nodes)
        self.model.grow(num_nodes)

    def observe(self, events: SnapshotEvents) -> None:
        """Take in the events of a snapshot."""
        self.reader.observe(events)
        self.store.insert(events.snapshot, events.src, events.dst, edge_id=events.edge_id)

    def logits(self, events: SnapshotEvents) -> Tensor:
        """Return the log odds of a snapshot's events, ``(events,)``, as the mode of the model is and with gradients."""
        reader, undergs, device = self.reader, self.model.undergs, self.device
        logits: Tensor = self.model(
            self.store,
            events.snapshot,
            events.src.to(device),
            events.dst.to(device),
            reader.event_feat(events).to(device) if undergs.link_head.pair_feats else None,
            (lambda nodes: reader.node_feat(nodes).to(device)) if undergs.node_feats else None,
            (lambda ids: reader.own_feat(ids).to(device)) if undergs.edge_feats else None,
        )
        return logits

    def score(self, events: SnapshotEvents) -> Tensor:
        """Return the log odds of a snapshot's events, ``(events,)``, without dropout."""
        self.model.eval()
        return self.logits(events)
