"""The benchmark's rows show what they must show."""

import numpy as np

from benchmarks import pairs


def test_families_are_beside_a_dictionary_that_gives_the_same():
    row, by_hand = pairs.family("shared", pairs.QUICK, 0.01), pairs.dictionary(pairs.QUICK, 0.01)
    assert (row["columns"], row["neighbors_cut"]) == (20, 0)
    assert min(row["pairs_per_second"], row["observe_edges_per_second"], by_hand["pairs_per_second"]) > 0
    assert pairs.sampling(pairs.QUICK, 0.01)["pairs_per_second"] > 0


def test_the_latest_neighbours_before_a_time():
    begin, partner, when = np.array([0, 3, 3]), np.array([5, 6, 7]), np.array([1, 2, 4])
    chosen = pairs.latest(begin, partner, when, np.array([0, 1, -1]), 4, 3)
    assert chosen.tolist() == [[6, 5, -1], [-1] * 3, [-1] * 3]


def test_the_picture_has_a_line_for_each_family(tmp_path, sketches):
    sizes = {"edges": (10, 20), "nodes": (5, 50)}
    rows = [
        {"varied": of, "family": name, of: size, "pairs_per_second": 1e6}
        for of, some in sizes.items()
        for size in some
        for name in pairs.FLAT
    ]
    pairs.draw(rows, tmp_path / "pairs.png")
    assert (tmp_path / "pairs.png").stat().st_size > 0
