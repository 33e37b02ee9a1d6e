"""Loops over bit-packed spikes, compiled: 64 features are one machine word, and one vector mask.

Numba offers no type for a vector of bits, so the innermost step is written as LLVM's instructions: a word of spikes is
the mask under which 64 counters, or 64 sums, are added to. Counters are bytes: they hold `MOST` neighbours, after which
the caller adds up what it has.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

MOST = 255
ALIGNMENT = 64
_WIDTH = 64
_AHEAD = 24  # neighbours between the one that is summed and the one whose words are fetched
_INT64 = ir.IntType(64)


def _vector(kind: Any) -> Any:
    return ir.VectorType(kind, _WIDTH)


_MASK, _BYTES, _FLOATS = _vector(ir.IntType(1)), _vector(ir.IntType(8)), _vector(ir.FloatType())


@intrinsic
def _address(typingctx: Any, array: Any, offset: Any) -> Any:
    """Return the address of an element; of None it is None."""
    if array is types.none:
        return types.none(array, offset), lambda context, builder, signature, args: context.get_dummy_value()

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        held = cgutils.create_struct_proxy(signature.args[0])(context, builder, value=args[0])
        return builder.gep(held.data, [args[1]])

    return types.CPointer(array.dtype)(array, offset), codegen


def _splat(builder: Any, value: Any) -> Any:
    none = ir.Constant(_FLOATS, ir.Undefined)
    one = builder.insert_element(none, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, none, ir.Constant(_vector(ir.IntType(32)), [0] * _WIDTH))


def _fetch(builder: Any, address: Any) -> None:
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
    builder.call(prefetch, [builder.bitcast(address, byte), *(ir.Constant(number, k) for k in (0, 3, 1))])


@intrinsic(prefer_literal=True)
def _sum_words(
    typingctx: Any,
    num_words: Any,
    words: Any,
    columns: Any,
    weights: Any,
    begin: Any,
    end: Any,
    size: Any,
    stride: Any,
    out: Any,
    past_cache: Any,
) -> Any:
    """Sum ``num_words`` words of some neighbours, all in registers, and store 64 floats, or bytes, for each."""
    number, weighted = num_words.literal_value, weights is not types.none
    stored = _BYTES if out.dtype == types.uint8 else _FLOATS
    kind = _FLOATS if weighted else _BYTES

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, words_at, columns_at, heavy, first, last, edges, row_words, out_at, past = args

        def row_of(edge: Any) -> Any:
            column = builder.load(builder.gep(columns_at, [edge]))
            column = column if column.type == _INT64 else builder.sext(column, _INT64)
            return builder.gep(words_at, [builder.mul(column, row_words)])

        totals = [cgutils.alloca_once(builder, kind) for _ in range(number)]
        for total in totals:
            builder.store(ir.Constant(kind, None), total)
        with cgutils.for_range(builder, builder.sub(last, first)) as loop:
            edge = builder.add(first, loop.index)
            later = builder.add(edge, ir.Constant(_INT64, _AHEAD))
            _fetch(builder, row_of(builder.select(builder.icmp_signed("<", later, edges), later, edge)))
            row = row_of(edge)
            weight = _splat(builder, builder.load(builder.gep(heavy, [edge]))) if weighted else None
            for place, total in enumerate(totals):
                _add_where(builder, total, builder.load(builder.gep(row, [ir.Constant(_INT64, place)])), weight)
        _store(builder, totals, builder.bitcast(out_at, stored.as_pointer()), past)
        return context.get_dummy_value()

    signature = types.void(num_words, words, columns, weights, begin, end, size, stride, out, past_cache)
    return signature, codegen


def _add_where(builder: Any, total: Any, word: Any, weight: Any) -> None:
    mask, before = builder.bitcast(word, _MASK), builder.load(total)
    if weight is None:
        after = builder.add(before, builder.zext(mask, _BYTES))
    else:
        after = builder.select(mask, builder.fadd(before, weight), before)
    builder.store(after, total)


def _store(builder: Any, totals: Any, address: Any, past_cache: Any) -> None:
    """Store totals as what is at the address; past the cache the memory is not read first."""
    kind = address.type.pointee
    with builder.if_else(past_cache) as (past, through):
        for branch, alignment in ((past, ALIGNMENT), (through, 4 if kind == _FLOATS else 1)):
            with branch:
                for place, total in enumerate(totals):
                    value = builder.load(total)
                    value = value if value.type == kind else builder.uitofp(value, _FLOATS)
                    stored = builder.store(value, builder.gep(address, [ir.Constant(_INT64, place)]))
                    stored.align = alignment
                    if branch is past:
                        stored.set_metadata("nontemporal", builder.module.add_metadata([ir.IntType(32)(1)]))


@numba.njit(nogil=True, cache=True)
def sum_rows(begins, ends, columns, weights, words, out, past_cache):  # type: ignore[no-untyped-def]
    """Sum the words of ``columns[begin:end]`` for each row; without weights, of no more than `MOST`, also as bytes.

    ``past_cache`` writes to memory without reading it first; ``out`` must then lie at a multiple of `ALIGNMENT`.
    """
    width = words.shape[1]
    stride, size, at = np.int64(width), np.int64(len(columns)), _address(columns, 0)
    heavy = _address(weights, 0)
    for row in range(len(begins)):
        begin, end = np.int64(begins[row]), np.int64(ends[row])
        word = 0
        while word < width:
            left, of, to = width - word, _address(words, word), _address(out, 64 * (row * width + word))
            if left >= 8:
                _sum_words(8, of, at, heavy, begin, end, size, stride, to, past_cache)
                word += 8
            elif left >= 4:
                _sum_words(4, of, at, heavy, begin, end, size, stride, to, past_cache)
                word += 4
            elif left >= 2:
                _sum_words(2, of, at, heavy, begin, end, size, stride, to, past_cache)
                word += 2
            else:
                _sum_words(1, of, at, heavy, begin, end, size, stride, to, past_cache)
                word += 1


@intrinsic
def _at_least(typingctx: Any, values: Any, threshold: Any) -> Any:
    """Return the word whose bits say which of 64 floats reach a threshold."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        floats = builder.load(builder.bitcast(args[0], _FLOATS.as_pointer()), align=4)
        return builder.bitcast(builder.fcmp_ordered(">=", floats, _splat(builder, args[1])), _INT64)

    return types.int64(values, threshold), codegen


@numba.njit(nogil=True, cache=True)
def pack_rows(values, threshold, words):  # type: ignore[no-untyped-def]
    """Set the bits of the values that reach the threshold."""
    rows, size = values.shape
    full = size // 64
    for row in range(rows):
        for word in range(full):
            words[row, word] = _at_least(_address(values, row * size + 64 * word), threshold)
        if size % 64:
            last = np.int64(0)
            for bit in range(size % 64):
                last |= np.int64(values[row, 64 * full + bit] >= threshold) << bit
            words[row, full] = last


@intrinsic
def _fire(typingctx: Any, current: Any, membrane: Any, total: Any, leak: Any, threshold: Any) -> Any:
    """Do what `fire_rows` does for 64 neurons, and return the word of their spikes."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        entering_at, membrane_at, total_at = (
            None if kind is types.none else builder.bitcast(at, _FLOATS.as_pointer())
            for kind, at in zip(signature.args[:3], args[:3], strict=True)
        )
        kept, needed = _splat(builder, args[3]), _splat(builder, args[4])
        potential = builder.load(membrane_at, align=4)
        if entering_at is not None:
            potential = builder.fadd(builder.fmul(kept, potential), builder.load(entering_at, align=4))
        mask = builder.fcmp_ordered(">=", potential, needed)
        builder.store(builder.select(mask, builder.fsub(potential, needed), potential), membrane_at, align=4)
        old = builder.fmul(kept, builder.load(total_at, align=4))
        builder.store(builder.fadd(old, builder.uitofp(mask, _FLOATS)), total_at, align=4)
        return builder.bitcast(mask, _INT64)

    return types.int64(current, membrane, total, leak, threshold), codegen


@numba.njit(nogil=True, cache=True)
def fire_rows(current, membrane, total, words, leak, threshold):  # type: ignore[no-untyped-def]
    """Charge (unless ``current`` is None), fire and reset neurons, add to leaky sums, pack what fired: in one pass."""
    rows, size = membrane.shape
    for row in range(rows):
        for word in range(size // 64):
            at = row * size + 64 * word
            places = _address(current, at), _address(membrane, at), _address(total, at)
            words[row, word] = _fire(places[0], places[1], places[2], leak, threshold)
        if size % 64:
            last = np.int64(0)
            for bit in range(size % 64):
                place = size // 64 * 64 + bit
                potential = membrane[row, place]
                if current is not None:
                    potential = leak * potential + current[row, place]
                fired = potential >= threshold
                last |= np.int64(fired) << bit
                membrane[row, place] = potential - threshold if fired else potential
                total[row, place] = leak * total[row, place] + np.float32(fired)
            words[row, size // 64] = last


@intrinsic
def _lowest_bit(typingctx: Any, word: Any) -> Any:
    """Return the place of the lowest bit that is set; the word must not be zero."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(word), codegen


@intrinsic
def _new_sum(typingctx: Any) -> Any:
    """Return the address of 64 sums, which stay in registers."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(cgutils.alloca_once(builder, _FLOATS), ir.FloatType().as_pointer())

    return types.CPointer(types.float32)(), codegen


@intrinsic
def _move(typingctx: Any, source: Any, target: Any, add: Any) -> Any:
    """Write 64 floats or, with ``add`` other than None, add them to the target."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source_at, target_at = (builder.bitcast(at, _FLOATS.as_pointer()) for at in args[:2])
        value = builder.load(source_at, align=4)
        if add is not types.none:
            value = builder.fadd(builder.load(target_at, align=4), value)
        builder.store(value, target_at, align=4)
        return context.get_dummy_value()

    return types.void(source, target, add), codegen


@numba.njit(nogil=True, cache=True)
def add_weight_rows(words, weight, kept, bias, out):  # type: ignore[no-untyped-def]
    """Add, to the bias, the row of the weight that belongs to the feature of each spike.

    Outputs come in blocks of 64, whose weights lie together and so near: ``weight`` is ``(blocks, in_feats, 64)``,
    ``kept`` the features, packed, of which a block has weights other than zero, ``bias`` ``(blocks, 64)``, ``out``
    ``(N, out_feats)``; of the last block only what ``out`` has room for is kept.
    """
    blocks, in_feats = weight.shape[:2]
    size, last = out.shape[1], np.empty(64, np.float32)
    for block in range(blocks):
        for row in range(len(words)):
            total = _new_sum()
            _move(_address(bias, 64 * block), total, None)
            for place in range(words.shape[1]):
                word = words[row, place] & kept[block, place]
                while word:
                    feature = 64 * place + _lowest_bit(word)
                    _move(_address(weight, 64 * (block * in_feats + feature)), total, True)
                    word &= word - np.int64(1)
            if 64 * (block + 1) <= size:
                _move(total, _address(out, row * size + 64 * block), None)
            else:
                _move(total, _address(last, 0), None)
                for column in range(64 * block, size):
                    out[row, column] = last[column - 64 * block]
