"""Learned link models with weights drawn by a fixed seed, for the tests that hold for every model."""

import copy
import functools
from unittest import mock

import torch

from dgl_dysign.baselines import CountLinks
from dgl_dysign.baselines.link_counts import TREES
from dgl_dysign.models import LinkScorer, SpikingUnderGS, UnderGS
from dgl_dysign.pairs import CachedFeatures, LinkFeatures

_FAMILIES = ("pair",)  # the features have tests of their own, and all of them would take minutes here


def undergs(num_nodes, features=True, spiking=False, cached=False, **options):
    """Return a scorer over a small store."""
    torch.manual_seed(0)
    feats = LinkFeatures(num_nodes, families=_FAMILIES) if features else None
    feats = CachedFeatures(feats) if cached else feats
    options |= {"hidden_feats": 8, "pair_feats": len(feats.names) if feats else 0}
    if spiking:
        model = SpikingUnderGS(num_nodes, id_feats=4, latency=3, **options)
    else:
        model = UnderGS(num_nodes, num_neighbors=3, **options)
    return LinkScorer(model, model.store(num_neighbors=3), feats)


def counting(num_nodes, kind):
    """Return logistic regression or trees that have learned something, whatever it is."""
    model = copy.copy(_fitted(kind))
    model.features = LinkFeatures(num_nodes, families=_FAMILIES)
    return model


@functools.cache
def _fitted(kind):
    model = CountLinks(LinkFeatures(1, families=_FAMILIES), kind)
    generator = torch.Generator().manual_seed(0)
    feat = 3 * torch.rand(300, 2, len(model.columns), generator=generator)
    feat[:, 0] += torch.rand(300, len(model.columns), generator=generator)
    with mock.patch.dict(TREES, max_iter=20):  # hundreds of trees are slow to ask a thousand times
        model.fit(feat, torch.ones(300))
    return model
