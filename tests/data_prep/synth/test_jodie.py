import numpy as np
import pytest

from data_prep.synth import Request
from data_prep.synth.jodie import make_events, trouble_of

EVENTS = 6000


@pytest.fixture(scope="module")
def rows(made):
    return np.loadtxt(made("wikipedia", events=EVENTS) / "wikipedia.csv", delimiter=",", skiprows=1)


def appear(ids):
    return list(dict.fromkeys(ids.tolist()))


def test_counts_and_ids_in_the_order_in_which_they_appear(rows):
    assert rows.shape == (EVENTS, 4 + 172)
    nodes, items = (round(number * EVENTS / 157_474) for number in (9_227, 1_000))
    assert appear(rows[:, 0]) == list(range(nodes - items))
    assert appear(rows[:, 1]) == list(range(items))
    assert rows[:, 3].sum() == round(217 * EVENTS / 157_474)


def test_times_never_fall_tie_and_cover_744_hours(rows):
    time = rows[:, 2]
    assert (time[0], time[-1]) == (0, 2_678_373)
    assert (np.diff(time) >= 0).all()
    assert (np.diff(time) == 0).any()
    assert time[-1] // 3600 == 743


@pytest.mark.parametrize("name", ["wikipedia", "reddit"])
def test_a_positive_event_is_the_last_of_its_user(name):
    events = make_events(Request(name, events=20_000))
    positive = np.flatnonzero(events.label)
    assert len(positive) == round({"wikipedia": 217 / 157_474, "reddit": 366 / 672_447}[name] * 20_000)
    assert all((events.user[row + 1 :] != events.user[row]).all() for row in positive)


def test_positive_events_can_be_told_from_community_and_time():
    events = make_events(Request("wikipedia", scale=1))
    assert (events.label.sum(), events.num_users, len(events.user)) == (217, 8227, 157_474)
    period = events.time * 4 // (events.time[-1] + 1)
    trouble = trouble_of(period, events.network.communities)
    positive = events.label == 1
    in_trouble = (events.community[0] == trouble)[positive].mean()
    other_time = (events.community[0] == np.roll(trouble, len(trouble) // 2))[positive].mean()
    assert in_trouble > 0.5
    assert in_trouble > 3 * other_time
    degree = np.bincount(events.item)
    assert degree.max() > 20 * np.median(degree)


def test_features_tell_communities_and_have_noise():
    events = make_events(Request("wikipedia", events=EVENTS))
    blocks = list(events.features())
    assert [len(block) for block in blocks] == [4096, EVENTS - 4096]
    values = np.concatenate(blocks) / 1e6
    assert np.abs(values).max() < 10
    group = events.community[0] * events.network.communities + events.community[1]
    means = np.stack([values[group == name].mean(axis=0) for name in np.unique(group)])
    nearest = ((values[:500, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (np.unique(group)[nearest] == group[:500]).mean() > 0.95
    assert 0.25 < (values[group == group[0]].std(axis=0)).mean() < 0.35


def test_dyglib_counts_from_1_and_shifts_items(made, rows):
    folder = made("wikipedia", events=EVENTS, form="dyglib")
    table = np.loadtxt(folder / "ml_wikipedia.csv", delimiter=",", skiprows=1)
    users = rows[:, 0].max() + 1
    number = np.arange(EVENTS)
    assert np.array_equal(table, np.c_[number, rows[:, 0] + 1, rows[:, 1] + 1 + users, rows[:, 2:4], number + 1])
    features = np.load(folder / "ml_wikipedia.npy", mmap_mode="r")
    assert (features.dtype, features.shape) == (np.float64, (EVENTS + 1, 172))
    assert not features[0].any()
    assert np.array_equal(features[1:], rows[:, 4:])


def test_tgl_shifts_items_and_splits_twice(made, rows):
    table = np.loadtxt(made("wikipedia", events=EVENTS, form="tgl") / "edges.csv", delimiter=",", skiprows=1)
    users = rows[:, 0].max() + 1
    assert np.array_equal(table[:, :4], np.c_[np.arange(EVENTS), rows[:, 0], rows[:, 1] + users, rows[:, 2]])
    drawn, in_order = table[:, 4], table[:, 5]
    assert (np.diff(in_order) >= 0).all()
    assert np.bincount(in_order.astype(int)).tolist() == [4200, 900, 900]
    assert np.bincount(drawn.astype(int)) / EVENTS == pytest.approx([0.7, 0.15, 0.15], abs=0.02)
    assert (np.diff(drawn) < 0).any()
