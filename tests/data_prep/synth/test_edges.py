from datetime import datetime

import numpy as np
import pytest

from data_prep.synth import FORMATS
from data_prep.synth.edges import ratings, spaced_names
from data_prep.synth.network import Network

HYPERLINKS = 6000


@pytest.mark.parametrize("name", ["college-msg", "wiki-talk", "stack-overflow"])
def test_ids_times_and_repeated_lines(name, made):
    options = FORMATS[name].options
    rows = np.loadtxt(made(name, events=20_000) / options["file"], dtype=int)
    share = 20_000 / FORMATS[name].events
    ids = np.unique(rows[:, :2])
    assert rows.shape == (20_000, 3)
    assert len(ids) == round(share * FORMATS[name].nodes)
    assert ids.min() >= 1
    assert ids.max() == round(share * options["highest"])
    assert (rows[0, 2], rows[-1, 2]) == (options["begin"], options["end"])
    assert (np.diff(rows[:, 2]) >= 0).all()
    assert (rows[:, 0] != rows[:, 1]).all()
    assert 0 < len(rows) - len(np.unique(rows, axis=0)) < 1000
    degree = np.bincount(rows[:, :2].ravel())
    assert degree.max() > 20 * np.median(degree[degree > 0])


def test_stack_overflow_has_gaps_between_ids(made):
    rows = np.loadtxt(made("stack-overflow", events=20_000) / "sx-stackoverflow.txt", dtype=int)
    assert 2 < rows[:, :2].max() / len(np.unique(rows[:, :2])) < 2.5


def test_names_rise_with_the_arrival():
    network = Network(nodes=300, events=2000, steps=5)
    names = spaced_names(network, 1000)
    assert len(np.unique(names)) == 300
    assert (names.min() >= 1, names.max()) == (True, 1000)
    order = np.argsort(names)
    assert (np.diff(network.arrival[order]) >= 0).all()
    assert np.sort(spaced_names(network, 300)).tolist() == list(range(1, 301))


def read_ratings(folder):
    (path,) = folder.glob("*.csv")
    return np.loadtxt(path, delimiter=",")


@pytest.mark.parametrize(("name", "nodes", "events", "highest"), [
    ("bitcoin-otc", 5_881, 35_592, 6_005),
    ("bitcoin-alpha", 3_783, 24_186, 7_604),
])  # fmt: skip
def test_counts_ids_and_ratings(name, nodes, events, highest, made):
    rows = read_ratings(made(name))
    assert rows.shape == (events, 4)
    ids = np.unique(rows[:, :2])
    assert (len(ids), ids.min() >= 1, ids.max()) == (nodes, True, highest)
    assert set(rows[:, 2]) <= set(range(-10, 11)) - {0}
    assert 0.05 < (rows[:, 2] < 0).mean() < 0.2
    degree = np.bincount(rows[:, :2].astype(int).ravel())
    assert degree.max() > 20 * np.median(degree[degree > 0])


def test_otc_is_sorted_by_decimal_seconds(made):
    time = read_ratings(made("bitcoin-otc"))[:, 3]
    assert (np.diff(time) >= 0).all()
    assert (int(time[0]), int(time[-1])) == (1_289_241_911, 1_453_684_323)
    assert (time % 1 != 0).mean() > 0.99


def test_alpha_has_one_time_a_day_and_lists_ratings_by_node_the_best_first(made):
    rows = read_ratings(made("bitcoin-alpha"))
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


@pytest.fixture(scope="module")
def hyperlinks(made):
    path = made("reddit-hyperlinks", events=HYPERLINKS) / "soc-redditHyperlinks-body.tsv"
    return [line.split("\t") for line in path.read_text().splitlines()[1:]]


def test_counts_names_and_posts(hyperlinks):
    assert len(hyperlinks) == HYPERLINKS
    assert len({name for row in hyperlinks for name in row[:2]}) == round(35_776 * HYPERLINKS / 286_561)
    assert all(source != target for source, target, *_ in hyperlinks)
    posts = [int(row[2][:-1], 36) for row in hyperlinks]
    assert hyperlinks[0][2] == "1u4nrps"
    assert posts == list(range(posts[0], posts[0] + HYPERLINKS))


def test_written_times_rise_over_the_real_range(hyperlinks):
    times = [datetime.strptime(row[3], "%Y-%m-%d %H:%M:%S") for row in hyperlinks]
    assert times == sorted(times)
    assert (hyperlinks[0][3], hyperlinks[-1][3]) == ("2013-12-31 16:39:18", "2017-04-30 16:58:21")


def test_some_links_are_bad_and_properties_depend_on_the_ends(hyperlinks):
    values = np.array([[float(value) for value in row[5].split(",")] for row in hyperlinks])
    assert values.shape == (HYPERLINKS, 86)
    bad = np.array([row[4] == "-1" for row in hyperlinks])
    assert 0.05 < bad.mean() < 0.15
    shape = values[:, 2:] - values[:, 2:].mean(axis=0)
    by_source = {}
    for row, value in zip(hyperlinks, shape, strict=True):
        by_source.setdefault(row[0], []).append(value)
    means = np.stack([np.mean(values, axis=0) for values in by_source.values() if len(values) > 20])
    assert means.var(axis=0).mean() > 3 * shape.var(axis=0).mean() / 20
