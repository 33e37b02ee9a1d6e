"""The store's work compiled by Numba, on one core, at the cost of the active nodes alone: insertion and reading.

The nodes of a snapshot are numbered anew, 0, 1, ..., by a small hash table, so that nothing here grows with the number
of all nodes. New lists are made from the old ones first and written last, so that the order of nodes plays no part.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import njit
from torch import Tensor

from dgl_dysign.store import _rank
from dgl_dysign.store._edges import Edges, Plan, check_edges, check_nodes
from dgl_dysign.store.importance import importance_units
from dgl_dysign.store.neighbors import Neighbors

Array = np.ndarray
_EMPTY, _NODE_MASK, _HOP_STEP = _rank.EMPTY, _rank.NODE_MASK, _rank.HOP_STEP
_TO_KEY, _SCORE_UNIT, _LIMIT = _rank.TO_KEY, float(_rank.SCORE_UNIT), float(_rank.LIMIT)
_KEY_UNIT, _LEAST, _MOST, _NOTHING = float(_rank.KEY_UNIT), _rank.LEAST_EXPONENT, _rank.MOST_EXPONENT, _rank.NOTHING
_FINE = 2.0**40
_LOG2_E = math.log2(math.e)
_OUT, _IN = 1, 2
_WAYS = {"out": _OUT, "in": _IN, "both": _OUT | _IN}
_NAMED = {"cohesion": 1, "degree": 2}  # importances that are computed here; for others the logarithm is left at 0
_SHORT = 48  # up to so many entries a sort by insertion is the faster one
_NONE, _NO_WEIGHT = np.empty(0, np.int64), np.empty(0)


def insert_compiled(slots: Tensor, edges: Edges, snapshot: int, next_edge_id: int, plan: Plan) -> int:
    """Insert one snapshot into `slots` and return its largest edge id; the same as ``insert_torch``."""
    src, dst, edge_id, weight, edge_type = (None if column is None else column.numpy() for column in edges)
    name = _NAMED.get(plan.importance, 0) if isinstance(plan.importance, str) else 0
    good, active, base, *pairs = _prepare(
        src, dst, _NONE if edge_id is None else edge_id, _NO_WEIGHT if weight is None else weight,
        _NONE if edge_type is None else edge_type, len(slots), plan.types, plan.directed, name,
    )  # fmt: skip
    if not good:
        check_edges(edges, len(slots), plan.types)
    elsewhere = name == 0 and plan.importance != "uniform"
    if elsewhere or edge_id is None:
        pairs = _ascending(active, pairs, plan.directed)
    if edge_id is None:
        pairs[2] = next_edge_id + np.arange(len(pairs[0]))
    if elsewhere:
        begin, end, nodes, strength = (torch.from_numpy(column) for column in (pairs[0], pairs[1], active, pairs[3]))
        strong = strength if edges.weight is not None else None
        base = importance_units(plan.importance, begin, end, nodes, len(slots), strong).numpy()
    return _insert(
        slots.numpy(), active, base, *pairs, plan.sections, plan.scale.hop, plan.num_hops, _WAYS[plan.direction],
        plan.scale.start(snapshot), snapshot, _all_new(pairs[2], next_edge_id),
    )  # fmt: skip


def _all_new(edge_id: Array, next_edge_id: int) -> bool:
    """Tell whether no edge id comes twice, here or in the store: then new entries need no search for their like."""
    ranked = np.sort(edge_id)
    return not len(ranked) or bool(ranked[0] >= next_edge_id and (ranked[1:] != ranked[:-1]).all())


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


def read_compiled(slots: Tensor, nodes: Tensor, now: int, decay: int) -> Neighbors:
    """Return the lists of some nodes; raise ``DataError`` if an id is no node."""
    shape = len(nodes), slots.shape[1]
    whole, real = torch.empty(5, *shape, dtype=torch.int64), torch.empty(2, *shape, dtype=torch.float32)
    if not _read(slots.numpy(), nodes.numpy(), now, decay, whole.numpy(), real.numpy()):
        check_nodes(nodes, "nodes", len(slots))
    node, edge_id, snapshot, hop, kind = whole.unbind()
    influence, age = real.unbind()
    return Neighbors(node, edge_id, snapshot, hop, influence, age, kind)


@njit(cache=True, nogil=True)
def _prepare(
    src: Array, dst: Array, edge_id: Array, weight: Array, edge_type: Array, num_nodes: int, num_types: int,
    directed: bool, importance: int,
) -> tuple[bool, Array, Array, Array, Array, Array, Array, Array]:  # fmt: skip
    """Return the distinct edges of a snapshot, and whether all values were in range.

    `edge_id`, `weight` and `edge_type` may be empty, ids are then 0. `importance` is one of `_NAMED`, or 0. If all is
    in range, there follow the nodes of the snapshot, log2 of their importances in whole units and, for each edge, its
    source and destination as numbers of these nodes, its id, weight and type.
    """
    if not len(edge_id):
        edge_id = np.zeros(len(src), np.int64)
    good = _in_range(src, dst, edge_id, weight, edge_type, num_nodes, num_types)
    if not good:
        src, dst = src[:0], dst[:0]
    active, begin, end = _number(src, dst)
    keep = _distinct(begin, end, edge_id, weight, edge_type, len(active), directed, num_types)
    begin, end, edge_id = begin[keep], end[keep], edge_id[keep]
    weight, edge_type = weight[keep[: len(weight)]], edge_type[keep[: len(edge_type)]]
    base = np.zeros(len(active), np.int64)
    if importance == 1:
        _cohesion(base, begin, end, weight)
    elif importance == 2:
        _degree(base, begin, end, weight)
    return good, active, base, begin, end, edge_id, weight, edge_type


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def _hash_table(num_edges: int) -> tuple[Array, Array]:
    size = 16
    while size < 4 * num_edges:
        size *= 2
    return np.full(size, -1, np.int64), np.empty(size, np.int64)


@njit(cache=True, nogil=True)
def _place(table: Array, node: int) -> int:
    """Return where a node is, or would be, in the table."""
    mask = len(table) - 1
    at = ((node * 0x9E3779B1) >> 12) & mask
    while table[at] != node and table[at] != -1:
        at = (at + 1) & mask
    return at


@njit(cache=True, nogil=True)
def _number(src: Array, dst: Array) -> tuple[Array, Array, Array]:
    """Return the nodes in the order in which they come, and the edges in numbers of that order."""
    table, place = _hash_table(len(src))
    active = np.empty(2 * len(src), np.int64)
    begin, end = np.empty(len(src), np.int64), np.empty(len(src), np.int64)
    count = 0
    for row in range(len(src)):
        for side in range(2):
            node = src[row] if side == 0 else dst[row]
            at = _place(table, node)
            if table[at] == -1:
                table[at], place[at], active[count] = node, count, node
                count += 1
            if side == 0:
                begin[row] = place[at]
            else:
                end[row] = place[at]
    return active[:count], begin, end


@njit(cache=True, nogil=True)
def _offsets(group: Array, num_groups: int) -> Array:
    """Return where each group begins in an order by group."""
    first = np.zeros(num_groups + 1, np.int64)
    for value in group:
        first[value + 1] += 1
    for index in range(num_groups):
        first[index + 1] += first[index]
    return first


@njit(cache=True, nogil=True)
def _distinct(
    begin: Array, end: Array, edge_id: Array, weight: Array, edge_type: Array, num_active: int, directed: bool,
    num_types: int,
) -> Array:  # fmt: skip
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


@njit(cache=True, nogil=True)
def _degree(base: Array, begin: Array, end: Array, weight: Array) -> None:
    """Set log2 of the degrees, in whole units."""
    total = np.zeros(len(base))
    for row in range(len(begin)):
        share = weight[row] if len(weight) else 1.0
        total[begin[row]] += share
        total[end[row]] += share
    for node in range(len(base)):
        base[node] = _quantise(math.log2(total[node]))


@njit(cache=True, nogil=True)
def _cohesion(base: Array, begin: Array, end: Array, weight: Array) -> None:
    """Set log2 of the cohesions, in whole units, as ``log2_cohesion`` does."""
    ends = np.zeros(len(base))
    for row in range(len(begin)):
        ends[begin[row]] += 1
        ends[end[row]] += 1
    power = np.empty((len(begin), 2))
    top = np.full(len(base), -np.inf)
    for row in range(len(begin)):
        a, b = begin[row], end[row]
        extra = math.log(weight[row]) if len(weight) else 0.0
        there, back = ends[a] / ends[b], ends[b] / ends[a]
        power[row, 0] = (there if there <= 1 else -there) + extra
        power[row, 1] = (back if back <= 1 else -back) + extra
        top[a] = max(top[a], power[row, 0])
        top[b] = max(top[b], power[row, 1])
    total = np.zeros(len(base), np.int64)  # whole numbers: their sum does not depend on the order of the edges
    for row in range(len(begin)):
        a, b = begin[row], end[row]
        total[a] += np.int64(np.rint(math.exp(power[row, 0] - top[a]) * _FINE))
        if a != b:
            total[b] += np.int64(np.rint(math.exp(power[row, 1] - top[b]) * _FINE))
    for node in range(len(base)):
        base[node] = _quantise(top[node] * _LOG2_E + math.log2(total[node] / _FINE))


@njit(cache=True, nogil=True)
def _quantise(log2_importance: float) -> np.int64:
    return np.int64(min(max(np.rint(log2_importance * _SCORE_UNIT), -_LIMIT), _LIMIT))


@njit(cache=True, nogil=True)
def _insert(
    slots: Array, active: Array, base: Array, begin: Array, end: Array, edge_id: Array, weight: Array,
    edge_type: Array, sections: int, hop_decay: int, num_hops: int, ways: int, start: int, snapshot: int, fresh: bool,
) -> int:  # fmt: skip
    first, other, entry = _direct(active, base, begin, end, edge_id, weight, edge_type, ways, start, snapshot)
    lists = _merge(slots, active, first, other, entry, sections, hop_decay, num_hops, fresh)
    for index in range(len(active)):
        if first[index] < first[index + 1]:
            _copy(slots, active[index], lists, index)
    last = -1
    for number in edge_id:
        last = max(last, number)
    return last


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
    """Return the order in which the entries of each list descend: runs are sorted by insertion, and merged.

    NumPy's sorting would take longer to be compiled than all the rest.
    """
    order, merged = np.arange(len(entry)), np.empty(len(entry), np.int64)
    for node in range(len(first) - 1):
        low, high = first[node], first[node + 1]
        for at in range(low + 1, high):
            moved, spot, begin = order[at], at, at - (at - low) % _SHORT
            key, tie, edge, kind = entry[moved, 0], entry[moved, 1], entry[moved, 2], entry[moved, 3]
            while spot > begin:
                above = order[spot - 1]
                row = entry[above, 0], entry[above, 1], entry[above, 2], entry[above, 3]
                if not _better(key, tie, edge, kind, row[0], row[1], row[2], row[3]):
                    break
                order[spot] = above
                spot -= 1
            order[spot] = moved
        run = _SHORT
        while run < high - low:
            for begin in range(low, high, 2 * run):
                middle, end = min(begin + run, high), min(begin + 2 * run, high)
                left, right = begin, middle
                for at in range(begin, end):
                    a, b = order[min(left, middle - 1)], order[min(right, end - 1)]
                    row = entry[b, 0], entry[b, 1], entry[b, 2], entry[b, 3]
                    later = _better(row[0], row[1], row[2], row[3], entry[a, 0], entry[a, 1], entry[a, 2], entry[a, 3])
                    if right < end and (later or left == middle):
                        merged[at] = b
                        right += 1
                    else:
                        merged[at] = a
                        left += 1
            for at in range(low, high):
                order[at] = merged[at]
            run *= 2
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
    # Numbers as they stand would have `_take` compiled once for each of them.
    same, any_hops, no_node, always = np.int64(0), np.int64(3), np.int64(-1), np.bool_(True)
    for node in range(len(active)):
        begin, end = first[node], first[node + 1]
        if begin == end:
            continue
        used[:] = 0
        itself, to = _NODE_MASK - active[node], node * size
        count = _different(other, begin, end, met, node, through) if num_hops > 1 else 0
        # The best first, so that most of the rest need only a look.
        _take(new, to, used, places, entry, begin, end, same, any_hops, no_node, not fresh)
        for at in range(count):
            begin, end = first[through[at]], first[through[at] + 1]
            _take(new, to, used, places, entry, begin, end, hop_decay, any_hops, itself, not fresh)
        low = active[node] * size
        if fresh and sections == 1 and width == 3 and (used[0] == 0 or new[to + used[0] - 1, 0] > old[low, 0]):
            _append(new, to, used, places, old, low)
        else:
            for part in range(low, low + size, places):
                _take(new, to, used, places, old, part, part + places, same, any_hops, no_node, not fresh)
        for at in range(count):
            low = active[through[at]] * size
            for part in range(low, low + size, places):
                _take(new, to, used, places, old, part, part + places, hop_decay, num_hops - 1, itself, always)
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

    Into `best`, from row `to` on, with `used` of so many `places` in each section, go the entries `low` .. `high` of
    `source`. Their keys change by `added` (0, or the decay of one hop); those of more than `most_hops` and of the node
    `itself` are left out. `check`: whether a (neighbour, edge) may be there already.
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


@njit(cache=True, nogil=True)
def _read(slots: Array, nodes: Array, now: int, decay: int, whole: Array, real: Array) -> bool:
    """Write the lists of some nodes as columns of `Neighbors`; return whether all ids were in range.

    Shapes: slots ``(N, K, width)``; `whole` ``(5, R, K)`` for node, edge id, snapshot, hop and type; `real`
    ``(2, R, K)`` for influence and age. `decay` is what a snapshot of age adds to a key.
    """
    num_nodes, size, width = slots.shape
    for row in range(len(nodes)):
        node = nodes[row]
        if node < 0 or node >= num_nodes:
            return False
        for at in range(size):
            key, tie = slots[node, at, 0], slots[node, at, 1]  # an unused slot has -1 in all columns but the key
            used = key != _EMPTY
            whole[0, row, at] = _NODE_MASK - (tie & _NODE_MASK) if used else -1
            whole[1, row, at] = slots[node, at, 2]
            whole[2, row, at] = tie >> 33
            whole[3, row, at] = 3 - ((tie >> 31) & 3)
            whole[4, row, at] = slots[node, at, 3] if width > 3 else -1
            score = np.exp2(min(max((key + now * decay) / _KEY_UNIT, _LEAST), _MOST))
            real[0, row, at] = score if key >= _NOTHING else 0.0
            real[1, row, at] = now - (tie >> 33) if used else 0
    return True
