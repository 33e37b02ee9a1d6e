"""Figures over snapshots and over edges, warm and cold apart."""

import json
import math

import pytest
import torch

from dgl_dysign.evaluation import LinkQueries, LinkScores


def _filled(protocol="honest"):
    scores = LinkScores("m", protocol)
    first = LinkQueries(
        3, torch.tensor([0, 1, 2]), torch.zeros(3, 3, dtype=torch.int64), torch.tensor([1, 1, 0]).bool()
    )
    scores.add(first, torch.tensor([[9.0, 1.0, 2.0], [1.0, 2.0, 0.0], [0.0, 1.0, 1.0]]))
    second = LinkQueries(5, torch.tensor([4]), torch.zeros(1, 3, dtype=torch.int64), torch.tensor([True]), skipped=2)
    scores.add(second, torch.tensor([[1.0, 1.0, 1.0]]))
    return scores


def test_mean_over_snapshots_and_over_edges():
    scores = _filled()
    assert scores.rank.tolist() == [1, 2, 3, 2]
    assert scores.warm.tolist() == [True, True, False, True]
    warm = scores.summary()
    assert (warm["edges"], warm["snapshots"]) == (3, 2)
    assert scores.mrr == warm["mrr"] == pytest.approx((0.75 + 0.5) / 2)
    assert scores.pooled_mrr == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert warm["hits@1"] == pytest.approx((0.5 + 0) / 2)
    assert warm["hits@1_pooled"] == pytest.approx(1 / 3)
    assert warm["hits@3"] == warm["hits@10"] == 1
    # Snapshot 3: 9 beats 4 of 4 negatives, 1 beats one, ties with one; snapshot 5: all tie.
    assert scores.auc == pytest.approx(((4 + 1.5) / 8 + 0.5) / 2)
    # Each list alone: 1 and 1/2, then 1/2.
    assert warm["list_auc"] == pytest.approx((0.75 + 0.5) / 2)
    assert warm["list_auc_pooled"] == pytest.approx(2 / 3)
    assert scores.ap == pytest.approx(((1 + 2 / 5) / 2 + 1 / 3) / 2)
    cold = scores.summary(warm=False)
    assert (cold["edges"], cold["snapshots"], cold["mrr"]) == (1, 1, pytest.approx(1 / 3))


def test_figures_of_each_snapshot():
    table = _filled().by_snapshot()
    assert table["snapshot"].tolist() == [3, 5]
    assert table["edges"].tolist() == [2, 1]
    assert table["mrr"].tolist() == [0.75, 0.5]


def test_output_is_json_and_without_edges_has_no_figure():
    kept = json.loads(json.dumps(_filled().to_dict(), allow_nan=False))
    assert kept["model"] == "m"
    assert kept["num_negatives"] == 2
    assert kept["skipped"] == 2
    assert kept["cold"]["edges"] == 1
    empty = LinkScores("m")
    assert empty.to_dict()["warm"]["mrr"] is None
    assert math.isnan(empty.mrr)
    assert len(empty.rank) == len(empty.warm) == 0


@pytest.mark.parametrize("protocol", ["honest", "live-update", "undergs-released"])
def test_every_output_names_the_protocol_and_whether_it_leaks(protocol):
    scores = _filled(protocol)
    for text in (scores.protocol, scores.to_dict()["protocol"], repr(scores)):
        assert protocol in text
        assert ("LEAKS" in text) == (protocol == "undergs-released")
