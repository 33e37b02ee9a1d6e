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

    They are numbered from `offset` on, unless `numbers` has the node of each.

    >>> ids = IdMap(np.array([3, 7, 2**40]), offset=10)
    >>> ids.nodes(np.array([7, 3, 2**40])).tolist()
    [11, 10, 12]
    """

    def __init__(self, ids: np.ndarray, offset: int = 0, numbers: np.ndarray | None = None) -> None:
        self.ids = ids
        self.offset, self._numbers = offset, numbers
        self._table: np.ndarray | None = None
        if self.is_text:
            nodes = range(offset, offset + len(ids)) if numbers is None else numbers.tolist()
            self._index = dict(zip(ids, nodes, strict=True))
        elif len(ids) and ids[-1] < _DIRECT_LIMIT:
            self._table = np.full(int(ids[-1]) + 1, -1, dtype=np.int32)
            self._table[ids] = np.arange(offset, offset + len(ids), dtype=np.int32) if numbers is None else numbers

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
        return np.where(known, at + self.offset if self._numbers is None else self._numbers[at], -1)

    def raw(self) -> pa.Array:
        """Return the raw ids as strings."""
        return _as_names(self.ids)


def _as_names(ids: np.ndarray) -> pa.Array:
    return strings(ids) if ids.dtype == object else arrow(ids).cast(pa.string())


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


class KnownNodes:
    """The nodes of a prepared folder that grows: they keep their numbers, new ones get the next.

    Raises DataError if a table of the folder cannot be read, or raw ids are not what the manifest says.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        table = schema.table(folder, "nodes")
        self.manifest, self.count = manifest, manifest["num_nodes"]
        self.raw_id, self.kinds = (table[name].combine_chunks() for name in ("raw_id", "type"))
        self.folder, self.path = folder, folder / "nodes.parquet"

    @property
    def class_names(self) -> list[str]:
        """Names of the classes of nodes."""
        return list(self.manifest["class_names"]) if self.manifest["labels"] == "node" else []

    def values(self, name: str) -> list[np.ndarray]:
        """Nodes and values of ``labels.parquet`` or ``targets.parquet``."""
        table = schema.table(self.folder, name)
        return [schema.to_numpy(table[column]) for column in schema.TABLES[name].names]

    @property
    def is_text(self) -> bool:
        """Whether raw ids are strings."""
        return self.manifest.get("id_order") == "lexicographic"

    def joined(self, space: str, ids: np.ndarray, first: int) -> tuple[IdMap, np.ndarray]:
        """Return a map of the raw ids of a type, in which new ones are numbered from `first` on; and the new ones."""
        ranges = [np.arange(low, high) for name, low, high in schema.node_ranges(self.manifest) if name == space]
        nodes = np.concatenate(ranges)
        try:
            names = self.raw_id.take(arrow(nodes))
            old = np.array(names.to_pylist(), object) if self.is_text else schema.to_numpy(names.cast(pa.int64()))
        except pa.ArrowInvalid as error:
            raise DataError(f"{self.path}: found raw ids that are no numbers ({error}); prepare again") from error
        new = np.array(sorted(set(ids) - set(old)), object) if self.is_text else np.setdiff1d(ids, old)
        joined = np.concatenate([old, new])
        order = np.argsort(joined, kind="stable")
        return IdMap(joined[order], numbers=np.concatenate([nodes, np.arange(first, first + len(new))])[order]), new


@dataclass
class Nodes:
    """How raw ids became nodes 0 .. count-1.

    `offsets` has the first node of each space of ids, `spaces` its id map, `order` how nodes are ordered within one.
    `maps` gives, for ``src`` and ``dst``, a part's raw ids their nodes. `raw_id` and `class_names` stand where `spaces`
    and the labels do not tell. `table` has the labels, and `targets` numbers to be learnt; :meth:`write` moves rows of
    nodes that no event names to the refused ones. `known` are the nodes that were there before.
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
    known: KnownNodes | None = None

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
            node, target = self._after_known("targets", self.targets, node, target)
            self.num_targets = len(node)
            write_table(folder / "targets.parquet", schema.TARGETS, {"node": node, "target": target})
        before = [] if self.known is None else self.known.class_names
        if self.table is None:
            return before
        self.table, node, label = self._known(self.table, first, allow_unknown, on_error)
        if not len(node):
            return before
        names = self.class_names
        if names is None:
            # Classes are few, so a table is quicker than the sort of `np.unique`.
            seen = NumberSet()
            seen.add(label)
            classes = seen.ascending()
            label = IdMap(classes).nodes(label)
            names = [str(number) if self.table.classes is None else self.table.classes[number] for number in classes]
        if self.known:
            here, names = names, list(dict.fromkeys([*before, *names]))
            label = np.array([names.index(name) for name in here])[label]
            node, label = self._after_known("labels", self.table, node, label)
        write_table(folder / "labels.parquet", schema.LABELS, {"node": node, "label": label.astype(np.int32)})
        return list(names)

    def _after_known(
        self, name: str, table: NodeTable, node: np.ndarray, value: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows that a table has already, and after them new ones; refuse a value that changes."""
        if self.known is None or f"{name}.parquet" not in self.known.manifest["files"]:
            return node, value
        old_node, old = self.known.values(name)
        place = np.full(self.count, -1)
        place[old_node] = np.arange(len(old_node))
        new = place[node] < 0
        changed = np.flatnonzero(~new & (old[place[node]] != value))
        if len(changed):
            entry = np.flatnonzero(self._numbers(table) == node[changed[0]])
            lines = [] if table.rows_of is None else [line for _, line, _ in table.rows_of(entry)[:1]]
            at = ", line ".join(map(str, [table.file or "columns of the events", *lines]))
            raw_id = plain(self.known.raw_id[int(node[changed[0]])].as_py())
            raise DataError(
                f"{at}: found other {name} for node {raw_id} than the folder has, expected those; leave it out, or "
                "prepare all events together"
            )
        return np.concatenate([old_node, node[new]]), np.concatenate([old, value[new]])

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
        starts = [*self.offsets.values(), self.count]
        kinds = pa.nulls(self.count - starts[0], pa.string())
        if len(self.offsets) > 1:
            sizes = np.diff(starts)
            kinds = strings(kind for kind, size in zip(self.offsets, sizes, strict=True) for _ in range(size))
        if self.known:
            raw_id = pa.concat_arrays([self.known.raw_id, raw_id[self.known.count :]])
            kinds = pa.concat_arrays([self.known.kinds, kinds])
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
                words = " as its source: destinations are of another type" * (len(self.spaces) > 1)
                table = _refused(table, table.rows_of(np.flatnonzero(~good)), on_error, words)
        good &= ~np.isnan(table.value) if table.value.dtype.kind == "f" else table.value >= 0
        node, value = node[good], table.value[good]
        order = ascending_order(node)
        return table, node[order], value[order]


def _refused(table: NodeTable, unknown: list[tuple[int, int, str]], on_error: str, words: str) -> NodeTable:
    """Return a table whose rows of nodes that no event names are set aside."""
    if on_error != "quarantine":
        entry, line, _ = unknown[0]
        what = "target" if table.value.dtype.kind == "f" else "label"
        names = what == "label" and line == 1 and table.node.dtype == object
        header = ", or, if this line names the columns, name that of classes with --label" * names
        raise DataError(
            f"{table.file}, line {line}: found a {what} for unknown node {plain(table.node[entry])}, expected a node "
            f"that an event names{words} ({len(unknown)} such lines); correct the file{header}, or keep these nodes "
            "with --allow-unknown-labels"
        )
    source, *others = table.sources
    counts = {"rows": source["rows"] - len(unknown), "rejected": source["rejected"] + len(unknown)}
    rows = [(source["name"], Rejected(line, text, "no event names this node")) for _, line, text in unknown]
    return replace(table, sources=[{**source, **counts}, *others], rejected=sorted([*table.rejected, *rows]))


def number_nodes(
    source: Source, parts: Sequence[SpooledPart], allow_unknown: bool = False, known: KnownNodes | None = None
) -> Nodes:
    """Give every raw id its node: as it stands, or in ascending order, one space after the other; `known` ones first.

    Raises DataError if ids that shall be node numbers as they stand are too far apart for a table of all nodes.
    """
    without_event = [_without_event(table, allow_unknown) for table in (source.nodes, source.targets)]
    names = list(dict.fromkeys(source.spaces))
    if source.keep_ids:
        before = 0 if known is None else known.count
        largest = max(part.facts["largest_id"] for part in parts)
        largest = max(largest, before - 1, *(int(ids.max(initial=-1)) for ids in without_event))
        _refuse_far(largest, source, parts, known)
        ids = Unchanged(largest + 1)
        maps = dict.fromkeys(("src", "dst"), lambda part, values: ids.nodes(values))
        spaces: dict[str, IdMap | Unchanged] = {names[0]: ids}
        offsets, order = {names[0]: before}, "as in the file"
        return Nodes(largest + 1, offsets, order, maps, spaces, source.nodes, targets=source.targets, known=known)
    spaces, offsets, raw_id, count = {}, {}, [], 0 if known is None else known.count
    for name in names:
        ids_of_parts = [part.ids(name) for part in parts]
        is_text = ids_of_parts[0].dtype == object
        also = [_written(ids, is_text) for ids in without_event] if name == names[0] else []
        ids_now = union([*ids_of_parts, *also])
        offsets[name] = count
        if known is None:
            spaces[name] = IdMap(ids_now, count)
        else:
            spaces[name], ids_now = known.joined(name, ids_now, count)
            raw_id.append(_as_names(ids_now))
        count += len(ids_now)
    text = any(ids.is_text for ids in spaces.values())
    maps = {end: _to_nodes(spaces[space], space) for end, space in zip(("src", "dst"), source.spaces, strict=True)}
    order = "lexicographic" if text else "ascending"
    table = _labels(source, parts, spaces)
    names_of_nodes = None if known is None else pa.concat_arrays([known.raw_id, *raw_id])
    return Nodes(count, offsets, order, maps, spaces, table, names_of_nodes, targets=source.targets, known=known)


def _labels(source: Source, parts: Sequence[SpooledPart], spaces: Mapping[str, Any]) -> NodeTable | None:
    """Return the labels of nodes: of columns of the events, or of a file."""
    if not source.has_node_classes:
        return source.nodes
    return merge([(part.facts["source"]["name"], part.node_classes) for part in parts], spaces)


def _without_event(table: NodeTable | None, allow_unknown: bool) -> np.ndarray:
    """Return the ids that are nodes even if no event names them; labels that will be refused make no nodes."""
    if table is None or not table.complete or (table.rows_of is not None and not allow_unknown):
        return np.empty(0, np.int64)
    return table.node


def _written(ids: np.ndarray, as_text: bool) -> np.ndarray:
    return np.array(list(map(str, ids.tolist())), dtype=object) if as_text else ids


def _refuse_far(largest: int, source: Source, parts: Sequence[SpooledPart], known: KnownNodes | None) -> None:
    rows = sum(part.rows for part in parts) + (0 if known is None else known.manifest["num_edges"])
    limit = max(most_ids(rows), 0 if known is None else known.count)
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
    place = {str(name): number for number, name in enumerate(classes)}

    def numbers(part: Part, labels: np.ndarray) -> np.ndarray:
        own = part.facts["labels"]
        places = np.array([*(place[str(name)] for name in own), -1], np.int32)
        if own and isinstance(own[0], str):
            return places[labels]
        return np.where(labels < 0, np.int32(-1), places[np.searchsorted(own, labels)])

    return numbers
