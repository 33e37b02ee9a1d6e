import numpy as np
import pytest

EVENTS = 40_000


@pytest.fixture(scope="module")
def tmall(made):
    """Edges (src, dst, step) and labels (node, class), as in the file."""
    folder = made("tmall", events=EVENTS)
    edges = np.loadtxt(folder / "tmall.txt")
    labels = np.loadtxt(folder / "node2label.txt", dtype=int)
    return np.c_[edges[:, :2].astype(int), np.rint(edges[:, 2] * 185).astype(int)], labels


def test_counts_ids_and_steps(tmall, made):
    edges, _ = tmall
    nodes = round(577_314 * EVENTS / 4_807_545)
    assert len(edges) == EVENTS
    assert np.array_equal(np.unique(edges[:, :2]), np.arange(nodes))
    assert np.array_equal(np.unique(edges[:, 2]), np.arange(186))
    assert (np.diff(edges[:, 2]) >= 0).all()
    times = {line.split(" ")[2] for line in (made("tmall", events=EVENTS) / "tmall.txt").read_text().split("\n")[:-1]}
    assert times == {repr(round(step / 185, 6)) for step in range(186)}


def test_labels_cover_a_seventh_of_the_nodes_out_of_order(tmall):
    edges, labels = tmall
    assert len(labels) == len(np.unique(labels[:, 0])) == round(81_380 * EVENTS / 4_807_545)
    assert labels[:, 0].max() <= edges[:, :2].max()
    order = list(dict.fromkeys(labels[:, 1].tolist()))
    assert order == [662, 737, 1505, 656, 1095]
    assert (np.diff(labels[:, 0]) < 0).mean() > 0.3


def test_ids_tell_neither_arrival_nor_activity(tmall):
    edges, _ = tmall
    count = edges[:, :2].max() + 1
    first = np.full(count, 186)
    np.minimum.at(first, edges[:, :2].ravel(), np.repeat(edges[:, 2], 2))
    degree = np.bincount(edges[:, :2].ravel())
    for values in (first, np.log(degree)):
        assert abs(np.corrcoef(values, np.arange(count))[0, 1]) < 0.05
    assert degree.max() > 20 * np.median(degree)


def test_labels_can_be_told_from_neighbours_and_better_with_time(tmall):
    edges, labels = tmall
    count = edges[:, :2].max() + 1
    names, classes = np.unique(labels[:, 1], return_inverse=True)
    known = np.full(count, -1)
    known[labels[:, 0]] = classes

    def accuracy(decay):
        votes = np.zeros((count, len(names)))
        for end, other in ((0, 1), (1, 0)):
            given = known[edges[:, other]] >= 0
            rows = edges[given]
            np.add.at(votes, (rows[:, end], known[rows[:, other]]), decay ** (185 - rows[:, 2]))
        told = votes.sum(axis=1) > 0
        return (votes.argmax(axis=1) == known)[told & (known >= 0)].mean()

    chance = np.bincount(classes).max() / len(classes)
    assert chance < 0.45
    assert accuracy(0.98) > chance + 0.1
