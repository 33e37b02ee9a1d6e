"""A neighbour store of which every process holds the rows of its own nodes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from dgl_dysign.errors import ConfigError
from dgl_dysign.store._edges import Edges, check_edges, check_node_type, check_nodes, check_num_nodes, distinct, to_ids
from dgl_dysign.store._torch import merge
from dgl_dysign.store.importance import importance_units
from dgl_dysign.store.neighbor_store import NeighborStore


class ShardedStore(NeighborStore):
    """A `NeighborStore` in parts: process r of W holds the lists of the nodes v with v mod W = r.

    UnderGS (technical report, section 5, "Extension to multi-GPU": sharding by node ownership, global order of time by
    a barrier for each snapshot). All processes are given every snapshot, in order, and keep what a whole store would
    keep for their nodes, entry by entry. What travels:

    - `insert`: a node's new list needs the lists that its direct neighbours held before. All know the snapshot's edges,
      so that each owner sends those lists unasked to whom they concern: no more than one list for each
      edge whose ends have different owners; nothing with ``num_hops=1``. A process then computes its own nodes' lists.
    - `grow` sends nothing, as nobody's node moves; but all processes call it, between the same two insertions.
    - `refresh`: asks the owners for the lists of nodes that a process is about to read in the next snapshot. They stay
      readable until the next `insert`.

    `insert`, `refresh` and `whole` are barriers: all processes call them, in the same order. Reading is not. Edges are
    made distinct and importances computed in every process, at the cost of the snapshot's edges alone. A process holds
    ``ceil(N / W) * K * 24`` bytes, and the lists that it asked for. Without a process group it is a whole store.

    Parameters
    ----------
    num_nodes : int
        Number of nodes N of all processes together.
    *args, **options
        Those of `NeighborStore`; the backend is always ``"torch"``. Reading a list that is neither own nor asked for
        raises ``ConfigError``.

    Attributes
    ----------
    place, count : int
        r and W.

    Shapes
    ------
    slots : int64 ``(ceil((N - r) / W), K, 3)``; wider and longer with types, as in `NeighborStore`.

    Examples
    --------
    >>> from dgl_dysign.store import ShardedStore
    >>> store = ShardedStore(num_nodes=4, num_neighbors=2)  # alone here; under torchrun with others
    >>> store.insert(0, src=[0, 1], dst=[1, 2])
    >>> store.refresh([0, 2])
    >>> store.neighbors([0, 2], now=1).node
    tensor([[1, 2],
            [1, 0]])
    """

    def __init__(self, num_nodes: int, *args: Any, **options: Any) -> None:
        together = dist.is_available() and dist.is_initialized()
        place, count = (dist.get_rank(), dist.get_world_size()) if together else (0, 1)
        node_type = options.pop("node_type", None)
        if options.pop("backend", "torch") not in ("auto", "torch"):
            raise ConfigError("a ShardedStore runs on the torch backend alone: leave backend out")
        self._arguments = (args, dict(options))
        check_num_nodes(num_nodes)
        super().__init__(len(range(place, num_nodes, count)), *args, backend="torch", **options)
        self.place, self.count, self.num_nodes = place, count, int(num_nodes)
        self.node_type = check_node_type(node_type, self.num_nodes, self.slots.device)

    def reset(self) -> None:
        """Empty the store; time begins anew."""
        super().reset()
        self._guests, self._guest_lists = self.slots.new_empty(0), self.slots[:0]

    def refresh(self, nodes: Any) -> None:
        """Get the lists of nodes that others own, in place of those got before; a barrier.

        `nodes` are those that this process will read before the next insertion; own and repeated ones may be among
        them, and every process may give others, or none. An id that is no node raises ``DataError``; the others then
        wait in vain.
        """
        ids = to_ids(nodes, "nodes", self.slots.device)
        check_nodes(ids, "nodes", self.num_nodes)
        if self.count == 1:
            return
        ids = torch.unique(ids)
        ids = ids[ids % self.count != self.place]
        ids = ids[torch.argsort(ids % self.count, stable=True)]
        number = torch.bincount(ids % self.count, minlength=self.count)
        give = self._exchange(number, [1] * self.count, [1] * self.count).tolist()
        take = number.tolist()
        wanted = self._exchange(ids, take, give)
        lists = self._exchange(self.slots[wanted // self.count], give, take)
        order = torch.argsort(ids)
        self._guests, self._guest_lists = ids[order], lists[order]

    def whole(self) -> NeighborStore:
        """Return the store in one piece, in every process; a barrier."""
        args, options = self._arguments
        store = NeighborStore(self.num_nodes, *args, **options)
        for owner in range(self.count):
            rows = torch.empty_like(store.slots[owner :: self.count])
            if owner == self.place:
                rows.copy_(self.slots)
            if self.count > 1:
                dist.broadcast(rows, owner)
            store.slots[owner :: self.count] = rows
        store.node_type = self.node_type
        store.set_extra_state(self.get_extra_state())
        return store

    def _num_rows(self, num_nodes: int) -> int:
        return len(range(self.place, num_nodes, self.count))

    def _insert(self, edges: Edges, snapshot: int) -> int:
        check_edges(edges, self.num_nodes, self._plan.types)
        edges = distinct(edges, self.directed, self._clock.next_edge_id)
        self._guests, self._guest_lists = self._guests[:0], self.slots[:0]  # what was got is out of date
        if not len(edges.src):
            return -1
        active, local = torch.unique(torch.cat([edges.src, edges.dst]), return_inverse=True)
        src, dst = local.chunk(2)
        base = importance_units(self.importance, src, dst, active, self.num_nodes, edges.weight)
        own = (active % self.count == self.place).nonzero()[:, 0]
        lists, place = self._neighbours_lists(src, dst, active)
        edges = edges._replace(src=src, dst=dst)
        self.slots[active[own] // self.count] = merge(lists, edges, active, base, snapshot, self._plan, place, own)
        assert edges.edge_id is not None
        return int(edges.edge_id.max())

    def _neighbours_lists(self, src: Tensor, dst: Tensor, active: Tensor) -> tuple[Tensor, Tensor]:
        """Return the lists of own active nodes and of their neighbours, and where each active node's list is."""
        owner = active % self.count
        own = (owner == self.place).nonzero()[:, 0]
        place = torch.full_like(active, -1)
        place[own] = torch.arange(len(own), device=active.device)
        lists = self.slots[active[own] // self.count]
        if self.num_hops == 1 or self.count == 1:
            return lists, place
        ways = {"out": [(src, dst)], "in": [(dst, src)]}.get(self.direction, [(src, dst), (dst, src)])
        row, other = (torch.cat(ends) for ends in zip(*ways, strict=True))
        # Who needs which list of whom: the same in every process, so that nobody has to ask.
        travel = torch.stack([owner[row], owner[other], other])[:, owner[row] != owner[other]]
        to, from_, node = torch.unique(travel, dim=1)
        send, receive = from_ == self.place, to == self.place
        got = self._exchange(
            self.slots[active[node[send]] // self.count],
            torch.bincount(to[send], minlength=self.count).tolist(),
            torch.bincount(from_[receive], minlength=self.count).tolist(),
        )
        place[node[receive]] = len(own) + torch.arange(len(got), device=active.device)
        return torch.cat([lists, got]), place

    def _exchange(self, rows: Tensor, give: list[int], take: list[int]) -> Tensor:
        """Send rows to the processes in turn, so many to each; return those that they sent."""
        received = rows.new_empty(sum(take), *rows.shape[1:])
        dist.all_to_all_single(received, rows.contiguous(), take, give)
        return received

    def _lists(self, nodes: Tensor) -> Tensor:
        if self.count == 1:
            return self.slots[nodes]
        own = nodes % self.count == self.place
        at = torch.searchsorted(self._guests, nodes).clamp(max=max(0, len(self._guests) - 1))
        known = own if not len(self._guests) else own | (self._guests[at] == nodes)
        if not bool(known.all()):
            node = int(nodes[~known][0])
            raise ConfigError(
                f"found node {node} of process {node % self.count} in process {self.place}, which did not ask for it: "
                f"call refresh(nodes) in all processes after the last insertion, with every node that will be read"
            )
        lists = self.slots.new_empty(len(nodes), *self.slots.shape[1:])
        lists[own] = self.slots[nodes[own] // self.count]
        lists[~own] = self._guest_lists[at[~own]]
        return lists

    @property
    def num_bytes(self) -> int:
        """Memory of this process: its entries, node types, and the lists that it asked for."""
        return super().num_bytes + 8 * (self._guests.numel() + self._guest_lists.numel())

    def _is_compiled(self, slots: Tensor) -> bool:
        return False

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"shard": f"{self.place} of {self.count}"}

    def _apply(self, *args: Any, **options: Any) -> Any:
        moved = super()._apply(*args, **options)
        self._guests, self._guest_lists = self.slots.new_empty(0), self.slots[:0]
        return moved
