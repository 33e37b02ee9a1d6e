"""Events in memory become the folder that a raw file with them becomes."""

import filecmp
import json
from pathlib import Path

import numpy as np
import pytest

from data_prep.arrays import Arrays, prepare_arrays
from data_prep.cli import app
from data_prep.pipeline import Options
from data_prep.rules import Rule
from dgl_dysign.data import schema
from dgl_dysign.data.verify import verify
from dgl_dysign.errors import DataError

SRC, DST = np.array([2, 0, 1, 2, 0, 0]), np.array([0, 1, 2, 0, 3, 3])
TIME = np.array([10.0, 0.5, 3.25, 10.0, 7.0, 0.5])


def columns(**others: np.ndarray) -> dict[str, np.ndarray]:
    return {"src": SRC, "dst": DST, "time": TIME, **others}


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
    ours = prepare_arrays(Arrays(columns(weight=weight), 4), tmp_path / "b", Options(rule))
    verify(tmp_path / "b")
    names = ["edges.parquet", "nodes.parquet", "snapshots.parquet"]
    assert filecmp.cmpfiles(tmp_path / "a", tmp_path / "b", names, shallow=False) == (names, [], [])
    same = "num_nodes", "num_edges", "num_snapshots", "snapshot_rule", "time_range", "duplicate_rows"
    assert {key: ours[key] for key in same} == {key: manifest[key] for key in same}
    assert ours["duplicate_rows"] == 1


def test_equal_arrays_give_equal_bytes_and_others_another_source(tmp_path):
    first = prepare_arrays(Arrays(columns(), 4), tmp_path / "a", Options(Rule("step")))
    again = prepare_arrays(Arrays(columns(), 4), tmp_path / "b", Options(Rule("step")))
    assert first == again
    other = prepare_arrays(Arrays(columns(label=np.zeros(6, int)), 4), tmp_path / "c", Options(Rule("step")))
    assert other["sources"][0]["sha256"] != first["sources"][0]["sha256"]
    assert first["sources"][0]["rows"] == 6


def test_a_run_that_was_cut_off_does_not_go_on_with_other_arrays(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(schema, "write_manifest", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare_arrays(Arrays(columns(), 4), tmp_path / "out", Options(Rule("step")))
    assert (tmp_path / ".out.work").exists()
    other = {**columns(), "src": np.array([3, 3, 3, 3, 3, 3])}
    prepare_arrays(Arrays(other, 4), tmp_path / "out", Options(Rule("step")))
    assert schema.table(tmp_path / "out", "edges")["src"].to_pylist() == [3] * 6
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_labels_of_some_events_have_rows_for_those(tmp_path):
    label = np.array([-1, 3, -1, 0, -1, 0])
    manifest = prepare_arrays(Arrays(columns(label=label), 4), tmp_path / "out", Options(Rule("step")))
    assert (manifest["labels"], manifest["class_names"]) == ("event", ["0", "1", "2", "3"])
    rows = schema.table(tmp_path / "out", "labels", expected=schema.EVENT_LABELS).to_pylist()
    assert [(row["edge_id"], row["node"], row["label"]) for row in rows] == [(1, 0, 3), (5, 0, 0), (3, 2, 0)]
    verify(tmp_path / "out")


def test_two_types_of_nodes(tmp_path):
    given = {"src": np.array([0, 1]), "dst": np.array([3, 3]), "time": np.array([0.0, 1.0])}
    arrays = Arrays(given, 5, second=3, types=("author", "paper"))
    manifest = prepare_arrays(arrays, tmp_path / "out", Options(Rule("step")))
    assert manifest["id_offsets"] == {"author": 0, "paper": 3}
    nodes = schema.table(tmp_path / "out", "nodes")
    assert nodes["type"].to_pylist() == ["author"] * 3 + ["paper"] * 2
    assert nodes["raw_id"].to_pylist() == ["0", "1", "2", "3", "4"]
    assert nodes["first_snapshot"].to_pylist() == [0, 1, -1, 0, -1]
    verify(tmp_path / "out")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (lambda: Arrays({name: values[:0] for name, values in columns().items()}, 4), "found none"),
        (lambda: Arrays(columns(weight=np.full(6, np.inf)), 4), "nan or inf among weight"),
        (lambda: Arrays(columns(label=np.full(6, 1 << 40)), 4), "expected numbers below 65536"),
        (lambda: Arrays(columns(), 1 << 33), "number anew"),
    ],
)
def test_what_cannot_be_prepared(arrays, message):
    with pytest.raises(DataError, match=message):
        arrays()


def test_no_engine_reads_and_nothing_else_is_left(tmp_path: Path):
    prepare_arrays(Arrays(columns(), 4), tmp_path / "out", Options(Rule("step"), features="degree"))
    verify(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
