"""Whatever happens at or after t, no score of t moves: for every link model of the package.

To have a model tested here, add a factory to ``FACTORIES``: a function from the number of nodes to a fresh model.
"""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dgl_dysign.baselines import EdgeBank, RecentDegree, link_reference_models
from dgl_dysign.evaluation import LinkModel, NegativeSampler, evaluate_links
from tests.evaluation.learned_models import counting, undergs
from tests.evaluation.link_cases import HISTORIES, NUM_NODES, snapshots

FACTORIES: dict[str, Callable[[int], LinkModel]] = {
    **{name: lambda n, name=name: link_reference_models(n)[name] for name in link_reference_models(1)},
    "edgebank-window-1": lambda n: EdgeBank(n, window=1),
    "recent-degree-dst": lambda n: RecentDegree(n, decay=0.3, ends="dst"),
    "undergs": lambda n: undergs(n, cached=True),  # the two below are without a cache
    "undergs-paper": lambda n: undergs(n, features=False, preset="paper"),
    "undergs-mixer": lambda n: undergs(n, features=False, aggregator="mixer"),
    "spiking-undergs": lambda n: undergs(n, spiking=True),
    "logistic-regression": lambda n: counting(n, "logistic"),
    "boosted-trees": lambda n: counting(n, "trees"),
}

_SRC = torch.arange(NUM_NODES)
_DST = torch.arange(NUM_NODES).expand(NUM_NODES, -1).contiguous()


class _Probe:
    """Passes all calls on, and keeps what the model says: of the queries and, beside them, of every pair.

    It asks for every pair last before a snapshot is observed and, if `often`, before and after the queries too.
    """

    def __init__(self, model, often):
        self.model, self.often = model, often
        self.said = {"queries": [], "pairs": []}

    def reset(self):
        self.model.reset()

    def observe(self, edges):
        self._ask(edges.snapshot)
        self.model.observe(edges)

    def score(self, snapshot, src, dst):
        if self.often:
            self._ask(snapshot)
        scores = self.model.score(snapshot, src, dst)
        self.said["queries"].append((snapshot, scores.clone()))
        if self.often:
            self._ask(snapshot)
        return scores

    def _ask(self, snapshot):
        self.said["pairs"].append((snapshot, self.model.score(snapshot, _SRC, _DST).detach().clone()))


def _said(history, model, directed, last, protocol="honest", often=False):
    """Return what a model says of queries and of pairs up to a snapshot, in the order in which it says it."""
    probe = _Probe(model, often)
    sampler = NegativeSampler(NUM_NODES, num_negatives=5)
    evaluate_links(snapshots(history, directed), {"m": probe}, range(len(history)), sampler, protocol)
    return {kind: [(t, scores) for t, scores in said if t <= last] for kind, said in probe.said.items()}


def _same(left, right):
    """Compare by snapshot, so that the number of times that a model was asked is of no account."""
    first, second = (dict(said) for said in (left, right))  # what was said last of each snapshot
    assert first.keys() == second.keys()
    for t, scores in first.items():
        torch.testing.assert_close(scores, second[t], rtol=0, atol=0)


@st.composite
def _two_futures(draw):
    """Return a history, a snapshot t and the same history with something else at and after t (or only after t)."""
    history = draw(HISTORIES)
    t = draw(st.integers(0, len(history) - 1))
    change = draw(st.sampled_from(["new", "delete", "shuffle"]))
    if change == "new":
        future = draw(HISTORIES)
    elif change == "delete":
        future = [[] for _ in history[t:]]
    else:
        events = [event for part in history[t:] for event in part]
        events = draw(st.permutations(events))
        sizes = [len(part) for part in history[t:]]
        future = [[events.pop() for _ in range(size)] for size in reversed(sizes)]
    return history, t, history[:t] + future


@pytest.mark.parametrize("name", FACTORIES)
@settings(max_examples=16, deadline=None)
@given(case=_two_futures(), directed=st.booleans())
def test_no_score_of_t_depends_on_t_or_later(name, case, directed):
    history, t, other = case
    model = FACTORIES[name](NUM_NODES)
    # Every pair's score at t, and before, is the same, with another snapshot t too ...
    said = _said(history, model, directed, t)
    _same(said["pairs"], _said(other, model, directed, t)["pairs"])
    # ... and what is asked, and answered, at t is the same when snapshot t is.
    kept = history[: t + 1] + other[t + 1 :]
    _same(said["queries"], _said(kept, model, directed, t)["queries"])


@pytest.mark.parametrize("name", FACTORIES)
@settings(max_examples=10, deadline=None)
@given(history=HISTORIES, directed=st.booleans())
def test_scoring_changes_nothing(name, history, directed):
    """Asked twice before observing, a model answers alike; after a reset everything is as it was with a fresh one."""
    used, fresh = FACTORIES[name](NUM_NODES), FACTORIES[name](NUM_NODES)
    said = _said(history, used, directed, len(history), often=True)["pairs"]
    for t in range(len(history)):
        scores = [s for at, s in said if at == t]
        for other in scores[1:]:
            torch.testing.assert_close(scores[0], other, rtol=0, atol=0)
    _same(_said(history, used, directed, len(history))["pairs"], said)
    for edges in snapshots(history, directed):  # never asked before the end
        fresh.observe(edges)
    used.reset()
    for edges in snapshots(history, directed):
        used.score(edges.snapshot, _SRC, _DST)
        used.observe(edges)
    end = len(history)
    torch.testing.assert_close(used.score(end, _SRC, _DST), fresh.score(end, _SRC, _DST), rtol=0, atol=0)


def test_the_test_catches_the_released_protocol():
    """There t is observed before it is scored."""
    model = FACTORIES["recent-degree"](NUM_NODES)
    one, two = [[(0, 1)], [(2, 3)]], [[(0, 1)], [(4, 5)]]
    _same(*(_said(h, model, True, 1)["pairs"] for h in (one, two)))
    with pytest.raises(AssertionError):
        _same(*(_said(h, model, True, 1, "undergs-released", often=True)["pairs"] for h in (one, two)))


class _Peeking:
    """What the tests must catch: counts that are taken while scoring."""

    def __init__(self, num_nodes):
        self.count = torch.zeros(num_nodes)

    def reset(self):
        self.count.zero_()

    def observe(self, edges):
        pass

    def score(self, snapshot, src, dst):
        self.count[dst[:, 0]] += 1
        return self.count[dst]


def test_the_test_catches_a_model_that_learns_while_scoring(monkeypatch):
    monkeypatch.setitem(FACTORIES, "peeking", _Peeking)
    with pytest.raises(AssertionError):
        test_scoring_changes_nothing.hypothesis.inner_test("peeking", [[(0, 1)], [(1, 2)]], True)
