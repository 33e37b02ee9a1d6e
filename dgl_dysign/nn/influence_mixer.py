"""An MLP-Mixer over the slots of a neighbour store."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dgl_dysign.errors import ConfigError
from dgl_dysign.nn._influence import TimeAwareFilter, check_feature, check_finite, join
from dgl_dysign.nn.time_encoding import TimeEncoding
from dgl_dysign.ops._checks import DGLGraphError, Layer, check_fits, widened


class Slots(Protocol):
    """What the mixer reads of the store's ``Neighbors``: ``(R, K)`` each, the node being -1 in empty slots."""

    node: Any
    influence: Any
    age: Any


class InfluenceMixer(Layer):
    r"""Mix the K neighbours of a node with each other, then their features, and read out the weighted mean.

    UnderGS (technical report), the MLP-Mixer aggregator. With the messages :math:`H_k = E [x_k \Vert e_k \Vert
    \phi(a_k)] + b`, and every empty slot held at zero (the mask o),

    .. math:: H \leftarrow H + o \odot \mathrm{MLP}_{slots}(o \odot \mathrm{LN}(H)), \qquad
              H \leftarrow H + o \odot \mathrm{MLP}_{feats}(\mathrm{LN}(H)), \qquad
              z = W \sum_k w_k H_k + c, \quad w_k = I_k \Big/ \sum_j |I_j|

    Slots come in descending rank, so that mixing knows which neighbour is the most influential: unlike that of message
    passing, the result depends on their order. Nothing depends on what stands in an empty slot, or in one whose score
    is zero.

    Parameters
    ----------
    in_feats, out_feats : int
        Width of the neighbours' features, and of the result.
    num_neighbors : int, default 16
        Number of slots K.
    edge_feats, time_feats, filter_ratio, time_scale
        As for `InfluenceConv`.
    num_layers : int, default 1
        How often slots and features are mixed.

    Shapes
    ------
    feat ``(R, K, in_feats)``, with neighbours of ``(R, K)`` -> ``(R, out_feats)``; ``c`` for a node without neighbours.

    Examples
    --------
    >>> import torch
    >>> from types import SimpleNamespace
    >>> from dgl_dysign.nn import InfluenceMixer
    >>> slots = SimpleNamespace(node=torch.tensor([[4, -1]]), influence=torch.tensor([[0.5, 0.0]]),
    ...                         age=torch.tensor([[1.0, 0.0]]))
    >>> InfluenceMixer(3, 8, num_neighbors=2, time_feats=4)(slots, torch.randn(1, 2, 3)).shape
    torch.Size([1, 8])
    """

    def __init__(
        self,
        in_feats: int,
        out_feats: int,
        num_neighbors: int = 16,
        edge_feats: int = 0,
        time_feats: int = 0,
        filter_ratio: float = 0.0,
        num_layers: int = 1,
        time_scale: float | str = 100.0,
    ) -> None:
        super().__init__()
        if min(in_feats, out_feats, num_neighbors, num_layers) < 1 or min(edge_feats, time_feats) < 0:
            raise ConfigError(
                "in_feats, out_feats, num_neighbors and num_layers must be at least 1, edge_feats and time_feats at "
                f"least 0, but got {(in_feats, out_feats, num_neighbors, num_layers, edge_feats, time_feats)}"
            )
        self.in_feats, self.out_feats, self.num_neighbors = in_feats, out_feats, num_neighbors
        self.edge_feats, self.time_feats = edge_feats, time_feats
        self.filter = TimeAwareFilter(filter_ratio)
        self.time = TimeEncoding(time_feats, time_scale) if time_feats else None
        self.fc_message = nn.Linear(in_feats + edge_feats + time_feats, out_feats)
        self.layers = nn.ModuleList([_MixerLayer(num_neighbors, out_feats) for _ in range(num_layers)])
        self.fc = nn.Linear(out_feats, out_feats)

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        for part in self.modules():
            if isinstance(part, nn.Linear | nn.LayerNorm | TimeEncoding):
                part.reset_parameters()

    def forward(self, neighbors: Slots, feat: Tensor, edge_feat: Tensor | None = None) -> Tensor:
        """Return the mixed and averaged messages, ``(R, out_feats)``.

        Parameters
        ----------
        neighbors : Neighbors
            What ``store.neighbors(nodes, now)`` returned.
        feat, edge_feat : Tensor
            ``(R, K, in_feats)`` and, optional, ``(R, K, edge_feats)``; anything in empty slots.
        """
        rows, slots = neighbors.node.shape
        if slots != self.num_neighbors or tuple(feat.shape) != (rows, slots, self.in_feats):
            raise DGLGraphError(
                f"feat must have shape ({rows}, {self.num_neighbors}, {self.in_feats}) and neighbors "
                f"{self.num_neighbors} slots, but they have {tuple(feat.shape)} and {slots}"
            )
        feat = widened(feat, self.fc.weight.dtype)
        check_fits(self, feat=feat)
        check_feature("edge_feat", edge_feat, (rows, slots), self.edge_feats)
        check_finite(neighbors.influence)
        weight = neighbors.influence.to(device=feat.device, dtype=feat.dtype)
        age = neighbors.age.to(feat.device)
        counted = (neighbors.node.to(feat.device) >= 0) & (weight != 0)
        keep = self.filter(age)
        if keep is not None:
            counted = counted & keep
        extra = join(edge_feat, None if self.time is None else self.time(age), feat)
        message = feat if extra is None else torch.cat([feat, extra], dim=-1)
        empty = ~counted[..., None]
        # Filled, not multiplied: what stands in an empty slot may be NaN.
        hidden = self.fc_message(message.masked_fill(empty, 0)).masked_fill(empty, 0)
        for layer in self.layers:
            hidden = layer(hidden, empty)
        weight = weight.masked_fill(~counted, 0)
        total = weight.abs().sum(1, keepdim=True)
        share = weight / torch.where(total > 0, total, 1.0)
        out: Tensor = self.fc((share[..., None] * hidden).sum(1))
        return out

    def extra_repr(self) -> str:
        """Describe the layer in one line."""
        return (
            f"{self.in_feats}, {self.out_feats}, num_neighbors={self.num_neighbors}, edge_feats={self.edge_feats}, "
            f"time_feats={self.time_feats}"
        )


class _MixerLayer(nn.Module):
    """One mixing of slots and one of features; empty slots are zero before and after."""

    def __init__(self, slots: int, feats: int) -> None:
        super().__init__()
        self.slot_norm, self.feat_norm = nn.LayerNorm(feats), nn.LayerNorm(feats)
        self.slot_mlp = nn.Sequential(nn.Linear(slots, 2 * slots), nn.GELU(), nn.Linear(2 * slots, slots))
        self.feat_mlp = nn.Sequential(nn.Linear(feats, 2 * feats), nn.GELU(), nn.Linear(2 * feats, feats))

    def forward(self, hidden: Tensor, empty: Tensor) -> Tensor:
        mixed = self.slot_mlp(self.slot_norm(hidden).masked_fill(empty, 0).transpose(1, 2)).transpose(1, 2)
        hidden = hidden + mixed.masked_fill(empty, 0)
        return hidden + self.feat_mlp(self.feat_norm(hidden)).masked_fill(empty, 0)
