"""SiGNN: spikes that let sigmoids of sampled means pass, at three time scales."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from dgl_dysign.baselines.sampled_layers import Hops, SampledLayers, SampledSAGE, check_snapshots
from dgl_dysign.errors import check_least
from dgl_dysign.ops import Surrogate
from dgl_dysign.ops._listeners import tell_fired, uncounted

_SCALES = 3
State = tuple[Tensor, Tensor]  # potentials, and thresholds


class SiGNN(nn.Module):
    r"""SiGNN of Chen et al. (Pattern Recognition 2025): spikes times sigmoids, every, every second and third snapshot.

    .. math::
        v &\leftarrow (1 - \sigma(\tau)) (v + \mathrm{SAGE}_1(x_t)), \quad
        s_t = [v \ge \theta] + [v \le -\theta], \quad v \leftarrow (1 - s_t) v \\
        \theta &\leftarrow \sigma(\delta)\, \theta + (1 - \sigma(\delta))\, s_t \\
        h_t &= s_t \circ \sigma(\mathrm{SAGE}_2(x_t)) \\
        y &= U \, \frac{1}{3} \sum_{k=1}^3 \mathrm{conv}_k(h^k_T, h^k_{T-k}, h^k_{T-2k}, \dots) + c

    in two layers, each with a dropout of 0.6, on nodes and neighbours that `SampledSnapshots` draws. Each scale k has
    layers of its own, and a convolution over the whole of its time, one channel at a time. Spikes of both signs of the
    potential are +1, as in the public code. :math:`\tau` and :math:`\delta` are learned for each neuron, the first
    threshold for each layer.

    What differs from the public code: the first threshold gets its gradient, where ``.item()`` cuts it; snapshots of a
    scale are counted back from the last, which is what it does with 27, for any number; V of SAGE has no bias of its
    own; surrogates, of the arctan, have unit area, which is 1/pi of its own; and the training, as of `SpikeNet`.

    Parameters
    ----------
    in_feats, num_classes, num_snapshots
        As of `SpikeNet`, and the same shapes and errors.
    hidden_feats : sequence of int, default (128, 64)
        Neurons of the layers, one a hop of the sample.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.baselines import SiGNN
    >>> samples = [(torch.rand(3, 4), torch.rand(3, 5, 4), torch.rand(3, 5, 2, 4)) for _ in range(7)]
    >>> model = SiGNN(4, num_classes=6, num_snapshots=7)
    >>> model(samples).shape, [conv.kernel_size for conv in model.convs]
    (torch.Size([3, 6]), [(7,), (4,), (3,)])
    """

    def __init__(
        self, in_feats: int, num_classes: int, num_snapshots: int, hidden_feats: Sequence[int] = (128, 64)
    ) -> None:
        super().__init__()
        widths, out = (in_feats, *hidden_feats), hidden_feats[-1]
        check_least(1, width=min(widths), num_classes=num_classes, num_snapshots=num_snapshots)
        self.num_snapshots = num_snapshots
        self.scales = nn.ModuleList(SampledLayers(_Layer(*pair) for pair in pairwise(widths)) for _ in range(_SCALES))
        steps = [-(-num_snapshots // (k + 1)) for k in range(_SCALES)]
        self.convs = nn.ModuleList(nn.Conv1d(out, out, kernel, groups=out) for kernel in steps)
        self.readout = nn.Linear(out, num_classes)

    def forward(self, samples: Iterable[Hops]) -> Tensor:
        """Return the logits."""
        outputs: list[list[Tensor]] = [[] for _ in self.scales]
        states, left = [None] * len(self.scales), self.num_snapshots
        for hops in samples:
            left -= 1
            for k, layers in enumerate(self.scales):
                if left % (k + 1) == 0:
                    hidden, states[k] = layers(hops, states[k])
                    outputs[k].append(hidden)
        check_snapshots(self.num_snapshots - left, self.num_snapshots)
        joined = [conv(torch.stack(hidden, 2))[:, :, 0] for conv, hidden in zip(self.convs, outputs, strict=True)]
        return self.readout(torch.stack(joined).mean(0))


class _Layer(nn.Module):
    """A layer of neurons that fire at both signs of the potential, and let a sigmoid of their inputs pass."""

    spiking = Surrogate("arctan", torch.pi)

    def __init__(self, in_feats: int, out_feats: int) -> None:
        super().__init__()
        self.current, self.value = SampledSAGE(in_feats, out_feats), SampledSAGE(in_feats, out_feats)
        self.tau, self.decay = nn.Parameter(torch.ones(out_feats)), nn.Parameter(torch.ones(out_feats))
        self.threshold, self.dropout = nn.Parameter(torch.ones(())), nn.Dropout(0.6)

    def forward(self, own: Tensor, near: Tensor, state: State | None) -> tuple[Tensor, State]:
        current = self.current(own, near)
        potential, threshold = state or (torch.zeros_like(current), self.threshold.expand_as(current))
        potential = (1 - torch.sigmoid(self.tau)) * (potential + current)
        with uncounted():  # one update of the potential, compared twice
            spikes = self.spiking(potential - threshold) + self.spiking(-threshold - potential)
        tell_fired(spikes)
        kept = torch.sigmoid(self.decay)
        hidden = self.dropout(spikes * torch.sigmoid(self.value(own, near)))
        return hidden, ((1 - spikes) * potential, kept * threshold + (1 - kept) * spikes)
