"""From events with times to events in snapshots: binning, order, first appearance, repeated rows."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

_MOST_DECIMALS = 9


@dataclass(frozen=True)
class RawData:
    """What a reader found in the raw files, in file order.

    Parameters
    ----------
    dataset : str
        Name of the data set.
    src, dst : numpy.ndarray
        Node ids of the events, int64, shape (events,).
    time : numpy.ndarray
        Times of the events, float64, shape (events,).
    labelled : numpy.ndarray
        Nodes that have a label, int64, ascending.
    classes : numpy.ndarray
        Their classes as written in the file, int64.
    sources : list of dict
        Name, SHA-256 and rows of each raw file.
    directed : bool, default False
        Whether ``src dst`` differs from ``dst src``.
    time_unit : str
        What a time of 1 means.
    """

    dataset: str
    src: np.ndarray
    dst: np.ndarray
    time: np.ndarray
    labelled: np.ndarray
    classes: np.ndarray
    sources: list[dict[str, Any]] = field(default_factory=list)
    directed: bool = False
    time_unit: str = "as in the file"

    @property
    def num_nodes(self) -> int:
        """Largest id of edges and labels, plus one."""
        return 1 + max(int(ids.max()) for ids in (self.src, self.dst, self.labelled) if len(ids))


@dataclass(frozen=True)
class Events:
    """Events sorted by snapshot, in file order inside each.

    Parameters
    ----------
    snapshot, src, dst, time, edge_id : numpy.ndarray
        One entry an event; `edge_id` is its row in the raw file, from 0.
    times : numpy.ndarray
        Time of each snapshot, shape (snapshots,).
    rule : dict
        How times became snapshots, for the manifest.
    """

    snapshot: np.ndarray
    src: np.ndarray
    dst: np.ndarray
    time: np.ndarray
    edge_id: np.ndarray
    times: np.ndarray
    rule: dict[str, Any]

    @property
    def num_snapshots(self) -> int:
        """Number of snapshots, empty ones included."""
        return len(self.times)

    @property
    def bounds(self) -> np.ndarray:
        """First row of each snapshot, and the number of events at the end: shape (snapshots + 1,)."""
        return np.searchsorted(self.snapshot, np.arange(self.num_snapshots + 1)).astype(np.int64)


@np.errstate(over="ignore", invalid="ignore")
def number_times(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Give each distinct time its snapshot: along an even grid if they lie on one (empty steps count), else by rank.

    A grid is taken when every time is within one unit of its last written decimal (and a tenth of a step) of
    ``origin + k * step`` and at least half of the steps hold events; otherwise the snapshot is the rank of the time.

    Parameters
    ----------
    values : numpy.ndarray
        Distinct times, ascending, shape (distinct,).

    Returns
    -------
    index : numpy.ndarray
        Snapshot of each time, int64.
    times : numpy.ndarray
        Time of each snapshot.
    rule : dict
        ``kind`` (``"grid"`` or ``"rank"``), and for a grid its ``origin`` and ``step``.

    Examples
    --------
    >>> number_times(np.array([0.0, 0.333333, 1.0]))[0].tolist()
    [0, 1, 3]
    >>> number_times(np.array([0.0, 0.37, 1.0]))[0].tolist()
    [0, 1, 2]
    """
    rank = np.arange(len(values)), values, {"kind": "rank"}
    if len(values) < 3:
        return rank
    gaps = np.diff(values)
    unit = gaps[gaps < 1.5 * gaps.min()].mean()
    # More steps than this and the grid would be mostly empty; an overflow to inf or nan is no grid either.
    if not (values[-1] - values[0]) / unit <= 2 * len(values):
        return rank
    index = np.concatenate([[0], np.cumsum(np.rint(gaps / unit).astype(np.int64))])
    step = (values[-1] - values[0]) / index[-1]
    times = values[0] + np.arange(index[-1] + 1) * step
    off = np.abs(times[index] - values).max()
    if off > min(_resolution(values), step / 10) or len(times) > 2 * len(values):
        return rank
    times[index] = values
    return index, times, {"kind": "grid", "origin": float(values[0]), "step": float(step)}


def _resolution(values: np.ndarray) -> float:
    """One unit of the last decimal that the times were written with; almost 0 where they are whole or exact."""
    for decimals in range(_MOST_DECIMALS + 1):
        if np.array_equal(np.round(values, decimals), values):
            break
    exact = 1e-9 * max(1.0, float(np.abs(values).max()))
    return exact if decimals in (0, _MOST_DECIMALS) else 10.0**-decimals


def arrange(src: np.ndarray, dst: np.ndarray, time: np.ndarray) -> Events:
    """Put events into snapshots, keeping the file's order inside each.

    Examples
    --------
    >>> events = arrange(np.array([5, 6, 7]), np.array([1, 1, 1]), np.array([1.0, 0.5, 1.0]))
    >>> events.snapshot.tolist(), events.src.tolist(), events.edge_id.tolist()
    ([0, 1, 1], [6, 5, 7], [1, 0, 2])
    """
    edge_id = np.arange(len(time))
    if (time[1:] < time[:-1]).any():
        edge_id = np.argsort(time, kind="stable")
        src, dst, time = src[edge_id], dst[edge_id], time[edge_id]
    starts = np.concatenate([[True], time[1:] != time[:-1]])
    index, times, rule = number_times(time[starts])
    snapshot = index[np.cumsum(starts) - 1].astype(np.int32)
    return Events(snapshot, src, dst, time, edge_id, times, rule)


def first_snapshots(events: Events, num_nodes: int) -> np.ndarray:
    """First snapshot in which each node has an event, int32, -1 for never."""
    first = np.full(num_nodes, np.iinfo(np.int32).max, dtype=np.int32)
    np.minimum.at(first, events.src, events.snapshot)
    np.minimum.at(first, events.dst, events.snapshot)
    first[first == np.iinfo(np.int32).max] = -1
    return first


def count_repeats(events: Events, num_nodes: int) -> int:
    """Count the events that repeat an earlier one exactly: same source, same destination, same time."""
    repeats = 0
    for first, last in pairwise(events.bounds):
        pairs = np.sort(events.src[first:last] * num_nodes + events.dst[first:last])
        repeats += int((pairs[1:] == pairs[:-1]).sum())
    return repeats
