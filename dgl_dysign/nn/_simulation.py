"""The spiking simulation behind `EquilibriumSpikingConv`: latency steps through all layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from dgl_dysign.nn.lif import LIF
from dgl_dysign.ops import slope


class Simulated(NamedTuple):
    """What a simulation gives, one tensor ``(N, d)`` a layer."""

    rates: tuple[Tensor, ...]
    membranes: tuple[Tensor, ...]
    slopes: tuple[Tensor, ...]


class Input(Protocol):
    """What enters layer 1 from outside."""

    base: Tensor

    def at(self, step: int) -> Tensor:
        """Return the current at a step, counted from 0."""

    def mean(self, latency: int, leak: float) -> Tensor:
        """Return the current of which the rates are the response: the weighted mean over the steps."""


class ConstantInput:
    """The same features at every step, or at the first one only.

    Parameters
    ----------
    base : Tensor
        Current without features, ``(N, d)``.
    injected : Tensor or None
        Current from the features, ``(N, d)``.
    repeat : bool
        Whether the features enter at every step: information compensation.
    """

    def __init__(self, base: Tensor, injected: Tensor | None, repeat: bool) -> None:
        self.base, self.injected, self.repeat = base, injected, repeat
        self.full = base if injected is None else base + injected

    def at(self, step: int) -> Tensor:
        """Return the current into layer 1 at a step, counted from 0."""
        return self.full if self.repeat or step == 0 else self.base

    def mean(self, latency: int, leak: float) -> Tensor:
        """Return the current of which the rates are the response: the weighted mean over the steps."""
        if self.repeat or self.injected is None:
            return self.full
        return self.base + self.injected * (leak ** (latency - 1) / sum(leak**i for i in range(latency)))


class DrawnInput:
    """Spikes drawn anew at every step, aggregated and weighted; remembers their weighted mean.

    Parameters
    ----------
    base : Tensor
        Current without features, ``(N, d)``.
    draw : callable
        Draws spikes and aggregates them: () -> (N, d0).
    weight : Tensor
        Injection weight, ``(d, d0)``.
    repeat : bool
        As for `ConstantInput`.
    """

    def __init__(self, base: Tensor, draw: Callable[[], Tensor], weight: Tensor, repeat: bool, leak: float) -> None:
        self.base, self.draw, self.weight, self.repeat, self.leak = base, draw, weight, repeat, leak
        self.total: Tensor | None = None

    def at(self, step: int) -> Tensor:
        """Draw the current into layer 1 at a step, counted from 0."""
        if step == 0 or self.repeat:
            drawn = self.draw()
            self.total = drawn if self.total is None else torch.add(drawn, self.total, alpha=self.leak)
            return self.base + functional.linear(drawn, self.weight)
        assert self.total is not None
        self.total = self.total * self.leak
        return self.base

    def mean(self, latency: int, leak: float) -> Tensor:
        """Return the current of what was drawn, as its weighted mean over the steps."""
        assert self.total is not None
        share = 1 / sum(leak**i for i in range(latency))
        return self.base + functional.linear(self.total * share, self.weight)


def simulate(
    lif: LIF,
    latency: int,
    first: Callable[[int], Tensor],
    currents: Sequence[Tensor],
    weights: Sequence[Tensor | None],
    gather: Callable[[Tensor, int], Tensor],
    membranes: Sequence[Tensor],
    with_slopes: bool = False,
) -> Simulated:
    """Run all layers for ``latency`` steps; taped if gradients are enabled, and then memory grows with the steps.

    Parameters
    ----------
    lif : LIF
        The neuron.
    latency : int
        Number of steps.
    first : callable
        The current into layer 1 at a step.
    currents : sequence of Tensor
        Constant currents of the layers above, L - 1 of them.
    weights : sequence of Tensor or None
        Feedback (None: there is none) and the weights of the layers above.
    gather : callable
        ``(spikes, layer) -> aggregated spikes``.
    membranes : sequence of Tensor
        Potentials to start with, one a layer.
    with_slopes : bool, default False
        Accumulate the mean slope of the surrogate, in units of the threshold, for the gradient by traces.
    """
    potentials, count = list(membranes), 0.0
    totals: list[Tensor | None] = [None] * len(weights)
    slopes: list[Tensor | None] = [None] * len(weights)
    fired: Tensor | None = None  # of the last layer, one step ago
    for step in range(latency):
        below = fired
        for layer, weight in enumerate(weights):
            current = first(step) if layer == 0 else currents[layer - 1]
            if weight is not None and below is not None:
                current = torch.addmm(current, gather(below, layer), weight.t())
            potential = lif.charge(current, potentials[layer])
            if with_slopes:
                now = slope(lif.spiking, potential - lif.threshold)
                slopes[layer] = _decayed_sum(slopes[layer], now, lif.leak)
            below, potentials[layer] = lif.fire(potential)
            totals[layer] = _decayed_sum(totals[layer], below, lif.leak)
        fired, count = below, count * lif.leak + 1
    # Below its threshold an unsaturated neuron spreads over twice the width of a unit bump: hence the factor.
    scale = 2 * lif.threshold / count
    return Simulated(
        tuple(total / count for total in totals if total is not None),
        tuple(potentials),
        tuple(one * scale for one in slopes if one is not None),
    )


def _decayed_sum(total: Tensor | None, now: Tensor, leak: float) -> Tensor:
    return now if total is None else torch.add(now, total, alpha=leak)
