import json
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dgl_dysign.data import TemporalGraph, schema
from dgl_dysign.data.verify import verify
from dgl_dysign.errors import DataError
from tests.folders import write_folder


@pytest.fixture
def prepared(tmp_path):
    """Four nodes, five events in snapshots 0, 1 and 3 (2 is empty), features two wide."""
    events = [(0, 0, 1, 0.0, 0), (0, 0, 1, 0.0, 3), (1, 1, 2, 0.333333, 1), (1, 2, 0, 0.333333, 2), (3, 3, 0, 1.0, 4)]
    return write_folder(
        tmp_path / "prepared",
        events,
        [(step, step) for step in (0.0, 0.333333, 0.666667, 1.0)],
        4,
        node_labels={0: 1, 3: 0},
        class_names=["3", "7"],
        node_features=[np.full((4, 2), t, np.float32) for t in range(4)],
        snapshot_rule={"kind": "grid", "origin": 0.0, "step": 1 / 3},
    )


def test_a_good_folder_verifies_and_reads_back(prepared):
    manifest = verify(prepared)
    assert manifest["num_snapshots"] == 4
    assert manifest["class_names"] == ["3", "7"]
    assert manifest["features"] == {"kind": "made", "dim": 2}
    assert schema.table(prepared, "edges").schema.equals(schema.EDGES, check_metadata=False)
    assert schema.table(prepared, "labels").to_pydict() == {"node": [0, 3], "label": [1, 0]}
    assert schema.table(prepared, "snapshots")["num_rows"].to_pylist() == [2, 2, 0, 1]
    assert schema.table(prepared, schema.feature_name(3))["feat"].to_pylist() == [[3.0, 3.0]] * 4


def test_files_beside_the_manifest_do_no_harm(prepared):
    (prepared / "describe.png").write_bytes(b"picture")
    (prepared / "features" / "00000.arrow").write_bytes(b"cache")
    verify(prepared)


@pytest.mark.parametrize("keep", [0, 3, 100, -9, -1])
@pytest.mark.parametrize("name", ["edges", "snapshots", "nodes", "labels", "features/00001"])
def test_a_truncated_parquet_is_named(prepared, name, keep):
    path = prepared / f"{name}.parquet"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=rf"{name}\.parquet: found a truncated or damaged file"):
        schema.table(prepared, name)
    with pytest.raises(DataError, match=rf"{name}\.parquet: found SHA-256"):
        verify(prepared)


def appended(**changes):
    """Entry of an append in a manifest, with changes."""
    entry = {"parent": "a" * 64, "first_snapshot": 1, "first_edge": 1, "first_node": 2, "id_offsets": {"node": 2}}
    return entry | changes


def last_byte(path):
    """Place of the last byte of the first sources."""
    column = pq.ParquetFile(path).metadata.row_group(0).column(1)
    return (column.dictionary_page_offset or column.data_page_offset) + column.total_compressed_size - 1


def test_a_flipped_byte_in_the_data_is_found_on_reading(prepared):
    path = prepared / "edges.parquet"
    data, last = bytearray(path.read_bytes()), last_byte(path)
    data[last] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"edges\.parquet: found a truncated or damaged file"):
        schema.table(prepared, "edges")


def test_a_missing_file_and_other_columns_are_named(prepared):
    (prepared / "nodes.parquet").unlink()
    with pytest.raises(DataError, match=r"nodes\.parquet: found no such file"):
        schema.table(prepared, "nodes")
    pq.write_table(pa.table({"node": pa.array([1], pa.int32())}), prepared / "labels.parquet")
    with pytest.raises(DataError, match=r"labels\.parquet: found column node as int32, expected int64"):
        schema.table(prepared, "labels")
    pq.write_table(pa.table({"feat": [1.0]}), prepared / "features" / "00000.parquet")
    with pytest.raises(DataError, match="expected a column feat of fixed_size_list<float>"):
        schema.table(prepared, "features/00000")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "found schema_version 2, expected 1"),
        ({"num_nodes": -1}, "num_nodes = -1"),
        ({"num_nodes": True}, "num_nodes = True"),
        ({"num_nodes": "4"}, "num_nodes = '4'"),
        ({"labels": 3}, "labels = 3"),
        ({"files": None}, "files = None"),
        ({"labels": "edge"}, "labels = 'edge', expected one of"),
        ({"edge_features": 4}, "edge_features = 4"),
        ({"edge_weight": 0}, "edge_weight = 0"),
        ({"id_order": []}, r"id_order = \[\]"),
        ({"appended": [3]}, "found 3 in appended, expected its parent and where it begins"),
        ({"appended": [appended(first_edge=10**9)]}, "in appended, expected its parent"),
        ({"appended": [appended(id_offsets={"node": 1})]}, "expected the first node of each type, from 2 up"),
        (
            {"appended": [appended(first_node=3, id_offsets={"node": 3}), appended()]},
            "in appended, expected its parent",
        ),
    ],
)
def test_a_manifest_with_a_wrong_value_is_refused(prepared, change, message):
    path = prepared / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DataError, match=message):
        schema.read_manifest(prepared)


def test_a_manifest_that_is_missing_broken_or_short_is_refused(prepared, tmp_path_factory):
    path, empty = prepared / "manifest.json", tmp_path_factory.mktemp("empty")
    for folder in (empty, empty / "absent", path):
        with pytest.raises(DataError, match=r"found no manifest\.json"):
            schema.read_manifest(folder)
    manifest = json.loads(path.read_text())
    for key in manifest.keys() - {"edge_features", "edge_weight", "id_order"}:
        with pytest.raises(DataError, match=key):
            schema.write_manifest(empty, {name: value for name, value in manifest.items() if name != key})
    assert not list(empty.iterdir())
    path.write_text(path.read_text()[:-20])
    with pytest.raises(DataError, match="found broken JSON"):
        schema.read_manifest(prepared)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="cannot be read"):
        schema.read_manifest(prepared)
    path.write_text("[]")
    with pytest.raises(DataError, match="found list, expected a JSON object"):
        schema.read_manifest(prepared)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_edges": 6, "sources": []}, r"snapshots\.parquet: found row ranges that end at 5, expected 6"),
        ({"num_nodes": 3}, r"edges\.parquet, row 4: found src 3, expected 0 to 2"),
        ({"num_nodes": 5}, r"nodes\.parquet: found 4 rows, expected 5"),
        ({"num_snapshots": 5}, r"snapshots\.parquet: found 4 rows, expected 5"),
        ({"num_classes": 1, "class_names": ["3"]}, r"labels\.parquet, row 0: found label 1, expected 0 to 0"),
        ({"features": {"kind": "made", "dim": 3}}, r"00000\.parquet: found shape \[4, 2\], expected \[4, 3\]"),
    ],
)
def test_verify_holds_tables_and_manifest_together(prepared, change, message):
    schema.write_manifest(prepared, {**schema.read_manifest(prepared), **change})
    with pytest.raises(DataError, match=message):
        verify(prepared)


@pytest.mark.parametrize("column", ["snapshot", "first_row", "num_rows"])
def test_verify_finds_row_ranges_that_do_not_fit_the_edges(prepared, column):
    table = schema.table(prepared, "snapshots")
    values = table[column].to_numpy()[::-1].copy()
    table = table.set_column(table.column_names.index(column), table.schema.field(column), [pa.array(values)])
    pq.write_table(table, prepared / "snapshots.parquet")
    manifest = schema.read_manifest(prepared)
    manifest["files"]["snapshots.parquet"] = schema.sha256(prepared / "snapshots.parquet")
    schema.write_manifest(prepared, manifest)
    message = (
        "row 0: found snapshot 3, expected its row number" if column == "snapshot" else "found row ranges with gaps"
    )
    with pytest.raises(DataError, match=rf"snapshots\.parquet(,|:) {message}"):
        verify(prepared)


def test_rows_are_read_without_the_other_row_groups(tmp_path):
    rows = 1000
    table = pa.table({name: np.arange(rows) for name in schema.EDGES.names}).cast(schema.EDGES)
    pq.write_table(table, tmp_path / "edges.parquet", row_group_size=64)
    for first, count in [(0, 0), (0, 1), (63, 2), (64, 64), (100, 500), (999, 1), (1000, 0), (0, 1000)]:
        found = schema.read_rows(tmp_path, "edges", first, count, ["edge_id"])
        assert found["edge_id"].to_pylist() == list(range(first, first + count))
    for first, count in [(-1, 1), (0, 1001), (1000, 1), (5, -1)]:
        with pytest.raises(DataError, match="found 1000 rows"):
            schema.read_rows(tmp_path, "edges", first, count)


def test_a_reader_keeps_the_footer_and_no_file(tmp_path):
    rows = 1000
    table = pa.table({name: np.arange(rows) for name in schema.EDGES.names}).cast(schema.EDGES)
    # Row groups of unequal size, one of them empty.
    with pq.ParquetWriter(tmp_path / "edges.parquet", schema.EDGES) as writer:
        for first, last in [(0, 10), (10, 10), (10, 700), (700, 701), (701, 1000)]:
            writer.write_table(table.slice(first, last - first))
    reader = pickle.loads(pickle.dumps(schema.RowReader(tmp_path, "edges")))
    assert len(reader) == rows
    for first, count in [
        (0, 0),
        (0, 10),
        (9, 2),
        (10, 0),
        (10, 690),
        (699, 3),
        (700, 1),
        (999, 1),
        (1000, 0),
        (0, 1000),
    ]:
        assert reader.read(first, count, ["src"])["src"].to_pylist() == list(range(first, first + count))
    assert np.concatenate([batch["dst"] for batch in reader.batches(["dst"])]).tolist() == list(range(rows))
    (tmp_path / "edges.parquet").unlink()
    with pytest.raises(DataError, match=r"edges\.parquet: found no such file"):
        reader.read(0, 1)


def test_a_reader_finds_a_flipped_byte_and_a_file_cut_after_it_was_opened(prepared):
    reader, path = schema.RowReader(prepared, "edges"), prepared / "edges.parquet"
    data, last = bytearray(path.read_bytes()), last_byte(path)
    data[last] ^= 1
    for bad in (data, data[: last - 3]):
        path.write_bytes(bad)
        with pytest.raises(DataError, match=r"edges\.parquet: found a truncated or damaged file"):
            reader.read(0, 5)
        with pytest.raises(DataError, match=r"edges\.parquet: found a truncated or damaged file"):
            list(reader.batches(["src"]))


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    node = pa.array([0])
    twice = pa.table([node, node, node.cast(pa.int32())], names=["node", "node", "label"])
    pq.write_table(twice, tmp_path / "labels.parquet")
    with pytest.raises(DataError, match=r"labels\.parquet: found column node as None"):
        schema.table(tmp_path, "labels")


def test_labels_of_events_are_asked_for_by_their_schema(prepared):
    with pytest.raises(DataError, match=r"labels\.parquet: found column edge_id as None, expected int64"):
        schema.table(prepared, "labels", expected=schema.EVENT_LABELS)
    with pytest.raises(DataError, match=r"edges\.parquet: found column weight as None, expected double"):
        schema.open_table(prepared, "edges", schema.WEIGHTED_EDGES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_nodes": 10**15}, r"nodes\.parquet: found 4 rows, expected 1000000000000000; prepare"),
        ({"num_snapshots": 10**15}, r"snapshots\.parquet: found 4 rows, expected 1000000000000000; prepare"),
        ({"features": {}}, "found features = {}, expected its width dim"),
        ({"features": {"dim": 10**15}}, "expected its width dim"),
        ({"edge_features": {}}, "found edge_features = {}, expected its width dim"),
    ],
)
def test_numbers_of_a_manifest_ask_for_no_more_memory_than_there_are_rows(prepared, change, message):
    path = prepared / schema.MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    for read in (TemporalGraph.load, verify):
        with pytest.raises(DataError, match=message):
            read(prepared)
