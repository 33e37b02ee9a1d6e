"""Labels of events, scored from the store's embeddings of both ends and from what counting tells."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from dgl_dysign.errors import ConfigError
from dgl_dysign.models.inputs import Features
from dgl_dysign.models.pretrained import ALWAYS, Pretrained
from dgl_dysign.models.undergs import UnderGS
from dgl_dysign.store import NeighborStore

if TYPE_CHECKING:
    from dgl_dysign.data import TemporalGraph
    from dgl_dysign.models.inputs import NodeInputs


class EventUnderGS(Pretrained):
    r"""UnderGS for labels of events: the log odds that an event is a positive one.

    With `UnderGS`'s embeddings z of source and destination from the store as it was before the event's snapshot, its
    head for pairs, and features f of the event (its own, and counts of the past),

    .. math:: p(y = 1) = \mathrm{sigmoid}(\mathrm{head}(z_s, z_d, f) + c)

    c begins at the log odds of the label, which is rare.

    ``save_pretrained(folder, data)`` and ``from_pretrained(folder, data)`` as for `UnderGS`. The store is filled again
    by the caller, and features are given with each call: the folder holds neither.

    Parameters
    ----------
    num_nodes : int
        Number of nodes of all snapshots.
    rate : float
        Share of positives among the training events, in (0, 1).
    event_feats : int, default 0
        Width of f.
    **options
        For `UnderGS`.

    Attributes
    ----------
    undergs : UnderGS
        Embeddings and head.

    Shapes
    ------
    src and dst ``(E,)``, event_feat ``(E, event_feats)`` -> logits ``(E,)``.

    Raises
    ------
    ConfigError
        For an argument outside its range, and for features that are missing or not expected.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.models import EventUnderGS
    >>> model = EventUnderGS(5, rate=0.01, hidden_feats=8)
    >>> store = model.undergs.store()
    >>> store.insert(0, torch.tensor([0, 1]), torch.tensor([3, 4]))
    >>> model(store, 1, torch.tensor([0, 1, 1]), torch.tensor([4, 4, 3])).shape
    torch.Size([3])
    """

    def __init__(self, num_nodes: int, rate: float, event_feats: int = 0, **options: Any) -> None:
        super().__init__()
        if not 0 < rate < 1:
            raise ConfigError(f"rate must lie in (0, 1), but got {rate}: train on events of both labels")
        self.undergs = UnderGS(num_nodes, pair_feats=event_feats, **options)
        self.offset = nn.Parameter(torch.tensor(math.log(rate / (1 - rate))))

    def arguments_for(self, inputs: NodeInputs, data: TemporalGraph) -> dict[str, int]:
        """Raise ``ConfigError``: features come with each call, so that a folder cannot say how they are read."""
        raise ConfigError("EventUnderGS is given its features with each call: leave inputs out")

    def forward(
        self,
        store: NeighborStore,
        snapshot: int,
        src: Tensor,
        dst: Tensor,
        event_feat: Tensor | None = None,
        node_feat: Features | None = None,
        edge_feat: Features | None = None,
    ) -> Tensor:
        """Return the logits of a snapshot's events.

        Parameters
        ----------
        store : NeighborStore
            With the snapshots before `snapshot`; not changed.
        snapshot : int
            Index of the events' snapshot.
        src, dst : Tensor
            Their ends, int64 ``(E,)``.
        event_feat : Tensor, optional
            ``(E, event_feats)``.
        node_feat, edge_feat : Tensor or callable, optional
            As for `UnderGS.embed`.
        """
        z = self.undergs.embed(store, torch.stack([src, dst]), snapshot, node_feat, edge_feat)
        return self.undergs.link(z[0], z[1], event_feat) + self.offset

    def _reads(self) -> list[str]:
        own = self.undergs.edge_feats or self.undergs.link_head.pair_feats  # features of events may be among either
        return [*ALWAYS, "class_names", *(["edge_features"] if own else [])]
