"""Features as spikes: learned thresholds, and input weights of which only some blocks act."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from dgl_dysign.errors import ConfigError
from dgl_dysign.ops import PackedSpikes, get_surrogate
from dgl_dysign.ops._checks import DGLGraphError, Layer, check_floating
from dgl_dysign.ops._listeners import uncounted
from dgl_dysign.ops.spikes import Spiking

_BLOCK = 64  # neurons whose weights of one feature are kept together: what `packed_linear` adds, or skips, at once


class ThresholdEncoder(Layer):
    r"""Features to spikes, +1 above a threshold and -1 below another, both learned for each feature.

    .. math:: s = [z \ge \theta^+] - [-z \ge \theta^-], \qquad z = (x - \mu) / \sigma

    An entrance of ours, in neither paper: what enters a spiking network costs additions as well, once for a snapshot. A
    threshold gets the surrogate's gradient (Bengio et al., 2013); learned is the logarithm of its ratio to where it
    starts, so that it stays positive and weight decay pulls it there. Several thresholds a sign give as many features
    each, from what is hardly above the mean to what is far above it.

    Parameters
    ----------
    in_feats : int
        Number of features.
    deviations : sequence of float, default (0.5,)
        Where thresholds start, in standard deviations from the mean: the L levels.
    surrogate : str or callable, default "rectangle"
        Gradient of a spike, as wide as the lowest start; see `dgl_dysign.ops.Surrogate`.

    Attributes
    ----------
    thresholds : Tensor
        Above and below the mean, in deviations, ``(2, L, in_feats)``.
    mean, deviation : Tensor
        Of the features, ``(in_feats,)``; 0 and 1, as of standardised ones, before `fit`.

    Shapes
    ------
    feat ``(N, in_feats)`` -> spikes 0, 1 and -1, ``(N, L * in_feats)``, of the lowest level first.

    Raises
    ------
    ConfigError
        If there is no feature, no threshold, or one that is not positive.
    GraphError
        If features have another width.

    Examples
    --------
    Packed, the spikes of both signs lie side by side, and one map adds and subtracts the rows of weights:

    >>> import torch
    >>> from dgl_dysign.nn import ThresholdEncoder
    >>> from dgl_dysign.ops import packed_linear
    >>> encoder = ThresholdEncoder(2)
    >>> feat, weight = torch.tensor([[0.7, -0.1], [-2.0, 0.5]]), torch.tensor([[1.0, 10.0]])
    >>> encoder(feat).detach()
    tensor([[ 1.,  0.],
            [-1.,  1.]])
    >>> packed_linear(encoder.pack(feat), torch.cat([weight, -weight], 1))
    tensor([[1.],
            [9.]])
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, in_feats: int, deviations: Sequence[float] = (0.5,), surrogate: str | Spiking = "rectangle"
    ) -> None:
        super().__init__()
        if in_feats < 1:
            raise ConfigError(f"in_feats must be at least 1, but got {in_feats}")
        if not deviations or not all(each > 0 for each in deviations):
            raise ConfigError(f"expected positive deviations, where thresholds start, but got {list(deviations)}")
        self.in_feats, self.deviations = in_feats, tuple(sorted(map(float, deviations)))
        self.spiking = get_surrogate(surrogate, self.deviations[0])
        self.log_ratio = nn.Parameter(torch.zeros(2, len(self.deviations), in_feats))
        self.register_buffer("mean", torch.zeros(in_feats))
        self.register_buffer("deviation", torch.ones(in_feats))

    def reset_parameters(self) -> None:
        """Let the thresholds begin at their deviations."""
        nn.init.zeros_(self.log_ratio)

    @property
    def out_feats(self) -> int:
        """How many features a node has then."""
        return len(self.deviations) * self.in_feats

    @property
    def thresholds(self) -> Tensor:
        """The thresholds that act."""
        return self.log_ratio.exp() * self.log_ratio.new_tensor(self.deviations)[:, None]

    def fit(self, feat: Tensor) -> ThresholdEncoder:
        """Take over mean and standard deviation of training features ``(n, in_feats)``, and return the encoder.

        A feature that does not vary never fires.
        """
        self._check(feat)
        deviation, mean = torch.std_mean(feat, 0, correction=0)
        self.mean.copy_(mean)
        self.deviation.copy_(deviation.where(deviation > 0, torch.inf))
        return self

    def _check(self, feat: Tensor) -> None:
        check_floating(feat)
        if feat.dim() != 2 or feat.shape[1] != self.in_feats:
            raise DGLGraphError(f"feat must have shape (N, {self.in_feats}), but has {tuple(feat.shape)}")

    def _potentials(self, feat: Tensor) -> list[Tensor]:
        """Return by how much features are above the upper thresholds, and below the lower ones."""
        self._check(feat)
        z = ((feat - self.mean) / self.deviation)[:, None]
        return [(side - threshold).flatten(1) for side, threshold in zip((z, -z), self.thresholds, strict=True)]

    def forward(self, feat: Tensor) -> Tensor:
        """Return the spikes of both signs."""
        with uncounted():  # once for a snapshot, as feature means are
            above, below = map(self.spiking, self._potentials(feat))
            return above - below

    @torch.no_grad()
    def pack(self, feat: Tensor) -> PackedSpikes:
        """Return the spikes at one bit each, first all positive, then all negative ones, ``(N, 2 L in_feats)``."""
        with uncounted():  # some rows at a time, in the cache
            parts = [PackedSpikes.pack(torch.cat(self._potentials(part), 1), 0.0) for part in feat.split(4096)]
        return PackedSpikes(torch.cat([part.words for part in parts]), 2 * self.out_feats)

    def extra_repr(self) -> str:
        """Describe the encoder in one line."""
        return f"{self.in_feats}, deviations={self.deviations}"


class _KeptBlocks(nn.Module):
    """Weights of which the blocks of largest norm act, and all are trained."""

    def __init__(self, keep: float, block: int) -> None:
        super().__init__()
        self.keep, self.block = keep, block

    def forward(self, weight: Tensor) -> Tensor:
        whole = weight.detach()
        norms = torch.stack([rows.square().mean(0) for rows in whole.split(self.block)])
        best = norms.flatten().topk(max(1, round(self.keep * norms.numel())), sorted=False).indices
        kept = torch.zeros_like(norms).flatten().index_fill(0, best, 1.0).view_as(norms)
        mask = kept.repeat_interleave(self.block, 0)[: len(weight)]
        return weight + (whole * mask - whole)  # zeros to the last bit


def keep_blocks(layer: nn.Module, name: str, keep: float, block: int = _BLOCK) -> None:
    """Let only a share of a layer's weights ``(out_feats, in_feats)`` act: the blocks of largest norm.

    A block is what so many neurons read of one feature. Which are kept is decided anew at each call, and the gradient
    reaches all weights as if they acted (Lin et al., ICLR 2020), so that blocks come back. The others are zero:
    `dgl_dysign.cost` counts no spike that meets them, and `dgl_dysign.ops.packed_linear` skips those of 64 neurons. The
    layer's own ``reset_parameters`` no longer draws what is pruned.

    Parameters
    ----------
    layer : Module
        Whose parameter is pruned: its ``parametrizations`` hold it from then on, see ``torch.nn.utils.parametrize``.
    name : str
        The parameter.
    keep : float
        Share of the blocks, in (0, 1].
    block : int, default 64
        Neurons in a block; 1 prunes each weight by itself, which loses less, and makes no operation of ours faster.

    Raises
    ------
    ConfigError
        If the share or the block is out of range.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.nn import keep_blocks
    >>> layer = torch.nn.Linear(4, 2, bias=False)
    >>> layer.weight.data = torch.tensor([[1.0, 4.0, 2.0, 0.0], [1.0, 3.0, 0.0, 0.0]])
    >>> keep_blocks(layer, "weight", 0.5)
    >>> layer.weight.detach()
    tensor([[0., 4., 2., 0.],
            [0., 3., 0., 0.]])
    """
    if not 0 < keep <= 1:
        raise ConfigError(f"the share of input weights to keep must lie in (0, 1], but got {keep}")
    if block < 1:
        raise ConfigError(f"block must be at least 1 neuron, but got {block}")
    parametrize.register_parametrization(layer, name, _KeptBlocks(keep, block))
