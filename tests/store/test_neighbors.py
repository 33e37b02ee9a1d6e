"""Blocks: the store's lists as a graph, for any DGL convolution that takes edge weights."""

import pytest
import torch

from dgl_dysign._dgl import dgl
from dgl_dysign.store import NeighborStore, neighbors


@pytest.fixture
def store():
    store = NeighborStore(7, num_neighbors=3)
    store.insert(0, [0, 1, 4], [1, 2, 5], edge_id=[3, 4, 5])
    store.insert(1, [2, 2], [3, 5], edge_id=[6, 7])
    return store


def test_block_has_the_entries_of_the_lists(store):
    nodes = torch.tensor([2, 6, 0, 2])
    block, found = store.block(nodes, now=3), store.neighbors(nodes, now=3)
    assert block.is_block
    assert torch.equal(block.dstdata[dgl.NID], nodes)
    assert torch.equal(block.srcdata[dgl.NID][: len(nodes)], nodes)
    src, dst = block.edges()
    assert torch.equal(block.srcdata[dgl.NID][src], found.node[found.mask])
    assert torch.equal(dst, found.mask.nonzero()[:, 0])
    for name in ("influence", "age", "edge_id", "hop", "type"):
        assert torch.equal(block.edata[name], getattr(found, name)[found.mask])
    assert block.in_degrees().tolist() == [3, 0, 2, 3]


def test_every_neighbor_is_one_source(store):
    block = store.block([1, 3, 5], now=1)
    ids = block.srcdata[dgl.NID]
    assert len(ids.unique()) == len(ids)
    assert ids.tolist() == [1, 3, 5, *sorted(ids[3:].tolist())]


def test_any_convolution_runs_on_it(store):
    nodes = torch.tensor([2, 6])
    block, found = store.block(nodes, now=1), store.neighbors(nodes, now=1)
    feat = torch.eye(7)
    conv = dgl.nn.GraphConv(7, 7, norm="none", weight=False, bias=False, allow_zero_in_degree=True)
    out = conv(block, feat[block.srcdata[dgl.NID]], edge_weight=block.edata["influence"])
    expected = torch.zeros(2, 7).index_put_(
        (found.mask.nonzero()[:, 0], found.node[found.mask]), found.influence[found.mask], accumulate=True
    )
    torch.testing.assert_close(out, expected)
    assert (out[1] == 0).all()  # no neighbours, and no NaN


@pytest.mark.parametrize("nodes", [[], [6], [6, 6]])
def test_blocks_without_edges(store, nodes):
    block = store.block(nodes, now=1)
    assert (block.num_edges(), block.num_dst_nodes(), block.num_src_nodes()) == (0, len(nodes), len(nodes))
    assert block.edata["influence"].dtype == torch.float32


def test_a_table_and_a_search_give_the_same_block(monkeypatch):
    nodes, neighbor = torch.tensor([5, 2, 9, 5]), torch.tensor([9, 3, 2, 70, 5, 3])
    for size in (neighbors._TABLE, 0):
        monkeypatch.setattr(neighbors, "_TABLE", size)
        place, new = neighbors._place(neighbor, nodes)
        assert place.tolist() == [2, 4, 1, 5, 0, 4]
        assert new.tolist() == [3, 70]
