"""Dy-SIGN's group of layers: spiking graph convolutions with feedback, at the equilibrium of their firing rates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgl_dysign.errors import ConfigError
from dgl_dysign.nn._autocast import full_precision
from dgl_dysign.nn._equilibrium_checks import check_call, check_counts
from dgl_dysign.nn._simulation import ConstantInput, DrawnInput
from dgl_dysign.nn._snapshot import Snapshot, gather
from dgl_dysign.nn.bernoulli_encoder import BernoulliEncoder, check_probabilities
from dgl_dysign.nn.equilibrium_state import EquilibriumState
from dgl_dysign.nn.lif import LIF
from dgl_dysign.nn.spectral import SpectralBound
from dgl_dysign.ops import Solver, SolverInfo, get_solver, symmetric_norm
from dgl_dysign.ops._checks import DGLGraphError, check_choice
from dgl_dysign.ops.spikes import Spiking

GRADIENTS = ("implicit", "one-step", "trace", "bptt")
ENCODINGS = ("constant", "bernoulli")
BACKENDS = ("packed", "float")
_SILENT = -1e6  # a current, in thresholds, that nothing lifts: it keeps inactive nodes silent, and finite


class EquilibriumSpikingConv(nn.Module):
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
    however many steps are taken. The weight W is scaled so that
    one turn around the loop contracts by ``max_norm`` at least, in training and in evaluation, so the equilibrium
    exists, is unique and does not depend on the state that is carried in: the state is where neurons and solver start.

    Parameters
    ----------
    in_feats, out_feats : int
        Number of features, and of neurons in each layer.
    num_layers : int, default 1
        L.
    latency : int, default 8
        Steps of the spiking simulation.
    leak : float, default 1
        Share of the potential kept from step to step.
    threshold : float, default 1
        Potential at which a neuron fires.
    gradient : {"implicit", "one-step", "trace", "bptt"}, default "implicit"
        ``implicit``: the exact gradient of the equilibrium. ``one-step``: without its feedback term. ``trace``:
        equation 8, normalised and factored. ``bptt``: back through all steps, whose tape grows with ``latency``.
    max_norm : float, default 0.9
        Bound on the contraction, in (0, 1).
    compensation : bool, default True
        Features enter at every step. Otherwise at the first step only, and not at all at the equilibrium.
    compensation_hops : int, default 1
        How often the features are aggregated.
    feedback : bool, default True
        Whether layer 1 hears the last layer.
    feedback_hops : int, default 1
        How often the feedback is aggregated; 0 is feedback within each node.
    encoding : {"constant", "bernoulli"}, default "constant"
        Features as a constant current, or as spikes drawn with the features, in [0, 1], as probabilities.
    simulate : bool, optional
        Return the rates of the spiking simulation rather than those of the solver. By default so for ``trace`` and
        ``bptt``, which need it. The other two then evaluate their gradient at the simulated rates.
    solver : str or callable, default "fixed_point"
        See `dgl_dysign.ops.SOLVERS`.
    max_iter, tol : int, float or None, default 50 and 1e-4
        Largest number of solver steps and relative gap at which it stops; ``tol=None`` takes exactly ``max_iter``.
    adjoint_max_iter, adjoint_tol : int, float or None, default 50 and 1e-4
        The same for the implicit gradient.
    surrogate : str or callable, default "rectangle"
        For ``trace`` and ``bptt``, see `dgl_dysign.ops.Surrogate`.
    gain, bias_init, feedback_gain : float, default 0.5
        Initial spread of the input, initial bias, and norm of W, all in units of the threshold.
    allow_growth : bool, default False
        Accept a leak above 1, whose rates have no equilibrium.
    backend : {"packed", "float"}, default "packed"
        How the simulation moves spikes over the graph: at one bit each, or as float32; the rates are the same.
        ``packed`` is for float32, on the CPU or with Triton, without a tape and with a surrogate of ours; elsewhere
        they are floats.
    return_state : bool, default True
        Return the state beside the rates. Without it the layer returns what DGL's do, and so goes into
        ``dgl.nn.Sequential`` and ``dgl.nn.HeteroGraphConv``.

    Attributes
    ----------
    on_adjoint : callable or None
        Given the `SolverInfo` of the adjoint at each implicit gradient, which is only known in the backward pass.

    Shapes
    ------
    feat ``(N, in_feats)`` -> rate ``(N, out_feats)``, and an `EquilibriumState` with ``(N, out_feats)`` for each layer.

    Raises
    ------
    ConfigError
        For an argument outside its range, or two that exclude each other.
    GraphError
        For a block or another bipartite graph: without a rate for every source node there is no equilibrium.

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
        gradient: str = "implicit",
        max_norm: float = 0.9,
        compensation: bool = True,
        compensation_hops: int = 1,
        feedback: bool = True,
        feedback_hops: int = 1,
        encoding: str = "constant",
        simulate: bool | None = None,
        solver: str | Solver = "fixed_point",
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
        check_counts(in_feats=in_feats, out_feats=out_feats, num_layers=num_layers, latency=latency)
        check_counts(least=0, compensation_hops=compensation_hops, feedback_hops=feedback_hops)
        if not 0 < max_norm < 1:
            raise ConfigError(f"max_norm must lie in (0, 1), or no equilibrium is guaranteed, but got {max_norm}")
        self.in_feats, self.out_feats, self.num_layers, self.latency = in_feats, out_feats, num_layers, latency
        self.gradient, self.max_norm, self.encoding, self.backend = gradient, max_norm, encoding, backend
        self.compensation, self.compensation_hops = compensation, compensation_hops
        self.feedback, self.feedback_hops = feedback, feedback_hops
        self.simulate, self.return_state = self._simulates(simulate), return_state
        self.solver, self.max_iter, self.tol = get_solver(solver), max_iter, tol
        self.adjoint_max_iter, self.adjoint_tol = adjoint_max_iter, adjoint_tol
        self.on_adjoint: Callable[[SolverInfo], None] | None = None
        self.gain, self.bias_init, self.feedback_gain = gain, bias_init, feedback_gain
        self.lif = LIF(threshold, leak, surrogate, allow_growth=allow_growth)
        self.injection_weight = nn.Parameter(torch.empty(out_feats, in_feats))
        self.feedback_weight = nn.Parameter(torch.empty(out_feats, out_feats)) if feedback else None
        above = [nn.Parameter(torch.empty(out_feats, out_feats)) for _ in range(num_layers - 1)]
        self.layer_weights = nn.ParameterList(above)
        self.biases = nn.ParameterList([nn.Parameter(torch.empty(out_feats)) for _ in range(num_layers)])
        self.bounds = nn.ModuleList([SpectralBound(out_feats) for _ in range(num_layers if feedback else 0)])
        self.reset_parameters()

    def _simulates(self, asked: bool | None) -> bool:
        needed = self.gradient in ("trace", "bptt")
        if asked is False and needed and torch.is_grad_enabled():
            raise ConfigError(f"gradient={self.gradient!r} is that of the spiking simulation: it needs simulate=True")
        return needed if asked is None else asked

    def reset_parameters(self) -> None:
        """Draw the weights so that mean potentials spread around half the threshold, where neurons are unsaturated."""
        threshold = self.lif.threshold
        nn.init.normal_(self.injection_weight, std=self.gain * threshold / self.in_feats**0.5)
        for weight in self.layer_weights:
            nn.init.normal_(weight, std=self.gain * threshold / self.out_feats**0.5)
        for bias in self.biases:
            nn.init.constant_(bias, self.bias_init * threshold)
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
        norm = self.bounds[0](self.feedback_weight)
        for bound, weight in zip(self.bounds[1:], above, strict=True):
            norm = norm * bound(weight)
        room = self.max_norm * self.lif.threshold**self.num_layers
        return [self.feedback_weight * (room / norm).clamp(max=1.0), *above]

    @full_precision
    def inject(self, graph: Any, feat: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        """Aggregate the features, ``compensation_hops`` times; it has no parameters, so it can be done once for all."""
        return gather(graph, feat, symmetric_norm(graph, edge_weight, feat.dtype), self.compensation_hops)

    @full_precision
    def messages(self, graph: Any, rate: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        """Aggregate rates, ``feedback_hops`` times, as `respond` takes them."""
        return gather(graph, rate, symmetric_norm(graph, edge_weight, rate.dtype), self.feedback_hops)

    @full_precision
    def respond(self, messages: Tensor | None, injected: Tensor, current: Tensor | None = None) -> Tensor:
        r"""Return the rates of some nodes under messages that are held fixed: a mini-batch without a graph.

        .. math:: a = \sigma\!\left((m W^T + \tilde x F^T + b + c)/V_{th}\right)

        At the equilibrium, with ``messages`` from a cache of its rates, the value is the rate itself and the gradient
        the one-step gradient.

        Parameters
        ----------
        messages : Tensor or None
            Rows of `messages`, ``(n, out_feats)``; None without feedback.
        injected : Tensor
            Rows of `inject`, ``(n, in_feats)``.
        current : Tensor, optional
            Extra current, ``(n, out_feats)``.

        Returns
        -------
        Tensor
            ``(n, out_feats)``.
        """
        if self.num_layers != 1:
            raise ConfigError(f"respond is defined for one layer, but num_layers is {self.num_layers}")
        if self.feedback and messages is None:
            raise ConfigError("respond needs messages: this layer has feedback")
        potential = self._current(injected if self.compensation else None, injected.shape[0], current)
        weight = self.effective_weights()[0]
        if weight is not None and messages is not None:
            potential = torch.addmm(potential, messages, weight.t())
        return functional.hardtanh(potential / self.lif.threshold, 0.0, 1.0)

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
    ) -> tuple[Tensor, EquilibriumState] | Tensor:
        """Return the firing rates on one snapshot, and the state to carry to the next.

        Parameters
        ----------
        graph : DGLGraph
            All N nodes of the snapshot; undirected graphs as pairs of edges. On a directed graph messages follow the
            edges, and the bound on the contraction holds as well (see `dgl_dysign.ops.symmetric_norm`).
        feat : Tensor, pair of Tensor or None
            ``(N, in_feats)``; None if ``injected`` is given. Of a pair, as ``dgl.nn.HeteroGraphConv`` passes it, the
            first is taken: on a graph that is not bipartite both are features of the same nodes.
        state : EquilibriumState, optional
            What the last call returned; at first potentials start at half the threshold.
        edge_weight : Tensor, optional
            ``(E,)``; normalised by weighted degrees. None counts every edge once.
        current : Tensor, optional
            Extra current into layer 1, ``(N, out_feats)``.
        active : Tensor, optional
            Mask ``(N,)``; the rates of the other nodes are zero.
        injected : Tensor, optional
            What `inject` returned, to do it once for many calls.
        simulate : bool, optional
            Overrules the layer's own ``simulate`` for this call. Under ``torch.no_grad`` any layer may solve.

        Returns
        -------
        rate : Tensor
            ``(N, out_feats)``, in [0, 1].
        state : EquilibriumState
            Without gradient; not returned with ``return_state=False``. ``state.info`` has the number of solver steps
            (of the simulation: ``latency``) and the relative gap to the equilibrium.
        """
        simulated = self._simulates(self.simulate if simulate is None else simulate)
        feat = feat[0] if isinstance(feat, tuple) else feat
        given = check_call(self, graph, feat, injected, state, active)
        weight = symmetric_norm(graph, edge_weight, given.dtype)
        base = self._current(None, graph.num_nodes(), current)
        above: list[Tensor] = list(self.biases[1:])
        if active is not None:
            silent = ~active[:, None]
            base, *above = (x.expand_as(base).masked_fill(silent, _SILENT * self.lif.threshold) for x in (base, *above))
        snapshot = Snapshot(self, graph, weight, above, active)
        entry = self._entry(graph, weight, feat, injected, base, simulated)
        rate, after = snapshot.simulated(entry, state) if simulated else snapshot.solved(entry, state)
        return (rate, after) if self.return_state else rate

    def _entry(
        self, graph: Any, weight: Tensor, feat: Tensor | None, injected: Tensor | None, base: Tensor, simulated: bool
    ) -> ConstantInput | DrawnInput:
        """Return what enters layer 1; for the solver all of it is constant."""
        hops = self.compensation_hops
        if not simulated and not self.compensation:
            return ConstantInput(base, None, repeat=True)
        if self.encoding == "bernoulli":
            if feat is None:
                raise ConfigError("Bernoulli encoding draws from the features: pass feat, not injected")
            encoder = BernoulliEncoder(1 if simulated else self.latency)
            if simulated:
                check_probabilities(feat)
                return DrawnInput(
                    base,
                    lambda: gather(graph, encoder(feat)[0], weight, hops),
                    self.injection_weight,
                    self.compensation,
                    self.lif.leak,
                )
            feat = encoder.mean(feat, self.lif.leak)
        if injected is not None:
            return ConstantInput(base, functional.linear(injected, self.injection_weight), self.compensation)
        assert feat is not None
        if self.in_feats > self.out_feats:  # the narrower side is aggregated
            entering = gather(graph, functional.linear(feat, self.injection_weight), weight, hops)
        else:
            entering = functional.linear(gather(graph, feat, weight, hops), self.injection_weight)
        return ConstantInput(base, entering, self.compensation)

    def _current(self, injected: Tensor | None, rows: int, current: Tensor | None) -> Tensor:
        """Return the constant current into layer 1, ``(rows, out_feats)``."""
        bias = self.biases[0]
        base = bias.expand(rows, -1) if injected is None else functional.linear(injected, self.injection_weight, bias)
        if current is None:
            return base
        if current.shape != (rows, self.out_feats):
            raise DGLGraphError(f"current must have shape {(rows, self.out_feats)}, but has {tuple(current.shape)}")
        return base + current

    def extra_repr(self) -> str:
        """Describe the layer in one line."""
        return (
            f"{self.in_feats}, {self.out_feats}, num_layers={self.num_layers}, latency={self.latency}, "
            f"gradient={self.gradient!r}, max_norm={self.max_norm}, compensation={self.compensation}, "
            f"compensation_hops={self.compensation_hops}, feedback={self.feedback}, "
            f"feedback_hops={self.feedback_hops}, encoding={self.encoding!r}, simulate={self.simulate}, "
            f"backend={self.backend!r}"
        )
