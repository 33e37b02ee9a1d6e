"""The learned link model: what it sees, that scoring changes nothing, and that parts of a question do not matter."""

import pytest
import torch

from dgl_dysign.data import distinct_edges
from dgl_dysign.errors import ConfigError
from dgl_dysign.models import LinkScorer, UnderGS
from tests.training.link_cases import EDGES, NODES, CountedFeatures, scorer

SRC = torch.arange(NODES)
DST = torch.arange(NODES).expand(NODES, -1).contiguous()


def filled(last=6, **options):
    made = scorer(**options)
    for edges in EDGES[:last]:
        made.observe(edges)
    return made


def test_score_is_the_head_on_embeddings_and_features():
    made = filled()
    model = made.model.eval()
    z = model.embed(made.store, DST, now=6)
    expected = model.link(z[0, SRC], z, made.features.features(6, SRC, DST))
    model.train()  # score has to see to it that nothing is dropped
    torch.testing.assert_close(made.score(6, SRC, DST), expected.detach())
    assert model.training


@pytest.mark.parametrize("kind", ["undergs", "spiking"])
@pytest.mark.parametrize("features", [True, False])
def test_scoring_in_parts_gives_the_same_and_changes_nothing(kind, features):
    made = filled(kind=kind, features=features)
    before = made.store.slots.clone(), {name: value.clone() for name, value in made.model.named_parameters()}
    whole = made.score(6, SRC, DST)
    made.pairs_at_once, made.nodes_at_once = 3 * NODES, 7
    torch.testing.assert_close(made.score(6, SRC, DST), whole)
    torch.testing.assert_close(made.score(6, SRC[5:6], DST[5:6, 2:9]), whole[5:6, 2:9])
    assert torch.equal(made.store.slots, before[0])
    assert all(torch.equal(value, before[1][name]) for name, value in made.model.named_parameters())
    assert made.score(6, SRC[:0], DST[:0]).shape == (0, NODES)


@pytest.mark.parametrize("features", [True, False])
def test_every_parameter_learns_and_reset_forgets_the_past_only(features):
    made = filled(features=features)
    made.logits(6, SRC, DST).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in made.model.parameters())
    fresh = scorer(features=features)
    made.reset()
    assert made.store.snapshot == -1
    torch.testing.assert_close(made.score(0, SRC, DST), fresh.score(0, SRC, DST))


def test_a_loop_goes_to_the_store_as_it_is():
    made = scorer()
    made.observe(distinct_edges(0, [1, 2], [1, 3], num_nodes=NODES))
    assert made.store.neighbors(torch.tensor([1, 2]), 1).node[:, 0].tolist() == [-1, 3]


def test_features_must_fit_the_model():
    model = UnderGS(NODES, hidden_feats=8)
    with pytest.raises(ConfigError, match="pair_feats=0, but features has 3 columns: make it with pair_feats=3"):
        LinkScorer(model, model.store(), CountedFeatures())
    spiking = scorer("spiking", features=False)
    with pytest.raises(ConfigError, match="no features of edges"):
        LinkScorer(spiking.model, spiking.store, edge_feat=torch.zeros(3, 2))
