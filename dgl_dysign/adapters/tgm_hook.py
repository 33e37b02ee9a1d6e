"""A hook for TGM's ``HookManager`` that serves the neighbours of our store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from dgl_dysign.errors import ConfigError
from dgl_dysign.store import NeighborStore

_PADDED = -1


class InfluenceTopKHook:
    r"""Gives every batch of TGM the most influential past neighbours of its nodes, from a `NeighborStore` (UnderGS).

    It stands where TGM's ``RecencyNeighborHook`` stands and produces what that does, for one hop (the store's
    neighbours are already those over several hops), and ``nbr_influence`` besides. A batch is a snapshot of the store,
    an empty one too: with ``DGDataLoader(..., batch_unit="D")`` a snapshot is a day. The store is asked before it
    takes the batch in, and a neighbour that entered with a batch which ends at or after the seed's own time is left
    out, so that :math:`t_{edge} < t_{query}` also where equal times fall into two batches.

    Register it for all keys (``register_shared``) to carry its state from training into validation and test;
    ``reset_state`` forgets everything. The loader must not have workers, as with all hooks that have a state.

    Parameters
    ----------
    store : NeighborStore
        An empty store over all nodes of the data (``DGData.num_nodes``), with settings of your choice; the hook
        changes it. It moves to the device of the batches.
    seed_nodes_keys, seed_times_keys : sequence of str
        Names of the batch's attributes that hold the nodes to query, and the times of the queries; with
        negatives ``["edge_src", "edge_dst", "neg"]`` and ``["edge_time", "edge_time", "neg_time"]``. An attribute that
        is None is left out.

    Attributes
    ----------
    requires, produces : set of str
        What the manager sorts hooks by.

    Shapes
    ------
    For S seeds and K slots, in lists of one entry: ``seed_nids`` int32 ``(S,)``, ``seed_times`` int64 ``(S,)``,
    ``nbr_nids`` int32 ``(S, K)`` (-1: none), ``nbr_edge_time`` int64 ``(S, K)`` (time of the edge over which it was
    met; 0: none), ``nbr_edge_x`` float32 ``(S, K, De)`` (that edge's features; 0: none), ``nbr_influence`` float32
    ``(S, K)`` (descending; 0: none). ``seed_node_nbr_mask``: rows of each key of `seed_nodes_keys`.

    Raises
    ------
    ConfigError
        If the keys do not go together, the store is not empty, or a batch lacks an attribute.

    Examples
    --------
    >>> hook = InfluenceTopKHook(NeighborStore(num_nodes=10, num_neighbors=4))
    >>> sorted(hook.requires), "nbr_influence" in hook.produces
    (['edge_dst', 'edge_src', 'edge_time'], True)
    """

    requires: ClassVar[set[str]] = {"edge_src", "edge_dst", "edge_time"}
    produces: ClassVar[set[str]] = {
        "seed_nids", "seed_times", "nbr_nids", "nbr_edge_time", "nbr_edge_x", "nbr_influence", "seed_node_nbr_mask",
    }  # fmt: skip
    has_state = True

    def __init__(
        self,
        store: NeighborStore,
        seed_nodes_keys: Sequence[str] = ("edge_src", "edge_dst"),
        seed_times_keys: Sequence[str] = ("edge_time", "edge_time"),
    ) -> None:
        if len(seed_nodes_keys) != len(seed_times_keys) or not seed_nodes_keys:
            raise ConfigError(
                f"found seed_nodes_keys={list(seed_nodes_keys)}, seed_times_keys={list(seed_times_keys)}, expected as "
                "many of each, one or more"
            )
        if store.snapshot >= 0:
            raise ConfigError(f"found a store that holds snapshot {store.snapshot}, expected an empty one; reset() it")
        if store.num_edge_types is not None:
            raise ConfigError("found a store with types of edges, expected one without: give no num_edge_types")
        self.store = store
        self._keys = list(zip(seed_nodes_keys, seed_times_keys, strict=True))
        self.reset_state()

    def reset_state(self) -> None:
        """Forget all batches; the next one is snapshot 0."""
        self.store.reset()
        self._batches = 0
        self._edge_time, self._last_time = _Log(), _Log()  # the latter of each batch
        self._edge_x: _Log | None = None

    def __call__(self, dg: Any, batch: Any) -> Any:
        """Answer for the seeds of a batch, then take the batch in."""
        device = batch.edge_src.device
        if self.store.slots.device != device:
            self.store.to(device)
        nodes, times, batch.seed_node_nbr_mask = self._seeds(batch)
        neighbors = self.store.neighbors(nodes, now=self._batches)
        known = neighbors.mask & (self._last_time.at(neighbors.snapshot) < times[:, None])
        edge = torch.where(known, neighbors.edge_id, -1)
        batch.seed_nids, batch.seed_times = [nodes.int()], [times]
        batch.nbr_nids = [torch.where(known, neighbors.node, _PADDED).int()]
        batch.nbr_edge_time = [self._edge_time.at(edge)]
        batch.nbr_influence = [torch.where(known, neighbors.influence, 0.0)]
        batch.nbr_edge_x = [self._features(dg, edge)]
        self._take(batch)
        return batch

    def _seeds(self, batch: Any) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        nodes, times, rows, start = [], [], {}, 0
        for node_key, time_key in self._keys:
            missing = [key for key in (node_key, time_key) if not hasattr(batch, key)]
            if missing:
                raise ConfigError(
                    f"found a batch without {missing[0]}, expected it; register the hook that produces it"
                )
            ids, when = getattr(batch, node_key), getattr(batch, time_key)
            if ids is None or when is None:
                continue
            nodes.append(ids.long())
            times.append(when.to(ids.device).long())
            rows[node_key] = torch.arange(start, start + len(ids), device=ids.device)
            start += len(ids)
        empty = torch.empty(0, dtype=torch.int64, device=batch.edge_src.device)
        return torch.cat([empty, *nodes]), torch.cat([empty, *times]), rows

    def _features(self, dg: Any, edge: Tensor) -> Tensor:
        if self._edge_x is None:
            return torch.zeros((*edge.shape, getattr(dg, "edge_x_dim", None) or 0), device=edge.device)
        return self._edge_x.at(edge)

    def _take(self, batch: Any) -> None:
        number, first, time = len(batch.edge_src), len(self._edge_time), batch.edge_time.long()
        ids = torch.arange(first, first + number, device=time.device)
        self.store.insert(self._batches, batch.edge_src.long(), batch.edge_dst.long(), ids)
        self._edge_time.add(time)
        self._last_time.add(time.max().view(1) if number else time.new_zeros(1))
        if getattr(batch, "edge_x", None) is not None:
            if self._edge_x is None:
                self._edge_x = _Log((batch.edge_x.shape[1],), torch.float32)
            self._edge_x.add(batch.edge_x)
        self._batches += 1


class _Log:
    """Rows that are added at the end, in memory that doubles, so that a row is copied a bounded number of times."""

    def __init__(self, shape: tuple[int, ...] = (), kind: torch.dtype = torch.int64) -> None:
        self._rows, self._length = torch.zeros((1, *shape), dtype=kind), 0

    def __len__(self) -> int:
        return self._length

    def add(self, rows: Tensor) -> None:
        """Append rows; all lies on the device of the last ones."""
        end = self._length + len(rows)
        kept = self._rows.to(rows.device)
        if end > len(kept):
            kept = torch.cat([kept, kept.new_zeros(max(end, 2 * len(kept)) - len(kept), *kept.shape[1:])])
        kept[self._length : end] = rows
        self._rows, self._length = kept, end

    def at(self, index: Tensor) -> Tensor:
        """Look up rows; 0 where the index is -1."""
        rows = self._rows.to(index.device)[index.clamp(min=0)]
        return rows * (index >= 0).view(*index.shape, *[1] * (rows.dim() - index.dim()))
