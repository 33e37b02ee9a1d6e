"""ChronoSpike: attention over neighbours, spiking neurons that learn how to forget, and a transformer over time."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgl_dysign.baselines.sampled_layers import Hops, SampledLayers, check_snapshots
from dgl_dysign.errors import check_heads, check_least
from dgl_dysign.ops import get_surrogate


class ChronoSpike(nn.Module):
    r"""ChronoSpike of Jahin et al. (arXiv 2602.01124, 2026), from its abstract, no public code.

    .. math::
        I_t &= \mathrm{elu}\Big(W x_i + b +
        \sum_{j \in \mathcal N_i \cup i} \mathrm{softmax}_j(q_i \cdot k_j / \sqrt{d_h})\, v_j\Big) \\
        u &\leftarrow \sigma(\beta) \circ u + I_t, \quad s_t = [u \ge \theta], \quad
        u \leftarrow u - \theta \circ s_t \\
        y &= U \, \mathrm{mean}_t \, \mathrm{Transformer}(s_1 + p_1, \dots, s_T + p_T) + c

    with attention of several heads in two layers, on nodes and neighbours that `SampledSnapshots` draws; decay
    :math:`\beta` and threshold :math:`\theta` are learned for each channel.

    The abstract alone could be read: neurons whose membrane is learned for each channel, multi-head attention over
    neighbours on continuous features, a light transformer over time, 105 thousand weights whatever the graph. Guessed
    are: that neurons follow the last attention only, which keeps what is attended to continuous; dot products; the
    reset by subtraction; the gradient of a spike, of the arctan; learned positions, a dropout of 0.1 and the mean over
    time; sampling, which is SpikeNet's; and the sizes, which give 102 thousand weights on DBLP's 128 features, 10
    classes and 27 snapshots.

    Parameters
    ----------
    in_feats, num_classes, num_snapshots
        As of `SpikeNet`, and the same shapes and errors.
    hidden_feats, num_heads : int, default 64 and 4
        Channels, and heads that share them evenly, of attention and transformer.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.baselines import ChronoSpike
    >>> samples = [(torch.rand(3, 4), torch.rand(3, 5, 4), torch.rand(3, 5, 2, 4)) for _ in range(2)]
    >>> ChronoSpike(4, num_classes=6, num_snapshots=2)(samples).shape
    torch.Size([3, 6])
    >>> sum(weight.numel() for weight in ChronoSpike(128, 10, 27).parameters())
    102026
    """

    def __init__(
        self, in_feats: int, num_classes: int, num_snapshots: int, hidden_feats: int = 64, num_heads: int = 4
    ) -> None:
        super().__init__()
        check_least(1, in_feats=in_feats, num_classes=num_classes, num_snapshots=num_snapshots)
        check_heads(hidden_feats, num_heads)
        widths = (in_feats, hidden_feats, hidden_feats)
        self.layers = SampledLayers(_Attention(*pair, num_heads) for pair in pairwise(widths))
        self.decay, self.threshold = nn.Parameter(torch.zeros(hidden_feats)), nn.Parameter(torch.ones(hidden_feats))
        self.spiking = get_surrogate("arctan")
        self.position = nn.Parameter(0.02 * torch.randn(num_snapshots, hidden_feats))
        self.temporal = nn.TransformerEncoderLayer(hidden_feats, num_heads, 4 * hidden_feats, batch_first=True)
        self.readout = nn.Linear(hidden_feats, num_classes)

    def forward(self, samples: Iterable[Hops]) -> Tensor:
        """Return the logits."""
        spikes, potential = [], torch.zeros(())
        for hops in samples:
            current, _ = self.layers(hops)
            potential = torch.sigmoid(self.decay) * potential.to(current) + current
            spikes.append(self.spiking(potential - self.threshold))
            potential = potential - self.threshold * spikes[-1]
        check_snapshots(len(spikes), len(self.position))
        return self.readout(self.temporal(torch.stack(spikes, 1) + self.position).mean(1))


class _Attention(nn.Module):
    """Attention of nodes over their neighbours and themselves; it has no state."""

    def __init__(self, in_feats: int, out_feats: int, num_heads: int) -> None:
        super().__init__()
        self.own, self.query = nn.Linear(in_feats, out_feats), nn.Linear(in_feats, out_feats)
        self.key, self.value = nn.Linear(in_feats, out_feats, bias=False), nn.Linear(in_feats, out_feats)
        self.num_heads = num_heads

    def forward(self, own: Tensor, near: Tensor, state: Any) -> tuple[Tensor, None]:
        around = torch.cat([own[..., None, :], near], -2)
        query, key = self._heads(self.query(own[..., None, :])), self._heads(self.key(around))
        heard = functional.scaled_dot_product_attention(query, key, self._heads(self.value(around)))
        return functional.elu(self.own(own) + heard.flatten(-3)), None  # heads side by side, of one query each

    def _heads(self, feat: Tensor) -> Tensor:
        """Return ``(*, k, out)`` as ``(*, heads, k, out / heads)``."""
        return feat.unflatten(-1, (self.num_heads, -1)).transpose(-2, -3)
