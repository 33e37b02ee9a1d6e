"""TPNet: a network over projected walks, trained as other scorers are."""

import copy

import pytest
import torch

from dgl_dysign.baselines import PairScorer, RandomLinks, TPNet
from dgl_dysign.errors import ConfigError
from dgl_dysign.evaluation import NegativeSampler, evaluate_links
from dgl_dysign.pairs import LinkFeatures
from dgl_dysign.training import LinkFitConfig, fit_links
from dgl_dysign.training.links import TrainableScorer
from dgl_dysign.training.live_update import LiveLinkScorer
from tests.training.link_cases import EDGES, NODES, SPLIT


def scorer():
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return PairScorer(TPNet(NODES, hidden_feats=16), LinkFeatures(NODES, families=["projections"]))


def test_scores_are_those_of_standardised_columns():
    model, feat = TPNet(NODES, pair_feats=3, hidden_feats=4), torch.randn(5, 2, 3)
    model.standardise(torch.tensor([1.0, 0.0, 2.0]), torch.tensor([2.0, 1.0, 0.0]))
    one, two, out = (layer for layer in model.layers if isinstance(layer, torch.nn.Linear))
    columns = (feat - torch.tensor([1.0, 0.0, 2.0])) / torch.tensor([2.0, 1.0, torch.inf])
    expected = (two(one(columns.clamp(-5, 5)).relu()).relu() @ out.weight.T)[..., 0]
    torch.testing.assert_close(model(feat), expected)
    with pytest.raises(ConfigError, match="expected 1 or more"):
        TPNet(NODES, hidden_feats=0)


def test_it_learns_more_than_chance_and_every_parameter_learns():
    trained = scorer()
    assert isinstance(trained, TrainableScorer)
    before = copy.deepcopy(trained.model.state_dict())
    fit_links(EDGES, trained, SPLIT, LinkFitConfig(epochs=5, lr=1e-2))
    assert all(not torch.equal(value, before[name]) for name, value in trained.model.state_dict().items())
    models = {"tpnet": trained, "chance": RandomLinks(NODES)}
    scores = evaluate_links(EDGES, models, SPLIT[2], NegativeSampler(NODES, 20))
    assert scores["tpnet"].mrr > 1.3 * scores["chance"].mrr


def test_scores_do_not_depend_on_how_many_are_held_at_once():
    model = scorer()
    for edges in EDGES[:6]:
        model.observe(edges)
    src, dst = torch.arange(8), torch.randint(NODES, (8, 5), generator=torch.Generator().manual_seed(1))
    whole = model.score(6, src, dst)
    model.pairs_at_once = 10
    torch.testing.assert_close(model.score(6, src, dst), whole)
    assert model.score(6, src[:0], dst[:0]).shape == (0, 5)


def test_live_update_goes_on_from_a_copy():
    model = scorer()
    live = LiveLinkScorer(model, lr=1e-2)
    before = copy.deepcopy(model.model.state_dict())
    for edges in EDGES[:4]:
        live.update(edges)
        live.observe(edges)
    assert all(torch.equal(value, before[name]) for name, value in model.model.state_dict().items())
    assert not torch.equal(live.model.layers[0].weight, model.model.layers[0].weight)
