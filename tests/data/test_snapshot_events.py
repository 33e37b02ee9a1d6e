"""Labelled events as they are read: times, labels and features, and what is hidden of them."""

import pytest
import torch

from dgl_dysign.data.snapshot_events import read_events, snapshot_time
from dgl_dysign.errors import DataError
from tests.folders import change_table
from tests.training.event_cases import stream, write

EVENTS = stream()


def test_times_are_in_snapshots():
    assert snapshot_time(torch.tensor([10.0, 19.0]), 3, 10.0, 20.0).tolist() == [3.0, 3.9]
    assert snapshot_time(torch.tensor([5.0, 5.0]), 3, 5.0, 5.0).tolist() == [3.0, 3.0]  # a step
    assert float(snapshot_time(torch.tensor([20.0]), 3, 10.0, 20.0)) < 4


def test_events_are_those_of_the_folder_and_may_be_chosen_among(tmp_path):
    unlabelled = [(*e[:5], None if e[4] % 3 == 0 else e[5], e[6]) for e in EVENTS]
    for t, events in enumerate(read_events(write(tmp_path / "data", unlabelled))):
        rows = [e for e in unlabelled if e[0] == t]
        assert events.label.tolist() == [-1 if e[5] is None else e[5] for e in rows]
        torch.testing.assert_close(events.feat, torch.tensor([[e[6], 1.0] for e in rows]))
        known = [e for e in rows if e[5] is not None]
        chosen = events.labelled()
        assert [chosen.src.tolist(), chosen.dst.tolist(), chosen.edge_id.tolist()] == [
            [e[column] for e in known] for column in (1, 2, 4)
        ]
        assert torch.equal(chosen.feat, events.feat[events.label >= 0])
        assert torch.equal(events.rows(torch.tensor([3])).time, events.time[3:4])
        assert set(events.hidden().label.tolist()) == {-1}
        assert 1 in events.hidden().feat


def test_labels_that_cannot_be_used_are_refused(tmp_path):
    with pytest.raises(DataError, match="expected two classes of events"):
        read_events(write(tmp_path / "none", [(*e[:5], None, e[6]) for e in EVENTS]))

    def swap(columns):
        columns["edge_id"][0] = columns["edge_id"][-1]

    data = write(tmp_path / "data", EVENTS)
    change_table(tmp_path / "data", "labels", swap)
    with pytest.raises(DataError, match="labels of events that snapshot 0 does not have"):
        read_events(type(data).load(tmp_path / "data"))
