"""Numbers of operations, and what becomes of them: sums, shares of a node, a model of energy."""

from __future__ import annotations

from dataclasses import astuple, dataclass

#: Has to stand beside every energy.
ENERGY_IS = "model, not measurement"


@dataclass(frozen=True)
class Operations:
    """Numbers of operations, under the rules of `dgl_dysign.cost`.

    Parameters
    ----------
    macs : float, default 0
        Products that are added up.
    synops : float, default 0
        Additions that spikes cause.
    additions : float, default 0
        Other additions of messages, without a product.
    membrane_updates, spikes : float, default 0
        Steps of neurons, and those of them that fired.
    message_bits : float, default 0
        Moved by message passing.

    Examples
    --------
    >>> cost = Operations(macs=6, synops=2) + Operations(membrane_updates=4, spikes=1)
    >>> cost.per(2).macs, cost.firing_rate, round(cost.energy_pj(), 1)
    (3.0, 0.25, 33.0)
    """

    macs: float = 0
    synops: float = 0
    additions: float = 0
    membrane_updates: float = 0
    spikes: float = 0
    message_bits: float = 0

    def __add__(self, other: Operations) -> Operations:
        return Operations(*(own + more for own, more in zip(astuple(self), astuple(other), strict=True)))

    def per(self, count: int) -> Operations:
        """Return the share of one of so many nodes."""
        return Operations(*(number / count for number in astuple(self)))

    @property
    def firing_rate(self) -> float | None:
        """Share of the steps of neurons that fired; None without neurons."""
        return self.spikes / self.membrane_updates if self.membrane_updates else None

    def energy_pj(self, mac_pj: float = 4.6, addition_pj: float = 0.9) -> float:
        """Return pJ, a model and not a measurement: a SynOp and an update of a membrane are an addition each.

        The defaults are those of a product with addition, and of an addition, of 32-bit floats in 45 nm (Horowitz,
        ISSCC 2014).
        """
        return mac_pj * self.macs + addition_pj * (self.synops + self.additions + self.membrane_updates)


@dataclass(frozen=True)
class OperationCount:
    """What a model did in a pass; printed, a table by module.

    Parameters
    ----------
    total : Operations
        Of the whole pass.
    by_module : dict of str to Operations
        By name of the module that did them itself, not in its parts; the model by the name of its class, and "" for
        what was done outside of modules.
    num_nodes : int
        Nodes that were answered for.
    parameter_bytes : int
        Of the model.
    """

    total: Operations
    by_module: dict[str, Operations]
    num_nodes: int
    parameter_bytes: int

    @property
    def a_node(self) -> Operations:
        """The operations of one node."""
        return self.total.per(max(self.num_nodes, 1))

    def __str__(self) -> str:
        names = f"{'MAC':>12}{'SynOp':>12}{'addition':>12}{'membrane':>12}{'message bit':>14}"
        head = f"{'a node':24}{names}{f'pJ ({ENERGY_IS})':>28}"
        rows = {**self.by_module, "in all": self.total}
        return "\n".join([head, *(self._line(name, operations) for name, operations in rows.items())])

    def _line(self, name: str, operations: Operations) -> str:
        own = operations.per(max(self.num_nodes, 1))
        numbers = f"{own.macs:12,.1f}{own.synops:12,.1f}{own.additions:12,.1f}{own.membrane_updates:12,.1f}"
        return f"{name:24}{numbers}{own.message_bits:14,.1f}{own.energy_pj():28,.1f}"
