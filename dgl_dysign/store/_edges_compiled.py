"""The edges of a snapshot before they are inserted, compiled by Numba: checked, distinct, their nodes weighed.

The nodes of a snapshot are numbered anew, 0, 1, ..., by a small hash table, so that nothing here grows with the number
of all nodes.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from dgl_dysign.store import _rank

Array = np.ndarray
NAMED = {"cohesion": 1, "degree": 2}
"""Importances that are computed here; for others the logarithm is left at 0."""
_SCORE_UNIT, _LIMIT = float(_rank.SCORE_UNIT), float(_rank.LIMIT)
_FINE = 2.0**40
_LOG2_E = math.log2(math.e)


@njit(cache=True, nogil=True)
def prepare(
    src: Array, dst: Array, edge_id: Array, weight: Array, edge_type: Array, num_nodes: int, num_types: int,
    directed: bool, importance: int,
) -> tuple[bool, Array, Array, Array, Array, Array, Array, Array]:  # fmt: skip
    """Return the distinct edges of a snapshot.

    Parameters
    ----------
    src, dst, edge_id, weight, edge_type : (E,)
        The events; the last two may be empty, and so may be `edge_id`, which is then 0.
    num_nodes, num_types : int
        Numbers of nodes and edge types of the store.
    directed : bool
        Whether (u, v) and (v, u) are different edges.
    importance : int
        One of `NAMED`, or 0.

    Returns
    -------
    tuple
        Whether all values were in range, and if so: the nodes of the snapshot; log2 of their importances in whole
        units; for each edge its source and destination as numbers of these nodes, its id, weight and type.
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
def _find(table: Array, node: int) -> int:
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
            at = _find(table, node)
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
