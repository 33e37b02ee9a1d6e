"""Distinct edges of a snapshot: against a plain dictionary, and independent of the order of events."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dgl_dysign.data import TemporalGraph, distinct_edges
from dgl_dysign.data.snapshot_edges import EdgesOnDisk, all_edges, snapshot_edges
from dgl_dysign.errors import ConfigError, DataError
from tests.prepared import prepare

_EVENTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(-9, 9)), max_size=30)


def _brute(events, directed):
    """Pair -> [last edge id, its time, count, sum of weights]."""
    pairs: dict = {}
    for i, (u, v, w) in enumerate(events):
        key = (u, v) if directed else (min(u, v), max(u, v))
        _, _, count, total = pairs.get(key, (0, 0, 0, 0))
        pairs[key] = (i, i / 4, count + 1, total + w)
    return [(*key, i, time, count, total / count) for key, (i, time, count, total) in sorted(pairs.items())]


def _rows(edges):
    columns = (edges.src, edges.dst, edges.edge_id, edges.time, edges.count, edges.weight)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@settings(max_examples=150, deadline=None)
@given(events=_EVENTS, directed=st.booleans(), seed=st.integers(0, 99))
def test_equals_a_dictionary_whatever_the_order_of_events(events, directed, seed):
    order = np.random.default_rng(seed).permutation(len(events))
    table = np.array(events, np.int64).reshape(-1, 3)[order]
    edges = distinct_edges(3, table[:, 0], table[:, 1], order, order / 4, table[:, 2], num_nodes=6, directed=directed)
    assert _rows(edges) == _brute(events, directed)
    assert edges.snapshot == 3
    assert edges.num_nodes == 6
    assert edges.directed is directed
    for name, kind in (("src", torch.int64), ("edge_id", torch.int64), ("count", torch.int64), ("time", torch.float64)):
        assert getattr(edges, name).dtype == kind


def test_defaults_number_the_events_and_leave_the_weight_out():
    edges = distinct_edges(4, torch.tensor([1, 1, 0]), torch.tensor([0, 0, 2]), num_nodes=3)
    assert edges.edge_id.tolist() == [2, 1]
    assert edges.time.tolist() == [4.0, 4.0]
    assert edges.weight is None
    assert len(edges) == 2
    assert len(edges.to("cpu")) == 2


def test_no_events():
    edges = distinct_edges(0, [], [], weight=[], num_nodes=0)
    assert len(edges) == 0
    assert edges.weight.shape == (0,)


@pytest.mark.parametrize("directed", [True, False])
def test_of_a_prepared_folder(tmp_path: Path, directed):
    events = [(0, 1, 0), (0, 0, 1), (0, 1, 0), (2, 2, 2)]
    data = TemporalGraph.load(prepare(tmp_path / "p", events, 3, [-1, -1, -1], directed=directed))
    first = snapshot_edges(data, 0)
    pairs = list(zip(first.src.tolist(), first.dst.tolist(), first.count.tolist(), first.edge_id.tolist(), strict=True))
    assert pairs == ([(0, 1, 1, 1), (1, 0, 2, 2)] if directed else [(0, 1, 3, 2)])
    assert first.weight is None
    assert len(snapshot_edges(data, 1)) == 0
    assert snapshot_edges(data, 2).src.tolist() == snapshot_edges(data, 2).dst.tolist() == [2]
    with pytest.raises(ConfigError, match="snapshot 3"):
        snapshot_edges(data, 3)


def test_edges_that_take_too_much_memory_are_read_when_they_are_asked_for(tmp_path: Path):
    data = TemporalGraph.load(prepare(tmp_path / "p", [(0, 1, 0), (0, 0, 1), (2, 2, 2)], 3, [-1, -1, -1]))
    held, read = all_edges(data, 3 * 48), all_edges(data, 3 * 48 - 1)
    assert (type(held), type(read)) == (list, EdgesOnDisk)
    ends = [list(zip(one.src.tolist(), one.dst.tolist(), strict=True)) for one in held]
    assert ends == [[(0, 1)], [], [(2, 2)]]
    assert [list(zip(one.src.tolist(), one.dst.tolist(), strict=True)) for one in read] == ends
    assert [one.snapshot for one in read[1:]] == [read[-2].snapshot, read[-1].snapshot] == [1, 2]
    with pytest.raises(IndexError):
        read[:2][2]


@pytest.mark.real
def test_ratings_of_bitcoin_keep_their_sign(real_data, tmp_path):
    from data_prep.cli import app

    app(["edges", str(real_data / "bitcoin_otc"), str(tmp_path / "otc"), "--quiet"], standalone_mode=False)
    data = TemporalGraph.load(tmp_path / "otc")
    parts = [snapshot_edges(data, t) for t in range(data.num_snapshots)]
    assert sum(int(part.count.sum()) for part in parts) == data.num_edges
    weights = torch.cat([part.weight for part in parts])
    assert weights.min() == -10
    assert weights.max() == 10


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"src": [0, 3]}, DataError, "src 3 in event 1, expected a node from 0 to 2"),
        ({"dst": [-1, 0]}, DataError, "dst -1 in event 0"),
        ({"dst": [0]}, DataError, "one value an event"),
        ({"weight": [1.0]}, DataError, "one value an event"),
        ({"src": [0.5, 1.0]}, DataError, "float64, expected whole numbers"),
        ({"snapshot": -1}, ConfigError, "snapshot=-1"),
        ({"num_nodes": 2**40}, ConfigError, "nodes up to"),
    ],
)
def test_bad_input_is_one_clear_error(arguments, error, words):
    with pytest.raises(error, match=words):
        distinct_edges(**{"snapshot": 0, "src": [0, 1], "dst": [1, 2], "num_nodes": 3, **arguments})
