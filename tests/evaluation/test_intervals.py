"""Intervals of differences: against scikit-learn draw by draw, coverage, signs, orders, ties, and what is missing."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from dgl_dysign.errors import ConfigError
from dgl_dysign.evaluation import intervals
from dgl_dysign.evaluation.intervals import Answers, bootstrap, difference


def drawn_tests(classes=4, nodes=60, tests=3, seed=0):
    """Make tests on overlapping parts of nodes; class 3 is so rare that some draws do not have it."""
    rng = np.random.default_rng(seed)
    label = np.minimum(rng.integers(classes * 5, size=nodes) // 5, classes - 1)
    label[label == 3] = 0
    label[:2] = 3
    made = []
    for _ in range(tests):
        items = rng.permutation(nodes)[: nodes // 2]
        true = label[items]
        guess = {row: np.where(rng.random(len(items)) < share, true, 0) for row, share in (("a", 0.5), ("b", 0.8))}
        made.append(Answers(items, guess, true))
    return made


def counted(tests, strata, draws, seed):
    """Yield how often each node counts, as the plainest code would draw it."""
    rng = np.random.default_rng(seed)
    nodes = np.unique(np.concatenate([test.items for test in tests]))
    yield dict.fromkeys(nodes.tolist(), 1)
    for _ in range(draws):
        count = dict.fromkeys(nodes.tolist(), 0)
        for value in np.unique([strata[node] for node in nodes]):
            group = [node for node in nodes if strata[node] == value]
            for place in rng.integers(len(group), size=len(group)):
                count[int(group[place])] += 1
        yield count


@pytest.mark.parametrize("figure", ["macro_f1", "micro_f1"])
def test_each_draw_is_what_scikit_learn_says_of_repeated_nodes(figure):
    tests = drawn_tests(tests=2)
    found = bootstrap(figure, tests, draws=12, seed=5)
    plain = dict.fromkeys(range(60), 0)
    for draw, count in enumerate(counted(tests, plain, 12, 5)):
        for row in ("a", "b"):
            each = []
            for test in tests:
                times = [count[node] for node in test.items.tolist()]
                true, guess = np.repeat(test.true, times), np.repeat(test.rows[row], times)
                each.append(100 * f1_score(true, guess, average=figure[:5]))
            assert found[row][draw] == pytest.approx(np.mean(each))


def test_each_draw_of_auc_is_what_scikit_learn_says_and_has_all_positives():
    rng = np.random.default_rng(1)
    true = (np.arange(80) < 3).astype(int)
    score = {"a": rng.integers(4, size=80) / 4 + true / 2, "b": np.zeros(80)}  # ties within, and between the classes
    test = Answers(np.arange(80), score, true)
    found = bootstrap("auc", [test], draws=30, seed=2)
    for draw, count in enumerate(counted([test], dict(enumerate(true)), 30, 2)):
        times = list(count.values())
        expected = roc_auc_score(true, score["a"], sample_weight=times)
        assert found["a"][draw] == pytest.approx(100 * expected)
        assert sum(times[:3]) == 3
    assert found["b"].tolist() == [50.0] * 31


def test_snapshots_are_the_same_in_all_seeds():
    mrr = {"a": np.array([10.0, 20, 60]), "b": np.array([10.0, 30, 20])}
    tests = [Answers(np.array([7, 9, 12]), mrr), Answers(np.array([7, 9, 12]), {k: v + 1 for k, v in mrr.items()})]
    found = bootstrap("mrr", tests, draws=30, seed=3)
    for draw, count in enumerate(counted(tests, dict.fromkeys((7, 9, 12), 0), 30, 3)):
        expected = sum(times * value for times, value in zip(count.values(), mrr["a"], strict=True)) / 3 + 0.5
        assert found["a"][draw] == pytest.approx(expected)
    assert difference(found["a"], found["b"])["mean"] == pytest.approx(10)


@pytest.mark.parametrize("blocks", [1, 1000])
def test_blocks_change_nothing(blocks, monkeypatch):
    expected = bootstrap("macro_f1", drawn_tests(), draws=20)
    monkeypatch.setattr(intervals, "_BLOCK", blocks)
    assert {k: v.tolist() for k, v in bootstrap("macro_f1", drawn_tests(), draws=20).items()} == {
        k: v.tolist() for k, v in expected.items()
    }


def test_equal_rows_differ_by_nothing_and_the_other_way_round_is_the_negative():
    tests = [Answers(t.items, {**t.rows, "again": t.rows["a"]}, t.true) for t in drawn_tests()]
    found = bootstrap("macro_f1", tests)
    assert difference(found["a"], found["again"]) == {"mean": 0.0, "low": 0.0, "high": 0.0}
    one, other = difference(found["a"], found["b"]), difference(found["b"], found["a"])
    assert [-other[name] for name in ("mean", "high", "low")] == pytest.approx(list(one.values()))


def test_the_order_of_nodes_and_the_rows_beside_do_not_count():
    tests, rng = drawn_tests(), np.random.default_rng(0)
    expected = bootstrap("macro_f1", tests)["a"]
    mixed = []
    for test in tests:
        order = rng.permutation(len(test.items))
        mixed.append(Answers(test.items[order], {"a": test.rows["a"][order]}, test.true[order]))
    assert bootstrap("macro_f1", mixed)["a"] == pytest.approx(expected, abs=1e-12)


def test_what_a_draw_does_not_have_is_never_nan():
    one = np.array([0])
    tests = [Answers(np.array([k]), {"a": one, "b": 1 - one}, one) for k in range(3)]  # one node a test
    for figure in ("macro_f1", "micro_f1"):
        found = bootstrap(figure, tests, draws=50)
        assert np.isfinite(found["a"]).all()
        assert found["b"].tolist() == [0.0] * 51
    true = np.array([1, 0, 0])
    tests = [Answers(np.arange(3) + 3 * k, {"a": np.array([2.0, 1.0, 0.0])}, true) for k in range(2)]
    found = bootstrap("auc", tests, draws=50)["a"]  # where a test has but one class: as by chance
    assert {100.0, 75.0} <= set(found.tolist()) <= {100.0, 75.0, 50.0}


def test_intervals_hold_the_difference_of_all_nodes_as_often_as_they_say():
    rng, held = np.random.default_rng(0), 0
    for _ in range(150):
        true = np.zeros(150, int)
        hard = rng.random(150)  # rows fail on the same nodes
        rows = {row: (hard + 0.2 * rng.random(150) > share).astype(int) for row, share in (("a", 0.8), ("b", 0.7))}
        found = bootstrap("micro_f1", [Answers(np.arange(150), rows, true)], draws=200)
        interval = difference(found["a"], found["b"])
        held += interval["low"] <= 10 <= interval["high"]
    assert 0.89 <= held / 150 <= 0.99


def test_what_cannot_be_drawn_is_an_error():
    with pytest.raises(ConfigError, match="0 tests of 'mrr': expected one at least, of macro_f1, micro_f1, auc, mrr"):
        bootstrap("mrr", [])
    with pytest.raises(ConfigError, match="1 tests of 'f2'"):
        bootstrap("f2", drawn_tests(tests=1))
    one, other = drawn_tests(tests=2)
    with pytest.raises(ConfigError, match=r"2 tests of 'auc': .* all with the same rows"):
        bootstrap("auc", [one, Answers(other.items, {"a": other.rows["a"]}, other.true)])
    with pytest.raises(ConfigError, match="and, but for mrr, with true classes"):
        bootstrap("macro_f1", [Answers(one.items, one.rows)])
