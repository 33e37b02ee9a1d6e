"""Multinomial logistic regression on the inputs that Dy-SIGN gets."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class LogisticRegression(nn.Module):
    r"""Class scores that are linear in the features: :math:`y = x V^T + c`.

    Parameters
    ----------
    in_feats : int
        Width of the features, label features included.
    num_classes : int
        Number of classes.
    feat_dropout : float, default 0.1
        Of the features.

    Shapes
    ------
    ``(n, in_feats)`` -> ``(n, num_classes)``.
    """

    def __init__(self, in_feats: int, num_classes: int, feat_dropout: float = 0.1) -> None:
        super().__init__()
        self.linear, self.feat_dropout = nn.Linear(in_feats, num_classes), feat_dropout

    def forward(self, feat: Tensor) -> Tensor:
        """Return the logits."""
        return self.linear(functional.dropout(feat, self.feat_dropout, self.training))
