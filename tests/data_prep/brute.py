"""Preparation as a person would do it by hand, row by row, to hold the real one against; none of its code is used."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


@dataclass(frozen=True)
class Event:
    """One good row of a raw file; `time` as it is written."""

    src: int | str
    dst: int | str
    time: str
    weight: float | None = None
    label: int | None = None
    feat: tuple[float, ...] = field(default=())

    @property
    def key(self) -> tuple[Any, ...]:
        return self.src, self.dst, float(self.time)


def prepare(
    events: Sequence[Event],
    width: float,
    spaces: tuple[str, str] = ("node", "node"),
    keep_ids: bool = False,
    also: Sequence[int] = (),
) -> dict[str, Any]:
    """Return the tables and the counts that a prepared folder of `events` must hold; nodes `also` there have labels."""
    snapshot = [_snapshot(float(event.time), min(float(event.time) for event in events), width) for event in events]
    nodes, types, raw_ids = _nodes(events, spaces, keep_ids, also)
    pairs = (("src", spaces[0]), ("dst", spaces[1]))
    order = sorted(range(len(events)), key=lambda row: (snapshot[row], row))
    ends = [[nodes[space][getattr(event, end)] for end, space in pairs] for event in events]
    counts = Counter(snapshot)
    first = {}
    for row in order:
        for node in ends[row]:
            first.setdefault(node, snapshot[row])
    tables = {
        "edges": [(snapshot[row], *ends[row], float(events[row].time), row) for row in order],
        "nodes": [(node, raw_ids[node], types[node], first.get(node, -1)) for node in range(len(raw_ids))],
        "snapshots": [
            (number, sum(counts[before] for before in range(number)), counts[number])
            for number in range(max(snapshot) + 1)
        ],
    }
    names: list[int] = []
    if events[0].weight is not None:
        tables["edges"] = [(*edge, events[edge[-1]].weight) for edge in tables["edges"]]
    if events[0].label is not None:
        names = sorted({event.label for event in events})
        tables["labels"] = [(row, ends[row][0], snapshot[row], names.index(events[row].label)) for row in order]
    if events[0].feat:
        tables["edge_features"] = [(list(events[row].feat),) for row in order]
    return {
        "tables": tables,
        "num_nodes": len(raw_ids),
        "num_edges": len(events),
        "num_snapshots": max(snapshot) + 1,
        "duplicate_rows": len(events) - len({event.key for event in events}),
        "class_names": [str(name) for name in names],
        "id_offsets": {space: min(nodes[space].values(), default=0) for space in dict.fromkeys(spaces)},
    }


def _snapshot(time: float, low: float, width: float) -> int:
    """Number of the last boundary at or before `time`; boundaries are decimal numbers, rounded to float64 once."""
    origin, step = Fraction(repr(low)), Fraction(repr(width))
    number = floor((Fraction(repr(time)) - origin) / step)
    while float(origin + (number + 1) * step) <= time:
        number += 1
    return number


def _nodes(
    events: Sequence[Event], spaces: tuple[str, str], keep_ids: bool, also: Sequence[int]
) -> tuple[dict[str, dict[Any, int]], list[str | None], list[str]]:
    raw: dict[str, set[Any]] = {space: set() for space in spaces}
    for event in events:
        raw[spaces[0]].add(event.src)
        raw[spaces[1]].add(event.dst)
    nodes: dict[str, dict[Any, int]] = {}
    types: list[str | None] = []
    names: list[str] = []
    for space, ids in raw.items():
        ordered = range(max(ids | set(also)) + 1) if keep_ids else sorted(ids)
        nodes[space] = {identity: len(names) + place for place, identity in enumerate(ordered)}
        names += map(str, ordered)
        types += [space if len(raw) > 1 else None] * len(ordered)
    return nodes, types, names


def found(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return the tables of a prepared folder in the same form, the ranges of snapshots' times left out."""
    tables = {}
    for path in folder.glob("*.parquet"):
        columns = pq.read_table(path).to_pydict()
        if path.stem == "snapshots":
            columns = {name: columns[name] for name in ("snapshot", "first_row", "num_rows")}
        tables[path.stem] = list(zip(*columns.values(), strict=True))
    return tables


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder, by its name inside it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
