"""One data set of labelled events, where a table cuts it, and how scores of its events are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from dgl_dysign.data import TemporalGraph
from dgl_dysign.data.snapshot_events import SnapshotEvents, read_events
from dgl_dysign.errors import ConfigError, DataError, check_choice
from dgl_dysign.evaluation.events import evaluate_events
from dgl_dysign.evaluation.links import split_snapshots
from dgl_dysign.evaluation.ranking import auc, average_precision
from dgl_dysign.experiments.entry import Outcome, Task, View
from dgl_dysign.experiments.record import Scoring
from dgl_dysign.models.event_inputs import EventReader, EventView
from dgl_dysign.training.events import EventFitConfig

PARTS = ("train", "val", "test")
SPLITS = ("snapshots", "events", "positives")
SCORES = ("auc", "ap", "accuracy", "recall_at_1pct")


@dataclass(frozen=True)
class EventSettings:
    """What is the same for all entries of a table.

    Parameters
    ----------
    hidden : int, default 64
        Width of UnderGS.
    num_neighbors, num_hops : int, default 16 and 2
        Of the store.
    dropout : float, default 0.1
        Of hidden layers.
    training : EventFitConfig
        Of UnderGS, in either preset.
    """

    hidden: int = 64
    num_neighbors: int = 16
    num_hops: int = 2
    dropout: float = 0.1
    training: EventFitConfig = field(default_factory=EventFitConfig)


class _View(EventView, View):
    """An `EventView` that says what it is where an entry asks it for something else."""


class EventTask(Task):
    """One data set with event labels, split by snapshot.

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
    settings : EventSettings, optional
        What the entries share.

    Attributes
    ----------
    snapshots : list of SnapshotEvents
        All of them.
    ranges : dict of str to range
        Snapshots of ``train``, ``val`` and ``test``.
    label : Tensor
        Of all events, ``(E,)``; -1: none.
    parts : dict of str to Tensor
        Rows of the labelled events of each part.

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
        settings: EventSettings | None = None,
    ) -> None:
        self.data, self.device, self.split = data, torch.device(device), split
        self.settings = settings or EventSettings()
        self.snapshots = read_events(data)
        self.ranges = split_events(self.snapshots, train, val, split)
        self.label = torch.cat([events.label for events in self.snapshots])
        when = torch.cat([torch.full_like(events.label, events.snapshot) for events in self.snapshots])
        self.parts = {
            part: ((self.label >= 0) & (when >= chosen.start) & (when < chosen.stop)).nonzero()[:, 0]
            for part, chosen in self.ranges.items()
        }
        self._check_labels()
        self._reader = EventReader(data.num_nodes, self.snapshots[: self.ranges["val"].start])

    def _check_labels(self) -> None:
        for part, rows in self.parts.items():
            positive = int((self.label[rows] == 1).sum())
            if not 0 < positive < len(rows):
                raise DataError(
                    f"{self.data.folder}: found {positive} positive labels among the {len(rows)} of the {part} "
                    f"snapshots ({self.ranges[part].start} to {self.ranges[part].stop - 1}), expected both labels; "
                    f"take other shares, or split by positives"
                )

    def view(self) -> EventView:
        """Return what entries are given: snapshots up to the end of validation."""
        train, val = self.ranges["train"], self.ranges["val"]
        return _View(
            num_nodes=self.data.num_nodes,
            snapshots=self.snapshots[: val.stop],
            ranges={"train": train, "val": val},
            template=self._reader,
            seed=self.seed,
            device=self.device,
            settings=self.settings,
            directed=self.data.directed,
        )

    def release(self) -> None:
        """Read the events anew, in whatever seed of the task they stand: an entry may have changed them in place."""
        self.snapshots[:] = read_events(self.data)

    def score(self, outcome: Outcome) -> list[Scoring]:
        """Score all events with an outcome's model, keep that as its prediction, and return its figures."""
        outcome.check_model("reset", "observe", "score")
        scores = outcome.prediction = evaluate_events(outcome.model, self.snapshots, outcome.entry)
        return [Scoring(event_scores(self, scores, "test"), event_scores(self, scores, "val"))]

    def arrays(self, outcome: Outcome) -> dict[str, np.ndarray]:
        """Return the scores of the test events, which curves are drawn of."""
        return {"scores": outcome.predicted[self.parts["test"]].numpy()}


def split_events(
    snapshots: Sequence[SnapshotEvents], train: float, val: float, split: str = "snapshots"
) -> dict[str, range]:
    """Cut snapshots where shares of all snapshots, events or positives have passed; return the range of each part."""
    check_choice("split", split, SPLITS)
    if split == "snapshots":
        return dict(zip(PARTS, split_snapshots(len(snapshots), train, val), strict=True))
    if not 0 < train < train + val < 1:
        raise ConfigError(f"train={train} and val={val}: expected positive shares whose sum is below 1")
    sizes = [len(events) if split == "events" else int((events.label == 1).sum()) for events in snapshots]
    passed = torch.tensor(sizes).cumsum(0)
    first, second = (int((passed < round(share * int(passed[-1]))).sum()) + 1 for share in (train, train + val))
    return dict(zip(PARTS, (range(first), range(first, second), range(second, len(snapshots))), strict=True))


def event_scores(task: EventTask, scores: Tensor, part: str) -> dict[str, float]:
    """Return the figures of one part, in percent.

    The accuracy is that of calling everything from a threshold on positive; the threshold is the one that had the best
    accuracy on validation (above all scores, where calling anything positive was worse). ``recall_at_1pct`` is the
    share of positives among the 1 % of events with the highest scores, equal scores shared evenly.
    """
    rows = task.parts[part]
    rated, true = scores[rows].double(), task.label[rows] == 1
    val = task.parts["val"]
    called = rated >= best_threshold(scores[val].double(), task.label[val] == 1)
    return {
        "auc": 100 * auc(rated[true], rated[~true]),
        "ap": 100 * average_precision(rated[true], rated[~true]),
        "accuracy": 100 * float((called == true).double().mean()),
        "recall_at_1pct": 100 * recall_at(rated, true, 0.01),
    }


def best_threshold(scores: Tensor, true: Tensor) -> float:
    """Return the threshold from which on "positive" is right most often; the highest of several, inf for none.

    Examples
    --------
    >>> best_threshold(torch.tensor([0.1, 0.9, 0.4]), torch.tensor([False, True, False]))
    0.8999999761581421
    >>> best_threshold(torch.tensor([0.1, 0.9, 0.4]), torch.tensor([True, False, False]))
    inf
    """
    values, place = torch.unique(scores, return_inverse=True)
    gain = torch.zeros(len(values)).index_add(0, place, 2.0 * true - 1)
    total = gain.flip(0).cumsum(0)  # from the highest score downwards
    best = int(total.argmax())
    return float(values.flip(0)[best]) if float(total[best]) > 0 else float("inf")


def recall_at(scores: Tensor, true: Tensor, share: float) -> float:
    """Return the share of positives among the events with the highest scores, in expectation over orders of ties.

    Examples
    --------
    >>> recall_at(torch.zeros(200), torch.arange(200) < 2, 0.01)
    0.01
    """
    wanted = max(1, round(share * len(scores)))
    bound = scores.sort(descending=True).values[wanted - 1]
    above, equal = scores > bound, scores == bound
    part = (wanted - int(above.sum())) / int(equal.sum())
    return (int(true[above].sum()) + part * int(true[equal].sum())) / int(true.sum())
