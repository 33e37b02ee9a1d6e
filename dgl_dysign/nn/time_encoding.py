"""Ages as vectors of cosines."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dgl_dysign.errors import ConfigError
from dgl_dysign.ops._checks import Layer, check_place, for_autograd


class TimeEncoding(Layer):
    r"""Cosines of an age at several frequencies.

    UnderGS (technical report) and, before it, TGAT and GraphMixer:

    .. math:: \phi(a)_i = \cos(\omega_i a + p_i)

    The paper's frequencies :math:`10^{-9 i/(d-1)}`, i = 0..d-1, are for seconds: over some dozens of snapshots nearly
    all cosines stay at 1. The default spreads wavelengths evenly, on a logarithmic scale, from 4 snapshots to twice the
    range of ages, so that each component moves over the data, and learns from there.

    Parameters
    ----------
    time_feats : int, default 16
        Number of cosines d.
    scale : float or "paper", default 100
        Largest age that matters, in snapshots; or the paper's frequencies.
    learnable : bool, optional
        Whether frequencies and phases are parameters; by default so, but not for the paper's.

    Shapes
    ------
    age ``(*)``, of any numeric type -> ``(*, time_feats)``.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.nn import TimeEncoding
    >>> TimeEncoding(2, scale=4.0, learnable=False)(torch.tensor([0, 2, 4])).round(decimals=2) + 0.0
    tensor([[ 1.,  1.],
            [-1.,  0.],
            [ 1., -1.]])
    """

    def __init__(self, time_feats: int = 16, scale: float | str = 100.0, learnable: bool | None = None) -> None:
        super().__init__()
        if time_feats < 1:
            raise ConfigError(f"time_feats must be at least 1, but got {time_feats}")
        if scale != "paper" and (isinstance(scale, str) or not 0 < scale < math.inf):
            raise ConfigError(f"scale must be the largest age in snapshots, above 0, or 'paper', but got {scale!r}")
        self.time_feats, self.scale = time_feats, scale
        self.learnable = scale != "paper" if learnable is None else learnable
        start = torch.zeros(time_feats)
        if self.learnable:
            self.frequency, self.phase = nn.Parameter(start), nn.Parameter(start.clone())
        else:
            self.register_buffer("frequency", start)
            self.register_buffer("phase", start.clone())
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the frequencies as described, and the phases to zero."""
        with torch.no_grad():
            self.frequency.copy_(self._initial())
            self.phase.zero_()

    def _initial(self) -> Tensor:
        if isinstance(self.scale, str):
            return torch.logspace(0, -9, self.time_feats, dtype=torch.float64)
        longest = max(4.0, 2 * self.scale)
        wavelength = torch.logspace(math.log10(4), math.log10(longest), self.time_feats, dtype=torch.float64)
        return 2 * math.pi / wavelength

    def forward(self, age: Tensor) -> Tensor:
        """Return the cosines of ages, which are given in snapshots."""
        check_place("age", age, self.frequency)
        return torch.cos(for_autograd(age).to(self.frequency.dtype)[..., None] * self.frequency + self.phase)

    def extra_repr(self) -> str:
        """Describe the encoding in one line."""
        return f"{self.time_feats}, scale={self.scale!r}, learnable={self.learnable}"
