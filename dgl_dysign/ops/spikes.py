"""Spikes with surrogate gradients.

Every built-in surrogate is a bump around the threshold with unit area, so that gradients have comparable sizes
whichever is chosen. The rectangle is the one under which backpropagation through the soft reset tends to the gradient
of the equilibrium.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dgl_dysign.errors import ConfigError
from dgl_dysign.ops._listeners import tell_fired

Spiking = Callable[[Tensor], Tensor]


def _rectangle(x: Tensor, width: float) -> Tensor:
    return (x.abs() < width).to(x.dtype).div_(2 * width)


def _triangle(x: Tensor, width: float) -> Tensor:
    return (1 - x.abs() / width).clamp(min=0) / width


def _sigmoid(x: Tensor, width: float) -> Tensor:
    y = torch.sigmoid(4 * x / width)
    return 4 / width * y * (1 - y)


def _arctan(x: Tensor, width: float) -> Tensor:
    return 1 / (width * (1 + (math.pi * x / width).square()))


def _superspike(x: Tensor, width: float) -> Tensor:
    return 1 / (width * (1 + 2 * x.abs() / width).square())


_DERIVATIVES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "rectangle": _rectangle, "triangle": _triangle, "sigmoid": _sigmoid, "arctan": _arctan, "superspike": _superspike,
}  # fmt: skip
SURROGATES = tuple(_DERIVATIVES)


class _Heaviside(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kind: str, width: float) -> Tensor:
        ctx.kind, ctx.width = kind, width
        ctx.save_for_backward(x)
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return grads[0] * _DERIVATIVES[ctx.kind](x, ctx.width), None, None


@dataclass(frozen=True)
class Surrogate:
    r"""The step function with a surrogate derivative :math:`\psi`: spikes from the potential above the threshold.

    =============== ===========================================
    kind            :math:`\psi(x)` with width :math:`\omega`
    =============== ===========================================
    ``rectangle``   :math:`1/(2\omega)` where :math:`|x| < \omega`, else 0
    ``triangle``    :math:`(1 - |x|/\omega)_+ / \omega`
    ``sigmoid``     :math:`\alpha\,\sigma(\alpha x)(1 - \sigma(\alpha x))`, :math:`\alpha = 4/\omega`
    ``arctan``      :math:`1 / (\omega (1 + (\pi x/\omega)^2))`
    ``superspike``  :math:`1 / (\omega (1 + 2|x|/\omega)^2)`
    =============== ===========================================

    Parameters
    ----------
    kind : str, default "rectangle"
        One of those above; others raise ``ConfigError``.
    width : float, default 1
        Above zero, in units of the potential; neurons take their threshold.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.ops import Surrogate
    >>> x = torch.tensor([-2.0, -0.5, 0.0, 0.5], requires_grad=True)
    >>> spikes = Surrogate("rectangle")(x)
    >>> spikes.sum().backward()
    >>> spikes.detach(), x.grad
    (tensor([0., 0., 1., 1.]), tensor([0.0000, 0.5000, 0.5000, 0.5000]))
    """

    kind: str = "rectangle"
    width: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in _DERIVATIVES:
            raise ConfigError(
                f"surrogate must be one of {', '.join(map(repr, SURROGATES))} or a callable, but got {self.kind!r}"
            )
        if not self.width > 0:
            raise ConfigError(f"the width of a surrogate must be positive, but got {self.width}")

    def __call__(self, x: Tensor) -> Tensor:
        """Return 1 where ``x >= 0`` and 0 elsewhere."""
        out: Tensor = _Heaviside.apply(x, self.kind, self.width)
        tell_fired(out)
        return out

    def derivative(self, x: Tensor) -> Tensor:
        """Return the surrogate derivative at ``x``, in its shape."""
        return _DERIVATIVES[self.kind](x, self.width)


def get_surrogate(surrogate: str | Spiking, threshold: float = 1.0) -> Spiking:
    """Return the `Surrogate` of a name, as wide as the threshold; an unknown name raises ``ConfigError``.

    A callable is returned itself: any function of (potential - threshold) that returns spikes with a gradient, such as
    the surrogates of snnTorch and SpikingJelly.
    """
    return surrogate if callable(surrogate) else Surrogate(surrogate, threshold)


def slope(spiking: Spiking, x: Tensor) -> Tensor:
    """Return the derivative with which ``spiking`` would be backpropagated through at ``x``, without a tape.

    `spiking` is a `Surrogate` or any elementwise function with a gradient, `x` (of any shape) the potential minus
    the threshold.
    """
    if isinstance(spiking, Surrogate):
        return spiking.derivative(x)
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        (derivative,) = torch.autograd.grad(spiking(point).sum(), point)
    return derivative
