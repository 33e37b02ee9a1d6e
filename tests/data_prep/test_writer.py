import json
import os

import numpy as np
import pytest

from data_prep import writer
from data_prep.snapshots import arrange
from data_prep.sources import dblp
from dgl_dysign.data import schema
from dgl_dysign.errors import DataError


def write(raw, folder, **options):
    data = dblp.read(raw)
    with writer.new_folder(folder) as new:
        return writer.write_prepared(new, data, arrange(data.src, data.dst, data.time), **options)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_table_holds_what_the_raw_files_say(raw, tmp_path):
    manifest = write(raw, tmp_path / "out")
    assert manifest == schema.verify(tmp_path / "out")
    assert schema.table(tmp_path / "out", "edges").to_pydict() == {
        "snapshot": [0, 0, 0, 1, 3, 3],
        "src": [0, 1, 0, 2, 3, 1],
        "dst": [1, 2, 1, 0, 1, 3],
        "time": [0.0, 0.0, 0.0, 0.333333, 1.0, 1.0],
        "edge_id": [0, 1, 2, 3, 4, 5],
    }
    snapshots = schema.table(tmp_path / "out", "snapshots").to_pydict()
    assert snapshots["first_row"] == [0, 3, 4, 4]
    assert snapshots["num_rows"] == [3, 1, 0, 2]
    assert snapshots["time_begin"] == snapshots["time_end"]
    np.testing.assert_allclose(snapshots["time_begin"], [0, 0.333333, 2 / 3, 1])
    assert schema.table(tmp_path / "out", "nodes").to_pydict() == {
        "node": [0, 1, 2, 3],
        "raw_id": ["0", "1", "2", "3"],
        "type": [None] * 4,
        "first_snapshot": [0, 0, 0, 3],
    }
    assert schema.table(tmp_path / "out", "labels").to_pydict() == {"node": [0, 1, 3], "label": [0, 1, 1]}
    del manifest["files"], manifest["sources"]
    assert manifest == {
        "schema_version": 1,
        "dataset": "dblp",
        "num_nodes": 4,
        "num_edges": 6,
        "num_snapshots": 4,
        "num_classes": 2,
        "class_names": ["2", "7"],
        "labels": "node",
        "directed": False,
        "snapshot_rule": {"kind": "grid", "origin": 0.0, "step": 1 / 3},
        "time_unit": "as in the file",
        "time_range": [0.0, 1.0],
        "id_offsets": {"node": 0},
        "duplicate_rows": 1,
        "rejected_rows": 0,
        "features": None,
        "tool_version": manifest["tool_version"],
    }


def test_features_are_written_once_a_snapshot_bit_by_bit(raw, tmp_path):
    arrays = [np.random.default_rng(t).standard_normal((4, 3)).astype(np.float32) for t in range(4)]
    told = []
    options = {"feature_params": {"kind": "made", "seed": 1}, "on_snapshot": lambda: told.append(1)}
    manifest = write(raw, tmp_path / "out", features=iter(arrays), **options)
    assert manifest["features"] == {"kind": "made", "seed": 1, "dim": 3}
    assert len(told) == 4
    schema.verify(tmp_path / "out")
    for t, array in enumerate(arrays):
        column = schema.table(tmp_path / "out", schema.feature_name(t))["feat"].combine_chunks()
        assert np.array_equal(column.flatten().to_numpy().reshape(4, 3), array)


def test_the_same_input_gives_the_same_bytes(raw, tmp_path):
    arrays = [np.eye(4, 2, dtype=np.float32)] * 4
    for name in ("a", "b"):
        write(raw, tmp_path / name, features=arrays)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_nothing_is_left_when_writing_fails(tmp_path):
    out = tmp_path / "new" / "deep" / "out"
    with pytest.raises(IsADirectoryError), writer.new_folder(out) as folder:
        folder.write_text("not a file")
    assert not list(tmp_path.iterdir())


def test_a_folder_is_replaced_only_when_it_is_ours_and_asked_for(raw, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(DataError, match="--overwrite"):
        writer.check_target(out, overwrite=False)
    writer.check_target(out, overwrite=True)
    (out / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match=r"found no manifest\.json of ours"):
        writer.check_target(out, overwrite=True)
    (out / "manifest.json").write_text('{"name": "a browser extension"}')
    with pytest.raises(DataError, match=r"found no manifest\.json of ours"):
        writer.check_target(out, overwrite=True)
    file = tmp_path / "file"
    file.write_text("text")
    with pytest.raises(DataError, match=r"found no manifest\.json of ours"):
        writer.check_target(file, overwrite=True)
    write(raw, tmp_path / "ours")
    (tmp_path / "ours" / "old").write_text("old")
    with writer.new_folder(tmp_path / "ours", overwrite=True) as folder:
        (folder / "manifest.json").write_text(json.dumps({"schema_version": 1}))
    assert os.listdir(tmp_path / "ours") == ["manifest.json"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_a_killed_run_left_is_removed_and_what_it_moved_is_put_back(raw, tmp_path):
    out = tmp_path / "out"
    write(raw, tmp_path / ".out.old")
    (tmp_path / ".out.new-1").mkdir()
    (tmp_path / ".out.new-1" / "half").write_text("half")
    (tmp_path / ".other.new-1").mkdir()
    with pytest.raises(DataError, match="--overwrite"), writer.new_folder(out):
        pass
    schema.verify(out)
    assert sorted(os.listdir(tmp_path)) == [".other.new-1", "out", "raw"]


def test_two_runs_into_one_folder_do_not_meet(tmp_path):
    with writer.new_folder(tmp_path / "out") as first:
        (first / "a").write_text("a")
        with pytest.raises(DataError, match="another run"), writer.new_folder(tmp_path / "out"):
            pass
        with writer.new_folder(tmp_path / "other"):
            pass
    assert (tmp_path / "out" / "a").exists()
