"""DGL's temporal graphs hold a stream whole, in memory and as files, in each form; and those of other code are read."""

import filecmp

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_prep.cli import app
from dgl_dysign import adapters
from dgl_dysign._dgl import dgl
from dgl_dysign.adapters import EventStream
from dgl_dysign.adapters.dgl_graphs import FORMS, Adapter
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.events import OPTIONAL_FIELDS
from tests.adapters.streams import example, streams


def test_one_graph_is_as_in_dgls_tgn_example():
    stream = example(*OPTIONAL_FIELDS)
    (graph,), labels = Adapter().from_events(stream)
    assert (graph.num_nodes(), graph.num_edges(), graph.idtype) == (7, 8, torch.int64)
    src, dst = graph.edges(order="eid")
    assert (src.tolist(), dst.tolist()) == (stream.src.tolist(), stream.dst.tolist())
    kinds = {name: (value.dtype, tuple(value.shape)) for name, value in graph.edata.items()}
    assert kinds == {
        **dict.fromkeys(("timestamp", "weight"), (torch.float64, (8,))),
        **dict.fromkeys(("label", "rel_type"), (torch.int64, (8,))),
        "feats": (torch.float32, (8, 3)),
    }
    assert graph.edata["timestamp"].tolist() == [0, 3, 3, 3, 5, 9, 9, 11]
    assert graph.ndata["label"].tolist() == [0, 2, -1, 1, -1, 0, -1]
    assert labels["snapshot_end"].tolist() == [3, 6, 9, 12]
    graph.edata["weight"][0] = 100
    assert stream.edge_weight[0] != 100


def test_snapshots_have_all_nodes_and_stay_where_they_are_empty():
    stream = example("snapshot", "edge_weight", "node_feat")
    graphs, _ = Adapter().from_events(stream, form="snapshots")
    assert [graph.num_edges() for graph in graphs] == [1, 4, 0, 3]
    assert {graph.num_nodes() for graph in graphs} == {7}
    grown, _ = Adapter().from_events(stream, form="cumulative", names={"edge_weight": "h"})
    assert [graph.num_edges() for graph in grown] == [1, 5, 5, 8]
    assert torch.equal(grown[2].edata["h"], torch.from_numpy(stream.edge_weight[:5].copy()))
    assert torch.equal(grown[3].ndata["feat"], torch.from_numpy(stream.node_feat.copy()))


@settings(max_examples=60, deadline=None)
@given(stream=streams(*OPTIONAL_FIELDS, whole=False, raw_order=False, least=0), form=st.sampled_from(FORMS))
def test_round_trip(stream, form):
    if form != "events" and not stream.num_snapshots:
        with pytest.raises(ConfigError, match="without snapshots"):
            Adapter().from_events(stream, form=form)
        return
    pair = Adapter().from_events(stream, form=form)
    assert Adapter().matches(pair)
    assert Adapter().to_events(pair).differences(stream) == []


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stream=streams(*OPTIONAL_FIELDS, "snapshot", whole=False, raw_order=False), form=st.sampled_from(FORMS))
def test_round_trip_through_files(tmp_path, stream, form):
    if form != "events" and not stream.num_snapshots:
        return
    path = tmp_path / "graphs.bin"
    Adapter().from_events(stream, form=form, path=path, overwrite=True)
    assert adapters.to_events(path).differences(stream) == []
    assert list(tmp_path.iterdir()) == [path]


def test_files_are_dgls_own_and_are_not_overwritten_by_chance(tmp_path):
    path = tmp_path / "graphs.bin"
    graphs, _ = adapters.get("dgl").from_events(example(*OPTIONAL_FIELDS), form="snapshots", path=path)
    loaded, labels = dgl.load_graphs(str(path))
    assert [graph.num_edges() for graph in loaded] == [graph.num_edges() for graph in graphs]
    assert labels["snapshot_begin"].tolist() == [0, 3, 6, 9]
    assert adapters.to_events((loaded, labels)).equals(example(*OPTIONAL_FIELDS))
    with pytest.raises(DataError, match=r"graphs.bin: found an existing file"):
        Adapter().from_events(example(), path=path)
    with pytest.raises(DataError, match="found no such file"):
        Adapter().to_events(tmp_path / "none.bin")


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(path, *_):
        with open(path, "w") as file:
            file.write("half")
        raise OSError("disk full")

    monkeypatch.setattr(dgl, "save_graphs", fail)
    with pytest.raises(OSError, match="disk full"):
        Adapter().from_events(example(), path=tmp_path / "graphs.bin")
    assert list(tmp_path.iterdir()) == []


class Bitcoin(dgl.data.DGLDataset):
    """As ``dgl.data.BitcoinOTCDataset`` makes its list: cumulative, no number of nodes, weights as column ``h``."""

    def __init__(self):
        self._graphs = []
        super().__init__("bitcoin")

    def process(self):
        src, dst, rating = torch.tensor([0, 2, 1, 5]), torch.tensor([1, 0, 2, 5]), torch.tensor([[1], [-2], [3], [10]])
        step = torch.tensor([0, 0, 1, 3])
        for time in range(4):
            graph = dgl.graph((src[step <= time], dst[step <= time]))
            graph.edata["h"] = rating[step <= time]
            self._graphs.append(graph)

    def __len__(self):
        return len(self._graphs)

    def __getitem__(self, at):
        return self._graphs[at]


def test_dgls_cumulative_data_set():
    data = Bitcoin()
    with pytest.raises(ConfigError, match=r"cumulative=False for .*, True for"):
        adapters.to_events(data)
    stream = adapters.to_events(data, cumulative=True, name="otc")
    assert (stream.num_nodes, stream.num_snapshots, stream.name) == (6, 4, "otc")
    assert stream.time.tolist() == [0, 0, 1, 3]
    assert stream.edge_weight.tolist() == [1, -2, 3, 10]
    assert len(Adapter().to_events([data[3]], cumulative=False)) == 4
    twice = Adapter().to_events([data[0], data[1]], cumulative=False)
    assert twice.snapshot.tolist() == [0, 0, 1, 1, 1]
    with pytest.raises(DataError, match="graph 1 without the edges of graph 0 at its front"):
        Adapter().to_events([data[1], data[0]], cumulative=True)
    grown, _ = Adapter().from_events(stream, form="cumulative", names={"edge_weight": "h"})
    assert [graph.num_nodes() for graph in grown] == [6] * 4
    for mine, theirs in zip(grown, data, strict=True):
        assert torch.equal(mine.edges()[0], theirs.edges()[0])
        assert torch.equal(mine.edata["h"].long(), theirs.edata["h"][:, 0])


def test_events_of_knowledge_graphs_have_types():
    graphs = []
    for pairs in ([[0, 1], [1, 2]], [[], []], [[2], [0]]):
        graph = dgl.graph((torch.tensor(pairs[0], dtype=torch.int32), torch.tensor(pairs[1], dtype=torch.int32)))
        graph.edata["rel_type"] = torch.arange(graph.num_edges()).reshape(-1, 1)
        graphs.append(graph)
    stream = Adapter().to_events(graphs, cumulative=False)
    assert stream.edge_type.tolist() == [0, 1, 0]
    assert stream.snapshot.tolist() == [0, 0, 2]
    assert stream.num_nodes == 3


def test_graphs_of_other_code():
    graph = dgl.graph(([0, 1], [1, 0]))
    with pytest.raises(DataError, match="found no timestamp"):
        Adapter().to_events(graph)
    graph.edata["when"] = torch.tensor([5, 3])
    with pytest.raises(DataError, match=r"found the data 'when'.*ignore=\['when'\]"):
        Adapter().to_events(graph)
    stream = Adapter().to_events(graph, names={"time": "when"}, directed=False)
    assert (stream.src.tolist(), stream.edge_id.tolist(), stream.directed) == ([1, 0], [1, 0], False)
    graph.edata["feats"] = torch.full((2, 1), 0.1, dtype=torch.float64)
    with pytest.raises(DataError, match="round_features=True"):
        Adapter().to_events(graph, names={"time": "when"})
    assert Adapter().to_events(graph, names={"time": "when"}, round_features=True).edge_feat.dtype == np.float32
    with pytest.raises(ConfigError, match="found snapshots with timestamps"):
        Adapter().to_events([graph, graph], cumulative=False, names={"time": "when"}, ignore=["feats"])
    both = {"snapshot_begin": [0, 10], "snapshot_end": [10, 20], "names": {"time": "when"}, "ignore": ["feats"]}
    later = graph.clone()
    later.edata["when"] = torch.tensor([12, 13])
    assert Adapter().to_events([graph, later], cumulative=False, **both).snapshot.tolist() == [0, 0, 1, 1]
    later.ndata["feat"] = torch.ones(2, 1)
    with pytest.raises(DataError, match="found other data of nodes in graph 1"):
        Adapter().to_events([graph, later], cumulative=False, **both)
    graph.ndata["feat"] = torch.zeros(2, 1)
    with pytest.raises(DataError, match=r"ndata\['feat'\] of graph 1 to differ"):
        Adapter().to_events([graph, later], cumulative=False, **both)
    hetero = dgl.heterograph({("a", "to", "b"): ([0], [0])})
    with pytest.raises(DataError, match=r"dgl.to_homogeneous"):
        Adapter().to_events(hetero)
    with pytest.raises(ConfigError, match="found 'all', expected one of events, snapshots, cumulative"):
        Adapter().from_events(example(), form="all")


@pytest.mark.parametrize("kinds", [["csr"], ["csc"], ["csr", "csc"]], ids="+".join)
def test_graphs_that_are_not_allowed_the_coo_format(kinds):
    stream = example(*OPTIONAL_FIELDS)
    (graph,), labels = Adapter().from_events(stream)
    assert Adapter().to_events(([graph.formats(kinds)], labels)).equals(stream)


def test_our_own_graphs_of_snapshots(prepared_example):
    from dgl_dysign.data import TemporalGraph

    data = TemporalGraph.load(prepared_example)
    graphs = [data.graph(t, cumulative=False, symmetric=False) for t in range(data.num_snapshots)]
    stream = adapters.to_events(graphs, cumulative=False)
    assert stream.edge_weight.sum() == data.num_edges
    assert stream.num_snapshots == data.num_snapshots


def test_wikipedia_through_a_file_and_back(real_data, tmp_path):
    raw = real_data / "wikipedia"
    if not raw.is_dir():
        pytest.skip(f"no wikipedia/ in {real_data}")
    app(["wikipedia", str(raw), str(tmp_path / "a"), "--every", "1h", "--quiet"], standalone_mode=False)
    Adapter().from_events(EventStream.of(tmp_path / "a"), form="snapshots", path=tmp_path / "wikipedia.bin")
    adapters.to_events(tmp_path / "wikipedia.bin").prepare(tmp_path / "b", names_of=tmp_path / "a")
    names = sorted(path.name for path in (tmp_path / "a").glob("*.parquet"))
    assert names == [f"{name}.parquet" for name in ("edge_features", "edges", "labels", "nodes", "snapshots")]
    assert filecmp.cmpfiles(tmp_path / "a", tmp_path / "b", names, shallow=False) == (names, [], [])
