import numpy as np
import pytest

from data_prep.synth.bitcoin import ratings
from data_prep.synth.network import Network


def read(folder):
    (path,) = folder.glob("*.csv")
    return np.loadtxt(path, delimiter=",")


@pytest.mark.parametrize(("name", "nodes", "events", "highest"), [
    ("bitcoin-otc", 5_881, 35_592, 6_005),
    ("bitcoin-alpha", 3_783, 24_186, 7_604),
])  # fmt: skip
def test_counts_ids_and_ratings(name, nodes, events, highest, made):
    rows = read(made(name))
    assert rows.shape == (events, 4)
    ids = np.unique(rows[:, :2])
    assert (len(ids), ids.min() >= 1, ids.max()) == (nodes, True, highest)
    assert set(rows[:, 2]) <= set(range(-10, 11)) - {0}
    assert 0.05 < (rows[:, 2] < 0).mean() < 0.2
    degree = np.bincount(rows[:, :2].astype(int).ravel())
    assert degree.max() > 20 * np.median(degree[degree > 0])


def test_otc_is_sorted_by_decimal_seconds(made):
    time = read(made("bitcoin-otc"))[:, 3]
    assert (np.diff(time) >= 0).all()
    assert (int(time[0]), int(time[-1])) == (1_289_241_911, 1_453_684_323)
    assert (time % 1 != 0).mean() > 0.99


def test_alpha_has_one_time_a_day_and_lists_ratings_by_node_the_best_first(made):
    rows = read(made("bitcoin-alpha"))
    assert set((rows[:, 3] - 1_289_192_400) % 86_400) == {0}
    assert (rows[:, 3].min(), rows[:, 3].max()) == (1_289_192_400, 1_453_438_800)
    assert 0.3 < (np.diff(rows[:, 3]) < 0).mean() < 0.6
    assert np.array_equal(rows, rows[np.lexsort((-rows[:, 2], rows[:, 1]))])


def test_ratings_are_better_within_a_community():
    network = Network(nodes=2000, events=20_000, steps=4)
    steps = list(network)
    rating = np.concatenate([ratings(network, step) for step in steps])
    inside = np.concatenate([step.src_community == step.dst_community for step in steps])
    assert (rating[inside] < 0).mean() == pytest.approx(0.04, abs=0.01)
    assert (rating[~inside] < 0).mean() == pytest.approx(0.35, abs=0.03)
