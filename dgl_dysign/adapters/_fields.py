"""What several adapters ask of a stream, and how they put one together."""

from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from dgl_dysign.adapters.event_stream import EventStream
from dgl_dysign.errors import ConfigError, DataError

INT32 = 2**31 - 1
_LOSABLE = ("edge_id", "num_nodes")
_FIELDS = {field.name for field in fields(EventStream)}


def stream_of(form: str, columns: Mapping[str, Any], given: Mapping[str, Any]) -> EventStream:
    """Make a stream of what a format holds and of what its user says besides.

    Parameters
    ----------
    form : str
        What the format is called.
    columns : mapping
        Fields of :class:`EventStream`, events in any order; those that are None are left to `given`.
    given : mapping
        Fields that go before those of `columns`, rows in the same order. Ranges of snapshots alone suffice: they say
        which snapshot an event is in.

    Returns
    -------
    EventStream
        The stream.

    Raises
    ------
    ConfigError
        If `given` names no field.
    DataError
        If a value is out of range.
    """
    unknown = sorted(set(given) - _FIELDS)
    if unknown:
        raise ConfigError(
            f"{form}: found the option {unknown[0]!r}, expected an option of this adapter or a field of EventStream: "
            f"{', '.join(sorted(_FIELDS))}"
        )
    found = {**{name: value for name, value in columns.items() if value is not None}, **given}
    if found.get("snapshot_begin") is not None and found.get("snapshot") is None:
        found["snapshot"] = np.searchsorted(found["snapshot_begin"], found["time"], side="right") - 1
    return EventStream.from_rows(**found)


def check_kept(form: str, stream: EventStream, lose: Collection[str], holds: tuple[str, ...] = ()) -> None:
    """Refuse to lose the rows of events in the raw data, or nodes after the last one that has an event.

    Parameters
    ----------
    form : str
        What the format is called.
    stream : EventStream
        The stream.
    lose : collection of str
        What may be lost: ``"edge_id"``, ``"num_nodes"``.
    holds : tuple of str
        Those of them that the format has a place for.

    Raises
    ------
    ConfigError
        If something would be lost that `lose` does not name, or it names something else.
    """
    lose = (lose,) if isinstance(lose, str) else lose
    unknown = [name for name in lose if name not in _LOSABLE]
    if unknown:
        raise ConfigError(f"{form}: found lose={unknown[0]!r}, expected some of {', '.join(map(repr, _LOSABLE))}")
    kept = {*lose, *holds}
    if "edge_id" not in kept and (np.diff(stream.edge_id) < 0).any():
        raise ConfigError(
            f"{form}: found raw rows (edge_id) in another order than time, expected 0, 1, 2, ..., as the format has no "
            "place for them; add lose=['edge_id'], and give edge_id=stream.edge_id when you read it back"
        )
    last = max(stream.src.max(initial=-1), stream.dst.max(initial=-1))
    if "num_nodes" not in kept and stream.num_nodes > last + 1:
        raise ConfigError(
            f"{form}: found {stream.num_nodes} nodes, expected {last + 1}, as the format counts the nodes by their "
            f"events; add lose=['num_nodes'], and give num_nodes={stream.num_nodes} when you read it back"
        )


def whole_times(form: str, stream: EventStream, low: int | None = None, high: int | None = None) -> np.ndarray:
    """Return the times as int64, or say how to make whole numbers of them.

    Parameters
    ----------
    form : str
        What the format is called.
    stream : EventStream
        The stream.
    low, high : int, optional
        Bounds of the times, both included.

    Returns
    -------
    numpy.ndarray
        int64 of shape (E,).

    Raises
    ------
    ConfigError
        If a time is no whole number, or out of range.
    """
    broken = np.flatnonzero(stream.time != np.floor(stream.time))
    how = "dgl_dysign.adapters.times.retimed(stream, shift=..., scale=..., floor=True)"
    if len(broken):
        raise ConfigError(
            f"{form}: found the time {stream.time[broken[0]]}, expected whole numbers; scale the times or round them "
            f"down: {how}"
        )
    low, high = -(2**53) if low is None else low, 2**53 if high is None else high
    if len(stream) and (stream.time[0] < low or stream.time[-1] > high):
        raise ConfigError(
            f"{form}: found times from {stream.time[0]:.0f} to {stream.time[-1]:.0f}, expected {low} to {high}; let "
            f"them begin at 0 or count in a coarser unit: {how}"
        )
    return stream.time.astype(np.int64)


def as_float32(name: str, values: Any, round_features: bool) -> np.ndarray:
    """Return features as float32; where a value would change, only if that is wanted.

    Raises
    ------
    DataError
        If float32 does not hold a value, and `round_features` is not set; or it is beyond float32 at all.
    """
    found = np.asarray(values)
    with np.errstate(over="ignore"):
        made = found.astype(np.float32)
    changed = (made != found) & ~(np.isnan(made) & np.isnan(found))
    if (np.isinf(made) & ~np.isinf(found)).any():
        raise DataError(f"{name}: found {found[np.isinf(made)].flat[0]}, expected numbers within float32; scale them")
    if changed.any() and not round_features:
        raise DataError(
            f"{name}: found {found[changed].flat[0]}, expected numbers that float32 holds exactly; round them to "
            "float32 with round_features=True"
        )
    return made
