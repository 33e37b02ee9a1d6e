"""What models of event labels read: who has a label, and what is known of an event before its snapshot."""

from dataclasses import replace

import pytest
import torch

from dgl_dysign.errors import DataError
from dgl_dysign.experiments.event_task import EventTask
from dgl_dysign.models.event_counts import EventCounts
from tests.training.event_cases import ITEMS, USERS, stream, write

EVENTS = stream()
RANGES = {"train": range(14), "val": range(14, 16), "test": range(16, 20)}


def task_of(folder, events=EVENTS):
    task = EventTask(write(folder, events))
    assert task.ranges == RANGES
    return task


def known(task):
    """Return what is known of all events, each before its snapshot."""
    return task.view().reader().past([replace(e, label=torch.zeros_like(e.label)) for e in task.snapshots])


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return task_of(tmp_path_factory.mktemp("inputs") / "data")


def test_parts_are_those_of_the_snapshots(task):
    for part, rows in task.parts.items():
        assert rows.tolist() == [k for k, event in enumerate(EVENTS) if event[0] in RANGES[part]]
    assert task.label.tolist() == [event[5] for event in EVENTS]
    assert task.view().rate == pytest.approx(task.label[task.parts["train"]].double().mean())


def test_events_without_a_label_are_in_no_part(tmp_path):
    missing = {3, 50, len(EVENTS) - 1}
    task = task_of(tmp_path / "data", [(*e[:5], None if e[4] in missing else e[5], e[6]) for e in EVENTS])
    assert set((task.label < 0).nonzero().flatten().tolist()) == missing
    assert not missing & set(torch.cat(list(task.parts.values())).tolist())
    assert len(known(task)) == len(EVENTS)


def test_labels_find_their_events_in_any_order_of_ids(tmp_path):
    task = task_of(tmp_path / "data", [(*e[:4], len(EVENTS) - 1 - e[4], *e[5:]) for e in EVENTS])
    assert task.label.tolist() == [event[5] for event in EVENTS]
    reader = task.view().reader()
    reader.observe(task.snapshots[0])
    assert torch.equal(reader.own_feat(torch.tensor([len(EVENTS) - 1])), known(task)[:1, -1:])


def test_features_are_counts_of_earlier_snapshots_and_own_columns_that_vary(task):
    names, feat = task.view().reader().names, known(task)
    assert names == [*EventCounts.event_names, "own_0"]  # the second column is 1 throughout
    count = feat[:, names.index("src_count")].expm1()
    for k, event in enumerate(EVENTS):
        assert float(count[k]) == pytest.approx(sum(e[1] == event[1] and e[0] < event[0] for e in EVENTS), abs=1e-3)
    own = feat[task.parts["train"], -1]
    raw = torch.tensor([e[6] for e in EVENTS])[task.parts["train"]]
    assert torch.allclose(own, ((raw - raw.mean()) / raw.std(correction=0)).clamp(-5, 5), atol=1e-5)


@pytest.mark.parametrize("change", ["labels", "later", "shuffled", "deleted"])
def test_nothing_else_at_or_after_its_snapshot_moves_what_is_known_of_an_event(task, tmp_path, change):
    before, now = dict(zip(range(len(EVENTS)), known(task), strict=True)), 15
    past, during, later = ([e for e in EVENTS if keep(e[0])] for keep in (now.__gt__, now.__eq__, now.__lt__))
    if change == "labels":
        later = [(*e[:5], 1 - e[5], e[6]) for e in later]
    elif change == "later":
        later = [(*e[:2], later[0][2], *e[3:6], 9.0) for e in later]
    else:
        during = during[::-1] if change == "shuffled" else during[::2]
    kept = [e[4] for e in (*past, *during)]
    numbered = [(*e[:4], k, *e[5:]) for k, e in enumerate([*past, *during, *later])]
    after = known(task_of(tmp_path / "data", numbered))
    assert torch.equal(after[: len(kept)], torch.stack([before[k] for k in kept]))


def test_constant_features_are_left_out(tmp_path):
    task = task_of(tmp_path / "data", [(*e[:6], 0.0) for e in EVENTS])
    assert task.view().reader().own_width == 0
    assert known(task).shape[1] == len(EventCounts.event_names)


def test_own_features_are_those_of_what_was_observed(task):
    reader, feat, seen = task.view().reader(), known(task)[:, -1:], 0
    for events in task.snapshots:
        later = torch.arange(seen, seen + len(events))
        reader.observe(events)
        if events.snapshot % 3 == 0:  # asked now and then
            assert torch.equal(reader.own_feat(torch.arange(seen)), feat[:seen])
            assert torch.equal(reader.own_feat(later), feat[later])
        seen += len(events)
    other = reader.fresh()
    other.observe(task.snapshots[1])
    assert torch.equal(other.own_feat(torch.tensor([0, 12])), torch.cat([torch.zeros(1, 1), feat[12:13]]))
    assert torch.equal(reader.own_feat(torch.arange(seen)), feat)


def test_nodes_are_standardised_over_the_ends_of_training_events(task):
    width, nodes = len(EventCounts.node_names), torch.arange(USERS + ITEMS)
    train, reader, counts = known(task)[task.parts["train"]], task.view().reader(), EventCounts(USERS + ITEMS)
    ends = torch.cat([train[:, :width], train[:, width : 2 * width]])
    for events in task.snapshots:
        feat = reader.node_feat(nodes)
        expected = (counts.nodes(events.snapshot, nodes) - ends.mean(0)) / ends.std(0, correction=0).clamp(min=1e-6)
        torch.testing.assert_close(feat, expected.clamp(-5, 5))
        reader.observe(events)
        counts.observe(events.snapshot, events.src, events.dst, events.time)


def test_parts_without_both_labels_are_refused(tmp_path):
    late = [(*e[:5], e[5] if e[0] > 16 else 0, e[6]) for e in EVENTS]
    with pytest.raises(DataError, match=r"found 0 positive labels among the \d+ of the train snapshots \(0 to 13\)"):
        task_of(tmp_path / "late", late)
