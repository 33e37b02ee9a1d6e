"""A graph convolutional network on each snapshot with a concatenated read-out: the reference that does not spike."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgl_dysign.errors import ConfigError
from dgl_dysign.models.inputs import Snapshot
from dgl_dysign.ops import aggregate, symmetric_norm


class SnapshotGCN(nn.Module):
    r"""Two graph convolutions (Kipf and Welling, ICLR 2017), shared by all snapshots, and a sum of read-outs.

    .. math::
        h_t = \mathrm{relu}(S_t (\mathrm{relu}(S_t (X_t F_1^T + b_1)) F_2^T + b_2)), \quad
        y = \sum_t (h_t V_t^T + c_t), \quad S_t = (\hat A_t + I) / 2

    where nodes not seen yet add nothing to the sum.

    Parameters
    ----------
    in_feats, hidden_feats, num_classes : int
        Widths.
    num_snapshots : int, default 1
        Number of snapshots that are read out.
    dropout : float, default 0.5
        Before each linear map but the first.

    Shapes
    ------
    Snapshots with ``feat`` of ``(N, in_feats)`` -> ``(N, num_classes)``.

    Raises
    ------
    ConfigError
        If the number of snapshots given is not ``num_snapshots``.
    """

    def __init__(
        self, in_feats: int, hidden_feats: int, num_classes: int, num_snapshots: int = 1, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(in_feats, hidden_feats), nn.Linear(hidden_feats, hidden_feats)
        self.readouts = nn.ModuleList([nn.Linear(hidden_feats, num_classes) for _ in range(num_snapshots)])
        self.dropout = dropout

    def forward(self, snapshots: Sequence[Snapshot]) -> Tensor:
        """Return the logits of all nodes."""
        if len(snapshots) != len(self.readouts):
            raise ConfigError(f"this model reads out {len(self.readouts)} snapshots, but got {len(snapshots)}")
        parts = []
        for readout, snapshot in zip(self.readouts, snapshots, strict=True):
            hidden = torch.relu(self._mix(snapshot, self.first(snapshot.feat)))
            hidden = torch.relu(self._mix(snapshot, self.second(self._drop(hidden))))
            parts.append(readout(self._drop(hidden)) * snapshot.active[:, None])
        return torch.stack(parts).sum(0)

    def _mix(self, snapshot: Snapshot, feat: Tensor) -> Tensor:
        norm = symmetric_norm(snapshot.graph, snapshot.edge_weight)
        return (feat + aggregate(snapshot.graph, feat, norm, norm="none")) / 2

    def _drop(self, feat: Tensor) -> Tensor:
        return functional.dropout(feat, self.dropout, self.training)
