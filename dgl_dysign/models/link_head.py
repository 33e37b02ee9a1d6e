"""Scores of pairs from the vectors of their ends, and the loss of one true pair among others."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgl_dysign.errors import ConfigError, check_choice
from dgl_dysign.models.inputs import standardised
from dgl_dysign.nn.quick_dropout import QuickDropout

LOSSES = ("softmax", "bce")
_CONSTANT = 1e-6  # deviation below which a feature says nothing


class LinkHead(nn.Module):
    r"""Score pairs by their ends' vectors and, where there are any, by features of the pair.

    .. math:: y = v^T \mathrm{relu}(S z_s + D z_d + P (z_s \odot z_d) + b) \;(+\; c) \;+\;
                  \mathrm{MLP}\!\left(\mathrm{clamp}\!\left(\frac{f_{sd} - \mu}{\sigma}, -5, 5\right)\right)

    The first is the network on the concatenation, of which only the part that differs between candidates is computed
    for each of them. The MLP has two hidden layers. The two meet in the sum alone: joined earlier, the vectors, which
    overfit, took from what the features give.

    Parameters
    ----------
    feats, hidden_feats : int, the latter by default 64
        Width of the vectors, and of the hidden layer over them.
    pair_feats : int, default 0
        Width of the pairs' own features; 0: none.
    dropout : float, default 0
        Of the hidden layer.
    bias : bool, default True
        Whether c is there. A softmax over candidates is blind to it.
    pair_hidden, pair_dropout, pair_input_dropout : int and float, default 96, 0.3 and 0.1
        Width and dropout of the hidden layers over features, and dropout of the features.

    Attributes
    ----------
    pair_mean, pair_deviation : Tensor
        The buffers :math:`\mu` and :math:`\sigma`, 0 and 1 until `standardise` sets them.

    Shapes
    ------
    z_src ``(E, feats)`` or ``(E, 1, feats)``, z_dst ``(E, C, feats)``, pair_feat ``(E, C, pair_feats)`` -> ``(E, C)``;
    without C all through for single pairs.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.models import LinkHead
    >>> LinkHead(8)(torch.randn(5, 8), torch.randn(5, 3, 8)).shape
    torch.Size([5, 3])
    """

    pair_mean: Tensor
    pair_deviation: Tensor

    def __init__(
        self,
        feats: int,
        hidden_feats: int = 64,
        pair_feats: int = 0,
        dropout: float = 0.0,
        bias: bool = True,
        pair_hidden: int = 96,
        pair_dropout: float = 0.3,
        pair_input_dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.feats, self.pair_feats = feats, pair_feats
        self.src, self.dst = nn.Linear(feats, hidden_feats), nn.Linear(feats, hidden_feats, bias=False)
        self.product = nn.Linear(feats, hidden_feats, bias=False)
        self.out = nn.Sequential(nn.ReLU(), QuickDropout(dropout), nn.Linear(hidden_feats, 1, bias=bias))
        self.register_buffer("pair_mean", torch.zeros(pair_feats))
        self.register_buffer("pair_deviation", torch.ones(pair_feats))
        self.pair = None
        if pair_feats:
            layers: list[nn.Module] = [QuickDropout(pair_input_dropout)]
            for width in (pair_feats, pair_hidden):
                layers += [nn.Linear(width, pair_hidden), nn.SiLU(), QuickDropout(pair_dropout)]
            self.pair = nn.Sequential(*layers, nn.Linear(pair_hidden, 1, bias=False))

    def standardise(self, mean: Tensor, deviation: Tensor) -> None:
        """Take over mean and deviation ``(pair_feats,)`` of the features; columns that do not vary count as zero."""
        if tuple(mean.shape) != (self.pair_feats,) or tuple(deviation.shape) != (self.pair_feats,):
            raise ConfigError(
                f"expected mean and deviation of shape ({self.pair_feats},), but got {tuple(mean.shape)} and "
                f"{tuple(deviation.shape)}"
            )
        self.pair_mean.copy_(mean)
        self.pair_deviation.copy_(torch.where(deviation > _CONSTANT, deviation, torch.inf))

    def forward(self, z_src: Tensor, z_dst: Tensor, pair_feat: Tensor | None = None) -> Tensor:
        """Return the scores."""
        if z_src.dim() == z_dst.dim() - 1:
            z_src = z_src.unsqueeze(-2)
        self._check(z_src, z_dst, pair_feat)
        scores: Tensor = self.out(self.src(z_src) + self.dst(z_dst) + self.product(z_src * z_dst))[..., 0]
        if self.pair is not None and pair_feat is not None:
            scores = scores + self.pair(standardised(pair_feat, self.pair_mean, self.pair_deviation))[..., 0]
        return scores

    def _check(self, z_src: Tensor, z_dst: Tensor, pair_feat: Tensor | None) -> None:
        shapes, devices = (tuple(z_src.shape), tuple(z_dst.shape)), {z_src.device, z_dst.device, self.pair_mean.device}
        if torch.device("meta") in devices and len(devices) > 1:
            raise ConfigError(
                "found vectors or head on the meta device, which holds no numbers, and not all: put all of them there "
                "for shapes alone, or call to_empty(device='cpu') and load_state_dict"
            )
        if z_src.dim() != z_dst.dim() or z_src.shape[:1] != z_dst.shape[:1] or {s[-1] for s in shapes} != {self.feats}:
            raise ConfigError(
                f"expected vectors (E, {self.feats}) of sources and (E, C, {self.feats}) of candidates, "
                f"but got shapes {shapes[0]} and {shapes[1]}"
            )
        if (pair_feat is not None) != (self.pair_feats > 0):
            raise ConfigError(
                f"pair_feat: this head was made with pair_feats={self.pair_feats}, but got "
                f"{'none' if pair_feat is None else 'some'}"
            )
        if pair_feat is not None and tuple(pair_feat.shape) != (*shapes[1][:-1], self.pair_feats):
            raise ConfigError(
                f"pair_feat must have shape {(*shapes[1][:-1], self.pair_feats)}, but has {tuple(pair_feat.shape)}"
            )


def link_loss(logits: Tensor, kind: str = "softmax") -> Tensor:
    r"""Return the mean loss of true pairs, each beside its negatives.

    .. math:: \text{softmax:}\; -\log \frac{e^{y_0}}{\sum_{c \ge 0} e^{y_c}}, \qquad
              \text{bce:}\; \log(1 + e^{-y_0}) + \frac 1Q \sum_{c \ge 1} \log(1 + e^{y_c})

    Parameters
    ----------
    logits : Tensor
        ``(E, 1 + Q)``; column 0 is the true pair. Without a negative, or for another kind: ``ConfigError``.
    kind : {"softmax", "bce"}, default "softmax"
        Choice of one among the candidates, or a decision on each alone.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.models import link_loss
    >>> link_loss(torch.tensor([[0.0, 0.0, 0.0, 0.0]])), link_loss(torch.tensor([[9.0, -9.0]]), "bce")
    (tensor(1.3863), tensor(0.0002))
    """
    check_choice("kind", kind, LOSSES)
    if logits.dim() != 2 or logits.shape[1] < 2:
        raise ConfigError(f"logits must have shape (E, 1 + Q) with Q >= 1, but have {tuple(logits.shape)}")
    if kind == "softmax":
        return functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64, device=logits.device))
    return functional.softplus(-logits[:, 0]).mean() + functional.softplus(logits[:, 1:]).mean()
