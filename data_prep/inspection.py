"""What raw files would be read as: columns, times, first rows and the command for it. Nothing is written."""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from data_prep.options import EDGE_LIST, PrepareOptions
from data_prep.pipeline import FileInput, opened
from data_prep.rules import Rule, parse_rule
from data_prep.sources import dataset_of
from data_prep.sources._raw_file import RawFile
from data_prep.sources._source import Source
from data_prep.sources.look import TITLES, Look, Take, called
from data_prep.sources.tables import is_frame

_SHOWN = 5


def inspect(raw: str | os.PathLike[str] | Any, options: PrepareOptions | None = None) -> Look:
    r"""Say what a raw file would be read as, without reading or writing all of it.

    Parameters
    ----------
    raw : path, or table of pandas, polars or pyarrow
        A list of edges or a folder of its parts, ``-`` for standard input; or the files of a known data set, which are
        told by their names; or a table in memory.
    options : PrepareOptions, optional
        What is known of it.

    Returns
    -------
    Look
        How the file is written; `takes` has one entry for each thing that was taken for another.

    Raises
    ------
    DataError, ConfigError
        If there is no such file, it can be read in two ways, or an option contradicts it.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "trades.csv"
    ...     _ = path.write_text("from,to,when\n4,9,2021-03-01\n9,2,2021-03-09\n")
    ...     seen = inspect(path)
    >>> seen.places
    {'src': 0, 'dst': 1, 'time': 2}
    >>> [(take.what, take.taken) for take in seen.takes if take.option in ("--ids", "--time-format")]
    [('ids', 'integers'), ('times', 'dates in ISO 8601, UTC unless they name a zone')]
    """
    with opened_any(raw, options or PrepareOptions()) as (_, _, source):
        return look_of(source)


@contextmanager
def opened_any(raw: Any, options: PrepareOptions) -> Iterator[tuple[str, Path, Source]]:
    """Open raw files of any format; give it, where they are, and the source."""
    default = PrepareOptions()
    dataset = "edges"
    if not is_frame(raw) and all(getattr(options, name) == getattr(default, name) for name in EDGE_LIST):
        dataset = dataset_of(Path(raw))
    if dataset != "edges" and Path(raw).is_file():
        raw = Path(raw).parent
    with opened(dataset, raw, None, options) as (events, _):
        assert isinstance(events, FileInput)
        yield dataset, raw, events.source


def look_of(source: Source) -> Look:
    """Return what was seen of an edge list; of a known format, what its layout says."""
    if source.look is not None:
        return source.look
    layout = source.layout
    places = {column.name: at for at, column in enumerate(layout.columns) if column.name in TITLES}
    takes = [Take("format", f"known format {source.dataset}", "names of files")]
    takes += [Take(TITLES[role], f"column {at + 1}", "the format") for role, at in places.items()]
    takes.append(Take("times", source.time_unit, "the format"))
    return Look(source.parts[0], layout.delimiter, places=places, rule=source.rule, takes=tuple(takes))


def read_as(source: Source) -> list[dict[str, str]]:
    """Return what was taken for what."""
    return [take._asdict() for take in look_of(source).takes] + nodes_read_as(source)


def nodes_read_as(source: Source) -> list[dict[str, str]]:
    """Return what was taken for what in files of labels and targets."""
    takes = []
    for what, table in (("labels of nodes", source.nodes), ("targets", source.targets)):
        if table is None or table.look is None:
            continue
        seen, at = table.look, table.at
        columns = ", ".join(f"{TITLES[role]} in column {called(seen.names, n)}" for role, n in seen.places.items())
        which = "" if at is None else f"; the {at} of a node counts" if isinstance(at, str) else f"; as known at {at}"
        header = " (line 1 is a header)" if seen.header and not seen.comment else ""
        option = "--labels-at" if which else ""
        takes.append(Take(what, f"{seen.path.name}{header}: {columns}{which}", "its first rows", option)._asdict())
    return takes


def reading_of(dataset: str, raw: Path, out: Path, source: Source, options: PrepareOptions) -> dict[str, Any]:
    """Return all that is said of files that would be prepared: what they are read as, first rows, command."""
    rule = parse_rule(options.every, options.snapshots, options.merge, source.rule)
    rows, bad = first_rows(source, options)
    return {
        "read_as": read_as(source),
        "rows": rows,
        "bad_rows": bad,
        "snapshot": in_words(rule),
        "out": str(out),
        "command": command_for(dataset, raw, out, source, options),
    }


def first_rows(source: Source, options: PrepareOptions) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the first good rows as they are read, and what is wrong with bad ones near them."""
    file = RawFile(
        source.parts[0], source.layout, on_error="quarantine", max_bytes=options.max_bytes, block_bytes=1 << 16
    )
    batches = iter(file)
    rows = next(batches).slice(0, _SHOWN).to_pylist()
    batches.close()  # type: ignore[attr-defined]
    return rows, [f"line {row.line}: {row.reason}" for row in file.rejected[:_SHOWN]]


def command_for(dataset: str, raw: Path, out: Path, source: Source, options: PrepareOptions) -> str:
    """Return the command that prepares files as they were looked at, with columns and rule written out."""
    changes: dict[str, Any] = {} if source.look is None else _columns(source.look, options)
    if options.every is None and options.snapshots is None:
        rule = source.rule
        changes["every"] = rule.unit or (f"{rule.width:g}" if rule.kind == "every" else rule.kind)
    if options.features == ("spectral" if dataset == "dblp" else "none"):
        changes["features"] = None
    options = replace(options, **changes)
    return shlex.join(["dysign-prep", dataset, str(raw), str(out), *_words(options)])


def _columns(look: Look, options: PrepareOptions) -> dict[str, str]:
    """Return the columns by name, or by number where a name is not plain."""
    columns = {}
    for role, at in look.places.items():
        name = look.names[at] if look.header and look.names else ""
        plain = name.isprintable() and name and not name.isdecimal() and look.names.count(name) == 1
        option = "edge_features" if role == "feat" else role
        if getattr(options, option) is None:
            columns[option] = name if plain else str(at + 1)
    return columns


def _words(options: PrepareOptions) -> Iterator[str]:
    """Yield the options that are not as they are by default."""
    for each in fields(options):
        value, name = getattr(options, each.name), each.name.replace("_", "-")
        if value == each.default or value in (None, {}, []):
            continue
        if isinstance(value, bool):
            yield f"--{name}" if value else f"--no-{name}"
        else:
            for one in value if isinstance(value, list) else [value]:
                yield from (f"--{name}", str(one))


def words_of(manifest: dict[str, Any], before: dict[str, Any] | None = None) -> dict[str, str]:
    """Say for people what some entries of a manifest mean, and what came to those of `before`."""
    rule, features, rejected = manifest["snapshot_rule"], manifest["features"], manifest["rejected_rows"]
    repeated = manifest["duplicate_rows"]
    kind = "step" if rule["kind"] in ("rank", "grid") else rule["kind"]
    keys = {"width": 0.0, "unit": "", "count": 0, "merge": 1}
    each = in_words(Rule(kind, **{key: rule.get(key, default) for key, default in keys.items()}))
    each = each.removeprefix(f"one of {rule.get('count')} ")
    if manifest["time_unit"].startswith("seconds"):
        each = each.replace("units of time", "seconds")
    lines = {key: sum(source.get(key, 0) for source in manifest["sources"]) for key in ("lines", "comments", "blank")}
    others = [f"{count:,} {name}" for name, count in lines.items() if count and name != "lines"]
    grown = {} if before is None else {key: manifest[key] - before[key] for key in ("num_nodes", "num_edges")}
    return {
        **{key: f"{manifest[key]:,}, {count:,} of them new" for key, count in grown.items()},
        "num_snapshots": f"{manifest['num_snapshots']:,}, each {each}",
        "duplicate_rows": f"{repeated:,}, kept: each is an event" if repeated else "0",
        "rejected_rows": f"{rejected:,}, in rejected.parquet" if rejected else "0",
        "features": f"{features['kind']}, {features['dim']} wide" if features else "none",
        "lines": " + ".join([f"{lines['lines']:,}", *others]),
    }


def in_words(rule: Rule) -> str:
    """Say what a snapshot is.

    >>> in_words(Rule("calendar", unit="week")), in_words(Rule("step", merge=10))
    ('a calendar week', 'a distinct time, 10 of them become one')
    """
    words = {
        "calendar": f"a calendar {rule.unit}",
        "every": f"{rule.width:g} units of time from the first event",
        "step": "a distinct time",
        "count": f"one of {rule.count} of equally many events",
    }
    return words[rule.kind] + f", {rule.merge} of them become one" * (rule.merge > 1)
