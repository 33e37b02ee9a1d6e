"""Events that are in memory already, prepared as a raw file is: same stages, same bytes."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_prep import pipeline
from data_prep.engines import Engine
from data_prep.ids import IdMap, Unchanged, distinct
from data_prep.nodes import Nodes
from data_prep.parquet import write_table
from data_prep.progress import Add
from data_prep.rules import Binning
from data_prep.sources._layout import Column, Layout
from data_prep.sources._source import ReadOptions, Source, most_ids
from data_prep.spool import CHUNK, Part
from data_prep.writer import work_folder
from dgl_dysign.data import schema
from dgl_dysign.errors import DataError

_LAYOUT = Layout((Column("src", "integer"), Column("dst", "integer"), Column("time", "number")))
_MOST_CLASSES = 1 << 16


@dataclass(frozen=True, eq=False)
class Arrays:
    """A data set in memory, checked by whoever made it.

    Parameters
    ----------
    columns : dict
        Arrays of E rows in the order of the raw data: ``src`` and ``dst`` (int64, nodes), ``time`` (float64, finite)
        and, where there are any, ``weight`` (float64), ``label`` (int64, of the event; -1: none) and ``feat`` (float32,
        shape (E, width)).
    num_nodes : int
        Number N of nodes.
    node_label : numpy.ndarray, optional
        Class of each node, int64 of shape (N,); -1: none. Not beside labels of events.
    second : int, optional
        First node of the second type, where all events go from one type to another.
    types : tuple of str
        Names of the two types.
    raw_id : pyarrow.Array, optional
        Names of the nodes, and `id_order` the order that they are in; default: their numbers.
    class_names : tuple of str, optional
        Names of the classes, of the largest one at least; default: their numbers.
    binning : Binning, optional
        The snapshots; default: made by the options' rule.
    dataset, directed, time_unit, unix
        As of :class:`data_prep.sources._source.Source`.
    """

    columns: dict[str, np.ndarray]
    num_nodes: int
    node_label: np.ndarray | None = None
    second: int | None = None
    types: tuple[str, str] = ("user", "item")
    raw_id: pa.Array | None = None
    id_order: str = "as in the file"
    class_names: tuple[str, ...] = ()
    binning: Binning | None = None
    dataset: str = "events"
    directed: bool = True
    time_unit: str = "unknown"
    unix: bool = False

    def __post_init__(self) -> None:
        if not len(self.columns["time"]):
            raise DataError("events: found none, expected one or more; a prepared folder has a first and a last time")
        rows, limit = len(self.columns["time"]), most_ids(len(self.columns["time"]))
        if self.num_nodes > limit:
            raise DataError(f"nodes: found {self.num_nodes} for {rows} events, expected at most {limit}; number anew")
        if self.num_classes > _MOST_CLASSES:
            raise DataError(
                f"labels: found class {self.num_classes - 1}, expected numbers below {_MOST_CLASSES}; number the "
                "classes 0, 1, 2, ... first"
            )
        if self.class_names and len(self.class_names) < self.num_classes:
            raise DataError(f"labels: found {self.num_classes} classes, expected {len(self.class_names)}, as are named")
        for name in ("weight", "feat"):
            if name in self.columns and not np.isfinite(self.columns[name]).all():
                raise DataError(f"events: found nan or inf among {name}, expected finite numbers; replace them first")

    @property
    def classes(self) -> list[str]:
        """Names of the classes; none without labels."""
        return list(self.class_names or map(str, range(self.num_classes))) if self.num_classes else []

    @property
    def num_classes(self) -> int:
        """The largest class plus one."""
        labels = self.columns.get("label", self.node_label)
        return 0 if labels is None else int(labels.max(initial=-1)) + 1

    def digest(self) -> str:
        """SHA-256 of all that the arrays hold."""
        digest = hashlib.sha256(
            repr((sorted(self.columns), self.num_nodes, self.second, self.types, self.id_order, self.classes)).encode()
        )
        if self.raw_id is not None:
            digest.update(repr(self.raw_id.to_pylist()).encode())
        ranges = [] if self.binning is None else [self.binning.begin, self.binning.end]
        for values in (*(self.columns[name] for name in sorted(self.columns)), self.node_label, *ranges):
            if values is not None:
                digest.update(repr((values.dtype.str, values.shape)).encode())
                digest.update(np.ascontiguousarray(values).view(np.uint8).data)
        return digest.hexdigest()

    def source(self, rule: Any) -> Source:
        """Describe them as a raw data set without files."""
        weight = "weight" if "weight" in self.columns else None
        return Source(
            dataset=self.dataset,
            parts=(),
            layout=_LAYOUT,
            rule=rule,
            keep_ids=True,
            directed=self.directed,
            time_unit=self.time_unit,
            unix=self.unix,
            weight=weight,
        )


def prepare_arrays(
    arrays: Arrays, out: Path, options: pipeline.Options, progress: Add = pipeline._silent
) -> dict[str, Any]:
    """Write a prepared folder of events in memory.

    Parameters
    ----------
    arrays : Arrays
        The events.
    out : path
        The folder to write.
    options : data_prep.pipeline.Options
        How; what it says of reading files has no effect.
    progress : callable, optional
        As of :func:`data_prep.pipeline.prepare`, which this does the work of.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    DataError, ConfigError
        If `out` may not be written, or an option does not suit the events.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from data_prep.rules import Rule
    >>> columns = {"src": np.array([0, 1]), "dst": np.array([1, 0]), "time": np.array([5.0, 7.0])}
    >>> with TemporaryDirectory() as home:
    ...     made = prepare_arrays(Arrays(columns, num_nodes=3), Path(home) / "out", pipeline.Options(Rule("step")))
    >>> made["num_nodes"], made["num_edges"], made["num_snapshots"], made["time_range"]
    (3, 2, 2, [5.0, 7.0])
    """
    source, digest = arrays.source(options.rule), arrays.digest()
    options = replace(options, engine=_InMemory(arrays=arrays, digest=digest))
    with work_folder(out, {**options.plan(source), "arrays": digest}, options.overwrite) as work:
        return _Run(source, options, work, progress, arrays).all()


@dataclass(frozen=True, eq=False)
class _InMemory(Engine):
    """Reads nothing: the one part is there."""

    arrays: Arrays | None = None
    digest: str = ""

    def read(self, source: Source, home: Path, options: ReadOptions) -> list[Part]:
        assert self.arrays is not None
        return [_ArrayPart(home, _facts(self.arrays, self.digest), self.arrays.columns)]


def _facts(arrays: Arrays, digest: str) -> dict[str, Any]:
    """Say of the columns what a spooled part says of its own."""
    time, rows = arrays.columns["time"], len(arrays.columns["time"])
    return {
        "rows": rows,
        "columns": {name: [v.dtype.str, v.shape[1] if v.ndim > 1 else 1] for name, v in arrays.columns.items()},
        "ascending": bool((time[1:] >= time[:-1]).all()),
        "labels": list(range(arrays.num_classes)) if "label" in arrays.columns else [],
        # Plus zero: -0.0 is 0.0, as in a part that was spooled.
        "low": float(time.min()) + 0.0,
        "high": float(time.max()) + 0.0,
        "source": {"name": arrays.dataset, "sha256": digest, "lines": rows, "header": 0, "rows": rows, "rejected": 0},
    }


@dataclass(frozen=True)
class _ArrayPart(Part):
    arrays: dict[str, np.ndarray]

    @property
    def rejected(self) -> Iterator[Any]:
        return iter(())

    def distinct_times(self) -> np.ndarray:
        return distinct(self.arrays["time"] + 0.0)

    def column(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def forget(self) -> None:
        """Keep the arrays, which are not ours."""

    def chunks(self, names: list[str]) -> Iterator[dict[str, np.ndarray]]:
        for first in range(0, self.rows, CHUNK):
            yield {name: self.arrays[name][first : first + CHUNK] for name in names}


class _Run(pipeline._Run):
    """The stages, with nodes and snapshots that are given."""

    def __init__(self, source: Source, options: pipeline.Options, work: Path, progress: Add, arrays: Arrays) -> None:
        super().__init__(source, options, work, progress)
        self.arrays = arrays

    def nodes(self, parts: list[Part]) -> Nodes:
        return _GivenNodes.of(self.arrays)

    def class_names(self, parts: list[Part]) -> list[str]:
        return self.arrays.classes

    def binning(self, parts: list[Part]) -> Binning:
        return self.arrays.binning or super().binning(parts)


@dataclass
class _GivenNodes(Nodes):
    label: np.ndarray | None = None
    names: pa.Array | None = None
    classes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, arrays: Arrays) -> "_GivenNodes":
        numbers, count, second = np.arange(arrays.num_nodes), arrays.num_nodes, arrays.second
        offsets = {"node": 0} if second is None else {arrays.types[0]: 0, arrays.types[1]: second}
        ends = [*offsets.values(), count]
        spaces: dict[str, IdMap | Unchanged] = {
            name: IdMap(numbers[ends[at] : ends[at + 1]], ends[at]) for at, name in enumerate(offsets)
        }
        maps = dict.fromkeys(("src", "dst"), lambda part, values: values)
        return cls(
            count,
            offsets,
            arrays.id_order,
            maps,
            spaces,
            None,
            label=arrays.node_label,
            names=arrays.raw_id,
            classes=arrays.classes,
        )

    def write(self, folder: Path, first: np.ndarray, allow_unknown: bool, on_error: str) -> list[str]:
        names = self.names
        if names is None:
            names = pa.concat_arrays([ids.raw() for ids in self.spaces.values()])
        self._write_nodes(folder, names, first)
        if self.label is None or not (self.label >= 0).any():
            return []
        node = np.flatnonzero(self.label >= 0)
        columns = {"node": node, "label": self.label[node].astype(np.int32)}
        write_table(folder / "labels.parquet", schema.LABELS, columns)
        return self.classes
