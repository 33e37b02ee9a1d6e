"""`EquilibriumSpikingConv` on one snapshot: by the solver, or by the spiking simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dgl_dysign.nn._layers import LayerMap, TraceMap
from dgl_dysign.nn._simulation import Input, Simulated, simulate
from dgl_dysign.nn.equilibrium_state import EquilibriumState
from dgl_dysign.ops import PackedSpikes, SolverInfo, aggregate, equilibrium
from dgl_dysign.ops.packed_spikes import PackedSums

if TYPE_CHECKING:
    from dgl_dysign.nn.equilibrium_spiking_conv import EquilibriumSpikingConv


def gather(graph: Any, feat: Tensor | PackedSpikes, weight: Tensor, hops: int) -> Tensor:
    """Aggregate ``hops`` times with normalised edge weights."""
    for _ in range(hops):
        feat = aggregate(graph, feat, weight, norm="none")
    return feat.unpack() if isinstance(feat, PackedSpikes) else feat


class Snapshot:
    """One call of the layer.

    Parameters
    ----------
    conv : EquilibriumSpikingConv
        The layer.
    graph : DGLGraph
        The snapshot.
    edge_weight : Tensor
        Normalised, ``(E,)``.
    above : sequence of Tensor
        Constant currents of layers 2 to L.
    active : Tensor or None
        Mask of the nodes that may fire.
    """

    def __init__(
        self,
        conv: EquilibriumSpikingConv,
        graph: Any,
        edge_weight: Tensor,
        above: Sequence[Tensor],
        active: Tensor | None,
    ) -> None:
        self.conv, self.graph, self.edge_weight, self.above, self.active = conv, graph, edge_weight, above, active
        self.weights = conv.effective_weights()
        self.hops = [conv.feedback_hops] + [1] * (conv.num_layers - 1)

        # No method of this object: the map would hold it, and its own rates, until the garbage is collected.
        def propagate(feat: Tensor | PackedSpikes, hops: int, weight: Tensor | None) -> Tensor:
            return gather(graph, feat, edge_weight if weight is None else weight, hops)

        self._propagate, self.layers = propagate, LayerMap(conv.num_layers, conv.feedback, self.hops, propagate)

    def _hear(self, spikes: Tensor | PackedSpikes, hops: int) -> Tensor | PackedSums:
        if hops == 1 and isinstance(spikes, PackedSpikes):
            return PackedSums(self.graph, spikes, self.edge_weight)
        return self._propagate(spikes, hops, None)

    def _inputs(self, first: Tensor) -> list[Tensor]:
        """Return the arguments of the layers' map, in units of the threshold."""
        inputs = [first, *self.above, *(weight for weight in self.weights if weight is not None)]
        threshold = self.conv.lif.threshold
        if threshold != 1:
            inputs = [x / threshold for x in inputs]
        # A fixed edge weight stays out: as an input it would be a new tensor, and be prepared anew, at each call.
        return [*inputs, self.edge_weight] if self.edge_weight.requires_grad else inputs

    def _equilibrium(self, func: Any, x0: Tensor, inputs: Sequence[Tensor], at: bool) -> tuple[Tensor, SolverInfo]:
        conv = self.conv
        exact = conv.gradient == "implicit" and conv.feedback
        return equilibrium(
            func,
            x0,
            inputs,
            at=at,
            solver=conv.solver,
            max_iter=conv.max_iter,
            tol=conv.tol,
            adjoint_max_iter=conv.adjoint_max_iter if exact else 0,
            adjoint_tol=conv.adjoint_tol,
            on_adjoint=conv.on_adjoint,
        )

    def solved(self, entry: Input, state: EquilibriumState | None) -> tuple[Tensor, EquilibriumState]:
        """Return the rates of the equilibrium under the mean of what enters layer 1."""
        inputs = self._inputs(entry.mean(self.conv.latency, self.conv.lif.leak))
        if state is None:
            with torch.no_grad():
                start = self.layers(None, *inputs)
        else:
            start = state.rate.detach()
        rate, info = self._equilibrium(self.layers, start, inputs, at=False)
        return rate, self._state(self.layers.rates, rate, info)

    def simulated(self, entry: Input, state: EquilibriumState | None) -> tuple[Tensor, EquilibriumState]:
        """Return the rates of the spiking simulation, with the layer's gradient at them."""
        conv, taped = self.conv, torch.is_grad_enabled()
        with torch.set_grad_enabled(taped and conv.gradient == "bptt"):
            found = self._simulate(entry, state, with_slopes=taped and conv.gradient == "trace")
        inputs, rate = self._inputs(entry.mean(conv.latency, conv.lif.leak)), found.rates[-1]
        if conv.gradient in ("implicit", "one-step"):
            rate, info = self._equilibrium(self.layers, rate, inputs, at=True)
        else:
            with torch.no_grad():  # for the gap
                _, info = self._equilibrium(self.layers, rate, inputs, at=True)
            if found.slopes:
                rate, _ = self._equilibrium(TraceMap(self.layers, found.rates, found.slopes), rate, inputs, at=True)
        return rate, self._state(found.rates, rate, replace(info, steps=conv.latency))

    def _simulate(self, entry: Input, state: EquilibriumState | None, with_slopes: bool) -> Simulated:
        conv = self.conv
        if state is None:
            membranes = [entry.base.new_tensor(conv.lif.threshold / 2).expand(entry.base.shape)] * conv.num_layers
        else:
            membranes = [u.detach() for u in state.membrane]
        return simulate(
            conv.lif,
            conv.latency,
            entry.at,
            self.above,
            self.weights,
            lambda spikes, layer: self._hear(spikes, self.hops[layer]),
            membranes,
            with_slopes,
            packed=conv.backend == "packed",
        )

    def _state(self, rates: Sequence[Tensor], rate: Tensor, info: SolverInfo) -> EquilibriumState:
        threshold = self.conv.lif.threshold
        # Equation 9: the next snapshot starts at the rates. A node that was silent so far starts at half the threshold.
        membranes = [a.detach() * threshold if threshold != 1 else a.detach() for a in rates]
        if self.active is not None:
            silent = ~self.active[:, None]
            membranes = [u.masked_fill(silent, threshold / 2) for u in membranes]
        return EquilibriumState(tuple(membranes), rate.detach(), info)
