"""Dy-SIGN's populations with ReLU in place of spiking neurons, and without feedback: the control of its figures."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgl_dysign.errors import ConfigError


class ReLUNetwork(nn.Module):
    r"""One hidden layer for the features, one for label features, added in a linear read-out.

    .. math:: y = c + \mathrm{relu}(x F^T + b) V^T \;(+\; \mathrm{relu}(\ell F_{label}^T + b_{label}) V_{label}^T)

    Parameters
    ----------
    in_feats, hidden_feats, num_classes : int
        Widths.
    label_feats, label_hidden : int, default 0 and 128
        Width of the label features (0: none), and of their hidden layer.
    feat_dropout, label_dropout, dropout : float, default 0.1, 0.2 and 0.5
        Of the features, the label features and the hidden layers.
    gain : float, default 0.2
        Initial spread of the hidden potentials, whose bias starts at 0.5 as Dy-SIGN's does.

    Shapes
    ------
    ``(n, in_feats)`` and ``(n, label_feats)`` -> ``(n, num_classes)``.

    Raises
    ------
    ConfigError
        If label features are missing or not expected.
    """

    def __init__(
        self,
        in_feats: int,
        hidden_feats: int,
        num_classes: int,
        label_feats: int = 0,
        label_hidden: int = 128,
        feat_dropout: float = 0.1,
        label_dropout: float = 0.2,
        dropout: float = 0.5,
        gain: float = 0.2,
    ) -> None:
        super().__init__()
        self.feat_dropout, self.label_dropout, self.dropout = feat_dropout, label_dropout, dropout
        self.hidden = _hidden(in_feats, hidden_feats, gain)
        self.readout = _readout(hidden_feats, num_classes)
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
