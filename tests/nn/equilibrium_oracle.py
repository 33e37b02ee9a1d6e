"""The equilibrium layer's equations written out with an adjacency matrix, and problems to try them on."""

import torch
from torch.nn.functional import hardtanh

from dgl_dysign import ops
from dgl_dysign.nn import EquilibriumSpikingConv
from tests.nn.conv_cases import undirected

EXACT = {"tol": 1e-13, "adjoint_tol": 1e-13, "max_iter": 400, "adjoint_max_iter": 400}
LOOSE = {"tol": None, "max_iter": 30, "adjoint_tol": None, "adjoint_max_iter": 30}


def made(*args, seed=0, **options):
    torch.manual_seed(seed)
    return EquilibriumSpikingConv(*args, **options).double()


def adjacency(graph, weight):
    src, dst = graph.edges()
    values = ops.symmetric_norm(graph, weight, torch.float64)
    return torch.zeros(graph.num_nodes(), graph.num_nodes(), dtype=torch.float64).index_put(
        (dst, src), values, accumulate=True
    )


def turn(conv, matrix, rate, feat, current=0.0):
    """Return one turn around the loop, all layers."""
    feedback, *above = conv.effective_weights()
    z = conv.biases[0] + current
    if conv.compensation:
        z = z + torch.linalg.matrix_power(matrix, conv.compensation_hops) @ feat @ conv.injection_weight.t()
    if feedback is not None:
        z = z + torch.linalg.matrix_power(matrix, conv.feedback_hops) @ rate @ feedback.t()
    rate = hardtanh(z / conv.lif.threshold, 0, 1)
    for weight, bias in zip(above, list(conv.biases)[1:], strict=True):
        rate = hardtanh((matrix @ rate @ weight.t() + bias) / conv.lif.threshold, 0, 1)
    return rate


def unrolled(conv, matrix, feat, steps=250, current=0.0):
    rate = torch.zeros(len(feat), conv.out_feats, dtype=torch.float64)
    for _ in range(steps):
        rate = turn(conv, matrix, rate, feat, current)
    return rate


def larger(num_nodes=300, num_edges=900, size=16):
    graph, weight = undirected(num_nodes, num_edges)
    generator = torch.Generator().manual_seed(9)
    feat = torch.randn(num_nodes, size, dtype=torch.float64, generator=generator)
    return graph, weight, feat, torch.randn(num_nodes, 24, dtype=torch.float64, generator=generator)


def flat_gradient(conv, value, grad):
    found = torch.autograd.grad(value, list(conv.parameters()), grad, allow_unused=True)
    return torch.cat(
        [(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(conv.parameters(), found, strict=True)]
    )
