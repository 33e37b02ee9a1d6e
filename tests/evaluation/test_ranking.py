"""Ranking figures: against loops and scikit-learn, with ties."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.evaluation import auc, average_precision, hits, mrr, tie_aware_rank

_SCORES = st.lists(st.integers(-3, 3), min_size=1, max_size=12)


@settings(deadline=None)
@given(scores=_SCORES)
def test_rank_is_the_mean_of_best_and_worst_place(scores):
    true, others = scores[0], scores[1:]
    best = 1 + sum(other > true for other in others)
    worst = 1 + sum(other >= true for other in others)
    rank = tie_aware_rank(torch.tensor([scores], dtype=torch.float32))
    assert rank.dtype == torch.float64
    assert rank.item() == (best + worst) / 2


@pytest.mark.parametrize("value", [0.0, -7.5, math.inf, -math.inf])
def test_a_constant_scorer_gets_one_in_51(value):
    ranks = tie_aware_rank(torch.full((4, 101), value))
    assert mrr(ranks) == pytest.approx(1 / 51)
    assert hits(ranks, 10) == 0
    assert hits(ranks, 51) == 1


def test_infinite_scores_are_ordered_like_others():
    assert tie_aware_rank(torch.tensor([[-math.inf, 0.0, math.inf], [math.inf, 0.0, 1.0]])).tolist() == [3, 1]


@settings(max_examples=60, deadline=None)
@given(positive=_SCORES, negative=_SCORES)
def test_auc_and_average_precision_are_those_of_scikit_learn(positive, negative):
    labels = np.r_[np.ones(len(positive)), np.zeros(len(negative))]
    scores = np.r_[positive, negative].astype(float)
    true, drawn = torch.tensor(positive).double(), torch.tensor(negative).double()
    assert auc(true, drawn) == pytest.approx(roc_auc_score(labels, scores))
    assert average_precision(true, drawn) == pytest.approx(average_precision_score(labels, scores))


def test_shapes_are_of_no_account():
    true, drawn = torch.rand(6), torch.rand(6, 5)
    assert auc(true, drawn) == auc(true.view(2, 3), drawn.reshape(-1))


def test_nothing_to_average():
    empty = torch.empty(0)
    assert all(math.isnan(f) for f in (mrr(empty), hits(empty, 1), auc(empty, empty), average_precision(empty, empty)))


def test_bad_scores_are_refused():
    with pytest.raises(DataError, match="NaN"):
        tie_aware_rank(torch.tensor([[0.0, math.nan]]))
    with pytest.raises(ConfigError, match=r"shape \(3,\)"):
        tie_aware_rank(torch.zeros(3))
