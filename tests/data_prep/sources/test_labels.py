"""Files of labels and of targets: which value a node gets, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.sources._labels import LAYOUT, read_labels
from data_prep.sources._layout import Column, Layout
from data_prep.sources._source import ReadOptions
from dgl_dysign.errors import ConfigError, DataError

INTEGER, TEXT, NAMED = Column("node", "integer"), Column("node", "text"), Column("label", "class")
TIME, DATE = Column("time", "number"), Column("time", "date")


def read(path, text, on_error="stop", columns=LAYOUT.columns, at=None, **form):
    path.write_bytes(text)
    return read_labels(path, ReadOptions(on_error), Layout(columns, **form), at)


def lines(table, nodes):
    """Line numbers of the rows of some nodes."""
    return [line for _, line, _ in table.rows_of(np.searchsorted(table.node, nodes))]


def by_node(table):
    names = table.value if table.classes is None else [None if v < 0 else table.classes[v] for v in table.value]
    return dict(zip(table.node.tolist(), list(names), strict=True))


@pytest.mark.parametrize(
    "text", [b"3 7\n0 2\n1 7\n", b"\xef\xbb\xbf3\t7\r\n\r\n0  2\r\n 1 7", b"3 7\n3 7\n0 2\n1 7\n0 2"]
)
def test_labels_in_any_order_come_by_node(tmp_path, text):
    table = read(tmp_path / "labels", text)
    assert (table.node.tolist(), table.value.tolist()) == ([0, 1, 3], [2, 7, 7])
    assert table.complete
    assert table.rejected == []


def test_lines_are_found_again_past_blank_bad_and_repeated_ones(tmp_path):
    text = b"\n30 7\nbad\n\n20 2\n30 7\n-1 0\n10 7\n40 1\n"
    table = read(tmp_path / "labels", text, "quarantine")
    assert lines(table, [10, 20, 30, 40]) == [2, 5, 6, 8, 9]
    assert lines(table, [40, 10]) == [8, 9]
    assert table.rows_of(np.array([2])) == [(2, 2, "30 7"), (2, 6, "30 7")]
    assert [row.line for _, row in table.rejected] == [3, 7]
    assert table.sources[0]["lines"] == 7


def test_a_node_has_one_label(tmp_path):
    text = b"3 1\n0 2\n3 1\n0 4\n3 5\n0 6\n"
    with pytest.raises(DataError, match="labels, line 4: found label 4 for node 0, expected label 2 as on line 2"):
        read(tmp_path / "labels", text)
    table = read(tmp_path / "labels", text, "quarantine")
    assert (table.node.tolist(), table.value.tolist()) == ([0, 3], [2, 1])
    assert [(name, row.line, row.text, row.reason) for name, row in table.rejected] == [
        ("labels", 4, "0 4", "label 2 was given before"),
        ("labels", 5, "3 5", "label 1 was given before"),
        ("labels", 6, "0 6", "label 2 was given before"),
    ]
    source = table.sources[0]
    assert (source["lines"], source["rows"], source["rejected"]) == (6, 3, 3)


def test_the_earlier_of_two_labels_counts_whatever_the_order_of_nodes(tmp_path):
    table = read(tmp_path / "labels", b"9 1\n9 0\n8 1\n9 1\n", "quarantine")
    assert (table.node.tolist(), table.value.tolist()) == ([8, 9], [1, 1])
    assert [row.line for _, row in table.rejected] == [2]


def test_many_lines_are_found_in_one_reading(tmp_path):
    text = b"".join(b"%d 1\n%d 2\n" % (node, node) for node in range(20_000)) + b"bad\n"
    table = read(tmp_path / "labels", text, "quarantine")
    assert len(table.rejected) == 20_001
    assert [row.line for _, row in table.rejected][:3] == [2, 4, 6]
    assert lines(table, np.arange(20_000)) == list(range(1, 40_000, 2))


def test_names_of_classes_are_kept_and_sorted(tmp_path):
    text = b"4,fraud\n9, ok \n7,+1\n3,fraud\n1,\n"
    table = read(tmp_path / "labels", text, columns=(INTEGER, NAMED), delimiter=",")
    assert table.classes == ["+1", "fraud", "ok"]
    assert by_node(table) == {3: "fraud", 4: "fraud", 7: "+1", 9: "ok"}
    assert (table.sources[0]["lines"], table.sources[0]["rows"]) == (5, 5)


def test_classes_that_are_numbers_are_in_the_order_of_numbers(tmp_path):
    assert read(tmp_path / "a", b"1 10\n2 9\n", columns=(INTEGER, NAMED)).classes == ["9", "10"]
    assert read(tmp_path / "a", b"1 10\n2 9\n3 09\n", columns=(INTEGER, NAMED)).classes == ["09", "10", "9"]
    assert read(tmp_path / "a", b"1 -1\n2 +1\n", columns=(INTEGER, NAMED)).classes == ["+1", "-1"]


def test_a_label_that_contradicts_another_is_named_as_it_is_written(tmp_path):
    text = b"node;class\nann;fraud\nbob;ok\nann;ok\n"
    form = {"columns": (TEXT, NAMED), "delimiter": ";", "header": 1}
    with pytest.raises(
        DataError, match=r"labels, line 4: found label ok for node ann, expected label fraud as on line 2;"
    ):
        read(tmp_path / "labels", text, **form)
    table = read(tmp_path / "labels", text, "quarantine", **form)
    assert by_node(table) == {"ann": "fraud", "bob": "ok"}
    assert table.rejected == [("labels", (4, "ann;ok", "label fraud was given before"))]
    counts = {key: table.sources[0][key] for key in ("lines", "header", "rows", "rejected")}
    assert counts == {"lines": 4, "header": 1, "rows": 2, "rejected": 1}


CHANGES = b"4 ok 30\n4 fraud 10\n9 ok 20\n4 new -5\n4 fraud 10\n8 ok 40\n"


@pytest.mark.parametrize(
    ("at", "classes"),
    [
        (None, {4: "ok", 8: "ok", 9: "ok"}),
        ("last", {4: "ok", 8: "ok", 9: "ok"}),
        ("first", {4: "new", 8: "ok", 9: "ok"}),
        ("29.5", {4: "fraud", 8: None, 9: "ok"}),
        ("30", {4: "ok", 8: None, 9: "ok"}),
        ("-5", {4: "new", 8: None, 9: None}),
        ("-6", {4: None, 8: None, 9: None}),
    ],
)
def test_of_labels_of_several_times_one_counts(tmp_path, at, classes):
    table = read(tmp_path / "labels", CHANGES, columns=(INTEGER, NAMED, TIME), at=at)
    assert by_node(table) == classes
    assert table.at == (at if at in ("first", "last") else float(at or 0) if at else "last")
    assert (table.sources[0]["rows"], table.rejected) == (6, [])
    assert lines(table, [4, 8]) == [1, 2, 4, 5, 6]


def test_a_moment_is_written_as_the_times_of_the_file(tmp_path):
    text = b"4,ok,2020-01-02\n4,fraud,2020-01-03 12:00:00\n"
    form = {"columns": (INTEGER, NAMED, DATE), "delimiter": ","}
    assert by_node(read(tmp_path / "labels", text, at="2020-01-03", **form)) == {4: "ok"}
    assert by_node(read(tmp_path / "labels", text, at="2020-01-03T12:00:00", **form)) == {4: "fraud"}
    assert read(tmp_path / "labels", text, at="1970-01-02", **form).at == 86400.0
    with pytest.raises(ConfigError, match=r"--labels-at: found 'soon', expected first, last, or a time: a real date"):
        read(tmp_path / "labels", text, at="soon", **form)


def test_two_labels_at_one_time_contradict_each_other(tmp_path):
    text = b"4 ok 30\n4 fraud 10\n4 ok 10\n9 ok 1\n"
    form = {"columns": (INTEGER, NAMED, TIME)}
    with pytest.raises(
        DataError, match="line 3: found label ok for node 4, expected label fraud as on line 2 at the same time"
    ):
        read(tmp_path / "labels", text, **form)
    table = read(tmp_path / "labels", text, "quarantine", at="10", **form)
    assert by_node(table) == {4: "fraud", 9: "ok"}
    assert [row for _, row in table.rejected] == [(3, "4 ok 10", "label fraud was given before")]


def test_targets_are_numbers(tmp_path):
    form = {"columns": (TEXT, Column("target", "number"), TIME), "delimiter": ","}
    text = b"ann,-1.5,1\nbob,1e3,1\nann,0,2\nann,0.0,2\n"
    table = read(tmp_path / "a", text, **form)
    assert (table.node.tolist(), table.value.tolist(), table.classes) == (["ann", "bob"], [0.0, 1000.0], None)
    assert read(tmp_path / "a", text, at="first", **form).value.tolist() == [-1.5, 1000.0]
    early = read(tmp_path / "a", text, at="0", **form).value
    assert np.isnan(early).tolist() == [True, True]
    with pytest.raises(DataError, match=r"line 2: found target 3.0 for node ann, expected target -1.5 as on line 1 at"):
        read(tmp_path / "a", b"ann,-1.5,1\nann,3,1\n", **form)
    with pytest.raises(DataError, match=r"line 1: found target 'x' .* expected a finite number"):
        read(tmp_path / "a", b"ann,x,1\n", **form)


ROWS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["", "a", "b"]), st.integers(-1, 2)), min_size=1)


@given(ROWS, st.sampled_from(["first", "last", "-2", "0", "1.5"]), st.booleans())
def test_values_are_those_of_a_dictionary_filled_row_by_row(tmp_path_factory, rows, at, is_text):
    known, bad = {}, []
    for number, (node, name, time) in enumerate(rows):
        if name and known.setdefault((node, time), name) != name:
            bad.append(number)
    times = {node: sorted(time for other, time in known if other == node) for node, _ in known}
    if at not in ("first", "last"):
        times = {node: [time for time in own if time <= float(at)] for node, own in times.items()}
    expected = {node: known[node, own[0 if at == "first" else -1]] if own else None for node, own in times.items()}
    text = "".join(f"{node},{name},{time}\n" for node, name, time in rows).encode()
    columns = (TEXT if is_text else INTEGER, NAMED, TIME)
    table = read(tmp_path_factory.mktemp("rows") / "a", text, "quarantine", columns, at, delimiter=",")
    assert {int(node): name for node, name in by_node(table).items()} == expected
    assert [row.line - 1 for _, row in table.rejected] == bad
    assert [row.text for _, row in table.rejected] == [",".join(map(str, rows[number])) for number in bad]
    assert (table.sources[0]["rows"], table.sources[0]["rejected"]) == (len(rows) - len(bad), len(bad))
