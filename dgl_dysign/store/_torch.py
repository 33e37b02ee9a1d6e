"""The store's work in PyTorch alone, on any device, all nodes at once: insertion and reading."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from dgl_dysign.store._edges import Edges, Plan, check_edges, distinct, lexsort, starts
from dgl_dysign.store._rank import (
    EDGE,
    EMPTY,
    HOP_STEP,
    KEY,
    SCORE_UNIT,
    TIE,
    TO_KEY,
    TYPE,
    RankScale,
    hop_of,
    influence_of,
    node_of,
    pack_tie,
    snapshot_of,
)  # fmt: skip
from dgl_dysign.store.importance import importance_units
from dgl_dysign.store.neighbors import Neighbors


class Candidates(NamedTuple):
    """Entries that nodes may keep: `row` says which active node, `entry` (C, width) is what it would keep."""

    row: Tensor
    entry: Tensor


def insert_torch(slots: Tensor, edges: Edges, snapshot: int, next_edge_id: int, plan: Plan) -> int:
    """Insert one snapshot into `slots`; return its largest edge id, -1 without edges.

    Raises ``DataError`` for a value out of range; nothing is changed then. Edges without an id count on from
    `next_edge_id`.
    """
    check_edges(edges, len(slots), plan.types)
    edges = distinct(edges, plan.directed, next_edge_id)
    if not len(edges.src):
        return -1
    active, local = torch.unique(torch.cat([edges.src, edges.dst]), return_inverse=True)
    src, dst = local.chunk(2)
    base = importance_units(plan.importance, src, dst, active, len(slots), edges.weight)
    slots[active] = merge(slots, edges._replace(src=src, dst=dst), active, base, snapshot, plan)
    assert edges.edge_id is not None
    return int(edges.edge_id.max())


def merge(
    slots: Tensor, edges: Edges, active: Tensor, base: Tensor, snapshot: int, plan: Plan,
    place: Tensor | None = None, own: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Return the new rows of the active nodes, or of some of them, int64 ``(own, sections * K, width)``.

    `slots` is the store before, only read; the ends of the distinct `edges` are numbers of `active`, the nodes of the
    snapshot, ascending, with `base`, log2 of their importances in whole units. `place` says which row of `slots` is
    that of each active node (default: `active`; only those of `own` and of their neighbours are read), `own` whose rows
    are computed, as ascending numbers of `active` (default: all).
    """
    place = active if place is None else place
    own = torch.arange(len(active), device=active.device) if own is None else own
    old, direct = slots[place[own]], _direct(edges, active, base, snapshot, plan, slots.shape[2])
    number = torch.full_like(active, -1)
    number[own] = torch.arange(len(own), device=active.device)
    wanted = number[direct.row] >= 0
    parts = [_used(own, old), Candidates(direct.row[wanted], direct.entry[wanted])]
    if plan.num_hops > 1:
        parts += _further(slots, direct, parts[1], active, plan, place)
    row, entry = (torch.cat(part) for part in zip(*parts, strict=True))
    row = number[row]
    # A node that is full has K entries above its last key already: nothing below it can enter.
    section = _section(entry, plan)
    least = old[:, plan.num_neighbors - 1 :: plan.num_neighbors, KEY]
    keep = entry[:, KEY] >= least[row, section]
    row, entry, section = row[keep], entry[keep], section[keep]
    chosen, place = _best(row * plan.sections + section, entry, plan.num_neighbors)
    out = torch.full_like(old, -1)
    out[:, :, KEY] = EMPTY
    out[row[chosen], section[chosen] * plan.num_neighbors + place] = entry[chosen]
    return out


def _direct(edges: Edges, active: Tensor, base: Tensor, snapshot: int, plan: Plan, width: int) -> Candidates:
    """Return the direct neighbours of each active node."""
    ways = {"out": [(edges.src, edges.dst)], "in": [(edges.dst, edges.src)]}
    chosen = ways.get(plan.direction, ways["out"] + ways["in"])
    row, other = (torch.cat(ends) for ends in zip(*chosen, strict=True))
    edge, kind, weight = (
        None if column is None else column.repeat(len(chosen))
        for column in (edges.edge_id, edges.edge_type, edges.weight)
    )
    assert edge is not None
    units = base[other]
    if weight is not None:
        units = units + (weight.log2() * SCORE_UNIT).round().long()
    columns = [(units << TO_KEY) + plan.scale.start(snapshot), pack_tie(snapshot, 1, active[other]), edge]
    if width > TYPE:
        assert kind is not None
        columns.append(kind)
    proper = row != other
    return Candidates(row[proper], torch.stack(columns, dim=1)[proper])


def _further(
    slots: Tensor, direct: Candidates, wanted: Candidates, active: Tensor, plan: Plan, place: Tensor
) -> list[Candidates]:
    """Return what nodes meet through their direct neighbours: their entries of before, and their other neighbours.

    Of the latter no node needs more than the best K of any one neighbour, beside the edges that lead back to it.
    """
    other = torch.searchsorted(active, node_of(wanted.entry[:, TIE]))
    pair = torch.unique(torch.stack([wanted.row, other]), dim=1)
    row, through = pair[0], pair[1]
    group = direct.row * plan.sections + _section(direct.entry, plan)
    # Up to two edges of each type lead from a neighbour back to the node.
    chosen, _ = _best(group, direct.entry, plan.num_neighbors + 2 * plan.types // plan.sections)
    near = Candidates(direct.row[chosen], direct.entry[chosen])
    count = torch.bincount(near.row, minlength=len(active))
    begin = count.cumsum(0) - count
    order = torch.argsort(near.row, stable=True)
    repeat = count[through]
    step = torch.arange(int(repeat.sum()), device=row.device) - (repeat.cumsum(0) - repeat).repeat_interleave(repeat)
    at = order[begin[through].repeat_interleave(repeat) + step]
    return [
        _one_hop_further(Candidates(row.repeat_interleave(repeat), near.entry[at]), active, plan),
        _one_hop_further(_used(row, slots[place[through]]), active, plan),
    ]


def _one_hop_further(near: Candidates, active: Tensor, plan: Plan) -> Candidates:
    """Return the entries as seen from one hop further away, without those too far and those of the node itself."""
    entry = near.entry.clone()
    entry[:, KEY] += plan.scale.hop
    entry[:, TIE] -= HOP_STEP
    keep = (hop_of(near.entry[:, TIE]) < plan.num_hops) & (node_of(entry[:, TIE]) != active[near.row])
    return Candidates(near.row[keep], entry[keep])


def _used(row: Tensor, lists: Tensor) -> Candidates:
    """Return the entries of some lists, without the empty slots."""
    used = lists[:, :, KEY] != EMPTY
    return Candidates(row.repeat_interleave(used.sum(1)), lists[used])


def _section(entry: Tensor, plan: Plan) -> Tensor:
    """Return in which part of a node's list each entry lies."""
    return torch.zeros_like(entry[:, KEY]) if plan.sections == 1 else entry[:, TYPE]


def _best(group: Tensor, entry: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the best `count` entries of each group, each (neighbour, edge) once, and their places in the group."""
    rank = lexsort(*[~column for column in reversed(entry.unbind(1))])  # ~ turns the order and cannot overflow
    group, entry = group[rank], entry[rank]
    same = (group, node_of(entry[:, TIE]), entry[:, EDGE])
    order = lexsort(*reversed(same))  # stable: the best of each (neighbour, edge) stays first
    first = order[starts(*[column[order] for column in same])].sort().values
    rank, group = rank[first], group[first]
    order = torch.argsort(group, stable=True)
    rank, group = rank[order], group[order]
    number = torch.arange(len(group), device=group.device)
    place = number - torch.cummax(torch.where(starts(group), number, 0), 0).values
    return rank[place < count], place[place < count]


def read_torch(lists: Tensor, now: int, scale: RankScale, sections: int) -> Neighbors:
    """Return rows of the store as neighbours; lists in several sections are put in one order."""
    if sections > 1:
        rows = lists.flatten(0, 1)
        row = torch.arange(len(lists), device=lists.device).repeat_interleave(lists.shape[1])
        lists = rows[lexsort(*[~column for column in reversed(rows.unbind(1))], row)].view(lists.shape)
    key, tie, edge_id, *kind = lists.unbind(2)
    used = key != EMPTY
    snapshot = torch.where(used, snapshot_of(tie), -1)
    return Neighbors(
        node=torch.where(used, node_of(tie), -1),
        edge_id=edge_id.clone(),
        snapshot=snapshot,
        hop=torch.where(used, hop_of(tie), 0),
        influence=influence_of(key, now, scale),
        age=torch.where(used, now - snapshot, 0).float(),
        type=kind[0].clone() if kind else torch.full_like(edge_id, -1),
    )
