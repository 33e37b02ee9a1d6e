"""Inference over snapshots that follow each other, in which only what changed is computed again."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dgl_dysign.errors import ConfigError
from dgl_dysign.models._row_layers import grown, row_layers
from dgl_dysign.models.inputs import Snapshot
from dgl_dysign.ops._checks import check_fits, check_rows

_EVERYWHERE = 0.99  # share of the nodes from which on nothing is saved


class Replayed(NamedTuple):
    """What `replay` gives for a snapshot.

    Parameters
    ----------
    out : Tensor
        What the model gives for all nodes, ``(N, out_feats)``. It is overwritten by the next snapshot: clone it to keep
        it.
    changed : Tensor
        Mask ``(N,)`` of the rows of ``out`` that are others than a snapshot before.
    recomputed : tuple of int
        Nodes that each layer has computed.
    flipped : tuple of int
        Numbers that each layer's output has changed by; of spikes, those that had to be sent.
    """

    out: Tensor
    changed: Tensor
    recomputed: tuple[int, ...]
    flipped: tuple[int, ...]


@torch.no_grad()
def replay(
    model: nn.Module, snapshots: Iterable[Snapshot], *, weighted: bool = False, only_changes: bool = True
) -> Iterator[Replayed]:
    r"""Yield what a model gives for each snapshot, and compute only the rows that changed since the one before.

    Every layer is :math:`s_v = f(\sum_u \hat w_{uv} (s_u W) + b)`. A spike of u that flips adds or takes away its row
    of W, a sum is computed again where one of its products, or one of its :math:`\hat w` with degrees and all, is
    another than before. So a node that is computed again without a flip costs nothing further up (the idea is that of
    delta networks, Neil et al., ICML 2017). Sums are computed as a whole and in one order, flips are exact: ``out`` has
    the bits of ``only_changes=False``, whatever changed, and is, to rounding, what the model gives.

    Parameters
    ----------
    model : Module
        `SpikingGraphConv` of latency 1, or a ``Sequential`` (of PyTorch or DGL) of such layers, ``Linear`` and
        ``Dropout``; or `DySIGN` of one snapshot, latency 1, without feedback, coupling and labels. Others raise
        ``ConfigError``. The equilibrium of a model with feedback is not replayed.
    snapshots : iterable of Snapshot
        In order of time; nodes may be added at the end. Nodes that are no longer active raise ``ConfigError``. Features
        or edges that are others at all nodes warn once: nothing is saved then.
    weighted : bool, default False
        `SpikingGraphConv` weighs edges by ``Snapshot.edge_weight``, as DySIGN does; if not, each counts once.
    only_changes : bool, default True
        If not, all rows are computed for each snapshot.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign._dgl import dgl
    >>> from dgl_dysign.models import Snapshot, replay
    >>> from dgl_dysign.nn import SpikingGraphConv
    >>> feat, seen = torch.rand(5, 3), torch.ones(5, dtype=torch.bool)
    >>> loops = dgl.add_self_loop(dgl.graph(([0, 1, 2, 3], [1, 2, 3, 4])))
    >>> more = dgl.add_edges(loops, 0, 2)  # node 2 hears one more, 0 and 1 a smaller share of node 0
    >>> model = SpikingGraphConv(3, 8, latency=1)
    >>> [step.recomputed for step in replay(model, [Snapshot(g, None, feat, seen) for g in (loops, more, more)])]
    [(5,), (3,), (0,)]
    """
    layers, last, warned = row_layers(model, weighted), _Last(), False
    edges = {id(layer.edges): layer.edges for layer in layers if layer.edges is not None}
    for place, snapshot in enumerate(snapshots):
        check_rows(snapshot.graph, snapshot.feat)
        check_fits(model, feat=snapshot.feat)
        moved, woken = last.differs(place, snapshot)
        others = [each.update(snapshot) for each in edges.values()]
        if only_changes and place and not warned:
            warned = _nothing_stands_still(place, moved, *others)
        source, flips, recomputed, flipped = last.feat, None, [], []
        for layer in layers:
            if not only_changes:
                moved, woken, flips = torch.ones_like(moved), torch.ones_like(woken), None
            moved, changes = layer.advance(source, moved, woken, snapshot.active, flips)
            recomputed.append(len(changes))
            rows = changes.any(1)
            moved = moved.index_put((moved.nonzero()[:, 0],), rows)
            source, flips = layer.out, changes[rows]
            flipped.append(int(flips.count_nonzero()))
        yield Replayed(source, moved | last.new, tuple(recomputed), tuple(flipped))


def _nothing_stands_still(place: int, moved: Tensor, *hears: Tensor) -> bool:
    """Warn if a snapshot has changed at all nodes; say whether it has."""
    share, others = (float(mask.float().mean()) for mask in (moved, torch.stack([moved, *hears]).any(0)))
    if others < _EVERYWHERE:
        return False
    warnings.warn(
        f"nothing can be saved by a replay: from snapshot {place - 1} to {place} features have moved at {share:.0%} of "
        f"{len(moved)} nodes, features or edges at {others:.0%}; take features that stand still where nothing happens, "
        f"edges that do not age (decay=1), and norm='right'",
        stacklevel=4,  # beyond the wrapper of torch.no_grad
    )
    return True


class _Last:
    """Features and nodes of the last snapshot."""

    def __init__(self) -> None:
        self.feat, self.active = torch.empty(0, 0), torch.empty(0, dtype=torch.bool)
        self.new = self.active

    def differs(self, place: int, snapshot: Snapshot) -> tuple[Tensor, Tensor]:
        """Take over a snapshot; return which nodes have other features, which are new or active at last."""
        feat, active = snapshot.feat, snapshot.active
        if place == 0:
            self.feat, self.active = feat.new_zeros(0, feat.shape[1]), active[:0]
        num_old, num_nodes = len(self.feat), len(feat)
        lost = num_old - num_nodes if num_nodes < num_old else int((self.active & ~active[:num_old]).sum())
        if lost:
            raise ConfigError(
                f"snapshot {place} (from 0) lacks {lost} nodes that were active before: time goes back; sort the "
                f"snapshots, and begin another replay where it shall begin anew"
            )
        self.feat, was = grown(self.feat, num_nodes), grown(self.active, num_nodes)
        self.new = torch.arange(num_nodes, device=feat.device) >= num_old
        moved = self.new
        if not torch.equal(feat, self.feat):
            moved = (feat != self.feat).any(1) | self.new
            self.feat[moved] = feat[moved]  # a copy: the caller may write into its own
        self.active = active.clone()
        return moved, (active != was) | self.new
