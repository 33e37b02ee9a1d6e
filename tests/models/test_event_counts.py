"""Counts of the past against a list of all events, and what they must not depend on."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dgl_dysign.errors import ConfigError
from dgl_dysign.models.event_counts import HALF_LIVES, EventCounts

NODES = 5
EVENT = st.tuples(st.integers(0, 4), st.integers(0, NODES - 1), st.integers(0, NODES - 1), st.integers(0, 7))


def tensors(rows):
    """Columns of (snapshot, src, dst, eighth) rows; the time is in the snapshot."""
    table = np.array(rows, np.int64).reshape(-1, 4)
    src, dst = (torch.from_numpy(table[:, k].copy()) for k in (1, 2))
    return src, dst, torch.from_numpy(table[:, 0] + table[:, 3] / 8)


def observed(rows, last):
    counts = EventCounts(NODES)
    for t in range(last + 1):
        counts.observe(t, *tensors([row for row in rows if row[0] == t]))
    return counts


def brute(times, now):
    times = sorted(times)
    if not times:
        return [0.0] * (4 + len(HALF_LIVES)) + [1.0]
    raw = [len(times), now - times[-1], now - times[0], times[-1] - times[-2] if len(times) > 1 else 0]
    raw += [sum(2 ** (-(now - t) / life) for t in times) for life in HALF_LIVES]
    return [math.log1p(x) for x in raw] + [0.0]


def brute_node(past, node, now):
    mine = [row for row in past if node in row[1:3]]
    partners = {row[2] if row[1] == node else row[1] for row in mine}
    each = max(len(mine), 1)
    extra = [math.log1p(len(partners)), len(partners) / each, sum(row[1] == node for row in mine) / each]
    return brute([row[0] + row[3] / 8 for row in mine], now) + extra


def brute_event(past, event):
    t, src, dst, eighth = event
    now = t + eighth / 8
    met = [row for row in past if row[1:3] == (src, dst)]
    shares = [len(met) / max(sum(end in row[1:3] for row in past), 1) for end in (src, dst)]
    ends = brute_node(past, src, now) + brute_node(past, dst, now)
    return ends + brute([row[0] + row[3] / 8 for row in met], now) + shares


@settings(max_examples=25, deadline=None)
@given(st.lists(EVENT, max_size=30), EVENT)
def test_counts_are_those_of_a_list(rows, event):
    t = event[0]
    past = [row for row in rows if row[0] < t]
    counts = observed(rows, t - 1)
    found = counts.events(t, *tensors([event]))
    assert found.dtype == torch.float32
    assert found.shape == (1, len(EventCounts.event_names))
    assert found[0].tolist() == pytest.approx(brute_event(past, event), rel=1e-5, abs=1e-6)
    nodes = counts.nodes(t, torch.arange(NODES))
    assert nodes.tolist() == [pytest.approx(brute_node(past, v, t), rel=1e-5, abs=1e-6) for v in range(NODES)]


@settings(max_examples=15, deadline=None)
@given(st.lists(EVENT, max_size=20), st.randoms())
def test_the_order_in_a_snapshot_is_of_no_account(rows, random):
    mixed = random.sample(rows, len(rows))
    asked = tensors([(5, s, d, 3) for s in range(NODES) for d in range(NODES)])
    assert torch.allclose(observed(rows, 4).events(5, *asked), observed(mixed, 4).events(5, *asked))


def test_asking_changes_nothing_and_events_do_not_see_each_other():
    counts = observed([(0, 0, 1, 2), (1, 0, 2, 0)], 1)
    together = counts.events(2, *tensors([(2, 0, 1, 1), (2, 0, 1, 1), (2, 3, 1, 4)]))
    assert torch.equal(together[0], together[1])
    assert torch.equal(counts.events(2, *tensors([(2, 3, 1, 4)]))[0], together[2])


def test_snapshots_come_in_order():
    counts = observed([(0, 0, 1, 0)], 3)
    with pytest.raises(ConfigError, match="snapshot 3 cannot follow 3"):
        counts.observe(3, *tensors([]))
    for ask in (lambda: counts.nodes(3, torch.tensor([0])), lambda: counts.events(3, *tensors([(3, 0, 1, 0)]))):
        with pytest.raises(ConfigError, match="ask first, then observe"):
            ask()
    counts.reset()
    assert counts.snapshot == -1
    assert bool((counts.nodes(0, torch.tensor([0, 1]))[:, EventCounts.node_names.index("new")] == 1).all())
