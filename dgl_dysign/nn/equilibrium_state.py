"""What `EquilibriumSpikingConv` carries from one snapshot to the next."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from dgl_dysign.ops import SolverInfo


class EquilibriumState(NamedTuple):
    """Potentials and rates of all neurons, without gradient.

    Parameters
    ----------
    membrane : tuple of Tensor
        For each layer the potential with which the next snapshot starts, ``(N, out_feats)``.
    rate : Tensor
        Firing rates of the last layer, ``(N, out_feats)``: where the next solve starts.
    info : SolverInfo or None
        How the rates were found: steps, and the relative gap to the equilibrium.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.nn import EquilibriumState
    >>> state = EquilibriumState((torch.zeros(3, 2),), torch.ones(3, 2), None)
    >>> state.rows(torch.tensor([2])).rate
    tensor([[1., 1.]])
    """

    membrane: tuple[Tensor, ...]
    rate: Tensor
    info: SolverInfo | None = None

    def rows(self, nodes: Tensor) -> EquilibriumState:
        """Return the state of some nodes, as a mini-batch or an induced subgraph needs it."""
        return EquilibriumState(tuple(u[nodes] for u in self.membrane), self.rate[nodes], self.info)

    def to(self, device: torch.device | str) -> EquilibriumState:
        """Return the state on another device."""
        return EquilibriumState(tuple(u.to(device) for u in self.membrane), self.rate.to(device), self.info)
