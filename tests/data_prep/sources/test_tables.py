"""Tables give what the CSV of their rows gives: files of Parquet, Feather and Arrow, and tables in memory."""

import csv
import datetime as dt
import gzip
import hashlib
import json
import struct
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from data_prep import PrepareOptions, inspect, prepare
from data_prep.sources._raw_file import open_raw
from data_prep.sources.standard_input import as_file
from dgl_dysign.errors import ConfigError, DataError

EVENTS = {
    "user": [7, 9, 7, None, 12],
    "item": [1, 2, 2, 1, 1],
    "when": pa.array([1577836800, 1578441600, 1578441601, 1578441602, 1609459200], pa.timestamp("s")),
    "amount": [0.1, 1e300, -0.0, 5e-324, 1.0],
}
COLUMNS = {"src": "user", "dst": "item", "time": "when", "weight": "amount", "on_error": "quarantine"}


def stream(table, path, **how):
    with pa.ipc.new_stream(path, table.schema) as file:
        file.write_table(table, **how)


WRITE = {
    "events.parquet": pq.write_table,
    "events.feather": feather.write_feather,
    "events.arrow": lambda table, path: feather.write_feather(table, path, compression="uncompressed"),
    "events.arrows": stream,
}


def text(table):
    with as_file(table) as path, open_raw(path) as file:
        return b"".join(iter(lambda: file.read(1 << 20), b"")).decode()


def column(values, kind=None):
    """Return the fields that are written for the values of one column."""
    lines = text(pa.table({"x": pa.array(values, kind), "end": [0] * len(values)})).splitlines()
    assert lines.pop(0) == "x,end"
    return [line.removesuffix(",0") for line in lines]


def same(one, other):
    """Whether two prepared folders differ in nothing but in what they were made of."""
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in (one, other)]
    for manifest in manifests:
        del manifest["dataset"]
        for source in manifest["sources"]:
            del source["name"], source["sha256"]
        manifest["files"].pop("rejected.parquet", None)  # holds the names of the files
    return manifests[0] == manifests[1]


@pytest.fixture(scope="module")
def from_csv(tmp_path_factory):
    """The folder that is prepared from the CSV of `EVENTS`, as pandas writes it."""
    home = tmp_path_factory.mktemp("csv")
    pa.table(EVENTS).to_pandas().astype({"user": "Int64"}).to_csv(home / "events.csv", index=False)
    prepare("edges", home / "events.csv", home / "out", PrepareOptions(**COLUMNS))
    return home / "out"


@pytest.mark.parametrize("name", WRITE)
def test_a_file_of_a_table_gives_the_bytes_of_its_csv(tmp_path, from_csv, name):
    WRITE[name](pa.table(EVENTS), tmp_path / name)
    manifest = prepare("edges", tmp_path / name, tmp_path / "out", PrepareOptions(**COLUMNS))
    assert same(tmp_path / "out", from_csv)
    (source,) = manifest["sources"]
    assert source["sha256"] == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    assert (source["lines"], source["header"], source["rows"], source["rejected"]) == (6, 1, 4, 1)
    weights = pq.read_table(tmp_path / "out" / "edges.parquet")["weight"].to_numpy()
    assert struct.pack("4d", *weights) == struct.pack("4d", 0.1, 1e300, -0.0, 1.0)


def polars(table):
    return pytest.importorskip("polars").from_arrow(table)


@pytest.mark.parametrize(
    "frame",
    [
        pa.table,
        lambda rows: pa.table(rows).to_batches()[0],
        lambda rows: pa.table(rows).to_reader(max_chunksize=2),
        lambda rows: pa.table(rows).to_pandas(),  # a missing value makes the ids floats
        lambda rows: pa.table(rows).to_pandas(types_mapper=pd.ArrowDtype).set_index(pd.Index([5, 5, 1, 2, 3])),
        lambda rows: polars(pa.table(rows)),
    ],
)
def test_a_table_in_memory_gives_the_bytes_of_its_csv(tmp_path, from_csv, frame):
    manifest = prepare("mine", frame(EVENTS), tmp_path / "out", PrepareOptions(**COLUMNS))
    assert same(tmp_path / "out", from_csv)
    assert manifest["dataset"] == "mine"
    assert [source["name"] for source in manifest["sources"]] == ["table"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_index_with_a_name_is_a_column_as_in_what_pandas_writes(tmp_path, from_csv):
    frame = pa.table(EVENTS).to_pandas()
    prepare("mine", frame.set_index([frame.columns[0]]), tmp_path / "out", PrepareOptions(**COLUMNS))
    assert same(tmp_path / "out", from_csv)
    prepare("mine", frame.set_index(frame.columns[0], drop=False), tmp_path / "kept", PrepareOptions(**COLUMNS))
    assert same(tmp_path / "kept", from_csv)
    with pytest.raises(ConfigError, match="data set: found DataFrame, expected its name, then RAW and OUT"):
        prepare(frame, "mine", tmp_path / "new")


def test_numbers_keep_every_bit():
    random = np.random.default_rng(0).integers(0, 2**63, 2000, dtype=np.uint64).view(np.float64)
    hard = [5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 0.1, 1 / 3, 9007199254740993.0, 1e22, 1e23]
    numbers = np.concatenate([hard, random[np.isfinite(random)]])
    assert [float(field) for field in column(numbers)] == numbers.tolist()
    single = numbers[numbers < 1e38].astype(np.float32)
    assert [np.float32(field) for field in column(single)] == single.tolist()
    assert column([0.1, None, -0.0, 1e-7]) == ["0.1", "", "-0", "1e-7"]
    assert column([1.0, None, 3.0, 2.0**53, 0.5]) == ["1.0", "", "3.0", "9007199254740992.0", "0.5"]
    assert column([1.0, 1e15]) == ["1.0", "1000000000000000.0"]
    assert column(np.array([0.1, 2.5], np.float32)) == ["0.1", "2.5"]
    assert column([2**64 - 1, 0], pa.uint64()) == ["18446744073709551615", "0"]
    assert column([Decimal("1.50"), None], pa.decimal128(9, 2)) == ["1.50", ""]
    assert column([True, None, False]) == ["True", "", "False"]


def test_instants_in_utc_with_the_digits_that_they_need():
    day = dt.datetime(2020, 1, 2, 3, 4, 5)
    for unit in ("s", "ms", "us", "ns"):
        assert column([day, None], pa.timestamp(unit)) == ["2020-01-02 03:04:05", ""]
    nanoseconds = pa.array([1577934245 * 10**9 + 1], pa.int64()).cast(pa.timestamp("ns"))
    assert column(nanoseconds) == ["2020-01-02 03:04:05.000000001"]
    zoned = pa.array([1577934245_000_500], pa.timestamp("us", "Europe/Berlin"))
    assert column(zoned) == ["2020-01-02 03:04:05.000500Z"]
    assert column([day.date(), None], pa.date32()) == ["2020-01-02", ""]
    assert column([day.date()], pa.date64()) == ["2020-01-02"]
    assert column([dt.timedelta(seconds=90)], pa.duration("s")) == ["90 s"]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary()])
def test_text_is_quoted_where_it_must_be(kind):
    values = ["plain", 'say "hi"', "a,b", None, "", " é "]
    assert column(values, kind) == ["plain", '"say ""hi"""', '"a,b"', "", "", " é "]
    encoded = pa.array(["a", None, "b,c", "a"], kind).dictionary_encode()
    assert column(encoded) == ["a", "", '"b,c"', "a"]
    assert text(pa.table({"a,b": [1], "c": [2]})) == '"a,b",c\n1,2\n'


def test_any_text_comes_back_from_its_field():
    random = np.random.default_rng(0)
    words = ["".join(random.choice(list('",;#\t é%\\'), random.integers(0, 6))) for _ in range(300)]
    lines = text(pa.table({"one": words, "two": words[::-1], "three": words})).split("\n")
    assert list(csv.reader(lines[1:-1])) == [list(row) for row in zip(words, words[::-1], words, strict=True)]


def test_text_with_a_line_end_is_one_bad_row(tmp_path):
    names = ["ann", "b\nob", "c\r\nd", "eve\n", "eve"]
    table = pa.table({"src": names, "dst": names[::-1], "time": [1.0, 2.0, 3.0, 4.0, 5.0]})
    options = PrepareOptions(src="src", dst="dst", time="time", on_error="quarantine")
    table = table.set_column(1, "dst", pa.array(["x"] * 5))
    manifest = prepare("mine", table, tmp_path / "out", options)
    assert (manifest["num_edges"], manifest["rejected_rows"], manifest["sources"][0]["lines"]) == (2, 3, 6)
    rejected = pq.read_table(tmp_path / "out" / "rejected.parquet")
    assert rejected["line"].to_pylist() == [3, 4, 5]


def test_messages_count_rows(tmp_path):
    table = pa.table({"src": [1, None, 3], "dst": [2, 2, 2], "time": [1.0, 2.0, 3.0]})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(
        DataError, match=r"/a\.parquet, row 2: found src '', a missing id in ',2,2.0', expected an integer"
    ):
        prepare("edges", tmp_path / "a.parquet", tmp_path / "out")
    with pytest.raises(DataError, match=r"^table, row 2: found src '', a missing id in ',2,2.0', expected an integer"):
        prepare("mine", table, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_a_column_of_vectors_gives_edge_features(tmp_path):
    values = np.arange(6, dtype=np.float32) / 3
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(values), 2)
    table = pa.table({"feat": vectors, "src": [1, 2, 3], "dst": [2, 3, 1], "time": [1.0, 2.0, 3.0]})
    options = PrepareOptions(src="src", dst="dst", time="time", edge_features="feat")
    assert prepare("mine", table, tmp_path / "out", options)["edge_features"] == {"dim": 2}
    feat = pq.read_table(tmp_path / "out" / "edge_features.parquet")["feat"]
    assert feat.combine_chunks().flatten().to_numpy().tolist() == values.tolist()


@pytest.mark.parametrize(
    "nested",
    [
        pa.array([[1], [2, 3]]),
        pa.array([{"a": 1}, {"a": 2}]),
        pa.array([[(1, 2)], []], pa.map_(pa.int64(), pa.int64())),
        pa.array([[[1]], [[2]]], pa.list_(pa.list_(pa.int64()), 1)),
    ],
)
def test_nested_columns_are_refused_by_name(tmp_path, nested):
    table = pa.table({"src": [1, 2], "dst": [2, 3], "time": [1.0, 2.0], "props": nested})
    pq.write_table(table, tmp_path / "a.parquet")
    for raw in (table, tmp_path / "a.parquet"):
        with pytest.raises(DataError, match=r"found column 'props' of type.*leave it out, or make plain columns"):
            prepare("edges", raw, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"found columns that Arrow cannot hold .*convert them first"):
        prepare("mine", pd.DataFrame({"src": [1, "a"], "dst": [1, 2], "time": [1.0, 2.0]}), tmp_path / "out")
    with pytest.raises(DataError, match=r"found columns that Arrow cannot hold \(Python int too large"):
        prepare("mine", pd.DataFrame({"src": [2**70, 1], "dst": [1, 2], "time": [1.0, 2.0]}), tmp_path / "out")
    with pytest.raises(DataError, match=r"^table, the names: found columns 'dst', 'time', expected usual names"):
        prepare("mine", pa.table({"dst": [1, 2], "time": [1577836800, 1577836900]}), tmp_path / "out")
    with pytest.raises(DataError, match="found a table without columns"):
        prepare("mine", pa.table({}), tmp_path / "out")
    with pytest.raises(ConfigError, match="found list, expected a path, an EventTable, or a table"):
        prepare("mine", [1, 2], tmp_path / "out")
    with pytest.raises(ConfigError, match="delimiter = ';', expected no such option here; a table says it itself"):
        prepare("mine", pa.table(EVENTS), tmp_path / "out", PrepareOptions(delimiter=";"))
    assert not list(tmp_path.iterdir())


def test_damaged_files_are_refused(tmp_path):
    path, table = tmp_path / "a", pa.table(EVENTS)
    for write in WRITE.values():
        write(table, path)
        whole = path.read_bytes()
        for cut in (len(whole) // 2, len(whole) - 8, 12):
            path.write_bytes(whole[:cut])
            with pytest.raises(DataError, match=r"/a: found (a damaged|no end of the Arrow stream)"):
                prepare("edges", path, tmp_path / "out", PrepareOptions(**COLUMNS))
    stream(table, path)
    path.write_bytes(2 * path.read_bytes())
    with pytest.raises(DataError, match="found no end of the Arrow stream where its data end"):
        prepare("edges", path, tmp_path / "out", PrepareOptions(**COLUMNS))
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(DataError, match="found Arrow stream data in an archive, expected them alone; unpack it first"):
        prepare("edges", path, tmp_path / "out", PrepareOptions(**COLUMNS))
    path.write_bytes(b"FEA1" + bytes(100))
    with pytest.raises(DataError, match=r"found Feather of version 1, expected version 2.*write it again"):
        prepare("edges", path, tmp_path / "out")


def test_what_pyarrow_takes_on_trust_is_checked(tmp_path):
    """An offset far behind the end of the text, and a length of 240 MiB: read as they are, they end the process."""
    table = pa.table({"src": ["a", "b"], "dst": ["b", "c"], "time": [1.0, 2.0]})
    stream(table, tmp_path / "a")
    whole = (tmp_path / "a").read_bytes()
    offsets = struct.pack("<3i", 0, 1, 2)
    assert whole.count(offsets) == 2
    for damaged in (
        whole.replace(offsets, struct.pack("<3i", 0, 2**30, 2)),
        whole[:4] + b"\0\0\0\x0f" + whole[8:],
    ):
        (tmp_path / "a").write_bytes(damaged)
        with pytest.raises(DataError, match=r"/a: found a damaged Arrow stream file \("):
            prepare("edges", tmp_path / "a", tmp_path / "out")


def test_large_tables_come_piece_by_piece(tmp_path):
    rows = 100_000
    table = pa.table({"src": np.arange(rows), "dst": np.arange(rows) % 7, "time": np.arange(rows) / 8})
    whole = text(table)
    assert whole.count("\n") == rows + 1
    for name, write in WRITE.items():
        write(table, tmp_path / name)
        with open_raw(tmp_path / name) as file:
            pieces = iter(lambda: file.read(1 << 20), b"")
            assert b"".join(pieces).decode() == whole
            assert file.consumed > 0.9 * (tmp_path / name).stat().st_size
            assert len(file.read(1 << 20)) == 0
    assert text(table.to_pandas()) == whole


def test_parts_of_a_table_and_what_writers_leave_beside_them(tmp_path, from_csv):
    folder = tmp_path / "events"
    folder.mkdir()
    (folder / "_SUCCESS").touch()
    table = pa.table(EVENTS)
    pq.write_table(table.slice(0, 2), folder / "part-00000.parquet")
    pq.write_table(table.slice(2), folder / "part-00001.parquet")
    prepare("edges", folder, tmp_path / "out", PrepareOptions(**COLUMNS))
    assert (tmp_path / "out" / "edges.parquet").read_bytes() == (from_csv / "edges.parquet").read_bytes()


@pytest.mark.parametrize("unit", ["ns", "us"])
@pytest.mark.parametrize("missing", ["null", "float"])
def test_events_as_relbench_has_them(tmp_path, unit, missing):
    """A key, two foreign keys of which some are missing, a timestamp, and text that has line ends in it."""
    kind = {"null": "Int64", "float": "float64"}[missing]
    reviews = pd.DataFrame(
        {
            "review_id": [0, 1, 2, 3],
            "review_text": ['a "quote", and\nmore', "good", None, "fine\n"],
            "customer_id": pd.Series([31, None, 33, 31]).astype(kind),
            "product_id": pd.Series([501, 502, None, 502]).astype(kind),
            "review_time": np.array(["2018-01-03", "2018-01-04", "2018-01-05", "2018-01-11T12:00:00.5"], "M8[ms]"),
            "rating": [5.0, 1.0, 3.0, 4.5],
        }
    ).astype({"review_time": f"datetime64[{unit}]"})
    reviews.to_parquet(tmp_path / "review.parquet")
    options = PrepareOptions(
        src="customer_id", dst="product_id", time="review_time", weight="rating", bipartite=False, on_error="quarantine"
    )
    manifest = prepare("edges", tmp_path / "review.parquet", tmp_path / "out", options)
    edges = pq.read_table(tmp_path / "out" / "edges.parquet").select(["snapshot", "src", "dst", "time", "weight"])
    assert [tuple(row.values()) for row in edges.to_pylist()] == [
        (0, 0, 1, 1514937600.0, 5.0),
        (1, 0, 2, 1515672000.5, 4.5),
    ]
    assert pq.read_table(tmp_path / "out" / "nodes.parquet")["raw_id"].to_pylist() == ["31", "501", "502"]
    rejected = pq.read_table(tmp_path / "out" / "rejected.parquet").to_pydict()
    assert rejected["line"] == [3, 4]
    end = {"null": "", "float": ".0"}[missing]
    assert rejected["text"] == [f",,,502{end},2018-01-04 00:00:00.000,1.0", f",,33{end},,2018-01-05 00:00:00.000,3.0"]
    assert (manifest["num_edges"], manifest["sources"][0]["lines"]) == (2, 5)
    prepare("mine", reviews, tmp_path / "frame", options)
    assert same(tmp_path / "out", tmp_path / "frame")


def test_events_as_tgb_has_them(tmp_path):
    events = pd.DataFrame(
        {
            "u": [1, 2, 1],
            "i": [9, 9, 8],
            "ts": [0.0, 36.0, 1.5e6],
            "label": [0.0, 1.0, 0.0],
            "idx": [1.0, 2.0, 3.0],
        }
    )
    events.to_csv(tmp_path / "ml_tgbl-wiki.csv")
    events.to_parquet(tmp_path / "ml_tgbl-wiki.parquet")
    options = PrepareOptions(src="u", dst="i", time="ts", label="label", time_unit="none")
    prepare("edges", tmp_path / "ml_tgbl-wiki.parquet", tmp_path / "out", options)
    assert pq.read_table(tmp_path / "out" / "labels.parquet")["label"].to_pylist() == [0, 1, 0]
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["time_range"] == [0.0, 1.5e6]
    prepare("mine", events, tmp_path / "frame", options)
    assert same(tmp_path / "out", tmp_path / "frame")


SECONDS = [1577836800, 1577836900, 1577837000]
DAYS = pd.Series(np.array(["2018-01-03", "2018-01-04", "2018-01-11"], "M8[us]"))
GUESSED = {
    "signs": {"src": ["#a", "b,c", "d"], "dst": ["x y", "%q", "#a"], "time": SECONDS},
    "zeros": {"source": ["02134", "2134", "x"], "target": ["2134", "02134", "1"], "time": SECONDS},
    "categories": {"from": pd.Categorical(["a", "b", "a"]), "to": pd.Categorical(["c", "c", "a"]), "time": SECONDS},
    "zone": {"source": [1, 2, 3], "target": [2, 3, 1], "time": DAYS.dt.tz_localize("Europe/Berlin")},
    "dates": {"source": [1, 2, 3], "target": [2, 3, 1], "date": DAYS.dt.date},
    "years": {"source": [1, 2, 3], "target": [2, 3, 1], "year": [1994, 1995, 1995]},
    "steps": {"source": [1, 2, 3], "target": [2, 3, 1], "time": [0.0, 1.0, 2.5]},
    "large": {"source": [2**62, 2**62 + 1, 3], "target": [2, 3, 2**62], "time": SECONDS},
    "classes": {"user_id": [1.0, 2.0, 3.0], "item_id": [1, 2, 3], "ts": SECONDS, "is_fraud": [True, False, True]},
}


@pytest.mark.parametrize("name", GUESSED)
def test_what_is_guessed_of_a_table_is_what_is_guessed_of_its_csv(tmp_path, name):
    frame = pd.DataFrame(GUESSED[name])
    options = PrepareOptions(label="is_fraud" if name == "classes" else None)
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    for raw, out in (("a.csv", "csv"), ("a.parquet", "parquet")):
        prepare("edges", tmp_path / raw, tmp_path / out, options)
    prepare("edges", frame, tmp_path / "frame", options)
    assert same(tmp_path / "parquet", tmp_path / "csv")
    assert same(tmp_path / "frame", tmp_path / "csv")


def test_labels_come_from_tables(tmp_path):
    events = pd.DataFrame({"source": [1, 2, 3], "target": [2, 3, 1], "time": SECONDS})
    labels = pd.DataFrame({"node": [1, 2, 3], "label": ["ok", None, "fraud"]}).dropna()
    labels.to_csv(tmp_path / "labels.csv", index=False)
    labels.to_parquet(tmp_path / "labels.parquet", index=False)
    for kind in ("csv", "parquet"):
        prepare("mine", events, tmp_path / kind, PrepareOptions(labels=tmp_path / f"labels.{kind}"))
    assert same(tmp_path / "parquet", tmp_path / "csv")
    assert json.loads((tmp_path / "csv" / "manifest.json").read_text())["class_names"] == ["fraud", "ok"]
    pq.write_table(pa.table({"node": [1, 1], "label": ["ok", "fraud"]}), tmp_path / "labels.parquet")
    with pytest.raises(DataError, match=r"labels\.parquet, row 2: .* on row 1"):
        prepare("mine", events, tmp_path / "out", PrepareOptions(labels=tmp_path / "labels.parquet"))


def test_columns_that_are_numbered_are_no_row(tmp_path):
    frame = pd.DataFrame([[1, 2, SECONDS[0]], [2, 3, SECONDS[1]]])
    assert prepare("mine", frame, tmp_path / "out")["num_edges"] == 2


def test_what_is_said_of_a_table_can_be_overruled(tmp_path):
    pq.write_table(pa.table(EVENTS), tmp_path / "a.parquet")
    takes = inspect(tmp_path / "a.parquet").takes
    assert takes[0] == ("format", "table (Parquet)", "its first bytes", "")
    assert not {"--delimiter", "--no-quote", "--no-header", "--header"} & {take.option for take in takes}


def test_a_table_with_the_name_of_a_known_file_is_a_table(tmp_path):
    events = pd.DataFrame({"source": [1, 2], "target": [2, 3], "rating": [1, -10], "time": SECONDS[:2]})
    events.to_parquet(tmp_path / "soc-sign-bitcoinotc.parquet")
    manifest = prepare("edges", tmp_path / "soc-sign-bitcoinotc.parquet", tmp_path / "out")
    assert (manifest["dataset"], manifest["num_edges"], manifest["edge_weight"]) == ("bitcoin-otc", 2, "rating")
