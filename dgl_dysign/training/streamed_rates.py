"""Dy-SIGN's scores of all nodes with rows on disk: the numbers of the model, without its N x d tensors in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from dgl_dysign._dgl import dgl
from dgl_dysign.data.row_store import RowFiles, column_blocks
from dgl_dysign.models import DySIGN, Snapshot
from dgl_dysign.nn import EquilibriumSpikingConv
from dgl_dysign.nn._snapshot import gather
from dgl_dysign.ops import PackedSpikes, Surrogate, fire_packed, fixed_point, symmetric_norm
from dgl_dysign.ops.packed_spikes import PackedSums

_WORD = 64  # spikes in a machine word
_SILENT = -1e6  # a current, in thresholds, that nothing lifts: the layer's own


def can_stream(model: DySIGN) -> bool:
    """Say whether `streamed_logits` knows a model's options; those of the examples are among them.

    It knows one layer with a constant current, from features that are not aggregated again, with the solver
    ``fixed_point`` and any surrogate of ours, in float32 on the CPU.
    """
    conv = model.conv
    constant = conv.encoding == "constant" and conv.compensation and not conv.compensation_hops
    ours = conv.solver is fixed_point and isinstance(conv.lif.spiking, Surrogate)
    plain = model.bias.device.type == "cpu" and model.bias.dtype == torch.float32
    return conv.num_layers == 1 and constant and ours and plain


@torch.no_grad()
def streamed_logits(
    model: DySIGN,
    snapshots: Sequence[Snapshot],
    files: RowFiles,
    label_feat: Tensor | None = None,
    simulate: bool = True,
) -> Tensor:
    """Return what ``model(snapshots, label_feat, simulate)`` does, with currents, potentials and messages in files.

    In memory are one snapshot's graph, its spikes at one bit each, some rows of everything else (for the solver, and
    where spikes are aggregated more than once, some columns of all nodes), ``label_feat`` and the result. Where all
    rows make one block (`row_blocks`) the numbers are the model's to the last bit; products of matrices may round
    differently where they make several.

    Parameters
    ----------
    model : DySIGN
        In evaluation mode, and one that `can_stream`.
    snapshots : sequence of Snapshot
        In order of time; read one after the other.
    files : RowFiles
        Where rows go.
    label_feat : Tensor, optional
        Label features at the last snapshot.
    simulate : bool, default True
        Rates of the spiking simulation, or of the solver.

    Returns
    -------
    Tensor
        ``(N, num_classes)``.
    """
    logits = torch.zeros(len(snapshots[0].active), len(model.bias))
    for place, (rate, active) in enumerate(_rates(model, snapshots, files, simulate)):
        for rows in files.row_blocks(*rate.shape):
            part = model.contribution(rate[rows], place, active[rows])
            logits[rows] += part + model.bias if place == 0 else part
    if label_feat is not None and model.label_conv is not None:
        for rows in files.row_blocks(len(logits), max(label_feat.shape[1], model.label_conv.out_feats)):
            alone = dgl.graph(([], []), num_nodes=len(logits[rows]))  # these neurons hear no others: any graph will do
            rate, _ = model.label_conv(alone, label_feat[rows], simulate=simulate)
            logits[rows] += model._label_contribution(rate)
    return logits


def _rates(
    model: DySIGN, snapshots: Sequence[Snapshot], files: RowFiles, simulate: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each snapshot's rates, in a file, and its active nodes."""
    before: tuple[Tensor, Tensor] | None = None
    for place in range(len(snapshots)):  # by place: a loop over snapshots would hold one while the next is made
        before = _rates_of(model, snapshots[place], files, simulate, before)
        yield before


def _rates_of(
    model: DySIGN, snapshot: Snapshot, files: RowFiles, simulate: bool, before: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    """Return rates and active nodes of a snapshot, given those of the snapshot before."""
    layer, rate = _Layer(model.conv, snapshot, files), None if before is None else before[0]
    layer.enter(snapshot.feat, rate, model.coupling)
    return (layer.simulated(before) if simulate else layer.solved(rate)), snapshot.active


class _Layer:
    """`EquilibriumSpikingConv` on one snapshot: what it does with all rows at once, block by block.

    Parameters
    ----------
    conv : EquilibriumSpikingConv
        The layer.
    snapshot : Snapshot
        Graph, weights and active nodes.
    files : RowFiles
        Where rows go.
    """

    def __init__(self, conv: EquilibriumSpikingConv, snapshot: Snapshot, files: RowFiles) -> None:
        self.conv, self.files, self.graph, self.active = conv, files, snapshot.graph, snapshot.active
        self.edge_weight = symmetric_norm(snapshot.graph, snapshot.edge_weight, torch.float32)
        self.weight = conv.effective_weights()[0]
        self.shape = snapshot.graph.num_nodes(), conv.out_feats
        self.entered = files.zeros(*self.shape)  # the constant current

    def _blocks(self, width: int = 0) -> Iterator[slice]:
        return self.files.row_blocks(self.shape[0], max(width, self.shape[1]))

    def enter(self, feat: Tensor, before: Tensor | None, coupling: Tensor | None) -> None:
        """Find the constant current into all neurons; that of inactive ones keeps them silent."""
        conv = self.conv
        for rows in self._blocks(feat.shape[1]):
            base = conv.biases[0].expand(len(feat[rows]), -1)
            if coupling is not None and before is not None:
                base = base + coupling * before[rows]
            base = base.masked_fill(~self.active[rows, None], _SILENT * conv.lif.threshold)
            self.entered[rows] = base + functional.linear(feat[rows], conv.injection_weight)

    @cached_property
    def messages(self) -> Tensor:
        """Room for what all nodes hear at once."""
        return self.files.zeros(*self.shape)

    def _gather(self, sent: PackedSpikes | Tensor) -> Tensor:
        """Return the sums of spikes or rates, made some columns at a time."""
        parts = _columns(sent) if isinstance(sent, PackedSpikes) else self.files.columns(sent, _WORD)
        return self.files.join(self.messages, [(block, self.files.keep(self._sums(part))) for block, part in parts])

    def _sums(self, part: PackedSpikes | Tensor) -> Tensor:
        return gather(self.graph, part, self.edge_weight, self.conv.feedback_hops)

    def _hear(self, spikes: PackedSpikes) -> Tensor | PackedSums:
        """Return the sums of spikes; of direct neighbours they are made when rows of them are asked for."""
        if self.conv.feedback_hops == 1:
            return PackedSums(self.graph, spikes, self.edge_weight)
        return self._gather(spikes)

    def simulated(self, before: tuple[Tensor, Tensor] | None) -> Tensor:
        """Return the rates of the spiking simulation, begun at the rates and active nodes of the snapshot before."""
        latency, lif, total = self.conv.latency, self.conv.lif, self.files.zeros(*self.shape)
        potential = self._potential(before)
        words, spikes = (self.shape[0], -(-self.shape[1] // _WORD)), None  # nobody has fired yet
        for _ in range(latency):
            heard = None if self.weight is None or spikes is None else self._hear(spikes)
            fired = torch.zeros(words, dtype=torch.int64)
            for rows in self._blocks():
                current = self.entered[rows]
                if self.weight is not None and heard is not None:
                    current = torch.addmm(current, heard[rows], self.weight.t())
                fired[rows] = fire_packed(potential[rows], total[rows], lif.threshold, lif.leak, current).words
            spikes = PackedSpikes(fired, self.shape[1])
        count = sum(lif.leak**age for age in range(latency))
        for rows in self._blocks():
            total[rows] /= count
        return total

    def _potential(self, before: tuple[Tensor, Tensor] | None) -> Tensor:
        """Return the potentials to begin with: half the threshold for whoever was not active before."""
        threshold, found = self.conv.lif.threshold, self.files.zeros(*self.shape)
        for rows in self._blocks():
            if before is None:
                found[rows] = threshold / 2
            else:
                rate, active = before
                found[rows] = (rate[rows] * threshold).masked_fill(~active[rows, None], threshold / 2)
        return found

    def solved(self, before: Tensor | None) -> Tensor:
        """Return the rates of the solver, begun at those of the snapshot before."""
        conv, rate = self.conv, self.files.zeros(*self.shape)
        for rows in self._blocks():
            first = self.entered[rows] / conv.lif.threshold if before is None else before[rows]
            rate[rows] = functional.hardtanh(first, 0.0, 1.0)
        for _ in range(conv.max_iter):
            gap = self._turn(rate)
            if conv.tol is not None and not gap > conv.tol:
                break
        return rate

    def _turn(self, rate: Tensor) -> float:
        """Take one fixed-point step in place; return the relative change."""
        threshold, moved, size = self.conv.lif.threshold, 0.0, 0.0
        heard = None if self.weight is None else self._gather(rate)
        for rows in self._blocks():
            found = self.entered[rows] / threshold
            if self.weight is not None and heard is not None:
                found = torch.addmm(found, heard[rows], self.weight.t() / threshold)
            found = functional.hardtanh_(found, 0.0, 1.0)
            moved += float((found - rate[rows]).norm()) ** 2
            size += float(found.norm()) ** 2
            rate[rows] = found
        return math.sqrt(moved) / max(math.sqrt(size), 1e-12)


def _columns(spikes: PackedSpikes) -> Iterator[tuple[slice, PackedSpikes]]:
    for block in column_blocks(len(spikes.words), spikes.size, _WORD):
        words = spikes.words[:, block.start // _WORD : -(-block.stop // _WORD)].contiguous()
        yield block, PackedSpikes(words, block.stop - block.start)
