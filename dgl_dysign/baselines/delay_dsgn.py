"""Delay-DSGN: what neighbours send arrives later, after delays that are learned."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dgl_dysign.baselines.sampled_layers import ConcatenatedSpikes, SampledSAGE, mean_of_neighbours
from dgl_dysign.nn import LIF

State = tuple[tuple[Tensor, ...], Tensor]  # what neighbours sent, the newest first; potentials
_SIZE = 5  # of the kernel


class DelayDSGN(ConcatenatedSpikes):
    r"""Delay-DSGN of Wang et al. (ICML 2025), from its abstract, no public code: neighbours heard late.

    .. math::
        m_t &= V \, \mathrm{mean}_j x_{j,t}, \quad
        g_c(r) = \frac{\exp(-(r - d_c)^2 / 2 \sigma^2)}{\sum_{q<R} \exp(-(q - d_c)^2 / 2 \sigma^2)} \\
        I_{t,c} &= (W x_t + b)_c + \sum_{r<R} g_c(r)\, m_{t-r,c} \\
        s_t &= \mathrm{LIF}(I_t), \quad y = U [s_1 \Vert \dots \Vert s_T] + c

    in two layers, on nodes and neighbours that `SampledSnapshots` draws. The delay d is learned for each channel; a
    message takes 0 to R - 1 snapshots.

    The abstract alone could be read: a learned delay, a Gaussian kernel in the aggregation of neighbours at each time
    step, and a bound between its deviation and its size that keeps gradients from growing or vanishing. Guessed are:
    the form of the kernel, which is that of learned delays elsewhere (Hammouamri et al., ICLR 2024), normalised, so
    that it never amplifies; that the node's own features are not delayed; a delay for each channel; R = 5 and
    :math:`\sigma = 1`; sampling, widths, dropout and read-out, which are SpikeNet's; and the neuron,
    `dgl_dysign.nn.LIF` with a leak of 1/2 and a reset to zero.

    Parameters
    ----------
    in_feats, num_classes, num_snapshots, hidden_feats
        As of `SpikeNet`, and the same shapes and errors.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.baselines import DelayDSGN
    >>> samples = [(torch.rand(3, 4), torch.rand(3, 5, 4), torch.rand(3, 5, 2, 4)) for _ in range(2)]
    >>> DelayDSGN(4, num_classes=6, num_snapshots=2)(samples).shape
    torch.Size([3, 6])
    """

    def __init__(
        self, in_feats: int, num_classes: int, num_snapshots: int, hidden_feats: Sequence[int] = (128, 10)
    ) -> None:
        super().__init__(_Layer, in_feats, num_classes, num_snapshots, hidden_feats)


class _Layer(nn.Module):
    """A layer of neurons that hear their neighbours late."""

    steps: Tensor
    deviation = 1.0

    def __init__(self, in_feats: int, out_feats: int) -> None:
        super().__init__()
        self.lif = LIF(leak=0.5, surrogate="sigmoid", reset="hard")
        self.sage, self.dropout = SampledSAGE(in_feats, out_feats), nn.Dropout(0.7)
        self.register_buffer("steps", torch.arange(float(_SIZE))[:, None])
        self.delay = nn.Parameter((_SIZE - 1) * torch.rand(out_feats))

    def kernel(self) -> Tensor:
        """Return the share of a message that arrives after 0, 1, ... snapshots, ``(R, out_feats)``."""
        return torch.softmax(-((self.steps - self.delay) ** 2) / (2 * self.deviation**2), 0)

    def forward(self, own: Tensor, near: Tensor, state: State | None) -> tuple[Tensor, State]:
        sent, potential = state or ((), None)
        sent = (self.sage.near(mean_of_neighbours(near)), *sent)[:_SIZE]
        late = [share * message for share, message in zip(self.kernel(), sent, strict=False)]
        current = self.sage.own(own) + sum(late)
        spikes, potential = self.lif(current, potential)
        return self.dropout(spikes), (sent, potential)
