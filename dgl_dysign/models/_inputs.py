"""What enters a model: features looked up by id, and a learned vector for each node."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from dgl_dysign.errors import ConfigError

Features = Tensor | Callable[[Tensor], Tensor]


def look_up(name: str, source: Features | None, ids: Tensor, width: int, device: torch.device) -> Tensor | None:
    """Return the features of some ids, of the width that a model was made for.

    Parameters
    ----------
    name : str
        Of the argument, for errors.
    source : Tensor, callable or None
        One row for each id that there is, or a function of ids.
    ids : Tensor
        ``(n,)``.
    width : int
        Expected width; 0: no features.
    device : torch.device
        Where they are wanted.

    Raises
    ------
    ConfigError
        If features are missing, not expected, of another shape, or asked for an id that is not known.
    """
    if (source is not None) != (width > 0):
        found = "none" if source is None else "some"
        raise ConfigError(f"{name}: this model was made with {name}s={width}, but got {found}")
    if source is None:
        return None
    if len(ids) and int(ids.min()) < 0:
        raise ConfigError(f"{name}: features of id {int(ids.min())} were asked for, expected ids from 0")
    if isinstance(source, Tensor):
        if len(ids) and int(ids.max()) >= len(source):
            raise ConfigError(f"{name} has {len(source)} rows, but id {int(ids.max())} was asked for")
        found_rows = source[ids.to(source.device)]
    else:
        found_rows = source(ids)
    if tuple(found_rows.shape) != (len(ids), width):
        raise ConfigError(f"{name} must give shape {(len(ids), width)}, but gave {tuple(found_rows.shape)}")
    return found_rows.to(device)


class NodeInput(nn.Module):
    """A learned vector for each node, with dropout, and a linear map of its features where there are any.

    Parameters
    ----------
    num_nodes, feats : int
        Number of nodes, and width of the result.
    node_feats : int
        Width of the nodes' features; 0: none.
    dropout : float
        Of the learned vectors.
    """

    def __init__(self, num_nodes: int, feats: int, node_feats: int, dropout: float) -> None:
        super().__init__()
        self.node_feats, self.dropout = node_feats, dropout
        self.table = nn.Embedding(num_nodes, feats)
        self.fc = nn.Linear(node_feats, feats) if node_feats else None

    def reset_parameters(self) -> None:
        """Draw the table and the map anew."""
        self.table.reset_parameters()
        if self.fc is not None:
            self.fc.reset_parameters()

    def forward(self, nodes: Tensor, node_feat: Features | None) -> Tensor:
        """Return one row for each of the nodes."""
        nodes = nodes.to(self.table.weight.device)
        rows = functional.dropout(self.table(nodes), self.dropout, self.training)
        feat = look_up("node_feat", node_feat, nodes, self.node_feats, rows.device)
        return rows if self.fc is None or feat is None else rows + self.fc(feat.to(rows.dtype))
