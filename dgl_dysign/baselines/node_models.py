"""What our models of nodes stand beside: the majority, labels alone, and networks without spikes; each a few lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgl_dysign.errors import ConfigError
from dgl_dysign.models.inputs import Snapshot
from dgl_dysign.ops import aggregate, symmetric_norm


def majority_class(labels: Tensor, train: Tensor, num_nodes: int) -> Tensor:
    """Predict the most frequent class of the training nodes for all nodes, ``(N,)``; other labels are not read.

    Examples
    --------
    >>> import torch
    >>> majority_class(torch.tensor([2, 1, 1, 0]), torch.tensor([1, 2, 3]), 4)
    tensor([1, 1, 1, 1])
    """
    return torch.bincount(labels[train]).argmax().expand(num_nodes)


def propagate_labels(
    graph: Any, edge_weight: Tensor | None, labels: Tensor, train: Tensor, num_classes: int, steps: int = 6
) -> Tensor:
    r"""Propagate training labels (Zhu and Ghahramani, 2002), training nodes clamped to their label.

    .. math:: G \leftarrow \hat A F, \qquad F_i = \text{one-hot}(y_i) \text{ for training nodes, else } G_i

    over an undirected graph with the weights of its edges, ``steps`` times. Of ``labels`` ``(N,)`` only those of
    ``train`` are read. Returns ``(N, num_classes)``, not normalised; rows of training nodes are what *reaches* them.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign._dgl import dgl
    >>> path = dgl.graph(([0, 1, 1, 2], [1, 0, 2, 1]))
    >>> propagate_labels(path, None, torch.tensor([1, 0, 0]), torch.tensor([0]), 2).argmax(1)
    tensor([1, 1, 1])
    """
    norm = symmetric_norm(graph, edge_weight, torch.float32)
    known = torch.zeros(graph.num_nodes(), num_classes, device=norm.device)
    known[train, labels[train]] = 1.0
    spread = reached = known
    for _ in range(steps):
        reached = aggregate(graph, spread, norm, norm="none")
        spread = reached.clone()
        spread[train] = known[train]
    return reached


class LogisticRegression(nn.Module):
    """Class scores that are linear in the features, after a dropout of the features: :math:`y = x V^T + c`.

    Shapes
    ------
    Features side by side, of ``(n, in_feats)`` together -> ``(n, num_classes)``.
    """

    def __init__(self, in_feats: int, num_classes: int, feat_dropout: float = 0.1) -> None:
        super().__init__()
        self.linear, self.feat_dropout = nn.Linear(in_feats, num_classes), feat_dropout

    def forward(self, *feats: Tensor) -> Tensor:
        """Return the logits."""
        return self.linear(functional.dropout(torch.cat(feats, 1), self.feat_dropout, self.training))


class ReLUNetwork(nn.Module):
    r"""One hidden layer for the features, one for label features, added in a linear read-out.

    .. math:: y = c + \mathrm{relu}(x F^T + b) V^T \;(+\; \mathrm{relu}(\ell F_{label}^T + b_{label}) V_{label}^T)

    Parameters
    ----------
    in_feats, hidden_feats, num_classes : int
        Widths.
    label_feats, label_hidden : int, default 0 and 128
        Width of the label features (0: none), and of their hidden layer; others than expected raise ``ConfigError``.
    feat_dropout, label_dropout, dropout : float, default 0.1, 0.2 and 0.5
        Of the features, the label features and the hidden layers.
    gain : float, default 0.2
        Initial spread of the hidden potentials, whose bias starts at 0.5 as Dy-SIGN's does.

    Shapes
    ------
    ``(n, in_feats)`` and ``(n, label_feats)`` -> ``(n, num_classes)``.
    """

    def __init__(
        self, in_feats: int, hidden_feats: int, num_classes: int, label_feats: int = 0, label_hidden: int = 128,
        feat_dropout: float = 0.1, label_dropout: float = 0.2, dropout: float = 0.5, gain: float = 0.2,
    ) -> None:  # fmt: skip
        super().__init__()
        self.feat_dropout, self.label_dropout, self.dropout = feat_dropout, label_dropout, dropout
        self.hidden, self.readout = _hidden(in_feats, hidden_feats, gain), _readout(hidden_feats, num_classes)
        self.label_hidden = _hidden(label_feats, label_hidden, gain) if label_feats else None
        self.label_readout = _readout(label_hidden, num_classes, bias=False) if label_feats else None

    def forward(self, feat: Tensor, label_feat: Tensor | None = None) -> Tensor:
        """Return the logits."""
        if (label_feat is None) != (self.label_hidden is None):
            expected = "none" if self.label_hidden is None else f"width {self.label_hidden.in_features}"
            raise ConfigError(f"label features: expected {expected}, got {'none' if label_feat is None else 'some'}")
        logits = self._part(self.hidden, self.readout, feat, self.feat_dropout)
        if label_feat is not None and self.label_hidden is not None and self.label_readout is not None:
            logits = logits + self._part(self.label_hidden, self.label_readout, label_feat, self.label_dropout)
        return logits

    def _part(self, hidden: nn.Linear, readout: nn.Linear, feat: Tensor, feat_dropout: float) -> Tensor:
        rate = torch.relu(hidden(functional.dropout(feat, feat_dropout, self.training)))
        return readout(functional.dropout(rate - 0.5, self.dropout, self.training))


def _hidden(in_feats: int, out_feats: int, gain: float) -> nn.Linear:
    layer = nn.Linear(in_feats, out_feats)
    nn.init.normal_(layer.weight, std=gain / in_feats**0.5)
    nn.init.constant_(layer.bias, 0.5)
    return layer


def _readout(in_feats: int, out_feats: int, bias: bool = True) -> nn.Linear:
    layer = nn.Linear(in_feats, out_feats, bias=bias)
    nn.init.normal_(layer.weight, std=0.01)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class SnapshotGCN(nn.Module):
    r"""Two graph convolutions (Kipf and Welling, ICLR 2017), shared by all snapshots, and a sum of read-outs.

    .. math::
        h_t = \mathrm{relu}(S_t (\mathrm{relu}(S_t (X_t F_1^T + b_1)) F_2^T + b_2)), \quad
        y = \sum_t (h_t V_t^T + c_t), \quad S_t = (\hat A_t + I) / 2

    where nodes not seen yet add nothing to the sum; a dropout of 0.5 is before each linear map but the first.

    Parameters
    ----------
    in_feats, hidden_feats, num_classes : int
        Widths.
    num_snapshots : int, default 1
        Snapshots that are read out; others raise ``ConfigError``.

    Shapes
    ------
    Snapshots with ``feat`` of ``(N, in_feats)`` -> ``(N, num_classes)``.
    """

    def __init__(self, in_feats: int, hidden_feats: int, num_classes: int, num_snapshots: int = 1) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(in_feats, hidden_feats), nn.Linear(hidden_feats, hidden_feats)
        self.readouts = nn.ModuleList([nn.Linear(hidden_feats, num_classes) for _ in range(num_snapshots)])
        self.drop = nn.Dropout(0.5)

    def forward(self, snapshots: Sequence[Snapshot]) -> Tensor:
        """Return the logits of all nodes."""
        if len(snapshots) != len(self.readouts):
            raise ConfigError(f"this model reads out {len(self.readouts)} snapshots, but got {len(snapshots)}")
        parts = []
        for readout, snapshot in zip(self.readouts, snapshots, strict=True):
            hidden = torch.relu(self._mix(snapshot, self.first(snapshot.feat)))
            hidden = torch.relu(self._mix(snapshot, self.second(self.drop(hidden))))
            parts.append(readout(self.drop(hidden)) * snapshot.active[:, None])
        return torch.stack(parts).sum(0)

    def _mix(self, snapshot: Snapshot, feat: Tensor) -> Tensor:
        norm = symmetric_norm(snapshot.graph, snapshot.edge_weight)
        return (feat + aggregate(snapshot.graph, feat, norm, norm="none")) / 2
