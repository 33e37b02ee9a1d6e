"""The cache of features: made once, mapped, refreshed when stale, never in the way."""

import json
import os

import numpy as np
import pyarrow as pa
import pytest
import torch

from dgl_dysign._dgl import dgl
from dgl_dysign.data import TemporalGraph, feature_cache, schema
from dgl_dysign.errors import DataError
from tests.prepared import prepare

T = 3
EVENTS = [(0, 0, 1), (1, 1, 2), (2, 2, 3)]
FEATURES = np.random.default_rng(1).standard_normal((T, 4, 5)).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    return prepare(tmp_path / "prepared", EVENTS, T, [0, 1, 0, 1], FEATURES)


def caches(folder):
    return sorted(path.name for path in (folder / "features").iterdir() if path.suffix != ".parquet")


def test_values_and_one_cache_for_each_snapshot_asked_for(folder):
    data = TemporalGraph.load(folder)
    for t in (2, 0, 2):
        found = data.features(t)
        assert found.dtype == torch.float32
        assert torch.equal(found, torch.from_numpy(FEATURES[t]))
    assert caches(folder) == ["00000.arrow", "00002.arrow"]


def test_second_time_the_parquet_file_is_not_read(folder, monkeypatch):
    data = TemporalGraph.load(folder)
    data.features(1)
    again = TemporalGraph.load(folder)
    monkeypatch.setattr(schema, "open_table", lambda *args: pytest.fail("the Parquet file was read again"))
    assert torch.equal(again.features(1), torch.from_numpy(FEATURES[1]))


def test_it_is_mapped_and_private(folder):
    data = TemporalGraph.load(folder)
    data.features(0)
    digest = data.manifest["files"]["features/00000.parquet"]
    values = feature_cache.load_features(folder, 0, (4, 5), digest)
    assert isinstance(values, np.memmap)
    before = (folder / "features" / "00000.arrow").read_bytes()
    data.features(0).fill_(3.0)
    assert (folder / "features" / "00000.arrow").read_bytes() == before
    assert torch.equal(data.features(0), torch.from_numpy(FEATURES[0]))


def test_where_private_pages_are_refused_it_is_copied_on_the_disk(folder, monkeypatch):
    expected = TemporalGraph.load(folder).features(0)
    written = (folder / "features" / "00000.arrow").stat().st_mtime_ns

    def limited(*args, mode, memmap=np.memmap):
        if mode == "c":
            raise OSError(12, "Cannot allocate memory")  # as under RLIMIT_DATA
        return memmap(*args, mode=mode)

    first, second = TemporalGraph.load(folder), TemporalGraph.load(folder)
    monkeypatch.setattr(np, "memmap", limited)
    monkeypatch.setattr(schema, "RowReader", lambda *args: pytest.fail("the Parquet file was read again"))
    copied = first.features(0)
    assert torch.equal(copied, expected)
    copied.fill_(3.0)
    assert torch.equal(second.features(0), expected)
    assert caches(folder) == ["00000.arrow"]
    assert (folder / "features" / "00000.arrow").stat().st_mtime_ns == written


def test_outlives_the_graph_and_works_in_dgl(folder):
    feat = TemporalGraph.load(folder).features(0)
    (folder / "features" / "00000.arrow").unlink()
    graph = dgl.graph(([0, 1], [1, 1]), num_nodes=4)
    graph.ndata["h"] = feat
    graph.update_all(dgl.function.copy_u("h", "m"), dgl.function.sum("m", "h"))
    np.testing.assert_allclose(graph.ndata["h"][1], FEATURES[0, 0] + FEATURES[0, 1])


def test_refreshed_when_the_folder_is_prepared_again(folder, tmp_path):
    TemporalGraph.load(folder).features(1)
    other = prepare(tmp_path / "other", EVENTS, T, [0, 1, 0, 1], FEATURES + 1)
    for name in ("manifest.json", "features/00001.parquet"):
        (folder / name).write_bytes((other / name).read_bytes())
    assert torch.equal(TemporalGraph.load(folder).features(1), torch.from_numpy(FEATURES[1] + 1))
    manifest = schema.read_manifest(folder)
    mapped = feature_cache.load_features(folder, 1, (4, 5), manifest["files"]["features/00001.parquet"])
    assert isinstance(mapped, np.memmap), "the stale cache was replaced"


@pytest.mark.parametrize("length", [0, 7, 100, -20])
def test_damaged_cache_is_made_anew(folder, length):
    data = TemporalGraph.load(folder)
    data.features(0)
    path = folder / "features" / "00000.arrow"
    whole = path.read_bytes()
    path.write_bytes(whole[:length])
    assert torch.equal(data.features(0), torch.from_numpy(FEATURES[0]))
    assert path.read_bytes() == whole


def test_read_only_folder_falls_back_to_parquet(folder, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError(13, "read-only file system")

    monkeypatch.setattr(pa, "OSFile", refuse)
    assert torch.equal(TemporalGraph.load(folder).features(2), torch.from_numpy(FEATURES[2]))
    assert caches(folder) == []


def test_full_disk_leaves_nothing_behind(folder, monkeypatch):
    def refuse(descriptor):
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    assert torch.equal(TemporalGraph.load(folder).features(2), torch.from_numpy(FEATURES[2]))
    assert caches(folder) == []


def test_another_shape_than_the_manifests_is_named(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["features"]["dim"] = 6
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"00001\.parquet: found shape \(4, 5\), expected \(4, 6\)"):
        TemporalGraph.load(folder).features(1)


def test_features_that_are_no_numbers_are_named(tmp_path):
    values = np.ones((1, 4, 2), np.float32)
    values[0, 3, 1] = np.nan
    data = TemporalGraph.load(prepare(tmp_path / "wrong", [(0, 0, 1)], 1, [0] * 4, values))
    with pytest.raises(
        DataError, match=r"00000\.parquet: found NaN or infinite features of node 3, .*: mend what they"
    ):
        data.features(0)
    assert caches(data.folder) == []


def test_rows_of_several_row_groups_come_in_order(tmp_path):
    rows, width = 3000, 700  # 1024 rows a group
    values = np.random.default_rng(2).standard_normal((1, rows, width)).astype(np.float32)
    folder = prepare(tmp_path / "wide", [(0, 0, 1)], 1, [0] * rows, values)
    assert schema.RowReader(folder, "features/00000").metadata.num_row_groups > 2
    assert torch.equal(TemporalGraph.load(folder).features(0), torch.from_numpy(values[0]))
    assert caches(folder) == ["00000.arrow"]


def test_without_room_for_the_decoded_values_they_are_read_into_memory(folder, monkeypatch):
    def refuse(*args):
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    assert torch.equal(TemporalGraph.load(folder).features(1), torch.from_numpy(FEATURES[1]))
