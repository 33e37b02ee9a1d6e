"""Classes of nodes that stand in columns of the events: of the nodes of one part, and of all parts together."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from data_prep.names import ClassNames, Names, in_order
from data_prep.sources._layout import plain
from data_prep.sources._raw_file import RawFile
from data_prep.sources._source import NodeTable
from dgl_dysign.errors import DataError

COLUMNS = {"src": "src_label", "dst": "dst_label"}
"""Ends of an event, and the columns of their classes."""


class _Book:
    """Nodes of one space of ids by their codes: class, and the line that says so; -1 and 0 where there is none."""

    def __init__(self) -> None:
        self.ids = Names()
        self.code, self.line = np.empty(0, np.int64), np.empty(0, np.int64)

    def encode(self, ids: pa.Array) -> np.ndarray:
        """Return the code of each id."""
        codes = self.ids.encode(ids)
        new = len(self.ids.list) - len(self.code)
        self.code, self.line = np.append(self.code, np.full(new, -1)), np.append(self.line, np.zeros(new, np.int64))
        return codes


class NodeClasses:
    """What the rows of one part say of the classes of nodes, whose ids are of some `spaces`: the first row counts."""

    def __init__(self, spaces: tuple[str, str]) -> None:
        self._names, self._books = ClassNames(), {space: _Book() for space in spaces}
        self._book_of = {end: self._books[space] for end, space in zip(COLUMNS, spaces, strict=True)}

    def take(self, batch: pa.RecordBatch, file: RawFile) -> pa.RecordBatch:
        """Return a batch without classes; refuse its rows that give a node another class than an earlier row did."""
        columns = [
            (self._book_of[end], self._book_of[end].encode(batch.column(end)), self._names.encode(batch.column(name)))
            for end, name in COLUMNS.items()
            if name in batch.schema.names
        ]
        if not columns:
            return batch
        batch = batch.drop_columns([name for name in COLUMNS.values() if name in batch.schema.names])
        doubtful = np.zeros(batch.num_rows, bool)
        for book, node, code in columns:
            doubtful |= (code >= 0) & (book.code[node] != code)
        if not doubtful.any():
            return batch
        lines, bad = file.last_rows()[0], {}
        for row in np.flatnonzero(doubtful).tolist():
            if words := self._see([(book, node[row], code[row]) for book, node, code in columns], lines[row]):
                bad[row] = words
        if bad:
            file.refuse(bad)
        return batch.take(pa.array(np.delete(np.arange(batch.num_rows), list(bad))))

    def _see(self, ends: list[tuple[_Book, int, int]], line: int) -> tuple[str, str] | None:
        """Note the classes of a row's ends; return what was found and expected where one contradicts an earlier one."""
        own: dict[tuple[_Book, int], int] = {}
        for book, node, code in ends:
            known = own.get((book, node), book.code[node])
            if code >= 0 and known >= 0 and code != known:
                where = f"as on line {book.line[node]}" if book.line[node] else "as at the other end"
                name, other = (plain(self._names.list[at]) for at in (code, known))
                return f"class {name} of node {plain(book.ids.list[node])}", f"class {other} {where}"
            if code >= 0:
                own[book, node] = code
        for (book, node), code in own.items():
            if book.code[node] < 0:
                book.code[node], book.line[node] = code, line
        return None

    def to_json(self) -> dict[str, Any]:
        """Names of the classes, and of each space ids, classes and lines."""
        spaces = {}
        for space, book in self._books.items():
            known = np.flatnonzero(book.code >= 0)
            ids = [book.ids.list[at] for at in known]
            spaces[space] = {"ids": ids, "code": book.code[known].tolist(), "line": book.line[known].tolist()}
        return {"names": self._names.list, "spaces": spaces}


def merge(parts: Sequence[tuple[str, dict[str, Any]]], spaces: Mapping[str, Any]) -> NodeTable:
    """Put together what all parts say, each with the name of its file; `spaces` give raw ids their nodes.

    Raises DataError if two parts do not agree.
    """
    known: dict[str, dict[Any, tuple[str, str, int]]] = {space: {} for space in spaces}
    for file, space, node, name, line in _statements(parts):
        first, other, before = known[space].setdefault(node, (name, file, line))
        if first != name:
            raise DataError(
                f"{file}, line {line}: found class {plain(name)} of node {plain(node)}, expected class {plain(first)} "
                f"as in {other}, line {before}; correct one of the two files"
            )
    nodes = [spaces[space].nodes(np.array(list(ids), spaces[space].ids.dtype)) for space, ids in known.items()]
    names = [name for ids in known.values() for name, _, _ in ids.values()]
    classes = in_order(set(names))
    place = {name: number for number, name in enumerate(classes)}
    value = np.array([place[name] for name in names], np.int64)
    return NodeTable(np.concatenate(nodes), value, classes, complete=False, numbered=True)


def _statements(parts: Sequence[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, str, Any, str, int]]:
    """Yield file, space, raw id, class and line."""
    for file, part in parts:
        for space, known in part["spaces"].items():
            for node, code, line in zip(known["ids"], known["code"], known["line"], strict=True):
                yield file, space, node, part["names"][code], line
