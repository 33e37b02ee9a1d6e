"""Labelled events: who has a label, where parts end, and what is known of an event."""

import pytest
import torch

from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.experiments.event_task import EventTask
from dgl_dysign.models.event_counts import EventCounts
from dgl_dysign.store import NeighborStore
from tests.folders import change_table
from tests.training.event_cases import SNAPSHOTS, stream, write

EVENTS = stream()


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return EventTask(write(tmp_path_factory.mktemp("task") / "data", EVENTS))


def test_parts_are_those_of_the_snapshots(task):
    assert {part: (r.start, r.stop) for part, r in task.ranges.items()} == {
        "train": (0, 14),
        "val": (14, 16),
        "test": (16, 20),
    }
    for part, rows in task.parts.items():
        assert rows.tolist() == [k for k, event in enumerate(EVENTS) if event[0] in task.ranges[part]]
    assert task.label.tolist() == [event[5] for event in EVENTS]
    assert task.rate == pytest.approx(task.label[task.parts["train"]].double().mean())


def test_events_without_a_label_are_in_no_part(tmp_path):
    missing = {3, 50, len(EVENTS) - 1}
    events = [(*e[:5], None if e[4] in missing else e[5], e[6]) for e in EVENTS]
    task = EventTask(write(tmp_path / "data", events))
    assert set((task.label < 0).nonzero().flatten().tolist()) == missing
    assert not missing & set(torch.cat(list(task.parts.values())).tolist())
    assert len(task.event_feat) == len(EVENTS)


def test_labels_find_their_events_in_any_order_of_ids(tmp_path):
    events = [(*e[:4], len(EVENTS) - 1 - e[4], *e[5:]) for e in EVENTS]
    task = EventTask(write(tmp_path / "data", events))
    assert task.label.tolist() == [event[5] for event in EVENTS]
    assert torch.equal(task.own_feat(torch.tensor([len(EVENTS) - 1])), task.event_feat[:1, -1:])


def test_features_are_counts_of_earlier_snapshots_and_own_columns_that_vary(task):
    assert task.event_names == [*EventCounts.event_names, "own_0"]  # the second column is 1 throughout
    count = task.event_feat[:, task.event_names.index("src_count")].expm1()
    for k, event in enumerate(EVENTS):
        assert float(count[k]) == pytest.approx(sum(e[1] == event[1] and e[0] < event[0] for e in EVENTS), abs=1e-3)
    own = task.event_feat[task.parts["train"], -1]
    raw = torch.tensor([e[6] for e in EVENTS])[task.parts["train"]]
    assert torch.allclose(own, ((raw - raw.mean()) / raw.std(correction=0)).clamp(-5, 5), atol=1e-5)


def test_constant_features_are_left_out(tmp_path):
    task = EventTask(write(tmp_path / "data", [(*e[:6], 0.0) for e in EVENTS]))
    assert task.edge_feat is None
    assert task.event_feat.shape[1] == len(EventCounts.event_names)


def test_the_stream_shows_the_store_before_each_snapshot(task):
    store = NeighborStore(task.num_nodes)
    store.insert(0, [0], [1])  # is emptied
    seen = [(events.snapshot, store.snapshot, counts.snapshot) for events, counts in task.stream(store)]
    assert seen == [(t, t - 1, t - 1) for t in range(SNAPSHOTS)]
    assert store.snapshot == SNAPSHOTS - 1


def test_nodes_are_standardised_over_the_ends_of_training_events(task):
    width = len(EventCounts.node_names)
    seen = task.event_feat[task.parts["train"]]
    ends = torch.cat([seen[:, :width], seen[:, width : 2 * width]])
    assert torch.allclose(task.node_mean, ends.mean(0))
    for events, counts in task.counted():
        found = task.node_feat(counts, events.snapshot, torch.arange(task.num_nodes))
        assert found.shape == (task.num_nodes, width)
        assert float(found.abs().max()) <= 5


@pytest.mark.parametrize("split", ["events", "positives"])
def test_other_shares_cut_where_they_have_passed(tmp_path, split):
    events = [(*e[:5], e[5] if e[0] > 5 else 0, e[6]) for e in EVENTS]
    task = EventTask(write(tmp_path / "data", events), 0.5, 0.2, split)
    sizes = [sum(1 if split == "events" else e[5] for e in events if e[0] == t) for t in range(SNAPSHOTS)]
    for bound, share in ((task.ranges["train"].stop, 0.5), (task.ranges["val"].stop, 0.7)):
        assert sum(sizes[:bound]) >= round(share * sum(sizes)) > sum(sizes[: bound - 1])
    assert [r.start for r in task.ranges.values()] == [0, task.ranges["train"].stop, task.ranges["val"].stop]
    assert task.ranges["test"].stop == SNAPSHOTS


def test_what_cannot_be_used_is_refused(tmp_path):
    data = write(tmp_path / "data", EVENTS)
    for arguments, words in (((0.7, 0.1, "labels"), "split must be one of"), ((0.8, 0.3, "events"), "below 1")):
        with pytest.raises(ConfigError, match=words):
            EventTask(data, *arguments)
    late = [(*e[:5], e[5] if e[0] > 16 else 0, e[6]) for e in EVENTS]
    with pytest.raises(DataError, match=r"found 0 positive labels among the \d+ of the train snapshots \(0 to 13\)"):
        EventTask(write(tmp_path / "late", late))
    nothing = [(*e[:5], None, e[6]) for e in EVENTS]
    with pytest.raises(DataError, match="expected two classes of events"):
        EventTask(write(tmp_path / "none", nothing))


def test_labels_of_other_snapshots_are_refused(tmp_path):
    data = write(tmp_path / "data", EVENTS)

    def swap(columns):
        columns["edge_id"][0] = columns["edge_id"][-1]

    change_table(tmp_path / "data", "labels", swap)
    with pytest.raises(DataError, match="labels of events that snapshot 0 does not have"):
        EventTask(type(data).load(tmp_path / "data"))
