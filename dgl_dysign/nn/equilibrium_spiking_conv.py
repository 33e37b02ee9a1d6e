"""Dy-SIGN's group of layers: spiking graph convolutions with feedback, at the equilibrium of their firing rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from dgl_dysign import ops
from dgl_dysign.data.row_store import IN_MEMORY, RowStore
from dgl_dysign.errors import ConfigError, check_growth
from dgl_dysign.nn.encoders import BernoulliEncoder, check_probabilities
from dgl_dysign.nn.firing_rates import note_rates
from dgl_dysign.nn.lif import LIF
from dgl_dysign.nn.simulation import ConstantInput, DrawnInput, Simulated, simulate
from dgl_dysign.nn.spectral import SpectralBound
from dgl_dysign.ops import SolverInfo
from dgl_dysign.ops._checks import (
    DGLGraphError,
    Layer,
    check_choice,
    check_fits,
    check_one_edge_type,
    check_rows,
    for_autograd,
    full_precision,
)
from dgl_dysign.ops._listeners import uncounted
from dgl_dysign.ops.packed_spikes import PackedSums
from dgl_dysign.ops.spikes import Spiking

GRADIENTS = ("implicit", "one-step", "trace", "bptt", "step")
ENCODINGS = ("constant", "bernoulli")
BACKENDS = ("packed", "float")
_SILENT = -1e6  # a current, in thresholds, that nothing lifts: it keeps inactive nodes silent, and finite


class EquilibriumSpikingConv(Layer):
    r"""Spiking graph convolutions with feedback from the last layer into the first, and their firing rates.

    Dy-SIGN (AAAI 2024), equations 8 to 10, corrected as docs/dysign.md says. Over ``latency`` steps

    .. math::
        I^1_\tau = \hat A s^L_{\tau-1} W^T + \hat A^h x F^T + b^1 + c, \qquad
        I^l_\tau = \hat A s^{l-1}_\tau {F^l}^T + b^l, \qquad s^l, u^l = \mathrm{LIF}(I^l, u^l)

    with :math:`\hat A` the symmetrically normalised adjacency. The rates tend to the equilibrium

    .. math::
        a^1 = \sigma\!\left((\hat A a^L W^T + \hat A^h x F^T + b^1 + c)/V_{th}\right), \qquad
        a^l = \sigma\!\left((\hat A a^{l-1} {F^l}^T + b^l)/V_{th}\right), \qquad \sigma(z) = \min(\max(z, 0), 1)

    as 1 / latency at leak 1; with a smaller leak the rate of an unsaturated neuron stays about (1 - leak) / 2 below it,
    however many steps are taken. W is scaled so that one turn around the loop contracts by ``max_norm`` at least, in
    training and in evaluation: the equilibrium exists, is unique and does not depend on the state that is carried in,
    which is where neurons and solver start.

    Parameters
    ----------
    in_feats, out_feats, num_layers, latency : int
        Number of features, of neurons in each layer, of layers L (default 1), of simulated steps (default 8).
    leak, threshold, allow_growth : float, float and bool, default 1, 1 and False
        See `LIF`. Above leak 1, which must be allowed, rates have no equilibrium.
    learn_threshold : {False, True, "homeostatic"}, default False
        Learn a threshold for each neuron of one layer, see `LIF`; W contracts in units of them. They change what
        enters, so that spikes stay packed.
    gradient : {"implicit", "one-step", "trace", "bptt", "step"}, default "implicit"
        ``implicit``: the exact gradient of the equilibrium. ``one-step``: without its feedback term. ``trace``:
        equation 8, normalised and factored. ``bptt``: back through all steps, whose tape grows with ``latency``.
        ``step``: the same for few steps, where nothing is solved: mini-batches (`respond`) fire, too, so that what is
        trained is what fires. A spike of latency 1 is binary, with the surrogate as its straight-through gradient
        (Bengio et al., 2013); feedback is one step old, so that it needs a latency of 2 at least.
    max_norm : float, default 0.9
        Bound on the contraction, in (0, 1).
    compensation : bool, default True
        Features enter at every step. Otherwise at the first step only, and not at all at the equilibrium.
    feedback : bool, default True
        Whether layer 1 receives the rates of the last layer.
    compensation_hops, feedback_hops : int, default 1
        How often features and feedback are aggregated; 0 is feedback within each node.
    encoding : {"constant", "bernoulli"}, default "constant"
        Features as a constant current, or as spikes drawn with the features, in [0, 1], as probabilities.
    simulate : bool, optional
        Return the rates of the spiking simulation, not the solver's: the default for ``trace``, ``bptt`` and ``step``,
        which need it. The others then evaluate their gradient at the simulated rates.
    solver : str or callable, default "fixed_point"
        See `dgl_dysign.ops.SOLVERS`.
    max_iter, tol : int, float or None, default 50 and 1e-4
        Most solver steps, and relative gap at which it stops; ``tol=None`` takes exactly ``max_iter``.
    adjoint_max_iter, adjoint_tol : int, float or None, default 50 and 1e-4
        The same for the implicit gradient.
    surrogate : str or callable, default "rectangle"
        For ``trace``, ``bptt`` and ``step``, see `dgl_dysign.ops.Surrogate`.
    gain, bias_init, feedback_gain : float, default 0.5
        Initial spread of the input, initial bias, and norm of W, all in units of the threshold.
    backend : {"packed", "float"}, default "packed"
        How the simulation moves spikes over the graph: at one bit each, or as float32, to the same rates. ``packed``
        needs float32, the CPU or Triton, no tape and a surrogate of ours; elsewhere spikes are floats.
    return_state : bool, default True
        Return the state beside the rates. Without it the layer fits ``dgl.nn.Sequential`` and ``HeteroGraphConv``.

    Attributes
    ----------
    on_adjoint : callable or None
        Called with the `SolverInfo` of the adjoint in the backward pass of each implicit gradient.

    Shapes
    ------
    feat ``(N, in_feats)`` -> rate ``(N, out_feats)``, and an `EquilibriumState` with ``(N, out_feats)`` for each layer.
    Without a rate for every source node there is no equilibrium: blocks and other bipartite graphs are refused.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign._dgl import dgl
    >>> from dgl_dysign.nn import EquilibriumSpikingConv
    >>> _ = torch.manual_seed(0)
    >>> graph = dgl.graph(([0, 1, 1, 2], [1, 0, 2, 1]))
    >>> conv = EquilibriumSpikingConv(4, 2)
    >>> rate, state = conv(graph, torch.randn(3, 4))
    >>> rate.shape, state.info.converged
    (torch.Size([3, 2]), True)
    >>> rate, state = conv(graph, torch.randn(3, 4), state)  # the next snapshot
    """

    def __init__(
        self,
        in_feats: int,
        out_feats: int,
        *,
        num_layers: int = 1,
        latency: int = 8,
        leak: float = 1.0,
        threshold: float = 1.0,
        learn_threshold: bool | str = False,
        gradient: str = "implicit",
        max_norm: float = 0.9,
        compensation: bool = True,
        compensation_hops: int = 1,
        feedback: bool = True,
        feedback_hops: int = 1,
        encoding: str = "constant",
        simulate: bool | None = None,
        solver: str | ops.Solver = "fixed_point",
        max_iter: int = 50,
        tol: float | None = 1e-4,
        adjoint_max_iter: int = 50,
        adjoint_tol: float | None = 1e-4,
        surrogate: str | Spiking = "rectangle",
        gain: float = 0.5,
        bias_init: float = 0.5,
        feedback_gain: float = 0.5,
        allow_growth: bool = False,
        backend: str = "packed",
        return_state: bool = True,
    ) -> None:
        super().__init__()
        check_choice("gradient", gradient, GRADIENTS)
        check_choice("encoding", encoding, ENCODINGS)
        check_choice("backend", backend, BACKENDS)
        _check_counts(in_feats=in_feats, out_feats=out_feats, num_layers=num_layers, latency=latency)
        _check_counts(least=0, compensation_hops=compensation_hops, feedback_hops=feedback_hops)
        if not 0 < max_norm < 1:
            raise ConfigError(f"max_norm must lie in (0, 1), or no equilibrium is guaranteed, but got {max_norm}")
        _check_together(num_layers, latency, learn_threshold, gradient, feedback)
        self.in_feats, self.out_feats, self.num_layers, self.latency = in_feats, out_feats, num_layers, latency
        self.gradient, self.max_norm, self.encoding, self.backend = gradient, max_norm, encoding, backend
        self.compensation, self.compensation_hops = compensation, compensation_hops
        self.feedback, self.feedback_hops = feedback, feedback_hops
        self.simulate, self.return_state = self._simulates(simulate), return_state
        self.solver, self.max_iter, self.tol = ops.get_solver(solver), max_iter, tol
        self.adjoint_max_iter, self.adjoint_tol = adjoint_max_iter, adjoint_tol
        self.on_adjoint: Callable[[ops.SolverInfo], None] | None = None
        self.gain, self.bias_init, self.feedback_gain = gain, bias_init, feedback_gain
        learned: dict[str, Any] = {"num_neurons": out_feats, "learn_threshold": learn_threshold}
        self.lif = LIF(threshold, leak, surrogate, allow_growth=allow_growth, **(learned if learn_threshold else {}))
        self.injection_weight = nn.Parameter(torch.empty(out_feats, in_feats))
        self.feedback_weight = nn.Parameter(torch.empty(out_feats, out_feats)) if feedback else None
        above = [nn.Parameter(torch.empty(out_feats, out_feats)) for _ in range(num_layers - 1)]
        self.layer_weights = nn.ParameterList(above)
        self.biases = nn.ParameterList([nn.Parameter(torch.empty(out_feats)) for _ in range(num_layers)])
        self.bounds = nn.ModuleList([SpectralBound(out_feats) for _ in range(num_layers if feedback else 0)])
        self.reset_parameters()

    def _simulates(self, simulate: bool | None) -> bool:
        needed = self.gradient in ("trace", "bptt", "step")
        if simulate is False and needed and torch.is_grad_enabled():
            raise ConfigError(f"gradient={self.gradient!r} is that of the spiking simulation: it needs simulate=True")
        return needed if simulate is None else simulate

    def reset_parameters(self) -> None:
        """Draw the weights so that mean potentials spread around half the threshold, where neurons are unsaturated."""
        threshold = self.lif.threshold
        self.lif.reset_parameters()
        nn.init.normal_(self.injection_weight, std=self.gain * threshold / self.in_feats**0.5)
        for weight in self.layer_weights:
            nn.init.normal_(weight, std=self.gain * threshold / self.out_feats**0.5)
        for bias in self.biases:
            nn.init.constant_(bias, self.bias_init * threshold)
        for part in self.modules():
            if isinstance(part, SpectralBound):
                part.reset_parameters()
        if self.feedback_weight is not None:
            nn.init.normal_(self.feedback_weight)
            with torch.no_grad():
                norm = torch.linalg.matrix_norm(self.feedback_weight, 2)
                self.feedback_weight.mul_(self.feedback_gain * threshold / norm)

    def effective_weights(self) -> list[Tensor | None]:
        r"""Return the weights that act: W scaled to contract (None without feedback), then those of layers 2 to L.

        .. math:: W \min\!\left(1, \gamma V_{th}^L / (\|W\|_2 \textstyle\prod_{l \ge 2} \|F^l\|_2)\right)
        """
        above = list(self.layer_weights)
        if self.feedback_weight is None:
            return [None, *above]
        weight = self.lif.relative(self.feedback_weight.t()).t()
        norm = self.bounds[0](weight)
        for bound, later in zip(self.bounds[1:], above, strict=True):
            norm = norm * bound(later)
        room = self.max_norm * self.lif.threshold**self.num_layers
        return [weight * (room / norm).clamp(max=1.0), *above]

    @full_precision
    def inject(self, graph: Any, feat: Tensor, edge_weight: Tensor | None = None, rows: RowStore = IN_MEMORY) -> Tensor:
        """Aggregate the features, ``compensation_hops`` times; it has no parameters, so it can be done once for all."""
        weight = ops.symmetric_norm(graph, edge_weight, feat.dtype)
        return _Layers(self, graph, weight, rows).gather(feat, self.compensation_hops)

    @full_precision
    def messages(self, graph: Any, rate: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        """Aggregate rates, ``feedback_hops`` times, as `respond` takes them."""
        weight = ops.symmetric_norm(graph, edge_weight, rate.dtype)
        return _Layers(self, graph, weight, IN_MEMORY).gather(rate, self.feedback_hops)

    @full_precision
    def respond(
        self,
        messages: Tensor | None,
        injected: Tensor,
        current: Tensor | None = None,
        membrane: Tensor | None = None,
        active: Tensor | None = None,
    ) -> Tensor:
        r"""Return the rates of some nodes under messages that are held fixed: a mini-batch without a graph.

        .. math:: a = \sigma\!\left((m W^T + \tilde x F^T + b + c)/V_{th}\right)

        At the equilibrium, with ``messages`` from a cache of its rates, the value is the rate itself and the gradient
        the one-step gradient. Under ``gradient="step"`` the neurons fire instead, see `fired`.

        Parameters
        ----------
        messages, injected : Tensor
            Rows of `messages`, ``(n, out_feats)``, None without feedback; and of `inject`, ``(n, in_feats)``.
        current : Tensor, optional
            Extra current, ``(n, out_feats)``.
        membrane : Tensor, optional
            Of neurons that fire, see `fired`.
        active : Tensor, optional
            Mask ``(n,)`` of the rows whose rates count in `FiringRates`.
        """
        if self.gradient == "step":
            rate = self.fired(messages, injected, current, membrane)[0]
        else:
            rate = self._clamped(messages, injected, current)
        note_rates(self.lif, rate, active)
        return rate

    def _check_rows(self, messages: Tensor | None, injected: Tensor, current: Tensor | None) -> None:
        if self.num_layers != 1:
            raise ConfigError(f"respond is defined for one layer, but num_layers is {self.num_layers}")
        if self.feedback and messages is None:
            raise ConfigError("respond needs messages: this layer has feedback")
        check_fits(self, injected=injected, messages=messages, current=current)

    def _clamped(self, messages: Tensor | None, injected: Tensor, current: Tensor | None) -> Tensor:
        self._check_rows(messages, injected, current)
        potential = self._current(injected if self.compensation else None, injected.shape[0], current)
        weight = self.effective_weights()[0]
        if weight is not None and messages is not None:
            potential = torch.addmm(potential, messages, weight.t())
        return functional.hardtanh(potential / self.lif.threshold, 0.0, 1.0)

    @full_precision
    def fired(
        self,
        messages: Tensor | None,
        injected: Tensor,
        current: Tensor | None = None,
        membrane: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Let some nodes fire under messages that are held fixed; return their rates, and the spikes that come back.

        The simulation of `forward` on rows. The spikes are those of all steps but the last, which nobody receives, side
        by side, ``(n, (latency - 1) out_feats)``, without gradient. What `messages` makes of those of all nodes is what
        the nodes receive: called again with it, after step k the rates of all nodes are exact in their first k steps.

        Parameters
        ----------
        messages : Tensor
            Rows of `messages` of such spikes, None without feedback.
        injected, current
            As of `respond`.
        membrane : Tensor, optional
            First potentials, ``(n, out_feats)``, default half the threshold.
        """
        self._check_rows(messages, injected, current)
        if self.encoding != "constant":
            raise ConfigError(f"rows fire under a constant current, but encoding is {self.encoding!r}: train all nodes")
        later = self._current(None, len(injected), current)
        first = later + self.lif.relative(functional.linear(injected, self.injection_weight))
        entering = ConstantInput(first, first if self.compensation else later, first)
        received = [] if messages is None else messages.split(self.out_feats, 1)
        sent: list[Tensor] = []

        def exchange(spikes: Any, layer: int) -> Tensor:
            sent.append(spikes.detach().clone())
            return received[len(sent) - 1]

        membrane = first.new_tensor(self.lif.threshold / 2).expand(first.shape) if membrane is None else membrane
        spiking = simulate(
            self.lif, self.latency, entering.at, [], self.effective_weights(), exchange, [membrane], IN_MEMORY,
            packed=False,
        )  # fmt: skip
        return spiking.rates[0], torch.cat(sent, 1) if sent else first.new_zeros(len(first), 0)

    def carried(self, rate: Tensor, active: Tensor | None) -> Tensor:
        """Return the potentials with which the next snapshot begins, ``(N, out_feats)``.

        Equation 9: they are the rates. Those of a node that was silent so far are half the threshold.
        """
        threshold = self.lif.threshold
        potential = rate * threshold if threshold != 1 else rate
        return potential if active is None else potential.masked_fill(~active[:, None], threshold / 2)

    @full_precision
    def forward(
        self,
        graph: Any,
        feat: Tensor | tuple[Tensor, Tensor] | None,
        state: EquilibriumState | None = None,
        edge_weight: Tensor | None = None,
        current: Tensor | None = None,
        active: Tensor | None = None,
        *,
        injected: Tensor | None = None,
        simulate: bool | None = None,
        rows: RowStore = IN_MEMORY,
    ) -> tuple[Tensor, EquilibriumState] | Tensor:
        """Return the firing rates on one snapshot, and the state to carry to the next.

        Parameters
        ----------
        graph : DGLGraph
            All N nodes of the snapshot; undirected graphs as pairs of edges. Messages follow directed edges; the bound
            on the contraction holds there as well (see `dgl_dysign.ops.symmetric_norm`).
        feat : Tensor, pair of Tensor or None
            ``(N, in_feats)``; None if ``injected`` is given. Of a pair (``dgl.nn.HeteroGraphConv``) the first.
        state : EquilibriumState, optional
            What the last call returned; at first potentials start at half the threshold.
        edge_weight : Tensor, optional
            ``(E,)``; normalised by weighted degrees. None counts every edge once.
        current, active : Tensor, optional
            Extra current into layer 1, ``(N, out_feats)``; mask ``(N,)`` outside of which rates are zero.
        injected : Tensor, optional
            What `inject` returned, to do it once for many calls.
        simulate : bool, optional
            Overrules the layer's own ``simulate`` for this call. Under ``torch.no_grad`` any layer may solve.
        rows : RowStore, optional
            Where what is computed for all nodes lies: in memory or, unless the layer `needs_memory`, in `RowFiles`.
            Rates are the same to the last bit if all rows make one block; otherwise products of matrices may round
            differently.

        Returns
        -------
        rate : Tensor
            ``(N, out_feats)``, in [0, 1].
        state : EquilibriumState
            Without gradient; not with ``return_state=False``. ``state.info`` has the number of solver steps (of the
            simulation: ``latency``) and the relative gap to the equilibrium; None for a simulation with rows on disk,
            or under ``gradient="step"``, where nothing is solved.
        """
        simulated = self._simulates(self.simulate if simulate is None else simulate)
        feat = feat[0] if isinstance(feat, tuple) else feat
        source = _check_call(self, graph, feat if injected is None else injected, state, current, active)
        state = None if state is None else state._each(for_autograd)
        reason = self.needs_memory() if rows.on_disk else None
        if reason is not None:
            raise ConfigError(f"rows of this layer cannot lie on disk: {reason}")
        call = _Call(self, graph, ops.symmetric_norm(graph, edge_weight, source.dtype), active, rows)
        entry = call.entry(feat, injected, current, simulated)
        rate, after = call.simulated(entry, state) if simulated else call.solved(entry.mean, state)
        note_rates(self.lif, rate, active)
        return (rate, after) if self.return_state else rate

    def needs_memory(self) -> str | None:
        """Say why the rows of this layer, called as now, cannot lie on disk; None if they can."""
        if torch.is_grad_enabled():
            return "a gradient needs all of them in memory; call it under torch.no_grad()"
        if self.encoding != "constant":
            return f"encoding={self.encoding!r} draws all of them at once; keep them in memory"
        if self.solver is not ops.fixed_point:
            return "only the solver 'fixed_point' takes some at a time; keep them in memory"
        if self.injection_weight.device.type != "cpu":
            return f"the layer is on {self.injection_weight.device}; keep them in memory, or move it to the CPU"
        return None

    def _current(self, injected: Tensor | None, rows: int, current: Tensor | None) -> Tensor:
        """Return the constant current into layer 1, ``(rows, out_feats)``."""
        bias = self.biases[0]
        base = bias.expand(rows, -1) if injected is None else functional.linear(injected, self.injection_weight, bias)
        if current is None:
            return self.lif.entering(base)
        if current.shape != (rows, self.out_feats):
            raise DGLGraphError(f"current must have shape {(rows, self.out_feats)}, but has {tuple(current.shape)}")
        return self.lif.entering(base + current)

    def extra_repr(self) -> str:
        """Describe the layer in one line."""
        names = "num_layers latency gradient max_norm compensation compensation_hops feedback feedback_hops encoding"
        options = [f"{name}={getattr(self, name)!r}" for name in (*names.split(), "simulate", "backend")]
        return ", ".join([str(self.in_feats), str(self.out_feats), *options])


class _Layers:
    r"""One turn around the loop, in units of the threshold: layer 1 from the rates of the last, then layer after layer.

    Called with ``(rate, *inputs)``, where the inputs are the L currents, ``(N, d)`` or ``(d,)``, the weights (without
    that of the feedback if there is none) and, if it needs a gradient, the edge weight. ``rate=None`` is silence.
    ``edge_weight`` is normalised, ``(E,)``; what is computed for all nodes lies in ``rows``.
    """

    def __init__(self, conv: EquilibriumSpikingConv, graph: Any, edge_weight: Tensor, rows: RowStore) -> None:
        self.num_layers, self.feedback, self.width = conv.num_layers, conv.feedback, conv.out_feats
        self.hops = [conv.feedback_hops] + [1] * (conv.num_layers - 1)
        self.graph, self.edge_weight, self.rows = graph, edge_weight, rows
        self.rates: tuple[Tensor, ...] = ()  # of all layers, at the last call

    def gather(self, feat: Tensor | ops.PackedSpikes, hops: int, edge_weight: Tensor | None = None) -> Tensor:
        """Aggregate rates, features or spikes, ``hops`` times."""
        weight = self.edge_weight if edge_weight is None else edge_weight

        def sums(part: Tensor | ops.PackedSpikes) -> Tensor:
            for _ in range(hops):
                part = ops.aggregate(self.graph, part, weight, norm="none")
            return part.unpack() if isinstance(part, ops.PackedSpikes) else part

        return feat if isinstance(feat, Tensor) and not hops else self.rows.by_columns(sums, feat)

    def sums(self, spikes: Tensor | ops.PackedSpikes, layer: int) -> Tensor | PackedSums:
        """Return the aggregated spikes that a layer receives; those of direct neighbours when rows of them are read."""
        if self.hops[layer] == 1 and isinstance(spikes, ops.PackedSpikes):
            return PackedSums(self.graph, spikes, self.edge_weight)
        return self.gather(spikes, self.hops[layer])

    def __call__(self, rate: Tensor | None, *inputs: Tensor) -> Tensor:
        below, rates = rate, []
        for layer in range(self.num_layers):
            # In place, and strictly inside (0, 1): the gradient is zero on the boundary too.
            below = self.layer(layer, below, inputs, lambda potential: functional.hardtanh_(potential, 0.0, 1.0))
            rates.append(below.detach())
        self.rates = tuple(rates)
        assert below is not None
        return below

    def layer(
        self, layer: int, below: Tensor | None, inputs: Sequence[Tensor], rate: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Return ``rate`` of a layer's mean potential (in fresh memory) under the rates below it."""
        current, place = inputs[layer], self.num_layers + layer - (not self.feedback)
        if below is None or (layer == 0 and not self.feedback):
            return self.rows.by_rows(lambda current: rate(current.clone()), self.width, current)
        fixed = 2 * self.num_layers - (not self.feedback)
        # Aggregated first: the gradient of the weight needs exactly what is aggregated here.
        gathered = self.gather(below, self.hops[layer], inputs[fixed] if len(inputs) > fixed else None)

        def turn(gathered: Tensor, current: Tensor) -> Tensor:
            return rate(torch.addmm(current, gathered, inputs[place].t()))

        if current.dim() == 1:
            return self.rows.by_rows(partial(turn, current=current), self.width, gathered)
        return self.rows.by_rows(turn, self.width, gathered, current)


class _TracedLayers:
    r"""Equation 8 in its factored form: the simulated rates, with the mean surrogate slope as derivative.

    ``rates`` and ``slopes`` are for each layer the simulated rates and :math:`\bar\psi`, ``(N, d)``.
    """

    def __init__(self, layers: _Layers, rates: Sequence[Tensor], slopes: Sequence[Tensor]) -> None:
        self.layers, self.rates, self.slopes = layers, rates, slopes

    def __call__(self, rate: Tensor, *inputs: Tensor) -> Tensor:
        below = rate
        for layer, (simulated, derivative) in enumerate(zip(self.rates, self.slopes, strict=True)):
            potential = self.layers.layer(layer, below, inputs, lambda potential: potential)
            below = _Replace.apply(potential, simulated, derivative)
        return below


class _Replace(torch.autograd.Function):
    """A value with a derivative of its own towards the potential that it stands for."""

    @staticmethod
    def forward(ctx: Any, potential: Tensor, value: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(slope)
        return value.view_as(value)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return grads[0] * slope, None, None


class _Call:
    """One call of the layer: what enters it, and its rates by the solver or by the spiking simulation."""

    def __init__(
        self, conv: EquilibriumSpikingConv, graph: Any, edge_weight: Tensor, active: Tensor | None, rows: RowStore
    ) -> None:
        self.conv, self.active, self.rows, self.weights = conv, active, rows, conv.effective_weights()
        self.layers = _Layers(conv, graph, edge_weight, rows)
        self.above: list[Tensor] = list(conv.biases[1:])
        if active is not None:
            self.above = [self._by_rows(partial(self._silenced, bias), active) for bias in self.above]

    def _by_rows(self, func: Callable[..., Tensor], *sources: Tensor | None) -> Tensor:
        return self.rows.by_rows(func, max(self.conv.in_feats, self.conv.out_feats), *sources)

    def _silenced(self, current: Tensor, active: Tensor) -> Tensor:
        """Return the current with that of inactive nodes so low that they stay silent."""
        current = current.expand(len(active), -1)
        return current.masked_fill(~active[:, None], _SILENT * self.conv.lif.threshold)

    def entry(
        self, feat: Tensor | None, injected: Tensor | None, current: Tensor | None, simulated: bool
    ) -> ConstantInput | DrawnInput:
        """Return what enters layer 1; for the solver all of it is constant."""
        conv, hops = self.conv, self.conv.compensation_hops

        def base(source: Tensor, current: Tensor | None, active: Tensor | None) -> Tensor:
            constant = conv._current(None, len(source), current)
            return constant if active is None else self._silenced(constant, active)

        def weighted(source: Tensor) -> Tensor:
            return conv.lif.relative(functional.linear(source, conv.injection_weight))

        source, others = feat if injected is None else injected, (current, self.active)
        if not simulated and not conv.compensation:
            return ConstantInput(*[self._by_rows(base, source, *others)] * 3)
        if conv.encoding == "bernoulli":
            if feat is None:
                raise ConfigError("Bernoulli encoding draws from the features: pass feat, not injected")
            if simulated:
                return self._drawn(self._by_rows(base, source, *others), feat)
            mean = BernoulliEncoder(conv.latency).mean(feat, conv.lif.leak)
            source = mean if injected is None else source
        enters: Callable[[Tensor], Tensor] = weighted
        if injected is None:
            assert source is not None
            if hops and conv.in_feats > conv.out_feats:  # the narrower side is aggregated
                source, enters = self._by_rows(weighted, source), lambda entering: entering
            source = self.layers.gather(source, hops)
        if conv.compensation:
            full = self._by_rows(lambda source, *others: base(source, *others) + enters(source), source, *others)
            return ConstantInput(full, full, full)
        later, entering = self._by_rows(base, source, *others), self._by_rows(enters, source)
        share = conv.lif.leak ** (conv.latency - 1) / sum(conv.lif.leak**i for i in range(conv.latency))
        mean = self._by_rows(lambda later, entering: later + entering * share, later, entering)
        return ConstantInput(self._by_rows(torch.add, later, entering), later, mean)

    def _drawn(self, base: Tensor, feat: Tensor) -> DrawnInput:
        conv, layers, encoder = self.conv, self.layers, BernoulliEncoder(1)
        check_probabilities(feat)

        def draw() -> Tensor:
            return layers.gather(encoder(feat)[0], conv.compensation_hops)

        weight = conv.lif.relative(conv.injection_weight.t()).t()
        return DrawnInput(base, draw, weight, conv.compensation, conv.latency, conv.lif.leak)

    def _inputs(self, first: Tensor) -> list[Tensor]:
        """Return the arguments of the layers' map, in units of the threshold."""
        currents, weights = [first, *self.above], [weight for weight in self.weights if weight is not None]
        threshold = self.conv.lif.threshold
        if threshold != 1:
            scaled = [self._by_rows(lambda x: x / threshold, x) if x.dim() == 2 else x / threshold for x in currents]
            currents, weights = scaled, [weight / threshold for weight in weights]
        # A fixed edge weight stays out: as an input it would be a new tensor, and be prepared anew, at each call.
        edge_weight = self.layers.edge_weight
        return [*currents, *weights, *([edge_weight] if edge_weight.requires_grad else [])]

    def _equilibrium(self, func: Any, x0: Tensor, inputs: Sequence[Tensor], at: bool) -> tuple[Tensor, ops.SolverInfo]:
        conv = self.conv
        steps = conv.adjoint_max_iter if conv.gradient == "implicit" and conv.feedback else 0
        adjoint: dict[str, Any] = {"adjoint_tol": conv.adjoint_tol, "on_adjoint": conv.on_adjoint}
        forward: dict[str, Any] = {"solver": conv.solver, "max_iter": conv.max_iter, "tol": conv.tol}
        return ops.equilibrium(func, x0, inputs, at=at, adjoint_max_iter=steps, **forward, **adjoint)

    def solved(self, first: Tensor, state: EquilibriumState | None) -> tuple[Tensor, EquilibriumState]:
        """Return the rates of the equilibrium under a constant current into layer 1."""
        inputs = self._inputs(first)
        if state is None:
            with torch.no_grad():
                start = self.layers(None, *inputs)
        else:
            start = state.rate.detach()
        rate, info = self._equilibrium(self.layers, start, inputs, at=False)
        return rate, self._state(self.layers.rates, rate, info)

    def simulated(
        self, entry: ConstantInput | DrawnInput, state: EquilibriumState | None
    ) -> tuple[Tensor, EquilibriumState]:
        """Return the rates of the spiking simulation, with the layer's gradient at them."""
        conv, taped = self.conv, torch.is_grad_enabled()
        with torch.set_grad_enabled(taped and conv.gradient in ("bptt", "step")):
            spiking = self._simulate(entry, state, with_slopes=taped and conv.gradient == "trace")
        rate = spiking.rates[-1]
        if self.rows.on_disk or conv.gradient == "step":
            return rate, self._state(spiking.rates, rate, None)
        with uncounted():  # the gap, and the way back of the gradient: no part of an inference
            rate, info = self._at_simulated(entry, spiking, rate)
        return rate, self._state(spiking.rates, rate, replace(info, steps=conv.latency))

    def _at_simulated(
        self, entry: ConstantInput | DrawnInput, spiking: Simulated, rate: Tensor
    ) -> tuple[Tensor, ops.SolverInfo]:
        """Return the simulated rates with the layer's gradient, and their gap to the equilibrium."""
        inputs, layers = self._inputs(entry.mean), self.layers
        if self.conv.gradient in ("implicit", "one-step"):
            return self._equilibrium(layers, rate, inputs, at=True)
        with torch.no_grad():  # for the gap
            _, info = self._equilibrium(layers, rate, inputs, at=True)
        if spiking.slopes:
            traced = _TracedLayers(layers, spiking.rates, spiking.slopes)
            rate, _ = self._equilibrium(traced, rate, inputs, at=True)
        return rate, info

    def _simulate(
        self, entry: ConstantInput | DrawnInput, state: EquilibriumState | None, with_slopes: bool
    ) -> Simulated:
        conv = self.conv
        if state is None:
            like = entry.later
            membranes = [like.new_tensor(conv.lif.threshold / 2).expand(like.shape)] * conv.num_layers
        else:
            membranes = [u.detach() for u in state.membrane]
        return simulate(
            conv.lif, conv.latency, entry.at, self.above, self.weights, self.layers.sums, membranes, self.rows,
            with_slopes, packed=conv.backend == "packed",
        )  # fmt: skip

    def _state(self, rates: Sequence[Tensor], rate: Tensor, info: ops.SolverInfo | None) -> EquilibriumState:
        membranes = [a.detach() for a in rates]
        if self.conv.lif.threshold != 1 or self.active is not None:
            membranes = [self._by_rows(self.conv.carried, a, self.active) for a in membranes]
        return EquilibriumState(tuple(membranes), rate.detach(), info)


def _check_together(num_layers: int, latency: int, learn_threshold: bool | str, gradient: str, feedback: bool) -> None:
    """Raise ``ConfigError`` where two settings exclude each other."""
    if learn_threshold and num_layers > 1:
        raise ConfigError(f"thresholds are learned in one layer, but num_layers is {num_layers}: leave one out")
    if gradient == "step" and feedback and latency == 1:
        raise ConfigError(
            "feedback is one step old, so that at latency 1 nothing comes back: pass feedback=False, or latency=2"
        )


def _check_counts(least: int = 1, **counts: int) -> None:
    for name, count in counts.items():
        if count < least:
            raise ConfigError(f"{name} must be at least {least}, but got {count}")


def _check_call(
    conv: EquilibriumSpikingConv, graph: Any, source: Tensor | None, state: EquilibriumState | None,
    current: Tensor | None, active: Tensor | None,
) -> Tensor:  # fmt: skip
    """Raise unless all arguments of a call fit each other; return the features."""
    check_one_edge_type(graph)
    if graph.is_block or not graph.is_homogeneous:
        raise DGLGraphError(
            "an equilibrium needs the rates of every node, but this graph is a block or bipartite: its source "
            "nodes are not its destination nodes. Use the subgraph that the nodes induce (dgl.node_subgraph), or "
            "cache the equilibrium of the whole graph (dgl_dysign.training.EquilibriumCache) and call respond() on "
            "rows of it"
        )
    if source is None:
        raise ConfigError("one of feat and injected must be given, but both are None")
    check_rows(graph, source)
    if source.dim() != 2 or source.shape[1] != conv.in_feats:
        raise DGLGraphError(f"feat must have shape (N, {conv.in_feats}), but has {tuple(source.shape)}")
    check_fits(conv, feat=source, current=current)
    size = (graph.num_nodes(), conv.out_feats)
    _check_state(state, conv, size)
    if active is not None and (active.dtype != torch.bool or active.shape != size[:1]):
        raise DGLGraphError(
            f"active must be a bool mask of shape {size[:1]}, but is {active.dtype} of {tuple(active.shape)}"
        )
    return source


def _check_state(state: EquilibriumState | None, conv: EquilibriumSpikingConv, size: tuple[int, int]) -> None:
    if state is None:
        return
    if not isinstance(state, EquilibriumState):  # SAGEConv and GATConv have edge weights in this place
        raise ConfigError(
            f"state must be an EquilibriumState, as the last call returned it, but got {type(state).__name__}; "
            f"edge weights are passed by name, edge_weight=..."
        )
    tensors, like = (*state.membrane, state.rate), conv.injection_weight
    shapes = [tuple(x.shape) for x in tensors]
    if shapes != [size] * (conv.num_layers + 1):
        raise DGLGraphError(
            f"state must have {conv.num_layers} membranes and a rate of shape {size}, but has {shapes}; gather the "
            f"rows of a subgraph with state.rows(nodes), and make room for new nodes with state.grow({size[0]})"
        )
    for x in tensors:
        if (x.dtype, x.device) != (like.dtype, like.device):
            raise DGLGraphError(
                f"state is {x.dtype} on {x.device}, but this layer is {like.dtype} on {like.device}: convert it with "
                f"state.to({like.dtype}) or state.to({str(like.device)!r})"
            )


class EquilibriumState(NamedTuple):
    """What `EquilibriumSpikingConv` carries to the next snapshot: potentials and rates, without gradient.

    Parameters
    ----------
    membrane : tuple of Tensor
        For each layer the potential with which the next snapshot starts, ``(N, out_feats)``.
    rate : Tensor
        Firing rates of the last layer, ``(N, out_feats)``: where the next solve starts.
    info : SolverInfo or None
        Steps taken, and the relative gap to the equilibrium.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.nn import EquilibriumState
    >>> state = EquilibriumState((torch.zeros(3, 2),), torch.ones(3, 2), None)
    >>> state.rows(torch.tensor([2])).rate
    tensor([[1., 1.]])
    >>> state.grow(4).membrane[0][3], list(state.state_dict())
    (tensor([0.5000, 0.5000]), ['membrane.0', 'rate'])
    """

    membrane: tuple[Tensor, ...]
    rate: Tensor
    info: SolverInfo | None = None

    def rows(self, nodes: Tensor) -> EquilibriumState:
        """Return the state of some nodes, as a mini-batch or an induced subgraph needs it."""
        return self._each(lambda part: part[nodes])

    def to(self, device: torch.device | str | torch.dtype) -> EquilibriumState:
        """Return the state on another device, or in another precision."""
        return self._each(lambda part: part.to(device))

    def _each(self, func: Callable[[Tensor], Tensor]) -> EquilibriumState:
        return EquilibriumState(tuple(map(func, self.membrane)), func(self.rate), self.info)

    def grow(self, num_nodes: int, threshold: float = 1.0) -> EquilibriumState:
        """Return the state of a graph with more nodes, in which the old ones have what they had.

        The new ones have what nodes have that were not ``active`` in any call so far: rate 0 and a potential of half
        the threshold, with which every node starts at first.

        Parameters
        ----------
        num_nodes : int
            The new number of nodes; ConfigError if it is below the old one.
        threshold : float, default 1
            That of the layer.
        """
        check_growth("the state", len(self.rate), num_nodes)
        new = num_nodes - len(self.rate)

        def grown(part: Tensor, start: float) -> Tensor:
            return torch.cat([part, part.new_full((new, part.shape[1]), start)])

        return EquilibriumState(tuple(grown(u, threshold / 2) for u in self.membrane), grown(self.rate, 0.0), self.info)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors by name, to save them: ``membrane.0`` and so on, ``rate`` and, if it has one, ``info``."""
        tensors = {f"membrane.{layer}": u for layer, u in enumerate(self.membrane)} | {"rate": self.rate}
        if self.info is not None:
            numbers = (self.info.steps, self.info.gap, self.info.converged, *self.info.trace)
            tensors["info"] = torch.tensor(numbers, dtype=torch.float64)
        return tensors

    @classmethod
    def from_state_dict(cls, state_dict: Mapping[str, Tensor]) -> EquilibriumState:
        """Make the state of what `state_dict` returned; of anything else raise ConfigError."""
        names = [f"membrane.{layer}" for layer in range(len(set(state_dict) - {"rate", "info"}))]
        if not names or not {*names, "rate"} <= set(state_dict):
            raise ConfigError(
                f"expected membrane.0 and so on and rate, but got {list(state_dict)}; pass what state_dict() returned"
            )
        info = None
        if "info" in state_dict:
            steps, gap, converged, *trace = state_dict["info"].tolist()
            info = SolverInfo(int(steps), gap, bool(converged), tuple(trace))
        return cls(tuple(state_dict[name] for name in names), state_dict["rate"], info)


if hasattr(torch.serialization, "add_safe_globals"):  # PyTorch 2.4: a state by itself loads with weights_only=True
    torch.serialization.add_safe_globals([EquilibriumState, SolverInfo])
