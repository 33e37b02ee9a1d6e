"""Mini-batches for an equilibrium: the messages of every node are cached, and batches are rows of the cache."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dgl_dysign.models import DySIGN, Snapshot


class EquilibriumCache:
    r"""Rates and messages of every snapshot, refreshed by fixed-point steps between passes over the data.

    With the messages :math:`\hat A a^*` held fixed, nodes no longer depend on each other: any rows make a mini-batch,
    with the one-step gradient. After a change of the weights one step from the cached rates is worth many from
    nothing, because the equilibrium moves slowly.

    Parameters
    ----------
    model : DySIGN
        With one layer.
    snapshots : sequence of Snapshot
        What the model reads.
    label_feat : Tensor, optional
        Label features of all nodes.
    """

    def __init__(self, model: DySIGN, snapshots: Sequence[Snapshot], label_feat: Tensor | None = None) -> None:
        self.model, self.snapshots, self.label_feat = model, snapshots, label_feat
        self.injected = [model.conv.inject(s.graph, s.feat, s.edge_weight) for s in snapshots]
        self.active = [s.active for s in snapshots]
        size = len(self.active[0]), model.conv.out_feats
        self.rates = [x.new_zeros(size) for x in self.injected]
        self._gather()

    @torch.no_grad()
    def refresh(self, steps: int = 1) -> float:
        """Take fixed-point steps in every snapshot; return the largest relative change of the rates in the last."""
        conv, previous, change = self.model.conv, None, 0.0
        for place, (snapshot, injected) in enumerate(zip(self.snapshots, self.injected, strict=True)):
            current = None
            if self.model.coupling is not None and previous is not None:
                current = self.model.coupling * previous
            rate = self.rates[place]
            for _ in range(steps):
                messages = conv.messages(snapshot.graph, rate, snapshot.edge_weight) if conv.feedback else None
                found = conv.respond(messages, injected, current).mul_(snapshot.active[:, None])
                gap = float((found - rate).norm() / found.norm().clamp(min=1e-12))
                rate = found
            self.rates[place] = previous = rate
            change = max(change, gap)
        self._gather()
        return change

    def _gather(self) -> None:
        conv = self.model.conv
        self.messages: list[Tensor | None] = [
            conv.messages(s.graph, rate, s.edge_weight) if conv.feedback else None
            for s, rate in zip(self.snapshots, self.rates, strict=True)
        ]

    def logits(self, nodes: Tensor) -> Tensor:
        """Return the logits of some nodes."""
        return self.model.respond(
            [None if m is None else m[nodes] for m in self.messages],
            [x[nodes] for x in self.injected],
            [a[nodes] for a in self.active],
            None if self.label_feat is None else self.label_feat[nodes],
        )

    def state_dict(self) -> dict[str, list[Tensor]]:
        """Return what a checkpoint needs to go on with the same numbers."""
        return {"rates": self.rates}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        """Take up what `state_dict` returned."""
        self.rates = [rate.to(old) for rate, old in zip(state["rates"], self.rates, strict=True)]
        self._gather()
