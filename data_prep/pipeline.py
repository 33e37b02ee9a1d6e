"""From a raw data set to a prepared folder: spool, number the nodes, bin, write; each stage is done once."""

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.arrange import Arrangement, Chunk, FirstSnapshots, Repeats
from data_prep.engines import Engine
from data_prep.ids import union
from data_prep.nodes import Nodes, number_nodes
from data_prep.parquet import ROW_GROUP, TableWriter, ahead, rows_a_group, strings, write_table
from data_prep.progress import Add
from data_prep.rules import Binning, Rule, bin_times
from data_prep.sources._source import ReadOptions, Source, other_sources
from data_prep.spool import Part
from data_prep.writer import sync_file, work_folder, write_array, write_json
from dgl_dysign import __version__
from dgl_dysign.data import schema
from dgl_dysign.errors import ConfigError, DataError


def _silent(text: str, total: int, unit: str = "") -> Callable[..., None]:
    return lambda amount=1: None


@dataclass(frozen=True)
class Options:
    """How a raw data set is prepared.

    Parameters
    ----------
    rule : Rule
        How times become snapshots.
    read : ReadOptions
        How raw files are read.
    engine : Engine
        Where they are read.
    features : str, default "none"
        Kind of node features, one of :data:`data_prep.features.KINDS`.
    feature_options : dict
        Their options, all of them (see :func:`data_prep.features.options`).
    allow_unknown_labels : bool, default False
        Keep labels of nodes that no event names.
    overwrite : bool, default False
        Replace an existing prepared folder.
    """

    rule: Rule
    read: ReadOptions = field(default_factory=ReadOptions)
    engine: Engine = field(default_factory=Engine)
    features: str = "none"
    feature_options: dict[str, Any] = field(default_factory=dict)
    allow_unknown_labels: bool = False
    overwrite: bool = False

    def plan(self, source: Source) -> dict[str, Any]:
        """Describe all that the result depends on, so that a later run knows whether it may go on."""
        paths = [*source.parts, *source.beside]
        files = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
        nodes = [] if source.nodes is None else source.nodes.sources
        return {
            "version": __version__,
            "dataset": source.dataset,
            "layout": repr(source.layout),
            "source": [*source.spaces, source.keep_ids, source.directed, source.time_unit, source.weight],
            "files": files,
            "nodes": nodes,
            "rule": repr(self.rule),
            "read": [self.read.on_error, self.read.max_bytes],
            "features": [self.features, self.feature_options],
            "allow_unknown_labels": self.allow_unknown_labels,
        }


def prepare(source: Source, out: Path, options: Options, progress: Add = _silent) -> dict[str, Any]:
    """Write a prepared folder.

    Parameters
    ----------
    source : Source
        The raw data set.
    out : path
        The folder to write.
    options : Options
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
        If a file or an option is wrong; nothing is left behind then. Any other end, such as an interrupt or a full
        disk, leaves what is done beside `out`, and the same call goes on from there.
    """
    source = replace(source, rule=options.rule)
    with work_folder(out, options.plan(source), options.overwrite) as work:
        return _Run(source, options, work, progress).all()


class _Fraction:
    """Advance a bar to a fraction of its length."""

    def __init__(self, advance: Callable[[int], object], length: int) -> None:
        self._advance, self._length, self._done = advance, length, 0

    def __call__(self, fraction: float) -> None:
        done = int(fraction * self._length)
        if done > self._done:
            self._advance(done - self._done)
            self._done = done


def _settle(path: Path) -> str:
    found = schema.sha256(path)
    sync_file(path)
    return found


class _Run:
    def __init__(self, source: Source, options: Options, work: Path, progress: Add) -> None:
        self.source, self.options, self.work, self.new = source, options, work, work / "new"
        self.progress = progress
        self.hashes: dict[str, Future[str]] = {}

    def all(self) -> dict[str, Any]:
        if (self.new / schema.MANIFEST).exists():
            return schema.read_manifest(self.new)
        with ThreadPoolExecutor(2) as self.pool:
            return self.stages()

    def stages(self) -> dict[str, Any]:
        size = sum(path.stat().st_size for path in self.source.parts)
        read = replace(self.options.read, on_bytes=self.progress("reading", size, "B"))
        self.read = self.options.engine.read(self.source, self.work / "spool", read)
        parts = self.filled()
        nodes = self.nodes(parts)
        binning = self.binning(parts)
        arranged = Arrangement(parts, nodes.maps, binning, self.work / "sorted")
        facts = self.stage("edges", lambda: self.edges(arranged, nodes, binning, parts))
        self.hash("edges.parquet")
        if "feat" in parts[0].facts["columns"]:
            facts["edge_features"] = self.stage("edge_features", lambda: self.edge_features(arranged, parts))
            self.hash("edge_features.parquet")
        if not self.options.rule.needs_order:  # to bin by order again takes all times
            for part in parts:
                part.forget()
        first = np.load(self.work / "first.npy")
        labels = nodes.write(self.new, first, self.options.allow_unknown_labels, self.options.read.on_error)
        if self.source.nodes is None and "label" in parts[0].facts["columns"]:
            labels = self.class_names(parts)
        features = self.node_features(nodes.count, binning.num_snapshots)
        rejected = sum(part.facts["source"]["rejected"] for part in self.read) + len(nodes.rejected)
        if self.options.read.on_error == "quarantine":
            self.write_rejected(nodes)
        manifest = self.manifest(parts, nodes, binning, facts, labels, features, rejected)
        schema.write_manifest(self.new, manifest)
        return manifest

    def hash(self, name: str) -> "Future[str]":
        """Start to hash a file that is whole, and to bring it to the disk, beside what comes next; once a file."""
        if name not in self.hashes:
            self.hashes[name] = self.pool.submit(_settle, self.new / name)
        return self.hashes[name]

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

    def stage(self, name: str, run: Callable[[], Any]) -> Any:
        """Run a stage unless an earlier run has done it; return what it found."""
        path = self.work / f"{name}.json"
        if not path.exists():
            write_json(path, run())
        return json.loads(path.read_text(encoding="utf-8"))

    def nodes(self, parts: list[Part]) -> Nodes:
        return number_nodes(self.source, parts, self.options.allow_unknown_labels)

    def binning(self, parts: list[Part]) -> Binning:
        rule, low = self.options.rule, min(part.facts["low"] for part in parts)
        high, total = max(part.facts["high"] for part in parts), sum(part.rows for part in parts)
        distinct, kth = None, None
        if rule.needs_distinct:
            distinct = union([part.distinct_times() for part in parts])
        if rule.needs_order:
            times = np.concatenate([part.column("time") for part in parts])
            times.sort()
            kth = times.take
        return bin_times(rule, low, high, distinct, kth, total, unix=self.source.unix)

    @staticmethod
    def classes(parts: list[Part]) -> list[int]:
        return sorted({label for part in parts for label in part.facts["labels"]})

    def class_names(self, parts: list[Part]) -> list[str]:
        return [str(label) for label in self.classes(parts)]

    def edges(self, arranged: Arrangement, nodes: Nodes, binning: Binning, parts: list[Part]) -> dict[str, Any]:
        """Write edges, snapshots and event labels in one pass."""
        first = FirstSnapshots(nodes.count)
        repeats = Repeats(nodes.count, arranged.is_sorted)
        counts = np.zeros(binning.num_snapshots, np.int64)
        classes = np.array(self.classes(parts))
        advance = self.progress("writing events", sum(part.rows for part in parts), "rows")

        def observed() -> Iterator[Chunk]:
            for chunk in arranged.chunks():
                first.add(chunk)
                repeats.add(chunk)
                counts[:] += np.bincount(chunk["snapshot"], minlength=len(counts))
                if "label" in chunk:
                    chunk["node"] = chunk["src"]
                    label = np.where(chunk["label"] < 0, -1, np.searchsorted(classes, chunk["label"]))
                    chunk["label"] = label.astype(np.int32)
                yield chunk

        columns = parts[0].facts["columns"]
        kind = schema.WEIGHTED_EDGES if "weight" in columns else schema.EDGES
        with ExitStack() as files:
            edges = files.enter_context(TableWriter(self.new / "edges.parquet", kind))
            if "label" in columns:
                labels = files.enter_context(TableWriter(self.new / "labels.parquet", schema.EVENT_LABELS))
            for chunk in ahead(observed()):
                edges.write(chunk)
                if "label" in chunk:
                    known = chunk["label"] >= 0
                    labels.write({name: chunk[name][known] for name in schema.EVENT_LABELS.names})
                advance(len(chunk["src"]))
        starts = np.cumsum(counts) - counts
        number = np.arange(len(counts), dtype=np.int32)
        ranges = number, starts, counts, binning.begin.astype(float), binning.end.astype(float)
        write_table(
            self.new / "snapshots.parquet", schema.SNAPSHOTS, dict(zip(schema.SNAPSHOTS.names, ranges, strict=True))
        )
        write_array(self.work / "first.npy", first.first)
        return {"duplicate_rows": repeats.finish(), "num_edges": int(counts.sum())}

    def edge_features(self, arranged: Arrangement, parts: list[Part]) -> dict[str, Any]:
        dim = parts[0].facts["columns"]["feat"][1]
        advance = self.progress("writing edge features", sum(part.rows for part in parts), "rows")
        with TableWriter(self.new / "edge_features.parquet", schema.feature_schema(dim)) as table:
            for values in ahead(arranged.features(4 * rows_a_group(dim))):
                table.write({"feat": values})
                advance(len(values))
        return {"dim": dim}

    def node_features(self, num_nodes: int, num_snapshots: int) -> dict[str, Any] | None:
        """Write one file a snapshot; those that are there from an earlier run stay."""
        kind, chosen = self.options.features, self.options.feature_options
        if kind == "none":
            return None
        from data_prep.features import bytes_on_disk, features

        folder = self.new / "features"
        folder.mkdir(exist_ok=True)
        start = sum(1 for path in folder.glob("*.parquet"))
        size = {name: chosen.get(name) for name in ("dim", "decay")}
        self.check_disk(bytes_on_disk(kind, num_nodes, num_snapshots - start, **size))
        edges = schema.table(self.new, "edges", ["snapshot", "src", "dst"])
        snapshot, src, dst = (np.concatenate([np.from_dlpack(c) for c in column.chunks]) for column in edges.columns)
        del edges
        bar = _Fraction(self.progress(f"{kind} features", 1000), 1000)
        made = features(
            kind,
            snapshot,
            src,
            dst,
            num_nodes,
            num_snapshots,
            start=start,
            state=self.work / "state",
            progress=bar,
            **chosen,
        )
        for number, values in enumerate(made, start):
            dim = values.shape[1]
            partial = self.work / "features.partial"
            write_table(partial, schema.feature_schema(dim), {"feat": values})
            partial.rename(self.new / f"{schema.feature_name(number)}.parquet")
            bar((number + 1) / num_snapshots)
        with schema.open_table(self.new, schema.feature_name(0)) as file:
            dim = file.schema_arrow.field("feat").type.list_size
        return {"kind": kind, **chosen, "dim": dim}

    def check_disk(self, needed: int) -> None:
        free = shutil.disk_usage(self.work).free
        if needed > free:
            raise ConfigError(
                f"node features: found {free >> 20} MiB free on the disk of OUT, expected {needed >> 20} or more; free "
                "some, or choose --features none or degree, a smaller --dim, or fewer snapshots with --merge"
            )

    def write_rejected(self, nodes: Nodes) -> None:
        rows = chain(*(part.rejected for part in self.read), nodes.rejected)
        with TableWriter(self.new / "rejected.parquet", schema.REJECTED) as table:
            while some := list(islice(rows, ROW_GROUP)):
                columns = {
                    "file": strings(name for name, _ in some),
                    "line": np.array([row.line for _, row in some], np.int64),
                    "text": strings(row.text for _, row in some),
                    "reason": strings(row.reason for _, row in some),
                }
                table.write(columns)

    def manifest(
        self,
        parts: list[Part],
        nodes: Nodes,
        binning: Binning,
        facts: dict[str, Any],
        labels: list[str],
        features: dict[str, Any] | None,
        rejected: int,
    ) -> dict[str, Any]:
        names = sorted(str(path.relative_to(self.new)) for path in self.new.rglob("*.parquet"))
        hashes = {name: self.hash(name) for name in names}
        event_labels = self.source.nodes is None and "label" in parts[0].facts["columns"]
        sources = [part.facts["source"] for part in self.read] + nodes.sources
        return {
            "schema_version": schema.SCHEMA_VERSION,
            "dataset": self.source.dataset,
            "num_nodes": nodes.count,
            "num_edges": facts["num_edges"],
            "num_snapshots": binning.num_snapshots,
            "num_classes": len(labels),
            "class_names": labels,
            "labels": "event" if event_labels else "node" if labels else None,
            "directed": self.source.directed,
            "snapshot_rule": binning.manifest,
            "time_unit": self.source.time_unit,
            "time_range": [min(p.facts["low"] for p in parts), max(p.facts["high"] for p in parts)],
            "id_offsets": nodes.offsets,
            "id_order": nodes.order,
            "duplicate_rows": facts["duplicate_rows"],
            "rejected_rows": rejected,
            "sources": sources + other_sources(self.source),
            "edge_weight": self.source.weight,
            "edge_features": facts.get("edge_features"),
            "features": features,
            "files": {name: found.result() for name, found in hashes.items()},
            "tool_version": __version__,
        }
