from dataclasses import replace

import numpy as np
import pytest

from data_prep.rules import Rule
from data_prep.sources import _source
from data_prep.sources._layout import Column, Layout
from data_prep.sources._source import ReadOptions, Source, each_once, find_parts, most_ids
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
