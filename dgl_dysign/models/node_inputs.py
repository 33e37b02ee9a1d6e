"""How snapshots of a prepared folder become what a model of nodes reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from torch import Tensor

from dgl_dysign.errors import ConfigError
from dgl_dysign.models.snapshot import SCALINGS


@dataclass(frozen=True)
class LabelInputs:
    """Training labels as inputs, as `masked_label_features` and `smooth_predictions` take them.

    Parameters
    ----------
    nodes, classes : Tensor
        The training nodes, in the order of the training, and their classes: int64 ``(n,)``.
    decays, steps : sequence of float and of int
        Of the graphs over which labels spread, and after how many propagations they are read.
    folds, seed : int
        Of the folds.
    smooth_decay, alpha : float
        Of the smoothing of what is predicted; ``alpha=0``: none.
    """

    nodes: Tensor
    classes: Tensor
    decays: Sequence[float] = (0.9, 0.5, 0.2, 0.05)
    steps: Sequence[int] = (1, 2, 4, 8)
    folds: int = 10
    seed: int = 0
    smooth_decay: float = 0.1
    alpha: float = 0.6

    def __post_init__(self) -> None:
        if self.nodes.dim() != 1 or self.nodes.shape != self.classes.shape or not len(self.nodes):
            raise ConfigError(
                f"expected training nodes and their classes, each of shape (n,), but got {tuple(self.nodes.shape)} and "
                f"{tuple(self.classes.shape)}"
            )


@dataclass(frozen=True)
class NodeInputs:
    """What turns a prepared folder into a model's input; saved with the model, so that `predict` needs no more.

    Nothing in it is fitted to the data: scalings are those of each snapshot's own columns.

    Parameters
    ----------
    decay : float, default 1
        Weight that an event keeps with each snapshot that passes, see `load_snapshots`.
    hops : sequence of int, default (0, 1)
        Feature means side by side.
    scaling : {"standard", "unit"}, default "standard"
        Of the features.
    store : dict, optional
        For `UnderGS` and `SpikingUnderGS`: arguments of `preset_store`, beside the number of nodes.
    labels : LabelInputs, optional
        For a label-aware `DySIGN`.
    simulate : bool or None, default True
        Predict with the spiking simulation, with the solver, or (None) as the layer was made.

    Raises
    ------
    ConfigError
        For an argument outside its range.

    Examples
    --------
    >>> from dgl_dysign.models import NodeInputs
    >>> NodeInputs(decay=0.1).hops
    (0, 1)
    """

    decay: float = 1.0
    hops: Sequence[int] = (0, 1)
    scaling: str = "standard"
    store: dict[str, Any] | None = None
    labels: LabelInputs | None = field(default=None, compare=False)
    simulate: bool | None = True

    def __post_init__(self) -> None:
        if not 0 < self.decay <= 1:
            raise ConfigError(f"decay must lie in (0, 1], but got {self.decay}")
        if self.scaling not in SCALINGS:
            raise ConfigError(f"scaling must be one of {SCALINGS}, but got {self.scaling!r}")
        if not self.hops or min(self.hops) < 0:
            raise ConfigError(f"hops must name at least one number of aggregations, none negative, got {self.hops}")

    def renumbered(self, places: Tensor) -> NodeInputs:
        """Return the same for nodes that have other numbers: node i is now ``places[i]``."""
        if self.labels is None:
            return self
        return replace(self, labels=replace(self.labels, nodes=places[self.labels.nodes]))

    def parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return all of it as plain values, and as tensors."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        if self.labels is None:
            return plain, {}
        own = {f.name: getattr(self.labels, f.name) for f in fields(self.labels)}
        tensors = {name: own.pop(name).long() for name in ("nodes", "classes")}
        return {**plain, "labels": own}, {f"labels.{name}": value for name, value in tensors.items()}

    @classmethod
    def of(cls, plain: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> NodeInputs:
        """Return what `parts` were taken from."""
        found = _with_tuples(plain)
        if plain["labels"] is not None:
            own = _with_tuples(plain["labels"])
            found["labels"] = LabelInputs(tensors["labels.nodes"], tensors["labels.classes"], **own)
        return cls(**found)


def _with_tuples(plain: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}
