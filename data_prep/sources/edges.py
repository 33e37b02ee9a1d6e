"""Any delimited list of timed edges: Bitcoin, CollegeMsg, Wiki-Talk, Stack-Overflow, Reddit hyperlinks, your own."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_prep.options import EDGE_LIST, PrepareOptions
from data_prep.rules import Rule
from data_prep.sources import tables
from data_prep.sources._labels import read_labels
from data_prep.sources._layout import Column, Layout, short
from data_prep.sources._raw_file import head_lines
from data_prep.sources._source import SUFFIXES, NodeTable, ReadOptions, Source, name_of, refuse_copies
from data_prep.synth.published import MARKER
from data_prep.writer import arrow
from dgl_dysign.errors import ConfigError, DataError

_SHOWN = 12
_MOST_COLUMNS = 10_000
_WRITTEN: dict[str, Any] = {"delimiter": ",", "header": True, "encoding": "utf-8"}
UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9, "none": 1.0}
"""Units of time that a file may count in since 1970, how many a second; ``none``: steps, or no known origin."""
_USUAL: dict[str, Any] = {"src": "1", "dst": "2", "time": "3", "ids": "auto", "time_unit": "s", "undirected": False}
BITCOIN = {"time": "4", "weight": "3", "delimiter": ",", "header": False, "ids": "integer"}
UNIX = {"ids": "integer"}
HYPERLINKS = {
    "src": "SOURCE_SUBREDDIT", "dst": "TARGET_SUBREDDIT", "time": "TIMESTAMP", "weight": "LINK_SENTIMENT",
    "edge_features": "PROPERTIES", "delimiter": "\t", "header": True, "ids": "text",
}  # fmt: skip
KNOWN: dict[str, tuple[str, dict[str, Any]]] = {
    "soc-sign-bitcoinotc": ("bitcoin-otc", BITCOIN),
    "soc-sign-bitcoinalpha": ("bitcoin-alpha", BITCOIN),
    "soc-redditHyperlinks-body": ("reddit-body", HYPERLINKS),
    "soc-redditHyperlinks-title": ("reddit-title", HYPERLINKS),
    "CollegeMsg": ("college-msg", UNIX),
    "wiki-talk-temporal": ("wiki-talk", UNIX),
    "sx-stackoverflow": ("stack-overflow", UNIX),
}
"""Data sets that are known by their file's name: what they are called, and how they are written."""


def open_source(raw: Path, read: ReadOptions, options: PrepareOptions | None = None) -> Source:
    """Open an edge list: one file, or all files of a folder in the order of their names.

    Options that are left out are as :data:`KNOWN` has them for the file's name, or columns 1, 2, 3; the delimiter is
    the first of tab, comma, semicolon, blank that the first line holds. Nodes come in ascending order of their ids, or
    of their names; a snapshot is a calendar week, or a step where times have no unit.
    """
    options = options or PrepareOptions()
    labels, targets = (None if path is None else Path(path) for path in (options.labels, options.targets))
    parts = _files(raw, [path for path in (labels, targets) if path])
    table = tables.is_table(parts[0])
    if table:
        options = as_written(options)
    stem = re.sub(r"-[0-9]+$", "", parts[0].name.partition(".")[0])
    name, known = KNOWN.get(stem, (stem, {}))
    given = {option: getattr(options, option) for option in EDGE_LIST}
    given["delimiter"] = {"\\t": "\t", "tab": "\t"}.get(options.delimiter or "", options.delimiter)
    usual = _USUAL | known
    written = usual | {option: value for option, value in given.items() if value is not None}
    form = replace(options, **written)
    _refuse_two_labels(form)
    layout, weight = _layout(parts[0], form, read)
    layout = replace(layout, quote=table)
    if known is BITCOIN and written == usual:
        weight = "rating"
    unix = form.time_unit != "none"
    node = replace(next(column for column in layout.columns if column.name == "src"), name="node")
    nodes = _read_nodes(labels, read, node, Column("label", "class"), form)
    numbers = _read_nodes(targets, read, node, Column("target", "number"), form)
    if form.labels_at and not any(table and table.at is not None for table in (nodes, numbers)):
        raise ConfigError(
            f"found --labels-at {form.labels_at}, expected labels or targets of some times; leave it out, or give a "
            "file with a column of times"
        )
    return Source(
        name_of(name, parts[0].parent),
        parts,
        layout,
        Rule("calendar", unit="week") if unix else Rule("step"),
        directed=not form.undirected,
        time_unit="seconds since 1970-01-01 UTC" if unix else "as in the file",
        unix=unix,
        weight=weight,
        nodes=nodes,
        targets=numbers,
    )


def _refuse_two_labels(form: PrepareOptions) -> None:
    """Raise ConfigError where labels are of events and of nodes, or of nodes twice."""
    columns = form.src_label or form.dst_label
    options = {"--label": form.label, "--labels": form.labels, "--src-label or --dst-label": columns}
    given = [f"{option} {value}" for option, value in options.items() if value]
    if len(given) > 1:
        raise ConfigError(f"found {' and '.join(given)}, expected labels of events or of nodes, once; leave one out")


def _read_nodes(
    path: Path | None, read: ReadOptions, node: Column, value: Column, form: PrepareOptions
) -> NodeTable | None:
    """Read a file of labels or targets, with ids as those of the edges."""
    return None if path is None else read_labels(path, read, Layout((node, value)), form.labels_at)


def as_written(options: PrepareOptions) -> PrepareOptions:
    """Return the options with those that say how the CSV of a table is written."""
    options.refuse(tuple(_WRITTEN), "a table says it itself")
    return replace(options, **_WRITTEN)


def _files(raw: Path, beside: Sequence[Path]) -> tuple[Path, ...]:
    if raw.is_file():
        return (raw,)
    if not raw.is_dir():
        raise DataError(f"{raw}: found no such file or folder, expected an edge list; check RAW")
    not_parts = {MARKER, *(path.name for path in beside if path.resolve().parent == raw.resolve())}
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


def _layout(path: Path, form: PrepareOptions, read: ReadOptions) -> tuple[Layout, str | None]:
    """Return the layout, and the name of the column of weights."""
    columns = [form.src, form.dst, form.time, form.weight, form.label, form.edge_features]
    delimiter, header, row = _first_rows(path, form, list(filter(None, columns)), read.max_bytes)
    src, dst, time, weight, label, vector = places = [
        _index(path, column, header or [], len(row)) for column in columns
    ]
    used = [place for place in places if place is not None]
    if len(set(used)) < len(used):
        raise ConfigError(f"found one column given twice ({', '.join(filter(None, columns))}), expected different ones")
    is_text = form.ids == "text" or (form.ids == "auto" and not (row[src].isdecimal() and row[dst].isdecimal()))
    is_date = form.time_format is not None or not _is_number(row[time].replace(form.decimal or ".", "."))
    kinds = {
        src: Column("src", "text" if is_text else "integer"),
        dst: Column("dst", "text" if is_text else "integer"),
        time: Column("time", "date", form.time_format) if is_date else Column("time", "number"),
        weight: Column("weight", "number"),
        label: Column("label", "class"),
    }
    if vector is not None and vector < max(place for place in used if place != vector):
        raise ConfigError(f"found edge features from column {form.edge_features}, expected all other columns before it")
    width = len(row) if vector is None else vector
    if width > _MOST_COLUMNS:
        raise DataError(
            f"{path}: found {len(row)} columns in row 1, expected at most {_MOST_COLUMNS}; correct the line, or give "
            "another --delimiter, or the first column of features with --edge-features"
        )
    layout = Layout(
        tuple(kinds.get(place, Column(f"column{place + 1}", "skip")) for place in range(width)),
        delimiter=delimiter,
        header=int(header is not None),
        decimal=form.decimal or ".",
        encoding=form.encoding or "utf-8",
        vector=None if vector is None else "field" if vector == len(row) - 1 and delimiter != "," else "rest",
        derive=None if is_date or UNITS[str(form.time_unit)] == 1 else Scaled(str(form.time_unit)),
    )
    named = None if weight is None else header[weight] if header else form.weight
    return layout, named


def _first_rows(
    path: Path, form: PrepareOptions, columns: list[str], max_bytes: int | None
) -> tuple[str, list[str] | None, list[str]]:
    """Return the delimiter, the fields of the header, if there is one, and those of the first row."""
    by_name = [column for column in columns if not column.isdecimal()]
    has_header = bool(by_name) if form.header is None else form.header
    if by_name and not has_header:
        raise ConfigError(f"found column {by_name[0]} without a header, expected its number, from 1")
    lines = [line for line in head_lines(path, 2 + has_header, max_bytes, form.encoding or "utf-8") if line.strip()]
    if len(lines) < 1 + has_header:
        raise DataError(f"{path}: found no rows, expected lines of {' '.join(columns)}; check RAW")
    delimiter = form.delimiter or next((d for d in "\t,;" if d in lines[0]), " ")
    texts = [line.removeprefix("\ufeff") for line in lines]
    rows = [text.split() if delimiter == " " else [field.strip() for field in text.split(delimiter)] for text in texts]
    return delimiter, rows[0] if has_header else None, rows[int(has_header)]


def _index(path: Path, column: str | None, header: list[str], width: int) -> int:
    if column is None:
        return None  # type: ignore[return-value]
    if column not in header and not column.isdecimal():
        listed = ", ".join(map(short, header[:_SHOWN])) + ", ..." * (len(header) > _SHOWN)
        raise DataError(f"{path}, line 1: found columns {listed}, expected {column}; name one of them")
    place = header.index(column) if column in header else int(column) - 1
    if not 0 <= place < width:
        raise DataError(
            f"{path}: found {width} columns in row 1, expected column {column}; name another column or --delimiter"
        )
    return place


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Scaled:
    """Turn times into seconds."""

    unit: str

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the batch with ``time`` in seconds."""
        seconds = np.true_divide(np.from_dlpack(batch.column("time")), UNITS[self.unit])
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        return pa.record_batch({**columns, "time": arrow(seconds)})
