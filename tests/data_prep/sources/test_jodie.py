import numpy as np
import pytest

from data_prep.rules import Rule
from data_prep.sources import open_source
from data_prep.sources._source import ReadOptions
from dgl_dysign.data.schema import sha256
from dgl_dysign.errors import ConfigError, DataError

READ, QUARANTINE = ReadOptions(), ReadOptions("quarantine")
HEADER = "user_id,item_id,timestamp,state_label,comma_separated_list_of_features\n"
ROWS = ["7,2,0.0,0,0.5,1", "3,2,36.0,0,0.1,-2", "7,9,36.0,1,0,0", "3,3,7200.0,0,3,4"]


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


def jodie(raw, rows=ROWS, name="wikipedia.csv", header=HEADER):
    (raw / name).write_text(header + "\n".join(rows) + "\n")
    return raw


def dyglib(raw, rows, values, dtype=np.float64):
    (raw / "ml_wikipedia.csv").write_text(",u,i,ts,label,idx\n" + "\n".join(rows) + "\n")
    np.save(raw / "ml_wikipedia.npy", np.array(values, dtype))
    return raw


@pytest.mark.parametrize("name", ["wikipedia", "reddit"])
def test_users_come_first_then_items_and_labels_are_of_events(raw, made, name):
    manifest, tables = made(open_source(name, jodie(raw, name=f"{name}.csv"), READ))
    assert (manifest["dataset"], manifest["id_offsets"]) == (name, {"user": 0, "item": 2})
    assert tables["nodes"] == [
        (0, "3", "user", 0), (1, "7", "user", 0), (2, "2", "item", 0), (3, "3", "item", 2), (4, "9", "item", 0)
    ]  # fmt: skip
    edges = [(0, 1, 2, 0.0, 0), (0, 0, 2, 36.0, 1), (0, 1, 4, 36.0, 2), (2, 0, 3, 7200.0, 3)]
    assert tables["edges"] == edges
    assert tables["labels"] == [(0, 1, 0, 0), (1, 0, 0, 0), (2, 1, 0, 1), (3, 0, 2, 0)]
    assert tables["edge_features"] == [([0.5, 1],), ([np.float32(0.1), -2],), ([0, 0],), ([3, 4],)]
    assert (manifest["labels"], manifest["class_names"]) == ("event", ["0", "1"])
    assert manifest["edge_features"] == {"dim": 2}
    assert manifest["snapshot_rule"] == {"kind": "every", "width": 3600.0, "origin": 0.0}
    assert manifest["time_unit"] == "seconds from the first event"
    # Snapshot 1 is an hour without an event.
    assert tables["snapshots"] == [(0, 0, 3), (1, 3, 0), (2, 3, 1)]


@pytest.mark.parametrize("header", [HEADER, "a\n", "1,2,3,4,5\n", "u,i,t,l,f,f,f,f\n"])
def test_line_1_is_skipped_whatever_it_says(raw, rows, header):
    found = rows(open_source("wikipedia", jodie(raw, header=header), READ))
    assert (found["src"], found["label"]) == ([7, 3, 7, 3], [0, 0, 1, 0])


def test_events_that_are_not_sorted_keep_labels_and_features(raw, made):
    _, tables = made(open_source("wikipedia", jodie(raw, ROWS[::-1]), READ))
    assert [row[4] for row in tables["edges"]] == [1, 2, 3, 0]
    assert [row[3] for row in tables["edges"]] == [36.0, 36.0, 0.0, 7200.0]
    assert tables["labels"] == [(1, 1, 0, 1), (2, 0, 0, 0), (3, 1, 0, 0), (0, 0, 2, 0)]
    assert [row[0] for row in tables["edge_features"]] == [[0, 0], [np.float32(0.1), -2], [0.5, 1], [3, 4]]


def test_calendar_rules_need_unix_times(raw, made):
    with pytest.raises(ConfigError, match="not Unix seconds"):
        made(open_source("wikipedia", jodie(raw), READ), rule=Rule("calendar", unit="day"))


DYGLIB = ["0,1,3,0.0,0.0,1", "1,2,4,36.0,1.0,2", "2,1,4,36.0,0.0,3"]


def test_dyglibs_form_takes_features_by_index(raw, made):
    values = [[0, 0], [1, 10], [2, 0.1], [3, 30], [4, 40]]
    source = open_source("wikipedia", dyglib(raw, [DYGLIB[0], DYGLIB[2], DYGLIB[1]], values), READ)
    manifest, tables = made(source)
    assert tables["edge_features"] == [([1, 10],), ([3, 30],), ([2, np.float32(0.1)],)]
    assert [row[3] for row in tables["labels"]] == [0, 0, 1]
    assert [row[1] for row in tables["nodes"]] == ["1", "2", "3", "4"]
    assert manifest["id_offsets"] == {"user": 0, "item": 2}
    assert [entry["name"] for entry in manifest["sources"]] == ["ml_wikipedia.csv", "ml_wikipedia.npy"]
    assert manifest["sources"][1]["sha256"] == sha256(raw / "ml_wikipedia.npy")


def test_dyglibs_rows_that_do_not_fit_are_bad_rows(raw, made):
    bad = ["3,1,3,40.0,0.5,1", "4,1,3,40.0,0.0,9", "5,1,3,40.0,0.0,4", "6,1,3,40.0,-1.0,1", "7,1,3,41.0,0.0,1"]
    values = [[0, 0], [1, 10], [2, 20], [3, 30], [0, 1e39]]
    source = open_source("wikipedia", dyglib(raw, [*DYGLIB, *bad], values), QUARANTINE)
    _, tables = made(source, "quarantine")
    assert [row[1] for row in tables["rejected"]] == [5, 6, 7, 8]
    for row, said in zip(
        tables["rejected"],
        [
            "found label 0.5, expected a whole number from 0 up",
            "found idx 9, expected a row of ml_wikipedia.npy, below 5",
            "found a feature in row 4 of ml_wikipedia.npy beyond float32, expected finite numbers",
            "found label -1.0, expected a whole number from 0 up",
        ],
        strict=True,
    ):
        assert row[3] == said
    with pytest.raises(DataError, match=r"ml_wikipedia\.csv, line 5: found label 0\.5 in .*, expected a whole number"):
        made(open_source("wikipedia", raw, READ))


def test_dyglibs_features_must_be_an_array_of_floats(raw):
    dyglib(raw, DYGLIB, [[0, 0], [1, 10], [2, 20], [3, 30]])
    file = raw / "ml_wikipedia.npy"
    good = file.read_bytes()
    np.savez(raw / "z", a=np.zeros(3))
    objects = raw / "objects.npy"
    np.save(objects, np.array([[{}]], dtype=object), allow_pickle=True)
    archive, pickled = (raw / "z.npz").read_bytes(), objects.read_bytes()
    for data in (b"", b"text", good[:20], good[:-1], good.replace(b"False", b"Fals("), archive, pickled):
        file.write_bytes(data)
        with pytest.raises(
            DataError, match=r"ml_wikipedia\.npy: found no array \(.*\), expected one of NumPy"
        ) as caught:
            open_source("wikipedia", raw, READ)
        assert "\n" not in str(caught.value)
    for values in (
        np.zeros(4),
        np.zeros((4, 0)),
        np.zeros((4, 2), int),
        np.zeros((4, 2), complex),
        np.zeros((4, 1, 1)),
    ):
        np.save(file, values)
        with pytest.raises(DataError, match=r"of shape .*, expected floats \(rows, width\)"):
            open_source("wikipedia", raw, READ)
    file.unlink()
    with pytest.raises(DataError, match=r"ml_wikipedia\.npy: found no such file, expected the edges' features"):
        open_source("wikipedia", raw, READ)


def test_features_of_any_floating_type_are_float32(raw, made):
    for dtype in (np.float16, np.float32, ">f8"):
        _, tables = made(open_source("wikipedia", dyglib(raw, DYGLIB, [[0], [0.5], [0.25], [1]], dtype), READ))
        assert tables["edge_features"] == [([0.5],), ([0.25],), ([1.0],)]


def test_tgls_form_has_no_labels(raw, made):
    (raw / "edges.csv").write_text(
        ",src,dst,time,int_roll,ext_roll\n0,0,5,0.0,0,0\n1,1,5,3600.0,0,1\n2,0,6,3601.5,1,2\n"
    )
    manifest, tables = made(open_source("wikipedia", raw, READ))
    assert tables["edges"] == [(0, 0, 2, 0.0, 0), (1, 1, 2, 3600.0, 1), (1, 0, 3, 3601.5, 2)]
    assert (manifest["labels"], manifest["edge_features"], manifest["num_classes"]) == (None, None, 0)
    assert set(tables) == {"edges", "nodes", "snapshots"}


def test_what_is_missing_is_named(raw):
    with pytest.raises(DataError, match=r"expected reddit\.csv or ml_reddit\.csv or edges\.csv; check RAW"):
        open_source("reddit", raw, READ)
