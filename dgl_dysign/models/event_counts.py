"""What counting tells of an event's ends before its snapshot: how often, how lately, with how many others."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dgl_dysign.data.pair_log import PairLog, check_nodes
from dgl_dysign.errors import ConfigError

HALF_LIVES = (1.0, 6.0, 24.0, 168.0)  # in snapshots
_COLUMNS = ("count", "since", "age", "gap", *(f"recent_{life:g}" for life in HALF_LIVES), "new")
_NODE_COLUMNS = (*_COLUMNS, "partners", "partners_per_event", "as_source")


class EventCounts:
    r"""Counts of a stream's nodes and pairs, read before a snapshot and updated after it.

    For a node or a pair with events at times :math:`t_1 \le \dots \le t_n` before the snapshot in question, at time t:
    n, :math:`t - t_n`, :math:`t - t_1`, :math:`t_n - t_{n-1}` and :math:`\sum_i 2^{-(t - t_i) / h}` with half-lives h
    of 1, 6, 24 and 168 snapshots, each as :math:`\log(1 + x)`, and whether there was none. Nodes also have the number
    of distinct partners, that number for each event, and the share of events of which they were the source; pairs also
    their share of the source's and of the destination's events. Times are in snapshots, see
    `dgl_dysign.data.snapshot_events.snapshot_time`.

    Nothing depends on the order of events in a snapshot, nor on events that were not observed.

    Parameters
    ----------
    num_nodes : int
        Number of nodes N; memory is O(N + pairs).

    Attributes
    ----------
    node_names, event_names : tuple of str
        Columns of `nodes`, and of `events`.
    snapshot : int
        The last one observed; -1: none.

    Raises
    ------
    ConfigError, DataError
        If a snapshot is observed or read out of order; if a node is beyond `num_nodes`.

    Examples
    --------
    >>> import torch
    >>> from dgl_dysign.models.event_counts import EventCounts
    >>> counts = EventCounts(3)
    >>> counts.observe(0, torch.tensor([0, 0]), torch.tensor([1, 2]), torch.tensor([0.25, 0.5]))
    >>> columns = counts.events(1, torch.tensor([0]), torch.tensor([2]), torch.tensor([1.5]))
    >>> row = dict(zip(counts.event_names, columns[0].tolist(), strict=True))
    >>> round(float(torch.tensor(row["src_count"]).expm1())), row["src_gap"] == row["dst_gap"], row["pair_new"]
    (2, False, 0.0)
    """

    node_names = _NODE_COLUMNS
    event_names = (
        *(f"src_{name}" for name in _NODE_COLUMNS),
        *(f"dst_{name}" for name in _NODE_COLUMNS),
        *(f"pair_{name}" for name in _COLUMNS),
        "pair_of_src",
        "pair_of_dst",
    )

    def __init__(self, num_nodes: int) -> None:
        self.num_nodes = num_nodes
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.snapshot = -1
        self._nodes, self._pairs = _Tally(self.num_nodes), _Tally(0)
        self._as_source = np.zeros(self.num_nodes)
        self._log = PairLog(self.num_nodes)

    def grow(self, num_nodes: int) -> None:
        """Have more nodes from now on, none of which has been seen; ``ConfigError`` if there would be fewer."""
        self._log.grow(num_nodes)
        self._nodes.grow(num_nodes)
        self._as_source = np.pad(self._as_source, (0, num_nodes - self.num_nodes))
        self.num_nodes = num_nodes

    def observe(self, snapshot: int, src: Tensor, dst: Tensor, time: Tensor) -> None:
        """Take in the events of a snapshot, in any order; an event of a node with itself counts once."""
        if snapshot <= self.snapshot:
            raise ConfigError(f"snapshot {snapshot} cannot follow {self.snapshot}: observe snapshots in order")
        begin, end, when = src.numpy(), dst.numpy(), time.numpy().astype(np.float64)
        check_nodes(self.num_nodes, begin, end)
        self.snapshot = snapshot
        other = begin != end
        self._nodes.note(np.r_[begin, end[other]], np.r_[when, when[other]])
        np.add.at(self._as_source, begin, 1)
        self._log.add(snapshot, begin, end)
        self._log.add(snapshot, end[other], begin[other])
        self._pairs.grow(len(self._log))
        self._pairs.note(self._log.find(begin, end), when)

    def nodes(self, snapshot: int, nodes: Tensor) -> Tensor:
        """Return what is known of nodes ``(R,)`` at the beginning of a snapshot, float32 ``(R, len(node_names))``."""
        self._check(snapshot)
        ids = nodes.numpy()
        check_nodes(self.num_nodes, ids)
        return torch.from_numpy(self._node_columns(ids, np.full(len(ids), float(snapshot))).astype(np.float32))

    def events(self, snapshot: int, src: Tensor, dst: Tensor, time: Tensor) -> Tensor:
        """Return what is known of events ``(E,)`` of a snapshot, float32 ``(E, len(event_names))``.

        Each knows its own ends and its own time, and no other event of its snapshot.
        """
        self._check(snapshot)
        begin, end, when = src.numpy(), dst.numpy(), time.numpy().astype(np.float64)
        check_nodes(self.num_nodes, begin, end)
        number = self._log.find(begin, end)
        met = np.where(number >= 0, self._pairs.padded_count(number), 0.0)
        columns = [
            self._node_columns(begin, when),
            self._node_columns(end, when),
            self._pairs.read(number, when),
            (met / np.maximum(self._nodes.count[begin], 1))[:, None],
            (met / np.maximum(self._nodes.count[end], 1))[:, None],
        ]
        return torch.from_numpy(np.concatenate(columns, 1).astype(np.float32))

    def _node_columns(self, nodes: np.ndarray, when: np.ndarray) -> np.ndarray:
        count, partners = np.maximum(self._nodes.count[nodes], 1), self._log.degree[nodes]
        extra = np.stack([np.log1p(partners), partners / count, self._as_source[nodes] / count], 1)
        return np.concatenate([self._nodes.read(nodes, when), extra], 1)

    def _check(self, snapshot: int) -> None:
        if snapshot <= self.snapshot:
            raise ConfigError(
                f"snapshot {snapshot} was asked about after {self.snapshot} was observed: its events would be counted "
                f"among their own past; ask first, then observe"
            )


class _Tally:
    """Count, first, last and second last time, and decayed counts as of the last time, a row each."""

    def __init__(self, rows: int) -> None:
        self.count, self.first, self.last, self.gap = (np.zeros(rows) for _ in range(4))
        self.recent = np.zeros((rows, len(HALF_LIVES)))

    def grow(self, rows: int) -> None:
        """Have at least so many rows."""
        if rows > len(self.count):
            for name, column in vars(self).items():
                more = max(rows, 2 * len(column)) - len(column)
                setattr(self, name, np.concatenate([column, np.zeros((more, *column.shape[1:]))]))

    def note(self, rows: np.ndarray, time: np.ndarray) -> None:
        """Take in one event for each entry of `rows`, none before what was noted earlier."""
        if not len(rows):
            return
        order = np.lexsort((time, rows))
        time = time[order]
        ids, begin, number = np.unique(rows[order], return_index=True, return_counts=True)
        end = begin + number - 1
        known, newest = self.count[ids] > 0, time[end]
        before = np.where(number > 1, time[np.maximum(end - 1, 0)], self.last[ids])
        self.gap[ids] = np.where(known | (number > 1), newest - before, 0)
        kept = self.recent[ids] * _decay(np.where(known, newest - self.last[ids], 0))
        added = np.add.reduceat(_decay(np.repeat(newest, number) - time), begin, axis=0)
        self.recent[ids] = kept + added
        self.first[ids] = np.where(known, self.first[ids], time[begin])
        self.last[ids] = newest
        self.count[ids] += number

    def padded_count(self, rows: np.ndarray) -> np.ndarray:
        """Return the counts of rows; of row -1, anything."""
        return self.count[rows] if len(self.count) else np.zeros(len(rows))

    def read(self, rows: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Return the columns of rows at some times; row -1, and rows without events, have zeros and ``new``."""
        table = np.zeros((len(rows), len(_COLUMNS)))
        there = (rows >= 0) & (self.padded_count(rows) > 0)
        ids, when = rows[there], time[there]
        since = when - self.last[ids]
        raw = [self.count[ids], since, when - self.first[ids], self.gap[ids]]
        columns = np.concatenate([np.stack(raw, 1), self.recent[ids] * _decay(since)], 1)
        table[there, :-1] = np.log1p(columns)
        table[:, -1] = ~there
        return table


def _decay(age: np.ndarray) -> np.ndarray:
    return np.exp2(-age[:, None] / np.array(HALF_LIVES))
