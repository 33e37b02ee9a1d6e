"""What spiking networks of nodes share: layers over sampled neighbours that carry a state from snapshot to snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from dgl_dysign.errors import ConfigError, check_least
from dgl_dysign.ops._listeners import listeners, tell_messages

#: Features of nodes ``(n, d)``, of their neighbours ``(n, k, d)``, of the neighbours of these ``(n, k, l, d)``, ...
Hops = Sequence[Tensor]


class SampledLayers(nn.ModuleList):
    """Layers that carry a state from snapshot to snapshot, each from the nodes of a hop and their neighbours.

    Each is called ``out, state = layer(own, near, state)`` with nodes ``(*, d)``, their neighbours ``(*, k, d)`` and
    its state of the snapshot before for the same places, None at first. The state belongs to a *place* in the sample:
    the nodes that are asked about keep theirs, but where a neighbour is drawn anew, another node goes on with it. So do
    the public codes of SpikeNet and SiGNN.
    """

    def forward(self, hops: Hops, state: Any = None) -> tuple[Tensor, Any]:
        """Return the last layer's output for the nodes, ``(n, d)``, and the state after the snapshot."""
        if len(hops) != len(self) + 1:
            raise ConfigError(f"found samples of {len(hops) - 1} hops, expected {len(self)}: one for each layer")
        after = []
        for place, layer in enumerate(self):
            pairs = list(pairwise(hops))
            before = [None] * len(pairs) if state is None else state[place]
            results = [layer(own, near, old) for (own, near), old in zip(pairs, before, strict=True)]
            hops = [out for out, _ in results]
            after.append([new for _, new in results])
        return hops[0], after


def check_snapshots(number: int, expected: int) -> None:
    """Raise ``ConfigError`` unless a model reads as many snapshots as it was made for."""
    if number != expected:
        raise ConfigError(f"found samples of {number} snapshots, expected the {expected} that the model was made for")


class ConcatenatedSpikes(nn.Module):
    r"""A linear read-out of what sampled layers give in T snapshots: :math:`y = U [s_1 \Vert \dots \Vert s_T] + c`.

    `layer` makes those of neurons from their widths, each with a ``dropout`` of its spikes; the last is read without.
    """

    def __init__(
        self, layer: Callable[[int, int], nn.Module], in_feats: int, num_classes: int, num_snapshots: int,
        hidden_feats: Sequence[int],
    ) -> None:  # fmt: skip
        super().__init__()
        widths = (in_feats, *hidden_feats)
        check_least(1, width=min(widths), num_classes=num_classes, num_snapshots=num_snapshots)
        self.layers, self.num_snapshots = SampledLayers(layer(*pair) for pair in pairwise(widths)), num_snapshots
        self.layers[-1].dropout = nn.Identity()
        self.readout = nn.Linear(num_snapshots * widths[-1], num_classes)

    def forward(self, samples: Iterable[Hops]) -> Tensor:
        """Return the logits ``(n, C)``."""
        spikes, state = [], None
        for hops in samples:
            fired, state = self.layers(hops, state)
            spikes.append(fired)
        check_snapshots(len(spikes), self.num_snapshots)
        return self.readout(torch.cat(spikes, 1))


class SampledSAGE(nn.Module):
    r"""GraphSAGE's mean of k sampled neighbours: :math:`W x_i + V \frac{1}{k} \sum_j x_j + b`."""

    def __init__(self, in_feats: int, out_feats: int) -> None:
        super().__init__()
        self.own, self.near = nn.Linear(in_feats, out_feats), nn.Linear(in_feats, out_feats, bias=False)

    def forward(self, own: Tensor, near: Tensor) -> Tensor:
        """Return them for nodes ``(*, d)`` with neighbours ``(*, k, d)``, ``(*, out_feats)``."""
        return self.own(own) + self.near(mean_of_neighbours(near))


def mean_of_neighbours(near: Tensor) -> Tensor:
    """Return the mean over k neighbours ``(*, k, d)`` of each node, ``(*, d)``."""
    if listeners:
        rows = near.flatten(0, -2)
        tell_messages(torch.arange(len(rows)), rows)
    return near.mean(-2)
