"""Mini-batches for an equilibrium: the messages of every node are cached, and batches are rows of the cache."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from dgl_dysign.data.row_store import BLOCK_BYTES, RowStore
from dgl_dysign.errors import ConfigError
from dgl_dysign.models import DySIGN, Snapshot, StreamedSnapshots

_SCORED = 1 << 12  # nodes whose rows are read together where no gradient is needed: of all snapshots at once


class _Rows(NamedTuple):
    """What `DySIGN.respond` takes."""

    messages: list[Tensor | None]
    injected: list[Tensor]
    active: list[Tensor]
    label_feat: Tensor | None


def _read(every: _Rows, rows: RowStore, model: DySIGN, nodes: Tensor) -> _Rows:
    def read(source: Tensor) -> Tensor:
        return source[nodes.to(source.device)].to(model.bias.device)

    rows.in_order(False)
    batch = _Rows(
        [None if messages is None else read(messages) for messages in every.messages],
        [read(injected) for injected in every.injected],
        [active[nodes] for active in every.active],
        None if every.label_feat is None else every.label_feat[nodes],
    )
    rows.release()
    return batch


class EquilibriumCache:
    r"""Rates and messages of every snapshot, refreshed by fixed-point steps between passes over the data.

    With the messages :math:`\hat A a^*` held fixed, nodes no longer depend on each other: any rows make a mini-batch,
    with the one-step gradient. After a change of the weights one step from the cached rates is worth many from
    nothing, because the equilibrium moves slowly.

    Parameters
    ----------
    model, snapshots, label_feat
        A `DySIGN` with one layer, the snapshots that it reads and, optional, label features of all nodes.
    files : RowStore, optional
        Where rates and messages lie; by default in memory. With `RowFiles` the rows of announced batches are read
        ahead. On one device the numbers are the same, bit for bit.
    """

    def __init__(
        self,
        model: DySIGN,
        snapshots: Sequence[Snapshot],
        label_feat: Tensor | None = None,
        files: RowStore | None = None,
    ) -> None:
        self.model, self.snapshots, self.label_feat = model, snapshots, label_feat
        self.rows = RowStore(BLOCK_BYTES) if files is None else files  # the blocks are those of files: so are the bits
        self.injected: list[Tensor] = []
        self.active: list[Tensor] = []
        for place in range(len(snapshots)):  # by place: a loop over snapshots would hold one while the next is made
            self._take(snapshots[place])
        conv = model.conv
        self.rates = [self._zeros(x, conv.out_feats) for x in self.injected]
        self.sent = self.rates  # what comes back to the neighbours
        if conv.gradient == "step" and conv.feedback:
            self.sent = [self._zeros(x, (conv.latency - 1) * conv.out_feats) for x in self.injected]
        self.messages = [self._zeros(x, x.shape[1]) if conv.feedback else None for x in self.sent]
        every = _Rows(self.messages, self.injected, self.active, label_feat)
        read = partial(_read, every, self.rows, model)  # no method of this object: in a cycle it would not be freed
        self._ahead = ReadAhead(read, depth=2 if self.rows.on_disk else 0)

    def _take(self, snapshot: Snapshot) -> None:
        self.injected.append(self.model.conv.inject(snapshot.graph, snapshot.feat, snapshot.edge_weight, self.rows))
        self.active.append(snapshot.active)

    def _zeros(self, like: Tensor, width: int) -> Tensor:
        return self.rows.zeros(len(like), width, like.dtype, like.device)

    @torch.no_grad()
    def refresh(self, steps: int = 1) -> float:
        """Take fixed-point steps in every snapshot; return the largest relative change of the rates in the last."""
        change = 0.0
        for place in range(len(self.snapshots)):
            gap = 0.0
            for _ in range(steps):
                gap = self._step(place)
                self._gather(place)
            change = max(change, gap)
        if isinstance(self.snapshots, StreamedSnapshots) and len(self.snapshots) > 1:
            self.snapshots.drop()  # the last one: mini-batches need no graph, and the next refresh begins at the first
        return change

    def _step(self, place: int) -> float:
        """Let the rates of a snapshot respond to its messages; return their relative change."""
        rates, messages, coupling = self.rates[place], self.messages[place], self.model.coupling
        device, moved, size, conv = self.model.bias.device, 0.0, 0.0, self.model.conv
        for rows in self.rows.row_blocks(len(rates), max(rates.shape[1], self.injected[place].shape[1])):
            before, current, membrane = rates[rows].to(device), None, None
            active = self.active[place][rows]
            if coupling is not None and place:
                current = coupling * self.rates[place - 1][rows].to(device)
            received = None if messages is None else messages[rows].to(device)
            injected = self.model.encoded(self.injected[place][rows].to(device))
            if conv.gradient == "step":
                if place:
                    membrane = conv.carried(self.rates[place - 1][rows].to(device), self.active[place - 1][rows])
                after, sent = conv.fired(received, injected, current, membrane)
                if conv.feedback:
                    self.sent[place][rows] = sent.mul_(active[:, None])
            else:
                after = conv.respond(received, injected, current)
            after.mul_(active[:, None])
            moved += float((after - before).norm()) ** 2
            size += float(after.norm()) ** 2
            rates[rows] = after
        return math.sqrt(moved) / max(math.sqrt(size), 1e-12)

    def _gather(self, place: int) -> None:
        """Bring the messages of a snapshot up to its rates, or its spikes."""
        conv, sent, messages = self.model.conv, self.sent[place], self.messages[place]
        if messages is None:
            return
        snapshot, device = self.snapshots[place], self.model.bias.device

        def sums(part: Tensor) -> Tensor:
            return conv.messages(snapshot.graph, part.to(device), snapshot.edge_weight)

        self.rows.by_columns(sums, sent, out=messages)

    def announce(self, batches: Sequence[Tensor]) -> None:
        """Say which batches `logits` will be called with, in this order: rows on disk are then read ahead."""
        self._ahead.announce(batches)

    def logits(self, nodes: Tensor) -> Tensor:
        """Return the logits of some nodes."""
        if not torch.is_grad_enabled() and len(nodes) > _SCORED:
            return torch.cat([self.logits(part) for part in nodes.split(_SCORED)])
        return self.model.respond(*self._ahead.take(nodes))

    def state_dict(self) -> dict[str, list[Tensor]]:
        """Return what a checkpoint needs to go on with the same numbers."""
        return {"rates": self.rates} | ({} if self.sent is self.rates else {"sent": self.sent})

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        """Take up what `state_dict` returned; ConfigError if it is of other snapshots or another number of nodes."""
        own, saved_sizes = ([tuple(rates.shape) for rates in part] for part in (self.rates, state["rates"]))
        if own != saved_sizes:
            raise ConfigError(
                f"the saved rates have shapes {saved_sizes}, but this cache has {own}: make it of the model and the "
                f"snapshots of the saved one, or leave the state out and call refresh()"
            )
        for name, held in self.state_dict().items():
            for part, saved in zip(held, state[name], strict=True):
                self.rows.copy(part, saved)
        for place in range(len(self.snapshots)):
            self._gather(place)


T = TypeVar("T")


class ReadAhead(Generic[T]):
    """Hand out what ``read(nodes)`` gives for one batch after the other, read in a thread of its own.

    ``depth`` batches, 2 by default, are read and not yet taken, at most; with 0 each is read when it is taken.

    Examples
    --------
    >>> ahead = ReadAhead(lambda nodes: nodes * 10)
    >>> batches = torch.arange(4).split(2)
    >>> ahead.announce(batches)
    >>> [ahead.take(nodes).tolist() for nodes in batches]
    [[0, 10], [20, 30]]
    """

    def __init__(self, read: Callable[[Tensor], T], depth: int = 2) -> None:
        self.read, self.depth = read, depth
        self._pool = ThreadPoolExecutor(1, "read-ahead")
        self._announced: Iterator[Tensor] = iter(())
        self._reading: deque[tuple[Tensor, Future[T]]] = deque()

    def announce(self, batches: Iterable[Tensor]) -> None:
        """Begin to read these batches, instead of any announced before."""
        for _, future in self._reading:
            future.cancel()
        self._reading.clear()
        self._announced = iter(batches)
        self._fill()

    def _fill(self) -> None:
        while len(self._reading) < self.depth and (nodes := next(self._announced, None)) is not None:
            self._reading.append((nodes, self._pool.submit(self.read, nodes)))

    def take(self, nodes: Tensor) -> T:
        """Return the rows of a batch: the next of those announced, or any other, which is then read here and now."""
        if not self._reading or not torch.equal(self._reading[0][0], nodes):
            return self.read(nodes)
        _, future = self._reading.popleft()
        self._fill()
        return future.result()
