"""The maps behind `EquilibriumSpikingConv`: rates in, rates out. Everything here is in units of the threshold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

Propagate = Callable[[Tensor, int, Tensor | None], Tensor]


class LayerMap:
    r"""One turn around the loop: layer 1 from the last layer's rates, then layer after layer.

    Called with ``(rate, *inputs)``, where the inputs are the L currents, the weights (without that of the feedback if
    there is none) and, if it needs a gradient, the edge weight. ``rate=None`` stands for silence.

    Parameters
    ----------
    num_layers : int
        L.
    feedback : bool
        Whether layer 1 hears the last layer.
    hops : sequence of int
        For each layer, how often its input is aggregated.
    propagate : callable
        ``(feat, hops, edge_weight) -> feat``; ``edge_weight=None`` stands for the fixed one.
    """

    def __init__(self, num_layers: int, feedback: bool, hops: Sequence[int], propagate: Propagate) -> None:
        self.num_layers, self.feedback, self.hops, self.propagate = num_layers, feedback, hops, propagate
        self.rates: tuple[Tensor, ...] = ()  # of all layers, at the last call

    def __call__(self, rate: Tensor | None, *inputs: Tensor) -> Tensor:
        below, rates = rate, []
        for layer in range(self.num_layers):
            # In place, and strictly inside (0, 1): the gradient is zero on the boundary too.
            below = functional.hardtanh_(self.potential(layer, below, inputs), 0.0, 1.0)
            rates.append(below.detach())
        self.rates = tuple(rates)
        assert below is not None
        return below

    def potential(self, layer: int, below: Tensor | None, inputs: Sequence[Tensor]) -> Tensor:
        """Return the mean potential of a layer under the rates below it, in fresh memory."""
        current, place = inputs[layer], self.num_layers + layer - (not self.feedback)
        if below is None or (layer == 0 and not self.feedback):
            return current.clone()
        fixed = 2 * self.num_layers - (not self.feedback)
        edge_weight = inputs[fixed] if len(inputs) > fixed else None
        # Aggregated first: the gradient of the weight needs exactly what is aggregated here.
        gathered = self.propagate(below, self.hops[layer], edge_weight)
        return torch.addmm(current, gathered, inputs[place].t())


class TraceMap:
    r"""Equation 8 in its factored form: the simulated rates, with the mean surrogate slope as derivative.

    Parameters
    ----------
    layers : LayerMap
        The map whose weights and currents get the gradient.
    rates, slopes : sequence of Tensor
        For each layer the simulated rates and :math:`\bar\psi`, ``(N, d)``.
    """

    def __init__(self, layers: LayerMap, rates: Sequence[Tensor], slopes: Sequence[Tensor]) -> None:
        self.layers, self.rates, self.slopes = layers, rates, slopes

    def __call__(self, rate: Tensor, *inputs: Tensor) -> Tensor:
        below = rate
        for layer, (simulated, slope) in enumerate(zip(self.rates, self.slopes, strict=True)):
            below = _Replace.apply(self.layers.potential(layer, below, inputs), simulated, slope)
        return below


class _Replace(torch.autograd.Function):
    """A given value, with a given derivative towards the potential that it stands for."""

    @staticmethod
    def forward(ctx: Any, potential: Tensor, value: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(slope)
        return value.view_as(value)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return grads[0] * slope, None, None
