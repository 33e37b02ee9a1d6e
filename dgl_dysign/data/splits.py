"""Splits of labelled nodes into training, validation and test: at random, or by time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from dgl_dysign.errors import ConfigError

if TYPE_CHECKING:
    from dgl_dysign.data.temporal_graph import TemporalGraph

Split = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def stratified_split(labels: torch.Tensor, train_ratio: float, seed: int, val_ratio: float = 0.05) -> Split:
    """Split labelled nodes by class, as SpikeNet and Dy-SIGN do.

    First ``1 - train_ratio`` of all labelled nodes are drawn for testing, then `val_ratio` of *all* labelled nodes out
    of the rest for validation; what is left, ``train_ratio - val_ratio``, is for training. Each draw keeps the shares
    of the classes. With ``seed=42`` these are the splits of SpikeNet's public code, node for node. Returned are ids of
    nodes (int64); ratios out of range, a class of one node, or too few nodes for all classes raise ``ConfigError``.
    Validation has as many nodes as there are classes, where `val_ratio` of all would be fewer; a class that has but one
    node outside testing has it in training, and none in validation.

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
        train, test = _drawn(nodes, classes, seed, train_size=keep, test_size=1 - train_ratio)
        val = train[:0]
        if val_ratio:
            train, val = _hold_out(train, classes, train_size / keep, seed)
    except ValueError as error:
        raise ConfigError(
            f"{len(nodes)} labelled nodes cannot be split with train_ratio={train_ratio}, val_ratio={val_ratio}: "
            f"{error}; merge small classes, or leave their labels out"
        ) from error
    return torch.from_numpy(train), torch.from_numpy(val), torch.from_numpy(test)


def _hold_out(nodes: np.ndarray, classes: np.ndarray, keep: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw validation nodes by class: a share of nodes stays, and with it all of classes that have but one."""
    several = np.bincount(classes[nodes])[classes[nodes]] > 1
    drawn, count = nodes[several], len(np.unique(classes[nodes[several]]))
    if not count:
        raise ConfigError(
            f"found {len(nodes)} training nodes, each the only one of its class, so that none can be held out for "
            f"validation: train on a higher ratio, or until a later snapshot, or merge small classes"
        )
    few = len(drawn) - int(keep * len(drawn)) < count
    sizes: dict[str, float] = {"test_size": count} if few else {"train_size": keep}
    train, val = _drawn(drawn, classes, seed, **sizes)
    return np.concatenate([train, nodes[~several]]), val


def _drawn(nodes: np.ndarray, classes: np.ndarray, seed: int, **sizes: float) -> list[np.ndarray]:
    """Draw two parts of some nodes by class."""
    from sklearn.model_selection import train_test_split  # importing it takes a second

    return train_test_split(nodes, **sizes, random_state=seed, stratify=classes[nodes])


def cut_in_time(data: TemporalGraph) -> tuple[int, int]:
    """Return the last snapshots of training and of validation: by their ends 70 and 80 % of the nodes were seen.

    The share of the nodes that have a label and an event is the nearest one that there is; shares of snapshots say
    little where nodes come unevenly. The last snapshot is left for testing; data with one alone raises ``ConfigError``.

    Examples
    --------
    >>> from dgl_dysign.data import TemporalGraph
    >>> cut_in_time(TemporalGraph.load(prepared))
    (9, 10)
    """
    last, labelled = data.num_snapshots - 1, data.labels >= 0
    if not last:
        raise ConfigError("found one snapshot, but a split by time needs two at least: prepare the data with more")
    seen = np.array([int((labelled & data.active(t)).sum()) for t in range(last + 1)])
    train, val = (int(np.abs(seen[:last] - share * seen[-1]).argmin()) for share in (0.7, 0.8))
    return train, val


def split_by_time(
    data: TemporalGraph,
    train_until: int,
    val_until: int,
    train_ratio: float = 1.0,
    seed: int = 42,
    val_ratio: float = 0.05,
) -> Split:
    """Split labelled nodes by when they were first seen: up to a snapshot, up to another one, later.

    A label is known from the first event of its node on. With a ``train_ratio`` below 1, that share alone of the nodes
    seen by the end of training has its label known by then, drawn as `stratified_split` does; the others are tested
    beside those first seen later. Where a class of training would have no validation node, ``val_ratio`` of the
    training nodes are held out for it, as at random. Nodes without any event are in no part.

    Parameters
    ----------
    data : TemporalGraph
        With labels of nodes.
    train_until, val_until : int
        The last snapshot of training, and that of validation, which may be the same one.
    train_ratio : float, default 1
        Share for training and validation together of the nodes seen by the end of training, in (val_ratio, 1].
    seed : int, default 42
        Of what is drawn.
    val_ratio : float, default 0.05
        Share for validation, of what is drawn.

    Returns
    -------
    tuple of Tensor
        Ids of training, validation and test nodes, int64.

    Raises
    ------
    ConfigError
        If the snapshots are not in order, with one at least after them, or nothing is left to train or to test.

    Examples
    --------
    >>> from dgl_dysign.data import TemporalGraph
    >>> [len(part) for part in split_by_time(TemporalGraph.load(prepared), 4, 6)]
    [12, 22, 66]
    """
    last, labels = data.num_snapshots - 1, data.labels
    if not 0 <= train_until <= val_until < last:
        raise ConfigError(
            f"training until snapshot {train_until} and validation until {val_until}: expected 0 <= train_until <= "
            f"val_until < {last}, the last snapshot, which is for testing: name others (--train-until, --val-until)"
        )
    until = [(labels >= 0) & data.active(t) for t in (train_until, val_until, last)]
    train, val, test = (part.nonzero().flatten() for part in (until[0], until[1] & ~until[0], until[2] & ~until[1]))
    if train_ratio != 1:
        parts = stratified_split(labels.masked_fill(~until[0], -1), train_ratio, seed, val_ratio)
        train, val, test = parts[0], torch.cat([parts[1], val]), torch.cat([parts[2], test])
    elif not bool(torch.isin(labels[train], labels[val]).all()):
        kept, held_out = _hold_out(train.numpy(), labels.numpy(), 1 - val_ratio, seed)
        train, val = torch.from_numpy(kept), torch.cat([torch.from_numpy(held_out), val])
    if not len(train) or not len(test):
        raise ConfigError(
            f"found {len(train)} training nodes, seen by snapshot {train_until}, and {len(test)} test nodes, first "
            f"seen after snapshot {val_until}: name other snapshots by --train-until and --val-until, or pass a "
            f"--train-ratio below 1, which leaves the labels of the others for testing"
        )
    return train, val, test
