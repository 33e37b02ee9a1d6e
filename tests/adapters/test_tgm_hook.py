"""The hook alone, and inside TGM's manager and loader."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dgl_dysign.adapters.tgm import Adapter
from dgl_dysign.adapters.tgm_hook import InfluenceTopKHook
from dgl_dysign.errors import ConfigError
from dgl_dysign.store import NeighborStore
from tests.adapters.streams import example, streams


def batch_of(rows, **more):
    src, dst, time = (torch.tensor([row[part] for row in rows], dtype=torch.int64) for part in range(3))
    return SimpleNamespace(edge_src=src.int(), edge_dst=dst.int(), edge_time=time, **more)


def served(hook, batches):
    return [hook(SimpleNamespace(edge_x_dim=None), batch) for batch in batches]


def test_what_a_batch_gets_comes_from_earlier_batches_alone():
    hook = InfluenceTopKHook(NeighborStore(4, 2, direction="both"))
    x = [torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0]]), torch.tensor([[4.0]])]
    rows = [[(0, 1, 0), (1, 2, 5)], [(0, 2, 6)], [(3, 1, 8)]]
    first, second, third = served(hook, [batch_of(r, edge_x=f) for r, f in zip(rows, x, strict=True)])
    assert first.seed_nids[0].tolist() == [0, 1, 1, 2]
    assert first.seed_times[0].tolist() == [0, 5, 0, 5]
    assert first.nbr_nids[0].tolist() == [[-1, -1]] * 4
    assert {name: rows.tolist() for name, rows in first.seed_node_nbr_mask.items()} == {
        "edge_src": [0, 1],
        "edge_dst": [2, 3],
    }
    # Node 0 met 1 at time 0, and through it 2 over the edge of time 5; node 2 met 1 at 5, and through it 0.
    assert second.nbr_nids[0].tolist() == [[1, 2], [1, 0]]
    expected = hook.store.__class__(4, 2)
    expected.insert(0, [0, 1], [1, 2])
    found = expected.neighbors([0, 2], now=1)
    assert second.nbr_influence[0].tolist() == found.influence.tolist()
    times, features = torch.tensor([0, 5]), x[0][:, 0]
    assert second.nbr_edge_time[0].tolist() == times[found.edge_id].tolist()
    assert second.nbr_edge_x[0][..., 0].tolist() == features[found.edge_id].tolist()
    assert third.nbr_nids[0].tolist()[0] == [-1, -1]
    assert third.nbr_nids[0].dtype == torch.int32
    assert third.nbr_edge_time[0].dtype == torch.int64
    assert third.nbr_influence[0].dtype == third.nbr_edge_x[0].dtype == torch.float32


def test_a_time_that_falls_into_two_batches_is_not_the_past_of_itself():
    hook = InfluenceTopKHook(NeighborStore(4, 4))
    *_, second, third = served(hook, [batch_of([(0, 1, 3), (0, 2, 5)]), batch_of([(0, 3, 5)]), batch_of([(0, 3, 6)])])
    assert second.nbr_nids[0].tolist() == [[-1] * 4] * 2
    assert second.nbr_influence[0].tolist() == second.nbr_edge_time[0].tolist() == [[0] * 4] * 2
    assert set(third.nbr_nids[0][0].tolist()) == {1, 2, 3, -1}


@settings(max_examples=60, deadline=None)
@given(streams("edge_feat", least=1, bipartite=False), st.integers(1, 5), st.booleans())
def test_never_a_neighbour_at_or_after_the_seeds_time(stream, size, directed):
    hook = InfluenceTopKHook(NeighborStore(stream.num_nodes, 3, directed=directed))
    rows = np.c_[stream.src, stream.dst, stream.time.astype(int)].tolist()
    feat = None if stream.edge_feat is None else torch.from_numpy(stream.edge_feat.copy())
    for first in range(0, len(rows), size):
        part = slice(first, first + size)
        batch = batch_of(rows[part], edge_x=None if feat is None else feat[part].clone())
        hook(SimpleNamespace(edge_x_dim=None), batch)
        nodes, times, influence = batch.nbr_nids[0], batch.nbr_edge_time[0], batch.nbr_influence[0]
        mask = nodes >= 0
        assert (times < batch.seed_times[0][:, None])[mask].all()
        assert (influence > 0).equal(mask)
        # The edge is one of the past that the neighbour has a part in.
        for time, node in zip(times[mask].tolist(), nodes[mask].tolist(), strict=True):
            assert any(node in row[:2] and row[2] == time for row in rows[:first])


def test_reset_state_begins_anew():
    hook = InfluenceTopKHook(NeighborStore(4, 2))
    batches = [[(0, 1, 0)], [], [(1, 2, 2), (0, 2, 3)], [(0, 1, 9)]]
    one = [batch.nbr_nids[0] for batch in served(hook, [batch_of(rows) for rows in batches])]
    assert hook.store.snapshot == 3
    hook.reset_state()
    two = [batch.nbr_nids[0] for batch in served(hook, [batch_of(rows) for rows in batches])]
    assert all(map(torch.equal, one, two))
    assert one[3][0].tolist() != [-1, -1]


def test_an_empty_batch_is_a_snapshot_in_which_neighbours_age():
    rows = [(0, 1, 0)], [(0, 1, 9)]
    near = served(InfluenceTopKHook(NeighborStore(2, 1)), [batch_of(rows[0]), batch_of(rows[1])])
    far = served(InfluenceTopKHook(NeighborStore(2, 1)), [batch_of(rows[0]), batch_of([]), batch_of(rows[1])])
    assert far[1].nbr_nids[0].shape == (0, 1)
    assert torch.allclose(far[2].nbr_influence[0], near[1].nbr_influence[0] * 0.05)


def test_seeds_that_are_none_are_left_out_and_missing_ones_refused():
    keys = ["edge_src", "neg"], ["edge_time", "neg_time"]
    hook = InfluenceTopKHook(NeighborStore(4, 2), *keys)
    batch = hook(None, batch_of([(0, 1, 0)], neg=None, neg_time=None))
    assert batch.seed_nids[0].tolist() == [0]
    with pytest.raises(ConfigError, match="found a batch without neg, expected it; register the hook that produces it"):
        hook(None, batch_of([(0, 1, 1)]))


def test_stores_that_do_not_fit_are_refused():
    store = NeighborStore(4)
    store.insert(0, [0], [1])
    with pytest.raises(ConfigError, match="found a store that holds snapshot 0"):
        InfluenceTopKHook(store)
    with pytest.raises(ConfigError, match="types of edges"):
        InfluenceTopKHook(NeighborStore(4, num_edge_types=2))
    with pytest.raises(ConfigError, match="expected as many of each"):
        InfluenceTopKHook(NeighborStore(4), ["edge_src"], [])


def loader(hooks, stream, shared=(), **options):
    """Return TGM's manager and loader."""
    tgm = pytest.importorskip("tgm")
    from tgm.data import DGDataLoader
    from tgm.hooks import HookManager

    manager = HookManager(keys=["train", "val"])
    for hook in hooks:
        manager.register("train", hook)
    for hook in shared:
        manager.register_shared(hook)
    data = Adapter().from_events(stream, time_delta="s")
    return manager, DGDataLoader(tgm.DGraph(data), hook_manager=manager, **options)


def test_in_tgms_manager_after_the_hook_of_negatives():
    hooks = pytest.importorskip("tgm.hooks")
    stream = example("edge_feat")
    negatives = hooks.NegativeEdgeSamplerHook(low=0, high=7)
    keys = ["edge_src", "edge_dst", "neg"], ["edge_time", "edge_time", "neg_time"]
    ours = InfluenceTopKHook(NeighborStore(7, 3), *keys)
    assert isinstance(ours, hooks.DGHook)
    manager, batches = loader([ours, negatives], stream, batch_size=3)  # registered in the wrong order on purpose
    with manager.activate("train"):
        first, second, third = list(batches)
    assert (first.nbr_nids[0] == -1).all()
    assert second.nbr_nids[0].shape == (9, 3)
    assert second.seed_node_nbr_mask["neg"].tolist() == [6, 7, 8]
    assert second.seed_nids[0][6:].equal(second.neg)
    # Events 3, 4 and 5 are at 3, 5 and 9; the first batch ends at 3.
    assert (second.nbr_nids[0][0] == -1).all()
    assert second.nbr_nids[0][5].tolist() == [0, -1, -1]
    assert third.nbr_edge_x[0].shape == (6, 3, 3)
    assert str(second).startswith("DGBatch(")
    manager.reset_state()
    with manager.activate("train"):
        again = list(batches)
    assert again[1].nbr_nids[0][:6].equal(second.nbr_nids[0][:6])


def test_state_is_carried_from_one_key_to_the_next_and_snapshots_are_time_windows():
    hook = InfluenceTopKHook(NeighborStore(7, 4))
    manager, batches = loader([], example(), shared=[hook], batch_unit="s", batch_size=3, on_empty="skip")
    with manager.activate("train"):
        found = list(batches)
    assert [len(batch.edge_src) for batch in found] == [1, 4, 3]  # the empty third is left out, but was a snapshot
    assert hook.store.snapshot == 3
    store = NeighborStore(7, 4)
    for t, edges in enumerate([[(0, 4)], [(0, 4), (1, 1), (0, 4), (1, 5)], []]):
        src, dst = [e[0] for e in edges], [e[1] for e in edges]
        store.insert(t, torch.tensor(src, dtype=torch.int64), torch.tensor(dst, dtype=torch.int64))
    expected = store.neighbors([3, 3, 0, 4, 5, 4], now=3)
    assert found[2].nbr_nids[0].tolist() == expected.node.tolist()
    with manager.activate("val"):
        assert next(iter(batches)).nbr_nids[0].max() == -1  # times before the state's: nothing is their past
    assert hook.store.snapshot == 4


def test_it_gives_what_tgms_own_hook_gives():
    hooks = pytest.importorskip("tgm.hooks")
    stream = example("edge_feat")
    keys = {"seed_nodes_keys": ["edge_src", "edge_dst"], "seed_times_keys": ["edge_time", "edge_time"]}
    found = []
    for hook in (hooks.RecencyNeighborHook(num_nbrs=[4], num_nodes=7, **keys), InfluenceTopKHook(NeighborStore(7, 4))):
        manager, batches = loader([hook], stream, batch_size=4)
        with manager.activate("train"):
            found.append(list(batches)[1])
        assert hook.requires == {"edge_src", "edge_dst", "edge_time"}
    theirs, ours = found
    for name in ("seed_nids", "seed_times", "nbr_nids", "nbr_edge_time", "nbr_edge_x"):
        (one,), (other,) = getattr(theirs, name), getattr(ours, name)
        assert (one.shape, one.dtype) == (other.shape, other.dtype), name
    assert ours.seed_nids[0].equal(theirs.seed_nids[0])
    assert set(hooks.RecencyNeighborHook.produces) <= InfluenceTopKHook.produces | {"seed_node_nbr_mask"}


def test_tgms_deduplication_finds_the_neighbours():
    hooks = pytest.importorskip("tgm.hooks")
    manager, batches = loader(
        [hooks.DeduplicationHook(), InfluenceTopKHook(NeighborStore(7, 3))], example(), batch_size=4
    )
    with manager.activate("train"):
        _, second = list(batches)
    met = {*second.edge_src.tolist(), *second.edge_dst.tolist(), *second.nbr_nids[0].flatten().tolist()} - {-1}
    assert second.unique_nids.tolist() == sorted(met)
