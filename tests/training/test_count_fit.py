"""Counting models are trained on the candidates and weights of link scorers."""

import pytest
import torch

from dgl_dysign.baselines import CountLinks, RandomLinks
from dgl_dysign.errors import ConfigError
from dgl_dysign.evaluation import NegativeSampler, evaluate_links
from dgl_dysign.training import LinkFitConfig, fit_counts
from tests.training.link_cases import EDGES, NODES, SPLIT, CountedFeatures

COLUMNS = ("degree", "met")


class Spy(CountLinks):
    def fit(self, feat, weight):
        self.given = feat, weight
        super().fit(feat, weight)


def test_is_given_what_link_scorers_are_given():
    model, config = Spy(CountedFeatures(), "logistic", COLUMNS), LinkFitConfig(half_life=4.0, batch_size=3)
    count = fit_counts(EDGES, model, NODES, SPLIT[0], config, seed=2)
    plain, sampler, rows, weight = CountedFeatures(), NegativeSampler(NODES, 10, seed=2), [], []
    for t in SPLIT[0]:
        queries = sampler.draw(EDGES[t])
        rows.append(plain.features(t, queries.src, queries.dst)[queries.warm][..., :2])
        weight += [2 ** (-(SPLIT[0][-1] - t) / 4)] * len(rows[-1])
        plain.observe(EDGES[t])
        sampler.observe(EDGES[t])
    assert torch.equal(model.given[0], torch.cat(rows))
    torch.testing.assert_close(model.given[1], torch.tensor(weight))
    assert count == len(weight)
    assert model.features.snapshot == -1


def test_beats_chance():
    model = CountLinks(CountedFeatures(), "logistic", COLUMNS)
    fit_counts(EDGES, model, NODES, SPLIT[0])
    found = evaluate_links(EDGES, {"m": model, "r": RandomLinks(NODES)}, SPLIT[2], NegativeSampler(NODES, 20))
    assert found["m"].mrr > 1.3 * found["r"].mrr


def test_of_too_much_the_latest_is_taken():
    model = Spy(CountedFeatures(), "logistic", COLUMNS)
    assert 20 <= fit_counts(EDGES, model, NODES, SPLIT[0], max_bytes=40 * 11 * 2 * 4) <= 40
    assert model.given[1].min() > 0.9


def test_without_a_warm_edge():
    with pytest.raises(ConfigError, match="no warm edge in the training snapshots 0 to 0"):
        fit_counts(EDGES, CountLinks(CountedFeatures(), columns=COLUMNS), NODES, range(1))
