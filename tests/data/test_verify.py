"""A prepared folder, broken in every way we know: each is found, and the right file is named."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgl_dysign.data import schema
from dgl_dysign.data.verify import verify
from dgl_dysign.errors import DataError
from tests.folders import (
    EVENT_LABELS,
    EVENTS,
    RANGES,
    SOURCE,
    change_manifest,
    change_table,
    full_folder,
    hashes,
    write_folder,
)

ROOT = Path(__file__).parents[2]


def checks(folder, rows_at_once=1 << 20):
    counts = {}
    verify(folder, on_check=counts.__setitem__, rows_at_once=rows_at_once)
    return counts


def test_what_was_checked_is_counted(tmp_path):
    folder = full_folder(tmp_path / "full", node_features=list(np.zeros((3, 5, 4), np.float32)))
    assert checks(folder) == {
        "manifest entries": 22,
        "file hashes": 9,
        "snapshot ranges": 3,
        "events": 5,
        "edge ids": 5,
        "repeated events": 1,
        "weights": 5,
        "event labels": 5,
        "nodes": 5,
        "first snapshots": 5,
        "edge features": 5,
        "feature files": 3,
        "rejected rows": 1,
    }
    found = checks(write_folder(tmp_path / "nodes", node_labels={4: 0, 1: 1}))
    assert found["node labels"] == 2
    assert "event labels" not in found
    assert checks(write_folder(tmp_path / "plain"))["events"] == 5
    assert checks(full_folder(tmp_path / "unlabelled", event_labels=[]))["event labels"] == 0


def test_no_events_at_all(tmp_path):
    found = checks(write_folder(tmp_path / "none", [], sources=[]))
    assert (found["events"], found["nodes"], found["snapshot ranges"]) == (0, 5, 3)


def test_progress_tells_bytes_events_and_features(tmp_path):
    folder, told = full_folder(tmp_path / "full"), {}

    def progress(text, total):
        told[text] = [total, 0]

        def advance(amount):
            told[text][1] += amount

        return advance

    verify(folder, progress=progress)
    size = sum(path.stat().st_size for path in folder.glob("*.parquet"))
    assert told == {"hashing": [size, size], "checking events": [5, 5], "checking features": [5, 5]}


def column(name, place, value):
    def change(columns):
        columns[name][place] = value

    return change


def drop(place):
    return lambda columns: [values.pop(place) for values in columns.values()]


def several(**changes):
    return lambda columns: columns.update(changes)


BROKEN_TABLES = {
    "snapshot number": ("snapshots", column("snapshot", 1, 2), "row 1: found snapshot 2, expected its row number"),
    "gap": ("snapshots", column("first_row", 1, 1), "found row ranges with gaps"),
    "negative count": ("snapshots", several(num_rows=[6, -1, 0], first_row=[0, 6, 5]), "found row ranges with gaps"),
    "too few rows": ("snapshots", column("num_rows", 2, 2), "found row ranges that end at 4, expected 5"),
    "missing snapshot": ("snapshots", drop(2), "found 2 rows, expected 3"),
    "backwards": ("snapshots", column("time_end", 0, -1.0), "row 0: found time_end -1.0, expected one not before"),
    "overlap": ("snapshots", column("time_begin", 1, 9.0), "row 1: found time_begin 9.0, expected one at the end of"),
    "endless": ("snapshots", column("time_end", 2, float("inf")), "row 2: found time_begin or time_end not finite"),
    "edges lost": ("edges", drop(4), "found 4 rows, expected 5"),
    "wrong snapshot": ("edges", column("snapshot", 1, 1), "row 1: found snapshot 1, expected that of its row range"),
    "snapshot beyond": ("edges", column("snapshot", 4, 7), "row 4: found snapshot 7"),
    "source is an item": ("edges", column("src", 2, 3), "row 2: found src 3, expected a node of the type user"),
    "destination is a user": ("edges", column("dst", 2, 2), "row 2: found dst 2, expected a node of the type item"),
    "no such node": ("edges", column("dst", 3, 5), "row 3: found dst 5, expected 0 to 4"),
    "negative node": ("edges", column("src", 0, -1), "row 0: found src -1, expected 0 to 4"),
    "late": ("edges", column("time", 1, 10.0), "row 1: found time 10.0, expected the half-open range"),
    "early": ("edges", column("time", 2, 19.999), "row 2: found time 19.999, expected the half-open range"),
    "no time": ("edges", column("time", 0, float("nan")), "row 0: found time nan"),
    "not in file order": ("edges", several(edge_id=[2, 0, 1, 3, 4]), "row 1: found edge_id 0, expected ascending"),
    "event beyond": ("edges", column("edge_id", 4, 5), "row 4: found edge_id 5, expected 0 to 4"),
    "no weight": ("edges", column("weight", 3, float("nan")), "row 3: found weight nan, expected a finite number"),
    "node twice": ("nodes", column("node", 2, 1), "row 2: found node 1, expected its row number"),
    "node missing": ("nodes", drop(4), "found 4 rows, expected 5"),
    "first snapshot": ("nodes", column("first_snapshot", 4, 0), "row 4: found first_snapshot 0, expected the first"),
    "never seen": ("nodes", column("first_snapshot", 0, -1), "row 0: found first_snapshot -1"),
    "wrong type": ("nodes", column("type", 1, "item"), r"found types \['user', 'item'\] in rows 0 to 2"),
    "no type": ("nodes", several(type=[None] * 5), r"found types \[None\] in rows 0 to 2, expected 'user'"),
    "raw id twice": ("nodes", column("raw_id", 1, "0"), r"found raw_id 0 in row 1, expected one after 0 \(ascending\)"),
    "raw ids out of order": ("nodes", several(raw_id=["9", "10", "11", "1", "0"]), "found raw_id 0 in row 4, expected"),
    "raw id as text": ("nodes", column("raw_id", 4, "x"), "found raw ids that are no numbers"),
    "label beyond": ("labels", column("label", 1, 2), "row 1: found label 2, expected 0 to 1"),
    "negative label": ("labels", column("label", 1, -1), "row 1: found label -1, expected 0 to 1"),
    "label of no event": ("labels", column("edge_id", 4, 9), "row 4: found edge_id 9, expected 0 to 4"),
    "label of another node": ("labels", column("node", 2, 1), "row 2: found node 1, expected the source of the event"),
    "label in another snapshot": ("labels", column("snapshot", 1, 1), "row 1: found edge_id 2, expected an event of"),
    "label in a late snapshot": ("labels", column("snapshot", 4, 3), "row 4: found edge_id 4, expected an event of"),
    "labels out of order": (
        "labels",
        several(
            **{
                name: [row[i] for row in np.array(EVENT_LABELS)[[1, 0, 2, 3, 4]].tolist()]
                for i, name in enumerate(schema.EVENT_LABELS.names)
            }
        ),
        "row 1: found edge_id 0, expected the order of edges.parquet",
    ),
    "label twice": ("labels", several(edge_id=[0, 2, 1, 3, 3]), "row 4: found edge_id 3, expected the order of"),
    "features lost": ("edge_features", drop(0), r"found shape \[4, 2\], expected \[5, 2\]"),
    "no feature": ("edge_features", column("feat", 4, [1.0, float("inf")]), "row 4: found a feature of nan or inf"),
    "rejected lost": ("rejected", drop(0), "found 0 rows, expected 1"),
    "rejected of another file": ("rejected", column("file", 0, "other.csv"), r"found rows of \{'other.csv': 1\}"),
    "rejected line": ("rejected", column("line", 0, 0), "row 0: found line 0, expected 1 or more"),
}


@pytest.mark.parametrize("case", BROKEN_TABLES)
def test_a_broken_table_is_named(tmp_path, case):
    name, change, message = BROKEN_TABLES[case]
    folder = full_folder(tmp_path / "full")
    change_table(folder, name, change)
    with pytest.raises(DataError, match=rf"^{folder}/{name}\.parquet(,|:) {message}.*prepare the folder again$"):
        verify(folder)


BROKEN_MANIFESTS = {
    "repeats": ({"duplicate_rows": 0}, "found duplicate_rows 0, expected 1"),
    "times": ({"time_range": [0.0, 24.0]}, r"found time_range \[0.0, 24.0\], expected \[0.0, 25.0\]"),
    "no times": ({"time_range": [0.0]}, "found time_range"),
    "classes": ({"num_classes": 3}, r"found class_names \['0', '1'\], expected 3 different names"),
    "class twice": ({"class_names": ["a", "a"]}, "expected 2 different names"),
    "rejected rows": ({"rejected_rows": 2}, "found rejected_rows 2, expected 1, the sum over the sources"),
    "line lost": ({"sources": [{**SOURCE, "lines": 8}]}, "found 8 lines of raw.csv, expected 7"),
    "row lost": ({"sources": [{**SOURCE, "lines": 6, "rows": 4}]}, r"found sources of \[4\] rows, expected .* 5 rows"),
    "no name": ({"sources": [{"rows": 5}]}, r"found a source \{'rows': 5\}"),
    "negative rows": ({"sources": [{**SOURCE, "rows": -5}]}, "found a source"),
    "no hash": ({"sources": [{**SOURCE, "sha256": "abc"}]}, "found SHA-256 'abc' of raw.csv, expected 64 hex"),
    "offsets": ({"id_offsets": {"user": 0, "item": 6}}, "found id_offsets"),
    "no offsets": ({"id_offsets": {}}, "found id_offsets"),
    "text offsets": ({"id_offsets": {"user": 0, "item": "3"}}, "found id_offsets"),
    "outside": ({"files": {"../edges.parquet": "0"}}, "found no edges.parquet among files"),
}


@pytest.mark.parametrize("case", BROKEN_MANIFESTS)
def test_a_manifest_that_does_not_fit_is_named(tmp_path, case):
    change, message = BROKEN_MANIFESTS[case]
    folder = full_folder(tmp_path / "full")
    change_manifest(folder, **change)
    with pytest.raises(DataError, match=rf"^{folder}/manifest\.json: .*{message}"):
        verify(folder)


def test_files_outside_the_folder_are_not_opened(tmp_path):
    folder = full_folder(tmp_path / "full")
    change_manifest(folder, files={**hashes(folder), "../secret.parquet": "0"})
    with pytest.raises(DataError, match=r"manifest\.json: found a file '\.\./secret\.parquet', expected tables"):
        verify(folder)


def test_an_event_that_is_there_twice_is_named(tmp_path):
    folder = write_folder(tmp_path / "p")
    change_table(folder, "edges", several(edge_id=[0, 1, 1, 3, 4]))
    with pytest.raises(DataError, match=r"edges\.parquet: found no edge_id 2, expected each of 0 to 4 once"):
        verify(folder)


TABLES = ["edges", "snapshots", "nodes", "labels", "edge_features", "rejected"]


@pytest.mark.parametrize("name", TABLES)
def test_any_changed_cut_or_missing_file_is_named(tmp_path, name):
    folder = full_folder(tmp_path / "full")
    path = folder / f"{name}.parquet"
    whole = path.read_bytes()
    for bad in (whole[:-1], whole[:100], b""):
        path.write_bytes(bad)
        with pytest.raises(DataError, match=rf"{name}\.parquet: found SHA-256 [0-9a-f]+, expected"):
            verify(folder)
        change_manifest(folder, files=hashes(folder))
        with pytest.raises(DataError, match=rf"{name}\.parquet: found a truncated or damaged file"):
            verify(folder)
        change_manifest(folder, files={**hashes(folder), f"{name}.parquet": "0"})
    path.unlink()
    change_manifest(folder, files={**hashes(folder), f"{name}.parquet": "0"})
    with pytest.raises(DataError, match=rf"{name}\.parquet: found no readable file \(No such file or directory\)"):
        verify(folder)


@pytest.mark.parametrize("name", TABLES)
def test_any_damage_under_a_hash_that_fits_ends_in_one_error(tmp_path, name):
    """Bytes that matter to nobody (the first four, page statistics) may change; there is never another exception."""
    folder, rng, found = full_folder(tmp_path / "full"), np.random.default_rng(0), []
    path = folder / f"{name}.parquet"
    whole = path.read_bytes()
    for place in rng.integers(0, len(whole), 60):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ int(rng.integers(1, 256))]) + whole[place + 1 :])
        change_manifest(folder, files=hashes(folder))
        try:
            verify(folder)
        except DataError as error:
            found.append(str(error))
    assert len(found) > 20
    assert all(message.startswith(str(folder)) for message in found)


def test_empty_values_are_named(tmp_path):
    folder = full_folder(tmp_path / "full")
    loose = pa.schema([field.with_nullable(True) for field in schema.WEIGHTED_EDGES])
    change_table(folder, "edges", column("src", 3, None), loose)
    with pytest.raises(DataError, match=r"edges\.parquet: found empty values in column src, expected none"):
        verify(folder)


@pytest.mark.parametrize("bad", [np.zeros((3, 4, 4)), np.zeros((3, 5, 3)), np.full((3, 5, 4), np.nan)])
def test_broken_node_features_are_named(tmp_path, bad):
    folder = write_folder(tmp_path / "p", node_features=list(bad.astype(np.float32)))
    change_manifest(folder, features={"dim": 4})
    with pytest.raises(DataError, match=r"features/00000\.parquet(: found shape|, row 0: found a feature of nan)"):
        verify(folder)


def test_broken_node_labels_are_named(tmp_path):
    for case, change, message in (
        ("node", column("node", 1, 5), "row 1: found node 5, expected 0 to 4"),
        ("class", column("label", 0, 2), "row 0: found label 2, expected 0 to 1"),
        ("twice", column("node", 1, 4), "found 2 labels of 1 nodes, expected one a node"),
    ):
        folder = write_folder(tmp_path / case, node_labels={4: 0, 1: 1})
        change_table(folder, "labels", change)
        with pytest.raises(DataError, match=rf"labels\.parquet(,|:) {message}"):
            verify(folder)


def test_broken_targets_are_named(tmp_path):
    assert checks(write_folder(tmp_path / "good", targets={1: -0.5, 4: 2.0}))["targets"] == 2
    broken = {
        "row 0: found node 5, expected 0 to 4": {"targets": {5: 1.0}},
        "row 1: found target nan, expected a finite number": {"targets": {1: 1.0, 4: float("nan")}},
    }
    for number, (said, tables) in enumerate(broken.items()):
        with pytest.raises(DataError, match=rf"targets\.parquet, {said}"):
            verify(write_folder(tmp_path / str(number), **tables))
    folder = write_folder(tmp_path / "again", targets={4: 1.0, 1: 2.0})  # in any order: some may be appended
    verify(folder)
    change_table(folder, "targets", column("node", 1, 4))
    with pytest.raises(DataError, match=r"targets\.parquet, row 1: found node 4, expected each node once"):
        verify(folder)
    folder = write_folder(tmp_path / "count", targets={1: 1.0})
    change_manifest(folder, targets={"count": 2})
    with pytest.raises(DataError, match=r"targets\.parquet: found 1 rows, expected 2"):
        verify(folder)
    change_manifest(folder, targets={"at": "last"})
    with pytest.raises(DataError, match=r"found targets = \{'at': 'last'\}, expected their count"):
        verify(folder)
    plain = write_folder(tmp_path / "plain")
    change_manifest(plain, targets={"count": 0})
    with pytest.raises(DataError, match=r"found no targets\.parquet among files"):
        verify(plain)


def test_steps_hold_their_own_time_both_ends_included(tmp_path):
    """Snapshots of single steps begin and end at one time; of merged steps at the first and the last."""
    events = [(0, 0, 1, 1.0, 0), (0, 0, 1, 2.0, 1), (1, 1, 0, 3.0, 2)]
    rule = {"snapshot_rule": {"kind": "rank", "merge": 2}}
    folder = write_folder(tmp_path / "merged", events, [(1.0, 2.0), (3.0, 3.0)], 2, **rule)
    verify(folder)
    for change, message in (
        (column("time_end", 0, 1.5), r"edges\.parquet, row 1: found time 2.0, expected the range of its snapshot"),
        (column("time_end", 0, 3.0), r"snapshots\.parquet, row 1: found time_begin 3.0, expected one after"),
    ):
        broken = write_folder(tmp_path / message[-8:-1], events, [(1.0, 2.0), (3.0, 3.0)], 2, **rule)
        change_table(broken, "snapshots", change)
        with pytest.raises(DataError, match=message):
            verify(broken)


def test_raw_ids_have_the_order_that_the_manifest_states(tmp_path):
    names = ["10", "9", "A", "a", "\u00e9"]
    verify(write_folder(tmp_path / "names", raw_ids=names, id_order="lexicographic"))
    verify(write_folder(tmp_path / "any", raw_ids=["9", "9", "3", "x", "1"], id_order="as in the file"))
    with pytest.raises(DataError, match=r"nodes\.parquet: found raw_id 10 in row 1, expected one after 9 \(lexico"):
        verify(write_folder(tmp_path / "back", raw_ids=[names[i] for i in (1, 0, 2, 3, 4)], id_order="lexicographic"))


def test_files_of_labels_need_not_add_up_to_events(tmp_path):
    label_file = {**SOURCE, "name": "labels.txt", "lines": 3, "header": 0, "rows": 3, "rejected": 0}
    parts = [{**SOURCE, "name": f"{k}.csv", "lines": k + 1, "rows": k, "rejected": 0} for k in (2, 3)]
    old = {"name": "dblp.txt", "sha256": "1" * 64, "rows": 5}
    for number, sources in enumerate(([*parts, label_file], [old, label_file], [])):
        verify(write_folder(tmp_path / str(number), sources=sources))


@pytest.mark.parametrize("at_once", [1, 2, 1 << 20])
@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)), max_size=40))
def test_repeats_are_counted_whatever_the_pieces(tmp_path_factory, at_once, rows):
    rows.sort(key=lambda row: row[0])
    events = [(t, src, dst, 10.0 * t + time, row) for row, (t, src, dst, time) in enumerate(rows)]
    ranges = [(10.0 * t, 10.0 * t + 10) for t in range(5)]
    folder = write_folder(tmp_path_factory.mktemp("any") / "p", events, ranges, 3, sources=[], row_group=3)
    assert checks(folder, at_once)["repeated events"] == len(events) - len(set(rows))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["snapshot", "edge_id", "time"]), st.integers(0, 4), st.integers(-2, 40))
def test_no_change_of_one_number_of_an_event_goes_unseen(tmp_path_factory, name, row, new):
    event = EVENTS[row]
    begin, end = RANGES[event[0]]
    if new == event[schema.EDGES.names.index(name)] or (name == "time" and begin <= new < end):
        return  # no change, or another time of the same snapshot, of which nothing else speaks
    folder = full_folder(tmp_path_factory.mktemp("any") / "p")
    change_table(folder, "edges", column(name, row, float(new) if name == "time" else new))
    with pytest.raises(DataError, match=re.escape(f"{folder}/")):
        verify(folder)


def test_checks_import_neither_pandas_nor_torch(tmp_path):
    full_folder(tmp_path / "full")
    code = (
        f"import sys; from dgl_dysign.data.verify import verify; verify({str(tmp_path / 'full')!r}); "
        "assert not {'torch', 'dgl', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_old_name_works_with_a_warning(tmp_path):
    with pytest.warns(DeprecationWarning, match=r"data\.schema\.verify has moved to dgl_dysign\.data\.verify\.verify"):
        from dgl_dysign.data.schema import verify as old
    assert old(full_folder(tmp_path / "full"))["num_edges"] == 5
