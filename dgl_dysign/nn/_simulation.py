"""The spiking simulation behind `EquilibriumSpikingConv`: latency steps through all layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from dgl_dysign.nn.lif import LIF
from dgl_dysign.ops import PackedSpikes, Surrogate, fire_packed, slope

Spikes = Tensor | PackedSpikes


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
    gather: Callable[[Spikes, int], Tensor],
    membranes: Sequence[Tensor],
    with_slopes: bool = False,
    packed: bool = True,
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
    packed : bool, default True
        Hand spikes to ``gather`` as `PackedSpikes` where that is possible: in float32 on the CPU, without a tape, with
        a surrogate of ours.
    """
    layers = [_kind_of_neurons(lif, membrane, packed)(lif, membrane) for membrane in membranes]
    slopes = [torch.zeros_like(membrane) for membrane in membranes if with_slopes]
    fired: Spikes | None = None  # of the last layer, one step ago
    for step in range(latency):
        below = fired
        for layer, (neurons, weight) in enumerate(zip(layers, weights, strict=True)):
            current = first(step) if layer == 0 else currents[layer - 1]
            if weight is not None and below is not None:
                current = torch.addmm(current, gather(below, layer), weight.t())
            if with_slopes:
                potential = neurons.charge(current)
                _add_slopes(slopes[layer], potential, lif)
                below = neurons.fire(potential)
            else:
                below = neurons.step(current)
        fired = below
    count = sum(lif.leak**age for age in range(latency))
    # Below its threshold an unsaturated neuron spreads over twice the width of a unit bump: hence the factor.
    scale = 2 * lif.threshold / count
    return Simulated(
        tuple(neurons.total / count for neurons in layers),
        tuple(neurons.membrane for neurons in layers),
        tuple(one.mul_(scale) for one in slopes),
    )


def _add_slopes(total: Tensor, potential: Tensor, lif: LIF) -> None:
    # A surrogate takes several passes: some rows at a time, so that they stay in the cache.
    for part, charged in zip(total.split(2048), potential.split(2048), strict=True):
        part.mul_(lif.leak).add_(slope(lif.spiking, charged - lif.threshold))


class _Neurons:
    """A layer's neurons without a tape: they step in place, for time and for memory that fragments otherwise."""

    def __init__(self, lif: LIF, membrane: Tensor) -> None:
        self.lif, self.membrane = lif, membrane.clone()
        self.total, self.spikes = torch.zeros_like(membrane), torch.empty_like(membrane)

    def charge(self, current: Tensor) -> Tensor:
        """Return the potential before firing."""
        if self.lif.leak != 1:
            self.membrane.mul_(self.lif.leak)
        return self.membrane.add_(current)

    def step(self, current: Tensor) -> Spikes:
        """Charge and fire."""
        return self.fire(self.charge(current))

    def fire(self, potential: Tensor) -> Spikes:
        """Return the spikes, valid until the next step."""
        lif = self.lif
        if isinstance(lif.spiking, Surrogate):
            torch.ge(potential, lif.threshold, out=self.spikes)
        else:
            self.spikes.copy_(lif.spiking(potential - lif.threshold))
        potential.sub_(self.spikes, alpha=lif.threshold)
        if lif.leak != 1:
            self.total.mul_(lif.leak)
        self.total.add_(self.spikes)
        return self.spikes


class _PackedNeurons(_Neurons):
    """The same, with spikes of one bit."""

    def step(self, current: Tensor) -> Spikes:
        return fire_packed(self.membrane, self.total, self.lif.threshold, self.lif.leak, current)

    def fire(self, potential: Tensor) -> Spikes:
        return fire_packed(potential, self.total, self.lif.threshold, self.lif.leak)


class _TapedNeurons(_Neurons):
    """The same with new tensors at each step, as autograd needs them."""

    def charge(self, current: Tensor) -> Tensor:
        return self.lif.charge(current, self.membrane)

    def fire(self, potential: Tensor) -> Spikes:
        spikes, self.membrane = self.lif.fire(potential)
        self.total = torch.add(spikes, self.total, alpha=self.lif.leak)
        return spikes


def _kind_of_neurons(lif: LIF, membrane: Tensor, packed: bool) -> type[_Neurons]:
    if torch.is_grad_enabled():
        return _TapedNeurons
    plain = membrane.dtype == torch.float32 and membrane.device.type == "cpu"
    packed = packed and plain and len(membrane) > 0  # without nodes there is nothing to pack
    return _PackedNeurons if packed and isinstance(lif.spiking, Surrogate) else _Neurons
