"""ROLAND's questions and figure, beside a plain rewriting of what the paper and its released code say."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dgl_dysign.baselines import LastDegree, RandomLinks, RecentDegree, link_reference_models
from dgl_dysign.errors import ConfigError
from dgl_dysign.evaluation import NegativeSampler, RolandSampler, evaluate_links
from tests.evaluation.link_cases import HISTORIES, NUM_NODES, Constant, generated, snapshots

_N = 60
LIVE = "roland-live"


def _evaluate(models, edges=None, scored=range(1, 30), protocol=LIVE, **options):
    return evaluate_links(edges or generated(), models, scored, RolandSampler(_N, seed=3, **options), protocol)


def _destinations(edges, source):
    return {int(d) for s, d in zip(edges.src, edges.dst, strict=True) if int(s) == source}


def test_the_figure_is_that_of_a_plain_loop():
    edges, model, sampler = generated(), RecentDegree(_N), RolandSampler(_N, num_negatives=40, seed=3)
    (scores,) = _evaluate({"m": RecentDegree(_N)}, num_negatives=40).values()
    means, against = [], []
    for t in range(30):
        queries, places = sampler.draw(edges[t]), {False: [], True: []}
        for row in range(len(queries) if t else 0):
            source, asked = int(queries.src[row]), queries.dst[row].tolist()
            score = model.score(t, queries.src[row, None], queries.dst[row, None])[0].tolist()
            true = _destinations(edges[t], source)
            if bool(queries.tenth[row]):
                true &= set(asked[: queries.num_true])
            best = max(s for s, d in zip(score, asked, strict=True) if d in true)
            drawn = score[queries.num_true :]
            greater, equal = sum(s > best for s in drawn), sum(s == best for s in drawn)
            places[bool(queries.tenth[row])].append((1 + greater + equal / 2, 1 + greater + equal))
        if t:
            means.append(sum(1 / rank for rank, _ in places[False]) / len(places[False]))
            against.append([sum(1 / rank for _, rank in part) / len(part) for part in places.values()])
        model.observe(edges[t])
    assert scores.mrr == pytest.approx(sum(means) / 29)
    assert scores.by_snapshot()["mrr"] == pytest.approx(means)
    assert scores.summary()["mrr_ties_against"] == pytest.approx(sum(a for a, _ in against) / 29)
    assert scores.summary()["mrr_tenth"] == pytest.approx(sum(b for _, b in against) / 29)


@pytest.mark.parametrize("directed", [True, False])
def test_every_source_is_asked_once_about_all_its_destinations_and_nodes_that_are_none(directed):
    edges = generated(directed=directed)[7]
    queries = RolandSampler(_N, seed=1).draw(edges)
    ends = [(int(s), int(d)) for s, d in zip(edges.src, edges.dst, strict=True)]
    ends += [] if directed else [(d, s) for s, d in ends]
    all_rows = ~queries.tenth
    assert queries.src[all_rows].tolist() == sorted({s for s, _ in ends})
    for source, asked in zip(queries.src[all_rows].tolist(), queries.dst[all_rows].tolist(), strict=True):
        true = {d for s, d in ends if s == source}
        assert set(asked[: queries.num_true]) == true
        drawn = set(asked[queries.num_true :])
        assert drawn == set(range(_N)) - true  # 1,000 draws of 60 nodes meet all of them, the source too
    sources = set(queries.src[queries.tenth].tolist())
    assert 1 <= len(sources) <= (1 if directed else 2) * math.ceil(0.1 * int(edges.count.sum()) + 1)
    assert sources <= {s for s, _ in ends}


def test_a_constant_scorer_gets_the_middle_rank_and_no_more():
    (scores,) = _evaluate({"constant": Constant()}).values()
    assert scores.mrr == pytest.approx(1 / 501)
    figures = scores.summary()
    assert figures["mrr_ties_against"] == figures["mrr_tenth"] == pytest.approx(1 / 1001)
    assert figures["hits@10"] == 0


def test_snapshots_of_fewer_than_ten_events_are_observed_but_not_asked_about():
    edges = snapshots([[(0, 1)] * 10, [(1, 2)] * 9, [(0, 2)] * 9 + [(2, 2)]])
    scores = evaluate_links(edges, {"m": LastDegree(NUM_NODES)}, range(3), RolandSampler(NUM_NODES), LIVE)["m"]
    assert scores.by_snapshot()["snapshot"].tolist() == [0, 2]
    assert scores.by_snapshot()["sources"].tolist() == [1, 2]


def test_a_source_that_is_joined_to_all_nodes_is_left_out():
    edges = snapshots([[(0, d) for d in range(NUM_NODES)] + [(1, 0)] * 5])[0]
    queries = RolandSampler(NUM_NODES, num_negatives=5).draw(edges)
    assert queries.src[~queries.tenth].tolist() == [1]


class _Update(Constant):
    def update(self, edges):
        self.calls.append(("update", edges.snapshot))


@pytest.mark.parametrize(("protocol", "updates"), [(LIVE, [1, 2]), ("roland-fixed", [])])
def test_live_models_learn_after_they_are_scored_and_before_they_observe(protocol, updates):
    model = _Update()
    _evaluate({"m": model}, scored=[1, 2], protocol=protocol)
    assert [t for call, *t in model.calls if call == "update"] == [[t] for t in updates]
    order = [call for call, *_ in model.calls if call != "reset"]
    assert order == ["observe", *(["score", "update", "observe"] if updates else ["score", "observe"]) * 2]


def test_batches_and_company_change_nothing():
    together = _evaluate(link_reference_models(_N), scored=[28, 29], num_negatives=100)
    for name, model in link_reference_models(_N).items():
        sampler = RolandSampler(_N, 100, seed=3)
        alone = evaluate_links(generated(), {name: model}, [28, 29], sampler, LIVE, batch_size=3)[name]
        assert alone.to_dict() == together[name].to_dict()


@settings(max_examples=10, deadline=None)
@given(HISTORIES, HISTORIES, st.data())
def test_whatever_happens_at_or_after_t_no_score_of_t_moves(history, other, data):
    cut = data.draw(st.integers(0, len(history) - 1))
    changed = snapshots(history[:cut] + other)
    sampler = RolandSampler(NUM_NODES, num_negatives=5, least=1)
    said = []
    for edges in (snapshots(history), changed):
        heard = []
        for model in (LastDegree(NUM_NODES), *link_reference_models(NUM_NODES).values()):
            heard.append(_Heard(model, cut))
            evaluate_links(edges, {"m": heard[-1]}, range(min(cut + 1, len(edges))), sampler, LIVE)
        said.append([probe.scores for probe in heard])
    for left, right in zip(*said, strict=True):
        assert len(left) == len(right)
        assert all(map(torch.equal, left, right))


class _Heard:
    """Passes all calls on, and keeps the scores of all pairs before each snapshot up to `last` is observed."""

    def __init__(self, model, last):
        self.model, self.last = model, last
        self.reset, self.score = model.reset, model.score
        self.scores = []

    def observe(self, edges):
        if edges.snapshot <= self.last:
            nodes = torch.arange(NUM_NODES)
            self.scores.append(self.model.score(edges.snapshot, nodes, nodes.expand(NUM_NODES, -1)))
        self.model.observe(edges)


@pytest.mark.parametrize(
    ("sampler", "protocol"),
    [(NegativeSampler(_N), LIVE), (RolandSampler(_N), "honest"), (RolandSampler(_N), "live-update")],
)
def test_a_protocol_goes_with_its_own_sampler(sampler, protocol):
    with pytest.raises(ConfigError, match="expected a RolandSampler under roland-live"):
        evaluate_links(generated(), {"m": RandomLinks(_N)}, [3], sampler, protocol)


def test_options_out_of_range():
    for options in ({"num_negatives": 0}, {"seed": -1}, {"least": 0}):
        with pytest.raises(ConfigError, match="expected at least"):
            RolandSampler(5, **options)
