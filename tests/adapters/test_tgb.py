"""TGB's arrays, and real Wikipedia through them and back."""

import dataclasses
import os

import numpy as np
import pytest
from hypothesis import given, settings

from data_prep.rules import Rule
from dgl_dysign import adapters
from dgl_dysign.adapters.event_stream import EventStream
from dgl_dysign.adapters.tgb import Adapter
from dgl_dysign.adapters.times import binned
from dgl_dysign.errors import ConfigError, DataError
from tests.adapters.real import wikipedia
from tests.adapters.streams import RANGES, example, rest, streams

HELD = ("edge_feat", "edge_weight", "edge_type", "event_label")


def test_full_data_has_tgbs_keys_types_and_values():
    stream = example(*HELD)
    data = Adapter().from_events(stream, lose=["num_nodes"])
    kinds = {name: values.dtype for name, values in data.items()}
    assert kinds == {
        **dict.fromkeys(("sources", "destinations", "timestamps", "edge_idxs", "edge_type", "event_label"), np.int64),
        **dict.fromkeys(("edge_feat", "w", "edge_label"), np.float64),
    }
    assert data["sources"].tolist() == [0, 0, 1, 0, 1, 3, 3, 0]
    assert data["timestamps"].tolist() == [0, 3, 3, 3, 5, 9, 9, 11]
    assert data["w"].tolist() == stream.edge_weight.tolist()
    assert data["edge_label"].tolist() == [1] * 8
    assert data["edge_feat"].tolist() == stream.edge_feat.tolist()
    bare = Adapter().from_events(example(), lose="num_nodes")
    assert bare["edge_feat"] is None
    assert bare["w"].tolist() == [1] * 8
    assert "edge_type" not in bare


@settings(max_examples=150, deadline=None)
@given(streams(*HELD, "snapshot", raw_order=False, least=0))
def test_round_trip(stream):
    data = Adapter().from_events(stream.without("snapshot"), lose=["num_nodes"])
    assert Adapter().matches(data)
    fields = rest(stream, "num_nodes", *RANGES)
    back = Adapter().to_events(data, weights=stream.edge_weight is not None, **fields)
    assert back.differences(stream) == []


def test_round_trip_of_the_small_stream_and_its_raw_order():
    shuffled = EventStream.from_rows([0, 1, 2, 2], [1, 2, 2, 0], [5, 0, 5, 0])
    assert shuffled.edge_id.tolist() == [1, 3, 0, 2]
    back = Adapter().to_events(Adapter().from_events(shuffled))
    assert back.equals(shuffled)
    for bipartite in (False, True):
        stream = example(*HELD, "snapshot", raw_order=False, bipartite=bipartite)
        data = adapters.get("tgb").from_events(stream.without("snapshot"), lose=["num_nodes"])
        assert adapters.to_events(data, **rest(stream, "num_nodes", *RANGES)).differences(stream) == []


def test_arrays_may_be_written_to_without_touching_the_stream():
    stream = example(*HELD)
    data = Adapter().from_events(stream, lose=["num_nodes"])
    for values in data.values():
        values[0] = 5
    assert stream.equals(example(*HELD))


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (
            example("node_label", "snapshot"),
            r"TGB: found a stream with node_label, snapshot.*without\('node_label', 'sna",
        ),
        (example(), r"TGB: found 7 nodes, expected 6.*lose=\['num_nodes'\], and give num_nodes=7"),
        (EventStream.from_rows([0], [1], [0.5]), r"TGB: found the time .*0\.5.*expected whole numbers.*retimed"),
    ],
)
def test_what_tgb_does_not_hold_is_refused(stream, message):
    with pytest.raises(ConfigError, match=message):
        Adapter().from_events(stream)


def test_what_a_stream_does_not_hold_is_refused():
    data = Adapter().from_events(example(), lose=["num_nodes"])
    with pytest.raises(DataError, match=r"edge_feat: found 0\.1, expected numbers that float32.*round_features=True"):
        Adapter().to_events({**data, "edge_feat": np.full((8, 1), 0.1)})
    rounded = Adapter().to_events({**data, "edge_feat": np.full((8, 1), 0.1)}, round_features=True)
    assert rounded.edge_feat.tolist() == [[np.float32(0.1)]] * 8
    with pytest.raises(DataError, match="expected numbers within float32"):
        Adapter().to_events({**data, "edge_feat": np.full((8, 1), 1e300)}, round_features=True)
    with pytest.raises(ConfigError, match="found the option 'colour', expected an option of this adapter or a field"):
        Adapter().to_events(data, colour="red")
    with pytest.raises(DataError, match="found no array 'destinations'"):
        Adapter().to_events({"sources": [1]})
    with pytest.raises(ConfigError, match=r"lose='time', expected some of 'edge_id', 'num_nodes'"):
        Adapter().from_events(example(), lose=["time"])


def test_rows_that_count_from_one_and_weights_of_one():
    data = Adapter().from_events(example(), lose=["num_nodes"])
    data["edge_idxs"] = data["edge_idxs"] + 1
    assert Adapter().to_events(data).edge_id.tolist() == list(range(8))
    assert Adapter().to_events(data).edge_weight is None
    assert Adapter().to_events(data, weights=True).edge_weight.tolist() == [1] * 8


def test_from_full_data_to_a_prepared_folder_and_back(tmp_path):
    data = Adapter().from_events(example("edge_feat", "edge_weight", "event_label"), lose=["num_nodes"])
    stream = binned(Adapter().to_events(data, num_nodes=7, name="mine"), Rule("every", width=3.0))
    stream.prepare(tmp_path / "p")
    back = EventStream.of(tmp_path / "p")
    assert back.differences(stream) == []
    assert {
        name: values.tolist()
        for name, values in Adapter().from_events(back.without("snapshot"), lose=["num_nodes"]).items()
    } == {name: values.tolist() for name, values in data.items()}


class _Dataset:
    """As py-tgb's, whose module the adapter asks for."""

    __module__ = "tgb.linkproppred.dataset"
    name, node_type = "tgbl-mine", None

    def __init__(self, full_data, node_feat):
        self.full_data, self.node_feat = full_data, node_feat


def test_a_data_set_brings_its_name_and_features_of_nodes():
    stream = example("node_feat")
    dataset = _Dataset(Adapter().from_events(stream.without("node_feat"), lose=["num_nodes"]), stream.node_feat)
    found = Adapter().to_events(dataset, num_nodes=7)
    assert (found.name, found.node_feat.tolist()) == ("tgbl-mine", stream.node_feat.tolist())
    dataset.node_type = np.zeros(6)
    with pytest.raises(ConfigError, match=r"found node_type, .*pass dataset\.full_data"):
        Adapter().to_events(dataset)


@pytest.mark.real
def test_wikipedia_through_tgbs_arrays_and_back(real_data, tmp_path):
    real = wikipedia(real_data, tmp_path)
    # Events, times and labels are real; the 172 features are not to be had, so that those here are drawn.
    drawn = np.random.default_rng(0).standard_normal((len(real), 172), np.float32)
    for stream in (real, dataclasses.replace(real, edge_feat=drawn)):
        data = Adapter().from_events(stream.without("snapshot"))
        assert len(data["sources"]) == 157474
        fields = rest(stream, *RANGES)
        assert Adapter().to_events(data, **fields).differences(stream) == []


def own_data_set(home, text_of):
    """Return py-tgb's data set tgbl-wiki, given JODIE's file, which is what it downloads under another name."""
    tgb = pytest.importorskip("tgb.linkproppred.dataset")
    from tgb.utils.info import PROJ_DIR

    (home / "tgbl_wiki").mkdir()
    (home / "tgbl_wiki" / "tgbl-wiki_edgelist_v2.csv").write_text(text_of())
    return tgb.LinkPropPredDataset("tgbl-wiki", root=os.path.relpath(home, PROJ_DIR))


@pytest.mark.slow
@pytest.mark.real
def test_pytgbs_own_reading_of_wikipedia(real_data, tmp_path):
    dataset = own_data_set(tmp_path, lambda: (real_data / "wikipedia" / "wikipedia.csv").read_text())
    stream = wikipedia(real_data, tmp_path).without("event_label", "snapshot")
    assert Adapter().to_events(dataset, **rest(stream)).differences(stream) == []
    ours = Adapter().from_events(stream)
    assert set(ours) == set(dataset.full_data)
    for name, values in dataset.full_data.items():
        assert np.array_equal(values, ours[name]), name
        assert values.dtype.kind == ours[name].dtype.kind or name == "edge_feat", name


def test_pytgbs_own_reading_of_decimal_features(tmp_path):
    rows = [
        "user_id,item_id,timestamp,state_label,features",
        "0,0,0.0,0,0.1,-2.5",
        "1,0,3.0,1,0.25,7",
        "0,1,3.0,0,0,1e-3",
    ]
    dataset = own_data_set(tmp_path, lambda: "\n".join(rows) + "\n")
    with pytest.raises(DataError, match=r"edge_feat: found 0\.1, .*round_features=True"):
        Adapter().to_events(dataset)
    stream = Adapter().to_events(dataset, round_features=True)
    assert stream.name == "tgbl-wiki"
    assert (stream.src.tolist(), stream.dst.tolist(), stream.time.tolist()) == ([0, 1, 0], [2, 2, 3], [0, 3, 3])
    assert stream.edge_feat.tolist() == [[np.float32(0.1), -2.5], [0.25, 7], [0, np.float32(1e-3)]]
