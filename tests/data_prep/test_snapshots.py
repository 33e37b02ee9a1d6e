from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.snapshots import arrange, count_repeats, first_snapshots, number_times


@given(
    st.integers(2, 400),
    st.sampled_from([3, 4, 6, 9, None]),
    st.floats(0, 0.45),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=100, deadline=None)
def test_empty_steps_of_an_even_grid_keep_their_index(steps, decimals, missing, seed):
    index = np.arange(steps)
    kept = np.random.default_rng(seed).random(steps) >= missing
    kept[[0, 1, -1]] = True
    if steps * 2 > 2 * kept.sum() * 2 or (decimals is not None and 10**-decimals > 0.05 / steps):
        return
    exact = index / (steps - 1)
    written = exact if decimals is None else np.array([float(f"{value:.{decimals}f}") for value in exact])
    found, times, rule = number_times(written[kept])
    assert found.tolist() == index[kept].tolist()
    assert len(times) == steps
    np.testing.assert_allclose(times, exact, atol=0 if decimals is None else 1.01 * 10**-decimals, rtol=1e-12)
    assert times[found].tolist() == written[kept].tolist()
    if kept.sum() > 2:
        assert rule["kind"] == "grid"
        assert rule["step"] == pytest.approx(float(Fraction(1, steps - 1)), rel=1e-2)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([5.0], [0]),
        ([5.0, 9.0], [0, 1]),
        ([1975.0, 1976.0, 1978.0], [0, 1, 3]),
        ([0.0, 0.1, 0.37, 1.0], [0, 1, 2, 3]),
        ([0.0, 7e-06, 1.0], [0, 1, 2]),
        ([0.0, 1.0, 1e6], [0, 1, 2]),
        ([0.0, 10.0, 21.0, 30.0], [0, 1, 2, 3]),
        ([1.2e9, 1.2e9 + 1, 1.2e9 + 86400], [0, 1, 2]),
        ([0.0, 5e-324, 1e308], [0, 1, 2]),
        ([-1e308, 0.0, 1e308], [0, 1, 2]),
    ],
)
def test_times_off_a_grid_are_numbered_by_rank(values, expected):
    index, times, _ = number_times(np.array(values))
    assert index.tolist() == expected
    assert times[index].tolist() == values


def test_times_are_numbers_not_strings():
    time = np.array([float(text) for text in ("10.0", "9.0", "7e-06", "0.5")])
    events = arrange(np.arange(4), np.arange(4), time)
    assert events.src.tolist() == [2, 3, 1, 0]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 5)), min_size=1, max_size=60))
@settings(max_examples=100, deadline=None)
def test_nothing_is_lost_and_ties_keep_the_order_of_the_file(rows):
    src, dst, step = np.array(rows).T
    events = arrange(src, dst, step.astype(float))
    expected = sorted(range(len(rows)), key=lambda i: rows[i][2])
    assert events.edge_id.tolist() == expected
    assert list(zip(events.src, events.dst, events.time, strict=True)) == [rows[i] for i in expected]
    assert (np.diff(events.snapshot) >= 0).all()
    for t in range(events.num_snapshots):
        inside = slice(events.bounds[t], events.bounds[t + 1])
        assert (events.snapshot[inside] == t).all()
        assert (events.time[inside] == events.times[t]).all()
    assert events.bounds[-1] == len(rows)
    assert count_repeats(events, 10) == len(rows) - len(set(rows))
    first = first_snapshots(events, 12)
    for node in range(12):
        seen = [t for s, d, t in zip(events.src, events.dst, events.snapshot, strict=True) if node in (s, d)]
        assert first[node] == min(seen, default=-1)


def test_pairs_of_large_ids_do_not_overflow():
    big = 2**31 - 2
    events = arrange(np.array([big, big, 0]), np.array([big - 1, big, 0]), np.zeros(3))
    assert count_repeats(events, big + 1) == 0
