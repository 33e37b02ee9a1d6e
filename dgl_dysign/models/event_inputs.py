"""What models of event labels read: the labelled events of a prepared folder, and what was known before each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dgl_dysign.data import TemporalGraph
from dgl_dysign.errors import DataError
from dgl_dysign.models.event_counts import EventCounts, snapshot_time
from dgl_dysign.models.inputs import standardised
from dgl_dysign.store import NeighborStore


@dataclass(frozen=True)
class SnapshotEvents:
    """The events of one snapshot.

    Parameters
    ----------
    snapshot : int
        Which.
    src, dst, edge_id : Tensor
        int64 ``(events,)``, in the order of the raw file.
    time : Tensor
        In snapshots, float64.
    label : Tensor
        0 or 1, and -1 where there is none; int64.
    first : int
        Row of the first event among all events.
    """

    snapshot: int
    src: Tensor
    dst: Tensor
    edge_id: Tensor
    time: Tensor
    label: Tensor
    first: int

    def __len__(self) -> int:
        return len(self.src)

    @property
    def rows(self) -> slice:
        """Rows of the events among all events."""
        return slice(self.first, self.first + len(self))


def read_events(data: TemporalGraph) -> list[SnapshotEvents]:
    """Read all snapshots of a folder whose events have labels, 0 or 1.

    Raises
    ------
    DataError
        If labels are not those of events, or not of two classes.
    """
    if data.manifest["labels"] != "event" or data.num_classes != 2:
        kind = data.manifest["labels"] or "no"
        raise DataError(
            f"{data.folder}: found {kind} labels of {data.num_classes} classes, expected two classes of events; "
            f"prepare Wikipedia or Reddit with dysign-prep"
        )
    snapshots, first = [], 0
    for t in range(data.num_snapshots):
        src, dst, time, edge_id = data.events(t)
        labelled, _, label = data.event_labels(t)
        order = edge_id.argsort()
        place = order[torch.searchsorted(edge_id[order], labelled).clamp(max=max(len(order) - 1, 0))]
        if not torch.equal(edge_id[place], labelled):
            raise DataError(f"{data.folder}: found labels of events that snapshot {t} does not have; prepare it again")
        labels = torch.full_like(src, -1)
        labels[place] = label
        time = snapshot_time(time, t, *data.time_range(t))
        snapshots.append(SnapshotEvents(t, src, dst, edge_id, time, labels, first))
        first += len(src)
    return snapshots


class EventInputs:
    """Labelled events cut into parts by snapshot, and what a model may know of each. Nothing of it changes.

    Training labels enter through the loss alone. What is known of an event is its own ends, time and features, and
    what the snapshots before its own hold; of all other events of its snapshot, of later ones and of labels nothing.
    Features are scaled by the training snapshots.

    Parameters
    ----------
    data : TemporalGraph
        A prepared folder with labels of events.
    snapshots : list of SnapshotEvents
        All of them, as `read_events` gives them.
    ranges : mapping of str to range
        Snapshots of each part, ``train`` among them.

    Attributes
    ----------
    label : Tensor
        Of all events, ``(E,)``; -1: none.
    event_feat : Tensor
        Counts before the snapshot, then the event's own features where they vary, float32 ``(E, F)``.
    event_names : list of str
        The columns of `event_feat`.
    event_mean, event_deviation : Tensor
        Of `event_feat` over the training events.
    edge_feat : Tensor or None
        The events' own features by edge id; None where there are none, or all of them are the same in training.
    parts : dict of str to Tensor
        Rows of the labelled events of each part.

    Raises
    ------
    DataError
        If a part has not both labels.
    """

    def __init__(self, data: TemporalGraph, snapshots: list[SnapshotEvents], ranges: Mapping[str, range]) -> None:
        self.data, self.snapshots, self.ranges = data, snapshots, dict(ranges)
        self.num_nodes, self.num_snapshots = data.num_nodes, data.num_snapshots
        self.label = torch.cat([events.label for events in snapshots])
        self.parts = {part: self._labelled(chosen) for part, chosen in self.ranges.items()}
        self._check_labels()
        own = _own_features(data, snapshots[self.ranges["train"][-1]].rows.stop)
        self.edge_feat = None if own is None else _by_id(own, torch.cat([e.edge_id for e in snapshots]))
        self.event_names = [*EventCounts.event_names, *(f"own_{k}" for k in range(0 if own is None else own.shape[1]))]
        counted = torch.cat([counts.events(e.snapshot, e.src, e.dst, e.time) for e, counts in self.replay()])
        self.event_feat = counted if own is None else torch.cat([counted, own], 1)
        train, width = self.event_feat[self.parts["train"]], len(EventCounts.node_names)
        self.event_mean, self.event_deviation = train.mean(0), train.std(0, correction=0)
        ends = torch.cat([train[:, :width], train[:, width : 2 * width]])
        self._node_mean, self._node_deviation = ends.mean(0), ends.std(0, correction=0).clamp(min=1e-6)

    def _labelled(self, chosen: range) -> Tensor:
        rows = [e.first + (e.label >= 0).nonzero()[:, 0] for e in (self.snapshots[t] for t in chosen)]
        return torch.cat(rows) if rows else torch.zeros(0, dtype=torch.int64)

    def _check_labels(self) -> None:
        for part, rows in self.parts.items():
            positive = int((self.label[rows] == 1).sum())
            if not 0 < positive < len(rows):
                raise DataError(
                    f"{self.data.folder}: found {positive} positive labels among the {len(rows)} of the {part} "
                    f"snapshots ({self.ranges[part].start} to {self.ranges[part].stop - 1}), expected both labels; "
                    f"take other shares, or split by positives"
                )

    @property
    def rate(self) -> float:
        """Share of positives among the training events."""
        return float(self.label[self.parts["train"]].double().mean())

    def replay(self, store: NeighborStore | None = None) -> Iterator[tuple[SnapshotEvents, EventCounts]]:
        """Go through the snapshots; counts, and a store that is emptied at first, are as they were before each."""
        counts = EventCounts(self.num_nodes)
        if store is not None:
            store.reset()
        for events in self.snapshots:
            yield events, counts
            counts.observe(events.snapshot, events.src, events.dst, events.time)
            if store is not None:
                store.insert(events.snapshot, events.src, events.dst, edge_id=events.edge_id)

    def node_feat(self, counts: EventCounts, snapshot: int, nodes: Tensor) -> Tensor:
        """Return the counts of nodes at the beginning of a snapshot, standardised over the ends of training events."""
        return standardised(counts.nodes(snapshot, nodes.cpu()), self._node_mean, self._node_deviation)

    def own_feat(self, ids: Tensor) -> Tensor:
        """Return the own features of events by edge id."""
        assert self.edge_feat is not None
        return self.edge_feat[ids.cpu()]


def _own_features(data: TemporalGraph, train_rows: int) -> Tensor | None:
    """Return the events' own features, without columns that are the same in all training events."""
    if data.edge_feature_dim is None:
        return None
    feat = torch.cat([data.edge_features(t) for t in range(data.num_snapshots)])
    train = feat[:train_rows]
    varies = (train != train[:1]).any(0)
    if not bool(varies.any()):
        return None
    mean, deviation = train.mean(0), train.std(0, correction=0).clamp(min=1e-6)
    return standardised(feat[:, varies], mean[varies], deviation[varies])


def _by_id(feat: Tensor, edge_id: Tensor) -> Tensor:
    rows = feat.new_zeros(int(edge_id.max()) + 1, feat.shape[1])
    rows[edge_id] = feat
    return rows
