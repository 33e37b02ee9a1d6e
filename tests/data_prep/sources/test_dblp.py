import gzip

import pytest

from data_prep.rules import Rule
from data_prep.sources import dblp, open_source
from data_prep.sources._source import ReadOptions
from dgl_dysign.data.schema import sha256
from dgl_dysign.errors import DataError

READ = ReadOptions()
LABEL_FILES = "node2label.txt"


def test_events_and_labels_as_they_stand_in_the_files(raw, rows, made):
    source = dblp.open_source(raw, READ)
    assert rows(source) == {
        "src": [0, 1, 0, 2, 3, 1],
        "dst": [1, 2, 1, 0, 1, 3],
        "time": [0.0, 0.0, 0.0, 0.333333, 1.0, 1.0],
    }
    assert (source.nodes.node.tolist(), source.nodes.value.tolist()) == ([0, 1, 3], [2, 7, 7])
    assert (source.dataset, source.directed, source.keep_ids, source.unix) == ("dblp", False, True, False)
    assert source.rule == Rule("step")
    manifest, _ = made(source)
    names = ["dblp.txt", LABEL_FILES]
    assert [entry["name"] for entry in manifest["sources"]] == names
    assert [entry["sha256"] for entry in manifest["sources"]] == [sha256(raw / name) for name in names]
    assert [entry["rows"] for entry in manifest["sources"]] == [6, 3]


def test_the_edge_file_may_have_another_name_if_it_is_the_only_one(raw):
    (raw / "dblp.txt").rename(raw / "school.txt")
    assert dblp.open_source(raw, READ).dataset == "school"
    (raw / "README.txt").write_text("about")
    with pytest.raises(DataError, match=r"found README\.txt, school\.txt, expected dblp\.txt or one other"):
        dblp.open_source(raw, READ)
    (raw / "README.txt").unlink()
    (raw / "school.txt").unlink()
    with pytest.raises(DataError, match="found no edge file"):
        dblp.open_source(raw, READ)


def test_two_copies_of_the_edge_file_are_refused(raw):
    (raw / "dblp.txt.gz").write_bytes((raw / "dblp.txt").read_bytes())
    with pytest.raises(DataError, match=r"found dblp\.txt, dblp\.txt\.gz, expected one of them"):
        dblp.open_source(raw, READ)


def test_parts_are_read_in_the_order_of_their_numbers(raw, rows):
    for number in (10, 2):
        (raw / f"dblp-{number}.txt").write_text(f"{number} 0 0.5\n")
    (raw / "dblp.txt").unlink()
    assert rows(dblp.open_source(raw, READ))["src"] == [2, 10]
    assert dblp.open_source(raw, READ).dataset == "dblp"


def test_labels_of_nodes_that_no_event_names_are_refused_kept_or_set_aside(raw, made):
    (raw / LABEL_FILES).write_text("0 1\n\n9 1\n7 1\n")
    with pytest.raises(DataError, match=r"node2label\.txt, line 3: found a label for unknown node 9.*\(2 such lines\)"):
        made(dblp.open_source(raw, READ))
    manifest, tables = made(dblp.open_source(raw, READ), allow_unknown_labels=True)
    assert (manifest["num_nodes"], manifest["rejected_rows"]) == (10, 0)
    assert tables["labels"] == [(0, 0), (7, 0), (9, 0)]
    assert tables["nodes"][9] == (9, "9", None, -1)
    manifest, tables = made(dblp.open_source(raw, ReadOptions("quarantine")), "quarantine")
    assert manifest["num_nodes"] == 4
    assert tables["labels"] == [(0, 0)]
    assert tables["rejected"] == [
        (LABEL_FILES, 3, "9 1", "no event names this node"),
        (LABEL_FILES, 4, "7 1", "no event names this node"),
    ]
    labels = manifest["sources"][1]
    assert (labels["lines"], labels["rows"], labels["rejected"]) == (3, 1, 2)


def test_a_node_without_an_event_between_others_is_unknown_too(raw, made):
    (raw / "dblp.txt").write_text("0 3 0.0\n")
    (raw / LABEL_FILES).write_text("2 1\n")
    with pytest.raises(DataError, match="line 1: found a label for unknown node 2"):
        made(dblp.open_source(raw, READ))
    manifest, tables = made(dblp.open_source(raw, ReadOptions("quarantine")), "quarantine")
    assert (manifest["labels"], manifest["class_names"], "labels" in tables) == (None, [], False)
    assert [row[3] for row in tables["nodes"]] == [0, -1, -1, 0]


@pytest.mark.parametrize("number", [10_000_000, 99_999_999_999, 2**63 - 1])
@pytest.mark.parametrize("on_error", ["stop", "quarantine"])
def test_ids_too_far_apart_are_refused_before_memory_is_taken(raw, made, number, on_error):
    (raw / "dblp.txt").write_text(
        f"0 1 0.0\nbad\n\n0 {number} 1.0\n" if on_error == "quarantine" else f"0 {number} 1.0\n"
    )
    at = 4 if on_error == "quarantine" else 1
    (raw / LABEL_FILES).write_text("0 1\n")
    with pytest.raises(DataError, match=rf"dblp\.txt, line {at}: found node id {number} .*expected ids below 10000000"):
        made(dblp.open_source(raw, ReadOptions(on_error)), on_error)


def test_labels_may_not_be_far_either(raw, made):
    (raw / LABEL_FILES).write_text(f"0 1\n{10**15} 2\n")
    with pytest.raises(DataError, match=rf"label\.txt, line 2: found a label for unknown node {10**15}"):
        made(dblp.open_source(raw, READ))
    with pytest.raises(DataError, match=rf"label\.txt, line 2: found node id {10**15}"):
        made(dblp.open_source(raw, READ), allow_unknown_labels=True)
    manifest, tables = made(dblp.open_source(raw, ReadOptions("quarantine")), "quarantine")
    assert (manifest["num_nodes"], tables["labels"]) == (4, [(0, 0)])


def test_the_bound_is_that_of_all_parts_together(raw, made, monkeypatch):
    """A short part of a large data set may well begin with a late node."""
    monkeypatch.setattr("data_prep.spool.most_ids", lambda rows: 10 * rows)
    monkeypatch.setattr("data_prep.nodes.most_ids", lambda rows: 10 * rows)
    (raw / "dblp.txt").rename(raw / "dblp-0.txt")
    (raw / "dblp-1.txt").write_text("69 0 2.0\n")
    assert made(dblp.open_source(raw, READ))[0]["num_nodes"] == 70
    (raw / "dblp-1.txt").write_text("70 0 2.0\n")
    with pytest.raises(DataError, match=r"dblp-1\.txt, line 1: found node id 70 in a data set of 7 events"):
        made(dblp.open_source(raw, READ))


def test_generated_files_are_never_taken_for_the_real_ones(raw, made):
    (raw / "synth.json").write_text("{}")
    manifest, _ = made(dblp.open_source(raw, READ))
    assert manifest["dataset"] == "dblp-generated"
    assert manifest["sources"][-1]["name"] == "synth.json"


def test_a_folder_is_needed(raw):
    for path in (raw / "absent", raw / "dblp.txt"):
        with pytest.raises(DataError, match=r"found no such folder, expected one with dblp\.txt and node2label\.txt"):
            dblp.open_source(path, READ)
    (raw / LABEL_FILES).unlink()
    with pytest.raises(DataError, match=r"node2label\.txt: found no such file"):
        dblp.open_source(raw, READ)


@pytest.fixture
def tmall(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "tmall.txt").write_text("".join(f"{step} {7 - step} {step / 8}\n" for step in range(8)))
    (raw / "node2label.txt").write_text("6 1505\n1 662\n3 656\n5 662\n")
    return raw


def test_a_few_labels_in_an_order_of_their_own(tmall, made):
    manifest, tables = made(open_source("tmall", tmall, READ))
    assert (manifest["dataset"], manifest["num_nodes"], manifest["num_snapshots"]) == ("tmall", 8, 8)
    assert manifest["class_names"] == ["656", "662", "1505"]
    assert tables["labels"] == [(1, 1), (3, 0), (5, 1), (6, 2)]
    assert not manifest["directed"]


def test_spikenet_makes_one_snapshot_of_ten_steps(tmall, made):
    manifest, tables = made(open_source("tmall", tmall, READ), rule=Rule("step", merge=3))
    assert tables["snapshots"] == [(0, 0, 3), (1, 3, 3), (2, 6, 2)]
    assert manifest["snapshot_rule"]["merge"] == 3


def test_compressed_and_in_parts(tmall, made):
    whole = made(open_source("tmall", tmall, READ))[1]
    lines = (tmall / "tmall.txt").read_text().splitlines(keepends=True)
    (tmall / "tmall.txt").unlink()
    (tmall / "tmall-000.txt").write_text("".join(lines[:3]))
    (tmall / "tmall-001.txt.gz").write_bytes(gzip.compress("".join(lines[3:]).encode()))
    assert made(open_source("tmall", tmall, READ))[1] == whole


def test_what_is_missing_of_tmall_is_named(tmall):
    (tmall / "node2label.txt").unlink()
    with pytest.raises(DataError, match=r"node2label\.txt: found no such file"):
        open_source("tmall", tmall, READ)
    (tmall / "tmall.txt").unlink()
    with pytest.raises(DataError, match=r"found an empty folder, expected tmall\.txt; check RAW of dysign-prep tmall"):
        open_source("tmall", tmall, READ)
