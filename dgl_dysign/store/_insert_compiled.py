"""Insertion of a snapshot, compiled by Numba: on one core, at the cost of the active nodes alone.

The nodes of a snapshot are numbered anew, 0, 1, ..., by a small hash table, so that nothing here grows with the number
of all nodes. New lists are made from the old ones first and written last, so that the order of nodes plays no part.
Types of edges are 0 and weights 1 where there are none.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from dgl_dysign.store import _rank

Array = np.ndarray

_COHESION, _DEGREE, _UNIFORM, GIVEN = range(4)
KINDS = {"cohesion": _COHESION, "degree": _DEGREE, "uniform": _UNIFORM}
"""Importances that are computed here, and the number that says they were computed before."""
REFUSED = -2

_EMPTY, _NODE_MASK, _HOP_STEP = _rank.EMPTY, _rank.NODE_MASK, _rank.HOP_STEP
_TO_KEY, _SCORE_UNIT = _rank.TO_KEY, float(_rank.SCORE_UNIT)
_LIMIT, _NO_IMPORTANCE = float(1 << 47), _rank.NO_IMPORTANCE
_FINE = 2.0**40
_LOG2_E = math.log2(math.e)
_OUT, _IN = 1, 2
WAYS = {"out": _OUT, "in": _IN, "both": _OUT | _IN}
_SHORT = 48  # up to so many entries a sort by insertion is the faster one


@njit(cache=True)
def insert(
    slots: Array,
    src: Array,
    dst: Array,
    edge_id: Array,
    weight: Array,
    edge_type: Array,
    directed: bool,
    num_types: int,
    sections: int,
    kind: int,
    given_node: Array,
    given_base: Array,
    start: int,
    snapshot: int,
    hop_decay: int,
    num_hops: int,
    ways: int,
) -> int:
    """Insert one snapshot; return its largest edge id, or `REFUSED` (and nothing done) where a value is out of range.

    Parameters
    ----------
    slots : int64 (N, sections * K, width)
        The store.
    src, dst, edge_id : int64 (E,)
        The edges.
    weight : float64 (E,) or (0,)
        Weights.
    edge_type : int64 (E,) or (0,)
        Types, below `num_types`.
    kind : int
        Importance, one of `KINDS` or `GIVEN`.
    given_node, given_base : int64
        Nodes and their importances as `quantise` gives them, where they were computed before.
    start, hop_decay : int
        What the snapshot and one more hop add to a key.
    """
    if not _in_range(src, dst, edge_id, weight, edge_type, len(slots), num_types):
        return REFUSED
    table, place = _hash_table(len(src))
    active, begin, end = _number(src, dst, table, place)
    keep = _distinct(begin, end, edge_id, weight, edge_type, len(active), directed, num_types)
    begin, end, edge_id = begin[keep], end[keep], edge_id[keep]
    if len(weight):
        weight = weight[keep]
    if len(edge_type):
        edge_type = edge_type[keep]
    if kind == GIVEN:
        base = np.empty(len(active), np.int64)
        for index in range(len(given_node)):
            base[place[_find(table, given_node[index])]] = given_base[index]
    else:
        base = _importance(kind, begin, end, weight, len(active))
    first, other, entry = _direct(begin, end, edge_id, weight, edge_type, active, base, start, snapshot, ways)
    lists = _merge(slots, active, first, other, entry, sections, hop_decay, num_hops)
    for index in range(len(active)):
        if first[index] < first[index + 1]:
            slots[active[index]] = lists[index]
    return int(edge_id.max()) if len(edge_id) else -1


@njit(cache=True)
def _in_range(
    src: Array, dst: Array, edge_id: Array, weight: Array, edge_type: Array, num_nodes: int, num_types: int
) -> bool:
    good = True
    for row in range(len(src)):
        good &= (0 <= src[row] < num_nodes) & (0 <= dst[row] < num_nodes) & (edge_id[row] >= 0)
    for value in weight:
        good &= (value > 0) & (value < np.inf)
    for value in edge_type:
        good &= 0 <= value < num_types
    return good


@njit(cache=True)
def _hash_table(num_edges: int) -> tuple[Array, Array]:
    size = 16
    while size < 4 * num_edges:
        size *= 2
    return np.full(size, -1, np.int64), np.empty(size, np.int64)


@njit(cache=True)
def _find(table: Array, node: int) -> int:
    """Return where a node is, or would be, in the table."""
    mask = len(table) - 1
    at = ((node * 0x9E3779B1) >> 12) & mask
    while table[at] != node and table[at] != -1:
        at = (at + 1) & mask
    return at


@njit(cache=True)
def _number(src: Array, dst: Array, table: Array, place: Array) -> tuple[Array, Array, Array]:
    """Return the nodes in the order in which they come, and the edges in numbers of that order."""
    active = np.empty(2 * len(src), np.int64)
    begin, end = np.empty(len(src), np.int64), np.empty(len(src), np.int64)
    count = 0
    for row in range(len(src)):
        for side in range(2):
            node = src[row] if side == 0 else dst[row]
            at = _find(table, node)
            if table[at] == -1:
                table[at], place[at], active[count] = node, count, node
                count += 1
            if side == 0:
                begin[row] = place[at]
            else:
                end[row] = place[at]
    return active[:count], begin, end


@njit(cache=True)
def _offsets(group: Array, num_groups: int) -> Array:
    """Return where each group begins in an order by group."""
    first = np.zeros(num_groups + 1, np.int64)
    for value in group:
        first[value + 1] += 1
    for index in range(num_groups):
        first[index + 1] += first[index]
    return first


@njit(cache=True)
def _distinct(
    begin: Array,
    end: Array,
    edge_id: Array,
    weight: Array,
    edge_type: Array,
    num_active: int,
    directed: bool,
    num_types: int,
) -> Array:
    """Return the rows of the last event of each pair and type; without direction, turn edges from low to high."""
    rows = len(begin)
    if not directed:
        for row in range(rows):
            if begin[row] > end[row]:
                begin[row], end[row] = end[row], begin[row]
    first = _offsets(begin, num_active)
    order = np.empty(rows, np.int64)
    cursor = first[:-1].copy()
    for row in range(rows):
        order[cursor[begin[row]]] = row
        cursor[begin[row]] += 1
    seen = np.full(num_active * num_types, -1, np.int64)
    keep = np.empty(rows, np.int64)
    count = 0
    for node in range(num_active):
        bucket = count
        for at in range(first[node], first[node + 1]):
            row = order[at]
            pair = end[row] * num_types + (edge_type[row] if len(edge_type) else 0)
            if seen[pair] < bucket:
                seen[pair] = count
                keep[count] = row
                count += 1
            else:
                kept = keep[seen[pair]]
                later = edge_id[row] > edge_id[kept]
                if later or (len(weight) and edge_id[row] == edge_id[kept] and weight[row] > weight[kept]):
                    keep[seen[pair]] = row
    return keep[:count]


@njit(cache=True)
def _importance(kind: int, begin: Array, end: Array, weight: Array, num_active: int) -> Array:
    """Return log2 of the importances in whole units; see ``importance.py`` for the formulas."""
    base = np.zeros(num_active, np.int64)
    if kind == _UNIFORM:
        return base
    if kind == _DEGREE:
        total = np.zeros(num_active)
        for row in range(len(begin)):
            share = weight[row] if len(weight) else 1.0
            total[begin[row]] += share
            total[end[row]] += share
        for node in range(num_active):
            base[node] = _quantise(math.log2(total[node]))
        return base
    ends = np.zeros(num_active)
    for row in range(len(begin)):
        ends[begin[row]] += 1
        ends[end[row]] += 1
    power = np.empty((len(begin), 2))
    top = np.full(num_active, -np.inf)
    for row in range(len(begin)):
        a, b = begin[row], end[row]
        extra = math.log(weight[row]) if len(weight) else 0.0
        there, back = ends[a] / ends[b], ends[b] / ends[a]
        power[row, 0] = (there if there <= 1 else -there) + extra
        power[row, 1] = (back if back <= 1 else -back) + extra
        top[a] = max(top[a], power[row, 0])
        top[b] = max(top[b], power[row, 1])
    # Whole numbers of 2^-40: their sum does not depend on the order of the edges.
    total_fine = np.zeros(num_active, np.int64)
    for row in range(len(begin)):
        a, b = begin[row], end[row]
        total_fine[a] += np.int64(np.rint(math.exp(power[row, 0] - top[a]) * _FINE))
        if a != b:
            total_fine[b] += np.int64(np.rint(math.exp(power[row, 1] - top[b]) * _FINE))
    for node in range(num_active):
        base[node] = _quantise(top[node] * _LOG2_E + math.log2(total_fine[node] / _FINE))
    return base


@njit(cache=True)
def _quantise(log2_importance: float) -> int:
    return np.int64(min(max(np.rint(log2_importance * _SCORE_UNIT), -_LIMIT), _LIMIT))


@njit(cache=True)
def _direct(
    begin: Array,
    end: Array,
    edge_id: Array,
    weight: Array,
    edge_type: Array,
    active: Array,
    base: Array,
    start: int,
    snapshot: int,
    ways: int,
) -> tuple[Array, Array, Array]:
    """Return each node's direct neighbours, the best first: where its list begins, their numbers, their entries."""
    first = np.zeros(len(active) + 1, np.int64)
    for row in range(len(begin)):
        if begin[row] != end[row]:
            first[begin[row] + 1] += (ways & _OUT) != 0
            first[end[row] + 1] += (ways & _IN) != 0
    for node in range(len(active)):
        first[node + 1] += first[node]
    total = first[len(active)]
    key, edge, near = np.empty(total, np.int64), np.empty(total, np.int64), np.empty(total, np.int64)
    cursor = first[:-1].copy()
    for row in range(len(begin)):
        if begin[row] == end[row]:
            continue
        extra = np.int64(np.rint(math.log2(weight[row]) * _SCORE_UNIT)) if len(weight) else 0
        for way in (_OUT, _IN):
            if ways & way:
                node, neighbor = (begin[row], end[row]) if way == _OUT else (end[row], begin[row])
                at = cursor[node]
                cursor[node] += 1
                key[at] = ((base[neighbor] + extra) << _TO_KEY) + start
                edge[at], near[at] = row, neighbor
    order = _descending(key, first)
    other, entry = np.empty(total, np.int64), np.empty((total, 4), np.int64)
    for at in range(total):
        row, neighbor = edge[order[at]], near[order[at]]
        other[at] = neighbor
        entry[at, 0] = key[order[at]]
        entry[at, 1] = (snapshot << 33) + 2 * _HOP_STEP + _NODE_MASK - active[neighbor]
        entry[at, 2] = edge_id[row]
        entry[at, 3] = edge_type[row] if len(edge_type) else 0
    return first, other, entry


@njit(cache=True)
def _descending(key: Array, first: Array) -> Array:
    """Return the order that sorts each list by descending key."""
    order = np.arange(len(key))
    for node in range(len(first) - 1):
        low, high = first[node], first[node + 1]
        if high - low > _SHORT:
            order[low:high] = low + np.argsort(-key[low:high])
            continue
        for at in range(low + 1, high):
            moved, spot = order[at], at
            while spot > low and key[order[spot - 1]] < key[moved]:
                order[spot] = order[spot - 1]
                spot -= 1
            order[spot] = moved
    return order


@njit(cache=True)
def _merge(
    slots: Array, active: Array, first: Array, other: Array, entry: Array, sections: int, hop_decay: int, num_hops: int
) -> Array:
    """Return the new lists of the active nodes; those without a direct neighbour stay unset."""
    size, width = slots.shape[1], slots.shape[2]
    places = size // sections
    lists = np.empty((len(active), size, width), np.int64)
    met = np.full(len(active), -1, np.int64)
    best, used = np.empty((size, 4), np.int64), np.empty(sections, np.int64)
    for node in range(len(active)):
        if first[node] == first[node + 1]:
            continue
        used[:] = 0
        itself = _NODE_MASK - active[node]
        _offer_direct(best, used, places, entry, first[node], first[node + 1], 0, -1)
        if num_hops > 1:
            for at in range(first[node], first[node + 1]):
                through = other[at]
                if met[through] != node:
                    met[through] = node
                    _offer_direct(best, used, places, entry, first[through], first[through + 1], hop_decay, itself)
        _offer_list(best, used, places, slots, active[node], 0, 3, -1)
        if num_hops > 1:
            for at in range(first[node], first[node + 1]):
                through = other[at]
                if met[through] == node:
                    met[through] = -1  # each neighbour once, also over several edges
                    _offer_list(best, used, places, slots, active[through], hop_decay, num_hops - 1, itself)
        for section in range(sections):
            low = section * places
            for at in range(low, low + used[section]):
                lists[node, at] = best[at, :width]
            for at in range(low + used[section], low + places):
                lists[node, at] = -1
                lists[node, at, 0] = _EMPTY
    return lists


@njit(cache=True)
def _offer_direct(
    best: Array, used: Array, places: int, entry: Array, low: int, high: int, added: int, itself: int
) -> None:
    """Offer the direct neighbours of a node, as they are or (`added` is not 0) as seen from one hop further away."""
    step = _HOP_STEP if added else 0
    for at in range(low, high):
        key, tie, kind = entry[at, 0] + added, entry[at, 1] - step, entry[at, 3]
        section = kind if len(used) > 1 else 0
        if used[section] == places and key < best[section * places + places - 1, 0]:
            if len(used) == 1:
                return  # those that follow are no better
        elif (tie & _NODE_MASK) != itself:
            _offer(best, used, places, section, key, tie, entry[at, 2], kind)


@njit(cache=True)
def _offer_list(
    best: Array, used: Array, places: int, slots: Array, node: int, added: int, most_hops: int, itself: int
) -> None:
    """Offer what a node's list holds up to `most_hops`, as it is or as seen from one hop further away."""
    step = _HOP_STEP if added else 0
    for section in range(len(used)):
        low = section * places
        for at in range(low, low + places):
            key = slots[node, at, 0]
            if key == _EMPTY:
                break
            key += added
            if used[section] == places and key < best[low + places - 1, 0]:
                break
            tie = slots[node, at, 1]
            if 3 - ((tie >> 31) & 3) <= most_hops and (tie & _NODE_MASK) != itself:
                kind = slots[node, at, 3] if slots.shape[2] > 3 else 0
                _offer(best, used, places, section, key, tie - step, slots[node, at, 2], kind)


@njit(cache=True)
def _offer(best: Array, used: Array, places: int, section: int, key: int, tie: int, edge: int, kind: int) -> None:
    """Put an entry in its place, unless the list is full of better ones or has a better one of this (neighbour, edge)."""
    low = section * places
    high = low + used[section]
    spot = high
    while spot > low and (
        best[spot - 1, 0] < key
        or (
            best[spot - 1, 0] == key
            and (
                best[spot - 1, 1] < tie
                or (
                    best[spot - 1, 1] == tie
                    and (best[spot - 1, 2] < edge or (best[spot - 1, 2] == edge and best[spot - 1, 3] < kind))
                )
            )
        )
    ):
        spot -= 1
    if spot == low + places:
        return
    last = high
    for at in range(low, high):
        if best[at, 2] == edge and ((best[at, 1] ^ tie) & _NODE_MASK) == 0:
            if at < spot:
                return
            last = at
            break
    if last == low + places:
        last -= 1
    elif last == high:
        used[section] += 1
    for at in range(last, spot, -1):
        best[at] = best[at - 1]
    best[spot, 0], best[spot, 1], best[spot, 2], best[spot, 3] = key, tie, edge, kind
