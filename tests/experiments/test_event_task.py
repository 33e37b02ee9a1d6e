"""Where a table cuts labelled events into parts, and what it lets entries see."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from dgl_dysign.data import TemporalGraph
from dgl_dysign.errors import ConfigError
from dgl_dysign.experiments.event_task import EventSettings, EventTask
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


def reachable(thing):
    """Yield an object and whatever it holds, in order."""
    yield thing
    if isinstance(thing, Mapping):
        thing = thing.values()
    elif type(thing).__module__.startswith("dgl_dysign"):
        thing = vars(thing).values()
    elif not isinstance(thing, list | tuple):
        return
    for part in thing:
        yield from reachable(part)


def test_nothing_after_validation_can_be_reached_from_a_view(tmp_path):
    after = [(e[0], 0, e[2], 10.0 * e[0], e[4], 1 - e[5], 1e3) if e[0] >= 16 else e for e in EVENTS]
    views = [EventTask(write(tmp_path / name, events)).view() for name, events in (("a", EVENTS), ("b", after))]
    held = [list(reachable(view)) for view in views]
    assert [events.snapshot for events in views[0].snapshots] == list(range(16))
    assert views[0].ranges == {"train": range(14), "val": range(14, 16)}
    assert not any(isinstance(part, TemporalGraph) for part in held[0])
    tensors, others = ([part for part in parts if isinstance(part, torch.Tensor)] for parts in held)
    assert len(tensors) > 16 * 6
    assert all(torch.equal(one, other) for one, other in zip(tensors, others, strict=True))
    assert all(one.untyped_storage().nbytes() == one.nbytes for one in tensors)  # no slice of something larger
    arrays, others = ([part for part in parts if isinstance(part, np.ndarray)] for parts in held)
    assert all(np.array_equal(one, other) for one, other in zip(arrays, others, strict=True))


def test_a_view_has_the_seed_and_settings_of_its_task(tmp_path):
    task = EventTask(write(tmp_path / "data", EVENTS))
    settings = EventSettings(hidden=3)
    view = task.with_seed(5).with_settings(settings).view()
    assert (view.seed, view.settings, view.num_nodes, view.directed) == (5, settings, 17, False)
    with pytest.raises(ConfigError, match=r"'label' is not in a view: nothing that is tested is, but .*ranges"):
        view.label  # noqa: B018
    reader = view.reader()
    reader.observe(view.snapshots[0])
    with pytest.raises(ConfigError, match="ask first"):
        reader.event_feat(view.snapshots[0])
    view.reader().event_feat(view.snapshots[0])  # another one has observed nothing
