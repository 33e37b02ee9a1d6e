"""Scoring events before their labels are seen: the one place that decides what a model of event labels may know."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor

from dgl_dysign.data.snapshot_events import SnapshotEvents
from dgl_dysign.errors import DataError


class EventModel(Protocol):
    """What :func:`evaluate_events` asks of a model. The labels of all events that it is shown are -1."""

    def reset(self) -> None:
        """Forget what was observed; parameters stay."""

    def observe(self, events: SnapshotEvents) -> None:
        """Take one snapshot into the state; snapshots come in order, empty ones too."""

    def score(self, events: SnapshotEvents) -> Tensor:
        """Score the events of a snapshot, floating point ``(events,)``, higher: likelier positive.

        Never changes the state, and knows of each event its own ends, time and features and what was observed. The
        events are on the CPU; scores may be on any device.
        """


def evaluate_events(model: EventModel, snapshots: Iterable[SnapshotEvents], name: str = "") -> Tensor:
    """Return a model's scores of all events of some snapshots, each from the state before its snapshot.

    Parameters
    ----------
    model : EventModel
        Is reset, then scores and observes a snapshot after the other.
    snapshots : iterable of SnapshotEvents
        From the first; their labels are hidden.
    name : str, optional
        Of the model, for errors; default: that of its class.

    Returns
    -------
    Tensor
        ``(E,)``, on the CPU.

    Raises
    ------
    DataError
        If scores have the wrong shape, or are NaN; names the model, the snapshot and the event.

    Examples
    --------
    >>> class Never:
    ...     def reset(self): pass
    ...     def observe(self, events): pass
    ...     def score(self, events): return torch.zeros(len(events))
    >>> event = SnapshotEvents(0, *torch.tensor([[0], [1], [0]]), torch.zeros(1), torch.tensor([1]))
    >>> evaluate_events(Never(), [event])
    tensor([0.])
    """
    scores, where = [torch.zeros(0)], f"model {name or type(model).__name__!r}"
    model.reset()
    for events in snapshots:
        scores.append(score_snapshot(where, model, events))
        model.observe(events.hidden())
    return torch.cat(scores)


@torch.no_grad()
def score_snapshot(where: str, model: EventModel, events: SnapshotEvents) -> Tensor:
    """Return a model's scores of a snapshot's events, whose labels are hidden, on the CPU; without events, none.

    Raises
    ------
    DataError
        If scores have the wrong shape, or are NaN; `where` stands in front of the message.
    """
    if not len(events):
        return torch.zeros(0)
    scores = model.score(events.hidden())
    where = f"{where}, snapshot {events.snapshot}"
    if not isinstance(scores, Tensor) or scores.shape != (len(events),):
        got = f"scores of shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else type(scores).__name__
        raise DataError(f"{where}: found {got}, expected a tensor of shape ({len(events)},): one score an event")
    scores = scores.detach().cpu()
    wrong = torch.isnan(scores).nonzero()[:, 0]
    if len(wrong):
        first = f"event {int(wrong[0])}, edge id {int(events.edge_id[wrong[0]])}"
        raise DataError(
            f"{where}: found {len(wrong)} NaN among {len(scores)} scores, the first that of {first}; expected numbers: "
            f"look for a diverged training or a division by zero in the model"
        )
    return scores
