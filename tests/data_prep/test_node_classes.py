"""Classes of nodes in columns of the events, against a dictionary that is filled row by row."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep import PrepareOptions
from data_prep.pipeline import FileInput, write_folder
from data_prep.rules import Rule
from data_prep.sources._layout import Column, Layout
from data_prep.sources._source import Source
from dgl_dysign.data import schema
from dgl_dysign.data.verify import verify
from dgl_dysign.errors import DataError
from tests.data_prep import brute
from tests.data_prep.raw_files import pieces_of

LABELS = (Column("src_label", "class"), Column("dst_label", "class"))


def made(folder, texts, ids="integer", spaces=("node", "node"), labels=LABELS, on_error="quarantine", workers=1):
    """Prepare files of `src,dst,time,class of src,class of dst`: manifest and tables."""
    paths = [folder / f"{number}.csv" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    columns = (Column("src", ids), Column("dst", ids), Column("time", "number"), *labels)
    layout = Layout(columns, delimiter=",", comment="#")
    source = Source("test", tuple(paths), layout, Rule("step"), spaces=spaces, directed=True, unix=False)
    options = PrepareOptions(on_error=on_error, workers=workers)
    manifest = write_folder(FileInput(source, options), folder / "out", options)
    assert verify(folder / "out") == json.loads(json.dumps(manifest))
    return manifest, brute.found(folder / "out")


def classes_of(manifest, tables):
    """Class of each labelled node, by its type and raw id."""
    known = {node: (kind or "node", raw) for node, raw, kind, _ in tables["nodes"]}
    return {known[node]: manifest["class_names"][label] for node, label in tables.get("labels", [])}


def test_the_ends_of_events_have_classes(tmp_path):
    text = "7,8,1,3B,Teachers\n8,9,2,Teachers,5A\n9,4,3,5A,\n4,4,4, ,\n7,8,5,3B ,\n"
    manifest, tables = made(tmp_path, [text], on_error="stop")
    assert manifest["class_names"] == ["3B", "5A", "Teachers"]
    assert classes_of(manifest, tables) == {("node", "7"): "3B", ("node", "8"): "Teachers", ("node", "9"): "5A"}
    assert (manifest["num_edges"], manifest["num_nodes"], manifest["labels"]) == (5, 4, "node")
    assert [row[:3] for row in tables["edges"]] == [(0, 1, 2), (1, 2, 3), (2, 3, 0), (3, 0, 0), (4, 1, 2)]
    assert manifest["sources"][0]["rows"] == 5


def test_one_column_of_classes_is_enough_and_types_keep_theirs_apart(tmp_path):
    (tmp_path / "one").mkdir()
    manifest, tables = made(tmp_path / "one", ["a,b,1,x\nb,a,2,\n"], ids="text", labels=LABELS[:1])
    assert classes_of(manifest, tables) == {("node", "a"): "x"}
    manifest, tables = made(tmp_path, ["5,5,1,old,new\n5,6,2,old,new\n"], spaces=("user", "item"), on_error="stop")
    assert classes_of(manifest, tables) == {("user", "5"): "old", ("item", "5"): "new", ("item", "6"): "new"}


def test_classes_that_are_numbers_are_in_their_order_and_none_at_all_are_no_labels(tmp_path):
    assert made(tmp_path, ["1,2,1,10,9\n"])[0]["class_names"] == ["9", "10"]
    (tmp_path / "none").mkdir()
    manifest, tables = made(tmp_path / "none", ["1,2,1,,\n"])
    assert (manifest["labels"], manifest["class_names"], "labels" in tables) == (None, [], False)


def test_the_later_of_two_classes_is_named(tmp_path):
    text = "# a b\n\n7,8,1,3B,5A\n9,9,2,,\n8,7,3,5B,3B\n"
    said = (
        r"0\.csv, line 5: found class 5B of node 8 in '8,7,3,5B,3B', expected class 5A as on line 3; correct or remove"
    )
    with pytest.raises(DataError, match=said):
        made(tmp_path, [text], on_error="stop")
    said = r"line 1: found class b of node 9 in '9,9,1,a,b', expected class a as at the other end; correct"
    with pytest.raises(DataError, match=said):
        made(tmp_path, ["9,9,1,a,b\n"], on_error="stop")


def test_a_refused_row_says_nothing_and_is_no_event(tmp_path):
    text = "1,2,1,a,b\n3,1,2,c,x\nbad\n4,3,3,d,e\n\n1,2,4,a,z\n"
    manifest, tables = made(tmp_path, [text])
    # Line 2 gives node 1 another class; so what it says of node 3 does not count, and line 4 may say another thing.
    known = {"1": "a", "2": "b", "3": "e", "4": "d"}
    assert classes_of(manifest, tables) == {("node", node): name for node, name in known.items()}
    assert [(row[1], row[3]) for row in tables["rejected"]] == [
        (2, "found class x of node 1, expected class a as on line 1"),
        (3, "found 1 columns, expected 5 (`src,dst,time,src_label,dst_label`)"),
        (6, "found class z of node 2, expected class b as on line 1"),
    ]
    assert tables["rejected"][0][2] == "3,1,2,c,x"
    source = manifest["sources"][0]
    assert [source[key] for key in ("lines", "rows", "rejected", "blank")] == [5, 2, 3, 1]


def test_two_parts_that_do_not_agree_are_both_named(tmp_path):
    said = r"1\.csv, line 2: found class b of node 2, expected class a as in 0\.csv, line 1; correct one of the two"
    with pytest.raises(DataError, match=said):
        made(tmp_path, ["2,1,1,a,c\n", "1,3,2,c,c\n3,2,3,,b\n"])
    assert not (tmp_path / "out").exists()
    manifest, tables = made(tmp_path, ["2,1,1,a,c\n", "1,3,2,c,d\n2,9,3,a,\n"], workers=2)
    assert classes_of(manifest, tables) == {("node", "1"): "c", ("node", "2"): "a", ("node", "3"): "d"}


NAMES = st.sampled_from(["", "a", "b"])
ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), NAMES, NAMES), max_size=30)


def by_hand(rows):
    """Class of each node, and the numbers of the good rows."""
    known, good = {}, []
    for number, (src, dst, *names) in enumerate(rows):
        own = {}
        said = [(node, name) for node, name in zip((src, dst), names, strict=True) if name]
        if all(own.setdefault(node, known.get(node, name)) == name for node, name in said):
            known |= own
            good.append(number)
    return known, good


@settings(max_examples=40)
@given(ROWS.filter(lambda rows: by_hand(rows)[1]), st.sampled_from([1, 20, 1 << 20]), st.booleans())
def test_rows_are_good_or_bad_as_by_hand(tmp_path_factory, rows, block_bytes, is_text):
    folder = tmp_path_factory.mktemp("rows")
    lines = [f"{src},{dst},{number},{','.join(names)}" for number, (src, dst, *names) in enumerate(rows)]
    known, good = by_hand(rows)
    with pieces_of(7, block_bytes):
        manifest, tables = made(folder, ["\n\n".join(lines)], "text" if is_text else "integer")
    assert [row[3] for row in tables["edges"]] == good
    assert {node: name for (_, node), name in classes_of(manifest, tables).items()} == {
        str(node): name for node, name in known.items()
    }
    bad = sorted(set(range(len(rows))) - set(good))
    assert [row[1:3] for row in tables["rejected"]] == [(2 * number + 1, lines[number]) for number in bad]
    assert schema.table(folder / "out", "nodes").num_rows == len({node for at in good for node in rows[at][:2]})
