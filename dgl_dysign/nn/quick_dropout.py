"""Dropout that is cheap on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_STEPS = 1 << 16  # probabilities that 16 bits tell apart


class QuickDropout(nn.Dropout):
    """Dropout whose mask on a CPU takes 16 random bits an element: a quarter of the time of PyTorch's, which draws 64.

    There the probability is rounded to a multiple of 2^-16, and what stays is scaled by the rounded one, so that means
    stay exact. Elsewhere, and where nothing is dropped, it is ``nn.Dropout``.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.nn.quick_dropout import QuickDropout
    >>> values = QuickDropout(0.25)(torch.ones(100_000))
    >>> values.unique(), round(float(values.mean()), 2)
    (tensor([0.0000, 1.3333]), 1.0)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the values, some of them zero in training."""
        return quick_dropout(input, self.p, self.training)


def quick_dropout(values: Tensor, p: float, training: bool) -> Tensor:
    """Return what `QuickDropout` does."""
    dropped = round(p * _STEPS)
    if not training or values.device.type != "cpu" or not 0 < dropped < _STEPS:
        return functional.dropout(values, p, training)
    words = torch.empty(-(-values.numel() // 4), dtype=torch.int64).random_(-(1 << 63), None)
    drawn, least, scale = words.view(torch.int16)[: values.numel()], dropped - _STEPS // 2, _STEPS / (_STEPS - dropped)
    if values.dtype in (torch.float32, torch.float64):
        kept: Tensor = _Kept.apply(values, drawn, least, scale)
        return kept
    return values * (drawn.view(values.shape) >= least).to(values.dtype).mul_(scale)


class _Kept(torch.autograd.Function):
    """Values times a scale where what was drawn is no less than some number, else times zero, in one pass."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, drawn: Tensor, least: int, scale: float) -> Tensor:
        from dgl_dysign.nn._dropout_compiled import keep  # Numba is slow to import

        ctx.drawn, ctx.least, ctx.scale = drawn, least, scale
        kept = torch.empty(values.shape, dtype=values.dtype)
        flat = (values.detach().contiguous().view(-1).numpy(), drawn.numpy(), least)
        keep(*flat, flat[0].dtype.type(scale), kept.view(-1).numpy())
        return kept

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        return _Kept.apply(grads[0], ctx.drawn, ctx.least, ctx.scale), None, None, None
