"""Exports, read back with pandas and compared value by value with the prepared folder."""

import json
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.export import FORMATS, MARKER, export, export_table
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.events import EventTable
from tests.data_prep.faults import fails
from tests.folders import EVENT_LABELS, EVENTS, FEATURES, RANGES, WEIGHTS, change_table, full_folder, write_folder

# Rows of EVENTS by time: the last snapshot's second and third event come before its first.
BY_TIME = [0, 1, 3, 4, 2]
LABEL_OF = {edge: label for edge, _, _, label in EVENT_LABELS}


def test_csv_holds_every_value(tmp_path):
    names = ["7", "9007199254740993", 'a "b"', "x,y\nz", "NA"]
    folder = full_folder(tmp_path / "p", raw_ids=names, id_order="as in the file")
    made = export(folder, tmp_path / "out", "csv")
    assert made["rows"] == {"nodes.csv": 5, "edges.csv": 5, "labels.csv": 5}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "edges.csv",
        "export.json",
        "labels.csv",
        "nodes.csv",
    ]
    edges = pd.read_csv(tmp_path / "out" / "edges.csv", dtype={"src_raw": str, "dst_raw": str}, keep_default_na=False)
    columns = ["edge_id", "snapshot", "time", "src", "dst", "src_raw", "dst_raw", "weight", "feat_0", "feat_1"]
    assert edges.columns.tolist() == columns
    assert edges[["snapshot", "src", "dst", "time", "edge_id"]].to_numpy().tolist() == [
        list(map(float, e)) for e in EVENTS
    ]
    assert edges["src_raw"].tolist() == [names[event[1]] for event in EVENTS]
    assert edges["dst_raw"].tolist() == [names[event[2]] for event in EVENTS]
    assert edges["weight"].tolist() == WEIGHTS
    assert np.array_equal(edges[["feat_0", "feat_1"]].to_numpy().astype(np.float32), FEATURES)
    nodes = pd.read_csv(tmp_path / "out" / "nodes.csv", dtype={"raw_id": str}, keep_default_na=False)
    assert nodes.to_dict("list") == {
        "node": [0, 1, 2, 3, 4],
        "raw_id": names,
        "type": ["user"] * 3 + ["item"] * 2,
        "first_snapshot": [0, 0, 2, 0, 2],
    }
    labels = pd.read_csv(tmp_path / "out" / "labels.csv")
    assert labels[["edge_id", "node", "snapshot", "label"]].to_numpy().tolist() == [list(row) for row in EVENT_LABELS]
    assert labels["class"].tolist() == labels["label"].tolist()


def test_csv_of_labelled_nodes_and_of_none(tmp_path):
    folder = write_folder(tmp_path / "nodes", node_labels={4: 1, 0: 0}, class_names=["656", "1505"])
    export(folder, tmp_path / "a", "csv")
    labels = pd.read_csv(tmp_path / "a" / "labels.csv")
    assert labels.to_dict("list") == {"node": [4, 0], "label": [1, 0], "class": [1505, 656]}
    assert pd.read_csv(tmp_path / "a" / "nodes.csv")["type"].isna().all()
    export(write_folder(tmp_path / "none"), tmp_path / "b", "csv")
    assert not (tmp_path / "b" / "labels.csv").exists()
    assert not (tmp_path / "b" / "targets.csv").exists()
    assert pd.read_csv(tmp_path / "b" / "edges.csv").columns[-1] == "dst_raw"


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 10, exclude_max=True),
            st.floats(allow_nan=False, allow_infinity=False),
            st.floats(width=32, allow_nan=False, allow_infinity=False),
        ),
        min_size=1,
        max_size=20,
    ),
    st.integers(1, 7),
)
def test_csv_floats_come_back_to_the_last_bit(tmp_path_factory, values, at_once):
    home = tmp_path_factory.mktemp("any")
    time, weight, feat = zip(*values, strict=True)
    events = [(0, 0, 1, t, row) for row, t in enumerate(time)]
    features = np.array(feat, np.float32)[:, None]
    folder = write_folder(home / "p", events, RANGES[:1], 2, weights=weight, features=features)
    export(folder, home / "out", "csv", rows_at_once=at_once)
    edges = pd.read_csv(home / "out" / "edges.csv", dtype=str)  # older pandas round the last bit of floats
    assert [float(text) for text in edges["time"]] == list(time)
    assert [float(text) for text in edges["weight"]] == list(weight)
    assert [np.float32(text) for text in edges["feat_0"]] == features[:, 0].tolist()
    assert [int(text) for text in edges["edge_id"]] == list(range(len(events)))


def test_csv_of_targets(tmp_path):
    about = export(write_folder(tmp_path / "p", targets={1: -0.1, 4: 1e300}), tmp_path / "a", "csv")
    assert about["rows"]["targets.csv"] == 2
    assert (tmp_path / "a" / "targets.csv").read_text().splitlines() == ["node,target", "1,-0.1", "4,1e+300"]


def neighbours(src, dst, time, eid, num_nodes, both):
    """Lists of (neighbour, time, event) of each node by time, event by event."""
    found = [[] for _ in range(num_nodes)]
    for u, v, t, e in zip(src, dst, time, eid, strict=True):
        found[u].append((v, t, e))
        if both:
            found[v].append((u, t, e))
    return found


def read_npz(path):
    with np.load(path) as file:
        arrays = dict(file)
    indptr = arrays["indptr"]
    rows = list(zip(arrays["indices"].tolist(), arrays["ts"].tolist(), arrays["eid"].tolist(), strict=True))
    return [rows[a:b] for a, b in pairwise(indptr)]


@pytest.mark.parametrize("directed", [True, False])
def test_tgl_files(tmp_path, directed):
    folder = full_folder(tmp_path / "p", directed=directed)
    made = export(folder, tmp_path / "out", "tgl")
    sizes = {"ext_full.npz": 5, "int_train.npz": 4, "int_full.npz": 5}
    sizes = {name: size if directed else 2 * size for name, size in sizes.items()}
    assert made["rows"] == {"edges.csv": 5, **sizes, "edge_features.pt": 5, "labels.csv": 5}
    assert made["rounded_times"] == 0
    first = (tmp_path / "out" / "edges.csv").read_text().splitlines()[0]
    assert first == ",src,dst,time,int_roll,ext_roll"
    edges = pd.read_csv(tmp_path / "out" / "edges.csv")
    expected = [EVENTS[row] for row in BY_TIME]
    assert edges[["src", "dst", "time"]].to_numpy().tolist() == [[u, v, t] for _, u, v, t, _ in expected]
    assert edges["Unnamed: 0"].tolist() == list(range(5))
    # Times 0, 9.5, 21, 21, 25: the quantiles 0.7 and 0.85 are 21 and 22.6.
    assert edges["int_roll"].tolist() == edges["ext_roll"].tolist() == [0, 0, 0, 0, 2]
    ends = edges["src"].tolist(), edges["dst"].tolist(), edges["time"].tolist()
    for name, keep in (("ext_full", 5), ("int_full", 5), ("int_train", 4)):
        lists = neighbours(*(column[:keep] for column in ends), range(keep), 5, not directed)
        assert read_npz(tmp_path / "out" / f"{name}.npz") == lists
    features = torch.load(tmp_path / "out" / "edge_features.pt", weights_only=True)
    assert features.dtype == torch.float32
    assert features.tolist() == [[np.float32(WEIGHTS[row]), *FEATURES[row].tolist()] for row in BY_TIME]
    labels = pd.read_csv(tmp_path / "out" / "labels.csv")
    assert labels.columns.tolist() == ["Unnamed: 0", "node", "time", "label", "ext_roll"]
    assert labels[["node", "time", "label", "ext_roll"]].to_numpy().tolist() == [
        [u, t, LABEL_OF[edge], roll] for (_, u, _, t, edge), roll in zip(expected, [0, 0, 0, 0, 2], strict=True)
    ]


def test_tgl_without_torch_writes_an_array(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    folder = write_folder(tmp_path / "p", features=FEATURES)
    assert "edge_features.npy" in export(folder, tmp_path / "out", "tgl")["rows"]
    assert np.array_equal(np.load(tmp_path / "out" / "edge_features.npy"), FEATURES[BY_TIME])
    assert not (tmp_path / "out" / "edge_features.pt").exists()
    plain = export(write_folder(tmp_path / "plain"), tmp_path / "b", "tgl")
    assert list(plain["rows"]) == ["edges.csv", "ext_full.npz", "int_train.npz", "int_full.npz"]


def test_tgl_asks_for_the_label_of_a_node_at_its_last_event(tmp_path):
    labels = {4: 1, 0: 0, 5: 1, 3: 1}
    export(write_folder(tmp_path / "p", num_nodes=6, node_labels=labels), tmp_path / "out", "tgl")
    found = pd.read_csv(tmp_path / "out" / "labels.csv")
    # Node 3 is last seen at 21, nodes 0 and 4 at 25; node 5 never is.
    assert found[["node", "time", "label", "ext_roll"]].to_numpy().tolist() == [
        [3, 21, 1, 0],
        [0, 25, 0, 2],
        [4, 25, 1, 2],
    ]


def test_times_of_tgl_that_float32_rounds_are_counted(tmp_path):
    begin = 1289192400.0
    events = [(0, 0, 1, begin + second, second) for second in range(200)]
    folder = write_folder(tmp_path / "p", events, [(begin, begin + 200)], 2)
    assert export(folder, tmp_path / "a", "tgl")["rounded_times"] == 198
    made = export(folder, tmp_path / "b", "tgl", shift_time=True)
    assert (made["rounded_times"], made["time_shift"]) == (0, begin)
    assert pd.read_csv(tmp_path / "b" / "edges.csv")["time"].tolist() == list(range(200))
    for form in ("csv", "dyglib"):
        export(folder, tmp_path / form, form, shift_time=True)
    assert pd.read_csv(tmp_path / "csv" / "edges.csv")["time"].tolist() == list(range(200))
    assert pd.read_csv(tmp_path / "dyglib" / "ml_test.csv")["ts"].tolist() == list(range(200))


def test_dyglib_files(tmp_path):
    folder = full_folder(tmp_path / "p", dataset="my data/x")
    made = export(folder, tmp_path / "out", "dyglib")
    assert made["rows"] == {"ml_my_data_x.csv": 5, "ml_my_data_x.npy": 6, "ml_my_data_x_node.npy": 6}
    assert (tmp_path / "out" / "ml_my_data_x.csv").read_text().splitlines()[0] == ",u,i,ts,label,idx"
    table = pd.read_csv(tmp_path / "out" / "ml_my_data_x.csv")
    expected = [EVENTS[row] for row in BY_TIME]
    assert table[["u", "i", "ts"]].to_numpy().tolist() == [[u + 1, v + 1, t] for _, u, v, t, _ in expected]
    assert table["label"].tolist() == [LABEL_OF[event[4]] for event in expected]
    assert table["idx"].tolist() == [1, 2, 3, 4, 5]
    edges, nodes = (np.load(tmp_path / "out" / f"ml_my_data_x{end}.npy") for end in ("", "_node"))
    assert edges.dtype == nodes.dtype == np.float64
    assert edges[0].tolist() == [0, 0, 0]
    assert edges[1:].tolist() == [[WEIGHTS[row], *FEATURES[row].tolist()] for row in BY_TIME]
    assert nodes.shape == (6, 172)
    assert not nodes.any()


def test_dyglib_labels_are_0_where_there_are_none_at_all(tmp_path):
    export(write_folder(tmp_path / "none", node_labels={0: 1}), tmp_path / "a", "dyglib")
    assert pd.read_csv(tmp_path / "a" / "ml_test.csv")["label"].tolist() == [0] * 5
    assert np.load(tmp_path / "a" / "ml_test.npy").tolist() == [[0.0]] * 6
    export(write_folder(tmp_path / "some", event_labels=EVENT_LABELS[:2]), tmp_path / "b", "dyglib")
    assert pd.read_csv(tmp_path / "b" / "ml_test.csv")["label"].tolist() == [0, 1, -1, -1, -1]


def test_dyglib_takes_no_more_than_172_features(tmp_path):
    wide = write_folder(tmp_path / "p", features=np.zeros((5, 172), np.float32), weights=WEIGHTS)
    with pytest.raises(ConfigError, match="found 173 features an event, expected at most 172"):
        export(wide, tmp_path / "out", "dyglib")
    assert not (tmp_path / "out").exists()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 29), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40),
    st.integers(1, 50),
    st.booleans(),
)
def test_any_order_of_times(tmp_path_factory, rows, at_once, directed):
    """Ties, loops, repeated events: sorted by time, in file order where times are equal, nothing lost."""
    home = tmp_path_factory.mktemp("any")
    numbered = [(t // 10, src, dst, float(t), row) for row, (t, src, dst) in enumerate(rows)]
    events = sorted(numbered, key=lambda event: event[0])
    features = np.array([[event[4]] for event in events], np.float32)
    labels = [(event[4], event[1], event[0], event[4] % 2) for event in events]
    folder = write_folder(home / "p", events, RANGES, 6, features=features, event_labels=labels, directed=directed)
    expected = sorted(numbered, key=lambda event: event[3])
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch", None)
        export(folder, home / "tgl", "tgl", rows_at_once=at_once)
        export(folder, home / "dyglib", "dyglib", rows_at_once=at_once)
    edges = pd.read_csv(home / "tgl" / "edges.csv")
    assert edges[["src", "dst", "time"]].to_numpy().tolist() == [[u, v, t] for _, u, v, t, _ in expected]
    assert np.load(home / "tgl" / "edge_features.npy")[:, 0].tolist() == [event[4] for event in expected]
    ends = edges["src"].tolist(), edges["dst"].tolist(), edges["time"].tolist()
    assert read_npz(home / "tgl" / "ext_full.npz") == neighbours(*ends, range(len(rows)), 6, not directed)
    times = np.array([event[3] for event in expected])
    train, validation = np.quantile(times, [0.7, 0.85])
    assert edges["ext_roll"].tolist() == [0 if t <= train else 1 if t <= validation else 2 for t in times]
    table = pd.read_csv(home / "dyglib" / "ml_test.csv")
    assert table[["u", "i", "ts"]].to_numpy().tolist() == [[u + 1, v + 1, t] for _, u, v, t, _ in expected]
    assert table["label"].tolist() == [event[4] % 2 for event in expected]
    assert np.load(home / "dyglib" / "ml_test.npy")[1:, 0].tolist() == [event[4] for event in expected]


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_folder_gives_the_same_bytes_and_overwrites_only_its_own(tmp_path, form):
    folder, out = full_folder(tmp_path / "p"), tmp_path / "out"
    export(folder, out, form)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(DataError, match="add --overwrite"):
        export(folder, out, form)
    export(folder, out, form, overwrite=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    with pytest.raises(DataError, match="not overwritten"):
        export(folder, folder, form, overwrite=True)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("edges", {"src": [0, 1, 0, 2, 9]}, r"edges\.parquet: found src \d to 9, expected 0 to 4"),
        ("labels", {"label": [0, 1, 0, 7, 1]}, r"labels\.parquet: found label 0 to 7, expected 0 to 1"),
    ],
)
def test_a_broken_folder_leaves_nothing(tmp_path, form, name, change, message):
    folder = full_folder(tmp_path / "p")
    change_table(folder, name, lambda columns: columns.update(change))
    with pytest.raises(DataError, match=message):
        export(folder, tmp_path / "deep" / "out", form)
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_a_folder_whose_tables_do_not_agree_is_named(tmp_path):
    folder = full_folder(tmp_path / "p")
    change_table(folder, "edges", lambda columns: columns.update(time=[99.0] * 5))
    with pytest.raises(DataError, match=rf"^{folder}: snapshot: found 0 at row 0, .*; prepare the folder again$"):
        export(folder, tmp_path / "out", "tgl")


@pytest.mark.parametrize("name", ["edges", "edge_features"])
def test_tables_of_unequal_length_are_named(tmp_path, name):
    folder = full_folder(tmp_path / "p")
    change_table(folder, name, lambda columns: [values.pop() for values in columns.values()])
    with pytest.raises(DataError, match=rf"{name}\.parquet: found 4 rows, expected 5"):
        export(folder, tmp_path / "out", "csv")


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="found format 'dgl', expected one of csv, tgl, dyglib"):
        export(full_folder(tmp_path / "p"), tmp_path / "out", "dgl")


def test_progress_counts_events(tmp_path):
    folder = full_folder(tmp_path / "p")
    for form in FORMATS:
        told = []
        export(
            folder,
            tmp_path / form,
            form,
            progress=lambda text, total, told=told: told.append([text, total]) or told.append,
        )
        assert told == [["writing events", 5], 5]


def test_exporting_imports_no_pandas_and_csv_no_torch(tmp_path):
    folder = full_folder(tmp_path / "p")
    for form, heavy in (("csv", {"pandas", "torch", "dgl"}), ("dyglib", {"pandas", "torch", "dgl"}), ("tgl", {"dgl"})):
        program = (
            f"import sys; from pathlib import Path; from data_prep.export import export\n"
            f"export(Path({str(folder)!r}), Path({str(tmp_path / form)!r}), {form!r})\n"
            f"print(sorted({heavy} & set(sys.modules)))"
        )
        assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"


def test_export_json_says_how_it_was_made(tmp_path):
    export(full_folder(tmp_path / "p"), tmp_path / "out", "csv", shift_time=True)
    assert json.loads((tmp_path / "out" / "export.json").read_text()) == {
        "schema_version": 1,
        "format": "csv",
        "dataset": "test",
        "time_shift": 0.0,
        "rows": {"nodes.csv": 5, "edges.csv": 5, "labels.csv": 5},
    }


def table(**changes):
    rows = {"src": [0, 1, 0], "dst": [2, 2, 3], "time": [0.0, 1.5, 1.5], "num_nodes": 5, "name": "a b"}
    return EventTable.from_rows(**{**rows, "edge_feat": np.arange(6).reshape(3, 2), **changes})


def test_features_of_nodes_of_a_table(tmp_path, monkeypatch):
    node_feat = np.arange(10, dtype=np.float32).reshape(5, 2) + 1
    some = table(node_feat=node_feat)
    assert export_table(some, tmp_path / "a", "tgl")["rows"]["node_features.pt"] == 5
    assert torch.load(tmp_path / "a" / "node_features.pt", weights_only=True).tolist() == node_feat.tolist()
    export_table(some, tmp_path / "b", "dyglib")
    assert np.load(tmp_path / "b" / "ml_a_b_node.npy").tolist() == [[0, 0], *node_feat.tolist()]
    monkeypatch.setitem(sys.modules, "torch", None)
    assert export_table(some, tmp_path / "c", "tgl")["rows"]["node_features.npy"] == 5
    assert np.array_equal(np.load(tmp_path / "c" / "node_features.npy"), node_feat)
    with pytest.raises(ConfigError, match="a b: found 173 features a node, expected at most 172"):
        export_table(table(node_feat=np.zeros((5, 173))), tmp_path / "d", "dyglib")
    assert not (tmp_path / "d").exists()


def test_the_marker_says_what_the_files_of_a_table_do_not(tmp_path):
    about = {
        "directed": True,
        "time_unit": "days",
        "node_offset": 2,
        "weight_is_first_feature": True,
        "edge_features": True,
        "node_features": False,
        "labels": "event",
    }
    some = table(time_unit="days", node_offset=2, edge_weight=[1, 2, 3], event_label=[-1, 0, -1])
    for form in ("tgl", "dyglib"):
        export_table(some, tmp_path / form, form, time_shift=1.0)
        marker = json.loads((tmp_path / form / MARKER).read_text())
        assert (marker["dataset"], marker["schema_version"], marker["time_shift"]) == ("a b", 1, 1.0)
        assert marker["about"] == about
    other = export_table(
        table(edge_feat=None, edge_weight=[1, 2, 3], node_label=[0, 1, 0, 0, 0]), tmp_path / "c", "tgl"
    )
    assert (other["about"]["edge_features"], other["about"]["labels"]) == (False, "node")


def test_a_failure_leaves_nothing(tmp_path):
    with fails("w */edges.csv", OSError(28, "full")), pytest.raises(OSError, match="full"):
        export_table(table(), tmp_path / "out", "tgl")
    assert not list(tmp_path.iterdir())
