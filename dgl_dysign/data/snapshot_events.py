"""The labelled events of one snapshot, each with its own time and features."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dgl_dysign.errors import DataError

if TYPE_CHECKING:
    from dgl_dysign.data.temporal_graph import TemporalGraph


@dataclasses.dataclass(frozen=True, eq=False)
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
        0 or 1, and -1 where there is none or it is not to be known; int64.
    feat : Tensor or None
        The events' own features as they were read, float32 ``(events, d)``.
    """

    snapshot: int
    src: Tensor
    dst: Tensor
    edge_id: Tensor
    time: Tensor
    label: Tensor
    feat: Tensor | None = None

    def __len__(self) -> int:
        return len(self.src)

    def rows(self, places: Tensor) -> SnapshotEvents:
        """Return some of the events, by their places or a mask."""
        rows: dict[str, Any] = {name: value[places] for name, value in vars(self).items() if isinstance(value, Tensor)}
        return dataclasses.replace(self, **rows)

    def labelled(self) -> SnapshotEvents:
        """Return the events that have a label."""
        known = self.label >= 0
        return self if bool(known.all()) else self.rows(known)

    def hidden(self) -> SnapshotEvents:
        """Return the events without labels, as a model is to see them."""
        return dataclasses.replace(self, label=torch.full_like(self.label, -1))


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
    snapshots = []
    for t in range(data.num_snapshots):
        src, dst, time, edge_id = data.events(t)
        labelled, _, label = data.event_labels(t)
        order = edge_id.argsort()
        place = order[torch.searchsorted(edge_id[order], labelled).clamp(max=max(len(order) - 1, 0))]
        if not torch.equal(edge_id[place], labelled):
            raise DataError(f"{data.folder}: found labels of events that snapshot {t} does not have; prepare it again")
        labels = torch.full_like(src, -1)
        labels[place] = label
        feat = None if data.edge_feature_dim is None else data.edge_features(t)
        time = snapshot_time(time, t, *data.time_range(t))
        snapshots.append(SnapshotEvents(t, src, dst, edge_id, time, labels, feat))
    return snapshots


def snapshot_time(time: Tensor, snapshot: int, begin: float, end: float) -> Tensor:
    """Return times in snapshots: ``snapshot`` at its begin, less than one more before its end; float64.

    Where a snapshot has no length (a step), all of its events are at its begin.

    Examples
    --------
    >>> import torch
    >>> snapshot_time(torch.tensor([7200.0, 9000.0]), 2, 7200.0, 10800.0)
    tensor([2.0000, 2.5000], dtype=torch.float64)
    """
    share = (time.double() - begin) / (end - begin) if end > begin else torch.zeros(len(time), dtype=torch.float64)
    return snapshot + share.clamp(0, 1 - 1e-9)
