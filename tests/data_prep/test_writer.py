"""Folders that are there whole or not at all, and Parquet files."""

import errno
import json
import os
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep import PrepareOptions, pipeline, writer
from data_prep.rules import Rule
from data_prep.writer import TableWriter, ahead, arrow, rows_a_group, strings, write_table
from dgl_dysign.data import schema
from dgl_dysign.data.verify import verify
from dgl_dysign.errors import BackendError, ConfigError, DataError
from tests.data_prep.brute import contents
from tests.data_prep.faults import fails

NO_ROOM = OSError(errno.ENOSPC, "No space left on device")


def prepare(raw, out, overwrite=False, rule=None):
    return pipeline.prepare("dblp", raw, out, PrepareOptions(every=rule, features="none", overwrite=overwrite))


def names(folder):
    return sorted(os.listdir(folder))


def cut_off(out, plan, error, found=None):
    """Begin to write, and be cut off; `found` is told what a run before has left."""
    with writer.work_folder(out, plan) as work:
        if found is not None:
            found += names(work)
        (work / "done.json").write_text("{}")
        (work / "new" / "table").write_text("rows")
        raise error


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def test_a_folder_is_replaced_only_when_it_is_ours_and_asked_for(raw, home):
    out = home / "out"
    out.mkdir()
    with pytest.raises(DataError, match="--overwrite"):
        writer.check_target(out, overwrite=False)
    writer.check_target(out, overwrite=True)
    (out / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match=r"found no manifest\.json of ours"):
        writer.check_target(out, overwrite=True)
    for text in ('{"name": "a browser extension"}', "7", "[]", "\xff", '"schema_version"', '["schema_version"]'):
        (out / "manifest.json").write_text(text, encoding="latin-1")
        with pytest.raises(DataError, match=r"found no manifest\.json of ours"):
            writer.check_target(out, overwrite=True)
    file = home / "file"
    file.write_text("text")
    for overwrite, said in ((False, "found an existing path"), (True, r"found no manifest\.json of ours")):
        with pytest.raises(DataError, match=said):
            writer.check_target(file, overwrite=overwrite)
    prepare(raw, home / "ours")
    (home / "ours" / "old").write_text("old")
    prepare(raw, home / "ours", overwrite=True)
    assert not (home / "ours" / "old").exists()
    assert names(home) == ["file", "ours", "out"]


def test_new_folder_takes_its_place_whole_or_vanishes_with_the_parents_it_made(home):
    out = home / "new" / "deep" / "out"
    with pytest.raises(IsADirectoryError), writer.new_folder(out) as folder:
        folder.write_text("not a file")
    assert names(home) == []
    with writer.new_folder(out) as folder:
        (folder / "manifest.json").write_text('{"schema_version": 1}')
        assert not out.exists()
    assert names(out) == ["manifest.json"]
    with pytest.raises(DataError, match="--overwrite"), writer.new_folder(out):
        pass
    with writer.new_folder(out, overwrite=True) as folder:
        (folder / "other").write_text("other")
        assert names(out) == ["manifest.json"]
    assert (names(out), names(out.parent)) == (["other"], ["out"])


def test_new_folder_clears_up_behind_killed_runs_and_refuses_live_ones(raw, home):
    prepare(raw, home / ".out.old")
    for name in (".out.new", ".other.new"):
        (home / name).mkdir()
        (home / name / "half").write_text("half")
    with pytest.raises(DataError, match="--overwrite"), writer.new_folder(home / "out"):
        pass
    verify(home / "out")
    assert names(home) == [".other.new", "out"]
    with writer.new_folder(home / "b") as first:
        (first / "a").write_text("a")
        with pytest.raises(DataError, match="another run"), writer.new_folder(home / "b"):
            pass
        with writer.new_folder(home / "c"):
            pass
    assert names(home / "b") == ["a"]


def test_of_two_runs_into_one_folder_the_second_is_refused(raw, home):
    out = home / "out"
    with writer.work_folder(out, {"plan": 1}) as work:
        with pytest.raises(DataError, match="another run"):
            prepare(raw, out)
        prepare(raw, home / "other")
        (work / "new" / "mine").write_text("mine")
    assert names(out) == ["mine"]
    assert names(home) == ["other", "out"]


@pytest.mark.parametrize("error", [DataError("bad row"), ConfigError("bad option"), BackendError("no Dask")])
def test_wrong_input_leaves_nothing_not_even_the_parents(home, error):
    out = home / "new" / "deep" / "out"
    with pytest.raises(type(error), match=str(error)):
        cut_off(out, {}, error)
    assert names(home) == []
    (home / "kept").mkdir()
    with pytest.raises(type(error), match=str(error)):
        cut_off(home / "kept" / "out", {}, error)
    assert names(home) == ["kept"]


@pytest.mark.parametrize("error", [NO_ROOM, KeyboardInterrupt(), MemoryError()])
def test_the_same_plan_goes_on_and_another_starts_afresh(home, error):
    def begin(plan):
        found = []
        with pytest.raises(type(error)):
            cut_off(home / "out", plan, error, found)
        return found

    assert begin({"a": 1, "b": 2}) == ["new", "plan.json"]
    assert names(home) == [".out.work"]
    assert begin({"b": 2, "a": 1}) == ["done.json", "new", "plan.json"]
    assert begin({"a": 1}) == ["new", "plan.json"]
    (home / ".out.work" / "plan.json").write_bytes(b"\xff{half")
    assert begin({"a": 1}) == ["new", "plan.json"]


def test_after_a_restart_of_the_machine_nothing_is_trusted(home):
    with pytest.raises(KeyboardInterrupt):
        cut_off(home / "out", {}, KeyboardInterrupt())
    plan = home / ".out.work" / "plan.json"
    plan.write_text(json.dumps({**json.loads(plan.read_text()), "boot": "another start"}))
    with writer.work_folder(home / "out", {}) as work:
        assert names(work) == ["new", "plan.json"]


def test_killed_while_it_cleaned_up_a_run_is_not_gone_on_with(raw, home, monkeypatch):
    """Between the result's move into place and the end of the removal, at any point of it."""
    good = prepare(raw, home / "good")
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda *_, **__: None)
        prepare(raw, home / "out")
    assert names(home) == [".out.work", "good", "out"]
    assert prepare(raw, home / "out", overwrite=True) == good
    # Another plan begins, and is killed when it has removed some files of the first one.
    with fails("* */.manifest.json.*", KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        prepare(raw, home / "b")

    def some(path, **_):
        if path.name == "new":
            (path / "edges.parquet").unlink()
            raise KeyboardInterrupt

    monkeypatch.setattr("shutil.rmtree", some)
    with pytest.raises(KeyboardInterrupt):
        prepare(raw, home / "b", rule=Rule("count", count=2))
    monkeypatch.undo()
    assert prepare(raw, home / "b") == good
    assert contents(home / "b") == contents(home / "good") == contents(home / "out")


def test_the_old_folder_stays_until_the_new_one_is_whole(raw, home):
    out = home / "out"
    prepare(raw, out)
    old = contents(out)
    (raw / "dblp.txt").write_text("0 1 0.0\n3 1 2.0\n")
    for place in ("None */.out.work/new", "move */.out.old"):
        with fails(place, NO_ROOM), pytest.raises(OSError, match="No space"):
            prepare(raw, out, overwrite=True)
    assert contents(out) == old
    # Killed with the old one moved aside and the new one not yet there.
    out.rename(home / ".out.old")
    (raw / "node2label.txt").write_text("bad\n")
    with pytest.raises(DataError, match="found 1 columns"):
        prepare(raw, out, overwrite=True)
    (raw / "node2label.txt").write_text("0 1\n")
    with pytest.raises(DataError, match="add --overwrite"):
        prepare(raw, out)
    assert contents(out) == old
    assert prepare(raw, out, overwrite=True)["num_edges"] == 2
    assert names(home) == ["out"]
    # Killed with the new one there and the old one not yet removed.
    prepare(raw, home / ".out.old")
    with pytest.raises(DataError, match="add --overwrite"):
        prepare(raw, out)
    assert names(home) == ["out"]


def test_a_folder_that_a_live_run_has_moved_aside_is_left_to_it(raw, home):
    prepare(raw, home / ".out.old")
    with writer.work_folder(home / "other", {}):
        (home / ".other.work").rename(home / ".out.work")  # as if that run wrote `out`
        with pytest.raises(DataError, match="another run"):
            prepare(raw, home / "out", overwrite=True)
        assert names(home) == [".out.old", ".out.work"]
        (home / ".out.work").rename(home / ".other.work")
    assert prepare(raw, home / "out", overwrite=True)["num_edges"] == 6
    assert names(home) == ["other", "out"]


def test_paths_of_every_kind(raw, home, monkeypatch):
    monkeypatch.chdir(home)
    good = prepare(raw, Path("relative"))
    prepare(raw, Path("a/b/../c/"))
    (home / "link").symlink_to("linked")
    prepare(raw, home / "link")
    assert (home / "link").is_symlink()
    assert names(home) == ["a", "link", "linked", "relative"]
    assert names(home / "a") == ["c"]
    for path in ("relative", "a/c", "linked"):
        assert verify(home / path) == good
    prepare(raw, home / "link", overwrite=True)
    assert (home / "link").is_symlink()
    with pytest.raises(OSError, match="Not a directory"):
        prepare(raw, home / "relative" / "edges.parquet" / "out")
    assert contents(home / "relative") == contents(home / "linked")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_parent_that_may_not_be_written(raw, home):
    home.chmod(0o500)
    with pytest.raises(PermissionError):
        prepare(raw, home / "out")
    home.chmod(0o700)
    assert names(home) == []


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.float64, np.float32])
def test_numpy_arrays_become_arrow_without_a_copy(kind):
    values = np.arange(6, dtype=kind)
    assert arrow(values).to_pylist() == values.tolist()
    assert arrow(values[::2]).to_pylist() == values[::2].tolist()
    lists = arrow(values.reshape(3, 2))
    assert lists.to_pylist() == values.reshape(3, 2).tolist()
    assert pa.types.is_fixed_size_list(lists.type)
    assert arrow(values[:0]).to_pylist() == []


@given(st.lists(st.text()))
def test_strings_become_arrow(values):
    found = strings(values)
    assert found.to_pylist() == values
    found.validate(full=True)


def test_strings_of_more_than_two_gigabytes_are_refused(monkeypatch):
    class Long(bytes):
        def __len__(self):
            return 2**30

    class Text(str):
        def encode(self):
            return Long()

    with pytest.raises(DataError, match="found names of 2147483648 bytes together, expected less than 2 GiB"):
        strings([Text()] * 2)


@pytest.mark.parametrize(
    ("width", "rows"), [(1, 65536), (2, 65536), (16, 65536), (172, 4096), (4096, 256), (65536, 256)]
)
def test_row_groups_of_vectors_stay_near_four_megabytes(width, rows):
    assert rows_a_group(width) == rows


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(1, 12))
def test_the_bytes_do_not_depend_on_the_pieces(tmp_path_factory, sizes, group):
    folder, total = tmp_path_factory.mktemp("pieces"), sum(sizes)
    rng = np.random.default_rng(total)
    columns = {
        "snapshot": np.sort(rng.integers(0, 3, total)).astype(np.int32),
        "src": rng.integers(0, 2**40, total),
        "dst": rng.integers(0, 5, total),
        "time": rng.random(total),
        "edge_id": np.arange(total),
        "other": np.arange(total),
    }
    write_table(folder / "whole.parquet", schema.EDGES, columns, group)
    with TableWriter(folder / "pieces.parquet", schema.EDGES, group) as file:
        at = 0
        for size in sizes:
            file.write({name: values[at : at + size] for name, values in columns.items()})
            at += size
    assert (folder / "pieces.parquet").read_bytes() == (folder / "whole.parquet").read_bytes()
    table = pq.read_table(folder / "pieces.parquet")
    assert table.schema.equals(schema.EDGES)
    assert table.to_pydict() == {name: columns[name].tolist() for name in schema.EDGES.names}
    groups = pq.read_metadata(folder / "pieces.parquet")
    counts = [groups.row_group(number).num_rows for number in range(groups.num_row_groups)]
    assert counts == [group] * (total // group) + [total % group] * (total % group > 0)


def test_large_pieces_of_uneven_sizes_give_the_same_bytes(tmp_path):
    rng, rows = np.random.default_rng(0), 150_001
    feat = rng.random((rows, 20)).astype(np.float32)
    kind = schema.feature_schema(20)
    write_table(tmp_path / "whole.parquet", kind, {"feat": feat})
    with TableWriter(tmp_path / "pieces.parquet", kind) as file:
        for first in range(0, rows, 12_347):
            file.write({"feat": feat[first : first + 12_347]})
    assert (tmp_path / "pieces.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    found = schema.to_numpy(pq.read_table(tmp_path / "pieces.parquet")["feat"])
    assert np.array_equal(found, feat)


def test_an_empty_table_can_be_read(tmp_path):
    columns = {"node": np.empty(0, np.int64), "label": np.empty(0, np.int32)}
    write_table(tmp_path / "a.parquet", schema.LABELS, columns)
    assert pq.read_table(tmp_path / "a.parquet").num_rows == 0


def test_encodings_are_fixed_and_pages_have_checksums(tmp_path):
    columns = {
        "snapshot": np.zeros(9, np.int32), "src": np.arange(9), "dst": np.arange(9),
        "time": np.arange(9.0), "edge_id": np.arange(9), "weight": np.arange(9.0),
    }  # fmt: skip
    write_table(tmp_path / "a.parquet", schema.WEIGHTED_EDGES, columns)
    group = pq.read_metadata(tmp_path / "a.parquet").row_group(0)
    found = {group.column(at).path_in_schema: group.column(at).encodings for at in range(group.num_columns)}
    for name in ("snapshot", "src", "dst", "edge_id"):
        assert "DELTA_BINARY_PACKED" in found[name]
    for name in ("time", "weight"):
        assert "BYTE_STREAM_SPLIT" in found[name]


def test_damaged_pages_are_seen(tmp_path):
    columns = {"node": np.random.default_rng(0).integers(0, 2**60, 1000), "label": np.zeros(1000, np.int32)}
    write_table(tmp_path / "a.parquet", schema.LABELS, columns)
    column = pq.read_metadata(tmp_path / "a.parquet").row_group(0).column(0)
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    data[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    (tmp_path / "a.parquet").write_bytes(data)
    with pytest.raises(OSError, match=r"CRC|checksum"):
        pq.ParquetFile(tmp_path / "a.parquet", page_checksum_verification=True).read()


def test_a_writer_that_fails_closes_its_file(tmp_path):
    with pytest.raises(KeyError), TableWriter(tmp_path / "a.parquet", schema.LABELS) as file:
        file.write({"node": np.arange(3)})
    (tmp_path / "a.parquet").unlink()


def test_items_come_in_order_and_some_ahead():
    made = []

    def items():
        for number in range(20):
            made.append(number)
            yield number

    found = ahead(items(), depth=2)
    assert next(found) == 0
    until = time.monotonic() + 5
    while len(made) < 4 and time.monotonic() < until:
        time.sleep(0.001)
    time.sleep(0.02)
    assert len(made) <= 5
    assert list(found) == list(range(1, 20))


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_error_comes_after_the_items_before_it(error):
    def items():
        yield 1
        yield 2
        raise error

    found = ahead(items())
    assert [next(found), next(found)] == [1, 2]
    with pytest.raises(type(error)) as caught:
        next(found)
    assert caught.value is error


def test_who_stops_early_leaves_no_thread_behind():
    before = threading.active_count()
    found = ahead(iter(range(10**9)))
    assert next(found) == 0
    found.close()
    assert threading.active_count() == before
