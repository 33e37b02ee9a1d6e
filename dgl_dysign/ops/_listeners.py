"""Who is told what was computed where PyTorch's dispatcher sees nothing of it: the counters of `dgl_dysign.cost`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from torch import Tensor

Spikes = Any  # a tensor, or the PackedSpikes of a file that this one must not import


class Listener(Protocol):
    """What a counter hears."""

    def fired(self, spikes: Spikes) -> None:
        """Note a step of neurons, each of which fired or did not."""

    def aggregated(self, sources: Tensor, feat: Tensor, edge_weight: Tensor | None) -> None:
        """Note messages that are added up: rows of the features, a source for each edge."""

    def noted(self, **operations: int) -> None:
        """Note operations by the names that `dgl_dysign.cost.Operations` gives them."""


listeners: list[Listener] = []


@contextmanager
def uncounted() -> Iterator[None]:
    """Tell nobody of what runs meanwhile: it was told already, is done once for a graph, or is a diagnosis."""
    told = listeners.copy()
    listeners.clear()
    try:
        yield
    finally:
        listeners.extend(told)


def tell(**operations: int) -> None:
    """Tell of operations by the names that `dgl_dysign.cost.Operations` gives them."""
    for listener in listeners.copy():
        listener.noted(**operations)


def tell_messages(sources: Tensor, feat: Tensor, edge_weight: Tensor | None = None) -> None:
    """Tell of messages that are added up: rows of ``feat`` ``(N, *)``, with a source and maybe a weight an edge."""
    for listener in listeners.copy():
        listener.aggregated(sources, feat, edge_weight)


def tell_fired(spikes: Spikes) -> None:
    """Tell of a step of neurons, whose spikes are other than zero."""
    for listener in listeners.copy():
        listener.fired(spikes)
