"""What `InfluenceConv` and `InfluenceMixer` share: normalised scores, an edge softmax and the time-aware filter."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dgl_dysign.errors import ConfigError
from dgl_dysign.ops._checks import DGLGraphError
from dgl_dysign.ops._listeners import uncounted


class TimeAwareFilter(nn.Module):
    """Masks each historical neighbour (age above zero) with probability ``filter_ratio`` in [0, 1), in training only.

    UnderGS (technical report), time-aware filter. Draws come from the module's own numbers, whose state is saved with
    it: a run that resumes draws what it would have drawn, whatever else uses random numbers, on every device.
    """

    def __init__(self, filter_ratio: float) -> None:
        super().__init__()
        if not 0 <= filter_ratio < 1:
            raise ConfigError(f"filter_ratio must lie in [0, 1), but got {filter_ratio}")
        self.filter_ratio = filter_ratio
        self.seed, self.draws = int(torch.randint(2**62, (), device="cpu")), 0

    def get_extra_state(self) -> Tensor:
        """Return what the next draw depends on."""
        return torch.tensor([self.seed, self.draws], device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        """Take up what `get_extra_state` returned."""
        self.seed, self.draws = state.tolist()

    def forward(self, age: Tensor) -> Tensor | None:
        """Return the mask of the neighbours to keep; None: all of them."""
        if not self.training or self.filter_ratio == 0:
            return None
        generator = torch.Generator().manual_seed(self.seed + self.draws)
        self.draws += 1
        drawn = torch.rand(age.shape, generator=generator).to(age.device)
        return (age <= 0) | (drawn >= self.filter_ratio)

    def extra_repr(self) -> str:
        """Describe the filter in one line."""
        return f"filter_ratio={self.filter_ratio}"


def check_finite(influence: Tensor) -> None:
    """Raise ``GraphError`` unless all scores are finite."""
    if not bool(torch.isfinite(influence).all()):
        place = int((~torch.isfinite(influence)).flatten().nonzero()[0, 0])
        raise DGLGraphError(
            f"influence must be finite, but is {float(influence.flatten()[place])} at place {place}: check the "
            f"importance and the edge weights that went into the store"
        )


@uncounted()
def edge_shares(influence: Tensor, dst: Tensor, num_dst: int) -> Tensor:
    """Divide the scores by their sum (of magnitudes) at each destination; a score of zero stays zero."""
    total = influence.new_zeros(num_dst).index_add(0, dst, influence.abs())[dst]
    return influence / torch.where(total > 0, total, 1.0)


@uncounted()
def edge_softmax(logits: Tensor, dst: Tensor, num_dst: int) -> Tensor:
    """Return the softmax of ``(E, H)`` over the edges of each destination."""
    places = dst[:, None].expand_as(logits)
    top = logits.new_zeros(num_dst, logits.shape[1])
    # A constant at each destination cancels out: it needs no gradient.
    top = top.scatter_reduce(0, places, logits.detach(), "amax", include_self=False)
    raised = (logits - top[dst]).exp()
    return raised / raised.new_zeros(top.shape).index_add(0, dst, raised)[dst]


def join(edge_feat: Tensor | None, time_feat: Tensor | None, like: Tensor) -> Tensor | None:
    """Join edge features and time encodings, where there are any."""
    parts = [part.to(device=like.device, dtype=like.dtype) for part in (edge_feat, time_feat) if part is not None]
    return torch.cat(parts, dim=-1) if parts else None


def check_feature(name: str, feat: Any, shape: tuple[int, ...], width: int) -> None:
    """Raise ``GraphError`` unless the features are there where a width is expected, in the right shape."""
    if (feat is not None) != (width > 0):
        what = "None" if feat is None else f"a tensor of shape {tuple(feat.shape)}"
        raise DGLGraphError(f"{name}: this layer was made for width {width}, but got {what}")
    if feat is not None and tuple(feat.shape) != (*shape, width):
        raise DGLGraphError(f"{name} must have shape {(*shape, width)}, but has {tuple(feat.shape)}")
