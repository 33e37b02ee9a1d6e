"""What scorers ask of features of pairs, and some columns of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.errors import ConfigError


class PairFeatures(Protocol):
    """What a scorer asks of features of pairs; `LinkFeatures` gives it."""

    names: tuple[str, ...]

    def reset(self) -> None:
        """Forget what was observed."""

    def observe(self, edges: SnapshotEdges) -> None:
        """Take in the next snapshot."""

    def features(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return ``(E, C, F)`` for sources ``(E,)`` and candidates ``(E, C)``, from what was observed."""


def read_columns(features: PairFeatures, columns: Sequence[int], snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
    """Return some columns of features of pairs, computed alone by those that have a method ``of_columns``."""
    if list(columns) == list(range(len(features.names))):
        return features.features(snapshot, src, dst)
    of_columns = getattr(features, "of_columns", None)
    if of_columns is None:
        return features.features(snapshot, src, dst)[..., list(columns)]
    some: Tensor = of_columns(columns, snapshot, src, dst)
    return some


def grow_features(features: PairFeatures, num_nodes: int) -> None:
    """Let features of pairs have more nodes; raise ``ConfigError`` where they have no ``grow``."""
    grow = getattr(features, "grow", None)
    if grow is None:
        raise ConfigError(
            f"found {type(features).__name__} without a method grow(num_nodes): give it one, or make features and "
            f"scorer anew for {num_nodes} nodes"
        )
    grow(num_nodes)
