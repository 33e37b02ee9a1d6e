"""InfluenceSampler in DGL's data loaders: the store's blocks, layer by layer, for models that know nothing of it."""

import pickle

import pytest
import torch
from torch import nn

import dgl_dysign.store
from dgl_dysign._dgl import dgl
from dgl_dysign.errors import ConfigError, DataError, GraphError
from dgl_dysign.nn import InfluenceConv
from dgl_dysign.store import InfluenceSampler, NeighborStore

COLUMNS = ("influence", "age", "edge_id", "hop", "type")
NUM_NODES, NUM_EVENTS = 30, 160


def events(seed=0):
    """Return sources, destinations and snapshots 0, 1, 2, 4 of random events; event e has edge id e."""
    generator = torch.Generator().manual_seed(seed)
    src, dst = torch.randint(NUM_NODES, (2, NUM_EVENTS), generator=generator)
    return src, dst, torch.tensor([0, 1, 2, 4])[torch.arange(NUM_EVENTS) * 4 // NUM_EVENTS]


@pytest.fixture(scope="module")
def graph():
    """Return the graph of all events, with data on nodes and edges."""
    src, dst, snapshot = events()
    graph = dgl.graph((src, dst), num_nodes=NUM_NODES)
    graph.ndata["feat"] = torch.rand(NUM_NODES, 5, generator=torch.Generator().manual_seed(1))
    graph.ndata["label"] = torch.arange(NUM_NODES) % 3
    graph.edata["when"] = snapshot
    return graph


@pytest.fixture
def store():
    return filled()


def filled(until=5):
    store, (src, dst, snapshot) = NeighborStore(NUM_NODES, num_neighbors=4), events()
    for t in (t for t in (0, 1, 2, 4) if t < until):
        rows = (snapshot == t).nonzero().flatten()
        store.insert(t, src[rows], dst[rows], edge_id=rows)
    return store


def load(graph, sampler, nodes=None, **options):
    nodes = graph.nodes() if nodes is None else nodes
    options = {"batch_size": 8, "num_workers": 0, **options}
    return list(dgl.dataloading.DataLoader(graph, nodes, sampler, **options))


def edges(block):
    """Return the block's edges as rows of (neighbour, node, data), in names of the whole graph."""
    src, dst = block.edges(order="eid")
    ends = block.srcdata[dgl.NID][src], block.dstdata[dgl.NID][dst]
    return [tuple(row) for row in zip(*(x.tolist() for x in (*ends, *(block.edata[c] for c in COLUMNS))), strict=True)]


@pytest.mark.parametrize(("workers", "now"), [(0, None), (0, 9), (2, 4)])
def test_one_layer_is_the_store_s_block(graph, store, workers, now):
    batches = load(graph, InfluenceSampler(store, now=now), num_workers=workers)
    assert torch.equal(torch.cat([output for _, output, _ in batches]).sort()[0], graph.nodes())
    for input_nodes, output_nodes, (block,) in batches:
        expected = store.block(output_nodes, 4 if now is None else now)
        assert block.is_block
        assert edges(block) == edges(expected)
        assert len(edges(block)) > 8
        assert torch.equal(input_nodes, expected.srcdata[dgl.NID])
        assert torch.equal(block.srcdata[dgl.NID], input_nodes)
        assert torch.equal(block.dstdata[dgl.NID], output_nodes)
        assert torch.equal(block.edata[dgl.EID], block.edata["edge_id"])
        assert [block.edata[name].dtype for name in COLUMNS] == [torch.float32] * 2 + [torch.int64] * 3


@pytest.mark.parametrize("workers", [0, 2])
def test_many_layers_follow_each_other(graph, store, workers):
    for input_nodes, output_nodes, blocks in load(graph, InfluenceSampler(store, 3), num_workers=workers):
        assert len(blocks) == 3
        nodes = output_nodes
        for block in reversed(blocks):
            expected = store.block(nodes, 4)
            assert edges(block) == edges(expected)
            assert torch.equal(block.dstdata[dgl.NID], nodes)
            nodes = block.srcdata[dgl.NID]
        assert torch.equal(nodes, input_nodes)


def test_now_can_be_set_and_the_store_s_time_is_the_default(graph):
    store = filled(until=2)
    sampler = InfluenceSampler(store)

    def ages():
        ((_, _, (block,)),) = load(graph, sampler, torch.tensor([3, 4]))
        return block.edata["age"].tolist()

    assert ages() == store.block([3, 4], 1).edata["age"].tolist()
    store.insert(7, [3], [4])
    assert ages() == store.block([3, 4], 7).edata["age"].tolist()
    sampler.now = 9
    assert ages() == store.block([3, 4], 9).edata["age"].tolist()
    assert min(ages()) == 2
    sampler.now = 3
    with pytest.raises(ConfigError, match="now=3, but the store already holds snapshot 7"):
        ages()


def test_an_empty_store_gives_blocks_without_edges(graph):
    for input_nodes, output_nodes, blocks in load(graph, InfluenceSampler(NeighborStore(NUM_NODES), 2)):
        assert torch.equal(input_nodes, output_nodes)
        assert [block.num_edges() for block in blocks] == [0, 0]


@pytest.mark.parametrize(("idtype", "workers"), [(torch.int32, 0), (torch.int64, 2)])
def test_data_is_prefetched_and_ids_are_the_graph_s(graph, store, idtype, workers):
    sampler = InfluenceSampler(
        store, 2, prefetch_node_feats=["feat"], prefetch_labels=["label"], prefetch_edge_feats=["when"]
    )
    graph = graph.astype(idtype)
    for input_nodes, output_nodes, blocks in load(graph, sampler, num_workers=workers):
        assert input_nodes.dtype == output_nodes.dtype == idtype
        assert torch.equal(blocks[0].srcdata["feat"], graph.ndata["feat"][input_nodes.long()])
        assert torch.equal(blocks[-1].dstdata["label"], graph.ndata["label"][output_nodes.long()])
        for block in blocks:
            assert block.idtype == block.srcdata[dgl.NID].dtype == block.dstdata[dgl.NID].dtype == idtype
            assert torch.equal(block.edata["when"], graph.edata["when"][block.edata["edge_id"]])
            assert torch.equal(block.edata["age"], 4 - block.edata["when"].float())


@pytest.mark.parametrize("workers", [0, 2])
def test_nothing_is_heard_over_excluded_edges(graph, store, workers):
    base = InfluenceSampler(store, 2)
    sampler = dgl.dataloading.as_edge_prediction_sampler(
        base, exclude="self", negative_sampler=dgl.dataloading.negative_sampler.Uniform(1)
    )
    seeds, missing = torch.arange(NUM_EVENTS - 60, NUM_EVENTS, 5), 0
    for _, positive, negative, blocks in load(graph, sampler, seeds, batch_size=4, num_workers=workers):
        left_out = positive.edata[dgl.EID]
        assert negative.num_edges() == len(left_out)
        nodes = positive.ndata[dgl.NID]
        for block in reversed(blocks):
            whole = store.block(nodes, 4)
            kept = [row for row in edges(whole) if row[4] not in left_out]
            assert edges(block) == kept
            missing += whole.num_edges() - len(kept)
            nodes = block.srcdata[dgl.NID]
            assert set(nodes.tolist()) == {row[0] for row in kept} | set(block.dstdata[dgl.NID].tolist())
    assert missing


class Network(nn.Module):
    """A model for DGL's blocks."""

    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, blocks, feat):
        for layer, block in zip(self.layers, blocks, strict=True):
            feat = layer(block, feat).flatten(1)
        return feat


MODELS = {
    "sage": lambda i, o: dgl.nn.SAGEConv(i, o, "mean"),
    "gat": lambda i, o: dgl.nn.GATConv(i, o, 1, allow_zero_in_degree=True),
    "graph": lambda i, o: dgl.nn.GraphConv(i, o, allow_zero_in_degree=True),
    "influence": lambda i, o: InfluenceConv(i, o, "gat"),
}


@pytest.mark.parametrize(("model", "workers"), [("sage", 2), ("gat", 0), ("graph", 0), ("influence", 2)])
def test_models_written_for_dgl_train_on_it(graph, store, model, workers):
    torch.manual_seed(0)
    model = Network([MODELS[model](5, 16), MODELS[model](16, 3)])
    sampler = InfluenceSampler(store, 2, prefetch_node_feats=["feat"], prefetch_labels=["label"])
    optimizer, losses = torch.optim.Adam(model.parameters(), 0.02), []
    batches = load(graph, sampler, shuffle=True, num_workers=workers)  # DGL shuffles from a seed of its own
    for _ in range(25):
        loss = 0.0
        for _, _, blocks in batches:
            found = nn.functional.cross_entropy(model(blocks, blocks[0].srcdata["feat"]), blocks[-1].dstdata["label"])
            optimizer.zero_grad()
            found.backward()
            optimizer.step()
            loss += found.item()
        losses.append(loss)
    assert losses[-1] < 0.95 * losses[0]


def test_the_future_does_not_change_a_batch(graph):
    """What was sampled before an insert is what a store without it would have given."""
    ahead = filled()
    behind = filled(until=3)
    again = filled(until=3)
    again.insert(4, *events()[:2])
    for one, other in ((behind, filled(until=3)), (ahead, filled())):
        for (_, _, (left,)), (_, _, (right,)) in zip(
            load(graph, InfluenceSampler(one)), load(graph, InfluenceSampler(other)), strict=True
        ):
            assert edges(left) == edges(right)


def test_pickles_and_is_found_lazily(graph, store):
    sampler = pickle.loads(pickle.dumps(InfluenceSampler(store, 2, now=6)))
    assert isinstance(sampler, dgl.dataloading.Sampler)
    for (_, _, one), (_, _, other) in zip(
        load(graph, sampler), load(graph, InfluenceSampler(store, 2, now=6)), strict=True
    ):
        assert [edges(block) for block in one] == [edges(block) for block in other]
    assert "InfluenceSampler" in dgl_dysign.store.__all__
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        dgl_dysign.store.Nothing  # noqa: B018


def test_errors(graph, store):
    with pytest.raises(ConfigError, match="store must be a NeighborStore, but is of type list: there are no fan-outs"):
        InfluenceSampler([5, 5])  # as NeighborSampler is made
    with pytest.raises(ConfigError, match="num_layers=0: expected 1 or more"):
        InfluenceSampler(store, 0)
    with pytest.raises(GraphError, match=r"31 nodes, but the store 30") as caught:
        load(dgl.graph(([], []), num_nodes=31), InfluenceSampler(store))
    assert isinstance(caught.value, dgl.DGLError)
    two = dgl.heterograph({("a", "to", "b"): ([0], [0])})
    with pytest.raises(GraphError, match=r"one type of nodes.*to_homogeneous"):
        load(two, InfluenceSampler(store), {"a": torch.tensor([0])})
    bare = dgl.graph(([0], [1]), num_nodes=NUM_NODES)
    bare.edata["when"] = torch.zeros(1)
    with pytest.raises(GraphError, match=r"found edge \d+ in the store, but the graph has 1 edges"):
        load(bare, InfluenceSampler(store, prefetch_edge_feats=["when"]))
    with pytest.raises(DataError, match="nodes"):
        InfluenceSampler(store).sample(graph, torch.tensor([30]))
