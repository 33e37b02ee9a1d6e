"""Spikes at one bit each, and the sums over neighbours that read them so."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dgl_dysign.errors import ConfigError
from dgl_dysign.ops._listeners import listeners, tell, tell_fired, uncounted
from dgl_dysign.ops.csr import operator

_WORD = 64
_EDGES_A_THREAD, _ROWS_A_THREAD = 1 << 14, 1 << 12
_CACHE = 1 << 25  # bytes; a result above it has left the cache before anyone reads it


@cache
def compiled_for(device: torch.device) -> bool:
    """Say whether there are packed kernels for a device: Numba's on the CPU; Triton's on a GPU, if installed."""
    return device.type == "cpu" or (device.type == "cuda" and find_spec("triton") is not None)


@dataclass(frozen=True)
class PackedSpikes:
    """Binary features, 64 to a machine word: a 32nd of the memory of float32.

    Bit b of word w is feature ``64 w + b``; bits beyond the last feature are zero.

    Parameters
    ----------
    words : Tensor
        int64, ``(N, *, ceil(size / 64))``; others raise ``ConfigError``.
    size : int
        Number of features.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.ops import PackedSpikes
    >>> spikes = PackedSpikes.pack(torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]))
    >>> spikes.words, spikes.nbytes
    (tensor([[6],
            [1]]), 16)
    >>> spikes.unpack()
    tensor([[0., 1., 1.],
            [1., 0., 0.]])
    """

    words: Tensor
    size: int

    def __post_init__(self) -> None:
        expected = -(-self.size // _WORD)
        if self.words.dtype != torch.int64 or self.words.dim() < 2 or self.words.shape[-1] != expected:
            raise ConfigError(
                f"expected int64 words of shape (N, *, {expected}) for {self.size} features, "
                f"but got {self.words.dtype} of shape {tuple(self.words.shape)}"
            )

    @classmethod
    def pack(cls, values: Tensor, threshold: float = 0.5) -> PackedSpikes:
        """Keep of ``values`` ``(N, *, size)`` which of them reach the threshold; NaN does not."""
        size = values.shape[-1]
        flat = values.reshape(math.prod(values.shape[:-1]), size)
        if values.dtype == torch.float32 and _in_triton(values.device):
            from dgl_dysign.ops import _packed_triton

            words = _packed_triton.pack_rows(flat.detach(), threshold)
        elif values.dtype == torch.float32 and values.device.type == "cpu":
            from dgl_dysign.ops._packed_compiled import pack_rows  # Numba is slow to import

            words = torch.empty(len(flat), -(-size // _WORD), dtype=torch.int64)
            pack_rows(flat.detach().contiguous().numpy(), np.float32(threshold), words.numpy())
        else:
            bits = torch.nn.functional.pad((flat >= threshold).long(), (0, -size % _WORD))
            places = torch.arange(_WORD, device=flat.device)
            words = (bits.unflatten(1, (-1, _WORD)) << places).sum(-1)
        return cls(words.reshape(*values.shape[:-1], words.shape[1]), size)

    def unpack(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the spikes as numbers 0 and 1, ``(N, *, size)``."""
        bits = self.words[..., None] >> torch.arange(_WORD, device=self.words.device) & 1
        return bits.flatten(-2)[..., : self.size].to(dtype)

    def counts(self) -> Tensor:
        """Return how many features fire in each row, int64 ``(N, *)``."""
        parts = self.words.split(4096)  # unpacked some at a time
        return torch.cat([PackedSpikes(part, self.size).unpack(torch.int64).sum(-1) for part in parts])

    def columns(self, block: slice) -> PackedSpikes:
        """Return some features of spikes ``(N, size)``; the block must begin with a word."""
        words = self.words[:, block.start // _WORD : -(-block.stop // _WORD)].contiguous()
        return PackedSpikes(words, block.stop - block.start)

    @property
    def shape(self) -> torch.Size:
        """The shape of what is packed, ``(N, *, size)``."""
        return torch.Size((*self.words.shape[:-1], self.size))

    @property
    def device(self) -> torch.device:
        """Where the words are."""
        return self.words.device

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return self.words.numel() * self.words.element_size()


def _in_triton(device: torch.device) -> bool:
    return device.type != "cpu" and compiled_for(device)


def fire_packed(
    potential: Tensor, total: Tensor, threshold: float, leak: float, current: Tensor | None = None
) -> PackedSpikes:
    """Let neurons fire, in place and in one pass: float32, the numbers of `dgl_dysign.nn.LIF`; return the spikes.

    ``potential`` ``(N, d)`` is charged already or, with ``current`` (broadcast to it), that of the step before, and
    ends as that after firing. ``total`` ``(N, d)`` is the sum of the spikes so far, which leaks before the new ones are
    added. Raises ``ConfigError`` unless both are contiguous float32 of one shape and device.
    """
    for name, memory in (("potential", potential), ("total", total)):
        _check_memory(name, memory, tuple(potential.shape), potential.device)
    if _in_triton(potential.device):
        from dgl_dysign.ops import _packed_triton

        enters = None if current is None else current.detach()
        words = _packed_triton.fire_rows(enters, potential, total, leak, threshold)
        return _told(PackedSpikes(words, potential.shape[1]))
    from dgl_dysign.ops._packed_compiled import fire_rows

    words = torch.empty(len(potential), -(-potential.shape[1] // _WORD), dtype=torch.int64)
    entering = None if current is None else current.detach().expand_as(potential).contiguous().numpy()
    arrays, numbers = (potential.numpy(), total.numpy(), words.numpy()), (np.float32(leak), np.float32(threshold))

    def work(first: int, last: int) -> None:
        rows = slice(first, last)
        fire_rows(None if entering is None else entering[rows], *(array[rows] for array in arrays), *numbers)

    _in_parts(work, np.arange(1, len(words) + 1), _ROWS_A_THREAD)
    return _told(PackedSpikes(words, potential.shape[1]))


def _told(spikes: PackedSpikes) -> PackedSpikes:
    tell_fired(spikes)
    return spikes


def _check_memory(name: str, memory: Tensor, shape: tuple[int, ...], device: torch.device) -> None:
    actual = (tuple(memory.shape), memory.dtype, memory.device, memory.is_contiguous())
    if actual != (shape, torch.float32, device, True):
        raise ConfigError(
            f"{name} must be contiguous float32 on {device} of shape {shape}, "
            f"but is {memory.dtype} on {memory.device} of shape {actual[0]} and strides {memory.stride()}"
        )


def packed_sum(
    graph: Any,
    spikes: PackedSpikes,
    edge_weight: Tensor | None = None,
    out: Tensor | None = None,
    factor: Tensor | None = None,
) -> Tensor:
    r"""Sum the spikes of in-neighbours, reading bits: :math:`h_v = \sum_{u \to v} w_{uv} s_u`.

    Without weights the sums are counts, exact to 2^24 neighbours. With weights every sum adds up in the order of the
    product of `aggregate`, and so gives the same bits. As many threads run as PyTorch has.

    Arguments and errors are those of `aggregate`; the result is float32, ``(N_dst, *, size)``, without gradient, and a
    view of ``out`` where that is given: reused over many sums, it saves the time the system takes to provide memory.
    With ``factor`` ``(N_dst,)`` each sum is multiplied by that of its node.
    """
    shape = (graph.num_dst_nodes(), *spikes.shape[1:-1], spikes.words.shape[-1] * _WORD)
    if out is not None:
        _check_memory(f"out (sizes are rounded up to {_WORD})", out, shape, spikes.device)
    return PackedSums(graph, spikes, edge_weight, factor).of(slice(None), out)


class PackedSums:
    """The sums of `packed_sum`, computed for rows on demand: ``sums[first:last]``."""

    def __init__(
        self, graph: Any, spikes: PackedSpikes, edge_weight: Tensor | None = None, factor: Tensor | None = None
    ) -> None:
        self.factor = factor
        summed = operator(graph, edge_weight, torch.float32, spikes.device)
        self.spikes, self.words, self.layout = spikes, spikes.words.flatten(1).contiguous(), summed.layout
        self.weights = None if edge_weight is None else summed.matrix.values()

    def __getitem__(self, rows: slice) -> Tensor:
        return self.of(rows)

    def bytes_of(self, rows: slice) -> Tensor:
        """Return the sums of some rows without weights and factor as bytes, which hold up to 255 neighbours."""
        begins, ends = self._ends(rows)
        out = torch.empty(len(begins), self.words.shape[1] * _WORD, dtype=torch.uint8)
        return self._summed(begins.numpy(), ends.numpy(), out)[:, : self.spikes.size]

    def _ends(self, rows: slice | Tensor) -> tuple[Tensor, Tensor]:
        """Return where the neighbours of some rows begin and end, and tell of their messages."""
        begins, ends = self.layout.indptr[:-1][rows], self.layout.indptr[1:][rows]
        if listeners:
            sources = self.layout.indices[begins[0] : ends[-1]] if len(begins) else self.layout.indices[:0]
            additions, width = int(self.spikes.counts()[sources].sum()), math.prod(self.spikes.shape[1:])
            tell(synops=additions, message_bits=len(sources) * width)
        return begins, ends

    def of(self, rows: slice | Tensor, out: Tensor | None = None) -> Tensor:
        """Return the sums of some rows, in ``out`` if given."""
        begins, ends = self._ends(rows)
        if _in_triton(self.words.device):
            from dgl_dysign.ops import _packed_triton

            sums = _packed_triton.sum_rows(begins, ends, self.layout.indices, self.words, self.weights, out)
        else:
            summed = self._counted if self.weights is None else self._summed
            sums = summed(begins.numpy(), ends.numpy(), out)
        if self.factor is not None:
            sums.mul_(self.factor[rows, None])
        shape = (*self.spikes.shape[1:-1], self.spikes.words.shape[-1] * _WORD)
        return sums.reshape(len(begins), *shape)[..., : self.spikes.size]

    def _counted(self, begins: np.ndarray, ends: np.ndarray, out: Tensor | None) -> Tensor:
        from dgl_dysign.ops._packed_compiled import MOST

        # NumPy's minimum: PyTorch's threads would go on spinning for milliseconds and slow ours down.
        capped = np.minimum(ends, begins + MOST)
        out = self._summed(begins, capped, out)
        while (capped < ends).any():  # the neighbours beyond what a byte counts
            rows = np.flatnonzero(capped < ends)
            begins, capped = capped, np.minimum(ends, capped + MOST)
            out.index_add_(0, torch.from_numpy(rows), self._summed(begins[rows], capped[rows]))
        return out

    def _summed(self, begins: np.ndarray, ends: np.ndarray, out: Tensor | None = None) -> Tensor:
        """Sum the words of the columns ``[begin:end]`` of each row; each thread has rows with about as many edges."""
        from dgl_dysign.ops._packed_compiled import ALIGNMENT, sum_rows

        # Memory from the system was just zeroed and is in the cache; memory that was held is not, if it is large.
        past_cache = out is not None and out.nbytes > _CACHE and out.data_ptr() % ALIGNMENT == 0
        shape = (len(begins), self.words.shape[1] * _WORD)
        # NumPy asks for huge pages, PyTorch by default does not: a quarter of the time for memory of this size.
        out = torch.from_numpy(np.empty(shape, np.float32)) if out is None else out.view(shape)
        weights = None if self.weights is None else self.weights.numpy()
        columns, words, sums = (x.numpy() for x in (self.layout.indices, self.words, out))

        def work(first: int, last: int) -> None:
            rows = slice(first, last)
            sum_rows(begins[rows], ends[rows], columns, weights, words, sums[rows], past_cache)

        _in_parts(work, ends - begins[:1], _EDGES_A_THREAD)
        return out


def _in_parts(work: Callable[[int, int], None], costs: np.ndarray, least: int) -> None:
    """Do ``work(first, last)`` on all rows, in as many threads as PyTorch has, each with about as much to do.

    ``costs`` says what all rows up to each one cost; below ``least`` of it a thread costs more than it saves.
    """
    rows, total = len(costs), int(costs[-1]) if len(costs) else 0
    threads = min(torch.get_num_threads(), 1 + total // least)
    if threads == 1:
        return work(0, rows)
    cuts = [0, *np.searchsorted(costs, np.linspace(0, total, threads + 1)[1:-1]).tolist(), rows]
    with ThreadPoolExecutor(threads - 1) as pool:  # and this thread
        others = [pool.submit(work, *cut) for cut in pairwise(cuts[:-1])]
        work(*cuts[-2:])
        for other in others:
            other.result()


def packed_linear(spikes: PackedSpikes, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Map packed spikes ``(N, *, in_feats)`` linearly, as ``torch.nn.functional.linear`` maps unpacked ones.

    It reads only the weights ``(out_feats, in_feats)`` of features that fire, so it pays the more the fewer do; one of
    1,024 to 256 features was level with a dense product where half of them fire. Blocks of weights that are zero, as
    `dgl_dysign.nn.keep_blocks` leaves them, are skipped. The result is float32,
    ``(N, *, out_feats)``, without gradient; on a GPU it is the dense product. A weight that does not fit the spikes
    raises ``ConfigError``.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.ops import PackedSpikes, packed_linear
    >>> spikes = PackedSpikes.pack(torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]))
    >>> packed_linear(spikes, torch.tensor([[1.0, 2.0, 4.0]]))
    tensor([[6.],
            [0.]])
    """
    if weight.dim() != 2 or weight.shape[1] != spikes.size:
        raise ConfigError(f"weight must have shape (out_feats, {spikes.size}), but has {tuple(weight.shape)}")
    if spikes.device.type != "cpu":
        return functional.linear(spikes.unpack(), weight.detach(), None if bias is None else bias.detach())
    from dgl_dysign.ops._packed_compiled import add_weight_rows

    if listeners:
        tell(synops=_met(spikes, weight))
    words = spikes.words.flatten(0, -2).contiguous()
    out = torch.empty(len(words), len(weight))
    padding = (0, 0, 0, -len(weight) % _WORD)
    blocks = functional.pad(weight.detach().float(), padding).view(-1, _WORD, spikes.size).mT.contiguous()
    start = torch.zeros(len(weight)) if bias is None else bias.detach().float()
    start = functional.pad(start, padding[2:]).view(-1, _WORD)
    kept = PackedSpikes.pack((blocks != 0).any(2).float()).words  # not pruned
    arrays = blocks.numpy(), kept.numpy(), start.numpy()

    def work(first: int, last: int) -> None:
        add_weight_rows(words[first:last].numpy(), *arrays, out[first:last].numpy())

    _in_parts(work, np.arange(1, len(words) + 1), _ROWS_A_THREAD)
    return out.reshape(*spikes.shape[:-1], len(weight))


def _met(spikes: PackedSpikes, weight: Tensor) -> int:
    """Return how many weights other than zero all spikes meet."""
    with uncounted():
        meets = (weight != 0).sum(0)
        parts = spikes.words.flatten(0, -2).split(4096)  # unpacked some at a time
        return sum(int((PackedSpikes(part, spikes.size).unpack(torch.int64).sum(0) * meets).sum()) for part in parts)
