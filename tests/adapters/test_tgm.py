"""TGM's ``DGData``, with the real package."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from dgl_dysign import adapters
from dgl_dysign.adapters.event_stream import EventStream
from dgl_dysign.adapters.tgm import Adapter
from dgl_dysign.adapters.times import retimed
from dgl_dysign.errors import ConfigError, DataError
from tests.adapters.real import bitcoin
from tests.adapters.streams import RANGES, example, rest, streams

tgm = pytest.importorskip("tgm")
pytestmark = pytest.mark.filterwarnings("error::UserWarning")  # TGM warns of what it casts: nothing is left to cast


def test_types_and_values():
    stream = example("edge_feat", "edge_type", "event_label", "node_feat", bipartite=True)
    data = Adapter().from_events(stream)
    kinds = {
        torch.int64: ["time"],
        torch.int32: ["edge_index", "edge_mask", "edge_type", "node_type", "node_y_mask", "node_y_nids"],
        torch.float32: ["edge_x", "static_node_x", "node_y"],
    }
    assert {name: getattr(data, name).dtype for names in kinds.values() for name in names} == {
        name: kind for kind, names in kinds.items() for name in names
    }
    assert data.edge_index.tolist() == np.c_[stream.src, stream.dst].tolist()
    assert data.node_type.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert data.time[data.edge_mask].tolist() == stream.time.tolist()
    # Six of eight events have a label, each right after its event.
    assert (data.node_y_mask.tolist(), data.node_y_nids.tolist()) == ([1, 3, 6, 8, 11, 13], [0, 0, 0, 1, 3, 0])
    assert data.node_y.tolist() == [[0], [1], [0], [2], [0], [1]]
    assert data.time_delta == tgm.TimeDeltaDG("r")
    assert Adapter().from_events(dataclasses.replace(stream, time_unit="seconds since x")).time_delta.unit == "s"


@settings(max_examples=100, deadline=None)
@given(streams("edge_feat", "edge_type", "event_label", "node_feat", "snapshot", raw_order=False))
def test_round_trip(stream):
    data = Adapter().from_events(stream.without("snapshot"), time_delta="s", lose=["edge_id"])
    assert Adapter().matches(data)
    fields = {name: getattr(stream, name) for name in ("name", "time_unit", "directed", "edge_id", *RANGES)}
    back = Adapter().to_events(data, labels="event", **fields)
    missing = {"event_label"} if stream.event_label is not None and (stream.event_label < 0).all() else set()
    assert set(back.differences(stream)) == missing


@pytest.mark.parametrize("bipartite", [False, True])
def test_round_trip_through_the_hub(bipartite):
    stream = example("edge_feat", "node_label", bipartite=bipartite)
    silent = dataclasses.replace(stream, node_label=[0, -1, 1, -1, -1, -1, -1])
    with pytest.raises(DataError, match="TGM: found a label of node 2, expected none of a node without an event"):
        Adapter().from_events(silent)
    stream = dataclasses.replace(stream, node_label=[0, 2, -1, 1, -1, 0, -1])
    data = adapters.get("tgm").from_events(stream)
    assert data.node_y_nids.tolist() == [1, 3, 5, 0]  # by their last event
    fields = {name: getattr(stream, name) for name in ("name", "time_unit", "directed")}
    assert adapters.to_events(data, labels="node", **fields).differences(stream) == []
    with pytest.raises(ConfigError, match="labels=None and data with node_y"):
        adapters.to_events(data)
    assert adapters.to_events(data, drop=["node_y"]).node_label is None
    if not bipartite:
        with pytest.raises(DataError, match="each right after an event of its node"):
            Adapter().to_events(data, labels="event")


def test_what_tgm_makes_of_it():
    """Batches and splits of TGM see the events, in order, and their features."""
    stream = example("edge_feat", "edge_type")
    data = Adapter().from_events(stream, time_delta="s")
    loader = tgm.data.DGDataLoader(tgm.DGraph(data), batch_unit="s", batch_size=3, on_empty=None)
    batches = list(loader)
    assert [batch.edge_src.tolist() for batch in batches] == [[0], [0, 1, 0, 1], [], [3, 3, 0]]
    assert torch.cat([b.edge_x for b in batches if len(b.edge_src)]).tolist() == stream.edge_feat.tolist()
    assert [t for b in batches if b.edge_type is not None for t in b.edge_type.tolist()] == stream.edge_type.tolist()
    train, *_ = data.split()
    assert Adapter().to_events(train).num_nodes == 7


@pytest.mark.parametrize(
    ("stream", "error", "message"),
    [
        (example("edge_weight", "snapshot"), ConfigError, r"TGM: found a stream with edge_weight, snapshot"),
        (example(raw_order=False), ConfigError, r"TGM: found raw rows \(edge_id\) in another order"),
        (example(whole=False), ConfigError, r"TGM: found the time 0\.1, expected whole numbers.*retimed"),
        (retimed(example(), shift=-1), ConfigError, r"TGM: found times from -1 to 10, expected 0 to 2147483646"),
        (retimed(example(), scale=1e9), ConfigError, r"TGM: found times from 0 to 11000000000, expected 0 to"),
        (example("event_label", "node_label"), ConfigError, "found labels of events and of nodes"),
        (EventStream.from_rows([], [], []), DataError, "TGM: found no event"),
        (
            EventStream.from_rows([0], [2**31], [0]),
            DataError,
            "TGM: found 2147483649 nodes, expected at most 2147483647",
        ),
        (EventStream.from_rows([0], [1], [0], edge_type=[2**31]), DataError, "found edge_type 2147483648"),
        (EventStream.from_rows([0], [1], [0], event_label=[2**24 + 1]), DataError, "found event_label 16777217"),
        (EventStream.from_rows([0], [1], [0], edge_feat=[[np.nan]]), DataError, "found NaN in edge_feat"),
    ],
)
def test_what_tgm_does_not_hold_is_refused(stream, error, message):
    with pytest.raises(error, match=message):
        Adapter().from_events(stream)


def made(**changes):
    """Return data as TGM's users make it, unsorted."""
    fields = {"edge_time": torch.tensor([5, 1, 3]), "edge_index": torch.tensor([[0, 1], [2, 3], [1, 1]]).int()}
    return tgm.data.DGData.from_raw(**{**fields, **changes})


def test_data_of_others():
    stream = Adapter().to_events(made(static_node_x=torch.ones(6, 2)))
    assert (stream.src.tolist(), stream.dst.tolist(), stream.time.tolist()) == ([2, 1, 0], [3, 1, 1], [1, 3, 5])
    assert (stream.num_nodes, stream.node_feat.shape, stream.node_offset) == (6, (6, 2), None)
    node = {"node_x_time": torch.tensor([2]), "node_x_nids": torch.tensor([0]).int(), "node_x": torch.ones(1, 1)}
    with pytest.raises(ConfigError, match="found node_x, features of nodes that change"):
        Adapter().to_events(made(**node))
    assert len(Adapter().to_events(made(**node), drop=["node_x"])) == 3
    with pytest.raises(ConfigError, match=r"drop=\['edge_x'\], expected some of 'node_x', 'node_y', 'node_type'"):
        Adapter().to_events(made(), drop=["edge_x"])
    with pytest.raises(ConfigError, match="node_type with other types than 0, then 1"):
        Adapter().to_events(made(node_type=torch.tensor([0, 1, 0, 2]).int()))
    with pytest.raises(ConfigError, match="node_type with two types, and events within one of them"):
        Adapter().to_events(made(node_type=torch.tensor([0, 0, 1, 1]).int()))
    assert Adapter().to_events(made(node_type=torch.zeros(4).int())).num_nodes == 4
    kinds = torch.tensor([0, 1, 0, 2, 0]).int()
    assert Adapter().to_events(made(node_type=kinds), drop=["node_type"]).num_nodes == 4
    labels = {"node_y_time": torch.tensor([5, 6]), "node_y_nids": torch.tensor([0, 0]).int()}
    with pytest.raises(DataError, match="found node_y of width 2"):
        Adapter().to_events(made(**labels, node_y=torch.ones(2, 2)), labels="node")
    with pytest.raises(DataError, match="each once for a node, as labels='node' says"):
        Adapter().to_events(made(**labels, node_y=torch.ones(2, 1)), labels="node")
    labels["node_y_nids"] = torch.tensor([0, 1]).int()
    with pytest.raises(DataError, match=r"node_y: found 0\.5"):
        Adapter().to_events(made(**labels, node_y=torch.full((2, 1), 0.5)), labels="node")


@pytest.mark.real
def test_bitcoin_otc_through_tgm_and_back(real_data, tmp_path):
    real = bitcoin(real_data, tmp_path)
    ratings = dataclasses.replace(real, edge_feat=real.edge_weight[:, None], edge_weight=None)
    with pytest.raises(ConfigError, match=r"expected whole numbers; scale .*floor=True"):
        Adapter().from_events(ratings.without("snapshot"))
    stream = retimed(ratings, floor=True)
    data = Adapter().from_events(stream.without("snapshot"))
    fields = {name: rest(stream)[name] for name in ("name", "time_unit", "directed")}
    back = Adapter().to_events(data, **fields, **{name: getattr(stream, name) for name in RANGES})
    assert back.differences(stream) == []
    assert back.differences(ratings) == ["time"]
    assert (data.time_delta.unit, data.num_nodes) == ("s", 5881)
