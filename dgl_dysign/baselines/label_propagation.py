"""Label propagation: what labels alone say."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dgl_dysign.ops import aggregate, symmetric_norm


def propagate_labels(
    graph: Any, edge_weight: Tensor | None, labels: Tensor, train: Tensor, num_classes: int, steps: int = 6
) -> Tensor:
    r"""Propagate training labels (Zhu and Ghahramani, 2002), training nodes clamped to their label.

    .. math:: G \leftarrow \hat A F, \qquad F_i = \text{one-hot}(y_i) \text{ for training nodes, else } G_i

    Parameters
    ----------
    graph, edge_weight
        Undirected graph and the weights of its edges.
    labels : Tensor
        ``(N,)``, int64; only those of ``train`` are read.
    train : Tensor
        Training nodes.
    num_classes : int
        Number of classes.
    steps : int, default 6
        Number of propagations.

    Returns
    -------
    Tensor
        ``(N, num_classes)``, not normalised; rows of training nodes are what *reaches* them.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign._dgl import dgl
    >>> path = dgl.graph(([0, 1, 1, 2], [1, 0, 2, 1]))
    >>> propagate_labels(path, None, torch.tensor([1, 0, 0]), torch.tensor([0]), 2).argmax(1)
    tensor([1, 1, 1])
    """
    norm = symmetric_norm(graph, edge_weight, torch.float32)
    known = torch.zeros(graph.num_nodes(), num_classes, device=norm.device)
    known[train, labels[train]] = 1.0
    spread = reached = known
    for _ in range(steps):
        reached = aggregate(graph, spread, norm, norm="none")
        spread = reached.clone()
        spread[train] = known[train]
    return reached
