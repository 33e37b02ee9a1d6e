"""Where tensors with a row for each node lie, and how many rows are computed together: in memory, or in files."""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dgl_dysign.errors import ConfigError

BLOCK_BYTES = 1 << 26  # of rows or columns that are computed together: some such blocks must fit into memory
_STEP_BYTES = 1 << 23  # of neurons that step together on a CPU: what enters them stays in the cache
_WHOLE = 1 << 62
_COLUMNS, _WORD = 32, 64  # columns of a block come in multiples of these: of numbers, of packed spikes


def _reserve(descriptor: int, size: int) -> None:
    """Take room for all of a file at once: on a full disk a write to mapped memory would kill the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.truncate(descriptor, size)


def row_blocks(rows: int, width: int, block_bytes: int | None = None) -> Iterator[slice]:
    """Yield slices of rows that are computed or copied together: by default about 64 MiB of float32."""
    step = max((block_bytes or BLOCK_BYTES) // (4 * max(width, 1)), 1)
    for begin in range(0, rows, step):
        yield slice(begin, min(begin + step, rows))


def column_blocks(rows: int, width: int, multiple: int = _COLUMNS, block_bytes: int | None = None) -> list[slice]:
    """Return slices of columns that are aggregated together: over all rows each takes about 64 MiB of float32.

    All but the last have a multiple of so many columns: sparse products round the last columns of a block in their
    own way.

    Examples
    --------
    >>> column_blocks(2_738_012, 70)
    [slice(0, 32, None), slice(32, 64, None), slice(64, 70, None)]
    """
    step = max((block_bytes or BLOCK_BYTES) // (4 * max(rows, 1)) // multiple, 1) * multiple
    return [slice(begin, min(begin + step, width)) for begin in range(0, width, step)]


class RowStore:
    """Keeps rows in memory. `RowFiles` has the same methods: a layer is written once, for both.

    ``block_bytes`` is the size, as float32, of rows or columns that are computed together, by default all of them, so
    that autograd can follow; ``step_bytes``, 8 MiB, the same for the potentials of neurons that step together on a CPU.
    """

    on_disk = False

    def __init__(self, block_bytes: int = _WHOLE, step_bytes: int = _STEP_BYTES) -> None:
        self.block_bytes, self.step_bytes = block_bytes, min(step_bytes, block_bytes)

    def zeros(
        self, rows: int, width: int, dtype: torch.dtype = torch.float32, device: torch.device | None = None
    ) -> Tensor:
        """Return a tensor ``(rows, width)`` of zeros."""
        return torch.zeros(rows, width, dtype=dtype, device=device)

    def release(self) -> None:
        """Take the pages of all files out of this process; their values stay."""

    def in_order(self, in_order: bool) -> None:
        """Say whether rows will be read in order, or here and there: what the system then reads ahead."""

    def row_blocks(self, rows: int, width: int, block_bytes: int | None = None) -> Iterator[slice]:
        """Yield slices of rows that are computed together, and release after each."""
        self.in_order(True)
        for block in row_blocks(rows, width, block_bytes or self.block_bytes):
            yield block
            self.release()

    def step_blocks(self, potential: Tensor) -> Iterator[slice]:
        """Yield slices of the neurons that step together."""
        rows, width = potential.shape
        return self.row_blocks(rows, width, self.step_bytes if potential.device.type == "cpu" else self.block_bytes)

    def copy(self, target: Tensor, source: Tensor) -> Tensor:
        """Copy values of the same shape; the two may lie in different places."""
        return target.copy_(source)

    def keep(self, source: Tensor) -> Tensor:
        """Return a contiguous copy that lies here."""
        return source.clone(memory_format=torch.contiguous_format)

    def columns(self, source: Any) -> Iterator[tuple[slice, Any]]:
        """Yield `column_blocks` of a tensor or of packed spikes, each with its values."""
        multiple = _COLUMNS if isinstance(source, Tensor) else _WORD
        rows, width = source.shape
        blocks = column_blocks(rows, width, multiple, self.block_bytes)
        for block in blocks:
            yield block, source if len(blocks) == 1 else self._part(source, block)

    def _part(self, source: Any, block: slice) -> Any:
        return source[:, block].contiguous() if isinstance(source, Tensor) else source.columns(block)

    def by_rows(self, func: Callable[..., Tensor], width: int, *sources: Tensor | None) -> Tensor:
        """Return ``func(*sources)``, of which each row depends on the same row of the sources alone.

        ``width`` is that of the widest rows that are computed on the way.
        """
        return func(*sources)

    def by_columns(self, func: Callable[[Any], Tensor], source: Any, out: Tensor | None = None) -> Tensor:
        """Return ``func(source)``, of which each column depends on the same column alone; in ``out`` if given."""
        for block, part in self.columns(source):
            if out is None and part is source:
                return func(source)
            part = func(part)
            if out is None:
                out = self.zeros(len(part), source.shape[1], part.dtype, part.device)
            out[:, block] = part
        assert out is not None
        return out


IN_MEMORY = RowStore()


class RowFiles(RowStore):
    """Keeps rows on disk, in files without a name.

    A file loses its name the moment it is made: the system frees it with the last tensor that reads it, or with the
    process, however that ends; there is nothing to clean up after a kill. The tensors are ordinary ones on the CPU:
    what is read stays in the system's page cache while there is room, and `release` takes it out of this process.

    Parameters
    ----------
    folder : path
        A folder on a disk with room, not in memory (``/dev/shm``, on some systems ``/tmp``), or ``ConfigError``.
    block_bytes : int, default 64 MiB
        As for `RowStore`; some such blocks must fit into memory.

    Raises
    ------
    OSError
        From all that makes tensors, if the disk has no room.

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

    on_disk = True

    def __init__(self, folder: str | os.PathLike[str], block_bytes: int | None = None) -> None:
        super().__init__(block_bytes or BLOCK_BYTES)
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise ConfigError(f"{self.folder}: found no folder for rows on disk; make it, or name another")
        self._maps: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()

    def zeros(
        self, rows: int, width: int, dtype: torch.dtype = torch.float32, device: torch.device | None = None
    ) -> Tensor:
        """Return a tensor ``(rows, width)`` of zeros, on the CPU."""
        size = rows * width * dtype.itemsize
        if not size:
            return torch.zeros(rows, width, dtype=dtype)
        with tempfile.TemporaryFile(dir=self.folder) as file:
            try:
                _reserve(file.fileno(), size)
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

    def copy(self, target: Tensor, source: Tensor) -> Tensor:
        """Copy values of the same shape, some rows at a time; one of the two may be in memory, on any device."""
        for block in self.row_blocks(*target.shape):
            target[block] = source[block]
        return target

    def keep(self, source: Tensor) -> Tensor:
        """Return a copy that lies on disk."""
        rows, width = source.shape
        return self.copy(self.zeros(rows, width, source.dtype), source)

    def columns(self, source: Any) -> Iterator[tuple[slice, Any]]:
        """Yield `column_blocks`, each with its values in memory, which the next one takes over.

        Files hold rows: every block asked for by itself would read all of the file. So one pass parts them on disk.
        """
        if not isinstance(source, Tensor):  # packed spikes lie in memory
            yield from super().columns(source)
            return
        num_rows, width = source.shape
        blocks, pieces = column_blocks(num_rows, width, block_bytes=self.block_bytes), [source]
        if len(blocks) != 1:
            pieces = [self.zeros(num_rows, block.stop - block.start, source.dtype) for block in blocks]
            for rows in self.row_blocks(num_rows, width):
                for block, piece in zip(blocks, pieces, strict=True):
                    piece[rows] = source[rows, block]
        held = torch.empty(pieces[0].numel(), dtype=source.dtype) if pieces else source
        for block in blocks:
            piece = pieces.pop(0)
            yield block, self.copy(held[: piece.numel()].view(piece.shape), piece)

    def by_rows(self, func: Callable[..., Tensor], width: int, *sources: Tensor | None) -> Tensor:
        """Return ``func(*sources)`` on disk, computed some rows at a time."""
        rows, out = next(len(source) for source in sources if source is not None), None
        for block in self.row_blocks(rows, width):
            part = func(*(None if source is None else source[block] for source in sources))
            out = self.zeros(rows, part.shape[1], part.dtype) if out is None else out
            out[block] = part
            del part  # before the next is made
        return func(*sources) if out is None else out

    def by_columns(self, func: Callable[[Any], Tensor], source: Any, out: Tensor | None = None) -> Tensor:
        """Return ``func(source)`` on disk, computed some columns at a time."""
        pieces = [(block, self.keep(func(part))) for block, part in self.columns(source)]
        if out is None and len(pieces) == 1:
            return pieces[0][1]
        if out is None:
            out = self.zeros(len(pieces[0][1]), source.shape[1], pieces[0][1].dtype)
        return self.join(out, pieces)

    def join(self, target: Tensor, pieces: Iterable[tuple[slice, Tensor]]) -> Tensor:
        """Put tensors side by side, each of all rows and of the columns that are named with it.

        Files hold rows: written as it is computed, each piece of columns would touch every page anew. So `keep` them
        first, and join all of them in one pass.
        """
        pieces = list(pieces)
        for rows in self.row_blocks(*target.shape):
            for columns, piece in pieces:
                target[rows, columns] = piece[rows]
        return target
