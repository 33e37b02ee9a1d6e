"""TPNet's scorer of links: a small network over inner products of projected walks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dgl_dysign.errors import check_least
from dgl_dysign.models.inputs import standardised
from dgl_dysign.models.link_scorer import LogitScorer
from dgl_dysign.pairs.pair_features import PairFeatures


class TPNet(nn.Module):
    r"""The link decoder of TPNet, Lu et al. (NeurIPS 2024), over features of pairs alone.

    .. math:: y_{sd} = \mathrm{MLP}(\log(1 + \mathrm{relu}(F_{sd} F_{sd}^T))), \quad
              F_{sd} = [H_0^s, \ldots, H_3^s; H_0^d, \ldots, H_3^d]

    where :math:`H_k^v` is the projection of the walks of k steps back in time from v, see
    `dgl_dysign.pairs.projections.WalkProjections`, which is the family ``projections`` of
    `dgl_dysign.pairs.LinkFeatures`.

    What differs from the paper: its encoder (an MLP-Mixer over the latest 20 neighbours, which sees the same products
    of each of them) is left out, as the products carry the method; of the symmetric :math:`F F^T` each entry is taken
    once; inputs are standardised. Steps are aged by whole snapshots, by 0.94 each, where the paper ages them by
    :math:`e^{-\lambda \Delta t}` (:math:`\lambda` = 1e-7 a second in its code, which is 0.94 a week); walks have up to
    3 steps, and the width of P is 128, where the code takes 10 log(2 M), M the number of all edges, later ones
    included. The hidden width is ours. Arguments out of range raise ``ConfigError``.

    Parameters
    ----------
    num_nodes : int
        Number of nodes N.
    pair_feats, hidden_feats : int, default 36 and 64
        Columns of the features, and width of the two hidden layers.

    Shapes
    ------
    ``(E, C, pair_feats)`` -> ``(E, C)``.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.baselines import TPNet
    >>> TPNet(num_nodes=5)(torch.randn(2, 3, 36)).shape
    torch.Size([2, 3])
    """

    loss = "softmax"
    mean: Tensor
    deviation: Tensor

    def __init__(self, num_nodes: int, pair_feats: int = 36, hidden_feats: int = 64) -> None:
        super().__init__()
        check_least(1, pair_feats=pair_feats, hidden_feats=hidden_feats)
        self.num_nodes = num_nodes
        self.register_buffer("mean", torch.zeros(pair_feats))
        self.register_buffer("deviation", torch.ones(pair_feats))
        hidden = [nn.Linear(pair_feats, hidden_feats), nn.ReLU(), nn.Linear(hidden_feats, hidden_feats), nn.ReLU()]
        self.layers = nn.Sequential(*hidden, nn.Linear(hidden_feats, 1, bias=False))  # a softmax is blind to a bias

    @property
    def link_head(self) -> TPNet:
        """What reads features of pairs: the network itself."""
        return self

    def standardise(self, mean: Tensor, deviation: Tensor) -> None:
        """Take over mean and deviation ``(pair_feats,)`` of the features; columns that do not vary count as zero."""
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(deviation > 1e-6, deviation, torch.inf))

    def forward(self, feat: Tensor) -> Tensor:
        """Return the scores."""
        return self.layers(standardised(feat, self.mean, self.deviation))[..., 0]


class PairScorer(LogitScorer):
    """Scores links by a network over features of pairs; trained by `dgl_dysign.training.fit_links`.

    Parameters
    ----------
    model : Module
        With ``num_nodes`` and ``loss``; ``model(feat)`` returns scores ``(E, C)`` of features ``(E, C, F)``.
    features : PairFeatures
        Which it keeps up to date.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.baselines import PairScorer, TPNet
    >>> from dgl_dysign.data import distinct_edges
    >>> from dgl_dysign.pairs import LinkFeatures
    >>> scorer = PairScorer(TPNet(5), LinkFeatures(5, families=["projections"]))
    >>> scorer.observe(distinct_edges(0, [0, 1], [1, 2], num_nodes=5))
    >>> scorer.score(1, torch.tensor([0]), torch.tensor([[1, 2, 4]])).shape
    torch.Size([1, 3])
    """

    features: PairFeatures

    def __init__(self, model: nn.Module, features: PairFeatures) -> None:
        self.model, self.features, self.past = model, features, features

    def logits(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return logits ``(E, C)`` with gradients, in the mode that the model is in."""
        return self.model(self.features.features(snapshot, src, dst).to(self.device))
