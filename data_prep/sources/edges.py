"""Any delimited list of timed edges: Bitcoin, CollegeMsg, Wiki-Talk, Stack-Overflow, Reddit hyperlinks, your own."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_prep.options import EDGE_LIST, PrepareOptions
from data_prep.sources import tables
from data_prep.sources._labels import read_labels
from data_prep.sources._layout import Column, Layout
from data_prep.sources._source import SUFFIXES, NodeTable, ReadOptions, Source, name_of, refuse_copies
from data_prep.sources.look import EVENT, UNITS, WEEKS, Look, Take, check_header, look
from data_prep.synth.published import MARKER
from data_prep.writer import arrow
from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.files import real_path

_NOT_ABOUT_COLUMNS = ("encoding", "undirected", "bipartite", "labels", "labels_at", "targets", "name")
_WRITTEN: dict[str, Any] = {"delimiter": ",", "header": True, "encoding": "utf-8", "quote": True, "comment": ""}
_SECONDS: dict[str, Any] = {"time": Column("time", "number"), "unit": "s", "rule": WEEKS}
BITCOIN = Look(
    Path(), ",", width=4, names=("source", "target", "rating", "time"),
    places={"src": 0, "dst": 1, "weight": 2, "time": 3}, **_SECONDS,
)  # fmt: skip
MESSAGES = Look(Path(), width=3, places={"src": 0, "dst": 1, "time": 2}, **_SECONDS)
HYPERLINKS = Look(
    Path(), "\t", width=6, header=True, ids="text", missing=False, time=Column("time", "date"), unit="date", rule=WEEKS,
    names=("SOURCE_SUBREDDIT", "TARGET_SUBREDDIT", "POST_ID", "TIMESTAMP", "LINK_SENTIMENT", "PROPERTIES"),
    places={"src": 0, "dst": 1, "time": 3, "weight": 4, "feat": 5},
)  # fmt: skip
KNOWN: dict[str, tuple[str, Look]] = {
    "soc-sign-bitcoinotc": ("bitcoin-otc", BITCOIN),
    "soc-sign-bitcoinalpha": ("bitcoin-alpha", BITCOIN),
    "soc-redditHyperlinks-body": ("reddit-body", HYPERLINKS),
    "soc-redditHyperlinks-title": ("reddit-title", HYPERLINKS),
    "CollegeMsg": ("college-msg", MESSAGES),
    "wiki-talk-temporal": ("wiki-talk", MESSAGES),
    "sx-stackoverflow": ("stack-overflow", MESSAGES),
}
"""Data sets that are known by their file's name: what they are called, and how they are written."""


def open_source(raw: Path, read: ReadOptions, options: PrepareOptions | None = None) -> Source:
    """Open an edge list: one file, or all files of a folder in the order of their names.

    Files of a name in :data:`KNOWN`, or of a data set that is called so, are written as that says, whatever stands in
    them, unless an option says otherwise; what others look like is seen in the first file. Nodes come in ascending
    order of their ids, or of their names.
    """
    options = options or PrepareOptions()
    _refuse_two_labels(options)
    labels, targets = (None if path is None else Path(path) for path in (options.labels, options.targets))
    parts = _files(raw, [path for path in (labels, targets) if path])
    stem = re.sub(r"-[0-9]+$", "", parts[0].name.partition(".")[0])
    named = next((known for known in KNOWN.values() if known[0] == options.name), None)
    name, known = KNOWN.get(stem) or named or (stem, None)
    form, seen = _look(parts, read, replace(options, label=None) if labels else options, known)
    nodes = _read_nodes(labels, Column("label", "class"), read, options, form)
    numbers = _read_nodes(targets, Column("target", "number"), read, replace(options, label=None), form)
    if options.labels_at and not any(table and table.at is not None for table in (nodes, numbers)):
        raise ConfigError(
            f"found --labels-at {options.labels_at}, expected labels or targets of some times; leave it out, or give a "
            "file with a column of times"
        )
    weight = form.places.get("weight")
    two_spaces = form.two_spaces if options.bipartite is None else options.bipartite
    return Source(
        name_of(options.name or name, parts[0].parent),
        parts,
        _layout(form, options),
        form.rule,
        ("user", "item") if two_spaces else ("node", "node"),
        directed=not options.undirected,
        time_unit="as in the file" if form.unit == "none" else "seconds since 1970-01-01 UTC",
        unix=form.unit != "none",
        weight=None if weight is None else form.names[weight] if form.names else str(weight + 1),
        nodes=nodes,
        targets=numbers,
        look=seen,
    )


def _look(
    parts: Sequence[Path], read: ReadOptions, options: PrepareOptions, known: Look | None
) -> tuple[Look, Look | None]:
    """Return how files are written, and what was seen in the first one unless that is known."""
    overruled = any(getattr(options, option) is not None for option in EDGE_LIST if option not in _NOT_ABOUT_COLUMNS)
    table = tables.form_at(parts[0])
    if table:
        known, options = None, as_written(options)
    if known is not None and not overruled:
        for part in parts:
            check_header(part, known, read.max_bytes)
        return replace(known, encoding=options.encoding or "utf-8"), None
    usual: dict[str, Any] = {}
    if known is not None:
        usual = {"edge_features" if role == "feat" else role: str(at + 1) for role, at in known.places.items()}
        usual |= {"delimiter": known.delimiter, "header": known.header, "ids": known.ids}
    form = replace(options, **{name: value for name, value in usual.items() if getattr(options, name) is None})
    seen = look(parts[0], EVENT, form, read.max_bytes)
    for part in parts[1:]:
        check_header(part, seen, read.max_bytes)
    if table:
        takes = (take for take in seen.takes if take.what not in ("delimiter", "quotes", "header"))
        seen = replace(seen, takes=(Take("format", f"table ({table})", "its first bytes"), *takes))
    return seen, seen


def _refuse_two_labels(form: PrepareOptions) -> None:
    """Raise ConfigError where labels are of events and of nodes, or of nodes twice; --label may be of --labels."""
    columns, label = form.src_label or form.dst_label, None if form.labels else form.label
    options = {"--label": label, "--labels": form.labels, "--src-label or --dst-label": columns}
    listed = [f"{option} {value}" for option, value in options.items() if value]
    if len(listed) > 1:
        raise ConfigError(f"found {' and '.join(listed)}, expected labels of events or of nodes, once; leave one out")


def _read_nodes(
    path: Path | None, value: Column, read: ReadOptions, options: PrepareOptions, events: Look
) -> NodeTable | None:
    """Read a file of labels or targets, with ids and times as those of the events."""
    if path is None:
        return None
    assert events.time is not None
    ids = "text" if events.ids == "text" else "integer"
    # Where the times stand is looked for; how they are written is known, and any format keeps that from being judged.
    form = PrepareOptions(
        encoding=options.encoding,
        ids=ids,
        time_format=events.time.format or "%Y",
        src=events.names[events.places["src"]] if events.names else None,
        label=options.label,
    )
    form = as_written(form) if tables.form_at(path) else form
    roles = ("node", value.name, "time")
    seen = look(path, roles, form, read.max_bytes)
    if options.labels_at and "time" not in seen.places and seen.width > 2:
        seen = look(path, roles, replace(form, labels_at=options.labels_at), read.max_bytes)
    columns, derive = [replace(events.id_column("src"), name="node"), value], None
    if "time" in seen.places:
        columns.append(events.time)
        derive = _seconds_of(events.unit)
    return replace(read_labels(path, read, seen.layout(columns, derive=derive), options.labels_at), look=seen)


def as_written(options: PrepareOptions) -> PrepareOptions:
    """Return the options with those that say how the CSV of a table is written."""
    options.refuse(tuple(_WRITTEN), "a table says it itself")
    return replace(options, **_WRITTEN)


def _files(raw: Path, beside: Sequence[Path]) -> tuple[Path, ...]:
    if raw.is_file():
        return (raw,)
    if not raw.is_dir():
        raise DataError(f"{raw}: found no such file or folder, expected an edge list; check RAW")
    not_parts = {MARKER, *(path.name for path in beside if real_path(path).parent == real_path(raw))}
    # Spark and Dask write _SUCCESS and _metadata beside the parts of a table.
    listed = (path for path in raw.iterdir() if path.is_file() and path.name[0] not in "._")
    parts = [path for path in listed if path.name not in not_parts]
    if not parts:
        raise DataError(f"{raw}: found no file in it, expected an edge list or its parts; check RAW")
    parts.sort(key=lambda path: [(int(n or 0), t) for n, t in re.findall(r"(\d*)(\D*)", path.name)])
    bare_names: dict[str, Path] = {}
    for path in parts:
        bare = path.stem if path.suffix in SUFFIXES[1:] else path.name
        if bare_names.setdefault(bare, path) != path:
            refuse_copies(raw, [bare_names[bare], path])
    return tuple(parts)


def _layout(seen: Look, options: PrepareOptions) -> Layout:
    """Return how the events are read."""
    vector, time = seen.places.get("feat"), seen.time
    if vector is not None and vector < max(seen.places.values()):
        raise ConfigError(
            f"found edge features from column {vector + 1}, expected all other columns before it; give a later "
            "--edge-features"
        )
    assert time is not None
    odd = _ODD_NAMES[: 1 + (options.quote is None)] if seen.ids == "text" else ()
    ids = [replace(seen.id_column(end), odd=odd) for end in ("src", "dst")]
    classes = [Column(role, "class") for role in ("label", "src_label", "dst_label")]
    columns = [*ids, time, Column("weight", "number"), *classes]
    return seen.layout(
        [column for column in columns if column.name in seen.places],
        vector,
        vector=None if vector is None else "field" if vector == seen.width - 1 and seen.delimiter != "," else "rest",
        derive=_seconds_of(seen.unit),
    )


_ODD_NAMES = (
    ("\ufeff", "a byte-order mark", "one at the beginning of the file only; files that were joined may have others"),
    ('"', "a quote", "none but around whole fields (or give --quote or --no-quote to keep it)"),
)
"""What ids do not begin with, and what is said of those that do."""


def _seconds_of(unit: str) -> "_Seconds | None":
    return _Seconds(UNITS[unit]) if UNITS.get(unit, 1) != 1 else None


@dataclass(frozen=True)
class _Seconds:
    """Turns times into seconds, of which so many `units` make one."""

    units: float

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        seconds = np.true_divide(np.from_dlpack(batch.column("time")), self.units)
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        return pa.record_batch({**columns, "time": arrow(seconds)})
