"""Entries of event labels: what each must not read, rules that can be counted, and figures against scikit-learn."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from dgl_dysign.evaluation import evaluate_events
from dgl_dysign.experiments.event_entries import default_entries
from dgl_dysign.experiments.event_task import EventSettings, EventTask, best_threshold, event_scores, recall_at
from dgl_dysign.training.events import EventFitConfig
from tests.experiments.systems import with_one_system
from tests.training.event_cases import ITEMS, SNAPSHOTS, USERS, stream, write

SMALL = EventSettings(hidden=8, num_neighbors=4, training=EventFitConfig(epochs=1))
EVENTS = stream(each=24)
ENTRIES = with_one_system(default_entries())
NOW = 17  # a test snapshot
FLOAT32_EPS = float(np.finfo(np.float32).eps)


@pytest.fixture(scope="module")
def task_of(tmp_path_factory):
    """Return a function that gives the task of some events, which all rows share."""
    home, tasks = tmp_path_factory.mktemp("entries"), {}

    def task_of(name, events):
        if name not in tasks:
            tasks[name] = EventTask(write(home / name, events), settings=SMALL)
        return tasks[name]

    return task_of


@pytest.fixture
def task(task_of):
    return task_of("data", EVENTS)


def changes(rng):
    """Change what must be of no account to an event of NOW: labels of NOW and all that is later; others of NOW."""
    later = [
        e if e[0] < NOW
        else (*e[:5], 1 - e[5], e[6]) if e[0] == NOW
        else (e[0], int(rng.integers(USERS)), USERS + int(rng.integers(ITEMS)), *e[3:5], 1 - e[5], 9.0)
        for e in EVENTS
    ]  # fmt: skip
    now = [e for e in EVENTS if e[0] == NOW]
    some = [now[k] for k in rng.permutation(len(now))[::2]]
    # Both labels stay in the test part: without them the folder would be refused.
    last = [(*e[:5], k % 2, e[6]) for k, e in enumerate(e for e in EVENTS if e[0] == SNAPSHOTS - 1)]
    return {"later": later, "some": [e for e in EVENTS if e[0] < NOW] + some + last[:6]}


@pytest.mark.parametrize("row", ENTRIES)
def test_nothing_at_or_after_the_snapshot_moves_a_score(row, task, task_of):
    before = scores_by_id(row, task)
    for name, events in changes(np.random.default_rng(0)).items():
        numbered = [(*e[:4], k, *e[5:]) for k, e in enumerate(events)]
        after = scores_by_id(row, task_of(name, numbered))
        kept = [(new[4], old[4]) for new, old in zip(numbered, events, strict=True) if new[0] <= NOW]
        assert len(kept) > 400
        moved = {new: abs(after[new] - before[old]) for new, old in kept}
        if name == "some" and ENTRIES[row].learns:
            # The events of NOW are other rows of a matrix product, which sums each in another order: rounding.
            for event in (e for e in numbered if e[0] == NOW):
                assert moved.pop(event[4]) <= 4 * FLOAT32_EPS * max(1.0, abs(after[event[4]])), name
        assert not any(moved.values()), name


def scores_by_id(row, task):
    ids = torch.cat([events.edge_id for events in task.snapshots]).tolist()
    return dict(zip(ids, scored(row, task).tolist(), strict=True))


@cache
def fitted(row, task):
    return ENTRIES[row].fitted(task.view())


def scored(row, task):
    task.score(outcome := fitted(row, task))
    return outcome.predicted


@pytest.mark.parametrize("row", ["logistic-regression", "boosted-trees", "undergs", "undergs-no-counts"])
def test_nothing_after_validation_moves_what_is_fitted(row, task, task_of):
    after = [(e[0], 0, e[2], 10.0 * e[0], e[4], 1 - e[5], 1e3) if e[0] >= 16 else e for e in EVENTS]
    one, other = (fitted(row, t) for t in (task, task_of("after", after)))
    known = task.view().snapshots
    assert torch.equal(evaluate_events(one.model, known), evaluate_events(other.model, known))
    if ENTRIES[row].learns:
        weights = (outcome.model.model.state_dict() for outcome in (one, other))
        assert all(torch.equal(a, b) for a, b in zip(*(w.values() for w in weights), strict=True))
        assert [{**epoch, "cpu_seconds": 0} for epoch in one.history] == [
            {**epoch, "cpu_seconds": 0} for epoch in other.history
        ]


@pytest.mark.parametrize("row", ENTRIES)
def test_scoring_changes_no_state_and_a_replay_gives_the_same(row, task):
    expected, model, again = scored(row, task), fitted(row, task).model, []
    model.reset()
    with torch.no_grad():
        for events in task.snapshots:
            again.append(model.score(events.hidden()))
            model.score(events.rows(torch.arange(3)))
            assert torch.equal(model.score(events), again[-1])  # with its labels, too
            model.observe(events)
    assert torch.equal(torch.cat(again), expected)


@pytest.mark.parametrize("row", [row for row in ENTRIES if row not in ("always-no", "few-events", "long-silent")])
def test_learned_entries_read_the_past_and_the_training_labels(row, task, task_of):
    before = scores_by_id(row, task)
    turned = [(*e[:5], 1 - e[5] if e[0] < 14 else e[5], e[6]) for e in EVENTS]
    assert scores_by_id(row, task_of("turned", turned)) != before
    earlier = [(*e[:2], USERS if e[0] == NOW - 1 else e[2], *e[3:]) for e in EVENTS]
    after = scores_by_id(row, task_of("earlier", earlier))
    now = [e[4] for e in EVENTS if e[0] == NOW]
    assert [after[k] for k in now] != [before[k] for k in now]


def test_rules_are_what_they_say(task):
    few, silent = (scores_by_id(row, task) for row in ("few-events", "long-silent"))
    now = [e for e in EVENTS if e[0] == NOW]
    past = {user: [e[3] for e in EVENTS if e[1] == user and e[0] < NOW] for user in range(USERS)}
    for a in now:
        for b in now:
            if len(past[a[1]]) < len(past[b[1]]):
                assert few[a[4]] > few[b[4]]
            gone = [e[3] - max(past[e[1]], default=-1e9) for e in (a, b)]
            if gone[0] > gone[1] + 1e-2:
                assert silent[a[4]] > silent[b[4]]


def test_always_no_has_the_scores_that_follow(task):
    found = event_scores(task, torch.zeros(len(task.label)), "test")
    rate = 100 * float(task.label[task.parts["test"]].double().mean())
    assert found == {
        "auc": 50.0,
        "ap": pytest.approx(rate),
        "accuracy": pytest.approx(100 - rate),
        "recall_at_1pct": pytest.approx(100 / len(task.parts["test"])),  # two of 48 events are 1 %, rounded up to one
    }


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=40))
def test_figures_against_others(pairs):
    scores = torch.tensor([float(s) for s, _ in pairs])
    true = torch.tensor([t for _, t in pairs])
    threshold = best_threshold(scores, true)
    right = {bound: int(((scores >= bound) == true).sum()) for bound in [*range(5), 9]}
    assert int(((scores >= threshold) == true).sum()) == max(right.values())
    if bool(true.any()):
        assert recall_at(scores, true, 1.0) == 1
        wanted = max(1, round(0.3 * len(pairs)))
        bound = sorted(scores.tolist(), reverse=True)[wanted - 1]
        sure, tied = scores > bound, scores == bound
        hits = int(true[sure].sum()) + (wanted - int(sure.sum())) * float(true[tied].double().mean())
        assert recall_at(scores, true, 0.3) == pytest.approx(hits / int(true.sum()))


def test_figures_are_in_percent_and_the_threshold_is_that_of_validation(task):
    generator = torch.Generator().manual_seed(0)
    scores = task.label + torch.randn(len(task.label), generator=generator)
    found = event_scores(task, scores, "test")
    rows = task.parts["test"]
    true, values = task.label[rows].numpy(), scores[rows].numpy()
    assert found["auc"] == pytest.approx(100 * roc_auc_score(true, values))
    assert found["ap"] == pytest.approx(100 * average_precision_score(true, values))
    val = task.parts["val"]
    bound = best_threshold(scores[val].double(), task.label[val] == 1)
    assert found["accuracy"] == pytest.approx(100 * ((values >= bound) == true).mean())


def test_the_seed_draws_what_is_drawn(task):
    for row in ("undergs", "boosted-trees"):
        first, again, other = (scored(row, task.with_seed(seed)) for seed in (0, 0, 1))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
