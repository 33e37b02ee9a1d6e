import json

import numpy as np
import pytest

from data_prep import spool as module
from data_prep.rules import Rule
from data_prep.sources._layout import Column, Layout
from data_prep.sources._source import ReadOptions, Source
from data_prep.spool import load, spool
from dgl_dysign.errors import ConfigError, DataError
from tests.data_prep.raw_files import pieces_of

TRIPLE = (Column("src", "integer"), Column("dst", "integer"), Column("time", "number"))
STEP = Rule("step")


@pytest.fixture
def source(tmp_path):
    def make(text, columns=TRIPLE, rule=STEP, **more):
        path = tmp_path / "raw.csv"
        path.write_text(text)
        vector = more.pop("vector", None)
        return Source("test", (path,), Layout(columns, delimiter=",", vector=vector), rule, **more)

    return make


@pytest.fixture(params=[(1, 1), (2, 7), (1000, 1 << 20)])
def part(request, tmp_path):
    """Spool a source in pieces of some size."""

    def make(source, on_error="stop"):
        with pieces_of(*request.param):
            made = spool(source, 0, tmp_path / "part", ReadOptions(on_error))
        assert load(tmp_path / "part") == made
        return made

    return make


def chunks(part, *names):
    return [{name: values.tolist() for name, values in chunk.items()} for chunk in part.chunks(list(names))]


def test_columns_come_back_as_they_were_read(source, part, monkeypatch):
    columns = (*TRIPLE, Column("weight", "number"), Column("label", "integer"))
    text = "3,1,2.5,-1,7,0.5,1\n9007199254740993,3,1,0.1,2,2,3\n3,3,2.5,5e-324,7,4,5\n"
    made = part(source(text, columns, vector="rest"))
    assert made.facts["columns"] == {
        "src": ["<i8", 1], "dst": ["<i8", 1], "time": ["<f8", 1],
        "weight": ["<f8", 1], "label": ["<i8", 1], "feat": ["<f4", 2],
    }  # fmt: skip
    monkeypatch.setattr(module, "CHUNK", 2)
    assert chunks(made, "src", "weight", "feat") == [
        {"src": [3, 2**53 + 1], "weight": [-1.0, 0.1], "feat": [[0.5, 1.0], [2.0, 3.0]]},
        {"src": [3], "weight": [5e-324], "feat": [[4.0, 5.0]]},
    ]
    assert made.column("dst").tolist() == [1, 3, 3]
    assert made.column("feat").shape == (3, 2)
    assert made.ids("node").tolist() == [1, 3, 2**53 + 1]
    assert made.distinct_times().tolist() == [1.0, 2.5]
    assert (made.facts["low"], made.facts["high"], made.facts["ascending"]) == (1.0, 2.5, False)
    assert made.facts["labels"] == [2, 7]
    assert made.rows == 3


def test_one_feature_is_a_matrix_of_one_column(source, part):
    made = part(source("1,2,3,0.5\n", vector="rest"))
    assert chunks(made, "feat") == [{"feat": [[0.5]]}]
    assert made.column("feat").shape == (1, 1)


@pytest.mark.parametrize(
    ("times", "ascending"), [([1, 1, 2, 2], True), ([1], True), ([1, 2, 1], False), ([2, 1], False), ([0, -0.0], True)]
)
def test_whether_times_ascend_is_seen_across_pieces(source, part, times, ascending):
    made = part(source("".join(f"0,1,{time}\n" for time in times)))
    assert made.facts["ascending"] is ascending
    assert made.distinct_times().tolist() == sorted(set(times))


def test_names_are_spooled_as_codes(source, part):
    columns = (Column("src", "text"), Column("dst", "text"), Column("time", "number"))
    made = part(source("b,é,1\na,b,2\nb,b,3\n", columns))
    names = made.ids("node")
    assert sorted(names) == ["a", "b", "é"]
    assert names[made.column("src")].tolist() == ["b", "a", "b"]
    assert names[made.column("dst")].tolist() == ["é", "b", "b"]
    assert made.facts["text"]


def test_two_spaces_have_ids_of_their_own(source, part):
    made = part(source("5,1,1\n2,1,2\n2,5,2\n", spaces=("user", "item")))
    assert (made.ids("user").tolist(), made.ids("item").tolist()) == ([2, 5], [1, 5])


def test_rejected_rows_are_kept_beside_the_good_ones(source, part):
    made = part(source("x,1,2\n1,2,3\n\n\x07\xff,1\n"), "quarantine")
    name = "raw.csv"
    assert [(file, row.line, row.text) for file, row in made.rejected] == [(name, 1, "x,1,2"), (name, 4, "\x07ÿ,1")]
    assert (made.rows, made.facts["source"]["lines"], made.facts["source"]["rejected"]) == (1, 3, 2)


def test_a_far_id_is_found_by_its_line(source, part):
    text = f"1,2,3\n\n{10**12},2,3\n{10**13},1,3\n5,{10**13},4\n"
    made = part(source(text, keep_ids=True))
    assert made.facts["largest_id"] == 10**13
    assert made.facts["largest_at"].endswith("raw.csv, line 4")
    near = part(source("1,2,3\n", keep_ids=True))
    assert (near.facts["largest_id"], near.facts["largest_at"]) == (2, None)


def test_a_part_is_there_when_it_is_whole(source, part, tmp_path):
    with pytest.raises(DataError, match=r"raw\.csv, line 2"):
        part(source("1,2,3\nbad\n"))
    assert load(tmp_path / "part") is None
    assert load(tmp_path / "absent") is None
    made = part(source("1,2,3\n"))
    assert chunks(made, "src") == [{"src": [1]}]
    facts = json.loads((tmp_path / "part" / "part.json").read_text())
    assert facts == made.facts


def test_what_a_killed_run_left_is_overwritten(source, part, tmp_path):
    (tmp_path / "part").mkdir()
    for name in ("src", "times.npy", "rejected.json", "part.json.partial"):
        (tmp_path / "part" / name).write_text("half" * 1000)
    assert chunks(part(source("1,2,3\n")), "src", "time") == [{"src": [1], "time": [3.0]}]


def test_too_many_distinct_times_are_refused_early(source, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST_DISTINCT", 1000)
    text = "".join(f"0,1,{time}\n" for time in range(200_000))
    with pytest.raises(ConfigError, match=r"more than 1000 distinct times; give a rule such as --every day"):
        spool(source(text), 0, tmp_path / "part", ReadOptions())
    spool(source(text, rule=Rule("every", width=1.0)), 0, tmp_path / "part", ReadOptions())


@pytest.mark.parametrize("descending", [False, True])
def test_distinct_times_are_merged_on_the_way(source, tmp_path, descending):
    times = np.arange(300_000) // 2
    times = times[::-1] if descending else times
    text = "".join(f"0,1,{time}\n" for time in times)
    with pieces_of(1000, 1 << 16):
        made = spool(source(text), 0, tmp_path / "part", ReadOptions())
    assert np.array_equal(made.distinct_times(), np.arange(150_000.0))
