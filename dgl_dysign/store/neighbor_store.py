"""The temporal-cohesive neighbour store: K temporal neighbours a node, in tensors."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from dgl_dysign.errors import ConfigError, GraphError, check_choice, check_growth, growth_remedy
from dgl_dysign.store import _rank
from dgl_dysign.store._edges import (
    Edges,
    Plan,
    check_node_type,
    check_nodes,
    check_num_nodes,
    check_sizes,
    to_edges,
    to_ids,
    whole,
)  # fmt: skip
from dgl_dysign.store._torch import insert_torch, read_torch
from dgl_dysign.store.importance import Importance, check_decays, check_importance
from dgl_dysign.store.neighbors import Neighbors, neighbor_block

if TYPE_CHECKING:
    from dgl_dysign._dgl import dgl

DIRECTIONS = ("both", "in", "out")
BACKENDS = ("auto", "compiled", "torch")


def _empty(slots: Tensor) -> Tensor:
    """Make all slots empty ones."""
    slots.fill_(-1)
    slots[:, :, _rank.KEY] = _rank.EMPTY
    return slots


def _sizes(slots: Tensor, plan: Plan) -> dict[str, Any]:
    return {"num_nodes": len(slots), "num_neighbors": slots.shape[1] // plan.sections}


class _Clock:
    """How far a store is; apart from the module, whose attributes take microseconds to set."""

    snapshot = -1
    next_edge_id = 0


@functools.cache
def _compiled(device: torch.device) -> Any:
    """Return the module of compiled functions, at whose first use Numba is imported."""
    if device.type != "cpu":
        raise ConfigError(f"backend='compiled' needs the store on the CPU, but it is on {device}: use backend='auto'")
    from dgl_dysign.store import _compiled

    return _compiled


class NeighborStore(nn.Module):
    r"""K temporal neighbours of highest influence for every node, kept up to date snapshot by snapshot (UnderGS).

    .. math:: I_{ij}(t) = C_j(t') \, \alpha_1^{l - 1} \, \alpha_2^{t - t'}

    is the score of neighbour j that entered at snapshot t' over l hops (times the edge's weight, where there are
    weights). `insert` offers to each node of the snapshot what it held, its direct neighbours and, one hop further,
    what those held before and their other direct neighbours; never the node itself. Of one (neighbour, edge) the best
    score counts; of all, the best K stay. Ties go to the later snapshot, the lower hop, the smaller neighbour id, the
    larger edge id, so that the lists depend neither on the order of the edges nor, ties aside, on the names of the
    nodes. Importances that differ by less than a millionth count as tied.

    It holds no parameters: a buffer that moves with ``.to()`` and is saved by ``state_dict()``.

    Parameters
    ----------
    num_nodes : int
        Number of nodes N, below 2^31.
    num_neighbors, num_hops : int, default 16 and 2
        Slots a node, K; and longest path, 1 to 3.
    hop_decay, snapshot_decay : float, default 0.1 and 0.05
        Factors per further hop and per snapshot of age, in (0, 1).
    importance : str or callable, default "cohesion"
        C: a name of ``store.importance`` (``"cohesion"``, ``"degree"``, ``"core"``, ``"uniform"``), at the cost of the
        snapshot's own nodes; or any ``importance(src, dst, num_nodes) -> (num_nodes,)``, given its distinct edges.
    direction : {"both", "in", "out"}, default "both"
        Which ends a node keeps: with ``"out"`` the destinations of its edges, with ``"in"`` the sources.
    device : torch.device, optional
        Where the entries lie.
    directed : bool, default True
        If not, (u, v) and (v, u) are one edge of the snapshot; with direction a reciprocal pair is two edges.
    num_edge_types : int, optional
        Number of edge types; every `insert` then needs `edge_type`. Equal pairs of different types are different edges.
    slots_per_type : bool, default False
        Keep K neighbours for *each* type of edge.
    node_type : Tensor, optional
        Type of every node, int64 ``(N,)``; looked up by `node_types`.
    backend : {"auto", "compiled", "torch"}, default "auto"
        ``"compiled"`` is Numba on one core of the CPU, ``"torch"`` runs on any device; both give the same entries.
        ``"auto"`` takes the first on the CPU; `active_backend` says which one runs.

    Shapes
    ------
    slots : int64 ``(N, K, 3)``; ``(N, K, 4)`` with types, and types * K slots with `slots_per_type`.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.store import NeighborStore
    >>> store = NeighborStore(num_nodes=4, num_neighbors=2)
    >>> store.insert(0, src=[0, 1], dst=[1, 2])
    >>> store.insert(2, src=[2], dst=[3])
    >>> neighbors = store.neighbors([0, 3], now=3)
    >>> neighbors.node
    tensor([[1, 2],
            [2, 1]])
    >>> neighbors.hop, neighbors.age
    (tensor([[1, 2],
            [1, 2]]), tensor([[3., 3.],
            [1., 3.]]))
    """

    slots: Tensor
    node_type: Tensor | None

    def __init__(
        self,
        num_nodes: int,
        num_neighbors: int = 16,
        num_hops: int = 2,
        hop_decay: float = 0.1,
        snapshot_decay: float = 0.05,
        importance: str | Importance = "cohesion",
        direction: str = "both",
        device: torch.device | str | None = None,
        *,
        directed: bool = True,
        num_edge_types: int | None = None,
        slots_per_type: bool = False,
        node_type: Tensor | None = None,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        check_sizes(num_nodes, num_neighbors, num_hops, num_edge_types, slots_per_type)
        check_decays(hop_decay, snapshot_decay)
        check_importance(importance)
        check_choice("direction", direction, DIRECTIONS)
        check_choice("backend", backend, BACKENDS)
        if not directed and direction != "both":
            raise ConfigError(f"direction={direction!r} needs directed=True: without direction a node keeps both ends")
        self.num_nodes, self.num_neighbors, self.num_hops = int(num_nodes), int(num_neighbors), int(num_hops)
        self.hop_decay, self.snapshot_decay = float(hop_decay), float(snapshot_decay)
        self.importance, self.direction, self.directed, self.backend = importance, direction, bool(directed), backend
        self.num_edge_types, self.slots_per_type = num_edge_types, bool(slots_per_type)
        sections = num_edge_types if slots_per_type and num_edge_types else 1
        self._plan = Plan(
            importance, _rank.RankScale.of(self.hop_decay, self.snapshot_decay), self.num_hops, self.num_neighbors,
            num_edge_types or 1, sections, direction, self.directed,
        )  # fmt: skip
        width = _rank.TYPE if num_edge_types is None else _rank.TYPE + 1
        shape = self.num_nodes, sections * self.num_neighbors, width
        with torch.inference_mode(False):  # what is made in that mode could not be written to outside it
            slots = torch.empty(shape, dtype=torch.int64, device=device)
        self.register_buffer("slots", slots)
        self.register_buffer("node_type", check_node_type(node_type, self.num_nodes, slots.device))
        self._clock = _Clock()
        self.reset()

    def reset(self) -> None:
        """Empty the store; time begins anew."""
        _empty(self.slots)
        self._clock.snapshot, self._clock.next_edge_id = -1, 0

    @torch.inference_mode(False)
    def grow(self, num_nodes: int, node_type: Tensor | None = None) -> None:
        """Have more nodes from now on: the old ones keep their numbers and entries, the new ones have no past.

        All is as if the store had been that large from the start, but that an importance of one's own was called with
        the numbers of nodes that there were.

        Parameters
        ----------
        num_nodes : int
            Number of all nodes N, not below that of now; a store does not shrink.
        node_type : Tensor, optional
            Types of the new nodes alone, int64 ``(new,)``; needed where the store has types of nodes.

        Raises
        ------
        ConfigError, DataError
            If there would be fewer nodes, or too many; if types are missing, not expected or wrong.

        Examples
        --------
        >>> from dgl_dysign.store import NeighborStore
        >>> store = NeighborStore(num_nodes=2, num_neighbors=2)
        >>> store.insert(0, src=[0], dst=[1])
        >>> store.grow(4)
        >>> store.insert(1, src=[1], dst=[3])
        >>> store.neighbors([1, 2, 3], now=2).node
        tensor([[ 3,  0],
                [-1, -1],
                [ 1,  0]])
        """
        check_num_nodes(num_nodes)
        check_growth("the store", self.num_nodes, num_nodes)
        new = num_nodes - self.num_nodes
        if new and (node_type is None) != (self.node_type is None):
            raise ConfigError(
                f"found {'no ' if node_type is None else ''}node_type, but the store was made "
                f"{'without' if self.node_type is None else 'with'} types of nodes: give those of the new nodes where "
                f"it has some, and there alone"
            )
        kinds = check_node_type(node_type, new, self.slots.device)
        if self.node_type is not None and kinds is not None:
            self.node_type = torch.cat([self.node_type, kinds])
        more = self.slots.new_empty(self._num_rows(num_nodes) - len(self.slots), *self.slots.shape[1:])
        self.slots, self.num_nodes = torch.cat([self.slots, _empty(more)]), int(num_nodes)

    def _num_rows(self, num_nodes: int) -> int:
        """Return how many of so many nodes have their lists here."""
        return num_nodes

    @property
    def snapshot(self) -> int:
        """The last snapshot inserted; -1: none."""
        return self._clock.snapshot

    @property
    def active_backend(self) -> str:
        """What runs where the store lies now: ``"compiled"`` or ``"torch"``."""
        return "compiled" if self._is_compiled(self.slots) else "torch"

    @property
    def num_bytes(self) -> int:
        """Memory of the entries and node types: N * K * 24 bytes, and 8 a slot and a node more with types."""
        return sum(buffer.numel() * buffer.element_size() for buffer in self.buffers())

    def insert(
        self,
        snapshot: Any,
        src: Any = None,
        dst: Any = None,
        edge_id: Any = None,
        weight: Any = None,
        edge_type: Any = None,
    ) -> None:
        """Insert the edges of one snapshot; where that fails, the store is as before.

        Parameters
        ----------
        snapshot : int or SnapshotEdges
            The snapshot's number, above that of the last one inserted; gaps are allowed. A ``data.SnapshotEdges``
            brings its own `src`, `dst` and `edge_id`; its weights, which may be negative, are not used by themselves.
        src, dst : array-like of int
            Ends of the edges, ``(E,)``. Of repeated edges the one of the largest edge id (then weight) counts. Without
            any, time passes and nothing else.
        edge_id, edge_type : array-like of int, optional
            Ids, 0 or more, by default one after another for the distinct edges, ascending by ends; types.
        weight : array-like of float, optional
            Weights, finite and above 0, with which importance (but core, uniform and a callable's) and score are
            multiplied.

        Raises
        ------
        ConfigError, GraphError
            If the snapshot is not after the last one; if undirected edges meet a store of one direction.
        DataError
            If columns differ in length or a value is out of range.
        """
        if hasattr(snapshot, "edge_id"):
            if not snapshot.directed and self.direction != "both":
                raise GraphError(
                    f"found undirected edges, but direction={self.direction!r}: use direction='both', or directed edges"
                )
            snapshot, src, dst, edge_id = snapshot.snapshot, snapshot.src, snapshot.dst, snapshot.edge_id
        if src is None or dst is None:
            raise ConfigError(
                "found no src and dst, expected insert(snapshot, src, dst), insert(snapshot, *graph.edges()) of a DGL "
                "graph, or insert(SnapshotEdges)"
            )
        self._check_device()
        number = self._check_snapshot(snapshot)
        self._check_types(edge_type)
        last = self._insert(to_edges(src, dst, edge_id, weight, edge_type, self.slots.device), number)
        self._clock.snapshot, self._clock.next_edge_id = number, max(self._clock.next_edge_id, last + 1)

    def _insert(self, edges: Edges, snapshot: int) -> int:
        slots = self.slots
        if not len(edges.src):
            return -1
        insert = _compiled(slots.device).insert_compiled if self._is_compiled(slots) else insert_torch
        return insert(slots, edges, snapshot, self._clock.next_edge_id, self._plan)

    def neighbors(self, nodes: Any, now: int) -> Neighbors:
        """Return the neighbours of some nodes, by descending influence: tensors ``(R, K)`` on the store's device.

        `nodes` are ``(R,)``, repeated ones are answered repeatedly. Scores are aged to the snapshot `now`, not before
        the last one inserted: to score snapshot t honestly, ask with ``now=t`` before t is inserted.

        Raises
        ------
        ConfigError, DataError
            If `now` is before the store's time; if an id is no node.
        """
        now = whole(now, "now")
        if now < self._clock.snapshot:
            raise ConfigError(
                f"found now={now}, but the store already holds snapshot {self.snapshot}: ask before inserting, or "
                f"reset() and insert again up to {now}"
            )
        self._plan.scale.start(now)
        slots = self.slots
        ids = to_ids(nodes, "nodes", slots.device)
        if self._is_compiled(slots) and self._plan.sections == 1:
            return _compiled(slots.device).read_compiled(slots, ids, now, self._plan.scale.snapshot)
        self._check_device()
        check_nodes(ids, "nodes", self.num_nodes)
        return read_torch(self._lists(ids), now, self._plan.scale, self._plan.sections)

    def _lists(self, nodes: Tensor) -> Tensor:
        return self.slots[nodes]

    def block(self, nodes: Any, now: int) -> dgl.DGLGraph:
        """Return the neighbours of some nodes as a DGL block, for any DGL convolution that takes edge weights.

        Arguments and errors are those of `neighbors`. Destination nodes are `nodes`; source nodes are `nodes` and then
        the neighbours that are not among them, their ids in ``srcdata[dgl.NID]``. ``edata`` has ``influence`` and
        ``age`` (float32), ``edge_id``, ``hop`` and ``type`` (int64), each ``(edges,)``. It lies on the store's device,
        or on the CPU where this DGL has no CUDA.

        Examples
        --------
        >>> import torch
        >>> from dgl_dysign._dgl import dgl
        >>> from dgl_dysign.store import NeighborStore
        >>> store = NeighborStore(num_nodes=5)
        >>> store.insert(0, src=[0, 3], dst=[1, 1])
        >>> block = store.block([1, 0], now=1)
        >>> block.srcdata[dgl.NID], block.num_edges()
        (tensor([1, 0, 3]), 4)
        """
        ids = to_ids(nodes, "nodes", self.slots.device)
        return neighbor_block(ids, self.neighbors(ids, now))

    def node_types(self, nodes: Tensor) -> Tensor:
        """Return the types of nodes, such as those of ``Neighbors.node``; -1 where there is no neighbour."""
        if self.node_type is None:
            raise ConfigError("this store has no node types: give node_type when it is made")
        return torch.where(nodes < 0, -1, self.node_type[nodes.clamp(min=0)])

    def _check_snapshot(self, snapshot: Any) -> int:
        number = whole(snapshot, "snapshot")
        if number < 0:
            raise ConfigError(f"found snapshot {number}, expected 0 or more")
        if number <= self._clock.snapshot:
            raise ConfigError(
                f"found snapshot {number}, but the store already holds snapshot {self.snapshot} and cannot go back in "
                f"time: insert later ones, or reset() and begin anew"
            )
        self._plan.scale.start(number)  # refuses what is too large
        return number

    def _check_types(self, edge_type: Any) -> None:
        if (edge_type is None) != (self.num_edge_types is None):
            raise ConfigError(
                f"found {'no ' if edge_type is None else ''}edge_type, but num_edge_types={self.num_edge_types}: "
                f"give both or neither"
            )

    def _check_device(self) -> None:
        if self.slots.device.type == "meta":
            raise ConfigError(
                "this store is on the meta device, where it has a shape and holds nothing: call "
                "to_empty(device='cpu'), then reset() or load_state_dict(...)"
            )

    def _is_compiled(self, slots: Tensor) -> bool:
        return self.backend == "compiled" or (self.backend == "auto" and slots.device.type == "cpu")

    def _settings(self) -> dict[str, Any]:
        names = (
            "num_hops", "hop_decay", "snapshot_decay", "direction", "directed", "num_edge_types", "slots_per_type",
            "num_neighbors", "num_nodes",
        )  # fmt: skip
        importance = "callable" if callable(self.importance) else self.importance
        return {name: getattr(self, name) for name in names} | {"importance": importance}

    def get_extra_state(self) -> dict[str, Any]:
        """Return what ``state_dict`` saves beside the entries: the time, and the settings they were made with."""
        return {
            "snapshot": self._clock.snapshot,
            "next_edge_id": self._clock.next_edge_id,
            "settings": self._settings(),
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take the time from a ``state_dict``."""
        self._clock.snapshot, self._clock.next_edge_id = int(state["snapshot"]), int(state["next_edge_id"])

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        own, slots = self._settings(), state_dict.get(f"{prefix}slots", self.slots)
        saved = {} if slots.shape == self.slots.shape else _sizes(slots, self._plan)  # an old state has no sizes
        saved |= state_dict.get(f"{prefix}_extra_state", {}).get("settings", {})
        for name, value in own.items():
            if saved.get(name, value) != value:
                remedy = growth_remedy(saved[name], value) if name == "num_nodes" else "make it alike"
                raise ConfigError(f"the saved store has {name}={saved[name]!r}, this one {value!r}: {remedy}")
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def extra_repr(self) -> str:
        """Return the settings, as ``repr`` shows them."""
        names = ("num_nodes", "num_neighbors", "num_hops", "hop_decay", "snapshot_decay", "direction", "active_backend")
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
