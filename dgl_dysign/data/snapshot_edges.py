"""The distinct edges of one snapshot, in an order that does not depend on the order of its events."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from torch import Tensor

from dgl_dysign.errors import ConfigError, DataError

if TYPE_CHECKING:
    from dgl_dysign.data.temporal_graph import TemporalGraph

_EVENT_BYTES = 48  # at most: less where events are repeated or have no weight
_LARGEST = 3_037_000_499  # its square is the last that fits into int64


@dataclasses.dataclass(frozen=True, eq=False)
class SnapshotEdges:
    """The distinct node pairs of one snapshot, ascending by (`src`, `dst`).

    Made by :func:`snapshot_edges` or :func:`distinct_edges`; a node paired with itself is kept.

    Parameters
    ----------
    snapshot, num_nodes, directed
        Which snapshot; number of nodes of the whole data set; whether (u, v) and (v, u) are different pairs.
    src, dst : Tensor
        Ends of each pair, int64 ``(E,)``; undirected data has each pair once, as (smaller, larger).
    edge_id, time : Tensor
        Largest edge id among the pair's events, int64 ``(E,)``, and time of that event, float64 ``(E,)``.
    count : Tensor
        Number of the pair's events, int64 ``(E,)``.
    weight : Tensor or None
        Mean of the weights of the pair's events, signed, float64 ``(E,)``; None where the data has no weights.
    """

    snapshot: int
    src: Tensor
    dst: Tensor
    edge_id: Tensor
    time: Tensor
    count: Tensor
    weight: Tensor | None
    num_nodes: int
    directed: bool = True

    def __len__(self) -> int:
        return len(self.src)

    def to(self, device: torch.device | str) -> SnapshotEdges:
        """Return the same edges with all tensors on a device."""
        moved: dict[str, Any] = {
            field.name: value.to(device)
            for field in dataclasses.fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return dataclasses.replace(self, **moved)


def snapshot_edges(data: TemporalGraph, snapshot: int) -> SnapshotEdges:
    """Read the distinct edges of one snapshot of a prepared folder, and nothing else, onto the CPU.

    Raises ``ConfigError`` if there is no such snapshot, ``DataError`` if a file is missing or damaged.

    Examples
    --------
    >>> from dgl_dysign.data import TemporalGraph
    >>> edges = snapshot_edges(TemporalGraph.load(prepared), 0)
    >>> bool((edges.src <= edges.dst).all()), int(edges.count.sum()) >= len(edges)
    (True, True)
    """
    src, dst, time, edge_id = data.events(snapshot)
    weight = data.edge_weights(snapshot) if data.manifest.get("edge_weight") is not None else None
    return distinct_edges(snapshot, src, dst, edge_id, time, weight, num_nodes=data.num_nodes, directed=data.directed)


class EdgesOnDisk(Sequence[SnapshotEdges]):
    """The edges of snapshots of a prepared folder, each read when it is asked for and not kept.

    Examples
    --------
    >>> from dgl_dysign.data import TemporalGraph
    >>> edges = EdgesOnDisk(TemporalGraph.load(prepared), range(5))
    >>> [one.snapshot for one in edges[3:]], edges[-1].snapshot
    ([3, 4], 4)
    """

    def __init__(self, data: TemporalGraph, snapshots: range) -> None:
        self._data, self._snapshots = data, snapshots

    def __len__(self) -> int:
        return len(self._snapshots)

    @overload
    def __getitem__(self, at: int) -> SnapshotEdges: ...

    @overload
    def __getitem__(self, at: slice) -> EdgesOnDisk: ...

    def __getitem__(self, at: int | slice) -> SnapshotEdges | EdgesOnDisk:
        some = self._snapshots[at]
        return EdgesOnDisk(self._data, some) if isinstance(some, range) else snapshot_edges(self._data, some)


def all_edges(data: TemporalGraph, most_bytes: int = 1 << 28) -> Sequence[SnapshotEdges]:
    """Return the edges of all snapshots: from memory if they take no more than so many bytes, 48 an event."""
    snapshots = range(data.num_snapshots)
    if _EVENT_BYTES * data.num_edges > most_bytes:
        return EdgesOnDisk(data, snapshots)
    return [snapshot_edges(data, t) for t in snapshots]


def check_room(edges: SnapshotEdges, num_nodes: int, remedy: str = "") -> None:
    """Raise ``DataError`` if a snapshot's graph has more than `num_nodes` nodes; `remedy`: instead of `grow`.

    Examples
    --------
    >>> check_room(distinct_edges(7, [0], [1], num_nodes=4), 3)
    Traceback (most recent call last):
        ...
    dgl_dysign.errors.DataError: snapshot 7: found a graph of 4 nodes, expected 3 at most: call grow(4) first
    """
    if edges.num_nodes > num_nodes:
        raise DataError(
            f"snapshot {edges.snapshot}: found a graph of {edges.num_nodes} nodes, expected {num_nodes} at most: "
            f"{remedy or f'call grow({edges.num_nodes}) first'}"
        )


def distinct_edges(
    snapshot: int,
    src: Any,
    dst: Any,
    edge_id: Any = None,
    time: Any = None,
    weight: Any = None,
    *,
    num_nodes: int,
    directed: bool = True,
) -> SnapshotEdges:
    """Merge the events of one snapshot into its distinct edges, on the CPU.

    Parameters
    ----------
    snapshot : int
        Which snapshot, from 0.
    src, dst : array-like of int
        Ends of each event, ``(events,)``, in 0 .. num_nodes - 1; tensors, arrays or lists.
    edge_id : array-like of int, optional
        Id of each event; default: 0, 1, 2, ... Among equal ids the later row is the last event.
    time, weight : array-like of float, optional
        Time of each event, by default the number of the snapshot; weight, of any sign.
    num_nodes, directed : int, and bool, default True
        As in `SnapshotEdges`.

    Raises
    ------
    ConfigError, DataError
        If an argument is out of range; if lengths differ or an end is no node.

    Examples
    --------
    >>> edges = distinct_edges(7, [2, 0, 2], [1, 1, 1], weight=[5.0, 1.0, -2.0], num_nodes=3)
    >>> edges.src.tolist(), edges.dst.tolist(), edges.edge_id.tolist(), edges.count.tolist(), edges.weight.tolist()
    ([0, 2], [1, 1], [1, 2], [1, 2], [1.0, 1.5])
    """
    if snapshot < 0 or not 0 <= num_nodes <= _LARGEST:
        raise ConfigError(f"snapshot={snapshot}, num_nodes={num_nodes}: expected 0 or more, nodes up to {_LARGEST}")
    begin, end = _column(src, np.int64), _column(dst, np.int64)
    rows = len(begin)
    ids = np.arange(rows) if edge_id is None else _column(edge_id, np.int64)
    times = np.full(rows, float(snapshot)) if time is None else _column(time, np.float64)
    weights = None if weight is None else _column(weight, np.float64)
    _check(snapshot, {"src": begin, "dst": end, "edge_id": ids, "time": times, "weight": weights}, num_nodes)
    if not directed:
        begin, end = np.minimum(begin, end), np.maximum(begin, end)
    key = begin * num_nodes + end
    order = np.lexsort((ids, key))
    ranked = key[order]
    first = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]][:rows])
    bounds = np.r_[first, rows]
    count = np.diff(bounds)
    last = order[bounds[1:] - 1]
    mean = None
    if weights is not None:
        total = np.add.reduceat(weights[order], first) if rows else np.empty(0)
        mean = torch.from_numpy(total / count)
    pairs = [torch.from_numpy(part[last]) for part in (begin, end, ids, times)]  # indexing has copied
    return SnapshotEdges(
        int(snapshot), pairs[0], pairs[1], pairs[2], pairs[3], torch.from_numpy(count), mean, int(num_nodes), directed
    )


def _column(values: Any, kind: type) -> np.ndarray:
    """Return values as an array; ids must be whole numbers as they are."""
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.size and kind is np.int64 and not np.issubdtype(array.dtype, np.integer):
        raise DataError(f"found ids of type {array.dtype}, expected whole numbers: convert them to int64")
    return array.astype(kind, copy=False)


def _check(snapshot: int, columns: dict[str, np.ndarray | None], num_nodes: int) -> None:
    """Refuse columns of different lengths, and ends that are no nodes."""
    shapes = {name: column.shape for name, column in columns.items() if column is not None}
    if len(set(shapes.values())) > 1 or len(shapes["src"]) != 1:
        raise DataError(f"snapshot {snapshot}: found columns of shapes {shapes}, expected one value an event in each")
    for name in ("src", "dst"):
        ends = columns[name]
        assert ends is not None
        wrong = np.flatnonzero((ends < 0) | (ends >= num_nodes))
        if len(wrong):
            raise DataError(
                f"snapshot {snapshot}: found {name} {ends[wrong[0]]} in event {wrong[0]}, expected a node from 0 to "
                f"{num_nodes - 1}: map ids to 0 .. N-1, or give num_nodes of the whole data set"
            )
