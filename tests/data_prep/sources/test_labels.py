import numpy as np
import pytest

from data_prep.sources._labels import read_labels
from data_prep.sources._source import ReadOptions
from dgl_dysign.errors import DataError


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


def test_many_lines_are_found_in_one_reading(tmp_path, monkeypatch):
    text = b"".join(b"%d 1\n%d 2\n" % (node, node) for node in range(20_000)) + b"bad\n"
    table = read(tmp_path / "labels", text, "quarantine")
    assert len(table.rejected) == 20_001
    assert [row.line for _, row in table.rejected][:3] == [2, 4, 6]
    assert table.lines_of(np.arange(20_000)) == list(range(1, 40_000, 2))
