import gzip

import pytest

from data_prep.rules import Rule
from data_prep.sources import tmall
from data_prep.sources._source import ReadOptions
from dgl_dysign.errors import DataError

READ = ReadOptions()


@pytest.fixture
def folder(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "tmall.txt").write_text("".join(f"{step} {7 - step} {step / 8}\n" for step in range(8)))
    (raw / "node2label.txt").write_text("6 1505\n1 662\n3 656\n5 662\n")
    return raw


def test_a_few_labels_in_an_order_of_their_own(folder, made):
    manifest, tables = made(tmall.open_source(folder, READ))
    assert (manifest["dataset"], manifest["num_nodes"], manifest["num_snapshots"]) == ("tmall", 8, 8)
    assert manifest["class_names"] == ["656", "662", "1505"]
    assert tables["labels"] == [(1, 1), (3, 0), (5, 1), (6, 2)]
    assert not manifest["directed"]


def test_spikenet_makes_one_snapshot_of_ten_steps(folder, made):
    manifest, tables = made(tmall.open_source(folder, READ), rule=Rule("step", merge=3))
    assert tables["snapshots"] == [(0, 0, 3), (1, 3, 3), (2, 6, 2)]
    assert manifest["snapshot_rule"]["merge"] == 3


def test_compressed_and_in_parts(folder, made):
    whole = made(tmall.open_source(folder, READ))[1]
    lines = (folder / "tmall.txt").read_text().splitlines(keepends=True)
    (folder / "tmall.txt").unlink()
    (folder / "tmall-000.txt").write_text("".join(lines[:3]))
    (folder / "tmall-001.txt.gz").write_bytes(gzip.compress("".join(lines[3:]).encode()))
    assert made(tmall.open_source(folder, READ))[1] == whole


def test_what_is_missing_is_named(folder):
    (folder / "node2label.txt").unlink()
    with pytest.raises(DataError, match=r"node2label\.txt: found no such file"):
        tmall.open_source(folder, READ)
    (folder / "tmall.txt").unlink()
    with pytest.raises(DataError, match=r"found an empty folder, expected tmall\.txt; check RAW of dysign-prep tmall"):
        tmall.open_source(folder, READ)
