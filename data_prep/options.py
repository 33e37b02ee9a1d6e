"""How a data set is prepared: one dataclass for Python and for the command line, which imports nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from data_prep.sources import READERS
from data_prep.sources._codec import text_codec
from dgl_dysign.errors import ConfigError

if TYPE_CHECKING:
    from data_prep.rules import Rule

DATASETS = (*READERS, "edges")
"""Formats of raw files; ``edges`` is any delimited list of timed edges."""
CHOICES = {
    "features": ("deepwalk", "node2vec", "spectral", "degree", "none"),
    "on_error": ("stop", "quarantine"),
    "engine": ("local", "dask"),
    "decimal": (".", ","),
    "ids": ("auto", "integer", "text"),
    "time_unit": ("s", "ms", "us", "ns", "none"),
}
"""Values of the options that have a few."""


@dataclass(frozen=True)
class PrepareOptions:
    """How a data set is prepared; the options of ``dysign-prep``, of which those up to `name` are of an edge list.

    Parameters
    ----------
    src, dst, time : str, optional
        Columns of sources, destinations and times, each a name in the header or a number from 1. Default: as is known
        of the file's name, else those with usual names, else 1, 2 and 3 (but for a later one that is plainly the time).
    weight, label : str, optional
        Columns of a number, and of a class of the event, or in the file of `labels` if there is one; empty: none.
        Default: those with usual names.
    edge_features : str, optional
        First column of the features, which go on to the last; one last column may hold all of them, separated by
        commas.
    delimiter : str, optional
        Character between columns, or ``tab``; a blank stands for any white space. Default: as most lines.
    decimal : str, optional
        Sign before the fraction of a number: a dot or a comma. Default: as the numbers.
    quote : bool, optional
        Whether fields may stand in double quotes. Default: if some do.
    comment : str, optional
        What lines that are no rows begin with; empty: there are none. Default: ``#``, ``%`` or ``//`` if line 1 does.
    header : bool, optional
        Whether line 1 is a header. Default: if it has names, and no number.
    encoding : str, optional
        How the text is written, a codec of Python's. Default: UTF-8, or UTF-16 or UTF-32 where a mark says so.
    ids : str, optional
        ``"integer"``, ``"text"``, or ``"auto"``, as most rows have them (the default): then ``NaN`` and the like are
        bad rows, and so are integers with a zero or a sign before them.
    time_format : str, optional
        How times are written, as in :func:`time.strptime`. Default: numbers, else ISO 8601.
    time_unit : str, optional
        What times count from 1970 on, ``"s"``, ``"ms"``, ``"us"``, ``"ns"``; ``"none"``: steps. Default: by their size,
        and then times that do not fit are bad rows.
    bipartite : bool, optional
        Whether sources and destinations are nodes of two types, with ids of their own. Default: if their columns'
        names say so, such as ``user_id`` and ``item_id``, or ``% bip`` at the beginning of a file of KONECT's.
    undirected : bool, default False
        Edges have no direction.
    src_label, dst_label : str, optional
        Columns of the classes of sources and destinations, instead of `labels`; an empty one is none.
    labels : path, optional
        File of nodes (of sources, where these are of a type of their own) and their classes, numbers or names; perhaps
        with times. Its column of nodes has a usual name, or that of `src`.
    labels_at : str, optional
        Which class, or target, of a node counts where a file has times: the ``"last"`` (the default), the ``"first"``,
        or the one known at a time, written as in the file.
    targets : path, optional
        File of nodes and numbers to be learnt of them; perhaps with times.
    name : str, optional
        Name of the data set; one that is known says how the file is written. Default: that of the file.
    every : str or data_prep.rules.Rule, optional
        How times become snapshots: a width (``"15s"``, ``"1h"``, ``"7d"`` or a number of the time's own units), a
        period of the calendar (``"hour"``, ``"day"``, ``"week"``, ``"month"``, ``"year"``, ``"roland-week"``), or
        ``"step"``, one a distinct time. Default: the data set's own rule; of a table, its own snapshots, or steps.
    snapshots : int, optional
        So many snapshots of equally many events, instead of `every`.
    merge : int, default 1
        So many neighbouring snapshots become one.
    features : str, optional
        Kind of node features: ``"deepwalk"``, ``"node2vec"``, ``"spectral"``, ``"degree"`` or ``"none"``. Default:
        ``"spectral"`` for raw files of ``dblp``, else ``"none"``.
    dim, seed : int, optional
        Their width, by default that of the kind; their seed, by default 0.
    decay : float or sequence of float, optional
        Weight of an event after one snapshot; several for ``"spectral"``.
    feature_options : mapping
        Other options of the kind (see :func:`data_prep.features.options`); the command line has none.
    on_error : str, default "stop"
        At a bad row of a raw file: ``"stop"``, or ``"quarantine"`` it in ``rejected.parquet``.
    max_bytes : int, optional
        Most bytes that a compressed file may grow to. Default: 1,000 times its size, within 1 GiB and 64 GiB.
    allow_unknown_labels : bool, default False
        Keep labels of nodes that no event names.
    engine : str, default "local"
        What reads the files of a data set: ``"local"`` or ``"dask"`` (extra ``dask``).
    workers : int, default 1
        Processes that read; 1: this one.
    scheduler : str, optional
        Address of a running Dask scheduler.
    names_of : path, optional
        Of a table: a prepared folder of the same nodes, from which names of nodes, types and classes are taken.
        Default: their numbers, and ``user`` and ``item`` where there are two types. The command line has none.
    overwrite : bool, default False
        Replace an existing prepared folder.

    Raises
    ------
    ConfigError
        If a value is none of those that the option has.

    Examples
    --------
    >>> PrepareOptions(every="week", features="degree").merge
    1
    """

    src: str | None = None
    dst: str | None = None
    time: str | None = None
    weight: str | None = None
    label: str | None = None
    edge_features: str | None = None
    delimiter: str | None = None
    decimal: str | None = None
    quote: bool | None = None
    comment: str | None = None
    header: bool | None = None
    encoding: str | None = None
    ids: str | None = None
    time_format: str | None = None
    time_unit: str | None = None
    bipartite: bool | None = None
    undirected: bool = False
    src_label: str | None = None
    dst_label: str | None = None
    labels: str | os.PathLike[str] | None = None
    labels_at: str | None = None
    targets: str | os.PathLike[str] | None = None
    name: str | None = None
    every: str | Rule | None = None
    snapshots: int | None = None
    merge: int = 1
    features: str | None = None
    dim: int | None = None
    seed: int = 0
    decay: float | Sequence[float] | None = None
    feature_options: Mapping[str, Any] = field(default_factory=dict)
    on_error: str = "stop"
    max_bytes: int | None = None
    allow_unknown_labels: bool = False
    engine: str = "local"
    workers: int = 1
    scheduler: str | None = None
    names_of: str | os.PathLike[str] | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in choices:
                option = name.replace("_", "-")
                raise ConfigError(f"--{option}: found {value}, expected one of {', '.join(choices)}")
        text_codec(self.encoding or "utf-8")

    def refuse(self, names: Sequence[str], remedy: str) -> None:
        """Raise :class:`ConfigError` if one of some options, which would have no effect, is not its default."""
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in names and value != each.default and value != {}:
                raise ConfigError(f"found {each.name} = {value!r}, expected no such option here; {remedy}")


_NAMES = [each.name for each in fields(PrepareOptions)]
EDGE_LIST = tuple(_NAMES[: _NAMES.index("name") + 1])
"""Options of ``edges`` alone."""
