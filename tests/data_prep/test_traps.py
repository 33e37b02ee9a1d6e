"""The nine traps of the real formats, each by a small made file, through the command."""

import numpy as np
import pytest

from dgl_dysign.data.verify import verify
from tests.data_prep import brute


@pytest.fixture
def prepared(tmp_path, prep):
    """Write raw files, run a command, verify: (manifest, tables as lists of rows)."""

    def prepare(command, files, *options):
        raw = tmp_path / "raw"
        raw.mkdir()
        for name, data in files.items():
            (raw / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        assert prep(command, raw, tmp_path / "out", *options, "--features", "none", "-q") == (0, "", "")
        return verify(tmp_path / "out"), brute.found(tmp_path / "out")

    return prepare


def dblp(edges, labels="0 0\n"):
    return {"dblp.txt": edges, "node2label.txt": labels}


def column(rows, at):
    return [row[at] for row in rows]


def test_1_times_are_numbers_not_strings(prepared):
    """As strings, 1e1 would come before 7e-06, and 10 before 9."""
    times = ["9", "7e-06", "10", "1e1", "0.5", "1E-7", "100"]
    _, tables = prepared("dblp", dblp("".join(f"0 {row} {time}\n" for row, time in enumerate(times))))
    assert column(tables["edges"], 3) == [1e-7, 7e-6, 0.5, 9.0, 10.0, 10.0, 100.0]
    assert column(tables["edges"], 4) == [5, 1, 4, 0, 2, 3, 6]
    assert column(tables["edges"], 0) == [0, 1, 2, 3, 4, 4, 5]


def test_2_repeated_events_are_data(prepared):
    manifest, tables = prepared("dblp", dblp("0 1 0\n" * 13 + "1 0 0\n0 1 1\n"))
    assert (manifest["num_edges"], manifest["duplicate_rows"]) == (15, 12)
    assert column(tables["snapshots"], 2) == [14, 1]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("last", ["", "end"])
def test_3_line_ends_byte_order_marks_and_a_missing_last_line_end(prepared, end, mark, last):
    def text(*rows):
        return mark + end.join(rows) + (end if last else "")

    manifest, tables = prepared("dblp", dblp(text("0 1 0.5", "1\t2 1.5"), text("2 7", "0 5")))
    assert tables["edges"] == [(0, 0, 1, 0.5, 0), (1, 1, 2, 1.5, 1)]
    assert tables["labels"] == [(0, 0), (2, 1)]
    assert [source["lines"] for source in manifest["sources"]] == [2, 2]


def test_4_labels_out_of_order_missing_and_with_any_numbers(prepared):
    manifest, tables = prepared("dblp", dblp("0 1 0\n2 3 1\n4 5 2\n", "5 1505\n0 656\n3 662\n2 656\n"))
    assert manifest["class_names"] == ["656", "662", "1505"]
    assert tables["labels"] == [(0, 0), (2, 0), (3, 1), (5, 2)]
    assert (manifest["num_nodes"], len(tables["nodes"])) == (6, 6)


@pytest.mark.parametrize(
    ("ids", "nodes"),
    [
        ("0 1 2 0", ["0", "1", "2"]),
        ("1 2 3 1", ["1", "2", "3"]),
        ("7188 1 7605 7188", ["1", "7188", "7605"]),
        ("4294967296 9007199254740993 9007199254740992 5", ["5", "4294967296", "9007199254740992", "9007199254740993"]),
        ("b a é a", ["a", "b", "é"]),
        ("10 9 x 9", ["10", "9", "x"]),
    ],
)
def test_5_ids_of_every_kind(prepared, ids, nodes):
    first, second, third, fourth = ids.split()
    text = f"{first},{third},0\n{second},{fourth},1\n"
    options = ("--ids", "text") if "x" in ids else ()
    manifest, tables = prepared("edges", {"mine.csv": text}, "--time-unit", "none", *options)
    assert column(tables["nodes"], 1) == nodes
    found = [(nodes[src], nodes[dst]) for _, src, dst, *_ in tables["edges"]]
    assert found == [(first, third), (second, fourth)]
    assert manifest["id_order"] == ("lexicographic" if not first.isdecimal() or options else "ascending")


def test_5_users_and_items_are_two_spaces(prepared):
    text = "h,e,a,d,er\n" + "".join(f"{row % 2},{row % 3},{row}.0,0,0.5\n" for row in range(6))
    manifest, tables = prepared("wikipedia", {"wikipedia.csv": text})
    assert (manifest["num_nodes"], manifest["id_offsets"]) == (5, {"user": 0, "item": 2})
    assert column(tables["edges"], 2) == [2, 3, 4, 2, 3, 4]


def test_6_unsorted_rows_and_ties_keep_the_files_order_inside_a_snapshot(prepared):
    """Two weeks; in the first one, times go up and down and meet."""
    times = [86400 * day for day in (11, 6, 4, 6, 12, 5, 4)]
    text = "".join(f"{row},{row + 1},{row},{time}\n" for row, time in enumerate(times))
    _, tables = prepared("edges", {"soc-sign-bitcoinalpha.csv": text})
    assert column(tables["edges"], 4) == [1, 2, 3, 5, 6, 0, 4]
    assert column(tables["edges"], 0) == [0, 0, 0, 0, 0, 1, 1]
    assert column(tables["edges"], 3) == [float(times[row]) for row in (1, 2, 3, 5, 6, 0, 4)]


def test_7_nodes_that_come_late_count_from_the_first_snapshot(prepared):
    manifest, tables = prepared("dblp", dblp("0 1 0\n1 0 1\n1 9 2\n"))
    assert manifest["num_nodes"] == 10
    assert column(tables["nodes"], 3) == [0, 0, -1, -1, -1, -1, -1, -1, -1, 2]


def test_8_weights_labels_and_features_go_with_their_edges_when_these_are_sorted(prepared):
    rng = np.random.default_rng(0)
    days = rng.permutation(200)
    lines = [f"{row},{row % 7},{86400 * day},{row / 8},{row % 5},{row / 4},{-row}" for row, day in enumerate(days)]
    options = ("--weight", 4, "--label", 5, "--edge-features", 6, "--every", "1d")
    manifest, tables = prepared("edges", {"mine.csv": "\n".join(lines)}, *options)
    order = np.argsort(days).tolist()
    assert column(tables["edges"], 4) == order
    assert column(tables["edges"], 5) == [row / 8 for row in order]
    assert [row[0] for row in tables["edge_features"]] == [[row / 4, -row] for row in order]
    assert [(row[0], row[3]) for row in tables["labels"]] == [(row, row % 5) for row in order]
    assert manifest["edge_features"] == {"dim": 2}


@pytest.mark.parametrize(
    ("rule", "days", "counts"),
    [
        ("week", [0, 22, 22], [1, 0, 0, 2]),  # from Thursday 1970-01-01 to Friday 1970-01-23
        ("1w", [0, 22, 22], [1, 0, 0, 2]),
        ("week", [4, 22, 22], [1, 0, 2]),  # Monday 5 is the first day
        ("month", [0, 70, 70], [1, 0, 2]),
    ],
)
def test_9_empty_snapshots_keep_their_index(prepared, rule, days, counts):
    text = "".join(f"1 2 {86400 * day}\n" for day in days)
    manifest, tables = prepared("edges", {"mine.txt": text}, "--every", rule, "--time-unit", "s")
    assert column(tables["snapshots"], 2) == counts
    assert column(tables["snapshots"], 1) == np.cumsum([0, *counts])[:-1].tolist()
    assert column(tables["edges"], 0) == np.repeat(np.arange(len(counts)), counts).tolist()
    assert manifest["num_snapshots"] == len(counts)
