"""One data set of labelled events, and where a table cuts it into training, validation and test."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dgl_dysign.data import TemporalGraph
from dgl_dysign.errors import ConfigError, check_choice
from dgl_dysign.evaluation.links import split_snapshots
from dgl_dysign.models.event_inputs import EventInputs, SnapshotEvents, read_events

PARTS = ("train", "val", "test")
SPLITS = ("snapshots", "events", "positives")


class EventTask(EventInputs):
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
    ) -> None:
        snapshots = read_events(data)
        super().__init__(data, snapshots, split_events(snapshots, train, val, split))
        self.device = torch.device(device)


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
