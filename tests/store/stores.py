"""Random streams of snapshots, and the stores that must agree on them."""

import inspect

from hypothesis import strategies as st

from dgl_dysign.store import NeighborStore
from tests.store.dictionary_store import DictionaryStore

NUM_NODES, NUM_TYPES = 9, 3
EITHER = st.booleans()

settings = st.fixed_dictionaries(
    {
        "num_neighbors": st.sampled_from([1, 2, 3, 5, 40]),
        "num_hops": st.sampled_from([1, 2, 3]),
        "hop_decay": st.sampled_from([0.1, 0.5, 0.9]),
        "snapshot_decay": st.sampled_from([0.05, 0.5, 0.99]),
        "importance": st.sampled_from(["cohesion", "degree", "core", "uniform"]),
        "direction": st.sampled_from(["both", "in", "out"]),
    }
)


@st.composite
def streams(draw, ids=EITHER, weights=EITHER, types=EITHER, most=14):
    """Draw snapshots as arguments of ``insert``: with gaps, empty ones, self-loops, repeats, hubs and reused ids."""
    has_ids, has_weights, has_types = draw(ids), draw(weights), draw(types)
    hub = draw(st.booleans())
    stream, snapshot = [], -1
    for _ in range(draw(st.integers(1, 5))):
        snapshot += draw(st.integers(1, 3))
        size = draw(st.integers(0, most))
        column = {
            "ends": st.integers(0, NUM_NODES - 1),
            "id": st.integers(0, 25),
            "type": st.integers(0, NUM_TYPES - 1),
        }
        column["weight"] = st.sampled_from([0.25, 1.0, 1.7, 3.0])
        rows = {name: st.lists(kind, min_size=size, max_size=size) for name, kind in column.items()}
        src = [0] * size if hub and draw(st.booleans()) else draw(rows["ends"])
        stream.append(
            {
                "snapshot": snapshot,
                "src": src,
                "dst": draw(rows["ends"]),
                "edge_id": draw(rows["id"]) if has_ids else None,
                "weight": draw(rows["weight"]) if has_weights else None,
                "edge_type": draw(rows["type"]) if has_types else None,
            }
        )
    return stream


def shuffled(draw, snapshot):
    """Return the same events in another order."""
    order = draw(st.permutations(range(len(snapshot["src"]))))
    return {
        name: [value[row] for row in order] if isinstance(value, list) else value for name, value in snapshot.items()
    }


def growing(draw, stream):
    """Return for each snapshot, and for the end, how many nodes there are by then: enough for it, never fewer."""
    sizes = [0]
    for snapshot in stream:
        needed = 1 + max([-1, *snapshot["src"], *snapshot["dst"]])
        sizes.append(draw(st.integers(max(sizes[-1], needed), NUM_NODES)))
    return [*sizes[1:], NUM_NODES]


def make(stream, num_nodes=NUM_NODES, **options):
    """Return an empty store that can take a stream."""
    typed = any(snapshot["edge_type"] is not None for snapshot in stream)
    return NeighborStore(num_nodes, num_edge_types=NUM_TYPES if typed else None, **options)


def filled(store, stream):
    for snapshot in stream:
        store.insert(**snapshot)
    return store


def make_dictionary(**options):
    known = inspect.signature(DictionaryStore).parameters
    return DictionaryStore(**{name: value for name, value in options.items() if name in known})


def entries(store, node):
    """Return what ``DictionaryStore.entries`` returns."""
    found = store.neighbors([node], max(store.snapshot, 0))
    columns = [column[0].tolist() for column in (found.node, found.edge_id, found.snapshot, found.hop, found.type)]
    typed = store.num_edge_types is not None
    return [(*row[:4], row[4] if typed else 0) for row in zip(*columns, strict=True) if row[0] >= 0]


def assert_equal(store, dictionary):
    for node in range(NUM_NODES):
        assert entries(store, node) == dictionary.entries(node), node
