"""Labels and targets as people have them, from the files to what a reader gets."""

import json

import pandas as pd
import pytest
import torch

from data_prep import PrepareOptions, prepare
from dgl_dysign.data import TemporalGraph
from dgl_dysign.data.verify import verify
from dgl_dysign.errors import ConfigError, DataError
from tests.data_prep import brute

NUMBERS = "src,dst,time\n4,9,1600000000\n9,2,1600604800\n"
NAMES = "from,to,when\nann,bob,2024-01-02\nbob,cy,2024-01-10\n"


@pytest.fixture
def made(tmp_path):
    """Prepare events with files of labels or targets: manifest, classes by raw id, data."""

    def run(events, labels=None, targets=None, name="mine.csv", **options):
        (tmp_path / name).write_text(events)
        for role, text in (("labels", labels), ("targets", targets)):
            if text is not None:
                options[role] = tmp_path / f"{role}.csv"
                options[role].write_text(text)
        out = tmp_path / "out"
        prepare("edges", tmp_path / name, out, PrepareOptions(overwrite=True, **options))
        manifest, data, tables = verify(out), TemporalGraph.load(out), brute.found(out)
        raw = [row[1] for row in tables["nodes"]]
        classes = {raw[node]: data.class_names[label] for node, label in enumerate(data.labels.tolist()) if label >= 0}
        return manifest, classes, data

    return run


@pytest.mark.parametrize(
    ("labels", "classes", "counts"),
    [
        ("node,class\n4,fraud\n9,ok\n", {"4": "fraud", "9": "ok"}, (3, 1, 2)),
        ("# node label\n4 1\n9 0\n", {"4": "1", "9": "0"}, (2, 0, 2)),
        ("9\tok\n\n2\tvery bad\n", {"9": "ok", "2": "very bad"}, (2, 0, 2)),
        ('id;group\n4;"a;b"\n9;"a ""c"""\n', {"4": "a;b", "9": 'a "c"'}, (3, 1, 2)),
        ("4,+1\n9,-1\n2,+1\n", {"4": "+1", "9": "-1", "2": "+1"}, (3, 0, 3)),
        ("class,node\nok,9\nfraud,4\n", {"4": "fraud", "9": "ok"}, (3, 1, 2)),
        ("% made by hand\nnode, class\n4, fraud\n9,\n", {"4": "fraud"}, (3, 1, 2)),
    ],
)
def test_files_of_labels(made, labels, classes, counts):
    manifest, known, _ = made(NUMBERS, labels)
    assert known == classes
    source = manifest["sources"][1]
    assert (source["lines"], source["header"], source["rows"]) == counts
    assert manifest["class_names"] == sorted(set(classes.values()))
    assert not {"labels_at", "targets"} & manifest.keys()


def test_nodes_with_names_have_the_same_names_in_a_file_of_labels(made):
    assert made(NAMES, "ann,fraud\n cy ,ok\n")[1] == {"ann": "fraud", "cy": "ok"}
    assert made(NAMES, "user,kind\nann,fraud\nbob,ok\n")[1] == {"ann": "fraud", "bob": "ok"}
    with pytest.raises(DataError, match=r"labels\.csv, line 2: found a label for unknown node Ann, expected"):
        made(NAMES, "cy,ok\nAnn,fraud\n")
    with pytest.raises(DataError, match=r"line 1: found .* node kunde, .* classes with --label, or keep"):
        made(NAMES, "kunde,betrug\nann,ja\nbob,nein\n")
    assert made(NAMES, "kunde,betrug\nann,ja\nbob,nein\n", label="betrug")[1] == {"ann": "ja", "bob": "nein"}
    assert made(NAMES, "customer,is_fraud\nann,yes\nbob,no\n")[1] == {"ann": "yes", "bob": "no"}
    zeros = NUMBERS.replace("4,9", "007,7")
    assert made(zeros, "7,ok\n")[1] == {"7": "ok"}
    assert made(zeros, "007,ok\n7,bad\n")[1] == {"007": "ok", "7": "bad"}
    with pytest.raises(DataError, match=r"labels\.csv, line 1: found node '04' .* with no zero or sign before it"):
        made(NUMBERS, "04,ok\n9,bad\n")
    with pytest.raises(DataError, match=r"labels\.csv, line 2: found node 'x'"):
        made(NUMBERS, "4,ok\nx,bad\n")


def test_columns_that_cannot_be_told_apart_are_refused(made):
    said = (
        r"labels\.csv, line 1: found columns 'id', 'name', 'kind', expected usual names \(such as node and label, .*\)"
    )
    with pytest.raises(DataError, match=said + "; name them so in the file, or .* --label$"):
        made(NUMBERS, "id,name,kind\n4,x,ok\n9,y,bad\n")
    assert made(NUMBERS, "node,name,label\n4,x,ok\n9,y,bad\n")[1] == {"4": "ok", "9": "bad"}


def test_the_column_of_nodes_may_be_called_as_the_sources_are_and_that_of_classes_may_be_named(made):
    events = "Customer,Product,When\nc1,p1,2024-01-02\nc2,p1,2024-01-03\n"
    nodes = "Customer,Name,Segment\nc1,Ann,shop\nc2,Bob,private\n"
    assert made(events, "Customer,Class\nc1,shop\n")[1] == {"c1": "shop"}
    assert made(events, nodes.replace("Segment", "Class"))[1] == {"c1": "shop", "c2": "private"}
    assert (
        made(events, nodes, label="Segment")[1] == made(events, nodes, label="3")[1] == {"c1": "shop", "c2": "private"}
    )
    with pytest.raises(DataError, match=r"labels\.csv, line 1: found columns .*, expected Group; name one, or give"):
        made(events, nodes, label="Group")


def test_of_two_types_of_nodes_the_sources_have_labels(made):
    events = "user_id,item_id,time\n4,9,1600000000\n9,2,1600604800\n"
    manifest, _, data = made(events, "9,ok\n4,bad\n")
    assert (manifest["id_offsets"], data.class_names) == ({"user": 0, "item": 2}, ("bad", "ok"))
    assert data.labels.tolist() == [0, 1, -1, -1]
    with pytest.raises(DataError, match=r"line 2: found a label for unknown node 2, expected .* as its source: dest"):
        made(events, "4,bad\n2,ok\n")
    manifest, _, data = made(events, "4,bad\n2,ok\n", allow_unknown_labels=True)
    assert (manifest["num_nodes"], data.labels.tolist()) == (5, [1, 0, -1, -1, -1])


def test_known_files_have_labels_too(made):
    rows = "7,1,10,1407470400\n430,1,-10,1376539200\n"
    manifest, classes, _ = made(rows, "7,+1\n430,-1\n", name="soc-sign-bitcoinotc.csv")
    assert (manifest["dataset"], classes) == ("bitcoin-otc", {"7": "+1", "430": "-1"})


def test_classes_in_columns_of_the_events(made):
    text = "Time\tid1\tid2\tc1\tc2\n31220\t7\t8\t3B\tTeachers\n31240\t8\t9\tTeachers\t5A\n"
    manifest, classes, data = made(text, src_label="c1", dst_label="c2")
    assert classes == {"7": "3B", "8": "Teachers", "9": "5A"}
    assert (manifest["num_edges"], data.class_names) == (2, ("3B", "5A", "Teachers"))
    assert made(text, src_label="4")[1] == {"7": "3B", "8": "Teachers"}
    changed = text.replace("5A", "5A\n31260\t7\t9\t3B\t5B")
    with pytest.raises(DataError, match=r"csv, line 4: found class 5B of node 9 .* expected class 5A as on line 3"):
        made(changed, src_label="c1", dst_label="c2")
    manifest, again, _ = made(changed, src_label="c1", dst_label="c2", on_error="quarantine")
    assert again == classes
    assert [manifest[key] for key in ("num_edges", "rejected_rows")] == [2, 1]
    with pytest.raises(ConfigError, match=r"found --labels .* and --src-label or --dst-label c1, expected labels"):
        made(text, "7,x\n", src_label="c1")
    with pytest.raises(DataError, match=r"found columns 'Time', 'id1', 'id2', 'c1', 'c2', expected c3"):
        made(text, src_label="c3")


def test_labels_of_events_have_names(made):
    text = "src,dst,time,what\n5,2,900000,sold\n1,5,0,bought\n5,1,7,\n"
    manifest, _, data = made(text, label="what", every="step")
    assert (manifest["labels"], data.class_names) == ("event", ("bought", "sold"))
    assert [[part.tolist() for part in data.event_labels(t)] for t in range(3)] == [
        [[1], [0], [0]], [[], [], []], [[0], [2], [1]]
    ]  # fmt: skip


CHANGES = "account,class,date\nann,ok,2024-01-01\ncy,ok,2024-01-01\nann,fraud,2024-01-20\n"


@pytest.mark.parametrize(
    ("at", "classes", "kept"),
    [
        (None, {"ann": "fraud", "cy": "ok"}, "last"),
        ("first", {"ann": "ok", "cy": "ok"}, "first"),
        ("2024-01-15", {"ann": "ok", "cy": "ok"}, 1705276800.0),
        ("2024-01-20", {"ann": "fraud", "cy": "ok"}, 1705708800.0),
        ("2023-12-31", {}, 1703980800.0),
    ],
)
def test_classes_that_change(made, at, classes, kept):
    manifest, known, _ = made(NAMES, CHANGES, labels_at=at)
    assert (known, manifest["labels_at"], manifest["sources"][1]["rows"]) == (classes, kept, 3)
    assert manifest["labels"] == ("node" if classes else None)


def test_times_of_labels_are_read_as_those_of_the_events(made):
    events = "4,9,1600000000000\n9,2,1600604800000\n"
    labels = "4 ok 1600000000500\n4 bad 1600000001500\n9 ok 1600000000000\n"
    manifest, known, _ = made(events, labels, labels_at="1600000001000")
    assert (known, manifest["labels_at"]) == ({"4": "ok", "9": "ok"}, 1600000001.0)
    assert made("1,2,5\n2,3,6\n", "1 b 30\n1 a 7\n", labels_at="last")[1] == {"1": "b"}
    with pytest.raises(DataError, match=r"labels\.csv, line 3: found time '30.1.2024' .*expected a real date"):
        made(NAMES, CHANGES.replace("2024-01-01", "30.1.2024", 2).replace("30.1.2024", "2024-01-01", 1))
    with pytest.raises(DataError, match=r"line 2: found label a for node 1, .*, or give --labels-at last if column 3"):
        made("1,2,5\n2,3,6\n", "1 b 30\n1 a 7\n")
    for labels in ("4 ok\n9 bad\n", "node,class\n4,ok\n"):
        with pytest.raises(ConfigError, match="found --labels-at last, expected labels or targets of some times"):
            made(NUMBERS, labels, labels_at="last")
    with pytest.raises(ConfigError, match="found --labels-at first, expected labels or targets of some times"):
        made(NUMBERS, labels_at="first")


def test_targets(made):
    manifest, classes, data = made(NAMES, targets="account,target\nann,1500\ncy,-2.5\n")
    assert (classes, manifest["targets"], manifest["labels"]) == ({}, {"count": 2}, None)
    assert torch.equal(data.targets.nan_to_num(9e9), torch.tensor([1500, 9e9, -2.5], dtype=torch.float64))
    timed = "who,target,time\nann,1,2024-01-01\nann,2,2024-02-01\ncy,3,2024-02-01\n".replace("who", "account")
    manifest, classes, data = made(NAMES, CHANGES, timed, labels_at="2024-01-21")
    assert manifest["targets"] == {"count": 1, "at": 1705795200.0}
    assert (classes, data.targets[0].item()) == ({"ann": "fraud", "cy": "ok"}, 1.0)
    assert [source["name"] for source in manifest["sources"]] == ["mine.csv", "labels.csv", "targets.csv"]
    with pytest.raises(DataError, match=r"targets\.csv, line 2: found a target for unknown node dee, expected"):
        made(NAMES, targets="ann;1,5\ndee;2,5\n")
    manifest, _, data = made(NAMES, targets="ann;1,5\ndee;2,5\n", on_error="quarantine")
    assert (manifest["targets"], manifest["rejected_rows"], data.targets[0].item()) == ({"count": 1}, 1, 1.5)
    _, _, data = made(NAMES, targets="ann;1,5\ndee;2,5\n", allow_unknown_labels=True)
    assert data.targets.nan_to_num(-1).tolist() == [1.5, -1.0, -1.0, 2.5]


def test_a_table_may_be_a_file_of_labels(made, tmp_path):
    pd.DataFrame({"node": [4, 9], "class": ["fraud", "ok"]}).to_parquet(tmp_path / "labels.parquet")
    assert made(NUMBERS, labels_at=None, src_label=None)[1] == {}
    (tmp_path / "mine.csv").write_text(NUMBERS)
    options = PrepareOptions(labels=tmp_path / "labels.parquet")
    assert prepare("edges", tmp_path / "mine.csv", tmp_path / "new", options)["class_names"] == ["fraud", "ok"]


def test_what_files_of_nodes_were_read_as_is_said(tmp_path, prep):
    (tmp_path / "mine.csv").write_text(NAMES)
    (tmp_path / "labels.csv").write_text(CHANGES)
    (tmp_path / "numbers.txt").write_text("ann 1\n")
    files = ("--labels", tmp_path / "labels.csv", "--targets", tmp_path / "numbers.txt", "--labels-at", "2024-01-15")
    status, printed, _ = prep("edges", tmp_path / "mine.csv", tmp_path / "out", *files, "--json")
    assert status == 0
    labels = (
        "labels.csv (line 1 is a header): node in column 1 ('account'), label in column 2 ('class'), time in column 3 "
        "('date'); as known at 1705276800.0"
    )
    assert json.loads(printed)["read_as"][-2:] == [
        {"what": "labels of nodes", "taken": labels, "why": "its first rows", "option": "--labels-at"},
        {
            "what": "targets", "taken": "numbers.txt: node in column 1, target in column 2", "why": "its first rows",
            "option": "",
        },
    ]  # fmt: skip
    (tmp_path / "CollegeMsg.txt").write_text("9 8 1217567877\n")
    (tmp_path / "states.txt").write_text("9 a 1217567000\n9 b 1217567001\n")
    files = (tmp_path / "CollegeMsg.txt", tmp_path / "new", "--labels", tmp_path / "states.txt", "--json")
    *_, take = json.loads(prep("edges", *files)[1])["read_as"]
    assert take["taken"].endswith("label in column 2, time in column 3; the last of a node counts")


def test_labels_that_change_their_time_do_not_go_on_with_another_run(made, tmp_path):
    """Equal but for the moment, the second of two runs has another result."""
    assert made(NAMES, CHANGES, labels_at="first")[1] == {"ann": "ok", "cy": "ok"}
    assert made(NAMES, CHANGES, labels_at="last")[1] == {"ann": "fraud", "cy": "ok"}
