"""The nodes of a data set: their numbers, raw ids, types and labels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_prep.node_classes import merge
from data_prep.sources._layout import plain
from data_prep.sources._raw_file import Rejected
from data_prep.sources._source import NodeTable, Source, ascending_order, most_ids
from data_prep.spool import NumberSet, Part, SpooledPart, distinct
from data_prep.writer import arrow, strings, write_table
from dgl_dysign.data import schema
from dgl_dysign.errors import DataError

_DIRECT_LIMIT = 1 << 26
"""Largest raw id, plus one, that is looked up in an array of all ids."""


class IdMap:
    """Nodes of distinct raw ids (int64, or objects: strings) in ascending order; strings by code points.

    >>> ids = IdMap(np.array([3, 7, 2**40]), offset=10)
    >>> ids.nodes(np.array([7, 3, 2**40])).tolist()
    [11, 10, 12]
    """

    def __init__(self, ids: np.ndarray, offset: int = 0) -> None:
        self.ids = ids
        self.offset = offset
        self._table: np.ndarray | None = None
        if self.is_text:
            self._index = {name: node for node, name in enumerate(ids, offset)}
        elif len(ids) and ids[-1] < _DIRECT_LIMIT:
            self._table = np.full(int(ids[-1]) + 1, -1, dtype=np.int32)
            self._table[ids] = np.arange(offset, offset + len(ids), dtype=np.int32)

    @property
    def is_text(self) -> bool:
        """Whether the raw ids are strings."""
        return self.ids.dtype == object

    def nodes(self, values: np.ndarray) -> np.ndarray:
        """Return the node of each raw id, int64; -1 for an id that is not there."""
        if self.is_text:
            return np.array([self._index.get(name, -1) for name in values], dtype=np.int64)
        if self._table is not None:
            inside = values < len(self._table)
            if inside.all():
                return self._table[values].astype(np.int64)
            return np.where(inside, self._table[np.where(inside, values, 0)], -1).astype(np.int64)
        at = np.minimum(np.searchsorted(self.ids, values), max(len(self.ids) - 1, 0))
        known = self.ids[at] == values if len(self.ids) else np.zeros(len(values), bool)
        return np.where(known, at + self.offset, -1)

    def raw(self) -> pa.Array:
        """Return the raw ids as strings."""
        return strings(self.ids) if self.is_text else arrow(self.ids).cast(pa.string())


class Unchanged:
    """Raw ids that are node numbers already."""

    is_text = False
    offset = 0

    def __init__(self, num_nodes: int) -> None:
        self.ids = np.arange(num_nodes)

    def nodes(self, values: np.ndarray) -> np.ndarray:
        """Return `values`, with -1 for ids beyond the last node."""
        if values.max(initial=0) < len(self.ids):
            return values
        return np.where(values < len(self.ids), values, -1)

    def raw(self) -> pa.Array:
        """Return the raw ids as strings."""
        return arrow(self.ids).cast(pa.string())


def union(sets: Sequence[np.ndarray]) -> np.ndarray:
    """Merge ascending sets of numbers, or of strings, into one."""
    if sets and sets[0].dtype == object:
        return np.array(sorted(set().union(*map(list, sets))), dtype=object)
    sets = [ids for ids in sets if len(ids)] or list(sets[:1])
    return distinct(np.concatenate(sets)) if len(sets) > 1 else sets[0]


@dataclass
class Nodes:
    """How raw ids became nodes 0 .. count-1.

    `offsets` has the first node of each space of ids, `spaces` its id map, `order` how nodes are ordered within one.
    `maps` gives, for ``src`` and ``dst``, a part's raw ids their nodes. `raw_id` and `class_names` stand where `spaces`
    and the labels do not tell. `table` has the labels, and `targets` numbers to be learnt; :meth:`write` moves rows of
    nodes that no event names to the refused ones.
    """

    count: int
    offsets: dict[str, int]
    order: str
    maps: Mapping[str, Callable[[Any, np.ndarray], np.ndarray]]
    spaces: dict[str, IdMap | Unchanged]
    table: NodeTable | None
    raw_id: pa.Array | None = None
    class_names: Sequence[str] | None = None
    targets: NodeTable | None = None
    num_targets: int = 0

    @property
    def sources(self) -> list[dict[str, Any]]:
        """The files of nodes, for the manifest."""
        return [source for table in (self.table, self.targets) if table for source in table.sources]

    @property
    def facts(self) -> dict[str, Any]:
        """Keys of the manifest that only some data sets have."""
        facts: dict[str, Any] = {} if self.table is None or self.table.at is None else {"labels_at": self.table.at}
        if self.targets is not None:
            facts["targets"] = {"count": self.num_targets}
            if self.targets.at is not None:
                facts["targets"]["at"] = self.targets.at
        return facts

    @property
    def rejected(self) -> list[tuple[str, Rejected]]:
        """File name and row of all that was refused in the files of nodes."""
        return [row for table in (self.table, self.targets) if table for row in table.rejected]

    def write(self, folder: Path, first: np.ndarray, allow_unknown: bool, on_error: str) -> list[str]:
        """Write ``nodes.parquet``, and ``labels.parquet`` and ``targets.parquet``; return the names of the classes."""
        self._write_nodes(folder, None if self.table is None else self._numbers(self.table), first)
        if self.targets is not None:
            self.targets, node, target = self._known(self.targets, first, allow_unknown, on_error)
            self.num_targets = len(node)
            write_table(folder / "targets.parquet", schema.TARGETS, {"node": node, "target": target})
        if self.table is None:
            return []
        self.table, node, label = self._known(self.table, first, allow_unknown, on_error)
        if not len(node):
            return []
        names = self.class_names
        if names is None:
            # Classes are few, so a table is quicker than the sort of `np.unique`.
            seen = NumberSet()
            seen.add(label)
            classes = seen.ascending()
            label = IdMap(classes).nodes(label)
            names = [str(number) if self.table.classes is None else self.table.classes[number] for number in classes]
        write_table(folder / "labels.parquet", schema.LABELS, {"node": node, "label": label.astype(np.int32)})
        return list(names)

    def _numbers(self, table: NodeTable) -> np.ndarray:
        """Return the node of each entry, -1 where there is none."""
        space = next(iter(self.spaces.values()))
        return table.node if table.numbered else space.nodes(_written(table.node, space.is_text))

    def _write_nodes(self, folder: Path, node: np.ndarray | None, first: np.ndarray) -> None:
        """Write ``nodes.parquet``; `node` is that of each row of the table of nodes."""
        raw_id = self.raw_id
        if raw_id is None and node is not None and self.table is not None and self.table.raw_id is not None:
            known = np.arange(self.count)
            known[node[node >= 0]] = self.table.raw_id[node >= 0]
            raw_id = arrow(known).cast(pa.string())
        if raw_id is None:
            raw_id = pa.concat_arrays([ids.raw() for ids in self.spaces.values()])
        kinds = pa.nulls(self.count, pa.string())
        if len(self.offsets) > 1:
            sizes = np.diff([*self.offsets.values(), self.count])
            kinds = strings(kind for kind, size in zip(self.offsets, sizes, strict=True) for _ in range(size))
        columns = {"node": np.arange(self.count), "raw_id": raw_id, "type": kinds, "first_snapshot": first}
        write_table(folder / "nodes.parquet", schema.NODES, columns)

    def _known(
        self, table: NodeTable, first: np.ndarray, allow_unknown: bool, on_error: str
    ) -> tuple[NodeTable, np.ndarray, np.ndarray]:
        """Return nodes in ascending order and their values; refuse those that no event names, unless allowed."""
        node = self._numbers(table)
        good = node >= 0
        if table.rows_of is not None and not allow_unknown:
            good &= first[np.maximum(node, 0)] >= 0
            if not good.all():
                table = _refused(table, table.rows_of(np.flatnonzero(~good)), on_error)
        good &= ~np.isnan(table.value) if table.value.dtype.kind == "f" else table.value >= 0
        node, value = node[good], table.value[good]
        order = ascending_order(node)
        return table, node[order], value[order]


def _refused(table: NodeTable, unknown: list[tuple[int, int, str]], on_error: str) -> NodeTable:
    """Return a table whose rows of nodes that no event names are set aside."""
    if on_error != "quarantine":
        entry, line, _ = unknown[0]
        what = "target" if table.value.dtype.kind == "f" else "label"
        raise DataError(
            f"{table.file}, line {line}: found a {what} for unknown node {plain(table.node[entry])}, expected a node "
            f"that an event names ({len(unknown)} such lines); correct the file, or keep these nodes with "
            "--allow-unknown-labels"
        )
    source, *others = table.sources
    counts = {"rows": source["rows"] - len(unknown), "rejected": source["rejected"] + len(unknown)}
    rows = [(source["name"], Rejected(line, text, "no event names this node")) for _, line, text in unknown]
    return replace(table, sources=[{**source, **counts}, *others], rejected=sorted([*table.rejected, *rows]))


def number_nodes(source: Source, parts: Sequence[SpooledPart], allow_unknown: bool = False) -> Nodes:
    """Give every raw id its node: as it stands, or in ascending order, one space after the other.

    Raises DataError if ids that shall be node numbers as they stand are too far apart for a table of all nodes.
    """
    without_event = [_without_event(table, allow_unknown) for table in (source.nodes, source.targets)]
    names = list(dict.fromkeys(source.spaces))
    if source.keep_ids:
        largest = max(part.facts["largest_id"] for part in parts)
        largest = max(largest, *(int(ids.max(initial=-1)) for ids in without_event))
        _refuse_far(largest, source, parts)
        ids = Unchanged(largest + 1)
        maps = dict.fromkeys(("src", "dst"), lambda part, values: ids.nodes(values))
        return Nodes(
            largest + 1, {names[0]: 0}, "as in the file", maps, {names[0]: ids}, source.nodes, targets=source.targets
        )
    spaces: dict[str, IdMap | Unchanged] = {}
    offsets, count = {}, 0
    for name in names:
        known = [part.ids(name) for part in parts]
        also = [_written(ids, known[0].dtype == object) for ids in without_event] if name == names[0] else []
        spaces[name] = IdMap(union([*known, *also]), count)
        offsets[name] = count
        count += len(spaces[name].ids)
    text = any(ids.is_text for ids in spaces.values())
    maps = {end: _to_nodes(spaces[space], space) for end, space in zip(("src", "dst"), source.spaces, strict=True)}
    order = "lexicographic" if text else "ascending"
    table = source.nodes
    if source.has_node_classes:
        table = merge([(part.facts["source"]["name"], part.node_classes) for part in parts], spaces)
    return Nodes(count, offsets, order, maps, spaces, table, targets=source.targets)


def _without_event(table: NodeTable | None, allow_unknown: bool) -> np.ndarray:
    """Return the ids that are nodes even if no event names them; labels that will be refused make no nodes."""
    if table is None or not table.complete or (table.rows_of is not None and not allow_unknown):
        return np.empty(0, np.int64)
    return table.node


def _written(ids: np.ndarray, as_text: bool) -> np.ndarray:
    return np.array(list(map(str, ids.tolist())), dtype=object) if as_text else ids


def _refuse_far(largest: int, source: Source, parts: Sequence[SpooledPart]) -> None:
    rows = sum(part.rows for part in parts)
    limit = most_ids(rows)
    if largest < limit:
        return
    at = next((part.facts["largest_at"] for part in parts if part.facts["largest_id"] == largest), None)
    if at is None:
        table = source.nodes
        assert table is not None
        named = [] if table.rows_of is None else table.rows_of(np.flatnonzero(table.node == largest))
        at = ", line ".join(map(str, [table.file, *(line for _, line, _ in named[:1])]))
    raise DataError(
        f"{at}: found node id {largest} in a data set of {rows} events, expected ids below {limit}; correct the line, "
        "or number the nodes 0, 1, 2, ... first"
    )


def _to_nodes(ids: IdMap | Unchanged, space: str) -> Callable[[SpooledPart, np.ndarray], np.ndarray]:
    """Return what gives a part's raw ids, or its codes of strings, their nodes."""
    codes: dict[Path, np.ndarray] = {}

    def nodes(part: SpooledPart, values: np.ndarray) -> np.ndarray:
        if not ids.is_text:
            return ids.nodes(values)
        if part.folder not in codes:
            codes[part.folder] = ids.nodes(part.ids(space))
        return codes[part.folder][values]

    return nodes


def class_numbers(classes: Sequence[Any]) -> Callable[[Part, np.ndarray], np.ndarray]:
    """Return what gives a part's labels of events, or its codes of their names, their places in `classes`; -1 stays."""
    place = {name: number for number, name in enumerate(classes)}

    def numbers(part: Part, labels: np.ndarray) -> np.ndarray:
        own = part.facts["labels"]
        if own and isinstance(own[0], str):
            return np.array([*(place[name] for name in own), -1], np.int32)[labels]
        return np.where(labels < 0, -1, np.searchsorted(classes, labels)).astype(np.int32)

    return numbers
