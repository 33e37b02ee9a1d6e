"""Ranks and figures are those of py-tgb's evaluator: its formula, and itself where it is installed."""

import numpy as np
import pytest
import torch

from dgl_dysign.evaluation import hits, mrr, tie_aware_rank


def _scores(seed, ties):
    scores = np.random.default_rng(seed).normal(size=(200, 41))
    return np.round(scores) if ties else scores


@pytest.mark.parametrize("ties", [False, True])
def test_formula(ties):
    """TGB averages the optimistic rank (ties below) and the pessimistic one (ties above), both from 0, and adds 1."""
    scores = _scores(1, ties)
    ahead, not_behind = ((scores[:, 1:] > scores[:, :1]).sum(1), (scores[:, 1:] >= scores[:, :1]).sum(1))
    rank = (ahead + not_behind) / 2 + 1
    assert tie_aware_rank(torch.from_numpy(scores)).tolist() == rank.tolist()


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("k", [1, 3, 10])
def test_evaluator(ties, k):
    evaluate = pytest.importorskip("tgb.linkproppred.evaluate", reason="py-tgb is not installed (pip install py-tgb)")
    scores = _scores(2, ties)
    query = {"y_pred_pos": scores[:, 0], "y_pred_neg": scores[:, 1:], "eval_metric": ["mrr", "hits@"]}
    theirs = evaluate.Evaluator("tgbl-wiki", k_value=k).eval(query)
    ranks = tie_aware_rank(torch.from_numpy(scores))
    assert mrr(ranks) == pytest.approx(float(theirs["mrr"]), rel=1e-6)
    assert hits(ranks, k) == pytest.approx(float(theirs[f"hits@{k}"]), rel=1e-6)
