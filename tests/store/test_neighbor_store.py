"""The store's answers by hand, its refusals, and that its state can be saved, moved and copied."""

import copy
import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from dgl_dysign.data.snapshot_edges import distinct_edges
from dgl_dysign.errors import ConfigError, DataError, GraphError
from dgl_dysign.store import NeighborStore, cohesion
from dgl_dysign.store.neighbors import _dgl_device
from tests.store.stores import entries

BACKENDS = ["compiled", "torch"]
both_backends = pytest.mark.parametrize("backend", BACKENDS)


def path_store(**options):
    """Return a store after 0 - 1 - 2 at snapshot 0 and 2 - 3 at snapshot 2."""
    store = NeighborStore(5, **options)
    store.insert(0, [0, 1], [1, 2], edge_id=[10, 11])
    store.insert(2, [2], [3], edge_id=[12])
    return store


@both_backends
def test_by_hand(backend):
    """Entries (neighbour, edge id, snapshot, hop, type): through 2, which held 1 before, node 3 meets 1 but not 0."""
    store = path_store(backend=backend)
    assert entries(store, 0) == [(1, 10, 0, 1, 0), (2, 11, 0, 2, 0)]
    assert entries(store, 2) == [(3, 12, 2, 1, 0), (1, 11, 0, 1, 0), (0, 10, 0, 2, 0)]
    assert entries(store, 3) == [(2, 12, 2, 1, 0), (1, 11, 0, 2, 0)]
    assert entries(path_store(backend=backend, num_hops=3), 3)[-1] == (0, 10, 0, 3, 0)
    assert entries(store, 4) == []
    found = store.neighbors([3, 4], now=5)
    middle, end = 2 * math.exp(-2), math.e  # importances of 1 at snapshot 0 and of 2 at snapshot 2
    assert found.influence[0, :3].tolist() == pytest.approx([end * 0.05**3, middle * 0.1 * 0.05**5, 0], rel=1e-6)
    assert found.age[0, :3].tolist() == [3, 5, 0]
    assert [set(column[1].tolist()) for column in found] == [{-1}, {-1}, {-1}, {0}, {0}, {0}, {-1}]
    assert found.mask.sum().item() == 2


@both_backends
def test_direction(backend):
    for direction, expected in (("out", [[1], [2], []]), ("in", [[], [0], [1]]), ("both", [[1], [0, 2], [1]])):
        store = NeighborStore(3, num_hops=1, direction=direction, backend=backend)
        store.insert(0, [0, 1], [1, 2])
        assert [sorted(row[0] for row in entries(store, node)) for node in range(3)] == expected


@both_backends
def test_weights_multiply_importance_and_score(backend):
    store = NeighborStore(3, backend=backend)
    src, dst, weight = torch.tensor([0, 1]), torch.tensor([1, 2]), torch.tensor([4.0, 0.5])
    store.insert(0, src, dst, weight=weight)
    strength = cohesion(src, dst, 3, weight)
    assert strength[1].item() == pytest.approx((4 + 0.5) * math.exp(-2))
    found = store.neighbors([1, 0], now=0)
    assert found.node[:, :2].tolist() == [[0, 2], [1, 2]]
    expected = [4 * strength[0], 0.5 * strength[2], 4 * strength[1], 0.5 * strength[2] * 0.1]
    assert found.influence[:, :2].flatten().tolist() == pytest.approx([float(x) for x in expected], rel=1e-5)


@both_backends
def test_of_repeated_edges_the_last_event_counts(backend):
    store = NeighborStore(2, importance="uniform", backend=backend)
    store.insert(0, [0, 0, 0], [1, 1, 1], edge_id=[5, 9, 7], weight=[1.0, 2.0, 3.0])
    assert entries(store, 0) == [(1, 9, 0, 1, 0)]
    assert store.neighbors([0], 0).influence[0, 0] == 2


@both_backends
def test_types_of_edges_and_nodes(backend):
    options = {"num_edge_types": 2, "num_neighbors": 1, "importance": "degree", "backend": backend}
    one, each = NeighborStore(4, **options, node_type=[0, 1, 2, 3]), NeighborStore(4, **options, slots_per_type=True)
    for store in (one, each):
        store.insert(0, [0, 0, 1], [1, 2, 3], edge_type=[0, 1, 1])
    assert entries(one, 0) == [(1, 0, 0, 1, 0)]
    assert entries(each, 0) == [(1, 0, 0, 1, 0), (2, 1, 0, 1, 1)]
    assert one.node_types(one.neighbors([0, 3], 0).node).tolist() == [[1], [1]]
    assert one.node_types(torch.tensor([-1])).tolist() == [-1]
    assert each.slots.shape == (4, 2, 4)
    with pytest.raises(ConfigError, match="no node types"):
        each.node_types(torch.tensor([0]))


@both_backends
def test_a_callable_importance_sees_the_distinct_edges_in_ascending_order(backend):
    seen = []

    def strength(src, dst, num_nodes):
        seen.append((src.tolist(), dst.tolist(), num_nodes))
        return torch.tensor([0.0, 3.0, 1.0, 2.0])

    store = NeighborStore(4, importance=strength, backend=backend)
    store.insert(0, [2, 0, 0, 0], [3, 2, 1, 2])
    assert seen == [([0, 0, 2], [1, 2, 3], 4)]
    assert [row[0] for row in entries(store, 0)] == [1, 2, 3]
    assert [row[0] for row in entries(store, 2)] == [3, 1, 0]
    found = store.neighbors([2], 0)
    assert found.influence[0, :3].tolist() == pytest.approx([2, 0.3, 0])
    assert found.mask[0].sum() == 3  # no influence, but an entry


@both_backends
def test_no_underflow_in_a_long_history_or_beside_a_hub(backend):
    """Scores of 0.05^744 and 2000 * exp(-2000) keep their order, and their share in float32."""
    store = NeighborStore(2100, num_neighbors=3, num_hops=1, backend=backend)
    store.insert(0, [0, 0], [1, 1], edge_id=[0, 1])
    for snapshot, spokes in ((3, 1500), (4, 2000)):
        store.insert(
            snapshot, [2] * spokes, range(3, 3 + spokes), edge_id=range(snapshot * 5000, snapshot * 5000 + spokes)
        )
    assert [row[2] for row in entries(store, 3)] == [3, 4]  # the smaller hub, though older
    found = store.neighbors([0, 3], now=744)
    assert (found.influence[found.mask] > 0).all()
    assert (found.influence[~found.mask] == 0).all()


@both_backends
def test_distinct_edges_of_a_data_set(backend):
    edges = distinct_edges(3, [0, 1, 0], [1, 2, 1], weight=[-1.0, 2.0, 4.0], num_nodes=3)
    store = NeighborStore(3, backend=backend)
    store.insert(edges)
    assert store.snapshot == 3
    assert entries(store, 0) == [(1, 2, 3, 1, 0), (2, 1, 3, 2, 0)]
    other = NeighborStore(3, backend=backend)
    other.insert(edges, weight=edges.count)
    assert other.neighbors([0], 3).influence[0, 0] > store.neighbors([0], 3).influence[0, 0]
    loose = distinct_edges(4, [0], [1], num_nodes=3, directed=False)
    with pytest.raises(GraphError, match="undirected edges, but direction='in'"):
        NeighborStore(3, direction="in").insert(loose)


GOOD = {"snapshot": 3, "src": [0, 1], "dst": [1, 2]}
BAD_EDGES = {
    "id above": ({"src": [0, 5]}, "found src 5 in row 1, expected a node from 0 to 4"),
    "id below": ({"dst": [-1, 0]}, "found dst -1 in row 0, expected a node from 0 to 4"),
    "lengths": ({"dst": [1]}, "found columns of shapes .*expected one value for each edge"),
    "id lengths": ({"edge_id": [1]}, "found columns of shapes"),
    "edge id": ({"edge_id": [4, -2]}, "found edge_id -2 in row 1, expected 0 or more"),
    "zero weight": ({"weight": [1.0, 0.0]}, "found weight 0.0 in row 1, expected a finite number above 0"),
    "nan weight": ({"weight": [float("nan"), 1.0]}, "found weight nan in row 0"),
    "infinite weight": ({"weight": [1.0, float("inf")]}, "found weight inf in row 1"),
    "fractions": ({"src": [0.5, 1.0]}, "expected whole numbers"),
    "mask": ({"src": [True, False]}, r"found src as a mask, .*src\.nonzero"),
    "matrix": ({"src": [[0, 1]], "dst": [[1, 2]]}, "expected a vector"),
}


@both_backends
@pytest.mark.parametrize("case", BAD_EDGES)
@pytest.mark.parametrize("ids", [None, [7, 8]])
def test_bad_edges_are_refused_and_change_nothing(backend, case, ids):
    store = path_store(backend=backend)
    before = store.slots.clone()
    change, message = BAD_EDGES[case]
    with pytest.raises(DataError, match=message):
        store.insert(**GOOD | {"edge_id": ids} | change)
    assert torch.equal(store.slots, before)
    assert store.snapshot == 2
    store.insert(**GOOD)


@both_backends
@pytest.mark.parametrize("value", [float("nan"), -1.0, float("inf")])
def test_a_bad_importance_is_refused_and_changes_nothing(backend, value):
    store = NeighborStore(3, importance=lambda src, dst, n: torch.tensor([1.0, value, value]), backend=backend)
    before = store.slots.clone()
    with pytest.raises(DataError, match=f"importance gave {value} for node 1, expected a finite number of 0 or more"):
        store.insert(0, [0], [1])
    assert torch.equal(store.slots, before)
    for wrong in (torch.ones(2), 1.0):
        store = NeighborStore(3, importance=lambda src, dst, n, wrong=wrong: wrong, backend=backend)
        with pytest.raises(DataError, match=r"expected a tensor of shape \(3,\)"):
            store.insert(0, [0], [1])


@both_backends
def test_time_goes_forward(backend):
    store = path_store(backend=backend)
    for snapshot in (2, 1, 0):
        with pytest.raises(ConfigError, match=f"found snapshot {snapshot}, but the store already holds snapshot 2"):
            store.insert(snapshot, [0], [1])
    with pytest.raises(ConfigError, match=r"found now=1, but the store already holds snapshot 2"):
        store.neighbors([0], now=1)
    with pytest.raises(ConfigError, match="found snapshot -1, expected 0 or more"):
        NeighborStore(3).insert(-1, [0], [1])
    with pytest.raises(ConfigError, match=r"snapshot=1\.5: expected a whole number"):
        store.insert(1.5, [0], [1])
    with pytest.raises(ConfigError, match=r"expected at most \d+: number the snapshots from 0"):
        store.insert(2**30 - 1, [0], [1])
    with pytest.raises(DataError, match="found nodes 5 in row 1, expected a node from 0 to 4"):
        store.neighbors([0, 5], now=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_neighbors": 0}, "num_neighbors=0: expected 1 or more"),
        ({"num_hops": 0}, "num_hops=0: expected 1, 2 or 3"),
        ({"num_hops": 4}, "num_hops=4: expected 1, 2 or 3"),
        ({"num_nodes": -1}, "num_nodes=-1: expected 0 to 2147483647"),
        ({"num_nodes": 2**31}, "num_nodes=2147483648: expected 0 to 2147483647"),
        ({"direction": "up"}, "direction must be one of 'both', 'in', 'out', but got 'up'"),
        ({"backend": "gpu"}, "backend must be one of .* but got 'gpu'"),
        ({"directed": False, "direction": "in"}, "direction='in' needs directed=True"),
        ({"slots_per_type": True}, "slots_per_type=True needs num_edge_types"),
        ({"num_edge_types": 0}, "num_edge_types=0: expected 1 or more"),
    ],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        NeighborStore(**{"num_nodes": 3} | options)


def test_types_are_given_by_both_or_neither():
    with pytest.raises(ConfigError, match="found edge_type, but num_edge_types=None"):
        NeighborStore(3).insert(0, [0], [1], edge_type=[0])
    with pytest.raises(ConfigError, match="found no edge_type, but num_edge_types=2"):
        NeighborStore(3, num_edge_types=2).insert(0, [0], [1])
    with pytest.raises(DataError, match="found edge_type 2 in row 0, expected a type from 0 to 1"):
        NeighborStore(3, num_edge_types=2).insert(0, [0], [1], edge_type=[2])
    with pytest.raises(DataError, match="found node_type of shape"):
        NeighborStore(3, node_type=[1, 2])


@both_backends
def test_saved_and_loaded_it_goes_on_as_before(backend, tmp_path):
    store = path_store(backend=backend)
    torch.save(store.state_dict(), tmp_path / "store.pt")
    again = NeighborStore(5, backend=backend)
    again.load_state_dict(torch.load(tmp_path / "store.pt", weights_only=True))
    twin = copy.deepcopy(store)
    for each in (store, again, twin):
        assert each.snapshot == 2
        each.insert(4, [3, 3], [4, 0])
    assert torch.equal(store.slots, again.slots)
    assert torch.equal(store.slots, twin.slots)
    assert list(store.parameters()) == []
    with pytest.raises(ConfigError, match=r"the saved store has snapshot_decay=0.05, this one 0.5"):
        NeighborStore(5, snapshot_decay=0.5).load_state_dict(store.state_dict())


@both_backends
def test_a_store_grows_and_does_not_shrink(backend):
    store, large = path_store(backend=backend), NeighborStore(8, backend=backend)
    large.insert(0, [0, 1], [1, 2], edge_id=[10, 11])
    large.insert(2, [2], [3], edge_id=[12])
    with pytest.raises(
        DataError, match=r"found src 7 in row 0, expected a node from 0 to 4: .*or call grow\(num_nodes"
    ):
        store.insert(3, [7], [3])
    store.grow(8)
    for each in (store, large):
        each.insert(3, [7], [3])
    assert torch.equal(store.slots, large.slots)
    assert entries(store, 7) == [(3, 13, 3, 1, 0), (2, 12, 2, 2, 0)]
    assert entries(store, 6) == []
    with pytest.raises(ConfigError, match=r"found num_nodes=7, but the store has 8 nodes and does not shrink"):
        store.grow(7)
    with pytest.raises(ConfigError, match=r"num_nodes=2147483648: expected 0 to 2147483647"):
        store.grow(2**31)
    with pytest.raises(ConfigError, match="found node_type, but the store was made without types of nodes"):
        store.grow(9, node_type=[1])
    assert (store.num_nodes, len(store.slots), store.snapshot) == (8, 8, 3)


@both_backends
def test_what_is_made_and_grown_in_inference_mode_goes_on_outside_it(backend):
    with torch.inference_mode():
        store = path_store(backend=backend)
        store.grow(6)
    assert not store.slots.is_inference()
    store.insert(3, [5], [0])
    assert entries(store, 5)[0] == (0, 13, 3, 1, 0)


def test_types_of_new_nodes_are_given():
    store = NeighborStore(2, node_type=[0, 1])
    with pytest.raises(ConfigError, match="found no node_type, but the store was made with types of nodes"):
        store.grow(4)
    with pytest.raises(DataError, match=r"found node_type of shape \(1,\) .* each of the 2 nodes"):
        store.grow(4, node_type=[1])
    assert store.num_nodes == len(store.slots) == 2
    store.grow(4, node_type=[1, 0])
    assert store.node_types(torch.tensor([0, 1, 2, 3, -1])).tolist() == [0, 1, 1, 0, -1]


def test_sizes_that_differ_are_named_before_anything_is_loaded():
    small, large = path_store(), NeighborStore(7)
    large.insert(0, [6], [5])
    old = small.state_dict()
    del old["_extra_state"]["settings"]["num_nodes"], old["_extra_state"]["settings"]["num_neighbors"]
    for state in (small.state_dict(), old):
        with pytest.raises(ConfigError, match=r"num_nodes=5, this one 7: load it into .* 5 nodes, then call grow\(7\)"):
            large.load_state_dict(state)
        assert entries(large, 6) == [(5, 0, 0, 1, 0)]
        with pytest.raises(ConfigError, match=r"num_neighbors=16, this one 3: make it alike"):
            NeighborStore(5, num_neighbors=3).load_state_dict(state)
    with pytest.raises(ConfigError, match=r"has num_nodes=7, this one 5: call grow\(7\) first"):
        small.load_state_dict(large.state_dict())
    small.grow(7)
    small.load_state_dict(large.state_dict())
    assert torch.equal(small.slots, large.slots)
    again = NeighborStore(5)
    again.load_state_dict(old)
    again.grow(7)
    assert entries(again, 3) == entries(path_store(), 3)


NOTHING = {
    "lists": list,
    "tensors": lambda: torch.tensor([]),
    "arrays": lambda: np.array([]),
    "ranges": lambda: range(0),
}


@both_backends
@pytest.mark.parametrize("kind", NOTHING)
@pytest.mark.parametrize(
    "importance", ["cohesion", "core", lambda src, dst, n: src.max() * torch.ones(n)], ids=["cohesion", "core", "own"]
)
def test_nothing_is_an_empty_snapshot(backend, kind, importance):
    empty = NOTHING[kind]
    for names in ((), ("edge_id",), ("weight",), ("edge_id", "weight")):
        store = path_store(backend=backend, importance=importance)
        before = store.slots.clone()
        store.insert(5, empty(), empty(), **{name: empty() for name in names})
        assert (store.snapshot, store.get_extra_state()["next_edge_id"]) == (5, 13)
        assert torch.equal(store.slots, before)
    typed = NeighborStore(3, num_edge_types=2, slots_per_type=True, directed=False, backend=backend)
    typed.insert(0, empty(), empty(), edge_type=empty())
    assert typed.snapshot == 0
    assert typed.neighbors(empty(), 0).node.shape == (0, 32)
    with pytest.raises(DataError, match="found columns of shapes"):
        typed.insert(1, empty(), empty(), edge_type=[1])


def test_on_the_meta_device_there_are_shapes_alone():
    store = NeighborStore(5, 3, device="meta", node_type=[0, 1, 2, 1, 0])
    with torch.device("meta"):
        inside = NeighborStore(4, 3, node_type=[0, 1, 2, 1])
    inside.grow(5, [0])
    for each in (store, inside):
        assert {n: (v.device.type, tuple(v.shape)) for n, v in each.state_dict().items() if n != "_extra_state"} == {
            "slots": ("meta", (5, 3, 3)),
            "node_type": ("meta", (5,)),
        }
        for call in (
            lambda e=each: e.insert(0, [], []),
            lambda e=each: e.neighbors([0], 0),
            lambda e=each: e.block([0], 0),
        ):
            with pytest.raises(
                ConfigError, match=r"store is on the meta device, .*to_empty\(device='cpu'\), then reset"
            ):
                call()
    full = NeighborStore(5, 3, node_type=[0, 1, 2, 1, 0])
    full.insert(0, [0], [1])
    store.load_state_dict(full.state_dict(), assign=True)
    assert entries(store, 0) == [(1, 0, 0, 1, 0)]
    empty = NeighborStore(5, device="meta").to_empty(device="cpu")
    empty.reset()
    assert torch.equal(empty.slots, NeighborStore(5).slots)


@both_backends
def test_reset_begins_anew(backend):
    store, fresh = path_store(backend=backend), NeighborStore(5, backend=backend)
    store.reset()
    assert store.snapshot == -1
    for each in (store, fresh):
        each.insert(0, [4], [0])
    assert torch.equal(store.slots, fresh.slots)


@both_backends
def test_reading_changes_nothing(backend):
    store = path_store(backend=backend)
    before = store.slots.clone()
    first = store.neighbors([0, 2, 2], now=9)
    again = store.neighbors([0, 2, 2], now=9)
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))
    first.node.fill_(3)
    first.edge_id.fill_(3)
    assert torch.equal(store.slots, before)


def test_strided_and_small_columns_are_taken():
    table = torch.tensor([[0, 1], [1, 2]])
    store, other = NeighborStore(3), NeighborStore(3)
    store.insert(0, table[:, 0], table[:, 1])
    other.insert(0, table[:, 0].to(torch.int32), table[:, 1].numpy())
    assert torch.equal(store.slots, other.slots)


def test_memory_is_that_of_the_entries():
    assert NeighborStore(1000, num_neighbors=16).num_bytes == 1000 * 16 * 24


def test_numba_is_imported_when_the_compiled_path_runs():
    code = """
import sys
from dgl_dysign.store import NeighborStore
store = NeighborStore(3, backend="torch")
store.insert(0, [0], [1])
store.neighbors([0], 0)
print("numba" in sys.modules, "dgl" in sys.modules)
NeighborStore(3).insert(0, [0], [1])
print("numba" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "True"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="DGL may have CUDA")
def test_a_dgl_without_cuda_keeps_blocks_on_the_cpu():
    # It would make a graph of tensors on a GPU, and fail when the graph is used.
    assert _dgl_device(torch.device("cuda", 0)) == torch.device("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_moves_to_a_gpu_and_back():
    store = path_store()
    moved = path_store().to("cuda")
    assert moved.active_backend == "torch"
    with pytest.raises(ConfigError, match="backend='compiled' needs the store on the CPU"):
        path_store(backend="compiled").to("cuda").insert(3, [0], [1])
    for each in (store, moved):
        each.insert(3, [0, 3], [4, 1])
    assert torch.equal(store.slots, moved.slots.cpu())
    for left, right in zip(store.neighbors([0, 3], 4), moved.neighbors([0, 3], 4), strict=True):
        torch.testing.assert_close(left, right.cpu(), rtol=1e-6, atol=0)


def test_a_star_of_equal_leaves_costs_its_edges_and_not_their_square():
    """Each leaf ties with all others: 100,000 leaves take a second, and would take a day if all were compared."""
    leaves = 100_000
    store = NeighborStore(leaves + 1)
    for snapshot in range(2):
        store.insert(snapshot, [0] * leaves, range(1, leaves + 1))
    found = store.neighbors([leaves], now=1)
    assert found.node[0].tolist() == [*range(1, 17)]
    assert found.hop[0].tolist() == [2] * 16
