"""Insertion of a snapshot, compiled by Numba: on one core, at the cost of the active nodes alone.

New lists are made from the old ones first and written last, so that the order of nodes plays no part.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import njit
from torch import Tensor

from dgl_dysign.store import _rank
from dgl_dysign.store._edges import Edges, check_edges
from dgl_dysign.store._edges_compiled import NAMED, prepare
from dgl_dysign.store._plan import Plan
from dgl_dysign.store.importance import importance_units

Array = np.ndarray
_EMPTY, _NODE_MASK, _HOP_STEP = _rank.EMPTY, _rank.NODE_MASK, _rank.HOP_STEP
_TO_KEY, _SCORE_UNIT = _rank.TO_KEY, float(_rank.SCORE_UNIT)
_OUT, _IN = 1, 2
_WAYS = {"out": _OUT, "in": _IN, "both": _OUT | _IN}
_SHORT = 48  # up to so many entries a sort by insertion is the faster one
_NONE, _NO_WEIGHT = np.empty(0, np.int64), np.empty(0)


def insert_compiled(slots: Tensor, edges: Edges, snapshot: int, next_edge_id: int, plan: Plan) -> int:
    """Insert one snapshot into `slots` and return its largest edge id; the same as ``insert_torch``."""
    src, dst, edge_id, weight, edge_type = (None if column is None else column.numpy() for column in edges)
    name = NAMED.get(plan.importance, 0) if isinstance(plan.importance, str) else 0
    good, active, base, *pairs = prepare(
        src, dst, _NONE if edge_id is None else edge_id, _NO_WEIGHT if weight is None else weight,
        _NONE if edge_type is None else edge_type, len(slots), plan.types, plan.directed, name,
    )  # fmt: skip
    if not good:
        check_edges(edges, len(slots), plan.types)
    given = name == 0 and plan.importance != "uniform"
    if given or edge_id is None:
        pairs = _ascending(active, pairs, plan.directed)
    if edge_id is None:
        pairs[2] = next_edge_id + np.arange(len(pairs[0]))
    if given:
        begin, end, nodes, strength = (torch.from_numpy(column) for column in (pairs[0], pairs[1], active, pairs[3]))
        strong = strength if edges.weight is not None else None
        base = importance_units(plan.importance, begin, end, nodes, len(slots), strong).numpy()
    return _insert(
        slots.numpy(), active, base, *pairs, plan.sections, plan.scale.hop, plan.num_hops, _WAYS[plan.direction],
        plan.scale.start(snapshot), snapshot, next_edge_id,
    )  # fmt: skip


def _ascending(active: Array, pairs: list[Array], directed: bool) -> list[Array]:
    """Return the edges in ascending order of their ends and types, as ``distinct`` does."""
    begin, end, *rest = pairs
    low, high = active[begin], active[end]
    if not directed:
        turn = low > high
        begin, end = np.where(turn, end, begin), np.where(turn, begin, end)
        low, high = active[begin], active[end]
    edge_type = rest[2]
    order = np.lexsort((edge_type, high, low) if len(edge_type) else (high, low))
    return [column[order] if len(column) else column for column in (begin, end, *rest)]


@njit(cache=True, nogil=True)
def _insert(
    slots: Array, active: Array, base: Array, begin: Array, end: Array, edge_id: Array, weight: Array,
    edge_type: Array, sections: int, hop_decay: int, num_hops: int, ways: int, start: int, snapshot: int,
    next_edge_id: int,
) -> int:  # fmt: skip
    first, other, entry = _direct(active, base, begin, end, edge_id, weight, edge_type, ways, start, snapshot)
    fresh = _all_new(edge_id, next_edge_id)
    lists = _merge(slots, active, first, other, entry, sections, hop_decay, num_hops, fresh)
    for index in range(len(active)):
        if first[index] < first[index + 1]:
            _copy(slots, active[index], lists, index)
    return edge_id.max() if len(edge_id) else -1


@njit(cache=True, nogil=True)
def _direct(
    active: Array, base: Array, begin: Array, end: Array, edge_id: Array, weight: Array, edge_type: Array, ways: int,
    start: int, snapshot: int,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Return each node's direct neighbours, the best first: where its list begins, their numbers, their entries."""
    first = np.zeros(len(active) + 1, np.int64)
    for row in range(len(begin)):
        if begin[row] != end[row]:
            first[begin[row] + 1] += (ways & _OUT) != 0
            first[end[row] + 1] += (ways & _IN) != 0
    for node in range(len(active)):
        first[node + 1] += first[node]
    other, entry = np.empty(first[-1], np.int64), np.empty((first[-1], 4), np.int64)
    cursor = first[:-1].copy()
    for row in range(len(begin)):
        if begin[row] == end[row]:
            continue
        extra = np.int64(np.rint(math.log2(weight[row]) * _SCORE_UNIT)) if len(weight) else 0
        for way in (_OUT, _IN):
            if ways & way:
                node, near = (begin[row], end[row]) if way == _OUT else (end[row], begin[row])
                at = cursor[node]
                cursor[node] += 1
                other[at] = near
                entry[at, 0] = ((base[near] + extra) << _TO_KEY) + start
                entry[at, 1] = (snapshot << 33) + 2 * _HOP_STEP + _NODE_MASK - active[near]
                entry[at, 2] = edge_id[row]
                entry[at, 3] = edge_type[row] if len(edge_type) else 0
    order = _descending(entry, first)
    return first, other[order], entry[order]


@njit(cache=True, nogil=True)
def _descending(entry: Array, first: Array) -> Array:
    """Return the order in which the entries of each list descend."""
    order = np.arange(len(entry))
    for node in range(len(first) - 1):
        low, high = first[node], first[node + 1]
        if high - low > _SHORT:
            for column in range(3, -1, -1):
                key = ~entry[order[low:high], column]  # ~ turns the order
                order[low:high] = order[low:high][np.argsort(key, kind="mergesort")]
            continue
        for at in range(low + 1, high):
            moved, spot = order[at], at
            key, tie, edge, kind = entry[moved, 0], entry[moved, 1], entry[moved, 2], entry[moved, 3]
            while spot > low:
                above = order[spot - 1]
                row = entry[above, 0], entry[above, 1], entry[above, 2], entry[above, 3]
                if not _better(key, tie, edge, kind, row[0], row[1], row[2], row[3]):
                    break
                order[spot] = above
                spot -= 1
            order[spot] = moved
    return order


@njit(cache=True, nogil=True)
def _better(
    key: int, tie: int, edge: int, kind: int, other_key: int, other_tie: int, other_edge: int, other_kind: int
) -> bool:
    """Tell whether one entry outranks another."""
    if key != other_key:
        return key > other_key
    if tie != other_tie:
        return tie > other_tie
    return edge > other_edge or (edge == other_edge and kind > other_kind)


@njit(cache=True, nogil=True)
def _all_new(edge_id: Array, next_edge_id: int) -> bool:
    """Tell whether no edge id comes twice, here or in the store: then new entries need no search for their like."""
    ranked = np.sort(edge_id)
    new = len(ranked) == 0 or ranked[0] >= next_edge_id
    for at in range(1, len(ranked)):
        new &= ranked[at] != ranked[at - 1]
    return new


@njit(cache=True, nogil=True)
def _merge(
    slots: Array, active: Array, first: Array, other: Array, entry: Array, sections: int, hop_decay: int, num_hops: int,
    fresh: bool,
) -> Array:  # fmt: skip
    """Return the new lists of the active nodes; those without a direct neighbour stay unset."""
    size, width = slots.shape[1], slots.shape[2]
    places = size // sections
    old = slots.reshape((len(slots) * size, width))
    new = np.empty((len(active) * size, width), np.int64)
    met, through = np.full(len(active), -1, np.int64), np.empty(len(active), np.int64)
    used = np.empty(sections, np.int64)
    for node in range(len(active)):
        begin, end = first[node], first[node + 1]
        if begin == end:
            continue
        used[:] = 0
        itself, to = _NODE_MASK - active[node], node * size
        count = _different(other, begin, end, met, node, through) if num_hops > 1 else 0
        # The best first, so that most of the rest need only a look.
        _take(new, to, used, places, entry, begin, end, 0, 3, -1, not fresh)
        for at in range(count):
            begin, end = first[through[at]], first[through[at] + 1]
            _take(new, to, used, places, entry, begin, end, hop_decay, 3, itself, not fresh)
        low = active[node] * size
        if fresh and sections == 1 and width == 3 and (used[0] == 0 or new[to + used[0] - 1, 0] > old[low, 0]):
            _append(new, to, used, places, old, low)
        else:
            for part in range(low, low + size, places):
                _take(new, to, used, places, old, part, part + places, 0, 3, -1, not fresh)
        for at in range(count):
            low = active[through[at]] * size
            for part in range(low, low + size, places):
                _take(new, to, used, places, old, part, part + places, hop_decay, num_hops - 1, itself, True)
        _clear(new, to, used, places)
    return new.reshape((len(active), size, width))


@njit(cache=True, nogil=True)
def _different(other: Array, low: int, high: int, met: Array, node: int, through: Array) -> int:
    """Write each of a node's direct neighbours once, also those over several edges; return how many there are."""
    count = 0
    for at in range(low, high):
        if met[other[at]] != node:
            met[other[at]] = node
            through[count] = other[at]
            count += 1
    return count


# A function for one entry would be called a million times, each with atomic counts of references to its arrays: those
# took half the time. So this one goes through a whole list.
@njit(cache=True, nogil=True)
def _take(
    best: Array, to: int, used: Array, places: int, source: Array, low: int, high: int, added: int, most_hops: int,
    itself: int, check: bool,
) -> None:  # fmt: skip
    """Put the entries of a sorted list in their places in a new one, each (neighbour, edge) once.

    Parameters
    ----------
    best, to, used, places : Array, int, Array, int
        The new lists, where this one begins, how many entries its sections have and can have.
    source, low, high : Array, int, int
        The old list.
    added : int
        What a key changes by: 0, or the decay of one hop.
    most_hops, itself : int
        Entries of more hops, and of this node, are left out.
    check : bool
        Whether a (neighbour, edge) may be there already.
    """
    typed = best.shape[1] > 3
    step = _HOP_STEP if added else 0
    for at in range(low, high):
        key, tie, edge = source[at, 0], source[at, 1], source[at, 2]
        kind = source[at, 3] if typed else 0
        section = kind if len(used) > 1 else 0
        if key == _EMPTY:
            break
        key += added
        start = to + section * places
        stop = start + used[section]
        full = used[section] == places
        tie -= step
        if full:
            row = best[stop - 1, 0], best[stop - 1, 1], best[stop - 1, 2], best[stop - 1, 3] if typed else 0
            if not _better(key, tie, edge, kind, row[0], row[1], row[2], row[3]):
                if len(used) == 1:
                    break  # those that follow are no better
                continue
        if 3 - (((tie + step) >> 31) & 3) > most_hops or (tie & _NODE_MASK) == itself:
            continue
        spot = stop - 1 if full else stop
        last = spot
        while spot > start:
            row = best[spot - 1, 0], best[spot - 1, 1], best[spot - 1, 2], best[spot - 1, 3] if typed else 0
            if not _better(key, tie, edge, kind, row[0], row[1], row[2], row[3]):
                break
            spot -= 1
        if check:
            for twin in range(start, stop):
                if best[twin, 2] == edge and ((best[twin, 1] ^ tie) & _NODE_MASK) == 0:
                    last = twin
                    break
        if last < spot:  # its like is better
            continue
        if last == stop:
            used[section] += 1
        for moved in range(last, spot, -1):
            best[moved, 0], best[moved, 1], best[moved, 2] = best[moved - 1, 0], best[moved - 1, 1], best[moved - 1, 2]
            if typed:
                best[moved, 3] = best[moved - 1, 3]
        best[spot, 0], best[spot, 1], best[spot, 2] = key, tie, edge
        if typed:
            best[spot, 3] = kind


@njit(cache=True, nogil=True)
def _append(best: Array, to: int, used: Array, places: int, source: Array, low: int) -> None:
    """Put the entries of a list, as far as there is room, behind those of a new one: they are all new and below."""
    at = used[0]
    while at < places and source[low, 0] != _EMPTY:
        best[to + at, 0], best[to + at, 1], best[to + at, 2] = source[low, 0], source[low, 1], source[low, 2]
        at += 1
        low += 1
    used[0] = at


@njit(cache=True, nogil=True)
def _clear(best: Array, to: int, used: Array, places: int) -> None:
    """Mark the slots that are left over as unused."""
    for section in range(len(used)):
        for at in range(to + section * places + used[section], to + (section + 1) * places):
            best[at] = -1
            best[at, 0] = _EMPTY


@njit(cache=True, nogil=True)
def _copy(slots: Array, node: int, lists: Array, index: int) -> None:
    for at in range(slots.shape[1]):
        for column in range(slots.shape[2]):
            slots[node, at, column] = lists[index, at, column]
