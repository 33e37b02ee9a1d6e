"""From raw ids (numbers of any size, or strings) to nodes 0 .. N-1."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from data_prep.parquet import arrow, strings

_TABLE_LIMIT = 1 << 26
_PENDING = 1 << 22


def distinct(values: np.ndarray) -> np.ndarray:
    """Return the distinct values in ascending order; by a sort, as `np.unique`'s hash table is slow where it is large.

    >>> distinct(np.array([3, 1, 3])).tolist()
    [1, 3]
    """
    values = np.sort(values)
    return values[np.concatenate([[True], values[1:] != values[:-1]])] if len(values) else values


class NumberSet:
    """The distinct numbers seen so far, in memory that grows with their range or their count, not with the rows.

    Examples
    --------
    >>> seen = NumberSet()
    >>> seen.add(np.array([7, 3, 7])), seen.add(np.array([2**40, 3]))
    (None, None)
    >>> seen.ascending().tolist()
    [3, 7, 1099511627776]
    """

    def __init__(self) -> None:
        self._small = np.zeros(1 << 10, dtype=bool)
        self._large: list[np.ndarray] = []

    def add(self, values: np.ndarray) -> None:
        """Add integers from 0 up."""
        if not len(values):
            return
        if values.max() >= _TABLE_LIMIT:
            self._large.append(distinct(values[values >= _TABLE_LIMIT]))
            values = values[values < _TABLE_LIMIT]
            if sum(map(len, self._large)) > _PENDING and len(self._large) > 1:
                self._large = [distinct(np.concatenate(self._large))]
        most = int(values.max(initial=0))
        if most >= len(self._small):
            self._small = np.concatenate([self._small, np.zeros(max(most + 1 - len(self._small), most // 2), bool)])
        self._small[values] = True

    def ascending(self) -> np.ndarray:
        """Return the numbers in ascending order, int64."""
        # An empty list would be float64, which has no numbers of its own beyond 2^53.
        large = distinct(np.concatenate([np.empty(0, np.int64), *self._large]))
        return np.concatenate([np.flatnonzero(self._small), large])


class Names:
    """Codes 0, 1, 2, ... of strings, in the order in which they come.

    Examples
    --------
    >>> names = Names()
    >>> names.encode(pa.array(["b", "a", "b"])).tolist(), names.list
    ([0, 1, 0], ['b', 'a'])
    """

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    @property
    def list(self) -> list[str]:
        """The strings in the order of their codes."""
        return list(self._codes)

    def encode(self, values: pa.Array) -> np.ndarray:
        """Return the code of each string, int64."""
        found = values.dictionary_encode()
        codes = [self._codes.setdefault(name, len(self._codes)) for name in found.dictionary.to_pylist()]
        return np.array(codes, np.int64)[np.from_dlpack(found.indices)]


class IdMap:
    """Nodes of raw ids, in ascending order of the ids (strings: by code points).

    Parameters
    ----------
    ids : array_like
        Distinct raw ids, ascending: int64, or objects (strings).
    offset : int
        Node of the first.

    Examples
    --------
    >>> ids = IdMap(np.array([3, 7, 2**40]), offset=10)
    >>> ids.nodes(np.array([7, 3, 2**40])).tolist()
    [11, 10, 12]
    """

    def __init__(self, ids: np.ndarray, offset: int = 0) -> None:
        self.ids = ids
        self.offset = offset
        self._table: np.ndarray | None = None
        if self.is_text:
            self._index = {name: node for node, name in enumerate(ids, offset)}
        elif len(ids) and ids[-1] < _TABLE_LIMIT:
            self._table = np.full(int(ids[-1]) + 1, -1, dtype=np.int32)
            self._table[ids] = np.arange(offset, offset + len(ids), dtype=np.int32)

    @property
    def is_text(self) -> bool:
        """Whether the raw ids are strings."""
        return self.ids.dtype == object

    def nodes(self, values: np.ndarray) -> np.ndarray:
        """Return the node of each raw id, int64; -1 for an id that is not there."""
        if self.is_text:
            return np.array([self._index.get(name, -1) for name in values], dtype=np.int64)
        if self._table is not None:
            inside = values < len(self._table)
            if inside.all():
                return self._table[values].astype(np.int64)
            return np.where(inside, self._table[np.where(inside, values, 0)], -1).astype(np.int64)
        at = np.minimum(np.searchsorted(self.ids, values), max(len(self.ids) - 1, 0))
        found = self.ids[at] == values if len(self.ids) else np.zeros(len(values), bool)
        return np.where(found, at + self.offset, -1)

    def raw(self) -> pa.Array:
        """Return the raw ids as strings."""
        return strings(self.ids) if self.is_text else arrow(self.ids).cast(pa.string())


class Unchanged:
    """Raw ids that are node numbers already."""

    is_text = False
    offset = 0

    def __init__(self, num_nodes: int) -> None:
        self.ids = np.arange(num_nodes)

    def nodes(self, values: np.ndarray) -> np.ndarray:
        """Return `values`, with -1 for ids beyond the last node."""
        if values.max(initial=0) < len(self.ids):
            return values
        return np.where(values < len(self.ids), values, -1)

    def raw(self) -> pa.Array:
        """Return the raw ids as strings."""
        return arrow(self.ids).cast(pa.string())


def union(sets: Sequence[np.ndarray]) -> np.ndarray:
    """Merge ascending sets of numbers, or of strings, into one."""
    if sets and sets[0].dtype == object:
        return np.array(sorted(set().union(*map(list, sets))), dtype=object)
    sets = [ids for ids in sets if len(ids)] or list(sets[:1])
    return distinct(np.concatenate(sets)) if len(sets) > 1 else sets[0]
