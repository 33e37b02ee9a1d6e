"""Tomorrow's events into the folder of today: :func:`append`; the stages are those of :func:`data_prep.prepare`."""

import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.nodes import KnownNodes, Nodes
from data_prep.options import PrepareOptions
from data_prep.pipeline import FileInput, Run, open_files
from data_prep.rules import Binning, Growth, Rule
from data_prep.sources import READERS, standard_input, tables
from data_prep.sources._source import Source
from data_prep.sources.dblp import LABELS
from data_prep.sources.edges import KNOWN
from data_prep.spool import CHUNK, Part
from data_prep.terminal import Add, short_value, silent
from data_prep.writer import check_prepared, work_folder
from dgl_dysign import __version__
from dgl_dysign.data import schema
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.events import EventTable

_OWN = (
    "every", "snapshots", "merge", "features", "dim", "seed", "decay", "feature_options", "names_of", "overwrite",
)  # fmt: skip
_AS_IN_FILE = "as in the file"


class _AlreadyThereError(DataError):
    """The files are those of the last append."""


def append(
    prepared: str | os.PathLike[str],
    raw: "str | os.PathLike[str] | Any",
    options: PrepareOptions | None = None,
    progress: Add = silent,
) -> dict[str, Any]:
    r"""Add later events to a prepared folder; all that is in it stays as it is, bit for bit.

    Snapshots go on by the folder's own rule, empty ones keep their index; nodes that the folder does not know get the
    next numbers, in the order of their ids or names; rows, classes and edge ids go on. Features of old snapshots keep
    their files: new nodes had no event then, and are zero there. Those of the new snapshots are made with the options
    of the manifest. The folder is replaced in one step, and its manifest names the one before as ``parent``.

    Parameters
    ----------
    prepared : path
        The prepared folder.
    raw : path, or table of pandas, polars or pyarrow
        Files of the format that the folder was prepared from, ``-`` for standard input; an edge list if its data set is
        not one that is known. Or a table in memory, which is read as the CSV of its rows would be.
    options : PrepareOptions, optional
        How the files are read. For an edge list those that :func:`data_prep.prepare` was given, again; direction, kind
        of ids and steps are taken from the folder. Rule and features are the folder's.
    progress : callable, optional
        Given (text, total), returns a function that is told of each advance.

    Returns
    -------
    dict
        The new manifest. If the files are those that were appended last, nothing is done.

    Raises
    ------
    DataError, ConfigError
        If an event lies before the end of the last snapshot, a node would change its class, the files do not have the
        folder's columns, or rule or features cannot go on; nothing is changed then. Any other end, such as an interrupt
        or a kill, leaves the folder as it was, or done, and the same call goes on.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from data_prep import prepare
    >>> with TemporaryDirectory() as home:
    ...     today, tomorrow = Path(home) / "today.csv", Path(home) / "tomorrow.csv"
    ...     _ = today.write_text("7,9,0\n9,7,1\n"), tomorrow.write_text("9,8,3\n")
    ...     _ = prepare("edges", today, Path(home) / "out", PrepareOptions(time_unit="none"))
    ...     manifest = append(Path(home) / "out", tomorrow)
    ...     schema.table(Path(home) / "out", "nodes", ["raw_id"])["raw_id"].to_pylist(), manifest["num_snapshots"]
    (['7', '9', '8'], 3)
    """
    with opened(Path(prepared), raw, options or PrepareOptions()) as ready:
        return ready.run(progress)


@contextmanager
def opened(out: Path, raw: Any, options: PrepareOptions) -> Iterator["Ready"]:
    """Open what :func:`append` reads; a wrong option, or a folder that cannot go on, is told first."""
    options.refuse(_OWN, "snapshots and features go on as those of the folder")
    check_prepared(out, overwrite=True)
    manifest, parent = schema.read_manifest(out), schema.sha256(out / schema.MANIFEST)
    growth, (kind, feature_options) = _growth(out, manifest), _features(out, manifest)
    if isinstance(raw, EventTable):
        raise ConfigError("found an EventTable, expected files or a table with raw ids; prepare all events together")
    with standard_input.as_file(raw, out) as path:
        source = _open(manifest, path, options, tables.is_frame(raw))
        source = replace(source, rule=Rule("step") if growth.before.closed else Rule("every", width=1.0))
        events, options = FileInput(source, options), replace(options, features=kind)
        yield Ready(out, manifest, parent, growth, events, options, feature_options)


@dataclass(frozen=True)
class Ready:
    """An append whose folder and files are opened."""

    folder: Path
    manifest: dict[str, Any]
    parent: str
    growth: Growth
    events: FileInput
    options: PrepareOptions
    feature_options: dict[str, Any]

    def run(self, progress: Add) -> dict[str, Any]:
        """Do the work of :func:`append`."""
        unknown = self.options.allow_unknown_labels
        plan = {**self.events.plan, "version": __version__, "parent": self.parent, "unknown": unknown}
        try:
            with work_folder(self.folder, plan, overwrite=True) as work:
                if schema.sha256(self.folder / schema.MANIFEST) != self.parent:
                    raise DataError(f"{self.folder}: found that another run has just changed it; run the command again")
                run = _Append(self.events, self.options, self.feature_options, work, progress)
                run.go_on_from(self)
                return run.all()
        except _AlreadyThereError:
            return self.manifest


def _growth(folder: Path, manifest: dict[str, Any]) -> Growth:
    """Return how the snapshots go on; raise an error that names the folder if they cannot."""
    table = schema.table(folder, "snapshots")
    begin, end, rows = (schema.to_numpy(table[name]) for name in ("time_begin", "time_end", "num_rows"))
    if not len(begin):
        raise DataError(f"{folder}: found no snapshots, expected one or more; prepare all events together")
    rule = manifest["snapshot_rule"]
    times = schema.read_rows(folder, "edges", manifest["num_edges"] - int(rows[-1]), int(rows[-1]), ["time"])["time"]
    steps = len(np.unique(schema.to_numpy(times)))
    try:
        return Growth(Binning(begin, end, rule, closed=rule.get("kind") in ("rank", "grid")), steps)
    except ConfigError as error:
        raise ConfigError(f"{folder}: {error}") from None


def _features(folder: Path, manifest: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return kind and options of the folder's features."""
    if manifest["features"] is None:
        return "none", {}
    from data_prep.features import KINDS, options

    chosen = dict(manifest["features"])
    kind = chosen.pop("kind", None)
    if kind not in KINDS:
        raise ConfigError(
            f"{folder}: found features of the kind {kind!r}, expected one of {', '.join(KINDS)}; prepare all events "
            "together, with --features"
        )
    return kind, options(kind, **{**chosen, "dim": chosen["dim"] // np.size(chosen.get("decay", 1.0))})


def _open(manifest: dict[str, Any], raw: Path, options: PrepareOptions, is_frame: bool) -> Source:
    """Open the raw files in the format of the folder, and check that it is the folder's."""
    name, as_in_file = manifest["dataset"].removesuffix("-generated"), manifest.get("id_order") == _AS_IN_FILE
    unix = manifest["time_unit"].startswith("seconds since 1970")
    two_types = len(manifest["id_offsets"]) == 2
    # Another list of edges may have been given the name of a known data set.
    reader = READERS.get(name, "")
    fits = {"dblp": as_in_file, "jodie": two_types}.get(reader, bool(reader))
    if not is_frame and (fits or (as_in_file and (raw / LABELS).exists())):
        source = open_files(name if fits else "dblp", raw, options)
    else:
        known = name in (title for title, _ in KNOWN.values())
        usual = {
            "undirected": not manifest["directed"],
            "time_unit": None if unix or known else "none",
            "bipartite": two_types or None,
            "name": name,
        }
        taken: dict[str, Any] = {key: value for key, value in usual.items() if getattr(options, key) in (None, False)}
        source = _open_edges(manifest, raw, replace(options, **taken), is_frame)
    expected = {
        "types of nodes": (list(dict.fromkeys(source.spaces)), list(manifest["id_offsets"])),
        "ids that are node numbers": (source.keep_ids, as_in_file),
        "ids that are text": (_is_text(source), manifest.get("id_order") == "lexicographic"),
        "times": tuple("seconds since 1970" if known else "of no known origin" for known in (source.unix, unix)),
        "weights": (source.weight is not None, manifest.get("edge_weight") is not None),
    }
    _check_as_in_folder(raw, expected, "--ids, --time-unit or --weight")
    return source


def _check_as_in_folder(raw: Path | str, expected: dict[str, Any], options: str) -> None:
    """Compare some facts of the files, the first of each pair, with those of the folder."""
    for what, (here, there) in expected.items():
        if here != there:
            raise ConfigError(
                f"{raw}: found {what}: {here}, expected {there}, as in the folder; give the options that it was "
                f"prepared with, such as {options}, or the same form of the files"
            )


def _is_text(source: Source) -> bool:
    return any(column.kind == "text" for column in source.layout.columns if column.name == "src")


def _open_edges(manifest: dict[str, Any], raw: Path, options: PrepareOptions, is_frame: bool) -> Source:
    """Open a list of edges whose ids are read as those of the folder."""
    source = open_files("edges", raw, options, is_frame)
    if options.ids is None and manifest.get("id_order") == "lexicographic" and not _is_text(source):
        source = open_files("edges", raw, replace(options, ids="text"), is_frame)
        # Nobody has said that names such as NaN are no missing ones.
        columns = (replace(column, missing=column.name in ("src", "dst")) for column in source.layout.columns)
        source = replace(source, layout=replace(source.layout, columns=tuple(columns)))
    return replace(source, keep_ids=manifest.get("id_order") == _AS_IN_FILE)


class _Append(Run):
    """The stages, which go on from what is in a folder."""

    def go_on_from(self, ready: Ready) -> None:
        self.folder, self.old, self.parent, self.growth = ready.folder, ready.manifest, ready.parent, ready.growth
        self.first_edge = self.old["num_edges"]

    def before(self, table: str, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
        if f"{table}.parquet" in self.old["files"]:
            for batch in schema.RowReader(self.folder, table).batches(columns, CHUNK):
                yield dict(zip(batch.schema.names, batch.columns, strict=True))

    def filled(self) -> list[Part]:
        parts = super().filled()
        columns, features = parts[0].facts["columns"], self.old.get("edge_features")
        expected = {
            "features of events": (columns.get("feat", [0, None])[1], features and features["dim"]),
            "labels of events": ("label" in columns, self.old["labels"] == "event"),
        }
        if self.old["labels"] is None:
            del expected["labels of events"]
        _check_as_in_folder(parts[0].facts["source"]["name"], expected, "--label or --edge-features")
        return parts

    def bins(self) -> Binning:
        for number, part in enumerate(self.read):
            if part.rows and not self.growth.allowed(part.facts["low"]):
                self.refuse_past(number, part)
        high = self.time_range[1]
        return self.growth.binning(high, self.distinct_times() if self.growth.before.closed else None)

    def refuse_past(self, number: int, part: Part) -> None:
        """Name the first event that would change the past."""
        if self.is_last_append():
            raise _AlreadyThereError("nothing to do")
        time = part.column("time")
        row = int(np.argmin(self.growth.allowed(time)))
        assert isinstance(self.input, FileInput)
        file = self.input.open(number)
        for _ in file:
            pass
        after = "times after" if self.growth.before.closed else "times from"
        unix = self.old["time_unit"] == "seconds since 1970-01-01 UTC"
        moment, end = (short_value("time", float(at), unix) for at in (time[row], self.growth.before.end[-1]))
        raise DataError(
            f"{file.path}, line {file.line_of(row)}: found the time {moment}, which would change the past: expected "
            f"{after} {end}, where the last snapshot ends; append whole snapshots, leave earlier events out, or "
            "prepare all events together"
        )

    def is_last_append(self) -> bool:
        """Tell whether the files are those that were appended last, as when a run was killed after all was done."""
        if not self.old.get("appended"):
            return False
        first, rows, last = self.old["appended"][-1]["first_edge"], 0, []
        for source in self.old["sources"][: self.event_sources]:
            if rows >= first:
                last.append(source["sha256"])
            rows += source["rows"]
        beside = {source["sha256"] for source in self.old["sources"][self.event_sources :]}
        assert isinstance(self.input, FileInput)
        tables = (self.input.source.nodes, self.input.source.targets)
        others = {source["sha256"] for table in tables if table is not None for source in table.sources}
        return last == [part.facts["source"]["sha256"] for part in self.read] and others <= beside

    @property
    def event_sources(self) -> int:
        """Number of the sources that have events."""
        rows = np.cumsum([0, *(source["rows"] for source in self.old["sources"])])
        return int(np.searchsorted(rows, self.first_edge))

    def order_classes(self, labels: set[Any]) -> list[Any]:
        known = self.old["class_names"] if self.old["labels"] == "event" else []
        return [*known, *(label for label in super().order_classes(labels) if str(label) not in known)]

    def number_nodes(self) -> Nodes:
        assert isinstance(self.input, FileInput)
        return self.input.nodes(self.parts, KnownNodes(self.folder, self.old))  # type: ignore[arg-type]

    def node_features(self) -> dict[str, Any] | None:
        if self.old["features"] is not None:
            (self.new / "features").mkdir(exist_ok=True)
            self.carry(map(schema.feature_name, range(self.old["num_snapshots"])))
        super().node_features()
        return self.old["features"]

    def grown(self) -> Any:
        from data_prep.features import Grown

        entries = [*self.old.get("appended", []), {"first_snapshot": self.old["num_snapshots"]}]
        sizes = [entry["first_node"] for entry in entries[:-1]] + [self.old["num_nodes"], self.nodes.count]
        starts = [0, *(entry["first_snapshot"] for entry in entries)]
        last = schema.feature_name(self.old["num_snapshots"] - 1)

        def rows() -> np.ndarray:
            return schema.to_numpy(schema.table(self.folder, last)["feat"])

        return Grown(list(zip(starts, sizes, strict=True)), rows)

    def carry(self, tables: Iterable[str]) -> None:
        """Take over the files of tables that do not change."""
        for name in (f"{table}.parquet" for table in tables):
            if name in self.old["files"]:
                self.hashes[name] = Future()
                self.hashes[name].set_result(self.old["files"][name])
                _link(self.folder / name, self.new / name)

    def keep_others(self) -> None:
        """Take over files that are not ours; pictures of what was there, and caches, are made anew."""
        for path in self.folder.rglob("*"):
            name = str(path.relative_to(self.folder))
            ours = name in (schema.MANIFEST, "describe.png") or path.suffix in (".parquet", ".arrow", ".tmp")
            if path.is_file() and not ours:
                (self.new / name).parent.mkdir(parents=True, exist_ok=True)
                _link(path, self.new / name)

    def manifest(self, facts: dict[str, Any], names: list[str], features: dict[str, Any] | None) -> dict[str, Any]:
        old, read, first = self.old, len(self.read), self.event_sources
        self.carry(table for table in schema.TABLES if not (self.new / f"{table}.parquet").exists())
        self.keep_others()
        new = super().manifest(facts, names, features)
        known = [old["sources"][:first], old["sources"][first:]]
        entry = {
            "parent": self.parent,
            "first_snapshot": old["num_snapshots"],
            "first_edge": old["num_edges"],
            "first_node": old["num_nodes"],
            "id_offsets": self.nodes.offsets,
        }
        return {
            **{key: old[key] for key in ("labels_at", "targets") if key in old},
            **new,
            "dataset": old["dataset"],
            "directed": old["directed"],
            "time_unit": old["time_unit"],
            "edge_weight": old.get("edge_weight"),
            "time_range": [old["time_range"][0], new["time_range"][1]],
            "id_offsets": old["id_offsets"],
            "duplicate_rows": old["duplicate_rows"] + new["duplicate_rows"],
            "rejected_rows": old["rejected_rows"] + new["rejected_rows"],
            "sources": [*known[0], *new["sources"][:read], *known[1], *new["sources"][read:]],
            "parent": self.parent,
            "appended": [*old.get("appended", []), entry],
        }


def _link(path: Path, there: Path) -> None:
    """Let a file stand in another folder, too, unless it does."""
    if there.exists():
        return
    try:
        os.link(path, there)
    except FileNotFoundError:
        raise DataError(f"{path}: found no such file, expected it; prepare the folder again") from None
    except OSError:  # a disk without links
        copy = there.with_name(f".{there.name}.tmp")
        shutil.copyfile(path, copy)
        copy.rename(there)
