"""A table of events becomes the folder that a raw file with them becomes."""

import filecmp
import json

import numpy as np
import pytest

from data_prep import PrepareOptions, prepare
from data_prep.cli import app
from data_prep.rules import Rule
from dgl_dysign.data import schema
from dgl_dysign.data.verify import verify
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.events import EventTable
from tests.data_prep.faults import fails

SRC, DST = np.array([2, 0, 1, 2, 0, 0]), np.array([0, 1, 2, 0, 3, 3])
TIME = np.array([10.0, 0.5, 3.25, 10.0, 7.0, 0.5])


def table(**others):
    return EventTable.from_rows(**{"src": SRC, "dst": DST, "time": TIME, "num_nodes": 4, **others})


@pytest.mark.parametrize(
    ("given_rule", "rule"),
    [
        (["--every", "step"], Rule("step")),
        (["--every", "2"], Rule("every", width=2)),
        (["--snapshots", "3", "--merge", "2"], Rule("count", count=3, merge=2)),
    ],
)
def test_bytes_are_those_of_a_raw_file(tmp_path, given_rule, rule):
    weight = np.array([1, -2, 0.5, 1, 3, 4])
    rows = zip(SRC, DST, TIME, weight, strict=True)
    (tmp_path / "raw.csv").write_text("a,b,t,w\n" + "".join(f"{s},{d},{t},{w}\n" for s, d, t, w in rows))
    given = ["--src", "a", "--dst", "b", "--time", "t", "--weight", "w"]
    app(
        ["edges", str(tmp_path / "raw.csv"), str(tmp_path / "a"), *given, *given_rule, "--quiet"], standalone_mode=False
    )
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    ours = prepare("mine", table(edge_weight=weight), tmp_path / "b", PrepareOptions(every=rule))
    verify(tmp_path / "b")
    names = ["edges.parquet", "nodes.parquet", "snapshots.parquet"]
    assert filecmp.cmpfiles(tmp_path / "a", tmp_path / "b", names, shallow=False) == (names, [], [])
    same = "num_nodes", "num_edges", "num_snapshots", "snapshot_rule", "time_range", "duplicate_rows"
    assert {key: ours[key] for key in same} == {key: manifest[key] for key in same}
    assert ours["duplicate_rows"] == 1


def test_equal_arrays_give_equal_bytes_and_others_another_source(tmp_path):
    first = prepare("mine", table(), tmp_path / "a")
    again = prepare("mine", table(), tmp_path / "b")
    assert first == again
    other = prepare("mine", table(event_label=np.zeros(6, int)), tmp_path / "c")
    assert other["sources"][0]["sha256"] != first["sources"][0]["sha256"]
    assert first["sources"][0]["rows"] == 6


def test_a_run_that_was_cut_off_does_not_go_on_with_another_table(tmp_path):
    with fails("* */.manifest.json.*", KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        prepare("mine", table(), tmp_path / "out")
    assert (tmp_path / ".out.work").exists()
    prepare("mine", table(src=[3, 3, 3, 3, 3, 3]), tmp_path / "out")
    assert schema.table(tmp_path / "out", "edges")["src"].to_pylist() == [3] * 6
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_labels_of_some_events_have_rows_for_those(tmp_path):
    label = np.array([-1, 3, -1, 0, -1, 0])
    manifest = prepare("mine", table(event_label=label), tmp_path / "out")
    assert (manifest["labels"], manifest["class_names"]) == ("event", ["0", "1", "2", "3"])
    rows = schema.table(tmp_path / "out", "labels", expected=schema.EVENT_LABELS).to_pylist()
    assert [(row["edge_id"], row["node"], row["label"]) for row in rows] == [(1, 0, 3), (5, 0, 0), (3, 2, 0)]
    verify(tmp_path / "out")


def test_two_types_of_nodes(tmp_path):
    rows = {"src": [0, 1], "dst": [3, 3], "time": [0, 1], "num_nodes": 5, "node_offset": 3}
    manifest = prepare("mine", table(**rows, node_label=[-1, 0, 1, 0, 2]), tmp_path / "out")
    assert (manifest["dataset"], manifest["labels"], manifest["class_names"]) == ("mine", "node", ["0", "1", "2"])
    assert schema.table(tmp_path / "out", "labels").to_pydict() == {"node": [1, 2, 3, 4], "label": [0, 1, 0, 2]}
    assert manifest["id_offsets"] == {"user": 0, "item": 3}
    nodes = schema.table(tmp_path / "out", "nodes")
    assert nodes["type"].to_pylist() == ["user"] * 3 + ["item"] * 2
    assert nodes["raw_id"].to_pylist() == ["0", "1", "2", "3", "4"]
    assert nodes["first_snapshot"].to_pylist() == [0, 1, -1, 0, -1]
    verify(tmp_path / "out")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"src": [], "dst": [], "time": []}, "found none"),
        ({"edge_feat": np.full((6, 1), np.inf)}, "nan or inf among feat"),
        ({"event_label": np.full(6, 1 << 40)}, "expected numbers below 65536"),
        ({"num_nodes": 1 << 33}, "number anew"),
    ],
)
def test_what_cannot_be_prepared(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        prepare("mine", table(**rows), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_no_engine_reads_and_nothing_else_is_left(tmp_path):
    prepare("mine", table(), tmp_path / "out", PrepareOptions(features="degree"))
    verify(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_its_own_snapshots_are_kept_unless_there_is_another_rule(tmp_path):
    own = table(snapshot=[1, 0, 0, 1, 0, 0], snapshot_begin=[0, 8], snapshot_end=[8, 20])
    for name, options, number in (
        ("own", PrepareOptions(), 2),
        ("rule", PrepareOptions(every=Rule("every", width=2.0)), 5),
        ("steps", PrepareOptions(merge=2), 2),
        ("count", PrepareOptions(snapshots=3), 3),
    ):
        assert prepare("mine", own, tmp_path / name, options)["num_snapshots"] == number
    assert schema.read_manifest(tmp_path / "own")["snapshot_rule"] == {"kind": "given"}
    assert schema.read_manifest(tmp_path / "steps")["snapshot_rule"]["kind"] == "rank"


@pytest.mark.parametrize(
    ("dataset", "options", "message"),
    [
        ("dblp", {"src": "a"}, "found src = 'a', expected no such option here; the format of dblp is known"),
        ("dblp", {"undirected": True}, "found undirected = True"),
        ("dblp", {"names_of": "x"}, "found names_of = 'x', expected no such option here; give it with a table"),
        ("table", {"delimiter": ";"}, "found delimiter = ';'"),
        ("imdb", {}, "dataset must be one of 'dblp', 'tmall'"),
    ],
)
def test_options_that_would_have_no_effect_are_refused(raw, tmp_path, dataset, options, message):
    with pytest.raises(ConfigError, match=message):
        prepare(dataset, table() if dataset == "table" else raw, tmp_path / "out", PrepareOptions(**options))
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_options_have_values_of_a_few():
    with pytest.raises(ConfigError, match="--on-error: found ignore, expected one of stop, quarantine"):
        PrepareOptions(on_error="ignore")


def test_dblp_has_spectral_features_unless_others_are_wanted(raw, tmp_path):
    assert prepare("dblp", raw, tmp_path / "a", PrepareOptions(dim=3))["features"]["kind"] == "spectral"
    assert prepare("dblp", table(), tmp_path / "b")["features"] is None
    options = PrepareOptions(features="degree", feature_options={"seed": 3})
    assert prepare("dblp", raw, tmp_path / "c", options)["features"]["seed"] == 3
