"""Rows of numbers on disk, mapped into memory: room for what does not fit there, of which nothing is left behind."""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from dgl_dysign.errors import ConfigError

_BLOCK_BYTES = 1 << 26  # of rows or columns that are computed together: some such blocks must fit into memory
_COLUMNS = 32

# Room for all of a file at once: on a full disk a write to mapped memory would kill the process.
_reserve = getattr(os, "posix_fallocate", lambda descriptor, _, size: os.truncate(descriptor, size))


def row_blocks(rows: int, width: int) -> Iterator[slice]:
    """Yield slices of rows that are computed or copied together: about 64 MiB of float32.

    The same in memory and on disk, so that both give the same bits.

    Examples
    --------
    >>> list(row_blocks(100_000, 256))
    [slice(0, 65536, None), slice(65536, 100000, None)]
    """
    step = max(_BLOCK_BYTES // (4 * max(width, 1)), 1)
    for begin in range(0, rows, step):
        yield slice(begin, min(begin + step, rows))


def column_blocks(rows: int, width: int, multiple: int = _COLUMNS) -> list[slice]:
    """Return slices of columns that are aggregated together: over all rows each takes about 64 MiB of float32.

    All but the last have a multiple of so many columns. The same in memory and on disk: sparse products round the last
    columns of a block in their own way.

    Examples
    --------
    >>> column_blocks(28_085, 256), column_blocks(2_738_012, 70)
    ([slice(0, 256, None)], [slice(0, 32, None), slice(32, 64, None), slice(64, 70, None)])
    """
    step = max(_BLOCK_BYTES // (4 * max(rows, 1)) // multiple, 1) * multiple
    return [slice(begin, min(begin + step, width)) for begin in range(0, width, step)]


class RowFiles:
    """Tensors whose values lie on disk, in files without a name.

    A file loses its name the moment it is made: the system frees it with the last tensor that reads it, or with the
    process, however that ends; there is nothing to clean up after a kill. The tensors are ordinary ones on the CPU:
    what is read stays in the system's page cache while there is room, and `release` takes it out of this process.

    Parameters
    ----------
    folder : path
        A folder on a disk with room, not in memory (``/dev/shm``, on some systems ``/tmp``).

    Raises
    ------
    ConfigError
        If there is no such folder.

    Examples
    --------
    >>> from tempfile import gettempdir
    >>> files = RowFiles(gettempdir())
    >>> rates = files.zeros(1000, 16)
    >>> rates[7] = 1.0
    >>> files.release()
    >>> rates[torch.tensor([6, 7])].sum(1)
    tensor([ 0., 16.])
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise ConfigError(f"{self.folder}: found no folder for rows on disk; make it, or name another")
        self._maps: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()

    def zeros(self, rows: int, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return a tensor ``(rows, width)`` of zeros.

        Raises
        ------
        OSError
            If the disk has no room for it.
        """
        size = rows * width * dtype.itemsize
        if not size:
            return torch.zeros(rows, width, dtype=dtype)
        with tempfile.TemporaryFile(dir=self.folder) as file:
            try:
                _reserve(file.fileno(), 0, size)
            except OSError as error:
                reason = f"{error.strerror}: {size} bytes asked for"
                raise OSError(error.errno, reason, str(self.folder)) from None
            mapped = mmap.mmap(file.fileno(), size)
        self._maps.add(mapped)
        return torch.frombuffer(mapped, dtype=dtype).view(rows, width)

    def release(self) -> None:
        """Take the pages of all tensors out of this process; their values stay."""
        for mapped in list(self._maps):
            mapped.madvise(mmap.MADV_DONTNEED)

    def in_order(self, in_order: bool) -> None:
        """Say whether rows will be read in order, or here and there: what the system then reads ahead."""
        for mapped in list(self._maps):
            mapped.madvise(mmap.MADV_NORMAL if in_order else mmap.MADV_RANDOM)

    def row_blocks(self, rows: int, width: int) -> Iterator[slice]:
        """Yield slices of rows as `row_blocks` does, and release after each."""
        self.in_order(True)
        for block in row_blocks(rows, width):
            yield block
            self.release()

    def copy(self, target: Tensor, source: Tensor) -> Tensor:
        """Copy values of the same shape, some rows at a time; one of the two may be in memory, on any device."""
        for block in self.row_blocks(*target.shape):
            target[block] = source[block]
        return target

    def keep(self, source: Tensor) -> Tensor:
        """Return a copy that lies on disk."""
        rows, width = source.shape
        return self.copy(self.zeros(rows, width, source.dtype), source)

    def columns(self, source: Tensor, multiple: int = _COLUMNS) -> Iterator[tuple[slice, Tensor]]:
        """Yield `column_blocks` of a tensor, each with its values in memory, which the next one takes over.

        Files hold rows: every block asked for by itself would read all of the file. So one pass parts them on disk.
        """
        num_rows, width = source.shape
        blocks, pieces = column_blocks(num_rows, width, multiple), [source]
        if len(blocks) != 1:
            pieces = [self.zeros(num_rows, block.stop - block.start, source.dtype) for block in blocks]
            for rows in self.row_blocks(num_rows, width):
                for block, piece in zip(blocks, pieces, strict=True):
                    piece[rows] = source[rows, block]
        held = torch.empty(pieces[0].numel(), dtype=source.dtype) if pieces else source
        for block in blocks:
            piece = pieces.pop(0)
            yield block, self.copy(held[: piece.numel()].view(piece.shape), piece)

    def join(self, target: Tensor, pieces: Iterable[tuple[slice, Tensor]]) -> Tensor:
        """Put tensors side by side, each of all rows and of the columns that are named with it.

        Columns are computed one piece after the other, but files hold rows: written where it belongs, each piece would
        touch every page anew. So `keep` them first, and join all of them in one pass.
        """
        pieces = list(pieces)
        for rows in self.row_blocks(*target.shape):
            for columns, piece in pieces:
                target[rows, columns] = piece[rows]
        return target
