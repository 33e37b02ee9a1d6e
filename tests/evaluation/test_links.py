"""What a model gets to see, and when."""

import math

import pytest
import torch

from dgl_dysign.baselines import DestinationRecency, RandomLinks, RecentDegree, link_reference_models
from dgl_dysign.data import TemporalGraph
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.evaluation import NegativeSampler, evaluate_links, split_snapshots
from tests.evaluation.link_cases import Constant, generated
from tests.prepared import prepare

_N = 60


def _evaluate(models, snapshots=range(20, 30), protocol="honest", **options):
    return evaluate_links(generated(), models, snapshots, NegativeSampler(_N), protocol, **options)


def test_a_constant_scorer_gets_one_in_51():
    scores = _evaluate({"constant": Constant()})["constant"]
    assert scores.mrr == pytest.approx(1 / 51)
    assert scores.pooled_mrr == pytest.approx(1 / 51)
    assert scores.auc == 0.5
    assert scores.ap == pytest.approx(1 / 101)
    assert scores.to_dict()["num_negatives"] == 100


def test_a_random_scorer_gets_the_expected_figures():
    scores = _evaluate({"random": RandomLinks(_N)}, range(2, 30))["random"]
    assert scores.pooled_mrr == pytest.approx(sum(1 / r for r in range(1, 102)) / 101, abs=0.02)
    assert scores.auc == pytest.approx(0.5, abs=0.04)


class _Trained(Constant):
    def update(self, edges):
        self.calls.append(("update", edges.snapshot))


@pytest.mark.parametrize(
    ("protocol", "order"),
    [
        ("honest", ["score", "observe"]),
        ("live-update", ["score", "update", "observe"]),
        ("undergs-released", ["observe", "score"]),
    ],
)
def test_order_of_calls(protocol, order):
    model = _Trained()
    _evaluate({"m": model}, [3, 4], protocol)
    before = [("reset",), *(("observe", t) for t in range(3))]
    assert model.calls == before + [(call, t) for t in (3, 4) for call in order]


def test_models_without_update_take_part_in_live_update():
    plain, live = _evaluate({"m": RecentDegree(_N)}), _evaluate({"m": RecentDegree(_N)}, protocol="live-update")
    assert torch.equal(plain["m"].rank, live["m"].rank)


def test_the_released_protocol_gives_a_model_that_knows_nothing_near_perfect_figures():
    models = {"recency": DestinationRecency(_N, ends="dst")}
    honest, leaking = (_evaluate(models, protocol=name)["recency"] for name in ("honest", "undergs-released"))
    # Nearly every node is active in a snapshot of this small history, so the leak does not reach 1 here.
    assert leaking.auc > honest.auc + 0.1
    assert "LEAKS" in repr(leaking)
    assert len(leaking.rank) == len(honest.rank)


def test_all_models_meet_the_same_queries_and_results_do_not_depend_on_company():
    together = _evaluate(link_reference_models(_N))
    for name, model in link_reference_models(_N).items():
        assert torch.equal(_evaluate({name: model})[name].rank, together[name].rank)


def test_batches_change_nothing():
    whole, pieces = (_evaluate(link_reference_models(_N), batch_size=size) for size in (8192, 3))
    for name, scores in whole.items():
        assert torch.equal(scores.rank, pieces[name].rank)


def test_a_folder_gives_the_same_as_its_snapshots(tmp_path):
    history = generated()
    events = [(e.snapshot, u, v) for e in history for u, v in zip(e.src.tolist(), e.dst.tolist(), strict=True)]
    data = TemporalGraph.load(prepare(tmp_path / "p", events, len(history), [-1] * _N, directed=True))
    read = evaluate_links(data, {"m": RecentDegree(_N)}, range(20, 30), NegativeSampler(_N))
    assert torch.equal(read["m"].rank, _evaluate({"m": RecentDegree(_N)})["m"].rank)


def test_progress_is_told():
    told = []
    _evaluate({"m": Constant()}, [2, 1], progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_loops_are_not_scored_and_empty_snapshots_are_passed_over():
    history = generated()
    loops = int((history[5].src == history[5].dst).sum())
    scores = evaluate_links(history, {"m": Constant()}, [5], NegativeSampler(_N))["m"]
    assert len(scores.rank) == len(history[5]) - loops
    first = evaluate_links(history, {"m": Constant()}, [0], NegativeSampler(_N))["m"]
    assert len(first.rank) == 0
    assert first.skipped == len(history[0]) - int((history[0].src == history[0].dst).sum())
    assert first.to_dict()["warm"]["mrr"] is None


class _Wrong(Constant):
    def score(self, snapshot, src, dst):
        return torch.zeros(dst.shape[0], 7)


def test_nan_and_wrong_shapes_name_model_and_snapshot():
    with pytest.raises(DataError, match=r"model 'mine', snapshot 20: found \d+ NaN among \d+ scores"):
        _evaluate({"mine": Constant(math.nan)})
    with pytest.raises(DataError, match=r"model 'mine', snapshot 20: found scores of shape \(\d+, 7\)"):
        _evaluate({"mine": _Wrong()})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"protocol": "released"}, "protocol='released'"),
        ({"snapshots": []}, "found none"),
        ({"snapshots": [29, 30]}, "found 29 to 30, expected some of 0 to 29"),
        ({"models": {}}, "0 models"),
        ({"batch_size": 0}, "batch_size=0"),
    ],
)
def test_bad_arguments(options, words):
    with pytest.raises(ConfigError, match=words):
        _evaluate(**{"models": {"m": Constant()}, **options})


def test_a_sequence_must_hold_every_snapshot():
    history = generated()
    del history[3]
    with pytest.raises(ConfigError, match="entry 3 holds snapshot 4"):
        evaluate_links(history, {"m": Constant()}, [6], NegativeSampler(_N))


def test_split_by_snapshot():
    assert split_snapshots(10) == (range(7), range(7, 8), range(8, 10))
    assert split_snapshots(10, 0.5, 0.2) == (range(5), range(5, 7), range(7, 10))
    for bad in ((2,), (10, 0.9, 0.1), (10, 0.0, 0.5)):
        with pytest.raises(ConfigError, match=r"three parts, .*; prepare the data .* --every day"):
            split_snapshots(*bad)
