"""What one pass of a fitted network costs, for its record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from dgl_dysign.cost import OperationCounter
from dgl_dysign.errors import CountError
from dgl_dysign.models.link_scorer import evaluating


@torch.no_grad()
def operations_of(network: nn.Module, forward: Callable[[], Any] | None) -> dict[str, float]:
    """Return what `dgl_dysign.experiments.record.OPERATIONS` name: of a pass that nobody can count, the weights alone.

    ``forward()`` asks the network for all nodes and returns a row for each; None: it is not asked.

    Examples
    --------
    >>> network = nn.Linear(3, 2)
    >>> operations_of(network, lambda: network(torch.randn(5, 3)))["macs"]
    6.0
    """
    weights = {"parameter_bytes": float(sum(x.numel() * x.element_size() for x in network.parameters()))}
    if forward is None:
        return weights
    try:
        with evaluating(network), OperationCounter(network) as counter:
            num_nodes = len(forward())
    except CountError:
        return weights
    a_node = counter.count(num_nodes).a_node
    names = ("macs", "synops", "additions", "membrane_updates", "message_bits")
    counted = {name: float(getattr(a_node, name)) for name in names} | {"model_energy_pj": a_node.energy_pj()}
    if a_node.firing_rate is not None:
        counted["firing_rate"] = a_node.firing_rate
        steps = [getattr(part, "latency", None) for part in network.modules()]
        counted |= {"latency": float(max(known))} if (known := [x for x in steps if isinstance(x, int)]) else {}
    return weights | counted
