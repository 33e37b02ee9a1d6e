"""The nodes of a data set: their numbers, raw ids, types and labels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_prep.ids import IdMap, NumberSet, Unchanged, union
from data_prep.parquet import arrow, strings, write_table
from data_prep.sources._raw_file import Rejected
from data_prep.sources._source import NodeTable, Source, ascending_order, most_ids
from data_prep.spool import Part
from dgl_dysign.data import schema
from dgl_dysign.errors import DataError


@dataclass
class Nodes:
    """How raw ids became nodes 0 .. count-1.

    Parameters
    ----------
    count : int
        Number of nodes.
    offsets : dict
        First node of each space of ids.
    order : str
        Order of the nodes within a space: ``"as in the file"``, ``"ascending"`` or ``"lexicographic"``.
    maps : mapping
        For ``src`` and ``dst``, from the raw ids of a part to nodes.
    spaces : dict
        The id map of each space.
    table : NodeTable or None
        What else the raw files say of nodes.
    rejected : list
        Rows of files of nodes that were refused.
    refused : int
        Labels that were read and then refused, as no event names their node.
    """

    count: int
    offsets: dict[str, int]
    order: str
    maps: Mapping[str, Callable[[Part, np.ndarray], np.ndarray]]
    spaces: dict[str, IdMap | Unchanged]
    table: NodeTable | None
    rejected: list[tuple[str, Rejected]] = field(default_factory=list)
    refused: int = 0

    @property
    def sources(self) -> list[dict[str, Any]]:
        """The files of nodes, for the manifest; the file of labels is the first."""
        if self.table is None:
            return []
        first, *others = self.table.sources
        counts = {"rows": first["rows"] - self.refused, "rejected": first["rejected"] + self.refused}
        return [{**first, **counts}, *others]

    def write(self, folder: Path, first: np.ndarray, allow_unknown: bool, on_error: str) -> list[str]:
        """Write ``nodes.parquet`` and, where nodes have labels, ``labels.parquet``; return the names of the classes."""
        if self.table is None:
            self._write_nodes(folder, pa.concat_arrays([ids.raw() for ids in self.spaces.values()]), first)
            return []
        space = next(iter(self.spaces.values()))
        node = space.nodes(_written(self.table.node, space.is_text))
        if self.table.raw_id is None:
            names = space.raw()
        else:
            known = np.arange(self.count)
            known[node[node >= 0]] = self.table.raw_id[node >= 0]
            names = arrow(known).cast(pa.string())
        self._write_nodes(folder, names, first)
        good = (self.table.label >= 0) & self._known(node, first, allow_unknown, on_error)
        if not good.any():
            return []
        node, found = node[good], self.table.label[good]
        order = ascending_order(node)
        node, found = node[order], found[order]
        # Classes are few, so a table is quicker than the sort of `np.unique`.
        seen = NumberSet()
        seen.add(found)
        classes = seen.ascending()
        label = IdMap(classes).nodes(found)
        columns = {"node": node, "label": label.astype(np.int32)}
        write_table(folder / "labels.parquet", schema.LABELS, columns)
        return [str(label) for label in classes]

    def _write_nodes(self, folder: Path, names: pa.Array, first: np.ndarray) -> None:
        kinds = pa.nulls(self.count, pa.string())
        if len(self.spaces) > 1:
            kinds = strings(kind for kind, ids in self.spaces.items() for _ in range(len(ids.ids)))
        columns = {"node": np.arange(self.count), "raw_id": names, "type": kinds, "first_snapshot": first}
        write_table(folder / "nodes.parquet", schema.NODES, columns)

    def _known(self, node: np.ndarray, first: np.ndarray, allow_unknown: bool, on_error: str) -> np.ndarray:
        """Tell which labels are of nodes that an event names, and refuse the others unless they are allowed."""
        assert self.table is not None
        table = self.table
        known = (node >= 0) & (first[np.maximum(node, 0)] >= 0)
        unknown = np.flatnonzero(~known)
        if not len(unknown) or allow_unknown or table.lines_of is None:
            return node >= 0
        lines = table.lines_of(unknown if on_error == "quarantine" else unknown[:1])
        found = f"found a label for unknown node {table.node[unknown[0]]}"
        if on_error != "quarantine":
            raise DataError(
                f"{table.file}, line {lines[0]}: {found}, expected a node that an event names ({len(unknown)} such "
                "lines); correct the file, or keep these nodes with --allow-unknown-labels"
            )
        name, reason = table.sources[0]["name"], "no event names this node"
        for line, row in zip(lines, unknown.tolist(), strict=True):
            self.rejected.append((name, Rejected(line, f"{table.node[row]} {table.label[row]}", reason)))
        self.rejected.sort()
        self.refused = len(unknown)
        return known


def number_nodes(source: Source, parts: list[Part], allow_unknown: bool = False) -> Nodes:
    """Give every raw id its node: as it stands, or in ascending order, one space after the other.

    Raises
    ------
    DataError
        If ids that shall be node numbers as they stand are too far apart for a table of all nodes.
    """
    without_event = _without_event(source.nodes, allow_unknown)
    names = list(dict.fromkeys(source.spaces))
    rejected = [] if source.nodes is None else list(source.nodes.rejected)
    if source.keep_ids:
        largest = max(*(part.facts["largest_id"] for part in parts), int(without_event.max(initial=-1)))
        _refuse_far(largest, source, parts)
        ids = Unchanged(largest + 1)
        maps = dict.fromkeys(("src", "dst"), lambda part, values: ids.nodes(values))
        return Nodes(largest + 1, {names[0]: 0}, "as in the file", maps, {names[0]: ids}, source.nodes, rejected)
    spaces: dict[str, IdMap | Unchanged] = {}
    offsets, count = {}, 0
    for name in names:
        known = [part.ids(name) for part in parts]
        spaces[name] = IdMap(union([*known, _written(without_event, known[0].dtype == object)]), count)
        offsets[name] = count
        count += len(spaces[name].ids)
    text = any(ids.is_text for ids in spaces.values())
    maps = {end: _Map(spaces[space], space) for end, space in zip(("src", "dst"), source.spaces, strict=True)}
    order = "lexicographic" if text else "ascending"
    return Nodes(count, offsets, order, maps, spaces, source.nodes, rejected)


def _without_event(table: NodeTable | None, allow_unknown: bool) -> np.ndarray:
    """Return the ids that are nodes even if no event names them; labels that will be refused make no nodes."""
    if table is None or not table.complete or (table.lines_of is not None and not allow_unknown):
        return np.empty(0, np.int64)
    return table.node


def _written(ids: np.ndarray, as_text: bool) -> np.ndarray:
    return np.array(list(map(str, ids.tolist())), dtype=object) if as_text else ids


def _refuse_far(largest: int, source: Source, parts: list[Part]) -> None:
    rows = sum(part.rows for part in parts)
    limit = most_ids(rows)
    if largest < limit:
        return
    at = next((part.facts["largest_at"] for part in parts if part.facts["largest_id"] == largest), None)
    if at is None:
        table = source.nodes
        assert table is not None
        lines = [] if table.lines_of is None else table.lines_of(np.flatnonzero(table.node == largest))
        at = ", line ".join(map(str, [table.file, *lines]))
    raise DataError(
        f"{at}: found node id {largest} in a data set of {rows} events, expected ids below {limit}; correct the line, "
        "or number the nodes 0, 1, 2, ... first"
    )


class _Map:
    """From a part's raw ids, or its codes of strings, to nodes."""

    def __init__(self, ids: IdMap | Unchanged, space: str) -> None:
        self._ids, self._space = ids, space
        self._codes: dict[Path, np.ndarray] = {}

    def __call__(self, part: Part, values: np.ndarray) -> np.ndarray:
        if not self._ids.is_text:
            return self._ids.nodes(values)
        if part.folder not in self._codes:
            self._codes[part.folder] = self._ids.nodes(part.ids(self._space))
        return self._codes[part.folder][values]
