"""Spikes of values that reach limits: a scale for each row, a limit for each neuron, in one pass."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dgl_dysign.ops._packed_compiled import _FLOATS, _INT64, _address, _splat


@intrinsic
def _reaches(typingctx: Any, values: Any, scale: Any, limits: Any) -> Any:
    """Return the word whose bits say which of 64 floats, times a scale, reach their limits."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        floats, least = (builder.load(builder.bitcast(at, _FLOATS.as_pointer()), align=4) for at in (args[0], args[2]))
        scaled = builder.fmul(floats, _splat(builder, args[1]))
        return builder.bitcast(builder.fcmp_ordered(">=", scaled, least), ir.IntType(_INT64.width))

    return types.int64(values, scale, limits), codegen


@numba.njit(nogil=True, cache=True)
def pack_limited(values, scales, limits, words):  # type: ignore[no-untyped-def]
    """Set the bits of the values that reach the limit of their column, after each row was multiplied by its scale."""
    rows, size = values.shape
    full = size // 64
    for row in range(rows):
        scale = scales[row]
        for word in range(full):
            at = 64 * word
            words[row, word] = _reaches(_address(values, row * size + at), scale, _address(limits, at))
        if size % 64:
            last = np.int64(0)
            for bit in range(size % 64):
                at = 64 * full + bit
                last |= np.int64(values[row, at] * scale >= limits[at]) << bit
            words[row, full] = last
