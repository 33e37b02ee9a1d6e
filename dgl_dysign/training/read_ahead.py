"""Reading the next mini-batch's rows while this one computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


class ReadAhead(Generic[T]):
    """Hand out what a function reads for one batch after the other, read in a thread of its own.

    Parameters
    ----------
    read : callable
        Takes the nodes of a batch and returns their rows.
    depth : int, default 2
        Batches that are read and not yet taken, at most; 0 reads each when it is taken.

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
