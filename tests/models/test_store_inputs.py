"""What stands in for the graph of all events: nothing but the store's entries, and nothing later."""

import pytest
import torch

from dgl_dysign.data import TemporalGraph
from dgl_dysign.models import load_snapshots, preset_store
from dgl_dysign.models.inputs import fill_store, scaled_features, store_snapshots
from tests.generated import generated


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return TemporalGraph.load(generated(tmp_path_factory.mktemp("inputs"), nodes=60))


def store_of(data, **options):
    return preset_store(
        data.num_nodes, **{"importance": "uniform", "num_hops": 1, "num_neighbors": 64, "directed": False, **options}
    )


def test_with_room_for_all_and_little_decay_it_is_the_graph_of_all_pairs(data):
    (found,) = store_snapshots(data, store_of(data, snapshot_decay=0.999), [0], symmetric=False)
    graph = data.graph(0)  # the first snapshot alone: later ones bring repeated pairs
    other = torch.stack(graph.edges())[:, torch.stack(graph.edges()).diff(dim=0)[0] != 0]
    assert sorted(zip(*(e.tolist() for e in found.graph.edges()), strict=True)) == sorted(
        zip(*other.tolist(), strict=True)
    )


def test_features_without_hops_are_those_of_the_graph(data):
    (found,) = store_snapshots(data, store_of(data), [5], hops=(0,))
    (expected,) = load_snapshots(data, [5], hops=(0,))
    assert torch.allclose(found.feat, expected.feat, atol=1e-5)
    assert torch.equal(found.active, expected.active)
    assert torch.allclose(scaled_features(data, 5), expected.feat, atol=1e-5)


def test_hops_are_means_over_the_entries(data):
    store = store_of(data, num_neighbors=2)
    both, one, zero = (store_snapshots(data, store, [5], hops=hops)[0] for hops in ((1, 0), (1,), (0,)))
    assert torch.allclose(both.feat, torch.cat([one.feat, zero.feat], 1), atol=1e-5)
    assert both.graph.num_edges() <= 2 * 2 * data.num_nodes
    weight = both.edge_weight
    dense = torch.zeros(data.num_nodes, data.num_nodes)
    dense.index_put_(tuple(reversed(both.graph.edges())), weight, accumulate=True)
    norm = dense / dense.sum(1, keepdim=True).sqrt().clamp(min=1e-12) / dense.sum(0).sqrt().clamp(min=1e-12)
    mean = norm @ data.features(5)
    seen = mean[both.active]
    expected = (mean - seen.mean(0)) / seen.std(0, correction=0).clamp(min=1e-6) * both.active[:, None]
    assert torch.allclose(one.feat, expected, atol=1e-4)


def test_each_index_sees_the_snapshots_up_to_it(data):
    store = store_of(data)
    together = store_snapshots(data, store, [2, 5])
    for index, found in zip((2, 5), together, strict=True):
        (alone,) = store_snapshots(data, store_of(data), [index])
        assert torch.equal(found.feat, alone.feat)
        assert torch.equal(found.edge_weight, alone.edge_weight)
    assert store.snapshot == 5
    assert fill_store(store, data, 5) is store  # nothing is inserted twice
