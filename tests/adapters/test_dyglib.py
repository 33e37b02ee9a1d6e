"""DyGLib's files: both ways, foreign ones, damaged ones, and real Bitcoin-OTC."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from data_prep.export import export
from dgl_dysign import adapters
from dgl_dysign.adapters.dyglib import Adapter
from dgl_dysign.adapters.event_stream import EventStream
from dgl_dysign.errors import ConfigError, DataError
from tests.adapters.real import bitcoin
from tests.adapters.streams import RANGES, example, rest, streams
from tests.folders import full_folder


def test_files_and_their_values(tmp_path):
    stream = dataclasses.replace(example("edge_feat", "edge_weight", "event_label", "node_feat"), name="my data/x")
    folder = Adapter().from_events(stream, tmp_path / "D", weight_as_feature=True)
    names = ["export.json", "ml_my_data_x.csv", "ml_my_data_x.npy", "ml_my_data_x_node.npy"]
    assert sorted(path.name for path in folder.iterdir()) == names
    table = pd.read_csv(folder / names[1])
    assert table.columns.tolist() == ["Unnamed: 0", "u", "i", "ts", "label", "idx"]
    assert table[["u", "i", "ts"]].to_numpy().tolist() == np.c_[stream.src + 1, stream.dst + 1, stream.time].tolist()
    assert table["idx"].tolist() == list(range(1, 9))
    assert table["label"].tolist() == stream.event_label.tolist()
    edges, nodes = np.load(folder / names[2]), np.load(folder / names[3])
    assert edges.dtype == nodes.dtype == np.float64
    assert (edges[0].tolist(), nodes[0].tolist()) == ([0] * 4, [0] * 2)
    assert edges[1:].tolist() == np.c_[stream.edge_weight, stream.edge_feat].tolist()
    assert nodes[1:].tolist() == stream.node_feat.tolist()


@settings(max_examples=30, deadline=None)
@given(streams("edge_feat", "edge_weight", "event_label", "node_feat", "snapshot", raw_order=False, whole=False))
def test_round_trip(tmp_path_factory, stream):
    path = tmp_path_factory.mktemp("dyglib") / "D"
    Adapter().from_events(stream.without("snapshot"), path, weight_as_feature=True, lose=["edge_id"])
    assert Adapter().matches(path)
    fields = {name: getattr(stream, name) for name in ("edge_id", *RANGES)}
    assert Adapter().to_events(path, **fields).differences(stream) == []


def test_features_and_labels_of_nothing_but_zeros_come_back(tmp_path):
    zeros = {"edge_feat": np.zeros((8, 2)), "node_feat": np.zeros((7, 172)), "event_label": np.zeros(8)}
    stream = dataclasses.replace(example(), **zeros)
    folder = Adapter().from_events(stream, tmp_path / "D")
    assert Adapter().to_events(folder).equals(stream)
    (folder / "export.json").unlink()
    fields = rest(stream)
    assert Adapter().to_events(folder, **fields).equals(example())
    assert Adapter().to_events(folder, **fields).differences(stream) == ["edge_feat", "event_label", "node_feat"]
    assert Adapter().to_events(folder, zeros=True, **fields).differences(stream) == []


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (example("edge_weight"), r"DyGLib: found weights of events"),
        (
            example("edge_type", "node_label", "snapshot"),
            r"DyGLib: found a stream with edge_type, node_label, snapshot",
        ),
        (example(raw_order=False), r"DyGLib: found raw rows \(edge_id\) in another order.*lose=\['edge_id'\]"),
        (EventStream.from_rows([0], [0], [0], edge_feat=np.ones((1, 173))), "found 173 features an event, expected at"),
        (EventStream.from_rows([0], [0], [0], node_feat=np.ones((1, 173))), "found 173 features a node, expected at"),
    ],
)
def test_what_dyglib_does_not_hold_is_refused(tmp_path, stream, message):
    with pytest.raises(ConfigError, match=message):
        Adapter().from_events(stream, tmp_path / "D")
    assert not list(tmp_path.iterdir())


def foreign(folder, **columns):
    """Write files as TGN's preprocessing does: rows of `idx`, one event without a feature."""
    folder.mkdir()
    made = {
        "u": [1, 2, 1],
        "i": [3, 3, 4],
        "ts": [0.0, 7.5, 7.5],
        "label": [0.0, 1.0, 0.0],
        "idx": [1, 2, 3],
        **columns,
    }
    pd.DataFrame(made).to_csv(folder / "ml_wiki.csv")
    np.save(folder / "ml_wiki.npy", [[0, 0], [0.1, 1], [2, 3], [0, 0]])
    np.save(folder / "ml_wiki_node.npy", np.zeros((5, 172)))
    return folder


def test_files_of_others(tmp_path):
    folder = foreign(tmp_path / "a")
    with pytest.raises(DataError, match="round_features=True"):
        Adapter().to_events(folder)
    stream = Adapter().to_events(folder, round_features=True)
    assert (stream.src.tolist(), stream.dst.tolist(), stream.time.tolist()) == ([0, 1, 0], [2, 2, 3], [0, 7.5, 7.5])
    assert stream.edge_feat.tolist() == [[np.float32(0.1), 1], [2, 3], [0, 0]]
    assert stream.event_label.tolist() == [0, 1, 0]
    assert (stream.node_feat, stream.num_nodes, stream.name) == (None, 4, "wiki")
    mixed = Adapter().to_events(foreign(tmp_path / "b", idx=[3, 1, 2]) / "ml_wiki.csv", round_features=True)
    assert mixed.edge_feat.tolist() == [[0, 0], [np.float32(0.1), 1], [2, 3]]
    weighted = Adapter().to_events(folder, weight_as_feature=True)
    assert (weighted.edge_weight.tolist(), weighted.edge_feat.tolist()) == ([0.1, 2, 0], [[1], [3], [0]])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"u": [0, 1, 2]}, r"ml_wiki\.csv: found u 0 to 2, expected 1 to 4"),
        ({"i": [3, 3, 5]}, r"ml_wiki\.csv: found i 3 to 5, expected 1 to 4"),
        ({"idx": [1, 2, 4]}, r"ml_wiki\.csv: found idx 1 to 4, expected 1 to 3"),
        ({"label": [0, 0.5, 1]}, r"label: found 0\.5"),
        ({"ts": [0, "x", 1]}, r"ml_wiki\.csv, line 3: found ts 'x'"),
    ],
)
def test_values_out_of_range_are_named(tmp_path, columns, message):
    with pytest.raises(DataError, match=message):
        Adapter().to_events(foreign(tmp_path / "a", **columns), round_features=True)


def test_missing_and_damaged_files_are_named(tmp_path):
    folder = foreign(tmp_path / "a")
    (folder / "ml_wiki_node.npy").unlink()
    with pytest.raises(DataError, match=r"ml_wiki_node\.npy"):
        Adapter().to_events(folder)
    (folder / "ml_wiki.npy").write_bytes(b"junk")
    with pytest.raises(DataError, match=r"ml_wiki\.npy: found no table of numbers"):
        Adapter().to_events(folder)
    (folder / "ml_wiki.csv").rename(folder / "ml_a.csv")
    (folder / "ml_b.csv").write_bytes((folder / "ml_a.csv").read_bytes())
    with pytest.raises(DataError, match=r"found ml_a\.csv, ml_b\.csv, expected one ml_NAME\.csv"):
        Adapter().to_events(folder)
    for other in (tmp_path, None, "\0", "x" * 300, tmp_path / "none.csv", folder / "ml_wiki.npy"):
        assert not Adapter().matches(other)


def test_what_dysign_prep_exports_is_read_back(tmp_path):
    folder = full_folder(tmp_path / "p")
    stream = EventStream.of(folder)
    export(folder, tmp_path / "D", "dyglib", shift_time=True)
    back = Adapter().to_events(tmp_path / "D", **{name: getattr(stream, name) for name in ("edge_id", *RANGES)})
    assert back.differences(stream) == []


@pytest.mark.real
def test_bitcoin_otc_through_dyglib_and_back(real_data, tmp_path):
    stream = bitcoin(real_data, tmp_path)
    Adapter().from_events(stream.without("snapshot"), tmp_path / "D", weight_as_feature=True)
    back = Adapter().to_events(tmp_path / "D", **rest(stream, *RANGES))
    assert back.differences(stream) == []


def test_the_hub_finds_the_files(tmp_path):
    folder = adapters.get("dyglib").from_events(example("edge_feat"), path=str(tmp_path / "D"))
    for path in (folder, str(folder)):
        assert adapters.to_events(path).equals(example("edge_feat"))
