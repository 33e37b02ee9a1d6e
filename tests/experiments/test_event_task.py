"""Where a table cuts labelled events into parts."""

import pytest

from dgl_dysign.errors import ConfigError
from dgl_dysign.experiments.event_task import EventTask
from tests.training.event_cases import SNAPSHOTS, stream, write

EVENTS = stream()


def test_shares_are_those_of_the_snapshots(tmp_path):
    task = EventTask(write(tmp_path / "data", EVENTS))
    assert task.ranges == {"train": range(14), "val": range(14, 16), "test": range(16, 20)}


@pytest.mark.parametrize("split", ["events", "positives"])
def test_other_shares_cut_where_they_have_passed(tmp_path, split):
    events = [(*e[:5], e[5] if e[0] > 5 else 0, e[6]) for e in EVENTS]
    task = EventTask(write(tmp_path / "data", events), 0.5, 0.2, split)
    sizes = [sum(1 if split == "events" else e[5] for e in events if e[0] == t) for t in range(SNAPSHOTS)]
    for bound, share in ((task.ranges["train"].stop, 0.5), (task.ranges["val"].stop, 0.7)):
        assert sum(sizes[:bound]) >= round(share * sum(sizes)) > sum(sizes[: bound - 1])
    assert [r.start for r in task.ranges.values()] == [0, task.ranges["train"].stop, task.ranges["val"].stop]
    assert task.ranges["test"].stop == SNAPSHOTS


def test_shares_that_cannot_be_used_are_refused(tmp_path):
    data = write(tmp_path / "data", EVENTS)
    for arguments, words in (((0.7, 0.1, "labels"), "split must be one of"), ((0.8, 0.3, "events"), "below 1")):
        with pytest.raises(ConfigError, match=words):
            EventTask(data, *arguments)
