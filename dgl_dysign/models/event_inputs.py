"""What models of event labels are fitted to, and what they may know of an event: its own, and the past."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dgl_dysign.data.snapshot_events import SnapshotEvents
from dgl_dysign.models.event_counts import EventCounts
from dgl_dysign.models.inputs import standardised


class EventReader:
    """What is known of events: their own ends, time and features, and counts of the snapshots that were observed.

    Features are scaled by the training snapshots, once and for all; the counts are those of what was observed since
    `reset`. Labels are not read, but that scales are those of labelled events.

    Parameters
    ----------
    num_nodes : int
        Number of nodes N of all snapshots.
    train : sequence of SnapshotEvents
        The training snapshots, from the first; some of their events have labels.

    Attributes
    ----------
    names : list of str
        The F columns of `event_feat`.
    own_width : int
        Number of the events' own features that vary in training.
    mean, deviation : Tensor
        Of `event_feat` over the labelled training events.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.data.snapshot_events import SnapshotEvents
    >>> first = SnapshotEvents(0, *torch.tensor([[0, 0], [1, 2], [0, 1]]), torch.rand(2), torch.tensor([0, 1]))
    >>> reader = EventReader(3, [first])
    >>> reader.observe(first)
    >>> now = SnapshotEvents(1, *torch.tensor([[0], [1], [2]]), torch.ones(1), torch.tensor([-1]))
    >>> float(reader.event_feat(now)[0, reader.names.index("src_count")].expm1())
    2.0
    """

    def __init__(self, num_nodes: int, train: Sequence[SnapshotEvents]) -> None:
        self.num_nodes = num_nodes
        self._varies, self._own_mean, self._own_deviation = _own_scale(train)
        self.own_width = int(self._varies.sum())
        self.names = [*EventCounts.event_names, *(f"own_{k}" for k in range(self.own_width))]
        self.reset()
        known, width = self.past(train), len(EventCounts.node_names)
        self.mean, self.deviation = known.mean(0), known.std(0, correction=0)
        ends = torch.cat([known[:, :width], known[:, width : 2 * width]])
        self._node_mean, self._node_deviation = ends.mean(0), ends.std(0, correction=0).clamp(min=1e-6)
        self.reset()

    def fresh(self) -> EventReader:
        """Return one of the same scales that has observed nothing."""
        other = copy.copy(self)
        other.reset()
        return other

    def reset(self) -> None:
        """Forget what was observed; scales stay."""
        self._counts = EventCounts(self.num_nodes)
        self._unwritten: list[SnapshotEvents] = []
        self._own = torch.zeros(0, self.own_width)

    def grow(self, num_nodes: int) -> None:
        """Have more nodes from now on, none of which has been seen; ``ConfigError`` if there would be fewer."""
        self._counts.grow(num_nodes)
        self.num_nodes = num_nodes

    def observe(self, events: SnapshotEvents) -> None:
        """Take in a snapshot; snapshots come in order, empty ones too."""
        self._counts.observe(events.snapshot, events.src, events.dst, events.time)
        if self.own_width:
            self._unwritten.append(events)

    def event_feat(self, events: SnapshotEvents) -> Tensor:
        """Return counts before the snapshot, then the events' own features where they vary, float32 ``(events, F)``.

        Each row knows its own event, and no other of its snapshot. Own features are standardised, counts are not.
        """
        counted = self._counts.events(events.snapshot, events.src, events.dst, events.time)
        return torch.cat([counted, self._scaled(events)], 1) if self.own_width else counted

    def node_feat(self, nodes: Tensor) -> Tensor:
        """Return the counts of nodes ``(n,)`` at the begin of the next snapshot, float32 ``(n, node columns)``.

        They are standardised over the ends of labelled training events.
        """
        counted = self._counts.nodes(self._counts.snapshot + 1, nodes.cpu())
        return standardised(counted, self._node_mean, self._node_deviation)

    def own_feat(self, ids: Tensor) -> Tensor:
        """Return the own features of observed events by edge id ``(n,)``, standardised, ``(n, own_width)``."""
        for events in self._unwritten:
            self._write(events)
        self._unwritten = []
        return self._own[ids.cpu()]

    def past(self, snapshots: Sequence[SnapshotEvents]) -> Tensor:
        """Observe snapshots; return the features that their labelled events had before, ``(labelled, F)``."""
        known = []
        for events in snapshots:
            known.append(self.event_feat(events.labelled()))
            self.observe(events)
        return torch.cat(known)

    def _write(self, events: SnapshotEvents) -> None:
        last, rows = int(events.edge_id.max()) if len(events) else -1, len(self._own)
        if last >= rows:
            wider = np.zeros((max(last + 1, 2 * rows), self.own_width), np.float32)  # no memory until written
            wider[:rows] = self._own.numpy()
            self._own = torch.from_numpy(wider)
        self._own[events.edge_id] = self._scaled(events)

    def _scaled(self, events: SnapshotEvents) -> Tensor:
        assert events.feat is not None
        return standardised(events.feat[:, self._varies], self._own_mean, self._own_deviation)


def _own_scale(train: Sequence[SnapshotEvents]) -> tuple[Tensor, Tensor, Tensor]:
    """Return which own features are not the same in all training events, and the mean and deviation of those."""
    parts = [events.feat for events in train if events.feat is not None]
    feat = torch.cat(parts) if parts else torch.zeros(1, 0)
    varies = (feat != feat[:1]).any(0)
    mean, deviation = feat.mean(0), feat.std(0, correction=0).clamp(min=1e-6)
    return varies, mean[varies], deviation[varies]


@dataclass(frozen=True, eq=False)
class EventView:
    """What an entry of a table of event labels is fitted to: snapshots up to the end of validation, nothing after.

    Training labels are for the loss, validation labels for choosing.

    Parameters
    ----------
    num_nodes : int
        Number of nodes of all snapshots.
    snapshots : sequence of SnapshotEvents
        Those of training, then those of validation; entry t is snapshot t.
    ranges : mapping of str to range
        Snapshots of ``train`` and ``val``.
    template : EventReader
        Of the training snapshots; `reader` gives copies of it.
    seed : int, default 0
        Of what is drawn.
    device : device, default "cpu"
        Where to compute; the events stay on the CPU.
    settings : optional
        What the entries of a table share.
    directed : bool, default True
        Whether events have a direction.
    """

    num_nodes: int
    snapshots: Sequence[SnapshotEvents]
    ranges: Mapping[str, range]
    template: EventReader
    seed: int = 0
    device: torch.device | str = "cpu"
    settings: Any = None
    directed: bool = True

    @property
    def rate(self) -> float:
        """Share of positives among the labelled training events."""
        label = torch.cat([self.snapshots[t].labelled().label for t in self.ranges["train"]])
        return float(label.double().mean())

    def reader(self) -> EventReader:
        """Return a reader that has observed nothing, for training and for a model to keep."""
        return self.template.fresh()
