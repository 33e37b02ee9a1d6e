"""The temporal influence score of a neighbour."""

from __future__ import annotations

import torch
from torch import Tensor

from dgl_dysign.errors import ConfigError


def check_decays(hop_decay: float, snapshot_decay: float) -> None:
    """Raise ``ConfigError`` unless both decays lie in (0, 1)."""
    for name, decay in (("hop_decay", hop_decay), ("snapshot_decay", snapshot_decay)):
        if not 0 < decay < 1:  # also for NaN
            raise ConfigError(f"{name}={decay!r}: expected a number above 0 and below 1, such as 0.5")


def temporal_influence(
    importance: Tensor,
    hop: Tensor | int,
    age: Tensor | int,
    hop_decay: float = 0.1,
    snapshot_decay: float = 0.05,
) -> Tensor:
    r"""Return the temporal influence score of neighbours (UnderGS).

    .. math:: I_{ij}(t) = C_j(t') \, \alpha_1^{l - 1} \, \alpha_2^{t - t'}

    for a neighbour j that entered at snapshot t' over a path of l hops. `NeighborStore` ranks by the same formula, in
    whole numbers of log2.

    Parameters
    ----------
    importance : Tensor
        :math:`C_j(t')`, not negative.
    hop : Tensor or int
        Path length l, from 1.
    age : Tensor or int
        Snapshots since the neighbour entered, t - t', from 0.
    hop_decay, snapshot_decay : float
        :math:`\alpha_1` and :math:`\alpha_2`, in (0, 1).

    Returns
    -------
    Tensor
        As `importance`.

    Raises
    ------
    ConfigError
        If a decay is out of range.

    Examples
    --------
    >>> import torch
    >>> temporal_influence(torch.tensor([2.0, 2.0, 2.0]), torch.tensor([1, 2, 1]), torch.tensor([0, 0, 1]))
    tensor([2.0000, 0.2000, 0.1000])
    """
    check_decays(hop_decay, snapshot_decay)
    hop, age = (torch.as_tensor(value, device=importance.device) for value in (hop, age))
    return importance * hop_decay ** (hop - 1).to(importance.dtype) * snapshot_decay ** age.to(importance.dtype)
