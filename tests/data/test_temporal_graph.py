"""TemporalGraph against dictionaries: counts, ages, laziness, the past only, damaged files."""

import pickle
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dgl_dysign.data import TemporalGraph
from dgl_dysign.errors import ConfigError, DataError
from tests.folders import write_folder
from tests.prepared import prepare

T = 5
# Snapshot 2 is empty; (0, 1) repeats in both directions; (3, 3) is a loop; node 5 is never seen; 4 has no label.
EVENTS = [(0, 0, 1), (0, 1, 0), (0, 1, 2), (1, 0, 1), (1, 3, 3), (3, 2, 4), (3, 0, 1), (4, 3, 3), (4, 4, 2)]
LABELS = [0, 1, 2, 0, -1, 1]
FEATURES = np.random.default_rng(0).standard_normal((T, 6, 3)).astype(np.float32)


@pytest.fixture
def folder(tmp_path) -> Path:
    return prepare(tmp_path / "prepared", EVENTS, T, LABELS, FEATURES)


@pytest.fixture
def data(folder) -> TemporalGraph:
    return TemporalGraph.load(folder)


def expected(events, t, cumulative=True, decay=1.0, symmetric=True, self_loop=False, num_nodes=6):
    """Build the graph's weights from their definition, event by event."""
    weights = defaultdict(float)
    for snapshot, u, v in events:
        if snapshot == t or (cumulative and snapshot < t):
            pairs = {(u, v), (v, u)} if symmetric else {(u, v)}
            for pair in pairs:
                weights[pair] += decay ** (t - snapshot)
    for v in range(num_nodes if self_loop else 0):
        weights[v, v] += 1.0
    return dict(weights)


def edges(graph):
    """Return the graph's edges as a dictionary; a pair that has two edges fails."""
    src, dst = (ends.tolist() for ends in graph.edges())
    weights = dict(zip(zip(src, dst, strict=True), graph.edata["weight"].tolist(), strict=True))
    assert len(weights) == graph.num_edges(), "a pair has more than one edge"
    return weights


def test_what_the_manifest_says(data):
    assert (data.num_nodes, data.num_edges, data.num_snapshots, data.num_classes) == (6, 9, 5, 3)
    assert data.class_names == ("0", "1", "2")
    assert data.labels.tolist() == LABELS
    assert data.labels.dtype == torch.int64
    assert data.feature_dim == 3
    assert not data.directed
    assert "num_nodes=6" in repr(data)


def test_targets_are_numbers_of_nodes_and_nan_where_there_is_none(tmp_path, data):
    found = TemporalGraph.load(write_folder(tmp_path / "targets", targets={1: -0.5, 4: 1e9})).targets
    assert found.dtype == torch.float64
    assert found.isnan().tolist() == [True, False, True, True, False]
    assert found[[1, 4]].tolist() == [-0.5, 1e9]
    assert data.targets.isnan().tolist() == [True] * 6
    beyond = TemporalGraph.load(write_folder(tmp_path / "beyond", targets={5: 1.0}))
    with pytest.raises(DataError, match=r"targets\.parquet: found node 5 to 5, expected 0 to 4"):
        beyond.targets  # noqa: B018


@pytest.mark.parametrize("cumulative", [True, False])
@pytest.mark.parametrize("decay", [1.0, 0.5])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("self_loop", [True, False])
def test_graph_is_its_definition(data, cumulative, decay, symmetric, self_loop):
    for t in range(T):
        options = {"cumulative": cumulative, "decay": decay, "symmetric": symmetric, "self_loop": self_loop}
        graph = data.graph(t, **options)
        assert graph.num_nodes() == 6
        assert graph.edata["weight"].dtype == torch.float32
        assert list(graph.edata) == ["weight"]
        assert not graph.ndata
        assert edges(graph) == pytest.approx(expected(EVENTS, t, **options))


def test_symmetric_follows_the_data_by_default(tmp_path, data):
    assert edges(data.graph(4)) == edges(data.graph(4, symmetric=True))
    directed = TemporalGraph.load(prepare(tmp_path / "directed", EVENTS, T, LABELS, directed=True))
    assert edges(directed.graph(4)) == edges(data.graph(4, symmetric=False))
    assert edges(directed.graph(4, symmetric=True)) == edges(data.graph(4))


def test_decay_arithmetic_by_hand(data):
    """(0, 1) has two events in snapshot 0, one in 1 and one in 3: at t = 4 with decay 0.8."""
    assert edges(data.graph(4, decay=0.8))[0, 1] == pytest.approx(2 * 0.8**4 + 0.8**3 + 0.8)
    assert edges(data.graph(4, decay=0.8))[3, 3] == pytest.approx(0.8**3 + 1), "a loop counts once"


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40),
    st.booleans(),
    st.sampled_from([1.0, 0.9, 0.1]),
)
def test_any_events(tmp_path_factory, events, symmetric, decay):
    folder = prepare(tmp_path_factory.mktemp("any") / "p", events, T, LABELS)
    data = TemporalGraph.load(folder)
    for t in (4, 0, 2):
        found = edges(data.graph(t, decay=decay, symmetric=symmetric))
        assert found == pytest.approx(expected(events, t, decay=decay, symmetric=symmetric))


def test_edge_order_does_not_depend_on_what_was_asked_before(folder, data):
    for t in (4, 1, 3):
        data.graph(t)
    fresh = TemporalGraph.load(folder)
    for ours, theirs in zip(data.graph(2).edges(), fresh.graph(2).edges(), strict=True):
        assert torch.equal(ours, theirs)


def test_weights_stay_positive_where_float32_would_vanish(data):
    weight = data.graph(4, decay=1e-20).edata["weight"]
    assert (weight > 0).all()
    assert (weight.rsqrt() * weight).isfinite().all()


def test_ids_whose_product_leaves_32_bits(tmp_path):
    last = 99_999
    labels = [-1] * last + [0]
    data = TemporalGraph.load(prepare(tmp_path / "p", [(0, last, last - 1), (0, 70_000, 1)], 1, labels))
    assert set(edges(data.graph(0, symmetric=False))) == {(last, last - 1), (70_000, 1)}


def test_events_keep_file_order_repeats_and_times(data):
    src, dst, time, edge_id = data.events(0)
    assert (src.tolist(), dst.tolist()) == ([0, 1, 1], [1, 0, 2])
    assert time.dtype == torch.float64
    assert time.tolist() == [0.0] * 3
    assert edge_id.tolist() == [0, 1, 2]
    assert data.events(3)[2].tolist() == [1.5, 1.5]


def test_empty_snapshot_keeps_its_index(data):
    assert [len(part) for part in data.events(2)] == [0, 0, 0, 0]
    assert data.graph(2, cumulative=False).num_edges() == 0
    assert data.graph(2, cumulative=False).num_nodes() == 6
    assert edges(data.graph(2)) == edges(data.graph(1))
    assert edges(data.graph(2, decay=0.5))[0, 1] == pytest.approx(2 * 0.25 + 0.5), "an empty snapshot ages the rest"


def test_active_nodes(data):
    assert [data.active(t).nonzero().flatten().tolist() for t in range(T)] == [
        [0, 1, 2],
        [0, 1, 2, 3],
        [0, 1, 2, 3],
        [0, 1, 2, 3, 4],
        [0, 1, 2, 3, 4],
    ]
    assert data.active(0).dtype == torch.bool


def test_events_of_one_snapshot_read_only_their_row_groups(folder, monkeypatch):
    table = pq.read_table(folder / "edges.parquet")
    pq.write_table(table, folder / "edges.parquet", row_group_size=2)
    read = []
    real = pq.ParquetFile.read_row_groups

    def spy(self, groups, **options):
        read.append(list(groups))
        return real(self, groups, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", spy)
    data = TemporalGraph.load(folder)
    assert data.events(1)[3].tolist() == [3, 4]
    assert data.events(3)[3].tolist() == [5, 6]
    assert read == [[1, 2], [2, 3]]


def test_nothing_is_opened_before_it_is_asked_for(folder):
    for name in ("edges", "labels", "features/00003"):
        (folder / f"{name}.parquet").unlink()
    data = TemporalGraph.load(folder)
    assert data.num_edges == 9
    assert torch.equal(data.features(1), torch.from_numpy(FEATURES[1]))
    with pytest.raises(DataError, match=r"edges\.parquet"):
        data.graph(0)


def test_what_is_at_or_after_the_next_snapshot_changes_nothing(tmp_path, data):
    """Everything after t is replaced by other events, nodes and features; what t shows must stay."""
    t = 1
    past = [row for row in EVENTS if row[0] <= t]
    other = FEATURES.copy()
    other[t + 1 :] = 7.0
    future = [(2, 5, 0), (3, 0, 1), (3, 4, 5), (4, 1, 1), (4, 2, 5)]
    changed = TemporalGraph.load(prepare(tmp_path / "other", past + future, T, LABELS, other))
    changed.graph(4, decay=0.5)  # whatever is kept of the future must not leak either
    for cumulative in (True, False):
        for symmetric in (True, False):
            options = {"cumulative": cumulative, "decay": 0.5, "symmetric": symmetric}
            ours, theirs = data.graph(t, **options), changed.graph(t, **options)
            assert torch.equal(torch.stack(ours.edges()), torch.stack(theirs.edges()))
            assert torch.equal(ours.edata["weight"], theirs.edata["weight"])
    assert torch.equal(data.active(t), changed.active(t))
    assert torch.equal(data.features(t), changed.features(t))
    assert all(torch.equal(a, b) for a, b in zip(data.events(t), changed.events(t), strict=True))


def test_immutable(data):
    with pytest.raises(AttributeError, match="immutable"):
        data.num_nodes = 3
    with pytest.raises(AttributeError, match="immutable"):
        data.extra = 3
    data.labels[0] = 9
    data.manifest["num_nodes"] = 9
    data.manifest["class_names"].append("x")
    graph = data.graph(1)
    graph.edata["weight"] *= 0
    graph.ndata["h"] = torch.ones(6)
    data.features(1).zero_()
    data.active(1).zero_()
    assert data.labels.tolist() == LABELS
    assert data.num_nodes == 6
    assert data.class_names == ("0", "1", "2")
    assert edges(data.graph(1)) == pytest.approx(expected(EVENTS, 1))
    assert torch.equal(data.features(1), torch.from_numpy(FEATURES[1]))
    assert data.active(1).sum() == 4


def test_pickle_sends_the_folder_not_what_was_read(data):
    size = len(pickle.dumps(data))
    data.graph(4)
    assert len(pickle.dumps(data)) == size
    assert edges(pickle.loads(pickle.dumps(data)).graph(4)) == edges(data.graph(4))


def test_folder_stays_found_after_a_change_of_directory(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(folder.parent)
    data = TemporalGraph.load("prepared")
    monkeypatch.chdir("/")
    assert data.graph(0).num_edges() == 4


@pytest.mark.parametrize("t", [-1, T])
@pytest.mark.parametrize("method", ["graph", "events", "features", "active"])
def test_no_such_snapshot(data, method, t):
    with pytest.raises(ConfigError, match=f"snapshot {t} does not exist: expected 0 to 4"):
        getattr(data, method)(t)


@pytest.mark.parametrize("decay", [0, -0.5, 1.5, float("nan")])
def test_decay_out_of_range(data, decay):
    with pytest.raises(ConfigError, match="expected 0 < decay <= 1"):
        data.graph(0, decay=decay)


def test_no_features(tmp_path):
    data = TemporalGraph.load(prepare(tmp_path / "p", EVENTS, T, LABELS))
    assert data.feature_dim is None
    with pytest.raises(DataError, match="no features; prepare it again"):
        data.features(0)


def test_no_prepared_folder(tmp_path):
    with pytest.raises(DataError, match="expected a prepared folder"):
        TemporalGraph.load(tmp_path)


ASK = {
    "edges": lambda data: data.graph(4),
    "snapshots": lambda data: data.events(0),
    "nodes": lambda data: data.active(0),
    "labels": lambda data: data.labels,
    "features/00002": lambda data: data.features(2),
}


@pytest.mark.parametrize("name", ASK)
@pytest.mark.parametrize("part", [0.0, 0.5, 0.95])
def test_truncated_parquet_is_named(folder, name, part):
    path = folder / f"{name}.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(DataError, match=f"{name}.parquet: found a truncated or damaged file"):
        ASK[name](TemporalGraph.load(folder))
    assert not list(folder.rglob("*.arrow*")), "a cache of a broken file was left"


@pytest.mark.parametrize("name", ASK)
def test_missing_parquet_is_named(folder, name):
    (folder / f"{name}.parquet").unlink()
    with pytest.raises(DataError, match=f"{name}.parquet: found no such file"):
        ASK[name](TemporalGraph.load(folder))


@pytest.mark.parametrize(
    ("name", "column"), [("edges", "src"), ("edges", "dst"), ("labels", "node"), ("nodes", "node")]
)
def test_id_out_of_range_is_named(folder, name, column):
    path = folder / f"{name}.parquet"
    table = pq.read_table(path)
    ids = table[column].to_numpy().copy()
    ids[-1] = 6
    place = table.column_names.index(column)
    pq.write_table(table.set_column(place, table.schema.field(column), [ids]), path)
    with pytest.raises(DataError, match=rf"{name}.parquet: found {column} \d to 6, expected 0 to 5"):
        ASK[name](TemporalGraph.load(folder))


@pytest.mark.parametrize("rows", [[3, 3, 0, 2, 2], [3, 2, 0, 2]])
def test_row_ranges_that_do_not_fit_are_named(folder, rows):
    path = folder / "snapshots.parquet"
    table = pq.read_table(path).slice(0, len(rows))
    place = table.column_names.index("num_rows")
    pq.write_table(table.set_column(place, table.schema.field("num_rows"), [rows]), path)
    with pytest.raises(DataError, match=r"snapshots\.parquet: found"):
        TemporalGraph.load(folder).events(0)


def test_schema_loads_without_torch_and_dgl():
    code = "import sys, dgl_dysign.data.schema as s; assert not {'torch', 'dgl', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.real
def test_dblp_against_its_raw_file(tmp_path, real_data):
    """Pairs, counts and ages of the whole DBLP graph, from the lines of the file."""
    src, dst, time = np.loadtxt(real_data / "dblp" / "dblp.txt", dtype=np.float64).T
    labels = np.loadtxt(real_data / "dblp" / "node2label.txt", dtype=np.int64)[:, 1]
    events = np.stack([np.rint(time * 26), src, dst], axis=1).astype(int).tolist()
    data = TemporalGraph.load(prepare(tmp_path / "dblp", events, 27, labels))
    weights, known = edges(data.graph(26, decay=0.8)), expected(events, 26, decay=0.8)
    assert weights.keys() == known.keys()
    np.testing.assert_allclose([weights[pair] for pair in known], list(known.values()), rtol=1e-5)
    assert (data.num_nodes, data.num_edges, data.num_snapshots) == (28_085, 235_769, 27)
    assert int(data.active(24).sum()) == 28_085 - 2_698, "so many first appear in the last two steps"
