"""Events as given: memory-mapped and of any integer type without a copy where they are sorted, and what accumulates."""

import numpy as np
import pytest

from data_prep.features import KINDS, features
from data_prep.features._past import accumulate, checked_events

REAL_KINDS = [kind for kind in KINDS if kind != "none"]


def made_events(num_events: int = 300):
    rng = np.random.default_rng(0)
    return np.sort(rng.integers(0, 4, num_events)), *rng.integers(0, 50, (2, num_events))


def mapped(folder, columns, kind):
    for name, column in zip(("snapshot", "src", "dst"), columns, strict=True):
        np.save(folder / f"{name}.npy", column.astype(kind))
    return [np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("snapshot", "src", "dst")]


@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_sorted_arrays_are_taken_as_they_are(tmp_path, kind):
    columns = mapped(tmp_path, made_events(), kind)
    events = checked_events(*columns, 50, 4)
    assert all(np.shares_memory(a, b) for a, b in zip(events[:3], columns, strict=True))
    assert all(np.shares_memory(events.of(1)[i], columns[1 + i]) for i in (0, 1))


@pytest.mark.parametrize("features_kind", REAL_KINDS)
@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_memory_mapped_events_give_the_same_bits(tmp_path, features_kind, kind):
    columns = made_events()
    expected = features(features_kind, *columns, 50, 4, dim=4)
    found = features(features_kind, *mapped(tmp_path, columns, kind), 50, 4, dim=4)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(expected, found, strict=True))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint64])
def test_other_integers_are_converted(kind):
    events = checked_events(*(column.astype(kind) for column in made_events()), 50, 4)
    assert {column.dtype for column in events[:3]} == {np.dtype(np.int64)}
    assert all(np.array_equal(a, b) for a, b in zip(events[:3], made_events(), strict=True))


def test_unsorted_events_are_sorted_stably_and_the_input_is_left_alone():
    snapshot, src, dst = np.array([2, 0, 2, 0]), np.array([1, 2, 3, 4]), np.array([5, 6, 7, 8])
    events = checked_events(snapshot, src, dst, 9, 3)
    assert [column.tolist() for column in events[:3]] == [[0, 0, 2, 2], [2, 4, 1, 3], [6, 8, 5, 7]]
    assert [events.of(t)[0].tolist() for t in range(3)] == [[2, 4], [], [1, 3]]
    assert snapshot.tolist() == [2, 0, 2, 0]


def test_ids_that_do_not_fit_32_bits_together():
    # A pair's key is src * num_nodes + dst, far beyond 2^31 here; both halves must count.
    n = 100_000
    src, dst = np.array([0, n - 1, n - 2, n - 1], np.int32), np.array([1, n - 2, n - 1, n - 3], np.int32)
    x = next(features("degree", np.zeros(4, np.int32), src, dst, n, 1))
    assert np.expm1(x[[n - 1, n - 2, n - 3, 0], 4]).round(3).tolist() == [2, 1, 1, 1]
    assert np.expm1(x[[n - 1, n - 2, n - 3, 0], 0]).round(3).tolist() == [3, 2, 1, 1]


@pytest.mark.parametrize("decay", [1.0, 0.7])
def test_a_late_start_gives_the_same_past(decay):
    events = checked_events(*made_events(), 50, 4)
    whole = list(accumulate(events, decay))
    assert [past.snapshot for past in accumulate(events, decay, 2)] == [2, 3]
    for past, expected in zip(accumulate(events, decay, 2), whole[2:], strict=True):
        assert np.array_equal(past.nodes, expected.nodes)
        assert np.array_equal(past.changed, expected.changed)
        assert (past.adjacency != expected.adjacency).nnz == 0


def test_accumulated_weights_by_hand():
    # 0-1 at snapshot 0 twice and at 2 once, a self-loop of 2 at 1; 3 is never seen.
    events = checked_events([0, 0, 1, 2], [0, 1, 2, 0], [1, 0, 2, 1], 4, 3)
    past = list(accumulate(events, 0.5))[2]
    assert past.nodes.tolist() == [0, 1, 2]
    assert past.changed.tolist() == [True, True, False]
    np.testing.assert_array_equal(past.adjacency.toarray(), [[0, 1.5, 0], [1.5, 0, 0], [0, 0, 0.5]])


def test_the_digest_sees_every_value_and_no_type():
    columns = made_events()
    same = checked_events(*(column.astype(np.int32) for column in columns), 50, 4)
    digest = checked_events(*columns, 50, 4).digest()
    assert same.digest() == digest
    for index in range(3):
        changed = [column.copy() for column in columns]
        changed[index][-1] ^= 1
        assert checked_events(*changed, 50, 4).digest() != digest
