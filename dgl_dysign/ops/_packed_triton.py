"""Loops over bit-packed spikes for GPUs, in Triton: the numbers of `_packed_compiled`, to the last bit.

A program has some words of one row, and a lane each of their features. Products are not fused with sums: on the CPU
they are rounded one by one. Triton starts a kernel on the current GPU, whatever that of the tensors is: hence
``device_of``. It comes with PyTorch for CUDA; without a GPU its interpreter runs the same source.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_WORDS = 2  # of a program: four warps
_BITS = tl.constexpr(64)


@triton.jit
def _sum(begins, ends, columns, values, words, out, num_words, WEIGHTED: tl.constexpr, WORDS: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * WORDS + tl.arange(0, WORDS)
    held = place < num_words
    bit = tl.arange(0, _BITS)
    total = tl.zeros([WORDS, _BITS], tl.float32)
    for edge in range(tl.load(begins + row), tl.load(ends + row)):
        column = tl.load(columns + edge).to(tl.int64)
        word = tl.load(words + column * num_words + place, mask=held, other=0)
        fired = (word[:, None] >> bit[None, :]) & 1
        if WEIGHTED:
            total += tl.where(fired == 1, tl.load(values + edge), 0.0)
        else:
            total += fired.to(tl.float32)
    feature = (row * num_words + place[:, None]) * _BITS + bit[None, :]
    tl.store(out + feature, total, mask=held[:, None])


@triton.jit
def _word(fired):  # type: ignore[no-untyped-def]
    return tl.sum(fired.to(tl.int64) << tl.arange(0, _BITS).to(tl.int64), 0)


@triton.jit
def _pack(values, words, size, num_words, threshold):  # type: ignore[no-untyped-def]
    row, word = tl.program_id(0).to(tl.int64), tl.program_id(1)
    feature = word * _BITS + tl.arange(0, _BITS)
    held = feature < size
    fired = (tl.load(values + row * size + feature, mask=held, other=0.0) >= threshold) & held
    tl.store(words + row * num_words + word, _word(fired))


@triton.jit
def _fire(current, potential, total, words, size, num_words, threshold, leak, CHARGE: tl.constexpr):  # type: ignore[no-untyped-def]
    row, word = tl.program_id(0).to(tl.int64), tl.program_id(1)
    feature = word * _BITS + tl.arange(0, _BITS)
    held = feature < size
    place = row * size + feature
    charged = tl.load(potential + place, mask=held, other=0.0)
    if CHARGE:
        charged = leak * charged + tl.load(current + place, mask=held, other=0.0)
    fired = (charged >= threshold) & held
    spike = fired.to(tl.float32)
    tl.store(potential + place, charged - threshold * spike, mask=held)
    tl.store(total + place, leak * tl.load(total + place, mask=held, other=0.0) + spike, mask=held)
    tl.store(words + row * num_words + word, _word(fired))


def sum_rows(
    begins: Tensor,
    ends: Tensor,
    columns: Tensor,
    words: Tensor,
    weights: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Sum the words ``(N_src, W)`` of ``columns[begin:end]`` for each row, weighted by ``weights[begin:end]``.

    Returns float32 ``(N_dst, 64 W)``, in ``out`` if given; sums without weights are exact to 2^24 neighbours.
    """
    shape = len(begins), 64 * words.shape[1]
    out = torch.empty(shape, device=words.device) if out is None else out.view(shape)
    if out.numel():
        arrays = begins, ends, columns, out if weights is None else weights, words, out
        grid = shape[0], -(-words.shape[1] // _WORDS)
        with torch.cuda.device_of(words):
            _sum[grid](*arrays, words.shape[1], WEIGHTED=weights is not None, WORDS=_WORDS, enable_fp_fusion=False)
    return out


def pack_rows(values: Tensor, threshold: float) -> Tensor:
    """Return the words ``(N, W)`` of which values ``(N, size)`` reach the threshold."""
    rows, size = values.shape
    words = torch.empty(rows, -(-size // 64), dtype=torch.int64, device=values.device)
    if words.numel():
        with torch.cuda.device_of(words):
            _pack[tuple(words.shape)](values.contiguous(), words, size, words.shape[1], threshold)
    return words


def fire_rows(current: Tensor | None, potential: Tensor, total: Tensor, leak: float, threshold: float) -> Tensor:
    """Charge (unless ``current`` is None), fire and reset ``(N, size)`` in place; return the words ``(N, W)``."""
    rows, size = potential.shape
    words = torch.empty(rows, -(-size // 64), dtype=torch.int64, device=potential.device)
    if words.numel():
        enters = potential if current is None else current.expand_as(potential).contiguous()
        arrays = enters, potential, total, words
        sizes = size, words.shape[1], threshold, leak
        with torch.cuda.device_of(words):
            _fire[tuple(words.shape)](*arrays, *sizes, CHARGE=current is not None, enable_fp_fusion=False)
    return words
