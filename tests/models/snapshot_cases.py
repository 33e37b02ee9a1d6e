"""Small growing graphs as snapshots in float64, and Dy-SIGN written out on them with dense matrices."""

import torch

from dgl_dysign._dgl import dgl
from dgl_dysign.models import DySIGN, Snapshot
from tests.nn.equilibrium_oracle import EXACT, adjacency, unrolled

N, D, C = 11, 4, 3


def growing(num_snapshots=3, seed=0, width=D):
    """Return snapshots of an undirected graph in which nodes and edges appear; the last node never does."""
    generator = torch.Generator().manual_seed(seed)
    src, dst = torch.randint(N - 1, (2, 10 * num_snapshots), generator=generator)
    src, dst = src[src != dst], dst[src != dst]
    found = []
    for t in range(num_snapshots):
        # At first only nodes below a bound: later ones are inactive until their time has come.
        bound = 5 + (t + 1) * (N - 6) // num_snapshots
        inside = (src < bound) & (dst < bound)
        u = torch.cat([src[inside], torch.arange(bound - 1)])
        v = torch.cat([dst[inside], torch.arange(bound - 1) + 1])
        weight = torch.rand(len(u), dtype=torch.float64, generator=generator) + 0.1
        active = torch.arange(N) < bound
        feat = torch.randn(N, width, dtype=torch.float64, generator=generator) * active[:, None]
        graph = dgl.graph((torch.cat([u, v]), torch.cat([v, u])), num_nodes=N)
        found.append(Snapshot(graph, weight.repeat(2), feat, active))
    assert found[-1].active.sum() < N
    return found


def label_features(width=5, seed=3):
    return torch.randn(N, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def made(num_snapshots=3, seed=0, hidden=6, **options):
    """Return a float64 model whose read-out and coupling are not small, with a tight solver."""
    torch.manual_seed(seed)
    model = DySIGN(D, hidden, C, num_snapshots, **{"label_hidden": 4, **EXACT, **options}).double()
    with torch.no_grad():
        for parameter in (model.readout, model.bias, model.label_readout, model.coupling):
            if parameter is not None:
                parameter.normal_()
    return model


def dense_rates(model, snapshots):
    """Return the equilibria by 250 dense iterations each, with a tape."""
    rates, current = [], 0.0
    for snapshot in snapshots:
        seen = snapshot.active[:, None]
        matrix = adjacency(snapshot.graph, snapshot.edge_weight)
        assert not matrix[~snapshot.active].any()
        rate = unrolled(model.conv, matrix, model.encoded(snapshot.feat), current=current) * seen
        rates.append(rate)
        if model.coupling is not None:
            current = model.coupling * rate
    return rates


def dense_logits(model, snapshots, label_feat=None):
    """Return one fully connected layer on the concatenation of all centred rates."""
    parts = [(r - 0.5) * s.active[:, None] for r, s in zip(dense_rates(model, snapshots), snapshots, strict=True)]
    weights = list(model.readout)
    if label_feat is not None:
        conv = model.label_conv
        rate = (label_feat @ conv.injection_weight.t() + conv.biases[0]).clamp(0, 1)
        parts.append(rate - 0.5)
        weights.append(model.label_readout)
    return torch.cat(parts, 1) @ torch.cat(weights, 1).t() + model.bias
