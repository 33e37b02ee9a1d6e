"""Two random graphs with labels, and a dense loop of label propagation."""

import torch

from tests.nn.conv_cases import undirected

N, C = 40, 3
GRAPHS = [undirected(N, 60, seed=s) for s in (0, 1)]
LABELS = torch.randint(C, (N,), generator=torch.Generator().manual_seed(2))
TRAIN = torch.randperm(N, generator=torch.Generator().manual_seed(3))[:26]
OTHERS = torch.tensor([n for n in range(N) if n not in TRAIN.tolist()])


def graphs():
    return [(graph, weight.float()) for graph, weight in GRAPHS]


def one_hot(nodes):
    known = torch.zeros(N, C, dtype=torch.float64)
    known[nodes, LABELS[nodes]] = 1
    return known


def propagated(matrix, shown, steps):
    """Return what reaches each node after a number of steps, the shown nodes clamped between steps."""
    known = spread = one_hot(shown)
    for _ in range(steps):
        reached = matrix @ spread
        spread = reached.clone()
        spread[shown] = known[shown]
    return reached
