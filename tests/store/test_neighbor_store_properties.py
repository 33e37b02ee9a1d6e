"""Every path of the store equals the dictionary version, entry by entry, on random streams of snapshots."""

import pytest
import torch
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from dgl_dysign.store import Neighbors
from tests.store.stores import (
    NUM_NODES,
    assert_equal,
    entries,
    filled,
    growing,
    make,
    make_dictionary,
    settings,
    shuffled,
    streams,
)

BACKENDS = ["compiled", "torch"]
FAST = limits(max_examples=100, deadline=None)
SOME = limits(max_examples=40, deadline=None)
either = st.sampled_from(BACKENDS)
KINDS = [{"directed": False, "direction": "both"}, {"slots_per_type": True}]


@pytest.mark.parametrize("backend", BACKENDS)
@FAST
@given(stream=streams(), options=settings)
def test_equals_the_dictionary(backend, stream, options):
    store, dictionary = make(stream, backend=backend, **options), make_dictionary(**options)
    for snapshot in stream:
        store.insert(**snapshot)
        dictionary.insert(**snapshot)
        assert_equal(store, dictionary)
    assert store.snapshot == stream[-1]["snapshot"]


@pytest.mark.parametrize("backend", BACKENDS)
@SOME
@given(stream=streams(types=st.just(True)), options=settings)
def test_slots_for_each_type(backend, stream, options):
    options |= {"slots_per_type": True}
    store = filled(make(stream, backend=backend, **options), stream)
    assert_equal(store, filled(make_dictionary(**options), stream))


@pytest.mark.parametrize("backend", BACKENDS)
@SOME
@given(stream=streams(), options=settings)
def test_without_direction(backend, stream, options):
    options |= {"directed": False, "direction": "both"}
    store = filled(make(stream, backend=backend, **options), stream)
    assert_equal(store, filled(make_dictionary(**options), stream))


@SOME
@given(stream=streams(), options=settings, backend=either, data=st.data())
def test_order_of_events_plays_no_part(stream, options, backend, data):
    other = [shuffled(data.draw, snapshot) for snapshot in stream]
    store, again = (filled(make(stream, backend=backend, **options), part) for part in (stream, other))
    assert torch.equal(store.slots, again.slots)


@SOME
@given(stream=streams(), options=settings)
def test_both_paths_answer_alike(stream, options):
    compiled, plain = (filled(make(stream, backend=backend, **options), stream) for backend in BACKENDS)
    assert torch.equal(compiled.slots, plain.slots)
    now = compiled.snapshot + 2
    for left, right in zip(*(s.neighbors(range(NUM_NODES), now) for s in (compiled, plain)), strict=True):
        assert left.dtype == right.dtype
        torch.testing.assert_close(left, right, rtol=1e-6, atol=0)
    assert isinstance(compiled.neighbors([], now), Neighbors)


def renamed(snapshot, names):
    return snapshot | {end: [names[node] for node in snapshot[end]] for end in ("src", "dst")}


@SOME
@given(stream=streams(ids=st.just(True)), options=settings, backend=either, names=st.permutations(range(NUM_NODES)))
def test_names_play_no_part(stream, options, backend, names):
    """With room for all, where no tie is cut, renaming the nodes renames the entries."""
    options |= {"num_neighbors": 200}
    other = [renamed(snapshot, names) for snapshot in stream]
    store, again = (filled(make(stream, backend=backend, **options), part) for part in (stream, other))
    for node in range(NUM_NODES):
        expected = [(names[row[0]], *row[1:]) for row in entries(store, node)]
        assert sorted(entries(again, names[node])) == sorted(expected)


@SOME
@given(stream=streams(), options=settings, backend=either)
def test_names_in_the_same_order_give_the_same_entries(stream, options, backend):
    """Names that keep their order keep the ties, too: nothing else depends on a name."""
    names = [3 * node + 1 for node in range(NUM_NODES)]
    store = filled(make(stream, backend=backend, **options), stream)
    again = make(stream, backend=backend, **options)
    wide = type(again)(3 * NUM_NODES, num_edge_types=again.num_edge_types, backend=backend, **options)
    filled(wide, [renamed(snapshot, names) for snapshot in stream])
    for node in range(NUM_NODES):
        expected = [(names[row[0]], *row[1:]) for row in entries(store, node)]
        assert entries(wide, names[node]) == expected


@SOME
@given(stream=streams(), options=settings)
def test_never_the_node_itself_and_no_entry_twice(stream, options):
    store = filled(make(stream, **options), stream)
    for node in range(NUM_NODES):
        found = entries(store, node)
        assert node not in [row[0] for row in found]
        assert len({row[:2] for row in found}) == len(found) <= options["num_neighbors"]
        assert all(1 <= row[3] <= options["num_hops"] for row in found)


@SOME
@given(stream=streams(), options=settings)
def test_empty_snapshots_pass_time_and_nothing_else(stream, options):
    plain = filled(make(stream, **options), stream)
    store = make(stream, **options)
    nothing = {name: [] if isinstance(value, list) else value for name, value in stream[0].items()}
    for snapshot in stream:
        if snapshot["snapshot"] > store.snapshot + 1:
            store.insert(**nothing | {"snapshot": snapshot["snapshot"] - 1})
        store.insert(**snapshot)
    store.insert(**nothing | {"snapshot": store.snapshot + 4})
    assert store.snapshot == plain.snapshot + 4
    assert torch.equal(store.slots, plain.slots)


@FAST
@given(stream=streams(), options=settings, backend=either, kind=st.sampled_from([{}, *KINDS]), data=st.data())
def test_grown_it_is_as_if_it_had_been_large_from_the_start(stream, options, backend, kind, data):
    if "slots_per_type" in kind and stream[0]["edge_type"] is None:
        kind = {}
    options |= {"backend": backend, **kind}
    sizes = growing(data.draw, stream)
    store, large, dictionary = make(stream, sizes[0], **options), make(stream, **options), make_dictionary(**options)
    for size, snapshot in zip(sizes, stream, strict=False):
        store.grow(size)
        for each in (store, large, dictionary):
            each.insert(**snapshot)
        assert torch.equal(store.slots, large.slots[:size])
        now, nodes = store.snapshot + 1, range(size)
        for left, right in zip(store.neighbors(nodes, now), large.neighbors(nodes, now), strict=True):
            assert torch.equal(left, right)
    store.grow(NUM_NODES)
    assert_equal(store, dictionary)
    again = make(stream, **options)
    again.load_state_dict(store.state_dict())
    assert again.get_extra_state() == large.get_extra_state() == store.get_extra_state()
    assert torch.equal(again.slots, large.slots)
    blocks = [each.block(range(NUM_NODES), store.snapshot + 2) for each in (store, large)]
    for name in ("influence", "age", "edge_id", "hop", "type"):
        assert torch.equal(*(block.edata[name] for block in blocks))
    assert torch.equal(*(torch.stack(block.edges(order="eid")) for block in blocks))
