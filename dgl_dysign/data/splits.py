"""Splits of labelled nodes into training, validation and test."""

import numpy as np
import torch
from sklearn.model_selection import train_test_split

from dgl_dysign.errors import ConfigError


def stratified_split(
    labels: torch.Tensor, train_ratio: float, seed: int, val_ratio: float = 0.05
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Split labelled nodes by class, as SpikeNet and Dy-SIGN do.

    First ``1 - train_ratio`` of all labelled nodes are drawn for testing, then `val_ratio` of *all* labelled nodes out
    of the rest for validation; what is left, ``train_ratio - val_ratio``, is for training. Each draw keeps the shares
    of the classes. With ``seed=42`` these are the splits of SpikeNet's public code, node for node. Returned are ids of
    nodes (int64); ratios out of range, or a class with too few nodes to be in every part, raise ``ConfigError``.

    Parameters
    ----------
    labels : torch.Tensor
        Shape (num_nodes,), class of every node; negative: no label, the node is in no part.
    train_ratio : float
        Share of labelled nodes for training and validation together, in (val_ratio, 1); the papers use 0.4, 0.6, 0.8.
    seed : int
        Seed of both draws.
    val_ratio : float, default 0.05
        Share of labelled nodes for validation; 0 gives an empty part.

    Examples
    --------
    >>> import torch
    >>> labels = torch.arange(100) % 2
    >>> [len(part) for part in stratified_split(labels, 0.4, seed=42)]
    [35, 5, 60]
    """
    if not 0 <= val_ratio < train_ratio < 1:
        raise ConfigError(
            f"train_ratio={train_ratio} and val_ratio={val_ratio}: expected 0 <= val_ratio < train_ratio < 1, "
            "because validation nodes are taken out of the training share"
        )
    classes = labels.detach().cpu().numpy()
    nodes = np.flatnonzero(classes >= 0)
    # The sums look idle, but they are SpikeNet's: sklearn rounds node counts, and the last bit of a ratio decides.
    train_size = train_ratio - val_ratio
    keep = train_size + val_ratio
    try:
        train, test = train_test_split(
            nodes, train_size=keep, test_size=1 - train_ratio, random_state=seed, stratify=classes[nodes]
        )
        val = train[:0]
        if val_ratio:
            train, val = train_test_split(
                train, train_size=train_size / keep, random_state=seed, stratify=classes[train]
            )
    except ValueError as error:
        raise ConfigError(
            f"{len(nodes)} labelled nodes cannot be split with train_ratio={train_ratio}, val_ratio={val_ratio}: "
            f"{error}"
        ) from error
    return torch.from_numpy(train), torch.from_numpy(val), torch.from_numpy(test)
