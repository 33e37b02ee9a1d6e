"""Learned vectors of nodes, whose number grows with the graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from dgl_dysign.errors import check_growth, growth_remedy
from dgl_dysign.ops._checks import StateError


class NodeTable(nn.Embedding):
    """A learned vector for each node: an ``nn.Embedding`` that can grow, and that names sizes that differ.

    Examples
    --------
    >>> table = NodeTable(2, 3)
    >>> table.grow(4)
    >>> table.weight.shape, bool(table.weight[2:].any())
    (torch.Size([4, 3]), False)
    """

    @torch.inference_mode(False)  # what is made in that mode could not be trained
    @torch.no_grad()
    def grow(self, num_nodes: int) -> None:
        """Have more nodes from now on; the new ones have zeros. Raises ``ConfigError`` if there would be fewer."""
        check_growth("the model", self.num_embeddings, num_nodes)
        old = self.weight
        new = old.new_zeros(num_nodes - len(old), old.shape[1])
        self.weight = nn.Parameter(torch.cat([old, new]), requires_grad=old.requires_grad)
        self.num_embeddings = num_nodes

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        name = f"{prefix}weight"
        saved, own = len(state_dict.get(name, self.weight)), len(self.weight)
        if saved != own:
            raise StateError(
                f"{name}: found vectors of {saved} nodes, but this model has {own}: {growth_remedy(saved, own)}"
            )
        super()._load_from_state_dict(state_dict, prefix, *rest)
