"""Labelled events of a prepared folder, split by time, each with what was known before its snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dgl_dysign.data import TemporalGraph
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.evaluation.links import split_snapshots
from dgl_dysign.models.event_counts import EventCounts, snapshot_time
from dgl_dysign.store import NeighborStore

PARTS = ("train", "val", "test")
SPLITS = ("snapshots", "events", "positives")


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


class EventTask:
    """One data set with event labels, split by snapshot.

    Training labels enter through the loss alone. What is known of an event is its own ends, time and features, and
    what the snapshots before its own hold; of all other events of its snapshot, of later ones and of labels nothing.

    Parameters
    ----------
    data : TemporalGraph
        A prepared folder with labels of events.
    train, val : float, default 0.7 and 0.1
        Shares for training and validation; bounds are always those of snapshots.
    split : {"snapshots", "events", "positives"}, default "snapshots"
        Shares of what; by positives, where they all come late (it reads their number, and nothing else of them).
    device : device, default "cpu"
        Where models are to compute; the events stay on the CPU.

    Attributes
    ----------
    snapshots : list of SnapshotEvents
        All snapshots, empty ones too.
    label : Tensor
        Of all events, ``(E,)``; -1: none.
    event_feat : Tensor
        Counts before the snapshot, then the event's own features where they vary, float32 ``(E, F)``.
    event_names : list of str
        The columns of `event_feat`.
    edge_feat : Tensor or None
        The events' own features by edge id; None where there are none, or all of them are the same in training.
    parts : dict of str to Tensor
        Rows of the labelled events of ``train``, ``val`` and ``test``.

    Raises
    ------
    ConfigError
        If shares or kind of split are out of range.
    DataError
        If labels are not those of events, are not 0 and 1, or a part has not both of them.
    """

    def __init__(
        self,
        data: TemporalGraph,
        train: float = 0.7,
        val: float = 0.1,
        split: str = "snapshots",
        device: torch.device | str = "cpu",
    ) -> None:
        if data.manifest["labels"] != "event" or data.num_classes != 2:
            kind = data.manifest["labels"] or "no"
            raise DataError(
                f"{data.folder}: found {kind} labels of {data.num_classes} classes, expected two classes of events; "
                f"prepare Wikipedia or Reddit with dysign-prep"
            )
        self.data, self.device = data, torch.device(device)
        self.num_nodes, self.num_snapshots = data.num_nodes, data.num_snapshots
        self.snapshots = _read(data)
        self.ranges = dict(zip(PARTS, _split(self.snapshots, train, val, split), strict=True))
        self.label = torch.cat([events.label for events in self.snapshots])
        self.parts = {part: self._labelled(snapshots) for part, snapshots in self.ranges.items()}
        self._check(data)
        own = _own_features(data, self.snapshots[self.ranges["train"][-1]].rows.stop)
        self.edge_feat = None if own is None else _by_id(own, torch.cat([e.edge_id for e in self.snapshots]))
        self.event_names = [*EventCounts.event_names, *(f"own_{k}" for k in range(0 if own is None else own.shape[1]))]
        counted = torch.cat([counts.events(e.snapshot, e.src, e.dst, e.time) for e, counts in self.counted()])
        self.event_feat = counted if own is None else torch.cat([counted, own], 1)
        self._standardise()

    def _labelled(self, snapshots: range) -> Tensor:
        parts = [e.first + (e.label >= 0).nonzero()[:, 0] for e in (self.snapshots[t] for t in snapshots)]
        return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.int64)

    def _check(self, data: TemporalGraph) -> None:
        for part, rows in self.parts.items():
            positive = int((self.label[rows] == 1).sum())
            if not 0 < positive < len(rows):
                raise DataError(
                    f"{data.folder}: found {positive} positive labels among the {len(rows)} of the {part} snapshots "
                    f"({self.ranges[part].start} to {self.ranges[part].stop - 1}), expected both labels; "
                    f"take other shares, or split by positives"
                )

    def _standardise(self) -> None:
        """Note mean and deviation over the training events: of their features, and of their ends' columns."""
        seen, width = self.event_feat[self.parts["train"]], len(EventCounts.node_names)
        self.event_mean, self.event_deviation = seen.mean(0), seen.std(0, correction=0)
        ends = torch.cat([seen[:, :width], seen[:, width : 2 * width]])
        self.node_mean, self.node_deviation = ends.mean(0), ends.std(0, correction=0).clamp(min=1e-6)

    @property
    def rate(self) -> float:
        """Share of positives among the training events."""
        return float(self.label[self.parts["train"]].double().mean())

    def counted(self) -> Iterator[tuple[SnapshotEvents, EventCounts]]:
        """Go through the snapshots, with the counts as they are before each."""
        counts = EventCounts(self.num_nodes)
        for events in self.snapshots:
            yield events, counts
            counts.observe(events.snapshot, events.src, events.dst, events.time)

    def stream(self, store: NeighborStore) -> Iterator[tuple[SnapshotEvents, EventCounts]]:
        """Go through the snapshots, with the store (emptied at first) and the counts as they are before each."""
        store.reset()
        for events, counts in self.counted():
            yield events, counts
            store.insert(events.snapshot, events.src, events.dst, edge_id=events.edge_id)

    def node_feat(self, counts: EventCounts, snapshot: int, nodes: Tensor) -> Tensor:
        """Return the standardised counts of nodes at the beginning of a snapshot."""
        found = counts.nodes(snapshot, nodes.cpu())
        return ((found - self.node_mean) / self.node_deviation).clamp(-5, 5)

    def own_feat(self, ids: Tensor) -> Tensor:
        """Return the own features of events by edge id."""
        assert self.edge_feat is not None
        return self.edge_feat[ids.cpu()]


def _read(data: TemporalGraph) -> list[SnapshotEvents]:
    found, first = [], 0
    for t in range(data.num_snapshots):
        src, dst, time, edge_id = data.events(t)
        labelled, _, label = data.event_labels(t)
        order = edge_id.argsort()
        place = order[torch.searchsorted(edge_id[order], labelled).clamp(max=max(len(order) - 1, 0))]
        if not torch.equal(edge_id[place], labelled):
            raise DataError(f"{data.folder}: found labels of events that snapshot {t} does not have; prepare it again")
        labels = torch.full_like(src, -1)
        labels[place] = label
        found.append(SnapshotEvents(t, src, dst, edge_id, snapshot_time(time, t, *data.time_range(t)), labels, first))
        first += len(src)
    return found


def _split(snapshots: list[SnapshotEvents], train: float, val: float, split: str) -> tuple[range, range, range]:
    """Cut the snapshots where shares of all snapshots, events or positives have passed."""
    if split not in SPLITS:
        raise ConfigError(f"split must be one of {', '.join(map(repr, SPLITS))}, but got {split!r}")
    if split == "snapshots":
        return split_snapshots(len(snapshots), train, val)
    if not 0 < train < train + val < 1:
        raise ConfigError(f"train={train} and val={val}: expected positive shares whose sum is below 1")
    sizes = [len(events) if split == "events" else int((events.label == 1).sum()) for events in snapshots]
    passed = torch.tensor(sizes).cumsum(0)
    first, second = (int((passed < round(share * int(passed[-1]))).sum()) + 1 for share in (train, train + val))
    return range(first), range(first, second), range(second, len(snapshots))


def _own_features(data: TemporalGraph, train_rows: int) -> Tensor | None:
    """Return the events' own features, without columns that are the same in all training events."""
    if data.edge_feature_dim is None:
        return None
    feat = torch.cat([data.edge_features(t) for t in range(data.num_snapshots)])
    seen = feat[:train_rows]
    varies = (seen != seen[:1]).any(0)
    if not bool(varies.any()):
        return None
    scale = seen.std(0, correction=0).clamp(min=1e-6)
    return ((feat - seen.mean(0)) / scale)[:, varies].clamp(-5, 5)


def _by_id(feat: Tensor, edge_id: Tensor) -> Tensor:
    rows = feat.new_zeros(int(edge_id.max()) + 1, feat.shape[1])
    rows[edge_id] = feat
    return rows
