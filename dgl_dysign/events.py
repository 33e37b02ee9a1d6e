"""The one table of events in memory: checked arrays, to be prepared, exported, or converted for other libraries."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dgl_dysign.data import schema
from dgl_dysign.errors import ConfigError, DataError

if TYPE_CHECKING:
    from typing import Self

_KINDS: dict[str, tuple[Any, str]] = {
    "src": (np.int64, "E"),
    "dst": (np.int64, "E"),
    "time": (np.float64, "E"),
    "edge_id": (np.int64, "E"),
    "edge_feat": (np.float32, "ED"),
    "edge_weight": (np.float64, "E"),
    "edge_type": (np.int64, "E"),
    "event_label": (np.int64, "E"),
    "node_label": (np.int64, "N"),
    "node_feat": (np.float32, "ND"),
    "snapshot": (np.int64, "E"),
    "snapshot_begin": (np.float64, "T"),
    "snapshot_end": (np.float64, "T"),
}
EVENT_FIELDS = tuple(name for name, (_, shape) in _KINDS.items() if shape[0] == "E")
"""Names of the arrays that have a row an event."""
_SNAPSHOTS = ("snapshot", "snapshot_begin", "snapshot_end")
OPTIONAL_FIELDS = ("edge_feat", "edge_weight", "edge_type", "event_label", "node_label", "node_feat", "snapshot")
"""Names of the fields that may be None; ``snapshot`` stands for its ranges as well."""


def to_numpy(values: Any) -> np.ndarray:
    """Return a list, an array, or a tensor on any device as an array; without a copy where that is possible."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def exact(name: str, values: Any, kind: Any) -> np.ndarray:
    """Return numbers as an array of another type; a DataError (that begins with `name`) if one of them would change.

    Examples
    --------
    >>> exact("time", [1, 2], np.float64)
    array([1., 2.])
    >>> exact("src", [0.5], np.int64)
    Traceback (most recent call last):
    dgl_dysign.errors.DataError: src: found 0.5, expected numbers that int64 holds exactly; round them yourself first
    """
    numbers, kind = to_numpy(values), np.dtype(kind)
    if numbers.dtype == kind:
        return numbers
    if numbers.dtype.kind not in "biuf":
        raise DataError(f"{name}: found values of type {numbers.dtype}, expected numbers that {kind} holds exactly")
    with np.errstate(invalid="ignore", over="ignore"):
        converted = numbers.astype(kind)
        # Back in the first type: int64 against float64 would be compared as float64.
        changed = (converted.astype(numbers.dtype) != numbers) & ~((converted != converted) & (numbers != numbers))
        if kind.kind in "iu":
            # Out of range a cast gives the nearest bound, or another number that comes back right by chance.
            low, high = np.iinfo(kind).min, np.iinfo(kind).max
            changed |= (numbers < low) | (numbers > high if numbers.dtype.kind != "f" else numbers >= float(high) + 1)
    if changed.any():
        value = numbers[changed].flat[0].item()
        raise DataError(f"{name}: found {value}, expected numbers that {kind} holds exactly; round them yourself first")
    return converted


@dataclass(frozen=True, eq=False, repr=False)
class EventTable:
    """The events of a dynamic graph as NumPy arrays.

    Arrays are checked, converted where no value changes by it, and made read-only. :meth:`from_rows` makes a table of
    rows in any order, :meth:`of` one of a prepared folder; :func:`data_prep.prepare` writes a folder.

    Parameters
    ----------
    src, dst : numpy.ndarray
        Nodes of each event, int64 of shape (E,), 0 .. `num_nodes` - 1.
    time : numpy.ndarray
        When each happened, in `time_unit`, float64 of shape (E,), finite and ascending.
    edge_id : numpy.ndarray
        Row of each event in the raw data, int64 of shape (E,): 0 .. E - 1, each once; ascending among equal times.
    num_nodes : int
        Number N of nodes, those without an event included.
    edge_feat : numpy.ndarray, optional
        Features of the events, float32 of shape (E, De).
    edge_weight : numpy.ndarray, optional
        Weights of the events, float64 of shape (E,).
    edge_type : numpy.ndarray, optional
        Relation of each event, int64 of shape (E,), from 0 up.
    event_label : numpy.ndarray, optional
        Class of what happens to `src` at the event, int64 of shape (E,); -1: none. None where all are -1, as below.
    node_label : numpy.ndarray, optional
        Class of each node, int64 of shape (N,); -1: none.
    node_feat : numpy.ndarray, optional
        Features of the nodes at all times, float32 of shape (N, Dn).
    snapshot : numpy.ndarray, optional
        Snapshot of each event, int64 of shape (E,): the last one that begins at or before its time.
    snapshot_begin, snapshot_end : numpy.ndarray, optional
        Range of each snapshot, empty ones included, float64 of shape (T,): half-open, each ending where the next one
        begins; or closed, each ending before the next one begins, as the steps of a prepared folder do.
    directed : bool, default True
        Whether the direction of an event has a meaning.
    name : str
        Name of the data set.
    time_unit : str
        What a time of 1 means.
    node_offset : int, optional
        First node of the second side, where all events go from a first to a second kind of nodes.

    Raises
    ------
    DataError
        If an array has another shape or type, or a value is out of range.

    Examples
    --------
    >>> table = EventTable.from_rows([0, 2, 1], [1, 2, 0], [3.0, 1.0, 3.0], num_nodes=4)
    >>> table
    EventTable('events', 3 events, 4 nodes)
    >>> table.src, table.edge_id
    (array([2, 0, 1]), array([1, 0, 2]))
    """

    src: np.ndarray
    dst: np.ndarray
    time: np.ndarray
    edge_id: np.ndarray
    num_nodes: int
    edge_feat: np.ndarray | None = None
    edge_weight: np.ndarray | None = None
    edge_type: np.ndarray | None = None
    event_label: np.ndarray | None = None
    node_label: np.ndarray | None = None
    node_feat: np.ndarray | None = None
    snapshot: np.ndarray | None = None
    snapshot_begin: np.ndarray | None = None
    snapshot_end: np.ndarray | None = None
    directed: bool = True
    name: str = "events"
    time_unit: str = "unknown"
    node_offset: int | None = None

    def __post_init__(self) -> None:
        for name, (kind, shape) in _KINDS.items():
            values = getattr(self, name)
            if values is not None or name in ("src", "dst", "time", "edge_id"):
                array = exact(name, [] if values is None else values, kind).view()
                self._check_shape(name, array, shape)
                array.flags.writeable = False
                object.__setattr__(self, name, array)
        for name in ("num_nodes", "node_offset"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, int(getattr(self, name)))
        for name in ("event_label", "node_label"):
            values = getattr(self, name)
            if values is not None and (values == -1).all():
                object.__setattr__(self, name, None)
        self._check_values()
        self._check_snapshots()

    def __repr__(self) -> str:
        optional = ", ".join(name for name in OPTIONAL_FIELDS if getattr(self, name) is not None)
        size = f"{len(self)} events, {self.num_nodes} nodes"
        return f"{type(self).__name__}({self.name!r}, {size}{optional and f', {optional}'})"

    def __len__(self) -> int:
        return len(self.src)

    def _check_shape(self, name: str, array: np.ndarray, shape: str) -> None:
        rows = {"E": len(self.src), "N": self.num_nodes, "T": array.shape[0] if array.ndim else 0}[shape[0]]
        if array.ndim != len(shape) or len(array) != rows or 0 in array.shape[1:]:
            wanted = f"({rows}, width from 1 up)" if len(shape) == 2 else f"({rows},)"
            raise DataError(f"{name}: found shape {array.shape}, expected {wanted}; one row an event or node")

    def _refuse(self, name: str, bad: np.ndarray, expected: str) -> None:
        if bad.any():
            at = int(bad.argmax())
            raise DataError(f"{name}: found {getattr(self, name)[at]} at row {at}, expected {expected}")

    def _check_values(self) -> None:
        number, middle = len(self), self.node_offset
        if middle is not None and not 0 <= middle <= self.num_nodes:
            raise DataError(f"node_offset: found {middle}, expected a node from 0 to {self.num_nodes}")
        for name, low, high in (("src", 0, middle), ("dst", middle or 0, None)):
            ids, end = getattr(self, name), self.num_nodes if high is None else high
            self._refuse(name, (ids < low) | (ids >= end), f"nodes from {low} to {end - 1}")
        self._refuse("time", ~np.isfinite(self.time), "finite numbers")
        seen = np.zeros(number, bool)
        seen[self.edge_id[(self.edge_id >= 0) & (self.edge_id < number)]] = True
        if not seen.all():
            raise DataError(f"edge_id: found no {seen.argmin()}, expected each of 0 to {number - 1} once")
        back = np.diff(self.time) < 0
        back |= (np.diff(self.time) == 0) & (np.diff(self.edge_id) < 0)
        rule = f"rows ascending by time, then edge_id; see {type(self).__name__}.from_rows"
        self._refuse("time", np.append(False, back), rule)
        for name, least in (("edge_type", 0), ("event_label", -1), ("node_label", -1)):
            values = getattr(self, name)
            if values is not None:
                self._refuse(name, values < least, f"numbers from {least} up")
        if self.edge_weight is not None:
            self._refuse("edge_weight", ~np.isfinite(self.edge_weight), "finite numbers")

    def _check_snapshots(self) -> None:
        if 0 < len(present := [name for name in _SNAPSHOTS if getattr(self, name) is not None]) < 3:
            raise DataError(f"snapshots: found {' and '.join(present)} alone, expected {', '.join(_SNAPSHOTS)} or none")
        if self.snapshot is None or self.snapshot_begin is None or self.snapshot_end is None:
            return
        begin, end = self.snapshot_begin, self.snapshot_end
        if len(begin) != len(end):
            raise DataError(f"snapshot_end: found {len(end)} snapshots, expected {len(begin)}, as in snapshot_begin")
        self._refuse("snapshot_begin", ~np.isfinite(begin) | ~np.isfinite(end) | (end < begin), "finite, begin <= end")
        wrong = begin[1:] <= end[:-1] if self.closed else begin[1:] != end[:-1]
        rule = "closed ranges apart from each other, or half-open ones without gaps"
        self._refuse("snapshot_begin", np.append(False, wrong)[: len(begin)], rule)
        expected = np.searchsorted(begin, self.time, side="right") - 1
        self._refuse("snapshot", self.snapshot != expected, "the last one that begins at or before the event's time")
        self._refuse("snapshot", self.snapshot < 0, "an event's time within its snapshot")
        last = end[self.snapshot] if len(self) else self.time
        late = self.time > last if self.closed else self.time >= last
        self._refuse("time", late, "one inside the range of its snapshot")

    @property
    def num_snapshots(self) -> int:
        """Number of snapshots, empty ones included; 0 where there are none."""
        return 0 if self.snapshot_begin is None else len(self.snapshot_begin)

    @property
    def closed(self) -> bool:
        """Whether the end of a snapshot belongs to it, as the time of a step does."""
        begin, end = self.snapshot_begin, self.snapshot_end
        if begin is None or end is None or not len(begin):
            return False
        return bool((begin[1:] > end[:-1]).any() or (len(self) and self.time[-1] == end[-1]))

    @classmethod
    def from_rows(cls, src: Any, dst: Any, time: Any, *, num_nodes: int | None = None, **others: Any) -> Self:
        """Make a table of rows in any order of time; a stable sort keeps the order of equal times.

        Parameters
        ----------
        src, dst, time : array_like
            As of the class, in the order of the raw data.
        num_nodes : int, optional
            Default: the largest node plus one.
        **others
            The other fields of the class; arrays of events in the same order. `edge_id` is the row unless given.

        Raises
        ------
        DataError
            If rows differ in number, or a value is out of range.
        """
        columns = {"src": src, "dst": dst, "time": time, "edge_id": np.arange(len(src)), **others}
        arrays = {name: exact(name, columns[name], _KINDS[name][0]) for name in ("src", "dst", "time", "edge_id")}
        if len({len(array) for array in arrays.values()}) > 1:
            lengths = {name: len(array) for name, array in arrays.items()}
            raise DataError(f"events: found {lengths} rows, expected the same number of each")
        order = np.lexsort((arrays["edge_id"], arrays["time"]))
        columns.update(arrays)
        for name in EVENT_FIELDS:
            if columns.get(name) is not None:
                values = exact(name, columns[name], _KINDS[name][0])
                if len(values) != len(order):
                    raise DataError(f"{name}: found {len(values)} rows, expected {len(order)}, one an event")
                columns[name] = values[order]
        if num_nodes is None:
            ends = np.concatenate([arrays["src"], arrays["dst"]])
            num_nodes = int(max(ends.max(initial=-1) + 1, columns.get("node_offset") or 0))
        return cls(num_nodes=num_nodes, **columns)

    def in_raw_order(self) -> dict[str, np.ndarray]:
        """Return the arrays that have a row an event, those that are there, in the order of the raw data."""
        order = np.argsort(self.edge_id)
        arrays = {name: getattr(self, name) for name in EVENT_FIELDS}
        return {name: array[order] for name, array in arrays.items() if array is not None}

    def without(self, *names: str) -> Self:
        """Return the table without some optional fields; ``"snapshot"`` takes the ranges of the snapshots with it.

        Raises
        ------
        ConfigError
            If a name is none of :data:`OPTIONAL_FIELDS`.
        """
        for name in names:
            if name not in OPTIONAL_FIELDS:
                raise ConfigError(f"without: found {name!r}, expected one of {', '.join(OPTIONAL_FIELDS)}")
        gone: dict[str, Any] = dict.fromkeys([*names, *(_SNAPSHOTS if "snapshot" in names else ())])
        return replace(self, **gone)

    def check_holds(self, form: str, holds: tuple[str, ...]) -> None:
        """Refuse to lose a field: raise unless a format holds all optional ones that are there.

        Parameters
        ----------
        form : str
            What the format is called.
        holds : tuple of str
            The names among :data:`OPTIONAL_FIELDS` that it holds.

        Raises
        ------
        ConfigError
            Naming what would be lost, and how to leave it out on purpose.
        """
        lost = [name for name in OPTIONAL_FIELDS if getattr(self, name) is not None and name not in holds]
        if lost:
            names = ", ".join(map(repr, lost))
            raise ConfigError(
                f"{form}: found a stream with {', '.join(lost)}, expected only what the format holds; leave it out on "
                f"purpose with stream.without({names})"
            )

    def check_one_kind_of_labels(self, form: str) -> None:
        """Raise ``ConfigError`` if there are labels of events and of nodes, for a format that holds one of them."""
        if self.event_label is not None and self.node_label is not None:
            raise ConfigError(
                f"{form}: found labels of events and of nodes, expected one of them; leave the others out on purpose "
                "with stream.without('node_label') or stream.without('event_label')"
            )

    def differences(self, other: EventTable) -> list[str]:
        """Name the fields in which another table differs, bit for bit but for the sign of zero."""
        names = [field.name for field in fields(self)]
        return [name for name in names if not _same(getattr(self, name), getattr(other, name))]

    def equals(self, other: EventTable) -> bool:
        """Tell whether another table is the same in every field."""
        return not self.differences(other)

    @classmethod
    def of(cls, data: Any, node_features: Literal["drop", "last"] | None = None, edge_features: bool = True) -> Self:
        """Read a prepared folder.

        Names of nodes and classes stay in the folder: the table has their numbers. A folder has node features for each
        snapshot, made of the events; a table has one array for all times.

        Parameters
        ----------
        data : path or TemporalGraph
            A prepared folder.
        node_features : str, optional
            What becomes of node features, where the folder has some: ``"drop"``, or ``"last"`` for those of the last
            snapshot, which know all events and must not be used to predict one.
        edge_features : bool, default True
            Read the features of the events.

        Raises
        ------
        DataError
            If the folder is missing or damaged.
        ConfigError
            If the folder has node features and `node_features` does not say what becomes of them.

        Examples
        --------
        >>> table = EventTable.of(prepared, node_features="drop")
        >>> table.num_nodes, table.num_snapshots, len(table) == len(table.in_raw_order()["src"])
        (100, 12, True)
        """
        folder = Path(data if isinstance(data, str | os.PathLike) else data.folder)
        manifest = schema.read_manifest(folder)
        rows = _columns(folder, "edges", schema.edge_schema(manifest))
        if "weight" in rows:
            rows["edge_weight"] = rows.pop("weight")
        for end in ("src", "dst"):
            schema.check_range(folder / "edges.parquet", end, rows[end], manifest["num_nodes"])
        schema.check_range(folder / "edges.parquet", "edge_id", rows["edge_id"], len(rows["edge_id"]))
        if edge_features and manifest.get("edge_features"):
            rows["edge_feat"] = _columns(folder, "edge_features")["feat"]
        ranges, offsets = _columns(folder, "snapshots", schema.SNAPSHOTS), list(manifest["id_offsets"].values())
        if len(offsets) > 2:
            raise DataError(
                f"{folder}: found {len(offsets)} types of nodes, expected one or two; a table knows no more"
            )
        if len(offsets) == 2 and len({start for _, start, end in schema.node_ranges(manifest) if start < end}) > 2:
            raise DataError(
                f"{folder}: found two types of nodes of which more were appended, expected the second type after the "
                "first; prepare all events together to read them as a table or to write them for other libraries"
            )
        others = {
            **_labels(folder, manifest, rows["edge_id"]),
            "node_feat": _node_features(folder, manifest, node_features),
            "snapshot_begin": ranges["time_begin"],
            "snapshot_end": ranges["time_end"],
            "directed": manifest["directed"],
            "name": manifest["dataset"],
            "time_unit": manifest["time_unit"],
            "node_offset": offsets[1] if len(offsets) == 2 else None,
        }
        try:
            return cls.from_rows(num_nodes=manifest["num_nodes"], **rows, **others)
        except DataError as error:
            raise DataError(f"{folder}: {error}; prepare the folder again") from None


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    return type(one) is type(other) and bool(one == other)


def _columns(folder: Path, name: str, expected: Any = None) -> dict[str, np.ndarray]:
    table = schema.table(folder, name, None if expected is None else expected.names, expected)
    return {column: schema.to_numpy(table[column]) for column in table.column_names}


def _labels(folder: Path, manifest: Mapping[str, Any], edge_id: np.ndarray) -> dict[str, np.ndarray]:
    """Give the labels of the events, in the order of `edge_id`, or those of the nodes."""
    if manifest["labels"] is None:
        return {}
    event = manifest["labels"] == "event"
    rows = _columns(folder, "labels", schema.EVENT_LABELS if event else schema.LABELS)
    number, key = (len(edge_id), "edge_id") if event else (manifest["num_nodes"], "node")
    schema.check_range(folder / "labels.parquet", key, rows[key], number)
    schema.check_range(folder / "labels.parquet", "label", rows["label"], manifest["num_classes"])
    label = np.full(number, -1)
    label[rows[key]] = rows["label"]
    return {"event_label": label[edge_id]} if event else {"node_label": label}


def _node_features(folder: Path, manifest: Mapping[str, Any], chosen: str | None) -> np.ndarray | None:
    if chosen not in (None, "drop", "last"):
        raise ConfigError(f"node_features: found {chosen!r}, expected 'drop', 'last' or None")
    if manifest["features"] is None or chosen == "drop":
        return None
    if chosen is None:
        raise ConfigError(
            f"{folder}: found node features ({manifest['features']['kind']}) of each snapshot, expected none, as a "
            "stream has one table for all times; choose node_features='drop' (they are made of the events, and can be "
            "made again), or 'last' for those of the last snapshot"
        )
    return _columns(folder, schema.feature_name(manifest["num_snapshots"] - 1))["feat"]
