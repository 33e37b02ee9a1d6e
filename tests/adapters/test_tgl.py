"""TGL's files: both ways, foreign ones, damaged ones, and real Bitcoin-OTC."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from data_prep.export import export
from dgl_dysign import adapters
from dgl_dysign.adapters.event_stream import EventStream
from dgl_dysign.adapters.tgl import Adapter
from dgl_dysign.errors import ConfigError, DataError
from tests.adapters.real import bitcoin
from tests.adapters.streams import RANGES, example, rest, streams
from tests.folders import full_folder


def in_float32(stream):
    """Return the stream with weights that float32 holds."""
    if stream.edge_weight is None:
        return stream
    return dataclasses.replace(stream, edge_weight=stream.edge_weight.astype(np.float32))


def test_files_and_their_values(tmp_path):
    stream = in_float32(example("edge_feat", "edge_weight", "node_feat"))
    folder = Adapter().from_events(stream, tmp_path / "T", weight_as_feature=True)
    assert folder == tmp_path / "T"
    names = {"edges.csv", "ext_full.npz", "int_full.npz", "int_train.npz", "edge_features.pt", "node_features.pt"}
    assert {path.name for path in folder.iterdir()} == names | {"export.json"}
    lines = (folder / "edges.csv").read_text().splitlines()
    assert lines[:3] == [",src,dst,time,int_roll,ext_roll", "0,0,4,0,0,0", "1,0,4,3,0,0"]
    edges, nodes = (torch.load(folder / f"{name}_features.pt", weights_only=True) for name in ("edge", "node"))
    assert edges.dtype == nodes.dtype == torch.float32
    assert edges.tolist() == np.column_stack([stream.edge_weight, stream.edge_feat]).tolist()
    assert nodes.tolist() == stream.node_feat.tolist()
    with np.load(folder / "ext_full.npz") as full:
        assert (len(full["indptr"]) - 1, len(full["indices"])) == (7, 16)  # undirected: every event twice


@settings(max_examples=30, deadline=None)
@given(streams("edge_feat", "edge_weight", "node_feat", "snapshot", raw_order=False))
def test_round_trip(tmp_path_factory, stream):
    stream, path = in_float32(stream), tmp_path_factory.mktemp("tgl") / "T"
    Adapter().from_events(stream.without("snapshot"), path, weight_as_feature=True, lose=["edge_id"])
    assert Adapter().matches(path)
    fields = {name: getattr(stream, name) for name in ("edge_id", *RANGES)}
    assert Adapter().to_events(path, **fields).differences(stream) == []


@settings(max_examples=30, deadline=None)
@given(streams("event_label", whole=False))
def test_round_trip_of_labels_of_events(tmp_path_factory, stream):
    path = tmp_path_factory.mktemp("tgl") / "T"
    if stream.event_label is not None:  # a label is there for all events of a node and time, or for none
        keep = {}
        for u, t, label in zip(stream.src, stream.time, stream.event_label, strict=True):
            keep[u, t] = keep.get((u, t), True) and label >= 0
        kept = [keep[pair] for pair in zip(stream.src, stream.time, strict=True)]
        stream = dataclasses.replace(stream, event_label=np.where(kept, stream.event_label, -1))
    Adapter().from_events(stream, path, round_times=True)
    assert Adapter().to_events(path).differences(stream) == []


@pytest.mark.parametrize("name", ["event_label", "node_label"])
def test_round_trip_of_labels(tmp_path, name):
    stream = example(name)
    if name == "event_label":
        mixed = dataclasses.replace(stream, event_label=np.where(np.arange(8) == 1, -1, stream.event_label))
        with pytest.raises(DataError, match=r"TGL: found events of node 0 at 3\.0, of which some have a label"):
            Adapter().from_events(mixed, tmp_path / "no")
        stream = dataclasses.replace(stream, event_label=[0, 1, -1, 0, 2, 1, 0, 1])
    else:
        with pytest.raises(DataError, match="TGL: found a label of node 6, expected none of a node without an event"):
            Adapter().from_events(dataclasses.replace(stream, node_label=[-1] * 6 + [0]), tmp_path / "no")
    assert not (tmp_path / "no").exists()
    Adapter().from_events(stream, tmp_path / "T")
    assert Adapter().to_events(tmp_path / "T").differences(stream) == []
    assert getattr(Adapter().to_events(tmp_path / "T", labels="drop"), name) is None


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (
            example("edge_weight"),
            r"TGL: found weights of events, .*weight_as_feature=True, or .*without\('edge_weight'\)",
        ),
        (example("edge_type", "snapshot"), r"TGL: found a stream with edge_type, snapshot"),
        (example(raw_order=False), r"TGL: found raw rows \(edge_id\) in another order.*lose=\['edge_id'\]"),
        (example(whole=False), r"TGL: found \d times that float32 does not hold.*shift_time=True.*round_times=True"),
        (example("event_label", "node_label"), r"TGL: found labels of events and of nodes"),
    ],
)
def test_what_tgl_does_not_hold_is_refused(tmp_path, stream, message):
    with pytest.raises(ConfigError, match=message):
        Adapter().from_events(stream, tmp_path / "T")
    assert not list(tmp_path.iterdir())


def test_weights_that_float32_does_not_hold_leave_nothing(tmp_path):
    with pytest.raises(DataError, match="expected numbers that float32 holds exactly"):
        Adapter().from_events(example("edge_weight"), tmp_path / "T", weight_as_feature=True)
    with pytest.raises(DataError, match="found no event"):
        Adapter().from_events(EventStream.from_rows([], [], []), tmp_path / "T")
    assert not list(tmp_path.iterdir())


def test_times_are_shifted_and_come_back(tmp_path):
    stream = dataclasses.replace(example(), time=example().time + 1_289_241_911.75)
    with pytest.raises(ConfigError, match="float32"):
        Adapter().from_events(stream, tmp_path / "T")
    Adapter().from_events(stream, tmp_path / "T", shift_time=True)
    assert (tmp_path / "T" / "edges.csv").read_text().splitlines()[2].startswith("1,0,4,3,")
    assert Adapter().to_events(tmp_path / "T").equals(stream)
    far = EventStream.from_rows([0, 0], [1, 1], [-1e9, 0.1])
    with pytest.raises(ConfigError, match="shift_time=True would change"):
        Adapter().from_events(far, tmp_path / "U", shift_time=True)


def foreign(folder, header=",src,dst,time,int_roll,ext_roll"):
    folder.mkdir()
    rows = ["0,0,3,0.0,0,0", "1,1,3,7.5,0,0", "2,0,2,7.5,0,2"]
    (folder / "edges.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder


def test_files_of_others(tmp_path):
    folder = foreign(tmp_path / "WIKI")
    stream = Adapter().to_events(folder)
    assert (stream.src.tolist(), stream.dst.tolist(), stream.time.tolist()) == ([0, 1, 0], [3, 3, 2], [0, 7.5, 7.5])
    assert (stream.num_nodes, stream.name, stream.directed, stream.time_unit) == (4, "WIKI", True, "unknown")
    torch.save(torch.tensor([[0.1], [1], [2]], dtype=torch.float64), folder / "edge_features.pt")
    np.save(folder / "node_features.npy", np.ones((6, 2), np.float32))
    with pytest.raises(DataError, match="round_features=True"):
        Adapter().to_events(folder)
    found = Adapter().to_events(folder, round_features=True)
    assert found.edge_feat.tolist() == [[np.float32(0.1)], [1], [2]]
    assert (found.num_nodes, found.node_feat.shape) == (6, (6, 2))
    weighted = Adapter().to_events(folder, weight_as_feature=True, num_nodes=6, directed=False)
    assert (weighted.edge_weight.tolist(), weighted.edge_feat, weighted.directed) == ([0.1, 1, 2], None, False)
    (folder / "labels.csv").write_text(",node,time,label,ext_roll\n0,0,7.5,1,2\n1,1,7.5,0,0\n")
    with pytest.raises(ConfigError, match=r"labels\.csv: found labels, but labels=None, expected 'event'"):
        Adapter().to_events(folder, round_features=True)
    options = {"round_features": True, "labels": "event"}
    assert Adapter().to_events(folder, **options).event_label.tolist() == [-1, 0, 1]
    options["labels"] = "node"
    assert Adapter().to_events(folder, **options).node_label.tolist() == [1, 0, -1, -1, -1, -1]
    (folder / "labels.csv").write_text(",node,time,label,ext_roll\n0,0,7,1,2\n")
    with pytest.raises(DataError, match=r"found a label of node 0 at 7\.0, expected an event"):
        Adapter().to_events(folder, round_features=True, labels="event")


def test_the_columns_are_found_by_their_names(tmp_path):
    folder = foreign(tmp_path / "W", ",src,dst,time,a,ext_roll")
    assert len(Adapter().to_events(folder)) == 3
    (folder / "edges.csv").write_text(",src,dst,when\n0,1,2,3\n")
    with pytest.raises(DataError, match=r"edges\.csv: found columns , src, dst, when, expected time"):
        Adapter().to_events(folder)
    assert not Adapter().matches(folder)
    (folder / "edges.csv").write_text(",src,dst,time\n0,1,x,3\n")
    with pytest.raises(DataError, match=r"edges\.csv, line 2: found dst 'x'"):
        Adapter().to_events(folder)
    for other in (tmp_path / "none", 3, "\0", "x" * 300, tmp_path):
        assert not Adapter().matches(other)


@pytest.mark.parametrize("name", ["ext_full.npz", "edge_features.pt", "export.json"])
def test_damaged_files_are_named(tmp_path, name):
    folder = Adapter().from_events(example("edge_feat"), tmp_path / "T")
    (folder / name).write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(DataError, match=name):
        Adapter().to_events(folder)


def test_files_of_other_edges_are_named(tmp_path):
    folder = Adapter().from_events(example("edge_feat"), tmp_path / "T")
    lines = (folder / "edges.csv").read_text().splitlines()
    (folder / "edges.csv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(DataError, match=r"edges\.csv: found 7 rows, expected 8, as export\.json says"):
        Adapter().to_events(folder)
    (folder / "export.json").unlink()
    with pytest.raises(DataError, match=r"ext_full\.npz: found 16 neighbours, expected 7 or twice that"):
        Adapter().to_events(folder)
    (folder / "ext_full.npz").unlink()
    with pytest.raises(DataError, match=r"edge_features\.pt: found float32 of shape \(8, 3\)"):
        Adapter().to_events(folder)


def test_what_dysign_prep_exports_is_read_back(tmp_path):
    folder = full_folder(tmp_path / "p", weights=[1, -10, 0.5, 2.5, 2.5])
    stream = EventStream.of(folder)
    export(folder, tmp_path / "T", "tgl", shift_time=True)
    back = Adapter().to_events(tmp_path / "T", **{name: getattr(stream, name) for name in ("edge_id", *RANGES)})
    assert back.differences(stream) == []


def test_an_export_is_replaced_only_if_asked(tmp_path):
    Adapter().from_events(example(), tmp_path / "T")
    with pytest.raises(DataError, match="existing path"):
        Adapter().from_events(example(), tmp_path / "T")
    Adapter().from_events(example("edge_feat"), tmp_path / "T", overwrite=True)
    assert Adapter().to_events(tmp_path / "T").edge_feat is not None
    assert json.loads((tmp_path / "T" / "export.json").read_text())["about"]["edge_features"] is True


@pytest.mark.real
def test_bitcoin_otc_through_tgl_and_back(real_data, tmp_path):
    stream = bitcoin(real_data, tmp_path)
    options = {"weight_as_feature": True, "round_times": True}
    for shift in (False, True):
        Adapter().from_events(stream.without("snapshot"), tmp_path / f"{shift}", shift_time=shift, **options)
        back = Adapter().to_events(tmp_path / f"{shift}", **rest(stream, *RANGES))
        assert back.differences(stream) == []
    assert (len(stream), stream.num_nodes, stream.num_snapshots) == (35592, 5881, 273)


def test_the_hub_finds_the_files(tmp_path):
    folder = adapters.get("tgl").from_events(example("edge_feat"), path=str(tmp_path / "T"))
    for path in (folder, str(folder)):
        assert adapters.to_events(path).equals(example("edge_feat"))
