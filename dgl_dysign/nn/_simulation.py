"""The spiking simulation behind `EquilibriumSpikingConv`: latency steps through all layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from dgl_dysign.nn.lif import LIF
from dgl_dysign.ops import PackedSpikes, Surrogate, fire_packed, slope
from dgl_dysign.ops.packed_spikes import PackedSums, compiled_for

Spikes = Tensor | PackedSpikes
Heard = Tensor | PackedSums | None
_NUMBERS_AT_ONCE = 1 << 21  # on a CPU, neurons that step together: what enters them stays in the cache


class Simulated(NamedTuple):
    """What a simulation gives, one tensor ``(N, d)`` a layer."""

    rates: tuple[Tensor, ...]
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
        self.base, self.injected, self.repeat = base, None if repeat else injected, repeat
        self.full = base if injected is None else base + injected

    def at(self, step: int) -> Tensor:
        """Return the current into layer 1 at a step, counted from 0."""
        return self.full if self.repeat or step == 0 else self.base

    def mean(self, latency: int, leak: float) -> Tensor:
        """Return the current of which the rates are the response: the weighted mean over the steps."""
        if self.injected is None:
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
    gather: Callable[[Spikes, int], Tensor | PackedSums],
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
        ``(spikes, layer) -> aggregated spikes``, of which some rows at a time are read.
    membranes : sequence of Tensor
        Potentials to start with, one a layer.
    with_slopes : bool, default False
        Accumulate the mean slope of the surrogate, in units of the threshold, for the gradient by traces.
    packed : bool, default True
        Hand spikes to ``gather`` as `PackedSpikes` where that is possible: in float32, without a tape, with a
        surrogate of ours, on a device that `ops.packed_spikes.compiled_for` knows.
    """
    layers = [_kind_of_neurons(lif, membrane, packed)(lif, membrane, with_slopes) for membrane in membranes]
    fired: Spikes | None = None  # of the last layer, one step ago
    for step in range(latency):
        below = fired
        for layer, (neurons, weight) in enumerate(zip(layers, weights, strict=True)):
            current = first(step) if layer == 0 else currents[layer - 1]
            heard = None if weight is None or below is None else gather(below, layer)
            below = neurons.advance(current, heard, weight)
        fired = below
    count = sum(lif.leak**age for age in range(latency))
    # Below its threshold an unsaturated neuron spreads over twice the width of a unit bump: hence the factor.
    scale = 2 * lif.threshold / count
    return Simulated(
        tuple(neurons.rates(count) for neurons in layers),
        tuple(neurons.slopes.mul_(scale) for neurons in layers if neurons.slopes is not None),
    )


def _add_slopes(total: Tensor, potential: Tensor, lif: LIF) -> None:
    # A surrogate takes several passes: some rows at a time, so that they stay in the cache.
    for part, charged in zip(total.split(2048), potential.split(2048), strict=True):
        part.mul_(lif.leak).add_(slope(lif.spiking, charged - lif.threshold))


def _entering(current: Tensor, heard: Heard, weight: Tensor | None, rows: slice) -> Tensor:
    """Return the current into some neurons: ``current`` is that of each node or of all."""
    current = current[rows] if current.dim() == 2 else current
    return current if heard is None or weight is None else torch.addmm(current, heard[rows], weight.t())


class _Neurons:
    """A layer's neurons without a tape: they step in place, for time and for memory that fragments otherwise."""

    def __init__(self, lif: LIF, membrane: Tensor, with_slopes: bool) -> None:
        self.lif, self.membrane = lif, membrane.clone(memory_format=torch.contiguous_format)
        self.total = torch.zeros_like(self.membrane)
        self.spikes: Any = self.memory()
        self.slopes = torch.zeros_like(self.membrane) if with_slopes else None

    def memory(self) -> Any:
        """Return memory for the spikes of a step."""
        return torch.empty_like(self.membrane)

    def advance(self, current: Tensor, heard: Heard, weight: Tensor | None) -> Any:
        """Take a step; return the spikes, valid until the next one."""
        num, size = self.membrane.shape
        at_once = _NUMBERS_AT_ONCE // size if self.membrane.device.type == "cpu" else num
        for begin in range(0, num, max(at_once, 1)):
            rows = slice(begin, begin + max(at_once, 1))
            self.step(rows, _entering(current, heard, weight, rows))
        return self.spikes

    def charge(self, rows: slice, entering: Tensor) -> Tensor:
        """Return the potential before firing."""
        membrane = self.membrane[rows]
        if self.lif.leak != 1:
            membrane.mul_(self.lif.leak)
        membrane.add_(entering)
        if self.slopes is not None:
            _add_slopes(self.slopes[rows], membrane, self.lif)
        return membrane

    def step(self, rows: slice, entering: Tensor) -> None:
        """Charge and fire some neurons."""
        lif, potential, total, spikes = self.lif, self.charge(rows, entering), self.total[rows], self.spikes[rows]
        if isinstance(lif.spiking, Surrogate):
            torch.ge(potential, lif.threshold, out=spikes)
        else:
            spikes.copy_(lif.spiking(potential - lif.threshold))
        potential.sub_(spikes, alpha=lif.threshold)
        if lif.leak != 1:
            total.mul_(lif.leak)
        total.add_(spikes)

    def rates(self, count: float) -> Tensor:
        """Return the mean of the spikes so far; the neurons are at their end."""
        return self.total.div_(count)


class _PackedNeurons(_Neurons):
    """The same, with spikes of one bit."""

    def memory(self) -> Any:
        num, size = self.membrane.shape
        return PackedSpikes(torch.empty(num, -(-size // 64), dtype=torch.int64, device=self.membrane.device), size)

    def advance(self, current: Tensor, heard: Heard, weight: Tensor | None) -> Spikes:
        self.spikes = self.memory()  # those of the step before are still being read
        return super().advance(current, heard, weight)

    def step(self, rows: slice, entering: Tensor) -> None:
        lif, total = self.lif, self.total[rows]
        if self.slopes is None:
            fired = fire_packed(self.membrane[rows], total, lif.threshold, lif.leak, entering)
        else:
            fired = fire_packed(self.charge(rows, entering), total, lif.threshold, lif.leak)
        self.spikes.words[rows] = fired.words


class _TapedNeurons(_Neurons):
    """The same with new tensors at each step, as autograd needs them."""

    def advance(self, current: Tensor, heard: Heard, weight: Tensor | None) -> Spikes:
        potential = self.lif.charge(_entering(current, heard, weight, slice(None)), self.membrane)
        spikes, self.membrane = self.lif.fire(potential)
        self.total = torch.add(spikes, self.total, alpha=self.lif.leak)
        return spikes

    def rates(self, count: float) -> Tensor:
        return self.total / count


def _kind_of_neurons(lif: LIF, membrane: Tensor, packed: bool) -> type[_Neurons]:
    if torch.is_grad_enabled():
        return _TapedNeurons
    plain = membrane.dtype == torch.float32 and compiled_for(membrane.device)
    packed = packed and plain and len(membrane) > 0  # without nodes there is nothing to pack
    return _PackedNeurons if packed and isinstance(lif.spiking, Surrogate) else _Neurons
