"""PyG's TemporalData holds a stream whole, and gives it back; real Wikipedia through it bit for bit."""

import copy
import filecmp
import pickle
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from data_prep.cli import app
from dgl_dysign import adapters
from dgl_dysign.adapters import EventStream
from dgl_dysign.adapters.pyg import Adapter
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.events import OPTIONAL_FIELDS
from tests.adapters.streams import example, streams


@pytest.fixture
def pyg():
    return pytest.importorskip("torch_geometric.data")


def test_without_pyg_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_geometric.data", None)
    with pytest.raises(ImportError, match=r"pip install dgl-dysign\[pyg\]"):
        Adapter().from_events(example())


def test_attributes_have_pygs_names_and_types(pyg):
    stream = example(*OPTIONAL_FIELDS)
    data = Adapter().from_events(stream)
    assert isinstance(data, pyg.TemporalData)
    kinds = {name: (value.dtype, tuple(value.shape)) for name, value in data.to_dict().items()}
    assert kinds == {
        **dict.fromkeys(("src", "dst", "t", "y", "edge_type", "snapshot"), (torch.int64, (8,))),
        "msg": (torch.float32, (8, 3)),
        "w": (torch.float64, (8,)),
    }
    assert data.src.tolist() == stream.src.tolist()
    assert data.t.tolist() == [0, 3, 3, 3, 5, 9, 9, 11]
    assert data.dysign["num_nodes"] == 7
    assert data.dysign["node_label"].tolist() == [0, 2, -1, 1, -1, 0, -1]
    data.src[0] = 5
    assert stream.src[0] == 0
    assert set(Adapter().from_events(example()).to_dict()) == {"src", "dst", "t"}


@settings(max_examples=60, deadline=None)
@given(stream=streams(*OPTIONAL_FIELDS, raw_order=False, least=0))
def test_round_trip(stream):
    pytest.importorskip("torch_geometric.data")
    data = Adapter().from_events(stream)
    assert Adapter().to_events(data).differences(stream) == []


def test_copies_and_pickles_are_as_good(pyg):
    stream = example(*OPTIONAL_FIELDS, raw_order=False)
    data = adapters.get("pyg").from_events(stream)
    for other in (copy.copy(data), copy.deepcopy(data), pickle.loads(pickle.dumps(data)), data.to("cpu")):
        assert adapters.to_events(other).equals(stream)


def test_a_split_keeps_what_belongs_to_nodes_and_snapshots(pyg):
    stream = example(*OPTIONAL_FIELDS, raw_order=False)
    parts = [Adapter().to_events(part) for part in Adapter().from_events(stream).train_val_test_split(0.25, 0.25)]
    assert [len(part) for part in parts] == [4, 3, 1]
    for part in parts:
        assert (part.num_nodes, part.num_snapshots) == (7, 4)
        assert part.node_feat.tolist() == stream.node_feat.tolist()
    for name in ("src", "dst", "time", "edge_weight", "snapshot"):
        assert np.array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(stream, name))
    assert parts[0].edge_id.tolist() == np.argsort(np.argsort(stream.edge_id[:4])).tolist()


def test_data_of_other_code(pyg):
    data = pyg.TemporalData(
        src=torch.Tensor([1, 2, 3, 4]),  # as in PyG's own example: floats, and a flat msg
        dst=torch.tensor([2, 3, 4, 5], dtype=torch.int32),
        t=torch.tensor([1000, 1010, 900, 2000]),
        msg=torch.Tensor([1, 1, 0, 0]),
    )
    stream = Adapter().to_events(data, directed=False, name="mine", num_nodes=9)
    assert stream.src.tolist() == [3, 1, 2, 4]
    assert stream.edge_id.tolist() == [2, 0, 1, 3]
    assert stream.edge_feat.tolist() == [[0], [1], [1], [0]]
    assert (stream.num_nodes, stream.directed, stream.name) == (9, False, "mine")
    assert Adapter().to_events(data).num_nodes == 6
    data.z = torch.zeros(4)
    with pytest.raises(DataError, match=r"found the attribute 'z'.*ignore=\['z'\]"):
        Adapter().to_events(data)
    assert len(Adapter().to_events(data, ignore=["z"])) == 4
    with pytest.raises(DataError, match="found no t, expected src, dst and t"):
        Adapter().to_events(pyg.TemporalData(src=torch.zeros(1), dst=torch.zeros(1)))
    data.msg = torch.full((4, 1), 0.1, dtype=torch.float64)
    with pytest.raises(DataError, match="round_features=True"):
        Adapter().to_events(data, ignore=["z"])
    rounded = Adapter().to_events(data, ignore=["z"], round_features=True).edge_feat
    assert rounded.tolist() == np.full((4, 1), 0.1, np.float32).tolist()


def test_broken_times_are_floats_only_if_wanted(pyg):
    stream = example("snapshot", whole=False)
    with pytest.raises(ConfigError, match="expected whole numbers"):
        Adapter().from_events(stream)
    data = Adapter().from_events(stream, float_time=True)
    assert data.t.dtype == torch.float64
    assert Adapter().to_events(data).equals(stream)


def test_pygs_own_loader_and_memory_take_it(pyg):
    from torch_geometric.loader import TemporalDataLoader
    from torch_geometric.nn.models.tgn import LastNeighborLoader

    stream = example(*OPTIONAL_FIELDS)
    data, seen = Adapter().from_events(stream), 0
    neighbours = LastNeighborLoader(stream.num_nodes, size=3)
    for batch in TemporalDataLoader(data, batch_size=3, neg_sampling_ratio=1.0):
        assert batch.neg_dst.shape == batch.dst.shape
        neighbours.insert(batch.src, batch.dst)
        seen += len(batch.msg)
    assert seen == len(stream)
    # Of node 4 the last three events, by number: 1 -> 4 is not among them.
    nodes, _, events = neighbours(torch.tensor([4]))
    assert sorted(events.tolist()) == [3, 5, 7]
    assert set(nodes.tolist()) == {0, 3, 4}


def test_wikipedia_goes_through_and_comes_back_bit_for_bit(pyg, real_data, tmp_path):
    raw = real_data / "wikipedia"
    if not raw.is_dir():
        pytest.skip(f"no wikipedia/ in {real_data}")
    app(["wikipedia", str(raw), str(tmp_path / "a"), "--every", "1h", "--quiet"], standalone_mode=False)
    stream = EventStream.of(tmp_path / "a")
    data = Adapter().from_events(stream)
    assert data.num_events == 157_474
    assert data.num_nodes == 9227
    assert int(data.y.sum()) == 217
    Adapter().to_events(data).prepare(tmp_path / "b", names_of=tmp_path / "a")
    names = sorted(path.name for path in (tmp_path / "a").glob("*.parquet"))
    assert names == [f"{name}.parquet" for name in ("edge_features", "edges", "labels", "nodes", "snapshots")]
    assert filecmp.cmpfiles(tmp_path / "a", tmp_path / "b", names, shallow=False) == (names, [], [])
