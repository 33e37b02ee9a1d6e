"""Simulation in time of spiking layers with feedback: the neurons of each layer, and what enters them a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from dgl_dysign.data.row_store import RowStore
from dgl_dysign.nn.lif import LIF, pass_nan
from dgl_dysign.ops import PackedSpikes, Surrogate, fire_packed, slope
from dgl_dysign.ops._listeners import tell_fired
from dgl_dysign.ops.packed_spikes import PackedSums, compiled_for

Spikes = Tensor | PackedSpikes
Sums = Tensor | PackedSums | None


class Simulated(NamedTuple):
    """What a simulation gives, one tensor ``(N, d)`` a layer."""

    rates: tuple[Tensor, ...]
    slopes: tuple[Tensor, ...]


class ConstantInput(NamedTuple):
    """Current into layer 1 from outside: at the first step, at later ones, and the weighted mean over all."""

    first: Tensor
    later: Tensor
    mean: Tensor

    def at(self, step: int) -> Tensor:
        """Return the current at a step, counted from 0."""
        return self.later if step else self.first


class DrawnInput:
    """Current into layer 1 from spikes drawn anew at every step; remembers their weighted mean.

    ``later`` is the current without features, ``draw`` draws spikes and aggregates them, ``(N, d0)``, ``weight`` is
    theirs, ``(d, d0)``; with ``repeat`` they enter at every step, not at the first one only.
    """

    def __init__(
        self, later: Tensor, draw: Callable[[], Tensor], weight: Tensor, repeat: bool, latency: int, leak: float
    ) -> None:
        self.later, self.draw, self.weight, self.repeat = later, draw, weight, repeat
        self.leak, self.share = leak, 1 / sum(leak**i for i in range(latency))
        self.total: Tensor | None = None

    def at(self, step: int) -> Tensor:
        """Draw the current at a step, counted from 0."""
        if step == 0 or self.repeat:
            drawn = self.draw()
            self.total = drawn if self.total is None else torch.add(drawn, self.total, alpha=self.leak)
            return self.later + functional.linear(drawn, self.weight)
        assert self.total is not None
        self.total = self.total * self.leak
        return self.later

    @property
    def mean(self) -> Tensor:
        """The current of what was drawn, as its weighted mean over the steps."""
        assert self.total is not None
        return self.later + functional.linear(self.total * self.share, self.weight)


def simulate(
    lif: LIF, latency: int, first: Callable[[int], Tensor], currents: Sequence[Tensor],
    weights: Sequence[Tensor | None], gather: Callable[[Spikes, int], Tensor | PackedSums],
    membranes: Sequence[Tensor], rows: RowStore, with_slopes: bool = False, packed: bool = True,
) -> Simulated:  # fmt: skip
    """Run all layers for ``latency`` steps; taped if gradients are enabled, and then memory grows with the steps.

    ``first(step)`` is the current into layer 1, ``currents`` those of the L - 1 layers above, ``(d,)`` or ``(N, d)``;
    ``weights`` are the feedback's (None: there is none) and theirs. ``gather(spikes, layer)`` aggregates, ``membranes``
    are the first potentials, one a layer, ``rows`` says where potentials and rates lie. ``with_slopes`` accumulates the
    mean slope of the surrogate, in units of the threshold; ``packed`` hands over `PackedSpikes` where that is possible.
    """
    layers = [_kind_of_neurons(lif, membrane, packed)(lif, membrane, rows, with_slopes) for membrane in membranes]
    fired: Spikes | None = None  # of the last layer, one step ago
    for step in range(latency):
        below = fired
        for layer, (neurons, weight) in enumerate(zip(layers, weights, strict=True)):
            current = currents[layer - 1] if layer else first(step)
            sums = None if weight is None or below is None else gather(below, layer)
            below = neurons.advance(current, sums, weight)
        fired = below
    count = sum(lif.leak**age for age in range(latency))
    # Below its threshold an unsaturated neuron spreads over twice the width of a unit bump: hence the factor.
    scale = 2 * lif.threshold / count
    return Simulated(
        tuple(neurons.rates(count) for neurons in layers),
        tuple(neurons.slopes.mul_(scale) for neurons in layers if neurons.slopes is not None),
    )


def _add_slopes(total: Tensor, potential: Tensor, lif: LIF) -> None:
    # A surrogate takes several passes: on a CPU some rows at a time, so that they stay in the cache.
    rows = 2048 if total.device.type == "cpu" else max(len(total), 1)
    for part, charged in zip(total.split(rows), potential.split(rows), strict=True):
        part.mul_(lif.leak).add_(slope(lif.spiking, charged - lif.threshold))


def _entering(current: Tensor, sums: Sums, weight: Tensor | None, block: slice) -> Tensor:
    """Return the current into some neurons: ``current`` is that of each node or of all."""
    current = current[block] if current.dim() == 2 else current
    return current if sums is None or weight is None else torch.addmm(current, sums[block], weight.t())


class _Neurons:
    """A layer's neurons without a tape: they step in place, for time and for memory that fragments otherwise."""

    def __init__(self, lif: LIF, membrane: Tensor, rows: RowStore, with_slopes: bool) -> None:
        self.lif, self.rows, self.membrane = lif, rows, rows.keep(membrane)
        self.total = self.zeros()
        self.spikes: Any = self.memory()
        self.slopes = self.zeros() if with_slopes else None

    def zeros(self) -> Tensor:
        """Return room for a number a neuron."""
        num, size = self.membrane.shape
        return self.rows.zeros(num, size, self.membrane.dtype, self.membrane.device)

    def memory(self) -> Any:
        """Return room for the spikes of a step."""
        return self.zeros()

    def advance(self, current: Tensor, sums: Sums, weight: Tensor | None) -> Any:
        """Take a step; return the spikes, valid until the next one."""
        for block in self.rows.step_blocks(self.membrane):
            self.step(block, _entering(current, sums, weight, block))
        return self.spikes

    def charge(self, block: slice, entering: Tensor) -> Tensor:
        """Return the potential before firing."""
        membrane = self.membrane[block]
        if self.lif.leak != 1:
            membrane.mul_(self.lif.leak)
        membrane.add_(entering)
        if self.slopes is not None:
            _add_slopes(self.slopes[block], membrane, self.lif)
        return membrane

    def step(self, block: slice, entering: Tensor) -> None:
        """Charge and fire some neurons."""
        lif, potential, total, spikes = self.lif, self.charge(block, entering), self.total[block], self.spikes[block]
        if isinstance(lif.spiking, Surrogate):
            torch.ge(potential, lif.threshold, out=spikes)
        else:
            spikes.copy_(lif.spiking(potential - lif.threshold))
        tell_fired(spikes)
        potential.sub_(spikes, alpha=lif.threshold)
        if lif.leak != 1:
            total.mul_(lif.leak)
        total.add_(spikes)

    def rates(self, count: float) -> Tensor:
        """Return the mean of the spikes so far, NaN where the potential is; the neurons are at their end."""
        for block in self.rows.step_blocks(self.total):
            pass_nan(self.total[block].div_(count), self.membrane[block])
        return self.total


class _PackedNeurons(_Neurons):
    """The same, with spikes of one bit."""

    def memory(self) -> Any:
        num, size = self.membrane.shape
        return PackedSpikes(torch.empty(num, -(-size // 64), dtype=torch.int64, device=self.membrane.device), size)

    def advance(self, current: Tensor, sums: Sums, weight: Tensor | None) -> Spikes:
        self.spikes = self.memory()  # those of the step before are still being read
        return super().advance(current, sums, weight)

    def step(self, block: slice, entering: Tensor) -> None:
        lif, total = self.lif, self.total[block]
        if self.slopes is None:
            fired = fire_packed(self.membrane[block], total, lif.threshold, lif.leak, entering)
        else:
            fired = fire_packed(self.charge(block, entering), total, lif.threshold, lif.leak)
        self.spikes.words[block] = fired.words


class _TapedNeurons(_Neurons):
    """The same with new tensors at each step, as autograd needs them."""

    def advance(self, current: Tensor, sums: Sums, weight: Tensor | None) -> Spikes:
        potential = self.lif.charge(_entering(current, sums, weight, slice(None)), self.membrane)
        spikes, self.membrane = self.lif.fire(potential)
        self.total = torch.add(spikes, self.total, alpha=self.lif.leak)
        return spikes

    def rates(self, count: float) -> Tensor:
        return pass_nan(self.total / count, self.membrane)


def _kind_of_neurons(lif: LIF, membrane: Tensor, packed: bool) -> type[_Neurons]:
    if torch.is_grad_enabled():
        return _TapedNeurons
    plain = membrane.dtype == torch.float32 and compiled_for(membrane.device)
    packed = packed and plain and len(membrane) > 0  # without nodes there is nothing to pack
    return _PackedNeurons if packed and isinstance(lif.spiking, Surrogate) else _Neurons
