"""Features of pairs whose columns are computed once for each question, up to a number of bytes."""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dgl_dysign.data.snapshot_edges import SnapshotEdges
from dgl_dysign.errors import ConfigError
from dgl_dysign.pairs.pair_features import PairFeatures, grow_features, read_columns


class _Answer(NamedTuple):
    columns: tuple[int, ...] = ()
    feat: Tensor = torch.zeros(0)  # (E, C, columns)
    seconds: tuple[float, ...] = ()  # that each took


class CachedFeatures:
    """Features of pairs from memory, where the same pairs were looked up before, after the same past.

    Features do not depend on weights, so that epochs, and several models on the same queries, share
    them, column by column: who reads more than those before has the rest computed. What does not fit is computed
    again. As long as every answer is known, the features behind need not even observe.

    Parameters
    ----------
    features : LinkFeatures
        What computes them; not to be used by others.
    max_bytes : int, default 2**30
        Most bytes of answers to keep; first come, first kept, so that epochs that exceed it still profit. More than the
        machine's memory is warned of.
    waiting_bytes : int, default 2**26
        Most bytes of observed edges that wait until the features behind are needed.
    clock : callable, default time.process_time
        Gives seconds.

    Attributes
    ----------
    names, num_bytes : tuple of str, int
        Of the columns; bytes of the answers kept.
    saved_seconds : float
        CPU seconds that answers took which were first computed for another user, see `new_user`.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.data import distinct_edges
    >>> from dgl_dysign.pairs import CachedFeatures, LinkFeatures
    >>> features = CachedFeatures(LinkFeatures(3, families=["pair"]))
    >>> features.observe(distinct_edges(0, [0], [1], num_nodes=3))
    >>> question = 1, torch.tensor([0]), torch.tensor([[1, 2]])
    >>> features.features(*question) is features.features(*question)
    True
    """

    def __init__(
        self,
        features: PairFeatures,
        max_bytes: int = 1 << 30,
        waiting_bytes: int = 1 << 26,
        clock: Callable[[], float] = time.process_time,
    ) -> None:
        if max_bytes < 0:
            raise ConfigError(f"max_bytes must be at least 0, but got {max_bytes}")
        _warn_beyond_memory(max_bytes)
        self.names = features.names
        self.max_bytes, self.num_bytes, self.saved_seconds = max_bytes, 0, 0.0
        self._features, self._max_waiting, self._clock = features, waiting_bytes, clock
        self._known: dict[bytes, _Answer] = {}
        self._used: set[bytes] = set()
        self._cut = 0
        self.reset()

    @property
    def neighbors_cut(self) -> int:
        """The most that the features behind forgot between two resets, see `LinkFeatures`: 0 of others."""
        return max(self._cut, getattr(self._features, "neighbors_cut", 0))

    def reset(self) -> None:
        """Forget the past, not the answers."""
        self._past, self._snapshot = b"", -1
        self._waiting: list[SnapshotEdges] = []
        self._waiting_bytes, self._cut = 0, self.neighbors_cut
        self._features.reset()  # at once: their past takes memory, though answers may be known

    def grow(self, num_nodes: int) -> None:
        """Let the features behind have more nodes; answers are computed anew, as some depend on the number of nodes.

        ``ConfigError`` if they cannot grow.
        """
        grow_features(self._features, num_nodes)
        self._known.clear()
        self._used.clear()
        self.num_bytes = 0

    def new_user(self) -> None:
        """Begin to count ``saved_seconds`` anew: the next user of an answer is another."""
        self.saved_seconds = 0.0
        self._used.clear()

    def observe(self, edges: SnapshotEdges) -> None:
        """Note a snapshot."""
        if edges.snapshot <= self._snapshot:
            raise ConfigError(
                f"snapshot {edges.snapshot} comes after snapshot {self._snapshot} was observed: reset, or go on in "
                f"order"
            )
        columns = [edges.src, edges.dst, edges.edge_id, edges.time, edges.count]
        columns += [] if edges.weight is None else [edges.weight]
        head = f"{edges.snapshot} {edges.directed} {len(columns)} {len(edges)}".encode()
        self._past, self._snapshot = _digest(self._past, head, *columns), edges.snapshot
        self._waiting.append(edges)
        self._waiting_bytes += 8 * len(columns) * len(edges)
        if self._waiting_bytes > self._max_waiting:
            self._catch_up()

    def features(self, snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return the features ``(E, C, F)``: not to be written to."""
        return self.of_columns(range(len(self.names)), snapshot, src, dst)

    def of_columns(self, columns: Sequence[int], snapshot: int, src: Tensor, dst: Tensor) -> Tensor:
        """Return some of their columns, in the order of their numbers as given."""
        if snapshot <= self._snapshot:
            raise ConfigError(
                f"features at snapshot {snapshot} were asked for, but snapshot {self._snapshot} was observed: ask "
                f"before you observe, or reset"
            )
        key = _digest(self._past, f"{snapshot} {tuple(dst.shape)}".encode(), src, dst)
        answer, columns = self._known.get(key, _Answer()), tuple(columns)
        if key not in self._used:
            self._used.add(key)
            self.saved_seconds += sum(s for c, s in zip(answer.columns, answer.seconds, strict=True) if c in columns)
        if answer.columns != columns:
            missing = [column for column in columns if column not in answer.columns]
            if missing:
                answer = self._with_more(key, answer, missing, snapshot, src, dst)
        if answer.columns == columns:
            return answer.feat
        return answer.feat[..., [answer.columns.index(column) for column in columns]]

    def _with_more(
        self, key: bytes, answer: _Answer, missing: list[int], snapshot: int, src: Tensor, dst: Tensor
    ) -> _Answer:
        """Return an answer with more columns; keep it where it fits."""
        started = self._clock()
        self._catch_up()
        feat = read_columns(self._features, missing, snapshot, src, dst)
        size, columns = feat.numel() * feat.element_size(), (*answer.columns, *missing)
        seconds = *answer.seconds, *[(self._clock() - started) / len(missing)] * len(missing)
        if answer.columns:  # in their order: who reads all gets them without a copy
            order = sorted(range(len(columns)), key=columns.__getitem__)
            feat = torch.cat([answer.feat, feat], -1)[..., order]
            columns, seconds = tuple(sorted(columns)), tuple(seconds[i] for i in order)
        answer = _Answer(columns, feat, seconds)
        if self.num_bytes + size <= self.max_bytes:
            self.num_bytes += size
            self._known[key] = answer
        return answer

    def _catch_up(self) -> None:
        """Let the features behind observe what they have not."""
        for edges in self._waiting:
            self._features.observe(edges)
        self._waiting, self._waiting_bytes = [], 0


def _warn_beyond_memory(max_bytes: int) -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else max_bytes
    if max_bytes > memory:
        warnings.warn(
            f"up to {max_bytes / 2**30:,.1f} GiB of features of pairs are to be kept, but this machine has "
            f"{memory / 2**30:,.1f} GiB of memory: lower max_bytes (cache_bytes of LinkFitConfig)",
            stacklevel=3,
        )


def _digest(*parts: bytes | Tensor) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part if isinstance(part, bytes) else part.detach().cpu().contiguous().numpy().tobytes())
    return digest.digest()
