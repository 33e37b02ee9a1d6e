"""Other times and other snapshots."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.rules import Rule
from dgl_dysign.adapters.event_stream import EventStream
from dgl_dysign.adapters.times import binned, retimed
from dgl_dysign.errors import ConfigError, DataError
from tests.adapters.streams import example, streams


def test_times_and_snapshots_move_together():
    stream = example("snapshot", "edge_feat")
    moved = retimed(stream, shift=-2, scale=10)
    assert moved.time.tolist() == [-20, 10, 10, 10, 30, 70, 70, 90]
    assert (moved.snapshot_begin.tolist(), moved.snapshot_end.tolist()) == ([-20, 10, 40, 70], [10, 40, 70, 100])
    assert moved.time_unit == "(t + -2) * 10, t in days"
    assert set(moved.differences(stream)) == {"time", "snapshot_begin", "snapshot_end", "time_unit"}
    assert dataclasses.replace(retimed(moved, scale=0.1), time_unit="days").differences(stream) == [
        "time",
        "snapshot_begin",
        "snapshot_end",
    ]


@given(streams("snapshot", whole=False), st.integers(-5, 5))
def test_floor_keeps_order_and_snapshots_that_begin_at_whole_times(stream, shift):
    floored = retimed(stream, shift=shift, floor=True)
    assert floored.time.tolist() == [np.floor(t + shift) for t in stream.time]
    assert set(floored.differences(stream)) <= {"time", "snapshot_begin", "snapshot_end", "time_unit"}


def test_floor_refuses_to_put_an_event_into_another_snapshot():
    ranges = {"snapshot_begin": [0, 0.5], "snapshot_end": [0.5, 1]}
    stream = EventStream.from_rows([0, 1], [1, 0], [0.25, 0.75], snapshot=[0, 1], **ranges)
    with pytest.raises(DataError, match="snapshot"):
        retimed(stream, floor=True)
    assert retimed(stream.without("snapshot"), floor=True).time.tolist() == [0, 0]


@pytest.mark.parametrize("wrong", [{"scale": 0}, {"scale": -1}, {"scale": np.inf}, {"shift": np.nan}])
def test_bad_numbers_are_refused(wrong):
    with pytest.raises(ConfigError, match="expected finite numbers, scale above 0"):
        retimed(example(), **wrong)


def test_binning_by_every_rule():
    stream = example("snapshot")
    every = binned(stream, Rule("every", width=3.0))
    assert every.snapshot.tolist() == [0, 1, 1, 1, 1, 3, 3, 3]
    assert every.snapshot_begin.tolist() == [0, 3, 6, 9]
    assert binned(stream, Rule("step")).snapshot.tolist() == [0, 1, 1, 1, 2, 3, 3, 4]
    assert binned(stream, Rule("step")).closed
    assert binned(stream, Rule("count", count=2)).snapshot.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert binned(stream, Rule("calendar", unit="hour"), unix=True).snapshot.tolist() == [0] * 8
    with pytest.raises(ConfigError, match="without events"):
        binned(EventStream.from_rows([], [], []), Rule("step"))
