"""Entries of links of which nothing is fitted: a function of the past, or a model as it is."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from dgl_dysign.data.snapshot_edges import SnapshotEdges


class OfThePast:
    """A `dgl_dysign.evaluation.LinkModel` that scores by a function of all snapshots before.

    Parameters
    ----------
    function : callable
        ``function(past, src, dst)``, of the snapshots before as a tuple, of sources ``(E,)`` and candidates ``(E, C)``;
        it returns scores ``(E, C)``.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.data import distinct_edges
    >>> model = OfThePast(lambda past, src, dst: (past[-1].dst == dst[..., None]).any(-1).float())
    >>> model.observe(distinct_edges(0, [0], [2], num_nodes=4))
    >>> model.score(1, torch.tensor([1]), torch.tensor([[2, 3]]))
    tensor([[1., 0.]])
    """

    def __init__(self, function: Callable[[Sequence[SnapshotEdges], Tensor, Tensor], Tensor]) -> None:
        self.function = function
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self.past: list[SnapshotEdges] = []

    def observe(self, edges: SnapshotEdges) -> None:
        """Take a snapshot into the past."""
        self.past.append(edges)

    def score(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Let the function score."""
        return self.function(tuple(self.past), src, dst)


class Unfitted:
    """An entry of links whose model is there already."""

    def __init__(self, model: Any, name: str) -> None:
        self.model, self.name = model, name

    def fit(self, view: Any, *, checkpoint: Any = None, on_epoch: Any = None) -> Any:
        """Return the model."""
        return self.model


def with_fit(thing: Any) -> Any:
    """Return an object with ``fit``, of a function or of a link model; anything else as it is."""
    if inspect.isfunction(thing):
        return Unfitted(OfThePast(thing), thing.__name__.strip("<>"))
    if not hasattr(thing, "fit") and all(hasattr(thing, name) for name in ("reset", "observe", "score")):
        return Unfitted(thing, str(getattr(thing, "name", type(thing).__name__)))
    return thing
