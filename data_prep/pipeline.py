"""From raw files, or a table in memory, to a prepared folder: read, number the nodes, bin, write; each stage once."""

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.names import MOST_CLASSES, in_order
from data_prep.nodes import KnownNodes, Nodes, Unchanged, class_numbers, number_nodes, union
from data_prep.options import DATASETS, EDGE_LIST, PrepareOptions
from data_prep.rules import Binning, Rule, bin_times, parse_rule
from data_prep.sources import open_source, standard_input, tables
from data_prep.sources._raw_file import RawFile
from data_prep.sources._source import NodeTable, ReadOptions, Source, most_ids, other_sources
from data_prep.spool import (
    Arrangement,
    Chunk,
    Engine,
    FirstSnapshots,
    Part,
    Repeats,
    SpooledPart,
    write_array,
)
from data_prep.terminal import Add, silent
from data_prep.writer import (
    ROW_GROUP,
    TableWriter,
    ahead,
    check_prepared,
    rows_a_group,
    strings,
    work_folder,
    write_table,
)
from dgl_dysign import __version__, files
from dgl_dysign.data import schema
from dgl_dysign.errors import ConfigError, DataError, check_choice
from dgl_dysign.events import EventTable

_HOLDS = ("edge_feat", "edge_weight", "event_label", "node_label", "snapshot")
LARGE_FEATURES = 2**30  # bytes of node features above which the command says how many
_COLUMNS = {"edge_weight": "weight", "event_label": "label", "edge_feat": "feat"}


def open_files(dataset: str, raw: Path, options: PrepareOptions, is_frame: bool = False) -> Source:
    """Open the raw files of one of :data:`data_prep.options.DATASETS`, or the copy of a table in memory."""
    read = _read_options(options)
    if not is_frame:
        check_choice("dataset", dataset, DATASETS)
    if is_frame or dataset == "edges":
        from data_prep.sources import edges

        source = edges.open_source(raw, read, options)
        return replace(source, dataset=options.name or dataset) if is_frame else source
    options.refuse(EDGE_LIST, f"the format of {dataset} is known; leave it out, or prepare the files as edges")
    return open_source(dataset, raw, read)


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
            "files": [(str(files.real_path(path)), path.stat().st_size, path.stat().st_mtime_ns) for path in paths],
            "nodes": [
                [table.sources, table.at, table.look and table.look.places]
                for table in (source.nodes, source.targets)
                if table is not None
            ],
            "read": [self._read.on_error, self._read.max_bytes],
        }

    def read(self, folder: Path, progress: Add) -> list[SpooledPart]:
        """Read all files to column files in `folder`."""
        size = sum(path.stat().st_size for path in self.source.parts)
        return self._engine.read(self.source, folder, replace(self._read, on_bytes=progress("reading", size, "B")))

    def open(self, number: int) -> RawFile:
        """Open one of the files, to read it again."""
        return self._read.open(self.source.parts[number], self.source.layout)

    def nodes(self, parts: Sequence[SpooledPart], known: KnownNodes | None = None) -> Nodes:
        """Give the raw ids of all parts their nodes; those of `known` ones stay."""
        return number_nodes(self.source, parts, self._allow_unknown, known)

    @property
    def other_sources(self) -> list[dict[str, Any]]:
        """Entries of the manifest for files without events."""
        return other_sources(self.source)


class TableInput:
    """Events in memory, checked for what a prepared folder can hold; of the options, rule and names have an effect."""

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
        return [Part(facts, self._columns)]

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
        if not manifest.get("appended"):  # with more than one run of ids, there is no one order
            self._id_order = manifest.get("id_order") or "as in the file"
        if second is not None:
            self._types = tuple(manifest["id_offsets"])
        return tuple(manifest["class_names"])

    def _set_classes(self, names: Sequence[str]) -> None:
        """Find the number of classes, and name them: by their numbers, unless they have names."""
        labels = self._columns.get("label", self._table.node_label)
        number = 0 if labels is None else int(labels.max(initial=-1)) + 1
        if number > MOST_CLASSES:
            raise DataError(
                f"labels: found class {number - 1}, expected numbers below {MOST_CLASSES}; number the classes 0, 1, "
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


def prepare(
    dataset: str,
    raw: "str | os.PathLike[str] | EventTable | Any",
    out: str | os.PathLike[str],
    options: PrepareOptions | None = None,
    progress: Add = silent,
) -> dict[str, Any]:
    """Write a prepared folder of raw files, or of a table in memory.

    Parameters
    ----------
    dataset : str
        Format of the raw files: ``"dblp"``, ``"tmall"``, ``"patent"``, ``"wikipedia"``, ``"reddit"``, or ``"edges"``
        for any delimited list of timed edges. Of a table: the name that the data set gets.
    raw : path, EventTable, or table of pandas, polars or pyarrow
        The raw files, ``-`` for standard input; or a :class:`dgl_dysign.events.EventTable`; or any other table in
        memory, which is read as the CSV of its rows would be, with all options of a list of edges.
    out : path
        The folder to write; it is there whole or not at all.
    options : PrepareOptions, optional
        How.
    progress : callable, optional
        Given (text, total), returns a function that is told of each advance.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    DataError, ConfigError
        If a file, a table or an option is wrong; nothing is left behind then. Any other end, such as an interrupt or a
        full disk, leaves what is done beside `out`, and the same call goes on from there.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> table = EventTable.from_rows([0, 1], [1, 0], [5.0, 7.0], num_nodes=3)
    >>> with TemporaryDirectory() as home:
    ...     manifest = prepare("mine", table, Path(home) / "out", PrepareOptions(every="step"))
    >>> manifest["num_nodes"], manifest["num_edges"], manifest["num_snapshots"], manifest["time_range"]
    (3, 2, 2, [5.0, 7.0])

    >>> import pandas as pd
    >>> days = pd.to_datetime(["2024-01-01", "2024-01-09"])
    >>> frame = pd.DataFrame({"buyer": ["ann", "bob"], "seller": ["bob", "eve"], "day": days})
    >>> with TemporaryDirectory() as home:
    ...     options = PrepareOptions(src="buyer", dst="seller", time="day")
    ...     manifest = prepare("mine", frame, Path(home) / "out", options)
    >>> manifest["num_nodes"], manifest["num_edges"], manifest["num_snapshots"], manifest["time_range"]
    (3, 2, 2, [1704067200.0, 1704758400.0])
    """
    with opened(dataset, raw, Path(out), options or PrepareOptions()) as (events, options):
        return write_folder(events, Path(out), options, progress)


@contextmanager
def opened(
    dataset: str, raw: "str | os.PathLike[str] | EventTable | Any", out: Path | None, options: PrepareOptions
) -> Iterator[tuple[FileInput | TableInput, PrepareOptions]]:
    """Open what :func:`prepare` reads, and fill in its options, a wrong one of which is told first.

    Nothing is written, but for a copy of what is no file: beside `out`, or if that is None among temporary files.
    """
    if not isinstance(dataset, str):
        raise ConfigError(
            f"data set: found {type(dataset).__name__}, expected its name, then RAW and OUT; give such a name first"
        )
    is_frame = not isinstance(raw, EventTable) and tables.is_frame(raw)
    if options.features is None:
        spectral = dataset == "dblp" and not is_frame and not isinstance(raw, EventTable)
        options = replace(options, features="spectral" if spectral else "none")
    if out is not None:
        check_prepared(out, options.overwrite)
    parse_rule(options.every, options.snapshots, options.merge, Rule("step"))
    _feature_options(options)
    if isinstance(raw, EventTable):
        yield TableInput(dataset, raw, options), options
        return
    with standard_input.as_file(raw, out) as path:
        yield FileInput(open_files(dataset, path, options, is_frame), options), options


def write_folder(
    events: FileInput | TableInput, out: Path, options: PrepareOptions, progress: Add = silent
) -> dict[str, Any]:
    """Do the work of :func:`prepare`."""
    feature_options = _feature_options(options)
    plan = {
        **events.plan,
        "version": __version__,
        "rule": repr(events.rule),
        "features": [options.features, feature_options],
        "allow_unknown_labels": options.allow_unknown_labels,
    }
    with work_folder(out, plan, options.overwrite) as work:
        return Run(events, options, feature_options, work, progress).all()


def _feature_options(options: PrepareOptions) -> dict[str, Any]:
    """Return all options of the node features."""
    if options.features in (None, "none"):
        return {}
    from data_prep.features import options as all_options

    decay = options.decay
    if decay is not None and not isinstance(decay, int | float):
        decay = list(decay)
        decay = decay[0] if len(decay) == 1 else decay or None
    return all_options(
        options.features, **{"dim": options.dim, "seed": options.seed, "decay": decay, **options.feature_options}
    )


class _Fraction:
    """Advance a bar to a fraction of its length."""

    def __init__(self, advance: Callable[[int], object], length: int) -> None:
        self._advance, self._length, self._done = advance, length, 0

    def __call__(self, fraction: float) -> None:
        done = int(fraction * self._length)
        if done > self._done:
            self._advance(done - self._done)
            self._done = done


def _hash_and_sync(path: Path) -> str:
    digest = schema.sha256(path)
    files.sync(path)
    return digest


class Run:
    """The stages; what each finds stays as an attribute for the later ones."""

    first_edge = 0
    """Number of events that are there already."""

    def __init__(
        self,
        events: FileInput | TableInput,
        options: PrepareOptions,
        feature_options: dict[str, Any],
        work: Path,
        progress: Add,
    ) -> None:
        self.input, self.options, self.feature_options = events, options, feature_options
        self.work, self.new, self.progress = work, work / "new", progress
        self.hashes: dict[str, Future[str]] = {}

    def all(self) -> dict[str, Any]:
        """Do all that is not done yet; return the manifest."""
        if (self.new / schema.MANIFEST).exists():
            return schema.read_manifest(self.new)
        with ThreadPoolExecutor(2) as self.pool:
            self.read: Sequence[Part] = self.input.read(self.work / "spool", self.progress)
            self.parts = self.filled()
            self.columns = self.parts[0].facts["columns"]
            self.classes = self.order_classes({label for part in self.parts for label in part.facts["labels"]})
            self.binning = self.input.binning or self.bins()
            self.nodes = self.number_nodes()
            facts = self.events()
            first = np.load(self.work / "first.npy")
            names = self.nodes.write(self.new, first, self.options.allow_unknown_labels, self.options.on_error)
            if self.has_event_labels:
                names = self.input.class_names or list(map(str, self.classes))
            features = self.node_features()
            if self.options.on_error == "quarantine":
                self.write_rejected()
            manifest = self.manifest(facts, names, features)
            schema.write_manifest(self.new, manifest)
            return manifest

    @property
    def has_event_labels(self) -> bool:
        """Whether the events have labels."""
        return self.nodes.table is None and "label" in self.columns

    @property
    def num_events(self) -> int:
        """Number of events that are read."""
        return sum(part.rows for part in self.parts)

    def before(self, table: str, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the rows of a table that are there already, as Arrow columns."""
        return iter(())

    def order_classes(self, labels: set[Any]) -> list[Any]:
        """Return the classes of events in the order of their numbers."""
        return in_order(labels)

    def number_nodes(self) -> Nodes:
        """Give the raw ids their nodes."""
        return self.input.nodes(self.parts)  # type: ignore[arg-type]

    def filled(self) -> list[Part]:
        """Return the parts that hold events; they must be of one form."""
        parts = [part for part in self.read if part.rows]
        for part in parts:
            if part.facts["columns"] != parts[0].facts["columns"]:
                names = [other.facts["source"]["name"] for other in (parts[0], part)]
                raise DataError(
                    f"{names[1]}: found columns {part.facts['columns']}, expected those of {names[0]}: "
                    f"{parts[0].facts['columns']}; prepare the files one by one"
                )
        return parts

    def bins(self) -> Binning:
        """Make the snapshots."""
        rule, (low, high) = self.input.rule, self.time_range
        distinct, kth = self.distinct_times() if rule.needs_distinct else None, None
        if rule.needs_order:
            times = np.concatenate([part.column("time") for part in self.parts])
            times.sort()
            kth = times.take
        return bin_times(rule, low, high, distinct, kth, self.num_events, unix=self.input.unix)

    def distinct_times(self) -> np.ndarray:
        """Return the distinct times, ascending."""
        return union([part.distinct_times() for part in self.parts])

    @property
    def time_range(self) -> list[float]:
        """First and last time."""
        return [min(part.facts["low"] for part in self.parts), max(part.facts["high"] for part in self.parts)]

    def events(self) -> dict[str, Any]:
        """Write all tables of events, and free the columns; return counts for the manifest."""
        maps = {**self.nodes.maps, "label": class_numbers(self.classes)}
        arranged = Arrangement(self.parts, maps, self.binning, self.work / "sorted")
        facts = self.stage("edges", lambda: self.edges(arranged))
        self.hash("edges.parquet")
        facts["edge_features"] = None
        if "feat" in self.columns:
            facts["edge_features"] = self.stage("edge_features", lambda: self.edge_features(arranged))
            self.hash("edge_features.parquet")
        if not self.input.rule.needs_order:  # to bin by order again takes all times
            for part in self.parts:
                part.forget()
        return facts

    def stage(self, name: str, run: Callable[[], Any]) -> Any:
        """Run a stage unless an earlier run has done it; return its figures."""
        path = self.work / f"{name}.json"
        if not path.exists():
            files.write_json(path, run())
        return json.loads(path.read_text(encoding="utf-8"))

    def hash(self, name: str) -> "Future[str]":
        """Start to hash a file that is whole, and to bring it to the disk, beside what comes next; once a file."""
        if name not in self.hashes:
            self.hashes[name] = self.pool.submit(_hash_and_sync, self.new / name)
        return self.hashes[name]

    def edges(self, arranged: Arrangement) -> dict[str, Any]:
        """Write edges, snapshots and event labels in one pass."""
        first = FirstSnapshots(self.nodes.count)
        repeats = Repeats(self.nodes.count, arranged.is_sorted)
        counts = np.zeros(self.binning.num_snapshots, np.int64)
        advance = self.progress("writing events", self.first_edge + self.num_events, "rows")
        kind = schema.WEIGHTED_EDGES if "weight" in self.columns else schema.EDGES

        def observed() -> Iterator[Chunk]:
            for chunk in chain(self._events_before(kind.names), self._new_events(arranged, repeats)):
                first.add(chunk)
                counts[:] += np.bincount(chunk["snapshot"], minlength=len(counts))
                if "label" in chunk:
                    chunk["node"] = chunk["src"]
                yield chunk

        with ExitStack() as tables:
            edges = tables.enter_context(TableWriter(self.new / "edges.parquet", kind))
            if "label" in self.columns:
                labels = tables.enter_context(TableWriter(self.new / "labels.parquet", schema.EVENT_LABELS))
                for rows in self.before("labels"):
                    labels.write(rows)
            for chunk in ahead(observed()):
                edges.write(chunk)
                if "label" in chunk:
                    known = chunk["label"] >= 0
                    labels.write({name: chunk[name][known] for name in schema.EVENT_LABELS.names})
                advance(len(chunk["src"]))
        self.write_snapshots(counts)
        write_array(self.work / "first.npy", first.first)
        return {"duplicate_rows": repeats.finish(), "num_edges": int(counts.sum())}

    def _events_before(self, columns: list[str]) -> Iterator[Chunk]:
        for rows in self.before("edges", columns):
            yield {name: schema.to_numpy(values) for name, values in rows.items()}

    def _new_events(self, arranged: Arrangement, repeats: Repeats) -> Iterator[Chunk]:
        for chunk in arranged.chunks():
            repeats.add(chunk)
            chunk["edge_id"] += self.first_edge
            yield chunk

    def write_snapshots(self, counts: np.ndarray) -> None:
        """Write the table of snapshots, with so many events in each."""
        columns = {
            "snapshot": np.arange(len(counts), dtype=np.int32),
            "first_row": np.cumsum(counts) - counts,
            "num_rows": counts,
            "time_begin": self.binning.begin.astype(float),
            "time_end": self.binning.end.astype(float),
        }
        write_table(self.new / "snapshots.parquet", schema.SNAPSHOTS, columns)

    def edge_features(self, arranged: Arrangement) -> dict[str, Any]:
        """Write the features of the events."""
        dim = self.columns["feat"][1]
        advance = self.progress("writing edge features", self.num_events, "rows")
        with TableWriter(self.new / "edge_features.parquet", schema.feature_schema(dim)) as table:
            for rows in self.before("edge_features"):
                table.write(rows)
            for values in ahead(arranged.features(4 * rows_a_group(dim))):
                table.write({"feat": values})
                advance(len(values))
        return {"dim": dim}

    def node_features(self) -> dict[str, Any] | None:
        """Write one file a snapshot; those that are there from an earlier run stay."""
        kind = self.options.features
        if kind in (None, "none"):
            return None
        from data_prep.features import bytes_on_disk, features

        num_nodes, num_snapshots = self.nodes.count, self.binning.num_snapshots
        folder = self.new / "features"
        folder.mkdir(exist_ok=True)
        start = sum(1 for path in folder.glob("*.parquet"))
        size = {name: self.feature_options.get(name) for name in ("dim", "decay")}
        self.check_size(bytes_on_disk(kind, num_nodes, num_snapshots - start, **size), num_snapshots - start)
        edges = schema.table(self.new, "edges", ["snapshot", "src", "dst"])
        snapshot, src, dst = (np.concatenate([np.from_dlpack(c) for c in column.chunks]) for column in edges.columns)
        del edges
        bar = _Fraction(self.progress(f"{kind} features", 1000), 1000)
        resume: dict[str, Any] = {"start": start, "state": self.work / "state", "progress": bar, "grown": self.grown()}
        arrays = features(kind, snapshot, src, dst, num_nodes, num_snapshots, **resume, **self.feature_options)
        for number, values in enumerate(arrays, start):
            with files.write_file(self.new / f"{schema.feature_name(number)}.parquet") as temporary:
                write_table(temporary, schema.feature_schema(values.shape[1]), {"feat": values})
            bar((number + 1) / num_snapshots)
        with schema.open_table(self.new, schema.feature_name(0)) as file:
            dim = file.schema_arrow.field("feat").type.list_size
        return {"kind": kind, **self.feature_options, "dim": dim}

    def grown(self) -> Any:
        """Return what the features go on from."""
        return None

    def check_size(self, needed: int, snapshots: int) -> None:
        """Refuse features that will not fit on the disk; say how large they are where that may surprise."""
        free = shutil.disk_usage(self.work).free
        smaller = "--features none or degree, a smaller --dim, or fewer snapshots (--snapshots 50, --merge)"
        if needed > free:
            raise ConfigError(
                f"node features: found {free >> 20} MiB free on the disk of OUT, expected {needed >> 20} or more; free "
                f"some, or prepare with {smaller}"
            )
        if needed > LARGE_FEATURES:
            text = f"node features of {snapshots:,} snapshots take up to {needed >> 20:,} MiB: {smaller} take less"
            warnings.warn(text, stacklevel=2)

    def write_rejected(self) -> None:
        """Write the table of bad rows."""
        rows = chain(*(part.rejected for part in self.read), self.nodes.rejected)
        with TableWriter(self.new / "rejected.parquet", schema.REJECTED) as table:
            for before in self.before("rejected"):
                table.write(before)
            while some := list(islice(rows, ROW_GROUP)):
                columns = {
                    "file": strings(name for name, _ in some),
                    "line": np.array([row.line for _, row in some], np.int64),
                    "text": strings(row.text for _, row in some),
                    "reason": strings(row.reason for _, row in some),
                }
                table.write(columns)

    def manifest(self, facts: dict[str, Any], names: list[str], features: dict[str, Any] | None) -> dict[str, Any]:
        """Return the manifest."""
        tables = sorted(str(path.relative_to(self.new)) for path in self.new.rglob("*.parquet"))
        hashes = {name: self.hash(name) for name in tables}
        sources = [part.facts["source"] for part in self.read]
        rejected = sum(source["rejected"] for source in sources) + len(self.nodes.rejected)
        return {
            "schema_version": schema.SCHEMA_VERSION,
            "dataset": self.input.dataset,
            "num_nodes": self.nodes.count,
            "num_edges": facts["num_edges"],
            "num_snapshots": self.binning.num_snapshots,
            "num_classes": len(names),
            "class_names": names,
            "labels": "event" if self.has_event_labels else "node" if names else None,
            "directed": self.input.directed,
            "snapshot_rule": self.binning.manifest,
            "time_unit": self.input.time_unit,
            "time_range": self.time_range,
            "id_offsets": self.nodes.offsets,
            "id_order": self.nodes.order,
            "duplicate_rows": facts["duplicate_rows"],
            "rejected_rows": rejected,
            "sources": [*sources, *self.nodes.sources, *self.input.other_sources],
            "edge_weight": self.input.weight,
            "edge_features": facts["edge_features"],
            "features": features,
            "files": {name: digest.result() for name, digest in hashes.items()},
            "tool_version": __version__,
            **self.nodes.facts,
        }
