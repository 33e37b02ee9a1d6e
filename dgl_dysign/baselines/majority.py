"""The reference row that looks at nothing."""

from __future__ import annotations

import torch
from torch import Tensor


def majority_class(labels: Tensor, train: Tensor, num_nodes: int) -> Tensor:
    """Predict the most frequent class of the training nodes for all nodes.

    Parameters
    ----------
    labels : Tensor
        ``(N,)``, int64; only those of ``train`` are read.
    train : Tensor
        Training nodes.
    num_nodes : int
        N.

    Returns
    -------
    Tensor
        ``(N,)``, the class.

    Examples
    --------
    >>> import torch
    >>> majority_class(torch.tensor([2, 1, 1, 0]), torch.tensor([1, 2, 3]), 4)
    tensor([1, 1, 1, 1])
    """
    return torch.bincount(labels[train]).argmax().expand(num_nodes)
