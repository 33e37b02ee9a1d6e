"""To and from other libraries' temporal graphs, through one hub: :class:`EventStream`.

An adapter is a class with ``name``, ``extra`` (the extra of dgl-dysign that installs its package, or None),
``matches(obj)``, ``to_events(obj, **options)`` and ``from_events(stream, **options)``. Other packages add their own
as entry points of the group ``dgl_dysign.adapters``. A package is imported when its adapter needs it.

Converters lose nothing silently: what a format cannot hold is a ``ConfigError``, whose message says how to leave it
out, and a file or value that is wrong a ``DataError``.

Examples
--------
>>> names()
['dgl', 'dyglib', 'pyg', 'pyg-temporal', 'tgb', 'tgl', 'tgm']
>>> to_events(prepared, node_features="drop")
EventStream('dblp-generated', 846 events, 100 nodes, node_label, snapshot)
"""

import os
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Protocol

from dgl_dysign.adapters.event_stream import EventStream
from dgl_dysign.data import schema
from dgl_dysign.errors import ConfigError

__all__ = ["EventStream", "get", "names", "to_events"]

GROUP = "dgl_dysign.adapters"
_OURS = {
    "dgl": "dgl_graphs",
    "dyglib": "dyglib",
    "pyg": "pyg",
    "pyg-temporal": "pyg_temporal",
    "tgb": "tgb",
    "tgl": "tgl",
    "tgm": "tgm",
}
"""Modules of our adapters by name; entry points are there only where the package was installed."""


class Adapter(Protocol):
    """What an adapter offers."""

    name: str
    extra: str | None

    def matches(self, obj: Any) -> bool:
        """Tell whether :meth:`to_events` reads this object; imports nothing."""

    def to_events(self, obj: Any, **options: Any) -> EventStream:
        """Read an object of the other library, or its files.

        ConfigError if something would be lost, DataError if a file or a value is wrong.

        Options that several have: `round_features` rounds features to float32, the stream's type, where they are
        float64; `ignore` names what to leave out; and fields of :class:`EventStream` replace those read, or say what
        the format does not, such as ``num_nodes``, ``directed``, ``name``, ``time_unit``, ``node_offset``, ``edge_id``,
        ``snapshot_begin`` and ``snapshot_end``.
        """

    def from_events(self, stream: EventStream, **options: Any) -> Any:
        """Make an object of the other library, or its files; ConfigError if the stream holds what it cannot.

        Options that several have: `lose` names what may be lost, of ``"edge_id"`` (the order of the raw rows) and
        ``"num_nodes"`` (nodes after the last one that has an event); `overwrite` replaces files that were exported
        before.
        """


def _entry_points() -> dict[str, EntryPoint]:
    ours = (EntryPoint(name, f"{__name__}.{module}:Adapter", GROUP) for name, module in _OURS.items())
    return {point.name: point for point in (*ours, *entry_points(group=GROUP))}


def names() -> list[str]:
    """Return the names of all adapters, ours and those that other packages register."""
    return sorted(_entry_points())


def get(name: str) -> Adapter:
    """Return the adapter of a name, one of :func:`names`; its package is imported when it is used.

    Raises
    ------
    ConfigError
        If there is no adapter of that name.

    Examples
    --------
    >>> get("pyg").extra
    'pyg'
    """
    points = _entry_points()
    if name not in points:
        raise ConfigError(f"adapter: found {name!r}, expected one of {', '.join(sorted(points))}")
    adapter: Adapter = points[name].load()()
    return adapter


def to_events(obj: Any, **options: Any) -> EventStream:
    """Read whatever an adapter knows, or a prepared folder.

    Parameters
    ----------
    obj : object
        A stream, a :class:`dgl_dysign.data.TemporalGraph`, a prepared folder, or an object or path that an adapter
        reads.
    **options
        Passed on to the adapter (see :meth:`Adapter.to_events`), or to :meth:`EventStream.of`.

    Raises
    ------
    ConfigError
        If no adapter, or more than one, reads the object.
    """
    if isinstance(obj, EventStream):
        return obj
    folder = getattr(obj, "folder", obj)
    if isinstance(folder, str | os.PathLike) and (Path(folder) / schema.MANIFEST).is_file():
        return EventStream.of(folder, **options)
    known = [name for name in names() if get(name).matches(obj)]
    if len(known) != 1:
        what = f"{obj} ({type(obj).__name__})" if isinstance(obj, str | os.PathLike) else type(obj).__name__
        raise ConfigError(
            f"to_events: found {what}, which {' and '.join(known) or 'no adapter'} reads, expected exactly one; name "
            f"it with get(NAME).to_events(...), NAME one of {', '.join(names())}"
        )
    return get(known[0]).to_events(obj, **options)
