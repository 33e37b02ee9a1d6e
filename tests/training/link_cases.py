"""A small history, features that stand in for the real ones, and scorers over both."""

import torch

from dgl_dysign.evaluation import split_snapshots
from dgl_dysign.models import LinkScorer, SpikingUnderGS, UnderGS
from tests.evaluation.link_cases import generated

NODES, SNAPSHOTS = 40, 20
EDGES = generated(SNAPSHOTS, NODES, edges=20)
SPLIT = split_snapshots(SNAPSHOTS)


class CountedFeatures:
    """Degree of the destination and whether the pair met, from what was observed; counts its calls."""

    names = ("degree", "met", "constant")

    def __init__(self, num_nodes=NODES):
        self.num_nodes, self.calls, self.observed = num_nodes, 0, 0
        self.reset()

    def reset(self):
        self.met, self.snapshot = torch.zeros(self.num_nodes, self.num_nodes), -1

    def observe(self, edges):
        assert edges.snapshot > self.snapshot
        self.observed += 1
        self.met[edges.src, edges.dst] += 1
        self.snapshot = edges.snapshot

    def features(self, snapshot, src, dst):
        assert snapshot > self.snapshot
        self.calls += 1
        degree, met = self.met.sum(0)[dst], self.met[src[:, None].expand_as(dst), dst]
        return torch.stack([degree, met, torch.full(dst.shape, 3.0)], dim=-1)


def scorer(kind="undergs", features=True, nodes=NODES, seed=0, **options):
    """Return a fresh scorer: ``undergs`` or ``spiking``."""
    torch.manual_seed(seed)
    feats = CountedFeatures(nodes) if features is True else features or None
    options = {"hidden_feats": 8, "pair_feats": len(feats.names) if feats else 0, **options}
    if kind == "spiking":
        model = SpikingUnderGS(nodes, id_feats=6, latency=3, **options)
    else:
        model = UnderGS(nodes, num_neighbors=4, **options)
    return LinkScorer(model, model.store(num_neighbors=4), feats)
