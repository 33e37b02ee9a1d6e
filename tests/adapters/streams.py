"""Streams with everything that converters trip over: ties, repeats, a self-loop, a lonely node, an empty snapshot."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from dgl_dysign.adapters import EventStream
from dgl_dysign.events import OPTIONAL_FIELDS

RANGES = ("snapshot_begin", "snapshot_end")


def rest(stream: EventStream, *names: str) -> dict[str, Any]:
    """Return what most formats do not hold (name, unit of time, direction, sides), and the fields of these names."""
    return {name: getattr(stream, name) for name in ("name", "time_unit", "directed", "node_offset", *names)}


def example(*fields: str, whole: bool = True, bipartite: bool = False, raw_order: bool = True) -> EventStream:
    """Make eight events of seven nodes, with some of the optional fields (default: with none).

    Nodes 2 and 6 have no event; the event 1 -> 1 (not if bipartite) is a self-loop, 0 -> 4 at 3 is there twice, times
    3 and 9 are ties, and of the snapshots [0, 3), [3, 6), [6, 9), [9, 12) the third is empty.
    """
    rng = np.random.default_rng(0)
    src = np.array([0, 0, 1, 0, 1, 3, 3, 0])
    dst = np.array([4, 4, 5 if bipartite else 1, 4, 5, 4, 5, 4])
    time = np.array([0, 3, 3, 3, 5, 9, 9, 11.0])
    order = np.arange(8) if raw_order else np.array([5, 0, 6, 1, 4, 2, 7, 3])
    node_label = np.array([0, 2, -1, 1, -1, 0, -1])
    columns: dict[str, np.ndarray] = {
        "edge_feat": rng.normal(size=(8, 3)).astype(np.float32),
        "edge_weight": rng.normal(size=8),
        "edge_type": rng.integers(0, 3, 8),
        "event_label": np.array([0, 1, -1, 0, 2, -1, 0, 1]),
    }
    others: dict[str, Any] = {name: column[order] for name, column in columns.items() if name in fields}
    others |= {"node_label": node_label} if "node_label" in fields else {}
    others |= {"node_feat": rng.normal(size=(7, 2)).astype(np.float32)} if "node_feat" in fields else {}
    if "snapshot" in fields:
        begin = np.array([0, 3, 6, 9.0])
        others |= {"snapshot": (time // 3).astype(int)[order], "snapshot_begin": begin, "snapshot_end": begin + 3}
    time = time if whole else time + 0.1
    return EventStream.from_rows(
        src[order],
        dst[order],
        time[order],
        num_nodes=7,
        directed=bipartite,
        name="example",
        time_unit="days",
        node_offset=4 if bipartite else None,
        **others,
    )


@st.composite
def streams(
    draw: Callable[..., Any],
    *fields: str,
    whole: bool = True,
    raw_order: bool = True,
    least: int = 1,
    bipartite: bool = True,
) -> EventStream:
    """Draw small streams with some of the optional fields that `fields` names.

    Parameters
    ----------
    whole : bool
        Whether times are whole numbers only.
    raw_order : bool
        Whether the raw data is in the order of time.
    least : int
        Smallest number of events.
    bipartite : bool
        Whether there may be two types of nodes.
    """
    count, nodes = draw(st.integers(least, 8)), draw(st.integers(2, 6))
    middle = draw(st.integers(1, nodes - 1)) if bipartite and draw(st.booleans()) else None
    ends = st.tuples(st.integers(0, (middle or nodes) - 1), st.integers(middle or 0, nodes - 1))
    pairs = draw(st.lists(ends, min_size=count, max_size=count))
    src, dst = np.array(pairs, np.int64).reshape(-1, 2).T
    times = draw(st.lists(st.integers(0, 6), min_size=count, max_size=count))
    time = np.array(times if not raw_order else sorted(times), np.float64) + (0 if whole else 0.1)
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    columns: dict[str, Any] = {
        "edge_feat": rng.normal(size=(count, draw(st.integers(1, 3)))).astype(np.float32),
        "edge_weight": rng.normal(size=count),
        "edge_type": rng.integers(0, 3, count),
        "event_label": rng.integers(-1, 3, count),
        "node_label": rng.integers(-1, 3, nodes),
        "node_feat": rng.normal(size=(nodes, 2)).astype(np.float32),
    }
    chosen = {name for name in OPTIONAL_FIELDS if name in fields and draw(st.booleans())}
    others = {name: columns[name] for name in columns if name in chosen}
    if "snapshot" in chosen:
        begin = np.arange(0, 7.0, draw(st.sampled_from([1, 2])))
        others["snapshot"] = np.searchsorted(begin, time, side="right") - 1
        others |= {"snapshot_begin": begin, "snapshot_end": np.append(begin[1:], 7.5)}
    directed = draw(st.booleans())
    return EventStream.from_rows(
        src,
        dst,
        time,
        num_nodes=nodes,
        directed=directed,
        name="drawn",
        time_unit="steps",
        node_offset=middle,
        **others,
    )
