"""The spiking counterpart of ``dgl.nn.GraphConv``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dgl_dysign.nn.encoders import BernoulliEncoder
from dgl_dysign.nn.firing_rates import note_rates
from dgl_dysign.nn.lif import LIF, pass_nan
from dgl_dysign.ops import NORMS, PackedSpikes, Surrogate, aggregate
from dgl_dysign.ops._checks import (
    DGLConfigError,
    DGLGraphError,
    Layer,
    check_choice,
    check_fits,
    check_one_edge_type,
    check_rows,
    full_precision,
)
from dgl_dysign.ops._listeners import tell_fired
from dgl_dysign.ops.aggregate import sums_of_rows
from dgl_dysign.ops.csr import every_format
from dgl_dysign.ops.packed_bytes import ByteProducts
from dgl_dysign.ops.spikes import Spiking

ENCODINGS = ("constant", "bernoulli")
_TOGETHER = 1 << 21  # bytes of sums that are mapped and fire while they are in the cache


class SpikingGraphConv(Layer):
    r"""Graph convolution whose output are firing rates: aggregation, then spiking neurons over ``latency`` steps.

    The layer of spiking graph networks (Dy-SIGN, AAAI 2024, equation 5), with the arguments of ``dgl.nn.GraphConv`` in
    their places, and the neurons' by name:

    .. math:: I_\tau = \sum_{u \to v} \frac{w_{uv}}{c_{uv}} \tilde x_{u,\tau} W + b, \qquad
              s_\tau, u_\tau = \mathrm{LIF}(I_\tau, u_{\tau-1}), \qquad
              a = \sum_\tau \lambda^{K-\tau} s_\tau \Big/ \sum_\tau \lambda^{K-\tau}

    Under a constant current and leak 1 the rate differs from that of ``clamp(GraphConv / threshold, 0, 1)`` by at most
    1 / latency. A constant current is aggregated once, and drawn spikes are aggregated together for all steps. NaN in a
    current is NaN in the rate, but not in the spikes.

    Under ``torch.no_grad``, at latency 1, layers can send `dgl_dysign.ops.PackedSpikes` to each other: each sums bits
    over neighbours, maps and fires some rows at a time, so that no float of all nodes is in memory. The spikes are
    those of floats, but where a current is within rounding of the threshold.

    Parameters
    ----------
    in_feats, out_feats : int
        Number of features and of neurons.
    norm : {"both", "right", "left", "none"}, default "both"
        As in ``GraphConv``; see `dgl_dysign.ops.aggregate`.
    weight, bias : bool, default True
        Whether the layer has a weight of its own, ``(in_feats, out_feats)``, and a bias.
    activation : None
        The neurons are the activation: anything else raises ``ConfigError``.
    allow_zero_in_degree : bool, default False
        Accept nodes without incoming edges, whose current is the bias alone; otherwise they are refused.
    latency : int, default 8
        Number of steps K.
    threshold, leak, surrogate, reset, allow_growth
        Those of the neuron, see `LIF`.
    learn_threshold : {False, True, "homeostatic"}, default False
        Learn a threshold for each neuron, which starts at ``threshold``; see `LIF`.
    encoding : {"constant", "bernoulli"}, default "constant"
        Features as a constant current, or as spikes drawn with the features, in [0, 1], as probabilities.

    Shapes
    ------
    feat ``(N_src, *, in_feats)``, or a pair of which the first is that -> rates ``(N_dst, *, out_feats)``, spikes
    ``(latency, N_dst, *, out_feats)``. Packed: ``(N_src, in_feats)`` -> ``(N_dst, out_feats)``.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign._dgl import dgl
    >>> from dgl_dysign.nn import SpikingGraphConv
    >>> graph = dgl.add_self_loop(dgl.graph(([0, 1], [1, 2])))
    >>> conv = SpikingGraphConv(1, 1, latency=4, norm="right")
    >>> _ = torch.nn.init.ones_(conv.weight)
    >>> conv(graph, torch.tensor([[0.5], [1.0], [0.25]])).detach()
    tensor([[0.5000],
            [0.7500],
            [0.5000]])
    >>> first, second = SpikingGraphConv(1, 64, latency=1), SpikingGraphConv(64, 64, latency=1)
    >>> with torch.no_grad():
    ...     hidden = first(graph, torch.tensor([[0.5], [1.0], [0.25]]), return_packed=True)
    ...     second(graph, hidden).nbytes  # of 3 nodes
    24
    """

    def __init__(
        self,
        in_feats: int,
        out_feats: int,
        norm: str = "both",
        weight: bool = True,
        bias: bool = True,
        activation: None = None,
        allow_zero_in_degree: bool = False,
        *,
        latency: int = 8,
        threshold: float = 1.0,
        leak: float = 1.0,
        surrogate: str | Spiking = "rectangle",
        reset: str = "soft",
        encoding: str = "constant",
        allow_growth: bool = False,
        learn_threshold: bool | str = False,
    ) -> None:
        super().__init__()
        if isinstance(norm, int):  # where latency once was
            raise DGLConfigError(
                f"norm must be one of {NORMS}, but got {norm}; steps are passed by name, latency={norm}"
            )
        check_choice("norm", norm, NORMS)
        check_choice("encoding", encoding, ENCODINGS)
        if activation is not None:
            raise DGLConfigError(
                f"activation must be None, but got {activation!r}: the spiking neurons are this layer's activation; "
                f"apply another to the rates that it returns"
            )
        if latency < 1:
            raise DGLConfigError(f"latency must be at least 1, but got {latency!r}")
        if min(in_feats, out_feats) < 1:
            raise DGLConfigError(f"in_feats and out_feats must be at least 1, but got {in_feats} and {out_feats}")
        self.in_feats, self.out_feats, self.latency, self.norm = in_feats, out_feats, latency, norm
        self.encoding, self._allow_zero_in_degree = encoding, allow_zero_in_degree
        learned: dict[str, Any] = {"num_neurons": out_feats, "learn_threshold": learn_threshold}
        self.lif = LIF(threshold, leak, surrogate, reset, allow_growth, **(learned if learn_threshold else {}))
        self.weight = nn.Parameter(torch.empty(in_feats, out_feats)) if weight else None
        self.bias = nn.Parameter(torch.empty(out_feats)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weight uniformly by Glorot's rule and set the bias to zero, as ``GraphConv`` does."""
        self.lif.reset_parameters()
        if self.weight is not None:
            nn.init.xavier_uniform_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def set_allow_zero_in_degree(self, set_value: bool) -> None:
        """Accept nodes without incoming edges, or refuse them."""
        self._allow_zero_in_degree = set_value

    @full_precision
    def forward(
        self,
        graph: Any,
        feat: Tensor | PackedSpikes | tuple[Tensor, Tensor],
        weight: Tensor | None = None,
        edge_weight: Tensor | None = None,
        *,
        return_spikes: bool = False,
        return_packed: bool = False,
        weight_bits: int = 32,
    ) -> Tensor | PackedSpikes | tuple[Tensor, Tensor]:
        """Return the firing rates, ``(N_dst, *, out_feats)``.

        Parameters
        ----------
        graph : DGLGraph
            A graph or block with one type of edges.
        feat : Tensor, PackedSpikes or pair of Tensor
            Features of the source nodes; of a pair the second is not used. What comes packed is returned packed;
            twice as wide, its second half counts negative, as `ThresholdEncoder` packs its spikes.
        weight : Tensor, optional
            ``(in_feats, out_feats)``, for a layer made with ``weight=False``.
        edge_weight : Tensor, optional
            ``(E,)`` or ``(E, 1)``.
        return_spikes : bool, default False
            Return the spikes as well, ``(latency, N_dst, *, out_feats)``.
        return_packed : bool, default False
            Return the spikes alone, at one bit each.
        weight_bits : {32, 8}, default 32
            Of the weights that sums of packed spikes are multiplied with. Without weights of edges, and under the norms
            "right" and "none", these sums are whole numbers, which bytes hold exactly: with weights rounded to 8 bits
            the product is up to twice as fast, and spikes differ where a current is near its threshold.
        """
        source = feat[0] if isinstance(feat, tuple) else feat
        self._check(graph, source, weight)
        matrix = self.weight if weight is None else weight
        if return_packed or isinstance(source, PackedSpikes) or weight_bits != 32:
            self._check_packed(source, return_spikes)
            check_choice("weight_bits", weight_bits, (8, 32))
            fire = (self._of_bytes if weight_bits == 8 else self._of_floats)(graph, source, matrix, edge_weight)
            return self._fired(fire, graph.num_dst_nodes(), source.device)
        if self.encoding == "bernoulli":
            # Steps go into the feature axes: one aggregation for all of them.
            drawn = BernoulliEncoder(self.latency)(source).movedim(0, 1)
            currents = self._currents(graph, drawn, matrix, edge_weight).movedim(1, 0)
        else:
            current = self._currents(graph, source, matrix, edge_weight)
            currents = current.expand(self.latency, *current.shape)
        spikes, membrane = self.lif.sequence(currents)
        rates = pass_nan(self.lif.rate(spikes), membrane)
        note_rates(self.lif, rates)
        return (rates, spikes) if return_spikes else rates

    def _currents(self, graph: Any, feat: Tensor, weight: Tensor | None, edge_weight: Tensor | None) -> Tensor:
        if weight is None:
            current = aggregate(graph, feat, edge_weight, self.norm)
        elif self.in_feats > self.out_feats:  # the narrower side is aggregated
            current = aggregate(graph, feat @ weight, edge_weight, self.norm)
        else:
            current = aggregate(graph, feat, edge_weight, self.norm) @ weight
        return current if self.bias is None else current + self.bias

    def _of_floats(
        self, graph: Any, source: Tensor | PackedSpikes, matrix: Tensor | None, edge_weight: Tensor | None
    ) -> Callable[[slice], PackedSpikes]:
        """Return what gives the spikes of some neurons at rest."""
        if matrix is not None and isinstance(source, Tensor) and self.in_feats > self.out_feats:
            source, matrix = source @ matrix, None  # the narrower side is aggregated
        sums = sums_of_rows(graph, source, edge_weight, self.norm)
        return lambda rows: PackedSpikes.pack(self.lif.entering(self._mapped(sums(rows), matrix)), self.lif.threshold)

    def _of_bytes(
        self, graph: Any, source: Tensor | PackedSpikes, matrix: Tensor | None, edge_weight: Tensor | None
    ) -> Callable[[slice], PackedSpikes]:
        """Return what gives the spikes of some neurons at rest, with weights of eight bits."""
        if matrix is None or edge_weight is not None or not isinstance(source, PackedSpikes):
            raise DGLConfigError(
                "weight_bits=8 is for sums of packed spikes: expected those, a weight of the layer and no edge_weight"
            )
        products = ByteProducts(graph, source, matrix, self.norm)
        limits = torch.zeros(self.out_feats) + self.lif.thresholds - (0.0 if self.bias is None else self.bias)
        return lambda rows: products.reaching(rows, limits)

    def _fired(self, fire: Callable[[slice], PackedSpikes], num_nodes: int, device: torch.device) -> PackedSpikes:
        """Return the spikes of all neurons, some rows at a time."""
        width = max(self.in_feats, self.out_feats)
        step = max(_TOGETHER // (4 * width), 1) if device.type == "cpu" else max(num_nodes, 1)
        words = torch.empty(num_nodes, -(-self.out_feats // 64), dtype=torch.int64, device=device)
        for begin in range(0, num_nodes, step):
            rows = slice(begin, min(begin + step, num_nodes))
            fired = fire(rows)
            tell_fired(fired)
            words[rows] = fired.words
        return PackedSpikes(words, self.out_feats)

    def _mapped(self, sums: Tensor, matrix: Tensor | None) -> Tensor:
        """Return the current of some sums, of which those of spikes of both signs are twice as wide."""
        if matrix is not None and sums.shape[1] != len(matrix):
            sums = sums[:, : self.in_feats] - sums[:, self.in_feats :]
        if matrix is not None and self.bias is not None:
            return torch.addmm(self.bias, sums, matrix)
        current = sums if matrix is None else sums @ matrix
        return current if self.bias is None else current + self.bias

    def _check_packed(self, feat: Tensor | PackedSpikes, return_spikes: bool) -> None:
        known = isinstance(self.lif.spiking, Surrogate)
        if self.latency != 1 or self.encoding != "constant" or not known or return_spikes:
            raise DGLConfigError(
                f"packed spikes are those of one step under a constant current: expected latency=1, "
                f"encoding='constant', a surrogate of dgl_dysign and no return_spikes, but got latency={self.latency}, "
                f"encoding={self.encoding!r}, surrogate={self.lif.surrogate!r}, return_spikes={return_spikes}"
            )
        if torch.is_grad_enabled():
            raise DGLConfigError("packed spikes have no gradient: call the layer under torch.no_grad(), or unpack them")
        if len(feat.shape) != 2 or any(parameter.dtype != torch.float32 for parameter in self.parameters()):
            kinds = ", ".join(sorted({str(parameter.dtype) for parameter in self.parameters()}))
            raise DGLGraphError(
                f"packed spikes are of shape (N, {self.in_feats}) and of a layer in float32, but got "
                f"{tuple(feat.shape)} and {kinds}: make feat a matrix, or convert the layer with layer.float()"
            )

    def _check(self, graph: Any, feat: Tensor | PackedSpikes, weight: Tensor | None) -> None:
        check_one_edge_type(graph)
        check_rows(graph, feat)
        if weight is not None and (self.weight is not None or weight.shape != (self.in_feats, self.out_feats)):
            own = "has one of its own; make it with weight=False" if self.weight is not None else "takes another shape"
            raise DGLConfigError(
                f"weight is a matrix of shape ({self.in_feats}, {self.out_feats}) for all edges, but got shape "
                f"{tuple(weight.shape)}, and this layer {own}; weights of edges are passed by name, edge_weight=..."
            )
        if isinstance(feat, Tensor):
            check_fits(self, feat=feat, weight=weight)
        signed = isinstance(feat, PackedSpikes) and feat.size == 2 * self.in_feats and self.weight is not None
        if feat.shape[-1] != self.in_feats and not signed:
            raise DGLGraphError(f"feat must have {self.in_feats} features, but has shape {tuple(feat.shape)}")
        if self._allow_zero_in_degree:
            return
        silent = int((every_format(graph).in_degrees() == 0).sum())
        if silent:
            raise DGLGraphError(
                f"{silent} of {graph.num_dst_nodes()} nodes have no incoming edges, so they hear nothing: add "
                f"self-loops with graph = dgl.add_self_loop(graph), or accept it with allow_zero_in_degree=True"
            )

    def extra_repr(self) -> str:
        """Describe the layer in one line."""
        own = f"weight={self.weight is not None}, bias={self.bias is not None}, encoding={self.encoding!r}"
        return f"{self.in_feats}, {self.out_feats}, latency={self.latency}, norm={self.norm!r}, {own}"
