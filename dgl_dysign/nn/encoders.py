"""Encoders: features as the input of each of the latency steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dgl_dysign.errors import ConfigError
from dgl_dysign.ops._checks import check_floating


class _Encoder(nn.Module):
    def __init__(self, latency: int = 8) -> None:
        super().__init__()
        if latency < 1:
            raise ConfigError(f"latency must be at least 1, but got {latency}")
        self.latency = latency

    def extra_repr(self) -> str:
        """Describe the encoder in one line."""
        return f"latency={self.latency}"


class ConstantEncoder(_Encoder):
    """Feed features as a constant current: the same at each of ``latency`` steps, 8 by default.

    Shapes
    ------
    feat ``(*)`` -> ``(latency, *)``, a view that takes no memory. A latency below 1 raises ``ConfigError``.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.nn import ConstantEncoder
    >>> ConstantEncoder(latency=3)(torch.tensor([0.5, 2.0]))
    tensor([[0.5000, 2.0000],
            [0.5000, 2.0000],
            [0.5000, 2.0000]])
    """

    def forward(self, feat: Tensor) -> Tensor:
        """Return ``feat`` at every step, ``(latency, *)``."""
        return feat.expand(self.latency, *feat.shape)


class BernoulliEncoder(_Encoder):
    r"""Draw a spike at each step with the feature as its probability: :math:`P(\tilde x_\tau = 1) = x`.

    Equation 6 of Dy-SIGN (AAAI 2024), over ``latency`` steps, 8 by default. The gradient passes straight through to
    the features, the spikes' expectation.

    Shapes
    ------
    feat ``(*)`` -> ``(latency, *)``, zeros and ones. Features outside [0, 1] and a latency below 1 raise
    ``ConfigError``.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.nn import BernoulliEncoder
    >>> BernoulliEncoder(latency=3)(torch.tensor([0.0, 1.0]))
    tensor([[0., 1.],
            [0., 1.],
            [0., 1.]])
    """

    def forward(self, feat: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``(latency, *)`` spikes with the features as probabilities, from PyTorch's or another generator."""
        check_probabilities(feat)
        drawn = torch.bernoulli(feat.detach().expand(self.latency, *feat.shape), generator=generator)
        return drawn + (feat - feat.detach()) if feat.requires_grad else drawn

    def mean(self, feat: Tensor, leak: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
        r"""Draw :math:`\sum_\tau \lambda^{K-\tau} \tilde x_\tau / \sum_\tau \lambda^{K-\tau}`, shaped as ``feat``.

        Spikes are not held; :math:`\lambda` is ``leak``.
        """
        check_probabilities(feat)
        with torch.no_grad():
            total, weight = torch.zeros_like(feat), 0.0
            for _ in range(self.latency):
                total.mul_(leak).add_(torch.bernoulli(feat, generator=generator))
                weight = weight * leak + 1
            drawn = total.div_(weight)
        return drawn + (feat - feat.detach()) if feat.requires_grad else drawn


def check_probabilities(feat: Tensor) -> None:
    """Raise ``ConfigError`` unless every feature lies in [0, 1], ``GraphError`` unless they are floating-point."""
    check_floating(feat)
    if feat.numel() and not bool(((feat >= 0) & (feat <= 1)).all()):
        raise ConfigError(
            f"Bernoulli encoding needs features in [0, 1], but they span [{float(feat.min()):.4g}, "
            f"{float(feat.max()):.4g}]; rescale them, or use the constant encoding"
        )
