"""Node2Vec: skip-gram on random walks that remember where they came from."""

from __future__ import annotations

from dataclasses import dataclass

from dgl_dysign.baselines.deepwalk import DeepWalk


@dataclass(frozen=True)
class Node2Vec(DeepWalk):
    r"""Node2Vec of Grover and Leskovec (KDD 2016): `DeepWalk` over walks of second order.

    A walk that came from t to v goes on to x with probability :math:`\propto \alpha(t, x) w_{vx}`, where
    :math:`\alpha` is 1/p if x = t, 1 if t and x are neighbours, and 1/q otherwise. Length and number of walks, window
    and width are the paper's, which chooses p and q in {1/4, 1/2, 1, 2, 4}. What differs: walks are drawn by rejection,
    without tables of pairs of edges, which gives the same walks.

    Parameters
    ----------
    p, q : float > 0, default 1 and 0.5
        Large p keeps a walk from turning back, large q near where it came from. The defaults are those under which the
        paper shows communities.
    **others
        As of `DeepWalk`, and the same errors.

    Examples
    --------
    >>> from dgl_dysign.baselines import Node2Vec
    >>> from dgl_dysign.data import distinct_edges
    >>> Node2Vec(p=4.0, out_feats=8).vectors([distinct_edges(0, [0, 1], [1, 2], num_nodes=4)]).shape
    torch.Size([4, 8])
    """

    p: float = 1.0
    q: float = 0.5
