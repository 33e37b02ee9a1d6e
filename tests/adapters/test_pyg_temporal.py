"""PyG-Temporal's signals hold a stream whole, and give it back.

Where the package is missing, a stand-in has its attributes and slices, as published in release 0.56.
"""

import importlib.util
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings

from dgl_dysign import adapters
from dgl_dysign.adapters import EventStream
from dgl_dysign.adapters.pyg_temporal import Adapter
from dgl_dysign.adapters.times import binned
from dgl_dysign.data import TemporalGraph
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.events import OPTIONAL_FIELDS
from tests.adapters.streams import example, streams


class DynamicGraphTemporalSignal:
    def __init__(self, edge_indices, edge_weights, features, targets, **others):
        self.edge_indices, self.edge_weights = edge_indices, edge_weights
        self.features, self.targets = features, targets
        self.additional_feature_keys = list(others)
        vars(self).update(others)
        self.snapshot_count = len(features)

    def __getitem__(self, at):
        names = ("edge_indices", "edge_weights", "features", "targets", *self.additional_feature_keys)
        return DynamicGraphTemporalSignal(**{name: getattr(self, name)[at] for name in names})


@pytest.fixture(scope="module", autouse=True)
def signal():
    with pytest.MonkeyPatch.context() as patch:
        if importlib.util.find_spec("torch_sparse") is None:  # one of its layers imports it, its signals do not use it
            patch.setitem(sys.modules, "torch_sparse", SimpleNamespace(SparseTensor=None))
        try:
            yield importlib.import_module("torch_geometric_temporal.signal").DynamicGraphTemporalSignal
        except ImportError:
            for name in ("torch_geometric_temporal", "torch_geometric_temporal.signal"):
                patch.setitem(sys.modules, name, sys.modules[__name__])
            yield DynamicGraphTemporalSignal


def test_without_the_package_it_is_named_and_lists_are_made(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_geometric_temporal.signal", None)
    with pytest.raises(ImportError, match="pip install torch-geometric-temporal"):
        Adapter().from_events(example("snapshot"))
    lists = Adapter().from_events(example("snapshot"), as_dict=True)
    assert adapters.to_events(lists).equals(example("snapshot"))


def test_lists_have_an_entry_a_snapshot_and_their_types(signal):
    made = Adapter().from_events(example(*OPTIONAL_FIELDS))
    assert isinstance(made, signal)
    assert made.snapshot_count == 4
    assert [index.tolist() for index in made.edge_indices] == [
        [[0], [4]],
        [[0, 1, 0, 1], [4, 1, 4, 5]],
        [[], []],
        [[3, 3, 0], [4, 5, 4]],
    ]
    assert {index.dtype for index in made.edge_indices} == {np.dtype(np.int64)}
    assert [weight.shape for weight in made.edge_weights] == [(1,), (4,), (0,), (3,)]
    assert [feat.shape for feat in made.edge_feat] == [(1, 3), (4, 3), (0, 3), (3, 3)]
    assert [feat.shape for feat in made.features] == [(7, 2)] * 4
    assert {target.dtype for target in made.targets} == {np.dtype(np.int64)}
    assert [begin.tolist() for begin in made.time_begin] == [[0], [3], [6], [9]]
    bare = Adapter().from_events(example("snapshot", "edge_feat"))
    assert [weight.shape for weight in bare.edge_weights] == [(1, 3), (4, 3), (0, 3), (3, 3)]
    assert bare.features == bare.targets == [None] * 4
    assert bare.additional_feature_keys == ["edge_time", "time_begin", "time_end", "dysign"]


@settings(max_examples=60, deadline=None)
@given(stream=streams(*OPTIONAL_FIELDS, whole=False, raw_order=False, least=0))
def test_round_trip(stream):
    if not stream.num_snapshots:
        with pytest.raises(ConfigError, match="without snapshots"):
            Adapter().from_events(stream)
        return
    assert Adapter().to_events(Adapter().from_events(stream)).differences(stream) == []
    assert Adapter().to_events(Adapter().from_events(stream, as_dict=True)).differences(stream) == []


def test_a_part_keeps_its_snapshots():
    stream = example(*OPTIONAL_FIELDS, raw_order=False)
    part = adapters.to_events(adapters.get("pyg-temporal").from_events(stream)[1:3])
    assert (len(part), part.num_nodes, part.num_snapshots) == (4, 7, 2)
    assert part.snapshot_begin.tolist() == [3, 6]
    assert part.time.tolist() == [3, 3, 3, 5]
    assert part.edge_id.tolist() == np.argsort(np.argsort(stream.edge_id[1:5])).tolist()


def test_features_of_each_snapshot_are_given_beside(prepared_example):
    data = TemporalGraph.load(prepared_example)
    stream = EventStream.of(data, node_features="drop")
    made = Adapter().from_events(stream, features=data.features)
    for t in (0, 5, 11):
        assert np.array_equal(made.features[t], data.features(t).numpy())
        src, dst, _, _ = data.events(t)
        assert sorted(zip(*made.edge_indices[t].tolist(), strict=True)) == sorted(
            zip(src.tolist(), dst.tolist(), strict=True)
        )
    with pytest.raises(DataError, match=r"features: found entries that differ.*ignore=\['features'\]"):
        Adapter().to_events(made)
    assert Adapter().to_events(made, ignore=["features"]).equals(stream)
    with pytest.raises(ConfigError, match=r"stream.without\('node_label'\)"):
        Adapter().from_events(stream, targets=[None] * 12)
    with pytest.raises(ConfigError, match="found 3 entries, expected 12"):
        Adapter().from_events(stream, features=[None] * 3)


def test_signals_of_other_code(signal):
    lists = {
        "edge_indices": [np.array([[0, 1], [1, 2]], np.int32), None, np.array([[2], [0]])],
        "edge_weights": [np.array([1.0, 2.0]), None, np.array([3.0])],
        "features": [np.ones((4, 2))] * 3,
        "targets": [np.array([0, 1, 0, 1])] * 3,
    }
    stream = Adapter().to_events(signal(**lists), name="mine")
    assert stream.time.tolist() == [0, 0, 2]
    assert (stream.snapshot_begin.tolist(), stream.snapshot_end.tolist()) == ([0, 1, 2], [1, 2, 3])
    assert stream.edge_weight.tolist() == [1, 2, 3]
    assert (stream.num_nodes, stream.name, stream.node_label.tolist()) == (4, "mine", [0, 1, 0, 1])
    for changed, message in [
        (
            {"edge_weights": [np.ones(2), np.ones(1), np.ones(1)]},
            "edge_weights: found 1 rows at snapshot 1, expected 0",
        ),
        ({"edge_weights": [np.ones(2), None, None]}, "found none rows at snapshot 2, expected 1"),
        ({"edge_weights": [np.ones(2), None, np.ones((1, 2))]}, "expected the same in each"),
        ({"edge_indices": [np.zeros((2, 2), int), None, np.zeros((1, 2), int)]}, "at snapshot 2, expected .2, events"),
        ({"targets": [np.array([0.5])] * 3}, r"whole-numbered classes.*ignore=\['targets'\]"),
        ({"targets": [None, np.array([0, 1, 0, 1]), None]}, r"targets: found entries that differ"),
        ({"more": [None] * 3}, r"found the list 'more'.*ignore=\['more'\]"),
        ({"features": [None] * 2}, "expected one a snapshot in each"),
    ]:
        with pytest.raises(DataError, match=message):
            Adapter().to_events({**lists, **changed})
    timed = {**lists, "edge_time": [np.array([0.0, 5.0]), np.empty(0), np.array([7.0])]}
    with pytest.raises(ConfigError, match="say snapshot_begin="):
        Adapter().to_events(timed)
    fields = {"snapshot_begin": [0, 6, 7], "snapshot_end": [6, 7, 9]}
    assert Adapter().to_events(timed, **fields).snapshot.tolist() == [0, 0, 2]
    assert Adapter().to_events(timed, ignore=["edge_time"]).time.tolist() == [0, 0, 2]


def test_snapshots_are_made_first_where_there_are_none():
    from data_prep.rules import Rule

    stream = binned(example(), Rule("every", width=6))
    assert Adapter().to_events(Adapter().from_events(stream)).equals(stream)
    with pytest.raises(ConfigError, match="make them with"):
        Adapter().from_events(example())


def test_the_real_package_gives_snapshots_of_it(signal):
    if signal is DynamicGraphTemporalSignal:
        pytest.skip("torch_geometric_temporal is not installed")
    snapshots = list(Adapter().from_events(example(*OPTIONAL_FIELDS)))
    assert [snapshot.edge_index.shape[1] for snapshot in snapshots] == [1, 4, 0, 3]
    assert [snapshot.num_nodes for snapshot in snapshots] == [7] * 4
    assert snapshots[1].y.tolist() == [0, 2, -1, 1, -1, 0, -1]
    assert snapshots[3].edge_time.tolist() == [9, 9, 11]
