"""A bound on the spectral norm of a weight that is never too small, and cheap enough for every forward."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dgl_dysign.ops._checks import DGLConfigError, Layer, check_place
from dgl_dysign.ops._listeners import uncounted


class SpectralBound(Layer):
    r"""Bound :math:`\|W\|_2` from above, within one part in a hundred, with a gradient.

    Power iteration alone bounds the norm from below. So its estimate :math:`\sigma = u^T W v` is raised by a margin and
    certified: :math:`s \ge \|W\|_2` exactly if :math:`s^2 I - W^T W` has a Cholesky factor. Where it has none, a
    singular value decomposition supplies u and v. While training, v is carried from call to call as a buffer, which
    makes three iterations nearly always enough; in evaluation nothing changes, so equal calls give equal results.

    Parameters
    ----------
    size : int
        Number of columns of the weight.
    margin : float, default 0.01
        By how much the estimate is raised.

    Shapes
    ------
    weight ``(rows, size)`` -> scalar. The gradient flows through W in :math:`u^T W v`, not through u and v.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.nn.spectral import SpectralBound
    >>> SpectralBound(2)(torch.diag(torch.tensor([3.0, 1.0])))
    tensor(3.0300)
    """

    vector: Tensor

    def __init__(self, size: int, margin: float = 0.01) -> None:
        super().__init__()
        self.margin = margin
        self.register_buffer("vector", torch.empty(size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Begin the iteration anew, with a vector of equal numbers."""
        nn.init.constant_(self.vector, len(self.vector) ** -0.5)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the bound."""
        if weight.dtype not in (torch.float32, torch.float64):
            raise DGLConfigError(
                f"weight is {weight.dtype}, but a bound is certified in float32 and float64: convert with layer.float()"
            )
        check_place("weight", weight, self.vector)
        with torch.inference_mode(False), torch.no_grad(), uncounted():  # what is carried on can be trained with
            u, v = self._iterate(weight, self.vector.to(weight.dtype), steps=3 if self.training else 0)
            if not self._certified(weight, u @ (weight @ v)):
                u, v = _leading(weight)
            if self.training:
                self.vector = v.to(self.vector.dtype)
        with uncounted():  # weights alone: it can be done before anything is asked
            return (u @ (weight @ v)) * (1 + self.margin)

    def _iterate(self, weight: Tensor, v: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        for _ in range(steps):
            v = nn.functional.normalize(weight.t() @ (weight @ v), dim=0)
        return nn.functional.normalize(weight @ v, dim=0), v

    def _certified(self, weight: Tensor, sigma: Tensor) -> bool:
        gram = weight.t() @ weight
        gram.neg_().diagonal().add_((sigma * (1 + self.margin)).square())
        return int(torch.linalg.cholesky_ex(gram).info) == 0


def _leading(weight: Tensor) -> tuple[Tensor, Tensor]:
    if not bool(torch.isfinite(weight).all()):  # let the caller see the NaN, not an error of LAPACK
        return weight[:, 0], weight[0]
    left, _, right = torch.linalg.svd(weight, full_matrices=False)
    return left[:, 0].clone(), right[0].clone()
