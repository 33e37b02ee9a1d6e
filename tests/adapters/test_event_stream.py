"""Streams are what they say: checked, sorted, equal only where they are; and prepared folders keep all of them."""

import filecmp

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from data_prep.cli import app
from data_prep.rules import Rule
from dgl_dysign.adapters import EventStream, to_events
from dgl_dysign.data import TemporalGraph, schema
from dgl_dysign.data.verify import verify
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.events import exact
from tests.adapters.streams import example, streams

HELD = ("edge_feat", "edge_weight", "event_label", "snapshot")


def test_rows_are_sorted_by_time_and_ties_keep_their_order():
    stream = EventStream.from_rows(
        [0, 1, 2, 3], [1, 2, 3, 0], [5, 1, 5, 1], edge_weight=[1, 2, 3, 4], edge_feat=torch.arange(4.0)[:, None]
    )
    assert stream.src.tolist() == [1, 3, 0, 2]
    assert stream.time.tolist() == [1, 1, 5, 5]
    assert stream.edge_id.tolist() == [1, 3, 0, 2]
    assert stream.edge_weight is not None
    assert stream.edge_weight.tolist() == [2, 4, 1, 3]
    assert stream.num_nodes == 4
    raw = stream.in_raw_order()
    assert raw["src"].tolist() == [0, 1, 2, 3]
    assert raw["edge_feat"].ravel().tolist() == [0, 1, 2, 3]
    assert set(raw) == {"src", "dst", "time", "edge_id", "edge_feat", "edge_weight"}


def test_arrays_are_converted_exactly_and_cannot_be_written():
    mine = np.array([0, 1], np.int32)
    stream = EventStream.from_rows(mine, mine, mine)
    assert (stream.src.dtype, stream.time.dtype) == (np.int64, np.float64)
    with pytest.raises(ValueError, match="read-only"):
        stream.src[0] = 1
    mine[0] = 1  # the caller's array is the caller's
    assert len(EventStream.from_rows([], [], [])) == 0


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([2**53 + 1], np.float64),
        ([0.1], np.float32),
        ([1e300], np.float32),
        ([float("nan")], np.int64),
        ([2.0**63], np.int64),
        (np.array([2**63], np.uint64), np.int64),
        ([2**31], np.int32),
        (["a"], np.int64),
    ],
)
def test_a_number_that_would_change_is_refused(values, kind):
    with pytest.raises(DataError, match="expected numbers that"):
        exact("x", values, kind)


def test_numbers_that_stay_are_kept():
    assert exact("x", [1.0, -3.0], np.int64).tolist() == [1, -3]
    assert exact("x", [2.0**31 - 1, -(2.0**31)], np.int32).tolist() == [2**31 - 1, -(2**31)]
    assert np.isnan(exact("x", [float("nan"), float("inf")], np.float32)[0])
    assert exact("x", torch.tensor([1.5], requires_grad=True), np.float64).tolist() == [1.5]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"src": [0, 9]}, "src: found 9 at row 1, expected nodes from 0 to 2"),
        ({"dst": [-1, 0]}, "dst: found -1 at row 0"),
        ({"src": [0]}, "expected the same number of each"),
        ({"time": [0, np.inf]}, "time: found inf at row 1, expected finite"),
        ({"edge_id": [0, 0]}, "edge_id: found no 1"),
        ({"edge_feat": [1.0, 2.0]}, r"edge_feat: found shape \(2,\), expected \(2, width"),
        ({"edge_feat": np.zeros((2, 0))}, "expected .2, width from 1 up"),
        ({"edge_weight": [1.0]}, "edge_weight: found 1 rows, expected 2"),
        ({"edge_weight": [1.0, np.nan]}, "edge_weight: found nan"),
        ({"event_label": [0, -2]}, "event_label: found -2"),
        ({"edge_type": [0, -1]}, "edge_type: found -1"),
        ({"node_label": [0]}, r"node_label: found shape \(1,\), expected \(3,\)"),
        ({"node_offset": 4}, "node_offset: found 4"),
        ({"node_offset": 1, "src": [0, 1]}, "src: found 1 at row 1, expected nodes from 0 to 0"),
        ({"snapshot": [0, 0]}, "found snapshot alone"),
        ({"snapshot": [0, 0], "snapshot_begin": [0, 1], "snapshot_end": [1]}, "found 1 snapshots, expected 2"),
        ({"snapshot": [0, 0], "snapshot_begin": [0, 5], "snapshot_end": [5, 9]}, "snapshot: found 0 at row 1"),
        ({"snapshot": [0, 1], "snapshot_begin": [0, 5], "snapshot_end": [4, 6]}, "time: found 7.0 at row 1"),
        ({"snapshot": [0, 1], "snapshot_begin": [0, 5], "snapshot_end": [6, 9]}, "snapshot_begin: found 5.0 at row 1"),
        ({"snapshot": [-1, 0], "snapshot_begin": [5], "snapshot_end": [9]}, "snapshot: found -1 at row 0"),
    ],
)
def test_what_is_wrong_is_named(changed, message):
    rows = {"src": [0, 1], "dst": [2, 2], "time": [0, 7], "num_nodes": 3}
    EventStream.from_rows(**rows)
    with pytest.raises(DataError, match=message):
        EventStream.from_rows(**{**rows, **changed})


def test_the_class_itself_takes_sorted_rows_only():
    with pytest.raises(DataError, match="see EventStream"):
        EventStream(np.array([0, 1]), np.array([1, 0]), np.array([2.0, 1.0]), np.array([0, 1]), 2)
    with pytest.raises(DataError, match="see EventStream"):
        EventStream(np.array([0, 1]), np.array([1, 0]), np.array([1.0, 1.0]), np.array([1, 0]), 2)


def test_differences_and_leaving_out():
    stream = example(*HELD, "edge_type")
    assert stream.equals(example(*HELD, "edge_type"))
    assert stream.differences(example(*HELD)) == ["edge_type"]
    assert stream.without("edge_type").equals(example(*HELD))
    assert stream.without("snapshot").differences(stream) == ["snapshot", "snapshot_begin", "snapshot_end"]
    with pytest.raises(ConfigError, match="'time', expected one of edge_feat"):
        stream.without("time")
    with pytest.raises(ConfigError, match=r"stream.without\('edge_type', 'snapshot'\)"):
        stream.check_holds("a form", ("edge_feat", "edge_weight", "event_label"))
    no_label = EventStream.from_rows([0], [1], [0], event_label=[-1], node_label=[-1, -1])
    assert no_label.event_label is None
    assert no_label.node_label is None


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stream=streams(*HELD, whole=False, raw_order=False))
def test_a_prepared_folder_gives_the_stream_back(stream, tmp_path):
    stream.prepare(tmp_path / "out", overwrite=True)
    verify(tmp_path / "out")
    back = EventStream.of(tmp_path / "out")
    assert set(back.differences(stream)) <= (
        set() if stream.num_snapshots else {f for f in vars(stream) if "snap" in f}
    )


@pytest.mark.parametrize("labels", ["node_label", "event_label"])
@pytest.mark.parametrize("bipartite", [False, True])
def test_a_folder_is_read_by_temporal_graph(tmp_path, labels, bipartite):
    stream = example("edge_feat", "edge_weight", labels, "snapshot", bipartite=bipartite, raw_order=False, whole=False)
    manifest = stream.prepare(tmp_path / "out", features="degree")
    verify(tmp_path / "out")
    data = TemporalGraph.load(tmp_path / "out")
    assert (data.num_nodes, data.num_snapshots, data.num_classes, data.directed) == (7, 4, 3, bipartite)
    assert manifest["id_offsets"] == ({"user": 0, "item": 4} if bipartite else {"node": 0})
    assert [len(data.events(t)[0]) for t in range(4)] == [1, 4, 0, 3]
    assert data.feature_dim == 7
    for t in range(4):
        mine = np.sort(stream.edge_id[stream.snapshot == t])
        raw = stream.in_raw_order()
        assert data.events(t)[3].tolist() == mine.tolist()
        assert data.events(t)[2].tolist() == raw["time"][mine].tolist()
        assert data.edge_features(t).tolist() == raw["edge_feat"][mine].tolist()
        assert data.edge_weights(t).tolist() == raw["edge_weight"][mine].tolist()
        if labels == "event_label":
            label = raw["event_label"][mine]
            assert data.event_labels(t)[2].tolist() == label[label >= 0].tolist()
    assert data.labels.tolist() == ([0, 2, -1, 1, -1, 0, -1] if labels == "node_label" else [-1] * 7)
    assert to_events(data, node_features="drop").equals(stream)


def test_node_features_of_a_folder_are_not_lost_silently(prepared_example):
    with pytest.raises(ConfigError, match="node_features='drop'"):
        EventStream.of(prepared_example)
    data = TemporalGraph.load(prepared_example)
    last = EventStream.of(data, node_features="last").node_feat
    assert np.array_equal(last, data.features(data.num_snapshots - 1).numpy())
    with pytest.raises(ConfigError, match="found 'first', expected 'drop'"):
        EventStream.of(data, node_features="first")


@pytest.mark.parametrize(
    "rule", [["--every", "step"], ["--every", "step", "--merge", "3"], ["--every", "0.05"], ["--snapshots", "5"]]
)
def test_a_folder_comes_back_byte_for_byte(tmp_path, prepared_example, rule):
    raw = prepared_example.parent / "raw"
    app(["dblp", str(raw), str(tmp_path / "a"), *rule, "--features", "degree", "--quiet"], standalone_mode=False)
    stream = EventStream.of(tmp_path / "a", node_features="drop")
    stream.prepare(tmp_path / "b", features="degree", names_of=tmp_path / "a")
    verify(tmp_path / "b")
    names = sorted(str(path.relative_to(tmp_path / "a")) for path in (tmp_path / "a").rglob("*.parquet"))
    again = schema.read_manifest(tmp_path / "b")
    assert {name for name, value in schema.read_manifest(tmp_path / "a").items() if again[name] != value} == {
        "snapshot_rule",
        "sources",
    }
    assert {"edges.parquet", "snapshots.parquet", "labels.parquet", "features/00000.parquet"} <= set(names)
    assert filecmp.cmpfiles(tmp_path / "a", tmp_path / "b", names, shallow=False) == (names, [], [])


def test_names_come_from_another_folder_of_the_same_nodes(tmp_path):
    rows = [("zoe", "tea", 1, 7), ("al", "pie", 2, 5), ("zoe", "pie", 2, 7)]
    (tmp_path / "raw.csv").write_text("a,b,t,l\n" + "".join(f"{a},{b},{t},{label}\n" for a, b, t, label in rows))
    options = ["--src", "a", "--dst", "b", "--time", "t", "--label", "l", "--every", "step", "--quiet"]
    app(["edges", str(tmp_path / "raw.csv"), str(tmp_path / "a"), *options], standalone_mode=False)
    stream = EventStream.of(tmp_path / "a")
    manifest = stream.prepare(tmp_path / "b", names_of=tmp_path / "a")
    verify(tmp_path / "b")
    assert manifest["class_names"] == ["5", "7"]
    assert schema.table(tmp_path / "b", "nodes")["raw_id"].to_pylist() == ["al", "pie", "tea", "zoe"]
    example().prepare(tmp_path / "c")
    with pytest.raises(DataError, match=r"found 7 nodes, types from \[0\], expected 4 and \[0\]"):
        stream.prepare(tmp_path / "d", names_of=tmp_path / "c")
    labelled = EventStream.from_rows([0], [3], [0], event_label=[4])
    with pytest.raises(DataError, match="found 5 classes, expected 2, as are named"):
        labelled.prepare(tmp_path / "d", names_of=tmp_path / "a")


def test_other_snapshots_and_none(tmp_path):
    stream = example("snapshot")
    stream.prepare(tmp_path / "steps", rule=Rule("step"))
    assert EventStream.of(tmp_path / "steps").snapshot_begin.tolist() == [0, 3, 5, 9, 11]
    stream.without("snapshot").prepare(tmp_path / "same")
    assert filecmp.cmp(tmp_path / "steps" / "edges.parquet", tmp_path / "same" / "edges.parquet", shallow=False)


@pytest.mark.parametrize(
    ("stream", "kind", "message"),
    [
        (example("edge_type", "node_feat"), ConfigError, "found a stream with edge_type, node_feat"),
        (example("node_label", "event_label"), ConfigError, "labels of events and of nodes"),
        (EventStream.from_rows([], [], []), DataError, "found none, expected one or more"),
        (EventStream.from_rows([0], [1], [0], edge_feat=[[np.nan]]), DataError, "nan or inf among feat"),
        (EventStream.from_rows([0], [1], [0], event_label=[1 << 20]), DataError, "found class 1048576"),
        (EventStream.from_rows([0], [1], [0], num_nodes=1 << 40), DataError, "for 1 events, expected at most 10000000"),
    ],
)
def test_what_a_folder_cannot_hold_is_refused_and_nothing_is_left(tmp_path, stream, kind, message):
    with pytest.raises(kind, match=message):
        stream.prepare(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_stays_unless_it_may_be_replaced(tmp_path):
    example().prepare(tmp_path / "out")
    with pytest.raises(DataError, match="found an existing path"):
        example("snapshot").prepare(tmp_path / "out")
    example("snapshot").prepare(tmp_path / "out", overwrite=True)
    assert EventStream.of(tmp_path / "out").equals(example("snapshot"))
