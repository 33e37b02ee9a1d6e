"""Node numbers and labels; what they become of raw files is tested beside the sources (test_dblp.py, test_edges.py)."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.nodes import IdMap, Nodes, Unchanged, number_nodes, union
from data_prep.sources._raw_file import Rejected
from data_prep.sources._source import NodeTable
from dgl_dysign.errors import DataError


def part(ids=None, largest=-1, text=False, rows=1, folder="part", at=None):
    """Stand for a spooled part: its distinct raw ids by space."""
    arrays = {space: np.array(values, object if text else np.int64) for space, values in (ids or {}).items()}
    facts = {"largest_id": largest, "largest_at": at, "text": text}
    return SimpleNamespace(ids=arrays.__getitem__, facts=facts, rows=rows, folder=folder)


def source(spaces=("node", "node"), keep_ids=False, nodes=None, targets=None):
    more = {"nodes": nodes, "targets": targets, "has_node_classes": False}
    return SimpleNamespace(spaces=spaces, keep_ids=keep_ids, **more)


def table(node, label, **more):
    sources = [{"name": "labels.txt", "rows": len(node), "rejected": 0, "lines": len(node)}]
    return NodeTable(np.array(node), np.array(label), sources=sources, file="labels.txt", **more)


def rows_of(entries):
    return [(int(entry), 10 + int(entry), f"row {entry}") for entry in entries]


def written(nodes, first, folder, allow_unknown=False, on_error="stop"):
    names = nodes.write(folder, np.array(first, np.int32), allow_unknown, on_error)
    tables = {
        path.stem: list(zip(*pq.read_table(path).to_pydict().values(), strict=True))
        for path in folder.glob("*.parquet")
    }
    return names, tables


def test_ids_are_numbered_in_ascending_order_over_all_parts(tmp_path):
    parts = [part({"node": [5, 2**60]}), part({"node": [1, 5]})]
    nodes = number_nodes(source(), parts)
    assert (nodes.count, nodes.offsets, nodes.order) == (3, {"node": 0}, "ascending")
    assert nodes.maps["src"](parts[0], np.array([2**60, 1])).tolist() == [2, 0]
    names, tables = written(nodes, [0, 1, 0], tmp_path)
    assert names == []
    assert tables == {"nodes": [(0, "1", None, 0), (1, "5", None, 1), (2, str(2**60), None, 0)]}


def test_spaces_follow_each_other(tmp_path):
    parts = [part({"user": [7, 9], "item": [7]})]
    nodes = number_nodes(source(("user", "item")), parts)
    assert (nodes.count, nodes.offsets) == (3, {"user": 0, "item": 2})
    assert nodes.maps["src"](parts[0], np.array([7])).tolist() == [0]
    assert nodes.maps["dst"](parts[0], np.array([7])).tolist() == [2]
    assert [row[1:3] for row in written(nodes, [0, 0, 0], tmp_path)[1]["nodes"]] == [
        ("7", "user"), ("9", "user"), ("7", "item")
    ]  # fmt: skip


def test_names_have_codes_of_each_part(tmp_path):
    parts = [part({"node": ["b", "é"]}, text=True, folder="0"), part({"node": ["a", "b"]}, text=True, folder="1")]
    nodes = number_nodes(source(), parts)
    assert (nodes.count, nodes.order) == (3, "lexicographic")
    assert nodes.maps["src"](parts[0], np.array([0, 1, 0])).tolist() == [1, 2, 1]
    assert nodes.maps["dst"](parts[1], np.array([0, 1])).tolist() == [0, 1]
    assert [row[1] for row in written(nodes, [0, 0, 0], tmp_path)[1]["nodes"]] == ["a", "b", "é"]


def test_ids_that_are_nodes_go_up_to_the_largest():
    nodes = number_nodes(source(keep_ids=True), [part(largest=3), part(largest=7), part(largest=2)])
    assert (nodes.count, nodes.offsets, nodes.order) == (8, {"node": 0}, "as in the file")


def test_labels_are_by_node_and_classes_in_ascending_order(tmp_path):
    nodes = number_nodes(
        source(nodes=table([4, 9, 30], [1505, 95, 656], rows_of=rows_of)), [part({"node": [4, 9, 30]})]
    )
    names, tables = written(nodes, [0, 0, 0], tmp_path)
    assert names == ["95", "656", "1505"]
    assert tables["labels"] == [(0, 2), (1, 0), (2, 1)]


@pytest.mark.parametrize("labels", [[2**62, 7, 2**62], [60_000_000, 0, 60_000_000]])
def test_class_numbers_may_be_large(tmp_path, labels):
    nodes = number_nodes(source(nodes=table([0, 1, 2], labels)), [part({"node": [0, 1, 2]})])
    names, tables = written(nodes, [0, 0, 0], tmp_path)
    assert names == [str(min(labels)), str(max(labels))]
    assert tables["labels"] == [(0, 1), (1, 0), (2, 1)]


def test_nodes_without_a_label_in_the_table_stay_unlabelled(tmp_path):
    nodes = number_nodes(source(nodes=table([0, 1, 2], [-1, 3, -1])), [part({"node": [0, 1, 2]})])
    assert written(nodes, [0, 0, 0], tmp_path)[1]["labels"] == [(1, 0)]
    nodes = number_nodes(source(nodes=table([0, 1, 2], [-1, -1, -1])), [part({"node": [0, 1, 2]})])
    (tmp_path / "none").mkdir()
    assert written(nodes, [0, 0, 0], tmp_path / "none")[0] == []


def test_a_table_of_nodes_without_lines_leaves_strangers_out_in_silence(tmp_path):
    patents = table([3, 5, 9], [1, 2, 3], complete=False)
    nodes = number_nodes(source(nodes=patents), [part({"node": [5, 7]})])
    assert nodes.count == 2
    assert written(nodes, [0, 0], tmp_path) == (
        ["2"], {"labels": [(0, 0)], "nodes": [(0, "5", None, 0), (1, "7", None, 0)]}
    )  # fmt: skip
    assert nodes.rejected == []


def test_refused_labels_are_counted_and_sorted_among_the_bad_rows(tmp_path):
    before = [("labels.txt", Rejected(11, "x", "bad")), ("labels.txt", Rejected(99, "y", "bad"))]
    strangers = table([3, 5, 9], [1, 2, 3], rows_of=rows_of, rejected=before)
    nodes = number_nodes(source(nodes=strangers), [part({"node": [5]})])
    assert nodes.count == 1
    with pytest.raises(DataError, match=r"labels\.txt, line 10: found a label for unknown node 3.*\(2 such lines\)"):
        written(nodes, [0], tmp_path)
    names, tables = written(nodes, [0], tmp_path, on_error="quarantine")
    assert (names, tables["labels"]) == (["2"], [(0, 0)])
    assert [row.line for _, row in nodes.rejected] == [10, 11, 12, 99]
    assert nodes.sources == [{"name": "labels.txt", "rows": 1, "rejected": 2, "lines": 3}]


def test_allowed_labels_make_nodes(tmp_path):
    strangers = table([3, 5, 9], [1, 2, 3], rows_of=rows_of)
    nodes = number_nodes(source(nodes=strangers), [part({"node": [5]})], allow_unknown=True)
    names, tables = written(nodes, [-1, 0, -1], tmp_path, allow_unknown=True)
    assert [row[1:] for row in tables["nodes"]] == [("3", None, -1), ("5", None, 0), ("9", None, -1)]
    assert tables["labels"] == [(0, 0), (1, 1), (2, 2)]
    assert names == ["1", "2", "3"]


def test_other_ids_of_nodes_are_their_raw_ids(tmp_path):
    other = table([0, 2], [1, 1], raw_id=np.array([3070801, 5]))
    nodes = number_nodes(source(keep_ids=True, nodes=other), [part(largest=3)])
    assert [row[1] for row in written(nodes, [0] * 4, tmp_path)[1]["nodes"]] == ["3070801", "1", "5", "3"]


@pytest.mark.parametrize(
    ("parts", "nodes", "said"),
    [
        (
            [part(largest=5), part(largest=10**9, at="b.txt, line 7")],
            None,
            r"^b\.txt, line 7: found node id 1000000000 in",
        ),
        ([part(largest=5)], table([10**9], [1]), r"^labels\.txt: found node id 1000000000"),
        ([part(largest=5)], table([3, 10**9], [1, 1], rows_of=rows_of), r"^labels\.txt, line 11: found node id"),
    ],
)
def test_far_ids_are_refused_where_they_stand(parts, nodes, said):
    with pytest.raises(DataError, match=said):
        number_nodes(source(keep_ids=True, nodes=nodes), parts, allow_unknown=True)


def test_a_part_says_where_only_if_it_has_to():
    assert isinstance(number_nodes(source(), [part({"node": [10**15]})]), Nodes)
    assert isinstance(number_nodes(source(), [part({"node": [10**15]})]).spaces["node"], IdMap)
    assert number_nodes(source(keep_ids=True), [part(largest=9_999_999)]).count == 10_000_000


NUMBERS = st.one_of(
    st.integers(0, 40), st.sampled_from([2**26 - 1, 2**26, 2**26 + 1, 2**31, 2**53 + 1, 2**53, 2**63 - 1, 2**63 - 2])
)


def array(values):
    return np.array(values, dtype=np.int64)


@given(st.lists(NUMBERS, unique=True), st.lists(NUMBERS), st.integers(0, 10))
def test_numbers_become_nodes_and_back(known, asked, offset):
    known = sorted(known)
    table = IdMap(array(known), offset)
    expected = [known.index(number) + offset if number in known else -1 for number in [*known, *asked]]
    found = table.nodes(array([*known, *asked]))
    assert found.dtype == np.int64
    assert found.tolist() == expected
    assert table.raw().to_pylist() == list(map(str, known))
    assert not table.is_text


@given(st.lists(st.text(), unique=True), st.lists(st.text()), st.integers(0, 10))
def test_names_become_nodes_and_back(known, asked, offset):
    known = sorted(known)
    table = IdMap(np.array(known, dtype=object), offset)
    found = table.nodes(np.array([*known, *asked], dtype=object))
    assert found.tolist() == [known.index(name) + offset if name in known else -1 for name in [*known, *asked]]
    assert table.raw().to_pylist() == known
    assert table.raw().type == pa.string()


def test_ids_that_are_nodes_already():
    same = Unchanged(3)
    assert same.nodes(array([2, 0, 2])).tolist() == [2, 0, 2]
    assert same.nodes(array([2, 3, 2**62])).tolist() == [2, -1, -1]
    assert same.nodes(array([])).tolist() == []
    assert same.raw().to_pylist() == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("sets", "merged"),
    [
        ([array([])], []),
        ([array([]), array([])], []),
        ([array([1, 2**53 + 1]), array([]), array([1, 2**53])], [1, 2**53, 2**53 + 1]),
        ([array([2**63 - 1]), array([])], [2**63 - 1]),
    ],
)
def test_sets_of_numbers_are_merged(sets, merged):
    found = union(sets)
    assert found.dtype == np.int64
    assert found.tolist() == merged


def test_sets_of_names_are_merged_by_code_points():
    sets = [["b", "Z"], [], ["é", "a", "10", "b", "😀", "\uffff", "9"]]
    found = union([np.array(names, dtype=object) for names in sets])
    assert found.tolist() == ["10", "9", "Z", "a", "b", "é", "\uffff", "😀"]
