"""Every convolution of ``dgl_dysign.nn``, made as one makes DGL's."""

import torch

from dgl_dysign.nn import EquilibriumSpikingConv, InfluenceConv, SpikingGraphConv

AGGREGATORS = ("gcn", "sage", "gat", "gin")
GRADIENTS = ("implicit", "one-step", "trace", "bptt")
USES_BOTH_SIDES = ("influence-gat", "influence-gin")
ANYWHERE = ("spiking", "spiking-drawn", *(f"influence-{name}" for name in AGGREGATORS))
EQUILIBRIUM = tuple(f"equilibrium-{name}" for name in GRADIENTS)
CONVS = (*ANYWHERE, *EQUILIBRIUM)


def make(name, in_feats=5, out_feats=4, **options):
    """Return a layer that gives rates or features alone, as DGL's do, whatever the degrees."""
    torch.manual_seed(0)
    kind, _, variant = name.partition("-")
    if kind == "influence":
        conv = InfluenceConv(in_feats, out_feats, variant, **options)
    elif kind == "equilibrium":
        conv = EquilibriumSpikingConv(in_feats, out_feats, gradient=variant, return_state=False, **options)
    else:
        encoding = "bernoulli" if variant else "constant"
        conv = SpikingGraphConv(in_feats, out_feats, encoding=encoding, allow_zero_in_degree=True, **options)
    for parameter in conv.parameters():  # a bias of zero would hide what it does
        if parameter.dim() == 1:
            torch.nn.init.uniform_(parameter, 0.2, 0.6)
    return conv


def call(conv, *args, **options):
    """Call a layer with the same random numbers every time."""
    torch.manual_seed(1)
    return conv(*args, **options)


def features(num_nodes, width=5, seed=2):
    """Return features in [0, 1], as drawn spikes need them."""
    return torch.rand(num_nodes, width, generator=torch.Generator().manual_seed(seed))


def inputs(conv, graph):
    """Return what DGL's own layers are given: one tensor, or a pair where both sides are of their own types."""
    feat = features(graph.num_src_nodes())
    needs_both = getattr(conv, "aggregator", None) in ("gat", "gin")
    source_type, _, target_type = graph.canonical_etypes[0]
    if needs_both and source_type != target_type:
        return feat, features(graph.num_dst_nodes(), seed=3)
    return feat
