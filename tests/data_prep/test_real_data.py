"""Every real file prepared by the command and verified, and held against a plain reading of it."""

import calendar
import csv
import datetime
import json
from collections import Counter
from pathlib import Path

import pytest

from dgl_dysign.data import schema
from tests.data_prep import brute

pytestmark = pytest.mark.real


@pytest.fixture
def prepared(tmp_path, prep):
    """Run a command, verify the folder: (manifest, tables as lists of rows)."""

    def prepare(*arguments):
        name, raw, *options = arguments
        assert prep(name, raw, tmp_path / "out", *options, "--features", "none", "-q") == (0, "", "")
        assert prep("verify", tmp_path / "out", "-q") == (0, "", "")
        return schema.read_manifest(tmp_path / "out"), brute.found(tmp_path / "out")

    return prepare


def lines(path, sign=None):
    with open(path) as file:
        return [line.split(sign) for line in file]


def counts(manifest, *keys):
    return [manifest[key] for key in keys]


def test_dblp(real_data, prepared):
    manifest, tables = prepared("dblp", real_data / "dblp")
    keys = "num_nodes", "num_edges", "num_snapshots", "num_classes", "duplicate_rows", "rejected_rows"
    assert counts(manifest, *keys) == [28085, 235769, 27, 10, 24464, 0]
    assert manifest["snapshot_rule"]["kind"] == "grid"
    raw = [(int(src), int(dst), float(time)) for src, dst, time in lines(real_data / "dblp" / "dblp.txt")]
    assert len({(min(src, dst), max(src, dst), time) for src, dst, time in raw}) == 207_194
    # The file is sorted, so that even the order is that of the file; the snapshot is the step that the time stands for.
    assert [row[1:] for row in tables["edges"]] == [(*event, number) for number, event in enumerate(raw)]
    assert [row[0] for row in tables["edges"]] == [round(time * 26) for _, _, time in raw]
    assert max(Counter(raw).values()) == 13
    assert [row[2] for row in tables["snapshots"]][:3] == [856, 996, 1593]
    # An N from a prefix would miss these.
    assert sum(row[3] >= 25 for row in tables["nodes"]) == 2698
    assert tables["labels"] == [tuple(map(int, row)) for row in lines(real_data / "dblp" / "node2label.txt")]
    labels = Counter(label for _, label in tables["labels"])
    assert [labels[label] for label in range(10)] == [8133, 1913, 4844, 1289, 3818, 2345, 3527, 851, 345, 1020]


def test_patents(real_data, prepared):
    manifest, tables = prepared("patent", real_data / "patent_subset")
    keys = "num_nodes", "num_edges", "num_snapshots", "num_classes", "class_names", "directed"
    assert counts(manifest, *keys) == [12214, 41916, 25, 6, ["1", "2", "3", "4", "5", "6"], True]
    with open(real_data / "patent_subset" / "patent_edges.json") as file:
        raw = [json.loads(line) for line in file]

    def unix(day):
        return float(calendar.timegm(datetime.datetime.strptime(str(day), "%Y%m%d").timetuple()))

    expected = [(day // 10_000 - 1975, src, dst, unix(day), row) for row, (src, dst, day, *_) in enumerate(raw)]
    assert tables["edges"] == sorted(expected, key=lambda row: (row[0], row[4]))
    with open(real_data / "patent_subset" / "patent_nodes.json") as file:
        nodes = [json.loads(line) for line in file]
    assert tables["labels"] == sorted((node, label - 1) for node, _, _, label in nodes)
    assert Counter(label for _, label in tables["labels"]) == {2: 3796, 0: 3347, 1: 2634, 3: 933, 4: 769, 5: 735}
    manifest, _ = prepared("patent", real_data / "patent_subset", "--merge", "2", "--overwrite")
    assert manifest["num_snapshots"] == 13


def test_wikipedia(real_data, prepared):
    manifest, tables = prepared("wikipedia", real_data / "wikipedia", "--every", "1h")
    keys = "num_nodes", "num_edges", "num_snapshots", "class_names", "id_offsets", "labels"
    assert counts(manifest, *keys) == [9227, 157474, 744, ["0", "1"], {"user": 0, "item": 8227}, "event"]
    assert manifest["sources"][0]["lines"] == 157_475
    raw = lines(real_data / "wikipedia" / "wikipedia.csv", ",")[1:]
    expected = [
        (int(float(time) // 3600), int(user), 8227 + int(item), float(time), number)
        for number, (user, item, time, *_) in enumerate(raw)
    ]
    assert tables["edges"] == expected
    positive = [row for row in tables["labels"] if row[3] == 1]
    assert len(positive) == 217
    assert {row[0] for row in positive} == {number for number, row in enumerate(raw) if row[3] == "1"}
    last = {row[1]: row[4] for row in tables["edges"]}
    assert all(last[node] == edge for edge, node, _, _ in positive)
    assert [row[2] for row in tables["nodes"]] == ["user"] * 8227 + ["item"] * 1000
    assert [row[1] for row in tables["nodes"]] == [*map(str, range(8227)), *map(str, range(1000))]


def week(time):
    """Monday of the week of a Unix time."""
    day = datetime.datetime.fromtimestamp(time, datetime.timezone.utc).date()
    return day - datetime.timedelta(days=day.weekday())


@pytest.mark.parametrize(
    ("name", "nodes", "rows", "weeks"), [("otc", 5881, 35592, 273), ("alpha", 3783, 24186, 272)], ids=["otc", "alpha"]
)
def test_bitcoin(real_data, prepared, name, nodes, rows, weeks):
    path = real_data / f"bitcoin_{name}" / f"soc-sign-bitcoin{name}.csv"
    manifest, tables = prepared("edges", path)
    keys = "dataset", "num_nodes", "num_edges", "num_snapshots", "edge_weight", "directed"
    assert counts(manifest, *keys) == [f"bitcoin-{name}", nodes, rows, weeks, "rating", True]
    with open(path) as file:
        raw = list(csv.reader(file))
    first = week(min(float(row[3]) for row in raw))
    ids = [row[1] for row in tables["nodes"]]
    assert ids == [str(number) for number in sorted({int(end) for row in raw for end in row[:2]})]
    for snapshot, src, dst, time, edge_id, rating in tables["edges"]:
        assert [ids[src], ids[dst], float(rating), time] == [
            *raw[edge_id][:2],
            float(raw[edge_id][2]),
            float(raw[edge_id][3]),
        ]
        assert snapshot == (week(time) - first).days // 7
    assert sorted(row[4] for row in tables["edges"]) == list(range(rows))
    assert [row[::4] for row in tables["edges"]] == sorted(row[::4] for row in tables["edges"])
    in_file_order = [row[4] for row in tables["edges"]] == list(range(rows))
    assert in_file_order == (name == "otc")


def test_bitcoin_in_rolands_weeks(real_data, prepared):
    path = real_data / "bitcoin_otc" / "soc-sign-bitcoinotc.csv"
    _, tables = prepared("edges", path, "--every", "roland-week")
    weeks = Counter(
        datetime.datetime.fromtimestamp(float(row[3]), datetime.timezone.utc).strftime("%Y %W")
        for row in lines(path, ",")
    )
    assert [row[2] for row in tables["snapshots"] if row[2]] == [weeks[name] for name in sorted(weeks)]


@pytest.mark.parametrize(("every", "seconds", "snapshots"), [("week", 7 * 86_400, 29), ("day", 86_400, 195)])
def test_uci_message(real_data, prepared, every, seconds, snapshots):
    path = real_data / "uci_message" / "CollegeMsg.txt"
    manifest, tables = prepared("edges", path, "--every", every)
    keys = "dataset", "num_nodes", "num_edges", "num_snapshots", "edge_weight", "directed"
    assert counts(manifest, *keys) == ["college-msg", 1899, 59_835, snapshots, None, True]
    ids = [int(row[1]) for row in tables["nodes"]]
    raw = [tuple(map(int, row)) for row in lines(path)]  # in order of time, so that the order is that of the file
    assert [(ids[row[1]], ids[row[2]], int(row[3])) for row in tables["edges"]] == raw
    first = calendar.timegm(week(raw[0][2]).timetuple()) if every == "week" else raw[0][2] // 86_400 * 86_400
    assert [row[0] for row in tables["edges"]] == [(time - first) // seconds for _, _, time in raw]


def test_school(real_data, prepared):
    manifest, tables = prepared("dblp", real_data / "school")
    keys = "dataset", "num_nodes", "num_edges", "num_snapshots", "num_classes", "duplicate_rows"
    assert counts(manifest, *keys) == ["school", 327, 188508, 7375, 9, 0]
    raw = [(int(src), int(dst), float(time)) for src, dst, time in lines(real_data / "school" / "school.txt")]
    assert [row[1:4] for row in tables["edges"]] == raw
    assert [row[0] for row in tables["labels"]] == list(range(327))
    assert dict(tables["labels"]) == {
        int(node): int(label) for node, label in lines(real_data / "school/node2label.txt")
    }


def classes_by_id(manifest, tables):
    """Class of each labelled node by its raw id."""
    return {tables["nodes"][node][1]: manifest["class_names"][label] for node, label in tables["labels"]}


def test_primary_school_with_classes_from_its_columns(real_data, prepared):
    path = real_data / "primary_school" / "primaryschool.csv"
    manifest, tables = prepared("edges", path, "--src-label", "c1", "--dst-label", "c2")
    assert counts(manifest, "num_nodes", "num_edges", "num_classes", "rejected_rows") == [242, 125_773, 11, 0]
    known = {}
    for _, first, second, *classes in lines(path, "\t")[1:]:
        known |= zip((first, second), map(str.strip, classes), strict=True)
    assert classes_by_id(manifest, tables) == known
    assert manifest["class_names"] == [f"{year}{part}" for year in range(1, 6) for part in "AB"] + ["Teachers"]


def test_fraud_on_bitcoin(real_data, prepared):
    labels = real_data / "bitcoin_otc_fraud" / "otc_gt.csv"
    manifest, tables = prepared("edges", real_data / "bitcoin_otc" / "soc-sign-bitcoinotc.csv", "--labels", labels)
    assert counts(manifest, "num_nodes", "num_edges", "class_names") == [5881, 35_592, ["+1", "-1"]]
    assert Counter(label for _, label in tables["labels"]) == {0: 136, 1: 180}
    assert classes_by_id(manifest, tables) == {node: name.strip() for node, name in lines(labels, ",")}


def test_aminer(real_data, prepared):
    labels = real_data / "aminer" / "Aminer_label.txt"
    manifest, tables = prepared("edges", real_data / "aminer" / "Aminer.txt", "--labels", labels)
    assert counts(manifest, "num_nodes", "num_edges", "num_snapshots") == [20_663, 41_687, 62]
    assert manifest["snapshot_rule"] == {"kind": "calendar", "unit": "year"}
    assert Counter(label for _, label in tables["labels"]) == {0: 500, 1: 500, 2: 500}
    assert classes_by_id(manifest, tables) == dict(lines(labels))


def test_tmalls_labels_with_made_edges(real_data, prepared, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    labels = real_data / "tmall" / "node2label.txt"
    nodes = [int(node) for node, _ in lines(labels)]
    # Every labelled node has an event, and so has the last one of the published 577,314.
    events = [f"{node} {577_313 - number % 5} {number % 7 / 8}\n" for number, node in enumerate(nodes)]
    (raw / "tmall.txt").write_text("".join(events))
    (raw / "node2label.txt").write_bytes(labels.read_bytes())
    manifest, tables = prepared("tmall", raw, "--merge", "2")
    assert counts(manifest, "num_nodes", "num_edges", "num_snapshots") == [577_314, 81_380, 4]
    assert manifest["class_names"] == ["656", "662", "737", "1095", "1505"]
    assert Counter(label for _, label in tables["labels"]) == {0: 13181, 1: 29709, 2: 15940, 3: 9224, 4: 13326}
    names = manifest["class_names"]
    assert {node: names[label] for node, label in tables["labels"]} == {
        int(node): label for node, label in lines(labels)
    }


def test_the_files_are_those_of_the_list(real_data):
    listed = dict(reversed(row) for row in lines(real_data / "SHA256SUMS"))
    for name, digest in listed.items():
        path = Path(real_data, name)
        if path.suffix in (".txt", ".csv", ".json"):
            assert schema.sha256(path) == digest
