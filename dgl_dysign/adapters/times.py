"""Other times and other snapshots for a stream, for formats that hold whole or small times only."""

from dataclasses import replace
from typing import Any

import numpy as np

from dgl_dysign import _preparation
from dgl_dysign.adapters.event_stream import EventStream
from dgl_dysign.errors import ConfigError


def retimed(stream: EventStream, shift: float = 0.0, scale: float = 1.0, floor: bool = False) -> EventStream:
    r"""Count the time of a stream from elsewhere, or in another unit.

    .. math:: t' = (t + shift) \, scale

    for events and for the ranges of snapshots; ``shift=-stream.time[0]`` lets times begin at 0, and `scale` is how many
    new units are one old unit. With `floor` the result is rounded down, for good, so that events keep their order, and
    their snapshots where those begin at whole times. Where anything changes ``time_unit`` says what was done.

    Raises
    ------
    ConfigError
        If `scale` is not positive and finite, or `shift` not finite.
    DataError
        If an event does not stay in its snapshot, because a snapshot begins within a new unit; leave the snapshots out
        first: ``stream.without("snapshot")``.

    Examples
    --------
    >>> stream = EventStream.from_rows([0, 1], [1, 0], [100.5, 101.25])
    >>> retimed(stream, shift=-100, scale=4).time, retimed(stream, floor=True).time
    (array([2., 5.]), array([100., 101.]))
    """
    if not (0 < scale < np.inf and np.isfinite(shift)):
        raise ConfigError(f"found shift={shift}, scale={scale}, expected finite numbers, scale above 0")

    def new(time: np.ndarray) -> np.ndarray:
        moved = (time + shift) * scale
        return np.floor(moved) if floor else moved

    changed = ("time", "snapshot_begin", "snapshot_end")
    times: dict[str, Any] = {name: new(getattr(stream, name)) for name in changed if getattr(stream, name) is not None}
    unit = stream.time_unit if (shift, scale) == (0, 1) else f"(t + {shift:g}) * {scale:g}, t in {stream.time_unit}"
    return replace(stream, time_unit=unit, **times)


def binned(stream: EventStream, rule: "_preparation.Rule", unix: bool = False) -> EventStream:
    """Put the events of a stream into snapshots, empty ones included, which replace those that it has.

    Parameters
    ----------
    rule : data_prep.Rule
        How times become snapshots, such as ``Rule("every", width=3600.0)``.
    unix : bool, default False
        Whether times are Unix seconds, which calendar rules need.

    Raises
    ------
    ConfigError
        If there is no event, or the rule does not suit the times.

    Examples
    --------
    >>> from data_prep import Rule
    >>> stream = EventStream.from_rows([0, 1, 0], [1, 0, 1], [0.0, 5.0, 25.0])
    >>> binned(stream, Rule("every", width=10)).snapshot
    array([0, 0, 2])
    """
    time = stream.time
    if not len(time):
        raise ConfigError("found a stream without events, expected some to make snapshots of")
    distinct = np.unique(time) if rule.needs_distinct else None
    bins = _preparation.bin_times(rule, time[0], time[-1], distinct, time.take, len(time), unix=unix)
    ends = bins.begin.astype(np.float64), bins.end.astype(np.float64)
    return replace(stream, snapshot=bins.assign(time), snapshot_begin=ends[0], snapshot_end=ends[1])
