import threading
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.writer import TableWriter, ahead, arrow, rows_a_group, strings, write_table
from dgl_dysign.data import schema
from dgl_dysign.errors import DataError


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
