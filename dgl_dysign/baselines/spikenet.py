"""SpikeNet: GraphSAGE whose activations are spikes, with a linear read-out of the spikes of all snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from dgl_dysign.baselines.sampled_layers import ConcatenatedSpikes, SampledSAGE
from dgl_dysign.errors import check_least
from dgl_dysign.ops import Surrogate

State = tuple[Tensor, Tensor]  # potentials, and thresholds


class SpikeNet(ConcatenatedSpikes):
    r"""SpikeNet of Li et al. (AAAI 2023): spiking neurons on means of sampled neighbours.

    .. math::
        I_t &= W x_t + V \, \mathrm{mean}_j x_{j,t} + b \\
        v &\leftarrow v + (I_t - v) / \tau, \quad s_t = [v \ge \theta], \quad v \leftarrow (1 - s_t) v \\
        \theta &\leftarrow 0.7\, \theta + 0.2\, s_t, \quad \theta_0 = 1 \\
        y &= U [s_1 \Vert \dots \Vert s_T] + c

    in two layers, on nodes and neighbours that `SampledSnapshots` draws, with a dropout of 0.7 between them. With
    :math:`\tau = 1`, as published and in the public code, v is the current alone: the membrane remembers nothing, and
    the past enters by the threshold only. With a larger one it remembers: of a drawn neighbour what was drawn in its
    place before, as in the public code. The gradient of a spike is the derivative of the logistic function, as
    published.

    What differs from the public code: it fires at the threshold, not above it alone; training is this package's (the
    model of the last epoch under a one-cycle schedule, not the best validation under a constant rate); V has no bias
    of its own, which would be the same as b.

    Parameters
    ----------
    in_feats, num_classes, num_snapshots : int
        Width of the features, classes C, and snapshots T that are read out.
    hidden_feats : sequence of int, default (128, 10)
        Neurons of the layers, one a hop of the sample.
    tau : float, default 1
        Snapshots over which the membrane forgets, 1 or more.

    Shapes
    ------
    T samples of ``(n, d)``, ``(n, k, d)``, ``(n, k, l, d)`` -> ``(n, C)``. A width or tau below 1, and other snapshots
    or hops than expected, raise ``ConfigError``.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.baselines import SpikeNet
    >>> samples = [(torch.rand(3, 4), torch.rand(3, 5, 4), torch.rand(3, 5, 2, 4)) for _ in range(2)]
    >>> SpikeNet(4, num_classes=6, num_snapshots=2)(samples).shape
    torch.Size([3, 6])
    """

    def __init__(
        self, in_feats: int, num_classes: int, num_snapshots: int, hidden_feats: Sequence[int] = (128, 10),
        tau: float = 1.0,
    ) -> None:  # fmt: skip
        check_least(1, tau=tau)
        super().__init__(partial(_Layer, tau), in_feats, num_classes, num_snapshots, hidden_feats)


class _Layer(nn.Module):
    """A layer of neurons whose threshold falls with time and rises with each spike."""

    spiking = Surrogate("sigmoid", 4.0)

    def __init__(self, tau: float, in_feats: int, out_feats: int) -> None:
        super().__init__()
        self.sage, self.dropout, self.tau = SampledSAGE(in_feats, out_feats), nn.Dropout(0.7), tau

    def forward(self, own: Tensor, near: Tensor, state: State | None) -> tuple[Tensor, State]:
        current = self.sage(own, near)
        potential, threshold = state or (torch.zeros_like(current), torch.ones_like(current))
        potential = potential + (current - potential) / self.tau
        spikes = self.spiking(potential - threshold)
        return self.dropout(spikes), ((1 - spikes) * potential, 0.7 * threshold + 0.2 * spikes)
