"""The encoder that repeats its input."""

from __future__ import annotations

from torch import Tensor, nn

from dgl_dysign.errors import ConfigError


class ConstantEncoder(nn.Module):
    """Feed features as a constant current: the same at every step.

    Everything that is linear in a constant current can be computed once, before the loop over the steps.

    Parameters
    ----------
    latency : int, default 8
        Number of steps.

    Shapes
    ------
    feat ``(*)`` -> ``(latency, *)``, a view that takes no memory.

    Raises
    ------
    ConfigError
        If ``latency`` is below 1.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.nn import ConstantEncoder
    >>> ConstantEncoder(latency=3)(torch.tensor([0.5, 2.0]))
    tensor([[0.5000, 2.0000],
            [0.5000, 2.0000],
            [0.5000, 2.0000]])
    """

    def __init__(self, latency: int = 8) -> None:
        super().__init__()
        if latency < 1:
            raise ConfigError(f"latency must be at least 1, but got {latency}")
        self.latency = latency

    def forward(self, feat: Tensor) -> Tensor:
        """Return ``feat`` at every step, ``(latency, *)``."""
        return feat.expand(self.latency, *feat.shape)

    def extra_repr(self) -> str:
        """Describe the encoder in one line."""
        return f"latency={self.latency}"
