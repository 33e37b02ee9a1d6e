"""Files of labels of nodes, or of numbers to be learnt: rows of a node and its label, perhaps of some time."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from data_prep.names import ClassNames, in_order
from data_prep.sources._layout import Block, Column, Layout, Parser, plain, short
from data_prep.sources._raw_file import RawFile, Rejected
from data_prep.sources._source import NodeTable, ReadOptions, ascending_order, read_columns, refused_too
from data_prep.writer import strings
from dgl_dysign.errors import ConfigError, DataError

LAYOUT = Layout((Column("node", "integer"), Column("label", "integer")))


def read_labels(path: Path, read: ReadOptions, layout: Layout = LAYOUT, at: str | None = None) -> NodeTable:
    """Read rows of a ``node`` and its ``label`` (a number or a ``class``) or ``target``, and perhaps of a ``time``.

    They stand in any order, and a node may be listed twice, but not with two labels (of one time, where there are
    times). `at` says which of several times counts: ``last`` (the default), ``first``, or what is known at a time,
    written as those of the file. Raises DataError at the first label that contradicts an earlier one, unless rows are
    quarantined; ConfigError if `at` is not written so.
    """
    timed = any(column.name == "time" for column in layout.columns)
    when = at or "last" if at in (None, "first", "last") or not timed else _moment(at, layout)
    file = read.open(path, layout)
    rows = _read(file)
    clash = np.flatnonzero(rows.value != rows.value[rows.first])
    if len(clash) and read.on_error == "stop":
        raise rows.error(clash[rows.row[clash].argmin()], file)
    refused = [
        Rejected(line, text, f"{rows.what} {rows.name(rows.first[at])} was given before")
        for at, (line, text) in zip(clash, file.rows_at(rows.row[clash]), strict=True)
    ]
    source, rejected = refused_too(file, refused)
    return NodeTable(
        rows.node[rows.new_node],
        rows.values(when),
        rows.classes,
        at=when if timed else None,
        sources=[source],
        rejected=rejected,
        rows_of=lambda entries: rows.of(entries, clash, file),
        file=path,
    )


def _moment(at: str, layout: Layout) -> float:
    """Return a time that is written as those of a file."""
    column = next(column for column in layout.columns if column.name == "time")
    parsed = Parser(replace(layout, columns=(column,), delimiter="\x1f", comment=None, quote=False)).read(
        Block.of(at.encode("utf-8", "replace"))
    )
    if parsed.rows != 1:
        expected = parsed.bad[0].expected if parsed.bad else "one"
        raise ConfigError(f"--labels-at: found {short(at)}, expected first, last, or a time: {expected}; write it so")
    return float(parsed.batches[0].column("time")[0].as_py())


def _read(file: RawFile) -> "_Rows":
    names = [column.name for column in file.layout.columns if column.kind != "skip"]
    columns = dict(zip(names, read_columns(file), strict=True))
    node, (what, value) = columns.pop("node"), next((n, columns.pop(n)) for n in ("label", "target") if n in columns)
    time = columns.get("time", np.zeros(len(node)))
    classes = None
    if value.dtype == object:
        encoder = ClassNames()
        code = encoder.encode(strings(value))
        classes = in_order(encoder.list)
        place = {name: number for number, name in enumerate(classes)}
        value = np.array([*(place[name] for name in encoder.list), -1])[code]
    row = np.flatnonzero(value >= 0) if what == "label" else np.arange(len(value))
    order = ascending_order(time[row])
    order = order[ascending_order(node[row][order])]
    row = row[order]
    return _Rows(what, classes, node[row], value[row], time[row], row)


@dataclass(frozen=True)
class _Rows:
    """Rows that have a value, by node, then by time, then by their number in the file, `row`."""

    what: str
    classes: list[str] | None
    node: np.ndarray
    value: np.ndarray
    time: np.ndarray
    row: np.ndarray

    @cached_property
    def new_node(self) -> np.ndarray:
        """Whether a row is the first of its node."""
        return np.append(True, self.node[1:] != self.node[:-1])[: len(self.node)]

    @cached_property
    def new_time(self) -> np.ndarray:
        """Whether a row is the first of its node and time."""
        return self.new_node | np.append(True, self.time[1:] != self.time[:-1])[: len(self.time)]

    @cached_property
    def first(self) -> np.ndarray:
        """For each row the first of its node and time."""
        return np.flatnonzero(self.new_time)[np.cumsum(self.new_time) - 1]

    def values(self, at: str | float | None) -> np.ndarray:
        """Return the value of each node: the first or the last, or of rows up to a time."""
        known = np.flatnonzero(self.new_node if at == "first" else self.new_time)
        if isinstance(at, float):
            known = known[self.time[known] <= at]
        owner = np.cumsum(self.new_node) - 1
        values = np.full(int(self.new_node.sum()), np.nan if self.what == "target" else -1)
        values[owner[known]] = self.value[known]  # of several of a node the last one stays
        return values

    def name(self, at: int) -> str:
        """Return a row's value as messages have it."""
        value = self.value[at] if self.classes is None else self.classes[self.value[at]]
        return plain(value)

    def of(self, entries: np.ndarray, clash: np.ndarray, file: RawFile) -> list[tuple[int, int, str]]:
        """Return entry, line and text of all good rows of some nodes, in the order of the lines."""
        owner = np.cumsum(self.new_node) - 1
        mine = np.isin(owner, entries)
        mine[clash] = False
        order = np.flatnonzero(mine)[self.row[mine].argsort()]
        return [(entry, *row) for entry, row in zip(owner[order].tolist(), file.rows_at(self.row[order]), strict=True)]

    def error(self, at: int, file: RawFile) -> DataError:
        """Return the error of a row that contradicts an earlier one."""
        line, before = file.lines_of(self.row[[at, self.first[at]]])
        names = [column.name for column in file.layout.columns]
        time = " at the same time" if "time" in names else ""
        hint = ", or give --labels-at last if column 3 has times" if len(names) > 2 and not time else ""
        return DataError(
            f"{file.path}, line {line}: found {self.what} {self.name(at)} for node {plain(self.node[at])}, expected "
            f"{self.what} {self.name(self.first[at])} as on line {before}{time}; keep one of the two, or set the later "
            f"one aside with --on-error quarantine{hint}"
        )
