from dataclasses import replace

import numpy as np
import pytest

from data_prep.rules import Rule
from data_prep.sources import _source
from data_prep.sources._layout import Column, Layout
from data_prep.sources._source import ReadOptions, Source, each_once, find_parts, most_ids, read_labels
from dgl_dysign.data.schema import sha256
from dgl_dysign.errors import DataError

PAIRS = Layout((Column("patent", "integer"), Column("granted", "integer")))


def names(parts):
    return [part.name for part in parts]


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz", ".zst", ".zip"])
def test_a_file_is_found_alone_compressed_or_in_parts(tmp_path, suffix):
    (tmp_path / f"a.txt{suffix}").touch()
    for other in ("a.txt.bak", "a.txt.tar.gz", "xa.txt", "a-b.txt", "a-1.csv", ".a.txt", "b.txt", "a-1.txt.old"):
        (tmp_path / other).touch()
    assert names(find_parts(tmp_path, "c.txt", "a.txt", command="x")) == [f"a.txt{suffix}"]
    (tmp_path / f"a.txt{suffix}").unlink()
    for number in (10, 9, 100, 0):
        (tmp_path / f"a-{number}.txt{suffix}").touch()
    assert names(find_parts(tmp_path, "a.txt", command="x")) == [f"a-{n}.txt{suffix}" for n in (0, 9, 10, 100)]
    assert find_parts(tmp_path / "b.txt", "a.txt", command="x") == (tmp_path / "b.txt",)


def test_parts_may_be_compressed_each_in_its_way_and_numbered_with_zeros(tmp_path):
    for name in ("a-002.txt.gz", "a-1.txt", "a-010.txt.xz"):
        (tmp_path / name).touch()
    assert names(find_parts(tmp_path, "a.txt", command="x")) == ["a-1.txt", "a-002.txt.gz", "a-010.txt.xz"]


@pytest.mark.parametrize(
    "found", [["a.txt", "a.txt.gz"], ["a.txt", "a-0.txt"], ["a.txt.gz", "a-0.txt.gz", "a-1.txt.gz"]]
)
def test_more_than_one_copy_is_refused(tmp_path, found):
    for name in found:
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=rf"found {', '.join(found)}, expected one of them".replace(".", r"\.")):
        find_parts(tmp_path, "a.txt", command="x")


def test_one_part_twice_is_refused(tmp_path):
    """As where parts were unpacked beside their archives: the events would be there twice."""
    for name in ("a-0.txt", "a-1.txt", "a-1.txt.gz"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"found a-1\.txt, a-1\.txt\.gz, expected one of them"):
        find_parts(tmp_path, "a.txt", command="x")


def test_what_is_there_instead_is_said(tmp_path):
    with pytest.raises(
        DataError, match=r"found an empty folder, expected a\.txt or b\.txt; check RAW of dysign-prep x"
    ):
        find_parts(tmp_path, "a.txt", "b.txt", command="x")
    for number in range(9):
        (tmp_path / f"{number}.bin").touch()
    (tmp_path / "a-².txt").touch()  # a digit, but no number
    with pytest.raises(DataError, match=r"found 0\.bin, 1\.bin, 2\.bin, 3\.bin, 4\.bin, expected a\.txt"):
        find_parts(tmp_path, "a.txt", command="x")
    with pytest.raises(DataError, match="found no such file or folder"):
        find_parts(tmp_path / "absent", "a.txt", command="x")


def test_generated_data_says_so(tmp_path):
    assert _source.name_of("dblp", tmp_path) == "dblp"
    source = Source("a", (tmp_path / "a.txt",), PAIRS, Rule("step"))
    assert _source.other_sources(source) == []
    (tmp_path / "synth.json").write_text("{}")
    assert _source.name_of("dblp", tmp_path) == "dblp-generated"
    counts = {"lines": 0, "header": 0, "rows": 0, "rejected": 0}
    marker = {"name": "synth.json", "sha256": sha256(tmp_path / "synth.json"), **counts}
    assert _source.other_sources(source) == [marker]
    (tmp_path / "a.npy").write_text("values")
    beside = {"name": "a.npy", "sha256": sha256(tmp_path / "a.npy"), **counts}
    assert _source.other_sources(replace(source, beside=(tmp_path / "a.npy",))) == [beside, marker]


def open_pairs(path, text, on_error="stop"):
    path.write_text(text)
    return ReadOptions(on_error).open(path, PAIRS)


def test_rows_that_are_there_once_come_in_order(tmp_path):
    (patent, granted), source, rejected = each_once(open_pairs(tmp_path / "a", "7 1\n3 2\n5 3\n"), "patent")
    assert (patent.tolist(), granted.tolist(), rejected) == ([3, 5, 7], [2, 3, 1], [])
    assert (source["lines"], source["rows"], source["rejected"]) == (3, 3, 0)


def test_the_first_row_given_again_is_named(tmp_path):
    text = "7 1\n\n3 2\n9 0\n9 1\n7 3\n3 2\n7 1\n"
    with pytest.raises(DataError, match=r"a, line 5: found patent 9 again, expected each once \(first on line 4\)"):
        each_once(open_pairs(tmp_path / "a", text), "patent")


def test_rows_given_again_are_set_aside_with_the_other_bad_ones(tmp_path):
    file = open_pairs(tmp_path / "a", "7 1\nbad\n3 2\n7 3\n\n3 2\n7 1\n", "quarantine")
    (patent, granted), source, rejected = each_once(file, "patent")
    assert (patent.tolist(), granted.tolist()) == ([3, 7], [2, 1])
    assert [(name, row.line, row.text) for name, row in rejected] == [
        ("a", 2, "bad"), ("a", 4, "7 3"), ("a", 6, "3 2"), ("a", 7, "7 1")
    ]  # fmt: skip
    assert rejected[1][1].reason == "patent 7 was given before"
    assert (source["lines"], source["rows"], source["rejected"]) == (6, 2, 4)


def test_the_bound_of_ids_grows_with_the_events():
    assert most_ids(2) == 10_000_000
    assert most_ids(235_769) == 47_153_800
    assert most_ids(10**12) == 2**31


@pytest.mark.parametrize("values", [[], [3], [1, 1, 2], [2, 1, 2, 1]])
def test_equal_values_keep_their_order(values):
    values = np.array(values, np.int64)
    assert _source.ascending_order(values).tolist() == np.argsort(values, kind="stable").tolist()


def read(path, text, on_error="stop"):
    path.write_bytes(text)
    return read_labels(path, ReadOptions(on_error))


def lines(table, nodes):
    return table.lines_of(np.searchsorted(table.node, nodes))


@pytest.mark.parametrize(
    "text", [b"3 7\n0 2\n1 7\n", b"\xef\xbb\xbf3\t7\r\n\r\n0  2\r\n 1 7", b"3 7\n3 7\n0 2\n1 7\n0 2"]
)
def test_labels_in_any_order_come_by_node(tmp_path, text):
    table = read(tmp_path / "labels", text)
    assert (table.node.tolist(), table.label.tolist()) == ([0, 1, 3], [2, 7, 7])
    assert table.complete
    assert table.rejected == []


def test_lines_are_found_again_past_blank_bad_and_repeated_ones(tmp_path):
    text = b"\n30 7\nbad\n\n20 2\n30 7\n-1 0\n10 7\n40 1\n"
    table = read(tmp_path / "labels", text, "quarantine")
    assert lines(table, [10, 20, 30, 40]) == [8, 5, 2, 9]
    assert lines(table, [40, 10]) == [9, 8]
    assert [row.line for _, row in table.rejected] == [3, 7]
    assert table.sources[0]["lines"] == 7


def test_a_node_has_one_label(tmp_path):
    text = b"3 1\n0 2\n3 1\n0 4\n3 5\n0 6\n"
    with pytest.raises(DataError, match="labels, line 4: found label 4 for node 0, expected label 2 as on line 2"):
        read(tmp_path / "labels", text)
    table = read(tmp_path / "labels", text, "quarantine")
    assert (table.node.tolist(), table.label.tolist()) == ([0, 3], [2, 1])
    assert [(name, row.line, row.text, row.reason) for name, row in table.rejected] == [
        ("labels", 4, "0 4", "label 2 was given before"),
        ("labels", 5, "3 5", "label 1 was given before"),
        ("labels", 6, "0 6", "label 2 was given before"),
    ]
    source = table.sources[0]
    assert (source["lines"], source["rows"], source["rejected"]) == (6, 3, 3)


def test_the_earlier_of_two_labels_counts_whatever_the_order_of_nodes(tmp_path):
    table = read(tmp_path / "labels", b"9 1\n9 0\n8 1\n9 1\n", "quarantine")
    assert (table.node.tolist(), table.label.tolist()) == ([8, 9], [1, 1])
    assert [row.line for _, row in table.rejected] == [2]


def test_many_lines_are_found_in_one_reading(tmp_path):
    text = b"".join(b"%d 1\n%d 2\n" % (node, node) for node in range(20_000)) + b"bad\n"
    table = read(tmp_path / "labels", text, "quarantine")
    assert len(table.rejected) == 20_001
    assert [row.line for _, row in table.rejected][:3] == [2, 4, 6]
    assert table.lines_of(np.arange(20_000)) == list(range(1, 40_000, 2))
