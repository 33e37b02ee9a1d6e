"""What the pipeline takes its events from: raw files, or a table in memory; both are prepared by the same stages."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.engines import Engine
from data_prep.nodes import Nodes, Unchanged, number_nodes
from data_prep.options import DATASETS, EDGE_LIST, PrepareOptions
from data_prep.rules import Binning, Rule, parse_rule
from data_prep.sources import open_source
from data_prep.sources._source import NodeTable, ReadOptions, Source, most_ids, other_sources
from data_prep.spool import CHUNK, Chunk, Part, SpooledPart, distinct
from data_prep.terminal import Add
from dgl_dysign.data import schema
from dgl_dysign.errors import DataError, check_choice
from dgl_dysign.events import EventTable

_HOLDS = ("edge_feat", "edge_weight", "event_label", "node_label", "snapshot")
_COLUMNS = {"edge_weight": "weight", "event_label": "label", "edge_feat": "feat"}
_MOST_CLASSES = 1 << 16


def open_files(dataset: str, raw: Path, options: PrepareOptions) -> Source:
    """Open the raw files of one of :data:`data_prep.options.DATASETS`."""
    check_choice("dataset", dataset, DATASETS)
    read = _read_options(options)
    if dataset != "edges":
        options.refuse(EDGE_LIST, f"the format of {dataset} is known; leave it out, or prepare the files as edges")
        return open_source(dataset, raw, read)
    from data_prep.sources import edges

    form = {name: getattr(options, name) for name in EDGE_LIST if name not in ("undirected", "labels")}
    form["delimiter"] = {"\\t": "\t", "tab": "\t"}.get(options.delimiter or "", options.delimiter)
    form["directed"] = False if options.undirected else None
    labels = None if options.labels is None else Path(options.labels)
    return edges.open_source(raw, read, {name: value for name, value in form.items() if value is not None}, labels)


def _read_options(options: PrepareOptions) -> ReadOptions:
    return ReadOptions(options.on_error, options.max_bytes)  # type: ignore[arg-type]


class FileInput:
    """Raw files, opened by :func:`open_files`; `options` say how they are read."""

    binning = None
    class_names = None

    def __init__(self, source: Source, options: PrepareOptions) -> None:
        options.refuse(("names_of",), "give it with a table of events")
        self._read = _read_options(options)
        self._engine = Engine(options.engine, options.workers, options.scheduler)
        self._allow_unknown = options.allow_unknown_labels
        self.rule = parse_rule(options.every, options.snapshots, options.merge, source.rule)
        self.source = replace(source, rule=self.rule)
        self.dataset, self.directed, self.weight = source.dataset, source.directed, source.weight
        self.time_unit, self.unix = source.time_unit, source.unix

    @property
    def plan(self) -> dict[str, Any]:
        """All that the result depends on: another plan does not go on with a run that was cut off."""
        source = self.source
        paths = [*source.parts, *source.beside]
        return {
            "dataset": source.dataset,
            "layout": repr(source.layout),
            "source": [*source.spaces, source.keep_ids, source.directed, source.time_unit, source.weight],
            "files": [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths],
            "nodes": [] if source.nodes is None else source.nodes.sources,
            "read": [self._read.on_error, self._read.max_bytes],
        }

    def read(self, folder: Path, progress: Add) -> list[SpooledPart]:
        """Read all files to column files in `folder`."""
        size = sum(path.stat().st_size for path in self.source.parts)
        return self._engine.read(self.source, folder, replace(self._read, on_bytes=progress("reading", size, "B")))

    def nodes(self, parts: Sequence[SpooledPart]) -> Nodes:
        """Give the raw ids of all parts their nodes."""
        return number_nodes(self.source, parts, self._allow_unknown)

    @property
    def other_sources(self) -> list[dict[str, Any]]:
        """Entries of the manifest for files without events."""
        return other_sources(self.source)


class TableInput:
    """Events in memory, checked for what a prepared folder can hold.

    Parameters
    ----------
    dataset : str
        Name of the data set.
    table : EventTable
        The events.
    options : PrepareOptions
        Rule and names; what it says of reading files has no effect.
    """

    other_sources: tuple[dict[str, Any], ...] = ()

    def __init__(self, dataset: str, table: EventTable, options: PrepareOptions) -> None:
        options.refuse(EDGE_LIST, "the table says it itself")
        _check_table(table)
        self.dataset, self._table = dataset, table
        self.directed, self.time_unit, self.unix = table.directed, table.time_unit, _is_unix(table)
        rows = table.in_raw_order()
        self._columns = {name: rows[name] for name in ("src", "dst", "time")}
        self._columns |= {name: rows[field] for field, name in _COLUMNS.items() if field in rows}
        self.weight = "weight" if "weight" in self._columns else None
        own_snapshots = options.every is None and options.snapshots is None and options.merge == 1
        self.rule = parse_rule(options.every, options.snapshots, options.merge, Rule("step"))
        self.binning = _binning_of(table) if own_snapshots else None
        self._raw_id, self._id_order, self._types = None, "as in the file", ("user", "item")
        names: Sequence[str] = ()
        if options.names_of is not None:
            names = self._take_names(Path(options.names_of))
        self._set_classes(names)
        self._digest = self._sha256()

    @property
    def plan(self) -> dict[str, Any]:
        """All that the result depends on: another plan does not go on with a run that was cut off."""
        return {"dataset": self.dataset, "table": [self._digest, self.directed, self.time_unit]}

    def read(self, folder: Path, progress: Add) -> list[Part]:
        """Take the columns as the one part that there is."""
        time, rows = self._columns["time"], len(self._columns["time"])
        source = {"name": self.dataset, "sha256": self._digest, "lines": rows, "header": 0, "rows": rows, "rejected": 0}
        facts = {
            "rows": rows,
            "columns": {name: [v.dtype.str, v.shape[1] if v.ndim > 1 else 1] for name, v in self._columns.items()},
            "ascending": bool((time[1:] >= time[:-1]).all()),
            "labels": list(range(self._num_classes)) if "label" in self._columns else [],
            # Plus zero: -0.0 is 0.0, as in a part that was spooled.
            "low": float(time.min()) + 0.0,
            "high": float(time.max()) + 0.0,
            "source": source,
        }
        return [_TablePart(facts, self._columns)]

    def nodes(self, parts: Sequence[Part]) -> Nodes:
        """Take the numbers of the nodes as they stand."""
        count, second = self._table.num_nodes, self._table.node_offset
        offsets = {"node": 0} if second is None else {self._types[0]: 0, self._types[1]: second}
        maps = dict.fromkeys(("src", "dst"), lambda part, values: values)
        label, ids = self._table.node_label, Unchanged(count)
        table = None if label is None else NodeTable(ids.ids, label)
        return Nodes(count, offsets, self._id_order, maps, {"node": ids}, table, self._raw_id, self.class_names)

    def _take_names(self, folder: Path) -> Sequence[str]:
        """Take the names of nodes and types of a folder with the same nodes; return those of the classes."""
        manifest, second = schema.read_manifest(folder), self._table.node_offset
        offsets = [0] if second is None else [0, second]
        known = manifest["num_nodes"], list(manifest["id_offsets"].values())
        if known != (self._table.num_nodes, offsets):
            raise DataError(
                f"{folder}: found {known[0]} nodes, types from {known[1]}, expected {self._table.num_nodes} and "
                f"{offsets}, as in the stream; name the folder that the stream was read from"
            )
        self._raw_id = schema.table(folder, "nodes", ["raw_id"])["raw_id"].combine_chunks()
        self._id_order = manifest.get("id_order") or "as in the file"
        if second is not None:
            self._types = tuple(manifest["id_offsets"])
        return tuple(manifest["class_names"])

    def _set_classes(self, names: Sequence[str]) -> None:
        """Find the number of classes, and name them: by their numbers, unless they have names."""
        labels = self._columns.get("label", self._table.node_label)
        number = 0 if labels is None else int(labels.max(initial=-1)) + 1
        if number > _MOST_CLASSES:
            raise DataError(
                f"labels: found class {number - 1}, expected numbers below {_MOST_CLASSES}; number the classes 0, 1, "
                "2, ... first"
            )
        if names and len(names) < number:
            raise DataError(f"labels: found {number} classes, expected {len(names)}, as are named")
        self._num_classes = number
        self.class_names = list(names or map(str, range(number))) if number else []

    def _sha256(self) -> str:
        """SHA-256 of all that is prepared."""
        about = (sorted(self._columns), self._table.num_nodes, self._table.node_offset, self._types, self._id_order)
        digest = hashlib.sha256(repr((*about, self.class_names)).encode())
        if self._raw_id is not None:
            digest.update(repr(self._raw_id.to_pylist()).encode())
        ranges = [] if self.binning is None else [self.binning.begin, self.binning.end]
        for values in (*(self._columns[name] for name in sorted(self._columns)), self._table.node_label, *ranges):
            if values is not None:
                digest.update(repr((values.dtype.str, values.shape)).encode())
                digest.update(np.ascontiguousarray(values).view(np.uint8).data)
        return digest.hexdigest()


@dataclass(frozen=True)
class _TablePart:
    """The rows of a table, in the order of the raw data: a :class:`data_prep.spool.Part`."""

    facts: dict[str, Any]
    columns: dict[str, np.ndarray]

    @property
    def rows(self) -> int:
        return int(self.facts["rows"])

    @property
    def rejected(self) -> Iterator[Any]:
        return iter(())

    def distinct_times(self) -> np.ndarray:
        return distinct(self.columns["time"] + 0.0)

    def column(self, name: str) -> np.ndarray:
        return self.columns[name]

    def chunks(self, names: list[str]) -> Iterator[Chunk]:
        for first in range(0, self.rows, CHUNK):
            yield {name: self.columns[name][first : first + CHUNK] for name in names}

    def forget(self) -> None:
        """Keep the columns, which are the caller's."""


def _check_table(table: EventTable) -> None:
    table.check_holds("a prepared folder", _HOLDS)
    table.check_one_kind_of_labels("a prepared folder")
    if not len(table):
        raise DataError("events: found none, expected one or more; a prepared folder has a first and a last time")
    limit = most_ids(len(table))
    if table.num_nodes > limit:
        raise DataError(
            f"nodes: found {table.num_nodes} for {len(table)} events, expected at most {limit}; number anew"
        )
    if table.edge_feat is not None and not np.isfinite(table.edge_feat).all():
        raise DataError("events: found nan or inf among feat, expected finite numbers; replace them first")


def _is_unix(table: EventTable) -> bool:
    return table.time_unit.startswith("seconds since 1970")


def _binning_of(table: EventTable) -> Binning | None:
    """Return the table's own snapshots."""
    if table.snapshot_begin is None or table.snapshot_end is None:
        return None
    # Readers know by the rule whether a snapshot's end belongs to it: a step's does.
    kind = {"kind": "rank", "given": True} if table.closed else {"kind": "given"}
    return Binning(table.snapshot_begin, table.snapshot_end, kind, closed=table.closed)
