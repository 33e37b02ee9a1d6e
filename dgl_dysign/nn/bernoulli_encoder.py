"""The encoder that draws spikes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dgl_dysign.errors import ConfigError


class BernoulliEncoder(nn.Module):
    r"""Draw a spike at each step with the feature as its probability: :math:`P(\tilde x_\tau = 1) = x`.

    Equation 6 of Dy-SIGN (AAAI 2024). The gradient passes straight through to the features, whose expectation the
    spikes are.

    Parameters
    ----------
    latency : int, default 8
        Number of steps.

    Shapes
    ------
    feat ``(*)``, in [0, 1] -> ``(latency, *)``, zeros and ones.

    Raises
    ------
    ConfigError
        If ``latency`` is below 1 or a feature lies outside [0, 1].

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.nn import BernoulliEncoder
    >>> BernoulliEncoder(latency=3)(torch.tensor([0.0, 1.0]))
    tensor([[0., 1.],
            [0., 1.],
            [0., 1.]])
    """

    def __init__(self, latency: int = 8) -> None:
        super().__init__()
        if latency < 1:
            raise ConfigError(f"latency must be at least 1, but got {latency}")
        self.latency = latency

    def forward(self, feat: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``(latency, *)`` spikes.

        Parameters
        ----------
        feat : Tensor
            Probabilities.
        generator : torch.Generator, optional
            Where the randomness comes from; PyTorch's own if not given.
        """
        check_probabilities(feat)
        drawn = torch.bernoulli(feat.detach().expand(self.latency, *feat.shape), generator=generator)
        return drawn + (feat - feat.detach()) if feat.requires_grad else drawn

    def mean(self, feat: Tensor, leak: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
        r"""Draw the weighted mean of the spikes of all steps, without holding them.

        .. math:: \bar x = \sum_\tau \lambda^{K-\tau} \tilde x_\tau \Big/ \sum_\tau \lambda^{K-\tau}

        Parameters
        ----------
        feat : Tensor
            Probabilities.
        leak : float, default 1
            The weight's base :math:`\lambda`.
        generator : torch.Generator, optional
            Where the randomness comes from.

        Returns
        -------
        Tensor
            The shape of ``feat``.
        """
        check_probabilities(feat)
        with torch.no_grad():
            total, weight = torch.zeros_like(feat), 0.0
            for _ in range(self.latency):
                total.mul_(leak).add_(torch.bernoulli(feat, generator=generator))
                weight = weight * leak + 1
            drawn = total.div_(weight)
        return drawn + (feat - feat.detach()) if feat.requires_grad else drawn

    def extra_repr(self) -> str:
        """Describe the encoder in one line."""
        return f"latency={self.latency}"


def check_probabilities(feat: Tensor) -> None:
    """Raise ``ConfigError`` unless every feature lies in [0, 1].

    Raises
    ------
    ConfigError
        Naming the range that was found.
    """
    if feat.numel() and not bool(((feat >= 0) & (feat <= 1)).all()):
        raise ConfigError(
            f"Bernoulli encoding needs features in [0, 1], but they span [{float(feat.min()):.4g}, "
            f"{float(feat.max()):.4g}]; rescale them, or use the constant encoding"
        )
