"""The table of node pairs, against plain dictionaries."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dgl_dysign.data.pair_log import PairLog

_N = 7
_PAIRS = st.lists(st.tuples(st.integers(0, _N - 1), st.integers(0, _N - 1)), max_size=12)


@settings(max_examples=80, deadline=None)
@given(snapshots=st.lists(_PAIRS, max_size=8))
def test_equals_dictionaries(snapshots):
    log, last, met = PairLog(_N), {}, {v: [] for v in range(_N)}
    for t, pairs in enumerate(snapshots):
        table = np.array(pairs, np.int64).reshape(-1, 2)
        numbers = log.add(t, table[:, 0], table[:, 1])
        assert numbers.tolist() == log.find(table[:, 0], table[:, 1]).tolist()
        for u, v in pairs:
            if (u, v) not in last:
                met[u].append(v)
            last[u, v] = t
    assert len(log) == len(last)
    src, dst = np.divmod(np.arange(_N * _N), _N)
    number = log.find(src, dst)
    for u, v, i in zip(src.tolist(), dst.tolist(), number.tolist(), strict=True):
        assert (i >= 0) == ((u, v) in last)
        if i >= 0:
            assert log.last[i] == last[u, v]
    nodes = np.array([3, 0, 3, 6])
    row, found = log.destinations(nodes)
    for i, node in enumerate(nodes.tolist()):
        assert sorted(found[row == i].tolist()) == sorted(met[node])
    assert log.degree.tolist() == [len(met[v]) for v in range(_N)]
    shared = log.common(nodes, np.tile(np.arange(_N), (4, 1)))
    assert shared.tolist() == [[len(set(met[u]) & set(met[v])) for v in range(_N)] for u in nodes.tolist()]


def test_grows_over_many_pairs_with_large_ids():
    n = 3_000_000
    log, generator = PairLog(n), np.random.default_rng(0)
    src, dst = generator.integers(0, n, (2, 20_000))
    for t, rows in enumerate(np.array_split(np.arange(20_000), 7)):
        log.add(t, src[rows], dst[rows])
    assert (log.last[log.find(src, dst)] == np.repeat(np.arange(7), [len(p) for p in np.array_split(src, 7)])).all()
    there = set(zip(src.tolist(), dst.tolist(), strict=True))
    turned = [pair in there for pair in zip(dst.tolist(), src.tolist(), strict=True)]
    assert (log.find(dst, src) >= 0).tolist() == turned


def test_reset_forgets():
    log = PairLog(3)
    log.add(0, np.array([0]), np.array([1]))
    log.reset()
    assert len(log) == 0
    assert log.find(np.array([0]), np.array([1])).tolist() == [-1]
    assert log.degree.tolist() == [0, 0, 0]
