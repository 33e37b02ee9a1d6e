"""Products of sums of packed spikes, which are whole numbers, with weights of eight bits, which alone are rounded."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import torch
from torch import Tensor

from dgl_dysign.errors import ConfigError
from dgl_dysign.ops._listeners import uncounted
from dgl_dysign.ops.aggregate import packed_sums
from dgl_dysign.ops.packed_spikes import PackedSpikes

#: Steps of a weight to either side of zero: processors add up pairs of products in 16 bits, and 2 x 255 x 64 are less.
STEPS = 64
_OFFSET = 128  # a difference of sums is stored as a byte above zero


class ByteProducts:
    """Neighbours' spikes, summed and multiplied with weights of eight bits, for some rows at a time.

    Each neuron has a scale for its weights, of which they are whole multiples. Sums are bytes; a node with so many
    neighbours that one might not hold them is summed in floats.

    Parameters
    ----------
    graph : DGLGraph
        A graph or block with one type of edges.
    spikes : PackedSpikes
        Those of the source nodes, ``(N_src, in_feats)``; twice as wide, the second half counts negative.
    weight : Tensor
        ``(in_feats, out_feats)``, to be rounded.
    norm : {"right", "none"}
        As in `aggregate`: what scales single messages would leave no whole numbers.

    Raises
    ------
    ConfigError
        If the sums are no whole numbers, or this PyTorch or device multiplies no bytes.
    """

    def __init__(self, graph: Any, spikes: PackedSpikes, weight: Tensor, norm: str) -> None:
        known = torch.backends.mkldnn.is_available() and hasattr(torch.ops.onednn, "qlinear_pointwise")
        if norm not in ("right", "none") or spikes.device.type != "cpu" or not known:
            raise ConfigError(
                f"weights of eight bits are multiplied with whole numbers, on a CPU, by PyTorch with oneDNN: expected "
                f"norm='right' or 'none', but got norm={norm!r} on {spikes.device}{'' if known else ' without oneDNN'}"
            )
        self.sums = packed_sums(graph, spikes, None, norm)
        ones = torch.ones(graph.num_dst_nodes())
        self.factor, self.sums.factor = ones if self.sums.factor is None else self.sums.factor, None
        self.signed = spikes.size != len(weight)
        self.hubs = (graph.in_degrees() > (_OFFSET - 1 if self.signed else 255)).nonzero()[:, 0].tolist()
        with uncounted():  # once for the weights
            weight = weight.detach()
            self.scale = weight.abs().amax(0).clamp(min=torch.finfo(torch.float32).tiny) / STEPS
            whole = (weight / self.scale).round()
            self.weight = whole * self.scale
            self._packed = torch.ops.onednn.qlinear_prepack(whole.to(torch.int8).T.contiguous(), None)
        self._zero = torch.zeros(len(self.scale), dtype=torch.long)

    def reaching(self, rows: slice, limits: Tensor) -> PackedSpikes:
        """Return which products of some rows reach the limits of their neurons ``(out_feats,)``."""
        from dgl_dysign.ops._packed_limits import pack_limited  # Numba is slow to import

        out = self._multiplied(rows)
        words = torch.empty(len(out), -(-out.shape[1] // 64), dtype=torch.int64)
        pack_limited(*(each.numpy() for each in (out, self.factor[rows], limits, words)))
        return PackedSpikes(words, out.shape[1])

    def _multiplied(self, rows: slice) -> Tensor:
        size, sums = len(self.weight), self.sums.bytes_of(rows)
        if self.signed:
            sums = (sums[:, :size] - sums[:, size:]).add_(_OFFSET)  # bytes wrap around, and back
        arguments = 1.0, _OFFSET * self.signed, self._packed, self.scale, self._zero, None
        out: Tensor = torch.ops.onednn.qlinear_pointwise(
            sums.contiguous(), *arguments, 1.0, 0, torch.float32, "none", [], ""
        )
        if hubs := self.hubs[bisect_left(self.hubs, rows.start) : bisect_left(self.hubs, rows.stop)]:
            with uncounted():  # they were
                exact = self.sums.of(nodes := torch.tensor(hubs))
                out[nodes - rows.start] = (exact[:, :size] - exact[:, size:] if self.signed else exact) @ self.weight
        return out
