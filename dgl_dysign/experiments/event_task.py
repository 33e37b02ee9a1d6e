"""One data set of labelled events, where a table cuts it, and how scores of its events are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from dgl_dysign.data import TemporalGraph
from dgl_dysign.errors import ConfigError, check_choice
from dgl_dysign.evaluation.links import split_snapshots
from dgl_dysign.evaluation.ranking import auc, average_precision
from dgl_dysign.experiments.entry import Outcome, Task
from dgl_dysign.experiments.record import Scoring
from dgl_dysign.models.event_inputs import EventInputs, SnapshotEvents, read_events
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


class EventTask(Task, EventInputs):
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
    ranges : dict of str to range
        Snapshots of ``train``, ``val`` and ``test``. Further attributes are those of
        `dgl_dysign.models.event_inputs.EventInputs`.

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
        snapshots = read_events(data)
        super().__init__(data, snapshots, split_events(snapshots, train, val, split))
        self.device, self.split = torch.device(device), split
        self.settings = settings or EventSettings()

    def with_seed(self, seed: int) -> EventTask:
        """Return the task with the seed of weights and dropout."""
        return self._with(seed=seed)

    def with_settings(self, settings: EventSettings) -> EventTask:
        """Return the task under other settings."""
        return self._with(settings=settings)

    def score(self, outcome: Outcome) -> list[Scoring]:
        """Return the figures of an outcome's scores, see `event_scores`."""
        scores = outcome.predicted
        return [Scoring(event_scores(self, scores, "test"), event_scores(self, scores, "val"))]

    def arrays(self, outcome: Outcome) -> dict[str, np.ndarray]:
        """Return the scores of the test events, which curves are drawn of."""
        return {"scores": outcome.predicted[self.parts["test"]].numpy()}


def split_events(
    snapshots: Sequence[SnapshotEvents], train: float, val: float, split: str = "snapshots"
) -> dict[str, range]:
    """Cut snapshots where shares of all snapshots, events or positives have passed; return the range of each part.

    Raises
    ------
    ConfigError
        If shares or kind of split are out of range.
    """
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
