import numpy as np
import pytest

from data_prep.sources import dblp
from dgl_dysign.data.schema import sha256
from dgl_dysign.errors import DataError


def test_events_and_labels_as_they_stand_in_the_files(raw):
    data = dblp.read(raw)
    assert data.dataset == "dblp"
    assert data.src.tolist() == [0, 1, 0, 2, 3, 1]
    assert data.dst.tolist() == [1, 2, 1, 0, 1, 3]
    assert data.time.tolist() == [0.0, 0.0, 0.0, 0.333333, 1.0, 1.0]
    assert (data.labelled.tolist(), data.classes.tolist()) == ([0, 1, 3], [2, 7, 7])
    assert data.num_nodes == 4
    assert not data.directed
    names = ("dblp.txt", "node2label.txt")
    assert [source["name"] for source in data.sources] == list(names)
    assert [source["sha256"] for source in data.sources] == [sha256(raw / name) for name in names]
    assert [source["rows"] for source in data.sources] == [6, 3]


def test_the_edge_file_may_have_another_name_if_it_is_the_only_one(raw):
    (raw / "dblp.txt").rename(raw / "school.txt")
    assert dblp.read(raw).dataset == "school"
    (raw / "README.txt").write_text("about")
    with pytest.raises(DataError, match=r"found README\.txt, school\.txt, expected dblp\.txt or one other"):
        dblp.read(raw)
    (raw / "README.txt").unlink()
    (raw / "school.txt").unlink()
    with pytest.raises(DataError, match="found no edge file"):
        dblp.read(raw)


def test_labels_of_unknown_nodes_are_refused_unless_allowed(raw):
    (raw / "node2label.txt").write_text("0 1\n\n9 1\n7 1\n")
    with pytest.raises(DataError, match=r"node2label\.txt, line 3: found a label for unknown node 9.*2 such lines"):
        dblp.read(raw)
    data = dblp.read(raw, allow_unknown_labels=True)
    assert data.num_nodes == 10
    assert data.labelled.tolist() == [0, 7, 9]


def test_a_node_listed_twice_must_have_one_label(raw):
    (raw / "node2label.txt").write_text("3 1\n0 2\n3 1\n")
    assert dblp.read(raw).labelled.tolist() == [0, 3]
    (raw / "node2label.txt").write_text("3 1\n0 2\n3 1\n0 4\n3 5\n")
    with pytest.raises(DataError, match="line 4: found label 4 for node 0, expected label 2 as on line 2"):
        dblp.read(raw)


def test_ids_too_far_apart_are_refused_before_memory_is_taken(raw):
    (raw / "dblp.txt").write_text("0 1 0.0\n0 9000000000000000000 1.0\n")
    with pytest.raises(DataError, match=r"dblp\.txt, line 2: found node id 9000000000000000000 in a file of 2 events"):
        dblp.read(raw)


def test_generated_files_are_never_taken_for_the_real_ones(raw):
    (raw / "synth.json").write_text("{}")
    data = dblp.read(raw)
    assert data.dataset == "dblp-generated"
    assert data.sources[-1]["name"] == "synth.json"


@pytest.mark.real
def test_real_dblp_whole(real_data):
    data = dblp.read(real_data / "dblp")
    assert (data.num_nodes, len(data.src), len(np.unique(data.time))) == (28085, 235769, 27)
    assert len(data.labelled) == 28085
    assert np.bincount(data.classes).tolist() == [8133, 1913, 4844, 1289, 3818, 2345, 3527, 851, 345, 1020]
    with open(real_data / "dblp" / "dblp.txt") as stream:
        for line, row in zip(stream, zip(data.src, data.dst, data.time, strict=True), strict=True):
            src, dst, time = line.split()
            assert (int(src), int(dst), float(time)) == row
