"""The parts of a store are, entry by entry, those of a whole one: with real processes, over gloo."""

import copy
from contextlib import suppress

import pytest
import torch
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.store import NeighborStore, ShardedStore
from tests.processes import together
from tests.store.stores import NUM_NODES, NUM_TYPES, filled, growing, make, settings, streams

SOME = limits(max_examples=30, deadline=None)


@pytest.fixture(scope="module")
def three():
    with together(3) as found:
        yield found


def sharded(stream, options):
    typed = any(snapshot["edge_type"] is not None for snapshot in stream)
    options = {"num_nodes": NUM_NODES, **options}
    return filled(ShardedStore(num_edge_types=NUM_TYPES if typed else None, **options), stream)


def entries(stream, options, asked):
    """Return what a process holds, the whole, and what it reads of some nodes."""
    store = sharded(stream, options)
    store.refresh(asked[store.place % len(asked)])
    found = store.neighbors(asked[store.place % len(asked)], store.snapshot + 2)
    whole = store.whole()
    return store.slots, whole.slots, tuple(found), (store.snapshot, whole.snapshot, whole.num_nodes)


def check(processes, stream, options, asked):
    whole = make(stream, backend="torch", **options)
    filled(whole, stream)
    for place, (slots, gathered, found, times) in enumerate(processes.run(entries, stream, options, asked)):
        assert torch.equal(slots, whole.slots[place::3])
        assert torch.equal(gathered, whole.slots)
        for left, right in zip(found, whole.neighbors(asked[place], whole.snapshot + 2), strict=True):
            assert torch.equal(left, right)
        assert times == (whole.snapshot, whole.snapshot, NUM_NODES)


NODES = st.lists(st.lists(st.integers(0, NUM_NODES - 1), max_size=12), min_size=3, max_size=3)


@SOME
@given(stream=streams(), options=settings, asked=NODES)
def test_equals_the_whole_store(three, stream, options, asked):
    check(three, stream, options, asked)


@SOME
@given(stream=streams(), options=settings, asked=NODES)
def test_without_direction(three, stream, options, asked):
    check(three, stream, options | {"directed": False, "direction": "both"}, asked)


@limits(max_examples=20, deadline=None)
@given(stream=streams(types=st.just(True)), options=settings, asked=NODES)
def test_slots_for_each_type(three, stream, options, asked):
    check(three, stream, options | {"slots_per_type": True}, asked)


@limits(max_examples=20, deadline=None)
@given(stream=streams(), options=settings)
def test_alone_it_is_a_whole_store(stream, options):
    store, whole = sharded(stream, options), make(stream, backend="torch", **options)
    assert torch.equal(store.slots, filled(whole, stream).slots)
    assert torch.equal(store.whole().slots, whole.slots)
    left, right = (s.neighbors(range(NUM_NODES), whole.snapshot + 1) for s in (store, whole))
    assert all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def grown(stream, sizes, options):
    store = sharded(stream[:0], options | {"num_nodes": sizes[0]})
    for size, snapshot in zip(sizes, stream, strict=False):
        store.grow(size)
        store.insert(**snapshot)
    store.grow(max(1, store.num_nodes))
    store.refresh([0])
    store.grow(NUM_NODES)
    store.neighbors([0], store.snapshot)  # what was asked for stays
    return store.slots, store.whole().slots, store.num_nodes


@limits(max_examples=20, deadline=None)
@given(stream=streams(types=st.just(False)), options=settings, data=st.data())
def test_parts_grow_without_a_word(three, stream, options, data):
    whole = filled(make(stream, backend="torch", **options), stream)
    results = three.run(grown, stream, growing(data.draw, stream), options)
    for place, (slots, gathered, number) in enumerate(results):
        assert number == NUM_NODES
        assert torch.equal(slots, whole.slots[place::3])
        assert torch.equal(gathered, whole.slots)


def refusals():
    """Return the errors that a process meets, of which none is a barrier."""
    store, found = ShardedStore(9, 2), []
    store.insert(0, [0, 1], [1, 2])
    store.refresh([4])
    reads = [[4], [store.place], [(store.place + 1) % 3]]
    for nodes in reads:
        try:
            found.append(store.neighbors(nodes, 1).node.tolist())
        except ConfigError as error:
            found.append(str(error))
    store.insert(1, [7], [8])  # what was asked for is out of date
    with suppress(ConfigError):
        found.append(store.neighbors([4], 1).node.tolist())
    return found


def test_nodes_that_were_not_asked_for(three):
    for place, found in enumerate(three.run(refusals)):
        assert found[0] == [[-1, -1]]
        assert isinstance(found[1], list)
        if (place + 1) % 3 != 1 or place == 0:
            other = (place + 1) % 3
            assert found[2].startswith(f"found node {other} of process {other} in process {place}, which did not ask")
        assert len(found) == (4 if place == 1 else 3)


def failures():
    store = ShardedStore(9, 2)
    store.insert(0, [0, 1], [1, 2])
    before = store.slots.clone()
    for wrong in ((0, [1], [2]), (1, [1], [9]), (1, [1, 2], [2])):
        try:
            store.insert(*wrong)
        except (ConfigError, DataError):
            assert torch.equal(store.slots, before)
        else:
            raise AssertionError(wrong)
    return store.num_bytes, copy.deepcopy(store).snapshot


def test_what_is_refused_changes_nothing(three):
    assert three.run(failures) == [(3 * 2 * 24, 0)] * 3


def other_part():
    """Try to load the first process's part."""
    from dgl_dysign.training import distributed

    store = ShardedStore(9, 2)
    store.insert(0, [0, 1], [1, 2])
    state = distributed.from_first(store.state_dict)
    try:
        ShardedStore(9, 2).load_state_dict(state)
    except ConfigError as error:
        return str(error)
    return "loaded"


def test_a_part_is_saved_and_loaded_as_that_part(three):
    first, second, _ = three.run(other_part)
    assert first == "loaded"
    assert second == "the saved store has shard='0 of 3', this one '1 of 3': make it alike"


def test_the_compiled_backend_is_refused():
    with pytest.raises(ConfigError, match="torch backend alone"):
        ShardedStore(9, backend="compiled")
    assert ShardedStore(9, node_type=torch.arange(9)).node_types(torch.tensor([-1, 8])).tolist() == [-1, 8]
    assert isinstance(ShardedStore(9), NeighborStore)


def test_sizes_and_devices_are_named():
    with pytest.raises(ConfigError, match="num_nodes=-1: expected 0 to 2147483647"):
        ShardedStore(-1)
    store = ShardedStore(9, 2)
    with pytest.raises(ConfigError, match=r"saved store has num_nodes=9, this one 7: call grow\(9\) first"):
        ShardedStore(7, 2).load_state_dict(store.state_dict())
    empty = ShardedStore(9, 2, device="meta")
    with pytest.raises(ConfigError, match="store is on the meta device"):
        empty.insert(0, [0], [1])
    empty.to_empty(device="cpu").reset()
    empty.insert(0, [0], [1])
    assert empty.neighbors([0], 1).node.tolist() == [[1, -1]]
