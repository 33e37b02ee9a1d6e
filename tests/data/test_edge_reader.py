"""What TemporalGraph tells of the events of a snapshot, from folders written by hand."""

import json
import multiprocessing
import pickle

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dgl_dysign.data import TemporalGraph, schema
from dgl_dysign.errors import ConfigError, DataError
from tests.folders import (
    EVENT_LABELS,
    EVENTS,
    FEATURES,
    WEIGHTS,
    change_manifest,
    change_table,
    full_folder,
    write_folder,
)

METHODS = ("events", "edge_weights", "edge_features", "event_labels", "time_range")


@pytest.fixture
def data(tmp_path) -> TemporalGraph:
    return TemporalGraph.load(full_folder(tmp_path / "full"))


def rows(t):
    return [row for row, event in enumerate(EVENTS) if event[0] == t]


def test_each_snapshot_has_its_own_rows(data):
    assert data.edge_feature_dim == 2
    for t in range(3):
        mine = rows(t)
        src, dst, time, edge_id = data.events(t)
        assert list(zip(src.tolist(), dst.tolist(), time.tolist(), edge_id.tolist(), strict=True)) == [
            EVENTS[row][1:] for row in mine
        ]
        assert data.edge_weights(t).tolist() == [WEIGHTS[row] for row in mine]
        assert torch.equal(data.edge_features(t), torch.from_numpy(FEATURES[mine]))
        assert torch.stack(data.event_labels(t), 1).tolist() == [
            [edge, node, label] for edge, node, snapshot, label in EVENT_LABELS if snapshot == t
        ]
        assert data.time_range(t) == (10.0 * t, 10.0 * t + 10)
    assert data.edge_weights(0).dtype == torch.float64
    assert data.edge_features(0).dtype == torch.float32
    assert [part.dtype for part in data.event_labels(0)] == [torch.int64] * 3


def test_an_empty_snapshot_has_rows_of_the_right_width(data):
    assert data.edge_features(1).shape == (0, 2)
    assert data.edge_features(1).dtype == torch.float32
    assert data.edge_weights(1).shape == (0,)
    assert data.edge_weights(1).dtype == torch.float64
    assert [(len(part), part.dtype) for part in data.event_labels(1)] == [(0, torch.int64)] * 3


def test_nodes_have_no_labels_where_events_have(data):
    assert data.labels.tolist() == [-1] * 5
    assert data.num_classes == 2


def test_weights_of_events_are_no_weights_of_the_graph(data):
    """Ratings may be negative; the graph counts events."""
    assert data.graph(0, cumulative=False).edata["weight"].tolist() == [1.0, 1.0]


def test_event_sums_are_those_of_the_file(data):
    ids = torch.cat([data.events(t)[3] for t in range(3)])
    assert sorted(ids.tolist()) == list(range(5))
    assert sum(data.edge_weights(t).sum().item() for t in range(3)) == pytest.approx(sum(WEIGHTS))
    total = sum(data.edge_features(t).double().sum(0) for t in range(3))
    assert torch.equal(total, torch.from_numpy(FEATURES.astype(np.float64).sum(0)))
    assert sum(int(data.event_labels(t)[2].sum()) for t in range(3)) == 2


def test_some_events_may_have_no_label(tmp_path):
    data = TemporalGraph.load(full_folder(tmp_path / "some", event_labels=EVENT_LABELS[2:3]))
    assert [len(data.event_labels(t)[0]) for t in range(3)] == [0, 0, 1]
    none = TemporalGraph.load(full_folder(tmp_path / "none", event_labels=[]))
    assert [len(none.event_labels(t)[0]) for t in range(3)] == [0, 0, 0]


def test_what_comes_out_is_the_callers_own(data):
    for tensor in (data.edge_weights(0), data.edge_features(0), *data.event_labels(0), *data.events(0)):
        tensor.zero_()
    assert data.edge_weights(0).tolist() == WEIGHTS[:2]
    assert torch.equal(data.edge_features(0), torch.from_numpy(FEATURES[:2]))


@pytest.mark.parametrize("t", [-1, 3])
@pytest.mark.parametrize("method", METHODS)
def test_no_such_snapshot(data, method, t):
    with pytest.raises(ConfigError, match=f"snapshot {t} does not exist: expected 0 to 2"):
        getattr(data, method)(t)


def test_what_a_folder_does_not_have_is_refused(tmp_path):
    data = TemporalGraph.load(write_folder(tmp_path / "plain", node_labels={4: 1, 0: 0}))
    assert data.labels.tolist() == [0, -1, -1, -1, 1]
    assert data.edge_feature_dim is None
    with pytest.raises(DataError, match="found no weights; prepare it again"):
        data.edge_weights(0)
    with pytest.raises(DataError, match="found no edge features"):
        data.edge_features(0)
    with pytest.raises(DataError, match="found node labels, expected labels of events"):
        data.event_labels(0)
    unlabelled = TemporalGraph.load(write_folder(tmp_path / "unlabelled"))
    assert unlabelled.labels.tolist() == [-1] * 5
    with pytest.raises(DataError, match="found no labels, expected labels of events"):
        unlabelled.event_labels(0)


def test_a_folder_without_the_newer_keys_loads(tmp_path):
    folder = write_folder(tmp_path / "old", node_labels={0: 0})
    manifest = json.loads((folder / "manifest.json").read_text())
    for key in ("edge_features", "edge_weight", "id_order"):
        del manifest[key]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    data = TemporalGraph.load(folder)
    assert data.edge_feature_dim is None
    assert [len(data.events(t)[0]) for t in range(3)] == [2, 0, 3]
    with pytest.raises(DataError, match="found no weights"):
        data.edge_weights(0)


@pytest.mark.parametrize(
    ("name", "change", "ask", "message"),
    [
        ("labels", {"snapshot": [0, 0, 2, 2, 1]}, "event_labels", "snapshots out of order, expected 0 to 2, ascending"),
        ("labels", {"snapshot": [-1, 0, 2, 2, 2]}, "event_labels", "snapshots out of order"),
        ("labels", {"snapshot": [0, 0, 2, 2, 3]}, "event_labels", "snapshots out of order"),
        ("labels", {"edge_id": [5, 2, 1, 3, 4]}, "event_labels", "found edge_id 2 to 5, expected 0 to 4"),
        ("labels", {"node": [0, -1, 0, 2, 2]}, "event_labels", "found node -1 to 0, expected 0 to 4"),
        ("labels", {"label": [0, 2, 0, 0, 1]}, "event_labels", "found label 0 to 2, expected 0 to 1"),
        ("edges", {"dst": [3, 5, 4, 3, 3]}, "events", "found dst 3 to 5, expected 0 to 4"),
        ("snapshots", {"num_rows": [2, 1, 2]}, "events", "found 3 row ranges that end at row 5, or gaps"),
    ],
)
def test_rows_that_do_not_fit_are_named(tmp_path, name, change, ask, message):
    folder = full_folder(tmp_path / "full")
    change_table(folder, name, lambda columns: columns.update(change))
    with pytest.raises(DataError, match=rf"{name}\.parquet: .*{message}"):
        getattr(TemporalGraph.load(folder), ask)(0)


@pytest.mark.parametrize("name", ["edges", "edge_features"])
def test_another_number_of_rows_is_named(tmp_path, name):
    folder = full_folder(tmp_path / "full")
    change_table(folder, name, lambda columns: [values.pop() for values in columns.values()])
    with pytest.raises(DataError, match=rf"{name}\.parquet: found 4 rows, expected 5"):
        TemporalGraph.load(folder).edge_weights(0) if name == "edges" else TemporalGraph.load(folder).edge_features(0)


def test_another_width_and_missing_columns_are_named(tmp_path):
    folder = full_folder(tmp_path / "full")
    change_manifest(folder, edge_features={"dim": 3})
    with pytest.raises(DataError, match=r"edge_features\.parquet: found column feat as .*\[2\], expected .*\[3\]"):
        TemporalGraph.load(folder).edge_features(0)
    change_table(folder, "edges", lambda columns: None, schema.EDGES)
    with pytest.raises(DataError, match=r"edges\.parquet: found column weight as None, expected double"):
        TemporalGraph.load(folder).edge_weights(0)
    change_table(folder, "labels", lambda columns: None, schema.LABELS)
    with pytest.raises(DataError, match=r"labels\.parquet: found column edge_id as None, expected int64"):
        TemporalGraph.load(folder).event_labels(0)


@pytest.mark.parametrize("name", ["labels", "edge_features", "snapshots"])
def test_a_missing_or_cut_file_is_named(tmp_path, name):
    folder = full_folder(tmp_path / "full")
    ask = {"labels": "event_labels", "edge_features": "edge_features", "snapshots": "time_range"}[name]
    path = folder / f"{name}.parquet"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match=rf"{name}\.parquet: found a truncated or damaged file"):
        getattr(TemporalGraph.load(folder), ask)(0)
    path.unlink()
    with pytest.raises(DataError, match=rf"{name}\.parquet: found no such file"):
        getattr(TemporalGraph.load(folder), ask)(0)


def test_footers_are_parsed_once_and_never_pickled(data, monkeypatch):
    opened = []
    real = pq.ParquetFile.__init__

    def spy(self, path, **options):
        opened.append((path.stem, options["metadata"] is not None))
        real(self, path, **options)

    monkeypatch.setattr(pq.ParquetFile, "__init__", spy)
    size = len(pickle.dumps(data))
    for t in (0, 2, 0):
        data.events(t)
    assert opened == [("edges", False), ("snapshots", False), *[("edges", True)] * 3]
    assert len(pickle.dumps(data)) == size


def test_forked_workers_read_what_the_parent_has_open(data):
    data.edge_features(0)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.map(_features_of, [(data, t) for t in (0, 1, 2, 2)])
    assert found == [FEATURES[rows(t)].tolist() for t in (0, 1, 2, 2)]


def _features_of(task):
    data, t = task
    return data.edge_features(t).tolist()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 6), max_size=40), st.integers(1, 9), st.randoms())
def test_any_sizes_and_row_groups(tmp_path_factory, snapshots, row_group, random):
    snapshots.sort()
    events = [(t, random.randrange(4), random.randrange(4), 10.0 * t, row) for row, t in enumerate(snapshots)]
    features = np.arange(len(events) * 3, dtype=np.float32).reshape(-1, 3)
    labels = [(row, event[1], event[0], row % 2) for row, event in enumerate(events) if random.random() < 0.5]
    folder = write_folder(
        tmp_path_factory.mktemp("any") / "p",
        events,
        [(10.0 * t, 10.0 * t + 10) for t in range(7)],
        num_nodes=4,
        weights=[row / 2 for row in range(len(events))],
        features=features,
        event_labels=labels,
        row_group=row_group,
    )
    data = TemporalGraph.load(folder)
    for t in (3, 0, 6, 1):
        mine = [row for row, event in enumerate(events) if event[0] == t]
        assert data.events(t)[3].tolist() == mine
        assert data.edge_weights(t).tolist() == [row / 2 for row in mine]
        assert data.edge_features(t).tolist() == features[mine].tolist()
        assert data.event_labels(t)[0].tolist() == [row for row, _, snapshot, _ in labels if snapshot == t]
