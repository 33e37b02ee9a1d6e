"""Dy-SIGN: one equilibrium of firing rates for each snapshot, read out together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgl_dysign._dgl import dgl
from dgl_dysign.data.row_store import IN_MEMORY, RowStore
from dgl_dysign.data.temporal_graph import TemporalGraph
from dgl_dysign.errors import ConfigError
from dgl_dysign.models.inputs import NodeInputs, Snapshot
from dgl_dysign.models.pretrained import Pretrained
from dgl_dysign.nn import EquilibriumSpikingConv, EquilibriumState, ThresholdEncoder, keep_blocks


class DySIGN(Pretrained):
    r"""Snapshots in, class scores of all nodes out.

    Dy-SIGN (AAAI 2024), equation 11. The same layer group solves each snapshot, and the read-out adds up over them,

    .. math:: y = c + \sum_t (a^*_t - \tfrac12) V_t^T \;(+\; (a^{label} - \tfrac12) V_{label}^T)

    which is the paper's fully connected layer on the concatenation, of which no more than one part is held at a time.
    Nodes not seen yet add nothing. The equilibrium of a snapshot does not depend on earlier ones; ``coupling`` adds
    the current :math:`g \odot a^*_{t-1}` with learned g, an extension of the paper. A second population of neurons,
    without feedback (which would hand a node its own label back through its neighbours), reads label features.

    Parameters
    ----------
    in_feats, hidden_feats, num_classes : int
        Width of ``Snapshot.feat``, neurons in each layer of the group, number of classes.
    num_snapshots : int, default 1
        Number of snapshots that are read out.
    label_feats, label_hidden : int, default 0 and 128
        Width of the label features, see `dgl_dysign.models.masked_label_features` (0: no such input), and neurons of
        the label population.
    coupling : bool, default False
        Whether a snapshot's rates enter the current of the next.
    feat_dropout, label_dropout, dropout : float, default 0.1, 0.2 and 0.5
        Of the features and label features (in mini-batches), and of the rates before the read-out.
    gain : float, default 0.2
        Initial spread of the input current, in thresholds.
    input_thresholds : sequence of float, default ()
        Turn features into spikes: ``deviations`` of a `dgl_dysign.nn.ThresholdEncoder` (none: features as they are).
    keep_inputs, keep_block : float and int, default 1 and 64
        Share of the input weights that act, and the neurons in a block of them, see `dgl_dysign.nn.keep_blocks`.
    **conv
        For `dgl_dysign.nn.EquilibriumSpikingConv`; ``compensation_hops`` is 0 by default, because the snapshots'
        features already hold the means over their neighbours. With ``gradient="step", latency=1, feedback=False`` the
        model is trained by the one spike of each neuron that it fires.

    Shapes
    ------
    Snapshots with ``feat`` of ``(N, in_feats)``, label features ``(N, label_feats)`` -> logits ``(N, num_classes)``.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign._dgl import dgl
    >>> from dgl_dysign.models import DySIGN, Snapshot
    >>> graph = dgl.graph(([0, 1, 1, 2], [1, 0, 2, 1]))
    >>> snapshot = Snapshot(graph, torch.ones(4), torch.randn(3, 5), torch.ones(3, dtype=torch.bool))
    >>> model = DySIGN(5, 8, num_classes=2, num_snapshots=2)
    >>> model([snapshot, snapshot]).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        in_feats: int,
        hidden_feats: int,
        num_classes: int,
        num_snapshots: int = 1,
        *,
        label_feats: int = 0,
        label_hidden: int = 128,
        coupling: bool = False,
        feat_dropout: float = 0.1,
        label_dropout: float = 0.2,
        dropout: float = 0.5,
        gain: float = 0.2,
        input_thresholds: Sequence[float] = (),
        keep_inputs: float = 1.0,
        keep_block: int = 64,
        **conv: Any,
    ) -> None:
        super().__init__()
        self.num_snapshots, self.label_feats = num_snapshots, label_feats
        self.feat_dropout, self.label_dropout, self.dropout = feat_dropout, label_dropout, dropout
        conv = {"compensation_hops": 0, "gain": gain, **conv}
        if input_thresholds and conv["compensation_hops"]:
            raise ConfigError("spikes enter as they are: with input_thresholds leave compensation_hops at 0")
        self.encoder = ThresholdEncoder(in_feats, input_thresholds) if input_thresholds else None
        width = in_feats if self.encoder is None else self.encoder.out_feats
        self.conv = EquilibriumSpikingConv(width, hidden_feats, **conv)
        self.coupling = nn.Parameter(torch.zeros(hidden_feats)) if coupling else None
        self.readout = nn.Parameter(torch.empty(num_snapshots, num_classes, hidden_feats))
        self.bias = nn.Parameter(torch.empty(num_classes))
        self.label_conv: EquilibriumSpikingConv | None = None
        self.label_readout: nn.Parameter | None = None
        if label_feats:
            shared = ["latency", "leak", "threshold", "learn_threshold", "allow_growth"]
            shared += ["gradient", "surrogate"] if conv.get("gradient") == "step" else []
            same = {key: conv[key] for key in shared if key in conv}
            self.label_conv = EquilibriumSpikingConv(
                label_feats, label_hidden, feedback=False, compensation_hops=0, gain=gain, **same
            )
            self.label_readout = nn.Parameter(torch.empty(num_classes, label_hidden))
        self.reset_parameters()
        if keep_inputs != 1:
            keep_blocks(self.conv, "injection_weight", keep_inputs, keep_block)

    def reset_parameters(self) -> None:
        """Draw the layers' weights as they do, and a small read-out."""
        self.conv.reset_parameters()
        if self.encoder is not None:
            self.encoder.reset_parameters()
        nn.init.normal_(self.readout, std=0.01)
        nn.init.zeros_(self.bias)
        if self.coupling is not None:
            nn.init.zeros_(self.coupling)
        if self.label_conv is not None and self.label_readout is not None:
            self.label_conv.reset_parameters()
            nn.init.normal_(self.label_readout, std=0.01)

    def arguments_for(self, inputs: NodeInputs, data: TemporalGraph) -> dict[str, int]:
        """Return the arguments that a model must have been made with to read some data in some way."""
        labels, classes = inputs.labels, data.num_classes
        return {
            "in_feats": len(inputs.hops) * (data.feature_dim or 0),
            "num_classes": classes,
            "label_feats": 0 if labels is None else len(labels.decays) * len(labels.steps) * (classes + 1),
        }

    def rates(
        self, snapshots: Sequence[Snapshot], simulate: bool | None = None, rows: RowStore = IN_MEMORY
    ) -> Iterator[tuple[Tensor, EquilibriumState]]:
        """Yield each snapshot's rates ``(N, hidden_feats)`` and state, carrying the state along."""
        rate, state = None, None
        for place in range(len(snapshots)):  # by place: a loop over snapshots would hold one while the next is made
            rate, state = self._rates_of(snapshots[place], state, rate, simulate, rows)
            yield rate, state

    def _rates_of(
        self,
        snapshot: Snapshot,
        state: EquilibriumState | None,
        previous: Tensor | None,
        simulate: bool | None,
        rows: RowStore,
    ) -> tuple[Tensor, EquilibriumState]:
        coupling, current = self.coupling, None
        if coupling is not None and previous is not None:
            current = rows.by_rows(lambda rate: coupling * rate, self.conv.out_feats, previous)
        graph, weight, feat, active = snapshot
        feat = feat if self.encoder is None else rows.by_rows(self.encoder, self.conv.in_feats, feat)
        out: tuple[Tensor, EquilibriumState] = self.conv(
            graph, feat, state, weight, current, active, simulate=simulate, rows=rows
        )
        return out

    def encoded(self, feat: Tensor) -> Tensor:
        """Return some rows of features as they enter the neurons: themselves, or their spikes."""
        return feat if self.encoder is None else self.encoder(feat)

    def contribution(self, rate: Tensor, place: int, active: Tensor) -> Tensor:
        """Return what the rates of the snapshot at a place add to the logits."""
        return self._read_out(rate, self.readout[place]) * active[:, None]

    def _read_out(self, rate: Tensor, weight: Tensor) -> Tensor:
        """Return the product of centred rates; a trained model sums the halves once: what is silent costs nothing."""
        if self.training:
            return functional.dropout(rate - 0.5, self.dropout) @ weight.t()
        return rate @ weight.t() - weight.sum(1) / 2

    def forward(
        self,
        snapshots: Sequence[Snapshot],
        label_feat: Tensor | None = None,
        simulate: bool | None = None,
        rows: RowStore = IN_MEMORY,
    ) -> Tensor:
        """Return the logits of all nodes.

        Snapshots are in order of time, and read one after the other; label features are those at the last one.
        ``simulate`` asks for rates of the spiking simulation, or of the solver; default: as the layer was made.
        ``rows`` says where currents, potentials, messages and rates lie, see `EquilibriumSpikingConv`: with `RowFiles`
        there are in memory one snapshot's graph, its spikes at one bit each, some rows or columns of everything else,
        ``label_feat`` and the logits.
        """
        logits = torch.zeros((), device=self.bias.device)
        for part in self.parts(snapshots, label_feat, simulate, rows):
            logits = logits + part
        return logits

    def parts(
        self,
        snapshots: Sequence[Snapshot],
        label_feat: Tensor | None = None,
        simulate: bool | None = None,
        rows: RowStore = IN_MEMORY,
    ) -> Iterator[Tensor]:
        """Yield the terms of the logits, ``(N, num_classes)``: one for each snapshot, then that of the labels."""
        self._check(len(snapshots), label_feat)
        for place, (rate, _) in enumerate(self.rates(snapshots, simulate, rows)):
            part = rows.by_rows(
                lambda rate, active, place=place: self.contribution(rate, place, active),
                self.conv.out_feats, rate, snapshots[place].active,
            )  # fmt: skip
            yield part + self.bias if place == 0 else part
        if label_feat is not None and self.label_conv is not None:
            width = max(self.label_feats, self.label_conv.out_feats)
            yield rows.by_rows(partial(self._label_part, simulate=simulate), width, label_feat)

    def respond(
        self,
        messages: Sequence[Tensor | None],
        feats: Sequence[Tensor],
        active: Sequence[Tensor],
        label_feat: Tensor | None = None,
    ) -> Tensor:
        """Return the logits of some nodes under messages that are held fixed: a mini-batch without a graph.

        ``messages``, ``feats`` and ``active`` have for each snapshot the nodes' rows of ``conv.messages(...)``, of
        ``conv.inject(...)`` and of the mask; ``label_feat`` the nodes' label features.
        """
        self._check(len(feats), label_feat)
        logits: Tensor = self.bias
        previous: Tensor | None = None
        membrane: Tensor | None = None
        for place, (message, feat, seen) in enumerate(zip(messages, feats, active, strict=True)):
            feat = functional.dropout(self.encoded(feat), self.feat_dropout, self.training)
            current = None if self.coupling is None or previous is None else self.coupling * previous
            rate = self.conv.respond(message, feat, current, membrane, seen)
            previous = rate * seen[:, None]
            if self.conv.gradient == "step":
                membrane = self.conv.carried(previous.detach(), seen)
            logits = logits + self.contribution(rate, place, seen)
        if label_feat is not None and self.label_conv is not None:
            label_feat = functional.dropout(label_feat, self.label_dropout, self.training)
            logits = logits + self._label_contribution(self.label_conv.respond(None, label_feat))
        return logits

    def _label_part(self, label_feat: Tensor, simulate: bool | None) -> Tensor:
        assert self.label_conv is not None
        alone = dgl.graph(([], []), num_nodes=len(label_feat))  # without feedback nodes do not depend on each other
        rate, _ = self.label_conv(alone, label_feat, simulate=simulate)
        return self._label_contribution(rate)

    def _label_contribution(self, rate: Tensor) -> Tensor:
        assert self.label_readout is not None
        return self._read_out(rate, self.label_readout)

    def _check(self, count: int, label_feat: Tensor | None) -> None:
        if count != self.num_snapshots:
            raise ConfigError(f"this model reads out {self.num_snapshots} snapshots, but got {count}")
        if (label_feat is not None) != (self.label_conv is not None):
            expected = f"features of width {self.label_feats}" if self.label_conv is not None else "none"
            raise ConfigError(f"label features: expected {expected}, got {'none' if label_feat is None else 'some'}")
