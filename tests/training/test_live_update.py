"""Live update: weights learn from a snapshot after it is scored; those of the trained scorer stay."""

import pytest
import torch

from dgl_dysign.errors import ConfigError
from dgl_dysign.evaluation import NegativeSampler, evaluate_links
from dgl_dysign.training.live_update import LiveLinkScorer
from tests.training.link_cases import EDGES, NODES, SPLIT, scorer

SAMPLER = {"num_nodes": NODES, "num_negatives": 20}


def weights(made):
    return [parameter.detach().clone() for parameter in made.model.parameters()]


def same(left, right):
    return all(map(torch.equal, left, right))


def test_updates_under_live_update_only_and_reset_gives_the_weights_back():
    made = scorer()
    given, live = weights(made), LiveLinkScorer(made, lr=1e-2)
    honest = [evaluate_links(EDGES, {"m": m}, SPLIT[2], NegativeSampler(**SAMPLER))["m"] for m in (made, live)]
    assert torch.equal(honest[0].rank, honest[1].rank)
    assert same(weights(live), given)
    found = [
        evaluate_links(EDGES, {"m": live}, SPLIT[2], NegativeSampler(**SAMPLER), "live-update")["m"] for _ in range(2)
    ]
    assert not same(weights(live), given)
    assert same(weights(made), given)
    assert torch.equal(found[0].rank, found[1].rank)
    assert not torch.equal(found[0].rank, honest[1].rank)
    first = int((found[0].rank == honest[1].rank).long().cumprod(0).sum())
    queries = NegativeSampler(**SAMPLER)
    for edges in EDGES[: SPLIT[2][0]]:
        queries.observe(edges)
    assert first >= len(queries.draw(EDGES[SPLIT[2][0]]))  # the first snapshot is scored before anything is learned
    live.reset()
    assert same(weights(live), given)


def test_learns_what_it_is_shown():
    made = scorer()
    live = LiveLinkScorer(made, steps=120, lr=1e-2)
    for edges in EDGES[:9]:
        live.observe(edges)
    before = loss(live)
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    live.update(EDGES[9])
    assert torch.equal(torch.rand(1), expected)  # random numbers of the caller are his
    assert loss(live) < 0.9 * before
    assert not live.model.training


def loss(live):
    sampler = NegativeSampler(NODES, live.config.num_negatives, seed=live.seed)
    for edges in EDGES[:9]:
        sampler.observe(edges)
    queries = sampler.draw(EDGES[9])
    scores = live.score(9, queries.src[queries.warm], queries.dst[queries.warm])
    return float(-scores.log_softmax(1)[:, 0].mean())


def test_bad_input():
    for options in ({"steps": 0}, {"lr": 0.0}):
        with pytest.raises(ConfigError, match="at least 1 step"):
            LiveLinkScorer(scorer(), **options)
