import hashlib
import json

import numpy as np
import pytest

from data_prep.synth import DblpLike
from dgl_dysign.errors import ConfigError

TMALL = 40_000


def propagate(edges, labels, known, decay):
    """Labels from neighbours, an edge of age a weighing decay**a; accuracy on the other nodes."""
    last, count = edges[:, 2].max(), len(labels)
    weight = np.zeros((count, count))
    np.add.at(weight, (edges[:, 0], edges[:, 1]), decay ** (last - edges[:, 2]))
    weight += weight.T
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
    given = np.eye(labels.max() + 1)[labels] * known[:, None]
    scores = given
    for _ in range(10):
        scores = np.where(known[:, None], given, weight @ scores)
    return (scores.argmax(axis=1) == labels)[~known].mean()


@pytest.fixture(scope="module")
def network():
    return DblpLike().generate()


def test_the_task_can_be_learned_but_not_completely_and_time_helps(network):
    edges, labels = network
    known = np.random.default_rng(0).random(len(labels)) < 0.6
    scores = {decay: propagate(edges, labels, known, decay) for decay in (1.0, 0.85, 0.2)}
    assert 0.7 < scores[0.85] < 0.9
    assert scores[0.85] > scores[0.2] + 0.02
    assert np.bincount(labels).max() / len(labels) < 0.4


def test_degrees_are_heavy_tailed_nodes_arrive_and_events_repeat(network):
    edges, labels = network
    degree = np.bincount(edges[:, :2].ravel(), minlength=len(labels))
    assert degree.min() >= 1
    assert degree.max() > 20 * np.median(degree)
    assert (edges[:, 0] != edges[:, 1]).all()
    first = np.full(len(labels), 12)
    np.minimum.at(first, edges[:, :2].ravel(), np.repeat(edges[:, 2], 2))
    arrivals = np.bincount(first, minlength=12)
    assert (arrivals > 0).all()
    assert arrivals[-1] > arrivals[0]
    assert np.bincount(edges[:, 2]).argmax() == 11
    assert len(np.unique(edges, axis=0)) < 0.95 * len(edges)


def test_seeds_decide_everything(network):
    again, other = DblpLike().generate(), DblpLike(seed=1).generate()
    assert all(np.array_equal(a, b) for a, b in zip(network, again, strict=True))
    assert not np.array_equal(network[0], other[0])


def test_raw_files_have_the_format_of_dblp(tmp_path):
    counts = DblpLike(nodes=300, steps=27, classes=4, seed=5).write(tmp_path)
    lines = (tmp_path / "dblp.txt").read_text().splitlines()
    assert counts == {"nodes": 300, "events": len(lines), "steps": 27, "classes": 4}
    expected = ["0.0", "0.038462", "0.076923", "0.961538", "1.0"]
    times = list(dict.fromkeys(line.split(" ")[2] for line in lines))
    assert (len(times), [*times[:3], *times[-2:]]) == (27, expected)
    labels = [line.split(" ") for line in (tmp_path / "node2label.txt").read_text().splitlines()]
    assert [node for node, _ in labels] == [str(node) for node in range(300)]
    assert {label for _, label in labels} == {"0", "1", "2", "3"}
    assert json.loads((tmp_path / "synth.json").read_text())["generator"] == "dblp"


def test_the_demonstration_keeps_its_data(tmp_path):
    """Figures in the documentation were made with these bytes."""
    DblpLike(nodes=300, steps=6, classes=3).write(tmp_path)
    digest = hashlib.sha256((tmp_path / "dblp.txt").read_bytes() + (tmp_path / "node2label.txt").read_bytes())
    assert digest.hexdigest()[:16] == "0d690b37e7e3550f"


def test_parts_and_compression_are_as_in_the_other_formats(tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    DblpLike(nodes=100).write(tmp_path / "whole")
    DblpLike(nodes=100).write(tmp_path / "parts", parts=3)
    parts = [(tmp_path / "parts" / f"dblp-00{part}.txt").read_bytes() for part in range(3)]
    assert b"".join(parts) == (tmp_path / "whole" / "dblp.txt").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 1}, "classes: found 1, expected 2 or more"),
        ({"steps": 1}, "steps: found 1, expected 2 or more"),
        ({"nodes": 23}, "nodes: found 23, expected 24 or more"),
        ({"events_per_step": 10}, "events_per_step: found 10, expected 334 or more"),
        ({"noise": 1.5}, "noise: found 1.5, expected 0 to 1"),
        ({"seed": -1}, "seed: found -1, expected 0 or more"),
    ],
)
def test_impossible_sizes_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        DblpLike(**options)


def test_a_number_of_events_is_kept():
    edges, _ = DblpLike(events_per_step=1000).generate()
    assert len(edges) == pytest.approx(12000, rel=0.02)


@pytest.fixture(scope="module")
def tmall(made):
    """Edges (src, dst, step) and labels (node, class), as in the file."""
    folder = made("tmall", events=TMALL)
    edges = np.loadtxt(folder / "tmall.txt")
    labels = np.loadtxt(folder / "node2label.txt", dtype=int)
    return np.c_[edges[:, :2].astype(int), np.rint(edges[:, 2] * 185).astype(int)], labels


def test_counts_ids_and_steps(tmall, made):
    edges, _ = tmall
    nodes = round(577_314 * TMALL / 4_807_545)
    assert len(edges) == TMALL
    assert np.array_equal(np.unique(edges[:, :2]), np.arange(nodes))
    assert np.array_equal(np.unique(edges[:, 2]), np.arange(186))
    assert (np.diff(edges[:, 2]) >= 0).all()
    times = {line.split(" ")[2] for line in (made("tmall", events=TMALL) / "tmall.txt").read_text().split("\n")[:-1]}
    assert times == {repr(round(step / 185, 6)) for step in range(186)}


def test_labels_cover_a_seventh_of_the_nodes_out_of_order(tmall):
    edges, labels = tmall
    assert len(labels) == len(np.unique(labels[:, 0])) == round(81_380 * TMALL / 4_807_545)
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
